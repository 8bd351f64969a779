"""The simulated EVA against a naive model: flat bytes, rules and capacity written a second time.

The model shares no code with the array: content is one byte string per disk, capacity is added up
from nothing after every step, and what must be refused is decided by its own few lines.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from fractions import Fraction
from math import ceil
from pathlib import Path

import attrs
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.examples import examples

from frskit.clock import Budget, VirtualClock
from frskit.errors import (
    CopyConflict,
    CopyInvalid,
    HasDependents,
    InsufficientCapacity,
    LimitExceeded,
    NameInUse,
    PresentationFailed,
    StillPresented,
)
from frskit.eva import EVA8000, EvaCopyRequest, ExhaustionPolicy, SimulatedEva, Vraid
from frskit.model.storage import CopyKind, CopyState

pytestmark = pytest.mark.histories

MIB = 1 << 20
SEGMENT = 2 * MIB
CHUNK = 4096
RATE = MIB
COST = {Vraid.VRAID0: Fraction(1), Vraid.VRAID1: Fraction(2), Vraid.VRAID5: Fraction(5, 4)}
RANK = {Vraid.VRAID0: 0, Vraid.VRAID5: 1, Vraid.VRAID1: 2}
PROFILE = attrs.evolve(
    EVA8000, max_vdisks=9, max_lun=5, max_set_members=2, max_snapshots=2, copy_bytes_per_s=RATE
)
GROUP = 28 * MIB


class Disk:
    """A disk or copy in the model."""

    def __init__(self, name, size, vraid, *, kind=None, source=None, key=None):
        self.name = name
        self.size = size
        self.vraid = vraid
        self.kind = kind
        self.source = source
        self.key = key
        self.content = bytearray(size)
        self.own = set()  # chunks that a vsnap keeps
        self.copied = 0
        self.state = None
        if kind is not None:
            clone = kind is CopyKind.SNAPCLONE
            self.state = CopyState.NORMALIZING if clone else CopyState.DEPENDENT

    @property
    def snapshot(self):
        """A snapshot of either kind."""
        return self.kind in (CopyKind.SNAPSHOT, CopyKind.VSNAP)

    def cost(self):
        """Raw segments."""
        if self.state is CopyState.INVALID:
            usable = 0
        elif self.kind is CopyKind.VSNAP:
            usable = ceil(Fraction(len(self.own) * CHUNK, SEGMENT))
        else:
            usable = ceil(Fraction(self.size, SEGMENT))
        return ceil(usable * COST[self.vraid])


def chunks(offset, length):
    """Chunks that a range touches."""
    return set(range(offset // CHUNK, (offset + length - 1) // CHUNK + 1)) if length else set()


class Machine(RuleBasedStateMachine):
    """Rules of the machine; one array, one model."""

    directory: Path | None = None
    kind = SimulatedEva

    @initialize(policy=st.sampled_from(list(ExhaustionPolicy)), busy=st.booleans())
    def begin(self, policy, busy):
        """Make the array and one disk."""
        self.profile = attrs.evolve(PROFILE, exhaustion=policy, source_busy_while_cloning=busy)
        self.place = Path(tempfile.mkdtemp()) if self.directory else None
        self.clock = VirtualClock()
        self.budget = Budget.of(self.clock)
        self.open()
        self.array.create_disk_group("g", size_bytes=GROUP)
        self.array.add_host("h", ports=["10000000c96cc699"])
        self.disks = {}
        self.staged = {}
        self.sets = {}
        self.luns = {}
        self.count = 0
        self.create(0, Vraid.VRAID1)

    def open(self):
        """Open the array."""
        self.array = self.kind(
            profile=self.profile, clock=self.clock, rng=random.Random(1), directory=self.place
        )

    # --- the model's own idea of the rules ---------------------------------------------------

    def waiting(self):
        """Copies that are staged."""
        return [disk for _, made in self.staged.values() for disk in made]

    def used(self):
        """Raw segments in use, from nothing."""
        return sum(disk.cost() for disk in [*self.disks.values(), *self.waiting()])

    def free(self):
        """Raw segments left."""
        return GROUP // SEGMENT - self.used()

    def dependents(self, storage):
        """Copies that need this disk."""
        return [
            disk
            for disk in self.disks.values()
            if disk.source == storage and (disk.snapshot or disk.state is CopyState.NORMALIZING)
        ]

    def may_copy(self, storage, kind, vraid):
        """The error that the rules demand, or None."""
        source, needs = self.disks.get(storage), self.dependents(storage)
        if source is None:
            return Exception
        clones = [each for each in needs if each.kind is CopyKind.SNAPCLONE]
        snapshots = [each for each in needs if each.snapshot]
        if source.snapshot or source.state is CopyState.NORMALIZING:
            return CopyConflict
        if kind is CopyKind.SNAPCLONE:
            return CopyConflict if clones or snapshots else None
        if clones and self.profile.source_busy_while_cloning:
            return CopyConflict
        if RANK[vraid] > RANK[source.vraid]:
            return CopyConflict
        if any(each.kind is not kind or each.vraid is not vraid for each in snapshots):
            return CopyConflict
        return LimitExceeded if len(snapshots) >= 2 else None

    def pick(self, index):
        """A disk of the model."""
        return sorted(self.disks)[index % len(self.disks)]

    def expect(self, error, call):
        """Call, demanding this error or none; True if it succeeded."""
        if error is None:
            self.result = call()
            return True
        with pytest.raises(error):
            call()
        return False

    # --- rules -------------------------------------------------------------------------------

    @rule(size=st.integers(0, 2), vraid=st.sampled_from(list(COST)))
    def create(self, size, vraid):
        """Make a disk."""
        self.make((SEGMENT + 3 * CHUNK, SEGMENT, 9 * CHUNK + 512)[size], vraid)

    @precondition(lambda self: any(each.own or each.state for each in self.disks.values()))
    @rule()
    def fill(self):
        """Take all that is left of the group."""
        if self.free():
            self.make(self.free() * SEGMENT, Vraid.VRAID0)

    def make(self, size, vraid):
        """Make a disk."""
        self.count += 1
        disk = Disk(f"d{self.count}", size, vraid)
        error = None
        if len(self.disks) + len(self.waiting()) >= 9:
            error = LimitExceeded
        elif disk.cost() > self.free():
            error = InsufficientCapacity
        if self.expect(
            error,
            lambda: self.array.create_storage(disk.name, size, disk_group="g", vraid=vraid),
        ):
            self.disks[self.result] = disk

    @rule(
        kind=st.sampled_from(list(CopyKind)),
        members=st.lists(st.integers(0, 8), min_size=1, max_size=3, unique=True),
        vraid=st.sampled_from([None, *COST]),
        commit=st.booleans(),
    )
    def stage(self, kind, members, vraid, commit):
        """Stage a set, and commit it if wished."""
        self.count += 1
        key = f"k{self.count}"
        sources = list(dict.fromkeys(self.pick(each) for each in members))
        made, error = [], None
        if len(sources) > 2 or len(self.disks) + len(self.waiting()) + len(sources) > 9:
            error = LimitExceeded
        for storage in sources:
            source = self.disks[storage]
            of = vraid or source.vraid
            error = error or self.may_copy(storage, kind, of)
            made.append(
                Disk(f"{key}-{len(made)}", source.size, of, kind=kind, source=storage, key=key)
            )
        if error is None and sum(each.cost() for each in made) > self.free():
            error = InsufficientCapacity
        requests = [
            EvaCopyRequest(source=each.source, kind=kind, name=each.name, vraid=vraid)
            for each in made
        ]
        if self.expect(
            error, lambda: self.array.stage_copies(requests, key=key, budget=self.budget)
        ):
            self.staged[key] = (self.result, made)
            if commit:
                self.commit(-1)

    @rule(
        first=st.sampled_from(list(CopyKind)),
        second=st.sampled_from(list(CopyKind)),
        index=st.integers(0, 8),
    )
    def race(self, first, second, index):
        """Two sets of one source are staged; the second is committed before the first."""
        self.stage(first, [index], None, commit=False)
        self.stage(second, [index], None, commit=True)
        if self.staged:
            self.commit(-1)

    @precondition(lambda self: self.staged)
    @rule(index=st.integers(0, 3))
    def commit(self, index):
        """Commit a staged set."""
        key = list(self.staged)[index if index < 0 else index % len(self.staged)]
        staged, made = self.staged[key]
        errors = [self.may_copy(each.source, each.kind, each.vraid) for each in made]
        error = next((each for each in errors if each), None)
        if error is None and any(self.disks[each.source].size != each.size for each in made):
            error = CopyConflict
        if not self.expect(error, lambda: self.array.commit_copies(staged, budget=self.budget)):
            assert self.array.copies(key=key) == ()
            return
        del self.staged[key]
        self.sets[key] = [each.id for each in self.result]
        for copy, disk in zip(self.result, made, strict=True):
            disk.content[:] = self.disks[disk.source].content
            self.disks[copy.id] = disk
        assert self.array.commit_copies(staged, budget=self.budget) == self.result

    @precondition(lambda self: self.staged)
    @rule(index=st.integers(0, 3))
    def discard_staged(self, index):
        """Forget a staged set."""
        key = list(self.staged)[index % len(self.staged)]
        del self.staged[key]
        self.array.discard_staged(key)

    @rule(index=st.integers(0, 8), read_only=st.booleans())
    def present(self, index, read_only):
        """Present to the host, lowest number first."""
        storage = self.pick(index)
        error = None
        if self.disks[storage].state is CopyState.INVALID:
            error = CopyInvalid
        elif storage in self.luns:
            error = None if self.luns[storage][1] == read_only else PresentationFailed
        elif len(self.luns) >= 5:
            error = PresentationFailed
        taken = {number for number, _ in self.luns.values()}
        number = min(set(range(1, 7)) - taken)
        if self.expect(
            error,
            lambda: self.array.present(storage, "h", read_only=read_only, budget=self.budget),
        ):
            self.luns.setdefault(storage, (number, read_only))
            assert self.result.access.number == self.luns[storage][0]

    @precondition(lambda self: self.luns)
    @rule(index=st.integers(0, 8))
    def unpresent(self, index):
        """Hide a disk."""
        storage = sorted(self.luns)[index % len(self.luns)]
        [shown] = self.array.presentations(storage)
        self.array.unpresent(shown, budget=self.budget)
        del self.luns[storage]

    @rule(
        index=st.integers(0, 8),
        offset=st.integers(0, SEGMENT + 3 * CHUNK),
        length=st.sampled_from([1, 512, CHUNK, 5 * CHUNK + 7, SEGMENT]),
        fill=st.integers(0, 255),
    )
    def write(self, index, offset, length, fill):
        """Write (or, with fill 0, discard) through a LUN."""
        storage = self.pick(index)
        if storage not in self.luns:
            self.present(index, read_only=False)
        if self.luns.get(storage, (0, True))[1]:
            return
        disk = self.disks[storage]
        offset %= disk.size
        length = min(length, disk.size - offset)
        error = CopyInvalid if disk.state is CopyState.INVALID else None
        if error is None:
            error = self.preserve(storage, chunks(offset, length))
        device = self.array.open_lun("h", self.luns[storage][0])
        data = bytes([fill]) * length
        if self.expect(
            error,
            lambda: device.write(offset, data) if fill else device.discard(offset, length),
        ):
            disk.content[offset : offset + length] = data
            device.flush()

    @rule(index=st.integers(0, 8), copies=st.integers(1, 2), fill=st.integers(1, 255))
    def squeeze(self, index, copies, fill):
        """Snapshots of one source in a group that is nearly full, and writes to the source."""
        for _ in range(copies):
            self.stage(CopyKind.VSNAP, [index], None, commit=True)
        self.write(index, 0, CHUNK, fill)
        self.fill()
        self.write(index, SEGMENT, SEGMENT, fill)
        self.write(index, 0, SEGMENT, fill)

    def preserve(self, storage, touched):
        """Let vsnaps keep these chunks, as policy allows; the error if the write must fail."""
        disk = self.disks[storage]
        targets = (
            [disk]
            if disk.kind is CopyKind.VSNAP
            else [
                each
                for each in self.dependents(storage)
                if each.kind is CopyKind.VSNAP and each.state is CopyState.DEPENDENT
            ]
        )
        free = self.free() + sum(each.cost() for each in targets)
        kept = [set(each.own) for each in targets]
        for each in targets:
            each.own |= touched
        blocks = self.profile.exhaustion is ExhaustionPolicy.BLOCK_WRITES
        grows = any(each.own != own for each, own in zip(targets, kept, strict=True))
        if grows and sum(each.cost() for each in targets) > free:
            if blocks or targets == [disk]:
                for each, own in zip(targets, kept, strict=True):
                    each.own = own
                return InsufficientCapacity
            while sum(each.cost() for each in targets) > free:
                oldest = next(each for each in targets if each.state is CopyState.DEPENDENT)
                oldest.state, oldest.own = CopyState.INVALID, set()
        return None

    @rule(index=st.integers(0, 8))
    def delete(self, index):
        """Delete a disk or copy."""
        storage = self.pick(index)
        error = HasDependents if self.dependents(storage) else None
        if storage in self.luns:
            error = StillPresented
        if len(self.disks) == 1:
            return
        if self.expect(error, lambda: self.array.delete_storage(storage, budget=self.budget)):
            del self.disks[storage]
            self.array.delete_storage(storage, budget=self.budget)

    @rule(index=st.integers(0, 8), chunks=st.integers(1, 520))
    def resize(self, index, chunks):
        """Resize a disk."""
        storage = self.pick(index)
        disk, size = self.disks[storage], chunks * CHUNK
        grown = Disk("", size, disk.vraid)
        error = None
        if disk.snapshot or disk.state is CopyState.NORMALIZING:
            error = CopyConflict
        elif size < disk.size and storage in self.luns:
            error = StillPresented
        elif self.dependents(storage):
            error = HasDependents
        elif grown.cost() - disk.cost() > self.free():
            error = InsufficientCapacity
        if self.expect(error, lambda: self.array.resize_storage(storage, size)):
            disk.content = (disk.content + bytes(size))[:size]
            disk.size = size
            disk.copied = size if disk.kind else 0

    @rule(index=st.integers(0, 8))
    def restore(self, index):
        """Restore a copy into its source."""
        storage = self.pick(index)
        copy = self.disks[storage]
        target = self.disks.get(copy.source)
        if target is None:
            return
        others = [
            each
            for each in self.dependents(copy.source)
            if each.kind is CopyKind.VSNAP
            and each.state is CopyState.DEPENDENT
            and each is not copy
        ]
        changed = copy.own if copy.kind is CopyKind.VSNAP else chunks(0, copy.size)
        before = [set(each.own) for each in others]
        room = self.free() + sum(each.cost() for each in others)
        error = None
        if copy.state is CopyState.INVALID:
            error = CopyInvalid
        elif copy.size != target.size or target.snapshot:  # noqa: SIM114  # a rule each
            error = CopyConflict
        elif CopyState.NORMALIZING in (copy.state, target.state) or any(
            each.kind is CopyKind.SNAPCLONE for each in self.dependents(copy.source)
        ):
            error = CopyConflict
        elif copy.source in self.luns:
            error = StillPresented
        if error is None:
            for each in others:
                each.own |= changed
            if sum(each.cost() for each in others) > room:
                error = InsufficientCapacity
                for each, own in zip(others, before, strict=True):
                    each.own = own
        if self.expect(
            error,
            lambda: self.array.restore_storage(copy.source, storage, budget=self.budget),
        ):
            target.content[:] = copy.content

    @rule(index=st.integers(0, 8), other=st.integers(0, 8))
    def rename(self, index, other):
        """Take a new name, or try to take another disk's."""
        storage = self.pick(index)
        self.count += 1
        taken = self.disks[self.pick(other)].name
        if storage != self.pick(other):
            self.expect(NameInUse, lambda: self.array.rename_storage(storage, taken))
        self.array.rename_storage(storage, f"n{self.count}")
        self.disks[storage].name = f"n{self.count}"

    @rule(quarters=st.integers(0, 12), asks=st.booleans())
    def advance(self, quarters, asks):
        """Let time pass; snapclones normalize in their order."""
        self.clock.advance(quarters / 4)
        credit = quarters * RATE // 4
        for disk in self.disks.values():
            if disk.state is CopyState.NORMALIZING:
                step = min(credit, disk.size - disk.copied)
                disk.copied += step
                credit -= step
                if disk.copied == disk.size:
                    disk.state = CopyState.INDEPENDENT
        if asks:
            self.array.copies()

    @rule()
    def restart(self):
        """Close and reopen a durable array."""
        if self.place is not None:
            self.array.close()
            self.open()

    # --- what always holds -------------------------------------------------------------------

    @invariant()
    def lists_agree(self):
        """Storage, copies, presentations and capacity are what the model says."""
        if not hasattr(self, "disks"):
            return
        listed = {each.id: (each.name, each.size_bytes) for each in self.array.storage()}
        assert listed == {key: (disk.name, disk.size) for key, disk in self.disks.items()}
        copies = {
            each.id: (each.source, each.kind, each.state, each.key, each.copied_bytes or 0)
            for each in self.array.copies()
        }
        assert copies == {
            key: (disk.source, disk.kind, disk.state, disk.key, disk.copied)
            for key, disk in self.disks.items()
            if disk.kind
        }
        for key, members in self.sets.items():
            alive = [each for each in members if each in self.disks]
            assert [each.id for each in self.array.copies(key=key)] == alive
        shown = {
            each.storage: (each.access.number, each.read_only)
            for each in self.array.presentations()
        }
        assert shown == self.luns
        [group] = self.array.disk_groups()
        assert group.used_bytes == self.used() * SEGMENT
        assert group.used_bytes <= group.total_bytes == GROUP
        assert set(self.array.staged_keys()) == set(self.staged)

    @invariant()
    def contents_agree(self):
        """Every valid disk holds the model's bytes, presented or not."""
        if not hasattr(self, "disks"):
            return
        for storage, disk in self.disks.items():
            record = self.array.virtual_disk(storage)
            assert (record.volume < 0) == (disk.state is CopyState.INVALID)
            if record.volume >= 0:
                assert self.array._state.store.read(record.volume, 0, disk.size) == disk.content

    def teardown(self):
        """The block store's books agree; when everything is deleted nothing is left."""
        if not hasattr(self, "array"):
            return
        array = self.array
        array.check()
        for shown in array.presentations():
            array.unpresent(shown, budget=self.budget)
        for key in list(self.staged):
            array.discard_staged(key)
        self.clock.advance(1e6)
        for storage in sorted(self.disks, key=lambda each: not self.disks[each].snapshot):
            array.delete_storage(storage, budget=self.budget)
        assert array.disk_groups()[0].used_bytes == 0
        assert array._state.store.bytes_in_use == 0
        array.close()
        if self.place is not None:
            shutil.rmtree(self.place)


class DurableMachine(Machine):
    """The same in a directory, with restarts."""

    directory = Path()


@pytest.mark.rule(
    *[f"EVA-{number:02d}" for number in (*range(1, 13), *range(16, 33), 34, 36, 37, 38)],
    *[f"EVA-{number:02d}" for number in (44, 59, 60, 61, 66)],
)
def test_array_against_model():
    """Random histories: every refusal, byte, number and segment is what the model says."""
    run_state_machine_as_test(
        Machine, settings=settings(max_examples=examples(60), stateful_step_count=40, deadline=None)
    )


def test_durable_array_against_model():
    """The same histories in a directory, with restarts in any place."""
    run_state_machine_as_test(
        DurableMachine,
        settings=settings(max_examples=examples(8), stateful_step_count=25, deadline=None),
    )


class ForgetsChunks(SimulatedEva):
    """Mutant: a snapshot's own writes are not charged."""

    def __init__(self, **options):
        super().__init__(**options)
        plain = self._vsnaps.preserve

        def preserve(disk, offset, length):
            if disk.kind is not CopyKind.VSNAP:
                plain(disk, offset, length)

        self._vsnaps.preserve = preserve


class TrustsStaging(SimulatedEva):
    """Mutant: commit does not check the rules again."""

    def commit_copies(self, staged, *, budget):
        self._copy_sets._checked = (staged.key, self._state.tables.revision)
        return super().commit_copies(staged, budget=budget)


class DropsSource(SimulatedEva):
    """Mutant: an invalid snapshot no longer holds its source."""

    def __init__(self, **options):
        super().__init__(**options)
        plain = self._vsnaps.invalidate

        def invalidate(disk):
            plain(disk)
            self._state.tables.dependents.rows.pop(disk.source, None)

        self._vsnaps.invalidate = invalidate


@pytest.mark.breaks
@pytest.mark.parametrize(
    "mutant", [ForgetsChunks, TrustsStaging, DropsSource], ids=lambda each: each.__name__
)
def test_model_kills(mutant):
    """The machine is worth its time: small mistakes in an array are found."""
    machine = type("MutantMachine", (Machine,), {"kind": mutant})
    with pytest.raises(BaseException) as caught:  # noqa: PT011  # a group, or any error
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=300,
                stateful_step_count=40,
                deadline=None,
                phases=[Phase.generate],
                report_multiple_bugs=False,
            ),
        )
    assert not isinstance(caught.value, (KeyboardInterrupt, SystemExit))
