"""The block store in a directory: kill -9 at any moment, locks, damage, lazy tables, full disks.

Run as a program this file is the workload that is killed: it does the operations of a seed and
says after each commit that it was acknowledged.
"""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from frskit.errors import (
    ArrayDamaged,
    Busy,
    FrskitError,
    InsufficientCapacity,
    UsageError,
)
from frskit.eva.blocks import table_age, table_deltas
from frskit.eva.blocks.commit_log import CommitLog
from frskit.eva.blocks.store import BlockStore
from frskit.eva.blocks.table_age import TableAge
from frskit.eva.files import Witness, seal

PAGE = 4096
KILLS = 60 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 10


# --- the workload -----------------------------------------------------------------------------


def operations(seed: int):
    """An endless, reproducible stream of operations; volumes are numbered as the store does."""
    chance = random.Random(seed)
    sizes = {1: 300 * PAGE, 2: 2000 * PAGE}
    top = 2
    yield [("create", sizes[1]), ("create", sizes[2])]
    while True:
        kind = chance.choice(["write"] * 12 + ["copy", "copy", "restore", "delete", "flush"])
        volume, other = (chance.choice(sorted(sizes)) for _ in range(2))
        if kind == "write":
            length = chance.choice([10, PAGE, 3 * PAGE, 100 * PAGE])
            offset = chance.randrange(sizes[volume] - length)
            offset -= offset % PAGE if chance.random() < 0.7 else 0
            yield [("write", volume, offset, length, chance.randrange(1, 256))]
        elif kind == "copy" and len(sizes) < 8:
            members = sorted({volume, other})
            sizes |= {top + n: sizes[each] for n, each in enumerate(members, start=1)}
            top += len(members)
            yield [("copy", members), ("write", volume, 0, PAGE, chance.randrange(1, 256))]
        elif kind == "restore":
            sizes[volume] = sizes[other]
            yield [("restore", volume, other)]
        elif kind == "delete" and len(sizes) > 2:
            del sizes[volume]
            yield [("delete", volume)]
        else:
            yield [("flush",)]


def perform(store: BlockStore, operation: tuple) -> None:
    """Do one operation on a store."""
    match operation:
        case "create", size:
            store.create(size)
        case "write", volume, offset, length, letter:
            store.write(volume, offset, bytes([letter]) * length)
        case "copy", members:
            store.snapshot(members)
        case "restore", volume, source:
            store.restore(volume, source)
        case "delete", volume:
            store.delete(volume)
        case _:
            store.flush()


def work(directory: Path, seed: int) -> None:
    """Operate until killed; a line on standard output acknowledges a commit."""
    if seed % 2:
        table_deltas._CHECKPOINT_CHANGES = 300
    store = BlockStore.open(directory)
    for number, group in enumerate(operations(seed)):
        if group[0][0] == "write":
            perform(store, group[0])
            continue
        with store.transaction():
            for operation in group:
                perform(store, operation)
            store.set_meta("step", str(number).encode())
        os.write(1, f"{number}\n".encode())


# --- kill -9 ----------------------------------------------------------------------------------


class Flat:
    """What the same operations make of byte strings."""

    def __init__(self) -> None:
        self.volumes: dict[int, bytearray] = {}
        self.top = 0

    def perform(self, operation: tuple) -> None:
        """Do one operation."""
        match operation:
            case "create", size:
                self.top += 1
                self.volumes[self.top] = bytearray(size)
            case "write", volume, offset, length, letter:
                self.volumes[volume][offset : offset + length] = bytes([letter]) * length
            case "copy", members:
                for member in members:
                    self.top += 1
                    self.volumes[self.top] = bytearray(self.volumes[member])
            case "restore", volume, source:
                self.volumes[volume] = bytearray(self.volumes[source])
            case "delete", volume:
                del self.volumes[volume]


def compare(store: BlockStore, seed: int, step: int) -> None:
    """The store holds the commit `step`; each page may have a content written after it."""
    flat = Flat()
    stream = operations(seed)
    for _ in range(step + 1):
        for operation in next(stream):
            flat.perform(operation)
    later: dict[tuple[int, int], set[bytes]] = {}
    committed = {volume: bytes(content) for volume, content in flat.volumes.items()}
    while True:
        group = next(stream)
        for operation in group:
            flat.perform(operation)
            if operation[0] == "write":
                _, volume, offset, length, _ = operation
                for page in range(offset // PAGE, -(-(offset + length) // PAGE)):
                    content = flat.volumes[volume][page * PAGE : (page + 1) * PAGE]
                    later.setdefault((volume, page), set()).add(bytes(content))
        if group[0][0] != "write":
            break
    assert set(store.volumes()) == committed.keys()
    for volume, before in committed.items():
        now = store.read(volume, 0, len(before))
        for page in range(len(before) // PAGE):
            part = slice(page * PAGE, (page + 1) * PAGE)
            assert now[part] == before[part] or now[part] in later[volume, page]


@pytest.mark.crash
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(KILLS))
def test_kill_at_any_moment_loses_nothing(seed: int, tmp_path: Path) -> None:
    """After SIGKILL the store is at its last acknowledged commit or at the one being made."""
    chance = random.Random(seed)
    command = [sys.executable, __file__, str(tmp_path / "store"), str(seed)]
    root = str(Path(table_age.__file__).parents[3])
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": root}
    )
    with child:
        assert child.stdout is not None
        for _ in range(chance.randrange(1, 150)):
            acknowledged = int(child.stdout.readline())
        time.sleep(chance.random() * 0.01)
        child.send_signal(signal.SIGKILL)
        for line in child.stdout.read().splitlines():
            acknowledged = int(line)
    with BlockStore.open(tmp_path / "store") as store:
        step = int(store.get_meta("step"))
        assert step >= acknowledged
        store.check()
        compare(store, seed, step)
        for volume in store.volumes():
            store.delete(volume)
        store.check()
        assert store.pages_in_use == 0


# --- one store, one process -------------------------------------------------------------------


def test_two_processes_cannot_open_one_store(tmp_path: Path) -> None:
    """The second one is told who has the store; after the first was killed it gets in."""
    script = (
        "import sys, pathlib; from frskit.eva.blocks.store import BlockStore\n"
        "store = BlockStore.open(pathlib.Path(sys.argv[1])); print('open', flush=True)\n"
        "sys.stdin.read()"
    )
    root = str(Path(table_age.__file__).parents[3])
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": root},
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"open\n"
        with pytest.raises(Busy, match=str(child.pid)):
            BlockStore.open(tmp_path)
        child.kill()
    BlockStore.open(tmp_path).close()


def test_one_process_cannot_open_a_store_twice(tmp_path: Path) -> None:
    """A second opening is refused and does not release the first one's lock."""
    with BlockStore.open(tmp_path):
        for _ in range(2):
            with pytest.raises(Busy):
                BlockStore.open(tmp_path)
    BlockStore.open(tmp_path).close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_cannot_use_the_store(tmp_path: Path) -> None:
    """A child has the parent's descriptors, and is kept from writing through them."""
    store = BlockStore.open(tmp_path)
    volume = store.create(PAGE)
    child = os.fork()
    if not child:
        try:
            store.write(volume, 0, b"x")
        except UsageError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    store.write(volume, 0, b"p")
    store.close()


def test_a_program_that_holds_the_database_is_reported(tmp_path: Path) -> None:
    """Somebody looking into tables.db with another tool makes the store busy, not damaged."""
    BlockStore.open(tmp_path).close()
    other = sqlite3.connect(tmp_path / "tables.db", isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Busy):
        BlockStore.open(tmp_path)
    other.close()
    BlockStore.open(tmp_path).close()


# --- keeping ----------------------------------------------------------------------------------


def filled(directory: Path) -> tuple[int, int]:
    """A closed store with a volume, a clone that is half done, and metadata."""
    with BlockStore.open(directory) as store:
        volume = store.create(3000 * PAGE)
        store.write(volume, 0, b"a" * 1200 * PAGE)
        (clone,) = store.start_clone([volume])
        store.clone_step(clone, 600 * PAGE)
        store.write(volume, 5 * PAGE, b"b")
        store.set_meta("disk/1", b"value")
        assert store.durable
    return volume, clone


@pytest.mark.parametrize("checkpoint_changes", [0, 1 << 15])
def test_everything_is_there_again(
    checkpoint_changes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes, bytes, metadata and the progress of a clone survive, as deltas and as checkpoints."""
    monkeypatch.setattr(table_deltas, "_CHECKPOINT_CHANGES", checkpoint_changes)
    volume, clone = filled(tmp_path)
    with BlockStore.open(tmp_path, page_bytes=512) as store:
        assert store.page_bytes == PAGE
        assert store.get_meta("disk/1") == b"value"
        assert store.read(volume, 5 * PAGE, PAGE) == b"b" + b"a" * (PAGE - 1)
        assert store.read(clone, 0, 1201 * PAGE) == b"a" * 1200 * PAGE + bytes(PAGE)
        progress = store.clone_step(clone, 0)
        assert (progress.copied_bytes, progress.total_bytes) == (600 * PAGE, 1200 * PAGE)
        assert store.clone_step(clone, 600 * PAGE).done
        store.delete(volume)
        assert store.create(1) == 3  # numbers are never used again
        store.check()


def test_tables_are_loaded_when_they_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening loads no table; reading a page loads those on its path."""
    monkeypatch.setattr(table_deltas, "_CHECKPOINT_CHANGES", 0)
    volume, clone = filled(tmp_path)
    with BlockStore.open(tmp_path) as store:
        nodes = store._transactions.forest.tables.nodes
        assert not nodes
        assert store.mapped_bytes(volume) == store.mapped_bytes(clone) == 1200 * PAGE
        store.read(clone, 700 * PAGE, 10)
        assert len(nodes) == 2


def test_a_commit_is_one_row_whatever_it_changed(tmp_path: Path) -> None:
    """Pages changed all over a volume are committed as one delta, not as a row for each table."""
    with BlockStore.open(tmp_path) as store:
        volume = store.create(1 << 32)
        store.flush()
        for number in range(300):
            store.write(volume, number << 22, b"x" * PAGE)
        database = store._transactions._commit_log._database._connection
        (before,) = database.execute("SELECT count(*) FROM deltas").fetchone()
        store.flush()
        assert database.execute("SELECT count(*) FROM deltas").fetchone() == (before + 1,)
        assert database.execute("SELECT count(*) FROM nodes").fetchone() == (0,)


def test_deltas_do_not_gather_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After many commits a checkpoint replaces the deltas, and dead tables go."""
    monkeypatch.setattr(table_deltas, "_CHECKPOINT_COMMITS", 5)
    with BlockStore.open(tmp_path) as store:
        volume = store.create(1 << 24)
        database = store._transactions._commit_log._database._connection
        for number in range(40):
            (copy,) = store.snapshot([volume])
            store.write(volume, number * PAGE, b"x" * PAGE)
            store.delete(copy)
            assert database.execute("SELECT count(*) FROM deltas").fetchone()[0] <= 5
        assert database.execute("SELECT count(*) FROM nodes").fetchone()[0] <= 12
        store.check()


def test_unflushed_changes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that never flushes does not make the store gather changes without end."""
    monkeypatch.setattr("frskit.eva.blocks.transactions._AUTO_COMMIT_CHANGES", 100)
    with BlockStore.open(tmp_path) as store:
        volume = store.create(1 << 24)
        for number in range(1000):
            store.write(volume, number * PAGE, b"x" * PAGE)
            assert len(store._transactions.forest.tables.changes) <= 101


# --- damage -----------------------------------------------------------------------------------


def use_all(directory: Path) -> None:
    """Open a store and look at everything."""
    with BlockStore.open(directory) as store:
        store.check()
        for volume in store.volumes():
            store.read(volume, 0, store.size_bytes(volume))
            store.write(volume, 0, b"x" * PAGE)
        for volume in store.volumes():
            store.delete(volume)


DAMAGE = {
    "pages missing": lambda place: (place / "pages.bin").unlink(),
    "pages cut short": lambda place: os.truncate(place / "pages.bin", 1000 * PAGE),
    "tables missing": lambda place: (place / "tables.db").unlink(),
    "tables empty": lambda place: os.truncate(place / "tables.db", 0),
    "tables cut short": lambda place: os.truncate(place / "tables.db", 30_000),
    "tables are text": lambda place: (place / "tables.db").write_text("no database" * 999),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damaged_files_are_reported(what: str, tmp_path: Path) -> None:
    """Missing, short and foreign files are named as damage, and the lock is released."""
    filled(tmp_path)
    DAMAGE[what](tmp_path)
    for _ in range(2):
        with pytest.raises(ArrayDamaged) as caught:
            use_all(tmp_path)
        assert caught.value.context["path"].startswith(str(tmp_path))


STATEMENTS = [
    "DELETE FROM state",
    "DELETE FROM state WHERE key = 'free'",
    "UPDATE state SET data = x'00'",
    "UPDATE versions SET data = substr(data, 1, 40)",
    "UPDATE versions SET key = key + 10",
    "DELETE FROM versions WHERE key = 2",
    "UPDATE nodes SET data = zeroblob(length(data))",
    "UPDATE nodes SET key = -key",
    "DELETE FROM nodes",
    "UPDATE meta SET data = 5",
    "DROP TABLE nodes",
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_damaged_rows_are_reported(
    statement: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that is changed, moved or gone is damage, found before anything is done with it."""
    monkeypatch.setattr(table_deltas, "_CHECKPOINT_CHANGES", 0)
    filled(tmp_path)
    with closing(sqlite3.connect(tmp_path / "tables.db")) as database, database:
        database.execute(statement)
    database.close()
    with pytest.raises(ArrayDamaged):
        use_all(tmp_path)


@pytest.mark.parametrize("seed", range(3))
def test_flipped_bytes_never_escape_as_foreign_errors(seed: int, tmp_path: Path) -> None:
    """Whatever is flipped in tables.db: the store works, or says that it is damaged."""
    filled(tmp_path)
    original = (tmp_path / "tables.db").read_bytes()
    chance = random.Random(seed)
    seen = 0
    for _ in range(25):
        damaged = bytearray(original)
        for _ in range(chance.choice([1, 20])):
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        for name in ("tables.db-wal", "tables.db-shm"):
            (tmp_path / name).unlink(missing_ok=True)
        (tmp_path / "tables.db").write_bytes(damaged)
        try:
            use_all(tmp_path)
        except FrskitError as error:
            assert isinstance(error, ArrayDamaged | Busy)
            seen += 1
    assert seen


# --- tables of another age than the pages -----------------------------------------------------


def live(directory: Path, *, sets: int = 40, room: int = 1 << 30) -> None:
    """A life of copies that are overwritten and deleted, so that pages are used again; no end."""
    table_age._ERA_WAL_BYTES = room
    store = BlockStore.open(directory)
    volumes = [store.create(8 * PAGE) for _ in range(3)]
    old: list[int] = []
    for number in range(sets):
        if number == sets - 1:
            table_age._ERA_WAL_BYTES = 1 << 30  # something to lose remains in the WAL
        new = store.snapshot(volumes)
        for member, volume in enumerate(volumes):
            store.write(volume, 0, bytes([number * 3 % 250 + member]) * 8 * PAGE)
        store.flush()
        for copy in old:
            store.delete(copy)
        old = list(new)
        store.set_meta("step", str(number).encode())
        os.write(1, b".")
    os.write(1, b"!")
    time.sleep(60)


def killed(directory: Path, **life: int) -> None:
    """The files of such a life after kill -9."""
    script = (
        "import runpy, sys; from pathlib import Path\n"
        f"runpy.run_path({__file__!r})['live'](Path(sys.argv[1]), **{life!r})"
    )
    root = str(Path(table_age.__file__).parents[3])
    command = [sys.executable, "-c", script, str(directory)]
    environment = {**os.environ, "PYTHONPATH": root}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        while child.stdout.read(1) == b".":
            pass
        child.kill()


def state(directory: Path) -> dict[int | str, bytes | None]:
    """Everything that a store shows."""
    with BlockStore.open(directory) as store:
        store.check()
        shown: dict[int | str, bytes | None] = {
            volume: store.read(volume, 0, store.size_bytes(volume)) for volume in store.volumes()
        }
        return shown | {key: store.get_meta(key) for key in store.meta_keys()}


def remove(wal: Path, chance: random.Random) -> None:
    """The file is gone, as in a copy that leaves it out."""
    wal.unlink()


def truncate(wal: Path, chance: random.Random) -> None:
    """The file ends earlier."""
    os.truncate(wal, chance.randrange(wal.stat().st_size))


def zero(wal: Path, chance: random.Random) -> None:
    """Some sectors of the file are zero."""
    at = chance.randrange(wal.stat().st_size) // 512 * 512
    data = bytearray(wal.read_bytes())
    data[at : at + 4096] = bytes(len(data[at : at + 4096]))
    wal.write_bytes(data)


@pytest.mark.crash
@pytest.mark.parametrize("harm", [remove, truncate, zero])
@pytest.mark.parametrize("room", [1 << 30, 1 << 17], ids=["one era", "many eras"])
def test_a_lost_end_of_the_wal_is_damage(harm, room: int, tmp_path: Path) -> None:
    """After kill -9 a WAL that is gone, cut or zeroed is refused unless nothing was lost by it."""
    killed(tmp_path / "base", room=room)
    shutil.copytree(tmp_path / "base", tmp_path / "whole")
    truth = state(tmp_path / "whole")
    assert truth["step"] == b"39"
    chance = random.Random(room)
    refused = 0
    for number in range(12):
        place = tmp_path / str(number)
        shutil.copytree(tmp_path / "base", place)
        harm(place / "tables.db-wal", chance)
        try:
            assert state(place) == truth
        except ArrayDamaged:
            refused += 1
    assert refused


def test_a_store_without_pages_is_not_founded_again(tmp_path: Path) -> None:
    """Volumes that nobody wrote to are no reason to take a store without its WAL for a new one."""
    store = BlockStore.open(tmp_path / "store")
    store.create(PAGE)
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    store.close()
    (tmp_path / "copy" / "tables.db-wal").unlink()
    with pytest.raises(ArrayDamaged):
        BlockStore.open(tmp_path / "copy")
    (tmp_path / "copy" / "tables.db").unlink()
    (tmp_path / "copy" / "pages.bin").unlink()
    with pytest.raises(ArrayDamaged):
        BlockStore.open(tmp_path / "copy")


def test_an_older_copy_of_the_tables_is_damage(tmp_path: Path) -> None:
    """A whole tables.db of yesterday under today's pages is refused, though all of it is sound."""
    place = tmp_path / "store"
    filled(place)
    shutil.copy(place / "tables.db", tmp_path / "yesterday")
    with BlockStore.open(place) as store:
        store.set_meta("disk/1", b"other")
    shutil.copy(tmp_path / "yesterday", place / "tables.db")
    with pytest.raises(ArrayDamaged, match="older than the pages"):
        BlockStore.open(place)


@pytest.mark.parametrize("closed", [True, False])
def test_an_older_copy_of_the_tables_under_a_newer_wal_is_damage(
    closed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The WAL holds the newest head, so that the two together look new; the era tells."""
    monkeypatch.setattr(table_deltas, "_CHECKPOINT_COMMITS", 3)
    place = tmp_path / "store"
    with BlockStore.open(place) as store:
        volume = store.create(600 * PAGE)
    shutil.copy(place / "tables.db", tmp_path / "yesterday")
    store = BlockStore.open(place)
    for number in range(5):
        store.write(volume, number * PAGE, b"n" * PAGE)
        store.flush()
    if closed:
        store.close()
        store = BlockStore.open(place)
    else:
        monkeypatch.setattr(table_age, "_ERA_WAL_BYTES", 0)
        store.set_meta("x", b"1")
        monkeypatch.setattr(table_age, "_ERA_WAL_BYTES", 1 << 30)
    for number in range(2):
        store.set_meta("x", str(number).encode())
    shutil.copytree(place, tmp_path / "image")
    store.close()
    shutil.copytree(tmp_path / "image", tmp_path / "sound")
    assert state(tmp_path / "sound")["x"] == b"1"
    shutil.copy(tmp_path / "yesterday", tmp_path / "image" / "tables.db")
    with pytest.raises(ArrayDamaged, match="older than its WAL"):
        BlockStore.open(tmp_path / "image")


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        (lambda file: file.unlink(), "witness is missing"),
        (lambda file: os.truncate(file, 0), "witness is damaged"),
        (lambda file: file.write_bytes(b"\xff" * 1024), "witness is damaged"),
    ],
)
def test_a_missing_or_damaged_witness_is_damage(harm, what: str, tmp_path: Path) -> None:
    """Without its witness nobody can say whether the tables are the newest ones."""
    filled(tmp_path)
    harm(tmp_path / "witness")
    with pytest.raises(ArrayDamaged, match=what):
        BlockStore.open(tmp_path)


@pytest.mark.crash
def test_no_crash_lets_the_witness_run_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images between all steps of all commits, with the synced or the written witness, open."""
    monkeypatch.setattr(table_age, "_ERA_WAL_BYTES", 1 << 16)
    place, images = tmp_path / "store", []
    synced = tmp_path / "synced"

    def image() -> None:
        # What a power cut leaves of the witness is what was synced last.
        for name in ("killed", "cut"):
            copy = tmp_path / f"{name}-{len(images)}"
            shutil.copytree(place, copy)
            if name == "cut" and synced.exists():
                shutil.copy(synced, copy / "witness")
            images.append((copy, said[-1]))

    said = [b""]

    def around(owner: object, name: str) -> None:
        real = getattr(owner, name)

        def stepping(*arguments, **options):
            image()
            result = real(*arguments, **options)
            if options.get("durable") or name == "found":
                shutil.copy(place / "witness", synced)
            image()
            return result

        monkeypatch.setattr(owner, name, stepping)

    around(Witness, "found")
    around(Witness, "raise_to")
    around(TableAge, "_begin_era")
    around(TableAge, "_put_era")
    with BlockStore.open(place) as store:
        volume = store.create(4 * PAGE)
        for number in range(4):
            step = str(number).encode()
            with store.transaction():
                (copy,) = store.snapshot([volume])
                store.set_meta("step", step)
            said.append(step)
            store.write(volume, 0, step * 3 * PAGE)
            store.delete(copy)
    monkeypatch.undo()
    assert len(images) > 60
    for copy, step in images:
        with BlockStore.open(copy) as store:
            store.check()
            assert (store.get_meta("step") or b"") >= step


def test_the_witness_is_on_the_disk_before_freed_pages_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that frees nothing costs no sync more; one that deletes does, before it returns."""
    calls: list[bool] = []
    real = Witness.raise_to

    def counting(self: Witness, number: int, *, durable: bool) -> None:
        calls.append(durable)
        real(self, number, durable=durable)

    with BlockStore.open(tmp_path) as store:
        monkeypatch.setattr(Witness, "raise_to", counting)
        volume = store.create(8 * PAGE)
        (copy,) = store.snapshot([volume])
        store.write(volume, 0, b"x" * PAGE)
        store.flush()
        assert calls == [False] * 3
        store.delete(copy)
        store.discard(volume, 0, PAGE)
        store.flush()
        assert calls == [False] * 3 + [True] * 2


def test_a_store_of_the_first_format_gets_its_witness(tmp_path: Path) -> None:
    """It opens as it is, and from then on its older tables are refused like any others."""
    volume, _ = filled(tmp_path)
    with closing(sqlite3.connect(tmp_path / "tables.db")) as database, database:
        (data,) = database.execute("SELECT data FROM state WHERE key = 'head'").fetchone()
        head = json.loads(data[:-4]) | {"format": "frskit.eva.blocks/1"}
        del head["commit"], head["era"]
        row = (seal("head", json.dumps(head).encode()),)
        database.execute("UPDATE state SET data = ? WHERE key = 'head'", row)
        database.execute("DROP TABLE era")
    database.close()
    (tmp_path / "witness").unlink()
    old = (tmp_path / "tables.db").read_bytes()
    for _ in range(2):
        with BlockStore.open(tmp_path) as store:
            assert store.read(volume, 5 * PAGE, 2) == b"ba"
            store.check()
    (tmp_path / "tables.db").write_bytes(old)
    with pytest.raises(ArrayDamaged, match="older than the pages"):
        BlockStore.open(tmp_path)


# --- full disks -------------------------------------------------------------------------------


@pytest.mark.faults
def test_a_full_disk_refuses_the_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC is InsufficientCapacity; the old content stays and the store goes on."""
    volume, _ = filled(tmp_path)
    with BlockStore.open(tmp_path) as store:
        real = os.pwrite

        def full(descriptor: int, data: bytes, position: int) -> int:
            raise OSError(errno.ENOSPC, "full")

        monkeypatch.setattr(os, "pwrite", full)
        with pytest.raises(InsufficientCapacity):
            store.write(volume, 0, b"x" * PAGE)
        monkeypatch.setattr(os, "pwrite", real)
        assert store.read(volume, 0, 1) == b"a"
        store.write(volume, 0, b"x" * PAGE)
        store.check()


@pytest.mark.faults
def test_after_a_failed_commit_only_the_files_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store whose commit failed refuses everything; opened again it is at the last commit."""
    volume, clone = filled(tmp_path)
    store = BlockStore.open(tmp_path)

    def broken(self: CommitLog, forest: object, meta: object) -> None:
        raise InsufficientCapacity("full")

    with monkeypatch.context() as patch:
        patch.setattr(CommitLog, "commit", broken)
        with pytest.raises(InsufficientCapacity):
            store.delete(volume)
    with pytest.raises(ArrayDamaged, match="opened again"):
        store.write(clone, 0, b"x")
    store.close()
    with BlockStore.open(tmp_path) as again:
        assert again.volumes() == (volume, clone)
        again.check()


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    """A place that cannot hold a store is the user's mistake, not damage."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError):
        BlockStore.open(tmp_path / "file")


if __name__ == "__main__":
    work(Path(sys.argv[1]), int(sys.argv[2]))
