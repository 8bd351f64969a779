"""Time as an argument: clocks, and budgets made of a deadline and a cancel token.

Nothing in frskit sleeps or reads the time but through a `Clock`. The lab runs on a
`VirtualClock`, so a normalization of an hour takes no time at all; real sites run on
`SystemClock`, the one place in the library that touches the machine's clock.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Protocol

from attrs import define, field, frozen

from frskit.errors import Cancelled, TimedOut

__all__ = ["Budget", "CancelToken", "Clock", "SystemClock", "VirtualClock"]


class Clock(Protocol):
    """A source of time, and the only way to wait."""

    def now(self) -> datetime:
        """The wall clock, aware and in UTC. It may jump; never compute durations from it."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never decreases. Durations come from here."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait; a virtual clock advances instead. Negative waits count as zero."""
        ...

    @property
    def real_time(self) -> bool:
        """Whether time goes on by itself.

        If so, a call that must end in time needs a thread of its own, and alarms ring in another
        one. If not, time passes inside `sleep` only, and so alarms ring there.
        """
        ...

    def alarm(self, at_s: float, action: Callable[[], None]) -> Callable[[], None]:
        """Call `action` once, as soon as `monotonic` reads `at_s` or more.

        Args:
            at_s: Reading of `monotonic`.
            action: Must be short, and must not raise.

        Returns:
            Cancels the alarm; harmless once it rang.
        """
        ...


class SystemClock:
    """The machine's own clock."""

    @property
    def real_time(self) -> bool:
        """It goes on by itself."""
        return True

    def now(self) -> datetime:
        """The wall clock in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds of the machine's monotonic clock."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait in real time."""
        if seconds > 0:
            time.sleep(seconds)

    def alarm(self, at_s: float, action: Callable[[], None]) -> Callable[[], None]:
        """Ring in a thread that does not keep the process alive."""
        timer = threading.Timer(max(0.0, at_s - self.monotonic()), action)
        timer.daemon = True
        timer.start()
        return timer.cancel


class VirtualClock:
    """A clock that moves only when told to; waiting advances it at once.

    Alarms ring while it advances, in the thread that advances it, at exactly their time.

    Example:
        >>> clock = VirtualClock()
        >>> before = clock.monotonic()
        >>> clock.sleep(3600)
        >>> clock.monotonic() - before
        3600.0
    """

    DEFAULT_START = datetime(2005, 7, 15, 12, 0, tzinfo=UTC)

    def __init__(self, start: datetime | None = None, *, elapsed_s: float = 0.0) -> None:
        self._start = start or self.DEFAULT_START
        if self._start.tzinfo is None:
            raise ValueError("a clock's start must be timezone-aware")
        self._elapsed_s = float(elapsed_s)
        self._lock = threading.Lock()
        self._alarms: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()  # alarms of one time ring in the order in which they were set

    @property
    def real_time(self) -> bool:
        """It stands still until somebody waits."""
        return False

    @property
    def start(self) -> datetime:
        """The instant at which this clock read zero seconds."""
        return self._start

    def now(self) -> datetime:
        """The virtual instant in UTC."""
        return self._start + timedelta(seconds=self._elapsed_s)

    def monotonic(self) -> float:
        """Virtual seconds since the start."""
        return self._elapsed_s

    def sleep(self, seconds: float) -> None:
        """Advance by `seconds`; nobody waits."""
        self.advance(max(0.0, seconds))

    def advance(self, seconds: float) -> None:
        """Move forward; a clock never goes back."""
        if seconds < 0:
            raise ValueError("a virtual clock cannot run backwards")
        left_s = seconds
        while True:
            with self._lock:
                due = self._alarms and self._alarms[0][0] <= self._elapsed_s + left_s
                if not due:
                    self._elapsed_s += left_s
                    return
                at_s, _, action = heapq.heappop(self._alarms)
                step_s = max(0.0, at_s - self._elapsed_s)
                self._elapsed_s += step_s
                left_s -= step_s
                before_s = self._elapsed_s
            action()  # without the lock: it may wait itself, and that wait is part of this one
            left_s = max(0.0, left_s - (self._elapsed_s - before_s))

    def alarm(self, at_s: float, action: Callable[[], None]) -> Callable[[], None]:
        """Ring inside `advance`; a time that has passed rings at the next step."""
        entry = (at_s, next(self._numbers), action)
        with self._lock:
            heapq.heappush(self._alarms, entry)

        def cancel() -> None:
            with self._lock:
                if entry in self._alarms:
                    self._alarms.remove(entry)
                    heapq.heapify(self._alarms)

        return cancel


@define
class CancelToken:
    """A flag that one party sets and the other polls; setting it twice is harmless."""

    _event: threading.Event = field(factory=threading.Event, init=False, repr=False)
    _watchers: list[Callable[[], None]] = field(factory=list, init=False, repr=False, eq=False)
    # Reentrant: a signal's handler may set the token in the middle of anything.
    _lock: threading.RLock = field(factory=threading.RLock, init=False, repr=False, eq=False)

    def cancel(self) -> None:
        """Ask the operation to stop at its next safe point."""
        self._event.set()
        with self._lock:
            watchers, self._watchers = self._watchers, []
        for action in watchers:
            action()

    def watch(self, action: Callable[[], None]) -> Callable[[], None]:
        """Call `action` when the token is set, in the thread that sets it, or now if it is set.

        Args:
            action: Must be short, must not raise, and may be called twice.

        Returns:
            Forgets it; harmless once it was called.
        """
        with self._lock:
            self._watchers.append(action)
        # Asked after it was added: so it is missed by nobody.
        if self._event.is_set():
            action()

        def forget() -> None:
            with self._lock:
                # By identity: two waits may have equal actions.
                self._watchers = [each for each in self._watchers if each is not action]

        return forget

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked to stop."""
        return self._event.is_set()


@frozen(kw_only=True)
class Budget:
    """How long a call may take, and whether somebody wants it to stop.

    Attributes:
        clock: The clock that the deadline refers to.
        deadline_s: Reading of ``clock.monotonic()`` at which the budget is spent; None = never.
        token: Cancel token, polled by `check`; None = cannot be cancelled.
    """

    clock: Clock
    deadline_s: float | None = None
    token: CancelToken | None = None

    @classmethod
    def of(
        cls, clock: Clock, timeout_s: float | None = None, token: CancelToken | None = None
    ) -> Budget:
        """A budget of `timeout_s` seconds from now; None for no limit."""
        deadline_s = None if timeout_s is None else clock.monotonic() + timeout_s
        return cls(clock=clock, deadline_s=deadline_s, token=token)

    @classmethod
    def unlimited(cls) -> Budget:
        """A budget on the system clock that never ends."""
        return cls(clock=SystemClock())

    def remaining_s(self) -> float | None:
        """Seconds left, never negative; None if unlimited."""
        if self.deadline_s is None:
            return None
        return max(0.0, self.deadline_s - self.clock.monotonic())

    def at_most(self, timeout_s: float | None) -> Budget:
        """The same budget, cut to at most `timeout_s` seconds from now."""
        if timeout_s is None:
            return self
        deadline_s = self.clock.monotonic() + timeout_s
        if self.deadline_s is not None:
            deadline_s = min(deadline_s, self.deadline_s)
        return Budget(clock=self.clock, deadline_s=deadline_s, token=self.token)

    def check(self, doing: str) -> None:
        """Raise if the caller should stop now.

        Raises:
            Cancelled: The token was set.
            TimedOut: The deadline has passed.
        """
        if self.token is not None and self.token.cancelled:
            raise Cancelled(f"cancelled while {doing}")
        if self.deadline_s is not None and self.clock.monotonic() >= self.deadline_s:
            raise TimedOut(f"out of time while {doing}")

    def wait(self, seconds: float, doing: str) -> None:
        """Wait up to `seconds`, but not past the deadline; then `check`."""
        self.check(doing)
        left_s = self.remaining_s()
        self.clock.sleep(seconds if left_s is None else min(seconds, left_s))
        self.check(doing)
