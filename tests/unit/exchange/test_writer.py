"""The Exchange writer against the store engine, event by event."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import evolve
from support.places import ranks

from frskit.clock import Budget
from frskit.errors import Busy, StoreError, WriterNotFound, WriterVeto
from frskit.ese import read_database_header
from frskit.exchange import WRITER_ID
from frskit.exchange.log_analysis.truncation import truncation_range
from frskit.exchange.store.log_writer import LogStream
from frskit.model.components import BackupSchema, BackupType, WriterFailure, WriterSession
from frskit.model.ese_structures import BackupRange
from frskit.model.ids import SetId

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.model.ese_files import DatabaseHeader

LOGS = "L:\\exchsrvr\\sg1"
MBX = "M:\\exchsrvr\\sg1\\mbx1.edb"
PUB = "P:\\exchsrvr\\sg1\\pub1.edb"


def archived(names: list[str]) -> list[int]:
    """Generations of the archived logs among file names."""
    return [int(each[3:8], 16) for each in names if len(each) == 12]


def header(world, path: str = MBX) -> DatabaseHeader:
    """The header of a database on disk."""
    return read_database_header(world.server.read(path))


def vetoed(call: Callable[[], object]) -> WriterVeto:
    """The veto that a call ends in."""
    with pytest.raises(WriterVeto) as caught:
        call()
    return caught.value


@pytest.mark.rule("EXC-01")
def test_class_id_is_fixed_and_instances_differ(world) -> None:
    """The class id is Exchange's; every run of the service is another instance."""
    first = world.writer.identify(budget=Budget.unlimited())
    world.exchange.stop()
    world.exchange.start()
    second = world.writer.identify(budget=Budget.unlimited())
    assert first.writer_id == second.writer_id == WRITER_ID
    assert WRITER_ID == "76fe1ac4-15f7-4bcd-987e-8e1acb462fb7"
    assert first.instance_id != second.instance_id


@pytest.mark.rule("EXC-02")
def test_no_service_no_writer(world) -> None:
    """Without the information store the writer does not answer."""
    world.exchange.stop()
    with pytest.raises(WriterNotFound):
        world.writer.identify(budget=Budget.unlimited())


@pytest.mark.rule("VSS-17")
def test_a_backup_of_something_else_leaves_nothing_behind(world) -> None:
    """Not in its memory and not in the event log, whether it hears of the end or not."""
    other = WriterSession(session_id=SetId("s"), backup_type=BackupType.FULL, components=())
    seen = len(world.event_ids())
    world.writer.prepare_backup(other, budget=Budget.unlimited())
    assert world.writer._jobs == {}
    world.writer.backup_shutdown(other)
    assert len(world.event_ids()) == seen
    for event in ("prepare_snapshot", "freeze", "thaw", "post_snapshot", "backup_complete"):
        getattr(world.writer, event)(other, budget=Budget.unlimited())


def test_metadata_declares_schema_and_window(world) -> None:
    """Full and copy, incremental and differential; frozen for at most 20 seconds."""
    metadata = world.writer.identify(budget=Budget.unlimited())
    assert metadata.schema == {
        BackupSchema.COPY,
        BackupSchema.INCREMENTAL,
        BackupSchema.DIFFERENTIAL,
    }
    assert metadata.freeze_timeout_s == 20.0


@pytest.mark.rule("EXC-08")
@pytest.mark.parametrize("caption", ["Logs", "mbx1"])
def test_lone_database_or_logs_is_rejected(world, caption: str) -> None:
    """Only whole storage groups can be backed up."""
    lone = next(
        c.id
        for c in world.writer.identify(budget=Budget.unlimited()).components
        if c.caption == caption
    )
    session = evolve(world.session(), components=(lone,))
    veto = vetoed(lambda: world.writer.prepare_backup(session, budget=Budget.unlimited()))
    assert veto.native == WriterFailure.NONRETRYABLE.value
    assert not veto.retryable


@pytest.mark.rule("EXC-11")
@pytest.mark.parametrize(
    ("done", "event"),
    [
        (["prepare_backup"], "freeze"),
        (["prepare_backup"], "thaw"),
        (["prepare_backup"], "post_snapshot"),
        (["prepare_backup"], "backup_complete"),
        (["prepare_backup", "prepare_snapshot"], "prepare_snapshot"),
        (["prepare_backup", "prepare_snapshot"], "thaw"),
        (["prepare_backup", "prepare_snapshot", "freeze"], "freeze"),
        (["prepare_backup", "prepare_snapshot", "freeze"], "post_snapshot"),
        (["prepare_backup", "prepare_snapshot", "freeze", "thaw"], "thaw"),
        (["prepare_backup", "prepare_snapshot", "freeze", "thaw"], "backup_complete"),
        (["prepare_backup"], "prepare_backup"),
    ],
)
def test_events_out_of_order(world, done: list[str], event: str) -> None:
    """Every event that comes too early or twice is refused with -2401."""
    session = world.session()

    def send(name: str) -> None:
        call = getattr(world.writer, name)
        call(session, budget=world.budget)

    for each in done:
        send(each)
    assert vetoed(lambda: send(event)).context["error"] == -2401


@pytest.mark.rule("EXC-12")
@pytest.mark.rule("EXC-27")
@pytest.mark.parametrize("kind", [BackupType.FULL, BackupType.COPY])
def test_second_backup_is_refused(world, kind: BackupType) -> None:
    """A backup in progress, a copy backup too, makes the next one fail with 9607 and 0x50d."""
    world.writer.prepare_backup(world.session(kind), budget=Budget.unlimited())
    veto = vetoed(lambda: world.writer.prepare_backup(world.session(), budget=Budget.unlimited()))
    assert (veto.native, veto.context["error"]) == (WriterFailure.RETRYABLE.value, 0x50D)
    assert veto.retryable
    assert 9607 in world.event_ids("MSExchangeIS")


@pytest.mark.rule("EXC-13")
@pytest.mark.parametrize("ending", ["complete", "shutdown", "abort", "restart"])
def test_backup_in_progress_ends(world, ending: str) -> None:
    """It lasts until the backup completes, shuts down, is aborted, or the service restarts."""
    _, session, _ = world.copy()
    assert vetoed(
        lambda: world.writer.prepare_backup(world.session(), budget=Budget.unlimited())
    ).retryable
    if ending == "complete":
        world.complete(session)
    elif ending == "shutdown":
        world.writer.backup_shutdown(session)
    elif ending == "abort":
        world.writer.abort(session)
    else:
        world.exchange.stop()
        world.exchange.start()
    world.writer.prepare_backup(world.session(), budget=Budget.unlimited())


@pytest.mark.rule("EXC-49")
def test_lost_requestor_leaves_backup_in_progress(world) -> None:
    """Without complete and shutdown nobody else can back the group up."""
    world.copy()
    world.clock.advance(3600)
    assert (
        vetoed(
            lambda: world.writer.prepare_backup(world.session(), budget=Budget.unlimited())
        ).context["error"]
        == 0x50D
    )


@pytest.mark.rule("EXC-14")
@pytest.mark.parametrize("clean", [True, False])
def test_restart_drops_the_backup(world, clean: bool) -> None:
    """After a restart the job's BackupComplete fails, and no log goes."""
    world.fill_logs(6)
    _, session, _ = world.copy()
    world.exchange.stop(clean=clean)
    world.exchange.start()
    before = world.server.names(LOGS)
    done = evolve(session, succeeded=dict.fromkeys(session.components, True))
    veto = vetoed(lambda: world.writer.backup_complete(done, budget=Budget.unlimited()))
    assert veto.native == WriterFailure.RETRYABLE.value
    assert world.server.names(LOGS) == before


@pytest.mark.rule("EXC-15")
@pytest.mark.rule("EXC-10")
@pytest.mark.parametrize("volumes", ["LM", "LP", "MP"])
def test_missing_volume_is_refused(world, volumes: str) -> None:
    """Every volume that holds a file of the group must be in the set."""
    session = world.session(volumes=volumes)
    world.writer.prepare_backup(session, budget=Budget.unlimited())
    veto = vetoed(lambda: world.writer.prepare_snapshot(session, budget=Budget.unlimited()))
    assert veto.native == WriterFailure.INCONSISTENT_SNAPSHOT.value
    (missing,) = set("LMP") - set(volumes)
    assert f"volume-{missing}" in veto.message


@pytest.mark.rule("EXC-16")
@pytest.mark.parametrize("phase", ["prepared", "frozen", "thawed"])
def test_no_administration_while_the_copy_is_made(world, phase: str) -> None:
    """From PrepareSnapshot to PostSnapshot nobody mounts or dismounts; then it works again."""
    session = world.session()
    world.writer.prepare_backup(session, budget=Budget.unlimited())
    world.writer.prepare_snapshot(session, budget=Budget.unlimited())
    if phase != "prepared":
        world.writer.freeze(session, budget=world.budget)
    if phase == "thawed":
        world.writer.thaw(session, budget=Budget.unlimited())
    with pytest.raises((StoreError, Busy)) as caught:
        world.exchange.dismount("sg1", "pub1")
    assert caught.value.native == -2403
    assert "pub1" in world.exchange.group("sg1").mounted
    if phase == "thawed":
        world.writer.post_snapshot(session, budget=Budget.unlimited())
        world.exchange.dismount("sg1", "pub1")
        assert "pub1" not in world.exchange.group("sg1").mounted


@pytest.mark.rule("EXC-17")
def test_nothing_changes_while_frozen(world) -> None:
    """Not one byte of any volume changes, deliveries are refused, reads succeed."""
    world.deliver(30)
    world.freeze(world.session())
    before = {k: d.read(0, d.size_bytes) for k, d in world.server.devices.items()}
    with pytest.raises(Busy):
        world.deliver(1)
    assert len(list(world.exchange.messages("sg1"))) == 30
    world.writer.identify(budget=Budget.unlimited())
    after = {k: d.read(0, d.size_bytes) for k, d in world.server.devices.items()}
    assert after == before


@pytest.mark.rule("EXC-18")
@pytest.mark.rule("EXC-19")
def test_freeze_closes_the_log_and_thaw_opens_the_next(world) -> None:
    """The image has G archived and the temporary log but no current one; then G+1 is current."""
    world.fill_logs(2)
    closed = world.current()
    session = world.session()
    world.freeze(session)
    names = world.server.names(LOGS)
    assert "E00.log" not in names
    assert "E00tmp.log" in names
    assert max(archived(names)) == closed
    world.writer.thaw(session, budget=Budget.unlimited())
    assert "E00.log" in world.server.names(LOGS)
    assert world.current() == closed + 1


def test_the_next_log_gets_its_space_before_the_freeze(world, monkeypatch) -> None:
    """PrepareSnapshot does it, for every group; by Freeze the file has its length."""
    world.deliver(1)
    session = world.session()
    world.writer.prepare_backup(session, budget=Budget.unlimited())
    made = []
    give = LogStream.allocate_prepared
    monkeypatch.setattr(
        LogStream, "allocate_prepared", lambda self: (made.append(self), give(self))
    )
    world.writer.prepare_snapshot(session, budget=Budget.unlimited())
    assert len(made) == 1
    world.writer.freeze(session, budget=world.budget)
    world.writer.thaw(session, budget=Budget.unlimited())
    assert len(made) == 1


@pytest.mark.rule("EXC-21")
@pytest.mark.rule("EXC-22")
def test_freeze_timeout(world) -> None:
    """After 20 s the group thaws itself (2004); Thaw is TIMEOUT (-2402), a new backup may begin."""
    session = world.session()
    world.freeze(session)
    world.clock.advance(20.5)
    world.deliver(1)
    assert 2004 in world.event_ids()
    fresh = world.session()
    world.writer.prepare_backup(fresh, budget=Budget.unlimited())
    veto = vetoed(lambda: world.writer.thaw(session, budget=Budget.unlimited()))
    assert (veto.native, veto.context["error"]) == (WriterFailure.TIMEOUT.value, -2402)
    world.writer.abort(session)
    assert (
        vetoed(
            lambda: world.writer.prepare_backup(world.session(), budget=Budget.unlimited())
        ).context["error"]
        == 0x50D
    )
    world.writer.prepare_snapshot(fresh, budget=Budget.unlimited())
    world.writer.freeze(fresh, budget=world.budget)
    world.writer.thaw(fresh, budget=Budget.unlimited())


@pytest.mark.rule("EXC-21")
def test_thaw_just_in_time(world) -> None:
    """19.9 s are fine."""
    session = world.session()
    world.freeze(session)
    world.clock.advance(19.9)
    world.writer.thaw(session, budget=Budget.unlimited())
    assert 2004 not in world.event_ids()


@pytest.mark.rule("EXC-32")
@pytest.mark.rule("EXC-23")
def test_hand_removed_log_fails_the_freeze(world) -> None:
    """A log removed by hand: -2403, events 2002 and 9611, and the group goes on at once."""
    world.fill_logs(4)
    world.server.remove(f"{LOGS}\\E0000003.log")
    session = world.session()
    world.writer.prepare_backup(session, budget=Budget.unlimited())
    world.writer.prepare_snapshot(session, budget=Budget.unlimited())
    veto = vetoed(lambda: world.writer.freeze(session, budget=world.budget))
    assert (veto.native, veto.context["error"]) == (WriterFailure.RETRYABLE.value, -2403)
    assert 2002 in world.event_ids()
    assert 9611 in world.event_ids("MSExchangeIS")
    world.deliver(1)
    world.exchange.dismount("sg1", "pub1")


@pytest.mark.rule("EXC-24")
def test_abort_from_freeze_thaws_and_is_idempotent(world) -> None:
    """Abort releases the hold; the engine's second -2401 stays inside the writer [R-5]."""
    session = world.session()
    world.freeze(session)
    world.writer.abort(session)
    world.deliver(1)
    world.writer.abort(session)
    world.writer.backup_shutdown(session)
    assert world.event_ids().count(2007) == 1


@pytest.mark.rule("EXC-28")
@pytest.mark.parametrize("kind", [BackupType.INCREMENTAL, BackupType.DIFFERENTIAL])
def test_incremental_needs_a_full(world, kind: BackupType) -> None:
    """Without a previous full: -560 and event 206; with one it works."""
    session = world.session(kind)
    world.writer.prepare_backup(session, budget=Budget.unlimited())
    world.writer.prepare_snapshot(session, budget=Budget.unlimited())
    veto = vetoed(lambda: world.writer.freeze(session, budget=world.budget))
    assert veto.context["error"] == -560
    assert not veto.retryable
    assert 206 in world.event_ids()
    world.writer.abort(session)
    _, full, _ = world.copy()
    world.complete(full)
    _, session, _ = world.copy(world.session(kind))
    world.complete(session)


@pytest.mark.rule("EXC-31")
def test_incremental_after_lost_logs(world) -> None:
    """Logs missing since the last backup: -569 and event 459."""
    _, full, _ = world.copy()
    world.complete(full)
    world.fill_logs(4)
    world.exchange.group("sg1").idle()
    world.fill_logs(1)
    for generation in archived(world.server.names(LOGS))[:-1]:
        world.server.remove(f"{LOGS}\\E00{generation:05x}.log")
    session = world.session(BackupType.INCREMENTAL)
    world.writer.prepare_backup(session, budget=Budget.unlimited())
    world.writer.prepare_snapshot(session, budget=Budget.unlimited())
    veto = vetoed(lambda: world.writer.freeze(session, budget=world.budget))
    assert veto.context["error"] == -569
    assert 459 in world.event_ids()


@pytest.mark.rule("EXC-30")
def test_incremental_with_circular_logging(circular_world) -> None:
    """Circular logging and incremental backups exclude each other: -526."""
    session = circular_world.session(BackupType.INCREMENTAL)
    circular_world.writer.prepare_backup(session, budget=Budget.unlimited())
    circular_world.writer.prepare_snapshot(session, budget=Budget.unlimited())
    veto = vetoed(lambda: circular_world.writer.freeze(session, budget=circular_world.budget))
    assert veto.context["error"] == -526


@pytest.mark.rule("EXC-26")
def test_one_backup_per_writer(world) -> None:
    """With the 2003 profile another group has to wait too; several groups in one backup are fine."""
    world.server.add_drive("N")
    world.exchange.add_storage_group("sg2", log_path="N:\\sg2")
    world.exchange.add_database("sg2", "mbx2", path="N:\\sg2\\mbx2.edb")
    both = world.session(BackupType.FULL, "sg1", "sg2", volumes="LMPN")
    assert len(both.components) == 2
    world.writer.prepare_backup(both, budget=Budget.unlimited())
    world.writer.abort(both)
    world.writer.prepare_backup(world.session(BackupType.FULL, "sg1"), budget=Budget.unlimited())
    other = world.session(BackupType.FULL, "sg2", volumes="N")
    assert (
        vetoed(lambda: world.writer.prepare_backup(other, budget=Budget.unlimited())).context[
            "error"
        ]
        == 0x50D
    )


@pytest.mark.rule("EXC-23")
def test_failure_of_the_second_group_thaws_the_first(world) -> None:
    """If one group cannot freeze, none stays frozen."""
    world.server.add_drive("N")
    world.exchange.add_storage_group("sg2", log_path="N:\\sg2")
    world.exchange.add_database("sg2", "mbx2", path="N:\\sg2\\mbx2.edb")
    _, full, _ = world.copy()
    world.complete(full)
    both = world.session(BackupType.INCREMENTAL, "sg1", "sg2", volumes="LMPN")
    world.writer.prepare_backup(both, budget=Budget.unlimited())
    world.writer.prepare_snapshot(both, budget=Budget.unlimited())
    vetoed(lambda: world.writer.freeze(both, budget=world.budget))
    world.deliver(1)
    assert "E00.log" in world.server.names(LOGS)


# --- completion


@pytest.mark.rule("EXC-33")
@pytest.mark.rule("EXC-47")
@pytest.mark.parametrize("outcome", ["failure", "silence", "shutdown", "abort"])
def test_no_success_no_truncation(world, outcome: str) -> None:
    """Logs and headers stay as they are unless success was set; the engine says 2007."""
    world.fill_logs(6)
    world.exchange.group("sg1").idle()
    _, session, _ = world.copy()
    before, stamp = world.server.names(LOGS), header(world).full_backup_previous
    if outcome == "failure":
        world.complete(session, succeeded=False)
    elif outcome == "silence":
        world.writer.backup_complete(session, budget=Budget.unlimited())
    elif outcome == "shutdown":
        world.writer.backup_shutdown(session)
    else:
        world.writer.abort(session)
    assert world.server.names(LOGS) == before
    assert header(world).full_backup_previous == stamp
    events = world.event_ids()
    assert events[-1] == 2007
    assert not {224, 2006} & set(events)


@pytest.mark.rule("EXC-35")
@pytest.mark.rule("EXC-46")
def test_full_truncates_exactly(world) -> None:
    """Deleted is lowest <= g < min(copyMax, checkpoint at freeze), in the events' order."""
    world.fill_logs(8)
    world.exchange.group("sg1").idle()
    world.fill_logs(2)
    checkpoint = world.exchange.application.status("sg1").checkpoint.rank
    target, session, _ = world.copy()
    copy_max = max(archived(target.server.names(LOGS)))
    before = archived(world.server.names(LOGS))
    world.complete(session)
    gone = set(before) - set(archived(world.server.names(LOGS)))
    expected = truncation_range(
        lowest=min(before), checkpoint_at_freeze=checkpoint, copy_max=copy_max
    )
    assert gone == set(expected)
    assert len(gone) >= 5
    wanted = (2005, 2001, 2003, 224, 2006)
    assert [each for each in world.event_ids() if each in wanted] == list(wanted)


@pytest.mark.rule("EXC-36")
def test_checkpoint_progress_after_thaw_does_not_count(world) -> None:
    """The bound is that of the freeze, however far the checkpoint has come since."""
    world.fill_logs(3)
    frozen_at = world.exchange.application.status("sg1").checkpoint.rank
    _, session, _ = world.copy()
    world.fill_logs(6)
    world.exchange.group("sg1").idle()
    assert world.exchange.application.status("sg1").checkpoint.rank > frozen_at + 3
    world.complete(session)
    assert min(archived(world.server.names(LOGS))) == frozen_at


@pytest.mark.rule("EXC-34")
@pytest.mark.parametrize("kind", [BackupType.COPY, BackupType.DIFFERENTIAL])
def test_copy_and_differential_delete_nothing(world, kind: BackupType) -> None:
    """Neither type of backup touches a log."""
    _, full, _ = world.copy()
    world.complete(full)
    world.fill_logs(6)
    world.exchange.group("sg1").idle()
    _, session, _ = world.copy(world.session(kind))
    before = archived(world.server.names(LOGS))
    world.complete(session)
    assert archived(world.server.names(LOGS)) == before


@pytest.mark.rule("EXC-37")
@pytest.mark.parametrize("when", ["before the freeze", "after the copy"])
def test_dismounted_store_prevents_truncation(world, when: str) -> None:
    """A store that is not mounted at freeze or completion: nothing deleted, 225 [R-6]."""
    world.fill_logs(6)
    world.exchange.group("sg1").idle()
    if when == "before the freeze":
        world.exchange.dismount("sg1", "pub1")
    _, session, _ = world.copy()
    if when == "after the copy":
        world.exchange.dismount("sg1", "pub1")
    before = archived(world.server.names(LOGS))
    world.complete(session)
    assert archived(world.server.names(LOGS)) == before
    assert 225 in world.event_ids()


@pytest.mark.rule("EXC-37")
def test_all_stores_dismounted_after_the_copy(world) -> None:
    """Even with every store dismounted the backup completes, without truncation [R-6]."""
    world.fill_logs(6)
    world.exchange.group("sg1").idle()
    _, session, _ = world.copy()
    world.exchange.dismount("sg1", "pub1")
    world.exchange.dismount("sg1", "mbx1")
    before = archived(world.server.names(LOGS))
    world.complete(session)
    assert archived(world.server.names(LOGS)) == before
    assert 225 in world.event_ids()


@pytest.mark.rule("EXC-38")
@pytest.mark.rule("EXC-20")
def test_circular_logging_deletes_nothing_at_backup(circular_world) -> None:
    """Circular: the current log stays in the image, no temporary log, and 225 at completion."""
    circular_world.deliver(50)
    target, session, _ = circular_world.copy()
    names = target.server.names(LOGS)
    assert "E00.log" in names
    assert "E00tmp.log" not in names
    circular_world.complete(session)
    assert 225 in circular_world.event_ids()


@pytest.mark.rule("EXC-39")
def test_nothing_to_delete_is_225(world) -> None:
    """An empty range is reported as such."""
    _, session, _ = world.copy()
    world.complete(session)
    assert 225 in world.event_ids()
    assert 224 not in world.event_ids()


@pytest.mark.rule("EXC-39")
def test_logs_missing_at_completion_are_227(world) -> None:
    """Logs of the range that somebody took away meanwhile are counted, not an error."""
    world.fill_logs(8)
    world.exchange.group("sg1").idle()
    _, session, _ = world.copy()
    world.server.remove(f"{LOGS}\\E0000003.log")
    world.complete(session)
    assert {224, 227} <= set(world.event_ids())


@pytest.mark.rule("EXC-43")
@pytest.mark.rule("EXC-44")
def test_stamps(world) -> None:
    """Full stamps Full and clears Incremental; incremental stamps Incremental only."""
    target, full, records = world.copy()
    world.complete(full)
    stamped = header(world).full_backup_previous
    assert stamped.last_generation == max(archived(target.server.names(LOGS)))
    assert f"{stamped.first_generation:x}-{stamped.last_generation:x}" in records[0].stamp
    world.fill_logs(2)
    _, incremental, _ = world.copy(world.session(BackupType.INCREMENTAL))
    world.complete(incremental)
    assert header(world).full_backup_previous == stamped
    assert header(world).incremental_backup_previous.is_set
    _, full, _ = world.copy()
    world.complete(full)
    assert header(world).full_backup_previous != stamped
    assert header(world).incremental_backup_previous == BackupRange()
    assert header(world, PUB).full_backup_previous == header(world).full_backup_previous


@pytest.mark.rule("EXC-45")
def test_image_never_shows_its_own_backup(world) -> None:
    """Stamps are written at completion, after the image was taken."""
    target, session, _ = world.copy()
    world.complete(session)
    assert not read_database_header(target.server.read(MBX)).full_backup_previous.is_set
    assert header(world).full_backup_previous.is_set


@pytest.mark.rule("EXC-25")
def test_record_names_the_logs_that_the_image_needs(world) -> None:
    """logs_needed is Rmin..Rmax of the frozen headers, within checkpoint and copyMax."""
    world.fill_logs(6)
    target, _, records = world.copy()
    headers = [read_database_header(target.server.read(path)) for path in (MBX, PUB)]
    needed = ranks(records[0].logs_needed)
    assert needed is not None
    assert needed[0] == min(each.gen_min_required for each in headers)
    assert needed[1] == max(each.gen_max_required for each in headers)
    checkpoint = world.exchange.application.status("sg1").checkpoint.rank
    assert checkpoint <= needed[0] <= needed[1] <= max(archived(target.server.names(LOGS)))
    assert not any(each.is_clean for each in headers)


@pytest.mark.rule("EXC-40")
@pytest.mark.rule("EXC-42")
@pytest.mark.rule("EXC-41")
def test_log_set_stays_contiguous_over_many_backups(world) -> None:
    """After each truncation the remaining logs follow each other and hold every header's Rmin."""
    for _ in range(4):
        world.fill_logs(3)
        _, session, _ = world.copy()
        world.complete(session)
        remaining = archived(world.server.names(LOGS))
        assert remaining == list(range(remaining[0], world.current()))
        assert all(header(world, p).gen_min_required >= remaining[0] for p in (MBX, PUB))


def test_late_shutdown_of_one_backup_leaves_the_next_alone(world) -> None:
    """BackupShutdown of A after PrepareBackup of B must not release B (HAZ-12)."""
    _, first, _ = world.copy()
    done = evolve(first, succeeded=dict.fromkeys(first.components, True))
    world.writer.backup_complete(done, budget=Budget.unlimited())
    second = world.session()
    world.writer.prepare_backup(second, budget=Budget.unlimited())
    world.writer.backup_shutdown(done)
    assert vetoed(
        lambda: world.writer.prepare_backup(world.session(), budget=Budget.unlimited())
    ).retryable
    world.writer.prepare_snapshot(second, budget=Budget.unlimited())


# --- restore


def restore_session(world) -> WriterSession:
    """A session for restoring sg1."""
    return world.session()


@pytest.mark.rule("EXC-58")
def test_pre_restore_wants_everything_offline_and_the_flag(world) -> None:
    """Mounted stores or a missing overwrite flag are refused; the writer dismounts nothing."""
    session = restore_session(world)
    application = world.exchange.application
    veto = vetoed(lambda: world.writer.pre_restore(session, budget=Budget.unlimited()))
    assert veto.native == WriterFailure.NONRETRYABLE.value
    assert world.exchange.group("sg1").mounted == ("mbx1", "pub1")
    world.exchange.dismount("sg1", "mbx1")
    vetoed(lambda: world.writer.pre_restore(session, budget=Budget.unlimited()))
    application.take_offline("sg1", for_restore=False, budget=world.budget)
    vetoed(lambda: world.writer.pre_restore(session, budget=Budget.unlimited()))
    application.take_offline("sg1", for_restore=True, budget=world.budget)
    world.writer.pre_restore(session, budget=Budget.unlimited())


@pytest.mark.rule("EXC-59")
def test_pre_restore_refuses_other_places(world) -> None:
    """A component of another path or server cannot be restored here."""
    session = restore_session(world)
    moved = evolve(session.components[0], logical_path="Microsoft Exchange Server\\elsewhere")
    world.exchange.application.take_offline("sg1", for_restore=True, budget=world.budget)
    vetoed(
        lambda: world.writer.pre_restore(
            evolve(session, components=(moved,)), budget=Budget.unlimited()
        )
    )


@pytest.mark.rule("EXC-60")
def test_post_restore_does_not_replay(world) -> None:
    """In 2003 the databases stay down until somebody mounts them."""
    session = restore_session(world)
    world.exchange.application.take_offline("sg1", for_restore=True, budget=world.budget)
    world.writer.pre_restore(session, budget=Budget.unlimited())
    seen = len(world.exchange.events)
    world.writer.post_restore(session, budget=Budget.unlimited())
    assert not world.exchange.group("sg1").is_open
    assert all(each.source != "ESE" for each in world.exchange.events[seen:])
