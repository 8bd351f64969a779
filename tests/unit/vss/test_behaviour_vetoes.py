"""Vetoes as a requestor at Windows meets them: a state of the writer, and no error of the call."""

from __future__ import annotations

import pytest

from frskit.errors import FreezeTimeout, FrskitError, TimedOut, WriterVeto
from frskit.model.components import BackupType, WriterFailure, WriterState
from frskit.testing.fakes.parties import SmallWriter
from frskit.testing.fakes.site import SmallSite
from frskit.vss import BackupComponents
from frskit.vss.context_flags import CTX_APP_ROLLBACK, Attribute

KEY = "00000001-1111-4111-8111-111111111111"
NO = WriterVeto("no", native=WriterFailure.NONRETRYABLE.value)
FAILED = {
    "prepare_backup": WriterState.FAILED_AT_PREPARE_BACKUP,
    "prepare_snapshot": WriterState.FAILED_AT_PREPARE_SNAPSHOT,
    "freeze": WriterState.FAILED_AT_FREEZE,
    "thaw": WriterState.FAILED_AT_THAW,
    "post_snapshot": WriterState.FAILED_AT_POST_SNAPSHOT,
    "backup_complete": WriterState.FAILED_AT_BACKUP_COMPLETE,
}


def opened(site, *writers):
    """A requestor object with all components of these writers (or of all), up to the set."""
    found = BackupComponents(site.service)
    found.initialize_for_backup()
    found.set_context(CTX_APP_ROLLBACK | Attribute.TRANSPORTABLE)
    found.set_backup_state(BackupType.FULL)
    found.gather_writer_metadata()
    for metadata in found.get_writer_metadata():
        if not writers or metadata.name in writers:
            for each in metadata.components:
                found.add_component(each.id)
    found.start_snapshot_set()
    for volume in ("L:\\", "M:\\"):
        found.add_to_snapshot_set(volume)
    return found


def heard(site, number):
    """What a writer was told."""
    return [event for event, _ in site.writers[number].sessions]


@pytest.mark.rule("VSS-37", "VSS-39", "VSS-64")
@pytest.mark.parametrize("event", FAILED)
def test_a_veto_is_a_state_of_its_writer_and_the_requestor_decides(event):
    """No call raises: the set exists, the status says who refused, and only that one is left out."""
    site = SmallSite()
    site.script.on(f"writer-2.{event}", NO)
    with opened(site) as found:
        found.prepare_for_backup()
        made = found.do_snapshot_set()
        assert len(made.shadows) == 2
        for each in found.get_writer_metadata():
            for component in each.components:
                found.set_backup_succeeded(component.id, succeeded=True)
        if event not in ("prepare_backup", "backup_complete"):
            assert [str(each.context["writer"]) for each in found.writer_failures] == ["writer-2"]
            assert found.gather_writer_status()[1].state is FAILED[event]
        found.backup_complete()
        good, bad = found.gather_writer_status()
        assert (good.state, bad.state) == (WriterState.STABLE, FAILED[event])
        assert bad.failure == WriterFailure.NONRETRYABLE.value
    assert len(site.copies()) == 2
    assert site.unrest() == []
    assert len(site.writers[0].truncated) == 2
    assert site.writers[1].truncated == []
    aborts = 1 if event in ("freeze", "thaw") else 0
    assert heard(site, 1).count("abort") == aborts
    assert heard(site, 1)[-1] == "backup_shutdown"
    assert "abort" not in heard(site, 0)


@pytest.mark.rule("VSS-40", "VSS-37")
@pytest.mark.parametrize("event", ["prepare_snapshot", "freeze", "thaw", "post_snapshot"])
@pytest.mark.parametrize("session", [True, False])
def test_a_session_makes_an_error_of_it(event, session):
    """The policy of the friendly layer: no copies whose writer said no; the other one has a word."""
    site = SmallSite()
    site.script.on(f"writer-2.{event}", NO)
    if session:
        with pytest.raises(WriterVeto), site.service.session(site.request()) as backup:
            backup.create(budget=site.budget())
    else:
        with opened(site) as found:
            found.prepare_for_backup()
            with pytest.raises(WriterVeto):
                found.do_snapshot_set(stop_at_veto=True)
            assert found.gather_writer_status()[1].state is FAILED[event]
    assert site.copies() == []
    assert site.unrest() == []


@pytest.mark.rule("VSS-42", "VSS-07")
@pytest.mark.parametrize("event", ["freeze", "freeze!", "thaw"])
def test_a_window_that_passed_is_an_error_in_every_layer(event):
    """Here frskit differs: at its end everybody is released, so there is no instant to copy."""
    site = SmallSite()
    site.script.on(f"writer-1.{event}", lambda: site.clock.advance(30.0))
    with opened(site) as found:
        found.prepare_for_backup()
        with pytest.raises(FreezeTimeout):
            found.do_snapshot_set()
        status = found.gather_writer_status()[0]
        assert status.failure == WriterFailure.TIMEOUT.value
    assert site.copies() == []
    assert site.unrest() == []


@pytest.mark.rule("VSS-37", "VSS-43")
@pytest.mark.parametrize("event", ["freeze!", "thaw!"])
def test_a_refusing_writer_that_hangs_in_its_abort_delays_nobody(event):
    """It gets Abort when the others write again, although it holds something itself until then."""
    site, seen = SmallSite(), []
    site.script.on(f"writer-2.{event}", NO)

    def hang():
        seen.append(site.writers[0].frozen)
        site.clock.sleep(50_000.0)

    site.script.on("writer-2.abort", hang)
    with opened(site) as found:
        found.prepare_for_backup()
        assert found.do_snapshot_set().freeze_s == 0.0
    assert seen == [False]
    assert site.unrest() == []


@pytest.mark.rule("VSS-30")
def test_an_interrupt_in_the_abort_of_a_refusing_writer_is_not_lost():
    """And leaves nothing behind."""
    site = SmallSite()
    site.script.on("writer-2.freeze!", NO)
    site.script.on("writer-2.abort", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt), opened(site) as found:
        found.prepare_for_backup()
        found.do_snapshot_set()
    assert site.copies() == []
    assert site.unrest() == []


@pytest.mark.rule("VSS-17", "VSS-39")
def test_a_writer_without_components_hears_that_a_backup_begins_and_has_a_status():
    """PrepareForBackup without components, no event of the creation; all gathered have a status.

    By the letter of [VSS-17] nothing at all would follow. The end does here, as for everybody who
    heard of a session [VSS-09]: writers written for this seam may remember it until then.
    """
    site = SmallSite()
    third = SmallWriter(site.script, "writer-3", ["L:\\third"], number=3)
    site.service.register_writer(third)
    with BackupComponents(site.service) as found:
        found.initialize_for_backup()
        found.set_context(CTX_APP_ROLLBACK | Attribute.TRANSPORTABLE)
        found.set_backup_state(BackupType.FULL)
        found.disable_writers([third.metadata.writer_id])
        found.gather_writer_metadata()
        found.add_component(site.writers[1].metadata.components[0].id)
        found.start_snapshot_set()
        found.add_to_snapshot_set("M:\\")
        found.prepare_for_backup()
        assert site.writers[0].sessions[0][1].components == ()
        assert [each.name for each in found.gather_writer_status()] == ["writer-1", "writer-2"]
        found.do_snapshot_set()
        assert [each.name for each in found.gather_writer_status()] == ["writer-1", "writer-2"]
        found.backup_complete()
    assert heard(site, 0) == ["prepare_backup", "backup_shutdown"]
    assert heard(site, 1)[-1] == "backup_shutdown"
    assert third.sessions == []


@pytest.mark.rule("VSS-40")
@pytest.mark.parametrize("error", [NO, RuntimeError("broken"), TimedOut("late")])
def test_what_a_writer_without_components_says_is_in_its_status_only(error):
    """A broken writer of something else fails nobody's backup."""
    site = SmallSite()
    site.script.on("writer-1.prepare_backup", error)
    with site.service.session(site.request("writer-2-0")) as session:
        made = session.create(budget=site.budget())
        assert session.components.writer_failures == ()
        states = {each.name: each.state for each in session.components.gather_writer_status()}
        chosen = session.plan(budget=site.budget()).explicit
        report = session.complete({each.id: True for each in chosen}, budget=site.budget())
    assert states["writer-1"] is WriterState.FAILED_AT_PREPARE_BACKUP
    assert report.completed
    assert [each.name for each in report.writers] == ["writer-2"]
    assert [each.name for each in made.writers] == ["writer-2"]
    assert site.writers[1].truncated


@pytest.mark.rule("VSS-17", "HAZ-12")
def test_a_writer_in_another_backup_keeps_the_state_of_that_one():
    """It waits for its verdict while a backup of something else begins beside it."""
    site = SmallSite()
    with site.service.session(site.request("writer-1-0")) as first:
        first.create(budget=site.budget())
        with site.service.session(site.request("writer-2-0", key=KEY)) as second:
            second.create(budget=site.budget())
            state = site.service.writer_states(budget=site.budget())[0].state
            assert state is WriterState.WAITING_FOR_BACKUP_COMPLETE
        chosen = first.plan(budget=site.budget()).explicit
        outcomes = {each.id: True for each in chosen}
        assert first.complete(outcomes, budget=site.budget()).completed
    assert site.writers[0].truncated == [each.id for each in chosen]


def test_a_hanging_writer_without_components_is_left_after_its_time():
    """In virtual time; the backup is made."""
    site = SmallSite()
    site.script.on("writer-1.prepare_backup", lambda: site.clock.sleep(50_000.0))
    with site.service.session(site.request("writer-2-0")) as session:
        session.create(budget=site.budget())
    assert len(site.copies()) == 1
    assert heard(site, 0) == ["prepare_backup", "backup_shutdown"]


def test_an_interrupt_while_a_writer_without_components_is_told_ends_everything():
    """As at any other call."""
    site = SmallSite()
    site.script.on("writer-1.prepare_backup", KeyboardInterrupt())
    with (
        pytest.raises(KeyboardInterrupt),
        site.service.session(site.request("writer-2-0")) as session,
    ):
        session.create(budget=site.budget())
    assert heard(site, 1)[-2:] == ["abort", "backup_shutdown"]
    assert site.service.engine.records.sessions() == ()


def test_everybody_takes_part_without_component_mode():
    """Then no writer is a bystander, and all hear every event [VSS 2.1]."""
    site = SmallSite()
    with BackupComponents(site.service) as found:
        found.initialize_for_backup()
        found.set_backup_state(BackupType.FULL, select_components=False)
        found.gather_writer_metadata()
        found.start_snapshot_set()
        found.add_to_snapshot_set("L:\\")
        found.prepare_for_backup()
        found.do_snapshot_set()
        found.backup_complete()
    for number in (0, 1):
        assert heard(site, number)[:2] == ["prepare_backup", "prepare_snapshot"]
        assert heard(site, number)[-2:] == ["backup_complete", "backup_shutdown"]


def test_refusals_are_told_in_order_and_of_this_creation_only():
    """Two writers at two events."""
    site = SmallSite()
    site.script.on("writer-1.freeze", NO)
    site.script.on("writer-2.post_snapshot", NO)
    with opened(site) as found:
        found.prepare_for_backup()
        assert found.writer_failures == ()
        found.do_snapshot_set()
        told = [(each.context["writer"], each.context["event"]) for each in found.writer_failures]
        assert told == [("writer-1", "Freeze"), ("writer-2", "PostSnapshot")]
        found.backup_complete()
        assert found.writer_failures == ()
    assert all(isinstance(each, FrskitError) for each in found.writer_failures)
    assert [each.truncated for each in site.writers] == [[], []]
