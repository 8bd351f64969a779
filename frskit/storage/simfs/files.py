"""Open files of a simfs volume, and references that outlive the mount.

`SimFile` follows `WritableFile`; what it was opened for decides whether it writes. `SimFileRef`
follows `FileRef`: the device and the extents, so a worker reads the file without mounting the
volume; it can be pickled if its device can.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from attrs import field, frozen

from frskit.errors import FileSystemError, WriteProtected
from frskit.storage.simfs.extent_reads import check_span, read_extents
from frskit.storage.simfs.extents import ExtentMap

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from frskit.protocols.small import BlockDevice, FileRef, ReadableFile, WritableFile

__all__ = ["ExtentFile", "SimFile", "SimFileRef"]


class OpenVolume(Protocol):
    """What an open file asks of the volume that it is on, by the number of its inode."""

    def size_of(self, inode: int) -> int:
        """Length in bytes as programs see it."""
        ...

    def read_inode(self, inode: int, offset: int, length: int) -> bytes:
        """Bytes of the file; fewer at its end."""
        ...

    def write_inode(self, inode: int, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Store bytes; a gap before them reads as zero."""
        ...

    def truncate_inode(self, inode: int, size_bytes: int) -> None:
        """Set the length."""
        ...

    def sync_inode(self, inode: int) -> None:
        """Return when every earlier write to the file is durable."""
        ...


class SimFile:
    """One open file of a mounted volume; a context manager. Closing does not flush."""

    def __init__(self, volume: OpenVolume, inode: int, path: str, *, writable: bool) -> None:
        self._volume = volume
        self._inode = inode
        self._path = path
        self._writable = writable
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<SimFile {self._path!r}>"

    @property
    def path(self) -> str:
        """The path under which it was opened."""
        return self._path

    @property
    def closed(self) -> bool:
        """Whether the handle was released."""
        return self._closed

    @property
    def size_bytes(self) -> int:
        """Length as programs see it now.

        Raises:
            FileMissing: The file was removed.
        """
        return self._volume.size_of(self._use())

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes, shorter only at the end of the file.

        Raises:
            FileMissing: The file was removed.
            DeviceError, StaleLun, CopyInvalid: As `BlockDevice.read`.
        """
        return self._volume.read_inode(self._use(), offset, length)

    def write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Store `data` in the volatile cache; `sync` makes it durable.

        Raises:
            NoSpace: The volume is full; the file is unchanged.
            WriteProtected: Opened for reading.
            FileMissing: The file was removed.
        """
        self._volume.write_inode(self._change(), offset, data)

    def truncate(self, size_bytes: int) -> None:
        """Set the length; growth is a hole that reads as zero and takes no space.

        Raises:
            WriteProtected: Opened for reading.
            FileMissing: The file was removed.
        """
        self._volume.truncate_inode(self._change(), size_bytes)

    def sync(self) -> None:
        """Return when this file's data, size and name are durable.

        The time of change alone is written with the next metadata, not for its own sake.

        Raises:
            WriteProtected: Opened for reading.
            FileMissing: The file was removed.
        """
        self._volume.sync_inode(self._change())

    def close(self) -> None:
        """Release the handle. Idempotent; unflushed data stays volatile."""
        self._closed = True

    def _use(self) -> int:
        if self._closed:
            raise FileSystemError(f"{self._path} is closed", context={"path": self._path})
        return self._inode

    def _change(self) -> int:
        if not self._writable:
            raise WriteProtected(f"{self._path} is open for reading only")
        return self._use()


@frozen(kw_only=True)
class SimFileRef:
    """Where a file's bytes are on its device, as of when the reference was made.

    Attributes:
        name: The file's path, for messages.
        size_bytes: Its length.
        device: The volume's device.
        extents: First block in the file, first block of the volume and count of every extent.
        modified_us: Time of its last change, microseconds since 1970; 0 = unknown.
    """

    name: str
    size_bytes: int
    device: BlockDevice
    extents: tuple[tuple[int, int, int], ...] = field(repr=False)
    modified_us: int = 0

    def open(self) -> ExtentFile:
        """Open for reading; no mount is needed."""
        return ExtentFile(self)


class ExtentFile:
    """A file read through its `SimFileRef`; a context manager."""

    def __init__(self, ref: SimFileRef) -> None:
        self._ref = ref
        self._extents = ExtentMap()
        for logical, physical, count in ref.extents:
            self._extents.insert(logical, physical, count)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def size_bytes(self) -> int:
        """Length when the reference was made."""
        return self._ref.size_bytes

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes, shorter only at the end of the file.

        Raises:
            DeviceError, StaleLun, CopyInvalid: As `BlockDevice.read`.
        """
        check_span(offset, length)
        length = min(length, self.size_bytes - offset)
        if length <= 0:
            return b""
        return read_extents(self._ref.device, self._extents, offset, length)

    def close(self) -> None:
        """Nothing to release. Idempotent."""


if TYPE_CHECKING:
    _file: type[WritableFile] = SimFile
    _extent_file: type[ReadableFile] = ExtentFile
    _ref: type[FileRef] = SimFileRef
