"""A simulated server's disk: a LUN that is checked at every access, and can be held.

What it is: the `BlockDevice` between a server's file systems and an array's `ScsiTarget`. A server
remembers which disk it found under which LUN number; this device makes sure that no byte of another
disk is ever read or written, whatever was presented since [HAZ-01], and refuses writes while they
are held [VSS-44].

What it is not: the array's side of the LUN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.errors import DeviceError, StaleLun, VolumeBusy
from frskit.hosts.hold import MeasuredHold
from frskit.model.ids import StorageId

if TYPE_CHECKING:
    from frskit.model.storage import ScsiLun
    from frskit.protocols import BlockDevice, ScsiTarget

__all__ = ["LunDisk", "lun_storage"]


def lun_storage(lun: ScsiLun) -> StorageId:
    """The array's object behind a LUN: what the target says, else the first of its page 83 names.

    Raises:
        DeviceError: The target says neither.
    """
    if lun.storage is not None:
        return lun.storage
    if not lun.identifiers:
        raise DeviceError(f"{lun.host}: nothing tells what LUN {lun.number} is")
    return StorageId(lun.identifiers[0])


class LunDisk:
    """A disk as its server knows it since the last rescan.

    Attributes:
        storage: The array's id of the disk.
        lun: Under which LUN it was found.
        hold: The hold that is on it, if any.
    """

    def __init__(self, target: ScsiTarget, lun: ScsiLun) -> None:
        self.storage: StorageId = lun_storage(lun)
        self.lun: ScsiLun = lun
        self.hold: MeasuredHold | None = None
        self._target = target
        self._device = target.open_lun(lun.host, lun.number)

    def move_to(self, found: LunDisk) -> None:
        """Take over the path under which a rescan found the same disk again."""
        self.lun = found.lun
        self._target = found._target
        self._device = found._device

    @property
    def size_bytes(self) -> int:
        """Length of the disk."""
        return self._device.size_bytes

    @property
    def read_only(self) -> bool:
        """Whether it is presented read-only."""
        return self._device.read_only

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes.

        Raises:
            StaleLun: Another disk answers under the LUN number now.
            DeviceError, CopyInvalid: As `BlockDevice.read`.
        """
        self._check_identity()
        return self._device.read(offset, length)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Store `data`.

        Raises:
            VolumeBusy: Writes are held; the caller may repeat it after the hold.
            StaleLun: Another disk answers under the LUN number now.
            WriteProtected, DeviceError, InsufficientCapacity: As `BlockDevice.write`.
        """
        self._check_hold()
        self._check_identity()
        self._device.write(offset, data)

    def flush(self) -> None:
        """Return when every earlier write is durable.

        Raises:
            StaleLun, DeviceError: As `read`.
        """
        self._check_identity()
        self._device.flush()

    def discard(self, offset: int, length: int) -> None:
        """Give the range back; errors as `write`."""
        self._check_hold()
        self._check_identity()
        self._device.discard(offset, length)

    def _check_hold(self) -> None:
        if self.hold is not None and self.hold.in_force:
            raise VolumeBusy(
                f"writes to {self.storage} are held",
                hint="Repeat the write when the hold has ended.",
                context={"storage": self.storage},
            )

    def _check_identity(self) -> None:
        # At every access, because an array changes its LUNs without telling the servers.
        host, number = self.lun.host, self.lun.number
        now = next((each for each in self._target.report_luns(host) if each.number == number), None)
        if now is None:
            raise DeviceError(
                f"{host}: nothing answers under LUN {number} any more",
                context={"expected": self.storage, "number": number},
            )
        # By the object: a new disk may have got the world wide name of a deleted one [EVA-43].
        found = lun_storage(now)
        if found != self.storage:
            raise StaleLun(
                f"{self.lun.host}: another disk answers under LUN {self.lun.number}",
                context={"expected": self.storage, "found": found, "number": self.lun.number},
            )


if TYPE_CHECKING:
    _: type[BlockDevice] = LunDisk
