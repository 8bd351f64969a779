"""The newer parts of the provider kit pass on the provider over arrays, and kill what is wrong."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import pytest

from frskit.clock import Budget, SystemClock, VirtualClock
from frskit.errors import ProviderError, ProviderVeto
from frskit.model.ids import HostRef
from frskit.model.shadows import LunInformation
from frskit.testing.fakes.hardware import SmallArray
from frskit.testing.fakes.parties import Script
from frskit.testing.provider.kit import check_provider
from frskit.testing.provider.strangers import stranger_cases
from frskit.vss import ArrayProvider

pytestmark = pytest.mark.kits

# Real seconds until a mutant that hangs is given up; what is honest comes back at once.
SHORT_S = 0.2
CALLS = {
    "storage",
    "copies",
    "presentations",
    "stage_copies",
    "commit_copies",
    "discard_staged",
    "delete_storage",
    "present",
    "unpresent",
}


class MoodyArray(SmallArray):
    """An array whose every call can be made to fail."""

    broken = False

    def __getattribute__(self, name):
        if name in CALLS and object.__getattribute__(self, "broken"):
            raise ZeroDivisionError("vendor bug")
        return object.__getattribute__(self, name)


class World:
    """A provider over a small array, with every lever."""

    def __init__(self, kind=ArrayProvider, *, clock=None):
        self.script = Script()
        self.clock = clock or VirtualClock()
        self.array = MoodyArray(self.script, ("lun1", "lun2", "lun3"))
        self.provider = kind(self.array, HostRef("evs1"), clock=self.clock)
        self.far = kind(self.array, HostRef("frs1"), clock=self.clock)
        self.luns = [LunInformation(storage=each, signature="s") for each in self.array.luns]
        self.foreign = LunInformation(storage="naa:foreign")

    def write(self, storage, data):
        self.array.write(storage, data)

    def read(self, storage):
        return self.array.read(storage)

    def targets(self):
        return [each for each, lun in self.array.luns.items() if lun.copy]

    def shown(self, storage):
        for each in self.array.presentations(storage):
            if each.host == "frs1":
                return "ro" if each.read_only else "rw"
        return ""

    def break_commit(self):
        self.script.on("array.commit_copies!", ZeroDivisionError("vendor bug"))
        return True

    def budget(self):
        return Budget.of(self.clock)

    def during_array_call(self, action, *, after):
        steps = [f"array.{each}_copies" + "!" * after for each in ("stage", "commit")]

        def once():
            for each in steps:
                self.script.faults.pop(each, None)
            action()

        for each in steps:
            self.script.on(each, once)

    @contextmanager
    def broken(self):
        self.array.broken = True
        try:
            yield
        finally:
            self.array.broken = False


@pytest.mark.rule("VSS-29", "VSS-30", "VSS-33")
@pytest.mark.parametrize("clock", [VirtualClock, SystemClock])
def test_array_provider_passes_with_every_lever(clock):
    """On an array that hangs, fails and answers late; on the machine's clock, too."""
    report = check_provider(lambda: World(clock=clock()), max_examples=1)
    assert report.skipped == {}
    assert set(stranger_cases(SHORT_S)) <= set(report.executed)


class Locked(ArrayProvider):
    """One lock round every call."""

    make_lock = threading.Lock

    def __init__(self, *args, **words):
        super().__init__(*args, **words)
        self.lock = self.make_lock()

    def end_prepare_snapshots(self, set_id, *, budget):
        with self.lock:
            super().end_prepare_snapshots(set_id, budget=budget)

    def commit_snapshots(self, set_id, *, budget):
        with self.lock:
            super().commit_snapshots(set_id, budget=budget)


class AbortWaits(Locked):
    """AbortSnapshots takes the lock that the others have."""

    def abort_snapshots(self, set_id):
        with self.lock:
            super().abort_snapshots(set_id)


class AbortWaitsBeside(AbortWaits):
    """The same with a lock that the same thread may take twice."""

    # A function on newer Pythons, which would become a method.
    make_lock = staticmethod(threading.RLock)


class UnloadWaits(Locked):
    """OnUnload waits, AbortSnapshots does not."""

    # A function on newer Pythons, which would become a method.
    make_lock = staticmethod(threading.RLock)

    def on_unload(self):
        with self.lock:
            super().on_unload()


class AbortRefused(ArrayProvider):
    """AbortSnapshots is no legal call while another one runs."""

    running = False

    def commit_snapshots(self, set_id, *, budget):
        self.running = True
        try:
            super().commit_snapshots(set_id, budget=budget)
        finally:
            self.running = False

    def abort_snapshots(self, set_id):
        if self.running:
            raise ProviderVeto("not now")
        super().abort_snapshots(set_id)


class AbortsOnce(ArrayProvider):
    """A set that was aborted under a commit needs no second look, whatever the commit did since."""

    running, done = False, None

    def commit_snapshots(self, set_id, *, budget):
        self.running = True
        try:
            super().commit_snapshots(set_id, budget=budget)
        finally:
            self.running = False

    def abort_snapshots(self, set_id):
        if self.running:
            self.done = set_id
        elif self.done != set_id:
            super().abort_snapshots(set_id)


class LooksOnlyAfterSuccess(ArrayProvider):
    """What did not answer did not happen."""

    def commit_snapshots(self, set_id, *, budget):
        try:
            super().commit_snapshots(set_id, budget=budget)
        except BaseException:
            self._tried = False
            raise


class NothingTriedWhenLate(ArrayProvider):
    """A commit that comes too late is refused, and what it made forgotten."""

    def commit_snapshots(self, set_id, *, budget):
        super().commit_snapshots(set_id, budget=budget)
        if budget.remaining_s() == 0:
            self._tried = False
            budget.check("committing")


class LeaksForeign(ArrayProvider):
    """The array's own errors come out as they are."""

    def end_prepare_snapshots(self, set_id, *, budget):
        ArrayProvider.end_prepare_snapshots.__wrapped__(self, set_id, budget=budget)


class LeaksForeignLooks(ArrayProvider):
    """The array's own errors come out as they are where it only looks."""

    def fill_in_lun_info(self, lun):
        return ArrayProvider.fill_in_lun_info.__wrapped__(self, lun)


class HidesFailure(ArrayProvider):
    """Whatever the array says in a staging, the next step will show it."""

    def end_prepare_snapshots(self, set_id, *, budget):
        try:
            super().end_prepare_snapshots(set_id, budget=budget)
        except ProviderVeto:
            raise
        except ProviderError:
            self._tried = True


class SupportsUnlessRefused(ArrayProvider):
    """Only errors that it knows mean no."""

    def are_luns_supported(self, luns, kind, *, context):
        self._array.storage([each.storage for each in luns])
        return super().are_luns_supported(luns, kind, context=context)


class ForgetsLeftovers(ArrayProvider):
    """Says that something is left, and not what."""

    def abort_snapshots(self, set_id):
        try:
            super().abort_snapshots(set_id)
        except ProviderVeto as error:
            error.leftovers = ()
            raise


class QuietAbort(ArrayProvider):
    """A clean-up never fails."""

    def abort_snapshots(self, set_id):
        try:
            super().abort_snapshots(set_id)
        except ProviderVeto:
            return


class ThreadBound(ArrayProvider):
    """Its session at the array belongs to the thread that opened it."""

    def begin_prepare_snapshot(self, *args, **words):
        super().begin_prepare_snapshot(*args, **words)
        self.owner = threading.get_ident()

    def pre_commit_snapshots(self, set_id):
        if threading.get_ident() != self.owner:
            raise RuntimeError("CoInitialize has not been called")
        super().pre_commit_snapshots(set_id)


MUTANTS = {
    AbortWaits: "abort inside of end does not come back",
    AbortWaitsBeside: "abort waits for end, which hangs",
    UnloadWaits: "unload waits for end, which hangs",
    AbortRefused: "abort inside of commit raised .*not now",
    AbortsOnce: "2 targets are left after a commit that answered after abort",
    LooksOnlyAfterSuccess: "VSS-30: a target is left after a failed commit",
    NothingTriedWhenLate: "2 targets are left after a commit whose budget is spent",
    LeaksForeign: "end on an array that fails raised ZeroDivisionError",
    LeaksForeignLooks: "FillInLunInfo of a broken array raised ZeroDivisionError",
    HidesFailure: "end hid that the array failed",
    SupportsUnlessRefused: "AreLunsSupported raised ZeroDivisionError",
    ForgetsLeftovers: "does not name what is left",
    QuietAbort: "AbortSnapshots hid that it could not look",
    ThreadBound: "pre raised RuntimeError",
}


@pytest.mark.breaks
@pytest.mark.parametrize(
    ("mutant", "words"), MUTANTS.items(), ids=lambda each: getattr(each, "__name__", "")
)
def test_mutants_die_for_their_reason(mutant, words):
    """Each provider that is wrong in one way is refused, in words that say which."""
    with pytest.raises(AssertionError, match=words):
        check_provider(lambda: World(mutant), max_examples=1, patience_s=SHORT_S)
