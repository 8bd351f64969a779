"""Optional mixins: the parts of a seam that most implementations do alike.

Nothing in frskit asks whether a class inherits from these; they save typing. With `WriterBase` a
small writer is five methods: ``identify``, ``freeze``, ``thaw``, ``abort`` and, if it truncates,
``backup_complete``. It lets go by itself when its window has passed: that comes with the base.
"""

from __future__ import annotations

import functools
import logging
import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from frskit.errors import (
    CopyConflict,
    OutcomeUnknown,
    RecoveryPrecondition,
    UsageError,
    WriterVeto,
)
from frskit.model.components import FREEZE_WINDOW_S, WriterFailure
from frskit.model.plans import (
    FileAction,
    FileActionKind,
    LogAnalysis,
    LogVerdict,
    RecoveryMethod,
    RecoveryMode,
)
from frskit.model.storage import CopyRequest, StagedCopies

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from frskit.clock import Budget
    from frskit.model.components import LateFile, WriterMetadata, WriterRecord, WriterSession
    from frskit.model.ids import CopyKey, SetId
    from frskit.model.plans import RecoveryTarget
    from frskit.protocols import CopyFiles

__all__ = ["ApplicationBase", "ArrayBase", "WriterBase"]


class _Window:
    """The time from one Freeze to its Thaw; exactly one of both ends and the timer comes first."""

    def __init__(self) -> None:
        self.cancel: Callable[[], None] = _nothing
        self.lost = False
        self.passing = False
        self._ended = False
        self._lock = threading.RLock()

    def end(self, *, lost: bool = False) -> bool:
        """End it; whether this call did."""
        with self._lock:
            if self._ended:
                return False
            self._ended, self.lost = True, lost
        self.cancel()
        return True


def _nothing() -> None:
    pass


class WriterBase(ABC):
    """A `Writer` whose optional events do nothing, and that never stays frozen.

    It stands round the ``freeze``, ``thaw`` and ``abort`` of its subclasses:

    * A timer on the budget's clock calls ``abort`` when the window has passed, also while
      ``freeze`` is still at it. A ``thaw`` after that is refused with TIMEOUT [EXC-21, VSS-42].
    * Whatever ``freeze`` raises, ``abort`` is called before it goes on [EXC-23].

    So ``abort`` may come from another thread, and inside of ``freeze``: do not let it wait for a
    lock that ``freeze`` holds. A class that keeps its window by itself says so with
    ``keeps_window = False``.
    """

    keeps_window: ClassVar[bool] = True

    def __init_subclass__(cls, **words: object) -> None:
        super().__init_subclass__(**words)
        for name, stand in (("freeze", _round_freeze), ("thaw", _round_thaw)):
            if name in cls.__dict__:
                setattr(cls, name, stand(cls.__dict__[name]))
        if "abort" in cls.__dict__:
            cls.abort = _round_abort(cls.__dict__["abort"])  # type: ignore[method-assign]

    @abstractmethod
    def identify(self, *, budget: Budget) -> WriterMetadata:
        """Describe components and files."""

    @abstractmethod
    def freeze(self, session: WriterSession, *, budget: Budget) -> None:
        """Hold writes."""

    @abstractmethod
    def thaw(self, session: WriterSession, *, budget: Budget) -> None:
        """Go on writing."""

    @abstractmethod
    def abort(self, session: WriterSession) -> None:
        """Thaw if frozen and forget the session."""

    def prepare_backup(self, session: WriterSession, *, budget: Budget) -> None:
        """Nothing to prepare."""

    def prepare_snapshot(self, session: WriterSession, *, budget: Budget) -> None:
        """Nothing to prepare."""

    def post_snapshot(self, session: WriterSession, *, budget: Budget) -> Sequence[WriterRecord]:
        """Nothing to keep."""
        return ()

    def backup_complete(self, session: WriterSession, *, budget: Budget) -> None:
        """Nothing to truncate."""

    def backup_shutdown(self, session: WriterSession) -> None:
        """Release a hold that is still there."""
        self.abort(session)

    def pre_restore(self, session: WriterSession, *, budget: Budget) -> None:
        """Nothing stands against a restore."""

    def post_restore(self, session: WriterSession, *, budget: Budget) -> None:
        """Nothing to finish."""


def _windows(writer: WriterBase) -> dict[SetId, _Window]:
    """The windows of a writer's sessions; made here, for subclasses need not call ``__init__``."""
    found: dict[SetId, _Window] = writer.__dict__.setdefault("_windows", {})
    return found


def _round_freeze(freeze: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(freeze)
    def guarded(self: WriterBase, session: WriterSession, *, budget: Budget) -> None:
        windows = _windows(self)
        # Inside of another `freeze` of the same writer: the outer one sees to everything.
        if not self.keeps_window or session.session_id in windows:
            freeze(self, session, budget=budget)
            return
        end_s = budget.deadline_s
        if end_s is None:
            said = self.identify(budget=budget).freeze_timeout_s
            end_s = budget.clock.monotonic() + (FREEZE_WINDOW_S if said is None else said)
        window = windows[session.session_id] = _Window()
        window.cancel = budget.clock.alarm(end_s, functools.partial(_pass, self, session, window))
        try:
            freeze(self, session, budget=budget)
        except BaseException:
            self.abort(session)
            raise
        if window.lost:
            # It may have taken hold after the timer had let go.
            self.abort(session)
            raise _lost()

    return guarded


def _round_thaw(thaw: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(thaw)
    def guarded(self: WriterBase, session: WriterSession, *, budget: Budget) -> None:
        window = _windows(self).pop(session.session_id, None)
        if window is not None and not window.end():
            raise _lost()
        thaw(self, session, budget=budget)

    return guarded


def _round_abort(abort: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(abort)
    def guarded(self: WriterBase, session: WriterSession) -> None:
        window = _windows(self).get(session.session_id)
        # Called by its own timer: Thaw has still to find that the hold was lost.
        if window is not None and not window.passing:
            window.end(lost=True)
            _windows(self).pop(session.session_id, None)
        abort(self, session)

    return guarded


def _pass(writer: WriterBase, session: WriterSession, window: _Window) -> None:
    """The window has passed: let go; Thaw will be told."""
    window.passing = True
    try:
        if window.end(lost=True):
            writer.abort(session)
    except Exception:
        # In the timer's thread: nobody could catch it.
        logging.getLogger(__name__).exception("a writer could not let go after its window")
    finally:
        window.passing = False


def _lost() -> WriterVeto:
    return WriterVeto(
        "the hold was lost when the freeze window had passed; the copy must not be trusted",
        native=WriterFailure.TIMEOUT.value,
        retryable=True,
    )


class ApplicationBase(ABC):
    """An `Application` without logs: only point-in-time recovery of whole files."""

    def analyze(
        self, component: str, copy: CopyFiles | None, target: RecoveryTarget, *, budget: Budget
    ) -> LogAnalysis:
        """Point in time needs nothing; there is nothing to roll forward with, or to stop in."""
        if target.stop:
            raise RecoveryPrecondition(
                f"{component} has no logs to stop in at {target.stop_kind} {target.stop}"
            )
        if target.mode is RecoveryMode.POINT_IN_TIME:
            return LogAnalysis(target=target, verdict=LogVerdict.CLEAN, reason="there are no logs")
        return LogAnalysis(
            target=target,
            verdict=LogVerdict.IMPOSSIBLE,
            reason="this application keeps no logs to roll forward with",
        )

    def file_actions(
        self,
        component: str,
        copy: CopyFiles,
        target: RecoveryTarget,
        method: RecoveryMethod,
        *,
        budget: Budget,
    ) -> Sequence[FileAction]:
        """A swap brings the image and needs the late files; copying back takes each file."""
        late = [each.path for each in copy.copy.late if self.owns(component, each)]
        # `restorable` has those that a file set means.
        image = self.restorable(component, copy) if method is RecoveryMethod.COPY_BACK else ()
        return tuple(
            FileAction(kind=FileActionKind.COPY_IN, path=path, reason="restored from the copy")
            for path in dict.fromkeys((*image, *late))
        )

    def owns(self, component: str, late: LateFile) -> bool:
        """Whether a late file of a copy is the component's; the default goes by its name."""
        return late.component.name.casefold() == component.casefold()

    @abstractmethod
    def restorable(self, component: str, copy: CopyFiles) -> Sequence[str]:
        """Server-native paths of the component's files in the copy."""


class ArrayBase:
    """Trivial staging for arrays that have nothing slow to prepare.

    The subclass checks requests in `check_request` and copies in its ``commit_copies``.
    """

    def __init__(self) -> None:
        self._staged: dict[CopyKey, StagedCopies] = {}

    def check_request(self, request: CopyRequest) -> None:
        """Raise if this member cannot be copied; the default accepts everything."""

    def stage_copies(
        self, requests: Sequence[CopyRequest], *, key: CopyKey, budget: Budget
    ) -> StagedCopies:
        """Check every request and remember the set; nothing is kept of a refused one."""
        budget.check("staging copies")
        staged = StagedCopies(key=key, requests=tuple(requests))
        self.check_set(staged.requests)
        known = self._staged.get(key)
        if known is not None:
            if known != staged:
                raise CopyConflict(f"key {key} is staged for other requests", context={"key": key})
            return known
        for request in staged.requests:
            self.check_request(request)
        self._staged[key] = staged
        return staged

    @staticmethod
    def check_set(requests: Sequence[CopyRequest]) -> None:
        """Refuse what is no set on any array.

        Raises:
            UsageError: No requests, or one source twice.
        """
        if not requests:
            raise UsageError("a copy set needs at least one member")
        sources = [each.source for each in requests]
        if len(set(sources)) != len(sources):
            raise UsageError("a source is named twice in one set", context={"sources": sources})

    @staticmethod
    def check_in_time(key: CopyKey, budget: Budget) -> None:
        """The last line of a commit: what was made after the deadline is no result.

        Raises:
            OutcomeUnknown: The deadline has passed; the copies may be of a time without a hold.
        """
        if budget.remaining_s() == 0:
            raise OutcomeUnknown(f"the set {key} was committed after its deadline", key=key)

    def discard_staged(self, key: CopyKey, *, budget: Budget | None = None) -> None:
        """Forget the set."""
        if budget is not None:
            budget.check("discarding a staging")
        self._staged.pop(key, None)
