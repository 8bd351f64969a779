"""The cases of the array kit with hangs, late answers and threads pass, and kill what is wrong."""

from __future__ import annotations

import random
import threading

import pytest

from frskit.clock import Budget, VirtualClock
from frskit.eva import SimulatedEva
from frskit.model.ids import CopyKey
from frskit.testing.array.strangers import run_strangers
from frskit.testing.array.world import ScsiWorld
from frskit.testing.report import KitReport

pytestmark = pytest.mark.kits

# Real seconds until a mutant that hangs is given up; what is honest comes back at once.
SHORT_S = 0.2
SIZE = 64 * 1024


def world_of(kind):
    """A world round one class of simulated array."""

    def make():
        clock = VirtualClock()
        array = kind(clock=clock, rng=random.Random(7))
        array.create_disk_group("default", size_bytes=256 << 20)
        ids = [array.create_storage(name, SIZE, disk_group="default") for name in ("one", "two")]
        return ScsiWorld(
            array,
            host=array.add_host("frs1", ports=["10000000c96cc698"]),
            production=array.add_host("evs1", ports=["10000000c96cc699"]),
            storages=ids,
            size_bytes=SIZE,
            advance=clock.advance,
            close=array.close,
        )

    return make


@pytest.mark.rule("EVA-32", "EVA-34", "HAZ-09", "HAZ-10")
def test_simulated_eva_passes():
    """It looks at its budgets before it takes its lock, so every case gets into its midst."""
    report = KitReport()
    run_strangers(world_of(SimulatedEva), report, 5.0)
    assert report.skipped == {}
    assert set(report.executed) == {"looks inside", "looks beside", "out of time", "other threads"}


class Deaf(SimulatedEva):
    """Looks at no budget."""

    def stage_copies(self, requests, *, key, budget):
        return super().stage_copies(requests, key=key, budget=Budget.unlimited())

    def commit_copies(self, staged, *, budget):
        return super().commit_copies(staged, budget=Budget.unlimited())


def test_an_array_that_looks_at_no_budget_is_told_so():
    """The kit cannot get inside, and says it."""
    report = KitReport()
    run_strangers(world_of(Deaf), report, 5.0)
    assert set(report.skipped) == {"looks inside", "looks beside"}


class Locked(SimulatedEva):
    """A lock of its own round commits and look-ups."""

    make_lock = threading.Lock

    def __init__(self, **options):
        super().__init__(**options)
        self.own = self.make_lock()

    def commit_copies(self, staged, *, budget):
        with self.own:
            return super().commit_copies(staged, budget=budget)

    def copies(self, **words):
        with self.own:
            return super().copies(**words)


class LockedBeside(Locked):
    """The same with a lock that the same thread may take twice."""

    # A function on newer Pythons, which would become a method.
    make_lock = staticmethod(threading.RLock)


class NotNow(SimulatedEva):
    """Look-ups are refused while a staging runs."""

    staging = False

    def stage_copies(self, requests, *, key, budget):
        self.staging = True
        try:
            return super().stage_copies(requests, key=key, budget=budget)
        finally:
            self.staging = False

    def presentations(self, *args, **words):
        if self.staging:
            raise ConnectionResetError("one session at a time")
        return super().presentations(*args, **words)


class HalfShown(SimulatedEva):
    """A set appears member by member while it is committed."""

    committing = None

    def commit_copies(self, staged, *, budget):
        super().commit_copies(staged, budget=Budget.unlimited())
        self.committing = staged.key
        budget.check("committing")
        self.committing = None
        return super().commit_copies(staged, budget=Budget.unlimited())

    def copies(self, *, key=None, **words):
        found = super().copies(key=key, **words)
        return found[:1] if key is not None and key == self.committing else found


class LateUnderAnotherKey(SimulatedEva):
    """A commit that was cancelled goes on under a key that nobody gave."""

    def commit_copies(self, staged, *, budget):
        try:
            return super().commit_copies(staged, budget=budget)
        except Exception:
            requests = [attrs_renamed(each) for each in staged.requests]
            late = super().stage_copies(requests, key=CopyKey("late"), budget=Budget.unlimited())
            super().commit_copies(late, budget=Budget.unlimited())
            raise


def attrs_renamed(request):
    """The same under another name."""
    import attrs

    return attrs.evolve(request, name=f"{request.name}-late")


class KeepsNames(SimulatedEva):
    """A staging that was cancelled keeps the key for itself."""

    def __init__(self, **options):
        super().__init__(**options)
        self.stuck = set()

    def stage_copies(self, requests, *, key, budget):
        if key in self.stuck:
            budget = Budget.of(self._state.clock, 0.0)
        try:
            return super().stage_copies(requests, key=key, budget=budget)
        except Exception:
            self.stuck.add(key)
            raise


class Foreign(SimulatedEva):
    """Being out of time is the socket's own error."""

    def commit_copies(self, staged, *, budget):
        if budget.remaining_s() == 0:
            raise TimeoutError("timed out")
        return super().commit_copies(staged, budget=budget)


class ThreadBound(SimulatedEva):
    """Its session belongs to the thread that staged."""

    owner = None

    def stage_copies(self, requests, *, key, budget):
        self.owner = threading.get_ident()
        return super().stage_copies(requests, key=key, budget=budget)

    def unpresent(self, presentation, *, budget):
        if threading.get_ident() != self.owner:
            raise RuntimeError("objects created in a thread can only be used in that same thread")
        super().unpresent(presentation, budget=budget)


MUTANTS = {
    Locked: "look-ups inside of a commit do not come back",
    LockedBeside: "look-ups wait for a commit that hangs",
    NotNow: "look-ups inside of a stage raised .*ConnectionResetError",
    HalfShown: "a set shows 1 of its members",
    LateUnderAnotherKey: "copies that no key finds are left",
    KeepsNames: "no set can be staged after a stage whose budget is spent",
    Foreign: "a commit whose budget is spent raised TimeoutError",
    ThreadBound: "unpresent raised RuntimeError",
}


@pytest.mark.breaks
@pytest.mark.parametrize(
    ("mutant", "words"), MUTANTS.items(), ids=lambda each: getattr(each, "__name__", "")
)
def test_mutants_die_for_their_reason(mutant, words):
    """Each array that is wrong in one way is refused, in words that say which."""
    with pytest.raises(AssertionError, match=words):
        run_strangers(world_of(mutant), KitReport(), SHORT_S)
