"""The catalog keeps records whole, finds them by group, and survives damage with a typed error."""

from __future__ import annotations

import gc
import json
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from frskit.errors import CatalogConflict, CatalogError, CopyNotFound
from frskit.frs import SqliteCatalog
from frskit.model.checks import CheckedFile, ComponentCheck, FileVerdict, IntegrityReport
from frskit.model.components import BackupType, Component, ComponentId, LateFile, WriterRecord
from frskit.model.copies import Copy, CopyFilter, CopyLife, CopyMember, Verdict
from frskit.model.files import FileRole, FileSet
from frskit.model.ids import CopyId, StorageId, VolumeId
from frskit.model.json_records import dump, load
from frskit.model.log_points import LogPoint, LogRange
from frskit.model.shadows import ShadowDocuments
from frskit.model.storage import CopyKind

START = datetime(2005, 7, 15, tzinfo=UTC)
GROUP = ComponentId(writer_id="w", logical_path="a\\b", name="g")


def a_copy(number=0, *, server="evs1", components=("sg1",), **changes):
    """A record with everything in it."""
    copy = Copy(
        id=CopyId(f"{number:08x}-0000-4000-8000-000000000000"),
        server=server,
        components=components,
        kind=CopyKind.SNAPCLONE,
        backup_type=BackupType.FULL,
        created_at=START + timedelta(minutes=number),
        selected=(
            Component(id=GROUP, files=(FileSet(path="L:\\x", pattern="*", role=FileRole.LOG),)),
        ),
        members=(
            CopyMember(
                volume=VolumeId("v"),
                mount_point="L:\\",
                source=StorageId("s"),
                storage=StorageId("c"),
            ),
        ),
        report=IntegrityReport(
            checker="c",
            components=(ComponentCheck(component=GROUP, image_ok=True, truncation_ok=False),),
            files=(
                CheckedFile(
                    component=GROUP,
                    path="p",
                    role=FileRole.LOG,
                    verdict=FileVerdict.OK,
                    counts={"a": 1},
                ),
            ),
        ),
        records=(
            WriterRecord(
                component=GROUP,
                late=(LateFile(component=GROUP, path="x", content=b"\x00\xff"),),
                logs_needed=LogRange(first=LogPoint(rank=1), last=LogPoint(rank=2, name="b")),
            ),
        ),
        documents=ShadowDocuments(backup_components=b"<a/>\xff", writers={"i": b"<b/>"}),
        verdict=Verdict.VERIFIED,
        life=CopyLife.PARKED,
    )
    return evolve(copy, **changes)


@pytest.mark.rule("FRS-48")
def test_a_record_survives_reopening_byte_by_byte(tmp_path):
    """What is put is what a later process gets, documents and attachments included."""
    first = SqliteCatalog(tmp_path / "c.sqlite")
    stored = first.put(a_copy())
    first.close()
    second = SqliteCatalog(tmp_path / "c.sqlite")
    assert stored == evolve(a_copy(), revision=1)
    assert second.get(a_copy().id) == stored
    second.close()


@pytest.mark.rule("FRS-16", "FRS-17")
def test_copies_are_found_by_group_newest_first():
    """Several copies of several groups: the filter finds the right ones in the right order."""
    catalog = SqliteCatalog()
    for number in range(6):
        catalog.put(a_copy(number, components=("sg1",) if number % 2 else ("sg2", "SG3")))
    found = catalog.find(CopyFilter(server="EVS1", component="sg1"))
    assert [copy.id for copy in found] == [a_copy(n).id for n in (5, 3, 1)]
    assert len(catalog.find(CopyFilter(component="sg3"))) == 3
    assert len(catalog.find(CopyFilter(server="evs1"))) == 6
    assert catalog.find(CopyFilter(server="other")) == ()
    assert found[0].report is None
    assert found[0].documents is None


def test_a_replaced_record_moves_with_its_new_facts():
    """Putting a record again replaces it everywhere, also in the index of groups."""
    catalog = SqliteCatalog()
    catalog.put(a_copy())
    catalog.put(a_copy(components=("sg9",), created_at=START + timedelta(days=1)))
    assert catalog.find(CopyFilter(component="sg1")) == ()
    assert len(catalog.find(CopyFilter(component="sg9"))) == 1


def test_deleted_copies_are_listed_only_on_request():
    """A deleted copy's record stays for the ledger but leaves the listing."""
    catalog = SqliteCatalog()
    catalog.put(a_copy(life=CopyLife.DELETED))
    assert catalog.find(CopyFilter()) == ()
    assert len(catalog.find(CopyFilter(include_deleted=True))) == 1


def test_an_unknown_copy_is_a_typed_error():
    """Asking for an id that nobody knows."""
    with pytest.raises(CopyNotFound):
        SqliteCatalog().get(CopyId("nope"))


@pytest.mark.rule("R-31")
def test_lineage_follows_a_swap_through_several_luns():
    """After two swaps all three LUNs are the same production volume."""
    catalog = SqliteCatalog()
    catalog.join_lineage(StorageId("a"), StorageId("b"), "t1")
    catalog.join_lineage(StorageId("b"), StorageId("c"), "t2")
    assert catalog.lineage(StorageId("a")) == {"a", "b", "c"}
    assert catalog.lineage(StorageId("c")) == {"a", "b", "c"}
    assert catalog.lineage(StorageId("x")) == {"x"}
    catalog.displace(StorageId("a"), CopyId("k"), "t1")
    assert catalog.displaced() == ((StorageId("a"), CopyId("k")),)


def test_a_damaged_file_is_a_typed_error(tmp_path):
    """Garbage in place of the database, or inside a record, is CatalogError with a hint."""
    path = tmp_path / "c.sqlite"
    path.write_bytes(b"garbage" * 1000)
    with pytest.raises(CatalogError) as caught:
        SqliteCatalog(path)
    assert caught.value.exit_status == 11


def test_records_say_their_schema_and_refuse_newer_ones():
    """The schema is in the text; a record of a newer frskit is refused, not misread."""
    text = dump(a_copy(), "frskit.copy")
    assert json.loads(text)["schema"] == "frskit.copy/1"
    with pytest.raises(CatalogError):
        load(text.replace("frskit.copy/1", "frskit.copy/2"), Copy, "frskit.copy")
    with pytest.raises(CatalogError):
        load("{", Copy, "frskit.copy")
    assert load(text, Copy, "frskit.copy") == a_copy()


def test_a_catalog_in_memory_that_is_dropped_closes_its_connection():
    """Also in a circle of references, where the order of finalizing is anybody's guess."""
    catalog = SqliteCatalog()
    catalog.circle = catalog
    connection = catalog._db
    del catalog
    gc.collect()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")


def test_a_catalog_of_another_version_is_refused(tmp_path):
    """It says which frskit can read it; nothing in it is changed."""
    path = tmp_path / "c.sqlite"
    SqliteCatalog(path).close()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE meta SET value='99' WHERE key='version'")
    before = path.read_bytes()
    with pytest.raises(CatalogError, match="of version 99"):
        SqliteCatalog(path)
    assert path.read_bytes() == before


# --- revisions ---------------------------------------------------------------------------


def test_the_catalog_counts_a_records_revisions():
    """At each change that is stored; what the argument says does not count."""
    with closing(SqliteCatalog()) as catalog:
        copy = catalog.put(a_copy(), expected=0)
        assert copy.revision == 1
        assert catalog.put(evolve(copy, revision=17)).revision == 2
        assert catalog.update(copy.id, lambda record: record).revision == 2
        assert catalog.update(copy.id, lambda record: evolve(record, note="x")).revision == 3
        assert catalog.get(copy.id).revision == 3


def test_a_record_that_somebody_else_changed_is_not_overwritten(tmp_path):
    """Who read an older revision hears of it, and nothing is stored."""
    with (
        closing(SqliteCatalog(tmp_path / "c.sqlite")) as mine,
        closing(SqliteCatalog(tmp_path / "c.sqlite")) as yours,
    ):
        read = mine.put(a_copy())
        yours.put(evolve(read, note="yours"), expected=read.revision)
        with pytest.raises(CatalogConflict) as caught:
            mine.put(evolve(read, note="mine"), expected=read.revision)
        assert caught.value.context["stored"] == 2
        assert caught.value.retryable
        with pytest.raises(CatalogConflict):
            mine.put(a_copy(), expected=0)
        assert mine.get(read.id).note == "yours"


@pytest.mark.parametrize("way", ["update", "put"])
def test_two_who_change_one_record_lose_nothing(tmp_path, way):
    """Each through a connection of its own, again and again, in threads."""
    count, path = 25, tmp_path / "c.sqlite"
    with closing(SqliteCatalog(path)) as catalog:
        copy = catalog.put(a_copy()).id
    failures = []

    def add(text):
        with closing(SqliteCatalog(path)) as mine:
            for _ in range(count):
                change(mine, text)

    def change(mine, text):
        def noted(record):
            return evolve(record, note=record.note + text)

        if way == "update":
            mine.update(copy, noted)
            return
        while True:
            record = mine.get(copy)
            try:
                mine.put(noted(record), expected=record.revision)
            except CatalogConflict:
                continue
            return

    def work(text):
        try:
            add(text)
        except Exception as error:  # noqa: BLE001 - seen by the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(text,)) for text in "ab"]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not failures
    with closing(SqliteCatalog(path)) as catalog:
        record = catalog.get(copy)
    base = a_copy().note
    assert sorted(record.note.removeprefix(base)) == ["a"] * count + ["b"] * count
    assert record.revision == 1 + 2 * count


def test_a_record_without_a_revision_is_one_of_before(tmp_path):
    """Records of 0.1.0 have none: they count from nothing."""
    with closing(SqliteCatalog(tmp_path / "c.sqlite")) as catalog:
        copy = catalog.put(a_copy())
        with closing(sqlite3.connect(tmp_path / "c.sqlite")) as db, db:
            (text,) = db.execute("SELECT record FROM copies").fetchone()
            old = {k: v for k, v in json.loads(text).items() if k != "revision"}
            db.execute("UPDATE copies SET record=?", (json.dumps(old),))
        assert catalog.get(copy.id).revision == 0
        assert catalog.put(copy, expected=0).revision == 1


def test_ids_are_known_of_records_that_cannot_be_read(tmp_path):
    """A resume goes on with the others; one that is unreadable may still be replaced."""
    with closing(SqliteCatalog(tmp_path / "c.sqlite")) as catalog:
        copy = catalog.put(a_copy())
        with closing(sqlite3.connect(tmp_path / "c.sqlite")) as db, db:
            db.execute("UPDATE copies SET record='no'")
        assert catalog.ids() == (copy.id,)
        with pytest.raises(CatalogError):
            catalog.get(copy.id)
        assert catalog.put(copy).revision == 1
        catalog.put(evolve(copy, life=CopyLife.DELETED))
        assert catalog.ids() == ()
        assert catalog.ids(include_deleted=True) == (copy.id,)
