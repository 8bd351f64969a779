"""The engine's daily life: stores, transactions, logs, limits, failures."""

from __future__ import annotations

import io
import itertools
import threading

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from frskit.errors import (
    Busy,
    DeviceError,
    FileExists,
    FileMissing,
    NoSpace,
    NotFound,
    StoreError,
    UsageError,
)
from frskit.ese import check_database, read_database_header
from frskit.ese.logs.format7_chain import ChainEnd, walk_chain
from frskit.ese.logs.header import read_log_header
from frskit.exchange.store import SMALL_LOGS, STORE_2003, Message, StoreKind
from frskit.exchange.store.btree import MessageTree

MESSAGE = Message(subject="hello", body=b"world", folder=3)


def native(call):
    with pytest.raises(StoreError) as caught:
        call()
    return caught.value.native


def test_messages_come_back_as_delivered(group):
    """Subject, body, folder and the ids in order, also over a clean stop."""
    site = group().with_stores()
    bodies = [b"", b"x", bytes(range(256)) * 20]
    ids = site.engine.deliver(
        "mb", [Message(subject=f"\xe9{i}", body=body, folder=i) for i, body in enumerate(bodies)]
    )
    assert ids == [1, 2, 3]
    before = list(site.engine.messages("mb"))
    assert [(each.subject, each.body, each.folder) for each in before] == [
        (f"\xe9{index}", body, index) for index, body in enumerate(bodies)
    ]
    assert len({each.txid for each in before}) == 1
    assert site.engine.count("mb") == 3
    assert site.engine.count("pub") == 0
    site.engine.close()
    site.start()
    assert list(site.engine.messages("mb")) == before
    assert site.engine.deliver("mb", [MESSAGE]) == [4]


@settings(max_examples=40)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(("insert", "insert", "insert", "delete", "replace")),
            st.integers(0, 10**6),
            st.integers(0, 3000),
        ),
        max_size=60,
    )
)
def test_the_tree_agrees_with_a_dictionary(group, steps):
    """Insertions, deletions and growing replacements, with splits in the middle."""
    site = group().with_stores("mb")
    model = {}
    for action, number, size in steps:
        message = Message(subject=str(number), body=number.to_bytes(4, "big") * (size // 4))
        if action == "insert":
            model[site.engine.deliver("mb", [message])[0]] = message
        elif model:
            victim = sorted(model)[number % len(model)]
            if action == "delete":
                site.engine.delete_message("mb", victim)
                del model[victim]
            else:
                site.engine.replace_message("mb", victim, message)
                model[victim] = message
    found = {each.id: (each.subject, each.body) for each in site.engine.messages("mb")}
    assert found == {key: (each.subject, each.body) for key, each in model.items()}
    site.engine.close()
    assert check_database(site.stores.fs.open("mb.edb")).verdict == "ok"


def test_deep_trees_split_in_the_middle(group):
    """Replacements that grow every message split leaves and branches all over the tree."""
    site = group(profile=STORE_2003, volume_bytes=32 << 20).with_stores("mb")
    ids = site.engine.deliver("mb", [Message(subject=str(i)) for i in range(3000)])
    with site.engine.begin() as transaction:
        for number in ids[::2]:
            transaction.replace("mb", number, Message(subject="x" * 200, body=bytes(1000)))
    tree = MessageTree(site.engine.databases["mb"])
    assert len(tree._path(b"")) == 3
    subjects = site.subjects()
    assert subjects[1::2] == [str(index) for index in range(1, 3000, 2)]
    assert set(subjects[::2]) == {"x" * 200}


def test_empty_leaves_stay_readable(group):
    """A store from which everything was deleted is empty, and takes messages again."""
    site = group().with_stores("mb")
    ids = site.fill(30, body=bytes(900))
    for number in ids:
        site.engine.delete_message("mb", number)
    assert site.subjects() == []
    site.engine.dismount("mb")
    site.engine.mount("mb")
    site.fill(2, prefix="again")
    assert site.subjects() == ["again0", "again1"]


def test_transactions_are_all_or_nothing(group):
    """Commit keeps everything, rollback nothing, an exception rolls back."""
    site = group().with_stores()
    kept = site.fill(2)
    with site.engine.begin() as transaction:
        transaction.insert("mb", MESSAGE)
        transaction.insert("pub", MESSAGE)
        transaction.delete("mb", kept[0])
    assert site.subjects() == ["m1", "hello"]
    assert site.subjects("pub") == ["hello"]

    def fail():
        with site.engine.begin() as transaction:
            transaction.insert("mb", MESSAGE)
            transaction.replace("mb", kept[1], Message(subject="other", body=bytes(5000)))
            transaction.delete("pub", 1)
            raise ValueError("changed my mind")

    with pytest.raises(ValueError, match="changed"):
        fail()
    assert site.subjects() == ["m1", "hello"]
    assert site.subjects("pub") == ["hello"]
    transaction = site.engine.begin()
    transaction.rollback()
    assert not transaction.is_open
    for call in (transaction.commit, transaction.rollback, lambda: transaction.delete("mb", 1)):
        with pytest.raises(UsageError):
            call()


def test_a_failing_statement_leaves_the_transaction_usable(group):
    """What a failed call had done already is taken back; the rest of the transaction stays."""
    site = group().with_stores("mb")
    with site.engine.begin() as transaction:
        transaction.insert("mb", MESSAGE)
        with pytest.raises(NotFound):
            transaction.delete("mb", 77)
        with pytest.raises(NotFound):
            transaction.insert("nowhere", MESSAGE)
    assert site.subjects() == ["hello"]


def test_one_transaction_at_a_time(group):
    """A second writer is refused until the first has ended; dismount waits as well."""
    site = group().with_stores()
    transaction = site.engine.begin()
    with pytest.raises(Busy):
        site.engine.begin()
    with pytest.raises(Busy):
        site.engine.deliver("mb", [MESSAGE])
    with pytest.raises(Busy):
        site.engine.dismount("mb")
    transaction.commit()
    site.engine.deliver("mb", [MESSAGE])


def test_threads_may_share_an_engine(group):
    """Deliveries from several threads all arrive, each once."""
    site = group().with_stores("mb")

    def work(name):
        for index in range(20):
            site.engine.deliver("mb", [Message(subject=f"{name}{index}")])

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(site.subjects()) == sorted(f"{n}{i}" for n in "abc" for i in range(20))


def test_stores_are_known_by_name(group):
    """Unknown, doubled, forgotten and unmounted stores are told apart."""
    site = group().with_stores()
    engine = site.engine
    with pytest.raises(FileExists):
        engine.add_database(site.bare("mb", "other.edb"))
    with pytest.raises(FileExists):
        engine.add_database(site.bare("other", "mb.edb"))
    assert "other" not in engine.database_files
    for call in (
        lambda: engine.mount("x"),
        lambda: engine.dismount("x"),
        lambda: engine.forget_database("x"),
        lambda: engine.deliver("x", [MESSAGE]),
        lambda: list(engine.messages("x")),
    ):
        with pytest.raises(NotFound):
            call()
    with pytest.raises(Busy):
        engine.forget_database("pub")
    engine.mount("pub")
    engine.dismount("pub")
    engine.dismount("pub")
    with pytest.raises(NotFound):
        engine.deliver("pub", [MESSAGE])
    engine.forget_database("pub")
    assert list(engine.database_files) == ["mb"]
    engine.register_database(site.bare("pub", kind=StoreKind.PUBLIC))
    engine.mount("pub")
    assert engine.database_files["pub"].kind is StoreKind.PUBLIC


def test_headers_follow_the_life_of_a_store(group):
    """Dirty with its required range while mounted, clean with 0-0 when dismounted."""
    site = group().with_stores("mb")
    site.fill_logs(2)
    site.engine.idle()
    mounted = read_database_header(site.stores.fs.open("mb.edb"))
    assert mounted.state_text == "Dirty Shutdown"
    assert mounted.log_signature == site.engine.log_signature
    assert mounted.gen_min_required == site.engine.checkpoint_generation
    log = read_log_header(site.logs.fs.open("logs/E00.log"))
    assert mounted.gen_max_required == log.generation
    assert mounted.gen_max_creation_time == log.created
    assert [each.path for each in log.attachments] == ["M:\\mb.edb"]
    site.engine.dismount("mb")
    clean = read_database_header(site.stores.fs.open("mb.edb"))
    assert clean.is_clean
    assert (clean.gen_min_required, clean.gen_max_required) == (0, 0)
    assert clean.consistent_position > mounted.attach_position
    raw = site.stores.read("mb.edb")
    assert raw[:4096] == raw[4096:8192]
    stream = check_database(site.stores.fs.open("mb.stm"))
    assert stream.header.is_clean


def test_mount_refuses_what_is_not_ready(group):
    """Dirty: -550; a file missing: -1811; a streaming file of another store: -531."""
    site = group().with_stores()
    raw = site.stores.read("mb.edb")
    for name in ("mb", "pub"):
        site.engine.dismount(name)
    clean = {name: site.stores.read(name) for name in ("mb.edb", "mb.stm", "pub.stm")}
    site.stores.write("mb.edb", raw)
    assert native(lambda: site.engine.mount("mb")) == -550
    site.stores.write("mb.edb", clean["mb.edb"])
    site.stores.write("mb.stm", clean["pub.stm"])
    assert native(lambda: site.engine.mount("mb")) == -531
    site.stores.write("mb.stm", bytes(8192))
    assert native(lambda: site.engine.mount("mb")) == -1206
    site.stores.fs.remove("mb.stm")
    assert native(lambda: site.engine.mount("mb")) == -1811
    site.stores.fs.remove("mb.edb")
    assert native(lambda: site.engine.mount("mb")) == -1811
    assert not site.engine.is_mounted("mb")


def test_a_store_without_streaming_file_works(group):
    """From 2007 on there is only the .edb."""
    site = group()
    site.engine.add_database(site.bare("mb"))
    site.fill(1)
    site.stop()
    site.engine = None
    site.open()
    engine = site.engine
    engine.forget_database("mb")
    engine.forget_database("pub")
    engine.register_database(site.bare("mb"))
    engine.recover()
    engine.mount("mb")
    assert site.subjects() == ["m0"]


def test_a_store_may_move_to_another_group(group):
    """A clean store mounts in another stream, takes its signature, and survives a crash there."""
    site, other = group().with_stores("mb"), group(seed=9).with_stores("pub")
    site.fill(2)
    site.engine.close()
    for name in ("mb.edb", "mb.stm"):
        other.stores.write(name, site.stores.read(name))
    other.engine.register_database(other.files("mb"))
    other.engine.mount("mb")
    header = read_database_header(other.stores.fs.open("mb.edb"))
    assert header.log_signature == other.engine.log_signature
    assert header.dbid == 2
    other.fill(1, prefix="n")
    other.stop()
    other.start()
    assert other.subjects() == ["m0", "m1", "n0"]


def test_logs_are_flushed_by_sector(group):
    """Each transaction starts on a sector of its own; the rest of the log is zero."""
    site = group().with_stores("mb")
    log = site.logs.fs.open("logs/E00.log")
    before = walk_chain(log, 1, 512)
    site.fill(5)
    walk = walk_chain(site.logs.fs.open("logs/E00.log"), 1, 512)
    assert walk.end is ChainEnd.COMPLETE
    assert walk.records == before.records + 5
    assert walk.end_offset % 512 == 0
    raw = site.logs.read("logs/E00.log")
    assert not any(raw[walk.end_offset :])
    assert len(raw) == 256 * 512


def test_logs_chain_by_creation_time(group):
    """Names, generations and creation times of closed logs form one chain."""
    site = group().with_stores("mb")
    site.fill_logs(3)
    paths = [*site.engine.log_directory.archived().values(), "logs/E00.log"]
    headers = [read_log_header(site.logs.fs.open(path)) for path in paths]
    assert [header.generation for header in headers] == [1, 2, 3, 4]
    assert paths[:3] == [f"logs/E00{generation:05x}.log" for generation in (1, 2, 3)]
    for before, after in itertools.pairwise(headers):
        assert after.previous_created == before.created
        assert after.created != before.created
    assert site.engine.log_files == [*paths, "logs/E00tmp.log"]
    assert (site.engine.lowest_generation, site.engine.base) == (1, "E00")


def test_eight_digit_names(group):
    """From 2007 on archived logs carry eight digits."""
    site = group(profile=evolve(SMALL_LOGS, generation_digits=8)).with_stores("mb")
    site.engine.roll_log()
    assert site.logs.fs.exists("logs/E0000000001.log")
    site.stop()
    site.start("mb")


def test_the_checkpoint_follows_by_itself(group):
    """Under load the checkpoint stays within the profile's depth of the current log."""
    site = group(profile=evolve(SMALL_LOGS, dirty_page_limit=20)).with_stores("mb")
    for _ in range(8):
        site.fill_logs(1)
        depth = site.engine.current_generation - site.engine.checkpoint_generation
        assert depth <= SMALL_LOGS.checkpoint_depth_logs + 1
    assert len(site.engine.databases["mb"].dirty()) <= 40


@pytest.mark.rule("EXC-42")
def test_circular_logging_keeps_only_what_is_needed(group):
    """Logs below the checkpoint go by themselves; the rest has no gap and recovers."""
    site = group(circular=True).with_stores("mb")
    site.fill_logs(12)
    lowest, current = site.engine.lowest_generation, site.engine.current_generation
    assert lowest >= site.engine.checkpoint_generation > 1
    assert site.archived() == list(range(lowest, current))
    expected = site.engine.count("mb")
    site.stop()
    site.start("mb")
    assert site.engine.count("mb") == expected
    assert read_log_header(site.logs.fs.open("logs/E00.log")).circular_logging


def test_a_full_log_volume_stops_delivery_and_nothing_else(group):
    """No room for the next log: -529; what was acknowledged stays, and room revives delivery."""
    site = group(volume_bytes=2 << 20).with_stores("mb")
    big = Message(subject="big", body=bytes(3000))
    acknowledged = []
    with pytest.raises(StoreError) as caught:
        for _ in range(1000):
            acknowledged += site.engine.deliver("mb", [big])
    assert caught.value.native == -529
    assert native(lambda: site.engine.deliver("mb", [big])) == -529
    assert native(lambda: site.engine.dismount("mb")) == -529
    for generation in site.archived():
        if generation < site.engine.checkpoint_generation:
            site.logs.fs.remove(site.engine.log_directory.archive_path(generation))
    acknowledged += site.fill(1)
    assert [each.id for each in site.engine.messages("mb")] == acknowledged
    site.stop()
    site.start("mb")
    assert [each.id for each in site.engine.messages("mb")] == acknowledged


def test_a_full_store_volume_refuses_to_grow(group, monkeypatch):
    """No room for the database: -1808, the transaction is undone, the store goes on."""
    site = group().with_stores("mb")
    site.fill(3)
    real = type(site.stores.fs.open("mb.edb")).truncate

    def full(self, size_bytes):
        if "edb" in self.path:
            raise NoSpace("full")
        real(self, size_bytes)

    big = [Message(subject=f"big{index}", body=bytes(1000)) for index in range(300)]
    with monkeypatch.context() as patch:
        patch.setattr(type(site.stores.fs.open("mb.edb")), "truncate", full)
        assert native(lambda: site.engine.deliver("mb", big)) == -1808
    assert site.subjects() == ["m0", "m1", "m2"]
    site.engine.deliver("mb", big)
    assert site.engine.count("mb") == 303


def test_a_log_that_cannot_be_written_takes_the_engine_down(group, monkeypatch):
    """After a failed log write nothing more is accepted; recovery shows what was acknowledged."""
    site = group().with_stores("mb")
    site.fill(2)

    def fail(self, offset, data):
        raise DeviceError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(type(site.logs.fs.open("logs/E00.log")), "write_at", fail)
        assert native(lambda: site.engine.deliver("mb", [MESSAGE])) == -510
    assert native(lambda: site.engine.deliver("mb", [MESSAGE])) == -510
    assert native(site.engine.snapshot_prepare) == -510
    site.engine.close()
    site.start("mb")
    assert site.subjects() in (["m0", "m1"], ["m0", "m1", "hello"])


def test_create_refuses_a_used_directory(group):
    """A new stream is not begun on top of an old one."""
    site = group()
    site.engine.close()
    with pytest.raises(FileExists):
        type(site.engine).create(site.places(), **site.keywords())


def test_life_cycle_guards(group):
    """A stopped engine refuses work, close is idempotent, recover does not run twice."""
    site = group().with_stores("mb")
    with pytest.raises(Busy):
        site.engine.recover()
    assert site.engine.is_running
    site.engine.close()
    site.engine.close()
    assert not site.engine.is_running
    assert native(lambda: site.engine.deliver("mb", [MESSAGE])) == -1029
    assert native(lambda: site.engine.current_generation) == -1029
    with pytest.raises(Busy):
        site.engine.recover()
    engine = site.open("mb")
    assert native(site.engine.idle) == -1029
    engine.recover()
    engine.mount("mb")
    engine.begin().insert("mb", MESSAGE)
    engine.snapshot_prepare().freeze()
    engine.close()
    site.start("mb")
    assert site.subjects() == []


def test_a_bad_page_is_reported_and_spoils_only_itself(group):
    """A flipped bit is -1018 for whoever needs the page; the other store goes on."""
    site = group().with_stores()
    site.fill(2)
    site.fill(2, store="pub")
    site.engine.close()
    at = 30 * 4096 + 3000
    byte = site.stores.read("mb.edb")[at]
    site.stores.patch("mb.edb", at, bytes([byte ^ 1]))
    site.open()
    site.engine.recover()
    assert native(lambda: site.engine.mount("mb")) == -1018
    site.engine.mount("pub")
    assert site.subjects("pub") == ["m0", "m1"]


def test_too_many_stores_for_a_log_header(group):
    """The header's list of attached databases is finite: -1805, nothing half made."""
    site = group(volume_bytes=64 << 20)
    long = "M:\\" + "x" * 200
    with pytest.raises(StoreError) as caught:
        for index in range(20):
            site.engine.add_database(site.bare(f"s{index}", display_path=f"{long}{index}"))
    assert caught.value.native == -1805
    names = list(site.engine.databases)
    site.engine.roll_log()
    assert list(site.engine.database_files) == names


class Bytes:
    """A readable file in memory."""

    def __init__(self, raw):
        self._raw = raw
        self.size_bytes = len(raw)

    def read_at(self, offset, length):
        return self._raw[offset : offset + length]


def test_adopted_databases_are_kept_as_they_are(group):
    """A database of another engine is copied byte by byte, never written, never in the way."""
    site, other = group().with_stores("mb"), group().with_stores("pub")
    other.fill(3, store="pub")
    other.engine.flush_pages()
    raw = other.stores.read("pub.edb")
    adopted = site.engine.adopt_database("foreign", site.stores.fs, "foreign.edb", Bytes(raw))
    assert adopted.foreign
    assert adopted.header.state_text == "Dirty Shutdown"
    assert site.engine.adopted["foreign"].name == "foreign"
    with pytest.raises(NotFound):
        site.engine.deliver("foreign", [MESSAGE])
    with pytest.raises(FileExists):
        site.engine.adopt_database("foreign", site.stores.fs, "x.edb", Bytes(raw))
    assert (
        native(
            lambda: site.engine.adopt_database("bad", site.stores.fs, "bad.edb", Bytes(bytes(9000)))
        )
        == -1206
    )
    assert not site.stores.fs.exists("bad.edb")
    site.fill_logs(2)
    site.engine.idle()
    session = site.engine.snapshot_prepare()
    session.freeze()
    session.thaw()
    assert session.truncate().event == 224
    session.end()
    site.stop()
    site.open("mb")
    site.engine.recover()
    site.engine.adopt_database("foreign", site.stores.fs, "foreign.edb")
    site.engine.forget_database("foreign")
    with pytest.raises(FileMissing):
        site.engine.adopt_database("gone", site.stores.fs, "gone.edb")
    assert site.stores.read("foreign.edb") == raw


def test_adopting_onto_a_full_volume_leaves_nothing(group):
    """A copy that does not fit is removed again."""
    site = group(volume_bytes=1 << 20)
    raw = bytearray(group().with_stores("mb").stores.read("mb.edb"))
    source = Bytes(bytes(raw) + bytes(range(1, 256)) * 8192)
    with pytest.raises(NoSpace):
        site.engine.adopt_database("foreign", site.stores.fs, "foreign.edb", source)
    assert not site.stores.fs.exists("foreign.edb")


def test_real_databases_can_be_adopted(group, unpack):
    """A real database of another product is taken in unchanged and still verifies."""
    raw = unpack("ese/basic.edb.gz").read_bytes()
    site = group()
    site.engine.adopt_database("real", site.stores.fs, "real.edb", Bytes(raw))
    assert site.stores.read("real.edb") == raw
    assert check_database(io.BytesIO(site.stores.read("real.edb"))).pages_uninitialized == 231


def test_same_seed_same_bytes(group):
    """Time and randomness are injected: two runs write the same files."""
    first, second = group().with_stores(), group().with_stores()
    for site in (first, second):
        site.fill(20, body=bytes(700))
        site.engine.close()
    assert first.logs.read("logs/E00.log") == second.logs.read("logs/E00.log")
    assert first.stores.read("mb.edb") == second.stores.read("mb.edb")
