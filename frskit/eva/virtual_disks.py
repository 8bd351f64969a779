"""Disk groups and virtual disks of the simulated array.

What it is: the storage half of `DiskArray`, most of `SupportsProvisioning`, and the commands
beside them that an array's own command line has (rename, resize). What it is not: hosts, copies and
presentations, which are in `frskit.eva.hosts`, `frskit.eva.copy_sets`, `frskit.eva.presentations`.

Sources: [EVA 1.3 to 1.5]; minimum and defaults marked there as recalled come from the profile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from frskit.errors import LimitExceeded, NameInUse, UsageError
from frskit.eva.capacity import (
    allocated_bytes,
    group_view,
    raw_psegs,
    reserve_psegs,
    usable_psegs,
)
from frskit.eva.identifiers import ObjectClass, storage_id, wwlun_name
from frskit.eva.models import PSEG_BYTES, ProtectionLevel, Vraid
from frskit.eva.records import GroupRecord, VirtualDisk
from frskit.eva.rules import check_delete, check_resize
from frskit.eva.views import DiskView, disk_view
from frskit.model.ids import StorageId
from frskit.model.storage import CopyKind, DiskGroup, Storage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from frskit.clock import Budget
    from frskit.eva.array_state import ArrayState
    from frskit.eva.space import GroupSpace

__all__ = ["BLOCK_BYTES", "SMALLEST_GROUP_DISKS", "VirtualDisks"]

BLOCK_BYTES = 512
"""A SCSI block; sizes are whole blocks (frskit's choice)."""
SMALLEST_GROUP_DISKS = 8
"""Disks of a group when nothing is said; recalled [EVA 1.3]."""


class VirtualDisks:
    """The disk groups and virtual disks of one array.

    Arguments, results and errors are described at `frskit.eva.array.SimulatedEva`.

    Args:
        state: The array's state.
        space: What its disk groups have left.
    """

    def __init__(self, state: ArrayState, space: GroupSpace) -> None:
        self._state = state
        self._space = space

    # --- disk groups -----------------------------------------------------------------------

    def disk_groups(self) -> Sequence[DiskGroup]:
        """The disk groups in raw bytes, by age; space that staged copies hold counts as used."""
        with self._state.query():
            vraid = self._state.profile.default_vraid
            groups = self._state.tables.groups.rows.values()
            return tuple(group_view(each, self._space.used_psegs(each), vraid) for each in groups)

    def create_disk_group(
        self,
        name: str,
        *,
        size_bytes: int,
        protection: ProtectionLevel = ProtectionLevel.NONE,
        disks: int = SMALLEST_GROUP_DISKS,
    ) -> DiskGroup:
        """Make a disk group."""
        total = size_bytes // PSEG_BYTES
        if total < 1:
            raise UsageError(f"a disk group of {size_bytes} bytes has no room for anything")
        reserve = reserve_psegs(total, protection, disks)
        with self._state.command():
            tables = self._state.tables
            names = self._state.profile.names
            names.check(name, "disk group")
            if any(names.same(name, each) for each in tables.groups.rows):
                raise NameInUse(f"there is a disk group {name!r}", context={"disk_group": name})
            if len(tables.groups.rows) >= self._state.profile.max_disk_groups:
                raise LimitExceeded(
                    f"{self._state.profile.model} has at most {self._state.profile.max_disk_groups} disk groups"
                )
            group = GroupRecord(
                name=name,
                identity=self._state.new_identity(ObjectClass.DISK_GROUP),
                total_psegs=total,
                reserve_psegs=reserve,
                protection=protection,
                disks=disks,
            )
            tables.groups.put(name, group)
            self._state.log("create_disk_group", name, group.identity.hexuid)
            return group_view(group, reserve, self._state.profile.default_vraid)

    # --- virtual disks ---------------------------------------------------------------------

    def storage(
        self, ids: Iterable[StorageId] | None = None, *, budget: Budget | None = None
    ) -> Sequence[Storage]:
        """Virtual disks and copies, oldest first; with `ids` those of them that exist."""
        if budget is not None:
            budget.check("listing storage")
        wanted = None if ids is None else set(ids)
        with self._state.query():
            disks = self._state.tables.disks.rows.values()
            return tuple(
                Storage(
                    id=disk.id,
                    name=disk.name,
                    size_bytes=disk.size_bytes,
                    allocated_bytes=allocated_bytes(disk, self._state.maps),
                    disk_group=disk.group,
                    comment=disk.comment,
                    created_at=disk.created_at,
                    identifiers=disk.identifiers,
                )
                for disk in disks
                if wanted is None or disk.id in wanted
            )

    def create_storage(
        self,
        name: str,
        size_bytes: int,
        *,
        disk_group: str,
        vraid: Vraid | None = None,
        comment: str = "",
        wwlun: str = "",
    ) -> StorageId:
        """Make a virtual disk that reads as zeros."""
        size_bytes = -(-size_bytes // BLOCK_BYTES) * BLOCK_BYTES
        vraid = vraid or self._state.profile.default_vraid
        with self._state.command():
            self._check_size(size_bytes, vraid)
            self._state.check_free_name(name)
            self._state.check_comment(comment)
            self._space.take(disk_group, raw_psegs(usable_psegs(size_bytes), vraid))
            identity = self._state.new_identity(ObjectClass.VDISK)
            storage = storage_id(identity)
            disk = VirtualDisk(
                id=storage,
                identity=identity,
                name=name,
                size_bytes=size_bytes,
                group=disk_group,
                vraid=vraid,
                volume=self._state.store.create(size_bytes),
                created_at=self._state.at,
                comment=comment,
                forced_wwlun=wwlun_name(wwlun) if wwlun else "",
            )
            self._state.check_free_wwlun(disk)
            self._state.tables.add_disk(disk)
            self._state.log("create_storage", name, storage)
            return storage

    def _check_size(self, size_bytes: int, vraid: Vraid) -> None:
        profile = self._state.profile
        if vraid not in profile.vraids:
            raise UsageError(f"{profile.model} has no {vraid.value}")
        if not profile.min_vdisk_bytes <= size_bytes <= profile.max_vdisk_bytes:
            raise LimitExceeded(
                f"{profile.model} has no virtual disks of {size_bytes} bytes",
                context={"size_bytes": size_bytes},
            )
        staged = sum(1 for _ in self._state.staged_disks())
        if len(self._state.tables.disks.rows) + staged >= profile.max_vdisks:
            raise LimitExceeded(f"{profile.model} has at most {profile.max_vdisks} virtual disks")

    def virtual_disk(self, storage: StorageId) -> VirtualDisk:
        """The array's full record of a disk: identity, Vraid, source."""
        with self._state.query():
            return self._state.disk(storage)

    def describe(self, storage: StorageId) -> DiskView:
        """A disk as the array's management software shows it [EVA 1.4]."""
        with self._state.query():
            return disk_view(self._state.tables, self._state.disk(storage))

    def rename_storage(self, storage: StorageId, name: str) -> None:
        """Give a disk another name; ids and presentations stay [EVA-42]."""
        with self._state.command():
            disk = self._state.disk(storage)
            if disk.name == name:
                return
            self._state.check_free_name(name)
            self._state.tables.names.drop(disk.name)
            self._state.tables.names.put(name, disk.id)
            self._state.tables.disks.put(disk.id, evolve(disk, name=name))
            self._state.log("rename_storage", disk.name, name)

    def resize_storage(self, storage: StorageId, size_bytes: int) -> None:
        """Change a disk's size; what is added reads as zeros, what remains keeps its bytes."""
        size_bytes = -(-size_bytes // BLOCK_BYTES) * BLOCK_BYTES
        with self._state.command():
            disk = self._state.disk(storage)
            refusal = check_resize(self._state.seen_by_rules(disk), size_bytes, self._state.profile)
            if refusal is not None:
                raise refusal.as_error(storage=storage)
            before = raw_psegs(usable_psegs(disk.size_bytes), disk.vraid)
            self._space.take(disk.group, raw_psegs(usable_psegs(size_bytes), disk.vraid) - before)
            self._state.store.resize(disk.volume, size_bytes)
            copied = size_bytes if disk.kind is CopyKind.SNAPCLONE else 0
            self._state.tables.disks.put(
                disk.id, evolve(disk, size_bytes=size_bytes, copied_bytes=copied)
            )
            self._state.log("resize_storage", disk.name, str(size_bytes))

    def delete_storage(self, storage: StorageId, *, budget: Budget) -> None:
        """Delete a disk or copy and give its space back [EVA-60]. Unknown ids are fine."""
        budget.check("deleting storage")
        with self._state.command():
            disk = self._state.tables.disks.rows.get(storage)
            if disk is None:
                return
            refusal = check_delete(self._state.seen_by_rules(disk))
            if refusal is not None:
                raise refusal.as_error(storage=storage)
            self._state.tables.drop_disk(disk)
            if disk.volume >= 0:
                self._state.store.delete(disk.volume)
            self._forget_set(disk)
            self._state.maps.drop(storage)
            self._state.log("delete_storage", disk.name, storage)

    def _forget_set(self, disk: VirtualDisk) -> None:
        """A committed set is forgotten with its last member; its key is free again."""
        copy_set = None if disk.key is None else self._state.tables.sets.rows.get(disk.key)
        if copy_set is not None and not any(
            each in self._state.tables.disks.rows for each in copy_set.members
        ):
            self._state.tables.sets.drop(copy_set.key)
