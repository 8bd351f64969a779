"""How a recovery, its undo and a later resume end when a party says something unexpected."""

from __future__ import annotations

import pytest
from attrs import evolve
from support.faults import Fault

from frskit import Budget, RecoveryMethod, RecoveryMode
from frskit.errors import CatalogError, RecoveryFailed, RecoveryPrecondition, StoreError
from frskit.frs.recovery import execution

PIT = RecoveryMode.POINT_IN_TIME


@pytest.fixture
def plan(site, copy):
    """A plan to swap to the point in time of the copy."""
    return site.frs.plan_recovery(copy.id, mode=PIT)


def mail(site):
    """State and number of messages of the mailbox store."""
    store = site.status("evs1", "sg1").databases[0]
    return store.state, store.items


def down(status):
    """The same status with every store down."""
    stores = tuple(evolve(each, state="dismounted") for each in status.databases)
    return evolve(status, databases=stores)


def failed(site, plan):
    """The error of a recovery that does not succeed."""
    with pytest.raises(RecoveryFailed) as caught:
        site.frs.recover(plan)
    return caught.value


def test_a_plan_that_things_have_overtaken_is_refused(site, copy):
    """New logs have changed how far production can be rolled forward; nothing is touched."""
    plan = site.frs.plan_recovery(copy.id, mode=RecoveryMode.ROLL_FORWARD)
    site.deliver("evs1", "sg1", messages=200)
    site.exchange.group("sg1").roll()
    with pytest.raises(RecoveryPrecondition, match="out of date") as caught:
        site.frs.recover(plan)
    assert caught.value.context["condition"] == "P-11"
    assert mail(site) == ("mounted", 270)


def test_stores_that_did_not_come_up_are_a_failed_recovery(site, plan, monkeypatch):
    """The application said nothing, and its report says that they are down: all is undone."""
    application = site.exchange.application
    real, calls = application.bring_online, []

    def bring_online(group, *, budget):
        calls.append(group)
        report = real(group, budget=budget)
        if len(calls) == 1:
            return evolve(report, status=down(report.status))
        return report

    monkeypatch.setattr(application, "bring_online", bring_online)
    error = failed(site, plan)
    assert "did not come up: mbx-sg1" in str(error).replace("mailbox-sg1", "mbx-sg1")
    assert error.context["undone"]
    assert mail(site) == ("mounted", 70)


def test_an_application_that_cannot_tell_its_state_is_taken_at_its_word(site, plan, monkeypatch):
    """It failed and does not answer: that is a failure, and undone."""
    application = site.exchange.application
    real = application.status

    def status(group, *, budget):
        if fault.fired:
            raise RuntimeError("no answer")
        return real(group, budget=budget)

    with monkeypatch.context() as patch:
        fault = Fault(application, "bring_online", StoreError("replay failed"), patch=patch)
        patch.setattr(application, "status", status)
        error = failed(site, plan)
    assert "replay failed" in str(error)
    assert not error.context["recovered"]
    assert mail(site) == ("mounted", 70)


def test_a_copy_without_documents_cannot_be_restored(site, copy, plan):
    """The writer is told from them; nothing is swapped, and the stores come up again."""
    site.parts.catalog.put(evolve(site.parts.catalog.get(copy.id), documents=None))
    before = site.parties.production_luns()
    assert "documents are missing" in str(failed(site, plan))
    assert site.parties.production_luns() == before
    assert mail(site) == ("mounted", 70)


def test_a_mount_that_vanishes_after_the_check_stops_the_swap(site, plan, monkeypatch):
    """Somebody dismounts a volume between the plan and the swap."""
    server = type(site.parties.production)
    before = site.parties.production_luns()
    real = execution.mounted_storage

    def mounted_storage(production, mount_point):
        with monkeypatch.context() as patch:
            patch.setattr(server, "volumes", lambda _: ())
            return real(production, mount_point)

    with monkeypatch.context() as patch:
        patch.setattr(execution, "mounted_storage", mounted_storage)
        assert "is not mounted on production" in str(failed(site, plan))
    assert site.parties.production_luns() == before
    assert mail(site) == ("mounted", 70)


def test_a_record_that_cannot_be_released_is_named(site, plan, monkeypatch):
    """All was undone but for the catalog: the leftover says so, and a resume ends it."""
    with monkeypatch.context() as patch:
        Fault(site.exchange.application, "bring_online", StoreError("replay"), patch=patch)
        patch.setattr(execution, "release", refuse)
        error = failed(site, plan)
    assert any("record of the copy: disk full" in text for text in error.leftovers)
    (resumed,) = site.frs.resume()
    assert resumed.result == "the recovery of sg1 was undone"
    assert mail(site) == ("mounted", 70)


def refuse(*_):
    """A catalog that cannot be written."""
    raise CatalogError("disk full")


def test_a_store_that_stays_down_after_the_undo_is_named(site, plan, monkeypatch):
    """It was mounted before and is not now."""
    application = site.exchange.application
    real, calls = application.bring_online, []

    def bring_online(group, *, budget):
        calls.append(group)
        if len(calls) == 1:
            raise StoreError("replay failed")
        report = real(group, budget=budget)
        return evolve(report, status=down(report.status))

    with monkeypatch.context() as patch:
        patch.setattr(application, "bring_online", bring_online)
        error = failed(site, plan)
    assert any("mounted before and not now" in text for text in error.leftovers)
    assert not error.context["undone"]


def unsettled(site, plan, monkeypatch):
    """A recovery whose stores came up and that could not be recorded."""
    with monkeypatch.context() as patch:
        patch.setattr(execution, "release", refuse)
        assert failed(site, plan).context["recovered"]


def test_a_resume_does_not_complete_what_is_down(site, plan, monkeypatch):
    """A store that does not come up keeps the recovery open; the next resume ends it."""
    unsettled(site, plan, monkeypatch)
    application = site.exchange.application
    real = application.bring_online
    with monkeypatch.context() as patch:
        status = application.status
        patch.setattr(application, "status", lambda group, **given: down(status(group, **given)))

        def bring_online(group, *, budget):
            report = real(group, budget=budget)
            return evolve(report, status=down(report.status))

        patch.setattr(application, "bring_online", bring_online)
        (resumed,) = site.frs.resume()
    assert "cannot be ended" in resumed.result
    assert "did not come up" in resumed.result
    (resumed,) = site.frs.resume()
    assert resumed.result == "the recovery of sg1 was completed"
    assert mail(site) == ("mounted", 50)


def test_a_completed_copy_back_leaves_no_file_of_its_undo(site, copy, monkeypatch):
    """What was kept for undo goes when a resume completes the recovery."""
    plan = site.frs.plan_recovery(copy.id, mode=PIT, method=RecoveryMethod.COPY_BACK)
    with monkeypatch.context() as patch:
        patch.setattr(execution, "drop_undo", refuse)
        assert failed(site, plan).context["recovered"]

    def databases():
        server = site.parties.production
        place = server.resolve("M:\\exchsrvr\\sg1")
        tree = server.files(place.volume)
        found = {}
        for name in tree.listdir(place.path):
            with tree.open(f"{place.path}/{name}") as file:
                found[name] = file.read_at(0, file.size_bytes)
        return found

    before = databases()
    assert any(name.endswith(".frskit-undo") for name in before)
    (resumed,) = site.frs.resume()
    assert resumed.result == "the recovery of sg1 was completed"
    kept = {name: data for name, data in before.items() if not name.endswith(".frskit-undo")}
    assert kept
    assert databases() == kept
    assert mail(site) == ("mounted", 50)


def test_what_a_resume_cannot_undo_either_stays_open(site, plan, monkeypatch):
    """It names what it could not undo, as the recovery did."""
    application = site.exchange.application
    with monkeypatch.context() as patch:
        Fault(application, "bring_online", StoreError("replay failed"), patch=patch)
        Fault(application, "take_offline", StoreError("stuck"), at=2, lasting=True, patch=patch)
        assert failed(site, plan).leftovers
        (resumed,) = site.frs.resume()
        assert resumed.result.startswith("the recovery of sg1 cannot be undone: ")
        assert "stuck" in resumed.result
    (resumed,) = site.frs.resume()
    assert resumed.result == "the recovery of sg1 was undone"
    assert mail(site) == ("mounted", 70)


def test_an_undone_recovery_whose_stores_do_not_mount_is_ended_all_the_same(
    site, plan, monkeypatch
):
    """They may have been broken before; that is what the recovery was for."""
    application = site.exchange.application
    with monkeypatch.context() as patch:
        Fault(application, "bring_online", StoreError("no"), lasting=True, patch=patch)
        failed(site, plan)
        (resumed,) = site.frs.resume()
    assert "was undone; it cannot be mounted as it is: " in resumed.result
    assert site.frs.resume() == ()


# --- what is set for a restore, and who owns the component


def flags(site):
    """Whether each database can be overwritten by a restore."""
    return {each.may_be_overwritten for each in site.exchange.group("sg1").settings.databases}


def copying(site, copy):
    """A plan that leaves the copy as it is."""
    return site.frs.plan_recovery(copy.id, mode=PIT, method=RecoveryMethod.COPY_BACK)


@pytest.mark.rule("EXC-58")
@pytest.mark.parametrize("down_before", [False, True])
def test_no_end_of_a_recovery_leaves_the_stores_marked_for_a_restore(
    site, copy, monkeypatch, down_before
):
    """A failed one, one that failed after its stores came up, and a good one."""
    application = site.exchange.application
    if down_before:
        application.take_offline("sg1", budget=Budget.of(site.clock))
    with monkeypatch.context() as patch:
        Fault(application, "bring_online", StoreError("replay failed"), patch=patch)
        failed(site, copying(site, copy))
    assert flags(site) == {False}
    assert site.exchange.group("sg1").is_open is not down_before
    real, said = application.bring_online, []

    def half(group, *, budget):
        said.append(group)
        report = real(group, budget=budget)
        if len(said) > 1:
            return report
        for each in report.status.databases:
            site.exchange.group(group).change(each.name, may_be_overwritten=True)
        raise StoreError("the connection was lost on the way")

    with monkeypatch.context() as patch:
        patch.setattr(application, "bring_online", half)
        site.frs.recover(copying(site, copy))
    assert said == ["sg1", "sg1"]
    assert flags(site) == {False}


@pytest.mark.rule("EXC-58")
def test_a_resume_takes_the_mark_away_forwards_and_backwards(site, copy, monkeypatch):
    """The process that died may have been about to."""
    application = site.exchange.application
    budget = Budget.of(site.clock)
    with monkeypatch.context() as patch:
        Fault(application, "bring_online", StoreError("no"), lasting=True, patch=patch)
        failed(site, copying(site, copy))
        assert flags(site) == {True}
        site.frs.resume()
    assert flags(site) == {False}
    application.bring_online("sg1", budget=budget)
    unsettled(site, copying(site, copy), monkeypatch)
    for each in site.exchange.group("sg1").settings.databases:
        site.exchange.group("sg1").change(each.name, may_be_overwritten=True)
    assert site.frs.resume()[0].result == "the recovery of sg1 was completed"
    assert flags(site) == {False}


@pytest.mark.rule("FRS-32")
@pytest.mark.parametrize("moves_at", ["status", "take_offline", "set_flags"])
def test_a_component_that_a_cluster_moved_is_not_recovered_where_it_was(
    site, plan, monkeypatch, moves_at
):
    """Before anything began the plan is refused; later what was done is undone."""
    application = site.exchange.application
    real, moved = application.components, []
    before = site.parties.production_luns()

    def components(*, budget):
        owner = "node2" if moved else "evs1"
        return tuple(evolve(each, owner=owner) for each in real(budget=budget))

    party = site.parties.production if moves_at == "set_flags" else application
    with monkeypatch.context() as patch:
        patch.setattr(application, "components", components)
        act = getattr(party, moves_at)

        def move(*args, **given):
            moved.append(True)
            return act(*args, **given)

        patch.setattr(party, moves_at, move)
        error = failed(site, plan)
    assert "P-11: sg1 moved from evs1 to node2" in str(error)
    assert error.context["undone"]
    assert site.parties.production_luns() == before
    assert mail(site) == ("mounted", 70)


def test_a_plan_for_another_owner_is_out_of_date(site, plan, monkeypatch):
    """Nothing is changed."""
    application = site.exchange.application
    real = application.components
    moved = lambda *, budget: tuple(evolve(each, owner="n2") for each in real(budget=budget))  # noqa: E731
    monkeypatch.setattr(application, "components", moved)
    with pytest.raises(RecoveryPrecondition, match="out of date"):
        site.frs.recover(plan)
