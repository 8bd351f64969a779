"""The restore half of a requestor object: the writers' events around the work [VSS 1.4].

Which files or LUNs are put back, and how, is not this module's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from attrs import define, evolve, field

from frskit.codes.hresult import hresult
from frskit.errors import NotFound, WriterError, WriterNotFound
from frskit.model.components import BackupType, ComponentId, WriterMetadata, WriterSession
from frskit.model.ids import SetId
from frskit.vss.documents.backup_document import BackupDocument
from frskit.vss.engine import Engine
from frskit.vss.state_tables import WriterEvent
from frskit.vss.writers import Enrolled

__all__ = ["Restoring"]


@define(eq=False)
class Restoring:
    """One restore: what is selected, and who has been told what.

    Attributes:
        additional: Whether more restores follow, so that writers must not finish yet.
    """

    _engine: Engine
    _document: BackupDocument
    additional: bool = False
    _selected: dict[ComponentId, Enrolled] = field(factory=dict, init=False)
    _status: dict[ComponentId, bool] = field(factory=dict, init=False)
    _agreed: list[tuple[Enrolled, WriterSession]] = field(factory=list, init=False)

    def select(
        self, component: ComponentId, writers: Sequence[tuple[Enrolled, WriterMetadata]]
    ) -> None:
        """Select an explicit component of the backup; writers are matched by class and instance.

        Raises:
            NotFound: The document does not name it.
            WriterNotFound: Its writer is not running.
        """
        if component not in self._document.explicit():
            raise NotFound(
                f"the document has no explicit component {component.full_path}",
                context={"component": component.full_path},
                native=hresult("VSS_E_OBJECT_NOT_FOUND"),
                hint="Select components that were explicit in the backup.",
            )
        # By class id, as VShadow does, for the run of the backup may be long gone [VSS 1.4]; of
        # several instances by the name that stays.
        mine = [each for each in writers if each[1].writer_id == component.writer_id]
        for member, metadata in mine:
            # A document that two nameless instances of one class are in knows their GUIDs only.
            if component.instance in (metadata.instance, metadata.instance_id):
                self._selected[component] = member
                return
        if not component.instance and len(mine) == 1:
            # The backup is from before the writer gave its instance a name.
            self._selected[component] = mine[0][0]
            return
        raise WriterNotFound(
            f"the writer of component {component.full_path} is not running",
            context={
                "component": component.full_path,
                "writer_id": component.writer_id,
                "instance": component.instance,
            },
            native=hresult("VSS_E_OBJECT_NOT_FOUND"),
        )

    def set_status(self, component: ComponentId, *, succeeded: bool) -> None:
        """Note the outcome of one component; PostRestore tells it.

        Raises:
            NotFound: It was not selected.
        """
        if component not in self._selected:
            raise NotFound(
                f"component {component.full_path} was not selected",
                context={"component": component.full_path},
                native=hresult("VSS_E_OBJECT_NOT_FOUND"),
                hint="Select it before PreRestore.",
            )
        self._status[component] = succeeded

    def pre_restore(self) -> None:
        """Ask every writer with selected components.

        Raises:
            WriterVeto: The first refusal; those who had agreed got PostRestore, because a restore
                has no abort [VSS 1.4].
        """
        session_id = SetId(self._engine.ids.guid())
        # Each writer hears one event for all its components.
        for member in dict.fromkeys(self._selected.values()):
            session = WriterSession(
                session_id=session_id,
                backup_type=self._document.backup_type or BackupType.OTHER,
                components=tuple(each for each, owner in self._selected.items() if owner is member),
                additional_restores=self.additional,
            )
            call = partial(member.writer.pre_restore, session, budget=self._engine.roster.budget())
            failure = self._engine.roster.deliver(member, WriterEvent.PRE_RESTORE, session, call)
            if failure is not None:
                # Those that had agreed before still wait for an end [VSS 1.4].
                self._tell_the_end(succeeded=False)
                raise failure
            self._agreed.append((member, session))

    def post_restore(self) -> None:
        """Tell every writer that had agreed that the work is over; each hears it once.

        Raises:
            WriterVeto: The first that could not finish.
        """
        failures = self._tell_the_end(succeeded=True)
        if failures:
            raise failures[0]

    def give_up(self) -> list[WriterError]:
        """Tell the writers that wait for PostRestore that nothing came of it; the failures.

        A restore has no abort [VSS 1.4], and nobody may wait for ever.
        """
        return self._tell_the_end(succeeded=False)

    def _tell_the_end(self, *, succeeded: bool) -> list[WriterError]:
        failures = []
        # Taken away first, so that nobody hears the end twice.
        agreed, self._agreed = self._agreed, []
        for member, session in agreed:
            # What was said of one component counts more than how the whole went.
            status = {each: self._status.get(each, succeeded) for each in session.components}
            last = evolve(session, succeeded=status)
            call = partial(member.writer.post_restore, last, budget=self._engine.roster.budget())
            failure = self._engine.roster.deliver(member, WriterEvent.POST_RESTORE, last, call)
            if failure is not None:
                failures.append(failure)
        return failures
