"""The catalog of copies in SQLite: one row per copy, indexed by server and component.

Light facts and heavy ones (report, writer records, documents) are kept apart, so that listing
thousands of copies reads only the light ones. A record that cannot be read is skipped where the
question is about others (`SqliteCatalog.readable`), and stops whoever has to know all of them
(`SqliteCatalog.find`). Every change is durable when the call returns
(WAL, synchronous=FULL). The lineage of production volumes is kept here too: after a swap another
LUN is "the" volume, and older copies follow it (resolutions R-31).

Copies have an order that no clock can turn round: see `_place`.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from frskit.errors import CatalogConflict, CatalogError, CopyNotFound
from frskit.frs.state.journal_words import RECOVERING
from frskit.frs.state.record_upgrades import COPY_VERSION
from frskit.model.checks import IntegrityReport
from frskit.model.components import WriterRecord
from frskit.model.copies import Copy, CopyFilter, CopyLife, DamagedRecord
from frskit.model.ids import CopyId, StorageId
from frskit.model.json_records import dump, load
from frskit.model.shadows import ShadowDocuments
from frskit.storage import make_private_file

if TYPE_CHECKING:
    from frskit.protocols import CopyCatalog

__all__ = ["SqliteCatalog"]

_ENDED = tuple(
    each.value
    for each in (
        CopyLife.VERIFIED,
        CopyLife.PARKED,
        CopyLife.PRESENTED,
        CopyLife.CONSUMED,
        CopyLife.DELETING,
    )
)
"""Lives of copies that have a verdict and may be good."""

_COLUMNS = "c.id, c.server, c.created_at, c.life, c.record"
"""A row's index beside its record: what `SqliteCatalog._read` compares."""

_INDEX = ("id", "server", "time", "life")
"""What those columns but the last are called in messages."""

_DAMAGED_HINT = (
    "Use the frskit that wrote it if that is a newer one; else restore the catalog from a copy. "
    "Other copies can be listed and recovered as before."
)

_PAGE = 16
"""Rows that are read at once where most callers want the first few."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS copies (
    id TEXT PRIMARY KEY, server TEXT NOT NULL, created_at TEXT NOT NULL, life TEXT NOT NULL,
    record TEXT NOT NULL, heavy TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS copy_components (
    server TEXT NOT NULL, component TEXT NOT NULL, created_at TEXT NOT NULL, id TEXT NOT NULL,
    PRIMARY KEY (server, component, created_at, id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS components_by_copy ON copy_components (id);
CREATE INDEX IF NOT EXISTS copies_by_server ON copies (server, created_at);
CREATE INDEX IF NOT EXISTS copies_by_place ON copies (created_at);
CREATE TABLE IF NOT EXISTS lineage (
    storage TEXT PRIMARY KEY, lineage TEXT NOT NULL, since TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS displaced (
    storage TEXT PRIMARY KEY, copy TEXT NOT NULL, since TEXT NOT NULL) WITHOUT ROWID;
"""
_VERSION = "1"


@frozen(kw_only=True)
class _Heavy:
    """The parts of a copy's record that listings leave out."""

    report: IntegrityReport | None = None
    records: tuple[WriterRecord, ...] = ()
    documents: ShadowDocuments | None = None


class SqliteCatalog:
    """A `CopyCatalog` in one SQLite file, or in memory without a path."""

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.RLock()
        self._path = path
        with _catalog_errors(path):
            if path is not None:
                make_private_file(path)
            self._db = sqlite3.connect(
                ":memory:" if path is None else path, check_same_thread=False, timeout=10.0
            )
            # One byte that is no UTF-8 must not fail the query, and with it all other rows.
            self._db.text_factory = _text
        try:
            with _catalog_errors(path):
                self._prepare()
        # Ten seconds for the transaction of another process (ours).
        except BaseException:
            self._db.close()
            raise

        if path is None:
            # A lab in memory is often just dropped, as in a notebook; there is nothing to lose.
            # Not `__del__`: in a circle the connection may be finalized, and complain, first.
            weakref.finalize(self, self._db.close)

    def _prepare(self) -> None:
        """Make the tables, or see that they are of a version that is known."""
        # Listings never wait for a writer, and what was committed survives a loss of power.
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA)
        # Into a new catalog only: an old one keeps the version that it was made with.
        self._db.execute("INSERT OR IGNORE INTO meta VALUES ('version', ?)", (_VERSION,))
        self._db.commit()
        (found,) = self._db.execute("SELECT value FROM meta WHERE key='version'").fetchone()
        if found != _VERSION:
            raise CatalogError(
                f"the catalog is of version {found}, this frskit knows {_VERSION}",
                hint="Use the frskit that wrote it.",
            )

    def put(self, copy: Copy, *, expected: int | None = None) -> Copy:
        """Store or replace a record, durably; the record as it is stored now.

        Args:
            copy: The record; its own `revision` does not count.
            expected: The revision that must be stored now, 0 for none yet; None = whatever it is.

        Raises:
            CatalogConflict: Another revision is stored; nothing was changed.
        """
        with self._transaction() as db:
            return self._put(db, copy, expected)

    def update(self, copy: CopyId, change: Callable[[Copy], Copy]) -> Copy:
        """Change a record as it is now, in one transaction; the record afterwards.

        What somebody else wrote meanwhile is seen by `change`, and nobody writes between.

        Raises:
            CopyNotFound: None of this id.
        """
        with self._transaction() as db:
            before = self.get(copy)
            after = change(before)
            return before if after == before else self._put(db, after, before.revision)

    def ids(self, *, include_deleted: bool = False) -> Sequence[CopyId]:
        """The ids of all records, newest first; also of those that cannot be read."""
        test = "1=1" if include_deleted else "life <> 'deleted'"
        query = f"SELECT id FROM copies WHERE {test} ORDER BY created_at DESC, id"
        with self._lock, _catalog_errors(self._path):
            return tuple(CopyId(row[0]) for row in self._db.execute(query))

    @staticmethod
    def _put(db: sqlite3.Connection, copy: Copy, expected: int | None) -> Copy:
        """The caller's transaction keeps others from writing between the look and the change."""
        was, plain = _stored(db, copy.id)
        stored = _revision(plain)
        if expected is not None and stored != expected:
            raise CatalogConflict(
                f"the record of copy {copy.id} is of revision {stored}, not {expected}",
                context={"copy": copy.id, "stored": stored, "expected": expected},
            )
        place = _place(db, copy, was, plain)
        copy = evolve(copy, revision=stored + 1)
        light = evolve(copy, report=None, records=(), documents=None)
        heavy = _Heavy(report=copy.report, records=copy.records, documents=copy.documents)
        # The names may have changed since the last record.
        db.execute("DELETE FROM copy_components WHERE id=?", (copy.id,))
        db.execute(
            "INSERT OR REPLACE INTO copies VALUES (?,?,?,?,?,?)",
            (
                copy.id,
                copy.server.casefold(),
                place,
                copy.life.value,
                dump(light, "frskit.copy", COPY_VERSION),
                dump(heavy, "frskit.copy-detail", COPY_VERSION),
            ),
        )
        db.executemany(
            "INSERT OR REPLACE INTO copy_components VALUES (?,?,?,?)",
            [(copy.server.casefold(), name.casefold(), place, copy.id) for name in copy.components],
        )
        return copy

    def get(self, copy: CopyId) -> Copy:
        """The whole record, report and documents included."""
        with self._lock, _catalog_errors(self._path):
            row = self._db.execute(
                f"SELECT {_COLUMNS}, c.heavy FROM copies AS c WHERE c.id=?", (copy,)
            ).fetchone()
        if row is None:
            raise CopyNotFound(f"there is no copy {copy}", context={"copy": copy})
        light = self._read(row)
        heavy = load(
            row[-1],
            _Heavy,
            "frskit.copy-detail",
            COPY_VERSION,
            what=self._named(copy),
            hint=_DAMAGED_HINT,
            context={"copy": copy},
        )
        return evolve(
            light,
            report=heavy.report,
            records=heavy.records,
            documents=heavy.documents,
        )

    def find(self, wanted: CopyFilter) -> Sequence[Copy]:
        """Matching records, newest first, without reports, writer records and documents.

        For whoever has to know all of them: what no record names may be deleted, for example.

        Raises:
            CatalogError: One cannot be read.
        """
        return tuple(self._read(row) for row in self._rows(wanted))

    def readable(self, wanted: CopyFilter) -> tuple[Sequence[Copy], Sequence[DamagedRecord]]:
        """As `find`, but records that cannot be read are told apart from the others."""
        good: list[Copy] = []
        damaged: list[DamagedRecord] = []
        for row in self._rows(wanted):
            try:
                good.append(self._read(row))
            except CatalogError as error:
                damaged.append(
                    DamagedRecord(
                        id=CopyId(str(row[0])),
                        server=str(row[1]),
                        problem=error.message,
                        hint=error.hint,
                    )
                )
        return tuple(good), tuple(damaged)

    def recovering(self, server: str | None = None) -> Sequence[CopyId]:
        """The copies whose records say that a recovery is under way; damaged records count too.

        Looked for in the text: of a record that cannot be read this one fact still matters.
        """
        query = "SELECT id FROM copies WHERE instr(record, ?) AND (? IS NULL OR server=?)"
        name = None if server is None else server.casefold()
        mark = json.dumps({"stage": RECOVERING}, separators=(",", ":"))[1:-1]
        with self._lock, _catalog_errors(self._path):
            rows = self._db.execute(f"{query} ORDER BY created_at DESC, id", (mark, name, name))
            return tuple(CopyId(str(row[0])) for row in rows)

    def _rows(self, wanted: CopyFilter) -> list[tuple[Any, ...]]:
        """The rows that match, by the index; nothing is read from the records."""
        tests, values = ["1=1"], list[str]()
        source = "copies AS c"
        if wanted.component is not None:
            source = "copy_components AS k JOIN copies AS c ON c.id = k.id"
            tests.append("k.component=?")
            values.append(wanted.component.casefold())
            if wanted.server is not None:
                tests.append("k.server=?")
                values.append(wanted.server.casefold())
        elif wanted.server is not None:
            tests.append("c.server=?")
            values.append(wanted.server.casefold())
        if not wanted.include_deleted:
            tests.append("c.life <> 'deleted'")
        query = (
            f"SELECT {_COLUMNS} FROM {source} WHERE {' AND '.join(tests)} "
            "ORDER BY c.created_at DESC, c.id"
        )
        with self._lock, _catalog_errors(self._path):
            return self._db.execute(query, values).fetchall()

    def _named(self, copy: object) -> str:
        """A record, for messages."""
        return f"the record of copy {copy} in {self._path or 'the catalog'}"

    def _read(self, row: Sequence[Any]) -> Copy:
        """The record of a row.

        Raises:
            CatalogError: It cannot be read, or is not what the row's index says.
        """
        what, context = self._named(row[0]), {"copy": row[0]}
        copy = load(
            row[4],
            Copy,
            "frskit.copy",
            COPY_VERSION,
            what=what,
            hint=_DAMAGED_HINT,
            context=context,
        )
        indexed = (
            copy.id,
            copy.server.casefold(),
            copy.created_at.isoformat(),
            copy.life.value,
        )
        # A byte that changed may leave a record that can be read, and is another one's.
        for name, said, kept in zip(_INDEX, indexed, row[:4], strict=True):
            if said != kept and not (name == "time" and _is_after(str(kept), said)):
                raise CatalogError(
                    f"{what} cannot be read: its {name} is {said!r}, and {kept!r} in the index",
                    hint=_DAMAGED_HINT,
                    context=context,
                )
        return copy

    def ended(self, server: str) -> Iterator[Copy]:
        """The copies of a server whose runs ended well, newest first, read as they are asked for.

        Without reports, writer records and documents, as `find` gives them.

        Raises:
            CatalogError: It is the turn of a record that cannot be read.
        """
        query = (
            f"SELECT {_COLUMNS} FROM copies AS c WHERE server=? AND life IN "
            f"({','.join('?' * len(_ENDED))}) ORDER BY created_at DESC, id LIMIT ? OFFSET ?"
        )
        for offset in itertools.count(0, _PAGE):
            values = (server.casefold(), *_ENDED, _PAGE, offset)
            with self._lock, _catalog_errors(self._path):
                rows = self._db.execute(query, values).fetchall()
            yield from map(self._read, rows)
            if len(rows) < _PAGE:
                return

    def join_lineage(self, old: StorageId, new: StorageId, since: str) -> None:
        """After a swap: `new` is now the volume that `old` was."""
        with self._transaction() as db:
            lineage = self._lineage(db, old)
            # A lineage is named after the LUN that the volume was on at first.
            db.execute("INSERT OR IGNORE INTO lineage VALUES (?,?,?)", (old, lineage, since))
            db.execute("INSERT OR REPLACE INTO lineage VALUES (?,?,?)", (new, lineage, since))

    def lineage(self, storage: StorageId) -> frozenset[StorageId]:
        """All LUNs that have been the same production volume, this one included."""
        with self._lock, _catalog_errors(self._path):
            lineage = self._lineage(self._db, storage)
            rows = self._db.execute("SELECT storage FROM lineage WHERE lineage=?", (lineage,))
            return frozenset({storage, *(StorageId(row[0]) for row in rows)})

    def displace(self, storage: StorageId, copy: CopyId, since: str) -> None:
        """Remember an old production LUN that a swap left behind, until it is released."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO displaced VALUES (?,?,?)", (storage, copy, since))

    def displaced(self) -> Sequence[tuple[StorageId, CopyId]]:
        """Old production LUNs, with the copy that took their place."""
        with self._lock, _catalog_errors(self._path):
            rows = self._db.execute("SELECT storage, copy FROM displaced ORDER BY since, storage")
            return tuple((StorageId(row[0]), CopyId(row[1])) for row in rows)

    def close(self) -> None:
        """Close the file. Idempotent."""
        with self._lock:
            self._db.close()

    @staticmethod
    def _lineage(db: sqlite3.Connection, storage: StorageId) -> str:
        row = db.execute("SELECT lineage FROM lineage WHERE storage=?", (storage,)).fetchone()
        return storage if row is None else str(row[0])

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _catalog_errors(self._path), self._db:
            # Not at the first write: what is read before it must not change in between.
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db


def _is_after(place: str, instant: str) -> bool:
    """Whether a place is one that was counted on from a later one: see `_place`."""
    base, counted, _ = place.partition("#")
    return bool(counted) and base >= instant


def _text(raw: bytes) -> str:
    """Text of the database; what is no UTF-8 becomes what no JSON document has."""
    return raw.decode("utf-8", "backslashreplace")


def _stored(db: sqlite3.Connection, copy: CopyId) -> tuple[str, Mapping[str, object]]:
    """Place and plain record of a copy; both empty if there is none.

    The record only as text: one that cannot be read as a whole may still be replaced.
    """
    row = db.execute("SELECT created_at, record FROM copies WHERE id=?", (copy,)).fetchone()
    if row is None:
        return "", {}
    try:
        plain = json.loads(row[1])
    except ValueError:
        plain = None
    return str(row[0]), plain if isinstance(plain, dict) else {}


def _revision(plain: Mapping[str, object]) -> int:
    """How often a record was stored; 0 if there is none, or it does not say."""
    revision = plain.get("revision", 0)
    return revision if isinstance(revision, int) else 0


def _place(db: sqlite3.Connection, copy: Copy, place: str, plain: Mapping[str, object]) -> str:
    """A copy's place in the order of copies: its instant, or after all others if that is earlier.

    It is the column ``created_at``, so that the order of older catalogs stays. Taken when the
    instant comes on record (first that of the wish, then that of the copy, or of a new run of the
    same key), and kept from then on: a clock that was set back cannot make a newer copy look older,
    nor can one that had been ahead. A place after one that is later by the clock is counted from
    that: ``...#000001``.
    """
    instant = copy.created_at.isoformat()
    if plain.get("created_at") == instant:
        return place
    newest = db.execute(
        "SELECT created_at FROM copies WHERE id<>? ORDER BY created_at DESC LIMIT 1", (copy.id,)
    ).fetchone()
    if newest is None or newest[0] < instant:
        return instant
    base, _, count = str(newest[0]).partition("#")
    return f"{base}#{int(count or 0) + 1:06d}"


@contextmanager
def _catalog_errors(path: Path | None) -> Iterator[None]:
    """Turn the database's own errors into typed ones."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise CatalogError(
            f"the catalog {path or '(in memory)'} cannot be used: {error}",
            hint="Restore it from a copy, or rebuild it from the copies' evidence and the array.",
        ) from error


if TYPE_CHECKING:
    _: type[CopyCatalog] = SqliteCatalog
