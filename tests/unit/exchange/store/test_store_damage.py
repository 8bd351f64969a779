"""Damage and misuse that the engine must name: wrong pages, wrong logs, limits of its own."""

from __future__ import annotations

import pytest
from attrs import evolve

from frskit.errors import Busy, DeviceError, FrskitError, StoreError
from frskit.ese import pack_database_header, pack_log_header, read_database_header, seal_page
from frskit.ese.logs.header import read_log_header
from frskit.exchange.store import SMALL_LOGS, Message, SnapshotKind
from frskit.exchange.store.btree import MessageTree
from frskit.exchange.store.log_records import NodeChange, Operation
from frskit.exchange.store.logged_changes import PageChanges
from frskit.exchange.store.pages import Page, PageFlag
from frskit.exchange.store.row_codec import part_key


def native(call):
    with pytest.raises(StoreError) as caught:
        call()
    return caught.value.native


def settle(site):
    site.engine.roll_log()
    site.engine.idle()


def refused(site, *names):
    site.open(*names)
    return native(site.engine.recover)


def two_levels(site):
    """A store whose tree has a root above its leaves; returns the number of the second leaf."""
    site.fill(12, body=bytes(1000))
    root = site.engine.databases["mb"].page(29)
    assert not root.is_leaf
    return root.child(1)


def test_a_leaf_that_was_never_written_is_noticed(group):
    """A blank page where the tree expects a leaf is -1019 (a lost write of a new page)."""
    site = group().with_stores("mb")
    leaf = two_levels(site)
    site.engine.dismount("mb")
    site.stores.patch("mb.edb", (leaf + 1) * 4096, bytes(4096))
    site.engine.mount("mb")
    assert native(lambda: list(site.engine.messages("mb"))) == -1019


def test_a_page_of_another_tree_is_noticed(group):
    """A sound page that belongs elsewhere is -1206, not a wrong answer."""
    site = group().with_stores("mb")
    leaf = two_levels(site)
    site.engine.dismount("mb")
    foreign = Page.empty(2, PageFlag.LEAF)
    seal_page(foreign.data, leaf)
    site.stores.patch("mb.edb", (leaf + 1) * 4096, foreign.data)
    site.engine.mount("mb")
    assert native(lambda: list(site.engine.messages("mb"))) == -1206


def test_a_tree_that_leads_back_to_itself_ends(group):
    """A branch that names itself as its child is refused instead of followed for ever."""
    site = group().with_stores("mb")
    two_levels(site)
    site.engine.dismount("mb")
    root = Page(bytearray(site.stores.read("mb.edb")[30 * 4096 : 31 * 4096]))
    root.fill([(b"", (29).to_bytes(4, "little"))])
    seal_page(root.data, 29)
    site.stores.patch("mb.edb", 30 * 4096, root.data)
    assert native(lambda: site.engine.mount("mb")) == -1206


def operation(kind, key):
    return Operation(
        kind=kind,
        txid=1,
        dbid=1,
        page=0,
        before=0,
        after=0,
        slot=0,
        compensation=False,
        key=key,
        old=b"",
        new=b"new",
    )


def test_the_tree_keeps_keys_unique(group):
    """Inserting a key twice is -1605, changing an absent one -1601, both without effect."""
    site = group().with_stores("mb")
    site.fill(1)
    database = site.engine.databases["mb"]
    tree = MessageTree(database, PageChanges(site.engine._instance.stream))
    insert = operation(NodeChange.INSERT, part_key(1, 0))
    assert native(lambda: tree.change(insert)) == -1605
    for kind in (NodeChange.DELETE, NodeChange.REPLACE):
        absent = operation(kind, part_key(9, 0))
        assert native(lambda absent=absent: tree.change(absent)) == -1601
    fresh = operation(NodeChange.INSERT, part_key(5, 0))
    assert native(lambda: MessageTree(database).change(fresh)) == -1008
    assert site.subjects() == ["m0"]


def test_a_small_cache_forgets_only_what_is_on_disk(group):
    """With room for a few pages everything is read again from disk, and nothing is lost."""
    site = group(profile=evolve(SMALL_LOGS, cache_pages=4, dirty_page_limit=8)).with_stores("mb")
    site.fill(60, body=bytes(900))
    site.engine.flush_pages()
    assert site.subjects() == [f"m{index}" for index in range(60)]
    assert len(site.engine.databases["mb"]._cache) <= 5


def test_a_page_lost_before_the_checkpoint_contradicts_its_image(group):
    """Only the image of a later write lies in the replayed logs: the older page is -566."""
    site = group().with_stores("mb")
    site.fill(2)
    settle(site)
    old = site.stores.read("mb.edb")[30 * 4096 : 31 * 4096]
    site.fill(1)
    site.engine.roll_log()
    site.engine.flush_pages()
    site.engine.advance_checkpoint()
    site.stop()
    site.stores.patch("mb.edb", 30 * 4096, old)
    assert refused(site, "mb") == -566


def test_a_log_cut_short_is_refused(group):
    """A log shorter than its header says is -541."""
    site = group().with_stores("mb")
    site.fill_logs(1)
    site.stop()
    with site.logs.fs.edit("logs/E0000001.log") as file:
        file.truncate(512 * 200)
    assert refused(site, "mb") == -541


def test_a_generation_that_is_there_twice_is_refused(group):
    """The current log and an archived one with the same generation: -515."""
    site = group().with_stores("mb")
    site.fill(1)
    site.stop()
    site.logs.write("logs/E0000001.log", site.logs.read("logs/E00.log"))
    assert refused(site, "mb") == -515


def test_a_log_of_the_new_format_is_refused(group):
    """Logs with segments of 4096 bytes were not written by this engine: -514."""
    site = group().with_stores("mb")
    site.stop()
    header = read_log_header(site.logs.fs.open("logs/E00.log"))
    modern = evolve(header, major=8, sector_size=4096, header_sectors=1, file_sectors=32)
    raw = bytearray(site.logs.read("logs/E00.log"))
    raw[:4096] = pack_log_header(modern)
    site.logs.write("logs/E00.log", raw)
    site.profile = evolve(site.profile)
    site.open("mb")
    assert native(site.engine.recover) in (-514, -541)


def test_missing_committed_logs_are_told_apart(group):
    """Where headers know the committed generation: logs above Rmax missing are -582."""
    site = group(profile=evolve(SMALL_LOGS, tracks_committed=True)).with_stores("mb")
    settle(site)
    site.fill_logs(2)
    header = read_database_header(site.stores.fs.open("mb.edb"))
    assert header.gen_max_required < header.gen_max_committed
    site.stop()
    archived = dict(site.engine.log_directory.archived())
    site.logs.fs.remove("logs/E00.log")
    last = max(archived)
    site.logs.fs.rename(archived[last], "logs/E00.log")
    assert refused(site, "mb") == -582


def test_recovery_that_fails_half_way_can_run_again(group, monkeypatch):
    """An error while the results are written leaves the engine stopped; a new one finishes."""
    site = group().with_stores("mb")
    site.fill(5)
    site.stop()
    database = type(site.engine.databases["mb"])

    def fail(self, numbers):
        raise DeviceError("gone")

    site.open("mb")
    with monkeypatch.context() as patch:
        patch.setattr(database, "write_pages", fail)
        with pytest.raises(FrskitError):
            site.engine.recover()
    assert not site.engine.is_running
    assert site.event_ids()[-1] == 454
    site.start("mb")
    assert site.subjects() == [f"m{index}" for index in range(5)]


def test_an_override_leaves_out_a_store_whose_place_nobody_knows(group):
    """A store that the stream creates at an unknown path is missing.

    With the override it is left out, and an open transaction on it as well.
    """
    site = group().with_stores()
    site.fill(1)
    transaction = site.engine.begin()
    transaction.insert("pub", Message(subject="x"))
    site.engine.flush_pages()
    site.stop()
    site.stores.fs.remove("pub.edb")
    site.stores.fs.remove("pub.stm")
    assert refused(site, "mb") == -1216
    report = site.start("mb", allow_missing=True)
    assert report.missing == ("M:\\pub.edb",)
    assert report.undone_transactions == 1
    assert site.subjects() == ["m0"]
    site.stop()
    site.start("mb")
    assert site.subjects() == ["m0"]


def test_an_unreadable_store_without_any_log_is_told(group):
    """No logs and a header that cannot be read: the header's error."""
    site = group().with_stores("mb")
    site.engine.close()
    site.stores.patch("mb.edb", 0, bytes(8192))
    for name in site.logs.fs.listdir("logs"):
        site.logs.fs.remove(f"logs/{name}")
    assert refused(site, "mb") == -1018


def test_limits_of_numbers(group):
    """No free message number, no free log generation, too many stores: typed refusals."""
    site = group().with_stores("mb")
    site.engine._databases.next_ids["mb"] = 1 << 31
    assert native(lambda: site.fill(1)) == -1076
    stream = site.engine._instance.stream
    stream._header = evolve(stream.header, generation=0xFFFFF)
    assert native(site.engine.roll_log) == -519
    other = group().with_stores("mb")
    database = other.engine.databases["mb"]
    database.header = evolve(database.header, dbid=250)
    assert native(lambda: other.with_stores("pub")) == -1805


def test_status_of_an_engine(group):
    """What the engine says about itself agrees with the files."""
    site = group(circular=True).with_stores("mb")
    engine = site.engine
    assert engine.profile is SMALL_LOGS
    assert engine.circular
    assert engine.checkpoint.position.generation == engine.checkpoint_generation == 1
    assert site.logs.fs.exists(engine.checkpoint_path)
    assert engine.snapshot_session is None
    session = engine.snapshot_prepare(SnapshotKind.COPY)
    assert engine.snapshot_session is session
    with pytest.raises(Busy):
        engine.mount("mb") if not engine.is_mounted("mb") else engine.dismount("mb")


def test_truncation_that_finds_everything_gone(group):
    """If the whole range was removed by hand meanwhile, nothing is deleted: 225."""
    site = group().with_stores("mb")
    site.fill_logs(3)
    site.engine.idle()
    session = site.engine.snapshot_prepare()
    session.freeze()
    session.thaw()
    for generation in site.archived():
        if generation < session.delete_limit:
            site.logs.fs.remove(site.engine.log_directory.archive_path(generation))
    report = session.truncate()
    assert (report.event, report.deleted) == (225, ())


def test_a_header_torn_between_its_copies_is_survived(group):
    """One bad copy of the header is enough to lose nothing; the next write repairs it."""
    site = group().with_stores("mb")
    site.fill(2)
    site.engine.close()
    for at in (0, 4096):
        stores = site.stores.copy()
        stores.patch("mb.edb", at + 60, b"\xff" * 8)
        copy = site.at(site.logs.copy(), stores)
        copy.start("mb")
        assert copy.subjects() == ["m0", "m1"]
        raw = stores.read("mb.edb")
        assert raw[:4096] == raw[4096:8192]
        assert raw[:4096] == pack_database_header(read_database_header(stores.fs.open("mb.edb")))


def test_leaves_that_are_linked_in_a_circle_end(group):
    """A leaf that names itself as its right sibling is refused instead of read for ever."""
    site = group().with_stores("mb")
    number = two_levels(site)
    site.engine.dismount("mb")
    at = (number + 1) * 4096
    leaf = Page(bytearray(site.stores.read("mb.edb")[at : at + 4096]))
    leaf.following = number
    seal_page(leaf.data, number)
    site.stores.patch("mb.edb", at, leaf.data)
    site.engine.mount("mb")
    assert native(lambda: list(site.engine.messages("mb"))) == -1206


def test_a_tear_that_no_checksum_shows_is_healed_by_the_image(group):
    """A page that cannot take the next operation waits for its image, good checksum or not."""
    site = group().with_stores("mb")
    ids = site.fill(3)
    site.engine.flush_pages()
    old = Page(bytearray(site.stores.read("mb.edb")[30 * 4096 : 31 * 4096]))
    site.engine.replace_message("mb", ids[2], Message(subject="new", body=bytes(500)))
    site.engine.flush_pages()
    site.fill(1, prefix="n")
    site.stop()
    old.fill(old.nodes()[:1])
    seal_page(old.data, 29)
    site.stores.patch("mb.edb", 30 * 4096, old.data)
    site.start("mb")
    assert site.subjects() == ["m0", "m1", "new", "n0"]
