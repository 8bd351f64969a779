"""Disk groups, virtual disks and hosts of the simulated array.

What it is: `SupportsProvisioning`, the storage half of `DiskArray`, and the commands beside them
that an array's own command line has (rename, resize, delete a host). What it is not: copies and
presentations, which are in `frskit.eva.copying` and `frskit.eva.presenting`.

Sources: [EVA 1.3 to 1.5]; minimum and defaults marked there as recalled come from the profile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from frskit.errors import LimitExceeded, NameInUse, StillPresented, UsageError
from frskit.eva.capacity import (
    allocated_bytes,
    group_view,
    raw_psegs,
    reserve_psegs,
    usable_psegs,
)
from frskit.eva.identifiers import ObjectClass, port_name, storage_id
from frskit.eva.management import EvaCore
from frskit.eva.models import PSEG_BYTES, ProtectionLevel, Vraid
from frskit.eva.records import GroupRecord, HostRecord, VirtualDisk
from frskit.eva.rules import check_delete, check_resize
from frskit.eva.views import DiskView, disk_view
from frskit.model.ids import HostRef, StorageId
from frskit.model.storage import CopyKind, DiskGroup, Storage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from frskit.clock import Budget

__all__ = ["ProvisioningEva"]

_BLOCK_BYTES = 512  # a SCSI block; sizes are whole blocks (frskit's choice)
_SMALLEST_GROUP_DISKS = 8  # recalled [EVA 1.3]


class ProvisioningEva(EvaCore):
    """The provisioning commands."""

    # --- disk groups -----------------------------------------------------------------------

    def disk_groups(self) -> Sequence[DiskGroup]:
        """The disk groups in raw bytes, by age; space that staged copies hold counts as used."""
        with self._query():
            vraid = self._profile.default_vraid
            groups = self._tables.groups.rows.values()
            return tuple(group_view(each, self._used_psegs(each), vraid) for each in groups)

    def create_disk_group(
        self,
        name: str,
        *,
        size_bytes: int,
        protection: ProtectionLevel = ProtectionLevel.NONE,
        disks: int = _SMALLEST_GROUP_DISKS,
    ) -> DiskGroup:
        """Make a disk group.

        Args:
            name: Its name.
            size_bytes: Raw capacity, rounded down to whole segments of 2 MiB [EVA-22].
            protection: Protection level; its reserve counts as used from the start.
            disks: Number of equal disks, for the size of that reserve.

        Raises:
            NameInUse, LimitExceeded: As said.
            UsageError: Smaller than one segment, or too few disks for the protection level.
        """
        total = size_bytes // PSEG_BYTES
        if total < 1:
            raise UsageError(f"a disk group of {size_bytes} bytes has no room for anything")
        reserve = reserve_psegs(total, protection, disks)
        with self._command():
            tables = self._tables
            if name in tables.groups.rows:
                raise NameInUse(f"there is a disk group {name!r}", context={"disk_group": name})
            if len(tables.groups.rows) >= self._profile.max_disk_groups:
                raise LimitExceeded(
                    f"{self._profile.model} has at most {self._profile.max_disk_groups} disk groups"
                )
            group = GroupRecord(
                name=name,
                identity=self._identity(ObjectClass.DISK_GROUP),
                total_psegs=total,
                reserve_psegs=reserve,
                protection=protection,
                disks=disks,
            )
            tables.groups.put(name, group)
            self._log("create_disk_group", name, group.identity.hexuid)
            return group_view(group, reserve, self._profile.default_vraid)

    # --- virtual disks ---------------------------------------------------------------------

    def storage(self, ids: Iterable[StorageId] | None = None) -> Sequence[Storage]:
        """Virtual disks and copies, oldest first; with `ids` those of them that exist."""
        wanted = None if ids is None else set(ids)
        with self._query():
            disks = self._tables.disks.rows.values()
            return tuple(
                Storage(
                    id=disk.id,
                    name=disk.name,
                    size_bytes=disk.size_bytes,
                    allocated_bytes=allocated_bytes(disk, self._maps),
                    disk_group=disk.group,
                    comment=disk.comment,
                    created_at=disk.created_at,
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
        """Make a virtual disk that reads as zeros.

        Args:
            name: Unique among virtual disks and copies [EVA-44].
            size_bytes: Length; rounded up to a block of 512 bytes.
            disk_group: Where.
            vraid: Redundancy; None = the profile's default.
            comment: Free text.
            wwlun: World wide LUN name to force [EVA-43]; empty = a new one.

        Raises:
            InsufficientCapacity, NameInUse, LimitExceeded: As said.
            StorageNotFound: There is no such disk group.
            UsageError: The name or the Vraid is not possible.
        """
        size_bytes = -(-size_bytes // _BLOCK_BYTES) * _BLOCK_BYTES
        vraid = vraid or self._profile.default_vraid
        with self._command():
            self._check_size(size_bytes, vraid)
            self._free_name(name)
            self._take(disk_group, raw_psegs(usable_psegs(size_bytes), vraid))
            identity = self._identity(ObjectClass.VDISK)
            storage = storage_id(wwlun or identity.hexuid)
            staged = {each.id for each in self._staged_disks()}
            if storage in self._tables.disks.rows or storage in staged:
                raise NameInUse(f"the world wide LUN name {storage} is in use")
            disk = VirtualDisk(
                id=storage,
                identity=identity,
                name=name,
                size_bytes=size_bytes,
                group=disk_group,
                vraid=vraid,
                volume=self._store.create(size_bytes),
                created_at=self._at,
                comment=comment,
            )
            self._tables.add_disk(disk)
            self._log("create_storage", name, storage)
            return storage

    def _check_size(self, size_bytes: int, vraid: Vraid) -> None:
        profile = self._profile
        if vraid not in profile.vraids:
            raise UsageError(f"{profile.model} has no {vraid.value}")
        if not profile.min_vdisk_bytes <= size_bytes <= profile.max_vdisk_bytes:
            raise LimitExceeded(
                f"{profile.model} has no virtual disks of {size_bytes} bytes",
                context={"size_bytes": size_bytes},
            )
        staged = sum(1 for _ in self._staged_disks())
        if len(self._tables.disks.rows) + staged >= profile.max_vdisks:
            raise LimitExceeded(f"{profile.model} has at most {profile.max_vdisks} virtual disks")

    def virtual_disk(self, storage: StorageId) -> VirtualDisk:
        """The array's full record of a disk: identity, Vraid, source.

        Raises:
            StorageNotFound: There is no such disk.
        """
        with self._query():
            return self._disk(storage)

    def describe(self, storage: StorageId) -> DiskView:
        """A disk as the array's management software shows it [EVA 1.4].

        Raises:
            StorageNotFound: There is no such disk.
        """
        with self._query():
            return disk_view(self._tables, self._disk(storage))

    def rename_storage(self, storage: StorageId, name: str) -> None:
        """Give a disk another name; ids and presentations stay [EVA-42].

        Raises:
            StorageNotFound, NameInUse, LimitExceeded: As said.
            UsageError: The name is not possible.
        """
        with self._command():
            disk = self._disk(storage)
            if disk.name == name:
                return
            self._free_name(name)
            self._tables.names.drop(disk.name)
            self._tables.names.put(name, disk.id)
            self._tables.disks.put(disk.id, evolve(disk, name=name))
            self._log("rename_storage", disk.name, name)

    def resize_storage(self, storage: StorageId, size_bytes: int) -> None:
        """Change a disk's size; what is added reads as zeros, what remains keeps its bytes.

        Raises:
            HasDependents: It has snapshots or is being cloned [RULE-16].
            CopyConflict: It is a snapshot or is normalizing [RULE-16].
            StillPresented: Only hidden disks shrink (frskit's choice).
            InsufficientCapacity, LimitExceeded, StorageNotFound: As said.
        """
        size_bytes = -(-size_bytes // _BLOCK_BYTES) * _BLOCK_BYTES
        with self._command():
            disk = self._disk(storage)
            refusal = check_resize(self._seen_by_rules(disk), size_bytes, self._profile)
            if refusal is not None:
                raise refusal.as_error(storage=storage)
            before = raw_psegs(usable_psegs(disk.size_bytes), disk.vraid)
            self._take(disk.group, raw_psegs(usable_psegs(size_bytes), disk.vraid) - before)
            self._store.resize(disk.volume, size_bytes)
            copied = size_bytes if disk.kind is CopyKind.SNAPCLONE else 0
            self._tables.disks.put(
                disk.id, evolve(disk, size_bytes=size_bytes, copied_bytes=copied)
            )
            self._log("resize_storage", disk.name, str(size_bytes))

    def delete_storage(self, storage: StorageId, *, budget: Budget) -> None:
        """Delete a disk or copy and give its space back [EVA-60]. Unknown ids are fine.

        Raises:
            StillPresented: It is presented [EVA-38].
            HasDependents: It has snapshots, or a snapclone of it is normalizing [RULE-10].
        """
        budget.check("deleting storage")
        with self._command():
            disk = self._tables.disks.rows.get(storage)
            if disk is None:
                return
            refusal = check_delete(self._seen_by_rules(disk))
            if refusal is not None:
                raise refusal.as_error(storage=storage)
            self._tables.drop_disk(disk)
            if disk.volume >= 0:
                self._store.delete(disk.volume)
            self._forget_set(disk)
            self._maps.drop(storage)
            self._log("delete_storage", disk.name, storage)

    def _forget_set(self, disk: VirtualDisk) -> None:
        """A committed set is forgotten with its last member; its key is free again."""
        copy_set = None if disk.key is None else self._tables.sets.rows.get(disk.key)
        if copy_set is not None and not any(
            each in self._tables.disks.rows for each in copy_set.members
        ):
            self._tables.sets.drop(copy_set.key)

    # --- hosts -----------------------------------------------------------------------------

    def hosts(self) -> Sequence[HostRef]:
        """The host objects, by age."""
        with self._query():
            return tuple(self._tables.hosts.rows)

    def host_ports(self, host: HostRef) -> Sequence[str]:
        """The initiator ports of a host, in the array's spelling.

        Raises:
            StorageNotFound: There is no such host.
        """
        with self._query():
            return self._host(host).ports

    def add_host(self, name: str, *, ports: Sequence[str]) -> HostRef:
        """Make a host object of initiator ports; the same name and ports return the same.

        Raises:
            NameInUse: The name or a port belongs to another host [EVA-40].
            LimitExceeded: Too many hosts or ports.
            UsageError: The name is not possible, or there are no ports.
        """
        spelled = tuple(dict.fromkeys(map(port_name, ports)))
        host = HostRef(name)
        with self._command():
            hosts = self._tables.hosts.rows
            known = hosts.get(host)
            if known is not None and set(known.ports) == set(spelled):
                return host
            self._check_host(name, spelled)
            record = HostRecord(name=host, identity=self._identity(ObjectClass.HOST), ports=spelled)
            self._tables.hosts.put(host, record)
            self._log("add_host", name, " ".join(spelled))
            return host

    def _check_host(self, name: str, ports: tuple[str, ...]) -> None:
        profile, hosts = self._profile, self._tables.hosts.rows
        if not name.strip() or not ports:
            raise UsageError("a host needs a name and at least one port")
        if HostRef(name) in hosts:
            raise NameInUse(f"there is a host {name!r} with other ports", context={"host": name})
        for other in hosts.values():
            shared = sorted(set(ports) & set(other.ports))
            if shared:
                raise NameInUse(
                    f"the port {shared[0]} belongs to the host {other.name!r}",
                    context={"host": other.name, "port": shared[0]},
                )
        known_ports = sum(len(other.ports) for other in hosts.values())
        if len(hosts) >= profile.max_hosts or known_ports + len(ports) > profile.max_ports:
            raise LimitExceeded(
                f"{profile.model} has at most {profile.max_hosts} hosts "
                f"with {profile.max_ports} ports"
            )

    def delete_host(self, host: HostRef) -> None:
        """Delete a host object. Unknown ones are fine.

        Raises:
            StillPresented: It sees storage [EVA-39].
        """
        with self._command():
            if host not in self._tables.hosts.rows:
                return
            seen = [number for owner, number in self._tables.luns.rows if owner == host]
            if seen:
                raise StillPresented(
                    f"the host {host!r} sees {len(seen)} LUNs", context={"host": host}
                )
            self._tables.hosts.drop(host)
            self._log("delete_host", host)
