"""Sessions misused, interrupted, dropped and shared by threads, as people do it."""

from __future__ import annotations

import gc
import threading

import pytest

from frskit.errors import (
    BadState,
    InsufficientCapacity,
    OutcomeUnknown,
    ProviderVeto,
    SnapshotSetInProgress,
    WriterVeto,
)
from frskit.model.components import BackupType, WriterFailure, WriterState
from frskit.model.shadows import RestoreRequest
from frskit.testing.fakes.site import SmallSite
from frskit.vss import BackupComponents

KEYS = [f"{number:08d}-1111-4111-8111-111111111111" for number in range(4)]


def backup(site, key, **wish):
    """One backup without a verdict; what it raised."""
    try:
        with site.service.session(site.request(key=key, **wish)) as session:
            session.create(budget=site.budget())
    except BaseException as error:  # noqa: BLE001  handed to the test
        return error
    return None


def prepared(site, service=None):
    """A requestor object up to AddToSnapshotSet."""
    found = BackupComponents(service or site.service)
    found.initialize_for_backup()
    found.set_backup_state(BackupType.FULL)
    found.gather_writer_metadata()
    for metadata in found.get_writer_metadata():
        for each in metadata.components:
            found.add_component(each.id)
    found.start_snapshot_set()
    for volume in ("L:\\", "M:\\"):
        found.add_to_snapshot_set(volume)
    return found


def rows():
    """The rows of a good backup, in order, each once."""
    site = SmallSite()
    assert backup(site, KEYS[0]) is None
    return [each for each in dict.fromkeys(site.script.steps) if each.startswith("event.")]


LEAVING = {"event.R AbortBackup", "event.W Abort", "event.R Release", "event.W BackupShutdown"}
"""Rows after `create` has returned: the caller knows the set then."""


@pytest.mark.rule("VSS-30", "VSS-09")
@pytest.mark.parametrize("row", rows())
def test_an_interrupt_at_any_row_leaves_nothing_behind(row):
    """Nobody frozen, everybody told the end, no copy without a name, and the next backup works."""
    site = SmallSite()
    site.script.on(row, KeyboardInterrupt())
    error = backup(site, KEYS[1])
    assert isinstance(error, KeyboardInterrupt)
    assert site.unrest() == []
    assert row in LEAVING or site.copies() == []
    for writer in site.writers:
        heard = [event for event, _ in writer.sessions]
        assert ("prepare_backup" in heard) == ("backup_shutdown" in heard)
    assert site.service.engine.records.sessions() == ()
    assert backup(site, KEYS[2]) is None


@pytest.mark.parametrize("row", ["event.R GatherWriterStatus", "event.R SaveAsXML"])
def test_copies_that_cannot_be_taken_back_after_an_interrupt_are_named(row):
    """The caller of `create` hears of no set, so the error has to say it."""
    site = SmallSite()
    site.script.on(row, KeyboardInterrupt())
    site.script.on("array.delete_storage", InsufficientCapacity("no"))
    error = backup(site, KEYS[1])
    assert isinstance(error, KeyboardInterrupt)
    assert site.copies()
    assert any(KEYS[1] in note for note in error.__notes__)


CALLS = (
    "begin_prepare_snapshot",
    "end_prepare_snapshots",
    "pre_commit_snapshots",
    "commit_snapshots",
    "post_commit_snapshots",
    "get_target_luns",
    "pre_final_commit_snapshots",
    "post_final_commit_snapshots",
    "abort_snapshots",
    "are_luns_supported",
)


@pytest.mark.rule("VSS-29", "VSS-30")
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "failure",
    [
        ProviderVeto("no", native=0x80042306),
        ValueError("a defect"),
        KeyboardInterrupt(),
        OutcomeUnknown("?", key="k"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_provider_that_fails_once_in_any_call_leaves_nothing(call, failure):
    """And the next backup works."""
    site = SmallSite()
    usual, failures = getattr(site.provider, call), [failure]

    def once(*arguments, **named):
        if failures:
            raise failures.pop()
        return usual(*arguments, **named)

    setattr(site.provider, call, once)
    error = backup(site, KEYS[1])
    assert site.unrest() == []
    assert error is None or site.copies() == []
    setattr(site.provider, call, usual)
    assert backup(site, KEYS[2]) is None


def test_a_session_is_used_as_it_should_be():
    """Not before it is entered, entered once, completed once, not after it was left."""
    site = SmallSite()
    session = site.service.session(site.request())
    for call in (session.plan, session.create):
        with pytest.raises(BadState):
            call(budget=site.budget())
    with session:
        session.create(budget=site.budget())
        outcomes = {each.id: True for each in session.plan(budget=site.budget()).explicit}
        assert session.complete(outcomes, budget=site.budget()).completed
        with pytest.raises(BadState):
            session.complete(outcomes, budget=site.budget())
    assert [len(each.truncated) for each in site.writers] == [2, 1]
    with pytest.raises(BadState):
        session.__enter__()
    with pytest.raises(BadState):
        session.create(budget=site.budget())


def test_without_a_word_on_a_component_it_has_failed():
    """BackupComplete without any SetBackupSucceeded truncates nothing [VSS-64]."""
    site = SmallSite()
    with prepared(site) as found:
        found.prepare_for_backup()
        found.do_snapshot_set()
        found.backup_complete()
    assert [each.truncated for each in site.writers] == [[], []]


def test_two_sessions_in_two_threads_never_meet():
    """One after the other, or one is told to wait; nobody stays frozen."""
    for _ in range(10):
        site, ended = SmallSite(), []

        def one(key, site=site, ended=ended):
            ended.append(backup(site, key))

        threads = [threading.Thread(target=one, args=(key,)) for key in KEYS[:2]]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert all(each is None or isinstance(each, SnapshotSetInProgress) for each in ended)
        assert None in ended
        assert site.unrest() == []


def test_another_set_in_progress_is_worth_a_retry():
    """The slot is free as soon as the other is over."""
    site = SmallSite()
    first = prepared(site)
    second = BackupComponents(site.service)
    second.initialize_for_backup()
    second.set_backup_state(BackupType.FULL)
    second.gather_writer_metadata()
    with pytest.raises(SnapshotSetInProgress) as caught:
        second.start_snapshot_set()
    assert caught.value.retryable
    first.abort_backup()
    first.release()
    assert second.start_snapshot_set()
    second.abort_backup()
    second.release()


def test_after_a_failed_creation_only_the_end_is_legal():
    """The error says what is."""
    site = SmallSite()
    site.script.on("array.commit_copies", InsufficientCapacity("full"))
    with prepared(site) as found:
        found.prepare_for_backup()
        with pytest.raises(InsufficientCapacity):
            found.do_snapshot_set()
        with pytest.raises(BadState) as caught:
            found.backup_complete()
        assert "AbortBackup" in caught.value.context["legal"]
        assert {each.state for each in found.gather_writer_status()} == {WriterState.STABLE}


def test_a_writer_that_is_unregistered_while_frozen_is_thawed():
    """It was told of the session, so it hears the end of it."""
    site = SmallSite()
    site.script.on("array.commit_copies", lambda: site.service.unregister(site.writers[1]))
    assert backup(site, KEYS[1]) is None
    assert site.unrest() == []


def test_an_interrupt_in_one_writers_end_keeps_nobody_from_hearing_theirs():
    """Nor does it keep what was not meant to last."""
    site = SmallSite()
    site.script.on("writer-1.backup_shutdown", KeyboardInterrupt())
    error = backup(site, KEYS[1], transportable=False, persistent=False)
    assert isinstance(error, KeyboardInterrupt)
    assert [each.sessions[-1][0] for each in site.writers] == ["backup_shutdown"] * 2
    assert site.copies() == []
    records = site.service.engine.records
    assert (records.sessions(), records.sets()) == ((), ())


def test_the_same_seed_gives_the_same_trace():
    """Faults included."""

    def trace():
        site = SmallSite()
        backup(site, KEYS[0])
        site.script.on("writer-2.freeze", WriterVeto("x", native=WriterFailure.RETRYABLE.value))
        backup(site, KEYS[1])
        return [(r.at, r.party, r.step, r.set_id, r.subject, r.outcome) for r in site.sink.rows]

    assert trace() == trace()


def test_calls_of_another_thread_wait_and_are_refused_while_the_set_is_made():
    """Abort alone passes."""
    site = SmallSite()
    there, go_on, ended = threading.Event(), threading.Event(), []
    found = prepared(site)
    found.prepare_for_backup()
    site.script.on("array.commit_copies", lambda: (there.set(), go_on.wait(20)))

    def make():
        try:
            found.do_snapshot_set()
        except BaseException as error:  # noqa: BLE001  handed to the test
            ended.append(error)

    thread = threading.Thread(target=make)
    thread.start()
    assert there.wait(10)
    steps = len(site.script.steps)
    with pytest.raises(BadState, match="another thread"):
        found.gather_writer_status()
    assert len(site.script.steps) == steps
    found.abort_backup()
    go_on.set()
    thread.join(10)
    found.release()
    assert len(ended) == 1
    assert site.unrest() == []
    assert site.copies() == []


def test_threads_that_plan_one_session_at_once_ask_the_writers_once():
    """The second one waits for the first."""
    site = SmallSite()
    there, go_on, plans = threading.Event(), threading.Event(), []
    site.script.on("writer-1.identify", lambda: (there.set(), go_on.wait(20)))
    with site.service.session(site.request()) as session:
        threads = [
            threading.Thread(target=lambda: plans.append(session.plan(budget=site.budget())))
            for _ in "ab"
        ]
        threads[0].start()
        assert there.wait(10)
        threads[1].start()
        go_on.set()
        for each in threads:
            each.join(10)
    assert plans[0] is plans[1]
    assert site.script.of("writer-1").count("identify") == 1


@pytest.mark.rule("VSS-18")
@pytest.mark.parametrize("dropped", [True, False])
def test_writers_that_agreed_to_a_restore_hear_its_end(dropped):
    """Also if the session is dropped or released in the middle; every component failed then."""
    site = SmallSite()
    with site.service.session(site.request()) as session:
        made = session.create(budget=site.budget())
        components = tuple(each.id for each in session.plan(budget=site.budget()).explicit)
    request = RestoreRequest(documents=made.documents, components=components)
    restore = site.service.restore_session(request)
    restore.__enter__()
    if dropped:
        del restore
        gc.collect()
        site.service.engine.sessions.reap()
    else:
        restore._components.release()
    for writer in site.writers:
        ends = [told for event, told in writer.sessions if event == "post_restore"]
        assert [set(each.succeeded.values()) for each in ends] == [{False}]
