"""A simulated server's mounted volumes, and the rules about what may be mounted together.

What it is not: the server, which holds the lock and the table. Sources: [HAZ-02] for signatures;
that mount points compare without case is Windows'; the rest is frskit's choice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

from frskit.errors import (
    CopyInvalid,
    DuplicateSignature,
    FileSystemDamaged,
    HostError,
    VolumeBusy,
)
from frskit.hosts.lun_disk import LunDisk
from frskit.model.ids import VolumeId
from frskit.model.volumes import Disk, DiskFlags, Extent, Volume
from frskit.storage import DiskLabel, read_label
from frskit.storage.simfs import SimFs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from frskit.clock import Clock

__all__ = [
    "LunMount",
    "check_free",
    "check_idle",
    "check_online",
    "describe_disk",
    "flags_of",
    "label_of",
]


@define
class LunMount:
    """One volume that is mounted, or is about to be.

    Attributes:
        disk: The disk it lies on.
        label: The disk's label when it was mounted.
        point: Canonical mount point.
        read_only: Whether it refuses writes.
        files: Its files; None before `open`.
        failed: Whether its disk disappeared.
    """

    disk: LunDisk
    label: DiskLabel
    point: str
    read_only: bool
    files: SimFs | None = None
    failed: bool = False

    @property
    def volume_id(self) -> VolumeId:
        """The volume's id as text."""
        return VolumeId(str(self.label.volume_id))

    def describe(self) -> Volume:
        """The volume as callers see it."""
        extent = Extent(
            storage=self.disk.storage,
            offset_bytes=self.label.volume_offset_bytes,
            length_bytes=self.label.volume_length_bytes,
        )
        return Volume(
            id=self.volume_id,
            mount_points=(self.point,),
            extents=(extent,),
            read_only=self.read_only,
        )

    def open(self, clock: Clock) -> None:
        """Mount the file system; nothing is written.

        Raises:
            FileSystemDamaged: There is none, or another than the label says.
        """
        volume = self.label.volume(self.disk)
        files = SimFs.mount(volume, read_only=self.read_only, clock=clock)
        # Label and volume are written apart: a disk that was put together of two is refused.
        if files.volume_id != self.label.volume_id:
            raise FileSystemDamaged(
                f"{self.disk.storage} holds another volume than its label says",
                context={"storage": self.disk.storage},
            )
        self.files = files


def check_online(server: str, fresh: Sequence[LunMount], online: Iterable[LunMount]) -> None:
    """Refuse mounts that collide with each other or with what is online.

    Raises:
        VolumeBusy: A mount point is taken.
        DuplicateSignature: Two disks of one signature would be online [HAZ-02].
    """
    others = list(online)
    for wish in fresh:
        check_free(server, wish.point, others)
        for other in others:
            same_disk = other.label.signature == wish.label.signature
            # A failed mount touches nothing any more, so its successor may come.
            if not other.failed and (same_disk or other.volume_id == wish.volume_id):
                raise DuplicateSignature(
                    f"{server}: {other.disk.storage} and {wish.disk.storage} have the same"
                    f" signature {wish.label.signature}",
                    context={"storages": [other.disk.storage, wish.disk.storage]},
                )
        others.append(wish)


def check_free(server: str, point: str, others: Iterable[LunMount]) -> None:
    """Refuse a mount point that is in use.

    Raises:
        VolumeBusy: It is.
    """
    for other in others:
        if other.point.upper() == point.upper():
            raise VolumeBusy(
                f"{server}: {point} is taken",
                context={"mount_point": point, "storage": other.disk.storage},
            )


def check_idle(server: str, mount: LunMount) -> None:
    """Refuse to dismount what is in use; failed volumes are never in use.

    Raises:
        VolumeBusy: A file is open on it, or its writes are held.
    """
    if mount.failed or mount.files is None:
        return
    busy = mount.files.open_files()
    if busy or mount.disk.hold is not None:
        reason = f"{busy[0]} is open" if busy else "writes are held"
        raise VolumeBusy(
            f"{server}: {mount.point} is in use: {reason}",
            context={"storage": mount.disk.storage, "files": busy},
        )


def flags_of(label: DiskLabel) -> DiskFlags:
    """The flags in a label."""
    return DiskFlags(
        hidden=label.hidden,
        read_only=label.read_only,
        no_drive_letter=label.no_drive_letter,
        shadow_copy=label.shadow_copy,
    )


def label_of(disk: LunDisk) -> DiskLabel | None:
    """A disk's label; one that cannot be read counts as none (`SimulatedServer.attach` tells why)."""
    try:
        return read_label(disk)
    except (HostError, CopyInvalid):
        return None


def describe_disk(disk: LunDisk) -> Disk:
    """The disk as a rescan sees it."""
    label = label_of(disk)
    return Disk(
        storage=disk.storage,
        access=disk.lun,
        size_bytes=disk.size_bytes,
        signature="" if label is None else label.signature,
        # As Windows numbers its disks; ours is numbered by its LUN.
        device=rf"\\.\PHYSICALDRIVE{disk.lun.number}",
        flags=DiskFlags() if label is None else flags_of(label),
    )
