"""The small seams: block devices, file systems, readable files and command runners.

Contracts only; nothing here is implemented. Paths of a `FileTree` are relative to the volume,
separated by ``/``, without a leading slash; ``""`` is the volume's root directory. Names compare
case-insensitively where the file system says so (NTFS and the lab's simfs do).

All reading calls are idempotent and may come from several threads at once; changes of one file come
from one thread at a time. Nobody repeats a failed write: what it left is told by looking.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from frskit.clock import Budget
    from frskit.model.files import FileStat
    from frskit.model.plans import CommandResult

__all__ = [
    "BlockDevice",
    "CommandRunner",
    "FileRef",
    "FileSystem",
    "FileTree",
    "ReadableFile",
    "WritableFile",
]


class BlockDevice(Protocol):
    """Random access to the bytes of one LUN, partition or image.

    Offsets and lengths may be any byte values inside the device. A device has a volatile write
    cache unless its maker says otherwise: a write is durable only after `flush` returned. Reads may
    run in several threads, also beside a write elsewhere on the device.
    """

    @property
    def size_bytes(self) -> int:
        """Length of the device; constant while it is open."""
        ...

    @property
    def read_only(self) -> bool:
        """Whether `write` and `discard` are refused."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes; never-written ranges read as zero.

        Raises:
            DeviceError: The range is not inside the device. The caller should fix its arithmetic.
            StaleLun: Another disk answers now. The caller should rescan its server.
            CopyInvalid: The array gave this copy up. The caller should use another copy.
        """
        ...

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Store `data`; atomic per aligned 512-byte sector, longer writes may tear on a crash.

        Raises:
            DeviceError: Outside the device, or the device is gone.
            WriteProtected: The device is read-only.
            InsufficientCapacity: Thin storage could not get space; nothing was written.
        """
        ...

    def flush(self) -> None:
        """Return when every earlier write is durable. Idempotent."""
        ...

    def discard(self, offset: int, length: int) -> None:
        """Give the range back to thin storage; it reads as zero afterwards. Idempotent.

        Raises:
            DeviceError, WriteProtected: As `write`.
        """
        ...


class ReadableFile(Protocol):
    """One open file of a `FileTree`; a context manager. Reads may run in several threads."""

    @property
    def size_bytes(self) -> int:
        """Length at the time of opening."""
        ...

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; shorter only at the end of the file.

        Raises:
            DeviceError, StaleLun, CopyInvalid: As `BlockDevice.read`.
        """
        ...

    def close(self) -> None:
        """Release the file. Idempotent."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class WritableFile(ReadableFile, Protocol):
    """A file open for reading and writing."""

    def write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Store `data`, growing the file if needed; a hole reads as zero.

        Raises:
            NoSpace: The volume is full; the file is unchanged.
            WriteProtected: The volume is read-only.
        """
        ...

    def truncate(self, size_bytes: int) -> None:
        """Set the length; growth reads as zero. Idempotent.

        Raises:
            NoSpace, WriteProtected: As `write_at`; the length is unchanged.
        """
        ...

    def sync(self) -> None:
        """Return when this file's data and size are durable (fsync).

        Raises:
            DeviceError: They may not be. Repeating it proves nothing: what was not stored may have
                been dropped. The caller takes the file for lost and writes it anew.
        """
        ...


class FileRef(Protocol):
    """A picklable description of one file that a worker elsewhere can open by itself."""

    @property
    def name(self) -> str:
        """The file's name for messages."""
        ...

    @property
    def size_bytes(self) -> int:
        """Length when the reference was made."""
        ...

    def open(self) -> ReadableFile:
        """Open for reading.

        Raises:
            FileMissing: It is gone.
        """
        ...


class FileTree(Protocol):
    """Read access to the files of one volume."""

    def listdir(self, path: str = "") -> Sequence[str]:
        """Names in the directory, sorted case-insensitively.

        Raises:
            FileMissing: No such directory.
        """
        ...

    def walk(self, path: str = "") -> Iterator[str]:
        """Paths of all files below `path`, in sorted order, directories left out."""
        ...

    def stat(self, path: str) -> FileStat:
        """Facts about a file or directory, or about a symbolic link itself.

        This alone tells of links: they are in no listing, do not `exist` and cannot be opened.

        Raises:
            FileMissing: No such path, or neither of the three.
        """
        ...

    def exists(self, path: str) -> bool:
        """Whether a file or directory is there."""
        ...

    def open(self, path: str) -> ReadableFile:
        """Open for reading.

        Raises:
            FileMissing: No such file.
        """
        ...

    def ref(self, path: str) -> FileRef:
        """A description of the file that can be handed to a worker."""
        ...


class FileSystem(FileTree, Protocol):
    """Read and write access to the files of one volume."""

    def create(self, path: str, *, exclusive: bool = True) -> WritableFile:
        """Make an empty file and open it; the directory must exist.

        Raises:
            FileExists: It exists and `exclusive` is set; without it the file is emptied.
            FileMissing: The directory does not exist.
            NoSpace, WriteProtected: As `WritableFile.write_at`.
        """
        ...

    def edit(self, path: str) -> WritableFile:
        """Open an existing file for reading and writing.

        Raises:
            FileMissing: No such file.
        """
        ...

    def makedirs(self, path: str) -> None:
        """Make the directory and its parents; existing ones are fine."""
        ...

    def rename(self, old: str, new: str, *, replace: bool = False) -> None:
        """Rename a file inside the volume; atomic, also across a crash.

        Raises:
            FileMissing: `old` does not exist.
            FileExists: `new` exists and `replace` is not set.
        """
        ...

    def remove(self, path: str) -> None:
        """Remove a file.

        Raises:
            FileMissing: No such file.
        """
        ...

    def take(self, path: str, source: FileRef, *, mode: int | None = None, budget: Budget) -> None:
        """Make the new file `path` a copy of `source`, which may be of another file system.

        Bytes, and all that belongs to them and that both file systems have: mode, owner, group,
        times, extended attributes, holes; data is shared with the source where the file system
        can (reflink). What both have and the copy may not be given is an error, never left out.
        What the source has not, its directory gives: owner and group, as far as this process may,
        and the mode without the right to search; `mode` counts instead of either's.
        Volatile until `sync([path])`. Not idempotent: remove the file before a second try. After
        any error, a death of the process apart, there is no `path`. One call at a time per path.

        Raises:
            FileExists: Something is there.
            FileMissing: The directory or the source does not exist.
            FileSystemError: An owner or attribute may not be given; the caller needs root.
            NoSpace, WriteProtected: As `create`.
            TimedOut, Cancelled: The budget, looked at between pieces of the file.
        """
        ...

    def sync(self, paths: Iterable[str] | None = None) -> None:
        """Return when what was written, made, renamed or removed before is durable.

        Args:
            paths: Only these: for a file its data and its name, for a directory the names in it,
                for what is not there (any more) that it is gone. None: the whole volume, which
                may cost a wait for the disk per file.

        Idempotent. After an error it is not known what is durable, and a second call that
        succeeds proves nothing: write the files again.

        Raises:
            FileMissing: The directory of a path does not exist.
            DeviceError: The device refused.
        """
        ...


class CommandRunner(Protocol):
    """Runs programs on one host and moves files to and from it; never through a shell.

    Calls may come from several threads at once. A program that was killed at its deadline is dead,
    also on a remote host [HAZ-08]; what it had done by then is the caller's matter. Nothing is
    repeated here: only the caller knows whether a program may run twice.
    """

    def run(
        self,
        argv: Sequence[str],
        *,
        input_text: str | None = None,
        environment: Mapping[str, str] | None = None,
        budget: Budget,
    ) -> CommandResult:
        """Run to the end and return status and output; a non-zero status is not an error here.

        Raises:
            TimedOut: The program was killed at the deadline.
            HostError: The program could not be started.
        """
        ...

    def get_file(self, path: str, *, budget: Budget) -> bytes:
        """The content of a file on that host.

        Raises:
            FileMissing: No such file.
        """
        ...

    def put_file(self, path: str, data: bytes, *, budget: Budget) -> None:
        """Store a file on that host, replacing it atomically. Idempotent.

        Raises:
            HostError: It could not be stored; the file that was there is as it was.
            TimedOut: The same.
        """
        ...
