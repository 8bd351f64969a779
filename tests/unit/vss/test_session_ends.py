"""How sessions end: from another thread, twice, dropped, all at once."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import pytest

from frskit.errors import BadState, Cancelled, SnapshotSetInProgress
from frskit.testing.fakes.site import SmallSite
from frskit.vss import BackupComponents
from frskit.vss.state_tables import RequestorState

KEYS = [f"{number:08d}-1111-4111-8111-111111111111" for number in range(3)]


def backup(site, key):
    """One backup that must succeed."""
    with site.service.session(site.request(key=key)) as session:
        return session.create(budget=site.budget())


def told(site, event):
    """Names of the writers that heard an event, in order, once for each time."""
    return [each.name for each in site.writers for seen, _ in each.sessions if seen == event]


def until(condition):
    """Wait for another thread."""
    end_s = time.monotonic() + 10
    while not condition() and time.monotonic() < end_s:
        time.sleep(0.01)
    assert condition()


@pytest.mark.rule("HAZ-12", "VSS-09", "VSS-36")
@pytest.mark.parametrize("step", ["writer-2.freeze", "writer-2.freeze!", "array.commit_copies"])
def test_abandoning_from_another_thread_leaves_nobody_frozen(step):
    """Everybody is released at once; whoever was busy is aborted again, and the creator is told why."""
    site = SmallSite()
    there, go_on, ended = threading.Event(), threading.Event(), []
    site.script.on(step, lambda: (there.set(), go_on.wait(20)))
    session = site.service.session(site.request())

    def create():
        try:
            with session:
                session.create(budget=site.budget())
        except BaseException as error:  # noqa: BLE001  handed to the test
            ended.append(error)

    thread = threading.Thread(target=create)
    thread.start()
    assert there.wait(10)
    session.abandon()
    assert not site.writers[0].frozen, "released while the other thread is still at it"
    with pytest.raises(
        SnapshotSetInProgress
    ):  # the set is still being made, by a thread that must end
        backup(site, KEYS[1])
    go_on.set()
    thread.join(10)
    (error,) = ended
    assert isinstance(error, Cancelled)
    assert site.unrest() == []
    assert site.copies() == []
    assert sorted(told(site, "backup_shutdown")[:2]) == ["writer-1", "writer-2"]
    for writer in site.writers:
        assert [event for event, _ in writer.sessions if event != "abort"][-1] == "backup_shutdown"
    backup(site, KEYS[2])


@pytest.mark.rule("VSS-21")
def test_creating_twice_is_refused_and_changes_nothing():
    """The first set stays good: no Abort, and its verdict can be told."""
    site = SmallSite()
    with site.service.session(site.request()) as session:
        session.create(budget=site.budget())
        with pytest.raises(BadState, match="creates one set"):
            session.create(budget=site.budget())
        assert told(site, "abort") == []
        wanted = {each.id: True for each in session.plan(budget=site.budget()).explicit}
        assert session.complete(wanted, budget=site.budget()).completed
    assert len(site.copies()) == 2


def test_two_threads_that_create_one_session_make_one_set():
    """One of them is refused, and does not abort the other's writers."""
    site, results = SmallSite(), []
    site.script.on("array.stage_copies", lambda: time.sleep(0.2))
    with site.service.session(site.request()) as session:

        def create():
            try:
                results.append(session.create(budget=site.budget()).id)
            except BadState as error:
                results.append(error)

        threads = [threading.Thread(target=create) for _ in range(2)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(20)
        assert sorted(type(each).__name__ for each in results) == ["BadState", "str"]
        assert told(site, "abort") == []
    assert site.unrest() == []


@pytest.mark.rule("VSS-09", "VSS-19")
def test_a_dropped_object_gives_its_place_back_and_tells_its_writers():
    """Set open, or copies made: collected, aborted, BackupShutdown once, the next backup works."""
    for made in (False, True):
        site = SmallSite()
        session = site.service.session(site.request())
        session.__enter__()
        session.plan(budget=site.budget())
        if made:
            session.create(budget=site.budget())
        else:
            session.components.start_snapshot_set()
        gone = weakref.ref(session.components)
        del session
        gc.collect()
        assert gone() is None
        backup(site, KEYS[1])
        if made:
            first = [
                each.session_id
                for writer in site.writers
                for event, each in writer.sessions
                if event == "backup_shutdown"
            ]
            assert first.count(site.request().key) == 2
        assert site.service.engine.records.sessions() == ()


@pytest.mark.rule("VSS-09")
def test_a_dropped_object_is_ended_without_anybody_asking():
    """Also if the service is not used again."""
    site = SmallSite()
    session = site.service.session(site.request())
    session.__enter__()
    session.create(budget=site.budget())
    del session
    gc.collect()
    until(lambda: len(told(site, "backup_shutdown")) == 2)


def test_requestor_objects_are_context_managers():
    """Leaving aborts what is not completed, and releases."""
    site = SmallSite()
    with BackupComponents(site.service) as components:
        components.initialize_for_backup()
        components.gather_writer_metadata()
        components.start_snapshot_set()
    assert components.state is RequestorState.RELEASED
    backup(site, KEYS[1])


def test_abort_all_ends_what_others_hold_and_says_so():
    """The slot is free, writers heard Abort and BackupShutdown; a second call finds nothing."""
    site = SmallSite()
    session = site.service.session(site.request())
    with session:
        session.create(budget=site.budget())
        (text,) = site.service.abort_all(budget=site.budget())
        assert site.request().key in text
        assert len(told(site, "backup_shutdown")) == 2
        assert site.service.abort_all(budget=site.budget()) == ()
        with pytest.raises(BadState):
            session.complete({}, budget=site.budget())
    assert len(told(site, "backup_shutdown")) == 2
    backup(site, KEYS[1])


def test_a_session_may_try_again_after_another_set_was_in_progress():
    """Nothing was begun, so the same session goes on once the other one is over."""
    site = SmallSite()
    with site.service.session(site.request(key=KEYS[0])) as first:
        first.plan(budget=site.budget())
        first.components.start_snapshot_set()
        with site.service.session(site.request(key=KEYS[1])) as second:
            with pytest.raises(SnapshotSetInProgress):
                second.create(budget=site.budget())
            first.abandon()
            assert second.create(budget=site.budget()).id == KEYS[1]
