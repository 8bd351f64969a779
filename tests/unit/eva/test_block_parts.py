"""Each part of the block store is made and used without the facade over all of them."""

from __future__ import annotations

import json
import os
import threading
from array import array

import pytest

from frskit.errors import (
    ArrayDamaged,
    Busy,
    CopyConflict,
    DeviceError,
    InsufficientCapacity,
    StorageNotFound,
    UsageError,
)
from frskit.eva.blocks import table_age, table_deltas, transactions
from frskit.eva.blocks.clone_filling import CloneFilling
from frskit.eva.blocks.lifetime import Lifetime
from frskit.eva.blocks.live_volumes import LiveVolumes
from frskit.eva.blocks.metadata import StoreMetadata
from frskit.eva.blocks.page_pool import FilePool, MemoryPool
from frskit.eva.blocks.page_table import Tables
from frskit.eva.blocks.store import BlockStore
from frskit.eva.blocks.table_age import TableAge
from frskit.eva.blocks.table_deltas import TableDeltas
from frskit.eva.blocks.tables_database import TablesDatabase
from frskit.eva.blocks.transactions import TransactionalStore
from frskit.eva.blocks.versions import Forest
from frskit.eva.blocks.volume_bytes import VolumeBytes
from frskit.eva.blocks.volume_usage import VolumeUsage
from frskit.eva.blocks.volumes import VolumeStore
from frskit.eva.files import Witness, pack

PAGE = 4096


class Log:
    """A commit log that notes what it is told."""

    def __init__(self):
        self.told = []
        self.broken = None

    def commit(self, forest, meta):
        """Note the metadata, or break."""
        if self.broken is not None:
            raise self.broken
        self.told.append(dict(meta))

    def check(self):
        """Note it."""
        self.told.append("check")

    def rest(self):
        """Note it."""
        self.told.append("rest")

    def close(self):
        """Note it."""
        self.told.append("close")


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def forest():
    return Forest(MemoryPool(12), Tables())


@pytest.fixture
def store(forest):
    """A transactional store in memory."""
    return TransactionalStore(forest, None)


@pytest.fixture
def live(store):
    return LiveVolumes(store)


@pytest.fixture
def volumes(store, live):
    return VolumeStore(store, live)


@pytest.fixture
def moved(store, live):
    """Bytes."""
    return VolumeBytes(store, live)


# --- lifetime ---------------------------------------------------------------------------------


def test_the_first_end_of_a_life_counts(forest, log):
    life = Lifetime(forest, log)
    life.check()
    assert not life.is_over
    life.fail(OSError("no disk"))
    life.close()
    with pytest.raises(ArrayDamaged, match="no disk"):
        life.check()
    assert life.is_over
    assert log.told == ["close"]


def test_a_closed_life_is_no_damage(forest, log):
    forest.plant(PAGE)
    life = Lifetime(forest, log)
    life.close()
    life.fail(OSError("later"))
    with pytest.raises(UsageError, match="is closed"):
        life.check()
    assert not forest.live


def test_a_disowned_life_closes_nothing_and_has_a_lock_of_its_own(forest, log):
    life = Lifetime(forest, log)
    held = life.lock
    life.disown()
    assert life.lock is not held
    with pytest.raises(UsageError, match="parent process"):
        life.check()
    life.close()
    assert log.told == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_forked_while_another_thread_holds_the_lock_is_told_and_does_not_hang(tmp_path):
    """No part keeps the parent's lock: nobody would ever release it in the child."""
    store = BlockStore.open(tmp_path)
    volume = store.create(PAGE)
    held, done = threading.Event(), threading.Event()

    def hold():
        with store.transaction():
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    calls = [
        lambda: store.write(volume, 0, b"x"),
        lambda: store.read(volume, 0, 1),
        lambda: store.set_meta("x", b""),
        lambda: store.get_meta("x"),
        lambda: store.snapshot([volume]),
        lambda: store.clone_step(volume, 1),
        lambda: store.own_bytes(volume),
        store.volumes,
        store.flush,
    ]
    child = os.fork()
    if not child:
        refused = 0
        try:
            for call in calls:
                try:
                    call()
                except UsageError:
                    refused += 1
        finally:
            os._exit(refused)
    try:
        assert _status(child) == len(calls)
    finally:
        done.set()
        thread.join()
        store.close()


def _status(child):
    """How a child ended; one that does not end is killed by a timer, without a sleep here."""
    timer = threading.Timer(20, os.kill, (child, 9))
    timer.start()
    try:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        timer.cancel()


# --- transactions -----------------------------------------------------------------------------


def test_a_transaction_is_taken_back_last_change_first(store):
    done = []
    with pytest.raises(ZeroDivisionError), store.transaction():
        for each in "ab":
            store.undo.append(lambda each=each: done.append(each))
        store.deferred.append(lambda: done.append("deferred"))
        raise ZeroDivisionError
    assert done == ["b", "a"]
    assert not store.undo
    assert not store.deferred


def test_what_is_deferred_waits_for_the_outermost_end(store):
    done = []
    with store.transaction():
        with store.transaction():
            store.deferred.append(lambda: done.append("kept"))
        with pytest.raises(ZeroDivisionError), store.transaction():
            store.deferred.append(lambda: done.append("taken back"))
            raise ZeroDivisionError
        assert done == []
    assert done == ["kept"]


def test_a_change_that_cannot_be_taken_back_ends_the_store(forest, log):
    store = TransactionalStore(forest, log)
    with pytest.raises(OSError, match="stuck"), store.transaction():
        store.flush()
        store.undo.append(_stuck)
        raise ZeroDivisionError
    with pytest.raises(ArrayDamaged, match="stuck"), store.transaction():
        pass
    store.close()
    assert log.told == ["close"]


def _stuck():
    raise OSError("stuck")


def test_a_failed_inner_end_leaves_the_outer_error_as_it_is(forest, log):
    """The store is over then: a flush that was asked for is not tried on closed files."""
    store = TransactionalStore(forest, log)
    with pytest.raises(OSError, match="stuck"), store.transaction():
        store.flush()
        with store.transaction():
            store.undo.append(_stuck)
            raise ZeroDivisionError
    assert log.told == ["close"]
    store.close()


def test_a_flush_inside_a_transaction_is_done_at_its_end_either_way(forest, log):
    store = TransactionalStore(forest, log)
    with store.transaction():
        store.flush()
        assert log.told == []
    assert log.told == [{}]
    with pytest.raises(ZeroDivisionError), store.transaction():
        store.flush()
        raise ZeroDivisionError
    assert log.told == [{}, {}]
    store.flush()
    assert log.told == [{}, {}, {}]


def test_a_failed_commit_ends_the_store(forest, log):
    store = TransactionalStore(forest, log)
    log.broken = InsufficientCapacity("full")
    with pytest.raises(InsufficientCapacity):
        store.flush()
    with pytest.raises(ArrayDamaged, match="full"):
        store.check()


def test_a_store_is_not_closed_inside_a_transaction(forest, log):
    store = TransactionalStore(forest, log)
    with store.transaction(), pytest.raises(UsageError, match="inside a transaction"):
        store.close()
    store.close()
    store.close()
    assert log.told == [{}, {}, "rest", "close"]


def test_many_changes_are_committed_unless_a_transaction_holds_them(forest, log, monkeypatch):
    monkeypatch.setattr(transactions, "_AUTO_COMMIT_CHANGES", 2)
    store = TransactionalStore(forest, log)
    forest.tables.changes[:] = [1, 2]
    store.bound_changes()
    assert log.told == []
    forest.tables.changes.append(3)
    with store.transaction():
        store.bound_changes()
        assert log.told == []
        forest.tables.changes[:] = [1, 2, 3]
    assert len(log.told) == 1
    forest.tables.changes[:] = [1, 2, 3]
    store.bound_changes()
    assert len(log.told) == 2


# --- metadata ---------------------------------------------------------------------------------


def test_metadata_goes_with_its_transaction(forest, log):
    store = TransactionalStore(forest, log)
    meta = StoreMetadata(store, {"a/1": b"old", "b/1": b"x"})
    with pytest.raises(ZeroDivisionError), store.transaction():
        meta.set("a/1", None)
        meta.set("a/2", b"new")
        raise ZeroDivisionError
    assert (meta.get("a/1"), meta.keys("a/")) == (b"old", ["a/1"])
    meta.set("a/2", bytearray(b"new"))
    meta.set("b/1", None)
    assert meta.keys("") == ["a/1", "a/2"]
    assert log.told[-1] == {"b/1": None}
    store.close()
    with pytest.raises(UsageError):
        meta.get("a/1")


# --- volumes ----------------------------------------------------------------------------------


def test_finding_a_volume_says_what_is_wrong(store, live, volumes):
    volume = volumes.create(3 * PAGE)
    (clone,) = volumes.start_clone([volume])
    assert live.volumes() == (volume, clone)
    assert live.source(volume) is live.version(volume)
    with pytest.raises(CopyConflict):
        live.source(clone)
    with pytest.raises(StorageNotFound):
        live.version(99)
    assert live.in_range(volume, 3 * PAGE, 0)
    for offset, length in ((-1, 1), (0, -1), (3 * PAGE, 1)):
        with pytest.raises(DeviceError):
            live.in_range(volume, offset, length)
    store.close()
    with pytest.raises(UsageError, match="closed"):
        live.version(99)


def test_structure_is_taken_back_without_a_facade(store, forest, live, volumes):
    volume = volumes.create(3 * PAGE)
    (copy,) = volumes.snapshot([volume])
    shown = live.volumes()
    with pytest.raises(ZeroDivisionError), store.transaction():
        volumes.delete(volume)
        volumes.resize(copy, PAGE)
        volumes.create(PAGE)
        volumes.snapshot([copy])
        raise ZeroDivisionError
    assert live.volumes() == shown
    assert live.version(copy).size_bytes == 3 * PAGE
    forest.check()


def test_bytes_are_moved_without_structure(live, volumes, moved):
    volume = volumes.create(3 * PAGE)
    moved.write(volume, PAGE - 2, b"over the edge")
    moved.write(volume, PAGE, memoryview(array("q", [-1])))
    assert moved.read(volume, PAGE - 4, 12) == b"\0\0ov" + b"\xff" * 8
    target = bytearray(4)
    moved.readinto(volume, PAGE - 2, target)
    assert target == b"ov\xff\xff"
    moved.discard(volume, 0, PAGE)
    assert moved.read(volume, 0, PAGE) == bytes(PAGE)
    assert live.version(volume).mapped == 1
    with pytest.raises(DeviceError):
        moved.write(volume, 3 * PAGE - 1, b"xx")
    with pytest.raises(StorageNotFound):
        moved.read(99, 0, 1)


def test_a_file_holds_the_same_bytes_as_memory(tmp_path):
    (tmp_path / "pages.bin").touch()
    read = []
    for pool in (MemoryPool(12), FilePool(tmp_path / "pages.bin", 12)):
        store = TransactionalStore(Forest(pool, Tables()), None)
        live = LiveVolumes(store)
        volume, moved = VolumeStore(store, live).create(9 * PAGE), VolumeBytes(store, live)
        for place in (5, PAGE + 1, 3 * PAGE, PAGE + 1):
            moved.write(volume, place, bytes([place % 251]) * 5000)
        read.append(moved.read(volume, 0, 9 * PAGE))
        store.close()
    assert read[0] == read[1]
    assert any(read[0])


def test_usage_tells_what_is_shared(store, live, volumes, moved):
    usage = VolumeUsage(store, live)
    volume = volumes.create(8 * PAGE)
    moved.write(volume, 0, b"x" * 4 * PAGE)
    assert usage.first_overwrites(volume, 0, 8 * PAGE) == 0
    (copy,) = volumes.snapshot([volume])
    moved.write(volume, 0, b"y")
    assert usage.pages_in_use() == 5
    assert (usage.mapped_bytes(volume), usage.own_bytes(volume)) == (4 * PAGE, PAGE)
    assert usage.first_overwrites(volume, 0, 8 * PAGE) == 3
    assert usage.shared_pages(volume, copy, 0, 2 * PAGE) == 1
    assert usage.differing_bytes(volume, copy) == PAGE
    assert usage.size_bytes(copy) == 8 * PAGE


def test_a_clone_is_filled_by_its_budget(store, forest, live, volumes, moved):
    clones = CloneFilling(store, live)
    volume = volumes.create(8 * PAGE)
    moved.write(volume, 0, b"x" * 4 * PAGE)
    (clone,) = volumes.start_clone([volume])
    assert clones.step(clone, 0).copied_bytes == 0
    assert clones.step(clone, 1).copied_bytes == PAGE
    last = clones.step(clone, 100 * PAGE)
    assert (last.copied_bytes, last.total_bytes, last.done) == (4 * PAGE, 4 * PAGE, True)
    assert live.source(clone).clone_total == -1
    assert clones.step(volume, 1).done
    forest.check()


# --- the files --------------------------------------------------------------------------------


@pytest.fixture
def database(tmp_path):
    """An open database of tables."""
    database = TablesDatabase(tmp_path)
    database.open()
    yield database
    database.close()


def test_rows_are_stored_as_a_whole_and_sealed_with_their_key(database):
    with database.transaction():
        database.put("meta", "a", b"1")
        database.put_all("nodes", [(1, b"one"), (2, b"two")])
    with pytest.raises(ZeroDivisionError), database.transaction():
        database.drop("nodes", [1])
        database.clear("meta")
        raise ZeroDivisionError
    assert database.blobs("meta") == {"a": b"1"}
    assert database.blob("nodes", 3) is None
    database._connection.execute("UPDATE nodes SET key = 3 WHERE key = 1")
    with pytest.raises(ArrayDamaged, match="row 3 of nodes"):
        database.blob("nodes", 3)
    database.check()
    assert database.wal_bytes > 0
    database.empty_wal()
    assert database.wal_bytes == 0


def test_errors_of_the_database_are_translated(database, tmp_path):
    with pytest.raises(ArrayDamaged, match="no such table"), database.guard():
        database.blobs("none_such")
    with pytest.raises(ArrayDamaged, match="ValueError"), database.guard():
        raise ValueError
    other = TablesDatabase(tmp_path)
    with pytest.raises(Busy, match=r"tables\.db open"), other.guard():
        other.open()
    other.close()
    database._connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(InsufficientCapacity), database.guard(), database.transaction():
        database.put("meta", "a", bytes(1 << 20))


def aged(place, page_shift=12):
    """The open age of a store, and its database."""
    database = TablesDatabase(place)
    age = TableAge(database)
    try:
        age.open(place / "pages.bin", page_shift)
    except BaseException:
        age.close()
        database.close()
        raise
    return age, database


def commit(age, database, *, frees=False):
    """A commit of nothing but its number."""
    with database.transaction():
        age.put_next({"epoch": 5})
    age.committed(frees=frees)


def test_an_age_is_founded_once(tmp_path):
    age, database = aged(tmp_path)
    assert (tmp_path / "pages.bin").stat().st_size == 0
    commit(age, database)
    age.close()
    database.close()
    age, database = aged(tmp_path, page_shift=9)
    assert [age.number(key) for key in ("page_shift", "epoch", "commit")] == [12, 5, 2]
    with pytest.raises(ArrayDamaged, match="has no format"):
        age.number("format")
    age.close()
    database.close()


def test_tables_behind_their_witness_are_refused(tmp_path):
    age, database = aged(tmp_path)
    age.close()
    database.close()
    witness = Witness(tmp_path / "witness")
    witness.raise_to(2, durable=False)
    witness.close()
    with pytest.raises(ArrayDamaged, match="of 2 commits it has 1"):
        aged(tmp_path)


def test_an_era_ends_when_the_wal_is_long_and_at_rest(tmp_path, monkeypatch):
    age, database = aged(tmp_path)
    commit(age, database)
    assert (age.number("era"), database.wal_bytes > 0) == (1, True)
    age.rest()
    assert (age.number("era"), database.wal_bytes) == (2, 0)
    age.rest()
    monkeypatch.setattr(table_age, "_ERA_WAL_BYTES", 0)
    commit(age, database)
    assert (age.number("era"), database.wal_bytes) == (3, 0)
    head = json.loads(database.blob("state", "head"))
    assert (head["era"], head["commit"]) == (3, 3)
    age.close()
    database.close()


@pytest.mark.parametrize("changes", [0, 1 << 15], ids=["whole nodes", "deltas"])
def test_nodes_are_the_same_from_deltas_and_from_whole_rows(database, monkeypatch, changes):
    monkeypatch.setattr(table_deltas, "_CHECKPOINT_CHANGES", changes)
    database.put("state", "free", pack(array("q", [0])))
    deltas = TableDeltas(database)
    forest = Forest(MemoryPool(12), Tables(deltas.node))
    forest.pool._holds_back = True
    store = TransactionalStore(forest, None)
    live = LiveVolumes(store)
    volume, moved = VolumeStore(store, live).create(1 << 30), VolumeBytes(store, live)
    for place in (0, 600 * PAGE, 5 * PAGE):
        moved.write(volume, place, b"x" * PAGE)
        deltas.store(forest)
        forest.settle()
    assert len(database.blobs("deltas")) == (3 if changes else 0)
    again, pool = TableDeltas(database), MemoryPool(12)
    again.load(pool)
    assert (pool.high, pool.free) == (3, [])
    for number, node in forest.tables.nodes.items():
        plain = node if isinstance(node, array) else [n if type(n) is int else n[512] for n in node]
        assert list(again.node(number)) == list(plain[:512])


def test_a_page_taken_twice_and_a_short_node_are_damage(database):
    database.put("state", "free", pack(array("q", [5])))
    database.put("nodes", 1, pack(array("q", [0] * 511)))
    deltas = TableDeltas(database)
    for number, what in ((1, "cut short"), (2, "missing")):
        with pytest.raises(ArrayDamaged, match=what):
            deltas.node(number)
    database.put("deltas", 1, pack(array("q", [1, 0, 0, 0, 0, 0, 0, 3])))
    with pytest.raises(ArrayDamaged, match="page 3 was taken twice"):
        deltas.load(MemoryPool(12))


def test_a_node_made_from_another_one_does_not_follow_it(tmp_path):
    """The table of a clone comes from its source's as it was then, not as it is now."""
    with BlockStore.open(tmp_path) as store:
        volume = store.create(600 * PAGE)
        store.write(volume, 0, b"x")
        (clone,) = store.start_clone([volume])
        assert store.clone_step(clone, 600 * PAGE).done
        store.write(volume, 5 * PAGE, b"later")  # into the source's own table, in place
    with BlockStore.open(tmp_path) as store:
        assert store.read(clone, 5 * PAGE, 5) == bytes(5)
        assert store.read(volume, 5 * PAGE, 5) == b"later"
        store.check()
