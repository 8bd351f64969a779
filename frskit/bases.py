"""Optional mixins: the parts of a seam that most implementations do alike.

Nothing in frskit asks whether a class inherits from these; they save typing. With `WriterBase` a
small writer is five methods: ``identify``, ``freeze``, ``thaw``, ``abort`` and, if it truncates,
``backup_complete``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from frskit.errors import CopyConflict, RecoveryPrecondition
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
    from collections.abc import Sequence

    from frskit.clock import Budget
    from frskit.model.components import WriterMetadata, WriterRecord, WriterSession
    from frskit.model.ids import CopyKey
    from frskit.model.plans import RecoveryTarget
    from frskit.protocols import CopyFiles

__all__ = ["ApplicationBase", "ArrayBase", "WriterBase"]


class WriterBase(ABC):
    """A `Writer` whose optional events do nothing."""

    @abstractmethod
    def identify(self) -> WriterMetadata:
        """Describe components and files."""

    @abstractmethod
    def freeze(self, session: WriterSession, *, budget: Budget) -> None:
        """Hold writes."""

    @abstractmethod
    def thaw(self, session: WriterSession) -> None:
        """Go on writing."""

    @abstractmethod
    def abort(self, session: WriterSession) -> None:
        """Thaw if frozen and forget the session."""

    def prepare_backup(self, session: WriterSession) -> None:
        """Nothing to prepare."""

    def prepare_snapshot(self, session: WriterSession) -> None:
        """Nothing to prepare."""

    def post_snapshot(self, session: WriterSession) -> Sequence[WriterRecord]:
        """Nothing to keep."""
        return ()

    def backup_complete(self, session: WriterSession) -> None:
        """Nothing to truncate."""

    def backup_shutdown(self, session: WriterSession) -> None:
        """Release a hold that is still there."""
        self.abort(session)

    def pre_restore(self, session: WriterSession) -> None:
        """Nothing stands against a restore."""

    def post_restore(self, session: WriterSession) -> None:
        """Nothing to finish."""


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
        """A swap brings the files; copying back takes each file of the copy."""
        if method is not RecoveryMethod.COPY_BACK:
            return ()
        return tuple(
            FileAction(kind=FileActionKind.COPY_IN, path=path, reason="restored from the copy")
            for path in self.restorable(component, copy)
        )

    @abstractmethod
    def restorable(self, component: str, copy: CopyFiles) -> Sequence[str]:
        """Server-native paths of the component's files in the copy."""

    def allow_overwrite(self, component: str, allowed: bool) -> None:
        """There is no such flag."""


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
        """Check every request and remember the set."""
        staged = StagedCopies(key=key, requests=tuple(requests))
        known = self._staged.get(key)
        if known is not None:
            if known != staged:
                raise CopyConflict(f"key {key} is staged for other requests", context={"key": key})
            return known
        for request in staged.requests:
            self.check_request(request)
        self._staged[key] = staged
        return staged

    def discard_staged(self, key: CopyKey) -> None:
        """Forget the set."""
        self._staged.pop(key, None)
