"""Files copied back into production: what it costs, and what a crash or a fault leaves."""

from __future__ import annotations

import os
import uuid

import pytest
from attrs import frozen
from support.faults import places

from frskit.clock import Budget, VirtualClock
from frskit.errors import DeviceError, FileExists, RecoveryFailed, TimedOut
from frskit.frs.recovery.file_actions import (
    _FRESH,
    clear_stale,
    drop_undo,
    run_action,
    twice_named,
    undo_copy_in,
)
from frskit.model.ids import VolumeId
from frskit.model.plans import FileAction, FileActionKind
from frskit.model.volumes import VolumePath
from frskit.scopes import Releases
from frskit.storage.devices import MemoryDevice
from frskit.storage.directory_filesystem import PathFileSystem
from frskit.storage.simfs import SimFs

OLD, NEW = b"production " * 500, b"from the copy " * 700


@frozen
class OneVolume:
    """A server with a single volume; paths are paths on it."""

    tree: object

    def resolve(self, path):
        return VolumePath(volume=VolumeId("v"), path=path)

    def files(self, _volume):
        return self.tree


@frozen
class TheCopy:
    """A mounted copy that holds the files of a tree under the same paths."""

    tree: object

    def ref(self, path):
        return self.tree.ref(path)


def copy_in(path):
    return FileAction(kind=FileActionKind.COPY_IN, path=path)


def move(path, target):
    return FileAction(kind=FileActionKind.SET_ASIDE, path=path, target=target)


def written(tree, path, data):
    with tree.create(path, exclusive=False) as file:
        file.write_at(0, data)
        file.sync()


def content(tree, path):
    with tree.open(path) as file:
        return file.read_at(0, file.size_bytes)


@pytest.fixture
def copied(tmp_path):
    """A copy that holds the file `a`."""
    (tmp_path / "copy").mkdir()
    tree = PathFileSystem(tmp_path / "copy")
    written(tree, "a", NEW)
    return TheCopy(tree)


# --- what it costs


def syncs(monkeypatch, call):
    """How many times anything was synced meanwhile."""
    made = []
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda fd, real=os.fsync: (made.append(fd), real(fd)))
        call()
    return len(made)


def rounds(tmp_path, monkeypatch, count):
    """Syncs of copying so many files in and forgetting the former ones, and of undoing it."""
    root = tmp_path / str(count)
    (root / "copy" / "d").mkdir(parents=True)
    (root / "production" / "d").mkdir(parents=True)
    source, tree = PathFileSystem(root / "copy"), PathFileSystem(root / "production")
    actions = tuple(copy_in(f"d/{number}") for number in range(count))
    for each in actions:
        (root / "copy" / each.path).write_bytes(NEW)
        (root / "production" / each.path).write_bytes(OLD)
    server, undo = OneVolume(tree), Releases()

    def all_in():
        for each in actions:
            run_action(server, TheCopy(source), each, undo)

    back = syncs(monkeypatch, all_in) + syncs(monkeypatch, undo.unwind)
    assert {content(tree, each.path) for each in actions} == {OLD}
    done = syncs(monkeypatch, all_in) + syncs(monkeypatch, lambda: drop_undo(server, actions))
    assert {content(tree, each.path) for each in actions} == {NEW}
    assert len(tree.listdir("d")) == count
    return done, back


def test_copying_back_syncs_what_it_touched_not_the_volume(tmp_path, monkeypatch):
    """Four times the files are four times the syncs, forwards and in undo, and few per file."""
    done, back = rounds(tmp_path, monkeypatch, 10)
    done4, back4 = rounds(tmp_path, monkeypatch, 40)
    assert done4 <= 4 * done <= 4 * 10 * 6
    assert back4 <= 4 * back <= 4 * 10 * 9


def test_each_file_costs_the_same_number_of_syncs(tmp_path, monkeypatch):
    """12, 25, 50 and 100 files: five syncs each, and one for all when the former ones go."""
    made = {count: rounds(tmp_path, monkeypatch, count)[0] for count in (12, 25, 50, 100)}
    assert made == {count: 5 * count + 1 for count in made}


def test_a_move_syncs_both_directories_and_nothing_else(tmp_path, monkeypatch):
    """Setting a log aside touches two directories; other files of the volume are left alone."""
    tree = PathFileSystem(tmp_path)
    for number in range(20):
        written(tree, str(number), OLD)
    tree.makedirs("aside")
    synced = []

    def fsync(fd, real=os.fsync):
        synced.append(os.path.relpath(os.readlink(f"/proc/self/fd/{fd}"), tmp_path))
        real(fd)

    asked = []
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(tree, "sync", lambda paths=None: asked.append(sorted(paths)))
    undo = Releases()
    run_action(OneVolume(tree), None, move("3", "aside/3"), undo)
    assert set(synced) == {".", "aside"}
    assert asked == [["", "aside"]]
    undo.unwind()
    assert set(synced) == {".", "aside"}
    assert content(tree, "3") == OLD


# --- what the order of the steps is


def test_bytes_are_durable_before_names_change_places(tmp_path, monkeypatch, copied):
    """First the new file's bytes, then the former one aside, then the new one in its place."""
    (tmp_path / "production").mkdir()
    tree = PathFileSystem(tmp_path / "production")
    written(tree, "a", OLD)
    steps = []

    def noted(name, real):
        def call(*args, **kwargs):
            target = args[0] if name == "rename" else os.readlink(f"/proc/self/fd/{args[0]}")
            steps.append((name, os.path.basename(target)))  # noqa: PTH119
            return real(*args, **kwargs)

        return call

    monkeypatch.setattr(os, "fsync", noted("fsync", os.fsync))
    monkeypatch.setattr(os, "rename", noted("rename", os.rename))
    run_action(OneVolume(tree), copied, copy_in("a"), Releases())
    fresh = steps.index(("fsync", "a.frskit-new"))
    aside = steps.index(("rename", "a"))
    place = steps.index(("rename", "a.frskit-new"))
    assert fresh < aside < place
    assert ("fsync", "production") in steps[aside:place]
    assert steps[-1] == ("fsync", "production")


def test_a_file_copied_back_is_as_it_was_in_the_copy(tmp_path, copied):
    """Mode, times and attributes come from the copy; undo brings back those of the former file."""
    (tmp_path / "production").mkdir()
    tree = PathFileSystem(tmp_path / "production")
    written(tree, "a", OLD)
    os.utime(tmp_path / "production" / "a", ns=(5 * 10**17, 5 * 10**17))
    (tmp_path / "copy" / "a").chmod(0o604)
    os.utime(tmp_path / "copy" / "a", ns=(10**18, 10**18))
    before, undo = tree.stat("a"), Releases()
    run_action(OneVolume(tree), copied, copy_in("a"), undo)
    assert tree.stat("a") == copied.tree.stat("a")
    assert (tree.stat("a").mode, tree.stat("a").modified_at.year) == (0o604, 2001)
    undo.unwind()
    assert tree.stat("a") == before


def test_a_copying_that_runs_out_of_time_leaves_nothing(tmp_path, copied):
    """The budget is looked at while copying; what was there is untouched."""
    (tmp_path / "production").mkdir()
    tree = PathFileSystem(tmp_path / "production")
    written(tree, "a", OLD)
    spent = Budget.of(VirtualClock(), 0)
    with pytest.raises(TimedOut):
        run_action(OneVolume(tree), copied, copy_in("a"), Releases(), budget=spent)
    assert (tree.listdir(), content(tree, "a")) == (["a"], OLD)


# --- crashes


class Power(MemoryDevice):
    """A device that loses its power at some write or flush, and with it what was not flushed."""

    def __init__(self, size_bytes):
        super().__init__(size_bytes)
        self.left = None
        self.durable = {}

    def _step(self):
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise PowerLost

    def write(self, offset, data):
        self._step()
        super().write(offset, data)

    def flush(self):
        self._step()
        super().flush()
        self.durable = self.image()

    def image(self):
        step = 1 << 16
        pieces = {at: self.read(at, step) for at in range(0, self.size_bytes, step)}
        return {at: piece for at, piece in pieces.items() if any(piece)}

    def after_loss(self, *, unflushed):
        """The device after power is back, with or without what was written and not flushed."""
        twin = MemoryDevice(self.size_bytes)
        for at, piece in (self.image() if unflushed else self.durable).items():
            twin.write(at, piece)
        return twin


class PowerLost(Exception):
    """The machine is off."""


@pytest.fixture
def volume():
    """Makes volumes with former files `a` and `d/b`."""

    def make():
        device = Power(1 << 20)
        tree = SimFs.format(device, volume_id=uuid.UUID(int=9))
        tree.makedirs("d")
        for path in ("a", "d/b"):
            written(tree, path, OLD)
        tree.sync()
        return device, tree

    return make


@pytest.mark.crash
def test_every_change_is_durable_when_it_returns(volume, copied):
    """The journal says so afterwards: new file, kept file, move, undo, end of undo."""
    device, tree = volume()
    server, undo = OneVolume(tree), Releases()

    def after_a_crash():
        return SimFs.mount(device.after_loss(unflushed=False))

    run_action(server, copied, copy_in("a"), undo)
    assert content(after_a_crash(), "a") == NEW
    assert content(after_a_crash(), "a.frskit-undo") == OLD
    run_action(server, None, move("d/b", "d/c"), undo)
    assert after_a_crash().listdir("d") == ["c"]
    undo.unwind()
    assert sorted(after_a_crash().walk()) == ["a", "d/b"]
    assert content(after_a_crash(), "a") == OLD
    run_action(server, copied, copy_in("a"), undo)
    drop_undo(server, (copy_in("a"),))
    assert sorted(after_a_crash().walk()) == ["a", "d/b"]
    assert content(after_a_crash(), "a") == NEW
    tree.remove("a")
    run_action(server, copied, copy_in("a"), undo)
    undo.unwind()
    assert sorted(after_a_crash().walk()) == ["d/b"]


@pytest.mark.crash
@pytest.mark.parametrize("unflushed", [False, True])
@pytest.mark.parametrize("existed", [False, True])
def test_a_copy_in_cut_anywhere_is_undone_from_its_journal_line(volume, copied, unflushed, existed):
    """Whichever write or flush the power fails at, what was there is there again, alone."""
    for cut in places(1000, first=0):
        device, tree = volume()
        if not existed:
            tree.remove("a")
            tree.sync()
        device.left = cut
        try:
            run_action(OneVolume(tree), copied, copy_in("a"), Releases())
        except PowerLost:
            pass
        else:
            assert cut > 5
            return
        device.left = None
        again = SimFs.mount(device.after_loss(unflushed=unflushed))
        undo_copy_in(OneVolume(again), "a", existed=existed, restore=True)
        assert sorted(again.walk()) == (["a", "d/b"] if existed else ["d/b"])
        if existed:
            assert content(again, "a") == OLD


CHANGES = {
    "create": FileAction(kind=FileActionKind.CREATE, path="a", content=NEW),
    "delete": FileAction(kind=FileActionKind.DELETE, path="a"),
}


@pytest.mark.crash
@pytest.mark.parametrize("unflushed", [False, True])
@pytest.mark.parametrize("existed", [False, True])
@pytest.mark.parametrize("action", CHANGES.values(), ids=CHANGES)
def test_a_creation_or_deletion_cut_anywhere_is_undone_or_ended(volume, action, unflushed, existed):
    """Whichever write or flush the power fails at: back from its journal line, or on to the end."""
    for cut in places(1000, first=0):
        device, tree = volume()
        if not existed:
            tree.remove("a")
            tree.sync()
        # What an earlier recovery left must be taken for nothing of this one's.
        written(tree, "a.frskit-undo", b"stale")
        tree.sync()
        device.left = cut
        began = False
        try:
            clear_stale(OneVolume(tree), action)
            began = True
            run_action(OneVolume(tree), None, action, Releases())
        except PowerLost:
            pass
        else:
            assert cut > 1
            return
        device.left = None
        again = SimFs.mount(device.after_loss(unflushed=unflushed))
        if began:
            # As a resume does it from the line of the journal.
            said = existed or action.kind is FileActionKind.DELETE
            undo_copy_in(OneVolume(again), "a", existed=said, restore=True)
            assert sorted(again.walk()) == (["a", "d/b"] if existed else ["d/b"])
        if existed:
            assert content(again, "a") == OLD


@pytest.mark.parametrize("action", CHANGES.values(), ids=CHANGES)
def test_a_creation_or_deletion_is_durable_undone_and_ended(volume, action):
    """What was there is kept until undo is over; a file that was not there is gone again."""
    device, tree = volume()
    server, undo = OneVolume(tree), Releases()
    made = ["a"] if action.kind is FileActionKind.CREATE else []

    def after_a_crash():
        return SimFs.mount(device.after_loss(unflushed=False))

    run_action(server, None, action, undo)
    assert sorted(after_a_crash().walk()) == [*made, "a.frskit-undo", "d/b"]
    assert content(after_a_crash(), "a.frskit-undo") == OLD
    assert undo.unwind() == ()
    assert sorted(after_a_crash().walk()) == ["a", "d/b"]
    assert content(after_a_crash(), "a") == OLD
    run_action(server, None, action, undo)
    drop_undo(server, (action,))
    assert sorted(after_a_crash().walk()) == [*made, "d/b"]
    assert [content(tree, each) for each in made] == [NEW for _ in made]
    if made:
        tree.remove("a")
    undo = Releases()
    run_action(server, None, action, undo)
    assert sorted(after_a_crash().walk()) == [*made, "d/b"]
    undo.unwind()
    assert sorted(after_a_crash().walk()) == ["d/b"]


@pytest.mark.parametrize(
    ("above", "asked", "mode"),
    [(0o700, None, 0o600), (0o750, None, 0o640), (0o755, None, 0o644), (0o700, 0o664, 0o664)],
)
def test_a_created_file_belongs_to_the_owner_of_its_directory(tmp_path, above, asked, mode):
    """A database server reads what a recovery made in its directory, and nobody else does."""
    (tmp_path / "d").mkdir()
    owner = (4711, 4712) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(tmp_path / "d", *owner)
    (tmp_path / "d").chmod(above)
    action = FileAction(kind=FileActionKind.CREATE, path="d/x.signal", content=b"", mode=asked)
    run_action(OneVolume(PathFileSystem(tmp_path)), None, action, Releases())
    made = (tmp_path / "d" / "x.signal").stat()
    assert (made.st_uid, made.st_gid) == owner
    assert made.st_mode & 0o7777 == mode
    assert made.st_size == 0


def test_a_directory_is_not_deleted(tmp_path):
    """Its files are somebody's."""
    tree = PathFileSystem(tmp_path)
    written(tree, "x", OLD)
    tree.makedirs("d")
    action = FileAction(kind=FileActionKind.DELETE, path="d")
    with pytest.raises(RecoveryFailed, match="is a directory"):
        run_action(OneVolume(tree), None, action, Releases())
    assert tree.listdir() == ["d", "x"]


@pytest.mark.parametrize(
    ("first", "second", "twice"),
    [
        ("C:\\a", "c:/A", True),
        ("/a", "/a", True),
        ("/a", "/A", False),
        ("/a", "/b", False),
    ],
)
@pytest.mark.parametrize("kind", [FileActionKind.CREATE, FileActionKind.DELETE])
def test_no_two_actions_may_keep_the_same_file(first, second, twice, kind):
    """The second would take what the first has put there for what has to be kept."""
    actions = (copy_in(first), FileAction(kind=kind, path=second))
    assert twice_named(actions) == (second if twice else None)
    assert twice_named((move(first, "x"), *actions[1:])) is None


# --- faults


@pytest.mark.faults
def test_a_file_set_aside_comes_back_if_the_renaming_is_reported_as_failed(
    tmp_path, monkeypatch, copied
):
    """The name changed, then making that durable failed: undo knows of it all the same."""
    (tmp_path / "production").mkdir()
    tree = PathFileSystem(tmp_path / "production")
    written(tree, "a", OLD)

    def rename(old, new, *, replace=False):
        PathFileSystem.rename(tree, old, new, replace=replace)
        raise DeviceError("injected after the renaming")

    undo = Releases()
    with monkeypatch.context() as patch:
        patch.setattr(tree, "rename", rename)
        with pytest.raises(DeviceError):
            run_action(OneVolume(tree), copied, copy_in("a"), undo)
    assert undo.unwind() == ()
    assert content(tree, "a") == OLD
    assert tree.listdir() == ["a"]


@pytest.mark.faults
def test_what_an_earlier_recovery_left_is_not_taken_for_the_former_file(
    tmp_path, monkeypatch, copied
):
    """A stale file under the undo name goes before anything could be restored from it."""
    (tmp_path / "production").mkdir()
    tree = PathFileSystem(tmp_path / "production")
    written(tree, "a", OLD)
    written(tree, "a.frskit-undo", b"stale")

    def refuse(*_args, **_kwargs):
        raise DeviceError("injected before the renaming")

    undo = Releases()
    with monkeypatch.context() as patch:
        patch.setattr(tree, "rename", refuse)
        with pytest.raises(DeviceError):
            run_action(OneVolume(tree), copied, copy_in("a"), undo)
    undo.unwind()
    assert content(tree, "a") == OLD


# --- refusals


def test_a_file_is_copied_in_from_a_mounted_copy_only(tmp_path):
    """Without one nothing is touched."""
    with pytest.raises(RecoveryFailed, match="only from a mounted copy"):
        run_action(OneVolume(PathFileSystem(tmp_path)), None, copy_in("a"), Releases())
    assert list(tmp_path.iterdir()) == []


def test_a_name_changes_on_its_own_volume_only(tmp_path):
    """A renaming across volumes would be a copy, without any undo."""

    class TwoVolumes(OneVolume):
        def resolve(self, path):
            return VolumePath(volume=VolumeId(path[0]), path=path)

    with pytest.raises(RecoveryFailed, match="different volumes"):
        run_action(TwoVolumes(PathFileSystem(tmp_path)), None, move("a", "b"), Releases())


def test_a_file_set_aside_never_replaces_another(tmp_path):
    """One that is not there any more is fine; a target that is there is not."""
    tree = PathFileSystem(tmp_path)
    run_action(OneVolume(tree), None, move("a", "aside/a"), Releases())
    assert tree.listdir() == []
    written(tree, "a", OLD)
    written(tree, "b", NEW)
    with pytest.raises(FileExists):
        run_action(OneVolume(tree), None, move("a", "b"), Releases())
    assert (content(tree, "a"), content(tree, "b")) == (OLD, NEW)


def test_what_an_earlier_copying_left_half_done_is_copied_again(tmp_path, copied):
    """The bytes of a copying that was cut are not trusted, and its file does not stay."""
    (tmp_path / "production").mkdir()
    tree = PathFileSystem(tmp_path / "production")
    written(tree, f"a{_FRESH}", b"half" * 5000)
    run_action(OneVolume(tree), copied, copy_in("a"), Releases())
    assert content(tree, "a") == NEW
    assert tree.listdir() == ["a"]
