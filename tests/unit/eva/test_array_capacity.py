"""Capacity of the simulated array: segments, reserves, growth, exhaustion, resize."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frskit.errors import (
    CopyConflict,
    CopyInvalid,
    FrskitError,
    HasDependents,
    InsufficientCapacity,
    LimitExceeded,
    NameInUse,
    StillPresented,
    UsageError,
)
from frskit.eva import EVA8000, PSEG_BYTES, ExhaustionPolicy, ProtectionLevel, Vraid
from frskit.eva.capacity import fitting_psegs, raw_psegs, reserve_psegs, usable_psegs
from frskit.model.storage import CopyKind, CopyState

MIB = 1 << 20
SNAPCLONE, SNAPSHOT, VSNAP = CopyKind.SNAPCLONE, CopyKind.SNAPSHOT, CopyKind.VSNAP
BLOCKING = attrs.evolve(EVA8000, exhaustion=ExhaustionPolicy.BLOCK_WRITES)


def allocated(bench, storage):
    """What a disk costs now, in usable bytes."""
    return bench.array.storage([storage])[0].allocated_bytes


@pytest.mark.rule("EVA-21")
@given(free=st.integers(0, 1 << 40), vraid=st.sampled_from(list(Vraid)))
def test_what_fits_is_exactly_what_fits(free, vraid):
    """The largest new capacity of a Vraid fits into the free segments, one segment more not."""
    fits = fitting_psegs(free, vraid)
    assert raw_psegs(fits, vraid) <= free < raw_psegs(fits + 1, vraid)


@pytest.mark.rule("EVA-21")
def test_multipliers_are_those_of_the_real_dump():
    """The dump's figures for Vraid1 and Vraid5 follow from its Vraid0 figure."""
    vraid0 = 3_247_538_176 // 4096
    assert fitting_psegs(vraid0, Vraid.VRAID0) == vraid0
    assert fitting_psegs(vraid0, Vraid.VRAID1) * 2 == pytest.approx(vraid0, abs=1)
    assert fitting_psegs(vraid0, Vraid.VRAID5) == pytest.approx(vraid0 * 0.8, abs=1)


@pytest.mark.rule("EVA-22")
def test_groups_are_whole_segments(bench):
    """Capacities are multiples of 2 MiB, and the protection level holds disks back."""
    odd = bench.array.create_disk_group("odd", size_bytes=33 * MIB + 5)
    assert (odd.total_bytes, odd.used_bytes, odd.copies_fit_bytes) == (32 * MIB, 0, 16 * MIB)
    safe = bench.array.create_disk_group(
        "safe", size_bytes=160 * MIB, protection=ProtectionLevel.DOUBLE, disks=16
    )
    assert safe.used_bytes == 40 * MIB
    assert reserve_psegs(80, ProtectionLevel.SINGLE, 8) == 20
    for group in bench.array.disk_groups():
        figures = (group.total_bytes, group.used_bytes, group.copies_fit_bytes)
        assert not any(figure % PSEG_BYTES for figure in figures)


def test_impossible_groups_are_refused(make_bench):
    """Too small, too few disks, a used name and too many groups are refused."""
    bench = make_bench(attrs.evolve(EVA8000, max_disk_groups=2))
    create = bench.array.create_disk_group
    before = bench.picture()
    with pytest.raises(UsageError):
        create("g", size_bytes=PSEG_BYTES - 1)
    with pytest.raises(UsageError):
        create("g", size_bytes=1 << 30, protection=ProtectionLevel.SINGLE, disks=2)
    with pytest.raises(NameInUse):
        create("default", size_bytes=1 << 30)
    assert bench.picture() == before
    create("g", size_bytes=1 << 30)
    with pytest.raises(LimitExceeded):
        create("h", size_bytes=1 << 30)


@pytest.mark.rule("EVA-20", "EVA-27")
def test_what_each_object_costs(bench):
    """Full size times redundancy for disks, snapshots and snapclones; nothing for a new vsnap."""
    sources = {kind: bench.disk(kind.value, 7 * MIB) for kind in CopyKind}
    start = bench.used()
    assert start == 3 * 8 * MIB * 2
    for kind, costs in ((SNAPSHOT, 16), (SNAPCLONE, 16), (VSNAP, 0)):
        before = bench.used()
        copy = bench.copy(kind, sources[kind])
        assert bench.used() - before == costs * MIB
        assert allocated(bench, copy.id) == costs * MIB // 2


@pytest.mark.rule("EVA-60")
def test_deleting_gives_every_byte_back(bench, kind):
    """After a copy was made, written and deleted, group and block store are as before."""
    source = bench.disk()
    bench.device(source).write(0, b"x" * MIB)
    before, stored = bench.used(), bench.array._state.store.bytes_in_use
    copy = bench.copy(kind, source)
    bench.device(copy.id).write(0, b"y" * 3 * MIB)
    bench.clock.advance(1000)
    bench.delete(copy.id)
    assert (bench.used(), bench.array._state.store.bytes_in_use) == (before, stored)
    bench.delete(source)
    assert (bench.used(), bench.array._state.store.bytes_in_use) == (0, 0)


@pytest.mark.rule("EVA-20", "EVA-32")
def test_what_does_not_fit_is_refused(make_bench, kind):
    """Disks and copies beyond the group are refused; a vsnap always fits."""
    bench = make_bench(group_bytes=32 * MIB)
    source = bench.disk(size_bytes=10 * MIB)
    before = bench.picture()
    with pytest.raises(InsufficientCapacity):
        bench.disk("more", 7 * MIB)
    if kind is VSNAP:
        bench.copy(kind, source)
        return
    with pytest.raises(InsufficientCapacity) as caught:
        bench.stage(kind, source)
    assert caught.value.context["free_psegs"] == 6
    assert bench.picture() == before


@pytest.mark.rule("EVA-23", "EVA-24", "EVA-31")
@pytest.mark.parametrize("kind", [SNAPSHOT, SNAPCLONE], ids=lambda each: each.value)
def test_fully_allocated_copies_survive_a_full_group(make_bench, kind):
    """With not one segment free, all of the source can be rewritten and the copy stays valid."""
    bench = make_bench(group_bytes=32 * MIB)
    source = bench.disk(size_bytes=8 * MIB)
    bench.device(source).write(0, b"old")
    copy = bench.copy(kind, source)
    assert bench.array.disk_groups()[0].copies_fit_bytes == 0
    costs = allocated(bench, copy.id)
    bench.device(source).write(0, b"n" * 8 * MIB)
    bench.device(copy.id).write(4 * MIB, b"own")
    assert bench.device(copy.id).read(0, 3) == b"old"
    assert allocated(bench, copy.id) == costs == 8 * MIB
    assert bench.state(copy.id) is not CopyState.INVALID


@pytest.mark.rule("EVA-25", "EVA-26")
def test_a_vsnap_grows_with_first_overwrites_only(bench):
    """Each chunk is charged once, whoever writes it and how often, up to the source's size."""
    source = bench.disk(size_bytes=8 * MIB)
    copy = bench.copy(VSNAP, source)
    costs = []
    device, own = bench.device(source), bench.device(copy.id)
    for write in (
        lambda: device.write(0, b"x" * PSEG_BYTES),
        lambda: device.write(0, b"y" * PSEG_BYTES),
        lambda: own.write(0, b"z" * PSEG_BYTES),
        lambda: own.write(PSEG_BYTES, b"z" * 4096),
        lambda: device.write(PSEG_BYTES, b"z" * (PSEG_BYTES - 1)),
        lambda: device.write(2 * PSEG_BYTES - 1, b"z"),
        lambda: device.discard(0, 8 * MIB),
        lambda: own.write(0, b"w" * 8 * MIB),
    ):
        write()
        costs.append(allocated(bench, copy.id) // PSEG_BYTES)
    assert costs == [1, 1, 1, 2, 2, 2, 4, 4]


@pytest.mark.rule("EVA-26")
def test_each_vsnap_pays_for_itself(bench):
    """A chunk overwritten after two instants is kept, and charged, once for each of them."""
    source = bench.disk(size_bytes=8 * MIB)
    first = bench.copy(VSNAP, source)
    bench.device(source).write(0, b"1" * PSEG_BYTES)
    second = bench.copy(VSNAP, source)
    bench.device(source).write(0, b"2" * 2 * PSEG_BYTES)
    assert allocated(bench, first.id) == 2 * PSEG_BYTES
    assert allocated(bench, second.id) == 2 * PSEG_BYTES
    assert bench.used() == 2 * (8 * MIB + 4 * PSEG_BYTES)


@pytest.mark.rule("EVA-28", "EVA-30")
def test_a_full_group_costs_vsnaps_and_never_production(make_bench):
    """The oldest vsnap goes first, for good; the write succeeds; the younger one stays valid."""
    bench = make_bench(group_bytes=32 * MIB)
    source = bench.disk(size_bytes=8 * MIB)
    bench.device(source).write(0, b"old")
    older, younger = bench.copy(VSNAP, source), bench.copy(VSNAP, source)
    bench.device(source).write(0, b"n" * 2 * PSEG_BYTES)
    assert bench.array.disk_groups()[0].copies_fit_bytes == 0
    assert bench.device(older.id).read(0, 3) == b"old"
    bench.device(source).write(2 * PSEG_BYTES, b"m" * PSEG_BYTES)
    assert bench.device(source).read(2 * PSEG_BYTES, PSEG_BYTES) == b"m" * PSEG_BYTES
    assert bench.state(older.id) is CopyState.INVALID
    assert bench.state(younger.id) is CopyState.DEPENDENT
    assert bench.device(younger.id).read(0, 3) == b"old"
    assert (allocated(bench, older.id), allocated(bench, younger.id)) == (0, 3 * PSEG_BYTES)
    bench.hide(older.id)
    with pytest.raises(CopyInvalid):
        bench.show(older.id)
    bench.delete(younger.id)
    bench.clock.advance(1000)
    assert bench.state(older.id) is CopyState.INVALID
    with pytest.raises(HasDependents):
        bench.delete(source)
    bench.delete(older.id)
    bench.delete(source)
    assert bench.used() == 0


@pytest.mark.rule("EVA-30", "HAZ-04")
def test_an_open_vsnap_that_dies_fails_every_call(make_bench):
    """A device that was open when its snapshot was invalidated never returns data again."""
    bench = make_bench(group_bytes=18 * MIB)
    source = bench.disk(size_bytes=8 * MIB)
    copy = bench.copy(VSNAP, source)
    device = bench.device(copy.id)
    bench.device(source).write(0, b"n" * 8 * MIB)
    for call in (
        lambda: device.read(0, 1),
        lambda: device.write(0, b"1"),
        lambda: device.discard(0, 1),
        device.flush,
    ):
        with pytest.raises(CopyInvalid):
            call()
    with pytest.raises(CopyInvalid):
        bench.array.restore_storage(source, copy.id, budget=bench.budget)
    assert ("invalidated", copy.name) in [
        (each.operation, each.subject) for each in bench.array.history
    ]


@pytest.mark.rule("EVA-29")
def test_block_writes_refuses_and_changes_nothing(make_bench):
    """Under the other policy the write fails; source, snapshot and space stay as they were."""
    bench = make_bench(BLOCKING, group_bytes=20 * MIB)
    source = bench.disk(size_bytes=8 * MIB)
    bench.device(source).write(0, b"old")
    copy = bench.copy(VSNAP, source)
    before = bench.picture()
    for call in (
        lambda: bench.device(source).write(0, b"n" * 8 * MIB),
        lambda: bench.device(source).discard(0, 8 * MIB),
    ):
        with pytest.raises(InsufficientCapacity):
            call()
    assert bench.picture() == before
    assert bench.device(source).read(0, 3) == b"old"
    assert bench.device(copy.id).read(0, 3) == b"old"
    bench.device(source).write(0, b"n" * 4096)
    assert bench.device(copy.id).read(0, 3) == b"old"


@pytest.mark.parametrize("profile", [EVA8000, BLOCKING], ids=["invalidate", "block"])
def test_a_vsnap_that_cannot_grow_refuses_its_own_writes(make_bench, profile):
    """Writes to a snapshot never cost a snapshot: they are refused in a full group."""
    bench = make_bench(profile, group_bytes=16 * MIB)
    copy = bench.copy(VSNAP, bench.disk(size_bytes=8 * MIB))
    device = bench.device(copy.id)
    with pytest.raises(InsufficientCapacity):
        device.write(0, b"1")
    assert bench.state(copy.id) is CopyState.DEPENDENT
    assert device.read(0, 1) == b"\0"


@pytest.mark.rule("EVA-59")
def test_resize_keeps_what_remains_and_adds_zeros(bench):
    """Growth after a shrink reads zero where the old bytes were; capacity follows."""
    source = bench.disk(size_bytes=8 * MIB)
    bench.device(source).write(0, b"x" * 8 * MIB)
    device = bench.device(source)
    bench.array.resize_storage(source, 12 * MIB)
    assert device.size_bytes == 8 * MIB
    with pytest.raises(FrskitError):
        device.read(8 * MIB, 1)
    bench.hide(source)
    bench.array.resize_storage(source, 4 * MIB)
    bench.array.resize_storage(source, 16 * MIB)
    assert bench.device(source).size_bytes == 16 * MIB
    assert bench.device(source).read(0, 4 * MIB) == b"x" * 4 * MIB
    assert bench.device(source).read(4 * MIB, 12 * MIB) == bytes(12 * MIB)
    assert bench.used() == 32 * MIB
    with pytest.raises(InsufficientCapacity):
        bench.array.resize_storage(source, 1 << 30)
    with pytest.raises(StillPresented):
        bench.array.resize_storage(source, MIB)
    bench.copy(VSNAP, source)
    with pytest.raises(HasDependents):
        bench.array.resize_storage(source, 32 * MIB)


def test_resized_snapclone_reports_its_new_size(bench):
    """Progress of an independent copy stays complete when it is resized."""
    copy = bench.copy(SNAPCLONE, bench.disk())
    with pytest.raises(CopyConflict):
        bench.array.resize_storage(copy.id, 16 * MIB)
    bench.clock.advance(100)
    bench.array.resize_storage(copy.id, 16 * MIB)
    after = bench.array.copies()[0]
    assert after.size_bytes == after.copied_bytes == 16 * MIB


def test_sizes_and_names_outside_the_model_are_refused(bench):
    """Sizes, names and Vraids that the model does not have are typed refusals."""
    before = bench.picture()
    for name, size, error in (
        ("big", 3 << 40, LimitExceeded),
        ("none", 0, LimitExceeded),
        ("", MIB, UsageError),
        ("a\\b", MIB, UsageError),
        ("n" * 33, MIB, LimitExceeded),
    ):
        with pytest.raises(error):
            bench.disk(name, size)
    with pytest.raises(UsageError):
        bench.disk("v6", MIB, vraid=Vraid.VRAID6)
    with pytest.raises(FrskitError):
        bench.array.create_storage("x", MIB, disk_group="nowhere")
    assert bench.picture() == before
    odd = bench.disk("odd", 1000)
    assert bench.array.storage([odd])[0].size_bytes == 1024
    assert usable_psegs(1024) == 1


def test_a_thin_two_terabyte_disk_costs_capacity_and_no_memory(make_bench):
    """A disk of the largest size takes its whole capacity and no page of the store."""
    bench = make_bench(group_bytes=5 << 40)
    source = bench.disk(size_bytes=2 << 40)
    assert bench.used() == 4 << 40
    bench.device(source).write((2 << 40) - 3, b"end")
    assert bench.array._state.store.bytes_in_use <= 8192
