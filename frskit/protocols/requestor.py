"""The requestor: what frskit offers to its users, as a seam for tools built on it.

`Requestor` is what every one offers; what only some can do are protocols of their own, asked for
by the tool that needs it. `frskit.frs.FastRecovery` offers them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from frskit.clock import Budget
    from frskit.model.components import BackupType
    from frskit.model.copies import Copy, CopyFilter, Resumed
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
    "SupportsResume",
]


class CopyOperation(Protocol):
    """A copy that is being made; its methods may be called from any thread, also at once."""

    @property
    def id(self) -> CopyId:
        """Id of the copy to be."""
        ...

    def status(self) -> Copy:
        """The record as it stands."""
        ...

    def wait(self, timeout_s: float | None = None) -> Copy:
        """The finished copy. Idempotent: asked again, it returns or raises the same.

        Raises:
            TimedOut: Not finished yet; the operation goes on.
            FrskitError: Whatever made the operation fail; see `Requestor.create_copy`.
        """
        ...

    def cancel(self) -> None:
        """Ask it to stop at the next safe point: thaw first, then clean up. Idempotent.

        An operation that only joined the run of somebody else stops waiting; the run goes on.
        """
        ...


class Requestor(Protocol):
    """Makes, lists and deletes copies of an application's components.

    Calls may come from any thread and at once: those that change something hold the server they
    work on, and a second one is refused with `Busy`, which is retryable. Nothing is retried here;
    `FrskitError.retryable` says what makes sense to try again. A budget's deadline and cancel
    token are looked at between the steps and handed to every party; the clean-up that follows has
    time of its own. What a call has returned survives a restart.
    """

    def plan_copy(
        self,
        server: str,
        components: Sequence[str],
        *,
        backup_type: BackupType,
        kind: CopyKind = ...,
        budget: Budget | None = None,
    ) -> CopyPlan:
        """What `create_copy` would do; changes nothing.

        Raises:
            ServerNotFound, StorageGroupNotRecognized: Unknown names.
            TimedOut, Cancelled: As the budget says; nothing was changed.
        """
        ...

    def start_copy(
        self,
        server: str,
        components: Sequence[str],
        *,
        backup_type: BackupType,
        kind: CopyKind = ...,
        key: CopyId | None = None,
    ) -> CopyOperation:
        """Begin a copy in the background; ``wait`` returns or raises what `create_copy` would."""
        ...

    def create_copy(
        self,
        server: str,
        components: Sequence[str],
        *,
        backup_type: BackupType,
        kind: CopyKind = ...,
        key: CopyId | None = None,
        budget: Budget | None = None,
    ) -> Copy:
        """Copy, check, and tell the writers; returns the copy or raises.

        The application is never left frozen, and no log is ever truncated without a durable
        VERIFIED of a copy that holds it. On failure the error carries ``copy``, ``stage`` and
        ``leftovers``; older verified copies are untouched.

        With a `key` the call is idempotent, as a scheduler needs that was killed before it heard
        the answer. The key is a GUID and becomes the copy's id. What happens when it comes again
        with the same wish:

        ======================================  ================================================
        the run of the key                      the call
        ======================================  ================================================
        ended well                              returns the copy as it is now
        is under way in this process            waits for it and returns or raises the same; its
                                                own budget ends the waiting only
        is under way in another process         `Busy`, retryable: ask again later
        died with its process                   ends it as `resume` would, then as below
        failed before any copy existed          makes it, under the same key
        failed after that, or with an outcome   raises the recorded failure again, without any
        that is not known                       effect: take a new key
        ======================================  ================================================

        Two calls of one wish without a key, or with two keys, make two copies.

        Args:
            server: Production server.
            components: What to copy, by name.
            backup_type: VSS type.
            kind: Kind of array copy.
            key: Id of the copy to be; None = a new one.
            budget: Deadline and cancel token for the whole run.

        Raises:
            UsageError: The key came before with another wish, is no GUID, or is that of a copy
                that was deleted since.
            IntegrityError: The copy did not pass, or was lost before success was told: no log was
                touched, the writer was told failure. Or it was lost after that, by this call's end
                or since the call that made its key: logs may have gone, what is left of it stays.
            Busy: Another operation on this server is running.
            TimedOut, Cancelled: As the budget says. Before the verdict the set is deleted; after
                it the copy is VERIFIED, and `resume` parks it.
        """
        ...

    def copies(self, *, server: str | None = None, component: str | None = None) -> Sequence[Copy]:
        """The copies, newest first, with verdicts asked anew of the array [HAZ-04]."""
        ...

    def delete_copy(self, copy: CopyId, *, budget: Budget | None = None) -> None:
        """Delete a copy from array and catalog.

        The same call again goes on with a deletion that broke off, or that the budget ended.

        Raises:
            CopyNotFound: No such copy, or it was deleted before [R-24].
            CopyInUse: A lease or mount holds it.
            Busy: Another operation on its server is running.
            TimedOut, Cancelled: As the budget says; the copy is not usable any more, and this
                call or `resume` deletes the rest.
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
        budget: Budget | None = None,
    ) -> RecoveryPlan:
        """What a recovery would do; changes nothing.

        `stop` and `stop_kind` as in `RecoveryTarget`: where a roll forward ends, in the
        application's own words.

        Raises:
            UsageError: A stop without roll forward or without a kind.
            RecoveryPrecondition: It is not legal or not possible; the context names the condition.
            TimedOut, Cancelled: As the budget says; nothing was changed.
        """
        ...

    def recover(
        self,
        plan: RecoveryPlan,
        *,
        budget: Budget | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> RecoveryReport:
        """Carry a plan out. Not idempotent: a plan that was carried out is out of date.

        The budget is obeyed up to the plan's first `PlanStep.point_of_no_return`: a recovery that
        it ends before is undone as a failed one is. From there on it is not asked any more, since
        half a recovery is worse than a late one: the recovery is finished, or fails, or is left
        to `resume`.

        Args:
            plan: From `plan_recovery`.
            budget: Deadline and cancel token.
            progress: Gets the steps done and all steps of the plan, in the calling thread. It
                must not raise.

        Raises:
            RecoveryPrecondition: Nothing was changed.
            RecoveryFailed: ``context["undone"]`` and ``context["recovered"]`` say what production
                is now, and ``leftovers`` what a `resume` has to finish. Also for a budget that
                was used up on the way; the cause then is `TimedOut` or `Cancelled`.
            Busy: Another operation on the server is running.
            TimedOut, Cancelled: As the budget says; nothing was begun.
        """
        ...


class SupportsResume(Protocol):
    """A requestor that survives the death of its process in the middle of an operation."""

    def resume(self, *, budget: Budget | None = None) -> Sequence[Resumed]:
        """Finish or roll back what earlier calls left, leftovers of failed ones included.

        Idempotent, and one object that cannot be ended does not stop the others: whether
        something needs a human is said per object, never raised. The budget is looked at
        between two objects; those that it left out are among the results, not ended.

        Raises:
            CatalogError: The catalog as a whole cannot be read.
        """
        ...


class SupportsLogAnalysis(Protocol):
    """A requestor that can tell what the logs allow."""

    def analyze_logs(
        self,
        server: str,
        component: str,
        *,
        copy: CopyId | None = None,
        budget: Budget | None = None,
    ) -> Sequence[LogAnalysis]:
        """One analysis per mode; changes nothing.

        Raises:
            ServerNotFound, StorageGroupNotRecognized, CopyNotFound: Unknown names.
            Busy: With a copy: another operation on the server is running.
            TimedOut, Cancelled: As the budget says.
        """
        ...


class CopyCatalog(Protocol):
    """Where the records of copies are kept; every method is durable when it returns.

    Any thread and any process may call at any time.
    """

    def put(self, copy: Copy, *, expected: int | None = None) -> Copy:
        """Store or replace the record of a copy.

        The catalog counts a record's changes in `Copy.revision`; what the argument says there is
        ignored. Who read a record, decided something and writes it back gives the revision that
        was read as `expected`, so that no change of somebody else is lost.

        Args:
            copy: The record.
            expected: The revision that must be stored now, 0 for none; None = whatever it is.

        Returns:
            The record as it is stored, with its new revision.

        Raises:
            CatalogConflict: Another revision is stored; nothing was changed. Read it again.
            CatalogError: It could not be stored.
        """
        ...

    def get(self, copy: CopyId) -> Copy:
        """The record.

        Raises:
            CopyNotFound: None of this id.
            CatalogError: It cannot be read.
        """
        ...

    def find(self, wanted: CopyFilter) -> Sequence[Copy]:
        """Matching records, newest first: the last one whose instant came on record comes first.

        Not the one with the latest time: a clock may have been set back.

        Raises:
            CatalogError: One of them cannot be read; none is left out silently.
        """
        ...

    def close(self) -> None:
        """Release the catalog. Idempotent."""
        ...
