"""A small array with levers, for the tests of the simulated EVA."""

from __future__ import annotations

import random

import pytest

from frskit.clock import Budget, VirtualClock
from frskit.eva import EVA8000, SimulatedEva
from frskit.model.ids import CopyKey
from frskit.model.storage import CopyKind, CopyRequest

MIB = 1 << 20


class Bench:
    """One array, one group of 1 GiB, two hosts, and short names for what tests do."""

    def __init__(self, profile=EVA8000, *, directory=None, group_bytes=1 << 30, seed=3):
        self.clock = VirtualClock()
        self.budget = Budget.of(self.clock)
        self.directory = directory
        self.profile = profile
        self.number = 0
        self.open(seed)
        if not self.array.disk_groups():
            self.array.create_disk_group("default", size_bytes=group_bytes)
            self.array.add_host("evs1", ports=["1000-0000-C96C-C699"])
            self.array.add_host("frs1", ports=["1000-0000-C96C-C698"])

    def open(self, seed=3):
        """Open the array (again)."""
        self.array = SimulatedEva(
            profile=self.profile,
            clock=self.clock,
            rng=random.Random(seed),
            directory=self.directory,
        )
        return self.array

    def reopen(self):
        """Close and open again."""
        self.array.close()
        return self.open()

    def disk(self, name="data", size_bytes=8 * MIB, *, shown=True, **more):
        """A virtual disk, presented to production."""
        storage = self.array.create_storage(name, size_bytes, disk_group="default", **more)
        if shown:
            self.show(storage, "evs1")
        return storage

    def show(self, storage, host="frs1", *, read_only=False):
        """Present."""
        return self.array.present(storage, host, read_only=read_only, budget=self.budget)

    def hide(self, storage):
        """Unpresent from everybody."""
        for each in self.array.presentations(storage):
            self.array.unpresent(each, budget=self.budget)

    def device(self, storage, host=None):
        """The device behind a presentation; presents to the recovery host if there is none."""
        shown = [
            each for each in self.array.presentations(storage) if host is None or each.host == host
        ]
        if not shown:
            shown = [self.show(storage)]
        return self.array.open_lun(shown[0].host, shown[0].access.number)

    def stage(self, kind, *sources, key=None, request=CopyRequest, **more):
        """Stage a set."""
        self.number += 1
        requests = [request(source=each, kind=kind, **more) for each in sources]
        key = CopyKey(key or f"set{self.number}")
        return self.array.stage_copies(requests, key=key, budget=self.budget)

    def copy(self, kind, *sources, key=None, **more):
        """Stage and commit a set; the copies, or the only one."""
        staged = self.stage(kind, *sources, key=key, **more)
        made = self.array.commit_copies(staged, budget=self.budget)
        return made[0] if len(made) == 1 else made

    def delete(self, storage):
        """Hide and delete."""
        self.hide(storage)
        self.array.delete_storage(storage, budget=self.budget)

    def state(self, storage):
        """State of a copy now."""
        return next(each for each in self.array.copies() if each.id == storage).state

    def used(self):
        """Bytes used in the group."""
        return self.array.disk_groups()[0].used_bytes

    def picture(self):
        """Everything that a failed command must leave alone."""
        array = self.array
        return (
            array.storage(),
            array.copies(),
            array.presentations(),
            array.disk_groups(),
            array.hosts(),
            array.staged_keys(),
            array._state.record.numbering,
            dict(array._state.tables.names.rows),
            dict(array._state.tables.dependents.rows),
            array._state.store.bytes_in_use,
        )


@pytest.fixture
def make_bench():
    """Factory of benches that are closed at the end."""
    made = []

    def make(*arguments, **named):
        made.append(Bench(*arguments, **named))
        return made[-1]

    yield make
    for each in made:
        each.array.close()


@pytest.fixture
def bench(make_bench):
    """One bench in memory."""
    return make_bench()


@pytest.fixture(params=list(CopyKind), ids=lambda kind: kind.value)
def kind(request):
    """Every kind of copy."""
    return request.param
