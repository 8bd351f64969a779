"""The simulated array in a directory: reopening, two processes, damage, and sudden death."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from frskit.clock import VirtualClock
from frskit.errors import ArrayDamaged, Busy, ConfigurationError
from frskit.eva import BlockStore, SimulatedEva
from frskit.eva.records import EvaCopyRequest
from frskit.eva.space import DemandSnapshots, GroupSpace
from frskit.model.storage import CopyKind, CopyState

MIB = 1 << 20
SNAPCLONE, SNAPSHOT, VSNAP = CopyKind.SNAPCLONE, CopyKind.SNAPSHOT, CopyKind.VSNAP


@pytest.fixture
def kept(make_bench, tmp_path):
    """A bench in a directory."""
    return make_bench(directory=tmp_path / "eva")


def contents(bench):
    """Every readable byte of every presented disk."""
    return {
        (each.host, each.access.number): bench.array.open_lun(each.host, each.access.number).read(
            0, MIB
        )
        for each in bench.array.presentations()
    }


def test_everything_is_there_after_reopening(kept):
    """Names, ids, states, staged sets, presentations, capacity and bytes survive a restart."""
    sources = [kept.disk(f"d{index}", 8 * MIB) for index in range(3)]
    for index, source in enumerate(sources):
        kept.device(source).write(0, bytes([index + 65]) * 5000)
    copies = [
        kept.copy(each, source, comment="kept")
        for each, source in zip((SNAPCLONE, SNAPSHOT, VSNAP), sources, strict=True)
    ]
    staged = kept.stage(VSNAP, sources[2], request=EvaCopyRequest, name="waiting")
    for each in copies:
        kept.device(each.id).write(100, b"own")
    kept.device(sources[2]).write(2 * MIB, b"x" * 3 * MIB)
    kept.clock.advance(0.03)
    before, bytes_before = kept.picture(), contents(kept)
    kept.reopen()
    assert kept.picture() == before
    assert contents(kept) == bytes_before
    assert [each.comment for each in kept.array.storage([each.id for each in copies])] == [
        "kept"
    ] * 3
    kept.array.check()
    again = kept.array.stage_copies(staged.requests, key=staged.key, budget=kept.budget)
    assert len(kept.array.commit_copies(again, budget=kept.budget)) == 1
    assert kept.array.copies()[0].copied_bytes == 3_000_000


@pytest.mark.rule("EVA-05")
def test_normalization_goes_on_while_the_array_is_closed(kept):
    """After reopening, the copy is as far as the time that passed, and finishes."""
    source = kept.disk(size_bytes=64 * MIB)
    kept.device(source).write(0, b"x" * MIB)
    copy = kept.copy(SNAPCLONE, source)
    kept.clock.advance(0.1)
    kept.reopen()
    assert kept.array.copies()[0].copied_bytes == 10_000_000
    kept.array.close()
    kept.clock.advance(0.2)
    kept.open()
    assert kept.array.copies()[0].copied_bytes == 30_000_000
    kept.array.close()
    kept.clock.advance(1000)
    kept.open()
    assert kept.state(copy.id) is CopyState.INDEPENDENT
    kept.delete(source)
    assert kept.device(copy.id).read(0, 3) == b"xxx"


@pytest.mark.rule("EVA-25", "EVA-30")
def test_what_a_vsnap_keeps_is_remembered(kept):
    """After reopening no chunk is charged twice, none is forgotten, and the dead stay dead."""
    source = kept.disk(size_bytes=8 * MIB)
    copy = kept.copy(VSNAP, source)
    device = kept.device(source)
    device.write(0, b"x" * 3 * MIB)
    device.flush()

    def costs():
        return kept.array.storage([copy.id])[0].allocated_bytes

    assert costs() == 4 * MIB
    kept.reopen()
    assert costs() == 4 * MIB
    kept.device(source).write(0, b"y" * 4 * MIB)
    assert costs() == 4 * MIB
    with kept.array._state.lock:
        state = kept.array._state
        DemandSnapshots(state, GroupSpace(state)).invalidate(state.disk(copy.id))
    kept.reopen()
    assert kept.state(copy.id) is CopyState.INVALID
    kept.delete(copy.id)
    assert not kept.array._state.store.meta_keys("map/")


def test_a_second_process_is_kept_out(kept):
    """Another process that opens the directory gets Busy and changes nothing."""
    kept.disk()
    code = f"""
        import random, sys
        from pathlib import Path
        from frskit.clock import VirtualClock
        from frskit.errors import Busy
        from frskit.eva import SimulatedEva
        try:
            SimulatedEva(clock=VirtualClock(), rng=random.Random(1), directory=Path({str(kept.directory)!r}))
        except Busy:
            sys.exit(7)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert done.returncode == 7
    with pytest.raises(Busy):
        SimulatedEva(clock=kept.clock, rng=random.Random(1), directory=kept.directory)
    assert [each.name for each in kept.array.storage()] == ["data"]


def test_a_directory_knows_its_array(kept):
    """Opening it under another name is refused, and the directory is free afterwards."""
    kept.array.close()
    with pytest.raises(ConfigurationError, match="EVA1"):
        SimulatedEva("EVA2", clock=kept.clock, rng=random.Random(1), directory=kept.directory)
    kept.open()
    assert len(kept.array.wwn) == 16


DAMAGE = {
    "not JSON": lambda raw: raw[:-5],
    "another schema": lambda raw: re.sub(rb'(schema": ?"[^"/]+)/\d', rb"\1/9", raw),
    "no schema": lambda raw: json.dumps(json.loads(raw)["record"]).encode(),
    "a list": lambda raw: b"[]",
    "unknown field": lambda raw: raw.replace(b'"record":{', b'"record":{"extra":1,'),
    "gone": lambda raw: None,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("record", ["array", "group/", "host/evs1", "disk/", "set/", "lun/"])
def test_damaged_records_are_reported_as_such(kept, record, damage):
    """Whatever record is damaged, the array says ArrayDamaged or opens without loss."""
    source = kept.disk()
    kept.copy(VSNAP, source, key="k")
    kept.array.close()
    tamper(kept.directory, record, damage)
    if damage is DAMAGE["gone"] and record == "lun/":
        kept.open()
        assert not kept.array.presentations()
        return
    for _ in range(2):
        with pytest.raises(ArrayDamaged):
            kept.open()


def tamper(directory, prefix, damage):
    """Change the first record below a key."""
    store = BlockStore.open(directory)
    key = store.meta_keys(prefix)[0]
    store.set_meta(key, damage(store.get_meta(key)))
    store.close()


def test_damaged_maps_and_references_are_reported_as_such(kept):
    """A chunk map that is cut or belongs to nothing, and a volume too many, are damage."""
    source = kept.disk()
    kept.copy(VSNAP, source, key="k")
    kept.device(source).write(0, b"x")
    kept.array.close()
    with BlockStore.open(kept.directory) as store:
        [key] = store.meta_keys("map/")
        whole = store.get_meta(key)
    for name, value in ((key, whole[:-1]), ("map/nobody/0", whole), (key[:-1] + "x", whole)):
        with BlockStore.open(kept.directory) as store:
            store.set_meta(key, whole)
            store.set_meta(name, value)
        with pytest.raises(ArrayDamaged):
            kept.open()
        with BlockStore.open(kept.directory) as store:
            store.set_meta(name, None)
            store.set_meta(key, whole)
    kept.open()
    kept.array.close()
    with BlockStore.open(kept.directory) as store:
        store.create(512)
    with pytest.raises(ArrayDamaged, match="do not agree"):
        kept.open()


CHILD = """
import random, sys
from pathlib import Path
from frskit.clock import Budget, VirtualClock
from frskit.errors import ArrayError
from frskit.eva import SimulatedEva
from frskit.model.storage import CopyKind, CopyRequest

clock = VirtualClock(elapsed_s=float(sys.argv[3]))
budget = Budget.of(clock)
rng = random.Random(int(sys.argv[2]))
array = SimulatedEva(clock=clock, rng=random.Random(1), directory=Path(sys.argv[1]))
devices = {each.storage: array.open_lun(each.host, each.access.number)
           for each in array.presentations()}
sources = [each.id for each in array.storage() if len(each.name) == 4]
number = int(sys.argv[2]) * 10000


def say(*words):
    print(*words, flush=True)


while True:
    number += 1
    clock.advance(0.01)
    step = rng.random()
    try:
        if step < 0.4:
            source = rng.choice(sources)
            fill = number % 251 + 1
            say("writing", source, fill)
            devices[source].discard(0, 65536)
            devices[source].write(0, bytes([fill]) * 65536)
            devices[source].flush()
            say("flushed", source, fill)
        elif step < 0.75:
            kind = rng.choice(list(CopyKind))
            chosen = rng.sample(sources, 2)
            requests = [CopyRequest(source=each, kind=kind) for each in chosen]
            staged = array.stage_copies(requests, key=f"k{number}", budget=budget)
            say("commit", f"k{number}")
            copies = array.commit_copies(staged, budget=budget)
            for copy in copies:
                array.present(copy.id, "frs1", read_only=True, budget=budget)
            say("made", f"k{number}", *[word for each in copies for word in (each.id, each.source)])
        else:
            copies = array.copies()
            if copies:
                copy = rng.choice(copies)
                say("delete", copy.id)
                for each in array.presentations(copy.id):
                    array.unpresent(each, budget=budget)
                array.delete_storage(copy.id, budget=budget)
                say("deleted", copy.id)
    except ArrayError as error:
        say("refused", type(error).__name__)
"""


class Witness:
    """What the killed process said: the state that must be found, as far as it is known."""

    def __init__(self, sources):
        self.flushed = dict.fromkeys(sources, 0)
        self.written = {each: {0} for each in sources}
        self.copies = {}
        self.sets = {}
        self.doubtful = set()
        self.hidden = set()

    def hear(self, line):
        """Take one line of the child's output."""
        word, *rest = line.split()
        if word == "writing":
            self.written[rest[0]] |= {0, int(rest[1])}
        elif word == "flushed":
            self.flushed[rest[0]] = int(rest[1])
            self.written[rest[0]] = {int(rest[1])}
        elif word == "made":
            self.sets[rest[0]] = set(rest[1::2])
            for copy, source in zip(rest[1::2], rest[2::2], strict=True):
                self.copies[copy] = self.flushed[source]
        elif word == "delete":
            self.doubtful.add(rest[0])
            self.hidden.add(rest[0])
        elif word == "deleted":
            self.copies.pop(rest[0])
        elif word == "refused":
            self.doubtful.clear()


@pytest.mark.crash
@pytest.mark.slow
@pytest.mark.rule("EVA-32", "EVA-34")
def test_killed_at_any_moment_no_acknowledged_command_is_lost(kept):
    """Eight times a process is killed in the middle of its work.

    What it had acknowledged is there, sets are whole or absent, copies show their instant, and
    the books agree.
    """
    sources = [kept.disk(f"src{index}", MIB) for index in range(4)]
    witness = Witness(sources)
    chance = random.Random(2)
    heard = 0
    for round_number in range(8):
        kept.array.close()
        arguments = [str(kept.directory), str(round_number + 1), str(round_number * 1000)]
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, *arguments], stdout=subprocess.PIPE, text=True
        )
        # So far by its own account, whatever else the machine does; then at any moment.
        lines = [child.stdout.readline() for _ in range(chance.randint(1, 40))]
        time.sleep(chance.uniform(0.0, 0.02))
        os.kill(child.pid, signal.SIGKILL)
        lines += child.stdout.readlines()
        child.wait()
        child.stdout.close()
        whole = [line for line in lines if line.endswith("\n")]
        heard += len(whole)
        for line in whole:
            witness.hear(line)
        kept.clock = VirtualClock(elapsed_s=round_number * 1000.0 + 500)
        kept.open()
        verify(kept, witness)
    assert heard > 100


def verify(kept, witness):
    """Compare the reopened array with what was acknowledged, and learn what was in doubt."""
    array = kept.array
    array.check()
    found = {each.id: each for each in array.copies()}
    for copy, fill in witness.copies.items():
        assert copy in found or copy in witness.doubtful, "an acknowledged copy is gone"
        if copy in found and copy not in witness.doubtful:
            shown = array.presentations(copy)
            assert shown or copy in witness.hidden, "an acknowledged presentation is gone"
            assert kept.device(copy).read(0, 65536) == bytes([fill]) * 65536
    by_key = {}
    for each in found.values():
        by_key.setdefault(each.key, set()).add(each.id)
    for key, members in by_key.items():
        if key not in witness.sets:
            assert len(members) == 2, "a set is there in part"
            witness.sets[key] = members
    for copy in found:
        kept.device(copy).read(0, 65536)
    for source, fills in witness.written.items():
        data = kept.device(source).read(0, 65536)
        pages = {data[at : at + 512] for at in range(0, 65536, 512)}
        assert pages <= {bytes([fill]) * 512 for fill in fills}, "a page is neither old nor new"
        if len(fills) == 1:
            witness.flushed[source] = data[0]
        kept.device(source).write(0, bytes(65536))
        kept.device(source).flush()
        witness.flushed[source] = 0
        witness.written[source] = {0}
    witness.copies = {}
    for copy in found:
        data = kept.device(copy).read(0, 65536)
        if len(set(data)) == 1:
            witness.copies[copy] = data[0]
    witness.doubtful, witness.hidden = set(), set()
