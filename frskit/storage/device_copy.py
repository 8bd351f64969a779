"""Copying and comparing whole block devices.

What it is not: an array's copy, which takes an instant; these read every byte. Source: frskit's
choice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from frskit.storage.devices import check_range

if TYPE_CHECKING:
    from frskit.clock import Budget
    from frskit.protocols.small import BlockDevice

__all__ = ["copy_device", "find_difference"]

# Bytes per read: bounds the memory (ours).
_COPY_BYTES: Final = 1024 * 1024


def copy_device(source: BlockDevice, target: BlockDevice, *, budget: Budget | None = None) -> int:
    """Copy all bytes of `source` to the start of `target` and flush.

    Ranges of zeros are discarded in the target instead of written, so thin storage stays thin.

    Returns:
        Bytes that were written as data.

    Raises:
        DeviceError: The target is smaller.
        Cancelled, TimedOut: The budget ended; the target is half-written.
    """
    check_range(target, 0, source.size_bytes)
    written = 0
    for offset in range(0, source.size_bytes, _COPY_BYTES):
        if budget is not None:
            budget.check("copying a device")
        data = source.read(offset, min(_COPY_BYTES, source.size_bytes - offset))
        # Counting goes at the speed of memory, unlike a loop.
        if data.count(0) == len(data):
            target.discard(offset, len(data))
        else:
            target.write(offset, data)
            written += len(data)
    target.flush()
    return written


def find_difference(
    left: BlockDevice, right: BlockDevice, *, offset: int = 0, length: int | None = None
) -> int | None:
    """Offset of the first byte in which two devices differ.

    Args:
        left: One device.
        right: The other.
        offset: Where to start.
        length: Bytes to compare; None for up to the end of the longer device.

    Returns:
        The offset; the end of the shorter device if one is a prefix of the other; None if equal.
    """
    end = max(left.size_bytes, right.size_bytes) if length is None else offset + length
    common = min(left.size_bytes, right.size_bytes, end)
    while offset < common:
        step = min(_COPY_BYTES, common - offset)
        a, b = left.read(offset, step), right.read(offset, step)
        if a != b:
            return offset + next(i for i in range(step) if a[i] != b[i])
        offset += step
    return None if common == end else common
