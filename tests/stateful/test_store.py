"""Histories of the store engine on volumes that lose power: what was acknowledged survives."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from frskit.clock import VirtualClock
from frskit.errors import Busy, FileExists, FileMissing, NotFound, StoreError
from frskit.ese import check_database, check_logs, read_checkpoint, read_database_header
from frskit.ese.logs.header import read_log_header
from frskit.exchange.store import (
    SMALL_LOGS,
    DatabaseFiles,
    Message,
    Places,
    SnapshotKind,
    StorageGroupEngine,
)
from frskit.model.files import FileStat

pytestmark = [pytest.mark.histories, pytest.mark.crash]

SECTOR = 512


class PowerLoss(BaseException):
    """The machine stops at this very step."""


class Machine:
    """Counts the steps of all volumes and cuts the power at a chosen one."""

    def __init__(self):
        self.steps = 0
        self.cut_at = None

    def step(self):
        self.steps += 1
        if self.cut_at is not None and self.steps >= self.cut_at:
            raise PowerLoss


class Inode:
    def __init__(self):
        self.live = bytearray()
        self.durable = bytearray()


class CrashVolume:
    """A file system with a volatile cache; metadata are journaled in order, data are not.

    After a power loss a prefix of the unsynced metadata operations and any subset of the unsynced
    512-byte sectors has reached the disk.
    """

    def __init__(self, machine):
        self.machine = machine
        self.live = {}
        self.durable = {}
        self.metadata = []
        self.data = []

    # -- protocol

    def _find(self, path):
        for name in self.live:
            if name.casefold() == path.casefold():
                return name
        return None

    def listdir(self, path=""):
        prefix = f"{path}/" if path else ""
        names = {name[len(prefix) :].split("/")[0] for name in self.live if name.startswith(prefix)}
        return sorted(names, key=str.casefold)

    def exists(self, path):
        return self._find(path) is not None

    def stat(self, path):
        return FileStat(size_bytes=len(self._inode(path).live))

    def _inode(self, path):
        name = self._find(path)
        if name is None:
            raise FileMissing(f"no file {path}")
        return self.live[name]

    def open(self, path):
        return CrashFile(self, self._inode(path))

    edit = open  # noqa: A003  # as the file system's method is called

    def create(self, path, *, exclusive=True):
        if exclusive and self.exists(path):
            raise FileExists(path)
        self.machine.step()
        inode = Inode()
        self._change("set", self._find(path) or path, inode)
        return CrashFile(self, inode)

    def makedirs(self, path):
        pass

    def rename(self, old, new, *, replace=False):
        inode = self._inode(old)
        if self.exists(new) and not replace:
            raise FileExists(new)
        self.machine.step()
        self._change("move", (self._find(old), new), inode)

    def remove(self, path):
        self._inode(path)
        self.machine.step()
        self._change("drop", self._find(path), None)

    def sync(self, paths=None):
        assert paths is None
        self.machine.step()
        self._commit_metadata(len(self.metadata))
        for inode, at, piece in self.data:
            self._store(inode, at, piece)
        self.data.clear()

    # -- effects

    def _change(self, kind, what, inode):
        self._apply(self.live, kind, what, inode)
        self.metadata.append((kind, what, inode))

    @staticmethod
    def _apply(names, kind, what, inode):
        if kind == "set":
            names[what] = inode
        elif kind == "move":
            names.pop(what[0], None)
            names[what[1]] = inode
        elif kind == "drop":
            names.pop(what, None)

    def _commit_metadata(self, count):
        for kind, what, inode in self.metadata[:count]:
            if kind == "size":
                grow_or_cut(inode.durable, what)
            else:
                self._apply(self.durable, kind, what, inode)
        del self.metadata[:count]

    @staticmethod
    def _store(inode, at, piece):
        room = max(0, len(inode.durable) - at)
        inode.durable[at : at + len(piece[:room])] = piece[:room]

    def resize(self, inode, size):
        grow_or_cut(inode.live, size)
        self.metadata.append(("size", size, inode))

    def write(self, inode, at, data):
        if at + len(data) > len(inode.live):
            self.resize(inode, at + len(data))
        inode.live[at : at + len(data)] = data
        self.data.append((inode, at, bytes(data)))

    def sync_file(self, inode):
        self._commit_metadata(len(self.metadata))
        for entry in [each for each in self.data if each[0] is inode]:
            self._store(*entry)
        self.data = [each for each in self.data if each[0] is not inode]

    def lose_power(self, rng):
        self._commit_metadata(rng.randint(0, len(self.metadata)))
        keep = rng.choice((0.0, 0.5, 0.9, 1.0))
        for inode, at, piece in self.data:
            for start in range(0, len(piece), SECTOR):
                if rng.random() < keep:
                    self._store(inode, at + start, piece[start : start + SECTOR])
        self.metadata.clear()
        self.data.clear()
        self.live = dict(self.durable)
        for inode in self.live.values():
            inode.live = bytearray(inode.durable)

    def image(self):
        """A volume of its own with what an array copy would hold now."""
        twin = CrashVolume(self.machine)
        for name, inode in self.live.items():
            twin.live[name] = twin.durable[name] = copy = Inode()
            copy.live, copy.durable = bytearray(inode.live), bytearray(inode.live)
        return twin


def grow_or_cut(area, size):
    if size < len(area):
        del area[size:]
    else:
        area.extend(bytes(size - len(area)))


class CrashFile:
    def __init__(self, volume, inode):
        self._volume = volume
        self._inode = inode

    @property
    def size_bytes(self):
        return len(self._inode.live)

    def read_at(self, offset, length):
        return bytes(self._inode.live[offset : offset + length])

    def write_at(self, offset, data):
        self._volume.machine.step()
        self._volume.write(self._inode, offset, data)

    def truncate(self, size_bytes):
        self._volume.machine.step()
        self._volume.resize(self._inode, size_bytes)

    def sync(self):
        self._volume.machine.step()
        self._volume.sync_file(self._inode)

    def close(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class Site:
    """One storage group on two volumes, and what a user knows of it."""

    def __init__(self, seed, *, circular=False):
        self.machine = Machine()
        self.rng = random.Random(seed)
        self.clock = VirtualClock()
        self.circular = circular
        self.logs = CrashVolume(self.machine)
        self.stores = CrashVolume(self.machine)
        self.engine = StorageGroupEngine.create(self.places(), **self.keywords())
        self.engine.add_database(self.files())
        self.acknowledged = {}
        self.possible = [{}]
        self.session = None

    def places(self):
        return Places(self.logs, "logs", self.logs, "system", "E00")

    def files(self):
        return DatabaseFiles(name="mb", fs=self.stores, path="mb.edb", stream_path="mb.stm")

    def keywords(self):
        return {
            "clock": self.clock,
            "rng": self.rng,
            "profile": SMALL_LOGS,
            "circular": self.circular,
        }

    # -- operations; each says beforehand which states may result

    def run(self, operation):
        kind, number = operation
        with_model = getattr(self, f"do_{kind}")
        self.clock.advance(1)
        try:
            with_model(number)
        except (Busy, NotFound, StoreError) as error:
            assert isinstance(error, Busy) or self.session is not None, error

    def attempt(self, after, call):
        self.possible = [self.acknowledged, after]
        call()
        self.acknowledged = after
        self.possible = [after]

    def message(self, number):
        size = (number * 37) % 3000
        return Message(
            subject=f"subject {number}", body=bytes([number % 251]) * size, folder=number % 5
        )

    def do_deliver(self, number):
        messages = [self.message(number + index) for index in range(1 + number % 4)]
        after = dict(self.acknowledged)
        first = self.engine._databases.next_ids["mb"]
        for index, each in enumerate(messages):
            after[first + index] = (each.subject, each.body)
        self.attempt(after, lambda: self.engine.deliver("mb", messages))

    def do_delete(self, number):
        if self.acknowledged:
            victim = sorted(self.acknowledged)[number % len(self.acknowledged)]
            after = {key: each for key, each in self.acknowledged.items() if key != victim}
            self.attempt(after, lambda: self.engine.delete_message("mb", victim))

    def do_replace(self, number):
        if self.acknowledged:
            victim = sorted(self.acknowledged)[number % len(self.acknowledged)]
            new = self.message(number + 7)
            after = {**self.acknowledged, victim: (new.subject, new.body)}
            self.attempt(after, lambda: self.engine.replace_message("mb", victim, new))

    def do_rollback(self, number):
        transaction = self.engine.begin()
        for index in range(number % 6):
            transaction.insert("mb", self.message(number + index))
        if self.acknowledged:
            transaction.delete("mb", min(self.acknowledged))
        self.engine.flush_pages(number % 5)
        transaction.rollback()

    def do_flush(self, number):
        self.engine.flush_pages(1 + number % 8)

    def do_advance(self, number):
        self.engine.advance_checkpoint()

    def do_idle(self, number):
        self.engine.idle()

    def do_roll(self, number):
        self.engine.roll_log()

    def do_remount(self, number):
        self.engine.dismount("mb")
        self.engine.mount("mb")

    def do_backup(self, number):
        kind = SnapshotKind.FULL if number % 3 else SnapshotKind.COPY
        self.session = self.engine.snapshot_prepare(kind)
        try:
            if number % 2 == 0:
                self.session.make_ready()
                self.check_disk()
            self.session.freeze()
            self.check_disk()
            if number % 5 == 0:
                self.session.abort()
                return
            self.session.thaw()
            if kind is SnapshotKind.FULL:
                self.session.truncate()
            self.session.end()
        finally:
            self.session = None

    # -- power loss and afterwards

    def crash(self):
        self.machine.cut_at = None
        self.logs.lose_power(self.rng)
        self.stores.lose_power(self.rng)
        self.session = None

    def reopen(self):
        self.clock.advance(60)
        self.engine = StorageGroupEngine.open(self.places(), **self.keywords())
        self.engine.register_database(self.files())
        self.engine.recover()
        self.engine.mount("mb")

    def recover(self, second_cut=None):
        """Recover; with `second_cut` the power fails again so many steps into it."""
        done = False
        if second_cut is not None:
            self.machine.cut_at = self.machine.steps + second_cut
            try:
                self.reopen()
                done = True
            except PowerLoss:
                self.crash()
            self.machine.cut_at = None
        if not done:
            self.reopen()
        found = self.content()
        assert found in self.possible
        self.acknowledged = found
        self.possible = [found]

    def content(self):
        return {each.id: (each.subject, each.body) for each in self.engine.messages("mb")}

    def check_disk(self):
        """What independent checks say about the files as they lie there."""
        file = self.stores.open("mb.edb")
        report = check_database(file)
        assert report.verdict == "ok", report.damaged
        header = report.header
        assert header.dbtime_dirtied >= report.highest_dbtime
        if not header.is_clean:
            checkpoint = read_checkpoint(self.logs.open("system/E00.chk"))
            assert checkpoint.generation <= header.gen_min_required <= header.gen_max_required
        directory = {
            name: self.logs.open(f"logs/{name}")
            for name in self.logs.listdir("logs")
            if name != "E00tmp.log"
        }
        assert check_logs(directory, "E00").error is None
        generations = sorted(read_log_header(each).generation for each in directory.values())
        assert generations == list(range(generations[0], generations[-1] + 1))


OPERATIONS = st.tuples(
    st.sampled_from(
        ("deliver",) * 5
        + ("delete", "replace", "rollback", "flush", "flush", "flush", "advance", "advance")
        + ("idle", "roll", "roll", "remount", "backup")
    ),
    st.integers(0, 300),
)


@pytest.mark.rule("EXC-75")
@pytest.mark.rule("EXC-42")
@settings(max_examples=examples(60))
@given(
    seed=st.integers(0, 1 << 20),
    circular=st.booleans(),
    epochs=st.lists(
        st.tuples(
            st.lists(OPERATIONS, min_size=4, max_size=25),
            st.integers(1, 300),
            st.one_of(st.none(), st.integers(1, 60)),
        ),
        min_size=1,
        max_size=3,
    ),
)
def test_power_loss_anywhere_keeps_acknowledged_messages(seed, circular, epochs):
    """Whatever write the power fails at, also in recovery, exactly whole transactions remain."""
    site = Site(seed, circular=circular)
    for operations, cut, second_cut in epochs:
        site.machine.cut_at = site.machine.steps + cut
        try:
            for operation in operations:
                site.run(operation)
        except PowerLoss:
            pass
        site.crash()
        site.recover(second_cut)
        site.check_disk()
    site.engine.close()
    site.check_disk()
    assert read_database_header(site.stores.open("mb.edb")).is_clean


SCENARIO = (
    ("deliver", 81),
    ("deliver", 70),
    ("flush", 3),
    ("deliver", 83),
    ("roll", 0),
    ("advance", 0),
    ("delete", 2),
    ("replace", 75),
    ("flush", 0),
    ("roll", 0),
    ("advance", 0),
    ("rollback", 77),
    ("deliver", 7),
    ("idle", 0),
    ("deliver", 79),
    ("flush", 8),
    ("backup", 4),
    ("deliver", 80),
    ("remount", 0),
    ("deliver", 6),
)


def test_crash_sweep_over_every_step():
    """A fixed scenario is cut at every step, with three outcomes each, and always recovers."""
    whole = Site(0)
    start = whole.machine.steps
    for operation in SCENARIO:
        whole.run(operation)
    last = whole.machine.steps
    outcomes = Counter()
    for cut in range(3 * start + 3, 3 * last + 3):
        site = Site(0)
        site.rng = random.Random(cut)
        site.machine.cut_at = cut // 3
        with pytest.raises(PowerLoss):
            for operation in SCENARIO:
                site.run(operation)
        site.crash()
        site.recover()
        site.check_disk()
        outcomes[len(site.acknowledged)] += 1
    assert len(outcomes) > 5


@pytest.mark.rule("EXC-75")
@settings(max_examples=examples(25))
@given(seed=st.integers(0, 1 << 20), operations=st.lists(OPERATIONS, min_size=3, max_size=30))
def test_recovery_of_a_clone_twice_gives_the_same(seed, operations):
    """Recovering two clones of one crashed site, one of them interrupted, ends in one state."""
    site = Site(seed)
    for operation in operations:
        site.run(operation)
    site.engine.close(clean=False)
    site.crash()
    twin_logs, twin_stores = site.logs.image(), site.stores.image()
    site.recover()
    once = site.content()
    site.logs, site.stores = twin_logs, twin_stores
    site.possible = [once]
    site.recover(second_cut=5)
    assert site.content() == once
