"""The provider kit passes on the provider over arrays, and kills providers that are wrong."""

from __future__ import annotations

import random

import attrs
import pytest
from support.examples import examples

from frskit.clock import Budget, VirtualClock
from frskit.errors import CopyConflict, NotFound, OutcomeUnknown
from frskit.eva import SimulatedEva
from frskit.model.ids import HostRef
from frskit.model.shadows import LunInformation
from frskit.testing.fakes.hardware import SmallArray
from frskit.testing.fakes.parties import Script
from frskit.testing.provider.kit import _SCENARIOS, check_provider
from frskit.vss import ArrayProvider
from frskit.vss.state_tables import ProviderState

pytestmark = pytest.mark.kits


# Parts for which a world may need more levers than it must have.
WITHOUT_LEVERS = {"abort inside", "abort beside", "failing array", "broken array"}


class World:
    """A provider over a small array."""

    def __init__(self, kind=ArrayProvider, *, levers=True):
        self.script = Script()
        self.clock = VirtualClock()
        self.array = SmallArray(self.script, ("lun1", "lun2", "lun3"))
        self.provider = kind(self.array, HostRef("evs1"), clock=self.clock)
        self.far = kind(self.array, HostRef("frs1"), clock=self.clock)
        self.luns = [LunInformation(storage=each, signature="s") for each in self.array.luns]
        self.foreign = LunInformation(storage="naa:foreign")
        self._levers = levers

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
        self.script.on("array.commit_copies!", CopyConflict("broken"))
        return self._levers

    def budget(self):
        return Budget.of(self.clock)


@pytest.mark.rule("VSS-12", "VSS-30", "VSS-32", "VSS-33", "VSS-34", "VSS-35", "VSS-54")
def test_array_provider_passes():
    """The provider over a disk array keeps the whole contract; nothing is skipped."""
    report = check_provider(World, max_examples=examples(60))
    assert set(report.skipped) <= WITHOUT_LEVERS
    assert set(_SCENARIOS) <= set(report.executed)


def test_missing_levers_are_reported():
    """What a world cannot do is named in the report, not silently passed."""
    report = check_provider(lambda: World(levers=False), max_examples=1)
    assert "failed commit" in report.skipped
    assert set(report.skipped) <= {"failed commit", *WITHOUT_LEVERS}


class ForgetsAbort(ArrayProvider):
    def abort_snapshots(self, set_id):
        pass


class DeletesCreated(ArrayProvider):
    def abort_snapshots(self, set_id):
        self.reconcile(set_id, budget=World().budget())


class AcceptsAnyOrder(ArrayProvider):
    def pre_commit_snapshots(self, set_id):
        self._state = ProviderState.PRECOMMITTED


class IgnoresTheSet(ArrayProvider):
    def end_prepare_snapshots(self, set_id, *, budget):
        super().end_prepare_snapshots(self._set_id or set_id, budget=budget)


class KeepsOldSets(ArrayProvider):
    def _clean_up(self):
        return ()


class TargetsByName(ArrayProvider):
    def get_target_luns(self, luns):
        return super().get_target_luns(sorted(luns, key=lambda each: each.storage))


class KeepsSignature(ArrayProvider):
    def _target(self, copy):
        return attrs.evolve(super()._target(copy), signature="s")


class CopiesTooEarly(ArrayProvider):
    def end_prepare_snapshots(self, set_id, *, budget):
        super().end_prepare_snapshots(set_id, budget=budget)
        self._array.commit_copies(self._staged, budget=budget)
        self._tried = True


class TwoTargets(ArrayProvider):
    def begin_prepare_snapshot(self, set_id, shadow_id, luns, kind, *, context):
        super().begin_prepare_snapshot(set_id, shadow_id, luns, kind, context=context)
        for lun in luns:
            request = self._requests[lun.storage]
            extra = attrs.evolve(request, source="naa:lun3", name=request.name + "x")
            self._requests["naa:lun3"] = extra


class RaisesForStrangers(ArrayProvider):
    def are_luns_supported(self, luns, kind, *, context):
        if not super().are_luns_supported(luns, kind, context=context):
            raise NotFound("who is that?")
        return True


class SupportsAnything(ArrayProvider):
    def are_luns_supported(self, luns, kind, *, context):
        return True


class PartlySupports(ArrayProvider):
    def are_luns_supported(self, luns, kind, *, context):
        return any(
            super(PartlySupports, self).are_luns_supported([lun], kind, context=context)
            for lun in luns
        )


class ShowsWritable(ArrayProvider):
    def locate_luns(self, luns, *, budget):
        self._check_known([each.storage for each in luns])
        for lun in luns:
            self._array.present(lun.storage, self._host, read_only=False, budget=budget)


class KeepsEmptyLuns(ArrayProvider):
    def on_lun_empty(self, lun, *, budget):
        for each in self._array.presentations(lun.storage):
            self._array.unpresent(each, budget=budget)


class DeletesOnMask(ArrayProvider):
    def on_lun_state_change(self, luns, *, mask):
        for lun in luns if mask else ():
            self.on_lun_empty(lun, budget=World().budget())


class ForgetsUnload(ArrayProvider):
    def on_unload(self):
        pass


class HidesFailure(ArrayProvider):
    def commit_snapshots(self, set_id, *, budget):
        try:
            super().commit_snapshots(set_id, budget=budget)
        except CopyConflict:
            self._state = ProviderState.COMMITTED


class ClaimsStrangers(ArrayProvider):
    def fill_in_lun_info(self, lun):
        return lun


MUTANTS = [
    ForgetsAbort,
    DeletesCreated,
    AcceptsAnyOrder,
    IgnoresTheSet,
    KeepsOldSets,
    TargetsByName,
    KeepsSignature,
    CopiesTooEarly,
    TwoTargets,
    RaisesForStrangers,
    SupportsAnything,
    PartlySupports,
    ShowsWritable,
    KeepsEmptyLuns,
    DeletesOnMask,
    ForgetsUnload,
    HidesFailure,
    ClaimsStrangers,
]


@pytest.mark.breaks
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda each: each.__name__)
def test_mutants_die(mutant):
    """A provider with this mistake does not pass the kit."""
    with pytest.raises(AssertionError):
        check_provider(lambda: World(mutant), max_examples=20)


class EvaWorld:
    """A provider over the simulated EVA, read and written through its LUNs."""

    def __init__(self):
        self.clock = VirtualClock()
        self.eva = SimulatedEva(clock=self.clock, rng=random.Random(7))
        self.eva.create_disk_group("default", size_bytes=1 << 30)
        names = ("evs1", "frs1", "probe")
        self.hosts = [
            self.eva.add_host(name, ports=[f"10000000c96cc69{number}"])
            for number, name in enumerate(names)
        ]
        ids = [
            self.eva.create_storage(f"disk{number}", 4 << 20, disk_group="default")
            for number in range(3)
        ]
        self.provider = ArrayProvider(self.eva, self.hosts[0], clock=self.clock)
        self.far = ArrayProvider(self.eva, self.hosts[1], clock=self.clock)
        self.luns = [LunInformation(storage=each) for each in ids]
        self.foreign = LunInformation(storage="naa:" + "0" * 32)

    def _through(self, storage, use):
        shown = self.eva.present(storage, self.hosts[2], read_only=False, budget=self.budget())
        try:
            return use(self.eva.open_lun(self.hosts[2], shown.access.number))
        finally:
            self.eva.unpresent(shown, budget=self.budget())

    def write(self, storage, data):
        self._through(storage, lambda device: (device.write(0, data), device.flush()))

    def read(self, storage):
        return self._through(storage, lambda device: device.read(0, 4))

    def targets(self):
        return [each.id for each in self.eva.copies()]

    def shown(self, storage):
        for each in self.eva.presentations(storage):
            if each.host == self.hosts[1]:
                return "ro" if each.read_only else "rw"
        return ""

    def break_commit(self):
        real = self.eva.commit_copies

        def lost(staged, *, budget):
            self.eva.commit_copies = real
            real(staged, budget=budget)
            raise OutcomeUnknown("the answer was lost", key=staged.key)

        self.eva.commit_copies = lost
        return True

    def budget(self):
        return Budget.of(self.clock)


@pytest.mark.rule("VSS-12", "VSS-30", "VSS-32", "VSS-34", "VSS-54", "HAZ-09")
def test_provider_over_the_simulated_eva_passes():
    """The provider keeps its contract over the simulated EVA, with snapclones that normalize."""
    report = check_provider(EvaWorld, max_examples=examples(20))
    assert set(report.skipped) == {"failing array", "broken array"}
    assert {*_SCENARIOS, "abort inside", "abort beside"} <= set(report.executed)
