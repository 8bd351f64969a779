"""Copies of the simulated array: content, independence, sets, staging, restore."""

from __future__ import annotations

import random

import attrs
import pytest

from frskit.clock import Budget, CancelToken, VirtualClock
from frskit.errors import (
    Cancelled,
    CopyConflict,
    FrskitError,
    HasDependents,
    InsufficientCapacity,
    LimitExceeded,
    NameInUse,
    NotLicensed,
    StillPresented,
    StorageNotFound,
    UsageError,
)
from frskit.eva import EVA8000, STRICT, EvaCopyRequest, SimulatedEva, Vraid
from frskit.model.ids import CopyKey, StorageId
from frskit.model.storage import CopyKind, CopyRequest, CopyState, SetAtomicity

MIB = 1 << 20
SNAPCLONE, SNAPSHOT, VSNAP = CopyKind.SNAPCLONE, CopyKind.SNAPSHOT, CopyKind.VSNAP


@pytest.mark.rule("EVA-01", "EVA-02", "EVA-03")
def test_a_copy_keeps_the_instant_and_its_own_writes(bench, kind):
    """Source writes do not show in a copy, nor its writes in the source, at any moment."""
    source = bench.disk()
    bench.device(source).write(0, b"before")
    copy = bench.copy(kind, source)
    bench.device(source).write(0, b"after!")
    device = bench.device(copy.id)
    assert device.read(0, 6) == b"before"
    device.write(4096, b"mine")
    for seconds in (0.02, 0.02, 1000):
        bench.clock.advance(seconds)
        bench.array.copies()
        bench.device(source).write(8192, b"more")
        assert device.read(0, 6) == b"before"
        assert device.read(4096, 4) == b"mine"
        assert device.read(8192, 4) == bytes(4)
        assert bench.device(source).read(0, 6) == b"after!"
        assert bench.device(source).read(4096, 4) == bytes(4)


@pytest.mark.rule("EVA-04", "EVA-05", "EVA-06", "EVA-07")
def test_a_snapclone_becomes_independent(bench):
    """Progress rises with time to the full size; then the source may go and the copy stays."""
    source = bench.disk(size_bytes=64 * MIB)
    bench.device(source).write(5 * MIB, b"x" * MIB)
    copy = bench.copy(SNAPCLONE, source)
    device = bench.device(copy.id)
    device.write(0, b"own")
    bench.hide(source)
    seen = []
    while bench.state(copy.id) is CopyState.NORMALIZING:
        seen.append(bench.array.copies()[0].copied_bytes)
        with pytest.raises(HasDependents):
            bench.array.delete_storage(source, budget=bench.budget)
        bench.clock.advance(0.05)
    assert seen == sorted(seen)
    assert seen[:3] == [0, 5_000_000, 10_000_000]
    assert bench.array.copies()[0].copied_bytes == 64 * MIB
    bench.array.delete_storage(source, budget=bench.budget)
    assert device.read(0, 3) == b"own"
    assert device.read(5 * MIB, MIB) == b"x" * MIB
    assert bench.array.copies()[0].source == source
    bench.array.check()


def test_normalization_takes_the_time_of_all_bytes(make_bench):
    """Two snapclones share the array's bandwidth, the older one first, whatever they hold."""
    bench = make_bench()
    first, second = bench.disk("a", 50 * MIB), bench.disk("b", 50 * MIB)
    bench.device(second).write(0, b"z" * 10 * MIB)
    bench.copy(SNAPCLONE, first, second)
    bench.clock.advance(60 * MIB / EVA8000.copy_bytes_per_s)
    done = [each.copied_bytes for each in bench.array.copies()]
    assert done == [50 * MIB, 10 * MIB]
    bench.clock.advance(40 * MIB / EVA8000.copy_bytes_per_s + 0.001)
    assert {each.state for each in bench.array.copies()} == {CopyState.INDEPENDENT}


@pytest.mark.rule("EVA-05")
def test_progress_does_not_depend_on_how_often_one_asks(make_bench):
    """Two arrays, one asked at every step and one at the end, have copied the same."""
    results = []
    for asks in (True, False):
        bench = make_bench()
        bench.copy(SNAPCLONE, bench.disk(size_bytes=256 * MIB))
        for _ in range(37):
            bench.clock.advance(0.03125)
            if asks:
                bench.array.copies()
        results.append(bench.array.copies()[0].copied_bytes)
    assert results[0] == results[1] == 37 * 3_125_000


class JumpingClock(VirtualClock):
    """A clock whose wall time jumps."""

    jump_s = 0.0

    def now(self):
        from datetime import timedelta

        return super().now() + timedelta(seconds=self.jump_s)


@pytest.mark.rule("HAZ-13")
def test_clock_jumps_neither_hurry_nor_date_back(make_bench):
    """A wall clock far ahead normalizes nothing; one that goes back dates nothing back [R-32]."""
    bench = make_bench()
    bench.clock.__class__ = JumpingClock
    source = bench.disk(size_bytes=64 * MIB)
    copy = bench.copy(SNAPCLONE, source)
    bench.clock.jump_s = 1e6
    assert bench.array.copies()[0].copied_bytes == 0
    bench.array.fail_over()
    bench.clock.jump_s = -1e6
    later = bench.disk("later")
    made = {each.id: each.created_at for each in bench.array.storage()}
    assert made[later] >= made[copy.id] >= made[source]
    times = [each.at for each in bench.array.history]
    assert times == sorted(times)
    bench.clock.advance(0.1)
    assert bench.array.copies()[0].copied_bytes == 10_000_000


@pytest.mark.rule("EVA-33", "EVA-67")
def test_a_set_is_one_instant_in_the_order_of_its_requests(bench, kind):
    """Writes before the commit are in all members, writes after it in none."""
    sources = [bench.disk(f"d{index}", MIB) for index in range(6)]
    staged = bench.stage(kind, *reversed(sources))
    for index, source in enumerate(sources):
        bench.device(source).write(0, bytes([index + 1]))
    copies = bench.array.commit_copies(staged, budget=bench.budget)
    for source in sources:
        bench.device(source).write(0, b"\xff")
    assert [each.source for each in copies] == list(reversed(sources))
    assert len({each.created_at for each in copies}) == 1
    assert [bench.device(each.id).read(0, 1)[0] for each in copies] == [6, 5, 4, 3, 2, 1]
    assert bench.array.copies(key=staged.key) == copies
    assert bench.array.capabilities.set_atomicity is SetAtomicity.INSTANT


def test_a_set_may_mix_kinds(bench):
    """Snapclone, snapshot and vsnap in one set keep their order and content."""
    sources = [bench.disk(f"d{index}", MIB) for index in range(3)]
    for index, source in enumerate(sources):
        bench.device(source).write(0, bytes([65 + index]))
    requests = [
        CopyRequest(source=source, kind=each)
        for source, each in zip(sources, (VSNAP, SNAPCLONE, SNAPSHOT), strict=True)
    ]
    staged = bench.array.stage_copies(requests, key=CopyKey("mixed"), budget=bench.budget)
    copies = bench.array.commit_copies(staged, budget=bench.budget)
    assert [each.kind for each in copies] == [VSNAP, SNAPCLONE, SNAPSHOT]
    assert [bench.device(each.id).read(0, 1) for each in copies] == [b"A", b"B", b"C"]


@pytest.mark.rule("EVA-32", "EVA-34")
def test_commit_checks_again_and_fails_as_a_whole(bench):
    """A member cloned since staging fails the set; nothing of it exists, no number is used up."""
    first, second = bench.disk("a"), bench.disk("b")
    staged = bench.stage(SNAPCLONE, first, second)
    bench.copy(SNAPCLONE, second, key="other")
    before = bench.picture()
    with pytest.raises(CopyConflict, match="RULE-4"):
        bench.array.commit_copies(staged, budget=bench.budget)
    assert bench.picture() == before
    assert not bench.array.copies(key=staged.key)
    bench.clock.advance(1000)
    assert len(bench.array.commit_copies(staged, budget=bench.budget)) == 2


@pytest.mark.rule("EVA-34")
def test_commit_fails_when_a_source_is_gone_or_has_another_size(bench, kind):
    """Deleting or resizing a source after staging fails the whole set."""
    first, second = bench.disk("a"), bench.disk("b", shown=False)
    staged = bench.stage(kind, first, second)
    bench.array.resize_storage(second, 16 * MIB)
    with pytest.raises(CopyConflict, match="resized"):
        bench.array.commit_copies(staged, budget=bench.budget)
    bench.array.delete_storage(second, budget=bench.budget)
    with pytest.raises(StorageNotFound):
        bench.array.commit_copies(staged, budget=bench.budget)
    assert not bench.array.copies()


@pytest.mark.rule("EVA-32", "EVA-34")
def test_a_commit_that_breaks_half_way_leaves_nothing(bench, kind, monkeypatch):
    """If the block store fails after the first member, no member exists and nothing changed."""
    staged = bench.stage(kind, bench.disk("a"), bench.disk("b"))
    before = bench.picture()
    plain = bench.array._state.tables.add_disk
    calls = []

    def breaks(disk):
        calls.append(disk)
        if len(calls) == 2:
            raise RuntimeError("half-way")
        plain(disk)

    monkeypatch.setattr(
        type(bench.array._state.tables), "add_disk", lambda self, disk: breaks(disk)
    )
    with pytest.raises(RuntimeError):
        bench.array.commit_copies(staged, budget=bench.budget)
    monkeypatch.undo()
    assert bench.picture() == before
    bench.array.check()
    assert len(bench.array.commit_copies(staged, budget=bench.budget)) == 2


@pytest.mark.rule("EVA-63")
def test_repeating_a_command_is_harmless(bench, kind):
    """Stage, commit, present, unpresent, delete and discard can all be repeated."""
    source = bench.disk()
    staged = bench.stage(kind, source, name="copy")
    assert bench.stage(kind, source, name="copy", key=staged.key) == staged
    copies = bench.array.commit_copies(staged, budget=bench.budget)
    assert bench.array.commit_copies(staged, budget=bench.budget) == copies
    assert bench.stage(kind, source, name="copy", key=staged.key) == staged
    bench.array.discard_staged(staged.key)
    assert bench.array.copies(key=staged.key) == copies
    shown = bench.show(copies[0].id)
    assert bench.show(copies[0].id) == shown
    for _ in range(2):
        bench.array.unpresent(shown, budget=bench.budget)
    for _ in range(2):
        bench.array.delete_storage(copies[0].id, budget=bench.budget)
    assert not bench.array.copies()


def test_a_key_belongs_to_one_set(bench, kind):
    """Other requests under a used key are refused; after the set is gone the key is free."""
    first, second = bench.disk("a"), bench.disk("b")
    staged = bench.stage(kind, first, second, key="k")
    with pytest.raises(CopyConflict, match="other requests"):
        bench.stage(kind, first, key="k")
    copies = bench.array.commit_copies(staged, budget=bench.budget)
    with pytest.raises(CopyConflict, match="other requests"):
        bench.stage(kind, first, key="k")
    bench.delete(copies[0].id)
    assert bench.array.commit_copies(staged, budget=bench.budget) == bench.array.copies()
    assert bench.array.copies(key="k") == bench.array.copies()
    bench.delete(copies[1].id)
    with pytest.raises(CopyConflict, match="not staged"):
        bench.array.commit_copies(staged, budget=bench.budget)
    assert bench.stage(kind, first, key="k").key == "k"


@pytest.mark.rule("EVA-60", "HAZ-05")
def test_staging_reserves_and_discarding_gives_back(bench):
    """Names and space of a staged set are taken, listed by key, and free after the discard."""
    source = bench.disk()
    before = bench.picture()
    staged = bench.stage(SNAPCLONE, source, name="copy")
    assert bench.used() == before[3][0].used_bytes + 2 * 8 * MIB
    assert bench.array.staged_keys() == (staged.key,)
    with pytest.raises(NameInUse):
        bench.disk("copy")
    assert [each.id for each in bench.array.storage()] == [source]
    bench.array.discard_staged(staged.key)
    after = bench.picture()
    assert after[:6] + after[7:] == before[:6] + before[7:]
    with pytest.raises(CopyConflict, match="not staged"):
        bench.array.commit_copies(staged, budget=bench.budget)


@pytest.mark.rule("EVA-32")
@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"source": StorageId("naa:nobody")}, StorageNotFound),
        ({"disk_group": "nowhere"}, CopyConflict),
        ({"kind": SNAPCLONE, "disk_group": "nowhere"}, StorageNotFound),
        ({"name": "data"}, NameInUse),
        ({"name": "a/b"}, UsageError),
        ({"name": "x" * 33}, LimitExceeded),
        ({"name": "ü" * 17}, LimitExceeded),
        ({"name": "DATA"}, NameInUse),
        ({"name": " a"}, UsageError),
        ({"name": "active"}, UsageError),
        ({"comment": 'x"\nDELETE VDISK y'}, UsageError),
        ({"vraid": Vraid.VRAID6}, FrskitError),
        ({"wwlun": "12"}, UsageError),
    ],
)
def test_refused_staging_changes_nothing(bench, change, error):
    """Every reason to refuse a member leaves the array exactly as it was, numbers included."""
    source, other = bench.disk(), bench.disk("other")
    good = EvaCopyRequest(source=other, kind=SNAPSHOT)
    bad = attrs.evolve(EvaCopyRequest(source=source, kind=SNAPSHOT), **change)
    before = bench.picture()
    with pytest.raises(error):
        bench.array.stage_copies([good, bad], key=CopyKey("k"), budget=bench.budget)
    assert bench.picture() == before


def test_a_set_needs_members_named_once(bench, kind):
    """Empty sets, sources named twice and members of one name are refused."""
    first, second = bench.disk("a"), bench.disk("b")
    with pytest.raises(UsageError):
        bench.stage(kind)
    with pytest.raises(UsageError, match="twice"):
        bench.stage(kind, first, first)
    with pytest.raises(NameInUse):
        bench.stage(kind, first, second, name="same")
    assert not bench.array.staged_keys()


@pytest.mark.rule("EVA-19")
def test_limits_are_refused_before_anything_is_made(make_bench, kind):
    """The set limit and the virtual disk limit count staged copies as well."""
    strict = make_bench(attrs.evolve(STRICT, min_vdisk_bytes=512, max_set_members=2))
    assert strict.array.capabilities.max_set_members == 2
    with pytest.raises(LimitExceeded, match="RULE-15"):
        strict.stage(kind, *[strict.disk(f"d{index}", MIB) for index in range(3)])
    few = make_bench(attrs.evolve(EVA8000, max_vdisks=3))
    source = few.disk(size_bytes=MIB)
    few.stage(kind, source)
    few.stage(kind, source)
    with pytest.raises(LimitExceeded, match="RULE-8"):
        few.stage(kind, source)
    with pytest.raises(LimitExceeded):
        few.disk("more")


@pytest.mark.rule("EVA-58")
def test_an_array_without_licence_copies_nothing(make_bench, kind):
    """Copies are refused and everything else works."""
    bench = make_bench(attrs.evolve(EVA8000, licensed=False))
    source = bench.disk()
    before = bench.picture()
    with pytest.raises(NotLicensed):
        bench.stage(kind, source)
    assert bench.picture() == before
    bench.device(source).write(0, b"works")


@pytest.mark.rule("EVA-43")
def test_a_forced_lun_name_is_reused_only_after_deletion(bench):
    """A re-created snapshot may have its old name once that is free; it is another object."""
    source = bench.disk()
    wwlun = "6005-08b4-0010-2ed6-0000-d001-02f5-0000"
    make = {"request": EvaCopyRequest, "wwlun": wwlun}
    copy = bench.copy(VSNAP, source, **make)
    names = ("naa:600508b400102ed60000d00102f50000",)
    assert bench.array.storage([copy.id])[0].identifiers == names
    device = bench.device(copy.id)
    with pytest.raises(NameInUse):
        bench.stage(VSNAP, source, **make)
    with pytest.raises(NameInUse):
        bench.disk("other", wwlun=wwlun)
    bench.delete(copy.id)
    again = bench.copy(VSNAP, source, **make)
    assert again.id != copy.id
    assert bench.array.storage([again.id])[0].identifiers == names
    bench.show(again.id)
    with pytest.raises(FrskitError, match="another disk"):
        device.read(0, 1)


@pytest.mark.rule("EVA-14", "EVA-15", "EVA-16")
def test_groups_and_vraids_of_copies(bench):
    """A snapclone may go to another group and Vraid, a snapshot only to a lower Vraid."""
    bench.array.create_disk_group("other", size_bytes=1 << 30)
    source = bench.disk()
    with pytest.raises(CopyConflict, match="RULE-5"):
        bench.stage(VSNAP, source, disk_group="other")
    low = bench.copy(VSNAP, source, request=EvaCopyRequest, vraid=Vraid.VRAID5)
    assert bench.array.virtual_disk(low.id).group == "default"
    assert bench.array.virtual_disk(low.id).vraid is Vraid.VRAID5
    bench.delete(low.id)
    copy = bench.copy(SNAPCLONE, source, disk_group="other")
    assert bench.array.virtual_disk(copy.id).group == "other"
    assert bench.array.disk_groups()[1].used_bytes == 16 * MIB


@pytest.mark.rule("EVA-61")
@pytest.mark.parametrize("kind", [SNAPSHOT, VSNAP], ids=lambda each: each.value)
def test_snapshots_are_deleted_in_any_order(bench, kind):
    """Whatever snapshot goes first, the others keep their content, and all space comes back."""
    source = bench.disk(size_bytes=MIB)
    before = bench.used()
    order = random.Random(5)
    for _ in range(4):
        copies = []
        for number in range(5):
            bench.device(source).write(0, bytes([number + 1]) * 9000)
            copies.append((bench.copy(kind, source), number + 1))
        order.shuffle(copies)
        while copies:
            gone, _ = copies.pop()
            bench.delete(gone.id)
            for copy, number in copies:
                assert bench.device(copy.id).read(0, 9000) == bytes([number]) * 9000
    assert bench.used() == before
    bench.array.check()


@pytest.mark.rule("EVA-66")
@pytest.mark.parametrize("kind", [SNAPSHOT, VSNAP], ids=lambda each: each.value)
def test_restore_leaves_older_and_newer_copies_alone(bench, kind):
    """A restore from the middle copy changes the source only."""
    source = bench.disk(size_bytes=MIB)
    copies = []
    for number in range(3):
        bench.device(source).write(0, bytes([number + 1]) * 5000)
        copies.append(bench.copy(kind, source))
    bench.device(source).write(0, b"\xff" * 5000)
    with pytest.raises(StillPresented):
        bench.array.restore_storage(source, copies[1].id, budget=bench.budget)
    bench.hide(source)
    bench.array.restore_storage(source, copies[1].id, budget=bench.budget)
    assert bench.device(source).read(0, 5000) == b"\x02" * 5000
    for number, copy in enumerate(copies):
        assert bench.device(copy.id).read(0, 5000) == bytes([number + 1]) * 5000
    bench.device(source).write(0, b"new")
    assert bench.device(copies[1].id).read(0, 3) == b"\x02" * 3
    assert [each.id for each in bench.array.copies()] == [each.id for each in copies]


def test_restore_from_a_snapclone(bench):
    """A finished snapclone goes back into its source and stays independent."""
    source = bench.disk(size_bytes=MIB)
    bench.device(source).write(0, b"good")
    copy = bench.copy(SNAPCLONE, source)
    bench.device(source).write(0, b"evil")
    bench.hide(source)
    with pytest.raises(CopyConflict, match="normalizing"):
        bench.array.restore_storage(source, copy.id, budget=bench.budget)
    bench.clock.advance(100)
    bench.array.restore_storage(source, copy.id, budget=bench.budget)
    assert bench.device(source).read(0, 4) == b"good"
    stranger = bench.disk("stranger", MIB, shown=False)
    with pytest.raises(CopyConflict, match="not a copy"):
        bench.array.restore_storage(stranger, copy.id, budget=bench.budget)


def test_restore_charges_other_vsnaps_for_what_it_changes(bench):
    """Other vsnaps pay exactly for the chunks in which the restored one differs."""
    source = bench.disk(size_bytes=32 * MIB)
    old = bench.copy(VSNAP, source)
    bench.device(source).write(0, b"x" * 6 * MIB)
    new = bench.copy(VSNAP, source)
    bench.device(source).write(10 * MIB, b"y" * 4 * MIB)
    bench.hide(source)

    def costs():
        return [each.allocated_bytes for each in bench.array.storage([old.id, new.id])]

    assert costs() == [10 * MIB, 4 * MIB]
    bench.array.restore_storage(source, old.id, budget=bench.budget)
    assert costs() == [10 * MIB, 10 * MIB]
    assert bench.device(source).read(0, 2) == bytes(2)
    assert bench.device(new.id).read(0, 2) == b"xx"


def test_restore_without_room_for_other_vsnaps_is_refused(make_bench):
    """A restore is refused before it would cost another snapshot its life."""
    bench = make_bench(group_bytes=64 * MIB)
    source = bench.disk(size_bytes=16 * MIB)
    copy = bench.copy(SNAPCLONE, source)
    bench.clock.advance(100)
    bench.array.copies()
    vsnap = bench.copy(VSNAP, source)
    bench.hide(source)
    before = bench.picture()
    with pytest.raises(InsufficientCapacity):
        bench.array.restore_storage(source, copy.id, budget=bench.budget)
    assert bench.picture() == before
    assert bench.state(vsnap.id) is CopyState.DEPENDENT


@pytest.mark.rule("EVA-65")
def test_same_seed_and_operations_give_the_same_array(make_bench):
    """Ids, history and content of two arrays that were told the same are identical."""
    pictures = []
    for _ in range(2):
        bench = make_bench(seed=11)
        source = bench.disk()
        bench.device(source).write(77, b"content")
        copies = bench.copy(SNAPCLONE, source, bench.disk("b"))
        bench.clock.advance(0.01)
        bench.copy(VSNAP, bench.disk("c"), name="v")
        bench.clock.advance(50)
        data = bench.device(copies[0].id).read(0, 8 * MIB)
        events = [each.to_dict() for each in bench.array.history]
        pictures.append((bench.picture(), events, data, bench.array.wwn))
    assert pictures[0] == pictures[1]
    other = make_bench(seed=12)
    assert other.array.wwn != pictures[0][3]


def test_spent_and_cancelled_budgets_stop_before_anything_happens(bench, kind):
    """A cancelled call raises Cancelled and changes nothing."""
    source = bench.disk()
    staged = bench.stage(kind, source)
    token = CancelToken()
    token.cancel()
    budget = Budget.of(bench.clock, token=token)
    before = bench.picture()
    for call in (
        lambda: bench.array.commit_copies(staged, budget=budget),
        lambda: bench.array.stage_copies(staged.requests, key=CopyKey("n"), budget=budget),
        lambda: bench.array.delete_storage(source, budget=budget),
        lambda: bench.array.present(source, "frs1", read_only=True, budget=budget),
        lambda: bench.array.unpresent(bench.array.presentations()[0], budget=budget),
        lambda: bench.array.restore_storage(source, source, budget=budget),
    ):
        with pytest.raises(Cancelled):
            call()
    assert bench.picture() == before


def test_history_tells_what_happened(bench):
    """Every operation adds one event with its subject, refused ones add none."""
    source = bench.disk(shown=False)
    with pytest.raises(NameInUse):
        bench.disk(shown=False)
    bench.copy(SNAPCLONE, source, name="copy", key="k")
    bench.clock.advance(100)
    bench.array.copies()
    told = [(each.operation, each.subject) for each in bench.array.history]
    assert told[3:] == [
        ("create_storage", "data"),
        ("stage", "k"),
        ("commit", "k"),
        ("normalized", "copy"),
    ]
    assert bench.array.history[-1].to_dict()["event"] == "array.operation"


def test_closed_array_refuses(make_bench):
    """After close every call says so; closing twice is fine."""
    bench = make_bench()
    source = bench.disk()
    device = bench.device(source)
    bench.array.close()
    bench.array.close()
    with pytest.raises(UsageError, match="closed"):
        bench.array.storage()
    with pytest.raises(FrskitError):
        device.read(0, 1)
    with SimulatedEva(clock=bench.clock, rng=random.Random(1)) as array:
        assert array.name == "EVA1"
    with pytest.raises(UsageError, match="closed"):
        array.copies()
