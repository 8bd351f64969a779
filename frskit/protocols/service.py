"""The shadow copy service of one server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from frskit.clock import Budget
    from frskit.model.components import ComponentId, WriterMetadata, WriterStatus
    from frskit.model.ids import SetId
    from frskit.model.shadows import (
        CompletionReport,
        ImportedSet,
        RestoreRequest,
        ServiceCapabilities,
        SetPlan,
        Shadow,
        ShadowDocuments,
        ShadowRequest,
        ShadowSet,
    )

__all__ = ["RestoreSession", "ShadowCopyService", "ShadowSession"]


class ShadowSession(Protocol):
    """One backup through the service: plan, create, complete; a context manager.

    The session must stay open until the verdict on the copy is in: leaving it without `complete`
    is `abandon`, after which the writers keep their logs [VSS 1.1].
    """

    def plan(self, *, budget: Budget) -> SetPlan:
        """Choose components, volumes and LUNs; nothing on the array changes.

        Raises:
            StorageGroupNotRecognized: No writer knows a component, or its volumes cannot be copied.
            WriterNotFound: No writer answered.
        """
        ...

    def create(self, *, budget: Budget) -> ShadowSet:
        """Make the shadow copies; returns thawed or raises thawed.

        Raises:
            SnapshotSetInProgress, HoldTimeout, FreezeTimeout: Retryable, with a new session.
            WriterVeto, ProviderVeto, VolumeNotSupported, ArrayError: Nothing of the set remains,
                unless the error names leftovers.
            OutcomeUnknown: The array did not answer in time; reconcile by key [HAZ-09].
        """
        ...

    def complete(self, outcomes: Mapping[ComponentId, bool], *, budget: Budget) -> CompletionReport:
        """Tell the writers the verdict per explicit component; success lets them truncate.

        Raises:
            BadState: Nothing was created, or it was completed or abandoned before.
            OutcomeUnknown: It is not known whether the writers got it [HAZ-20].
        """
        ...

    def abandon(self) -> None:
        """Give up; writers are thawed and keep their logs. Idempotent, never raises."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class RestoreSession(Protocol):
    """One restore through the service: the writers' events around the work; a context manager.

    Entering sends PreRestore, leaving sends PostRestore, also after an error [VSS-18].
    """

    def __enter__(self) -> Self:
        """Send PreRestore.

        Raises:
            WriterVeto: A writer refuses; nothing may be changed.
            WriterNotFound: The writer of a component is not running.
        """
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class ShadowCopyService(Protocol):
    """The coordinator of one server: VSS, or frskit's own engine."""

    @property
    def capabilities(self) -> ServiceCapabilities:
        """What it can do; constant."""
        ...

    def writers(self) -> Sequence[WriterMetadata]:
        """Ask every writer to identify itself; those that fail are absent."""
        ...

    def writer_states(self) -> Sequence[WriterStatus]:
        """The state of every known writer."""
        ...

    def session(self, request: ShadowRequest) -> ShadowSession:
        """A session for one backup; nothing happens before it is entered."""
        ...

    def restore_session(self, request: RestoreRequest) -> RestoreSession:
        """A session for one restore."""
        ...

    def import_set(self, documents: ShadowDocuments, *, budget: Budget) -> ImportedSet:
        """Bring a transported set to this server: present, rescan, match identity; once per set.

        Raises:
            ImportFailed: Nothing arrived, or not everything; what did stays presented, its
                storage ids are in ``context["presented"]`` [VSS-50].
            DocumentError: The documents are damaged or not of a transportable set.
        """
        ...

    def break_set(self, set_id: SetId, *, budget: Budget) -> None:
        """Let go of an imported set; its disks stay, read-only. Irreversible [VSS-52].

        Raises:
            BadState: Not imported here.
        """
        ...

    def delete_set(self, set_id: SetId, *, budget: Budget) -> None:
        """Delete the shadow copies of a set, and the LUNs with them. Unknown is fine."""
        ...

    def abort_all(self, *, budget: Budget) -> Sequence[str]:
        """End every session of this service that is still open, whoever has it; say what ended.

        For administrators, and for a requestor that found an earlier one stuck: writers are
        released and keep their logs, and parties that owe an answer are asked again from now on.
        Idempotent.
        """
        ...

    def shadows(self) -> Sequence[Shadow]:
        """The created shadow copies that the service manages here."""
        ...
