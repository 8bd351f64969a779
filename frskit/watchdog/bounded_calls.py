"""The one place that calls parties: it bounds each call, and deals with answers that come late.

Writers, providers, servers, arrays, checkers and applications are strangers: one may hang, raise
what nobody knows, or answer long after everybody gave up. A `Watchdog` stands before one of them.

* In real time a bounded call runs in a thread of its own, and the caller waits no longer than the
  deadline. The thread cannot be ended; it is left behind, at most one for ordinary calls and one
  for closing ones, and until it comes back the party gets no further ordinary call.
* On a virtual clock nothing happens beside the caller: the party runs in the caller's thread, and
  the deadline is an alarm that rings when the party waits for too long.
* What is answered after the deadline is never a result. Whoever called can say what undoes it.

What Python cannot bound: C code that keeps the interpreter's lock, and a thread that the kernel
has put to sleep for good. Holds that must end in spite of those live in another process.
"""

from __future__ import annotations

import logging
import threading
import weakref
from contextvars import copy_context
from typing import TYPE_CHECKING, Generic, TypeVar

from attrs import define, field

from frskit.errors import Cancelled, FrskitError, NoAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from frskit.clock import CancelToken, Clock

__all__ = [
    "ANSWER_S",
    "CLOSING_S",
    "Watchdog",
    "foreign",
    "silent_parties",
    "together",
    "watchdog_of",
]

T = TypeVar("T")

CLOSING_S = 5.0
"""Longest wait for a call that only ends something (Abort, a release): frskit's choice. Several
follow one another when a party fails, so it is short; what it ends was asked for, heard or not."""

ANSWER_S = 600.0
"""Longest wait for a call that its caller gave no time: frskit's choice. Long enough for what a party
may do in good faith (a writer's PrepareForSnapshot, a rescan), short enough to end a night's job."""

_ALL: weakref.WeakSet[Watchdog] = weakref.WeakSet()

_PARTIES: dict[int, tuple[weakref.ref[object], Watchdog]] = {}
"""The watchdogs of parties that several objects call, by the party's `id`."""

_PARTIES_LOCK = threading.Lock()


def watchdog_of(
    party: object,
    name: str,
    clock: Clock,
    *,
    wrap: type[FrskitError] | None = None,
    closing_s: float = CLOSING_S,
) -> Watchdog:
    """The one watchdog before this party, whoever calls it: what one of them is owed, all know.

    Made at the first time; the clock has to be the same, else it is another one.
    """
    with _PARTIES_LOCK:
        known = _PARTIES.get(id(party))
        if known is not None and known[0]() is party and known[1].clock is clock:
            return known[1]
        dog = Watchdog(name, clock, wrap=wrap, closing_s=closing_s)
        try:
            _PARTIES[id(party)] = weakref.ref(party), dog
        except TypeError:  # its class does not allow it: everybody has a watchdog of his own
            return dog
        for key in [key for key, (party_of, _) in _PARTIES.items() if party_of() is None]:
            del _PARTIES[key]
        return dog


def silent_parties() -> tuple[str, ...]:
    """What parties of this process owe an answer to, one text each.

    Their threads do not keep the process alive, but they may be in the middle of anything: a
    program should leave by `os._exit` then, after flushing its files.
    """
    return tuple(f"{each.party}: {what}" for each in list(_ALL) for what in each.owes)


class _Call(Generic[T]):
    """One call: under way, answered, or given up; exactly one of the two last wins."""

    def __init__(
        self,
        what: str,
        function: Callable[[], T],
        on_expiry: Callable[[], None] | None,
        on_late: Callable[[], None] | None,
        *,
        closing: bool,
    ) -> None:
        self.what, self.closing = what, closing
        self.given_up = False
        self.trouble: BaseException | None = None
        self.back = threading.Event()
        self.woken = threading.Event()
        self._function = function
        self._on_expiry, self._on_late = on_expiry, on_late
        self._lock = threading.Lock()
        self._answer: T | None = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Call the party; in a thread of its own, or inline on a virtual clock."""
        try:
            self._answer = self._function()
        except BaseException as error:  # noqa: BLE001  handed over to the caller, or too late
            self._error = error
        with self._lock:
            self.back.set()
        self.woken.set()
        if self.given_up and self._on_late is not None:
            try:
                self._on_late()
            except BaseException:
                # Nobody waits for this thread any more: the log is all that is left.
                logging.getLogger(__name__).exception("after the late answer to %s", self.what)

    def give_up(self) -> None:
        """The deadline has come, or the caller was interrupted; no effect once it is answered."""
        with self._lock:
            if self.back.is_set() or self.given_up:
                return
            self.given_up = True
        if self._on_expiry is not None:
            try:
                self._on_expiry()
            except BaseException as error:  # noqa: BLE001  on a virtual clock: not the party's
                self.trouble = error

    def result(self) -> T:
        """The answer in time.

        Raises:
            BaseException: What the party raised.
        """
        if self._error is not None:
            raise self._error
        return self._answer  # type: ignore[return-value]  # set, since there was no error


@define(eq=False)
class Watchdog:
    """Stands before one party.

    Attributes:
        party: Its name, for messages.
        clock: Tells the deadlines; by it parties are waited for.
        wrap: Type of the error that a foreign exception becomes; None lets it pass as it is.
        closing_s: Longest wait for closing calls.
    """

    party: str
    clock: Clock
    wrap: type[FrskitError] | None = None
    closing_s: float = CLOSING_S
    _owed: list[_Call[object]] = field(factory=list, init=False, repr=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        _ALL.add(self)

    @property
    def owes(self) -> tuple[str, ...]:
        """The calls that were given up and have not come back."""
        with self._lock:
            self._owed = [each for each in self._owed if not each.back.is_set()]
            return tuple(each.what for each in self._owed)

    def pardon(self) -> None:
        """Forget what the party owes: its next ordinary call is tried again."""
        with self._lock:
            self._owed.clear()

    def call(
        self,
        what: str,
        function: Callable[[], T],
        *,
        deadline_s: float | None,
        on_expiry: Callable[[], None] | None = None,
        on_late: Callable[[], None] | None = None,
        closing: bool = False,
        token: CancelToken | None = None,
    ) -> T:
        """Call the party, and wait for its answer no longer than until the deadline.

        Args:
            what: The call, for messages.
            function: Calls the party.
            deadline_s: Reading of the clock; None waits for ever, in the caller's own thread, and
                infinity in a thread of the call's.
            on_expiry: Runs at the deadline, before anything is raised, while the party may still
                be at it; also when the caller is interrupted.
            on_late: Runs when the party came back after that; in whatever thread it did.
            closing: The call only ends something, or only looks: it is made although answers are
                owed. Without a deadline it waits for `closing_s`.
            token: Ends the wait, too: a party that does not notice it by itself within `closing_s`
                is given up. In real time only; on a virtual clock nothing can be set meanwhile.

        Raises:
            Cancelled: The token was set, and the party did not come back.
            NoAnswer: There was none in time, or the party was not asked since the time was over
                or an earlier answer is owed.
            BaseException: What the party raised; a foreign exception as `wrap`, if that is set.
        """
        now_s = self.clock.monotonic()
        if closing:
            deadline_s = now_s + self.closing_s if deadline_s is None else deadline_s
            self._check_no_other_closing(what)
        else:
            self._check_asked(what, deadline_s, now_s, on_expiry)
        call = _Call(what, function, on_expiry, on_late, closing=closing)
        try:
            self._bounded(call, deadline_s, token)
            if not call.given_up:
                return call.result()
        except Exception as error:
            if self.wrap is None or isinstance(error, FrskitError):
                raise
            raise foreign(self.wrap, self.party, what, error) from error
        if token is not None and token.cancelled:
            raise Cancelled(f"cancelled while waiting for {self.party} to answer {what}")
        raise self._given_up(call)

    def _check_asked(
        self,
        what: str,
        deadline_s: float | None,
        now_s: float,
        on_expiry: Callable[[], None] | None,
    ) -> None:
        """Refuse what would only make things worse: a party that is stuck, or no time left."""
        if owed := self.owes:
            if on_expiry is not None:
                on_expiry()
            raise NoAnswer(
                f"{self.party} was not asked for {what}: it still owes an answer to {owed[0]}",
                context={"party": self.party, "owes": list(owed)},
            )
        if deadline_s is not None and now_s >= deadline_s:
            if on_expiry is not None:
                on_expiry()
            raise NoAnswer(
                f"{self.party} was not asked for {what}: no time was left",
                context={"party": self.party},
            )

    def _check_no_other_closing(self, what: str) -> None:
        """One stuck closing call is enough: a second one would hang beside it."""
        with self._lock:
            owed = [each for each in self._owed if each.closing and not each.back.is_set()]
        if owed:
            raise NoAnswer(
                f"{self.party} was not asked for {what}: {owed[0].what} has not come back",
                context={"party": self.party},
            )

    def _bounded(self, call: _Call[T], deadline_s: float | None, token: CancelToken | None) -> None:
        """Run the call; return when it is answered or given up."""
        if deadline_s is None:
            call.run()
        elif self.clock.real_time:
            self._in_a_thread(call, deadline_s, token)
        else:
            cancel = self.clock.alarm(deadline_s, call.give_up)
            try:
                call.run()
            finally:
                cancel()

    def _in_a_thread(self, call: _Call[T], deadline_s: float, token: CancelToken | None) -> None:
        thread = threading.Thread(
            target=copy_context().run, args=(call.run,), name=f"{self.party}: {call.what}"
        )
        thread.daemon = True  # a party that never comes back must not keep the process
        try:
            thread.start()
        except RuntimeError:  # the machine has no thread left
            if not call.closing:
                raise
            call.run()  # nobody may stay frozen for that
            return
        try:
            # Waiting here and not in the party lets an interrupt through at once.
            self._wait(call, deadline_s, token)
        finally:
            if not call.back.is_set():
                with self._lock:
                    self._owed.append(call)  # type: ignore[arg-type]  # only its name is used
                call.give_up()

    def _wait(self, call: _Call[T], deadline_s: float, token: CancelToken | None) -> None:
        """Until the call is back, the deadline, or a little after the token was set."""
        if token is None:
            call.back.wait(self._left_s(deadline_s))
            return
        forget = token.watch(call.woken.set)
        try:
            call.woken.wait(self._left_s(deadline_s))
        finally:
            forget()
        if not call.back.is_set() and token.cancelled:
            call.back.wait(min(self.closing_s, self._left_s(deadline_s)))

    def _left_s(self, deadline_s: float) -> float:
        left_s = deadline_s - self.clock.monotonic()
        # Longer waits are refused by the machine, and nobody will live to see the difference.
        return min(max(0.0, left_s), threading.TIMEOUT_MAX)

    def _given_up(self, call: _Call[T]) -> NoAnswer:
        error = NoAnswer(
            f"{self.party} did not answer {call.what} in time", context={"party": self.party}
        )
        if call.trouble is not None:
            error.add_note(f"while giving up: {type(call.trouble).__name__}: {call.trouble}")
            if not isinstance(call.trouble, Exception):
                raise call.trouble from error
        return error


def together(clock: Clock, actions: Sequence[Callable[[], None]]) -> None:
    """Do several things at once, so that one which takes long delays none of the others.

    In real time each has a thread; on a virtual clock the next one starts when one waits. What
    they raise is theirs to keep; each has to end by itself.
    """
    if clock.real_time and len(actions) > 1:
        threads = [threading.Thread(target=each, daemon=True) for each in actions]
        started = []
        for thread, action in zip(threads, actions, strict=True):
            try:
                thread.start()
                started.append(thread)
            except RuntimeError:  # the machine has no thread left: one after the other, then
                action()
        for thread in started:
            thread.join()
        return
    waiting = list(actions)

    def go_on() -> None:
        while waiting:
            action = waiting.pop(0)
            cancel = clock.alarm(clock.monotonic(), go_on) if waiting else None
            try:
                action()
            finally:
                if cancel is not None:
                    cancel()

    go_on()


def foreign(kind: type[FrskitError], party: str, what: str, error: BaseException) -> FrskitError:
    """A party's exception as an error of frskit, with its type and text, and a number if it has one."""
    number = getattr(error, "winerror", None) or getattr(error, "errno", None)
    return kind(
        f"{party} failed in {what}: {type(error).__name__}: {error}",
        context={"party": party, "call": what},
        native=number if isinstance(number, int) else None,
    )
