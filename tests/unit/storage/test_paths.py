"""`PathFileSystem`: a real directory behind the `FileSystem` protocol."""

from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path

import pytest

from frskit.errors import (
    DeviceError,
    FileExists,
    FileMissing,
    NoSpace,
    UsageError,
    WriteProtected,
)
from frskit.storage.directory_filesystem import PathFileSystem


@pytest.fixture
def tree(tmp_path):
    """A file system over a directory with a few files."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "B.db").write_bytes(b"database")
    (tmp_path / "a.txt").write_bytes(b"text")
    (tmp_path / "logs" / "1.log").write_bytes(b"one")
    return PathFileSystem(tmp_path)


def test_names_are_sorted_in_any_case_and_walk_leaves_directories_out(tree):
    """Listings ignore case, `walk` yields the files of the whole tree."""
    assert tree.listdir() == ["a.txt", "B.db", "logs"]
    assert list(tree.walk()) == ["a.txt", "B.db", "logs/1.log"]
    assert list(tree.walk("logs")) == ["logs/1.log"]
    with pytest.raises(FileMissing):
        tree.listdir("nowhere")
    with pytest.raises(FileMissing):
        list(tree.walk("a.txt"))


def test_reads_end_at_the_end_of_the_file(tree):
    """`read_at` returns what there is and nothing behind the end."""
    with tree.open("B.db") as file:
        assert file.size_bytes == 8
        assert file.read_at(4, 100) == b"base"
        assert file.read_at(8, 1) == b""
        with pytest.raises(DeviceError):
            file.read_at(-1, 1)
    with pytest.raises(DeviceError):
        file.read_at(0, 1)


def test_create_edit_truncate_and_holes(tree):
    """Growth reads as zero, edits happen in place."""
    with tree.create("logs/2.log") as file:
        file.write_at(4, b"data")
        assert file.read_at(0, 8) == bytes(4) + b"data"
        file.truncate(10)
        file.write_at(0, memoryview(b""))
        file.sync()
    with tree.edit("logs/2.log") as file:
        assert file.size_bytes == 10
        file.write_at(0, bytearray(b"D"))
    with tree.open("logs/2.log") as file:
        assert file.read_at(0, 99) == b"D" + bytes(3) + b"data" + bytes(2)


def test_create_exclusive_and_not(tree):
    """An existing file is refused, or emptied when that was asked for."""
    with pytest.raises(FileExists):
        tree.create("a.txt")
    with tree.create("a.txt", exclusive=False) as file:
        assert file.size_bytes == 0
    with pytest.raises(FileMissing):
        tree.create("nowhere/a.txt")
    with pytest.raises(FileMissing):
        tree.edit("nowhere.txt")


def test_rename_refuses_or_replaces(tree):
    """Without `replace` the other file survives; with it, it is gone at one instant."""
    with pytest.raises(FileExists):
        tree.rename("a.txt", "B.db")
    with tree.open("B.db") as file:
        assert file.read_at(0, 8) == b"database"
    tree.rename("a.txt", "B.db", replace=True)
    with tree.open("B.db") as file:
        assert file.read_at(0, 8) == b"text"
    with pytest.raises(FileMissing):
        tree.rename("a.txt", "c.txt")


def test_directories_are_not_files(tree):
    """What works on files refuses directories, with the error of a missing file."""
    for action in (tree.open, tree.edit, tree.remove, tree.ref):
        with pytest.raises(FileMissing):
            action("logs")
    with pytest.raises(FileMissing):
        tree.rename("logs", "other")
    tree.makedirs("x/y")
    tree.makedirs("x/y")
    tree.makedirs("")
    assert tree.stat("x/y").is_directory
    assert tree.exists("x")
    assert tree.stat("").is_directory


def test_a_new_directory_belongs_to_whom_the_one_above_belongs(tree, tmp_path):
    """A recovery that runs as root makes no directory that the application cannot use or hide."""
    (tmp_path / "logs").chmod(0o2750)
    if os.geteuid() == 0:
        os.chown(tmp_path / "logs", 33, 44)
    tree.makedirs("logs/new/er")
    above = tree.stat("logs")
    for path in ("logs/new", "logs/new/er"):
        facts = tree.stat(path)
        assert (facts.owner, facts.group) == (above.owner, above.group)
        assert facts.mode & 0o007 == 0
        assert facts.mode & 0o700 == 0o700
    tree.makedirs("open")
    assert tree.stat("open").mode & 0o002 == 0


@pytest.mark.parametrize("path", ["../secret", "logs/../../secret", "a\0b"])
def test_paths_cannot_leave_the_root(tree, path):
    """A path with dots is refused whatever is there."""
    with pytest.raises(UsageError):
        tree.open(path)


@pytest.mark.rule("HAZ-17")
def test_links_and_special_files_are_not_shown_and_not_followed(tree, tmp_path):
    """A link to somewhere else is no file of the volume, so a file list finds it missing."""
    outside = tmp_path.parent / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (tmp_path / "link.txt").symlink_to(outside / "secret")
    (tmp_path / "linked").symlink_to(outside)
    os.mkfifo(tmp_path / "pipe")
    assert tree.listdir() == ["a.txt", "B.db", "logs"]
    for path in ("link.txt", "linked/secret", "pipe"):
        assert not tree.exists(path)
        with pytest.raises(FileMissing):
            tree.open(path)
        with pytest.raises(FileMissing):
            tree.edit(path)
    with pytest.raises(FileMissing):
        tree.create("linked/new.txt")
    assert sorted(each.name for each in outside.iterdir()) == ["secret"]


def test_read_only_refuses_every_change(tmp_path):
    """Nothing is written through a read-only file system."""
    (tmp_path / "a.txt").write_bytes(b"text")
    tree = PathFileSystem(tmp_path, read_only=True)
    for change in (
        lambda: tree.create("b.txt"),
        lambda: tree.edit("a.txt"),
        lambda: tree.makedirs("x"),
        lambda: tree.rename("a.txt", "b.txt"),
        lambda: tree.remove("a.txt"),
    ):
        with pytest.raises(WriteProtected):
            change()
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]


def test_hidden_names_cannot_be_reached(tmp_path):
    """A hidden name in the root is neither listed nor opened, deeper ones are ordinary."""
    (tmp_path / "sub").mkdir()
    (tmp_path / ".id").write_bytes(b"1")
    (tmp_path / "sub" / ".id").write_bytes(b"2")
    tree = PathFileSystem(tmp_path, hidden=frozenset({".id"}))
    assert list(tree.walk()) == ["sub/.id"]
    assert not tree.exists(".id")
    with pytest.raises(FileMissing):
        tree.open(".id")
    with pytest.raises(FileMissing):
        tree.remove(".id")


def test_a_reference_survives_pickling_and_finds_a_vanished_file(tree):
    """A worker that gets the reference reads the same bytes; a removed file is missing."""
    ref = pickle.loads(pickle.dumps(tree.ref("logs/1.log")))
    assert (ref.name, ref.size_bytes) == ("logs/1.log", 3)
    with ref.open() as file:
        assert file.read_at(0, 9) == b"one"
    assert ref.native_path.endswith("/logs/1.log")
    tree.remove("logs/1.log")
    with pytest.raises(FileMissing):
        ref.open()


def test_a_full_volume_leaves_the_file_unchanged(tree, monkeypatch):
    """NoSpace comes before any byte of the file changed."""

    def full(descriptor, offset, length):
        os.ftruncate(descriptor, offset + length)
        raise OSError(errno.ENOSPC, "No space left on device")

    with tree.edit("B.db") as file:
        monkeypatch.setattr(os, "posix_fallocate", full)
        with pytest.raises(NoSpace):
            file.write_at(4, b"new and longer")
        assert file.read_at(0, 99) == b"database"


def test_names_are_made_durable_directory_by_directory(tree, monkeypatch):
    """A new directory, a rename and `sync_directory` flush the directories they changed."""
    synced = []
    real = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), real(fd))
    )

    def flushed():
        names = sorted(os.path.relpath(path, tree.root) for path in synced)
        synced.clear()
        return names

    tree.makedirs("logs/old/1")
    assert flushed() == ["logs", "logs/old"]
    tree.makedirs("logs/old/1")
    assert flushed() == []
    tree.rename("a.txt", "b.txt")
    assert flushed() == ["."]
    tree.rename("b.txt", "logs/old/b.txt")
    assert flushed() == [".", "logs/old"]
    tree.remove("logs/old/b.txt")
    tree.sync(["logs/old"])
    assert flushed() == ["logs/old"]
    with pytest.raises(FileMissing):
        tree.sync(["none/x"])
    with pytest.raises(UsageError):
        tree.sync(["../elsewhere"])


def test_sync_of_some_paths_reaches_these_and_their_directories(tree, tmp_path, monkeypatch):
    """A file and its name, the names of a directory, what is gone, and nothing twice."""
    for number in range(20):
        (tmp_path / "logs" / str(number)).write_bytes(b"other")
    synced = []
    real = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), real(fd))
    )

    def flushed(*paths):
        synced.clear()
        tree.sync(paths)
        return [os.path.relpath(path, tree.root) for path in synced]

    assert flushed() == []
    assert flushed("a.txt", "B.db", "a.txt") == ["B.db", "a.txt", "."]
    assert flushed("logs/1.log", "logs") == ["logs/1.log", "logs"]
    assert flushed("logs/gone", "") == [".", "logs"]
    (tmp_path / "link").symlink_to(tmp_path / "B.db")
    assert flushed("link") == ["."]


def test_sync_reaches_every_file(tree, monkeypatch):
    """`sync` flushes each file and directory, also those that others wrote."""
    synced = []
    real = os.fsync
    monkeypatch.setattr(
        os,
        "fsync",
        lambda fd: (synced.append(str(Path(f"/proc/self/fd/{fd}").readlink())), real(fd)),
    )
    tree.sync()
    names = {os.path.relpath(path, tree.root) for path in synced}
    assert names == {".", "a.txt", "B.db", "logs", "logs/1.log"}
