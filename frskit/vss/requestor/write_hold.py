"""Writes held on the server around the commit: rows 19 and 21 of the canonical trace [VSS-05].

The hold has a window of its own, 10 s [VSS-44], and ends with the shortest freeze window as well
[VSS-43]: `HeldWrites.end_s` is the reading of the clock at which nobody may be frozen or held any
more, and every call of the server is left at that moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import TypeVar

from attrs import define, field

from frskit.clock import Budget
from frskit.codes.hresult import hresult
from frskit.errors import HoldTimeout, NoAnswer
from frskit.protocols import WriteHold
from frskit.vss.engine import Engine, OpenSet
from frskit.vss.requestor.participants import Participants

__all__ = ["HOLD_WINDOW_S", "HeldWrites", "held_too_long"]

T = TypeVar("T")

HOLD_WINDOW_S = 10.0
"""Flush-and-hold: the kernel releases writes after this time [VSS 3]."""


def held_too_long(held_s: float) -> HoldTimeout:
    """For servers that measure the hold but do not judge it [VSS-44]."""
    return HoldTimeout(
        f"writes were held for {held_s:.1f} s, more than {HOLD_WINDOW_S:.0f} s",
        context={"held_s": held_s},
        native=hresult("VSS_E_HOLD_WRITES_TIMEOUT"),
    )


@define(eq=False)
class HeldWrites:
    """The one hold of a set that is being made.

    Attributes:
        engine, open_set, participants: With what, for what, and whose windows end it.
        on_expiry: Releases everybody when the server hangs at the end of the window.
        on_late: Undoes what else the server was told, when it comes back after that.
        held_s: How long writes were held: by the service's own clock, or longer if the server says
            so. A server that forgets to measure is judged all the same [VSS-44].
    """

    engine: Engine
    open_set: OpenSet
    participants: Participants
    on_expiry: Callable[[], None]
    on_late: Callable[[], None]
    held_s: float = 0.0
    _hold: WriteHold | None = field(default=None, init=False)
    _since_s: float | None = field(default=None, init=False)
    _told: bool = field(default=False, init=False)

    def end_s(self) -> float | None:
        """The reading of the clock at which nobody may be frozen or held any more."""
        ends = [] if self._since_s is None else [self._since_s + HOLD_WINDOW_S]
        if (frozen_s := self.participants.end_s()) is not None:
            ends.append(frozen_s)
        return min(ends, default=None)

    @property
    def expired(self) -> bool:
        """Whether writes were held for the whole window."""
        return self.held_s >= HOLD_WINDOW_S

    @contextmanager
    def held(self, budget: Budget) -> Iterator[None]:
        """The server's hold, with its rows on the trace and its length on record.

        Raises:
            HoldTimeout: Writes were held too long, or the server did not say in time that it
                holds them.
        """
        set_id, trace = self.open_set.id, self.engine.trace
        # Asked before anything is held: a server may fail at its own name, too.
        name = self.engine.server.name
        block = ExitStack()
        try:
            self._hold = self._call_server(
                "HoldWrites",
                partial(self._enter, block, budget),
                on_late=partial(self._after_late_hold, block),
            )
        except NoAnswer as silent:
            raise HoldTimeout(
                f"server {name} did not say in time that it holds writes",
                context={"server": name},
                native=hresult("VSS_E_HOLD_WRITES_TIMEOUT"),
            ) from silent
        except BaseException:
            # An interrupt may have come together with the answer: what was entered is left.
            self._call_server("ReleaseWrites", block.close, closing=True)
            raise
        self._since_s = self.engine.clock.monotonic()
        outcome = ""
        try:
            with self._leaving(block):
                try:
                    trace.row("K", "HoldWrites", set_id=set_id, subject=name)
                    yield
                finally:
                    self._clock_s()
        except HoldTimeout as error:
            outcome = str(error)
            raise
        finally:
            self._measure()
            self._hold = self._since_s = None
            if self.expired and not outcome:
                outcome = str(held_too_long(self.held_s))
            trace.row("K", "ReleaseWrites", set_id=set_id, subject=name, outcome=outcome)

    def release_now(self) -> None:
        """Let writes pass at once, from any thread, while the block still runs."""
        hold = self._hold
        if hold is None:
            return
        self._clock_s()
        try:
            self._call_server("ReleaseWrites", hold.release, closing=True)
        finally:
            self._measure()

    def _measure(self) -> None:
        """Note how long writes have been held: the server's word, if it is no less than the clock's."""
        hold = self._hold
        if hold is None or self._since_s is None:
            return
        self._clock_s()
        with suppress(Exception):  # a stranger's property; the clock is enough
            said_s = self._call_server("held_s", lambda: hold.held_s, closing=True, frees=True)
            self.held_s = max(self.held_s, said_s)

    def _clock_s(self) -> None:
        """What is certain: from when the server said that it holds to when it is told to release."""
        if self._since_s is not None and not self._told:
            self.held_s = max(self.held_s, self.engine.clock.monotonic() - self._since_s)
            self._told = True

    def _enter(self, block: ExitStack, budget: Budget) -> WriteHold:
        server = self.engine.bare_server
        return block.enter_context(server.hold_writes(self.open_set.volumes(), budget=budget))

    def _after_late_hold(self, block: ExitStack) -> None:
        """The server came back after it was given up: nothing stays held."""
        block.close()
        self.on_late()

    @contextmanager
    def _leaving(self, block: ExitStack) -> Iterator[None]:
        """Leave the server's block through its watchdog; no server can call off what was raised."""
        try:
            yield
        except BaseException as error:
            leave = partial(block.__exit__, type(error), error, error.__traceback__)
            self._call_server("ReleaseWrites", leave, closing=True, frees=True)
            raise
        else:
            self._call_server("ReleaseWrites", block.close, closing=True, frees=True)

    def _call_server(
        self,
        what: str,
        function: Callable[[], T],
        *,
        on_late: Callable[[], None] | None = None,
        closing: bool = False,
        frees: bool = False,
    ) -> T:
        """A call of the server inside the window; `frees`: everybody else, should it hang."""
        deadline_s = None
        if not closing and (deadline_s := self.end_s()) is None:
            # Nobody is frozen, so that nobody's window ends it.
            deadline_s = self.engine.clock.monotonic() + self.engine.roster.answer_s
        return self.engine.server_dog.call(
            what,
            function,
            deadline_s=deadline_s,
            on_expiry=self.on_expiry if frees or not closing else None,
            on_late=on_late,
            closing=closing,
        )
