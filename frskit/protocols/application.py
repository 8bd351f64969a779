"""The application's recovery side, and the checker that judges its copies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor
    from contextlib import AbstractContextManager

    from frskit.clock import Budget
    from frskit.model.checks import IntegrityReport
    from frskit.model.components import Component
    from frskit.model.copies import Copy
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

__all__ = ["Application", "CheckTarget", "CopyFiles", "IntegrityChecker", "Workspace"]


@frozen(kw_only=True)
class Workspace:
    r"""A writable place on the recovery server that is thrown away at the end of its block.

    Attributes:
        files: Its files; paths are relative to it. A copy that was asked for lies under the paths
            of production, without colons: ``M:\a\b.edb`` is ``M/a/b.edb``
            (`frskit.model.server_paths.as_relative`).
        server: The server that it is on; ``server.runner`` runs programs there.
        path: Where programs on that server find it, server-native; None where no program can see
            it: on a simulated server, or on one that is not this machine. A checker that must run
            a program says in `IntegrityChecker.available` that it cannot work there.
    """

    files: FileSystem
    server: Server
    path: str | None = None


class CopyFiles(Protocol):
    """The files of a copy under the names they have on production.

    Valid as long as the block that gave it; it may be asked by several threads.
    """

    @property
    def copy(self) -> Copy:
        """The copy's record as it was when it was mounted: id, selection, writers' records."""
        ...

    def find(self, files: FileSet) -> Sequence[tuple[str, FileRef]]:
        """The files that match, as (server-native path on production, reference), sorted.

        Late files are among them, under the path that they have after a restore; one hides a file
        of the image under the same path. Opening one that is gone or changed is an IntegrityError.
        A path is one of production whatever a recovery has moved meanwhile: it names the file in
        the copy, not the one that lies there now.

        Raises:
            VolumeNotFound: The file set's volume is not part of the copy. A checker counts the
                files as missing; an application refuses or leaves them out.
        """
        ...


class CheckTarget(CopyFiles, Protocol):
    """A presented copy, as a checker sees it."""

    @property
    def components(self) -> Sequence[Component]:
        """All components of the copy that have files; every one of them must be judged.

        The verdict is given per explicitly selected one: ``copy.selected``.
        """
        ...

    def scratch(self, *, with_copy: bool = False) -> AbstractContextManager[Workspace]:
        """A writable place that is thrown away afterwards, for checkers that must replay.

        Args:
            with_copy: Whether the copy's files are in it, to be written to: those that the file
                sets of `components` mean, and directories of recursive ones though they be empty.
                The bytes are the copy's; owners and modes are those of new files.

        Raises:
            NoSpace: The copy does not fit. The checker cannot judge; the copy stays unverified.
        """
        ...


class IntegrityChecker(Protocol):
    """Judges copies of one application's components; runs on the recovery side."""

    @property
    def name(self) -> str:
        """Name and version for the report."""
        ...

    def available(self, server: Server) -> bool:
        """Whether it can run on this server; asked *before* the freeze [FRS-46]. Reads only."""
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
        in all. It may be called again for the same copy, and must not rely on what it left.

        The report is not believed: the requestor lists the copy's files itself. What fails the
        copy is a file of any component, a late one included, that the report does not name or
        names with another length; a file set that means no file unless the report names its path
        and pattern (MISSING, and not needed if that is as it should be); a selected component
        that was not judged exactly once; and anything that is no report, such as None.

        Raises:
            Cancelled, TimedOut: The copy stays unverified.
            FrskitError: The copy could not be judged, and fails. Any other exception is taken as
                a defect of the checker, and fails it too.
        """
        ...


class Application(Protocol):
    """What recovery needs of an application beside its `Writer`."""

    @property
    def name(self) -> str:
        """Name for messages."""
        ...

    def components(self, *, budget: Budget) -> Sequence[ComponentInfo]:
        """The units of recovery that this application has now, online or not.

        Asked anew at each step: which server runs a component (`ComponentInfo.owner`) may change
        at any time in a cluster [FRS R-3.3]. Reads only; idempotent.

        Raises:
            HostError, TimedOut: The application cannot be asked. Nothing was changed; the caller
                gives up what it was about to begin.
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
        place when they run; for `COPY_BACK` they include the copying. COPY_IN takes a file by its
        path, late files like those of the image; where the image has been brought otherwise, it may
        name late files only. No two actions may make or delete a file of the same path. The same
        question in the same situation gives the same answer: a plan whose actions differ later is
        refused. Before files are copied back it is asked once more, with the component offline, and
        a path that the plan did not name ends the recovery: name what `take_offline` will still
        write, for a DELETE of a file that is not there is fine.

        Raises:
            RecoveryPrecondition, StorageGroupNotRecognized, Cancelled, TimedOut: As for `analyze`.
        """
        ...

    def take_offline(self, component: str, *, for_restore: bool, budget: Budget) -> None:
        """Dismount every database of the component; the writer never does it [EXC-58].

        Idempotent, also on a component that is down, damaged or half up. A component that is
        offline keeps its files closed until `bring_online`.

        Args:
            component: Its name.
            for_restore: True sets, besides, whatever the application demands before its files may
                be replaced: Exchange's "may be overwritten by a restore" [P-04]. It outlives a
                restart of the application. False takes that back: the files stay as they are.
            budget: How long it may take.

        Raises:
            StorageGroupNotRecognized: No such component.
            StoreError: It cannot go offline now; a shadow copy is being made, for example. The
                caller changes no file, undoes what it did, and may try again.
            TimedOut: It is not known whether it is offline. The caller calls again.
        """
        ...

    def bring_online(self, component: str, *, budget: Budget) -> OnlineReport:
        """Mount every database, replaying logs where needed; takes back what `for_restore` set.

        Idempotent: called again on a component that is up it replays nothing and reports. May be
        called again after it failed, also by another process after a crash in the middle of it.

        Raises:
            StoreError: Replay failed; the native code says how. The component is offline, the
                files are as replay left them, and what `for_restore` set is still set. The caller
                puts the files back and calls again, or leaves that to a resume.
            TimedOut: It is not known how far it came. The caller asks for the `status`.
        """
        ...

    def status(self, component: str, *, budget: Budget) -> ComponentStatus:
        """State of the component's databases, whatever it is. Reads only.

        A sick component is no error: a database that is damaged, missing or does not answer is
        shown as such, with the reason in its `DatabaseStatus.detail`.

        Raises:
            StorageGroupNotRecognized: No such component.
            TimedOut: The application does not answer at all.
        """
        ...
