"""How the life of a requestor object ends: Abort, BackupShutdown, and who does it if nobody asks.

The end is kept apart from the object, so that it can be brought about when the object itself is
gone, dropped by its program [VSS-09]; see `frskit.vss.open_sessions`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from attrs import define, field

from frskit.vss.state_tables import REQUESTOR_TABLE, RequestorCall, RequestorState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from frskit.vss.requestor.call_order import CallOrder
    from frskit.vss.requestor.participants import Participants
    from frskit.vss.requestor.restore import Restoring
    from frskit.vss.requestor.set_builder import SetBuilder

__all__ = ["SessionEnd"]


@define(eq=False)
class SessionEnd:
    """Ends one requestor object; from any thread, also while its set is being made.

    While the set is being made in another thread, everybody is released at once, and the rest is
    left to that thread: it knows best what it was about to make.

    Attributes:
        restoring: The restore that the object serves, if it does.
    """

    _order: CallOrder
    _builder: SetBuilder
    _participants: Participants
    restoring: Restoring | None = None
    _lock: threading.RLock = field(factory=threading.RLock, init=False, repr=False)
    _release_when_made: bool = field(default=False, init=False)

    def abort(self) -> None:
        """Give up; a no-op if nothing is under way, harmless if repeated [VSS-36]."""
        with self._lock:
            before = self._order.state
            after = self._order.check(RequestorCall.ABORT_BACKUP)
            problems: list[BaseException] = []
            # An interrupt may come with the row; what has to be done is done all the same.
            try:
                self._order.row(RequestorCall.ABORT_BACKUP.value)
            except BaseException as error:  # noqa: BLE001  raised below
                problems.append(error)
            self._order.state = after
            if after is not before and not self._builder.making:
                self._builder.give_up_slot()
        if after is not before:
            problems += self._participants.abort()
        raise_interrupt(problems)

    def release(self) -> None:
        """Let go of the object; writers get BackupShutdown [VSS-09]. Idempotent."""
        with self._lock:
            if self._order.state is RequestorState.RELEASED:
                return
            if self._builder.making:
                self._release_when_made = True
                self._participants.over = True
                return
            after = self._order.check(RequestorCall.RELEASE)
            problems: list[BaseException] = []
            try:
                self._order.row(RequestorCall.RELEASE.value)
            except BaseException as error:  # noqa: BLE001  raised below
                problems.append(error)
            self._order.state = after
            self._builder.give_up_slot()
            problems += self._participants.shut_down()
            if self.restoring is not None:
                problems += self.restoring.give_up()
            self._builder.let_go()
        raise_interrupt(problems)

    def made(self) -> None:
        """The set was made, or not: do what was put off meanwhile."""
        with self._lock:
            if self._release_when_made:
                self._release_when_made = False
                self.release()

    def end(self) -> None:
        """Abort what is not completed, then release; for objects that nobody ends."""
        try:
            state = self._order.state
            abortable = (RequestorCall.ABORT_BACKUP, state) in REQUESTOR_TABLE
            if abortable and state is not RequestorState.COMPLETED:
                self.abort()
        finally:
            self.release()

    @property
    def over(self) -> bool:
        """Whether it was released."""
        return self._order.state is RequestorState.RELEASED

    @property
    def told(self) -> str:
        """For messages: the set, and how far it got."""
        return f"set {self._order.set_id or '(none)'}, {self._order.state.value}"


def raise_interrupt(problems: Iterable[BaseException]) -> None:
    """Failures of closing events are in the writer status; an interrupt must not be lost."""
    for problem in problems:
        if not isinstance(problem, Exception):
            raise problem
