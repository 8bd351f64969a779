"""Capacity of disk groups: allocation units, redundancy, reserves and what still fits.

What it is: pure arithmetic on PSEGs. What it is not: a mirror of the memory that the simulator
uses; a virtual disk costs its full size here, as on a real array, even where its volume in the
block store is thin.

Sources: [EVA 1.3] (arithmetic measured on a dump), [EVA 1.6] (what each kind of copy costs).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.errors import UsageError
from frskit.eva.models import PSEG_BYTES, ProtectionLevel, Vraid
from frskit.model.storage import CopyKind, CopyState, DiskGroup

if TYPE_CHECKING:
    from collections.abc import Iterable

    from frskit.eva.demand_allocation import DemandMaps
    from frskit.eva.records import GroupRecord, VirtualDisk

__all__ = [
    "allocated_bytes",
    "disk_psegs",
    "fitting_psegs",
    "group_view",
    "raw_psegs",
    "reserve_psegs",
    "usable_psegs",
    "used_psegs",
]


def usable_psegs(size_bytes: int) -> int:
    """PSEGs that hold this many bytes."""
    return -(-size_bytes // PSEG_BYTES)


def raw_psegs(usable: int, vraid: Vraid) -> int:
    """Raw PSEGs behind usable ones of this Vraid, rounded up.

    Example:
        >>> raw_psegs(5, Vraid.VRAID5), raw_psegs(5, Vraid.VRAID1)
        (7, 10)
    """
    return -(-usable * vraid.quarters // 4)


def fitting_psegs(free_raw: int, vraid: Vraid) -> int:
    """Usable PSEGs of this Vraid that fit into free raw ones [EVA-21]."""
    return max(0, free_raw) * 4 // vraid.quarters


def reserve_psegs(total: int, protection: ProtectionLevel, disks: int) -> int:
    """Raw PSEGs held back for the protection level [EVA 1.3].

    Raises:
        UsageError: The group has no disks, or fewer than the level needs.
    """
    if disks < 1 or protection.reserved_disks >= disks:
        raise UsageError(
            f"protection level {protection.value!r} needs more than "
            f"{protection.reserved_disks} disks, not {disks}"
        )
    return -(-total // disks) * protection.reserved_disks


def allocated_bytes(disk: VirtualDisk, maps: DemandMaps) -> int:
    """What a disk costs now, in usable bytes [EVA 1.6].

    Everything costs its full size but demand-allocated snapshots, which cost what they preserve,
    and invalid ones, which hold nothing any more (frskit's choice).
    """
    if disk.state is CopyState.INVALID:
        return 0
    if disk.kind is CopyKind.VSNAP:
        return maps.psegs(disk.id) * PSEG_BYTES
    return usable_psegs(disk.size_bytes) * PSEG_BYTES


def disk_psegs(disk: VirtualDisk, maps: DemandMaps) -> int:
    """What a disk costs now, in raw PSEGs."""
    return raw_psegs(allocated_bytes(disk, maps) // PSEG_BYTES, disk.vraid)


def used_psegs(group: GroupRecord, disks: Iterable[VirtualDisk], maps: DemandMaps) -> int:
    """Raw PSEGs of a group that are taken: reserve, disks, and staged copies among `disks`."""
    name = group.name
    return group.reserve_psegs + sum(disk_psegs(disk, maps) for disk in disks if disk.group == name)


def group_view(group: GroupRecord, used: int, vraid: Vraid) -> DiskGroup:
    """A group as callers see it."""
    return DiskGroup(
        name=group.name,
        total_bytes=group.total_psegs * PSEG_BYTES,
        used_bytes=used * PSEG_BYTES,
        copies_fit_bytes=fitting_psegs(group.total_psegs - used, vraid) * PSEG_BYTES,
    )
