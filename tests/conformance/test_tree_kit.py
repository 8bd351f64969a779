"""The tree part of the array kit: arrays that lose something of a tree do not pass."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from frskit.clock import VirtualClock
from frskit.errors import ArrayError
from frskit.local import DirectoryArray
from frskit.model.ids import HostRef
from frskit.model.storage import AccessKind, ArrayCapabilities, CopyKind
from frskit.storage.directory_filesystem import PathFileSystem
from frskit.testing.array import plant_tree, read_tree, run_tree_scenarios
from frskit.testing.report import KitReport

HOSTS = (HostRef("prod"), HostRef("rec"))
AS_ROOT = os.geteuid() == 0


def everything(directory):
    """All names below a directory, the deepest first."""
    found = (Path(root, name) for root, ds, fs in os.walk(directory) for name in (*ds, *fs))
    return sorted(found, key=lambda each: -len(each.parts))


class Careless(DirectoryArray):
    """An array whose copies are spoiled right after they are made."""

    def commit_copies(self, staged, *, budget):
        made = super().commit_copies(staged, budget=budget)
        for each in made:
            self.spoil(self.directory(each.id))
        return made

    def spoil(self, directory):
        """What goes wrong."""


class EmptyDirsLost(Careless):
    """Only files are copied, and the directories they are in."""

    def spoil(self, directory):
        (directory / "empty").rmdir()


class ModesLost(Careless):
    """Files get the mode of new files."""

    def spoil(self, directory):
        for each in everything(directory):
            if each.is_file() and not each.is_symlink():
                each.chmod(0o644)


class RootModeLost(Careless):
    """Everything in the directory is right, itself it is not."""

    def spoil(self, directory):
        directory.chmod(0o755)


class OwnersLost(Careless):
    """Everything belongs to whoever copied it."""

    def spoil(self, directory):
        for each in everything(directory):
            os.chown(each, os.geteuid(), os.getegid(), follow_symlinks=False)


class TimesRounded(Careless):
    """Times are kept to the second."""

    def spoil(self, directory):
        for each in everything(directory):
            whole = each.lstat().st_mtime_ns // 10**9 * 10**9
            os.utime(each, ns=(whole, whole), follow_symlinks=False)


class LinksSplit(Careless):
    """Each name of a file becomes a file of its own."""

    def spoil(self, directory):
        for each in everything(directory):
            if each.lstat().st_nlink > 1 and each.is_file():
                facts = each.parent.stat()
                each.rename(directory / "aside")
                shutil.copy2(directory / "aside", each)
                os.chown(each, *((directory / "aside").stat()[4:6]))
                (directory / "aside").unlink()
                os.utime(each.parent, ns=(facts.st_atime_ns, facts.st_mtime_ns))


class LinksFollowed(Careless):
    """A symbolic link becomes a copy of what it leads to."""

    def spoil(self, directory):
        (directory / "link").unlink()
        shutil.copy2(directory / "plain", directory / "link")


class DanglingLost(Careless):
    """A link that leads nowhere is left out."""

    def spoil(self, directory):
        (directory / "deep" / "er" / "dangling").unlink()


class XattrsLost(Careless):
    """Extended attributes are not copied."""

    def spoil(self, directory):
        for each in everything(directory):
            if not each.is_symlink():
                for name in os.listxattr(each):
                    os.removexattr(each, name)


class HolesFilled(Careless):
    """A sparse file becomes an ordinary one."""

    def spoil(self, directory):
        path = directory / "sparse"
        facts = path.stat()
        data = path.read_bytes()
        with path.open("r+b") as file:
            file.write(data)
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


class BytesLost(Careless):
    """A file is cut."""

    def spoil(self, directory):
        os.truncate(directory / "plain", 3)


class PipesLost(Careless):
    """What cannot be read is skipped."""

    def spoil(self, directory):
        for each in everything(directory):
            if stat.S_ISFIFO(each.lstat().st_mode) or stat.S_ISSOCK(each.lstat().st_mode):
                facts = each.parent.stat()
                each.unlink()
                os.utime(each.parent, ns=(facts.st_atime_ns, facts.st_mtime_ns))


class PipesRefused(DirectoryArray):
    """It says what it cannot copy."""

    text = "deep/er/socket is a socket"

    def commit_copies(self, staged, *, budget):
        for each in staged.requests:
            if any(x.is_fifo() for x in everything(self.directory(each.source))):
                raise ArrayError(self.text)
        return super().commit_copies(staged, budget=budget)


class PipesRefusedSilently(PipesRefused):
    """It refuses and does not say why."""

    text = "the copy failed"


class World:
    """As much of a world as the tree part needs."""

    host = HOSTS[1]
    concurrent = False

    def __init__(self, root, kind):
        self._root = root
        self.array = kind(root, clock=VirtualClock(), hosts=HOSTS)
        self.storages = (self.array.add_storage("a"), self.array.add_storage("b"))

    def plant_tree(self, storage, *, special):
        plant_tree(self.array.directory(storage), special=special)

    def snapshot_tree(self, storage):
        if storage in self.storages:
            return read_tree(self.array.directory(storage))
        (shown,) = self.array.presentations(storage)
        return read_tree(Path(PathFileSystem(shown.access.path).root))

    def close(self):
        self.array.close()
        shutil.rmtree(self._root)


def run(tmp_path, kind):
    """The tree part on an array; what it reports."""
    count, report = iter(range(10)), KitReport()
    run_tree_scenarios(lambda: World(tmp_path / str(next(count)), kind), report)
    return report


@pytest.fixture
def has_attributes(tmp_path):
    """Skip where the file system has no extended attributes."""
    try:
        os.setxattr(tmp_path, "user.frskit", b"1")
    except OSError as error:
        pytest.skip(f"no extended attributes: {error}")


@pytest.mark.kits
@pytest.mark.parametrize("kind", [DirectoryArray, PipesRefused])
def test_an_array_that_keeps_trees_passes(tmp_path, kind):
    """Both parts run; a refusal that says what it refuses is fine."""
    report = run(tmp_path, kind)
    assert {"a tree as it was", "pipes and sockets"} <= set(report.executed)
    assert set(report.skipped) <= {"owners of a tree", "attributes of a tree"}
    assert not AS_ROOT or "owners of a tree" not in report.skipped


@pytest.mark.breaks
@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        (EmptyDirsLost, "directory 'empty' is lost"),
        (ModesLost, "another mode"),
        (RootModeLost, "'' has another mode"),
        (TimesRounded, "another time"),
        (LinksSplit, "hard links"),
        (LinksFollowed, "'link' is something else"),
        (DanglingLost, "the link 'deep/er/dangling' is lost"),
        (HolesFilled, "holes of 'sparse' are filled"),
        (BytesLost, "also-plain"),
        (PipesLost, "is lost"),
        (PipesRefusedSilently, "does not say what"),
    ],
)
def test_an_array_that_loses_something_of_a_tree_does_not_pass(tmp_path, kind, complaint):
    """Each of them, by what it loses."""
    with pytest.raises(AssertionError, match=complaint):
        run(tmp_path, kind)


@pytest.mark.breaks
@pytest.mark.skipif(not AS_ROOT, reason="only root may give files away")
def test_an_array_that_loses_owners_does_not_pass(tmp_path):
    """A database that finds files of another owner does not start."""
    with pytest.raises(AssertionError, match="another owner"):
        run(tmp_path, OwnersLost)


@pytest.mark.breaks
@pytest.mark.usefixtures("has_attributes")
def test_an_array_that_loses_attributes_does_not_pass(tmp_path):
    """Where there are any."""
    with pytest.raises(AssertionError, match="extended attributes"):
        run(tmp_path, XattrsLost)


def test_a_world_without_the_levers_is_skipped_by_name(tmp_path, monkeypatch):
    """Arrays that present no directories are not asked."""
    monkeypatch.delattr(World, "snapshot_tree")
    report = run(tmp_path, DirectoryArray)
    assert set(report.skipped) == {"a tree as it was", "pipes and sockets"}
    assert not report.executed
    luns = ArrayCapabilities(
        kinds=frozenset({CopyKind.SNAPCLONE}), access=frozenset({AccessKind.SCSI_LUN})
    )
    monkeypatch.setattr(DirectoryArray, "capabilities", luns)
    report = run(tmp_path, DirectoryArray)
    assert (report.skipped, report.executed) == ({}, {})
