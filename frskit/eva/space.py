"""Space in disk groups as the array's records use it, and room for demand-allocated snapshots.

What it is: what is taken and free now, and what happens when a vsnap must grow [EVA 1.7]. What it
is not: the arithmetic, which is in `frskit.eva.capacity`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from frskit.errors import InsufficientCapacity
from frskit.eva.capacity import disk_psegs, raw_psegs, used_psegs
from frskit.eva.models import ExhaustionPolicy
from frskit.model.storage import CopyKind, CopyState

if TYPE_CHECKING:
    from frskit.eva.array_state import ArrayState
    from frskit.eva.records import GroupRecord, VirtualDisk

__all__ = ["DemandSnapshots", "GroupSpace"]


class GroupSpace:
    """What the disk groups of one array have left.

    Args:
        state: The array's state.
    """

    def __init__(self, state: ArrayState) -> None:
        self._state = state

    def used_psegs(self, group: GroupRecord) -> int:
        """Raw PSEGs taken: reserve, disks and staged copies."""
        used = used_psegs(group, self._state.tables.disks.rows.values(), self._state.maps)
        staged = (each for each in self._state.staged_disks() if each.group == group.name)
        return used + sum(disk_psegs(each, self._state.maps) for each in staged)

    def free_psegs(self, group: str) -> int:
        """Raw PSEGs left.

        Raises:
            StorageNotFound: There is no such group.
        """
        record = self._state.group(group)
        return record.total_psegs - self.used_psegs(record)

    def take(self, group: str, raw: int) -> None:
        """Refuse what does not fit [EVA-20].

        Raises:
            InsufficientCapacity: It does not.
            StorageNotFound: There is no such group.
        """
        free = self.free_psegs(group)
        if raw > free:
            raise InsufficientCapacity(
                f"the disk group {group!r} has {free} free segments of 2 MiB, not {raw}",
                context={"disk_group": group, "free_psegs": free, "wanted_psegs": raw},
            )


class DemandSnapshots:
    """The demand-allocated snapshots of one array, as far as they take space.

    Args:
        state: The array's state.
        space: What its disk groups have left.
    """

    def __init__(self, state: ArrayState, space: GroupSpace) -> None:
        self._state = state
        self._space = space

    def preserve(self, disk: VirtualDisk, offset: int, length: int) -> None:
        """Make room in the vsnaps that a write will touch, or apply the exhaustion policy.

        Raises:
            InsufficientCapacity: The write must not happen; nothing has changed.
        """
        page = self._state.maps.page_bytes
        first, last = offset // page, (offset + length - 1) // page
        touched = [disk] if disk.kind is CopyKind.VSNAP else self.dependents(disk)
        growth = [
            raw_psegs(self._state.maps.psegs_after(each.id, first, last), each.vraid)
            - raw_psegs(self._state.maps.psegs(each.id), each.vraid)
            for each in touched
        ]
        if any(growth):
            touched = self._make_room(disk, touched, growth)
        for each in touched:
            self._state.maps.mark(each.id, first, last)

    def dependents(self, disk: VirtualDisk) -> list[VirtualDisk]:
        """The valid vsnaps of a disk, oldest first."""
        return [
            each
            for each in self._state.tables.dependents_of(disk.id)
            if each.kind is CopyKind.VSNAP and each.state is CopyState.DEPENDENT
        ]

    def _make_room(
        self, disk: VirtualDisk, touched: list[VirtualDisk], growth: list[int]
    ) -> list[VirtualDisk]:
        """The vsnaps that may grow by `growth`; the oldest are given up where policy says so."""
        free = self._space.free_psegs(disk.group)
        gives_up = self._state.profile.exhaustion is ExhaustionPolicy.INVALIDATE_SNAPSHOTS
        if sum(growth) > free and (disk.kind is CopyKind.VSNAP or not gives_up):
            raise InsufficientCapacity(
                f"the disk group {disk.group!r} is full: nothing was written to {disk.name!r}",
                context={"storage": disk.id, "disk_group": disk.group},
            )
        while sum(growth) > free:
            free += disk_psegs(touched[0], self._state.maps)
            self.invalidate(touched[0])
            touched, growth = touched[1:], growth[1:]
        return touched

    def invalidate(self, disk: VirtualDisk) -> None:
        """Give a vsnap up for good: it holds no data and costs nothing any more [EVA 1.7]."""
        with self._state.change():
            self._state.store.delete(disk.volume)
            self._state.tables.disks.put(disk.id, evolve(disk, volume=-1, state=CopyState.INVALID))
            self._state.maps.drop(disk.id)
            self._state.log("invalidated", disk.name, disk.id)
