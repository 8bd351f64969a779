"""`BackupComponents`: the fine-grained requestor object, one per backup, restore or query.

It is IVssBackupComponents in snake case, over frskit's own coordinator: the same calls, the same
order, the same refusals [VSS 2.2]. Whoever does not need single steps uses `Coordinator.session`.

It is put together from parts, each for itself: `CallOrder` (what may be called now),
`ComponentChoice` (writers and components), `Participants` (who has been told what), `SetBuilder`
(from StartSnapshotSet to DoSnapshotSet), `Dossier` (the documents), `Restoring` and `SessionEnd`.

Left out, because nothing in frskit needs them: exposing, reverting, resync of LUNs, alternate
locations, partial files. Calls are synchronous; waits are bounded by a `Budget` instead of IVssAsync.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from frskit.clock import Budget
from frskit.codes.hresult import hresult
from frskit.errors import BadState, WriterError
from frskit.model.components import BackupType, ComponentId, WriterMetadata, WriterStatus
from frskit.model.ids import SetId, ShadowId
from frskit.model.shadows import ImportedSet, Shadow, ShadowDocuments, ShadowSet
from frskit.model.storage import CopyKind
from frskit.vss.context_flags import CTX_ALL, check_context
from frskit.vss.documents.backup_document import BackupDocument, read_backup_components
from frskit.vss.persistent_sets import SetLife
from frskit.vss.requestor.call_order import CallOrder
from frskit.vss.requestor.component_choice import ComponentChoice, ComponentHandle
from frskit.vss.requestor.dossier import Dossier
from frskit.vss.requestor.import_break_delete import break_set, delete_set, import_document
from frskit.vss.requestor.participants import Participants
from frskit.vss.requestor.restore import Restoring
from frskit.vss.requestor.session_end import SessionEnd
from frskit.vss.requestor.set_builder import SetBuilder
from frskit.vss.state_tables import RequestorCall, RequestorState

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from frskit.vss.engine import EngineOwner

__all__ = ["BackupComponents", "ComponentHandle"]

P = ParamSpec("P")
R = TypeVar("R")


def _in_turn(
    method: Callable[Concatenate[BackupComponents, P], R],
) -> Callable[Concatenate[BackupComponents, P], R]:
    """One call at a time: threads wait for each other, but nobody waits for a set being made."""

    @wraps(method)
    def call(self: BackupComponents, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if not self._turn.acquire(blocking=not self._builder.making):
            raise BadState(
                "another thread is making the set",
                native=hresult("VSS_E_BAD_STATE"),
                hint="Wait for it, or call abort_backup.",
            )
        try:
            return method(self, *args, **kwargs)
        finally:
            self._turn.release()

    return call


class BackupComponents:
    """One backup, one restore or one query; never reusable [VSS-20]. A context manager.

    Calls may come from any thread, one at a time: a second one waits, and is refused while the set
    is being made. `abort_backup` and `release` may come at any time. An object that is dropped is
    aborted and released by its service.

    Every call that is out of order raises `BadState` and changes nothing [VSS-21]; the context
    names state, call and what would be legal.

    Args:
        service: The coordinator of the server.

    Attributes:
        writer_failures: The vetoes of writers that take part, at PrepareForBackup, in
            DoSnapshotSet or at BackupComplete, whichever was called last.

    Example:
        >>> from frskit.vss.state_tables import table_rows
        >>> table_rows("requestor")[1][:3]
        ('InitializeForBackup', 'BACKUP', 'BAD_STATE')
    """

    def __init__(self, service: EngineOwner) -> None:
        engine = service.engine
        engine.sessions.reap()
        if engine.sessions.none_open:
            engine.trace.begin()
        self._engine = engine
        self._turn = threading.RLock()
        self._order = CallOrder(engine.trace)
        self._choice = ComponentChoice(engine, self._order)
        self._dossier = Dossier(explicit=self._choice.explicit, stamps=self._choice.stamps)
        self._participants = Participants(roster=engine.roster, clock=engine.clock)
        self._builder = SetBuilder(
            engine, self._order, self._choice, self._dossier, self._participants
        )
        self._end = SessionEnd(self._order, self._builder, self._participants)
        engine.sessions.add(self, self._end)
        self._document: BackupDocument | None = None
        self._restoring: Restoring | None = None
        self.writer_failures: tuple[WriterError, ...] = ()
        self._order.row("CreateVssBackupComponents")

    @property
    def state(self) -> RequestorState:
        """Where this object is in its life."""
        return self._order.state

    @property
    def generation(self) -> int:
        """How often the writers' documents may have changed; older handles are void [VSS-41]."""
        return self._order.generation

    # -- initialization ----------------------------------------------------------------------

    @_in_turn
    def initialize_for_backup(self, xml: bytes | None = None) -> None:
        """Make this object serve a backup; with the document of a set, its import.

        Raises:
            DocumentError: The document does not load.
        """
        self._order.check(RequestorCall.INITIALIZE_FOR_BACKUP)
        # Checked first and entered last: a document that cannot be read changes nothing [VSS-21].
        document = None if xml is None else read_backup_components(xml)
        self._order.enter(RequestorCall.INITIALIZE_FOR_BACKUP)
        self._document = document

    @_in_turn
    def initialize_for_restore(self, xml: bytes) -> None:
        """Make this object serve a restore from the document of a backup.

        Raises:
            DocumentError: The document does not load.
        """
        self._order.check(RequestorCall.INITIALIZE_FOR_RESTORE)
        document = read_backup_components(xml)
        self._order.enter(RequestorCall.INITIALIZE_FOR_RESTORE)
        self._document = document
        self._dossier.text = xml
        self._restoring = self._end.restoring = Restoring(self._engine, document)

    @_in_turn
    def set_context(self, context: int) -> None:
        """Choose the context, once; without this call it is VSS_CTX_BACKUP.

        Raises:
            ServiceError: The combination is not possible here (VSS_E_UNSUPPORTED_CONTEXT).
        """
        self._order.check(RequestorCall.SET_CONTEXT)
        if self._order.context is not None:
            raise self._order.refusal(RequestorCall.SET_CONTEXT, "was called before")
        check_context(context)
        self._order.enter(RequestorCall.SET_CONTEXT, f"0x{context:X}")
        self._order.context = context
        self._dossier.context = context

    @_in_turn
    def set_backup_state(self, backup_type: BackupType, *, select_components: bool = True) -> None:
        """Choose type and mode; in component mode only writers with components take part."""
        self._order.enter(RequestorCall.SET_BACKUP_STATE, backup_type.value)
        self._dossier.backup_type = backup_type
        self._choice.component_mode = select_components

    # -- metadata and components -------------------------------------------------------------

    @_in_turn
    def disable_writers(self, writers: Collection[str]) -> None:
        """Leave out writers by class or instance id; works before metadata is gathered only."""
        self._choice.disable_writers(writers)

    @_in_turn
    def gather_writer_metadata(self, *, budget: Budget | None = None) -> int:
        """Ask every writer who it is, once per object; the number that answered.

        Raises:
            Stopped: The budget is spent before everybody was asked; it may be called again.
        """
        return self._choice.gather(budget)

    @_in_turn
    def get_writer_metadata(self) -> tuple[WriterMetadata, ...]:
        """What the writers said; it never changes for this object.

        Raises:
            BadState: Nothing was gathered.
        """
        return self._choice.metadata()

    @_in_turn
    def add_component(self, component: ComponentId) -> None:
        """Name a component explicitly.

        Raises:
            ServiceError: It was added before (VSS_E_OBJECT_ALREADY_EXISTS).
            NotFound: No writer has it (VSS_E_OBJECT_NOT_FOUND).
        """
        self._choice.add(component)

    @_in_turn
    def set_previous_backup_stamp(self, component: ComponentId, stamp: str) -> None:
        """Give a writer the stamp that it gave at the last backup [VSS-66].

        Raises:
            NotFound: The component was not added.
        """
        self._choice.set_stamp(component, stamp)

    @_in_turn
    def get_writer_components(self) -> tuple[ComponentHandle, ...]:
        """The explicit components; the handles become void when writers may change them."""
        return self._choice.handles()

    # -- creation ----------------------------------------------------------------------------

    @_in_turn
    def start_snapshot_set(
        self, set_id: SetId | None = None, *, kind: CopyKind | None = None
    ) -> SetId:
        """Open a set; the id may be chosen by the caller, so that intent precedes effect.

        Raises:
            SnapshotSetInProgress: Another set is open on this server; nothing was changed.
            BadState: The context is for queries only.
        """
        return self._builder.start(set_id, kind)

    @_in_turn
    def add_to_snapshot_set(self, volume: str, provider_id: str | None = None) -> ShadowId:
        """Add a volume, named by a mount point that ends in a separator.

        Raises:
            VolumeNotFound: No such volume (VSS_E_OBJECT_NOT_FOUND).
            VolumeNotSupported, ProviderNotRegistered: Nobody can copy it as asked for.
            LimitExceeded: The set has 64 volumes already.
            ProviderVeto: The provider refused.
        """
        return self._builder.add(volume, provider_id)

    @_in_turn
    def prepare_for_backup(self) -> None:
        """Tell the writers that a backup of their components begins.

        A veto does not change the state: the requestor sees it in the writer status, and has to
        give up [VSS 0.6].
        """
        self.writer_failures = self._builder.prepare_writers()

    @_in_turn
    def do_snapshot_set(
        self, *, budget: Budget | None = None, stop_at_veto: bool = False
    ) -> ShadowSet:
        """Create the shadow copies; returns thawed or raises thawed, with nothing left.

        A veto is no error here, as at Windows [VSS 0.6]: the writer is left out from then on, its
        files are in the copies as they happened to be, and the requestor sees it in
        `gather_writer_status` and `writer_failures`, and decides. It hears no BackupComplete.

        Args:
            budget: How long it may take.
            stop_at_veto: Raise the first veto instead; nothing is left. What sessions do.

        Raises:
            WriterVeto: See `stop_at_veto`.
            FreezeTimeout, HoldTimeout, ProviderVeto, ProviderError, ArrayError, HostError,
            Stopped, ImportFailed: As the failing party said; call `abort_backup` afterwards.
        """
        self._participants.goes_on = not stop_at_veto
        try:
            return self._builder.make(budget or Budget.of(self._engine.clock), self._documents)
        finally:
            self.writer_failures = tuple(self._participants.refusals)
            self._end.made()

    # -- status, documents, end --------------------------------------------------------------

    @_in_turn
    def gather_writer_status(self) -> tuple[WriterStatus, ...]:
        """Status of the writers whose metadata was gathered, also of those that take no part."""
        self._order.enter(RequestorCall.GATHER_WRITER_STATUS)
        if self._participants.entries or self._participants.bystanders:
            return self._participants.all_statuses([each for _, each in self._choice.writers])
        return self._engine.roster.statuses()

    @property
    def taking_part(self) -> frozenset[str]:
        """The instance ids of the writers that take part in the backup; none before it began."""
        return frozenset(each.metadata.instance_id for each in self._participants.entries)

    @_in_turn
    def save_as_xml(self) -> bytes:
        """The backup components document as it stands."""
        self._order.enter(RequestorCall.SAVE_AS_XML)
        return self._documents().backup_components

    @_in_turn
    def documents(self) -> ShadowDocuments:
        """The document and the metadata of the writers that take part."""
        self._order.check(RequestorCall.SAVE_AS_XML)
        return self._documents()

    def _documents(self) -> ShadowDocuments:
        gathered = [metadata for _, metadata in self._choice.writers]
        return self._dossier.documents(
            gathered, [each.metadata for each in self._participants.entries]
        )

    @_in_turn
    def set_backup_succeeded(self, component: ComponentId, succeeded: bool) -> None:
        """Say what came of an explicit component; True only if all its files are good [VSS-64].

        Raises:
            NotFound: The component was not added (VSS_E_OBJECT_NOT_FOUND).
        """
        self._order.check(RequestorCall.SET_BACKUP_SUCCEEDED)
        self._choice.require_explicit(component)
        self._order.enter(RequestorCall.SET_BACKUP_SUCCEEDED, component.full_path)
        self._dossier.outcomes[component] = succeeded

    @_in_turn
    def backup_complete(self) -> None:
        """Tell the writers the outcome; failures are seen in their status [VSS 0.6]."""
        call = RequestorCall.BACKUP_COMPLETE
        self._order.check(call)
        if self._order.without_writers:
            raise self._order.refusal(call, "needs a context with writers")
        self._order.enter(call)
        self._order.generation += 1
        self.writer_failures = tuple(self._participants.backup_complete(self._dossier.outcomes))

    def abort_backup(self) -> None:
        """Give up; a no-op if nothing is under way, harmless if repeated [VSS-36]."""
        self._end.abort()

    def release(self) -> None:
        """Let go of the object; writers get BackupShutdown [VSS-09]. Idempotent.

        Shadow copies of a context with auto-release are deleted [VSS-56]; a transportable set is
        forgotten here, it belongs to the server that imports it.
        """
        self._end.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Abort unless it was completed, and release."""
        self._end.end()

    # -- queries and sets that exist ---------------------------------------------------------

    @_in_turn
    def query(self) -> tuple[Shadow, ...]:
        """The created shadow copies of this context; VSS_CTX_ALL sees all [VSS 2.2]."""
        self._order.enter(RequestorCall.QUERY)
        wanted = self._order.effective_context
        return tuple(
            member.shadow
            for record in self._engine.records.sets()
            if record.life is SetLife.IMPORTED and wanted in (CTX_ALL, record.context)
            for member in record.members
        )

    @_in_turn
    def import_snapshots(self, *, budget: Budget | None = None) -> ImportedSet:
        """Import the set of the document given to `initialize_for_backup`.

        Raises:
            BadState: No document was given.
            DocumentError, ImportFailed: See `Coordinator.import_set`.
        """
        call = RequestorCall.IMPORT_SNAPSHOTS
        self._order.check(call)
        if self._document is None:
            raise self._order.refusal(call, "needs the document of a set")
        self._order.enter(call)
        limit = budget or Budget.of(self._engine.clock)
        return import_document(self._engine, self._document, limit)

    @_in_turn
    def break_snapshot_set(self, set_id: SetId, *, budget: Budget | None = None) -> None:
        """Let go of an imported set; see `Coordinator.break_set`."""
        self._order.enter(RequestorCall.BREAK_SNAPSHOT_SET, set_id)
        break_set(self._engine, set_id, budget or Budget.of(self._engine.clock))

    @_in_turn
    def delete_snapshots(self, set_id: SetId, *, budget: Budget | None = None) -> int:
        """Delete the shadow copies of a set; how many. See `Coordinator.delete_set`."""
        self._order.enter(RequestorCall.DELETE_SNAPSHOTS, set_id)
        limit = budget or Budget.of(self._engine.clock)
        return delete_set(self._engine, set_id, limit)

    # -- restore -----------------------------------------------------------------------------

    @_in_turn
    def set_selected_for_restore(self, component: ComponentId) -> None:
        """Select a component of the document for restoring.

        Raises:
            NotFound: The document does not have it.
            WriterNotFound: Its writer is not running (VSS_E_OBJECT_NOT_FOUND).
        """
        call = RequestorCall.SET_SELECTED_FOR_RESTORE
        self._order.check(call)
        self._require_restoring(call).select(component, self._choice.require_gathered(call))
        self._order.enter(call, component.full_path)

    @_in_turn
    def set_additional_restores(self, additional: bool) -> None:
        """Say whether more restores follow, so that writers must not finish yet."""
        call = RequestorCall.SET_ADDITIONAL_RESTORES
        self._order.check(call)
        self._require_restoring(call).additional = additional
        self._order.enter(call)

    @_in_turn
    def pre_restore(self) -> None:
        """Ask the writers whether their components may be replaced.

        Raises:
            WriterVeto: One refuses. Writers that had agreed got PostRestore; nothing may change.
        """
        call = RequestorCall.PRE_RESTORE
        self._order.check(call)
        restoring = self._require_restoring(call)
        # The state moves on only when every writer has agreed.
        self._order.row(call.value)
        self._order.generation += 1
        restoring.pre_restore()
        self._order.state = RequestorState.PRERESTORED

    @_in_turn
    def set_file_restore_status(self, component: ComponentId, succeeded: bool) -> None:
        """Say what came of a component, between PreRestore and PostRestore only [VSS-18]."""
        call = RequestorCall.SET_FILE_RESTORE_STATUS
        self._order.check(call)
        self._require_restoring(call).set_status(component, succeeded=succeeded)
        self._order.enter(call, component.full_path)

    @_in_turn
    def post_restore(self) -> None:
        """Tell the writers that the work is done.

        Raises:
            WriterVeto: One of them could not finish; all of them were told.
        """
        call = RequestorCall.POST_RESTORE
        self._order.enter(call)
        self._order.generation += 1
        self._require_restoring(call).post_restore()

    def _require_restoring(self, call: RequestorCall) -> Restoring:
        if self._restoring is None:
            raise self._order.refusal(call, "needs InitializeForRestore first")
        return self._restoring
