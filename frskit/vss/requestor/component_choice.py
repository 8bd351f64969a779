"""Which writers and components one backup or restore is about: metadata, choice, handles."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from frskit.codes.hresult import hresult
from frskit.errors import BadState, NotFound, ServiceError, UsageError
from frskit.model.components import Component, ComponentId, WriterMetadata
from frskit.model.ids import guid
from frskit.vss.state_tables import RequestorCall
from frskit.vss.writers import Enrolled

if TYPE_CHECKING:
    from frskit.clock import Budget
    from frskit.vss.engine import Engine
    from frskit.vss.requestor.call_order import CallOrder

__all__ = ["ComponentChoice", "ComponentHandle"]


@frozen
class ComponentHandle:
    """A component as it stood when it was asked for.

    It is void after PrepareForBackup, DoSnapshotSet, BackupComplete, PreRestore and PostRestore,
    because writers may have changed it [VSS-41].
    """

    _component: Component
    _generation: int
    _order: CallOrder

    @property
    def component(self) -> Component:
        """The component.

        Raises:
            BadState: The handle is void.
        """
        if self._generation != self._order.generation:
            raise BadState(
                "the component handle is void, its document has changed since",
                native=hresult("VSS_E_BAD_STATE"),
                hint="Ask for the components again.",
            )
        return self._component


class ComponentChoice:
    """The writers that answered, and the components that were named.

    Attributes:
        component_mode: Whether only writers with named components take part [VSS-17].
        explicit: The named components.
        stamps: What the writers are told of their last backup, by component [VSS-66].
    """

    def __init__(self, engine: Engine, order: CallOrder) -> None:
        self._engine = engine
        self._order = order
        self._disabled: set[str] = set()
        self._gathered: list[tuple[Enrolled, WriterMetadata]] | None = None
        self.component_mode: bool = True
        self.explicit: dict[ComponentId, Component] = {}
        self.stamps: dict[ComponentId, str] = {}

    @property
    def is_gathered(self) -> bool:
        """Whether the writers were asked who they are."""
        return self._gathered is not None

    @property
    def writers(self) -> Sequence[tuple[Enrolled, WriterMetadata]]:
        """The writers that answered, with what they said; none before they were asked."""
        return self._gathered or ()

    # -- metadata ----------------------------------------------------------------------------

    def disable_writers(self, writers: Collection[str]) -> None:
        """Leave out writers by class or instance id; works before metadata is gathered only."""
        self._order.enter(RequestorCall.DISABLE_WRITERS, ", ".join(sorted(writers)))
        if self._gathered is None:
            self._disabled |= {guid(each) for each in writers}

    def gather(self, budget: Budget | None = None) -> int:
        """Ask every writer who it is, once; the number that answered.

        Raises:
            Stopped: The budget is spent before everybody was asked.
            BadState: They were asked before, or it is too early or late.
        """
        call = RequestorCall.GATHER_WRITER_METADATA
        self._order.check(call)
        if self._gathered is not None:
            raise self._order.refusal(call, "was called before")
        self._order.enter(call)
        self._gathered = [
            (member, metadata)
            for member, metadata in self._engine.roster.identify(budget)
            if not self._disabled & {metadata.writer_id, metadata.instance_id}
        ]
        return len(self._gathered)

    def metadata(self) -> tuple[WriterMetadata, ...]:
        """What the writers said; it never changes for this object.

        Raises:
            BadState: Nothing was gathered.
        """
        call = RequestorCall.GET_WRITER_METADATA
        self._order.check(call)
        return tuple(metadata for _, metadata in self.require_gathered(call))

    def require_gathered(self, call: RequestorCall) -> Sequence[tuple[Enrolled, WriterMetadata]]:
        """The writers that answered.

        Raises:
            BadState: Nothing was gathered, and `call` needs it.
        """
        if self._gathered is None:
            raise self._order.refusal(call, "needs GatherWriterMetadata first")
        return self._gathered

    # -- components --------------------------------------------------------------------------

    def add(self, component: ComponentId) -> None:
        """Name a component explicitly.

        Raises:
            BadState: The context has no writers; or, of a strict service, a set was begun.
            ServiceError: It was added before (VSS_E_OBJECT_ALREADY_EXISTS).
            NotFound: No writer has it (VSS_E_OBJECT_NOT_FOUND).
            UsageError: Two instances of one writer class have it, and it names neither.
        """
        call = RequestorCall.ADD_COMPONENT
        self._order.check(call)
        if self._order.without_writers:
            raise self._order.refusal(call, "needs a context with writers")
        # Strict: before StartSnapshotSet as documented; else before PrepareForBackup [VSS 1.1 row
        # 8].
        if self._engine.strict and self._order.set_id is not None:
            raise self._order.refusal(call, "comes after StartSnapshotSet")
        if component in self.explicit:
            raise ServiceError(
                f"component {component.full_path} was added before",
                context={"component": component.full_path},
                native=hresult("VSS_E_OBJECT_ALREADY_EXISTS"),
                hint="Name each component once.",
            )
        found = self._known(component)
        # Entered after the search: an unknown component changes nothing [VSS-21].
        self._order.enter(call, component.full_path)
        self.explicit[component] = found

    def set_stamp(self, component: ComponentId, stamp: str) -> None:
        """Note the stamp that a writer gave at the last backup [VSS-66].

        Raises:
            NotFound: The component was not added.
        """
        call = RequestorCall.SET_PREVIOUS_BACKUP_STAMP
        self._order.check(call)
        self.require_explicit(component)
        self._order.enter(call, component.full_path)
        self.stamps[component] = stamp

    def handles(self) -> tuple[ComponentHandle, ...]:
        """The explicit components; the handles become void when writers may change them."""
        self._order.check(RequestorCall.GET_WRITER_METADATA)
        generation = self._order.generation
        return tuple(
            ComponentHandle(each, generation, self._order) for each in self.explicit.values()
        )

    def require_explicit(self, component: ComponentId) -> None:
        """Refuse a component that was not added.

        Raises:
            NotFound: It was not added (VSS_E_OBJECT_NOT_FOUND).
        """
        if component not in self.explicit:
            raise _not_found(f"explicit component {component.full_path}")

    def of_writer(self, metadata: WriterMetadata) -> tuple[Component, ...]:
        """The explicit components of one writer, in the order in which they were added."""
        return tuple(
            each
            for id_, each in self.explicit.items()
            if id_.writer_id == metadata.writer_id
            and any(id_ == known.id for known in metadata.components)
        )

    def _known(self, component: ComponentId) -> Component:
        owners = [
            (metadata, each)
            for metadata in self.metadata()
            for each in metadata.components
            if each.id == component
        ]
        if not owners:
            raise _not_found(f"component {component.told}")
        if len(owners) > 1:
            raise UsageError(
                f"component {component.told} is one of {len(owners)} writer instances: "
                + ", ".join(f"{each.name} {each.instance_id}" for each, _ in owners),
                context={"instances": [each.instance_id for each, _ in owners]},
                hint="Let the writers name their instances.",
            )
        return owners[0][1]


def _not_found(what: str) -> NotFound:
    return NotFound(
        f"there is no {what}",
        native=hresult("VSS_E_OBJECT_NOT_FOUND"),
        hint="Look at the writers' metadata.",
    )
