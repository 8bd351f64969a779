"""File contents of a mounted volume: the volatile cache, space, and the order of writing.

`SimFs` keeps the names and holds the lock; this part moves bytes. Space is set aside when a program
writes, so that a full volume is reported by the write and not by a later flush. Blocks get a file's
data before a transaction gives them to the file. Source: frskit's choice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from frskit.errors import FileSystemDamaged, NoSpace
from frskit.storage.simfs.cache import FileCache
from frskit.storage.simfs.extent_reads import check_span, read_extents
from frskit.storage.simfs.extents import FreeMap
from frskit.storage.simfs.layout import (
    BLOCK_BYTES,
    MAP_BYTES,
    MapBlocks,
    Operation,
    SetSize,
    encode_operation,
)
from frskit.storage.simfs.metadata import Node, blocks_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from frskit.protocols.small import BlockDevice
    from frskit.storage.simfs.extents import BlockRun, ExtentMap, Piece
    from frskit.storage.simfs.store import MetadataStore

__all__ = ["Contents"]

# Bytes of one file that may wait before they go to the device: bounds the memory (ours).
_DIRTY_LIMIT_BYTES: Final = 8 << 20
# Above every device, and below where sums of 64-bit numbers would overflow (ours).
_MAXIMUM_FILE_BYTES: Final = 1 << 60


class Contents:
    """The data side of one mounted volume. Callers hold the volume's lock.

    Attributes:
        free: Blocks that nobody uses, on disk or in memory.
    """

    def __init__(self, device: BlockDevice, store: MetadataStore) -> None:
        superblock = store.superblock
        self.free: FreeMap = store.metadata.free_map(superblock.data_start, superblock.data_end)
        self._device = device
        self._store = store
        self._metadata = store.metadata
        self._caches: dict[int, FileCache] = {}
        self._pending: list[bytes] = []
        # Not free before the commit: else a crash could give one file the data of another.
        self._freed: list[BlockRun] = []
        # Files of which the time alone has changed.
        self._late_times: set[int] = set()
        self._staged_runs = 0
        self._unflushed = False

    def size_bytes(self, node: Node) -> int:
        """Length as programs see it."""
        cache = self._caches.get(node.inode)
        return node.size_bytes if cache is None else cache.size_bytes

    def modified_us(self, node: Node) -> int:
        """Time of change as programs see it."""
        cache = self._caches.get(node.inode)
        return node.modified_us if cache is None else cache.modified_us

    def apply(self, operation: Operation) -> None:
        """Change the metadata now and durably with the next commit."""
        self._freed += self._metadata.apply(operation)
        self._pending.append(encode_operation(operation))

    def check_room(self, metadata_bytes: int) -> None:
        """Refuse what would not fit into a metadata image.

        Raises:
            NoSpace: There is no room.
        """
        limit = self._store.superblock.image_blocks * BLOCK_BYTES
        if self._metadata.image_bytes + self._staged_runs * MAP_BYTES + metadata_bytes > limit:
            raise NoSpace("the volume has no room for more files or extents")

    # -- reading and writing ---------------------------------------------------------------------

    def read(self, node: Node, offset: int, length: int) -> bytes:
        """Bytes of a file as programs see them."""
        check_span(offset, length)
        length = min(length, self.size_bytes(node) - offset)
        if length <= 0:
            return b""
        data = read_extents(self._device, node.extents, offset, length)
        cache = self._caches.get(node.inode)
        if cache is None:
            return data
        valid = max(0, node.size_bytes - offset)
        if not cache.dirty.touches(offset, length) and valid >= length:
            return data
        # Bytes behind the size on disk are undefined there, and zero or dirty here.
        result = bytearray(data[:valid].ljust(length, b"\0"))
        cache.dirty.overlay(result, offset)
        return bytes(result)

    def write(
        self, node: Node, offset: int, data: bytes | bytearray | memoryview, now_us: int
    ) -> None:
        """Put data into the cache, growing the file if needed.

        Raises:
            NoSpace: The volume is full; the file is unchanged.
        """
        end = offset + len(data)
        check_span(offset, _MAXIMUM_FILE_BYTES - end)
        if not len(data):
            return
        cache = self._cache(node)
        # Space first: a full volume leaves the file as it was.
        self._stage(node, cache, offset, end)
        self._grow(node, cache, max(end, cache.size_bytes), offset)
        cache.dirty.write(offset, data)
        cache.modified_us = now_us
        if cache.dirty.total_bytes > _DIRTY_LIMIT_BYTES:
            self.write_back(node)

    def truncate(self, node: Node, size_bytes: int, now_us: int) -> None:
        """Set a file's length."""
        check_span(size_bytes, _MAXIMUM_FILE_BYTES - size_bytes)
        if size_bytes == self.size_bytes(node):
            return
        cache = self._cache(node)
        cache.modified_us = now_us
        if size_bytes > cache.size_bytes:
            self._grow(node, cache, size_bytes, size_bytes)
        else:
            cache.size_bytes = size_bytes
            cache.dirty.cut(size_bytes)
            self.free.release(cache.staged.cut(blocks_for(size_bytes)))
            if size_bytes < node.size_bytes:
                self.apply(SetSize(node.inode, size_bytes, now_us))
        if not cache.dirty:
            self.forget(node)
            if size_bytes != node.size_bytes:
                self.apply(SetSize(node.inode, size_bytes, now_us))

    def forget(self, node: Node) -> None:
        """Drop what is cached of a file."""
        cache = self._caches.pop(node.inode, None)
        if cache is not None:
            self.free.release(cache.staged.cut(0))
            self._staged_runs -= cache.staged_runs
        self._late_times.discard(node.inode)

    def _cache(self, node: Node) -> FileCache:
        cache = self._caches.get(node.inode)
        if cache is None:
            cache = FileCache(size_bytes=node.size_bytes, modified_us=node.modified_us)
            self._caches[node.inode] = cache
        return cache

    def _grow(self, node: Node, cache: FileCache, size_bytes: int, gap_end: int) -> None:
        """Make a file longer; what lies between the old end and `gap_end` becomes zero."""
        old = cache.size_bytes
        block_end = blocks_for(old) * BLOCK_BYTES
        gap_end = min(gap_end, block_end)
        # Behind the end a mapped block is undefined, while a hole reads as zero anyway.
        if gap_end > old and _is_mapped(node.extents, old // BLOCK_BYTES):
            cache.dirty.write(old, bytes(gap_end - old))
        cache.size_bytes = size_bytes

    def _stage(self, node: Node, cache: FileCache, start: int, end: int) -> None:
        """Set blocks aside for every block of the range that has none."""
        first = start // BLOCK_BYTES
        # Blocks that neither the file nor its cache has yet.
        missing = _holes(node.extents, first, blocks_for(end) - first)
        if missing and len(cache.staged):
            missing = [
                gap for hole in missing for gap in _holes(cache.staged, hole.logical, hole.blocks)
            ]
        if not missing:
            return
        # What was freed may be enough, once it is durable that it is free.
        if sum(hole.blocks for hole in missing) > self.free.free_blocks:
            self._reclaim()
        if sum(hole.blocks for hole in missing) > self.free.free_blocks:
            raise NoSpace("the volume is full", context={"inode": node.inode})
        taken = [
            (hole, self.free.allocate(hole.blocks, _goal(node, cache, hole))) for hole in missing
        ]
        new_runs = sum(len(runs) for _, runs in taken)
        try:
            self.check_room(new_runs * MAP_BYTES)
        except NoSpace:
            self.free.release([run for _, runs in taken for run in runs])
            raise
        for hole, runs in taken:
            _insert_runs(cache.staged, hole.logical, runs)
        cache.staged_runs += new_runs
        self._staged_runs += new_runs

    def _reclaim(self) -> None:
        """Make pending removals durable, so that their space counts."""
        if self._freed:
            self._commit()

    # -- to the device ---------------------------------------------------------------------------

    def write_back(self, node: Node) -> None:
        """Put a file's dirty bytes on the device and their blocks into the pending metadata."""
        cache = self._caches.get(node.inode)
        if cache is None:
            return
        # Data in place needs a flush even if no metadata changes.
        self._unflushed = True
        # Whole blocks: what they held before is nobody's business.
        for logical, physical, count in cache.staged:
            content = bytearray(count * BLOCK_BYTES)
            cache.dirty.overlay(content, logical * BLOCK_BYTES)
            self._device.write(physical * BLOCK_BYTES, content)
        # Existing blocks are overwritten in place: after a crash each sector is old or new.
        for offset, data in cache.dirty:
            self._write_in_place(node.extents, offset, data)
        grown = len(cache.staged) or cache.size_bytes != node.size_bytes
        for logical, physical, count in cache.staged:
            self.apply(MapBlocks(node.inode, logical, physical, count))
        del self._caches[node.inode]
        self._staged_runs -= cache.staged_runs
        if grown:
            self.apply(SetSize(node.inode, cache.size_bytes, cache.modified_us))
        elif node.modified_us != cache.modified_us:
            # No transaction for a time alone; it goes along with the next one.
            node.modified_us = cache.modified_us
            self._late_times.add(node.inode)

    def _write_in_place(self, extents: ExtentMap, offset: int, data: bytearray) -> None:
        first, skip = divmod(offset, BLOCK_BYTES)
        view = memoryview(data)
        for piece in extents.pieces(first, blocks_for(skip + len(data))):
            step = min(len(view), piece.blocks * BLOCK_BYTES - skip)
            if piece.physical is not None:
                self._device.write(piece.physical * BLOCK_BYTES + skip, view[:step])
            view = view[step:]
            skip = 0

    def sync(self, nodes: Iterable[Node]) -> None:
        """Make the data and sizes of some files durable, and all names changed before."""
        for node in nodes:
            self.write_back(node)
        self._commit()

    def set_time(self, node: Node, modified_us: int) -> None:
        """Give a file another time of change."""
        cache = self._caches.get(node.inode)
        if cache is None:
            self.apply(SetSize(node.inode, node.size_bytes, modified_us))
        else:
            cache.modified_us = modified_us

    def sync_all(self) -> None:
        """Make everything durable."""
        for inode in sorted(self._caches):
            self.write_back(self._metadata.nodes[inode])
        self._add_late_times()
        self._commit()

    def problems(self) -> Iterator[str]:
        """Contradictions inside the mounted state; none in a healthy volume."""
        superblock, metadata = self._store.superblock, self._metadata
        spare = [*self._freed]
        for cache in self._caches.values():
            spare += cache.staged.runs()
        try:
            metadata.validate()
            unused = metadata.free_map(superblock.data_start, superblock.data_end)
            spare += self.free
            if list(FreeMap.around(superblock.data_start, superblock.data_end, spare)) != list(
                FreeMap.around(superblock.data_start, superblock.data_end, unused)
            ):
                yield "a block is lost, or free and used at once"
        except (FileSystemDamaged, ValueError) as error:
            yield str(error)
        # Directories are counted with a SetSize that their image does not have: 25 bytes each.
        if not 0 <= metadata.image_bytes - len(metadata.encode()) <= 25 * len(metadata.nodes):
            yield "the length of the metadata is counted wrong"

    def _add_late_times(self) -> None:
        for inode in sorted(self._late_times):
            node = self._metadata.nodes[inode]
            self.apply(SetSize(inode, node.size_bytes, node.modified_us))
        self._late_times.clear()

    def _commit(self) -> None:
        if self._pending:
            self._add_late_times()
            self._store.commit(b"".join(self._pending))
            self._pending.clear()
            self._unflushed = False
        elif self._unflushed:
            self._device.flush()
            self._unflushed = False
        # One by one: what an error leaves waits for the next commit.
        while self._freed:
            run = self._freed[-1]
            self._device.discard(run.start * BLOCK_BYTES, run.blocks * BLOCK_BYTES)
            self._freed.pop()
            self.free.release([run])


def _holes(extents: ExtentMap, first: int, count: int) -> list[Piece]:
    return [piece for piece in extents.pieces(first, count) if piece.physical is None]


def _is_mapped(extents: ExtentMap, block: int) -> bool:
    return next(extents.pieces(block, 1)).physical is not None


def _goal(node: Node, cache: FileCache, hole: Piece) -> int | None:
    """Where the hole's blocks would continue the file without a seek."""
    staged = cache.staged.block_after(hole.logical)
    return node.extents.block_after(hole.logical) if staged is None else staged


def _insert_runs(extents: ExtentMap, logical: int, runs: list[BlockRun]) -> None:
    for run in runs:
        extents.insert(logical, run.start, run.blocks)
        logical += run.blocks
