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
    is `abandon`, after which the writers keep their logs [VSS 1.1]. A session that is dropped
    without being left is abandoned by its service, too.

    Ordinary calls come one at a time, from any thread; a second one meanwhile waits or is refused
    with `BadState`, and changes nothing either way. `abandon` may come from any thread at any
    time, also while `create` runs. A session does not survive a restart of the process.
    """

    def plan(self, *, budget: Budget) -> SetPlan:
        """Choose components, volumes and LUNs; nothing on the array changes. Idempotent.

        What the service cannot do of the request is refused here, or by `session`, if not there.

        Raises:
            StorageGroupNotRecognized: No writer knows a component, its volumes cannot be copied, or
                its name fits two instances of a writer class. The caller names another.
            WriterNotFound: No writer answered. Start the application's service.
            UsageError: The service's capabilities do not cover the request.
        """
        ...

    def create(self, *, budget: Budget) -> ShadowSet:
        """Make the shadow copies; returns thawed or raises thawed. Once per session.

        The set's id is the service's: a caller that dies in here, or hears `OutcomeUnknown`, finds
        the set again by its key among `ShadowCopyService.shadows`, or else by comparing with the
        list from before.

        Raises:
            SnapshotSetInProgress, HoldTimeout, FreezeTimeout: Retryable, with a new session.
            WriterVeto, ProviderVeto, VolumeNotSupported, ArrayError: Nothing of the set remains,
                unless the error names leftovers.
            OutcomeUnknown: The array did not answer in time; reconcile by key [HAZ-09].
        """
        ...

    def complete(self, outcomes: Mapping[ComponentId, bool], *, budget: Budget) -> CompletionReport:
        """Tell the writers the verdict per explicit component; success lets them truncate.

        Once: never repeated, whatever comes of it. Components without a verdict failed.

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

    Entering sends PreRestore, leaving sends PostRestore, also after an error [VSS-18]. One that is
    dropped without being left is ended by its service. One thread at a time.
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
    """The coordinator of one server: VSS, or frskit's own engine.

    Every call may come from any thread. Ids of sets, writers and providers are GUIDs in any
    spelling [VSS-68]; values of the model have them in the canonical one. Created and imported
    sets survive a restart of the service, sessions do not.
    """

    @property
    def capabilities(self) -> ServiceCapabilities:
        """What it can do; constant."""
        ...

    def writers(self, *, budget: Budget) -> Sequence[WriterMetadata]:
        """Ask every writer to identify itself; those that fail are absent. Changes nothing.

        Raises:
            Stopped: The budget is spent; the caller may ask again.
        """
        ...

    def writer_states(self, *, budget: Budget) -> Sequence[WriterStatus]:
        """The state of every known writer. Changes nothing.

        Raises:
            Stopped: The budget is spent; the caller may ask again.
        """
        ...

    def session(self, request: ShadowRequest) -> ShadowSession:
        """A session for one backup; nothing happens before it is entered.

        Raises:
            UsageError: The service's capabilities do not cover the request: another backup type,
                previous stamps, a set for another server. The caller asks for less.
        """
        ...

    def restore_session(self, request: RestoreRequest) -> RestoreSession:
        """A session for one restore."""
        ...

    def import_set(self, documents: ShadowDocuments, *, budget: Budget) -> ImportedSet:
        """Bring a transported set to this server: present, rescan, match identity; once per set.

        The documents are those that `create` or `complete` returned, byte for byte, the opaque
        parts too.

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
        """Delete the shadow copies of a set, and the LUNs with them. Unknown is fine. Idempotent.

        Raises:
            FrskitError: What is left is named in ``context["undeleted"]``; calling again goes on.
        """
        ...

    def abort_all(self, *, budget: Budget) -> Sequence[str]:
        """End every session of this service that is still open, whoever has it; say what ended.

        For administrators, and for a requestor that found an earlier one stuck: writers are
        released and keep their logs, and parties that owe an answer are asked again from now on.
        Idempotent.
        """
        ...

    def shadows(self, *, budget: Budget) -> Sequence[Shadow]:
        """The created shadow copies that the service manages here, whoever made them.

        Without `ServiceCapabilities.set_id_from_caller` that includes sets whose creation was cut
        off. A shadow's `key` is None if the service does not remember it.

        Raises:
            Stopped: The budget is spent; the caller may ask again.
        """
        ...
