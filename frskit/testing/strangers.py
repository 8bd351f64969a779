"""How the kits meddle: act in the midst of a party's call, and call it from other threads.

What a party does when a call of it is cut short, when another call comes while it waits, or when it
answers after everybody gave up, cannot be seen from outside: something has to happen *inside* of
its call. A party that looks at its budget gives the occasion, for the kit's budget acts when it is
looked at; no lever is needed for that.
"""

from __future__ import annotations

import inspect
import threading
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from frskit._typing import override
from frskit.clock import Budget, CancelToken
from frskit.errors import FrskitError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from frskit.clock import Clock

__all__ = ["PATIENCE_S", "Beside", "Meddler", "beside", "call", "in_threads", "lever", "typed"]

T = TypeVar("T")

PATIENCE_S = 5.0
"""Real seconds until a call counts as one that never comes back. Only a party that hangs uses them
up; tests of parties that do take less."""


class Meddler:
    """A budget that acts once, when the party looks at it for the n-th time.

    Args:
        base: The budget that it is in all else.
        act: What to do, in the party's own call and thread; what it raises comes out there.
        at: At which look, counted from 1.

    Attributes:
        acted: Whether it did.
    """

    def __init__(self, base: Budget, act: Callable[[], object], *, at: int = 1) -> None:
        self.acted: bool = False
        self._act, self._left = act, at
        self._lock = threading.Lock()
        clock, token = _WatchedClock(base.clock, self), _WatchedToken(base.token, self)
        self.budget: Budget = Budget(clock=clock, deadline_s=base.deadline_s, token=token)

    def looked(self) -> None:
        """The party looked."""
        with self._lock:
            self._left -= 1
            if self._left != 0:
                return
            self.acted = True
        self._act()  # without the lock: what it does may look again


class _WatchedToken(CancelToken):
    """A cancel token that tells when it is asked."""

    def __init__(self, real: CancelToken | None, meddler: Meddler) -> None:
        super().__init__()
        self._real, self._meddler = real, meddler

    @override
    @property
    def cancelled(self) -> bool:
        """As the real one, or when somebody cancelled this one."""
        self._meddler.looked()
        return super().cancelled or (self._real is not None and self._real.cancelled)


class _WatchedClock:
    """A clock that tells when it is read for a duration, or waited by."""

    def __init__(self, real: Clock, meddler: Meddler) -> None:
        self._real, self._meddler = real, meddler

    @property
    def real_time(self) -> bool:
        """As the real one."""
        return self._real.real_time

    def now(self) -> datetime:
        """As the real one."""
        return self._real.now()

    def monotonic(self) -> float:
        """As the real one."""
        self._meddler.looked()
        return self._real.monotonic()

    def sleep(self, seconds: float) -> None:
        """As the real one."""
        self._meddler.looked()
        self._real.sleep(seconds)

    def alarm(self, at_s: float, action: Callable[[], None]) -> Callable[[], None]:
        """As the real one."""
        return self._real.alarm(at_s, action)


class Beside(Generic[T]):
    """A call in a thread of its own, which does not keep the process if it never comes back.

    Args:
        call: What to call.
        linger: The thread lives on until this is set: a new one gets the number of one that ended.
    """

    def __init__(self, call: Callable[[], T], *, linger: threading.Event | None = None) -> None:
        self._call, self._linger = call, linger
        self._back = threading.Event()
        self._answer: T | None = None
        self._error: BaseException | None = None
        threading.Thread(target=self._run, daemon=True, name="kit").start()

    def _run(self) -> None:
        try:
            self._answer = self._call()
        except BaseException as error:  # noqa: BLE001  given to whoever asks for the outcome
            self._error = error
        self._back.set()
        if self._linger is not None:
            self._linger.wait()

    def is_back(self, patience_s: float) -> bool:
        """Whether it came back in so many real seconds."""
        return self._back.wait(patience_s)

    def outcome(self) -> T:
        """What it answered, once it is back.

        Raises:
            BaseException: What it raised.
        """
        if self._error is not None:
            raise self._error
        return self._answer  # type: ignore[return-value]  # it is back, and without an error


def beside(
    call: Callable[[], T],
    patience_s: float,
    complaint: str,
    *,
    linger: threading.Event | None = None,
) -> T:
    """Make a call in another thread and wait for it; arguments as for `Beside`.

    Raises:
        AssertionError: It did not come back; the text is `complaint`.
    """
    other = Beside(call, linger=linger)
    if not other.is_back(patience_s):
        raise AssertionError(complaint)
    return other.outcome()


def in_threads(calls: Mapping[str, Callable[[], object]], patience_s: float) -> None:
    """Make calls one after the other, each in a thread of its own that no other one had.

    Raises:
        AssertionError: One did not come back, or was refused.
    """
    end = threading.Event()
    try:
        for name, call in calls.items():
            hangs = f"{name} does not come back in another thread"
            error = beside(partial(typed, call, name), patience_s, hangs, linger=end)
            if error is not None:
                raise AssertionError(f"{name} is refused to another thread: {error}") from error
    finally:
        end.set()


def typed(call: Callable[[], object], doing: str) -> FrskitError | None:
    """Make a call that may fail, but only with an error of frskit's tree; the error, or None.

    Raises:
        AssertionError: It raised what no caller can know.
    """
    try:
        call()
    except FrskitError as error:
        return error
    except Exception as error:
        raise AssertionError(f"{doing} raised {error!r}, which no caller can know") from error
    return None


def call(
    protocol: type, party: object, name: str, *args: object, budget: Budget, **words: object
) -> object:
    """Call a party's method, with the budget if the protocol's method has one."""
    if "budget" in inspect.signature(getattr(protocol, name)).parameters:
        words["budget"] = budget
    answer: object = getattr(party, name)(*args, **words)
    return answer


def lever(world: object, name: str) -> Callable[..., object] | None:
    """An optional lever of a world, or None if it has none of this name."""
    found: Callable[..., object] | None = getattr(world, name, None)
    return found
