"""Independent readers, and frskit's own checker, on the files of the simulated store."""

from __future__ import annotations

import io
import random

import pytest
from attrs import evolve
from dissect.esedb import EseDB

from frskit.ese import check_database, check_logs, verify_page
from frskit.exchange.store import SMALL_LOGS, STORE_2003, Message
from frskit.exchange.store.pages import Page, PageFlag
from frskit.exchange.store.system_catalog import build_database
from frskit.model.ese_files import DatabaseHeader

READERS = ("dissect.esedb", "libesedb")
TABLES = ["MSysObjects", "MSysObjectsShadow", "Messages"]


def busy(group, count=120, seed=3):
    """A group with deliveries, deletions, growing and shrinking replacements."""
    rng = random.Random(seed)
    group.with_stores("mb")
    ids = []
    for index in range(count):
        body = rng.randbytes(rng.choice((0, 10, 700, 1024, 2600)))
        ids += group.engine.deliver(
            "mb", [Message(subject=f"caf\xe9 {index}", body=body, folder=index % 7)]
        )
        if index % 5 == 4:
            group.engine.delete_message("mb", ids.pop(rng.randrange(len(ids))))
        if index % 7 == 6:
            new = Message(subject="again " * 30, body=rng.randbytes(rng.randrange(3000)))
            group.engine.replace_message("mb", rng.choice(ids), new)
    return group


@pytest.mark.parametrize("reader", READERS)
def test_readers_list_every_row_of_a_dismounted_store(group, readers, expected_rows, reader):
    """All tables and rows of a cleanly dismounted database, compared one by one."""
    site = busy(group())
    expected = expected_rows(site.engine.messages("mb"))
    site.engine.dismount("mb")
    tables, rows = readers[reader](site.stores.read("mb.edb"))
    assert tables == TABLES
    assert rows == expected


@pytest.mark.parametrize("reader", READERS)
def test_readers_list_every_row_of_a_frozen_copy(group, readers, expected_rows, reader):
    """The dirty copy of a frozen store whose pages had been written shows all rows."""
    site = busy(group())
    site.engine.flush_pages()
    session = site.engine.snapshot_prepare()
    session.freeze()
    expected = expected_rows(site.engine.messages("mb"))
    _, stores = site.image()
    raw = stores.read("mb.edb")
    assert check_database(io.BytesIO(raw)).state == "Dirty Shutdown"
    assert readers[reader](raw) == (TABLES, expected)


@pytest.mark.parametrize("reader", READERS)
def test_readers_can_follow_every_pointer_while_pages_are_being_written(group, readers, reader):
    """Whatever part of the pages has been written, a reader meets no pointer into nothing."""
    site = group()
    site.with_stores("mb")
    for index in range(60):
        site.engine.deliver("mb", [Message(subject=f"m{index}", body=bytes([index]) * 900)])
        if index % 3 == 0:
            site.engine.flush_pages(1)
        raw = site.stores.read("mb.edb")
        root = Page(bytearray(raw[30 * 4096 : 31 * 4096]))
        children = [] if root.is_leaf else [root.child(slot) for slot in range(root.count)]
        assert all(any(raw[(child + 1) * 4096 : (child + 2) * 4096]) for child in children)
        tables, rows = readers[reader](raw)
        assert tables == TABLES
        assert [row[0] for row in rows] == sorted(row[0] for row in rows)


@pytest.mark.parametrize("reader", READERS)
def test_readers_open_a_tree_of_three_levels(group, readers, expected_rows, reader):
    """More leaves than one branch page can name make a third level that readers walk."""
    site = group(profile=STORE_2003, volume_bytes=24 << 20)
    site.with_stores("mb")
    for index in range(12):
        site.engine.deliver(
            "mb", [Message(subject="s", body=bytes([index]) * 1000) for _ in range(60)]
        )
    expected = expected_rows(site.engine.messages("mb"))
    site.engine.dismount("mb")
    raw = site.stores.read("mb.edb")
    database = EseDB(io.BytesIO(raw))
    root = database.page(29)
    assert not root.is_leaf
    assert not root.is_parent
    assert readers[reader](raw) == (TABLES, expected)


def test_catalog_and_shadow_catalog_agree():
    """Both catalogs hold the same rows, each followed by its columns and indexes."""
    raw = _file(build_database(62))
    database = EseDB(io.BytesIO(raw))
    tables = {table.name: table for table in database.tables()}
    shadow = [record.as_dict() for record in tables["MSysObjectsShadow"].records()]
    assert shadow == [record.as_dict() for record in tables["MSysObjects"].records()]
    messages = tables["Messages"]
    assert [column.name for column in messages.columns] == [
        "MsgId",
        "Part",
        "Folder",
        "Txid",
        "Subject",
        "Body",
    ]
    assert messages.primary_index.column_ids == [1, 2]
    assert [index.name for index in tables["MSysObjects"].indexes] == ["Id", "Name", "RootObjects"]


def test_catalog_index_finds_tables_by_name():
    """The catalog's Name index leads a reader to the table's row."""
    database = EseDB(io.BytesIO(_file(build_database(62))))
    catalog = database.table("MSysObjects")
    found = catalog.index("RootObjects").search(RootFlag=True, Name="Messages")
    assert found.get("ColtypOrPgnoFDP") == 29


def _file(pages):
    from frskit.ese import pack_database_header, seal_page

    header = pack_database_header(DatabaseHeader(state=3, format_update_major=0x0B))
    area = bytearray(64 * 4096)
    area[:8192] = header * 2
    for number, page in pages.items():
        data = bytearray(page.data)
        seal_page(data, number)
        area[(number + 1) * 4096 : (number + 2) * 4096] = data
    return bytes(area)


def test_checker_accepts_databases_logs_and_headers(group):
    """Every page verifies, no page is newer than the header, and the log chain is sound."""
    site = busy(group(), count=60)
    site.engine.idle()
    report = check_database(site.stores.fs.open("mb.edb"))
    assert report.verdict == "ok"
    assert report.header_condition == "ok"
    assert report.header.format_update_major == 0x0B
    assert report.highest_dbtime <= report.header.dbtime_dirtied
    logs = {
        name: site.logs.fs.open(f"logs/{name}")
        for name in site.logs.fs.listdir("logs")
        if "tmp" not in name
    }
    assert len(logs) > 2
    assert check_logs(logs, "E00").error is None


def test_old_and_new_checksums_mix_after_an_upgrade(group, readers, expected_rows):
    """Pages of an older store keep the old checksum until they are rewritten; readers see all."""
    site = group(profile=evolve(SMALL_LOGS, legacy_initial_pages=True))
    site.with_stores("mb")
    raw = site.stores.read("mb.edb")
    assert {verify_page(raw[at : at + 4096], at // 4096 - 1).format for at in _pages(raw)} == {
        "old"
    }
    site.fill(20, body=bytes(500))
    expected = expected_rows(site.engine.messages("mb"))
    site.engine.dismount("mb")
    raw = site.stores.read("mb.edb")
    formats = {verify_page(raw[at : at + 4096], at // 4096 - 1).format for at in _pages(raw)}
    assert formats == {"old", "new"}
    assert check_database(io.BytesIO(raw)).verdict == "ok"
    assert readers["libesedb"](raw)[1] == expected
    messages = raw[30 * 4096 : 31 * 4096]
    assert int.from_bytes(messages[36:40], "little") & PageFlag.NEW_CHECKSUM


def _pages(raw):
    return [at for at in range(8192, len(raw), 4096) if any(raw[at : at + 4096])]


def test_streaming_file_has_matching_headers_and_no_data(group):
    """The .stm has two good headers of its own kind, and belongs to its .edb."""
    site = group().with_stores("mb")
    raw = site.stores.read("mb.stm")
    report = check_database(io.BytesIO(raw))
    assert report.coverage == "headers"
    assert report.header.is_streaming_file
    assert report.header.file_type == 2
    edb = check_database(site.stores.fs.open("mb.edb")).header
    assert report.header.slv_signature == edb.slv_signature
    assert report.header.slv_signature.is_set
    assert not any(raw[8192:])
