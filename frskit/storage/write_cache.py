"""A volatile write cache in front of a device, and the levers to lose it.

The instrument that makes flushes mean something: tests and the lab put it under a file system or a
store, cut the power at a chosen device operation, and look whether what was flushed is there.

What it is not: a model of any particular disk cache. It loses, keeps and mixes sectors in every way
that the contract of `frskit.protocols.small.BlockDevice` allows. Source: lab-store.md 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define, field

from frskit.errors import DeviceError
from frskit.storage.devices import SECTOR_BYTES, check_range, refuse_write

if TYPE_CHECKING:
    from random import Random

    from frskit.protocols.small import BlockDevice

__all__ = ["VolatileDevice"]

# Bytes of zeros per write of a discard (ours).
_STEP_BYTES: Final = 1024 * 1024


@define
class VolatileDevice:
    r"""A device with a volatile write cache, and levers to lose it.

    Writes stay in the cache until `flush`; `crash` lets any choice of unflushed sectors survive,
    each in any version it ever had since the last flush, which is all that a contract of atomic
    512-byte sectors promises. `cut_power_after` stops the device at the n-th write or flush from
    now, for sweeps over every point of a scenario.

    Args:
        device: Holds what was flushed.

    Example:
        >>> from frskit.storage.devices import MemoryDevice
        >>> device = VolatileDevice(MemoryDevice(4096))
        >>> device.write(0, b"lost")
        >>> device.crash()
        >>> device.read(0, 4)
        b'\x00\x00\x00\x00'
    """

    device: BlockDevice
    _sectors: dict[int, list[bytes]] = field(factory=dict, init=False, repr=False)
    _remaining: int | None = field(default=None, init=False, repr=False)

    @property
    def size_bytes(self) -> int:
        """Length of the device below."""
        return self.device.size_bytes

    @property
    def read_only(self) -> bool:
        """As the device below."""
        return self.device.read_only

    @property
    def unflushed_sectors(self) -> int:
        """Sectors that a crash could lose now."""
        return len(self._sectors)

    @property
    def powered(self) -> bool:
        """Whether the power is on; see `cut_power_after`."""
        return self._remaining is None or self._remaining >= 0

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes, cached writes included; `DeviceError` for the range."""
        check_range(self, offset, length)
        self._spend(0)
        if not self._sectors or not length:
            return self.device.read(offset, length)
        result = bytearray(self.device.read(offset, length))
        for sector in range(offset // SECTOR_BYTES, (offset + length - 1) // SECTOR_BYTES + 1):
            versions = self._sectors.get(sector)
            if versions is not None:
                _overlay(result, offset, sector * SECTOR_BYTES, versions[-1])
        return bytes(result)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Put `data` into the cache.

        Raises:
            DeviceError: Outside the device, or the power is cut.
            WriteProtected: The device below is read-only.
        """
        view = memoryview(data)
        if self.read_only:
            raise refuse_write(offset, len(view))
        check_range(self, offset, len(view))
        self._spend(1)
        position = 0
        while position < len(view):
            sector, start = divmod(offset + position, SECTOR_BYTES)
            part = view[position : position + SECTOR_BYTES - start]
            self._store(sector, start, part)
            position += len(part)

    def _store(self, sector: int, start: int, part: memoryview) -> None:
        base = sector * SECTOR_BYTES
        versions = self._sectors.setdefault(sector, [])
        # A part of a sector goes on top of its newest version.
        if len(part) < SECTOR_BYTES:
            size = min(SECTOR_BYTES, self.size_bytes - base)
            content = bytearray(versions[-1] if versions else self.device.read(base, size))
            content[start : start + len(part)] = part
            versions.append(bytes(content))
        else:
            versions.append(bytes(part))

    def flush(self) -> None:
        """Make everything durable.

        Raises:
            DeviceError: The power is cut.
        """
        self._spend(1)
        for sector in sorted(self._sectors):
            self.device.write(sector * SECTOR_BYTES, self._sectors[sector][-1])
        self._sectors.clear()
        self.device.flush()

    def discard(self, offset: int, length: int) -> None:
        """Volatile like a write of zeros; whole sectors reach the device below at `flush`."""
        check_range(self, offset, length)
        while length:
            step = min(length, _STEP_BYTES)
            self.write(offset, bytes(step))
            offset += step
            length -= step

    def crash(self, random: Random | None = None) -> None:
        """Cut and restore the power.

        Args:
            random: Chooses which unflushed sectors survive, and in which version; None loses all.
        """
        self._remaining = None
        sectors, self._sectors = self._sectors, {}
        if random is None:
            return
        for sector in sorted(sectors):
            # Zero: no version survives.
            choice = random.randrange(len(sectors[sector]) + 1)
            if choice:
                self.device.write(sector * SECTOR_BYTES, sectors[sector][choice - 1])

    def cut_power_after(self, operations: int) -> None:
        """Let this many writes and flushes happen; everything after fails until `crash`."""
        self._remaining = operations

    def _spend(self, operations: int) -> None:
        if self._remaining is None:
            return
        if self._remaining < operations:
            self._remaining = -1  # off, until `crash` switches it on again
            raise DeviceError("the power of the device is cut")
        self._remaining -= operations


def _overlay(result: bytearray, offset: int, base: int, content: bytes) -> None:
    """Copy the part of `content` (at `base`) that falls into `result` (at `offset`)."""
    start = max(base, offset)
    end = min(base + len(content), offset + len(result))
    result[start - offset : end - offset] = content[start - base : end - base]


if TYPE_CHECKING:
    _: type[BlockDevice] = VolatileDevice
