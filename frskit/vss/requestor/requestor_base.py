"""The part of a requestor object that every use needs: state, context, metadata, components.

`frskit.vss.BackupComponents` adds what happens then. Every call goes through the table of
[VSS 2.2] before it does anything, so that a refused call changes nothing [VSS-21].
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from frskit.codes.hresult import hresult
from frskit.errors import BadState, NotFound, ServiceError, WriterError
from frskit.model.components import BackupType, Component, ComponentId, WriterMetadata
from frskit.model.ids import guid
from frskit.vss.context_flags import CTX_BACKUP, Attribute, check_context
from frskit.vss.documents.backup_document import BackupDocument, read_backup_components
from frskit.vss.engine import OpenSet
from frskit.vss.requestor.dossier import Dossier
from frskit.vss.requestor.participants import Participants
from frskit.vss.requestor.restore import Restoring
from frskit.vss.state_tables import REQUESTOR_TABLE, RequestorCall, RequestorState, legal_calls
from frskit.vss.writers import Enrolled

if TYPE_CHECKING:
    from frskit.vss.engine import EngineOwner

__all__ = ["ComponentHandle", "RequestorObject"]


@frozen
class ComponentHandle:
    """A component as it stood when it was asked for.

    It is void after PrepareForBackup, DoSnapshotSet, BackupComplete, PreRestore and PostRestore,
    because writers may have changed it [VSS-41].
    """

    _component: Component
    _generation: int
    _owner: RequestorObject

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


class RequestorObject:
    """State, context, metadata and components of one backup, restore or query.

    Args:
        service: The coordinator of the server.
    """

    def __init__(self, service: EngineOwner) -> None:
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

    def _require_gathered(self, call: RequestorCall) -> Sequence[tuple[Enrolled, WriterMetadata]]:
        if self._gathered is None:
            raise self._bad(call, "needs GatherWriterMetadata first")
        return self._gathered


def _not_found(what: str) -> NotFound:
    return NotFound(
        f"there is no {what}",
        native=hresult("VSS_E_OBJECT_NOT_FOUND"),
        hint="Look at the writers' metadata.",
    )
