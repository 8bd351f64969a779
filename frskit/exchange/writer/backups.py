"""What the writer remembers of a backup that takes part in, and which event may follow which.

State lives in memory only: a restart of the service forgets every backup [EXC-14].
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from frskit.exchange.storage_group import StorageGroup
    from frskit.exchange.store import SnapshotSession
    from frskit.model.components import ComponentId, WriterSession

__all__ = ["NEXT_STATE", "BackupJob", "GroupBackup", "JobState"]


class JobState(Enum):
    """How far a backup has come at the writer."""

    PREPARED = "prepared for backup"
    READY = "prepared for snapshot"
    FROZEN = "frozen"
    THAWED = "thawed"
    COPIED = "waiting for the verdict"
    FAILED = "failed"


NEXT_STATE: dict[tuple[str, JobState], JobState] = {
    ("prepare_snapshot", JobState.PREPARED): JobState.READY,
    ("freeze", JobState.READY): JobState.FROZEN,
    ("thaw", JobState.FROZEN): JobState.THAWED,
    ("post_snapshot", JobState.THAWED): JobState.COPIED,
    ("backup_complete", JobState.COPIED): JobState.COPIED,
}
"""Event x state -> state; what is not listed is out of order, -2401 [EXC-11]. PrepareBackup makes
a job, BackupShutdown and Abort remove it, in any state."""


@define(kw_only=True, eq=False)
class GroupBackup:
    """One storage group in a backup.

    Attributes:
        component: Its component.
        group: The group.
        session: The engine's session below.
        needed: Rmin and Rmax of the frozen headers; None before the freeze, or if all are clean.
    """

    component: ComponentId
    group: StorageGroup
    session: SnapshotSession
    needed: tuple[int, int] | None = None


@define(kw_only=True, eq=False)
class BackupJob:
    """One backup that the writer takes part in.

    Attributes:
        request: What the service said at PrepareBackup.
        state: How far it has come.
        groups: The storage groups in it.
    """

    request: WriterSession
    state: JobState = JobState.PREPARED
    groups: list[GroupBackup] = field(factory=list)
