"""The files of a durable block store, and the commit that ties them together.

A directory holds four files: ``lock`` (whoever holds its lock has the store open), ``pages.bin``
(the pages, nothing else), ``tables.db`` (an SQLite database in WAL mode: everything else) and
``witness`` (the number of the last commit, outside the database). A commit makes the pages
durable first, then runs one transaction that stores the changed versions and metadata and one row
of deltas ([feasibility 11.2]). The pages themselves carry no checksum: like a disk, the store gives
back what lies there. (The layout is frskit's choice.)

The parts: `tables_database` (rows and their seals), `table_deltas` (nodes and free pages) and
`table_age` (founding, and that the tables are not older than the pages).
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from frskit.eva.blocks.page_pool import FilePool
from frskit.eva.blocks.page_table import NUMBER_BITS, Version
from frskit.eva.blocks.table_age import TableAge
from frskit.eva.blocks.table_deltas import TableDeltas
from frskit.eva.blocks.tables_database import TablesDatabase
from frskit.eva.files import pack, unpack
from frskit.storage import make_directory, require_posix, take_file_lock

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from frskit.eva.blocks.versions import Forest

__all__ = ["CommitLog"]


class CommitLog:
    """The open files of one store.

    Args:
        directory: Where they lie; made, with new files, if there are none.
        page_shift: Binary logarithm of the page size of a new store.

    Attributes:
        page_shift: The same, of the store that was found.
        pool_path: The file of the pages.

    Raises:
        ArrayDamaged: Files are missing or damaged.
        Busy: The store is open already; `context` has the ``holder``.
        ConfigurationError: The directory cannot be used.
        HostError: This system has not what the files need.
    """

    def __init__(self, directory: Path, page_shift: int) -> None:
        self.directory = directory
        self.pool_path: Path = directory / "pages.bin"
        self._database = TablesDatabase(directory)
        self._age = TableAge(self._database)
        self._deltas = TableDeltas(self._database)
        require_posix("a durable block store")
        make_directory(directory)
        self._lock = take_file_lock(directory / "lock", f"opening the block store in {directory}")
        try:
            with self._database.guard():
                self._age.open(self.pool_path, page_shift)
            self.page_shift: int = self._age.number("page_shift")
        except BaseException:
            self.close()
            raise

    # --- opening ---------------------------------------------------------------------------

    def load(self, forest: Forest) -> dict[str, bytes]:
        """Fill a new forest with what is stored, all but the nodes; return the metadata.

        Raises:
            ArrayDamaged: It is damaged.
        """
        with self._database.guard():
            forest.epoch = self._age.number("epoch")
            forest.tables.epoch_tag = forest.epoch << NUMBER_BITS
            forest.tables.next_node = self._age.number("next_node")
            forest.next_version = self._age.number("next_version")
            forest.next_volume = self._age.number("next_volume")
            self._load_versions(forest)
            self._deltas.load(forest.pool)
            pool = forest.pool
            if isinstance(pool, FilePool) and pool.file_bytes < pool.high << pool.page_shift:
                raise self._database.damaged("pages.bin is shorter than its pages")
            return {str(key): data for key, data in self._database.blobs("meta").items()}

    def _load_versions(self, forest: Forest) -> None:
        parents: dict[Version, int] = {}
        for number, data in sorted(self._database.blobs("versions").items()):
            version, parent = _unpack_version(int(number), data)
            forest.versions[version.number] = version
            parents[version] = parent
            if version.volume:
                forest.live[version.volume] = version
        for version, parent in parents.items():
            if parent:
                parent_version = forest.versions[parent]
                version.hang_under(parent_version)
                parent_version.children.append(version)
        for version in parents:
            children = len(version.children)
            if children != (2 if version.cut else 0) or bool(version.cut) == bool(version.volume):
                raise self._database.damaged(f"version {version.number} does not fit its neighbors")

    def node(self, number: int) -> array[int]:
        """The 512 values of a node as last committed.

        Raises:
            ArrayDamaged: It is missing or damaged.
        """
        with self._database.guard():
            return self._deltas.node(number)

    # --- committing ------------------------------------------------------------------------

    def commit(self, forest: Forest, meta: Mapping[str, bytes | None]) -> None:
        """Make all that is in a forest durable, and these changes of metadata with it.

        Raises:
            InsufficientCapacity: The file system is full.
            ArrayDamaged: The files cannot be written.
        """
        forest.pool.sync()
        tables, pool = forest.tables, forest.pool
        tables_changed = tables.changes or tables.dead or pool.taken or pool.pending
        if not (tables_changed or forest.dirty or forest.gone or meta):
            return
        with self._database.guard():
            with self._database.transaction():
                self._store(forest, meta)
                if tables_changed:
                    self._deltas.store(forest)
            # From here on older tables would be wrong if pages were freed, by whatever means.
            self._age.committed(frees=bool(pool.pending or forest.gone))

    def _store(self, forest: Forest, meta: Mapping[str, bytes | None]) -> None:
        database = self._database
        self._age.put_next(
            {
                "epoch": forest.epoch,
                "next_version": forest.next_version,
                "next_volume": forest.next_volume,
                "next_node": forest.tables.next_node,
            }
        )
        database.drop("versions", forest.gone)
        for version in forest.dirty:
            database.put("versions", version.number, _pack_version(version))
        for key, value in meta.items():
            if value is None:
                database.drop("meta", [key])
            else:
                database.put("meta", key, value)

    def check(self) -> None:
        """Let the database examine itself.

        Raises:
            ArrayDamaged: It found damage.
        """
        with self._database.guard():
            self._database.check()

    # --- the end ---------------------------------------------------------------------------

    def rest(self) -> None:
        """Leave complete files behind, before `close`; everything has been committed.

        Raises:
            InsufficientCapacity: The file system is full.
            ArrayDamaged: The files cannot be written.
        """
        with self._database.guard():
            self._age.rest()

    def close(self) -> None:
        """Close the files and let go of the lock. Idempotent."""
        self._database.close()
        self._age.close()
        self._lock.release()


def _pack_version(version: Version) -> bytes:
    parent = version.parent.number if version.parent is not None else 0
    values = array("q", [parent, version.cut, version.size_bytes, version.volume])
    values.extend([version.own, version.mapped, version.clone_total, version.cursor])
    for key, node in version.root.items():
        values.append(key)
        values.append(node if isinstance(node, int) else node[512])
    return pack(values)


def _unpack_version(number: int, data: bytes) -> tuple[Version, int]:
    """A version as stored, and the number of its parent or 0."""
    values = unpack(data)
    parent, cut, size, volume, own, mapped, total, cursor = values[:8]
    version = Version(number, volume, size)
    version.cut, version.own, version.mapped = cut, own, mapped
    version.clone_total, version.cursor = total, cursor
    version.root = dict(zip(values[8::2], values[9::2], strict=True))
    return version, parent
