"""Optional mixins: the parts of a seam that most implementations do alike.

Nothing in frskit asks whether a class inherits from these; they save typing. With `WriterBase` a
small writer is five methods: ``identify``, ``freeze``, ``thaw``, ``abort`` and, if it truncates,
``backup_complete``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from frskit.errors import CopyConflict
from frskit.model.plans import FileAction, FileActionKind, LogAnalysis, LogVerdict, RecoveryMethod
from frskit.model.storage import CopyRequest, StagedCopies

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frskit.clock import Budget
    from frskit.model.components import LateFile, WriterMetadata, WriterRecord, WriterSession
    from frskit.model.ids import CopyKey
    from frskit.model.plans import RecoveryMode
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

    def analyze(self, component: str, copy: CopyFiles | None, mode: RecoveryMode) -> LogAnalysis:
        """Point in time needs nothing; there is nothing to roll forward with."""
        from frskit.model.plans import RecoveryMode as Mode

        if mode is Mode.POINT_IN_TIME:
            return LogAnalysis(mode=mode, verdict=LogVerdict.CLEAN, reason="there are no logs")
        return LogAnalysis(
            mode=mode,
            verdict=LogVerdict.IMPOSSIBLE,
            reason="this application keeps no logs to roll forward with",
        )

    def file_actions(
        self, component: str, copy: CopyFiles, mode: RecoveryMode, method: RecoveryMethod
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
