"""`BackupComponents`: the fine-grained requestor object, one per backup, restore or query.

It is IVssBackupComponents in snake case, over frskit's own coordinator: the same calls, the same
order, the same refusals [VSS 2.2]. Whoever does not need single steps uses `Coordinator.session`.

Left out, because nothing in frskit needs them: exposing, reverting, resync of LUNs, alternate
locations, partial files. Calls are synchronous; waits are bounded by a `Budget` instead of IVssAsync.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from frskit.clock import Budget
from frskit.codes.hresult import hresult
from frskit.errors import FrskitError, LimitExceeded, ServiceError, WriterError
from frskit.model.components import BackupType, ComponentId, WriterStatus
from frskit.model.ids import SetId, ShadowId, guid
from frskit.model.shadows import ImportedSet, Shadow, ShadowDocuments, ShadowSet
from frskit.model.storage import CopyKind
from frskit.vss.context_flags import CTX_ALL, CTX_BACKUP, MAX_VOLUMES, Attribute
from frskit.vss.engine import OpenSet, SetMember
from frskit.vss.persistent_sets import SessionRecord, SetLife, WriterRole
from frskit.vss.requestor.do_snapshot_set import Creation
from frskit.vss.requestor.import_break_delete import break_set, delete_set, import_document, surface
from frskit.vss.requestor.requestor_base import ComponentHandle, RequestorObject
from frskit.vss.state_tables import RequestorCall, RequestorState, ShadowStep

__all__ = ["BackupComponents", "ComponentHandle"]


class BackupComponents(RequestorObject):
    """One backup, one restore or one query; never reusable [VSS-20].

    Every call that is out of order raises `BadState` and changes nothing [VSS-21]; the context
    names state, call and what would be legal.

    Args:
        service: The coordinator of the server.

    Example:
        >>> from frskit.vss.state_tables import table_rows
        >>> table_rows("requestor")[1][:3]
        ('InitializeForBackup', 'BACKUP', 'BAD_STATE')
    """

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
        self.writer_failures: tuple[WriterError, ...] = tuple(self._participants.prepare_backup())

    def _join_writers(self, open_set: OpenSet) -> None:
        """In component mode only writers with explicit components take part [VSS-17]."""
        for member, metadata in self._gathered or ():
            mine = tuple(
                each
                for each in self._dossier.explicit
                if each.writer_id == metadata.writer_id
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
                record = surface(self._engine, record, budget)
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

    def set_backup_succeeded(self, component: ComponentId, succeeded: bool) -> None:
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
        before = self._state
        self._enter(RequestorCall.ABORT_BACKUP)
        if self._state is before:
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
            try:
                delete_set(self._engine, open_set.id, budget)
            except FrskitError as error:
                # It stays on record, so `delete_set` or `recover` can go on.
                self._engine.trace.warn(f"set {open_set.id} could not be released: {error}")

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
        return import_document(self._engine, self._document, limit)

    def break_snapshot_set(self, set_id: SetId, *, budget: Budget | None = None) -> None:
        """Let go of an imported set; see `Coordinator.break_set`."""
        self._enter(RequestorCall.BREAK_SNAPSHOT_SET, set_id)
        break_set(self._engine, set_id, budget or Budget.of(self._engine.clock))

    def delete_snapshots(self, set_id: SetId, *, budget: Budget | None = None) -> int:
        """Delete the shadow copies of a set; how many. See `Coordinator.delete_set`."""
        self._enter(RequestorCall.DELETE_SNAPSHOTS, set_id)
        limit = budget or Budget.of(self._engine.clock)
        return delete_set(self._engine, set_id, limit)

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

    def set_additional_restores(self, additional: bool) -> None:
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

    def set_file_restore_status(self, component: ComponentId, succeeded: bool) -> None:
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


def _raise_interrupt(problems: Iterable[BaseException]) -> None:
    """Failures of closing events are in the writer status; an interrupt must not be lost."""
    for problem in problems:
        if not isinstance(problem, Exception):
            raise problem
