"""The engine's snapshot session: order, freeze image, time-out, truncation, stamps, events."""

from __future__ import annotations

import pytest
from attrs import evolve

from frskit.errors import Busy, DeviceError, NoSpace, StoreError
from frskit.ese import BackupRange, check_logs, read_checkpoint, read_database_header
from frskit.ese.logs.header import read_log_header
from frskit.exchange.store import SMALL_LOGS, Message, SnapshotKind, SnapshotState

KINDS = list(SnapshotKind)


def native(call):
    with pytest.raises(StoreError) as caught:
        call()
    return caught.value.native


def busy(group, **options):
    """A group with several closed logs and pages waiting."""
    site = group(**options).with_stores()
    site.fill_logs(2)
    site.engine.idle()
    site.fill_logs(2)
    site.fill(3, store="pub")
    return site


def frozen(site, kind=SnapshotKind.FULL):
    session = site.engine.snapshot_prepare(kind)
    session.freeze()
    return session


def full_backup(site, kind=SnapshotKind.FULL):
    session = frozen(site, kind)
    session.thaw()
    report = session.truncate() if kind.truncates else None
    session.end()
    return report


def written_in_freeze(site, *, ready):
    """Bytes that reach the log volume between the beginning of a freeze and its end."""
    session = site.engine.snapshot_prepare()
    if ready:
        session.make_ready()
    before = site.logs.device.written_bytes
    session.freeze()
    written = site.logs.device.written_bytes - before
    session.thaw()
    session.end()
    return written


@pytest.mark.parametrize("profile", [SMALL_LOGS, evolve(SMALL_LOGS, log_sectors=4096)])
def test_a_prepared_freeze_writes_the_next_log_s_header_and_no_more(group, profile):
    """However large the logs are: their space is there before mail has to stand still."""
    site = group(profile=profile).with_stores()
    site.fill(3)
    assert written_in_freeze(site, ready=False) > profile.log_sectors * 512
    site.fill(3)
    assert written_in_freeze(site, ready=True) < 32 << 10


@pytest.mark.parametrize("rolls", [0, 1])
def test_a_log_that_was_given_space_is_no_generation(group, rolls):
    """Ready and then no freeze: listings, checks, the next roll and a power loss do not see it."""
    site = group().with_stores()
    site.fill_logs(2)
    before = site.archived()
    session = site.engine.snapshot_prepare()
    session.make_ready()
    assert "E00tmp.log" in site.logs.fs.listdir("logs")
    assert site.engine.log_directory.temporary_header() is None
    assert site.archived() == before
    for _ in range(rolls):
        site.engine.roll_log()
    site.fill(1, prefix="late")
    assert (
        check_logs(
            {
                name: site.logs.fs.open(f"logs/{name}")
                for name in site.logs.fs.listdir("logs")
                if name != "E00tmp.log"
            },
            "E00",
        ).error
        is None
    )
    after = site.subjects()
    logs, stores = site.image()
    site.stop()
    twin = site.at(logs, stores)
    twin.start()
    assert twin.subjects() == after
    assert after[-1] == "late0"


def test_a_full_volume_is_noticed_by_the_freeze_not_by_getting_ready(group):
    """Without room for the next log getting ready is in vain, and the freeze says so and thaws."""
    site = group().with_stores()
    session = site.engine.snapshot_prepare()
    site.logs.fs.remove("logs/E00tmp.log")
    with site.logs.fs.create("ballast") as file:
        free = site.logs.fs.free_bytes
        file.write_at(0, bytes(free - (64 << 10)))
        file.sync()
    session.make_ready()
    assert native(session.freeze) == -529
    session.abort()
    site.logs.fs.remove("ballast")
    assert site.fill(1)


def test_only_a_session_before_its_freeze_gets_ready(group):
    """Out of order is -2401, as for every call; with circular logging nothing is made."""
    site = group().with_stores()
    session = frozen(site)
    assert native(session.make_ready) == -2401
    session.abort()
    circular = group(circular=True).with_stores()
    written = circular.logs.device.written_bytes
    circular.engine.snapshot_prepare().make_ready()
    assert circular.logs.device.written_bytes == written


REACH = {
    SnapshotState.PREPARED: (),
    SnapshotState.FROZEN: ("freeze",),
    SnapshotState.THAWED: ("freeze", "thaw"),
    SnapshotState.TRUNCATED: ("freeze", "thaw", "truncate"),
    SnapshotState.ENDED: ("freeze", "thaw", "end"),
    SnapshotState.ABORTED: ("abort",),
}
NEXT = {
    (SnapshotState.PREPARED, "freeze"): SnapshotState.FROZEN,
    (SnapshotState.PREPARED, "end"): SnapshotState.ENDED,
    (SnapshotState.PREPARED, "abort"): SnapshotState.ABORTED,
    (SnapshotState.FROZEN, "thaw"): SnapshotState.THAWED,
    (SnapshotState.FROZEN, "abort"): SnapshotState.ABORTED,
    (SnapshotState.THAWED, "truncate"): SnapshotState.TRUNCATED,
    (SnapshotState.THAWED, "end"): SnapshotState.ENDED,
    (SnapshotState.THAWED, "abort"): SnapshotState.ABORTED,
    (SnapshotState.TRUNCATED, "truncate"): SnapshotState.TRUNCATED,
    (SnapshotState.TRUNCATED, "end"): SnapshotState.ENDED,
    (SnapshotState.TRUNCATED, "abort"): SnapshotState.ABORTED,
}


@pytest.mark.rule("EXC-11")
@pytest.mark.rule("EXC-24")
@pytest.mark.parametrize("state", REACH)
@pytest.mark.parametrize("call", ["freeze", "thaw", "truncate", "end", "abort"])
def test_state_machine_cell_by_cell(group, state, call):
    """Each call in each state goes where the table says, or is refused with -2401."""
    site = group().with_stores()
    session = site.engine.snapshot_prepare()
    for step in REACH[state]:
        getattr(session, step)()
    assert session.state is state
    if (state, call) in NEXT:
        getattr(session, call)()
        assert session.state is NEXT[state, call]
    else:
        assert native(getattr(session, call)) == -2401
        assert session.state is state
    assert site.engine.is_frozen == (session.state is SnapshotState.FROZEN)


@pytest.mark.rule("EXC-12")
@pytest.mark.rule("EXC-13")
@pytest.mark.rule("EXC-27")
@pytest.mark.parametrize("kind", KINDS)
def test_one_session_at_a_time(group, kind):
    """A second session is -2403 until the first one has ended, a copy backup included."""
    site = group().with_stores()
    session = site.engine.snapshot_prepare(kind)
    assert native(site.engine.snapshot_prepare) == -2403
    session.abort()
    site.engine.snapshot_prepare().end()
    site.engine.snapshot_prepare()


@pytest.mark.rule("EXC-14")
@pytest.mark.rule("EXC-49")
def test_a_stopped_engine_forgets_its_session(group):
    """After a restart of the engine the old session is unknown, -2404, and a new one is possible."""
    site = group().with_stores()
    session = frozen(site)
    site.stop()
    assert native(session.thaw) == -2404
    site.start()
    site.engine.snapshot_prepare().abort()
    site.engine.close()
    assert native(site.engine.snapshot_prepare) == -1029


@pytest.mark.rule("EXC-16")
def test_no_mount_or_dismount_from_prepare_to_thaw(group):
    """Administration is refused until thaw and possible again afterwards."""
    site = group().with_stores()
    session = site.engine.snapshot_prepare()
    with pytest.raises(Busy):
        site.engine.dismount("mb")
    session.freeze()
    with pytest.raises(Busy):
        site.engine.dismount("mb")
    session.thaw()
    site.engine.dismount("mb")
    assert not site.engine.is_mounted("mb")


@pytest.mark.rule("EXC-17")
@pytest.mark.parametrize("circular", [False, True])
def test_during_freeze_no_byte_changes_and_reads_succeed(group, circular):
    """Every kind of write is refused while frozen; both volumes stay as they are."""
    site = busy(group, circular=circular)
    transaction = site.engine.begin()
    transaction.insert("mb", Message(subject="open"))
    frozen(site)
    before = [
        volume.device.read(0, volume.device.size_bytes) for volume in (site.logs, site.stores)
    ]
    for call in (
        lambda: site.engine.deliver("mb", [Message(subject="late")]),
        lambda: site.engine.delete_message("pub", 1),
        lambda: transaction.insert("mb", Message(subject="late")),
        transaction.commit,
        transaction.rollback,
        site.engine.flush_pages,
        site.engine.advance_checkpoint,
        site.engine.idle,
        site.engine.roll_log,
        lambda: site.engine.add_database(site.bare("new")),
    ):
        with pytest.raises(Busy):
            call()
    assert site.subjects("pub") == ["m0", "m1", "m2"]
    after = [volume.device.read(0, volume.device.size_bytes) for volume in (site.logs, site.stores)]
    assert before == after
    site.engine.snapshot_session.thaw()
    transaction.commit()
    assert "open" in site.subjects("mb")


@pytest.mark.rule("EXC-18")
@pytest.mark.rule("EXC-19")
def test_freeze_closes_the_generation_and_thaw_opens_the_next(group):
    """The image has G archived, a valid Enntmp.log and no Enn.log; thaw makes G+1 current."""
    site = busy(group)
    generation = site.engine.current_generation
    session = frozen(site)
    logs, _ = site.image()
    assert not logs.fs.exists("logs/E00.log")
    assert read_log_header(logs.fs.open(f"logs/E00{generation:05x}.log")).generation == generation
    prepared = read_log_header(logs.fs.open("logs/E00tmp.log"))
    assert prepared.generation == generation + 1
    assert session.copy_max == generation
    session.thaw()
    assert read_log_header(site.logs.fs.open("logs/E00.log")).generation == generation + 1
    assert session.mark.generation == generation + 1
    site.fill(1)
    assert site.engine.current_generation == generation + 1


@pytest.mark.rule("EXC-20")
def test_freeze_with_circular_logging_stops_inside_the_log(group):
    """No roll: Enn.log stays, the half-made Enntmp.log goes and comes back after thaw."""
    site = busy(group, circular=True)
    generation = site.engine.current_generation
    assert site.logs.fs.exists("logs/E00tmp.log")
    session = frozen(site)
    logs, _ = site.image()
    assert logs.fs.exists("logs/E00.log")
    assert not logs.fs.exists("logs/E00tmp.log")
    assert session.copy_max == generation
    session.thaw()
    assert site.logs.fs.exists("logs/E00tmp.log")
    assert site.engine.current_generation == generation


@pytest.mark.rule("EXC-25")
def test_image_headers_lie_between_checkpoint_and_copy_max(group):
    """In the frozen image: checkpoint <= Rmin <= Rmax <= G, and the logs verify."""
    site = busy(group)
    site.engine.flush_pages(3)
    session = frozen(site)
    logs, stores = site.image()
    checkpoint = read_checkpoint(logs.fs.open("system/E00.chk"))
    for name in ("mb", "pub"):
        header = read_database_header(stores.fs.open(f"{name}.edb"))
        assert header.state_text == "Dirty Shutdown"
        assert checkpoint.generation <= header.gen_min_required
        assert header.gen_min_required <= header.gen_max_required <= session.copy_max
    files = {name: logs.fs.open(f"logs/{name}") for name in logs.fs.listdir("logs")}
    assert check_logs(files, "E00").error is None


@pytest.mark.rule("EXC-25")
def test_image_of_a_later_profile_tracks_the_committed_generation(group):
    """With committed generations kept, Rmax <= Cmax <= G holds in the image."""
    site = busy(group, profile=evolve(SMALL_LOGS, tracks_committed=True))
    session = frozen(site)
    header = read_database_header(site.image()[1].fs.open("mb.edb"))
    assert header.gen_max_required <= header.gen_max_committed <= session.copy_max
    assert header.gen_max_committed >= session.copy_max - 1


@pytest.mark.rule("EXC-21")
@pytest.mark.rule("EXC-22")
def test_a_long_freeze_ends_by_itself(group):
    """At 20 s the engine thaws itself (2004); thaw is then -2402 and only abort remains."""
    site = busy(group)
    session = frozen(site)
    site.clock.advance(19.9)
    assert site.engine.is_frozen
    site.clock.advance(0.1)
    site.fill(1)
    assert session.state is SnapshotState.TIMED_OUT
    assert native(session.thaw) == -2402
    assert native(session.truncate) == -2401
    assert native(session.end) == -2401
    assert site.event_ids().count(2004) == 1
    other = site.engine.snapshot_prepare()
    session.abort()
    assert site.engine.snapshot_session is other
    header = read_database_header(site.stores.fs.open("mb.edb"))
    assert not header.full_backup_previous.is_set


@pytest.mark.rule("EXC-21")
def test_a_late_thaw_meets_the_time_out_first(group):
    """A thaw that comes exactly at the limit finds the group thawed already (R-7)."""
    site = busy(group)
    session = frozen(site)
    site.clock.advance(20)
    assert native(session.thaw) == -2402
    assert site.event_ids()[-1] == 2004


@pytest.mark.rule("EXC-23")
@pytest.mark.parametrize("call", ["edit", "rename"])
@pytest.mark.parametrize("error", [NoSpace("full"), DeviceError("gone")])
def test_a_failing_freeze_leaves_the_group_thawed(group, monkeypatch, error, call):
    """If a step of the freeze fails, event 2002, and the group goes on in the same stream."""
    site = busy(group)
    session = site.engine.snapshot_prepare()

    def fail(self, *arguments, **options):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(type(site.logs.fs), call, fail)
        assert native(session.freeze) == (-529 if isinstance(error, NoSpace) else -510)
    assert session.state is SnapshotState.PREPARED
    assert site.event_ids()[-1] == 2002
    site.fill(2, prefix="after")
    session.abort()
    site.stop()
    site.start()
    assert site.subjects()[-2:] == ["after0", "after1"]


@pytest.mark.rule("EXC-23")
def test_a_freeze_that_cannot_sync_the_volumes_is_undone(group, monkeypatch):
    """A volume that cannot be flushed at the last step undoes the half roll."""
    site = busy(group)
    session = site.engine.snapshot_prepare()

    def fail(self):
        raise DeviceError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(type(session), "_sync_volumes", fail)
        with pytest.raises(DeviceError):
            session.freeze()
    assert site.logs.fs.exists("logs/E00.log")
    site.fill(1)


@pytest.mark.rule("EXC-24")
def test_abort_while_frozen_thaws_first(group):
    """Abort of a frozen session releases the group, without stamp or truncation."""
    site = busy(group)
    session = frozen(site)
    session.abort()
    site.fill(1)
    assert native(session.abort) == -2401
    assert site.event_ids()[-3:] == [2005, 2001, 2007]


@pytest.mark.rule("EXC-28")
@pytest.mark.rule("EXC-30")
@pytest.mark.parametrize("kind", [SnapshotKind.INCREMENTAL, SnapshotKind.DIFFERENTIAL])
def test_incremental_needs_a_full_backup_of_each_store(group, kind):
    """Without a previous full backup of every mounted store: -560, event 206; circular: -526."""
    site = busy(group)
    session = site.engine.snapshot_prepare(kind)
    assert native(session.freeze) == -560
    assert site.event_ids()[-2:] == [206, 2002]
    session.abort()
    full_backup(site)
    site.engine.add_database(site.bare("third"))
    session = site.engine.snapshot_prepare(kind)
    assert native(session.freeze) == -560
    session.abort()
    full_backup(site)
    full_backup(site, kind)
    circular = busy(group, circular=True)
    assert native(circular.engine.snapshot_prepare(kind).freeze) == -526


@pytest.mark.rule("EXC-29")
def test_a_streaming_full_backup_is_no_base(group):
    """A previous full backup of another type does not count for an incremental."""
    site = busy(group)
    full_backup(site)
    database = site.engine.databases["mb"]
    database.header = evolve(database.header, full_backup_type=0)
    session = site.engine.snapshot_prepare(SnapshotKind.INCREMENTAL)
    assert native(session.freeze) == -560


@pytest.mark.rule("EXC-31")
def test_a_log_gap_since_the_last_backup_refuses_incremental(group):
    """Logs missing between the last backup and the lowest log: -569, event 459."""
    site = busy(group)
    full_backup(site)
    site.fill_logs(3)
    site.engine.idle()
    lowest = site.archived()
    for generation in lowest[:-1]:
        site.logs.fs.remove(site.engine.log_directory.archive_path(generation))
    session = site.engine.snapshot_prepare(SnapshotKind.INCREMENTAL)
    assert native(session.freeze) == -569
    assert 459 in site.event_ids()


@pytest.mark.rule("EXC-32")
def test_logs_removed_by_hand_make_the_freeze_fail(group):
    """A hole in the logs of a running group is -2403, event 2002."""
    site = busy(group)
    site.logs.fs.remove(site.engine.log_directory.archive_path(site.archived()[-1]))
    session = site.engine.snapshot_prepare()
    assert native(session.freeze) == -2403
    assert site.event_ids()[-1] == 2002
    assert not site.engine.is_frozen


@pytest.mark.rule("EXC-33")
@pytest.mark.rule("EXC-47")
def test_abort_after_thaw_deletes_and_records_nothing(group):
    """A backup that is given up after thaw: event 2007, all logs there, headers untouched."""
    site = busy(group)
    session = frozen(site)
    session.thaw()
    before, headers = site.archived(), site.stores.read("mb.edb")[:8192]
    session.abort()
    assert site.archived() == before
    assert site.stores.read("mb.edb")[:8192] == headers
    assert site.event_ids()[-1] == 2007
    assert 224 not in site.event_ids()


@pytest.mark.rule("EXC-34")
@pytest.mark.parametrize("kind", [SnapshotKind.COPY, SnapshotKind.DIFFERENTIAL])
def test_copy_and_differential_never_truncate(group, kind):
    """Truncation in such a session is out of order, -2401, and no log goes."""
    site = busy(group)
    full_backup(site)
    site.fill_logs(2)
    session = frozen(site, kind)
    session.thaw()
    before = site.archived()
    assert native(session.truncate) == -2401
    session.end()
    assert site.archived() == before


@pytest.mark.rule("EXC-35")
@pytest.mark.rule("EXC-36")
@pytest.mark.rule("EXC-39")
@pytest.mark.rule("EXC-46")
def test_truncation_is_bounded_by_the_checkpoint_at_freeze(group):
    """Exactly lowest <= g < min(G, checkpoint at freeze) go, however far it moved after thaw."""
    site = busy(group)
    checkpoint = site.engine.checkpoint_generation
    before = site.archived()
    assert before[0] < checkpoint < site.engine.current_generation
    session = frozen(site)
    session.thaw()
    site.engine.idle()
    assert site.engine.checkpoint_generation > checkpoint
    report = session.truncate()
    session.end()
    limit = min(session.copy_max, checkpoint)
    assert report.deleted == tuple(range(before[0], limit))
    assert site.archived()[0] == limit
    assert report.event == 224
    assert site.event_ids()[-5:] == [2005, 2001, 2003, 224, 2006]


@pytest.mark.rule("EXC-35")
def test_truncation_of_an_idle_group_stops_before_the_last_closed_log(group):
    """With the checkpoint in the current log, everything below G goes and G itself stays."""
    site = busy(group)
    site.engine.idle()
    generation = site.engine.current_generation
    report = full_backup(site)
    assert report.limit == generation
    assert site.archived() == [generation]


@pytest.mark.rule("EXC-35")
def test_the_copy_bounds_truncation_whatever_the_checkpoint_says(group):
    """Even a checkpoint beyond the copy, which no healthy engine has, deletes below G only."""
    site = busy(group)
    session = site.engine.snapshot_prepare()
    instance = site.engine._instance
    beyond = evolve(instance.checkpoint.position, generation=site.engine.current_generation + 4)
    instance.checkpoint = evolve(instance.checkpoint, position=beyond)
    session.freeze()
    session.thaw()
    assert session.truncate().limit == session.copy_max
    assert site.archived() == [session.copy_max]


@pytest.mark.rule("EXC-39")
def test_empty_range_and_missing_files(group):
    """Nothing to delete is 225; files that are gone already are counted in 227."""
    site = busy(group)
    site.engine.idle()
    full_backup(site)
    report = full_backup(site)
    site.fill_logs(4)
    site.engine.idle()
    assert report.event in (224, 225)
    session = frozen(site)
    session.thaw()
    gone = site.archived()[1]
    site.logs.fs.remove(site.engine.log_directory.archive_path(gone))
    report = session.truncate()
    assert report.missing == (gone,)
    assert gone not in report.deleted
    assert site.event_ids()[-2:] == [224, 227]
    again = session.truncate()
    assert (again.deleted, again.event) == ((), 225)


@pytest.mark.rule("EXC-40")
def test_deletion_ascends_and_stops_at_the_first_failure(group, monkeypatch):
    """A log that cannot be deleted stops the rest, so that what remains has no gap."""
    site = busy(group)
    site.engine.idle()
    session = frozen(site)
    session.thaw()
    before = site.archived()
    stuck = site.engine.log_directory.archive_path(before[1])
    real = type(site.logs.fs).remove

    def fail(self, path):
        if path == stuck:
            raise DeviceError("stuck")
        real(self, path)

    monkeypatch.setattr(type(site.logs.fs), "remove", fail)
    report = session.truncate()
    assert report.deleted == (before[0],)
    assert report.failed == before[1]
    assert site.archived() == before[1:]


@pytest.mark.rule("EXC-37")
@pytest.mark.parametrize("moment", ["before", "at freeze only", "after"])
def test_a_dismounted_store_keeps_all_logs(group, moment):
    """A store that is not mounted at the freeze or at the end: 225, nothing deleted."""
    site = busy(group)
    if moment != "after":
        site.engine.dismount("pub")
    site.engine.idle()
    session = frozen(site)
    session.thaw()
    if moment == "after":
        site.engine.dismount("pub")
    elif moment == "at freeze only":
        site.engine.mount("pub")
    before = site.archived()
    assert session.truncate().event == 225
    assert site.archived() == before


@pytest.mark.rule("EXC-38")
def test_circular_logging_is_never_truncated_by_a_backup(group):
    """With circular logging a full backup deletes nothing: 225."""
    site = busy(group, circular=True)
    before = site.archived()
    assert full_backup(site).event == 225
    assert site.archived() == before


@pytest.mark.rule("EXC-43")
@pytest.mark.rule("EXC-44")
@pytest.mark.rule("EXC-45")
def test_stamps_of_full_and_incremental(group):
    """Full sets Full and clears Incremental, incremental sets its own; the image shows neither."""
    site = busy(group)
    session = frozen(site)
    image = read_database_header(site.image()[1].fs.open("mb.edb"))
    session.thaw()
    site.clock.advance(5)
    session.end()
    header = read_database_header(site.stores.fs.open("mb.edb"))
    assert not image.full_backup_previous.is_set
    stamp = header.full_backup_previous
    assert (stamp.first_generation, stamp.last_generation) == (session.copy_min, session.copy_max)
    assert stamp.mark == session.mark
    assert header.full_backup_type == 1
    site.fill_logs(1)
    full_backup(site, SnapshotKind.INCREMENTAL)
    second = read_database_header(site.stores.fs.open("mb.edb"))
    assert second.full_backup_previous == stamp
    assert second.incremental_backup_previous.mark > stamp.mark
    full_backup(site)
    third = read_database_header(site.stores.fs.open("mb.edb"))
    assert third.incremental_backup_previous == BackupRange()
    assert third.full_backup_previous.mark > second.incremental_backup_previous.mark


@pytest.mark.rule("EXC-44")
def test_an_older_mark_never_overwrites_a_newer_one(group):
    """A header that remembers a later backup keeps it."""
    site = busy(group)
    session = frozen(site)
    session.thaw()
    database = site.engine.databases["mb"]
    later = evolve(session.mark, generation=session.mark.generation + 5)
    database.header = evolve(database.header, full_backup_previous=BackupRange(mark=later))
    session.end()
    assert database.header.full_backup_previous.mark == later


@pytest.mark.rule("EXC-43")
@pytest.mark.parametrize("stamps", [False, True])
def test_copy_and_differential_stamps_belong_to_later_profiles(group, stamps):
    """In 2003 a copy leaves no record; where the profile has them, they get their own fields."""
    site = busy(group, profile=evolve(SMALL_LOGS, stamps_copy_backups=stamps))
    full_backup(site)
    before = read_database_header(site.stores.fs.open("mb.edb"))
    full_backup(site, SnapshotKind.COPY)
    full_backup(site, SnapshotKind.DIFFERENTIAL)
    header = read_database_header(site.stores.fs.open("mb.edb"))
    assert header.full_backup_previous == before.full_backup_previous
    assert header.copy_backup_previous.is_set == stamps
    assert header.differential_backup_previous.is_set == stamps


def test_a_header_that_cannot_be_stamped_is_a_warning(group, monkeypatch):
    """The backup completes with event 219 if a header could not be written."""
    site = busy(group)
    session = frozen(site)
    session.thaw()

    def fail(self, *, force=False):
        raise DeviceError("gone")

    monkeypatch.setattr(type(site.engine.databases["mb"]), "write_header", fail)
    session.end()
    assert site.event_ids()[-3:] == [219, 219, 2006]


def test_prepare_names_the_kind_of_backup(group):
    """Each kind has its starting event."""
    site = group().with_stores()
    for kind in KINDS:
        site.engine.snapshot_prepare(kind).abort()
    starts = [each for each in site.event_ids() if each != 2007]
    assert starts == [2005, 2008, 2009, 2010]


@pytest.mark.rule("EXC-41")
def test_no_log_that_a_header_needs_is_ever_deleted(group):
    """After each of several backups under load, every log from the lowest Rmin on is there."""
    site = group().with_stores()
    for index in range(6):
        site.fill_logs(2)
        site.engine.flush_pages(4)
        if index % 2:
            site.engine.advance_checkpoint()
        full_backup(site)
        for name in ("mb", "pub"):
            header = read_database_header(site.stores.fs.open(f"{name}.edb"))
            assert site.engine.checkpoint_generation <= header.gen_min_required
            assert site.archived()[0] <= header.gen_min_required
        assert site.archived() == list(range(site.archived()[0], site.engine.current_generation))
