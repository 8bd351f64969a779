"""A key that comes again: the copy, the run under way, the failure, or a new try."""

from __future__ import annotations

import threading
from uuid import UUID

import pytest
from attrs import evolve
from support.faults import Fault

import frskit
from frskit import BackupType, Budget, CancelToken, CopyLife, Verdict
from frskit.errors import (
    ArrayError,
    Busy,
    Cancelled,
    FrskitError,
    IntegrityError,
    OutcomeUnknown,
    Stopped,
    UsageError,
    WriterVeto,
)
from frskit.model.ids import CopyId

KEY = "{0FA2A8D2-6B5C-4F0E-9C8A-3F2D9E6B7A10}"
ID = str(UUID(KEY))
FULL = BackupType.FULL


def make(site, key=KEY, **wish):
    """A copy of sg1 under a key."""
    wish = {"backup_type": FULL, **wish}
    return site.frs.create_copy("evs1", ["sg1"], key=key, **wish)


@pytest.fixture
def lab():
    """A lab with 20 messages."""
    with frskit.lab(seed=8) as site:
        site.deliver("evs1", "sg1", messages=20)
        yield site


def test_the_key_becomes_the_id_and_the_second_call_makes_nothing(lab):
    """In any spelling, also after the copy was used up; the record as it is now is returned."""
    made = make(lab)
    assert made.id == ID
    on_array = len(lab.eva.copies())
    assert make(lab, ID) == lab.frs.copy(ID) == made
    assert lab.frs.start_copy("evs1", ["SG1"], backup_type="full", key=KEY).wait(60) == made
    assert len(lab.eva.copies()) == on_array
    lab.frs.recover(lab.frs.plan_recovery(ID, mode="point-in-time"))
    assert make(lab).life is CopyLife.CONSUMED


def test_a_finished_key_is_answered_while_the_server_is_busy(lab):
    """Nothing has to be held to look."""
    made = make(lab)
    with lab.parts.locks.hold("server-evs1", "something else"):
        assert make(lab) == made
        with pytest.raises(Busy):
            make(lab, lab.parts.ids.guid())


@pytest.mark.parametrize(
    ("other", "what"),
    [({"backup_type": "copy"}, "type"), ({"kind": "vsnap"}, "kind"), ({"check": False}, "check")],
    ids=["type", "kind", "check"],
)
def test_another_wish_under_the_same_key_is_refused(lab, other, what):
    """It says in what they differ."""
    make(lab)
    with pytest.raises(UsageError, match=f"another wish: {what} was"):
        make(lab, **other)


def test_other_components_under_the_same_key_are_refused(lab):
    """By the names that were asked for, not by those of the record."""
    by_guid = str(lab.frs.copy(make(lab).id).selected[0].id.full_path)
    with pytest.raises(UsageError, match="components"):
        lab.frs.create_copy("evs1", [by_guid], backup_type=FULL, key=KEY)


def test_a_record_of_an_older_frskit_is_compared_by_its_components(lab):
    """It does not know how they were asked for."""
    made = make(lab)
    lab.parts.catalog.update(made.id, lambda record: evolve(record, asked=()))
    assert make(lab).id == made.id


@pytest.mark.parametrize("key", ["", "nightly", "12345678"])
def test_a_key_is_a_guid(lab, key):
    """What is none is refused before anything happens."""
    with pytest.raises(UsageError, match="not a GUID"):
        make(lab, key)
    assert not lab.frs.copies()


def test_the_key_of_a_deleted_copy_is_used_up(lab):
    """An id is never used again."""
    make(lab)
    lab.frs.delete_copy(ID)
    with pytest.raises(UsageError, match="was deleted"):
        make(lab)


def test_what_failed_before_anything_was_cut_is_made_anew(lab):
    """A writer's veto at the freeze leaves nothing under the key, and the next try may work."""
    fault = Fault(lab.exchange.writer, "freeze", WriterVeto("busy", native=1))
    with pytest.raises(WriterVeto):
        make(lab)
    fault.remove()
    assert lab.frs.copy(ID).life is CopyLife.FAILED
    made = make(lab)
    assert made.verdict is Verdict.VERIFIED
    assert not made.failure


def test_a_check_that_failed_stands(lab):
    """The instant is over: the same error again, without any effect."""
    lab.damage_database("evs1", "sg1", page=5)
    with pytest.raises(IntegrityError) as first:
        make(lab)
    frozen = []
    lab.subscribe(frskit.events.CallableSink(frozen.append))
    with pytest.raises(IntegrityError) as second:
        make(lab)
    assert second.value.message == first.value.message
    assert second.value.copy.id == ID
    assert not second.value.retryable
    assert not frozen


@pytest.mark.parametrize(
    "error", [OutcomeUnknown("no answer", key="k"), RuntimeError("bug")], ids=["unknown", "foreign"]
)
def test_what_may_have_been_cut_is_not_made_anew(lab, error):
    """Nobody knows whether the array will still get the key."""
    fault = Fault(lab.eva, "commit_copies", error)
    with pytest.raises(FrskitError) as first:
        make(lab)
    fault.remove()
    record = lab.parts.catalog.get(CopyId(ID))
    lab.parts.catalog.put(evolve(record, failure=f"{getattr(error, 'code', 'RuntimeError')}: x"))
    with pytest.raises(FrskitError) as second:
        make(lab)
    assert second.value.context["recorded"]
    assert first.value is not second.value


def test_what_the_array_still_has_under_the_key_stands(lab):
    """A failure whose clean-up left something behind is no free key."""
    fault = Fault(lab.eva, "delete_storage", ArrayError("no"), lasting=True)
    bad = Fault(lab.parties.checker, "check", IntegrityError("bad"))
    with pytest.raises(IntegrityError):
        make(lab)
    fault.remove()
    bad.remove()
    assert lab.frs.copy(ID).leftovers
    with pytest.raises(IntegrityError):
        make(lab)


def died(lab, stage):
    """A record as a killed process leaves it in this stage."""
    made = make(lab)
    life = {"verified": CopyLife.VERIFIED, "created": CopyLife.CREATED}[stage]
    verdict = Verdict.VERIFIED if stage == "verified" else Verdict.UNKNOWN
    lab.parts.catalog.update(
        made.id, lambda record: evolve(record, life=life, verdict=verdict, stage=stage)
    )


def test_a_verified_copy_of_a_dead_process_is_finished_and_returned(lab):
    """The caller that was killed calls again, and has its copy."""
    died(lab, "verified")
    assert make(lab).life is CopyLife.PARKED


def test_a_copy_whose_process_died_after_the_cut_is_rolled_back_and_stands(lab):
    """Its instant is over; the array has nothing of it any more."""
    died(lab, "created")
    with pytest.raises(Stopped, match="the process ended"):
        make(lab)
    assert not lab.eva.copies()
    assert not lab.frs.resume()


def test_a_process_that_died_before_the_cut_is_just_repeated(lab):
    """The record was there, and nothing else."""
    lab.parts.catalog.put(frskit_record(lab))
    assert make(lab).verdict is Verdict.VERIFIED


def frskit_record(lab):
    """A copy that was only requested."""
    made = make(lab, lab.parts.ids.guid())
    return evolve(
        made,
        id=CopyId(ID),
        members=(),
        life=CopyLife.REQUESTED,
        verdict=Verdict.UNKNOWN,
        stage="requested",
    )


# --- at once -----------------------------------------------------------------------------


class Gate:
    """Holds a check up until it is opened."""

    def __init__(self, lab, monkeypatch):
        self.reached, self.open = threading.Event(), threading.Event()
        real = lab.parties.checker.check

        def check(*args, **kwargs):
            self.reached.set()
            assert self.open.wait(60)
            return real(*args, **kwargs)

        monkeypatch.setattr(lab.parties.checker, "check", check)


@pytest.fixture
def gate(lab, monkeypatch):
    """The gate in front of the check."""
    made = Gate(lab, monkeypatch)
    yield made
    made.open.set()


def test_a_second_call_joins_the_run_under_way(lab, gate):
    """Both get the same copy, and there is one."""
    first = lab.frs.start_copy("evs1", ["sg1"], backup_type=FULL, key=KEY)
    assert gate.reached.wait(60)
    second = lab.frs.start_copy("evs1", ["sg1"], backup_type=FULL, key=KEY)
    assert second.status().stage == first.status().stage
    with pytest.raises(UsageError):
        make(lab, backup_type=BackupType.COPY)
    gate.open.set()
    assert first.wait(60) == second.wait(60)
    assert [copy.id for copy in lab.frs.copies()] == [ID]


def test_who_joined_and_has_no_more_time_goes_alone(lab, gate):
    """The budget of the second call ends its waiting, not the copy."""
    first = lab.frs.start_copy("evs1", ["sg1"], backup_type=FULL, key=KEY)
    assert gate.reached.wait(60)
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled, match="it goes on"):
        make(lab, budget=Budget.of(lab.clock, token=token))
    second = lab.frs.start_copy("evs1", ["sg1"], backup_type=FULL, key=KEY)
    second.cancel()
    with pytest.raises(Cancelled):
        second.wait(60)
    gate.open.set()
    assert first.wait(60).verdict is Verdict.VERIFIED


def test_who_joined_gets_the_same_failure(lab, gate, monkeypatch):
    """As the one who began it."""
    first = lab.frs.start_copy("evs1", ["sg1"], backup_type=FULL, key=KEY)
    assert gate.reached.wait(60)
    second = lab.frs.start_copy("evs1", ["sg1"], backup_type=FULL, key=KEY)
    first.cancel()
    gate.open.set()
    for each in (first, second):
        with pytest.raises(Cancelled):
            each.wait(60)


def test_a_run_in_another_process_is_busy(tmp_path):
    """Another site on the same state: the server is held, the key has no answer yet."""
    with frskit.lab(tmp_path / "lab", seed=8) as site:
        site.deliver("evs1", "sg1", messages=5)
        elsewhere = frskit.frs.Locks(tmp_path / "lab" / "state" / "locks")
        with elsewhere.hold("server-evs1", "copy"), pytest.raises(Busy) as caught:
            make(site)
        assert caught.value.retryable
        assert make(site).id == ID


def test_what_failed_before_anybody_was_asked_is_made_anew(lab, monkeypatch):
    """Its run has no step in the journal; the array is not even asked for the key."""
    with monkeypatch.context() as patch:
        patch.setattr(type(lab.parties.checker), "available", lambda self, server: False)
        with pytest.raises(UsageError, match="not available"):
            make(lab)
    asked = []
    real = type(lab.parties.store).look

    def look(self, **words):
        asked.append(words.get("key"))
        return real(self, **words)

    monkeypatch.setattr(type(lab.parties.store), "look", look)
    assert make(lab).verdict is Verdict.VERIFIED
    assert set(asked) == {None}
