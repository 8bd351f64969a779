"""Founding a durable block store, and telling tables that are older than their pages.

Deleting frees pages, and the next write fills them with other bytes. Tables older than that would
find these in their snapshots, every check sum right. SQLite cannot know: it takes a WAL that was
cut, zeroed or left out of a file-wise copy for one that ends earlier. So

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
from array import array
from typing import TYPE_CHECKING, Any, Final

from frskit.eva.files import Witness, pack, unpack
from frskit.storage import make_private_file, sync_directory

if TYPE_CHECKING:
    from pathlib import Path

    from frskit.eva.blocks.tables_database import TablesDatabase

__all__ = ["TableAge"]

_FORMAT: Final = "frskit.eva.blocks/2"
_UNWITNESSED: Final = "frskit.eva.blocks/1"
_ERA_WAL_BYTES: Final = 16 << 20
"""After so many bytes of WAL an era ends: it bounds the file; frskit's choice."""


class TableAge:
    """The head of the tables of one store, and what vouches for its age.

    Args:
        database: The tables, not yet open.
    """

    def __init__(self, database: TablesDatabase) -> None:
        self._database = database
        self._witness = Witness(database.directory / "witness")
        self._head: dict[str, Any] = {}

    # --- opening ---------------------------------------------------------------------------

    def open(self, pool_path: Path, page_shift: int) -> None:
        """Open the tables and check their age, or found a store.

        Args:
            pool_path: The file of the pages, made with a new store.
            page_shift: Binary logarithm of the page size of a new store.

        Raises:
            ArrayDamaged: Files are missing, or of different ages.
        """
        # The order of founding: tables.db, pages.bin, witness, the head. Any other state is damage.
        database = self._database
        pages = pool_path.stat().st_size if pool_path.exists() else -1
        witnessed = self._witness.read()
        if (pages >= 0 or witnessed) and not database.exists:
            raise database.damaged("tables.db is missing")
        database.open()
        stored = database.blobs("state")
        if not stored and pages <= 0 and not witnessed:
            self._found(pool_path, page_shift)
            return
        if pages < 0:
            raise database.damaged("pages.bin is missing")
        if "head" not in stored:
            raise database.damaged("tables.db does not say what it is")
        self._head = self._parse_head(stored["head"])
        self._check(witnessed)

    def _found(self, pool_path: Path, page_shift: int) -> None:
        make_private_file(pool_path)
        self._witness.found()
        self._head = {
            "format": _FORMAT,
            "page_shift": page_shift,
            "epoch": 1,
            "next_version": 1,
            "next_volume": 1,
            "next_node": 1,
            "commit": 1,
            "era": 1,
        }
        with self._database.transaction():
            self._put_era()
            self._database.put("state", "free", pack(array("q", [0])))
        sync_directory(self._database.directory)
        self._witness.raise_to(1, durable=True)

    def _parse_head(self, data: bytes) -> dict[str, Any]:
        try:
            head = json.loads(data)
        except ValueError as error:
            raise self._database.damaged("the head of tables.db cannot be read") from error
        if not isinstance(head, dict) or head.get("format") not in (_FORMAT, _UNWITNESSED):
            raise self._database.damaged("tables.db is of an unknown format")
        return head

    def _check(self, witnessed: int | None) -> None:
        """Refuse tables older than the pages, or of two ages; make up for an older format."""
        known = self._head["format"] == _FORMAT
        commit = self.number("commit") if known else 0
        if known and witnessed is None:
            raise self._database.damaged("witness is missing")
        if witnessed is not None and commit < witnessed:
            raise self._database.damaged(
                f"tables.db is older than the pages: of {witnessed} commits it has {commit}"
            )
        if not known:
            self._witness.found()
            self._head |= {"format": _FORMAT, "commit": 1, "era": 1}
            with self._database.transaction():
                self._put_era()
            commit = 1
        elif unpack(self._database.blobs("era")[0])[0] != self.number("era"):
            raise self._database.damaged("tables.db is older than its WAL")
        if commit != witnessed:
            self._witness.raise_to(commit, durable=True)

    def number(self, key: str) -> int:
        """A number of the head: ``page_shift``, ``epoch``, ``next_version`` ...

        Raises:
            ArrayDamaged: The head does not have it.
        """
        value = self._head.get(key)
        if not isinstance(value, int):
            raise self._database.damaged(f"the head of tables.db has no {key}")
        return value

    # --- committing ------------------------------------------------------------------------

    def put_next(self, numbers: dict[str, int]) -> None:
        """Store the head of the next commit, inside its transaction, with these numbers in it."""
        self._head |= {**numbers, "commit": self._head["commit"] + 1}
        self._database.put("state", "head", json.dumps(self._head).encode())

    def committed(self, *, frees: bool) -> None:
        """Note that the commit with the last head is durable; end the era if the WAL is long.

        Args:
            frees: Whether older tables are wrong from here on, because pages were freed or
                versions ended; the witness then waits for the disk.
        """
        self._witness.raise_to(self._head["commit"], durable=frees)
        if self._database.wal_bytes > _ERA_WAL_BYTES:
            self._begin_era()

    def rest(self) -> None:
        """Leave complete files behind; everything has been committed."""
        if self._database.wal_bytes:
            self._begin_era()
            self._witness.raise_to(self._head["commit"], durable=True)

    def _begin_era(self) -> None:
        """Empty the WAL into tables.db, which says from now on that it is newer."""
        self._head["era"] += 1
        with self._database.transaction():
            self._put_era()
        self._database.empty_wal()

    def _put_era(self) -> None:
        self._database.put("state", "head", json.dumps(self._head).encode())
        self._database.put("era", 0, pack(array("q", [self._head["era"]])))

    def close(self) -> None:
        """Close the witness; the database is not closed by it. Idempotent."""
        self._witness.close()
