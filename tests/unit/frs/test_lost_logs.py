"""Logs that disappear and had to stay: found by looking, told aloud, and remembered."""

from __future__ import annotations

import pytest
from attrs import evolve
from support.labs import closed_logs

import frskit
from frskit import BackupType, CopyLife, RecoveryMode, Verdict
from frskit.errors import HostError, LogsLost, RecoveryPrecondition
from frskit.events import CallableSink, Warned
from frskit.frs import truncation_ledger
from frskit.frs.truncation_ledger import bounds, disappeared, log_files, lost_logs
from frskit.model.copies import Truncation
from frskit.model.plans import LogVerdict

FULL, FORWARD = BackupType.FULL, RecoveryMode.ROLL_FORWARD
LOGS = "L:\\exchsrvr\\sg1"


@pytest.fixture
def site():
    """A lab with some mail, and logs of which a good copy lets some go."""
    with frskit.lab(seed=8) as made:
        group = made.exchange.group("sg1")
        for _ in range(3):
            made.deliver("evs1", "sg1", messages=10)
            group.roll()
        group.idle()
        made.deliver("evs1", "sg1", messages=10)
        group.roll()
        yield made


def delete(site, names):
    """Delete logs of production, as nobody may."""
    place = site.parties.production.resolve(LOGS)
    tree = site.parties.production.files(place.volume)
    for name in names:
        tree.remove(f"{place.path}/{name}")


@pytest.fixture
def greedy(site, monkeypatch):
    """Makes the writer call something more after one of its events; more logs come after a copy."""
    writer = type(site.exchange.writer)

    def after(event, action):
        real = getattr(writer, event)

        def call(self, session, *, budget):
            result = real(self, session, budget=budget)
            action()
            return result

        monkeypatch.setattr(writer, event, call)

    return after


def warnings_of(site):
    """A list that fills with what the site warns of."""
    found = []
    site.frs.subscribe(CallableSink(lambda each: isinstance(each, Warned) and found.append(each)))
    return found


def newer_logs(site):
    """Mail after the copy, in a log that the copy does not have."""
    site.deliver("evs1", "sg1", messages=5)
    site.exchange.group("sg1").roll()


def copy_of(site, kind=FULL):
    return site.frs.create_copy("evs1", ["sg1"], backup_type=kind)


def test_a_writer_that_keeps_to_the_bound_is_not_suspected(site):
    """What went is strictly before the bound; nothing else is missing."""
    told = warnings_of(site)
    copy = copy_of(site)
    (gone,) = (each for each in copy.truncated if each.count)
    (check,) = copy.report.components
    assert gone.beyond == ()
    assert gone.last.before(check.truncation_bound)
    assert (copy.failure, told) == ("", [])


def test_a_writer_that_deletes_every_log_is_told_of_aloud(site, greedy):
    """The copy stays verified, but its record names the logs, and a warning goes out."""
    told = warnings_of(site)
    greedy("post_snapshot", lambda: newer_logs(site))
    greedy("backup_complete", lambda: delete(site, closed_logs(site)))
    copy = copy_of(site)
    assert (copy.verdict, copy.life) == (Verdict.VERIFIED, CopyLife.PARKED)
    (gone,) = copy.truncated
    (check,) = copy.report.components
    held = {each.path.rsplit("\\", 1)[-1]: each.log for each in copy.report.files if each.log}
    # What the copy holds and the bound allows is no loss; what is newer than the copy is.
    assert set(gone.files) - set(gone.beyond) == {
        name for name in gone.files if name in held and held[name].before(check.truncation_bound)
    }
    assert set(gone.beyond) - set(held)
    assert copy.failure.startswith("integrity.logs-lost: logs of production were deleted although")
    assert all(name in copy.failure for name in gone.beyond)
    assert [each.text for each in told if "were deleted although" in each.text]


def test_roll_forward_from_such_a_copy_is_refused_until_the_logs_are_back(site, greedy):
    """Whatever the application says of it; to the point in time of the copy it can be recovered."""
    kept = {}

    def take():
        kept.update(closed_logs(site))
        delete(site, kept)

    greedy("backup_complete", take)
    copy = copy_of(site)
    application = type(site.exchange.application)
    real = application.analyze

    def sees_no_gap(self, *asked, budget):
        return evolve(real(self, *asked, budget=budget), verdict=LogVerdict.OK)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(application, "analyze", sees_no_gap)
        with pytest.raises(RecoveryPrecondition, match="was deleted although it was needed"):
            site.frs.plan_recovery(copy.id, mode=FORWARD)
        verdicts = {
            each.mode: each.verdict for each in site.frs.analyze_logs("evs1", "sg1", copy=copy.id)
        }
        assert verdicts[FORWARD] is LogVerdict.IMPOSSIBLE
        assert verdicts[RecoveryMode.POINT_IN_TIME] is LogVerdict.OK
        for name, data in kept.items():
            place = site.parties.production.resolve(LOGS)
            tree = site.parties.production.files(place.volume)
            with tree.create(f"{place.path}/{name}") as file:
                file.write_at(0, data)
        assert site.frs.plan_recovery(copy.id, mode=FORWARD).analysis.verdict is LogVerdict.OK
    assert site.frs.plan_recovery(copy.id, mode=RecoveryMode.POINT_IN_TIME)


def test_logs_newer_than_the_copy_are_warned_of(site, greedy):
    """The copy cannot know what they held; the plan says that it may be lost."""
    greedy("post_snapshot", lambda: [newer_logs(site) for _ in range(3)])
    greedy("backup_complete", lambda: delete(site, [max(closed_logs(site))]))
    copy = copy_of(site)
    (name,) = [name for each in copy.truncated for name in each.beyond]
    plan = site.frs.plan_recovery(copy.id, mode=FORWARD)
    assert any(text.startswith(f"{name} was deleted") for text in plan.warnings)


def test_a_writer_that_deletes_before_the_verdict_makes_the_copy_corrupt(site, greedy):
    """At PostSnapshot nobody knows whether the copy is good: the writer is told failure."""
    some = sorted(closed_logs(site))[:2]
    greedy("post_snapshot", lambda: delete(site, some))
    with pytest.raises(LogsLost, match="before there was a verdict") as caught:
        copy_of(site)
    (record,) = site.frs.copies()
    record = site.frs.copy(record.id)
    assert (record.verdict, record.life) == (Verdict.CORRUPT, CopyLife.FAILED)
    assert [name for each in record.truncated for name in each.beyond] == some
    assert "integrity.logs-lost" in record.failure
    assert caught.value.copy == record
    # Told failure, so that nothing more went.
    assert set(some) == {name for each in record.truncated for name in each.files}


def test_after_a_backup_that_cuts_nothing_every_deletion_is_too_much(site, greedy):
    """There is no bound then, also for logs that the copy holds."""
    first = min(closed_logs(site))
    greedy("backup_complete", lambda: delete(site, [first]))
    copy = copy_of(site, BackupType.COPY)
    assert [name for each in copy.truncated for name in each.beyond] == [first]
    assert first in copy.failure


def test_without_a_bound_every_deletion_is_too_much(site, greedy, monkeypatch):
    """A checker that names none has allowed nothing."""
    checker = type(site.parties.checker)
    real = checker.check

    def boundless(self, *asked, **how):
        report = real(self, *asked, **how)
        components = tuple(evolve(each, truncation_bound=None) for each in report.components)
        return evolve(report, components=components)

    monkeypatch.setattr(checker, "check", boundless)
    copy = copy_of(site)
    gone = [name for each in copy.truncated for name in each.files]
    assert gone
    assert [name for each in copy.truncated for name in each.beyond] == gone


def test_an_application_that_recycles_its_logs_is_believed(site):
    """Under circular logging old logs go at any time, by nobody's order."""
    copy = site.frs.copy(copy_of(site).id)
    before = {
        component.id: {"v:x/newer.log", "v:x/E0000001.log"}
        for component in copy.files
        if any(files.role.value == "log" for files in component.files)
    }
    production = site.parties.production
    assert any(each.beyond for each in disappeared(production, copy, copy.report, before, {}))
    recycling = evolve(
        copy.report,
        components=tuple(evolve(each, recycles_logs=True) for each in copy.report.components),
    )
    found = disappeared(production, copy, recycling, before, {})
    assert [each.beyond for each in found] == [()]
    assert all(each.files for each in found)


def test_a_failed_component_may_not_be_cut(site):
    """The writer was told failure for it, whatever the checker's bound is."""
    copy = site.frs.copy(copy_of(site).id)
    (check,) = copy.report.components
    assert bounds(copy, copy.report, {check.component: False}) == {}
    allowed = bounds(copy, copy.report, {check.component: True})
    assert allowed == {check.component: check.truncation_bound}
    assert lost_logs(copy, check.component, site.parties.production) == ()


def test_an_unverified_copy_tells_of_lost_logs_too(site, greedy):
    """It stays unverified: it may be all that holds them."""
    told = warnings_of(site)
    first = min(closed_logs(site))
    greedy("post_snapshot", lambda: delete(site, [first]))
    copy = site.frs.create_copy("evs1", ["sg1"], backup_type=FULL, check=False)
    assert copy.verdict is Verdict.UNVERIFIED
    assert [name for each in copy.truncated for name in each.beyond] == [first]
    assert any(first in each.text for each in told)


def test_a_log_that_is_just_being_renamed_is_not_missed(site, monkeypatch):
    """What is there at a second look was not deleted."""
    copy = site.frs.copy(copy_of(site).id)
    production = site.parties.production
    before = log_files(production, copy.files)
    looks = [{}, before, {}, {}]
    monkeypatch.setattr(truncation_ledger, "log_files", lambda *_: looks.pop(0))
    found = disappeared(production, copy, copy.report, before, {})
    assert not any(each.files for each in found)
    found = disappeared(production, copy, copy.report, before, {})
    assert any(each.beyond for each in found)


def test_only_logs_that_a_recovery_reads_stand_in_its_way(site):
    """One that lies before all that the copy needs was deleted without right, and is no loss."""
    copy = site.frs.copy(copy_of(site).id)
    (check,) = copy.report.components
    logs = {each.path.rsplit("\\", 1)[-1]: each for each in copy.report.files if each.log}
    unneeded = [name for name, each in logs.items() if each.log.before(check.logs_needed.first)]
    needed = [name for name, each in logs.items() if each.log in check.logs_needed]
    assert unneeded
    assert needed
    owner = logs[needed[0]].component
    delete(site, set(closed_logs(site)).intersection([*unneeded, *needed]))
    gone = Truncation(component=owner, beyond=(*unneeded, *needed, "newer.log"))
    lost = lost_logs(evolve(copy, truncated=(gone,)), check.component, site.parties.production)
    there = {name for name in needed if name.casefold() == "e00.log"}
    assert set(lost) == {*needed, "newer.log"} - there


def test_production_that_cannot_be_looked_at_gets_a_verdict_and_no_success(site, monkeypatch):
    """The image is judged without production; whether logs may go is not said to anybody."""
    told = warnings_of(site)
    before = closed_logs(site)
    files = site.parties.production.files

    def lost(volume):
        if site.frs.copies()[0].life in (CopyLife.IMPORTED, CopyLife.VERIFIED):
            raise HostError("the server does not answer")
        return files(volume)

    monkeypatch.setattr(site.parties.production, "files", lost)
    with pytest.raises(HostError, match="does not answer"):
        copy_of(site)
    monkeypatch.undo()
    (record,) = site.frs.copies()
    assert record.verdict is Verdict.VERIFIED
    assert closed_logs(site).keys() >= before.keys()
    assert any("could not be looked at: the server" in each.text for each in told)
