"""The creation half of a requestor object: a set is begun, filled with volumes, and made.

What happens inside DoSnapshotSet is told in `frskit.vss.requestor.do_snapshot_set`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from frskit.clock import Budget
from frskit.codes.hresult import hresult
from frskit.errors import FrskitError, LimitExceeded, ServiceError, WriterError
from frskit.model.components import BackupType
from frskit.model.ids import CopyKey, SetId, ShadowId, guid
from frskit.model.shadows import ShadowDocuments, ShadowSet
from frskit.vss.context_flags import CTX_ALL, MAX_VOLUMES, Attribute
from frskit.vss.engine import OpenSet, SetMember
from frskit.vss.persistent_sets import SessionRecord, SetLife, WriterRole
from frskit.vss.requestor.do_snapshot_set import Creation
from frskit.vss.requestor.import_break_delete import delete_set, surface
from frskit.vss.state_tables import RequestorCall, RequestorState, ShadowStep

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.model.storage import CopyKind
    from frskit.vss.engine import Engine
    from frskit.vss.requestor.call_order import CallOrder
    from frskit.vss.requestor.component_choice import ComponentChoice
    from frskit.vss.requestor.dossier import Dossier
    from frskit.vss.requestor.participants import Participants

__all__ = ["SetBuilder"]


class SetBuilder:
    """Builds the one set of a requestor object.

    Args:
        engine: The shared parts of the service.
        order: The object's state.
        choice: The writers and components of the backup.
        dossier: Where the set, the backup type and what the writers want kept are noted.
        participants: The writers that take part; they join in PrepareForBackup.
    """

    def __init__(
        self,
        engine: Engine,
        order: CallOrder,
        choice: ComponentChoice,
        dossier: Dossier,
        participants: Participants,
    ) -> None:
        self._engine = engine
        self._order = order
        self._choice = choice
        self._dossier = dossier
        self._participants = participants
        self._set: OpenSet | None = None
        self.making: bool = False

    def start(self, set_id: SetId | None, kind: CopyKind | None) -> SetId:
        """Open a set.

        Raises:
            SnapshotSetInProgress: Another set is open on this server; nothing was changed.
            BadState: The context is for queries only.
            ServiceError: There is a set of this id (VSS_E_OBJECT_ALREADY_EXISTS).
        """
        call = RequestorCall.START_SNAPSHOT_SET
        self._order.check(call)
        if self._order.context == CTX_ALL:
            raise self._order.refusal(call, "needs a context for creation")
        wanted = SetId(guid(set_id)) if set_id else SetId(self._engine.ids.guid())
        if self._engine.records.get_set(wanted) is not None or wanted in self._engine.owed_sets:
            raise ServiceError(
                f"set {wanted} exists already on server {self._engine.server.name}",
                context={"set": wanted},
                native=hresult("VSS_E_OBJECT_ALREADY_EXISTS"),
                hint="Use a new GUID for each set.",
            )
        # The slot last of all checks and first of all effects: a refusal leaves it to others
        # [VSS-19].
        self._engine.slot.acquire(self)
        key = CopyKey(wanted) if set_id else None
        self._set = OpenSet(id=wanted, context=self._order.effective_context, kind=kind, key=key)
        self._dossier.set_id = wanted
        self._order.set_id = wanted
        self._order.enter(call, wanted)
        return wanted

    def add(self, volume: str, provider_id: str | None) -> ShadowId:
        """Add a volume, named by a mount point that ends in a separator.

        Raises:
            VolumeNotFound: No such volume (VSS_E_OBJECT_NOT_FOUND).
            VolumeNotSupported, ProviderNotRegistered: Nobody can copy it as asked for.
            LimitExceeded: The set has 64 volumes already.
            ProviderVeto: The provider refused.
        """
        call = RequestorCall.ADD_TO_SNAPSHOT_SET
        self._order.check(call)
        open_set = self._require_set(call)
        if len(open_set.members) >= MAX_VOLUMES:
            raise LimitExceeded(
                f"a set holds at most {MAX_VOLUMES} volumes",
                context={"set": open_set.id, "volume": volume},
                native=hresult("VSS_E_MAXIMUM_NUMBER_OF_VOLUMES_REACHED"),
            )
        member = self._member(open_set, volume, provider_id)
        self._order.row(call.value, volume)
        # Before the member is counted: one that the provider refuses is not in the set.
        self._begin_prepare(open_set, member)
        open_set.members.append(member)
        member.advance(ShadowStep.ADD)
        return member.id

    def _require_set(self, call: RequestorCall) -> OpenSet:
        if self._set is None:
            raise self._order.refusal(call, "needs StartSnapshotSet first")
        return self._set

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
            [lun],
            open_set.kind,
            context=open_set.context,
            volume=name,
            provider_id=provider_id,
            set_id=open_set.id,
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
            context=open_set.context,
        )
        self._engine.providers.call(member.provider, "BeginPrepareSnapshot", open_set.id, begin)

    # -- writers -----------------------------------------------------------------------------

    def prepare_writers(self) -> tuple[WriterError, ...]:
        """Tell the writers that a backup of their components begins; who refused, and why.

        Raises:
            BadState: Backup type, metadata or set are missing, or the context has no writers.
        """
        call = RequestorCall.PREPARE_FOR_BACKUP
        self._order.check(call)
        if self._dossier.backup_type is None:
            raise self._order.refusal(call, "needs SetBackupState first")
        if not self._choice.is_gathered or self._order.without_writers:
            raise self._order.refusal(
                call, "needs a context with writers and GatherWriterMetadata first"
            )
        open_set = self._require_set(call)
        self._join_writers(open_set)
        self._remember_session(open_set)
        self._order.enter(call)
        self._order.generation += 1
        return tuple(self._participants.prepare_backup())

    def _join_writers(self, open_set: OpenSet) -> None:
        """In component mode only writers with explicit components take part [VSS-17].

        The others hear PrepareForBackup without components, as at Windows: events end *after* it.
        After a restart of the service they hear nothing; they hold nothing.
        """
        for member, metadata in self._choice.writers:
            mine = tuple(each.id for each in self._choice.of_writer(metadata))
            self._participants.join(
                member,
                metadata,
                set_id=open_set.id,
                backup_type=self._dossier.backup_type or BackupType.FULL,
                components=mine,
                previous_stamps=self._choice.stamps,
                key=open_set.key,
                takes_part=bool(mine) or not self._choice.component_mode,
            )

    def _remember_session(self, open_set: OpenSet) -> None:
        """Durable before any writer hears of it, so that a restart can tell them the end."""
        roles = tuple(
            WriterRole(
                writer_id=each.metadata.writer_id,
                components=each.session.components,
                instance=each.metadata.instance,
            )
            for each in self._participants.entries
        )
        backup_type = self._dossier.backup_type or BackupType.FULL
        self._engine.records.put_session(
            SessionRecord(id=open_set.id, backup_type=backup_type, writers=roles)
        )

    # -- the set -----------------------------------------------------------------------------

    def make(self, budget: Budget, documents: Callable[[], ShadowDocuments]) -> ShadowSet:
        """Create the shadow copies; returns thawed or raises thawed, with nothing left.

        Args:
            budget: How long it may take.
            documents: Writes the documents of the set, once it is in the dossier.

        Raises:
            WriterVeto, FreezeTimeout, HoldTimeout, ProviderVeto, ProviderError, ArrayError,
            Stopped, ImportFailed: As the failing party said.
        """
        call, order = RequestorCall.DO_SNAPSHOT_SET, self._order
        after = order.check(call)
        if order.state is RequestorState.SET_OPEN and not order.without_writers:
            raise order.refusal(call, "needs PrepareForBackup first in a context with writers")
        open_set = self._require_set(call)
        order.row(call.value)
        self._participants.set_volumes(open_set.volumes(), self._engine.server.volumes())
        order.generation += 1
        # Whatever breaks off from here on leaves FAILED; only success goes on.
        order.state = RequestorState.FAILED
        self.making = True
        try:
            made = self._create(open_set, budget, documents)
        finally:
            self.making = False
            self.give_up_slot()
        order.state = after
        return made

    def _create(
        self, open_set: OpenSet, budget: Budget, documents: Callable[[], ShadowDocuments]
    ) -> ShadowSet:
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
            # On record before the document exists: whoever has the document can rely on the record.
            self._engine.records.put_set(record)
            self._dossier.record = record
            self._dossier.kept = tuple(creation.records)
            self._engine.trace.row("C", "WriteDocuments", set_id=open_set.id)
            written = documents()
            self._participants.check_over()
        except BaseException as error:
            # The caller gets no set, so none may remain [VSS-30].
            creation.discard(error)
            raise
        return ShadowSet(
            id=open_set.id,
            shadows=tuple(each.shadow for each in record.members),
            documents=written,
            created_at=creation.created_at or self._engine.trace.now(),
            freeze_s=self._participants.longest_freeze_s(),
            hold_s=creation.hold_s,
            records=self._dossier.kept,
            writers=self._participants.statuses(),
        )

    # -- the end -----------------------------------------------------------------------------

    def give_up_slot(self) -> None:
        """Let others create sets on this server. Idempotent."""
        self._engine.slot.release(self)

    def let_go(self) -> None:
        """Forget the session, and the set too unless it outlives its session [VSS-56].

        A transportable set belongs to the server that imports it. A set that cannot be deleted
        now stays on record.
        """
        if self._set is None:
            return
        # Also after a failed creation: the writers have heard BackupShutdown by now.
        self._engine.records.drop_session(self._set.id)
        record = self._engine.records.get_set(self._set.id)
        if record is None:
            return
        if record.life is SetLife.CREATED:
            self._engine.records.drop_set(self._set.id)
        elif not self._set.context & Attribute.NO_AUTO_RELEASE:
            budget = Budget.of(self._engine.clock, self._engine.cleanup_s)
            try:
                delete_set(self._engine, self._set.id, budget)
            except FrskitError as error:
                # It stays on record, so `delete_set` or `recover` can go on.
                self._engine.trace.warn(f"set {self._set.id} could not be released: {error}")
