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

The parts, each of which can be made and tested without the others that it does not name:
`transactions` over one forest, with a `lifetime`; on these `live_volumes` (finding), `volumes`
(structure), `clone_filling`, `volume_bytes`, `volume_usage` (figures) and `metadata`. Below them
`versions`, `page_table` and `page_pool`, and for a durable store `commit_log`. The methods here
pass on to the parts.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from frskit.errors import UsageError
from frskit.eva.blocks.clone_filling import CloneFilling, CloneProgress
from frskit.eva.blocks.commit_log import CommitLog
from frskit.eva.blocks.live_volumes import LiveVolumes, VolumeId
from frskit.eva.blocks.metadata import StoreMetadata
from frskit.eva.blocks.page_pool import FilePool, MemoryPool
from frskit.eva.blocks.page_table import Tables
from frskit.eva.blocks.transactions import TransactionalStore
from frskit.eva.blocks.versions import Forest
from frskit.eva.blocks.volume_bytes import VolumeBytes
from frskit.eva.blocks.volume_usage import VolumeUsage
from frskit.eva.blocks.volumes import VolumeStore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from types import TracebackType
    from typing import Self

__all__ = ["BlockStore", "CloneProgress", "VolumeId"]


class BlockStore:
    """Volumes on one page pool, with instant copies. Thread-safe: one lock. A context manager.

    Offsets and lengths are in bytes and need no alignment. Volumes are numbered from 1; a number
    is never used again. Every method raises `UsageError` when the store was closed or belongs to
    the parent process, and `ArrayDamaged` when it failed before or its files are damaged.

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

    def __init__(self, *, page_bytes: int = 4096) -> None:
        forest = Forest(MemoryPool(_page_shift(page_bytes)), Tables())
        self._compose(TransactionalStore(forest, None), {})

    def _compose(self, store: TransactionalStore, meta: dict[str, bytes]) -> None:
        self._transactions = store
        self._page_shift = store.forest.pool.page_shift
        self._metadata = StoreMetadata(store, meta)
        self._live = live = LiveVolumes(store)
        self._volumes = VolumeStore(store, live)
        self._clones = CloneFilling(store, live)
        self._usage = VolumeUsage(store, live)
        self._bytes = VolumeBytes(store, live)

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
            ConfigurationError: The directory cannot be used.
            HostError: This is no POSIX system.
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
        store._compose(TransactionalStore(forest, commit_log), meta)  # noqa: SLF001  # a classmethod fills its own instance
        return store

    # --- state -----------------------------------------------------------------------------

    @property
    def durable(self) -> bool:
        """Whether the store outlives the process."""
        return self._transactions.durable

    @property
    def page_bytes(self) -> int:
        """Unit of sharing and allocation."""
        return 1 << self._page_shift

    @property
    def pages_in_use(self) -> int:
        """Pages that hold data of some volume or of a cut that some volume needs."""
        return self._usage.pages_in_use()

    @property
    def bytes_in_use(self) -> int:
        """The same in bytes."""
        return self.pages_in_use << self._page_shift

    def volumes(self) -> tuple[VolumeId, ...]:
        """The volumes that exist, oldest first."""
        return self._live.volumes()

    def size_bytes(self, volume: int) -> int:
        """Length of a volume.

        Raises:
            StorageNotFound: There is no such volume.
        """
        return self._usage.size_bytes(volume)

    def mapped_bytes(self, volume: int) -> int:
        """Bytes of the pages that a volume shows, shared or not. O(1).

        Raises:
            StorageNotFound: There is no such volume.
        """
        return self._usage.mapped_bytes(volume)

    def own_bytes(self, volume: int) -> int:
        """Bytes of the pages that a volume has written since it was last cut or made. O(1).

        A volume that never took part in a copy owns all it maps. For what a copy costs in all,
        see `differing_bytes`.

        Raises:
            StorageNotFound: There is no such volume.
        """
        return self._usage.own_bytes(volume)

    def first_overwrites(self, volume: int, offset: int, length: int) -> int:
        """Pages in the range that are shared with a cut: a write keeps their old content.

        Holes do not count: they hold nothing to be kept. 0 without a search when the volume has
        no copies.

        Raises:
            StorageNotFound: There is no such volume.
            DeviceError: The range is not inside the volume.
        """
        return self._usage.first_overwrites(volume, offset, length)

    def shared_pages(self, volume: int, other: int, offset: int, length: int) -> int:
        """Pages in the range at which both volumes show one stored page.

        It is what a write to `volume` there will cost its copy `other`, in pages: the copy alone
        keeps the old content from then on. The same holds with the two exchanged.

        Raises:
            StorageNotFound: One of them does not exist.
            DeviceError: The range is not inside `volume`.
        """
        return self._usage.shared_pages(volume, other, offset, length)

    def differing_bytes(self, volume: int, other: int) -> int:
        """Bytes of the pages at which two volumes do not show one stored page.

        For a copy and its source it is the space that a demand-allocated copy needs. The time
        goes with what differs, not with what is mapped.

        Raises:
            StorageNotFound: One of them does not exist.
        """
        return self._usage.differing_bytes(volume, other)

    # --- structure -------------------------------------------------------------------------

    def create(self, size_bytes: int) -> VolumeId:
        """Make a thin volume that reads as zeros.

        Raises:
            UsageError: The size is negative.
        """
        return self._volumes.create(size_bytes)

    def snapshot(self, volumes: Sequence[int]) -> tuple[VolumeId, ...]:
        """Cut all volumes at one instant; one writable copy of each, in order, or none at all.

        The time does not depend on sizes, mapped pages or earlier copies.

        Raises:
            StorageNotFound: A volume does not exist.
            CopyConflict: A volume is a clone that is still being filled.
            LimitExceeded: 2**27 - 2 cuts were made in the array's life.
            UsageError: A volume is named twice.
        """
        return self._volumes.snapshot(volumes)

    def start_clone(self, volumes: Sequence[int]) -> tuple[VolumeId, ...]:
        """As `snapshot`; `clone_step` then makes each copy independent of its source.

        The clones can be read and written at once, and their sources deleted.

        Raises:
            StorageNotFound, CopyConflict, LimitExceeded, UsageError: As `snapshot`.
        """
        return self._volumes.start_clone(volumes)

    def clone_step(self, volume: int, budget_bytes: int) -> CloneProgress:
        """Copy up to `budget_bytes` (at least one page, unless 0) that a clone still shares.

        Of a volume that is no clone, or a complete one, it just says that it is done.

        Raises:
            StorageNotFound: There is no such volume.
            InsufficientCapacity: The machine has no room for the copy; try again later.
        """
        return self._clones.step(volume, budget_bytes)

    def restore(self, volume: int, source: int) -> None:
        """Let a volume show at once what `source` shows now, in its size; both stay writable.

        Raises:
            StorageNotFound: One of them does not exist.
            CopyConflict: One of them is a clone that is still being filled.
            LimitExceeded: As `snapshot`.
        """
        self._volumes.restore(volume, source)

    def delete(self, volume: int) -> None:
        """Remove a volume; its copies stay. Its space comes back with the transaction's end.

        Raises:
            StorageNotFound: There is no such volume.
        """
        self._volumes.delete(volume)

    def resize(self, volume: int, size_bytes: int) -> None:
        """Change a volume's length; what is cut off is gone, what is added reads as zeros.

        Raises:
            StorageNotFound: There is no such volume.
            CopyConflict: A clone that is still being filled cannot shrink.
            LimitExceeded: As `snapshot`, for shrinking.
            UsageError: The size is negative.
        """
        self._volumes.resize(volume, size_bytes)

    # --- bytes -----------------------------------------------------------------------------

    def write(self, volume: int, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Store bytes. In a durable store they are durable after the next `flush` or commit.

        Raises:
            StorageNotFound: There is no such volume.
            DeviceError: The range is not inside the volume.
            InsufficientCapacity: The machine has no room; pages already written keep the new data.
        """
        self._bytes.write(volume, offset, data)

    def read(self, volume: int, offset: int, length: int) -> bytes:
        """The bytes of a range; what was never written reads as zeros.

        Raises:
            StorageNotFound: There is no such volume.
            DeviceError: The range is not inside the volume.
        """
        return self._bytes.read(volume, offset, length)

    def readinto(self, volume: int, offset: int, buffer: bytearray | memoryview) -> None:
        """As `read`, into a writable buffer, for as many bytes as it holds."""
        self._bytes.readinto(volume, offset, buffer)

    def discard(self, volume: int, offset: int, length: int) -> None:
        """Let a range read as zeros, and give whole pages of it back.

        Raises:
            StorageNotFound: There is no such volume.
            DeviceError: The range is not inside the volume.
            InsufficientCapacity: The machine has no room for the rest of a shared page.
        """
        self._bytes.discard(volume, offset, length)

    # --- metadata --------------------------------------------------------------------------

    def set_meta(self, key: str, value: bytes | None) -> None:
        """Keep a value of the layer above with the volumes, or forget it (None)."""
        self._metadata.set(key, value)

    def get_meta(self, key: str) -> bytes | None:
        """The value kept under a key, or None."""
        return self._metadata.get(key)

    def meta_keys(self, prefix: str = "") -> list[str]:
        """The keys that begin with `prefix`, sorted."""
        return self._metadata.keys(prefix)

    # --- transactions and the end ----------------------------------------------------------

    def transaction(self) -> AbstractContextManager[None]:
        """Join changes of structure and metadata into one: all of them, or none.

        It holds the store's lock. When the block is left by an exception, what was made in it is
        taken back - but bytes written in it stay, as on a disk. In a durable store the changes are
        durable, with all writes before them, when the block has been left. A transaction inside
        another one becomes part of it, and can still be taken back alone.

        Raises:
            InsufficientCapacity: The file system is full; the store must be opened again.
            ArrayDamaged: The store could not be written; it must be opened again.
        """
        return self._transactions.transaction()

    def flush(self) -> None:
        """Return when every earlier write is durable; nothing to do for a store in memory.

        Inside a transaction it is done when the outermost one has been left, either way.

        Raises:
            InsufficientCapacity: The file system is full; the store must be opened again.
            ArrayDamaged: The store could not be written; it must be opened again.
        """
        self._transactions.flush()

    def check(self) -> None:
        """Compare counters and free list with what the tables reach; loads all tables.

        Raises:
            ArrayDamaged: They do not agree, or the files are damaged.
        """
        self._transactions.check()

    def close(self) -> None:
        """Make everything durable and give all up. Idempotent.

        Raises:
            UsageError: A transaction is open in this thread.
            InsufficientCapacity, ArrayDamaged: As `flush`; the store is closed nevertheless.
        """
        self._transactions.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _page_shift(page_bytes: int) -> int:
    if not 512 <= page_bytes <= 1 << 20 or page_bytes & page_bytes - 1:
        raise UsageError(f"{page_bytes} is no page size: a power of two from 512 to 1048576 is")
    return page_bytes.bit_length() - 1
