"""`Coordinator`: the shadow copy service of one server, in pure Python.

It is not a mock: with real writers, a real server and a real array it coordinates real
application-consistent copies. Two servers have two coordinators, which share nothing but the
array and the documents. Behavior follows [VSS 1, 2, 9]; what is frskit's choice says so where it
stands: flags are cleared after Thaw (`creation`), writers are thawed in reverse level order
(`participants`), disks are waited for 60 s (`engine`).
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from frskit.clock import Budget, Clock
from frskit.errors import FrskitError, HostError, UsageError
from frskit.events import EventSink
from frskit.model.components import BackupType, WriterMetadata, WriterStatus
from frskit.model.ids import IdFactory, SetId, guid
from frskit.model.shadows import (
    ImportedSet,
    RestoreRequest,
    ServiceCapabilities,
    Shadow,
    ShadowDocuments,
    ShadowRequest,
)
from frskit.protocols import HardwareProvider, Server, ShadowCopyService, Writer
from frskit.vss.context_flags import Attribute
from frskit.vss.engine import Engine
from frskit.vss.persistent_sets import Records, SessionRecord, SetLife, SetRecord
from frskit.vss.providers import Providers, SupportsReconcile
from frskit.vss.requestor.backup_components import BackupComponents
from frskit.vss.requestor.import_break_delete import break_set, delete_set
from frskit.vss.requestor.participants import Participants
from frskit.vss.session import EngineRestoreSession, EngineSession
from frskit.vss.trace import Tracer
from frskit.vss.writers import Roster
from frskit.watchdog import ANSWER_S, CLOSING_S, Manners, guarded, name_of, watchdog_of

__all__ = ["Coordinator"]

_TYPES = frozenset(BackupType) - {BackupType.LOG, BackupType.OTHER}

_LOOKING = frozenset({"volumes", "disks", "resolve", "files", "detach"})
"""What a server is asked although it owes an answer: it only looks, or ends a mount."""


class Coordinator:
    """The shadow copy service of one server.

    Args:
        server: The server.
        clock: Time for windows and events.
        ids: Makes GUIDs.
        sink: Takes the trace; never called between Freeze and Thaw. Others may `subscribe`.
        providers: Hardware providers, in the order in which they are tried.
        memory: Keeps sets and open sessions over restarts; None forgets them with the process.
        strict: Components must be named before StartSnapshotSet, as Windows documents it.
        arrival_timeout_s: How long an import waits for disks.
        answer_timeout_s: How long a writer, provider or the server may take over one call where
            neither a budget nor a window says so.
        closing_timeout_s: How long over a call that only ends something, such as Abort.
    """

    def __init__(
        self,
        server: Server,
        *,
        clock: Clock,
        ids: IdFactory,
        sink: EventSink | None = None,
        providers: Sequence[HardwareProvider] = (),
        memory: MutableMapping[str, bytes] | None = None,
        strict: bool = False,
        arrival_timeout_s: float = 60.0,
        answer_timeout_s: float = ANSWER_S,
        closing_timeout_s: float = CLOSING_S,
    ) -> None:
        trace = Tracer(sink, clock)
        patience = {"answer_s": answer_timeout_s, "closing_s": closing_timeout_s}
        # The requestor calls this server, too: what it owes one of us, the other must know.
        name = f"server {name_of(server, clock, type(server).__name__)}"
        dog = watchdog_of(server, name, clock, wrap=HostError, closing_s=closing_timeout_s)
        bounded = guarded(server, dog, Manners(closing=_LOOKING, answer_s=answer_timeout_s))
        # Known from here on, so that nobody has to be asked for it between Freeze and Thaw.
        with suppress(FrskitError):
            _ = bounded.name
        self._server = server
        self.engine: Engine = Engine(
            server=bounded,
            server_dog=dog,
            bare_server=server,
            clock=clock,
            ids=ids,
            trace=trace,
            roster=Roster(clock=clock, trace=trace, **patience),
            providers=Providers(trace=trace, clock=clock, **patience),
            records=Records(memory),
            arrival_s=arrival_timeout_s,
            strict=strict,
        )
        for provider in providers:
            self.register_provider(provider)

    @property
    def server(self) -> Server:
        """The server it works for."""
        return self._server

    @property
    def capabilities(self) -> ServiceCapabilities:
        """What it can do; constant."""
        return ServiceCapabilities(
            per_component_outcome=True,
            backup_types=_TYPES,
            transportable=True,
            proven_on="frskit's own engine, with simulated arrays and directories",
            bounded=True,
        )

    def subscribe(self, sink: EventSink) -> None:
        """Hand the trace to this sink as well, from now on."""
        self.engine.trace.subscribe(sink)

    # -- registration ------------------------------------------------------------------------

    def register_writer(self, writer: Writer) -> None:
        """Let a writer take part.

        Raises:
            BadState: It is registered already.
        """
        self.engine.roster.register(writer)

    def register_provider(self, provider: HardwareProvider) -> None:
        """Let a provider copy LUNs of this server.

        Raises:
            BadState: Its id is taken.
        """
        self.engine.providers.register(provider)

    def unregister(self, party: Writer | HardwareProvider) -> None:
        """Remove a writer or provider; unknown is fine. A provider gets OnUnload."""
        for provider in self.engine.providers.all():
            if provider is party:
                self.engine.providers.unregister(provider)
                return
        # By identity: writers and providers need not be comparable.
        for writer in self.engine.roster.writers():
            if writer is party:
                self.engine.roster.unregister(writer)

    # -- the service -------------------------------------------------------------------------

    def writers(self, *, budget: Budget) -> tuple[WriterMetadata, ...]:
        """Ask every writer to identify itself; those that fail are absent [VSS-39].

        Raises:
            Stopped: The budget is spent before everybody was asked.
        """
        return tuple(metadata for _, metadata in self.engine.roster.identify(budget))

    def writer_states(self, *, budget: Budget) -> tuple[WriterStatus, ...]:
        """The state of every writer whose last Identify succeeded; nobody is asked, so it is quick.

        Raises:
            Stopped: The budget is spent.
        """
        budget.check("listing the states of the writers")
        return self.engine.roster.statuses()

    def session(self, request: ShadowRequest) -> EngineSession:
        """A session for one backup; nothing happens before it is entered.

        Raises:
            UsageError: This service cannot make backups of that type, or the key is no GUID.
        """
        if request.backup_type not in _TYPES:
            raise UsageError(
                f"this shadow copy service cannot make {request.backup_type.value} backups",
                hint=f"Use one of: {', '.join(sorted(each.value for each in _TYPES))}.",
            )
        guid(request.key)
        return EngineSession(self, request)

    def restore_session(self, request: RestoreRequest) -> EngineRestoreSession:
        """A session for one restore."""
        return EngineRestoreSession(self, request)

    def import_set(self, documents: ShadowDocuments, *, budget: Budget) -> ImportedSet:
        """Bring a transported set to this server, once.

        Raises:
            ImportFailed: Not everything arrived, or it was imported before; storage that is still
                presented is named in ``context["presented"]`` [VSS-50].
            DocumentError: Damaged, or not of a transportable set.
            ProviderNotRegistered: A provider of the set is not registered here.
        """
        components = BackupComponents(self)
        try:
            components.initialize_for_backup(documents.backup_components)
            return components.import_snapshots(budget=budget)
        finally:
            components.release()

    def break_set(self, set_id: SetId, *, budget: Budget) -> None:
        """Let go of an imported set; its disks stay, read-only. Irreversible [VSS-52].

        Raises:
            BadState: Not imported here.
        """
        break_set(self.engine, set_id, budget)

    def delete_set(self, set_id: SetId, *, budget: Budget) -> None:
        """Delete the shadow copies of a set, and the LUNs with them.

        Unknown and broken sets are left alone. A transportable set can be deleted where it was
        created only while its session is open; afterwards it belongs to the importing server.

        Raises:
            FrskitError: See `frskit.vss.requestor.import_break_delete.delete_set`; calling again goes on.
        """
        delete_set(self.engine, set_id, budget)

    def abort_all(self, *, budget: Budget) -> tuple[str, ...]:
        """End every session that is still open; say which. Parties that hang are asked again."""
        budget.check("aborting all sessions")
        ended = self.engine.sessions.end_all()
        self.engine.pardon()
        return tuple(ended)

    def shadows(self, *, budget: Budget) -> tuple[Shadow, ...]:
        """The created shadow copies that are managed here: imported ones, also automatically.

        Raises:
            Stopped: The budget is spent.
        """
        budget.check("listing shadow copies")
        return tuple(
            member.shadow
            for record in self.engine.records.sets()
            if record.life is SetLife.IMPORTED
            for member in record.members
        )

    # -- after a restart ---------------------------------------------------------------------

    def recover(self, *, budget: Budget) -> tuple[str, ...]:
        """Clean up after a process that died; what could not be cleaned up, as texts.

        Call it after registering writers and providers, and only when the process that had the
        same memory is dead: writers of its sessions get Abort and BackupShutdown [VSS-09],
        originals get their flags back, half-made sets are removed, and so are sets that were not
        meant to outlive their session. BackupComplete is never sent [VSS-10].
        """
        leftovers: list[str] = []
        for session in self.engine.records.sessions():
            self._end_session(session, leftovers)
        for record in self.engine.records.sets():
            self._end_set(record, leftovers, budget)
        return tuple(leftovers)

    def _end_session(self, record: SessionRecord, leftovers: list[str]) -> None:
        """Tell the writers of a dead session that it is over."""
        # What the dead process knew of its writers is gone: they are found again by class and
        # instance.
        participants = Participants(roster=self.engine.roster, clock=self.engine.clock)
        present = self.engine.roster.identify()
        for role in record.writers:
            for member, metadata in present:
                if (metadata.writer_id, metadata.instance) == (role.writer_id, role.instance):
                    participants.join(
                        member,
                        metadata,
                        set_id=record.id,
                        backup_type=record.backup_type,
                        components=role.components,
                        previous_stamps={},
                    )
        problems = participants.end_for_the_dead()
        leftovers += [f"writers of session {record.id}: {problem}" for problem in problems]
        self.engine.records.drop_session(record.id)

    def _end_set(self, record: SetRecord, leftovers: list[str], budget: Budget) -> None:
        """Finish a set that its creator cannot finish any more."""
        try:
            if record.life is SetLife.CREATING:
                self._undo_creation(record, leftovers, budget)
            elif record.life is SetLife.CREATED:
                # It may have been imported elsewhere; the requestor's records decide.
                self.engine.records.drop_set(record.id)
            elif record.life is SetLife.IMPORTED and self._auto_release(record):
                delete_set(self.engine, record.id, budget)
        except FrskitError as error:
            leftovers.append(f"set {record.id}: {error}")

    @staticmethod
    def _auto_release(record: SetRecord) -> bool:
        # Sets that outlive their requestor by their context, or belong to the server that imports
        # them.
        lasting = Attribute.PERSISTENT | Attribute.NO_AUTO_RELEASE | Attribute.TRANSPORTABLE
        return not record.context & lasting

    def _undo_creation(self, record: SetRecord, leftovers: list[str], budget: Budget) -> None:
        for member in record.members:
            self.engine.server.set_flags([member.source.storage], member.source_flags)
        remains: list[str] = []
        for provider_id in dict.fromkeys(each.provider_id for each in record.members):
            provider = self.engine.providers.by_id(provider_id)
            if isinstance(provider, SupportsReconcile):
                remains += self.engine.providers.reconcile(provider, record.id, budget)
            else:
                name = self.engine.providers.info(provider).name
                remains.append(f"whatever provider {name} made for set {record.id}")
        leftovers += remains
        # As long as anything remains the record stays, so that the next `recover` tries again.
        if not remains:
            self.engine.records.drop_set(record.id)


if TYPE_CHECKING:
    _: type[ShadowCopyService] = Coordinator
