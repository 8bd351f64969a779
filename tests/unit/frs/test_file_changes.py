"""A recovery that makes and deletes files of production: done, undone, and ended after a crash."""

from __future__ import annotations

import contextlib

import pytest
from support.faults import Fault, places

from frskit import RecoveryMethod, RecoveryMode
from frskit.errors import RecoveryFailed, RecoveryPrecondition, StoreError
from frskit.frs.recovery import execution
from frskit.model.plans import FileAction, FileActionKind

PIT = RecoveryMode.POINT_IN_TIME
STALE, SIGNAL = "M:\\exchsrvr\\stale.txt", "M:\\exchsrvr\\new\\recovery.signal"
OVER = "L:\\exchsrvr\\config.txt"
DELETE, CREATE = FileActionKind.DELETE, FileActionKind.CREATE
ACTIONS = (
    FileAction(kind=DELETE, path=STALE),
    FileAction(kind=CREATE, path=SIGNAL, content=b"go"),
    FileAction(kind=CREATE, path=OVER, content=b"after"),
    FileAction(kind=DELETE, path="L:\\exchsrvr\\never-was.txt"),
)


class Killed(BaseException):
    """The process dies here: nothing of it runs any more."""


def files(site):
    """What lies in the two directories that the recovery changes, beside Exchange's own."""
    found = {}
    for root in ("M:\\exchsrvr", "L:\\exchsrvr"):
        place = site.parties.production.resolve(root)
        tree = site.parties.production.files(place.volume)
        for path in tree.walk(place.path):
            if "sg1" in path:
                continue
            with tree.open(path) as file:
                found[root[0] + path.removeprefix("exchsrvr")] = file.read_at(0, file.size_bytes)
    return found


BEFORE = {"M/stale.txt": b"stale", "L/config.txt": b"before"}
AFTER = {"M/new/recovery.signal": b"go", "L/config.txt": b"after"}


@pytest.fixture
def site(site, monkeypatch):
    """The lab, with an application that changes files of its own in a copy back."""
    for path, data in ((STALE, b"stale"), (OVER, b"before")):
        place = site.parties.production.resolve(path)
        tree = site.parties.production.files(place.volume)
        with tree.create(place.path) as file:
            file.write_at(0, data)
        tree.sync()
    application = site.exchange.application
    real = application.file_actions

    def more(*args, **given):
        return (*real(*args, **given), *ACTIONS)

    monkeypatch.setattr(application, "file_actions", more)
    return site


@pytest.fixture
def plan(site, copy):
    """A plan to copy back to the point in time of the copy."""
    return site.frs.plan_recovery(copy.id, mode=PIT, method=RecoveryMethod.COPY_BACK)


def mail(site):
    """State and number of messages of the mailbox store."""
    store = site.status("evs1", "sg1").databases[0]
    return store.state, store.items


def test_a_recovery_makes_and_deletes_files(site, plan):
    """Afterwards nothing is left of what was kept for undo."""
    assert files(site) == BEFORE
    assert [each.title for each in plan.steps].count("create") == 2
    site.frs.recover(plan)
    assert files(site) == AFTER
    assert mail(site) == ("mounted", 50)


def test_a_failed_recovery_gives_back_what_it_made_and_deleted(site, plan, monkeypatch):
    """Bytes and names are as before."""
    with monkeypatch.context() as patch:
        Fault(site.exchange.application, "bring_online", StoreError("no"), patch=patch)
        with pytest.raises(RecoveryFailed) as caught:
            site.frs.recover(plan)
    assert caught.value.context["undone"]
    assert files(site) == BEFORE
    assert mail(site) == ("mounted", 70)


@pytest.mark.crash
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_process_that_dies_at_any_change_is_undone_by_a_resume(site, plan, monkeypatch, after):
    """From the journal alone: whatever was begun is taken back."""
    for at in places(40):
        with monkeypatch.context() as patch:
            fault = Fault(execution, "run_action", Killed, at=at, after=after, patch=patch)
            patch.setattr(execution.RecoveryRun, "_undo_all", lambda _self, error, _: error)
            with contextlib.suppress(Killed):
                site.frs.recover(plan)
        if not fault.fired:
            assert at > len(ACTIONS)
            assert files(site) == AFTER
            return
        (resumed,) = site.frs.resume()
        assert resumed.result == "the recovery of sg1 was undone"
        assert files(site) == BEFORE
        assert mail(site) == ("mounted", 70)
        plan = site.frs.plan_recovery(plan.copy, mode=PIT, method=RecoveryMethod.COPY_BACK)


@pytest.mark.crash
def test_a_resume_removes_no_file_because_its_deletion_was_begun(site, plan, monkeypatch):
    """There was none when the process died; what has come since is somebody's."""
    with monkeypatch.context() as patch:
        at = len(plan.file_actions)
        Fault(execution, "run_action", Killed, at=at, after=True, patch=patch)
        patch.setattr(execution.RecoveryRun, "_undo_all", lambda _self, error, _: error)
        with pytest.raises(Killed):
            site.frs.recover(plan)
    place = site.parties.production.resolve(ACTIONS[-1].path)
    with site.parties.production.files(place.volume).create(place.path) as file:
        file.write_at(0, b"since")
    site.frs.resume()
    assert files(site) == {**BEFORE, "L/never-was.txt": b"since"}


@pytest.mark.crash
def test_a_process_that_dies_after_the_replay_is_ended_forwards_by_a_resume(
    site, plan, monkeypatch
):
    """What was kept for undo goes, and what was deleted stays deleted."""
    with monkeypatch.context() as patch:
        Fault(execution, "drop_undo", Killed, patch=patch)
        with pytest.raises(Killed):
            site.frs.recover(plan)
    assert "M/stale.txt.frskit-undo" in files(site)
    (resumed,) = site.frs.resume()
    assert resumed.result == "the recovery of sg1 was completed"
    assert files(site) == AFTER
    assert mail(site) == ("mounted", 50)


def test_an_application_that_would_change_a_file_twice_is_refused(site, copy, monkeypatch):
    """Before anything is touched: such a plan could not be undone."""
    application = site.exchange.application
    real = application.file_actions
    again = FileAction(kind=DELETE, path=OVER.upper())
    monkeypatch.setattr(application, "file_actions", lambda *a, **k: (*real(*a, **k), again))
    with pytest.raises(RecoveryPrecondition, match="twice"):
        site.frs.plan_recovery(copy.id, mode=PIT, method=RecoveryMethod.COPY_BACK)
    assert files(site) == BEFORE
