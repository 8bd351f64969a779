"""Small tools for the files of a durable block store: packing, seals, the lock.

A seal is a CRC-32 behind a blob that also covers the key of its row, so that a damaged or
misplaced row is noticed (frskit's choice). Numbers are stored as little-endian 64-bit integers.
"""

from __future__ import annotations

import os
import sys
import zlib
from array import array
from typing import TYPE_CHECKING

from frskit.errors import Busy, UsageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["pack", "release_lock", "seal", "take_lock", "unpack"]


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


def take_lock(directory: Path) -> int:
    """Open and lock the lock file of a directory, made if missing; return the descriptor.

    The lock goes with the descriptor, so a killed process leaves none behind, and a second
    opening in the same process is refused too.

    Raises:
        Busy: Another descriptor holds the lock; the context says whose.
        UsageError: The directory cannot be used, or the system has no such locks.
    """
    try:
        import fcntl
    except ImportError as error:
        raise UsageError(
            "a durable block store needs a POSIX system; this one has no fcntl"
        ) from error
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError(
            f"{directory} cannot hold a block store: {error}", context={"path": str(directory)}
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
        os.close(lock)
        raise Busy(
            f"the block store in {directory} is open in process {holder or 'unknown'}",
            context={"path": str(directory), "holder": holder},
        ) from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def release_lock(lock: int) -> None:
    """Give up what `take_lock` returned, also on behalf of forked children that inherited it."""
    import fcntl

    fcntl.flock(lock, fcntl.LOCK_UN)
    os.close(lock)
