"""Presentations of the simulated array, and the disks that hosts get through them.

What it is: the presentation half of `DiskArray`, `ScsiTarget`, and the device behind a LUN. What
it is not: a host; the memory of which disk answered under which number is the host's [HAZ-01].

Sources: [EVA 1.5]. LUN 0 is the array's console and never a disk; numbers are per host; the lowest
free one is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.errors import (
    CopyInvalid,
    DeviceError,
    PresentationFailed,
    StaleLun,
    WriteProtected,
)
from frskit.eva.identifiers import ObjectClass
from frskit.eva.records import LunRecord, VirtualDisk
from frskit.model.storage import AccessKind, CopyKind, CopyState, Presentation, ScsiLun

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frskit.clock import Budget
    from frskit.eva.array_state import ArrayState
    from frskit.eva.space import DemandSnapshots
    from frskit.model.ids import HostRef, StorageId
    from frskit.protocols import BlockDevice

__all__ = ["LunDevice", "Presentations"]


class Presentations:
    """The presentations of one array, and its block side.

    Arguments, results and errors are described at `frskit.eva.array.SimulatedEva`.

    Args:
        state: The array's state.
        vsnaps: Its demand-allocated snapshots, which a write may make grow.
    """

    def __init__(self, state: ArrayState, vsnaps: DemandSnapshots) -> None:
        self._state = state
        self._vsnaps = vsnaps
        self._reported: dict[HostRef, tuple[int, tuple[ScsiLun, ...]]] = {}

    def present(
        self,
        storage: StorageId,
        host: HostRef,
        *,
        read_only: bool,
        budget: Budget,
        access: str | None = None,
        number: int | None = None,
    ) -> Presentation:
        """Show a disk to a host; normalizing ones too. Repeating it returns what there is."""
        budget.check("presenting storage")
        if access not in (None, AccessKind.SCSI_LUN):
            raise PresentationFailed(
                f"the array shows storage as LUNs, not as {access}", context={"access": access}
            )
        with self._state.command():
            disk, owner = self._state.disk(storage), self._state.host(host)
            if disk.state is CopyState.INVALID:
                raise _invalid(disk)
            lun = self._lun_of(storage, host)
            if lun is None:
                lun = LunRecord(
                    host=owner.name,
                    number=self._free_number(host, number),
                    storage=storage,
                    identity=self._state.new_identity(ObjectClass.PRESENTED_UNIT),
                    read_only=read_only,
                )
                self._state.tables.add_lun(lun)
                self._state.log("present", disk.name, f"{host} {lun.number}")
            elif lun.read_only != read_only or number not in (None, lun.number):
                raise PresentationFailed(
                    f"{disk.name!r} is presented to {host!r} in another way",
                    hint="Unpresent it first.",
                    context={"storage": storage, "host": host, "number": lun.number},
                )
            return _as_presentation(lun, disk)

    def _lun_of(self, storage: StorageId, host: HostRef) -> LunRecord | None:
        for place in self._state.tables.shown.rows.get(storage, ()):
            if place[0] == host:
                return self._state.tables.luns.rows[place]
        return None

    def _free_number(self, host: HostRef, wanted: int | None) -> int:
        taken = {number for owner, number in self._state.tables.luns.rows if owner == host}
        for number in range(1, self._state.profile.max_lun + 1) if wanted is None else (wanted,):
            if number not in taken and 1 <= number <= self._state.profile.max_lun:
                return number
        raise PresentationFailed(
            f"no free LUN number on {host!r}"
            if wanted is None
            else f"LUN {wanted} is not free on {host!r}",
            context={"host": host, "number": wanted},
        )

    def unpresent(self, presentation: Presentation, *, budget: Budget) -> None:
        """Hide a disk from a host; I/O through that LUN fails from now on. Idempotent."""
        budget.check("unpresenting storage")
        with self._state.command():
            lun = self._lun_of(presentation.storage, presentation.host)
            access = presentation.access
            if lun is None or not isinstance(access, ScsiLun) or access.number != lun.number:
                return
            self._state.tables.drop_lun(lun)
            name = self._state.tables.disks.rows[lun.storage].name
            self._state.log("unpresent", name, f"{lun.host} {lun.number}")

    def presentations(
        self, storage: StorageId | None = None, *, budget: Budget | None = None
    ) -> Sequence[Presentation]:
        """Who sees this disk; all presentations if None."""
        if budget is not None:
            budget.check("listing presentations")
        with self._state.query():
            tables = self._state.tables
            places = tables.luns.rows if storage is None else tables.shown.rows.get(storage, ())
            found = [tables.luns.rows[place] for place in places]
            return tuple(_as_presentation(each, tables.disks.rows[each.storage]) for each in found)

    def report_luns(self, host: HostRef) -> Sequence[ScsiLun]:
        """The LUNs of this host now, by number; an unknown host sees nothing [EVA-35]."""
        with self._state.query():
            tables = self._state.tables
            revision, known = self._reported.get(host, (-1, ()))
            # Servers ask before every access, and little else changes between two of them.
            if revision != tables.revision:
                luns = [lun for lun in tables.luns.rows.values() if lun.host == host]
                luns.sort(key=lambda lun: lun.number)
                known = tuple(_as_lun(lun, tables.disks.rows[lun.storage]) for lun in luns)
                self._reported[host] = (tables.revision, known)
            return known

    def open_lun(self, host: HostRef, number: int) -> BlockDevice:
        """The disk that answers under this number now; the device stays bound to it."""
        with self._state.query():
            lun = self._answering(host, number)
            return LunDevice(self._state, self._vsnaps, lun, self._state.disk(lun.storage))

    def _answering(self, host: HostRef, number: int) -> LunRecord:
        lun = self._state.tables.luns.rows.get((host, number))
        if lun is None:
            raise DeviceError(
                f"nothing answers under LUN {number} of {host!r}",
                context={"host": host, "number": number},
            )
        return lun


class LunDevice:
    """A disk behind a LUN: a `BlockDevice` bound to one disk of the array.

    It works while that disk is presented to that host under that number, whatever else happens in
    between; it never touches another disk.
    """

    def __init__(
        self, state: ArrayState, vsnaps: DemandSnapshots, lun: LunRecord, disk: VirtualDisk
    ) -> None:
        self._state = state
        self._vsnaps = vsnaps
        # One attribute less on the way of every read and write.
        self._lock = state.lock
        self._store = state.store
        self._luns = state.tables.luns.rows
        self._disks = state.tables.disks.rows
        self._dependents = state.tables.dependents.rows
        self._place = (lun.host, lun.number)
        self._storage = lun.storage
        self._identity = disk.identity
        self._size_bytes = disk.size_bytes

    @property
    def size_bytes(self) -> int:
        """Length at the time of opening."""
        return self._size_bytes

    @property
    def read_only(self) -> bool:
        """Whether the LUN refuses writes now."""
        lun = self._luns.get(self._place)
        return lun is None or lun.read_only

    def _bound(self, offset: int, length: int) -> VirtualDisk:
        """The disk behind this device, if it may be used in this range; call it under the lock."""
        lun = self._luns.get(self._place)
        if lun is None or self._state.closed:
            host, number = self._place
            raise DeviceError(
                f"nothing answers under LUN {number} of {host!r} any more",
                context={"host": host, "number": number, "storage": self._storage},
            )
        disk = self._disks[lun.storage]
        if disk.identity is not self._identity and disk.identity != self._identity:
            raise StaleLun(
                f"another disk answers under LUN {lun.number} of {lun.host!r}",
                context={"expected": self._storage, "found": lun.storage},
            )
        if disk.volume < 0:
            raise _invalid(disk)
        if offset < 0 or length < 0 or offset + length > self._size_bytes:
            raise DeviceError(
                f"range {offset}+{length} is not inside a disk of {self._size_bytes} bytes",
                context={"offset": offset, "length": length, "storage": self._storage},
            )
        return disk

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes; never-written ranges read as zero.

        Raises:
            DeviceError: Outside the disk, or nothing answers any more.
            StaleLun: Another disk answers now.
            CopyInvalid: The array gave this copy up.
        """
        with self._lock:
            return self._store.read(self._bound(offset, length).volume, offset, length)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Store `data`.

        Raises:
            DeviceError, StaleLun, CopyInvalid: As `read`.
            WriteProtected: The LUN is read-only.
            InsufficientCapacity: A snapshot that must not be lost has no room; nothing changed.
        """
        length = data.nbytes if isinstance(data, memoryview) else len(data)
        with self._lock:
            disk = self._writable(offset, length)
            if length:
                self._store.write(disk.volume, offset, data)

    def discard(self, offset: int, length: int) -> None:
        """Let the range read as zeros; for snapshots it is a write like any other.

        Raises:
            DeviceError, StaleLun, CopyInvalid, WriteProtected, InsufficientCapacity: As `write`.
        """
        with self._lock:
            disk = self._writable(offset, length)
            if length:
                self._store.discard(disk.volume, offset, length)

    def _writable(self, offset: int, length: int) -> VirtualDisk:
        disk = self._bound(offset, length)
        if self._luns[self._place].read_only:
            raise WriteProtected(
                f"LUN {self._place[1]} of {self._place[0]!r} is read-only",
                context={"storage": self._storage},
            )
        if length and (disk.kind is CopyKind.VSNAP or self._storage in self._dependents):
            self._vsnaps.preserve(disk, offset, length)
        return disk

    def flush(self) -> None:
        """Return when every earlier write is durable.

        Raises:
            DeviceError, StaleLun, CopyInvalid: As `read`.
        """
        with self._lock:
            self._bound(0, 0)
            self._state.keep()


def _invalid(disk: VirtualDisk) -> CopyInvalid:
    return CopyInvalid(
        f"the array gave the copy {disk.name!r} up; it holds no data any more",
        context={"storage": disk.id},
    )


def _as_lun(lun: LunRecord, disk: VirtualDisk) -> ScsiLun:
    return ScsiLun(
        host=lun.host, number=lun.number, identifiers=disk.identifiers, storage=lun.storage
    )


def _as_presentation(lun: LunRecord, disk: VirtualDisk) -> Presentation:
    return Presentation(
        storage=lun.storage, host=lun.host, access=_as_lun(lun, disk), read_only=lun.read_only
    )
