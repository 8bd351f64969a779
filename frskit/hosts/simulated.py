"""`SimulatedServer`: a server of the lab, with disks on an array and real volumes on them.

Every LUN carries a label (`frskit.storage.disk_label`) and behind it one volume of the lab's file system
(`frskit.storage.simfs`). The server remembers what it found under each LUN number until it rescans,
and never touches another disk than it remembers [HAZ-01]; it brings no two disks of one signature
online [HAZ-02]. Mount points are Windows paths.

What it is not: a cluster node or a Windows kernel. Mounts do not survive the object; the lab keeps
its own table and attaches again. Nothing guards against a second server that mounts the same LUN
for writing, as nothing does on a real SAN.

Choices of frskit: a disk whose label says read-only, or that is presented read-only, is mounted
read-only whatever was asked; hidden disks are mounted when asked for, never by themselves; writes
during a hold are refused with `VolumeBusy` and may be repeated, the file system's cache keeps them.
"""

from __future__ import annotations

import threading
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

from attrs import evolve

from frskit.errors import (
    DeviceError,
    HoldTimeout,
    StaleLun,
    VolumeBusy,
    VolumeNotFound,
)
from frskit.hosts.hold import HOLD_WINDOW_S, MeasuredHold
from frskit.hosts.lun_disk import LunDisk
from frskit.hosts.lun_mount import (
    LunMount,
    check_free,
    check_idle,
    check_online,
    describe_disk,
    flags_of,
    label_of,
)
from frskit.hosts.windows_paths import mount_point, split_volume_path
from frskit.model.ids import IdFactory, VolumeId
from frskit.model.server_paths import inside
from frskit.model.volumes import Disk, DiskFlags, Volume, VolumePath
from frskit.storage import LABEL_BYTES, DiskLabel, read_label, write_label
from frskit.storage.simfs import BLOCK_BYTES, SimFs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from frskit.clock import Budget, Clock
    from frskit.model.ids import HostRef, StorageId
    from frskit.protocols import ScsiTarget, Server, WriteHold

__all__ = ["SimulatedServer"]


class SimulatedServer:
    """One host of the lab. On construction it looks at its LUNs, as a server does when it boots.

    Args:
        name: Name of the server.
        host: The arrays' host object for it.
        targets: The arrays that it is connected to.
        clock: Measures holds and stamps files.
        ids: Makes signatures and volume ids in `initialize`.
    """

    def __init__(
        self,
        name: str,
        host: HostRef,
        targets: Sequence[ScsiTarget],
        *,
        clock: Clock,
        ids: IdFactory | None = None,
    ) -> None:
        self._name = name
        self._host = host
        self._targets = tuple(targets)
        self._clock = clock
        self._ids = ids or IdFactory()
        self._lock = threading.RLock()
        self._mounts: dict[StorageId, LunMount] = {}
        self._disks: dict[StorageId, LunDisk] = {}
        self._described: dict[StorageId, Disk] = {}
        self._look()

    @property
    def name(self) -> str:
        """Name of the server."""
        return self._name

    @property
    def host(self) -> HostRef:
        """The arrays' host object for it."""
        return self._host

    @property
    def runner(self) -> None:
        """Nothing can be run on a simulated server."""
        return None

    # -- disks -----------------------------------------------------------------------------------

    def disks(self) -> Sequence[Disk]:
        """The disks as the last rescan found them, by LUN number of each array."""
        return tuple(self._described.values())

    def rescan(self, *, budget: Budget) -> Sequence[Disk]:
        """Look at the LUNs again and return the disks that are new.

        A mounted disk that moved to another LUN number stays mounted.

        Raises:
            VolumeBusy: Disks with mounted volumes disappeared; those volumes are failed until they
                are detached, and what was not flushed to them is lost.
        """
        budget.check("rescanning")
        with self._lock:
            known = set(self._disks)
            self._look()
            lost = [
                mount
                for storage, mount in self._mounts.items()
                if storage not in self._disks and not mount.failed
            ]
            for mount in lost:
                # For good: if the disk came back, the file system's cache would be of another time.
                mount.failed = True
            if lost:
                points = ", ".join(mount.point for mount in lost)
                raise VolumeBusy(
                    f"{self._name}: the disks of mounted volumes disappeared: {points}",
                    hint="Detach a volume before its disk is unpresented.",
                    context={"storages": [mount.disk.storage for mount in lost]},
                )
            return tuple(disk for storage, disk in self._described.items() if storage not in known)

    def _look(self) -> None:
        before, self._disks = self._disks, {}
        for target in self._targets:
            for lun in target.report_luns(self._host):
                try:
                    found = LunDisk(target, lun)
                except DeviceError:
                    continue  # Unpresented between the two questions.
                # A known disk keeps its object, which mounted file systems use, under its new path.
                disk = before.get(found.storage, found)
                disk.move_to(found)
                self._disks[found.storage] = disk
        self._described = {storage: describe_disk(disk) for storage, disk in self._disks.items()}

    def set_flags(self, storages: Collection[StorageId], flags: DiskFlags) -> None:
        """Write flags into the label areas, durable on return; mounted volumes stay as they are.

        Raises:
            VolumeNotFound: The server has no such disk.
            WriteProtected: The disk is presented read-only, and its flags are others.
            VolumeBusy, StaleLun, DeviceError: As `LunDisk.write`.
        """
        with self._lock:
            for storage in storages:
                disk = self._disk(storage)
                label = read_label(disk)
                if label is None:
                    continue
                if flags_of(label) != flags:
                    write_label(
                        disk,
                        evolve(
                            label,
                            hidden=flags.hidden,
                            read_only=flags.read_only,
                            no_drive_letter=flags.no_drive_letter,
                            shadow_copy=flags.shadow_copy,
                        ),
                    )
                self._described[storage] = evolve(self._described[storage], flags=flags)

    def initialize(self, storage: StorageId, at: str, *, budget: Budget, text: str = "") -> Volume:
        """Give an empty disk a label and an empty volume, and mount it for writing.

        Args:
            storage: The disk.
            at: Mount point.
            budget: As everywhere.
            text: Free text of the label.

        Raises:
            VolumeBusy: The disk has a label already, or the mount point is taken.
            VolumeNotFound: The server has no such disk.
            UsageError: The disk is too small, or `at` is not a mount point.
            WriteProtected, DeviceError, StaleLun: As `LunDisk.write`.
        """
        budget.check("initializing a disk")
        with self._lock:
            disk = self._disk(storage)
            check_free(self._name, mount_point(at), self._mounts.values())
            if read_label(disk) is not None:
                raise VolumeBusy(
                    f"{self._name}: {storage} has a volume already",
                    hint="Only empty disks can be initialized.",
                    context={"storage": storage},
                )
            room = max(0, disk.size_bytes - LABEL_BYTES)
            label = DiskLabel(
                signature=self._ids.guid(),
                volume_id=uuid.UUID(self._ids.guid()),
                volume_length_bytes=room - room % BLOCK_BYTES,
                text=text,
            )
            # The label comes last: a disk with a label has a whole volume.
            SimFs.format(label.volume(disk), volume_id=label.volume_id, clock=self._clock).close()
            write_label(disk, label)
            self._described[storage] = describe_disk(disk)
            return self.attach({storage: at}, read_only=False, budget=budget)[0]

    def _disk(self, storage: StorageId) -> LunDisk:
        disk = self._disks.get(storage)
        if disk is None:
            raise VolumeNotFound(
                f"{self._name} has no disk {storage}",
                hint="Present it to this server and rescan.",
                context={"storage": storage},
            )
        return disk

    # -- volumes ---------------------------------------------------------------------------------

    def volumes(self) -> Sequence[Volume]:
        """Mounted volumes in the order of mounting; failed ones are left out."""
        with self._lock:
            return tuple(each.describe() for each in self._mounts.values() if not each.failed)

    def volume_on(self, storage: StorageId) -> VolumeId | None:
        """Id of the volume on a disk, mounted or not; None if there is none that can be read.

        Raises:
            VolumeNotFound: The server has no such disk.
        """
        label = label_of(self._disk(storage))
        return None if label is None else VolumeId(str(label.volume_id))

    def resolve(self, path: str) -> VolumePath:
        r"""The volume of a path like ``M:\exchsrvr\mbx1.edb``, and the path inside it.

        The longest mount point wins; ``\\?\Volume{GUID}\...`` works too.

        Raises:
            VolumeNotFound: No mounted volume holds the path.
        """
        direct = split_volume_path(path)
        best: tuple[int, VolumePath] | None = None
        for volume in self.volumes():
            if direct is not None and volume.id == direct[0]:
                return VolumePath(volume=volume.id, path=direct[1])
            for point in volume.mount_points:
                inner = inside(point, path)
                if inner is not None and (best is None or len(point) > best[0]):
                    best = len(point), VolumePath(volume=volume.id, path=inner)
        if best is None:
            raise VolumeNotFound(
                f"{self._name}: {path} is not on a mounted volume", context={"path": path}
            )
        return best[1]

    def files(self, volume: VolumeId) -> SimFs:
        """The files of a mounted volume; good until it is detached.

        Raises:
            VolumeNotFound: Not mounted here.
            StaleLun: Its disk disappeared.
        """
        mount = self._mounted(volume)
        if mount.failed or mount.files is None:
            raise StaleLun(
                f"{self._name}: the disk of {mount.point} is gone",
                hint="Detach the volume, present its disk again, rescan and attach it.",
                context={"volume": volume, "storage": mount.disk.storage},
            )
        return mount.files

    def _mounted(self, volume: VolumeId) -> LunMount:
        with self._lock:
            # A volume that failed may have a successor with the same id by now.
            for mount in sorted(self._mounts.values(), key=lambda each: each.failed):
                if mount.volume_id == volume:
                    return mount
        raise VolumeNotFound(
            f"{self._name}: volume {volume} is not mounted", context={"volume": volume}
        )

    @property
    def holds_writes(self) -> bool:
        """It refuses writes while they are held."""
        return True

    @contextmanager
    def hold_writes(self, volumes: Collection[VolumeId], *, budget: Budget) -> Iterator[WriteHold]:
        """Flush, then refuse writes to these volumes until the block ends or 10 s are over.

        Raises:
            HoldTimeout: On leaving, if the hold was longer than the window [VSS-44].
            VolumeBusy: Another hold is on one of the volumes.
            VolumeNotFound, StaleLun: As `files`.
            DeviceError: The flush failed; nothing is held.
        """
        held = {mount.disk.storage: mount.disk for mount in map(self._mounted, volumes)}
        # Flushed before the hold begins, which then lasts no longer than the cut.
        for tree in [self.files(volume) for volume in volumes]:
            budget.check("flushing volumes")
            tree.sync()
        hold = MeasuredHold(self._clock, budget.remaining_s())
        with self._lock:
            if any(disk.hold is not None for disk in held.values()):
                raise VolumeBusy(f"{self._name}: writes to one of the volumes are held already")
            for disk in held.values():
                disk.hold = hold
        try:
            yield hold
        finally:
            hold.release()
            for disk in held.values():
                disk.hold = None
        if hold.held_s > HOLD_WINDOW_S:
            raise HoldTimeout(
                f"{self._name}: writes were held for {hold.held_s:.1f} s",
                context={"held_s": hold.held_s, "window_s": HOLD_WINDOW_S},
            )

    # -- mounting --------------------------------------------------------------------------------

    def attach(
        self, at: Mapping[StorageId, str], *, read_only: bool, budget: Budget
    ) -> Sequence[Volume]:
        """Mount the volumes of these disks at these mount points, all or none.

        Mounting writes nothing to the disks.

        Raises:
            DuplicateSignature: Another disk of the same signature is online here [HAZ-02].
            VolumeBusy: A mount point is taken, or a disk is mounted in another way.
            VolumeNotFound: A disk is not there, or holds no volume.
            FileSystemDamaged: A label or volume is damaged.
            UsageError: A mount point is not a Windows path.
            CopyInvalid, StaleLun, DeviceError: As `LunDisk.read`.
        """
        budget.check("mounting")
        with self._lock:
            wanted = [self._wish(storage, point, read_only) for storage, point in at.items()]
            fresh = [wish for wish in wanted if not self._is_mounted(wish)]
            check_online(self._name, fresh, self._mounts.values())
            try:
                for wish in fresh:
                    wish.open(self._clock)
            except BaseException:
                # Opened and not used: there is nothing to write back.
                for wish in fresh:
                    if wish.files is not None:
                        wish.files.abandon()
                raise
            self._mounts.update((wish.disk.storage, wish) for wish in fresh)
            return tuple(self._mounts[storage].describe() for storage in at)

    def _wish(self, storage: StorageId, point: str, read_only: bool) -> LunMount:
        canonical, disk = mount_point(point), self._disk(storage)
        label = read_label(disk)
        if label is None:
            raise VolumeNotFound(
                f"{self._name}: {storage} has no label and no volume",
                context={"storage": storage},
            )
        return LunMount(
            disk=disk,
            label=label,
            point=canonical,
            read_only=read_only or label.read_only or disk.read_only,
        )

    def _is_mounted(self, wish: LunMount) -> bool:
        there = self._mounts.get(wish.disk.storage)
        if there is None:
            return False
        same = there.point.upper() == wish.point.upper() and there.read_only == wish.read_only
        if there.failed or not same:
            raise VolumeBusy(
                f"{self._name}: {wish.disk.storage} is mounted at {there.point} already",
                hint="Detach it first.",
                context={"storage": wish.disk.storage, "mount_point": there.point},
            )
        return True

    def detach(self, storages: Collection[StorageId], *, budget: Budget) -> None:
        """Flush and dismount the volumes of these disks. Not mounted is fine (idempotent).

        A failed volume is dismounted without a flush.

        Raises:
            VolumeBusy: A file is open on one of them, or writes are held; nothing was dismounted.
            DeviceError, StaleLun: A flush failed; that volume and those after it stay mounted.
        """
        budget.check("dismounting")
        with self._lock:
            mounts = [self._mounts[each] for each in storages if each in self._mounts]
            # All are asked before any is touched.
            for mount in mounts:
                check_idle(self._name, mount)
            for mount in mounts:
                if mount.files is not None:
                    if mount.failed:
                        mount.files.abandon()
                    else:
                        mount.files.close()
                del self._mounts[mount.disk.storage]

    def crash(self) -> Sequence[Volume]:
        """Lose power and boot: unflushed data is lost, nothing is mounted, LUNs are looked up.

        Returns:
            The volumes that were mounted, for whoever attaches them again.
        """
        with self._lock:
            before = self.volumes()
            for mount in self._mounts.values():
                if mount.files is not None:
                    mount.files.abandon()
            self._mounts.clear()
            # Known disks are forgotten as well: after a boot every one is new.
            self._disks.clear()
            self._look()
            return before


if TYPE_CHECKING:
    _: type[Server] = SimulatedServer
