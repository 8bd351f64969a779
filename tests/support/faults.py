"""A fault in one call of a party, once or for good, before or after its effect, and where to put it."""

from __future__ import annotations


def places(limit, *, first=1):
    """The first call, the second, ...: for a sweep that returns as soon as a fault finds no call."""
    yield from range(first, limit)
    raise AssertionError("the sweep did not end")


class Fault:
    """Stands for a method: raises at its n-th call, or from then on.

    Args:
        party: Whose method; frozen ones as well.
        method: Its name.
        error: What to raise; a class is given a text.
        at: Which call fails, counted from 1.
        after: Whether the call takes effect first.
        lasting: Whether every later call fails too.
        patch: A monkeypatch that takes it away again; without one, `remove` does.

    Attributes:
        calls: How often the method was called.
        fired: Whether it has raised.
    """

    def __init__(self, party, method, error, *, at=1, after=False, lasting=False, patch=None):
        self.calls, self.fired = 0, False
        real = getattr(party, method)

        def call(*args, **kwargs):
            self.calls += 1
            due = self.calls == at or (lasting and self.calls > at)
            if due and not after:
                self._fire(error, f"injected into {method}")
            result = real(*args, **kwargs)
            if due:
                self._fire(error, f"injected after {method}")
            return result

        if patch is not None:
            patch.setattr(party, method, call)
        else:
            object.__setattr__(party, method, call)
            self.remove = lambda: object.__delattr__(party, method)

    def _fire(self, error, text):
        self.fired = True
        raise error(text) if isinstance(error, type) else error


class Delay(Fault):
    """The same, but the call does not raise: it takes so many seconds by the clock.

    Args:
        clock: Whose time passes.
        seconds: How long it takes.
    """

    def __init__(self, party, method, clock, seconds, **where):
        self._clock, self._seconds = clock, seconds
        super().__init__(party, method, None, **where)

    def _fire(self, error, text):
        self.fired = True
        self._clock.sleep(self._seconds)
