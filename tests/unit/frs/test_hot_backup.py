"""A stranger's database with hot backup end to end: late files, timelines, and places to stop at."""

from __future__ import annotations

import shutil

import pytest
from attrs import evolve
from support.faults import Fault
from support.hot_backup_party import HotWorld, boundary, place, unpack_page

from frskit import Completion, CopyLife, RecoveryMethod, RecoveryMode, Verdict
from frskit.clock import Budget, SystemClock
from frskit.errors import (
    IntegrityError,
    RecoveryFailed,
    RecoveryPrecondition,
    StoreError,
    VolumeNotSupported,
)
from frskit.frs.recovery import execution
from frskit.model.components import Quiesce
from frskit.model.plans import FileActionKind, LogVerdict
from frskit.testing.writer import check_writer

PIT, RF = RecoveryMode.POINT_IN_TIME, RecoveryMode.ROLL_FORWARD
SWAP, COPY_BACK = RecoveryMethod.SWAP, RecoveryMethod.COPY_BACK
METHODS = pytest.mark.parametrize("method", [SWAP, COPY_BACK], ids=lambda each: each.value)


def busy(world):
    """Old rows change and new ones come, from the beginning of the backup mode to its end."""
    store, keys = world.store, iter(range(100, 1000))

    def more(value):
        store.put(3, value)
        store.put(next(keys), value)

    world.writer.before = lambda: more("before")
    world.writer.meanwhile = lambda: (more("meanwhile"), store.checkpoint(), more("meanwhile"))
    world.writer.after = lambda: (store.fill(60, 90), more("after"))


@pytest.fixture
def world(tmp_path):
    """A site with 50 rows in five pages, some log in the archive, and a busy application."""
    with HotWorld(tmp_path) as made:
        made.store.fill(0, 50, "old")
        busy(made)
        yield made


def stop_being_busy(world):
    """The application rests."""
    world.writer.before = world.writer.meanwhile = world.writer.after = lambda: None


def untouched(world):
    """No file of ours is left at production, none of the signal or the label."""
    names = [each for each in world.files() if ".frskit" in each]
    return not names and not world.store.signal.exists() and not world.store.label.exists()


# --- the party itself


class KitWorld:
    """The writer's levers."""

    def __init__(self, root):
        self.world = HotWorld(root)
        self.writer, self.store = self.world.writer, self.world.store
        self.store.fill(0, 30)
        self.components = [self.writer.component.id]
        self.volumes = [each.id for each in self.world.machine.volumes()]
        self.keys = iter(range(30, 10_000))

    def write(self):
        """It always can."""
        self.store.put(next(self.keys), "w")
        return True

    def image(self):
        """All bytes."""
        return self.world.files()

    def truncated(self):
        """It recycles, and truncates nothing."""
        return False

    def truncates(self):
        """Never."""
        return False

    def pass_window(self):
        """There is nothing to let go."""
        return False

    def budget(self):
        """On the machine's clock."""
        return Budget.of(SystemClock())


@pytest.mark.kits
def test_the_writer_passes_the_kit_and_says_that_it_does_not_hold(tmp_path):
    """What cannot be asked of it is skipped, and the report says so."""
    worlds = []

    def make():
        worlds.append(KitWorld(tmp_path / str(len(worlds))))
        return worlds[-1]

    report = check_writer(make)
    for each in worlds:
        each.world.site.close()
    assert report.executed
    assert any("EXC-17" in each and "any-order" in each for each in report.skipped.values())
    assert "SKIPPED, EXC-17" in str(report)


def test_the_image_alone_is_torn_and_of_two_times(world):
    """What the array holds cannot be read: that is what label and log are for."""
    copy = world.copy()
    (data,) = (each for each in copy.members if each.mount_point.rstrip("/").endswith("data"))
    tree = world.root / "array" / "copies"
    heaps = [each for each in tree.rglob("heap") if each.is_dir()]
    assert len(heaps) == 1
    assert data.storage
    with pytest.raises(ValueError, match="torn"):
        [unpack_page(each.read_bytes(), each.name) for each in heaps[0].iterdir()]


def test_the_checker_finds_pages_that_replay_does_not_mend(world):
    """Without whole pages in the log the same copy is corrupt; no file of it could tell by itself."""
    world.store.full_pages = False
    with pytest.raises(IntegrityError, match="is torn") as caught:
        world.copy()
    assert caught.value.copy.verdict is Verdict.CORRUPT


# --- the copy


@pytest.mark.rule("R-27")
def test_a_copy_of_members_of_different_times_is_accepted_in_backup_mode(world):
    """Label and log are in the manifest, and every late file is in the report."""
    copy = world.copy()
    assert copy.recoverable
    assert copy.completion is Completion.DONE
    assert len(copy.members) == 2
    label, *logs = copy.late
    assert label.path == str(world.store.label)
    assert len(logs) >= 2
    named = {each.path for each in copy.report.files}
    assert {each.path for each in copy.late} <= named
    (record,) = copy.records
    assert record.logs_needed.first.stream == "timeline 1"
    assert record.logs_needed.first.before(record.logs_needed.last)
    # Logs that the database itself recycled meanwhile are nobody's fault.
    assert not any(each.beyond for each in copy.truncated)
    assert world.frs.copy(copy.id) == copy


@pytest.mark.rule("R-27")
def test_the_same_array_is_refused_for_a_writer_that_needs_one_instant(tmp_path):
    """At plan time; the database was never told."""
    with HotWorld(tmp_path, quiesce=Quiesce.INSTANT_ONLY) as world:
        before = world.store.lsn
        with pytest.raises(VolumeNotSupported, match="one after the other, but Ledger"):
            world.copy()
        assert world.store.lsn == before
        assert world.array.copies() == ()


def test_a_backup_mode_that_ended_in_between_fails_the_copy(world):
    """The thaw sees it; nothing is left."""
    world.writer.meanwhile = world.store.cancel_backup
    with pytest.raises(Exception, match="the backup mode ended"):
        world.copy()
    assert world.array.copies() == ()
    busy(world)
    assert world.copy().recoverable


# --- recovery


@METHODS
@pytest.mark.parametrize("archive", [True, False], ids=["archive", "archive lost"])
def test_a_copy_is_recovered_to_its_own_end_from_itself_alone(world, method, archive):
    """Rows as they were when the backup ended; none that came later, on old or on new pages."""
    copy = world.copy()
    expected = world.store.rows()
    world.store.put(3, "later")
    world.store.fill(500, 520, "later")
    if method is COPY_BACK:
        world.store.checkpoint()
        world.store.fill(600, 605, "in no file yet")
    if not archive:
        shutil.rmtree(world.store.archive)
        world.store.archive.mkdir()
    report = world.recover(copy, PIT, method)
    assert world.store.rows() == expected
    assert report.after.databases[0].items == len(expected)
    assert report.replayed.last == copy.records[0].logs_needed.last
    assert world.store.timeline == 2
    assert untouched(world)
    world.store.put(1, "and on")


@METHODS
def test_a_copy_is_rolled_forward_to_the_last_row(world, method):
    """Through the archive and the segment that was never closed; page files are lost before."""
    copy = world.copy()
    world.store.put(3, "later")
    world.store.fill(500, 560, "later")
    expected = world.store.rows()
    end = place(1, world.store.lsn)
    plan = world.frs.plan_recovery(copy.id, mode=RF, method=method)
    assert plan.analysis.verdict is LogVerdict.OK
    assert plan.analysis.reaches == end
    report = world.frs.recover(plan)
    assert world.store.rows() == expected
    assert report.replayed.last.rank >= end.rank
    # A recovery opens a new timeline; places of two cannot be compared.
    assert report.replayed.last.before(report.after.current_log) is None
    assert untouched(world)


def test_a_damaged_database_is_rolled_forward(world):
    """Nothing of it is readable any more but its log."""
    copy = world.copy()
    world.store.fill(500, 510, "later")
    expected = world.store.rows()
    world.store.stop()
    for each in (world.store.data / "heap").iterdir():
        each.unlink()
    (world.store.data / "control").write_bytes(b"x")
    world.recover(copy, RF, COPY_BACK)
    assert world.store.rows() == expected


@METHODS
@pytest.mark.parametrize("kind", ["time", "lsn", "name"])
def test_a_roll_forward_stops_where_it_is_told(world, method, kind):
    """The rows are exactly those of that moment: also on pages that are older than the stop."""
    copy = world.copy()
    store = world.store
    store.fill(500, 515, "wanted")
    lsn = store.put(3, "wanted")
    expected, moment = store.rows(), store.now()
    store.restore_point("before the mistake")
    store.put(3, "mistake")
    store.fill(500, 530, "mistake")
    store.checkpoint()
    stop = {"time": moment, "lsn": str(place(1, lsn)), "name": "before the mistake"}[kind]
    plan = world.frs.plan_recovery(copy.id, mode=RF, method=method, stop_kind=kind, stop=stop)
    assert any(stop in each for each in plan.warnings)
    report = world.frs.recover(plan)
    assert store.rows() == expected
    assert report.replayed.last.before(plan.analysis.reaches) is False
    assert untouched(world)


REFUSED = {
    "unknown kind": ("xid", "7", "cannot stop a roll forward at a xid"),
    "not understood": ("time", "yesterday", "yesterday is no time"),
    "never reached": ("lsn", "1/0", "before lsn 1/0"),
    "no such name": ("name", "nowhere", "before name nowhere"),
}


@pytest.mark.parametrize(("kind", "stop", "said"), REFUSED.values(), ids=REFUSED)
def test_a_stop_that_cannot_be_is_refused(world, kind, stop, said):
    """Typed, at plan time; the database has not noticed."""
    copy = world.copy()
    before = world.files()
    with pytest.raises(RecoveryPrecondition, match=said):
        world.frs.plan_recovery(copy.id, mode=RF, stop_kind=kind, stop=stop)
    assert world.files() == before
    assert world.store.online


def test_a_stop_before_the_end_of_the_backup_is_refused_twice(world):
    """By the analysis; and by the recovery itself, should an analysis have overlooked it."""
    inside = []
    world.writer.after = lambda: inside.append(world.store.put(7, "inside"))
    copy = world.copy()
    stop = str(place(1, inside[0]))
    world.store.put(7, "later")
    expected = world.store.rows()
    with pytest.raises(RecoveryPrecondition, match="before the end of the backup") as caught:
        world.frs.plan_recovery(copy.id, mode=RF, stop_kind="lsn", stop=stop)
    assert caught.value.context["condition"] == "P-08"
    analyze = world.application.analyze
    world.application.analyze = lambda *a, **k: evolve(analyze(*a, **k), verdict=LogVerdict.OK)
    with pytest.raises(RecoveryFailed, match="before the end of the backup"):
        world.recover(copy, RF, COPY_BACK, stop_kind="lsn", stop=stop)
    assert world.store.rows() == expected
    assert world.store.timeline == 1
    assert untouched(world)


@METHODS
@pytest.mark.parametrize("missing", ["log", "label"])
def test_without_its_late_files_the_copy_does_not_start(world, method, missing):
    """And production is put back as it was."""
    copy = world.copy()
    expected = world.store.rows()
    real = world.application.file_actions
    late = [each.path for each in copy.late if each.path.endswith("label") is (missing == "label")]
    world.application.file_actions = lambda *a, **k: [
        each
        for each in real(*a, **k)
        if each.kind is not FileActionKind.COPY_IN or each.path not in late
    ]
    said = "before the end of the backup" if missing == "log" else "torn|end of the backup"
    with pytest.raises(RecoveryFailed, match=said) as caught:
        world.recover(copy, PIT, method)
    assert caught.value.context["undone"]
    assert world.store.rows() == expected


@METHODS
@pytest.mark.parametrize("mode", [PIT, RF], ids=lambda each: each.value)
def test_a_recovery_that_fails_in_replay_is_undone(world, monkeypatch, method, mode):
    """Created files are gone, deleted ones back, and every row is there."""
    copy = world.copy()
    world.store.fill(500, 520, "later")
    expected = world.store.rows()
    world.store.stop()
    before = world.files()
    with monkeypatch.context() as patch:
        Fault(world.application, "bring_online", StoreError("no"), patch=patch)
        with pytest.raises(RecoveryFailed) as caught:
            world.recover(copy, mode, method)
    assert caught.value.context["undone"]
    if not world.store.online:
        assert world.files() == before
        world.store.start()
    assert world.store.rows() == expected
    assert world.store.timeline == 1
    assert untouched(world)


class Killed(BaseException):
    """The process dies here."""


# A process that died at any of these places; what a resume then makes of it.
DEATHS = {
    "offline": ("take_offline", False, "undone"),
    "before replay": ("bring_online", False, "ended"),
    "after replay": ("bring_online", True, "ended"),
}


@pytest.mark.crash
@METHODS
@pytest.mark.parametrize(("call", "after", "outcome"), DEATHS.values(), ids=DEATHS)
def test_a_recovery_that_dies_is_ended_by_a_resume(
    world, monkeypatch, method, call, after, outcome
):
    """Back to all rows, or on to the copy's; with no file of a recovery left."""
    copy = world.copy()
    copied = world.store.rows()
    world.store.fill(500, 520, "later")
    now = world.store.rows()
    plan = world.frs.plan_recovery(copy.id, mode=PIT, method=method)
    die(world, monkeypatch, call, plan, after=after)
    (resumed,) = world.frs.resume()
    assert resumed.ended
    assert world.store.online
    assert world.store.rows() == (now if outcome == "undone" else copied)
    assert untouched(world)


@pytest.mark.crash
@pytest.mark.parametrize("kind", ["delete", "copy-in", "create"])
@METHODS
def test_a_recovery_that_dies_among_its_files_is_undone_by_a_resume(
    world, monkeypatch, method, kind
):
    """After the last change of each kind: created files go, deleted ones and former ones return."""
    copy = world.copy()
    world.store.fill(500, 520, "later")
    world.store.checkpoint()
    expected = world.store.rows()
    plan = world.frs.plan_recovery(copy.id, mode=PIT, method=method)
    kinds = [each.kind.value for each in plan.file_actions]
    if kind not in kinds:
        assert method is SWAP
        return
    last = len(kinds) - kinds[::-1].index(kind)
    with monkeypatch.context() as patch:
        no_cleanup(patch)
        Fault(execution, "run_action", Killed, at=last, after=True, patch=patch)
        with pytest.raises(Killed):
            world.frs.recover(plan)
    (resumed,) = world.frs.resume()
    assert resumed.ended
    assert world.store.rows() == expected
    assert world.store.timeline == 1
    assert untouched(world)


def no_cleanup(patch):
    """Nothing runs after the death of a process."""
    patch.setattr(execution.RecoveryRun, "_undo_all", lambda _, error, __: error)


def die(world, monkeypatch, call, plan, *, after):
    """The process dies in a call of the application."""
    with monkeypatch.context() as patch:
        no_cleanup(patch)
        Fault(world.application, call, Killed, after=after, patch=patch)
        with pytest.raises(Killed):
            world.frs.recover(plan)


def test_pages_that_come_at_the_last_moment_do_not_survive_a_copy_back(world, monkeypatch):
    """Clients write until the store is down: its files are other ones then than in the plan."""
    copy = world.copy()
    copied = world.store.rows()
    plan = world.frs.plan_recovery(copy.id, mode=PIT, method=COPY_BACK)
    real = world.application.take_offline

    def late_client(component, *, for_restore, budget):
        if world.store.online:
            world.store.fill(700, 705, "at the last moment")
        real(component, for_restore=for_restore, budget=budget)

    with monkeypatch.context() as patch:
        patch.setattr(world.application, "take_offline", late_client)
        with pytest.raises(RecoveryFailed, match="P-11") as caught:
            world.frs.recover(plan)
    assert caught.value.context["undone"]
    assert len(world.store.rows()) == len(copied) + 5
    # With the store down nothing can come in between.
    world.store.stop()
    world.recover(copy, PIT, COPY_BACK)
    assert world.store.rows() == copied
    assert untouched(world)


# --- timelines


@METHODS
def test_after_a_recovery_an_older_copy_says_where_its_timeline_ends(world, method):
    """Partial, with the place; and what it reaches is what it gives."""
    first, second = world.copy(), world.copy()
    world.store.fill(500, 510, "later")
    old = world.store.rows()
    world.recover(second, PIT, method)
    world.store.fill(800, 810, "on the second timeline")
    third = world.copy()
    assert third.records[0].logs_needed.first.stream == "timeline 2"
    plan = world.frs.plan_recovery(first.id, mode=RF, method=COPY_BACK)
    assert plan.analysis.verdict is LogVerdict.PARTIAL
    assert plan.analysis.gap_at.stream == "timeline 2"
    assert plan.analysis.gap_at.before(plan.analysis.reaches) is None
    assert any("breaks at" in each for each in plan.warnings)
    # The new one goes on to the end of all.
    now = world.store.rows()
    forward = world.frs.plan_recovery(third.id, mode=RF, method=COPY_BACK)
    assert forward.analysis.verdict is LogVerdict.OK
    world.store.fill(820, 830, "and on")
    now = world.store.rows()
    world.recover(third, RF, COPY_BACK)
    assert world.store.rows() == now
    assert world.store.timeline == 3
    plan = world.frs.plan_recovery(first.id, mode=RF, method=COPY_BACK)
    assert plan.analysis.verdict is LogVerdict.PARTIAL
    world.frs.recover(plan)
    seen = world.store.rows()
    assert not any(value in ("on the second timeline", "and on") for value in seen.values())
    assert set(seen) <= set(old)
    assert world.store.timeline == 4


def test_a_hole_in_the_archive_ends_a_roll_forward_honestly(world):
    """A stop behind the hole cannot be reached; the copy itself needs no archive."""
    copy = world.copy()
    world.store.fill(500, 620, "later")
    lsn = world.store.put(3, "wanted")
    world.store.checkpoint()
    kept = world.store.reader(archive=True)
    end = copy.records[0].logs_needed.last
    hole = world.store.archive / f"{1:08X}{boundary(end.rank) // 4096:08X}"
    assert kept(hole.name) is not None
    hole.unlink()
    (world.store.wal / hole.name).unlink(missing_ok=True)
    stop = str(place(1, lsn))
    with pytest.raises(RecoveryPrecondition, match=f"before lsn {stop}"):
        world.frs.plan_recovery(copy.id, mode=RF, stop_kind="lsn", stop=stop)
    world.frs.plan_recovery(copy.id, mode=PIT)


# --- retention


def test_late_files_go_with_the_copy_that_names_them(world):
    """The label and log of the other one stay, and it recovers."""
    doomed, kept = world.copy(), world.copy()
    expected = world.store.rows()
    assert world.blobs() == {each.sha256 for copy in (doomed, kept) for each in copy.late}
    world.frs.delete_copy(doomed.id)
    assert world.frs.copy(doomed.id).life is CopyLife.DELETED
    assert world.blobs() == {each.sha256 for each in kept.late}
    world.store.put(3, "later")
    world.recover(kept)
    assert world.store.rows() == expected
