"""Small tools for the files of a durable block store: packing, seals, the witness.

A seal is a CRC-32 behind a blob that also covers the key of its row, so that a damaged or
misplaced row is noticed (frskit's choice). Numbers are stored as little-endian 64-bit integers.
"""

from __future__ import annotations

import os
import sys
import zlib
from array import array
from typing import TYPE_CHECKING, Final

from frskit.storage import replace_file

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Witness", "pack", "seal", "unpack"]

_SLOT_BYTES: Final = 512  # one sector: a power cut leaves it old or new


def seal(key: int | str, data: bytes) -> bytes:
    """A blob with its check sum behind it."""
    return data + zlib.crc32(data, zlib.crc32(str(key).encode())).to_bytes(4, "little")


def pack(values: array[int]) -> bytes:
    """Numbers as bytes."""
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values.tobytes()


def unpack(data: bytes) -> array[int]:
    """Numbers from bytes.

    Raises:
        ValueError: Not a multiple of 8 bytes.
    """
    values = array("q")
    values.frombytes(data)
    if sys.byteorder == "big":
        values.byteswap()
    return values


class Witness:
    """A number that only rises, in a file of its own: how far another file must have got.

    Two slots of one sector each are written in turn, so that one of them can always be read,
    whenever the writing is cut off. Only `raise_to` with `durable` waits for the disk; what was
    written without it survives the death of the process, not that of the machine.

    Args:
        path: The file; `found` makes it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def read(self) -> int | None:
        """The number; None if there is no file.

        Raises:
            ValueError: Neither slot can be read.
            OSError: The file cannot be read.
        """
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        slots = (data[at : at + 12] for at in (0, _SLOT_BYTES))
        numbers = [unpack(each[:8])[0] for each in slots if _is_slot(each)]
        if not numbers:
            raise ValueError(f"{self._path.name} is damaged")
        return max(numbers)

    def found(self) -> None:
        """Make the file with number 0, durably and at one instant; one that is there stays.

        Raises:
            OSError: It cannot be made.
        """
        if self._path.exists():
            return
        replace_file(self._path, _slot(0).ljust(_SLOT_BYTES, b"\0") * 2)

    def raise_to(self, number: int, *, durable: bool) -> None:
        """Write a higher number than before.

        Raises:
            OSError: It cannot be written.
        """
        if self._descriptor < 0:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        os.pwrite(self._descriptor, _slot(number), number % 2 * _SLOT_BYTES)
        if durable:
            os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _slot(number: int) -> bytes:
    return seal("witness", pack(array("q", [number])))


def _is_slot(data: bytes) -> bool:
    return len(data) == 12 and seal("witness", data[:8]) == data
