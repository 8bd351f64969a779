"""The requestor: what frskit offers to its users, as a seam for tools built on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frskit.model.components import BackupType
    from frskit.model.copies import Copy, CopyFilter
    from frskit.model.ids import CopyId
    from frskit.model.plans import (
        CopyPlan,
        LogAnalysis,
        RecoveryMethod,
        RecoveryMode,
        RecoveryPlan,
        RecoveryReport,
    )
    from frskit.model.storage import CopyKind

__all__ = [
    "CopyCatalog",
    "CopyOperation",
    "Requestor",
    "SupportsLogAnalysis",
    "SupportsRecovery",
]


class CopyOperation(Protocol):
    """A copy that is being made."""

    @property
    def id(self) -> CopyId:
        """Id of the copy to be."""
        ...

    def status(self) -> Copy:
        """The record as it stands."""
        ...

    def wait(self, timeout_s: float | None = None) -> Copy:
        """The finished copy.

        Raises:
            TimedOut: Not finished yet; the operation goes on.
            FrskitError: Whatever made the operation fail; see `Requestor.create_copy`.
        """
        ...

    def cancel(self) -> None:
        """Ask it to stop at the next safe point: thaw first, then clean up. Idempotent."""
        ...


class Requestor(Protocol):
    """Makes, lists and deletes copies of an application's groups."""

    def plan_copy(
        self,
        server: str,
        components: Sequence[str],
        *,
        backup_type: BackupType,
        kind: CopyKind = ...,
    ) -> CopyPlan:
        """What `create_copy` would do; changes nothing.

        Raises:
            ServerNotFound, StorageGroupNotRecognized: Unknown names.
        """
        ...

    def start_copy(
        self,
        server: str,
        components: Sequence[str],
        *,
        backup_type: BackupType,
        kind: CopyKind = ...,
    ) -> CopyOperation:
        """Begin a copy in the background."""
        ...

    def create_copy(
        self,
        server: str,
        components: Sequence[str],
        *,
        backup_type: BackupType,
        kind: CopyKind = ...,
    ) -> Copy:
        """Copy, check, and tell the writers; returns the copy or raises.

        The application is never left frozen, and no log is ever truncated without a durable
        VERIFIED of a copy that holds it. On failure the error carries ``copy``, ``stage`` and
        ``leftovers``; older verified copies are untouched.

        Raises:
            IntegrityError: The copy did not pass; no log was touched, the writer was told failure.
            Busy: Another copy of this server is being made.
        """
        ...

    def copies(self, *, server: str | None = None, component: str | None = None) -> Sequence[Copy]:
        """The copies, newest first, with verdicts asked anew of the array [HAZ-04]."""
        ...

    def delete_copy(self, copy: CopyId) -> None:
        """Delete a copy from array and catalog; resumable.

        Raises:
            CopyNotFound: No such copy, or it was deleted before [R-24].
            CopyInUse: A lease or mount holds it.
        """
        ...


class SupportsRecovery(Protocol):
    """A requestor that can also recover."""

    def plan_recovery(
        self,
        copy: CopyId,
        *,
        mode: RecoveryMode,
        method: RecoveryMethod = ...,
        stop: str = "",
        stop_kind: str = "",
    ) -> RecoveryPlan:
        """What a recovery would do; changes nothing.

        `stop` and `stop_kind` as in `RecoveryTarget`: where a roll forward ends, in the
        application's own words.

        Raises:
            UsageError: A stop without roll forward or without a kind.
            RecoveryPrecondition: It is not legal or not possible; the context names the condition.
        """
        ...

    def recover(self, plan: RecoveryPlan) -> RecoveryReport:
        """Carry a plan out.

        Raises:
            RecoveryPrecondition: Nothing was changed.
            RecoveryFailed: What was done was undone as far as the error says.
        """
        ...


class SupportsLogAnalysis(Protocol):
    """A requestor that can tell what the logs allow."""

    def analyze_logs(
        self, server: str, component: str, *, copy: CopyId | None = None
    ) -> Sequence[LogAnalysis]:
        """One analysis per mode."""
        ...


class CopyCatalog(Protocol):
    """Where the records of copies are kept; every method is durable when it returns."""

    def put(self, copy: Copy) -> None:
        """Store or replace the record of a copy.

        Raises:
            CatalogError: It could not be stored.
        """
        ...

    def get(self, copy: CopyId) -> Copy:
        """The record.

        Raises:
            CopyNotFound: None of this id.
        """
        ...

    def find(self, wanted: CopyFilter) -> Sequence[Copy]:
        """Matching records, newest first."""
        ...

    def close(self) -> None:
        """Release the catalog. Idempotent."""
        ...
