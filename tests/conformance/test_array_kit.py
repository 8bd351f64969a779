"""The array kit passes on the simulated EVA and kills arrays that are wrong in plausible ways."""

from __future__ import annotations

import random
import subprocess
import sys
import time

import attrs
import pytest
from support.examples import examples

from frskit.clock import Budget, VirtualClock
from frskit.errors import (
    CopyConflict,
    InsufficientCapacity,
    OutcomeUnknown,
    PresentationFailed,
    UsageError,
)
from frskit.eva import EVA8000, ExhaustionPolicy, SimulatedEva
from frskit.model.storage import (
    CopyKind,
    CopyRequest,
    ReadOnlyScope,
    StagedCopies,
    Storage,
    StorageState,
)
from frskit.testing.array.kit import check_disk_array
from frskit.testing.array.machine import run_histories
from frskit.testing.array.script import run_script
from frskit.testing.array.world import ScsiWorld
from frskit.testing.report import KitReport

pytestmark = pytest.mark.kits

SIZE = 64 * 1024
GROUP = 256 * 1024 * 1024


def world_of(make_array, *, storages=3, group_bytes=GROUP, restart=None):
    """A world round an array that `make_array(clock)` makes."""
    clock = VirtualClock()
    array = make_array(clock)
    array.create_disk_group("default", size_bytes=group_bytes)
    ids = [
        array.create_storage(f"disk{index}", SIZE, disk_group="default")
        for index in range(storages)
    ]
    return ScsiWorld(
        array,
        host=array.add_host("frs1", ports=["10000000c96cc698"]),
        production=array.add_host("evs1", ports=["10000000c96cc699"]),
        storages=ids,
        size_bytes=SIZE,
        advance=clock.advance,
        restart=None if restart is None else lambda: restart(clock),
        close=array.close,
        copy_by_hand=lambda storage: array.copy_by_hand(
            CopyRequest(source=storage, kind=CopyKind.SNAPSHOT)
        ),
    )


def simulated(profile=EVA8000, kind=SimulatedEva):
    """Factory of worlds round one class of array."""
    return lambda: world_of(lambda clock: kind(profile=profile, clock=clock, rng=random.Random(7)))


@pytest.mark.rule("EVA-01", "EVA-02", "EVA-03", "EVA-33", "EVA-34", "EVA-60", "EVA-66")
def test_simulated_eva_passes():
    """The simulated EVA keeps the contract, and nothing but declared gaps is skipped."""
    report = check_disk_array(simulated(), max_examples=examples(100))
    assert set(report.skipped) == {
        "unsupported kind",
        "largest set",
        "restart",
        "staged objects",
    }, str(report)
    for part in ("copy", "restore", "normalization", "space comes back", "one instant under load"):
        assert report.executed[part] > 0, str(report)


def test_what_the_kit_demands_of_histories_is_reached_without_chance():
    """What random histories reach depends on what was imported before; the report must not."""
    report = KitReport()
    run_script(simulated(), report)
    demanded = {"copy", "read a copy", "write a copy", "delete a copy", "repeat a commit"}
    demanded |= {"copy after refusal", "normalization", "restore", "space comes back"}
    assert demanded <= set(report.executed), str(report)
    assert set(report.skipped) == {"restart"}


def test_durable_array_passes_with_restarts(tmp_path):
    """The simulated EVA in a directory keeps the contract across restarts in any place."""
    count = iter(range(10_000))

    def make():
        place = tmp_path / str(next(count))
        arrays = []

        def opened(clock):
            if arrays:
                arrays[-1].close()
            arrays.append(SimulatedEva(clock=clock, rng=random.Random(7), directory=place))
            return arrays[-1]

        world = world_of(opened, restart=opened)
        world._close = lambda: arrays[-1].close()  # noqa: PLW0108  # the newest then, not now
        return world

    report = check_disk_array(make, max_examples=examples(8), steps=20)
    assert report.executed["restart"] > 0, str(report)


@pytest.mark.rule("EVA-28", "EVA-30")
def test_passes_when_the_group_is_nearly_full():
    """Refusals and invalidated snapshots of a small group stay within the contract."""
    small = 20 * 1024 * 1024  # three disks of one segment in Vraid1, and room for two more
    for policy in ExhaustionPolicy:
        profile = attrs.evolve(EVA8000, exhaustion=policy, max_set_members=2)
        report = check_disk_array(
            lambda profile=profile: world_of(
                lambda clock: SimulatedEva(profile=profile, clock=clock, rng=random.Random(7)),
                group_bytes=small,
            ),
            max_examples=examples(25),
        )
        assert report.executed["largest set"] == 1


class AliasingSnapshot(SimulatedEva):
    """A snapshot that shows its source as it is now."""

    def open_lun(self, host, number):
        device = super().open_lun(host, number)
        disk = self.virtual_disk(device._storage)
        if disk.kind is CopyKind.SNAPSHOT:
            volume = self.virtual_disk(disk.source).volume
            device.read = lambda offset, length: self._state.store.read(volume, offset, length)
        return device


class TornSet(SimulatedEva):
    """Members are cut one after the other, with writes in between."""

    def commit_copies(self, staged, *, budget):
        self.early = []
        for request in staged.requests:
            source = self._state.tables.disks.rows.get(request.source)
            if source is not None:
                clone = request.kind is CopyKind.SNAPCLONE
                cut = self._state.store.start_clone if clone else self._state.store.snapshot
                self.early.append(cut([source.volume])[0])
                time.sleep(0.002)
        try:
            return super().commit_copies(staged, budget=budget)
        finally:
            for volume in self.early:
                self._state.store.delete(volume)

    def __init__(self, **options):
        super().__init__(**options)
        self._copy_sets._cut = self._cut_before

    def _cut_before(self, sources, copies):
        volumes, self.early = self.early, []
        return volumes


class PartialSet(SimulatedEva):
    """A member that cannot be copied any more is left out."""

    def commit_copies(self, staged, *, budget):
        known = self._state.tables.sets.rows.get(staged.key)
        if known is None or not known.staged:
            return super().commit_copies(staged, budget=budget)
        alive = [
            index
            for index, request in enumerate(known.requests)
            if request.source in self._state.tables.disks.rows
        ]
        kept = attrs.evolve(
            known,
            requests=tuple(known.requests[index] for index in alive),
            members=tuple(known.members[index] for index in alive),
            prepared=tuple(known.prepared[index] for index in alive),
        )
        self._state.tables.sets.rows[staged.key] = kept
        left = attrs.evolve(staged, requests=kept.requests)
        return super().commit_copies(left, budget=budget)


class StrictDelete(SimulatedEva):
    """Deleting what is gone is an error."""

    def delete_storage(self, storage, *, budget):
        self._state.disk(storage)
        super().delete_storage(storage, budget=budget)


class FollowingClone(SimulatedEva):
    """A snapclone copies what the source holds when the background copy gets there."""

    def __init__(self, **options):
        super().__init__(**options)
        self._plain, self._normalization._copy_up_to = (
            self._normalization._copy_up_to,
            self._copy_late,
        )

    def _copy_late(self, disk, target):
        source = self._state.tables.disks.rows.get(disk.source)
        if source is not None:
            data = self._state.store.read(source.volume, 0, disk.size_bytes)
            self._state.store.write(disk.volume, 0, data)
        self._plain(disk, target)


class LeakingSpace(SimulatedEva):
    """Space of deleted copies is never given back."""

    leaked = 0

    def delete_storage(self, storage, *, budget):
        size = sum(each.allocated_bytes for each in self.storage([storage]))
        super().delete_storage(storage, budget=budget)
        self.leaked += size // (2 << 20)

    def __init__(self, **options):
        super().__init__(**options)
        used = self._space.used_psegs
        self._space.used_psegs = lambda group: used(group) + self.leaked


class CommitsOnce(SimulatedEva):
    """A repeated commit is an error."""

    def commit_copies(self, staged, *, budget):
        known = self._state.tables.sets.rows.get(staged.key)
        if known is not None and not known.staged:
            raise CopyConflict("committed already")
        return super().commit_copies(staged, budget=budget)


class LeakyStaging(SimulatedEva):
    """Discarding a staged set keeps its names."""

    def discard_staged(self, key, *, budget=None):
        copy_set = self._state.tables.sets.rows.get(key)
        if copy_set is not None and copy_set.staged:
            del self._state.tables.sets.rows[key]


class WritableReadOnly(SimulatedEva):
    """Read-only presentations can be written."""

    def open_lun(self, host, number):
        device = super().open_lun(host, number)
        device._writable = device._bound
        return device


class LostRestore(SimulatedEva):
    """A restore moves the copy instead of copying it."""

    def restore_storage(self, target, source, *, budget):
        super().restore_storage(target, source, budget=budget)
        with self._state.lock:
            volume = self._state.tables.disks.rows[source].volume
            self._state.store.write(volume, 0, b"gone")


class EndlessNormalization(SimulatedEva):
    """Normalization never ends."""

    def __init__(self, **options):
        super().__init__(**options)
        self._state.on_elapsed = lambda elapsed_s: None


class LateCommit(SimulatedEva):
    """The budget is looked at before the commit, which then takes as long as it takes."""

    def commit_copies(self, staged, *, budget):
        budget.check("committing")
        return super().commit_copies(staged, budget=Budget.unlimited())


class HalfLate(SimulatedEva):
    """Out of time after the effect is told as out of time before it."""

    def commit_copies(self, staged, *, budget):
        made = super().commit_copies(staged, budget=Budget.unlimited())
        budget.check("committing")
        return made


class ForgetsTheRest(SimulatedEva):
    """A set of which a member was deleted is no set any more."""

    def commit_copies(self, staged, *, budget):
        made = super().commit_copies(staged, budget=budget)
        if len(made) != len(staged.requests):
            raise CopyConflict("a member was deleted")
        return made


class EmptySets(SimulatedEva):
    """A set without members is fine."""

    def stage_copies(self, requests, *, key, budget):
        if not requests:
            return StagedCopies(key=key, requests=())
        return super().stage_copies(requests, key=key, budget=budget)


class RefusesTwins(SimulatedEva):
    """One source twice is the array's conflict and not the caller's mistake."""

    def stage_copies(self, requests, *, key, budget):
        try:
            return super().stage_copies(requests, key=key, budget=budget)
        except UsageError as error:
            if "twice" in str(error):
                raise CopyConflict(str(error)) from error
            raise


class StrayOnConflict(SimulatedEva):
    """A container is made before the key is looked at."""

    def stage_copies(self, requests, *, key, budget):
        try:
            return super().stage_copies(requests, key=key, budget=budget)
        except CopyConflict:
            self.create_storage(f"stray-{len(self.storage())}", 512, disk_group="default")
            raise


class KeyTakenOver(SimulatedEva):
    """A committed key returns its set, whatever is asked for."""

    def stage_copies(self, requests, *, key, budget):
        if self.copies(key=key):
            return StagedCopies(key=key, requests=tuple(requests))
        return super().stage_copies(requests, key=key, budget=budget)


class HidesForeign(SimulatedEva):
    """Only copies with a key are listed."""

    def copies(self, *, key=None, budget=None):
        found = super().copies(key=key, budget=budget)
        return tuple(each for each in found if each.key is not None)


class OwnsForeign(SimulatedEva):
    """Copies without a key are listed with every set."""

    def copies(self, *, key=None, budget=None):
        own = super().copies(key=key, budget=budget)
        others = [each for each in super().copies() if each.key is None and each not in own]
        return (*own, *others)


class IgnoresNumber(SimulatedEva):
    """The number asked for is not looked at."""

    def present(self, storage, host, *, read_only, budget, access=None, number=None):
        return super().present(storage, host, read_only=read_only, budget=budget)


class OtherNumber(SimulatedEva):
    """A number that is taken is replaced by a free one."""

    def present(self, storage, host, *, number=None, **words):
        try:
            return super().present(storage, host, number=number, **words)
        except PresentationFailed:
            return super().present(storage, host, **words)


class OtherReadOnly(SimulatedEva):
    """What is presented otherwise is given as it is."""

    def present(self, storage, host, *, read_only, number=None, **words):
        for each in self.presentations(storage):
            if each.host == host and number in (None, each.access.number):
                return each
        return super().present(storage, host, read_only=read_only, number=number, **words)


class UnpresentsAll(SimulatedEva):
    """Storage is hidden from every host."""

    def unpresent(self, presentation, *, budget):
        for each in self.presentations(presentation.storage):
            super().unpresent(each, budget=budget)


class Changed(SimulatedEva):
    """An array with other capabilities, which the subclass may or may not keep."""

    changes = {}  # noqa: RUF012

    @property
    def capabilities(self):
        return attrs.evolve(super().capabilities, **self.changes)


class SaysNone(Changed):
    """It refuses no writes by its own words, and says that it does."""

    changes = {"read_only": ReadOnlyScope.NONE}  # noqa: RUF012


class SaysStorage(Changed):
    """Writes are refused for all hosts by its own words, and for one in fact."""

    changes = {"read_only": ReadOnlyScope.STORAGE}  # noqa: RUF012


class SaysNoNumbers(Changed):
    """It gives numbers without saying so."""

    changes = {"numbers": False}  # noqa: RUF012


class Containers(Changed):
    """An array that stages by objects which show, and become the copies."""

    changes = {"staging_visible": True}  # noqa: RUF012

    def stage_copies(self, requests, *, key, budget):
        staged = super().stage_copies(requests, key=key, budget=budget)
        return attrs.evolve(staged, visible=tuple(each.id for each in self.prepared(key)))

    def prepared(self, key=None):
        sets = self._state.tables.sets.rows.values()
        return [disk for each in sets if key in (None, each.key) for disk in each.prepared]

    def storage(self, ids=None, *, budget=None):
        wanted = None if ids is None else set(ids)
        waiting = [
            Storage(id=each.id, name=each.name, size_bytes=each.size_bytes, staged_for=each.key)
            for each in self.prepared()
            if wanted is None or each.id in wanted
        ]
        return (*super().storage(wanted, budget=budget), *waiting)


class NamelessContainers(Containers):
    """Containers that do not tell whose they are."""

    def storage(self, ids=None, *, budget=None):
        found = super().storage(ids, budget=budget)
        return tuple(attrs.evolve(each, staged_for=None) for each in found)


class SecretContainers(Containers):
    """Containers that the capabilities do not tell of."""

    changes = {}  # noqa: RUF012


class SlowDelete(SimulatedEva):
    """Deletions are under way for a while, and have no answer until then."""

    says = StorageState.DELETING
    takes_s = 500.0

    def __init__(self, **options):
        super().__init__(**options)
        self.gone_at_s = {}

    def delete_storage(self, storage, *, budget):
        dying = self.gone_at_s.get(storage)
        if dying is None:
            if not super().storage([storage]):
                return
            if self.presentations(storage) or self._state.tables.dependents_of(storage):
                super().delete_storage(storage, budget=budget)
            self.gone_at_s[storage] = self._state.clock.monotonic() + self.takes_s
        self.reap()
        if storage in self.gone_at_s:
            raise OutcomeUnknown("the deletion is under way", key=storage)

    def reap(self):
        now_s = self._state.clock.monotonic()
        for storage in [each for each, at_s in self.gone_at_s.items() if at_s <= now_s]:
            del self.gone_at_s[storage]
            super().delete_storage(storage, budget=Budget.unlimited())

    def storage(self, ids=None, *, budget=None):
        self.reap()
        return tuple(
            attrs.evolve(each, state=self.says) if each.id in self.gone_at_s else each
            for each in super().storage(ids, budget=budget)
        )


class SilentDelete(SlowDelete):
    """What is being deleted looks as if nothing happened."""

    says = StorageState.READY


class EndlessDelete(SlowDelete):
    """Deletions never end."""

    takes_s = 1e9


MUTANTS = {
    AliasingSnapshot: "snapshot differs from its instant",
    TornSet: "members are of different instants",
    PartialSet: "a member whose source is gone was not refused",
    StrictDelete: "no storage 'kit:nobody'",
    FollowingClone: "snapclone differs from its instant",
    LeakingSpace: "space did not come back",
    CommitsOnce: "committed already",
    LeakyStaging: "a discarded staging still stands in the way",
    WritableReadOnly: "storage presented read-only was written",
    LostRestore: "a restore changed its copy",
    EndlessNormalization: "normalization does not end",
    LateCommit: "a commit gave a result after its deadline",
    HalfLate: "a commit that was out of time made copies",
    ForgetsTheRest: "a member was deleted",
    EmptySets: "a set without members was not refused",
    RefusesTwins: "a source named twice: CopyConflict",
    StrayOnConflict: "left something behind",
    KeyTakenOver: "using a key that is committed for other requests was not refused",
    HidesForeign: "hides a copy that was made without frskit",
    OwnsForeign: "is listed with a set",
    IgnoresNumber: "asked for LUN 7",
    OtherNumber: "a LUN number that is taken",
    OtherReadOnly: "presenting writable what is presented read-only was not refused",
    UnpresentsAll: "hiding storage from one host changed what another one sees",
    SaysNone: "read_only is True where the capabilities say none",
    SaysStorage: "showing storage to two hosts in two ways was not refused",
    SaysNoNumbers: "asking for a number was not refused",
    NamelessContainers: "does not tell for which set it was made",
    SecretContainers: "a staging shows",
    SilentDelete: "does not say that it is being deleted",
    EndlessDelete: "a deletion does not end",
}


@pytest.mark.parametrize("array", [Containers, SlowDelete], ids=lambda each: each.__name__)
def test_arrays_of_other_habits_pass(array):
    """Staged objects that show, and deletions that take a while, are within the contract."""
    report = check_disk_array(simulated(kind=array), max_examples=examples(20))
    assert report.executed["staged objects" if array is Containers else "delete a copy"] > 0


@pytest.mark.breaks
@pytest.mark.parametrize(
    ("mutant", "words"), MUTANTS.items(), ids=lambda each: getattr(each, "__name__", "")
)
def test_kit_kills(mutant, words):
    """Each array that is wrong in one way is refused by the kit, for that reason."""
    with pytest.raises(AssertionError, match=words):
        check_disk_array(simulated(kind=mutant), max_examples=1, shrink=False)


@pytest.mark.breaks
@pytest.mark.parametrize(
    "mutant",
    [AliasingSnapshot, LeakingSpace, CommitsOnce, WritableReadOnly],
    ids=lambda each: each.__name__,
)
def test_histories_alone_kill(mutant):
    """Random histories find mistakes without the help of the fixed scenarios."""
    with pytest.raises((AssertionError, CopyConflict)):
        run_histories(simulated(kind=mutant), KitReport(), max_examples=400, steps=30, shrink=False)


def test_mutants_differ_only_in_what_they_break():
    """The mutants are whole arrays: the class they derive from passes the same run."""
    assert all(issubclass(each, SimulatedEva) for each in MUTANTS)
    check_disk_array(simulated(), max_examples=10, shrink=False)


def test_importing_the_kit_does_not_load_hypothesis():
    """The kit's module can be imported where Hypothesis is not wanted."""
    code = "import sys, frskit.testing.array.kit; sys.exit('hypothesis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.breaks
def test_a_kit_that_could_not_copy_says_so():
    """An array that refuses every copy does not pass by default."""

    class Unlicensed(SimulatedEva):
        def stage_copies(self, requests, *, key, budget):
            raise InsufficientCapacity("never")

    with pytest.raises(AssertionError):
        check_disk_array(simulated(kind=Unlicensed), max_examples=2, shrink=False)
