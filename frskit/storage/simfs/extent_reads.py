"""Reading a file's bytes through its extents, from whatever device they are on.

Used by a mounted volume and by references that outlive the mount. Source: frskit's choice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.errors import FileSystemError
from frskit.storage.simfs.layout import BLOCK_BYTES

if TYPE_CHECKING:
    from frskit.protocols.small import BlockDevice
    from frskit.storage.simfs.extents import ExtentMap

__all__ = ["check_span", "read_extents"]


def check_span(offset: int, length: int) -> None:
    """Refuse negative positions.

    Raises:
        FileSystemError: Offset or length is negative.
    """
    if offset < 0 or length < 0:
        raise FileSystemError(
            "a file has no negative positions", context={"offset": offset, "length": length}
        )


def read_extents(device: BlockDevice, extents: ExtentMap, offset: int, length: int) -> bytes:
    """Bytes of a file whose extents are known; holes read as zero."""
    first, skip = divmod(offset, BLOCK_BYTES)
    count = -(-(skip + length) // BLOCK_BYTES)
    parts: list[bytes] = []
    for piece in extents.pieces(first, count):
        step = min(length, piece.blocks * BLOCK_BYTES - skip)
        if piece.physical is None:
            parts.append(bytes(step))
        else:
            parts.append(device.read(piece.physical * BLOCK_BYTES + skip, step))
        length -= step
        skip = 0
    return parts[0] if len(parts) == 1 else b"".join(parts)
