"""Ids name objects: a stranger under a world wide name that was used before is another disk.

Forcing the name of a deleted disk on a new one is a nightly practice [EVA-43], so whatever goes by
that name alone would one day overwrite, copy or read the wrong disk.
"""

from __future__ import annotations

import random

import attrs
import pytest

from frskit.clock import Budget, VirtualClock
from frskit.errors import (
    CopyConflict,
    OutcomeUnknown,
    StaleLun,
    StorageNotFound,
    TimedOut,
)
from frskit.eva import EVA8000, SimulatedEva
from frskit.hosts.simulated import SimulatedServer
from frskit.model.ids import CopyKey, HostRef, IdFactory, StorageId
from frskit.model.storage import CopyKind, CopyRequest
from frskit.storage.disk_label import LABEL_BYTES

WWLUN = "6005-08b4-0000-0000-0000-0000-0000-0001"
MIB = 1 << 20


@pytest.mark.rule("EVA-43", "EVA-66", "HAZ-01")
def test_a_copy_is_not_restored_into_a_stranger_under_its_sources_name(bench):
    """The disk that was copied is gone; another one has its world wide name and its size."""
    source = bench.disk("data", wwlun=WWLUN)
    copy = bench.copy(CopyKind.SNAPCLONE, source)
    bench.clock.advance(10**6)
    assert bench.state(copy.id).value == "independent"
    bench.delete(source)
    stranger = bench.disk("other", wwlun=WWLUN)
    bench.device(stranger).write(0, b"not yours")
    bench.hide(stranger)
    with pytest.raises(CopyConflict, match="is not a copy of"):
        bench.array.restore_storage(stranger, copy.id, budget=bench.budget)
    assert bench.device(stranger).read(0, 9) == b"not yours"
    [listed] = bench.array.copies()
    assert listed.source == source != stranger


@pytest.mark.rule("EVA-34", "EVA-43", "HAZ-01")
def test_a_stranger_under_the_name_of_a_staged_source_is_not_copied(bench, kind):
    """The staging was of another disk."""
    source = bench.disk("data", wwlun=WWLUN)
    staged = bench.stage(kind, source)
    bench.delete(source)
    bench.disk("stranger", wwlun=WWLUN)
    with pytest.raises(StorageNotFound):
        bench.array.commit_copies(staged, budget=bench.budget)
    assert bench.array.copies() == ()


@pytest.mark.rule("EVA-43", "HAZ-01")
def test_a_server_notices_a_stranger_under_the_same_number_and_name():
    """Unpresented, deleted, made again under the same name and LUN: nothing of it is touched."""
    clock, budget = VirtualClock(), Budget.unlimited()
    eva = SimulatedEva(clock=clock, rng=random.Random(1))
    eva.create_disk_group("g", size_bytes=1 << 30)
    host = eva.add_host("evs1", ports=["10000000c96cc699"])
    size = LABEL_BYTES + 2 * MIB

    def make():
        disk = eva.create_storage("data", size, disk_group="g", wwlun=WWLUN)
        return disk, eva.present(disk, host, read_only=False, number=5, budget=budget)

    old, shown = make()
    server = SimulatedServer("evs1", HostRef("evs1"), [eva], clock=clock, ids=IdFactory())
    server.initialize(old, "E:\\", budget=budget)
    [volume] = server.volumes()
    eva.unpresent(shown, budget=budget)
    eva.delete_storage(old, budget=budget)
    new, again = make()
    assert again.access.identifiers == shown.access.identifiers
    assert again.access.number == shown.access.number
    with pytest.raises(StaleLun) as caught, server.files(volume.id).create("x") as file:
        file.write_at(0, b"x" * 5000)
        file.sync()
    assert caught.value.context["found"] == new
    assert eva.open_lun(host, 5).read(0, size) == bytes(size)


def test_ids_are_not_used_again_and_outlive_a_restart(tmp_path):
    """Deleted and made again, in one process or another: always another id."""
    seen = []
    for _ in range(3):
        with SimulatedEva(
            clock=VirtualClock(), rng=random.Random(1), directory=tmp_path / "eva"
        ) as eva:
            if not eva.disk_groups():
                eva.create_disk_group("g", size_bytes=1 << 30)
            for _ in range(2):
                disk = eva.create_storage("data", MIB, disk_group="g", wwlun=WWLUN)
                seen.append(disk)
                [listed] = eva.storage()
                assert listed.identifiers == (f"naa:{WWLUN.replace('-', '')}",)
                eva.delete_storage(disk, budget=Budget.unlimited())
    assert len(set(seen)) == len(seen) == 6


def test_disks_of_older_versions_keep_their_ids(tmp_path):
    """An id made of the name goes on to mean that disk, and no new disk gets it."""
    budget = Budget.unlimited()
    options = {"clock": VirtualClock(), "directory": tmp_path / "eva"}
    with SimulatedEva(rng=random.Random(1), **options) as eva:
        eva.create_disk_group("g", size_bytes=1 << 30)
        made = eva.create_storage("data", MIB, disk_group="g", wwlun=WWLUN)
        record = eva.virtual_disk(made)
        old = StorageId(f"naa:{record.wwlun}")
        with eva._state.command():
            eva._state.tables.drop_disk(record)
            eva._state.tables.add_disk(attrs.evolve(record, id=old, forced_wwlun=""))
    with SimulatedEva(rng=random.Random(1), **options) as eva:
        [listed] = eva.storage()
        assert (listed.id, listed.identifiers) == (old, (old,))
        request = CopyRequest(source=old, kind=CopyKind.SNAPCLONE)
        staged = eva.stage_copies([request], key=CopyKey("k"), budget=budget)
        [copy] = eva.commit_copies(staged, budget=budget)
        assert copy.source == old
        assert copy.id.startswith("eva:")
        options["clock"].advance(10**6)
        eva.copies()
        eva.restore_storage(old, copy.id, budget=budget)
        eva.delete_storage(old, budget=budget)
        again = eva.create_storage("data", MIB, disk_group="g", wwlun=record.wwlun)
        assert again != old
        with pytest.raises(CopyConflict):
            eva.restore_storage(again, copy.id, budget=budget)


@pytest.mark.rule("HAZ-09")
def test_a_commit_that_takes_longer_than_the_hold_makes_nothing(make_bench, kind):
    """The wait for the cut ends with the budget; the set can be committed again."""
    bench = make_bench(attrs.evolve(EVA8000, commit_s=100.0))
    staged = bench.stage(kind, bench.disk())
    before_s = bench.clock.monotonic()
    with pytest.raises(TimedOut):
        bench.array.commit_copies(staged, budget=Budget.of(bench.clock, 10.0))
    assert bench.clock.monotonic() - before_s == 10.0
    assert bench.array.copies() == ()
    assert bench.array.staged_keys() == (staged.key,)
    [copy] = bench.array.commit_copies(staged, budget=Budget.of(bench.clock, 101.0))
    assert copy.created_at == bench.clock.now()


@pytest.mark.rule("HAZ-09")
def test_a_cut_after_the_deadline_is_no_result(bench, kind, monkeypatch):
    """Whatever delayed it: the caller looks by key, and finds the set."""
    staged = bench.stage(kind, bench.disk())
    cut = bench.array._copy_sets._cut

    def slow_cut(sources, copies):
        bench.clock.advance(20)
        return cut(sources, copies)

    monkeypatch.setattr(bench.array._copy_sets, "_cut", slow_cut)
    with pytest.raises(OutcomeUnknown) as caught:
        bench.array.commit_copies(staged, budget=Budget.of(bench.clock, 10.0))
    assert caught.value.key == staged.key
    assert len(bench.array.copies(key=staged.key)) == 1


@pytest.mark.rule("HAZ-05")
def test_copies_made_by_hand_belong_to_no_set(make_bench, kind, tmp_path):
    """They are listed without a key, hold space and names, and end like others."""
    bench = make_bench(EVA8000, directory=tmp_path / "eva")
    source = bench.disk()
    before = bench.picture()
    request = CopyRequest(source=source, kind=kind, name="by hand")
    made = bench.array.copy_by_hand(request)
    bench.reopen()
    [listed] = bench.array.copies()
    assert (listed.id, listed.key, listed.kind, listed.name) == (made, None, kind, "by hand")
    assert bench.array.copies(key=CopyKey("")) == ()
    assert bench.array.staged_keys() == ()
    bench.clock.advance(10**6)
    bench.delete(made)
    assert bench.picture()[0] == before[0]


def test_queries_take_a_budget(bench):
    """Listing is bounded like everything else."""
    spent = Budget.of(bench.clock, 0.0)
    for call in (
        lambda: bench.array.storage(budget=spent),
        lambda: bench.array.copies(budget=spent),
        lambda: bench.array.presentations(budget=spent),
        lambda: bench.array.discard_staged(CopyKey("k"), budget=spent),
    ):
        with pytest.raises(TimedOut):
            call()
