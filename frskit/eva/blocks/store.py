"""The data plane of one simulated array: volumes, copies and the instant of a copy set.

What it is: thin volumes in one page pool, with instant writable snapshots, clones that are filled
in the background, instant restore, and deletion in any order - on real bytes, in memory or in a
directory. One epoch for the whole array makes a copy set one increment and one record, whatever
the number and size of its volumes; writes keep their order across volumes because they and the cut
take the same lock ([feasibility 7.2, 11], measured there).

What it is not: it knows no names, disk groups, capacity, hosts or rules of an array; those are in
`frskit.eva.array`. The page size and the behavior below are frskit's choice; the real array's
chunk size is UNKNOWN ([EVA 1.10]).

Durable stores follow [feasibility 11.2]: pages in a pool file, everything else in a database that
is committed after the pool. A write is durable after `BlockStore.flush`, a change of structure or
of metadata when its transaction ends. A crash leaves each page as it was before or after the
writes that were not flushed.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from frskit.errors import UsageError
from frskit.eva.blocks.commit_log import CommitLog
from frskit.eva.blocks.page_pool import SLAB_MASK, SLAB_SHIFT, FilePool, MemoryPool
from frskit.eva.blocks.page_table import NUMBER_MASK, Tables
from frskit.eva.blocks.versions import Forest
from frskit.eva.blocks.volumes import CloneProgress, VolumeId, VolumeStore

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

    from frskit.eva.blocks.page_table import Version

__all__ = ["BlockStore", "CloneProgress", "VolumeId"]


class BlockStore(VolumeStore):
    """Volumes on one page pool, with instant copies. Thread-safe: one lock.

    Offsets and lengths are in bytes and need no alignment. Volumes are numbered from 1; a number
    is never used again.

    Args:
        page_bytes: Unit of sharing and allocation, a power of two from 512 to 1 MiB.

    Raises:
        UsageError: `page_bytes` is not such a power of two.

    Example:
        >>> store = BlockStore()
        >>> volume = store.create(1 << 40)
        >>> store.write(volume, 5, b"before")
        >>> (copy,) = store.snapshot([volume])
        >>> store.write(volume, 5, b"after!")
        >>> store.read(copy, 5, 6)
        b'before'
    """

    _slabs: list[mmap.mmap] | None

    def __init__(self, *, page_bytes: int = 4096) -> None:
        pool = MemoryPool(_page_shift(page_bytes))
        super().__init__(Forest(pool, Tables()), None, {})
        self._slabs = pool.slabs

    @classmethod
    def open(cls, directory: Path, *, page_bytes: int = 4096) -> Self:
        """Open the durable store in a directory, or make one there.

        Args:
            directory: Holds the store's files and nothing else; made if missing.
            page_bytes: For a new store; an existing one keeps its own.

        Raises:
            ArrayDamaged: Files are missing or damaged.
            Busy: The store is open already, here or in another process.
            UsageError: `page_bytes` is not a power of two from 512 to 1 MiB.
        """
        with ExitStack() as on_failure:
            commit_log = CommitLog(directory, _page_shift(page_bytes))
            on_failure.callback(commit_log.close)
            pool = FilePool(commit_log.pool_path, commit_log.page_shift)
            on_failure.callback(pool.close)
            forest = Forest(pool, Tables(commit_log.node))
            meta = commit_log.load(forest)
            on_failure.pop_all()
        store = cls.__new__(cls)
        VolumeStore.__init__(store, forest, commit_log, meta)
        store._slabs = None  # noqa: SLF001  # a classmethod fills its own instance
        return store

    # --- bytes -----------------------------------------------------------------------------

    def write(self, volume: int, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Store bytes. In a durable store they are durable after the next `flush` or commit.

        Raises:
            StorageNotFound: There is no such volume.
            DeviceError: The range is not inside the volume.
            InsufficientCapacity: The machine has no room; pages already written keep the new data.
        """
        if isinstance(data, memoryview):
            data = data.cast("B")  # so that its length is its number of bytes
        size = len(data)
        shift = self._shift
        with self._lock:
            # The hot path: inside one page that may be overwritten in place.
            try:
                version = self._live[volume]
                index = offset >> shift
                within = offset & self._page_bytes - 1
                entry: int = version.root[index >> 18][index >> 9 & 511][index & 511]
                if (
                    entry >= version.floor
                    and within + size <= self._page_bytes
                    and 0 <= offset <= version.size_bytes - size
                ):
                    at = ((entry & NUMBER_MASK) << shift) + within
                    slabs = self._slabs
                    if slabs is not None:
                        start = at & SLAB_MASK
                        slabs[at >> SLAB_SHIFT][start : start + size] = data
                    else:
                        self._pool.put(at, memoryview(data))
                    return
            except (KeyError, TypeError):
                pass  # no volume, no node, or a node that is not loaded
            self._write(volume, offset, memoryview(data), size)

    def _write(self, volume: int, offset: int, data: memoryview, size: int) -> None:
        version = self._in_range(volume, offset, size)
        if size:
            self._forest.write(version, offset, data)
            self._bound_changes()

    def read(self, volume: int, offset: int, length: int) -> bytes:
        """The bytes of a range; what was never written reads as zeros.

        Raises:
            StorageNotFound: There is no such volume.
            DeviceError: The range is not inside the volume.
            ArrayDamaged: The store's files are damaged.
        """
        shift = self._shift
        with self._lock:
            try:
                version = self._live[volume]
                index = offset >> shift
                within = offset & self._page_bytes - 1
                entry: int = version.root[index >> 18][index >> 9 & 511][index & 511]
                slabs = self._slabs
                if (
                    slabs is not None
                    and entry
                    and within + length <= self._page_bytes
                    and length >= 0
                    and 0 <= offset <= version.size_bytes - length
                ):
                    at = ((entry & NUMBER_MASK) << shift) + within
                    start = at & SLAB_MASK
                    return slabs[at >> SLAB_SHIFT][start : start + length]
            except (KeyError, TypeError):
                pass  # no volume, no node, or a node that is not loaded
            version = self._in_range(volume, offset, length)
            parts: list[memoryview | bytes] = []
            for position, size in self._byte_runs(version, offset, length):
                if position < 0:
                    parts.append(bytes(size))
                else:
                    parts += self._pool.pieces(position, size)
            return b"".join(parts)

    def readinto(self, volume: int, offset: int, buffer: bytearray | memoryview) -> None:
        """As `read`, into a writable buffer, for as many bytes as it holds."""
        target = memoryview(buffer).cast("B")
        with self._lock:
            version = self._in_range(volume, offset, len(target))
            done = 0
            for position, size in self._byte_runs(version, offset, len(target)):
                if position < 0:
                    target[done : done + size] = bytes(size)
                else:
                    self._pool.fill(position, target[done : done + size])
                done += size

    def discard(self, volume: int, offset: int, length: int) -> None:
        """Let a range read as zeros, and give whole pages of it back.

        Raises:
            StorageNotFound: There is no such volume.
            DeviceError: The range is not inside the volume.
        """
        with self._lock:
            version = self._in_range(volume, offset, length)
            if length:
                self._forest.discard(version, offset, length)
                self._bound_changes()

    def _byte_runs(self, version: Version, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Runs (position in the pool or -1 for zeros, bytes) that make up a range."""
        if not length:
            return
        shift = self._shift
        within = offset & self._page_bytes - 1
        for entry, pages in self._page_runs(version, offset, length):
            size = min((pages << shift) - within, length)
            yield ((entry & NUMBER_MASK) << shift) + within if entry else -1, size
            length -= size
            within = 0


def _page_shift(page_bytes: int) -> int:
    if not 512 <= page_bytes <= 1 << 20 or page_bytes & page_bytes - 1:
        raise UsageError(f"{page_bytes} is no page size: a power of two from 512 to 1048576 is")
    return page_bytes.bit_length() - 1
