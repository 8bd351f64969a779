"""What a resume retries, what it leaves alone, and what it says about it."""

from __future__ import annotations

from contextlib import closing

import pytest
from attrs import evolve
from support.faults import Fault

import frskit
from frskit import BackupType, Budget, CancelToken, CopyLife, Verdict
from frskit.errors import ArrayError, CatalogError, IntegrityError, TimedOut
from frskit.frs.state.journal_words import RECOVERING, RequestorOperation
from frskit.model.copies import MemberLife
from frskit.model.ids import CopyId

FULL = BackupType.FULL


@pytest.fixture
def lab():
    """A lab with 20 messages."""
    with frskit.lab(seed=8) as site:
        site.deliver("evs1", "sg1", messages=20)
        yield site


def failed(lab, error=ArrayError):
    """A copy that failed and could not be deleted; its record."""
    bad = Fault(lab.parties.checker, "check", TimedOut("late"))
    stuck = Fault(lab.eva, "delete_storage", error("broke"), lasting=True)
    with pytest.raises(TimedOut) as caught:
        lab.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
    bad.remove()
    stuck.remove()
    return caught.value.copy


@pytest.mark.parametrize("error", [ArrayError, OSError, RuntimeError])
def test_leftovers_of_a_failed_copy_are_retried_and_struck_off(lab, error):
    """Once the array is well again; then nothing is left to do."""
    copy = failed(lab, error)
    assert copy.leftovers
    assert len(lab.eva.copies()) == 3
    (resumed,) = lab.frs.resume()
    assert resumed.ended
    assert resumed.copy.leftovers == ()
    assert resumed.copy.failure == copy.failure
    assert resumed.copy.life is CopyLife.FAILED
    assert not lab.eva.copies()
    assert lab.frs.resume() == ()


def test_leftovers_that_stay_need_somebody(lab):
    """They are named with the commands that lead out, and stay on record."""
    copy = failed(lab)
    stuck = Fault(lab.eva, "delete_storage", ArrayError("still broken"), lasting=True)
    (resumed,) = lab.frs.resume()
    stuck.remove()
    assert not resumed.ended
    assert "still broken" in resumed.result
    assert resumed.commands == ("frskit resume", f"frskit copy rm {copy.id}")
    assert lab.frs.copy(copy.id).leftovers
    assert lab.frs.resume()[0].ended


def test_a_failed_copy_can_be_deleted_with_its_leftovers(lab):
    """Also members that no record speaks of."""
    copy = failed(lab)
    lab.parts.catalog.update(copy.id, lambda record: evolve(record, members=()))
    lab.frs.delete_copy(copy.id)
    assert not lab.eva.copies()
    record = lab.parts.catalog.get(copy.id)
    assert (record.life, record.leftovers) == (CopyLife.DELETED, ())
    assert lab.frs.resume() == ()


def test_a_corrupt_copy_is_hidden_and_kept(lab):
    """Somebody may want to look into it: only what was left of its check goes."""
    lab.damage_database("evs1", "sg1", page=5)
    stuck = Fault(lab.eva, "unpresent", ArrayError("broke"), at=4, lasting=True)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whichever comes first
        lab.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
    stuck.remove()
    record = lab.parts.catalog.get(caught.value.copy.id)
    if record.verdict is not Verdict.CORRUPT or not record.leftovers:
        lab.parts.catalog.update(
            record.id,
            lambda now: evolve(now, verdict=Verdict.CORRUPT, leftovers=("presentation of x",)),
        )
    (resumed,) = lab.frs.resume()
    assert resumed.ended
    assert len(lab.eva.copies()) == 3
    assert {each.host for each in lab.eva.presentations()} == {lab.parties.production.host}
    assert lab.frs.resume() == ()


def test_a_roll_back_never_touches_what_a_recovery_took(lab):
    """A deletion that broke off goes on, but production runs on two of the members."""
    copy = lab.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
    lab.frs.recover(lab.frs.plan_recovery(copy.id, mode="roll-forward"))
    record = lab.parts.catalog.get(copy.id)
    assert {each.life for each in record.members} == {MemberLife.HELD, MemberLife.CONSUMED}
    lab.parts.catalog.update(copy.id, lambda now: evolve(now, life=CopyLife.DELETING))
    (resumed,) = lab.frs.resume()
    assert resumed.ended
    assert lab.parts.catalog.get(copy.id).life is CopyLife.DELETED
    assert lab.status("evs1", "sg1").databases[0].items == 20
    left = {each.id for each in lab.eva.storage()}
    assert lab.parties.production_luns() <= left
    held = {each.storage for each in record.members if each.life is MemberLife.HELD}
    assert not held & left


@pytest.mark.parametrize("where", ["in a recovery", "in a copy"])
def test_one_record_that_cannot_be_read_stops_nobody_else(lab, monkeypatch, where):
    """It is named, not ended; the others are."""
    broken = lab.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
    if where == "in a recovery":
        lab.parts.journal.begin(RequestorOperation.RECOVERY, broken.id, component="sg1")
    failed(lab)
    real = lab.parts.catalog.get

    def get(copy):
        if copy == broken.id:
            raise CatalogError("torn")
        return real(copy)

    monkeypatch.setattr(lab.parts.catalog, "get", get)
    results = lab.frs.resume()
    unread = [each for each in results if each.id == broken.id]
    assert unread
    assert all(each.copy is None and not each.ended and each.commands for each in unread)
    assert [each.ended for each in results if each.id != broken.id] == [True]
    assert not [each for each in lab.eva.copies() if each.key != broken.id]


def test_a_recovery_of_a_copy_that_nobody_knows_stops_nobody_else(lab):
    """The catalog was lost, say."""
    lab.parts.journal.begin(RequestorOperation.RECOVERY, lab.parts.ids.guid(), component="sg1")
    failed(lab)
    unknown, other = lab.frs.resume()
    assert "no copy" in unknown.result
    assert not unknown.ended
    assert other.ended


def test_a_server_that_is_busy_is_left_alone(lab):
    """And named, so that somebody resumes again."""
    failed(lab)
    with lab.parts.locks.hold("server-evs1", "something"):
        (resumed,) = lab.frs.resume()
    assert not resumed.ended
    assert resumed.commands == ("frskit resume",)
    assert lab.frs.resume()[0].ended


def test_a_cancelled_resume_says_what_it_left_out(lab):
    """Looked at between two objects."""
    failed(lab)
    token = CancelToken()
    token.cancel()
    (resumed,) = lab.frs.resume(budget=Budget.of(lab.clock, token=token))
    assert "cancelled" in resumed.result
    assert not resumed.ended
    assert lab.frs.resume()[0].ended


def test_a_cancelled_deletion_goes_on_later(lab):
    """Before it began nothing is different; in the middle the rest is deleted by the next one."""
    copy = lab.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
    token = CancelToken()
    budget = Budget.of(lab.clock, token=token)
    token.cancel()
    with pytest.raises(frskit.errors.Cancelled):
        lab.frs.delete_copy(copy.id, budget=budget)
    assert lab.frs.copy(copy.id).life is CopyLife.PARKED
    broken = Fault(lab.eva, "delete_storage", ArrayError("broke"), at=2)
    with pytest.raises(ArrayError):
        lab.frs.delete_copy(copy.id)
    broken.remove()
    assert lab.parts.catalog.get(copy.id).life is CopyLife.DELETING
    lab.frs.delete_copy(copy.id)
    assert not lab.eva.copies()


def test_an_unfinished_record_of_a_recovery_is_no_copy_to_resume(lab):
    """Its stage says that a recovery uses it; its life is an end."""
    copy = lab.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
    lab.parts.catalog.update(copy.id, lambda now: evolve(now, stage=RECOVERING))
    # The journal does not: it was lost, and all stores are up.
    (resumed,) = lab.frs.resume()
    assert resumed.ended
    assert "journal" in resumed.result
    assert (resumed.copy.life, resumed.copy.stage) == (copy.life, "parked")
    assert resumed.copy.recoverable
    assert lab.frs.resume() == ()


def test_the_catalog_of_a_resume_is_closed_by_its_site(tmp_path):
    """Ids of a durable lab."""
    with closing(frskit.lab(tmp_path / "lab", seed=8)) as site:
        site.deliver("evs1", "sg1", messages=5)
        copy = site.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
        assert site.parts.catalog.ids() == (CopyId(copy.id),)


def test_a_corrupt_copy_whose_check_left_something_needs_somebody_until_it_is_gone(lab):
    """What cannot be hidden stays named, and the next resume tries again."""
    lab.damage_database("evs1", "sg1", page=5)
    with pytest.raises(IntegrityError) as caught:
        lab.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
    copy = caught.value.copy.id
    lab.parts.catalog.update(copy, lambda now: evolve(now, leftovers=("presentations",)))
    stuck = Fault(lab.parties.store, "unpresent", ArrayError("broke"), lasting=True)
    (resumed,) = lab.frs.resume()
    stuck.remove()
    assert not resumed.ended
    assert "broke" in resumed.result
    assert f"frskit copy rm {copy}" in resumed.commands
    (ended,) = lab.frs.resume()
    assert ended.ended
    assert lab.frs.resume() == ()


def test_a_set_without_any_member_is_not_looked_for(lab):
    """A record of a set that never came to be: there is nothing to break, and nothing to hide."""
    lab.damage_database("evs1", "sg1", page=5)
    with pytest.raises(IntegrityError) as caught:
        lab.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
    copy = caught.value.copy.id
    lab.parts.catalog.update(
        copy, lambda now: evolve(now, set_id=None, members=(), leftovers=("presentations",))
    )
    (resumed,) = lab.frs.resume()
    assert resumed.ended
