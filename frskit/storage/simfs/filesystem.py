"""`SimFs`: names, files and the rules of durability on top of one block device.

The contract is `frskit.protocols.small.FileSystem`, and these promises (frskit's choice):

- A write is volatile until `SimFile.sync` or `SimFs.sync` returned. A crash at any device write
  leaves a volume that mounts; what was synced is there; what was not may be lost or, inside a range
  that was overwritten in place, be old or new sector by sector; no other file changes.
- Names and sizes change in one transaction: a rename happened or did not.
- Freed blocks are used again, and discarded on the device, only after the freeing is durable.
- A mount writes nothing until the first change is committed. A read-only mount never writes, and
  shows the last durable state (the journal is replayed in memory; cf. HAZ-17).

What it is not: NTFS. There are no links, streams, permissions or drive letters.
"""

from __future__ import annotations

import threading
from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from frskit.errors import (
    FileExists,
    FileMissing,
    FileSystemError,
    FrskitError,
    UsageError,
    WriteProtected,
)
from frskit.model.files import FileStat
from frskit.storage.simfs.contents import Contents
from frskit.storage.simfs.files import SimFile, SimFileRef
from frskit.storage.simfs.layout import (
    BLOCK_BYTES,
    ROOT_INODE,
    MakeNode,
    MoveNode,
    Superblock,
    UnlinkNode,
    node_bytes,
)
from frskit.storage.simfs.metadata import Node
from frskit.storage.simfs.names import Names, split_path
from frskit.storage.simfs.store import MetadataStore

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from typing import Self

    from frskit.clock import Budget, Clock
    from frskit.protocols.small import BlockDevice, FileRef, FileSystem

__all__ = ["MINIMUM_VOLUME_BYTES", "SimFs"]

# Room for the smallest journal, two images and some data (ours).
MINIMUM_VOLUME_BYTES: Final = 256 * 1024
# 2^31 blocks, because the length of an extent has 32 bits.
_MAXIMUM_VOLUME_BYTES: Final = 8 << 40
# Bytes per read and write while a file is copied: bounds the memory (ours).
_CHUNK_BYTES: Final = 4 << 20
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def _clamp(value: int, low: int, high: int) -> int:
    return max(low, min(value, high))


class SimFs:
    """One mounted volume; a context manager that syncs at the end.

    Make one with `format` or `mount`.

    Example:
        >>> import uuid
        >>> from frskit.storage.devices import MemoryDevice
        >>> volume = SimFs.format(MemoryDevice(1 << 20), volume_id=uuid.UUID(int=1))
        >>> with volume.create("hello.txt") as file:
        ...     file.write_at(0, b"hello")
        ...     file.sync()
        >>> volume.open("HELLO.TXT").read_at(0, 5)
        b'hello'
    """

    def __init__(
        self, device: BlockDevice, store: MetadataStore, *, read_only: bool, clock: Clock | None
    ) -> None:
        self._device = device
        self._store = store
        self._metadata = store.metadata
        self._read_only = read_only
        self._clock = clock
        self._closed = False
        # Weak: a handle that nobody can use any more does not keep the volume busy.
        self._open_files: WeakSet[SimFile] = WeakSet()
        self._names = Names(self._metadata)
        self._contents = Contents(device, store)
        # Nothing changes in a read-only mount, so its readers need not wait for each other.
        self._lock: AbstractContextManager[object] = (
            nullcontext() if read_only else threading.RLock()
        )

    # -- volumes ---------------------------------------------------------------------------------

    @classmethod
    def format(
        cls,
        device: BlockDevice,
        *,
        volume_id: uuid.UUID,
        clock: Clock | None = None,
        journal_bytes: int | None = None,
    ) -> Self:
        """Make an empty volume on the whole device and mount it; the old content is lost.

        Args:
            device: The volume's bytes; a `SliceDevice` behind the label on a LUN.
            volume_id: The volume's GUID.
            clock: Gives times of change; None leaves them unknown.
            journal_bytes: Length of the journal; by default 1/64 of the volume, 32 KiB to 1 MiB.

        Raises:
            UsageError: The device is too small or too large.
            WriteProtected, DeviceError: As `BlockDevice.write`.
        """
        if not MINIMUM_VOLUME_BYTES <= device.size_bytes <= _MAXIMUM_VOLUME_BYTES:
            raise UsageError(f"a volume cannot have {device.size_bytes} bytes")
        # A 64th for the journal and each image, within bounds that keep a mount short (ours).
        share = device.size_bytes // 64
        journal = _clamp(share, 32 << 10, 1 << 20) if journal_bytes is None else journal_bytes
        if not 0 < journal <= device.size_bytes // 4:
            raise UsageError(f"a journal cannot have {journal} bytes")
        superblock = Superblock(
            sequence=0,
            volume_id=volume_id,
            blocks=device.size_bytes // BLOCK_BYTES,
            journal_blocks=-(-journal // BLOCK_BYTES),
            image_blocks=_clamp(share, 64 << 10, 16 << 20) // BLOCK_BYTES,
        )
        store = MetadataStore.format(device, superblock)
        return cls(device, store, read_only=False, clock=clock)

    @classmethod
    def mount(
        cls, device: BlockDevice, *, read_only: bool = False, clock: Clock | None = None
    ) -> Self:
        """Open the volume on a device, as of its last durable change.

        Args:
            device: The volume's bytes.
            read_only: Never write; needed if the device is read-only.
            clock: Gives times of change; None leaves them unknown.

        Raises:
            FileSystemDamaged: There is no good volume on the device.
            WriteProtected: The device is read-only and `read_only` is not set.
        """
        if device.read_only and not read_only:
            raise WriteProtected(
                "the device is read-only", hint="Mount the volume with read_only=True."
            )
        return cls(device, MetadataStore.open(device), read_only=read_only, clock=clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def volume_id(self) -> uuid.UUID:
        """The volume's GUID."""
        return self._store.superblock.volume_id

    @property
    def read_only(self) -> bool:
        """Whether changes are refused."""
        return self._read_only

    @property
    def total_bytes(self) -> int:
        """Space for files' data."""
        superblock = self._store.superblock
        return (superblock.data_end - superblock.data_start) * BLOCK_BYTES

    @property
    def free_bytes(self) -> int:
        """Space that files can take now; freed space counts once the freeing is durable."""
        return self._contents.free.free_blocks * BLOCK_BYTES

    def sync(self, paths: Iterable[str] | None = None) -> None:
        """Return when everything written or renamed before is durable.

        With paths it is the data of these files, and all names: one transaction has them.

        Raises:
            DeviceError: The device failed; what was not durable is still in the cache.
        """
        with self._lock:
            self._check_mounted()
            if self._read_only:
                return
            if paths is None:
                self._contents.sync_all()
            else:
                named = (self._tree.find(path) for path in sorted(set(paths)))
                self._contents.sync([node for node in named if node and not node.is_directory])

    def close(self) -> None:
        """Sync and unmount. Idempotent."""
        if not self._closed:
            self.sync()
            self._closed = True

    def abandon(self) -> None:
        """Unmount without writing: everything unsynced is lost, as in a crash. Idempotent."""
        self._closed = True

    def open_files(self) -> tuple[str, ...]:
        """Paths under which files were opened that are still open, sorted."""
        return tuple(sorted(file.path for file in [*self._open_files] if not file.closed))

    def check(self) -> tuple[str, ...]:
        """Contradictions in the mounted state, as texts; see also `check_volume`."""
        with self._lock:
            return tuple(self._contents.problems())

    # -- reading ---------------------------------------------------------------------------------

    def listdir(self, path: str = "") -> Sequence[str]:
        """Names in the directory, sorted case-insensitively.

        Raises:
            FileMissing: No such directory.
        """
        with self._lock:
            return [child.name for child in self._tree.children(self._tree.directory(path))]

    def walk(self, path: str = "") -> Iterator[str]:
        """Paths of all files below `path` in sorted order.

        Raises:
            FileMissing: No such directory.
        """
        with self._lock:
            # Collected under the lock, which a generator would let go between two names.
            found = list(self._tree.walk(self._tree.directory(path), path))
        return iter(found)

    def stat(self, path: str) -> FileStat:
        """Kind, size and time of a file or directory.

        Raises:
            FileMissing: No such path.
        """
        with self._lock:
            node = self._tree.existing(path)
            if node.is_directory:
                return FileStat(size_bytes=0, is_directory=True, modified_at=None)
            return FileStat(
                size_bytes=self._contents.size_bytes(node),
                modified_at=_instant(self._contents.modified_us(node)),
            )

    def exists(self, path: str) -> bool:
        """Whether a file or directory is there."""
        with self._lock:
            return self._tree.find(path) is not None

    def open(self, path: str) -> SimFile:
        """Open a file for reading.

        Raises:
            FileMissing: No such file.
        """
        with self._lock:
            return self._opened_as(self._tree.file(path), path, writable=False)

    def ref(self, path: str) -> SimFileRef:
        """Device and extents of a file; its unflushed data goes to the device first.

        The reference is good as long as the file does not change.

        Raises:
            FileMissing: No such file.
        """
        with self._lock:
            node = self._tree.file(path)
            # A reference reads the device, so the device gets what programs see.
            self._contents.write_back(node)
            return SimFileRef(
                name=path,
                size_bytes=node.size_bytes,
                device=self._device,
                extents=tuple(node.extents),
                modified_us=self._contents.modified_us(node),
            )

    # -- changing --------------------------------------------------------------------------------

    def create(self, path: str, *, exclusive: bool = True) -> SimFile:
        """Make an empty file and open it for writing.

        Raises:
            FileExists: It exists and `exclusive` is set, or it is a directory.
            FileMissing: The directory does not exist.
            NoSpace: There is no room for more files.
            WriteProtected: The volume is mounted read-only.
        """
        with self._lock:
            self._check_writable()
            node = self._tree.find(path)
            if node is None:
                node = self._make(path, is_directory=False)
            elif exclusive or node.is_directory:
                raise FileExists(f"{path} exists", context={"path": path})
            else:
                self._contents.truncate(node, 0, self._now_us())
            return self._opened_as(node, path, writable=True)

    def edit(self, path: str) -> SimFile:
        """Open an existing file for reading and writing.

        Raises:
            FileMissing: No such file.
            WriteProtected: The volume is mounted read-only.
        """
        with self._lock:
            self._check_writable()
            return self._opened_as(self._tree.file(path), path, writable=True)

    def take(self, path: str, source: FileRef, *, mode: int | None = None, budget: Budget) -> None:
        """Make the new file `path` a copy of `source`: its bytes.

        From another file of a `SimFs` come also its holes and its time of change; there is
        nothing else that could come, and no mode.

        Raises:
            FileExists, FileMissing, NoSpace, WriteProtected: As `create`.
            TimedOut, Cancelled: As the budget says.
        """
        try:
            with self.create(path) as target, source.open() as reading:
                for offset, length in _pieces(source, reading.size_bytes):
                    budget.check(f"copying {source.name}")
                    target.write_at(offset, reading.read_at(offset, length))
                target.truncate(reading.size_bytes)
                if isinstance(source, SimFileRef):
                    with self._lock:
                        node = self._tree.file(path)
                        self._contents.set_time(node, source.modified_us)
        except FileExists:
            raise
        except BaseException:
            with suppress(FrskitError):
                self.remove(path)
            raise

    def makedirs(self, path: str) -> None:
        """Make the directory and its parents; existing ones are fine.

        Raises:
            FileExists: A file stands in the way.
            NoSpace, WriteProtected: As `create`.
        """
        with self._lock:
            self._check_writable()
            parts = split_path(path)
            for depth in range(1, len(parts) + 1):
                prefix = "/".join(parts[:depth])
                node = self._tree.find(prefix)
                if node is None:
                    self._make(prefix, is_directory=True)
                elif not node.is_directory:
                    raise FileExists(f"{prefix} is a file", context={"path": prefix})

    def rename(self, old: str, new: str, *, replace: bool = False) -> None:
        """Rename a file or directory inside the volume; atomic, durable after the next sync.

        Raises:
            FileMissing: `old` or the directory of `new` does not exist.
            FileExists: `new` exists and `replace` is not set, or is a directory.
            FileSystemError: A directory cannot move into itself.
            NoSpace, WriteProtected: As `create`.
        """
        with self._lock:
            self._check_writable()
            node = self._tree.existing(old)
            parent, name = self._tree.place(new)
            victim = self._tree.find(new)
            self._check_move(node, parent, new)
            if victim is not None and victim is not node:
                if not replace or victim.is_directory:
                    raise FileExists(f"{new} exists", context={"path": new})
                # What is cached of it must not go to blocks that are somebody else's by then.
                self._contents.forget(victim)
                self._contents.apply(UnlinkNode(victim.inode))
            self._contents.apply(MoveNode(node.inode, parent.inode, name))

    def remove(self, path: str) -> None:
        """Remove a file; its space comes back with the next sync.

        Raises:
            FileMissing: No such file.
            WriteProtected: The volume is mounted read-only.
        """
        with self._lock:
            self._check_writable()
            node = self._tree.file(path)
            self._contents.forget(node)
            self._contents.apply(UnlinkNode(node.inode))

    def rmdir(self, path: str) -> None:
        """Remove an empty directory.

        Raises:
            FileMissing: No such directory.
            FileSystemError: It is not empty, or is the root.
            WriteProtected: The volume is mounted read-only.
        """
        with self._lock:
            self._check_writable()
            node = self._tree.directory(path)
            if node.children or node.inode == ROOT_INODE:
                raise FileSystemError(f"{path!r} is not empty", context={"path": path})
            self._contents.apply(UnlinkNode(node.inode))

    # -- what open files call --------------------------------------------------------------------

    def size_of(self, inode: int) -> int:
        """Length of an open file.

        Raises:
            FileMissing: It was removed.
        """
        with self._lock:
            return self._contents.size_bytes(self._opened(inode))

    def read_inode(self, inode: int, offset: int, length: int) -> bytes:
        """As `SimFile.read_at`."""
        with self._lock:
            return self._contents.read(self._opened(inode), offset, length)

    def write_inode(self, inode: int, offset: int, data: bytes | bytearray | memoryview) -> None:
        """As `SimFile.write_at`."""
        with self._lock:
            self._contents.write(self._opened(inode), offset, data, self._now_us())

    def truncate_inode(self, inode: int, size_bytes: int) -> None:
        """As `SimFile.truncate`."""
        with self._lock:
            self._contents.truncate(self._opened(inode), size_bytes, self._now_us())

    def sync_inode(self, inode: int) -> None:
        """As `SimFile.sync`."""
        with self._lock:
            self._contents.sync([self._opened(inode)])

    # -- inside ----------------------------------------------------------------------------------

    def _check_mounted(self) -> None:
        if self._closed:
            raise FileSystemError("the volume is not mounted any more")

    def _check_writable(self) -> None:
        if self._read_only:
            raise WriteProtected("the volume is mounted read-only")

    def _opened_as(self, node: Node, path: str, *, writable: bool) -> SimFile:
        file = SimFile(self, node.inode, path, writable=writable)
        self._open_files.add(file)
        return file

    def _opened(self, inode: int) -> Node:
        self._check_mounted()
        node = self._metadata.nodes.get(inode)
        if node is None:
            raise FileMissing("the open file was removed", context={"inode": inode})
        return node

    @property
    def _tree(self) -> Names:
        self._check_mounted()
        return self._names

    def _make(self, path: str, *, is_directory: bool) -> Node:
        parent, name = self._tree.place(path)
        self._contents.check_room(node_bytes(name))
        metadata = self._metadata
        inode = metadata.next_inode
        self._contents.apply(MakeNode(inode, parent.inode, is_directory, self._now_us(), name))
        return metadata.nodes[inode]

    def _check_move(self, node: Node, parent: Node, new: str) -> None:
        # From the new place upwards: the node itself must not be met.
        above = parent
        while above.inode != ROOT_INODE:
            if above is node:
                raise FileSystemError("a directory cannot move into itself", context={"path": new})
            above = self._metadata.nodes[above.parent]
        if node.inode == ROOT_INODE:
            raise FileSystemError("the root directory cannot move", context={"path": new})
        self._contents.check_room(len(new.encode()))

    def _now_us(self) -> int:
        if self._clock is None:
            return 0
        return (self._clock.now() - _EPOCH) // _MICROSECOND


def _pieces(source: FileRef, size_bytes: int) -> Iterator[tuple[int, int]]:
    """Offsets and lengths of what is to be copied; holes, where they are known, are left out."""
    if isinstance(source, SimFileRef):
        spans = [(first * BLOCK_BYTES, (first + n) * BLOCK_BYTES) for first, _, n in source.extents]
    else:
        spans = [(0, size_bytes)]
    for start, end in spans:
        for offset in range(start, min(end, size_bytes), _CHUNK_BYTES):
            yield offset, min(_CHUNK_BYTES, end - offset, size_bytes - offset)


def _instant(microseconds: int) -> datetime | None:
    try:
        return _EPOCH + microseconds * _MICROSECOND if microseconds else None
    except OverflowError:
        return None


if TYPE_CHECKING:
    _: type[FileSystem] = SimFs
