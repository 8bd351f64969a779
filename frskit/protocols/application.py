"""The application's recovery side, and the checker that judges its copies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor
    from contextlib import AbstractContextManager

    from frskit.clock import Budget
    from frskit.model.checks import IntegrityReport
    from frskit.model.components import Component
    from frskit.model.files import FileSet
    from frskit.model.plans import (
        ComponentInfo,
        ComponentStatus,
        FileAction,
        LogAnalysis,
        OnlineReport,
        RecoveryMethod,
        RecoveryTarget,
    )
    from frskit.protocols.server import Server
    from frskit.protocols.small import FileRef, FileSystem

__all__ = ["Application", "CheckTarget", "CopyFiles", "IntegrityChecker"]


class CopyFiles(Protocol):
    """The files of a copy under the names they have on production."""

    def find(self, files: FileSet) -> Sequence[tuple[str, FileRef]]:
        """The files that match, as (server-native path on production, reference), sorted.

        Raises:
            VolumeNotFound: The file set's volume is not part of the copy.
        """
        ...


class CheckTarget(CopyFiles, Protocol):
    """A presented copy, as a checker sees it."""

    @property
    def components(self) -> Sequence[Component]:
        """All components of the copy that have files; every one of them must be judged."""
        ...

    @property
    def selected(self) -> Sequence[Component]:
        """The explicitly selected components; the verdict is given per one of these."""
        ...

    def scratch(self) -> AbstractContextManager[FileSystem]:
        """A writable place that is thrown away afterwards, for checkers that must replay."""
        ...


class IntegrityChecker(Protocol):
    """Judges copies of one application's components; runs on the recovery side."""

    @property
    def name(self) -> str:
        """Name and version for the report."""
        ...

    def available(self, server: Server) -> bool:
        """Whether it can run on this server; asked *before* the freeze [FRS-46]."""
        ...

    def check(
        self,
        target: CheckTarget,
        *,
        executor: Executor | None,
        progress: Callable[[int, int], None] | None,
        budget: Budget,
    ) -> IntegrityReport:
        """Read every page and every log of the copy and judge; changes nothing [EXC-56].

        Damage is a verdict in the report, not an exception. A file of the component list that is
        not there is MISSING, which fails the copy [HAZ-17]. `progress` gets bytes done and bytes
        in all.

        Raises:
            Cancelled, TimedOut: The copy stays unverified.
        """
        ...


class Application(Protocol):
    """What recovery needs of an application beside its `Writer`."""

    @property
    def name(self) -> str:
        """Name for messages."""
        ...

    def components(self) -> Sequence[ComponentInfo]:
        """The units of recovery that this application has now, online or not."""
        ...

    def owner(self, component: str) -> str:
        """Name of the server that runs the component now (clusters move) [FRS R-3.3].

        Raises:
            StorageGroupNotRecognized: No such component.
        """
        ...

    def analyze(
        self, component: str, copy: CopyFiles | None, target: RecoveryTarget, *, budget: Budget
    ) -> LogAnalysis:
        """What the logs allow: the copy's databases with its own logs, or with production's.

        Reads headers only, changes nothing; asked again whenever a plan is made or held against
        the present. Without a copy: production as it is. That recovery is not possible is a verdict
        and no error. Whether the chain of logs has a gap is the application's to say: a requestor
        compares places (`LogPoint.before`), and never counts on there being one at each number.

        Raises:
            RecoveryPrecondition: The kind of the target's stop is none of the component's
                `ComponentInfo.stop_kinds`, or its text is not understood. The caller asks for
                another target; nothing was changed.
            StorageGroupNotRecognized: No such component.
            Cancelled, TimedOut: The budget is spent; the caller makes no plan.
        """
        ...

    def file_actions(
        self,
        component: str,
        copy: CopyFiles,
        target: RecoveryTarget,
        method: RecoveryMethod,
        *,
        budget: Budget,
    ) -> Sequence[FileAction]:
        """The changes of production's files that this recovery needs, in order; pure.

        Carried out in this order and undone in reverse. For `SWAP` the volumes are already in
        place when they run; for `COPY_BACK` they include the copying. The same question in the
        same situation gives the same answer: a plan whose actions differ later is refused.

        Raises:
            RecoveryPrecondition, StorageGroupNotRecognized, Cancelled, TimedOut: As for `analyze`.
        """
        ...

    def take_offline(self, component: str, *, budget: Budget) -> None:
        """Dismount every database of the component. Idempotent; the writer never does it [EXC-58]."""
        ...

    def allow_overwrite(self, component: str, allowed: bool) -> None:
        """Set the "may be overwritten by a restore" flag of the component's databases [P-04]."""
        ...

    def bring_online(self, component: str, *, budget: Budget) -> OnlineReport:
        """Mount every database, replaying logs where needed.

        Raises:
            StoreError: Replay failed; the native code says how. The component stays offline.
        """
        ...

    def status(self, component: str) -> ComponentStatus:
        """State of the component's databases, whatever it is."""
        ...
