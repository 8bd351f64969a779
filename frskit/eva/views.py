"""A virtual disk as the array's management software shows it.

What it is: the fields of [EVA 1.4] that follow from the records: path, family, type, sharing,
capacities. What it is not: XML; emulators spell these values out, with the texts of
`frskit.codes.eva`.
"""

from __future__ import annotations

from attrs import frozen

from frskit.codes.eva import DISK_TYPES, SHARING
from frskit.eva.identifiers import ObjectIdentity, dashed
from frskit.eva.models import Vraid
from frskit.eva.records import ArrayTables, VirtualDisk
from frskit.model.ids import StorageId
from frskit.model.storage import CopyKind

__all__ = ["DiskView", "disk_view"]


@frozen(kw_only=True)
class DiskView:
    """What management software shows of one disk.

    Attributes:
        path: Full name: folder, family, and ``ACTIVE`` or the snapshot's name [D-vd, D-sn].
        family: Name above the last component.
        identity: The object's number.
        wwlun: World wide LUN name in groups of four.
        disk_type: ``virtualdisktype``.
        sharing: ``sharingrelationship``.
        parent: Source of a snapshot or normalizing snapclone, else None.
        child: Newest dependent copy, else None (which one is shown is frskit's choice).
        presented: Whether a host sees it [EVA-48].
        requested_bytes: 0 for demand-allocated snapshots [D-sn]: take the parent's.
        allocated_bytes: As the array reports it, 0 for demand-allocated snapshots [D-sn].
        vraid: Redundancy.
        disk_group: Name of its disk group.
    """

    path: str
    family: str
    identity: ObjectIdentity
    wwlun: str
    disk_type: str
    sharing: str
    parent: StorageId | None
    child: StorageId | None
    presented: bool
    requested_bytes: int
    allocated_bytes: int
    vraid: Vraid
    disk_group: str


def disk_view(tables: ArrayTables, disk: VirtualDisk) -> DiskView:
    """How the array shows this disk."""
    dependents = tables.dependents.rows.get(disk.id, ())
    parent = tables.disks.rows[disk.source] if disk.source and disk.depends else None
    family = parent.name if parent is not None and disk.is_snapshot else disk.name
    last = disk.name if disk.is_snapshot else "ACTIVE"
    size_bytes = 0 if disk.kind is CopyKind.VSNAP else disk.size_bytes
    return DiskView(
        path=f"\\Virtual Disks\\{family}\\{last}",
        family=family,
        identity=disk.identity,
        wwlun=dashed(disk.wwlun),
        disk_type=_disk_type(disk),
        sharing=_sharing(tables, disk),
        parent=None if parent is None else parent.id,
        child=dependents[-1] if dependents else None,
        presented=disk.id in tables.shown.rows,
        requested_bytes=size_bytes,
        allocated_bytes=size_bytes,
        vraid=disk.vraid,
        disk_group=disk.group,
    )


def _disk_type(disk: VirtualDisk) -> str:
    if disk.kind is None or not disk.depends:
        return DISK_TYPES["original"].text
    return DISK_TYPES[disk.kind.value].text


def _sharing(tables: ArrayTables, disk: VirtualDisk) -> str:
    if disk.is_snapshot:
        return SHARING["child"].text
    if disk.is_normalizing:
        return SHARING["unsharing"].text
    if any(each.is_snapshot for each in tables.dependents_of(disk.id)):
        return SHARING["parent"].text
    return SHARING["none"].text
