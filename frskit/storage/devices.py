"""Block devices in memory and in files, and wrappers that slice or protect them.

What it is: small building blocks that follow `frskit.protocols.small.BlockDevice`, for the lab,
for tests, and for anybody who wants to look into an image.

What it is not: a disk array; copies, presentation and thin pools belong to the array back ends.

Sources: the contract of `BlockDevice` (512-byte sectors are atomic, a write is durable after
``flush``; lab-store.md 4). Chunk sizes are frskit's choice.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import define

from frskit.errors import DeviceError, WriteProtected

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from frskit.protocols.small import BlockDevice

__all__ = [
    "SECTOR_BYTES",
    "FileDevice",
    "MemoryDevice",
    "ReadOnlyDevice",
    "SliceDevice",
    "check_range",
    "refuse_write",
]

SECTOR_BYTES: Final = 512
"""Unit of atomic writes (lab-store.md 4)."""

# Bytes: unit of sparse allocation, and of a discard's zeros (ours).
_CHUNK_BYTES: Final = 64 * 1024
_STEP_BYTES: Final = 1024 * 1024


def check_range(device: BlockDevice, offset: int, length: int) -> None:
    """Refuse a range that is not inside the device.

    Raises:
        DeviceError: Negative, or past the end.
    """
    if offset < 0 or length < 0 or offset + length > device.size_bytes:
        raise DeviceError(
            f"range {offset}+{length} is not inside a device of {device.size_bytes} bytes",
            context={"offset": offset, "length": length, "size_bytes": device.size_bytes},
        )


def refuse_write(offset: int, length: int) -> WriteProtected:
    """The error for a write to a device that takes none."""
    return WriteProtected(
        "the device is open for reading only", context={"offset": offset, "length": length}
    )


class MemoryDevice:
    r"""A sparse device in memory; only chunks that were written take space.

    It has no write cache; wrap it in `VolatileDevice` for one.

    Example:
        >>> device = MemoryDevice(1 << 20)
        >>> device.write(10, b"abc")
        >>> device.read(9, 5)
        b'\x00abc\x00'
    """

    def __init__(self, size_bytes: int) -> None:
        if size_bytes < 0:
            raise DeviceError("a device cannot have a negative size")
        self._size_bytes = size_bytes
        self._chunks: dict[int, bytearray] = {}

    @property
    def size_bytes(self) -> int:
        """Length of the device."""
        return self._size_bytes

    @property
    def read_only(self) -> bool:
        """Always false; see `ReadOnlyDevice`."""
        return False

    @property
    def allocated_bytes(self) -> int:
        """Memory taken by written chunks of 64 KiB."""
        return len(self._chunks) * _CHUNK_BYTES

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes; never-written ranges read as zero.

        Raises:
            DeviceError: Outside the device.
        """
        check_range(self, offset, length)
        parts: list[bytes | memoryview] = []
        for index, start, end in _chunks_of(offset, length):
            chunk = self._chunks.get(index)
            parts.append(bytes(end - start) if chunk is None else memoryview(chunk)[start:end])
        return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Store `data`.

        Raises:
            DeviceError: Outside the device.
        """
        view = memoryview(data)
        check_range(self, offset, len(view))
        position = 0
        for index, start, end in _chunks_of(offset, len(view)):
            chunk = self._chunks.get(index)
            if chunk is None:
                chunk = self._chunks[index] = bytearray(_CHUNK_BYTES)
            chunk[start:end] = view[position : position + end - start]
            position += end - start

    def flush(self) -> None:
        """Nothing to do: memory has no cache in front of it."""

    def discard(self, offset: int, length: int) -> None:
        """Zero the range and give whole chunks back.

        Raises:
            DeviceError: Outside the device.
        """
        check_range(self, offset, length)
        first, last = -(-offset // _CHUNK_BYTES), (offset + length) // _CHUNK_BYTES
        whole = range(first, last)
        # A discard of terabytes must not walk over chunks that never existed.
        for index in whole if len(whole) < len(self._chunks) else [*self._chunks]:
            if index in whole:
                self._chunks.pop(index, None)
        middle = max(0, last - first) * _CHUNK_BYTES
        for start, size in _edges(offset, length, first * _CHUNK_BYTES, middle):
            for index, low, high in _chunks_of(start, size):
                if (chunk := self._chunks.get(index)) is not None:
                    chunk[low:high] = bytes(high - low)


def _chunks_of(offset: int, length: int) -> Iterator[tuple[int, int, int]]:
    """Chunk index, first and end byte in the chunk, for every chunk the range touches."""
    if length == 0:
        yield offset // _CHUNK_BYTES, 0, 0
    end = offset + length
    while offset < end:
        index, start = divmod(offset, _CHUNK_BYTES)
        stop = min(_CHUNK_BYTES, start + end - offset)
        yield index, start, stop
        offset += stop - start


def _edges(offset: int, length: int, middle_at: int, middle: int) -> list[tuple[int, int]]:
    """Start and length of what a range has before and behind its middle of whole chunks."""
    if not middle:
        return [(offset, length)]
    behind = middle_at + middle
    return [(offset, middle_at - offset), (behind, offset + length - behind)]


class FileDevice:
    """A device kept in one file of the machine; sparse where the file system is.

    It can be pickled: the other process opens the file again. It is a context manager.

    Args:
        path: The file, which must exist; its length is the device's.
        read_only: Refuse writes.

    Raises:
        DeviceError: The file cannot be opened.
    """

    def __init__(self, path: str | Path, *, read_only: bool = False) -> None:
        self._path = os.fspath(path)
        self._read_only = read_only
        # For `__del__`, if opening fails.
        self._handle = -1
        try:
            self._handle = os.open(self._path, os.O_RDONLY if read_only else os.O_RDWR)
            self._size_bytes = os.fstat(self._handle).st_size
        except OSError as error:
            self.close()
            raise self._failure("cannot be opened", error) from error

    @classmethod
    def create(cls, path: str | Path, size_bytes: int) -> Self:
        """Make a sparse file of this length and open it; an existing file is refused.

        Raises:
            DeviceError: It exists, or cannot be made.
        """
        try:
            with Path(path).open("xb") as file:
                file.truncate(size_bytes)
        except OSError as error:
            raise DeviceError(
                f"{os.fspath(path)} cannot be made: {error.strerror}",
                context={"path": os.fspath(path)},
            ) from error
        return cls(path)

    def __reduce__(self) -> tuple[object, ...]:
        return (_OPENERS[self._read_only], (self._path,))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    @property
    def size_bytes(self) -> int:
        """Length of the file when it was opened."""
        return self._size_bytes

    @property
    def read_only(self) -> bool:
        """Whether writes are refused."""
        return self._read_only

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes.

        Raises:
            DeviceError: Outside the device, or the file became shorter.
        """
        check_range(self, offset, length)
        parts: list[bytes] = []
        while length:
            try:
                part = os.pread(self._handle, length, offset)
            except OSError as error:
                raise self._failure("cannot be read", error) from error
            if not part:
                raise self._failure("ends early", None)
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Store `data` in the machine's page cache.

        Raises:
            DeviceError: Outside the device, or the machine refused.
            WriteProtected: Opened read-only.
        """
        view = memoryview(data)
        if self._read_only:
            raise refuse_write(offset, len(view))
        check_range(self, offset, len(view))
        while view:
            try:
                done = os.pwrite(self._handle, view, offset)
            except OSError as error:
                raise self._failure("cannot be written", error) from error
            view = view[done:]
            offset += done

    def flush(self) -> None:
        """Wait until the file's data is on the machine's disk.

        Raises:
            DeviceError: The machine could not write it.
        """
        if self._read_only:
            return
        if self._handle < 0:
            raise self._failure("is closed", None)
        try:
            # The size never changes, so data is all that has to become durable.
            os.fdatasync(self._handle)
        except OSError as error:
            raise self._failure("cannot be flushed", error) from error

    def discard(self, offset: int, length: int) -> None:
        """Write zeros over the range; the file keeps its blocks (punching holes needs libc).

        Raises:
            DeviceError, WriteProtected: As `write`.
        """
        check_range(self, offset, length)
        if self._read_only:
            raise refuse_write(offset, length)
        end = offset + length
        while offset < end:
            step = min(_STEP_BYTES, end - offset)
            # Looked at first: a sparse file must not be filled with zeros.
            if self.read(offset, step).count(0) != step:
                self.write(offset, bytes(step))
            offset += step

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _failure(self, what: str, error: OSError | None) -> DeviceError:
        reason = f": {error.strerror}" if error is not None else ""
        return DeviceError(f"{self._path} {what}{reason}", context={"path": self._path})


def _open_read_only(path: str) -> FileDevice:
    return FileDevice(path, read_only=True)


_OPENERS: Final = {True: _open_read_only, False: FileDevice}


@define(init=False)
class SliceDevice:
    """A range of another device as a device of its own: a volume on a LUN.

    Args:
        device: The device that holds the bytes.
        offset: First byte of the slice.
        length: Bytes of the slice.

    Raises:
        DeviceError: The slice is not inside the device.
    """

    device: BlockDevice
    offset: int
    length: int

    def __init__(self, device: BlockDevice, offset: int, length: int) -> None:
        check_range(device, offset, length)
        self.device = device
        self.offset = offset
        self.length = length

    @property
    def size_bytes(self) -> int:
        """Length of the slice."""
        return self.length

    @property
    def read_only(self) -> bool:
        """As the device below."""
        return self.device.read_only

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes; errors as the device below, and `DeviceError` for the range."""
        check_range(self, offset, length)
        return self.device.read(self.offset + offset, length)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Store `data`; errors as the device below, and `DeviceError` for the range."""
        check_range(self, offset, memoryview(data).nbytes)
        self.device.write(self.offset + offset, data)

    def flush(self) -> None:
        """Flush the whole device below."""
        self.device.flush()

    def discard(self, offset: int, length: int) -> None:
        """Discard in the device below; `DeviceError` for the range."""
        check_range(self, offset, length)
        self.device.discard(self.offset + offset, length)


@define
class ReadOnlyDevice:
    """Another device without its writes."""

    device: BlockDevice

    @property
    def size_bytes(self) -> int:
        """Length of the device below."""
        return self.device.size_bytes

    @property
    def read_only(self) -> bool:
        """Always true."""
        return True

    def read(self, offset: int, length: int) -> bytes:
        """As the device below."""
        return self.device.read(offset, length)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Refused.

        Raises:
            WriteProtected: Always.
        """
        raise refuse_write(offset, len(data))

    def flush(self) -> None:
        """Nothing to do: nothing was written through this device."""

    def discard(self, offset: int, length: int) -> None:
        """Refused.

        Raises:
            WriteProtected: Always.
        """
        raise refuse_write(offset, length)


if TYPE_CHECKING:
    _devices: tuple[type[BlockDevice], ...] = (
        MemoryDevice,
        FileDevice,
        SliceDevice,
        ReadOnlyDevice,
    )
