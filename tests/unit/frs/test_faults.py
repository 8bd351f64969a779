"""A fault at every outside call of a copy: thawed, logs kept, nothing unnamed left behind."""

from __future__ import annotations

import pytest
from support.faults import Fault, places
from support.labs import closed_logs

import frskit
from frskit import BackupType, CopyLife, Verdict
from frskit.clock import Budget
from frskit.errors import ArrayError, FrskitError, HostError
from frskit.model.components import WriterState

pytestmark = pytest.mark.faults

ARRAY_CALLS = ("stage_copies", "commit_copies", "present", "unpresent", "copies")
RECOVERY_CALLS = ("rescan", "attach", "detach", "files")


def check_after(site, before, older):
    """What must hold after any copy, failed or not."""
    (state,) = site.parties.services[0].writer_states(budget=Budget.of(site.parts.clock))
    assert state.state in (WriterState.STABLE, WriterState.FAILED_AT_FREEZE) or state.failure
    assert not site.exchange.group("sg1").busy
    site.deliver("evs1", "sg1", messages=1)
    assert site.frs.copy(older.id).recoverable
    verified = {
        copy.id
        for copy in site.frs.copies()
        if copy.verdict is Verdict.VERIFIED and copy.id != older.id
    }
    if not verified:
        after = closed_logs(site)
        assert {name: after.get(name) for name in before} == before
    for disk in site.parties.production.disks():
        assert not disk.flags.hidden, "a flag stayed on a production LUN"


def orphans(site):
    """Copies on the array that no record owns, and what records name as left behind."""
    owned = set()
    for copy in site.frs.copies():
        owned |= {member.storage for member in copy.members}
    return [each.id for each in site.eva.copies() if each.id not in owned]


def prepared():
    """A lab with one verified copy and newer mail."""
    site = frskit.lab(seed=5)
    site.deliver("evs1", "sg1", messages=20)
    older = site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
    site.deliver("evs1", "sg1", messages=20)
    site.exchange.group("sg1").roll()
    return site, older


def sweep(party_of, method, *, after, lasting, error):
    """Run a copy with the fault at call 1, 2, 3 ... until it no longer fires."""
    for at in places(40):
        site, older = prepared()
        with site:
            before = closed_logs(site)
            fault = Fault(party_of(site), method, error, at=at, after=after, lasting=lasting)
            try:
                site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
            except FrskitError as caught:
                assert caught.copy is not None
                assert caught.stage
                failed = caught
            else:
                failed = None
            finally:
                fault.remove()
            check_after(site, before, older)
            if not fault.fired:
                return at
            if failed is not None and not failed.leftovers:
                assert orphans(site) == []
            site.frs.resume()
            assert orphans(site) == []
            again = site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
            assert again.recoverable
    return None


@pytest.mark.rule("FRS-49")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("method", ARRAY_CALLS)
def test_array_faults(method, after):
    """An array call that fails, with or without effect, leaves no orphan and no frozen writer."""
    assert sweep(lambda site: site.eva, method, after=after, lasting=False, error=ArrayError) > 1


@pytest.mark.rule("FRS-49")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("method", RECOVERY_CALLS)
def test_recovery_server_faults(method, after):
    """A recovery server that fails costs the copy, never the logs or an older copy."""
    assert (
        sweep(
            lambda site: site.parties.recovery, method, after=after, lasting=False, error=HostError
        )
        > 1
    )


def test_a_lasting_fault_names_what_it_left():
    """If clean-up cannot reach the array, the record names every copy that stayed."""
    site, older = prepared()
    with site:
        fault = Fault(site.parties.recovery, "attach", HostError)
        other = Fault(site.eva, "delete_storage", ArrayError, lasting=True)
        with pytest.raises(HostError) as caught:
            site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
        fault.remove()
        other.remove()
        assert caught.value.leftovers
        record = site.frs.copy(caught.value.copy.id)
        assert record.life is CopyLife.FAILED
        assert record.leftovers == tuple(caught.value.leftovers)
        assert older.recoverable
