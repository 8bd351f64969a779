"""The array is asked again before success is told and before a copy is given back."""

from __future__ import annotations

import pytest
from attrs import evolve
from support.faults import Fault
from support.labs import closed_logs

import frskit
from frskit import BackupType, Budget, CopyLife, Verdict
from frskit.errors import ArrayError, IntegrityError
from frskit.eva.space import DemandSnapshots, GroupSpace
from frskit.events import CallableSink, CopyStage, Warned
from frskit.frs.state.journal_words import WITHDRAWN, RequestorOperation
from frskit.frs.still_there import lost_among
from frskit.model.copies import Completion, CopyFilter
from frskit.model.ids import StorageId
from frskit.model.storage import ArrayCopy, CopyState, StorageState

FULL, PIT, BACK = BackupType.FULL, "point-in-time", "copy-back"


@pytest.fixture
def lab():
    """A lab with an older copy, and closed logs that a full copy cuts."""
    with frskit.lab(seed=5) as site:
        site.deliver("evs1", "sg1", messages=100)
        site.older = site.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
        site.deliver("evs1", "sg1", messages=600)
        site.exchange.group("sg1").idle()
        assert len(closed_logs(site)) >= 2
        yield site


def running(lab):
    """The record of the copy that is being made."""
    (found,) = (each for each in lab.parts.catalog.find(CopyFilter()) if each.id != lab.older.id)
    return found


def deleted(lab, storage):
    """Somebody deletes the LUN, whoever sees it."""
    budget = Budget.of(lab.clock)
    for each in lab.eva.presentations(storage):
        lab.eva.unpresent(each, budget=budget)
    lab.eva.delete_storage(storage, budget=budget)


def invalid(lab, storage):
    """The array has no room for the copy any more."""
    state = lab.eva._state
    DemandSnapshots(state, GroupSpace(state)).invalidate(state.disk(storage))


def at(lab, stage, act):
    """Do something when the copy's record has come to a stage."""

    def heard(event):
        if isinstance(event, CopyStage) and event.stage == stage:
            act()

    lab.frs.subscribe(CallableSink(heard))


def lose(lab, how=deleted):
    """The last member of the copy that is being made is lost."""
    how(lab, running(lab).members[-1].storage)


def make(lab, **wish):
    """A copy of sg1."""
    return lab.frs.create_copy("evs1", ["sg1"], backup_type=FULL, **wish)


def refused(lab, **wish):
    """The error of a copy that is lost while it is made."""
    with pytest.raises(IntegrityError) as caught:
        make(lab, **wish)
    return caught.value


def mine(lab, copy):
    """Its members that are still on the array."""
    return {each.id for each in lab.eva.copies()} & {each.storage for each in copy.members}


def usable(lab, copy):
    """Whether a copy can bring production back."""
    plan = lab.frs.plan_recovery(copy.id, mode=PIT, method=BACK)
    return lab.frs.recover(plan) is not None


@pytest.mark.rule("HAZ-04")
@pytest.mark.parametrize("how", [deleted, invalid])
def test_a_copy_lost_before_the_success_costs_no_log(lab, how):
    """The verdict is withdrawn, the writers hear failure, what is left of the set goes."""
    before = set(closed_logs(lab))
    at(lab, "verified", lambda: lose(lab, how))
    error = refused(lab)
    record = lab.parts.catalog.get(error.copy.id)
    assert before <= set(closed_logs(lab))
    assert (error.stage, error.leftovers, error.exit_status) == (WITHDRAWN, (), 7)
    assert "No log was deleted" in error.hint
    assert error.copy == record
    assert (record.verdict, record.life) == (Verdict.DECAYED, CopyLife.FAILED)
    assert (record.completion, record.truncated) == (Completion.FAILED, ())
    assert record.members[-1].storage in record.failure
    assert not mine(lab, record)
    assert lab.frs.resume() == ()
    assert not list(lab.parts.journal.unfinished())
    assert usable(lab, lab.older)
    lab.deliver("evs1", "sg1", messages=1)


def test_the_verdict_is_withdrawn_before_the_writers_hear_of_it(lab):
    """Else a record could say VERIFIED of a copy that its writers were told had failed."""
    seen = []

    def look():
        record = running(lab)
        (entry,) = lab.parts.journal.of(RequestorOperation.COPY, record.id)
        seen.append((record.verdict, record.life, [step for step, _ in entry.intents()]))

    at(lab, "verified", lambda: lose(lab))
    at(lab, WITHDRAWN, look)
    refused(lab)
    assert seen == [(Verdict.DECAYED, CopyLife.IMPORTED, ["create", "import"])]


def test_what_is_left_of_a_withdrawn_copy_is_named_and_rolled_back(lab):
    """The array cannot delete just now; a resume does it later."""
    stuck = []

    def broken():
        lose(lab)
        stuck.append(Fault(lab.eva, "delete_storage", ArrayError("broke"), lasting=True))

    at(lab, "verified", broken)
    error = refused(lab)
    stuck[0].remove()
    assert error.leftovers == lab.parts.catalog.get(error.copy.id).leftovers != ()
    assert len(mine(lab, error.copy)) == 2
    (resumed,) = lab.frs.resume()
    assert resumed.ended
    assert not mine(lab, error.copy)


@pytest.mark.parametrize("stage", ["completed", "parked"])
@pytest.mark.parametrize("how", [deleted, invalid])
def test_a_copy_lost_after_the_success_is_not_given_back(lab, stage, how):
    """Logs went for it: what is left of it stays, for it may hold them alone."""
    before = set(closed_logs(lab))
    at(lab, stage, lambda: lose(lab, how))
    error = refused(lab)
    record = lab.parts.catalog.get(error.copy.id)
    assert not before <= set(closed_logs(lab))
    assert (error.stage, error.exit_status, error.copy) == ("decayed", 7, record)
    assert "full copy at once" in error.hint
    assert (record.verdict, record.life) == (Verdict.DECAYED, CopyLife.FAILED)
    assert record.completion is Completion.DONE
    assert record.members[-1].storage in record.failure
    assert mine(lab, record) >= {each.storage for each in record.members[:-1]}
    assert lab.frs.resume() == ()
    assert mine(lab, record) >= {each.storage for each in record.members[:-1]}
    assert not list(lab.parts.journal.unfinished())


def silent(lab, stage, until):
    """The array answers no question about copies from one stage to another."""
    faults = []
    error = ArrayError("no answer")
    at(lab, stage, lambda: faults.append(Fault(lab.eva, "copies", error, lasting=True)))
    at(lab, until, lambda: faults.pop().remove() if faults else None)
    said = []
    lab.frs.subscribe(CallableSink(said.append))
    return faults, said


def test_no_log_is_cut_for_a_copy_that_nobody_can_prove(lab):
    """Silence is no loss: the verdict stays. But a log that was cut never comes back."""
    before = set(closed_logs(lab))
    _, said = silent(lab, "verified", "completed")
    copy = make(lab)
    assert before <= set(closed_logs(lab))
    assert (copy.verdict, copy.life) == (Verdict.VERIFIED, CopyLife.PARKED)
    assert copy.completion is Completion.FAILED
    assert not any(each.files for each in copy.truncated)
    assert "no answer" in copy.failure
    assert any("no answer" in each.text for each in said if isinstance(each, Warned))
    assert usable(lab, copy)


def test_a_copy_stays_verified_if_the_array_is_silent_at_the_end(lab):
    """Logs went when it was certainly there; a warning says that the last look failed."""
    before = set(closed_logs(lab))
    faults, said = silent(lab, "parked", "never")
    copy = make(lab)
    faults.pop().remove()
    assert not before <= set(closed_logs(lab))
    assert (copy.verdict, copy.life, copy.failure) == (Verdict.VERIFIED, CopyLife.PARKED, "")
    assert any("no answer" in each.text for each in said if isinstance(each, Warned))
    assert lab.frs.copy(copy.id).recoverable


def test_an_unchecked_copy_is_looked_at_before_it_is_given_back(lab):
    """It has no verdict to withdraw, but one without a member is no copy."""
    at(lab, "parked", lambda: lose(lab))
    error = refused(lab, check=False)
    assert error.copy.life is CopyLife.FAILED
    assert "No log was deleted" in error.hint


def test_a_key_does_not_give_back_what_was_lost(lab):
    """Neither the run that failed of it, nor a copy that was lost since; however often asked."""
    key = "0fa2a8d2-6b5c-4f0e-9c8a-3f2d9e6b7a10"
    made = make(lab, key=key)
    assert make(lab, key=key) == made
    lose(lab)
    for _ in range(2):
        error = refused(lab, key=key)
        assert error.copy.verdict is Verdict.DECAYED
    assert len(mine(lab, made)) == 2


def test_the_key_of_a_copy_that_was_withdrawn_says_so_again(lab):
    """The instant is over; its failure is the answer."""
    at(lab, "verified", lambda: lose(lab) if len(mine(lab, running(lab))) == 3 else None)
    key = "0fa2a8d2-6b5c-4f0e-9c8a-3f2d9e6b7a10"
    first, again = refused(lab, key=key), refused(lab, key=key)
    assert again.copy == first.copy
    assert again.message == first.message


def left(lab, **changes):
    """A copy of a dead process, with one member lost, and what a resume makes of it."""
    copy = make(lab)
    lose(lab)
    copy = lab.parts.catalog.update(
        copy.id, lambda now: evolve(now, verdict=Verdict.DECAYED, **changes)
    )
    (resumed,) = lab.frs.resume()
    assert resumed.ended, resumed
    assert lab.frs.resume() == ()
    return lab.parts.catalog.get(copy.id)


def test_a_process_that_died_while_it_withdrew_is_rolled_back(lab):
    """No writer had been told success."""
    record = left(lab, life=CopyLife.IMPORTED, stage=WITHDRAWN)
    assert record.life is CopyLife.FAILED
    assert not mine(lab, record)


@pytest.mark.parametrize(
    ("changes", "life"),
    [
        ({"life": CopyLife.VERIFIED, "completion": Completion.NONE}, CopyLife.PARKED),
        ({"life": CopyLife.FAILED, "stage": "decayed", "leftovers": ("x",)}, CopyLife.FAILED),
    ],
)
def test_a_resume_keeps_what_may_hold_the_only_logs(lab, changes, life):
    """A listing saw the loss while the writers were told, or the run saw it afterwards."""
    record = left(lab, **changes)
    assert (record.life, record.verdict, record.leftovers) == (life, Verdict.DECAYED, ())
    assert len(mine(lab, record)) == 2


@pytest.mark.parametrize(
    ("state", "storage_state", "lost"),
    [
        (CopyState.UNKNOWN, StorageState.READY, False),
        (CopyState.UNKNOWN, StorageState.PREPARING, False),
        (CopyState.NORMALIZING, StorageState.READY, False),
        (CopyState.INVALID, StorageState.READY, True),
        (CopyState.UNKNOWN, StorageState.DELETING, True),
        (CopyState.UNKNOWN, StorageState.FAILED, True),
    ],
)
def test_only_what_the_array_says_is_a_loss(state, storage_state, lost):
    """Strangers know little of their copies; one that is not named at all is gone."""
    here, gone = StorageId("here"), StorageId("gone")
    said = ArrayCopy(
        id=here,
        source=None,
        key=None,
        kind=None,
        state=state,
        size_bytes=None,
        storage_state=storage_state,
    )
    assert lost_among([here, gone], [said]) == ((here, gone) if lost else (gone,))
