"""The files of a durable block store, and the commit that ties them together.

A directory holds four files: ``lock`` (whoever holds its lock has the store open), ``pages.bin``
(the pages, nothing else), ``tables.db`` (an SQLite database in WAL mode: everything else) and
``witness`` (the number of the last commit, outside the database). A commit makes the pages
durable first, then runs one transaction that stores the changed versions and metadata and *one*
delta row: pages taken and freed, and the changed slots of radix nodes ([feasibility 11.2]). When
many changes have gathered, a checkpoint replaces the deltas by whole nodes. Nodes are loaded when
they are looked at. (The layout is frskit's choice.)

Every blob ends with a CRC-32 that also covers the key of its row, so damage is reported as
`ArrayDamaged` and not acted upon. The pages themselves carry no checksum: like a disk, the store
gives back what lies there.

The age of the tables. Deleting frees pages, and the next write fills them with other bytes. Tables
older than that would find these in their snapshots, every check sum right. SQLite cannot know: it
takes a WAL that was cut, zeroed or left out of a file-wise copy for one that ends earlier. So

- every commit has a number, in the head of the tables and, *afterwards*, in ``witness``. Tables
  whose number is below the witness are damage. As the tables are durable first, no crash at any
  moment leaves a witness ahead of them: there is no false alarm.
- the witness is written with each commit and so survives the death of the process. It waits for
  the disk (a second fdatasync) only in a commit that frees pages or ends versions - before any
  page can be used anew - and in closing and opening. A power cut can thus set it back, but never
  behind what makes older tables wrong; that the tables themselves lose nothing is up to the sync
  of the WAL, as before. (The alternatives: syncing always costs a commit of metadata twice the
  syncs; no WAL, or one that is emptied by each commit, costs as much and still does not notice an
  older ``tables.db`` put in the place of the newer one.)
- the WAL belongs to the ``tables.db`` beside it: laid over an older one it makes a mixture with
  the newest head. Whenever the WAL has been emptied an *era* begins, with its number in the head
  and in a table of its own. That table is never touched during the era, so that it is found in
  ``tables.db`` alone and says of which era that is.

Stores of format 1 have neither; they get both when they are opened first.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from array import array
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from frskit.errors import ArrayDamaged, Busy, InsufficientCapacity
from frskit.eva.blocks.page_pool import FilePool
from frskit.eva.blocks.page_table import NUMBER_BITS, Version
from frskit.eva.files import Witness, pack, release_lock, seal, take_lock, unpack
from frskit.storage import make_private_file, sync_directory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from frskit.eva.blocks.versions import Forest

__all__ = ["CommitLog"]

_FORMAT: Final = "frskit.eva.blocks/2"
_UNWITNESSED: Final = "frskit.eva.blocks/1"
# After so many changed slots, or commits, whole nodes replace the deltas: bounds what opening reads.
# After so many bytes of WAL an era ends: it bounds the file. All three are frskit's choice.
_CHECKPOINT_CHANGES: Final = 1 << 15
_CHECKPOINT_COMMITS: Final = 512
_ERA_WAL_BYTES: Final = 16 << 20
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS versions (key INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS nodes (key INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS deltas (key INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS era (key INTEGER PRIMARY KEY, data BLOB NOT NULL);
"""


class _Change(NamedTuple):
    """What one commit did to one node; `base` is -1 unless the commit made the node."""

    commit: int
    base: int
    slots: array[int]
    values: array[int]


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
        Busy: The store is open already.
    """

    def __init__(self, directory: Path, page_shift: int) -> None:
        self.directory = directory
        self.pool_path: Path = directory / "pages.bin"
        self._tables_path = directory / "tables.db"
        self._wal_path = directory / "tables.db-wal"
        self._witness = Witness(directory / "witness")
        self._history: dict[int, list[_Change]] = {}
        self._touched: set[int] = set()
        self._dead: set[int] = set()
        self._commits = 0
        self._weight = 0
        self._sequence = 0
        self._database: sqlite3.Connection | None = None
        self._lock = take_lock(directory)
        try:
            with self._guard():
                self._head = self._open_files(page_shift)
            self.page_shift: int = self._number(self._head, "page_shift")
        except BaseException:
            self.close()
            raise

    # --- opening ---------------------------------------------------------------------------

    def _open_files(self, page_shift: int) -> dict[str, Any]:
        # The order of founding: tables.db, pages.bin, witness, the head. Any other state is damage.
        pages = self.pool_path.stat().st_size if self.pool_path.exists() else -1
        tables = self._tables_path.exists()
        witnessed = self._witness.read()
        if (pages >= 0 or witnessed) and not tables:
            raise self._damaged("tables.db is missing")
        make_private_file(self._tables_path)
        self._database = database = sqlite3.connect(
            self._tables_path, isolation_level=None, check_same_thread=False, timeout=0.0
        )
        if not tables:
            database.execute("PRAGMA page_size = 16384")
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA wal_autocheckpoint = 0")  # an era ends it, see `_begin_era`
        database.executescript(_SCHEMA)
        stored = self._blobs("state")
        if not stored and pages <= 0 and not witnessed:
            return self._found(page_shift)
        if pages < 0:
            raise self._damaged("pages.bin is missing")
        if "head" not in stored:
            raise self._damaged("tables.db does not say what it is")
        head = self._parse_head(stored["head"])
        self._check_age(head, witnessed)
        return head

    def _found(self, page_shift: int) -> dict[str, Any]:
        make_private_file(self.pool_path)
        self._witness.found()
        head: dict[str, Any] = {
            "format": _FORMAT,
            "page_shift": page_shift,
            "epoch": 1,
            "next_version": 1,
            "next_volume": 1,
            "next_node": 1,
            "commit": 1,
            "era": 1,
        }
        with self._transaction() as database:
            self._put_era(database, head)
            self._put(database, "state", "free", pack(array("q", [0])))
        sync_directory(self.directory)
        self._witness.raise_to(1, durable=True)
        return head

    def _check_age(self, head: dict[str, Any], witnessed: int | None) -> None:
        """Refuse tables older than the pages, or of two ages; make up for an older format."""
        known = head["format"] == _FORMAT
        commit = self._number(head, "commit") if known else 0
        if known and witnessed is None:
            raise self._damaged("witness is missing")
        if witnessed is not None and commit < witnessed:
            raise self._damaged(
                f"tables.db is older than the pages: of {witnessed} commits it has {commit}"
            )
        if not known:
            self._witness.found()
            head |= {"format": _FORMAT, "commit": 1, "era": 1}
            with self._transaction() as database:
                self._put_era(database, head)
            commit = 1
        elif unpack(self._blobs("era")[0])[0] != self._number(head, "era"):
            raise self._damaged("tables.db is older than its WAL")
        if commit != witnessed:
            self._witness.raise_to(commit, durable=True)

    def _put_era(self, database: sqlite3.Connection, head: Mapping[str, Any]) -> None:
        self._put(database, "state", "head", json.dumps(head).encode())
        self._put(database, "era", 0, pack(array("q", [head["era"]])))

    def _begin_era(self) -> None:
        """Empty the WAL into tables.db, which says from now on that it is newer."""
        self._head["era"] += 1
        with self._transaction() as database:
            self._put_era(database, self._head)
        # Where there is no room now, the WAL goes on, as it would if SQLite itself had tried.
        with suppress(sqlite3.OperationalError):
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def _wal_bytes(self) -> int:
        try:
            return self._wal_path.stat().st_size
        except FileNotFoundError:
            return 0

    def rest(self) -> None:
        """Leave complete files behind, before `close`; everything has been committed.

        Raises:
            InsufficientCapacity: The file system is full.
            ArrayDamaged: The files cannot be written.
        """
        with self._guard():
            if self._wal_bytes():
                self._begin_era()
                self._witness.raise_to(self._head["commit"], durable=True)

    def _parse_head(self, data: bytes) -> dict[str, Any]:
        try:
            head = json.loads(data)
        except ValueError as error:
            raise self._damaged("the head of tables.db cannot be read") from error
        if not isinstance(head, dict) or head.get("format") not in (
            _FORMAT,
            _UNWITNESSED,
        ):
            raise self._damaged("tables.db is of an unknown format")
        return head

    def _number(self, head: Mapping[str, Any], key: str) -> int:
        value = head.get(key)
        if not isinstance(value, int):
            raise self._damaged(f"the head of tables.db has no {key}")
        return value

    def load(self, forest: Forest) -> dict[str, bytes]:
        """Fill a new forest with what is stored, all but the nodes; return the metadata.

        Raises:
            ArrayDamaged: It is damaged.
        """
        head = self._head
        with self._guard():
            forest.epoch = self._number(head, "epoch")
            forest.tables.epoch_tag = forest.epoch << NUMBER_BITS
            forest.tables.next_node = self._number(head, "next_node")
            forest.next_version = self._number(head, "next_version")
            forest.next_volume = self._number(head, "next_volume")
            self._load_versions(forest)
            self._load_free(forest)
            pool = forest.pool
            if isinstance(pool, FilePool) and pool.file_bytes < pool.high << pool.page_shift:
                raise self._damaged("pages.bin is shorter than its pages")
            return {str(key): data for key, data in self._blobs("meta").items()}

    def _load_versions(self, forest: Forest) -> None:
        parents: dict[Version, int] = {}
        for number, data in sorted(self._blobs("versions").items()):
            values = unpack(data)
            parent, cut, size, volume, own, mapped, total, cursor = values[:8]
            version = Version(int(number), volume, size)
            version.cut, version.own, version.mapped = cut, own, mapped
            version.clone_total, version.cursor = total, cursor
            version.root = dict(zip(values[8::2], values[9::2], strict=True))
            forest.versions[version.number] = version
            parents[version] = parent
            if volume:
                forest.live[volume] = version
        for version, number in parents.items():
            if number:
                parent_version = forest.versions[number]
                version.hang_under(parent_version)
                parent_version.children.append(version)
        for version in parents:
            children = len(version.children)
            if children != (2 if version.cut else 0) or bool(version.cut) == bool(version.volume):
                raise self._damaged(f"version {version.number} does not fit its neighbors")

    def _load_free(self, forest: Forest) -> None:
        values = unpack(self._blobs("state")["free"])
        high, free = values[0], set(values[1:])
        for key, data in sorted(self._blobs("deltas").items()):
            self._sequence = int(key)
            self._commits += 1
            taken, freed = self._load_delta(unpack(data))
            for page in taken:
                if page >= high:
                    high = page + 1
                elif page in free:
                    free.remove(page)
                else:
                    raise self._damaged(f"page {page} was taken twice")
            free.update(freed)
        forest.pool.high = high
        forest.pool.free = sorted(free, reverse=True)

    def _load_delta(self, values: array[int]) -> tuple[array[int], array[int]]:
        at = 7
        columns: list[array[int]] = []
        for length in values[:7]:
            columns.append(values[at : at + length])
            at += length
        taken, freed, dead, new, bases, changes, contents = columns
        self._dead.update(dead)
        commit = self._sequence
        now: dict[int, _Change] = {}
        for number, base in zip(new, bases, strict=True):
            now[number] = _Change(commit, base, array("q"), array("q"))
        for change, content in zip(changes, contents, strict=True):
            number = change >> 9
            if number not in now:
                now[number] = _Change(commit, -1, array("q"), array("q"))
            now[number].slots.append(change & 511)
            now[number].values.append(content)
        for number, step in now.items():
            self._history.setdefault(number, []).append(step)
        self._weight += len(changes)
        return taken, freed

    # --- nodes -----------------------------------------------------------------------------

    def node(self, number: int) -> array[int]:
        """The 512 values of a node as last committed.

        Raises:
            ArrayDamaged: It is missing or damaged.
        """
        with self._guard():
            return self._node(number)

    def _node(self, number: int) -> array[int]:
        # A node made since the checkpoint is its base as it was then, and what came after.
        steps: list[_Change] = []
        until = sys.maxsize
        while True:
            changes = [c for c in self._history.get(number, ()) if c.commit <= until]
            steps += reversed(changes)
            if not changes or changes[0].base < 0:
                values = self._stored_node(number)
                break
            if not changes[0].base:
                values = array("q", bytes(4096))
                break
            number, until = changes[0].base, changes[0].commit
        for step in reversed(steps):
            for slot, value in zip(step.slots, step.values, strict=True):
                values[slot] = value
        return values

    def _stored_node(self, number: int) -> array[int]:
        assert self._database is not None
        row = self._database.execute("SELECT data FROM nodes WHERE key = ?", (number,)).fetchone()
        if row is None:
            raise self._damaged(f"node {number} is missing")
        values = unpack(self._open_seal("nodes", number, row[0]))
        if len(values) != 512:
            raise self._damaged(f"node {number} is cut short")
        return values

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
        with self._guard():
            with self._transaction() as database:
                self._store(database, forest, meta)
                if tables_changed:
                    self._store_tables(database, forest)
            # From here on older tables would be wrong if pages were freed, by whatever means.
            frees = bool(pool.pending or forest.gone)
            self._witness.raise_to(self._head["commit"], durable=frees)
            if self._wal_bytes() > _ERA_WAL_BYTES:
                self._begin_era()

    def _store(
        self, database: sqlite3.Connection, forest: Forest, meta: Mapping[str, bytes | None]
    ) -> None:
        self._put(database, "state", "head", self._new_head(forest))
        database.executemany("DELETE FROM versions WHERE key = ?", ((n,) for n in forest.gone))
        for version in forest.dirty:
            self._put(database, "versions", version.number, _pack_version(version))
        for key, value in meta.items():
            if value is None:
                database.execute("DELETE FROM meta WHERE key = ?", (key,))
            else:
                self._put(database, "meta", key, value)

    def _new_head(self, forest: Forest) -> bytes:
        self._head |= {
            "epoch": forest.epoch,
            "next_version": forest.next_version,
            "next_volume": forest.next_volume,
            "next_node": forest.tables.next_node,
            "commit": self._head["commit"] + 1,
        }
        return json.dumps(self._head).encode()

    def _store_tables(self, database: sqlite3.Connection, forest: Forest) -> None:
        tables = forest.tables
        self._touched.update(change >> 9 for change in tables.changes)
        self._touched.update(tables.bases)
        self._dead.update(tables.dead)
        self._weight += len(tables.changes)
        self._commits += 1
        if self._weight > _CHECKPOINT_CHANGES or self._commits > _CHECKPOINT_COMMITS:
            self._checkpoint(database, forest)
            return
        self._sequence += 1
        self._put(database, "deltas", self._sequence, pack(_delta(forest)))

    def _checkpoint(self, database: sqlite3.Connection, forest: Forest) -> None:
        pool = forest.pool
        # All values first: a node may still be made from the stored row of another one.
        rows = [
            (number, seal(number, pack(self._current(forest, number))))
            for number in sorted((self._touched | self._history.keys()) - self._dead)
        ]
        database.executemany("DELETE FROM nodes WHERE key = ?", ((n,) for n in self._dead))
        database.executemany("INSERT OR REPLACE INTO nodes VALUES (?, ?)", rows)
        database.execute("DELETE FROM deltas")
        free = array("q", [pool.high, *pool.free, *pool.pending])
        self._put(database, "state", "free", pack(free))
        self._history.clear()
        self._touched.clear()
        self._dead.clear()
        self._weight = self._commits = 0

    def _current(self, forest: Forest, number: int) -> array[int]:
        node = forest.tables.nodes.get(number)
        return self._node(number) if node is None else _plain(node)

    def check(self, forest: Forest) -> None:
        """Let the database examine itself.

        Raises:
            ArrayDamaged: It found damage.
        """
        del forest
        assert self._database is not None
        with self._guard():
            (answer,) = self._database.execute("PRAGMA integrity_check").fetchone()
            if answer != "ok":
                raise self._damaged(f"tables.db: {answer}")

    # --- the database ----------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        assert self._database is not None
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield self._database
        except BaseException:
            with suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    @staticmethod
    def _put(database: sqlite3.Connection, table: str, key: int | str, data: bytes) -> None:
        statement = f"INSERT OR REPLACE INTO {table} VALUES (?, ?)"
        database.execute(statement, (key, seal(key, data)))

    def _blobs(self, table: str) -> dict[int | str, bytes]:
        assert self._database is not None
        statement = f"SELECT key, data FROM {table}"
        rows = self._database.execute(statement).fetchall()
        return {key: self._open_seal(table, key, data) for key, data in rows}

    def _open_seal(self, table: str, key: int | str, sealed: object) -> bytes:
        if not isinstance(sealed, bytes) or seal(key, sealed[:-4]) != sealed:
            raise self._damaged(f"row {key} of {table} is damaged")
        return sealed[:-4]

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Translate what the database and the parsing of its rows may raise."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code == sqlite3.SQLITE_FULL:
                raise InsufficientCapacity(
                    f"the file system of {self.directory} is full",
                    context={"path": str(self.directory)},
                ) from error
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise Busy(
                    f"another program has {self._tables_path} open",
                    context={"path": str(self._tables_path)},
                ) from error
            raise self._damaged(str(error)) from error
        except (ValueError, IndexError, KeyError, TypeError, OverflowError, OSError) as error:
            raise self._damaged(f"{type(error).__name__}: {error}") from error

    def _damaged(self, what: str) -> ArrayDamaged:
        return ArrayDamaged(
            f"the block store in {self.directory} is damaged: {what}",
            context={"path": str(self.directory)},
        )

    def close(self) -> None:
        """Close the files and let go of the lock. Idempotent."""
        if self._database is not None:
            with suppress(sqlite3.Error):
                self._database.close()
            self._database = None
        self._witness.close()
        if self._lock >= 0:
            release_lock(self._lock)
            self._lock = -1


def _pack_version(version: Version) -> bytes:
    parent = version.parent.number if version.parent is not None else 0
    values = array("q", [parent, version.cut, version.size_bytes, version.volume])
    values.extend([version.own, version.mapped, version.clone_total, version.cursor])
    for key, node in version.root.items():
        values.append(key)
        values.append(node if isinstance(node, int) else node[512])
    return pack(values)


def _plain(node: Any) -> array[int]:
    """A node's 512 values: entries of a leaf, references of a mid node."""
    if isinstance(node, array):
        return node[:512]
    return array("q", [n if n.__class__ is int else n[512] for n in node[:512]])


def _delta(forest: Forest) -> array[int]:
    """What a commit did, in columns: their lengths first, then one after the other."""
    tables, pool = forest.tables, forest.pool
    nodes = tables.nodes
    changes = sorted(set(tables.changes))
    slots = [nodes[change >> 9][change & 511] for change in changes]
    columns: list[Iterable[int]] = [
        pool.taken,
        pool.pending,
        tables.dead,
        tables.bases.keys(),
        tables.bases.values(),
        changes,
        [value if value.__class__ is int else value[512] for value in slots],
    ]
    arrays = [array("q", column) for column in columns]
    values = array("q", map(len, arrays))
    for column in arrays:
        values.extend(column)
    return values
