"""Situations that once lost data or called a bad copy good, each by itself.

The kinds are swept elsewhere; these tests are short, and name what must never happen again.
"""

from __future__ import annotations

import threading

import pytest
from attrs import evolve
from support.faults import Fault

import frskit
from frskit import BackupType, Budget, CopyLife, RecoveryMethod, RecoveryMode, Verdict
from frskit.errors import (
    ArrayError,
    Busy,
    CatalogError,
    CopyInUse,
    CopyNotFound,
    HostError,
    RecoveryFailed,
    StorageGroupNotRecognized,
    StoreError,
    UsageError,
)
from frskit.model.copies import MemberLife
from frskit.model.ids import CopyId

FULL = BackupType.FULL
PIT = RecoveryMode.POINT_IN_TIME


def only(site):
    """The one copy of the site."""
    (copy,) = site.frs.copies()
    return site.frs.copy(copy.id)


def mail(site):
    """State and number of messages of the mailbox store."""
    store = site.status("evs1", "sg1").databases[0]
    return store.state, store.items


def luns_alive(site):
    """Whether every LUN that production has mounted is on the array and shown to production."""
    shown = {each.storage for each in site.eva.presentations() if each.host == "evs1"}
    return site.parties.production_luns() <= shown


def meanwhile(site, monkeypatch, action, *, doing):
    """Let another operation begin and end between a caller's look and its lock."""
    real, done = site.parts.locks.hold, []

    def hold(name, what):
        if what == doing and not done:
            done.append(action())
        return real(name, what)

    monkeypatch.setattr(site.parts.locks, "hold", hold)
    return done


# --- deleting and reading while somebody recovers --------------------------------------------------


@pytest.mark.rule("FRS-43", "HAZ-14")
def test_a_deletion_sees_what_happened_until_it_had_the_lock(site, monkeypatch):
    """A recovery by swap ends just before: production's LUNs are not deleted with the copy."""
    copy = only(site)
    plan = site.frs.plan_recovery(copy.id, mode=PIT)
    done = meanwhile(site, monkeypatch, lambda: site.frs.recover(plan), doing="deletion")
    site.frs.delete_copy(copy.id)
    assert done
    assert luns_alive(site)
    assert mail(site) == ("mounted", 50)
    assert site.deliver("evs1", "sg1", messages=5) == 5
    assert {each.life for each in site.frs.copy(copy.id).members} == {MemberLife.CONSUMED}


@pytest.mark.rule("FRS-43")
def test_a_deletion_looks_at_production_with_the_lock_held(site, monkeypatch):
    """While it asks the server which LUNs it runs on, no recovery can begin."""
    copy = only(site)
    server, tried = site.parties.production, []
    real = server.volumes

    def volumes():
        if not tried:
            tried.append(True)
            with pytest.raises(Busy):
                site.frs.plan_recovery(copy.id, mode=PIT)
        return real()

    monkeypatch.setattr(server, "volumes", volumes)
    site.frs.delete_copy(copy.id)
    assert tried


@pytest.mark.rule("FRS-26")
def test_a_copy_that_production_runs_on_is_not_deleted(site):
    """Even if its record still calls the members held."""
    copy = only(site)
    site.frs.recover(site.frs.plan_recovery(copy.id, mode=PIT))
    members = tuple(evolve(each, life=MemberLife.HELD) for each in copy.members)
    site.parts.catalog.update(
        copy.id, lambda record: evolve(record, members=members, life=CopyLife.PARKED)
    )
    with pytest.raises(CopyInUse, match="production runs on"):
        site.frs.delete_copy(copy.id)
    assert luns_alive(site)


@pytest.mark.rule("FRS-26")
def test_a_mounted_copy_is_not_deleted(site):
    """PRESENTED means that somebody reads it."""
    copy = only(site)
    site.parts.catalog.update(copy.id, lambda record: evolve(record, life=CopyLife.PRESENTED))
    with pytest.raises(CopyInUse, match="is mounted"):
        site.frs.delete_copy(copy.id)
    assert {member.storage for member in copy.members} <= {each.id for each in site.eva.copies()}


@pytest.mark.rule("FRS-32", "FRS-43")
@pytest.mark.parametrize("reading", ["plan", "analysis"])
def test_reading_a_copy_never_hides_what_production_runs_on(site, monkeypatch, reading):
    """A swap ends just before a plan mounts the copy: the record is read again, in the lock."""
    copy = only(site)
    plan = site.frs.plan_recovery(copy.id, mode=PIT)
    doing = {"plan": "planning", "analysis": "analysis"}[reading]
    done = meanwhile(site, monkeypatch, lambda: site.frs.recover(plan), doing=doing)
    if reading == "plan":
        with pytest.raises(frskit.errors.RecoveryPrecondition):
            site.frs.plan_recovery(copy.id, mode=PIT)
    else:
        assert site.frs.analyze_logs("evs1", "sg1", copy=copy.id)
    assert done
    assert luns_alive(site)
    assert site.deliver("evs1", "sg1", messages=5) == 5


@pytest.mark.rule("FRS-32")
def test_a_copy_is_not_read_while_production_has_members_of_it_mounted(site, monkeypatch):
    """An undo that got stuck leaves new LUNs in place: an analysis does not hide them."""
    copy = only(site)
    plan = site.frs.plan_recovery(copy.id, mode=PIT)
    with monkeypatch.context() as patch:
        Fault(site.parties.production, "set_flags", HostError("broken"), at=3, patch=patch)
        Fault(
            site.parties.production, "detach", HostError("stuck"), at=4, lasting=True, patch=patch
        )
        with pytest.raises(RecoveryFailed):
            site.frs.recover(plan)
    assert site.parties.production_luns() & {member.storage for member in copy.members}
    for reading in (
        lambda: site.frs.analyze_logs("evs1", "sg1", copy=copy.id),
        lambda: site.frs.plan_recovery(copy.id, mode=PIT),
    ):
        with pytest.raises((CopyInUse, frskit.errors.RecoveryPrecondition)) as caught:
            reading()
        assert "resume" in caught.value.hint
    assert luns_alive(site)


@pytest.mark.rule("HAZ-04", "FRS-43")
def test_a_listing_that_finds_a_lost_member_changes_the_record_as_it_is_now(site, monkeypatch):
    """What another thread wrote between look and decay stays."""
    copy = only(site)
    real = site.parties.store.look

    def look(**words):
        site.parts.catalog.update(copy.id, lambda record: evolve(record, note="kept"))
        return real(**words)[1:]

    monkeypatch.setattr(type(site.parties.store), "look", lambda _, **words: look(**words))
    (seen,) = site.frs.copies()
    assert (seen.verdict, seen.note) == (Verdict.DECAYED, "kept")
    monkeypatch.undo()
    assert site.frs.copy(copy.id).note == "kept"


def test_two_writers_of_one_record_lose_nothing():
    """`update` reads and writes in one transaction: a hundred changes of two threads all count."""
    with frskit.lab(seed=3) as site:
        copy = site.frs.create_copy("evs1", ["sg1"], backup_type=FULL)

        def work():
            for _ in range(50):
                site.parts.catalog.update(copy.id, lambda each: evolve(each, note=each.note + "x"))

        threads = [threading.Thread(target=work) for _ in range(2)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert site.frs.copy(copy.id).note == "x" * 100


def test_two_processes_change_one_record_one_after_the_other(tmp_path):
    """Another catalog on the same file waits until the first has written what it read."""
    from frskit.frs import SqliteCatalog

    with frskit.lab(seed=3) as site:
        record = site.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
    mine, other = (SqliteCatalog(tmp_path / "catalog.sqlite") for _ in range(2))
    mine.put(record)
    theirs = threading.Thread(
        target=other.update, args=(record.id, lambda each: evolve(each, note=each.note + "b"))
    )

    def change(each):
        theirs.start()
        theirs.join(0.3)
        assert theirs.is_alive()
        return evolve(each, note=each.note + "a")

    mine.update(record.id, change)
    theirs.join()
    assert mine.get(record.id).note == "ab"
    mine.close()
    other.close()


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.rule("FRS-41")
@pytest.mark.parametrize("name", ["", " ", "\t\n"], ids=["empty", "blank", "tab"])
def test_an_empty_name_selects_nothing(name):
    """An unset variable of a script is told, and nobody is disturbed."""
    with frskit.lab(seed=3) as site:
        for call in (site.frs.create_copy, site.frs.plan_copy):
            with pytest.raises(UsageError, match="empty"):
                call("evs1", ["sg1", name], backup_type=FULL)
        assert site.frs.copies() == ()
        assert site.eva.copies() == ()


def test_no_component_answers_to_an_empty_name(site):
    """Containers have no caption; that does not make the empty text their name."""
    for component in site.parties.exchange.writer.identify(budget=Budget.unlimited()).components:
        assert not component.answers_to("")


@pytest.mark.rule("FRS-41", "FRS-20")
@pytest.mark.parametrize("name", ["evs1", "Microsoft Exchange Server", "SG1", "guid", "path"])
def test_a_copy_is_kept_under_the_name_of_what_it_can_recover(name):
    """However a group was named: listed under its name, and recoverable by it."""
    with frskit.lab(seed=3) as site:
        site.deliver("evs1", "sg1", messages=5)
        component = site.exchange.application.components()[0].id
        wanted = {"guid": component.name, "path": component.full_path}.get(name, name)
        assert site.frs.plan_copy("evs1", [wanted], backup_type=FULL).components == ("sg1",)
        copy = site.frs.create_copy("evs1", [wanted], backup_type=FULL)
        assert copy.components == ("sg1",)
        assert [each.id for each in site.frs.copies(component="sg1")] == [copy.id]
        for group in (None, "sg1"):
            assert site.frs.plan_recovery(copy.id, mode=PIT, component=group).component == "sg1"


def test_a_name_given_twice_is_one_component(site):
    """The record does not hold a group twice and ask for --component afterwards."""
    copy = site.frs.create_copy("evs1", ["sg1", "SG1"], backup_type=FULL)
    assert copy.components == ("sg1",)
    assert site.frs.plan_recovery(copy.id, mode=PIT).component == "sg1"


def test_an_older_record_under_a_foreign_name_is_found_by_its_component(site):
    """Copies whose record keeps what the user typed can be recovered all the same."""
    copy = only(site)
    for name in ("", "evs1"):
        site.parts.catalog.update(copy.id, lambda each, n=name: evolve(each, components=(n,)))
        assert site.frs.plan_recovery(copy.id, mode=PIT).component == "sg1"
        assert site.frs.plan_recovery(copy.id, mode=PIT, component="sg1").component == "sg1"


def test_what_the_application_could_not_recover_is_not_copied(monkeypatch):
    """A component that is no group of the application is refused before anybody is disturbed."""
    with frskit.lab(seed=3) as site:
        monkeypatch.setattr(type(site.exchange.application), "components", lambda _, budget: ())
        with pytest.raises(StorageGroupNotRecognized, match="could not recover sg1"):
            site.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
        assert site.eva.copies() == ()


# --- ids -----------------------------------------------------------------------------------------


@pytest.mark.rule("R-24")
@pytest.mark.parametrize("length", [1, 5])
def test_a_few_characters_are_not_enough_to_delete_a_copy(site, length):
    """A mistyped prefix of one copy's id does not delete another; six characters do."""
    copy = only(site)
    with pytest.raises(UsageError, match="too little"):
        site.frs.delete_copy(CopyId(copy.id[:length]))
    assert only(site).recoverable
    site.frs.delete_copy(CopyId(copy.id[:6]))
    with pytest.raises(CopyNotFound):
        site.frs.delete_copy(copy.id)


# --- undone or finished --------------------------------------------------------------------------


def on_copy(site, copy):
    """Whether production runs on the copy's LUNs."""
    members = {member.storage for member in copy.members}
    return bool(members & site.parties.production_luns())


@pytest.mark.rule("FRS-33", "FRS-49", "HAZ-25")
@pytest.mark.parametrize("method", ["join_lineage", "displace"])
def test_a_recovery_that_could_not_be_recorded_is_not_called_undone(site, monkeypatch, method):
    """The stores are up on the copy: said so, left open, and a resume records it."""
    copy = only(site)
    old = site.parties.production_luns()
    plan = site.frs.plan_recovery(copy.id, mode=PIT)
    with monkeypatch.context() as patch:
        Fault(site.parts.catalog, method, CatalogError("disk full"), lasting=True, patch=patch)
        with pytest.raises(RecoveryFailed) as caught:
            site.frs.recover(plan)
    assert caught.value.context["recovered"]
    assert not caught.value.context["undone"]
    assert "undone" in caught.value.hint
    assert on_copy(site, copy)
    assert mail(site) == ("mounted", 50)
    (resumed,) = site.frs.resume()
    assert resumed.result == "the recovery of sg1 was completed"
    assert {storage for storage, _ in site.parts.catalog.displaced()} == old
    assert site.frs.resume() == ()
    assert mail(site) == ("mounted", 50)


@pytest.mark.rule("FRS-49")
@pytest.mark.parametrize("phase", ["done", "end"])
def test_a_journal_that_cannot_be_written_after_the_stores_are_up(site, monkeypatch, phase):
    """No undo from a mounted store, whatever fails afterwards."""
    copy = only(site)
    plan = site.frs.plan_recovery(copy.id, mode=PIT)
    from frskit.frs.state.journal import JournalOperation

    real = JournalOperation.write

    def write(self, said, step, **facts):
        if said == phase and step in ("mount and replay", "recovered"):
            raise CatalogError("disk full")
        return real(self, said, step, **facts)

    with monkeypatch.context() as patch:
        patch.setattr(JournalOperation, "write", write)
        with pytest.raises(RecoveryFailed) as caught:
            site.frs.recover(plan)
    assert caught.value.context["recovered"]
    assert mail(site) == ("mounted", 50)
    assert on_copy(site, copy)
    (resumed,) = site.frs.resume()
    assert resumed.result == "the recovery of sg1 was completed"


@pytest.mark.rule("FRS-33", "FRS-49")
def test_what_could_not_be_undone_is_named_and_a_resume_undoes_it(site, monkeypatch):
    """The leftovers are on the error itself; the journal stays open; resume goes on with the undo."""
    copy, before = only(site), site.parties.production_luns()
    plan = site.frs.plan_recovery(copy.id, mode=PIT)
    with monkeypatch.context() as patch:
        Fault(site.parties.production, "set_flags", HostError("broken"), lasting=True, patch=patch)
        with pytest.raises(RecoveryFailed) as caught:
            site.frs.recover(plan)
    assert caught.value.leftovers
    assert any("broken" in text for text in caught.value.leftovers)
    assert not caught.value.context["undone"]
    assert not caught.value.context["recovered"]
    (resumed,) = site.frs.resume()
    assert resumed.result == "the recovery of sg1 was undone"
    assert site.parties.production_luns() == before
    assert mail(site) == ("mounted", 70)
    assert site.frs.copy(copy.id).recoverable


@pytest.mark.rule("FRS-49")
@pytest.mark.parametrize("said", [True, False], ids=["journalled", "journal full"])
def test_an_undo_that_got_stuck_after_the_intent_to_replay_is_ended_as_an_undo(
    site, monkeypatch, said
):
    """Replay was begun and failed, undo left something: resume goes back, never forward.

    Otherwise the LUNs that production runs on would be recorded as displaced.
    """
    copy, before = only(site), site.parties.production_luns()
    plan = site.frs.plan_recovery(copy.id, mode=PIT)
    from frskit.frs.state.journal import JournalOperation

    real = JournalOperation.write

    def write(self, phase, step, **facts):
        if not said and phase in ("undo", "undone"):
            raise CatalogError("disk full")
        return real(self, phase, step, **facts)

    application = site.exchange.application
    with monkeypatch.context() as patch:
        patch.setattr(JournalOperation, "write", write)
        Fault(application, "bring_online", StoreError("replay failed"), patch=patch)
        Fault(application, "take_offline", StoreError("stuck"), at=2, patch=patch)
        with pytest.raises(RecoveryFailed) as caught:
            site.frs.recover(plan)
    assert caught.value.leftovers
    (resumed,) = site.frs.resume()
    assert resumed.result == "the recovery of sg1 was undone"
    assert site.parts.catalog.displaced() == ()
    assert site.parties.production_luns() == before
    assert mail(site) == ("mounted", 70)
    assert site.frs.resume() == ()


@pytest.mark.rule("FRS-49")
def test_a_stuck_undo_of_a_copy_back_is_ended_as_an_undo(site, monkeypatch):
    """Files leave no mark in the mounts: the journal's line alone says that there is no way on."""
    plan = site.frs.plan_recovery(only(site).id, mode=PIT, method=RecoveryMethod.COPY_BACK)
    application = site.exchange.application
    with monkeypatch.context() as patch:
        Fault(application, "bring_online", StoreError("replay failed"), patch=patch)
        Fault(application, "take_offline", StoreError("stuck"), at=2, patch=patch)
        with pytest.raises(RecoveryFailed):
            site.frs.recover(plan)
    (resumed,) = site.frs.resume()
    assert resumed.result == "the recovery of sg1 was undone"
    assert mail(site) == ("mounted", 70)


@pytest.mark.rule("FRS-33")
def test_an_application_that_fails_after_its_stores_came_up_did_not_fail(site, monkeypatch):
    """What is true counts, not what was said: clients write to these stores already."""
    copy = only(site)
    plan = site.frs.plan_recovery(copy.id, mode=PIT)
    with monkeypatch.context() as patch:
        error = RuntimeError("connection lost")
        Fault(site.exchange.application, "bring_online", error, after=True, patch=patch)
        report = site.frs.recover(plan)
    assert {each.state for each in report.after.databases} == {"mounted"}
    assert on_copy(site, copy)
    assert len(report.displaced) == 3
    assert site.frs.resume() == ()


@pytest.mark.rule("FRS-33")
@pytest.mark.parametrize("error", [RuntimeError("API changed"), KeyError("lun")])
def test_a_foreign_exception_in_the_undo_stops_nothing(site, monkeypatch, error):
    """The array raises what it likes while the swap is undone: the rest of the undo runs."""
    before = site.parties.production_luns()
    plan = site.frs.plan_recovery(only(site).id, mode=PIT)
    with monkeypatch.context() as patch:
        Fault(site.exchange.application, "bring_online", StoreError("replay failed"), patch=patch)
        # Three calls of planning, three of the swap, then those of the undo.
        seen = Fault(site.eva, "unpresent", error, at=8, patch=patch)
        with pytest.raises(RecoveryFailed) as caught:
            site.frs.recover(plan)
    assert seen.calls >= 8
    assert any(type(error).__name__ in text for text in caught.value.leftovers)
    (resumed,) = site.frs.resume()
    assert resumed.result == "the recovery of sg1 was undone"
    assert site.parties.production_luns() == before
    assert mail(site) == ("mounted", 70)


@pytest.mark.rule("FRS-33")
@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_a_recovery_undoes_it_and_stays_an_interrupt(site, monkeypatch, interrupt):
    """Ctrl-C is no failed recovery: the exit status differs, the undo does not."""
    before = site.parties.production_luns()
    plan = site.frs.plan_recovery(only(site).id, mode=PIT)
    with monkeypatch.context() as patch:
        Fault(site.parties.production, "set_flags", interrupt(), patch=patch)
        with pytest.raises(interrupt) as caught:
            site.frs.recover(plan)
    assert caught.value.__cause__ is None
    assert site.parties.production_luns() == before
    assert mail(site) == ("mounted", 70)
    assert site.frs.resume() == ()


def test_a_store_that_was_down_before_may_be_down_after_an_undo(site, monkeypatch):
    """A damaged store that does not mount again is no leftover: the next recovery is not blocked."""
    site.damage_database("evs1", "sg1")
    site.exchange.application.take_offline("sg1", budget=frskit.Budget.of(site.clock))
    copy = only(site)
    plan = site.frs.plan_recovery(copy.id, mode=PIT, method=RecoveryMethod.COPY_BACK)
    with monkeypatch.context() as patch:
        Fault(site.exchange.application, "bring_online", StoreError("transient"), patch=patch)
        with pytest.raises(RecoveryFailed) as caught:
            site.frs.recover(plan)
    assert caught.value.leftovers == ()
    assert caught.value.context["undone"]
    site.frs.recover(site.frs.plan_recovery(copy.id, mode=PIT, method=RecoveryMethod.COPY_BACK))
    assert mail(site) == ("mounted", 50)


# --- clean-up of a failed copy ---------------------------------------------------------------------


@pytest.mark.rule("FRS-22")
@pytest.mark.parametrize("error", [ArrayError("busy"), RuntimeError("API changed")])
@pytest.mark.parametrize("method", ["unpresent", "delete_storage"])
def test_what_a_failed_copy_leaves_on_the_array_is_named(site, monkeypatch, method, error):
    """Also if the array raises something foreign while it is cleaned up, once and for good."""
    kept = {each.id for each in site.eva.copies()}
    with monkeypatch.context() as patch:
        checker = type(site.parties.checker)
        Fault(checker, "check", StoreError("unreadable"), patch=patch)
        Fault(site.eva, method, error, lasting=True, patch=patch)
        with pytest.raises(frskit.FrskitError) as caught:
            site.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
    orphans = {each.id for each in site.eva.copies()} - kept
    assert orphans
    said = " ".join(caught.value.copy.leftovers)
    assert caught.value.copy.leftovers == caught.value.leftovers
    assert "members on the array" in said
    assert site.deliver("evs1", "sg1", messages=1) == 1


# --- resuming beside somebody who is at work -------------------------------------------------------


@pytest.mark.rule("FRS-43", "FRS-49")
@pytest.mark.parametrize("durable", [False, True], ids=["memory", "directory"])
def test_a_resume_leaves_a_recovery_alone_that_ended_while_it_waited(tmp_path, durable):
    """It was unfinished when resume looked, and done when resume had the lock: nothing is undone."""
    with frskit.lab(tmp_path / "lab" if durable else None, seed=3) as site:
        site.deliver("evs1", "sg1", messages=50)
        copy = site.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
        site.deliver("evs1", "sg1", messages=20)
        plan = site.frs.plan_recovery(copy.id, mode=PIT)
        hold, seen = site.parts.locks.hold, []

        def waiting(name, what):
            if what == "resume":  # it listed the recovery before; now it waits for its end
                seen.append(what)
                release.set()
                worker.join()
            return hold(name, what)

        release, listed = threading.Event(), threading.Event()

        class AtSwap:
            def emit(self, event):
                if getattr(event, "step", None) == "swap" and not listed.is_set():
                    listed.set()
                    assert release.wait(20)

        site.frs.subscribe(AtSwap())
        worker = threading.Thread(target=site.frs.recover, args=(plan,))
        worker.start()
        assert listed.wait(20)
        site.parts.locks.hold = waiting
        assert site.frs.resume() == ()
        assert seen
        assert mail(site) == ("mounted", 50)
        assert on_copy(site, copy)
        assert len(site.parts.catalog.displaced()) == 3


@pytest.mark.rule("FRS-43", "FRS-54")
def test_a_resume_leaves_a_copy_alone_that_was_parked_while_it_waited(site, monkeypatch):
    """An unverified copy that its maker finished meanwhile is not rolled back."""
    copy = site.frs.create_copy("evs1", ["sg1"], backup_type=FULL, check=False)
    parked = site.frs.copy(copy.id)
    site.parts.catalog.put(evolve(parked, life=CopyLife.CREATED))
    done = meanwhile(
        site, monkeypatch, lambda: site.parts.catalog.put(parked) or True, doing="resume"
    )
    assert site.frs.resume() == ()
    assert done
    assert {member.storage for member in parked.members} <= {each.id for each in site.eva.copies()}


@pytest.mark.rule("FRS-49")
def test_a_foreign_exception_in_one_resume_leaves_the_others_their_turn(site, monkeypatch):
    """A recovery whose application is broken is named as such; an unfinished copy is rolled back."""
    plan = site.frs.plan_recovery(only(site).id, mode=PIT)
    error = RuntimeError("API changed")
    with monkeypatch.context() as patch:
        Fault(site.parts.catalog, "displace", CatalogError("disk full"), patch=patch)
        with pytest.raises(RecoveryFailed):
            site.frs.recover(plan)
    site.exchange.application.take_offline("sg1", budget=frskit.Budget.of(site.clock))
    other = evolve(
        only(site),
        id=CopyId("0" * 36),
        members=(),
        life=CopyLife.REQUESTED,
        verdict=Verdict.UNKNOWN,
    )
    site.parts.catalog.put(other)
    said = {"bring_online": "the recovery of sg1 cannot be ended", "status": "left as it is"}
    for method, text in said.items():
        with monkeypatch.context() as patch:
            Fault(site.exchange.application, method, error, lasting=True, patch=patch)
            results = [each.result for each in site.frs.resume()]
        assert results[0].startswith(f"{text}: application ")
        assert results[0].endswith(f" failed in {method}: RuntimeError: API changed")
    assert site.frs.copy(other.id).life is CopyLife.FAILED
    assert site.frs.resume()[0].result == "the recovery of sg1 was completed"


@pytest.mark.rule("FRS-22")
def test_a_service_that_fails_in_its_own_way_when_told_the_outcome_stops_no_clean_up(
    site, monkeypatch
):
    """It is not known what the writers heard; the set is deleted, the record says so."""
    kept = {each.id for each in site.eva.copies()}
    session = type(site.parties.services[0].session(_request()))
    with monkeypatch.context() as patch:
        Fault(type(site.parties.checker), "check", StoreError("unreadable"), patch=patch)
        Fault(session, "complete", RuntimeError("API changed"), patch=patch)
        with pytest.raises(StoreError):
            site.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
    assert {each.id for each in site.eva.copies()} == kept
    assert site.frs.copies()[0].completion is frskit.Completion.UNKNOWN


def _request():
    from frskit.spi import CopyKey, ShadowRequest

    return ShadowRequest(key=CopyKey("0" * 32), components=("sg1",), backup_type=FULL)


def test_an_unfinished_copy_that_cannot_be_cleaned_up_waits_for_the_next_resume(site, monkeypatch):
    """Each resume says why it left it; the first one that can ends it."""
    unfinished = evolve(
        only(site),
        id=CopyId("ffffffff-0000-4000-8000-000000000000"),
        members=(),
        life=CopyLife.CREATED,
        verdict=Verdict.UNVERIFIED,
    )
    site.parts.catalog.put(unfinished)
    with monkeypatch.context() as patch:
        Fault(site.parts.locks, "hold", Busy("another operation"), lasting=True, patch=patch)
        (left,) = site.frs.resume()
    assert (left.copy.id, left.copy.life) == (unfinished.id, CopyLife.CREATED)
    assert left.result.startswith("left as it is: ")
    assert "another operation" in left.result
    (ended,) = site.frs.resume()
    assert ended.copy.id == unfinished.id
    assert site.frs.resume() == ()
