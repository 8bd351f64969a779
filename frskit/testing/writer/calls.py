"""The one place of the kit's newer parts that calls a writer.

Which events have a budget is read from the protocol, so a part only says which event comes, and
with which budget if that matters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from attrs import evolve

from frskit.model.components import BackupType, WriterSession
from frskit.model.ids import SetId
from frskit.protocols import Writer
from frskit.testing.strangers import call

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from frskit.clock import Budget
    from frskit.model.components import ComponentId, WriterMetadata, WriterRecord
    from frskit.testing.writer.world import WriterWorld

__all__ = ["SETS", "STAGES", "Backup", "identify"]

SETS = tuple(SetId(f"{digit * 8}-1111-4111-8111-111111111111") for digit in "345")
STAGES = ("prepare_backup", "prepare_snapshot", "freeze", "thaw", "post_snapshot")
"""The events that create a copy, in their order."""


def _call(
    world: WriterWorld, event: str, *arguments: WriterSession, budget: Budget | None
) -> object:
    return call(Writer, world.writer, event, *arguments, budget=budget or world.budget())


def identify(world: WriterWorld) -> WriterMetadata:
    """What the writer says of itself."""
    return cast("WriterMetadata", _call(world, "identify", budget=None))


class Backup:
    """One session, whose events come when the part says so.

    Args:
        world: The writer's world.
        set_id: Of the session.
        backup_type: What kind of backup.
    """

    def __init__(
        self,
        world: WriterWorld,
        set_id: SetId = SETS[0],
        *,
        backup_type: BackupType = BackupType.FULL,
    ) -> None:
        self.world = world
        self.session: WriterSession = WriterSession(
            session_id=set_id, backup_type=backup_type, components=tuple(world.components)
        )

    def event(self, name: str, *, budget: Budget | None = None) -> object:
        """Send one event."""
        if name == "prepare_snapshot":
            self.session = evolve(
                self.session,
                volumes=frozenset(self.world.volumes),
                mount_points=self._places(),
            )
        return _call(self.world, name, self.session, budget=budget)

    def _places(self) -> tuple[str, ...]:
        """As if each directory were a volume of its own: nothing else is in the set."""
        components = identify(self.world).components
        return tuple(dict.fromkeys(files.path for each in components for files in each.files))

    def upto(self, stage: str) -> Backup:
        """Send the events that create a copy, up to and including one."""
        for each in STAGES[: STAGES.index(stage) + 1]:
            self.event(each)
        return self

    def records(self) -> tuple[WriterRecord, ...]:
        """PostSnapshot, and what it gave."""
        return tuple(cast("Sequence[WriterRecord]", self.event("post_snapshot")))

    def complete(self, succeeded: Mapping[ComponentId, bool]) -> None:
        """BackupComplete with an outcome by component, then BackupShutdown."""
        self.judge(succeeded)
        self.event("backup_shutdown")

    def told(self, *, succeeded: bool) -> None:
        """BackupComplete with one outcome for all, then BackupShutdown."""
        self.complete(dict.fromkeys(self.session.components, succeeded))

    def judge(self, succeeded: Mapping[ComponentId, bool]) -> None:
        """BackupComplete alone."""
        self.session = evolve(self.session, succeeded=dict(succeeded))
        self.event("backup_complete")

    def all_good(self) -> dict[ComponentId, bool]:
        """The outcome of a backup that succeeded."""
        return dict.fromkeys(self.session.components, True)
