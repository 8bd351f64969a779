"""Reading and writing the bytes of the volumes of a block store.

Most transfers lie inside one page that is there and may be overwritten: `VolumeBytes.read` and
`write` try that first, without a call. Whatever does not fit goes the long way, through the page
tables and the forest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.eva.blocks.page_pool import SLAB_MASK, SLAB_SHIFT, MemoryPool
from frskit.eva.blocks.page_table import NUMBER_MASK

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator

    from frskit.eva.blocks.live_volumes import LiveVolumes
    from frskit.eva.blocks.page_table import Version
    from frskit.eva.blocks.transactions import TransactionalStore

__all__ = ["VolumeBytes"]


class VolumeBytes:
    """The bytes of one store.

    Arguments and errors are described at `frskit.eva.blocks.store.BlockStore`.

    Args:
        store: The store to which they belong.
        live: Its volumes.
    """

    def __init__(self, store: TransactionalStore, live: LiveVolumes) -> None:
        self._store = store
        self._life = store.life
        self._volumes = live
        self._forest = store.forest
        self._live = store.forest.live
        self._pool = pool = store.forest.pool
        self._shift = pool.page_shift
        self._page_bytes = 1 << pool.page_shift
        self._page_mask = self._page_bytes - 1
        self._slabs: list[mmap.mmap] | None = pool.slabs if isinstance(pool, MemoryPool) else None

    def write(self, volume: int, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Store bytes."""
        if isinstance(data, memoryview):
            data = data.cast("B")  # so that its length is its number of bytes
        size = len(data)
        shift = self._shift
        with self._life.lock:
            # The hot path: inside one page that may be overwritten in place.
            try:
                version = self._live[volume]
                index = offset >> shift
                within = offset & self._page_mask
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
        version = self._volumes.in_range(volume, offset, size)
        if size:
            self._forest.write(version, offset, data)
            self._store.bound_changes()

    def read(self, volume: int, offset: int, length: int) -> bytes:
        """The bytes of a range."""
        shift = self._shift
        with self._life.lock:
            try:
                version = self._live[volume]
                index = offset >> shift
                within = offset & self._page_mask
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
            return self._read(volume, offset, length)

    def _read(self, volume: int, offset: int, length: int) -> bytes:
        version = self._volumes.in_range(volume, offset, length)
        parts: list[memoryview | bytes] = []
        for position, size in self._byte_runs(version, offset, length):
            if position < 0:
                parts.append(bytes(size))
            else:
                parts += self._pool.pieces(position, size)
        return b"".join(parts)

    def readinto(self, volume: int, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill a writable buffer."""
        target = memoryview(buffer).cast("B")
        with self._life.lock:
            version = self._volumes.in_range(volume, offset, len(target))
            done = 0
            for position, size in self._byte_runs(version, offset, len(target)):
                if position < 0:
                    target[done : done + size] = bytes(size)
                else:
                    self._pool.fill(position, target[done : done + size])
                done += size

    def discard(self, volume: int, offset: int, length: int) -> None:
        """Let a range read as zeros, and give whole pages of it back."""
        with self._life.lock:
            version = self._volumes.in_range(volume, offset, length)
            if length:
                self._forest.discard(version, offset, length)
                self._store.bound_changes()

    def _byte_runs(self, version: Version, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Runs (position in the pool or -1 for zeros, bytes) that make up a range."""
        if not length:
            return
        shift = self._shift
        within = offset & self._page_mask
        for entry, pages in self._volumes.page_runs(version, offset, length):
            size = min((pages << shift) - within, length)
            yield ((entry & NUMBER_MASK) << shift) + within if entry else -1, size
            length -= size
            within = 0
