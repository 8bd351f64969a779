"""The database of a durable block store: sealed rows in SQLite, and its errors in the house's terms.

What it is: ``tables.db`` in WAL mode, opened exclusively; rows of a key and a blob that ends with a
CRC-32 which also covers the key, so that damage is reported as `ArrayDamaged` and not acted upon.
What it is not: the meaning of the rows; see `frskit.eva.blocks.commit_log` and the parts it names.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from frskit.errors import ArrayDamaged, Busy, InsufficientCapacity
from frskit.eva.files import seal
from frskit.storage import make_private_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["TablesDatabase"]

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS versions (key INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS nodes (key INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS deltas (key INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS era (key INTEGER PRIMARY KEY, data BLOB NOT NULL);
"""


class TablesDatabase:
    """The rows of one store. Every call but `close` belongs inside `guard`.

    Args:
        directory: Where ``tables.db`` lies; nothing is opened before `open`.

    Attributes:
        directory: As given.
    """

    def __init__(self, directory: Path) -> None:
        self.directory: Path = directory
        self._path = directory / "tables.db"
        self._wal_path = directory / "tables.db-wal"
        self._connection: sqlite3.Connection | None = None

    @property
    def exists(self) -> bool:
        """Whether there is a file, whatever it holds."""
        return self._path.exists()

    @property
    def wal_bytes(self) -> int:
        """Present length of the WAL."""
        try:
            return self._wal_path.stat().st_size
        except FileNotFoundError:
            return 0

    def open(self) -> None:
        """Open the file for this process alone; made, with empty tables, if there is none."""
        new = not self.exists
        make_private_file(self._path)
        self._connection = database = sqlite3.connect(
            self._path, isolation_level=None, check_same_thread=False, timeout=0.0
        )
        if new:
            database.execute("PRAGMA page_size = 16384")
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA wal_autocheckpoint = 0")  # an era ends it, see `empty_wal`
        database.executescript(_SCHEMA)

    @property
    def _open(self) -> sqlite3.Connection:
        assert self._connection is not None
        return self._connection

    # --- rows ------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Store all rows of the block durably, or none."""
        database = self._open
        database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with suppress(sqlite3.Error):
                database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")

    def put(self, table: str, key: int | str, data: bytes) -> None:
        """Store one row."""
        statement = f"INSERT OR REPLACE INTO {table} VALUES (?, ?)"
        self._open.execute(statement, (key, seal(key, data)))

    def put_all(self, table: str, rows: Iterable[tuple[int, bytes]]) -> None:
        """Store many rows."""
        statement = f"INSERT OR REPLACE INTO {table} VALUES (?, ?)"
        self._open.executemany(statement, ((key, seal(key, data)) for key, data in rows))

    def drop(self, table: str, keys: Iterable[int | str]) -> None:
        """Remove rows; those that are not there are fine."""
        self._open.executemany(f"DELETE FROM {table} WHERE key = ?", ((key,) for key in keys))

    def clear(self, table: str) -> None:
        """Remove all rows."""
        self._open.execute(f"DELETE FROM {table}")

    def blob(self, table: str, key: int | str) -> bytes | None:
        """What one row holds; None if there is none."""
        statement = f"SELECT data FROM {table} WHERE key = ?"
        row = self._open.execute(statement, (key,)).fetchone()
        return None if row is None else self._unseal(table, key, row[0])

    def blobs(self, table: str) -> dict[int | str, bytes]:
        """What all rows hold, by key."""
        rows = self._open.execute(f"SELECT key, data FROM {table}").fetchall()
        return {key: self._unseal(table, key, data) for key, data in rows}

    def _unseal(self, table: str, key: int | str, sealed: object) -> bytes:
        if not isinstance(sealed, bytes) or seal(key, sealed[:-4]) != sealed:
            raise self.damaged(f"row {key} of {table} is damaged")
        return sealed[:-4]

    # --- the file --------------------------------------------------------------------------

    def empty_wal(self) -> None:
        """Bring the WAL into ``tables.db``; where there is no room now, it goes on as it is."""
        # It goes on as it would if SQLite itself had tried.
        with suppress(sqlite3.OperationalError):
            self._open.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def check(self) -> None:
        """Let the database examine itself.

        Raises:
            ArrayDamaged: It found damage.
        """
        (answer,) = self._open.execute("PRAGMA integrity_check").fetchone()
        if answer != "ok":
            raise self.damaged(f"tables.db: {answer}")

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Translate what the database and the parsing of its rows may raise.

        Raises:
            InsufficientCapacity: The file system is full.
            Busy: Another program has the database open.
            ArrayDamaged: Everything else.
        """
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
                    f"another program has {self._path} open",
                    context={"path": str(self._path)},
                ) from error
            raise self.damaged(str(error)) from error
        except (ValueError, IndexError, KeyError, TypeError, OverflowError, OSError) as error:
            raise self.damaged(f"{type(error).__name__}: {error}") from error

    def damaged(self, what: str) -> ArrayDamaged:
        """The error for damage of this store, to be raised."""
        return ArrayDamaged(
            f"the block store in {self.directory} is damaged: {what}",
            context={"path": str(self.directory)},
        )

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
