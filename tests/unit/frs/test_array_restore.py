"""Recovery by the array's own copy-back: what it promises, and how it ends when something breaks."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress

import pytest
from attrs import evolve
from support.faults import Delay, Fault, places

import frskit
from frskit import BackupType, Budget, CancelToken, RecoveryMethod, RecoveryMode
from frskit.errors import (
    ArrayError,
    Cancelled,
    CopyConflict,
    FrskitError,
    HostError,
    RecoveryFailed,
    RecoveryPrecondition,
    StoreError,
)
from frskit.frs.state.journal import JournalOperation
from frskit.model.copies import CopyLife
from frskit.model.storage import CopyKind
from frskit.storage import ArrayCopyStore

PIT, FORWARD = RecoveryMode.POINT_IN_TIME, RecoveryMode.ROLL_FORWARD
BACK = RecoveryMethod.ARRAY_RESTORE
WANTED = {PIT: 20, FORWARD: 30}


def worked(site, kind=CopyKind.SNAPCLONE):
    """A copy of 20 messages, and 10 since."""
    site.deliver("evs1", "sg1", messages=20)
    copy = site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL, kind=kind)
    site.deliver("evs1", "sg1", messages=10)
    return copy


@pytest.fixture
def lab():
    """An empty lab."""
    with frskit.lab(seed=6) as site:
        yield site


def mail(site):
    """State and number of messages of the mailbox store."""
    store = site.status("evs1", "sg1").databases[0]
    return store.state, store.items


def planned(site, copy, mode=PIT):
    """A plan for the array."""
    return site.frs.plan_recovery(copy.id, mode=mode, method=BACK)


def recovered(site, copy, mode=PIT):
    """How many messages there are after a recovery by the array."""
    report = site.frs.recover(planned(site, copy, mode))
    return sum(each.items for each in report.after.databases)


def world(site):
    """What must be as before where nothing was overwritten."""
    volumes = {v.mount_points: (v.storages, v.read_only) for v in site.parties.production.volumes()}
    shown = {(each.storage, each.host, each.read_only) for each in site.eva.presentations()}
    return volumes, shown, mail(site)


@pytest.mark.rule("R-20", "EVA-66")
@pytest.mark.parametrize("kind", list(CopyKind), ids=lambda each: each.value)
@pytest.mark.parametrize("mode", list(RecoveryMode), ids=lambda each: each.value)
def test_production_keeps_its_luns_and_the_copy_serves_twice(lab, mode, kind):
    """The content comes back into the same LUNs, from every kind of copy, as often as wanted."""
    copy = worked(lab, kind)
    before = world(lab)[:2]
    lab.damage_database("evs1", "sg1")
    assert recovered(lab, copy, mode) == WANTED[mode]
    assert world(lab)[:2] == before
    assert lab.frs.copy(copy.id).life is CopyLife.PARKED
    assert lab.parts.catalog.displaced() == ()
    lab.deliver("evs1", "sg1", messages=5)
    assert recovered(lab, copy, mode) == (20 if mode is PIT else 35)
    again = lab.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL, kind=kind)
    assert again.recoverable


def test_the_plan_says_where_undo_ends_and_what_is_lost(lab):
    """The first copy-back is the point of no return; what it overwrites is not kept [P-12]."""
    plan = planned(lab, worked(lab))
    first = next(step for step in plan.steps if step.point_of_no_return)
    assert first.title == "let the array copy back"
    assert "not undone" in first.point_of_no_return
    assert any("not kept" in text for text in plan.warnings)
    assert not plan.consumes


class OnlyCopies(ArrayCopyStore):
    """Over an array that cannot copy back by itself."""

    def __getattr__(self, name):
        raise AttributeError(name)


def without_restore(lab):
    """The array cannot do it."""
    parts = lab.parts
    production = evolve(parts.productions["evs1"], store=OnlyCopies(lab.eva))
    object.__setattr__(parts, "productions", {"evs1": production})


def swapped(lab):
    """Production runs on the LUNs of a later copy."""
    later = lab.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.COPY)
    lab.frs.recover(lab.frs.plan_recovery(later.id, mode=PIT))


def grown(lab):
    """A LUN of production has another size than its copy."""
    server = lab.parties.production
    real = server.disks

    def disks():
        return tuple(evolve(each, size_bytes=each.size_bytes * 2) for each in real())

    object.__setattr__(server, "disks", disks)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (without_restore, "cannot restore storage"),
        (swapped, "copies back only into"),
        (grown, "has not the size"),
    ],
    ids=["no array", "another LUN", "another size"],
)
def test_what_the_array_cannot_do_is_refused_by_the_plan(lab, change, reason):
    """With the reason, before anything is touched."""
    copy = worked(lab)
    change(lab)
    before = world(lab)
    with pytest.raises(RecoveryPrecondition, match=reason) as caught:
        planned(lab, copy)
    assert caught.value.context["condition"] == "P-01"
    assert world(lab) == before


PLACES = [
    ("eva", "restore_storage", ArrayError),
    ("eva", "present", ArrayError),
    ("eva", "unpresent", ArrayError),
    ("production", "attach", HostError),
    ("production", "detach", HostError),
    ("production", "rescan", HostError),
    ("production", "set_flags", HostError),
]


@pytest.mark.faults
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("party", "name", "error"), PLACES, ids=[f"{e[1]}-{e[2].__name__}" for e in PLACES]
)
@pytest.mark.parametrize("mode", list(RecoveryMode), ids=lambda each: each.value)
def test_a_fault_at_any_call_is_undone_or_ended_by_a_resume(mode, party, name, error, after):
    """Until the array begins all is as before; from then on a resume finishes it."""
    for at in places(40):
        with frskit.lab(seed=6) as site:
            copy = worked(site)
            plan = planned(site, copy, mode)
            before = world(site)
            fault = Fault(getattr(site.parties, party), name, error, at=at, after=after)
            caught = None
            try:
                site.frs.recover(plan)
            except FrskitError as found:
                caught = found
            finally:
                fault.remove()
            if not fault.fired:
                assert at > 1
                return
            ended_well(site, copy, mode, caught, before)


DAY_S = 86_400.0


@pytest.mark.faults
@pytest.mark.rule("FRS-33", "VSS-07")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("party", "name"), [each[:2] for each in PLACES])
def test_a_hang_at_any_call_is_undone_or_ended_by_a_resume(party, name, after):
    """Five days in a call: typed, and after a resume production is up and the copy of use."""
    for at in places(40):
        with frskit.lab(seed=6) as site:
            copy = worked(site)
            plan = planned(site, copy)
            party_there = getattr(site.parties, party)
            delay = Delay(party_there, name, site.clock, 5 * DAY_S, at=at, after=after)
            with suppress(FrskitError):
                site.frs.recover(plan)
            delay.remove()
            if not delay.fired:
                assert at > 1
                return
            site.frs.resume()
            assert mail(site)[0] == "mounted"
            assert site.frs.resume() == ()
            assert recovered(site, copy) == WANTED[PIT]


def ended_well(site, copy, mode, caught, before):
    """Whatever happened: nothing is lost, nothing hangs, and the copy can be used again."""
    if isinstance(caught, RecoveryFailed) and not caught.context["undone"]:
        results = site.frs.resume()
        assert all(each.ended for each in results), results
        assert mail(site) in (("mounted", WANTED[mode]), before[2])
    elif caught is not None and (isinstance(caught, RecoveryFailed) or not caught.leftovers):
        assert world(site) == before
    assert site.frs.resume() == ()
    assert site.frs.copy(copy.id).recoverable
    assert recovered(site, copy, mode) == WANTED[mode]


def test_what_the_array_refuses_at_first_is_undone(lab):
    """A refusal has changed nothing: the volumes are back, and no resume is needed."""
    copy = worked(lab)
    plan, before = planned(lab, copy), world(lab)
    fault = Fault(lab.eva, "restore_storage", CopyConflict("being cloned"))
    with pytest.raises(RecoveryFailed, match="being cloned") as caught:
        lab.frs.recover(plan)
    fault.remove()
    assert caught.value.context["undone"]
    assert world(lab) == before
    assert lab.frs.resume() == ()


def test_a_replay_that_fails_leaves_the_way_free(lab):
    """The copy's content is in place and the stores are down: the next recovery just begins."""
    copy = worked(lab)
    plan = planned(lab, copy)
    fault = Fault(lab.exchange.application, "bring_online", StoreError("bad log"), lasting=True)
    with pytest.raises(RecoveryFailed, match="bad log") as caught:
        lab.frs.recover(plan)
    fault.remove()
    assert not caught.value.context["undone"]
    assert "Recover again" in caught.value.hint
    assert mail(lab)[0] != "mounted"
    assert lab.frs.resume() == ()
    assert recovered(lab, copy) == 20


def test_a_resume_whose_replay_fails_says_what_leads_out(lab):
    """It ends the recovery, since the volumes are whole, and names the commands."""
    copy = worked(lab)
    plan = planned(lab, copy)
    shown_to_plan = len(copy.members)
    first = Fault(lab.eva, "present", ArrayError("no path"), at=shown_to_plan + 1)
    with pytest.raises(RecoveryFailed):
        lab.frs.recover(plan)
    first.remove()
    fault = Fault(lab.exchange.application, "bring_online", StoreError("bad log"), lasting=True)
    (resumed,) = lab.frs.resume()
    fault.remove()
    assert not resumed.ended
    assert any(text.startswith(f"frskit recover {copy.id}") for text in resumed.commands)
    assert lab.frs.resume() == ()
    assert recovered(lab, copy) == 20


def test_a_copy_that_is_lost_on_the_way_does_not_block_for_ever(lab):
    """Production's LUNs are shown as they are, and another copy can be recovered from."""
    other = worked(lab)
    copy = lab.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.COPY)
    fault = Fault(lab.eva, "restore_storage", ArrayError("no path"), at=2)
    with pytest.raises(RecoveryFailed):
        lab.frs.recover(planned(lab, copy))
    fault.remove()
    for member in copy.members:
        lab.eva.delete_storage(member.storage, budget=Budget.of(lab.clock))
    (resumed,) = lab.frs.resume()
    assert "given up" in resumed.result
    assert not resumed.ended
    assert lab.frs.resume() == ()
    assert recovered(lab, other) == 20


# --- budgets -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", list(RecoveryMethod), ids=lambda each: each.value)
def test_a_cancelled_recovery_is_undone_before_and_finished_after_the_point(method):
    """Cancelled at each step in turn: all as before, or recovered, and never in between."""
    outcomes = set()
    for at in places(40, first=0):
        with frskit.lab(seed=6) as site:
            copy = worked(site)
            plan = site.frs.plan_recovery(copy.id, mode=PIT, method=method)
            before, token, seen = world(site), CancelToken(), []

            def progress(done, total, *, at=at, token=token, seen=seen):
                seen.append((done, total))
                if done == at:
                    token.cancel()

            try:
                site.frs.recover(plan, budget=Budget.of(site.clock, token=token), progress=progress)
            except RecoveryFailed as error:
                assert error.context["undone"], error
                assert isinstance(error.__cause__, Cancelled)
                assert world(site) == before
                assert site.frs.resume() == ()
                outcomes.add("undone")
            else:
                assert mail(site) == ("mounted", 20)
                assert seen[-1][0] == seen[-1][1] == len(seen) - 1
                outcomes.add("recovered")
                if at >= seen[-1][1]:
                    break
    assert outcomes == {"undone", "recovered"}


@pytest.mark.parametrize("used", ["deadline", "token"])
def test_a_budget_that_is_used_up_begins_nothing(lab, used):
    """Not even the journal."""
    copy = worked(lab)
    plan, before = planned(lab, copy), world(lab)
    token = CancelToken()
    token.cancel()
    budget = Budget.of(lab.clock, 0.0) if used == "deadline" else Budget.of(lab.clock, token=token)
    with pytest.raises(FrskitError) as caught:
        lab.frs.recover(plan, budget=budget)
    assert caught.value.exit_status == 12
    with pytest.raises(FrskitError):
        lab.frs.plan_recovery(copy.id, mode=PIT, method=BACK, budget=budget)
    assert world(lab) == before
    assert lab.frs.copy(copy.id).stage == "parked"


# --- killed ------------------------------------------------------------------------------


def killed(directory, action, at, *, before):
    """Whether the action was killed at the n-th line of the journal, before or after writing it."""
    child = os.fork()
    if not child:
        lines = 0
        real = JournalOperation.write

        def write(self, *args, **kwargs):
            nonlocal lines
            lines += 1
            if before and lines == at:
                os._exit(9)
            real(self, *args, **kwargs)
            if lines == at:
                os._exit(9)

        status = 1
        try:
            with frskit.lab(directory) as site:
                JournalOperation.write = write
                action(site)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 9)
    return code == 9


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A durable lab with a copy, to be copied for each death, and the copy's id."""
    directory = tmp_path_factory.mktemp("made") / "lab"
    with frskit.lab(directory, seed=6) as site:
        return directory, worked(site)


def after_death(directory, copy, mode):
    """A resume ends it; nothing is lost; the copy can be used again."""
    with frskit.lab(directory) as site:
        results = site.frs.resume()
        assert all(each.ended for each in results), results
        assert mail(site) in (("mounted", WANTED[mode]), ("mounted", 30))
        assert site.frs.resume() == ()
        assert recovered(site, copy, mode) == WANTED[mode]


@pytest.mark.crash
@pytest.mark.parametrize("before", [False, True], ids=["written", "not written"])
@pytest.mark.parametrize("mode", list(RecoveryMode), ids=lambda each: each.value)
def test_killed_at_every_line_of_the_journal(made, tmp_path, mode, before):
    """At each line, written or not: a resume undoes it or ends it."""
    source, copy = made
    for at in places(60):
        directory = tmp_path / str(at)
        shutil.copytree(source, directory)
        dead = killed(directory, lambda site: recovered(site, copy, mode), at, before=before)
        after_death(directory, copy, mode)
        shutil.rmtree(directory)
        if not dead:
            assert at > 10
            return


@pytest.mark.crash
@pytest.mark.parametrize("mode", list(RecoveryMode), ids=lambda each: each.value)
def test_a_resume_killed_at_every_line_is_resumed(made, tmp_path, mode):
    """The array had begun when the first one died; the way is walked again until it is at its end."""
    source, copy = made
    first = tmp_path / "first"
    shutil.copytree(source, first)
    at = 0
    while not _has_begun(first):
        at += 1
        shutil.rmtree(first)
        shutil.copytree(source, first)
        assert killed(first, lambda site: recovered(site, copy, mode), at, before=False)
    for again in places(60):
        directory = tmp_path / str(again)
        shutil.copytree(first, directory)
        dead = killed(directory, lambda site: site.frs.resume(), again, before=False)
        after_death(directory, copy, mode)
        shutil.rmtree(directory)
        if not dead:
            assert again > 8
            return


def _has_begun(directory):
    """Whether a copy-back was done in this lab."""
    return any(
        '"phase":"done","step":"array-restore"' in path.read_text()
        for path in (directory / "state" / "journal").glob("*-recovery-*")
    )


def test_an_interrupt_after_the_array_began_stays_one(lab):
    """Ctrl-C is not undone onto overwritten content; a resume walks the way to its end."""
    copy = worked(lab)
    plan = planned(lab, copy)
    fault = Fault(lab.eva, "restore_storage", KeyboardInterrupt, after=True)
    with pytest.raises(KeyboardInterrupt):
        lab.frs.recover(plan)
    fault.remove()
    (resumed,) = lab.frs.resume()
    assert resumed.ended
    assert mail(lab) == ("mounted", 20)


def test_a_resume_that_cannot_go_on_says_so_and_goes_on_later(lab):
    """The array still refuses: nothing is called done, and nothing is lost by asking again."""
    copy = worked(lab)
    plan = planned(lab, copy)
    fault = Fault(lab.eva, "restore_storage", ArrayError("no path"), at=2, lasting=True)
    with pytest.raises(RecoveryFailed):
        lab.frs.recover(plan)
    (stuck,) = lab.frs.resume()
    fault.remove()
    assert not stuck.ended
    assert "cannot be ended" in stuck.result
    assert "no path" in stuck.result
    (resumed,) = lab.frs.resume()
    assert resumed.ended
    assert mail(lab) == ("mounted", 20)


def test_a_refusal_that_could_not_be_undone_is_undone_by_the_resume(lab):
    """The array changed nothing, so the resume must not let it overwrite production."""
    copy = worked(lab)
    plan, before = planned(lab, copy), world(lab)
    refused = Fault(lab.eva, "restore_storage", CopyConflict("being cloned"))
    stuck = Fault(lab.parties.production, "attach", HostError("no path"), lasting=True)
    with pytest.raises(RecoveryFailed):
        lab.frs.recover(plan)
    refused.remove()
    stuck.remove()
    (resumed,) = lab.frs.resume()
    assert resumed.ended
    assert world(lab) == before


@pytest.mark.parametrize("party", ["application", "files"])
def test_a_resume_whose_replay_fails_and_cannot_be_taken_back_stays_open(lab, party, monkeypatch):
    """Whatever sticks then, the next resume begins again from the journal."""
    copy = worked(lab)
    plan = planned(lab, copy, FORWARD)
    first = Fault(lab.eva, "present", ArrayError("no path"), at=len(copy.members) + 1)
    with pytest.raises(RecoveryFailed):
        lab.frs.recover(plan)
    first.remove()
    application = lab.exchange.application
    replay = Fault(application, "bring_online", StoreError("bad log"), lasting=True)
    with monkeypatch.context() as patch:
        if party == "application":
            Fault(application, "take_offline", StoreError("stuck"), at=2, lasting=True, patch=patch)
        else:
            patch.setattr("frskit.frs.recovery.interrupted.undo_move", broken)
        (resumed,) = lab.frs.resume()
    replay.remove()
    assert not resumed.ended
    assert "cannot be ended" in resumed.result
    (ended,) = lab.frs.resume()
    assert ended.ended
    assert mail(lab) == ("mounted", 30)


def broken(*_arguments):
    """A file that cannot be given its name back."""
    raise HostError("the disk is gone")
