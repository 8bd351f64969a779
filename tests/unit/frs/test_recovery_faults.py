"""A fault at every outside call of a recovery: undone, or what was not undone is named."""

from __future__ import annotations

import pytest
from support.faults import Fault, places

import frskit
from frskit import BackupType, CopyLife, RecoveryMethod, RecoveryMode
from frskit.errors import ArrayError, FrskitError, HostError, RecoveryFailed, RecoveryPrecondition


def state(site):
    """What must be as before after an undone recovery."""
    volumes = {
        volume.mount_points: (tuple(sorted(volume.storages)), volume.read_only)
        for volume in site.parties.production.volumes()
    }
    shown = {(each.storage, each.host, each.read_only) for each in site.eva.presentations()}
    databases = [
        (each.name, each.state, each.items) for each in site.status("evs1", "sg1").databases
    ]
    return volumes, shown, databases


def attempt(site, copy, mode, method, party, name, at, *, after, error):
    """Recover with a fault; return the fault and the error, if any."""
    plan = site.frs.plan_recovery(copy.id, mode=mode, method=method)
    fault = Fault(party, name, error, at=at, after=after)
    try:
        site.frs.recover(plan)
    except FrskitError as caught:
        return fault, caught
    finally:
        fault.remove()
    return fault, None


PLACES = [
    ("eva", "present", ArrayError),
    ("eva", "unpresent", ArrayError),
    ("production", "attach", HostError),
    ("production", "detach", HostError),
    ("production", "rescan", HostError),
    ("production", "set_flags", HostError),
]


@pytest.mark.faults
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("party", "name", "error"), PLACES, ids=[each[1] for each in PLACES])
@pytest.mark.parametrize("mode", list(RecoveryMode), ids=lambda each: each.value)
def test_a_failed_swap_is_undone(mode, party, name, error, after):
    """At every call: production is as before and mounted again, or the error names the rest."""
    for at in places(30):
        with frskit.lab(seed=6) as site:
            site.deliver("evs1", "sg1", messages=20)
            copy = site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
            site.deliver("evs1", "sg1", messages=10)
            before = state(site)
            where = getattr(site.parties, party)
            fault, caught = attempt(
                site, copy, mode, RecoveryMethod.SWAP, where, name, at, after=after, error=error
            )
            if not fault.fired:
                assert at > 1
                assert caught is None
                return
            if caught is None:
                continue
            if isinstance(caught, RecoveryFailed) and not caught.leftovers:
                assert state(site) == before
                if site.frs.copy(copy.id).life is not CopyLife.CONSUMED:
                    report = site.frs.recover(site.frs.plan_recovery(copy.id, mode=mode))
                    want = 20 if mode is RecoveryMode.POINT_IN_TIME else 30
                    assert sum(each.items for each in report.after.databases) == want
            elif isinstance(caught, RecoveryPrecondition) or caught.leftovers:
                continue
            else:
                assert state(site) == before


@pytest.mark.rule("FRS-31", "FRS-32")
def test_a_refused_or_only_planned_recovery_changes_nothing():
    """Planning, and a plan that has become stale, leave array, mounts and files as they were."""
    with frskit.lab(seed=6) as site:
        site.deliver("evs1", "sg1", messages=20)
        copy = site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
        before = state(site)
        plans = [
            site.frs.plan_recovery(copy.id, mode=mode, method=method)
            for mode in RecoveryMode
            for method in (RecoveryMethod.SWAP, RecoveryMethod.COPY_BACK)
        ]
        assert state(site) == before
        site.frs.recover(plans[0])
        consumed = state(site)
        with pytest.raises(RecoveryPrecondition):
            site.frs.recover(plans[2])
        assert state(site) == consumed


@pytest.mark.rule("HAZ-24", "HAZ-25", "FRS-33")
def test_a_swap_uses_the_copy_up_and_keeps_the_old_luns():
    """After a swap: copy consumed, old LUNs named as displaced, lineage joined, nothing deleted."""
    with frskit.lab(seed=6) as site:
        site.deliver("evs1", "sg1", messages=20)
        copy = site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
        old = set(site.parties.production_luns())
        plan = site.frs.plan_recovery(copy.id, mode=RecoveryMode.POINT_IN_TIME)
        said = " ".join(plan.warnings)
        assert "the copy is used up" in said
        assert "production runs on its LUNs" in said
        assert "take a new copy" in said
        report = site.frs.recover(plan)
        assert set(report.displaced) == old
        assert {member.storage for member in copy.members} == site.parties.production_luns()
        assert site.frs.copy(copy.id).life is CopyLife.CONSUMED
        for member in copy.members:
            assert site.parts.catalog.lineage(member.source) >= {member.source, member.storage}
        assert {each.id for each in site.eva.storage()} >= old
        site.frs.delete_copy(copy.id)
        assert site.status("evs1", "sg1").databases[0].items == 20
        again = site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
        assert {member.source for member in again.members} == site.parties.production_luns()
