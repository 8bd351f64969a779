"""`BackupComponents`: the fine-grained requestor object, one per backup, restore or query.

It is IVssBackupComponents in snake case, over frskit's own coordinator: the same calls, the same
order, the same refusals [VSS 2.2]. Whoever does not need single steps uses `Coordinator.session`.

Left out, because nothing in frskit needs them: exposing, reverting, resync of LUNs, alternate
locations, partial files. Calls are synchronous; waits are bounded by a `Budget` instead of IVssAsync.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from attrs import frozen

from frskit.clock import Budget
from frskit.codes.hresult import hresult
from frskit.errors import (
    BadState,
    LimitExceeded,
    NotFound,
    ServiceError,
    WriterError,
)
from frskit.model.components import (
    BackupType,
    Component,
    ComponentId,
    WriterMetadata,
    WriterStatus,
)
from frskit.model.ids import SetId, ShadowId, guid
from frskit.model.shadows import ImportedSet, Shadow, ShadowDocuments, ShadowSet
from frskit.model.storage import CopyKind
from frskit.vss import transport
from frskit.vss.contexts import CTX_ALL, CTX_BACKUP, MAX_VOLUMES, Attribute, check_context
from frskit.vss.creation import Creation
from frskit.vss.documents import BackupDocument, read_backup_components
from frskit.vss.dossier import Dossier
from frskit.vss.engine import OpenSet, SetMember
from frskit.vss.participants import Participants
from frskit.vss.records import SessionRecord, SetLife, WriterRole
from frskit.vss.restoring import Restoring
from frskit.vss.roster import Enrolled
from frskit.vss.states import (
    REQUESTOR_TABLE,
    RequestorCall,
    RequestorState,
    ShadowStep,
    legal_calls,
)

if TYPE_CHECKING:
    from frskit.vss.coordinator import Coordinator

__all__ = ["BackupComponents", "ComponentHandle"]


@frozen
class ComponentHandle:
    """A component as it stood when it was asked for.

    It is void after PrepareForBackup, DoSnapshotSet, BackupComplete, PreRestore and PostRestore,
    because writers may have changed it [VSS-41].
    """

    _component: Component
    _generation: int
    _owner: BackupComponents

    @property
    def component(self) -> Component:
        """The component.

        Raises:
            BadState: The handle is void.
        """
        if self._generation != self._owner.generation:
            raise BadState(
                "the component handle is void, its document has changed since",
                native=hresult("VSS_E_BAD_STATE"),
                hint="Ask for the components again.",
            )
        return self._component


class BackupComponents:
    """One backup, one restore or one query; never reusable [VSS-20].

    Every call that is out of order raises `BadState` and changes nothing [VSS-21]; the context
    names state, call and what would be legal.

    Args:
        service: The coordinator of the server.

    Example:
        >>> from frskit.vss.states import table_rows
        >>> table_rows("requestor")[1][:3]
        ('InitializeForBackup', 'BACKUP', 'BAD_STATE')
    """

    def __init__(self, service: Coordinator) -> None:
        self._engine = service.engine
        self._state = RequestorState.NEW
        self._context: int | None = None
        self._select_components = True
        self._disabled: set[str] = set()
        self._gathered: list[tuple[Enrolled, WriterMetadata]] | None = None
        self._dossier = Dossier()
        self._stamps: dict[ComponentId, str] = {}
        self._set: OpenSet | None = None
        self._participants = Participants(roster=self._engine.roster, clock=self._engine.clock)
        self._document: BackupDocument | None = None
        self._restoring: Restoring | None = None
        self.generation = 0
        self.writer_failures: tuple[WriterError, ...] = ()
        self._row("CreateVssBackupComponents")

    # -- state -------------------------------------------------------------------------------

    @property
    def state(self) -> RequestorState:
        """Where this object is in its life."""
        return self._state

    def _check(self, call: RequestorCall) -> RequestorState:
        """The state after `call`.

        Raises:
            BadState: The call is not legal now.
        """
        after = REQUESTOR_TABLE.get((call, self._state))
        if after is None:
            raise self._bad(call, f"is not legal in state {self._state.value}")
        return after

    def _bad(self, call: RequestorCall, why: str) -> BadState:
        return BadState(
            f"{call.value} {why}",
            context={
                "state": self._state.value,
                "call": call.value,
                "legal": legal_calls(self._state),
                "context": self._context,
            },
            native=hresult("VSS_E_BAD_STATE"),
        )

    def _row(self, step: str, subject: str = "", outcome: str = "") -> None:
        set_id = self._set.id if self._set else None
        self._engine.trace.row("R", step, set_id=set_id, subject=subject, outcome=outcome)

    def _enter(self, call: RequestorCall, subject: str = "") -> None:
        after = self._check(call)
        self._row(call.value, subject)
        self._state = after

    # -- initialization ----------------------------------------------------------------------

    def initialize_for_backup(self, xml: bytes | None = None) -> None:
        """Make this object serve a backup; with the document of a set, its import.

        Raises:
            DocumentError: The document does not load.
        """
        self._check(RequestorCall.INITIALIZE_FOR_BACKUP)
        document = None if xml is None else read_backup_components(xml)
        self._enter(RequestorCall.INITIALIZE_FOR_BACKUP)
        self._document = document

    def initialize_for_restore(self, xml: bytes) -> None:
        """Make this object serve a restore from the document of a backup.

        Raises:
            DocumentError: The document does not load.
        """
        self._check(RequestorCall.INITIALIZE_FOR_RESTORE)
        document = read_backup_components(xml)
        self._enter(RequestorCall.INITIALIZE_FOR_RESTORE)
        self._document = document
        self._dossier.text = xml
        self._restoring = Restoring(self._engine, document)

    def set_context(self, context: int) -> None:
        """Choose the context, once; without this call it is VSS_CTX_BACKUP.

        Raises:
            ServiceError: The combination is not possible here (VSS_E_UNSUPPORTED_CONTEXT).
        """
        self._check(RequestorCall.SET_CONTEXT)
        if self._context is not None:
            raise self._bad(RequestorCall.SET_CONTEXT, "was called before")
        check_context(context)
        self._enter(RequestorCall.SET_CONTEXT, f"0x{context:X}")
        self._context = context
        self._dossier.context = context

    def set_backup_state(self, backup_type: BackupType, *, select_components: bool = True) -> None:
        """Choose type and mode; in component mode only writers with components take part."""
        self._enter(RequestorCall.SET_BACKUP_STATE, backup_type.value)
        self._dossier.backup_type = backup_type
        self._select_components = select_components

    def disable_writers(self, writers: Collection[str]) -> None:
        """Leave out writers by class or instance id; works before metadata is gathered only."""
        self._enter(RequestorCall.DISABLE_WRITERS, ", ".join(sorted(writers)))
        if self._gathered is None:
            self._disabled |= {guid(each) for each in writers}

    # -- metadata and components -------------------------------------------------------------

    def gather_writer_metadata(self) -> int:
        """Ask every writer who it is, once per object; the number that answered."""
        self._check(RequestorCall.GATHER_WRITER_METADATA)
        if self._gathered is not None:
            raise self._bad(RequestorCall.GATHER_WRITER_METADATA, "was called before")
        self._enter(RequestorCall.GATHER_WRITER_METADATA)
        self._gathered = [
            (member, metadata)
            for member, metadata in self._engine.roster.identify()
            if not self._disabled & {metadata.writer_id, metadata.instance_id}
        ]
        return len(self._gathered)

    def get_writer_metadata(self) -> tuple[WriterMetadata, ...]:
        """What the writers said; it never changes for this object.

        Raises:
            BadState: Nothing was gathered.
        """
        self._check(RequestorCall.GET_WRITER_METADATA)
        if self._gathered is None:
            raise self._bad(RequestorCall.GET_WRITER_METADATA, "needs GatherWriterMetadata first")
        return tuple(metadata for _, metadata in self._gathered)

    def add_component(self, component: ComponentId) -> None:
        """Name a component explicitly.

        Raises:
            ServiceError: It was added before (VSS_E_OBJECT_ALREADY_EXISTS).
            NotFound: No writer has it (VSS_E_OBJECT_NOT_FOUND).
        """
        call = RequestorCall.ADD_COMPONENT
        self._check(call)
        if self._without_writers():
            raise self._bad(call, "needs a context with writers")
        if self._engine.strict and self._set is not None:
            raise self._bad(call, "comes after StartSnapshotSet")
        if component in self._dossier.explicit:
            raise ServiceError(
                f"component {component.full_path} was added before",
                context={"component": component.full_path},
                native=hresult("VSS_E_OBJECT_ALREADY_EXISTS"),
                hint="Name each component once.",
            )
        found = self._known_component(component)
        self._enter(call, component.full_path)
        self._dossier.explicit[component] = found

    def set_previous_backup_stamp(self, component: ComponentId, stamp: str) -> None:
        """Give a writer the stamp that it gave at the last backup [VSS-66].

        Raises:
            NotFound: The component was not added.
        """
        self._check(RequestorCall.SET_PREVIOUS_BACKUP_STAMP)
        self._require_explicit(component)
        self._enter(RequestorCall.SET_PREVIOUS_BACKUP_STAMP, component.full_path)
        self._stamps[component] = stamp

    def get_writer_components(self) -> tuple[ComponentHandle, ...]:
        """The explicit components; the handles become void when writers may change them."""
        self._check(RequestorCall.GET_WRITER_METADATA)
        return tuple(
            ComponentHandle(each, self.generation, self) for each in self._dossier.explicit.values()
        )

    def _known_component(self, component: ComponentId) -> Component:
        for metadata in self.get_writer_metadata():
            for each in metadata.components:
                if each.id == component:
                    return each
        raise _not_found(f"component {component.full_path}")

    def _require_explicit(self, component: ComponentId) -> None:
        if component not in self._dossier.explicit:
            raise _not_found(f"explicit component {component.full_path}")

    # -- creation ----------------------------------------------------------------------------

    def start_snapshot_set(
        self, set_id: SetId | None = None, *, kind: CopyKind | None = None
    ) -> SetId:
        """Open a set; the id may be chosen by the caller, so that intent precedes effect.

        Raises:
            SnapshotSetInProgress: Another set is open on this server; nothing was changed.
            BadState: The context is for queries only.
        """
        call = RequestorCall.START_SNAPSHOT_SET
        self._check(call)
        if self._context == CTX_ALL:
            raise self._bad(call, "needs a context for creation")
        wanted = SetId(guid(set_id)) if set_id else SetId(self._engine.ids.guid())
        if self._engine.records.get_set(wanted) is not None:
            raise ServiceError(
                f"set {wanted} exists already on server {self._engine.server.name}",
                context={"set": wanted},
                native=hresult("VSS_E_OBJECT_ALREADY_EXISTS"),
                hint="Use a new GUID for each set.",
            )
        self._engine.slot.acquire(self)
        self._set = OpenSet(id=wanted, context=self._context or CTX_BACKUP, kind=kind)
        self._dossier.set_id = wanted
        self._enter(call, wanted)
        return wanted

    def add_to_snapshot_set(self, volume: str, provider_id: str | None = None) -> ShadowId:
        """Add a volume, named by a mount point that ends in a separator.

        Raises:
            VolumeNotFound: No such volume (VSS_E_OBJECT_NOT_FOUND).
            VolumeNotSupported, ProviderNotRegistered: Nobody can copy it as asked for.
            LimitExceeded: The set has 64 volumes already.
            ProviderVeto: The provider refused.
        """
        call = RequestorCall.ADD_TO_SNAPSHOT_SET
        self._check(call)
        open_set = self._require_set(call)
        if len(open_set.members) >= MAX_VOLUMES:
            raise LimitExceeded(
                f"a set holds at most {MAX_VOLUMES} volumes",
                context={"set": open_set.id, "volume": volume},
                native=hresult("VSS_E_MAXIMUM_NUMBER_OF_VOLUMES_REACHED"),
            )
        member = self._member(open_set, volume, provider_id)
        self._row(call.value, volume)
        self._begin_prepare(open_set, member)
        open_set.members.append(member)
        member.advance(ShadowStep.ADD)
        return member.id

    def _member(self, open_set: OpenSet, name: str, provider_id: str | None) -> SetMember:
        volume, mount_point = self._engine.volume_at(name)
        if volume.id in open_set.volumes():
            raise ServiceError(
                f"volume {name} is in the set already",
                context={"set": open_set.id, "volume": name},
                native=hresult("VSS_E_OBJECT_ALREADY_EXISTS"),
                hint="Add each volume once.",
            )
        lun, offset_bytes, length_bytes = self._engine.extent(volume, name)
        provider = self._engine.providers.choose(
            [lun], open_set.kind, volume=name, provider_id=provider_id, set_id=open_set.id
        )
        return SetMember(
            id=ShadowId(self._engine.ids.guid()),
            volume=volume,
            mount_point=mount_point,
            provider=provider,
            source=lun,
            offset_bytes=offset_bytes,
            length_bytes=length_bytes,
        )

    def _begin_prepare(self, open_set: OpenSet, member: SetMember) -> None:
        begin = partial(
            member.provider.begin_prepare_snapshot,
            open_set.id,
            member.id,
            [member.source],
            open_set.kind,
        )
        self._engine.providers.call(member.provider, "BeginPrepareSnapshot", open_set.id, begin)

    def prepare_for_backup(self) -> None:
        """Tell the writers that a backup of their components begins.

        A veto does not change the state: the requestor sees it in the writer status, and has to
        give up [VSS 0.6].
        """
        call = RequestorCall.PREPARE_FOR_BACKUP
        self._check(call)
        if self._dossier.backup_type is None:
            raise self._bad(call, "needs SetBackupState first")
        if self._gathered is None or self._without_writers():
            raise self._bad(call, "needs a context with writers and GatherWriterMetadata first")
        open_set = self._require_set(call)
        self._join_writers(open_set)
        self._remember_session(open_set)
        self._enter(call)
        self.generation += 1
        self.writer_failures = tuple(self._participants.prepare_backup())

    def _join_writers(self, open_set: OpenSet) -> None:
        """In component mode only writers with explicit components take part [VSS-17]."""
        for member, metadata in self._gathered or ():
            mine = tuple(
                each for each in self._dossier.explicit if each.writer_id == metadata.writer_id
                and any(each == known.id for known in metadata.components)
            )
            if mine or not self._select_components:
                self._participants.join(
                    member,
                    metadata,
                    set_id=open_set.id,
                    backup_type=self._dossier.backup_type or BackupType.FULL,
                    components=mine,
                    previous_stamps=self._stamps,
                )

    def _remember_session(self, open_set: OpenSet) -> None:
        """Durable before any writer hears of it, so that a restart can tell them the end."""
        roles = tuple(
            WriterRole(writer_id=each.metadata.writer_id, components=each.session.components)
            for each in self._participants.entries
        )
        backup_type = self._dossier.backup_type or BackupType.FULL
        self._engine.records.put_session(
            SessionRecord(id=open_set.id, backup_type=backup_type, writers=roles)
        )

    def do_snapshot_set(self, *, budget: Budget | None = None) -> ShadowSet:
        """Create the shadow copies; returns thawed or raises thawed, with nothing left.

        Raises:
            WriterVeto, FreezeTimeout, HoldTimeout, ProviderVeto, ProviderError, ArrayError,
            Stopped, ImportFailed: As the failing party said; call `abort_backup` afterwards.
        """
        call = RequestorCall.DO_SNAPSHOT_SET
        after = self._check(call)
        if self._state is RequestorState.SET_OPEN and not self._without_writers():
            raise self._bad(call, "needs PrepareForBackup first in a context with writers")
        open_set = self._require_set(call)
        self._row(call.value)
        self._participants.set_volumes(open_set.volumes())
        self.generation += 1
        self._state = RequestorState.FAILED
        try:
            made = self._create(open_set, budget or Budget.of(self._engine.clock))
        finally:
            self._engine.slot.release(self)
        self._state = after
        return made

    def _create(self, open_set: OpenSet, budget: Budget) -> ShadowSet:
        creation = Creation(
            engine=self._engine,
            open_set=open_set,
            participants=self._participants,
            budget=budget,
        )
        record = creation.run()
        try:
            if not open_set.context & Attribute.TRANSPORTABLE and record.members:
                record = transport.surface(self._engine, record, budget)
            self._engine.records.put_set(record)
            self._dossier.record = record
            self._dossier.kept = tuple(creation.records)
            self._engine.trace.row("C", "WriteDocuments", set_id=open_set.id)
            documents = self._documents()
        except BaseException as error:
            creation.discard(error)
            raise
        return ShadowSet(
            id=open_set.id,
            shadows=tuple(each.shadow for each in record.members),
            documents=documents,
            created_at=creation.created_at or self._engine.clock.now(),
            freeze_s=self._participants.longest_freeze_s(),
            hold_s=creation.hold_s,
            records=self._dossier.kept,
            writers=self._participants.statuses(),
        )

    # -- status, documents, end --------------------------------------------------------------

    def gather_writer_status(self) -> tuple[WriterStatus, ...]:
        """Status of the writers: of those that take part, or of all before a backup began."""
        self._enter(RequestorCall.GATHER_WRITER_STATUS)
        if self._participants.entries:
            return self._participants.statuses()
        return self._engine.roster.statuses()

    def save_as_xml(self) -> bytes:
        """The backup components document as it stands."""
        self._enter(RequestorCall.SAVE_AS_XML)
        return self._documents().backup_components

    def documents(self) -> ShadowDocuments:
        """The document and the metadata of the writers that take part."""
        self._check(RequestorCall.SAVE_AS_XML)
        return self._documents()

    def _documents(self) -> ShadowDocuments:
        gathered = [metadata for _, metadata in self._gathered or ()]
        return self._dossier.documents(
            gathered, [each.metadata for each in self._participants.entries]
        )

    def set_backup_succeeded(self, component: ComponentId, succeeded: bool) -> None:  # noqa: FBT001
        """Say what came of an explicit component; True only if all its files are good [VSS-64].

        Raises:
            NotFound: The component was not added (VSS_E_OBJECT_NOT_FOUND).
        """
        self._check(RequestorCall.SET_BACKUP_SUCCEEDED)
        self._require_explicit(component)
        self._enter(RequestorCall.SET_BACKUP_SUCCEEDED, component.full_path)
        self._dossier.outcomes[component] = succeeded

    def backup_complete(self) -> None:
        """Tell the writers the outcome; failures are seen in their status [VSS 0.6]."""
        call = RequestorCall.BACKUP_COMPLETE
        self._check(call)
        if self._without_writers():
            raise self._bad(call, "needs a context with writers")
        self._enter(call)
        self.generation += 1
        self.writer_failures = tuple(self._participants.backup_complete(self._dossier.outcomes))

    def abort_backup(self) -> None:
        """Give up; a no-op if nothing is under way, harmless if repeated [VSS-36]."""
        self._enter(RequestorCall.ABORT_BACKUP)
        if self._state is not RequestorState.ABORTED:
            return
        self._engine.slot.release(self)
        _raise_interrupt(self._participants.abort())

    def release(self) -> None:
        """Let go of the object; writers get BackupShutdown [VSS-09]. Idempotent.

        Shadow copies of a context with auto-release are deleted [VSS-56]; a transportable set is
        forgotten here, it belongs to the server that imports it.
        """
        if self._state is RequestorState.RELEASED:
            return
        self._enter(RequestorCall.RELEASE)
        self._engine.slot.release(self)
        problems = self._participants.shut_down()
        if self._set is not None:
            self._engine.records.drop_session(self._set.id)
            self._let_go(self._set)
        _raise_interrupt(problems)

    def _let_go(self, open_set: OpenSet) -> None:
        record = self._engine.records.get_set(open_set.id)
        if record is None:
            return
        if record.life is SetLife.CREATED:
            self._engine.records.drop_set(open_set.id)
        elif not open_set.context & Attribute.NO_AUTO_RELEASE:
            budget = Budget.of(self._engine.clock, self._engine.cleanup_s)
            transport.delete_set(self._engine, open_set.id, budget)

    # -- queries and sets that exist ---------------------------------------------------------

    def query(self) -> tuple[Shadow, ...]:
        """The created shadow copies of this context; VSS_CTX_ALL sees all [VSS 2.2]."""
        self._enter(RequestorCall.QUERY)
        wanted = self._context or CTX_BACKUP
        return tuple(
            member.shadow
            for record in self._engine.records.sets()
            if record.life is SetLife.IMPORTED and wanted in (CTX_ALL, record.context)
            for member in record.members
        )

    def import_snapshots(self, *, budget: Budget | None = None) -> ImportedSet:
        """Import the set of the document given to `initialize_for_backup`.

        Raises:
            BadState: No document was given.
            DocumentError, ImportFailed: See `Coordinator.import_set`.
        """
        call = RequestorCall.IMPORT_SNAPSHOTS
        self._check(call)
        if self._document is None:
            raise self._bad(call, "needs the document of a set")
        self._enter(call)
        limit = budget or Budget.of(self._engine.clock)
        return transport.import_document(self._engine, self._document, limit)

    def break_snapshot_set(self, set_id: SetId, *, budget: Budget | None = None) -> None:
        """Let go of an imported set; see `Coordinator.break_set`."""
        self._enter(RequestorCall.BREAK_SNAPSHOT_SET, set_id)
        transport.break_set(self._engine, set_id, budget or Budget.of(self._engine.clock))

    def delete_snapshots(self, set_id: SetId, *, budget: Budget | None = None) -> int:
        """Delete the shadow copies of a set; how many. See `Coordinator.delete_set`."""
        self._enter(RequestorCall.DELETE_SNAPSHOTS, set_id)
        limit = budget or Budget.of(self._engine.clock)
        return transport.delete_set(self._engine, set_id, limit)

    # -- restore -----------------------------------------------------------------------------

    def set_selected_for_restore(self, component: ComponentId) -> None:
        """Select a component of the document for restoring.

        Raises:
            NotFound: The document does not have it.
            WriterNotFound: Its writer is not running (VSS_E_OBJECT_NOT_FOUND).
        """
        call = RequestorCall.SET_SELECTED_FOR_RESTORE
        self._check(call)
        self._require_restoring(call).select(component, self._require_gathered(call))
        self._enter(call, component.full_path)

    def set_additional_restores(self, additional: bool) -> None:  # noqa: FBT001
        """Say whether more restores follow, so that writers must not finish yet."""
        call = RequestorCall.SET_ADDITIONAL_RESTORES
        self._check(call)
        self._require_restoring(call).additional = additional
        self._enter(call)

    def pre_restore(self) -> None:
        """Ask the writers whether their components may be replaced.

        Raises:
            WriterVeto: One refuses. Writers that had agreed got PostRestore; nothing may change.
        """
        call = RequestorCall.PRE_RESTORE
        self._check(call)
        restoring = self._require_restoring(call)
        self._row(call.value)
        self.generation += 1
        restoring.pre_restore()
        self._state = RequestorState.PRERESTORED

    def set_file_restore_status(self, component: ComponentId, succeeded: bool) -> None:  # noqa: FBT001
        """Say what came of a component, between PreRestore and PostRestore only [VSS-18]."""
        call = RequestorCall.SET_FILE_RESTORE_STATUS
        self._check(call)
        self._require_restoring(call).set_status(component, succeeded=succeeded)
        self._enter(call, component.full_path)

    def post_restore(self) -> None:
        """Tell the writers that the work is done.

        Raises:
            WriterVeto: One of them could not finish; all of them were told.
        """
        call = RequestorCall.POST_RESTORE
        self._enter(call)
        self.generation += 1
        self._require_restoring(call).post_restore()

    # -- small parts -------------------------------------------------------------------------

    def _without_writers(self) -> bool:
        return bool((self._context or CTX_BACKUP) & Attribute.NO_WRITERS)

    def _require_set(self, call: RequestorCall) -> OpenSet:
        if self._set is None:
            raise self._bad(call, "needs StartSnapshotSet first")
        return self._set

    def _require_restoring(self, call: RequestorCall) -> Restoring:
        if self._restoring is None:
            raise self._bad(call, "needs InitializeForRestore first")
        return self._restoring

    def _require_gathered(
        self, call: RequestorCall
    ) -> Sequence[tuple[Enrolled, WriterMetadata]]:
        if self._gathered is None:
            raise self._bad(call, "needs GatherWriterMetadata first")
        return self._gathered


def _not_found(what: str) -> NotFound:
    return NotFound(
        f"there is no {what}",
        native=hresult("VSS_E_OBJECT_NOT_FOUND"),
        hint="Look at the writers' metadata.",
    )


def _raise_interrupt(problems: Iterable[BaseException]) -> None:
    """Failures of closing events are in the writer status; an interrupt must not be lost."""
    for problem in problems:
        if not isinstance(problem, Exception):
            raise problem
