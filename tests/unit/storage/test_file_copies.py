"""`take`: a file with all that belongs to it, whatever file system it comes from."""

from __future__ import annotations

import errno
import os
import uuid
from datetime import UTC, datetime

import pytest

from frskit.clock import Budget, CancelToken, VirtualClock
from frskit.errors import Cancelled, FileExists, FileMissing, FileSystemError, WriteProtected
from frskit.storage.devices import MemoryDevice
from frskit.storage.directory_filesystem import PathFileSystem
from frskit.storage.simfs import SimFs

FREE = Budget.unlimited()


@pytest.fixture
def trees(tmp_path):
    """Two directories as volumes."""
    for name in ("from", "into"):
        (tmp_path / name).mkdir()
    return PathFileSystem(tmp_path / "from"), PathFileSystem(tmp_path / "into")


def volume(clock=None):
    """A fresh volume of the lab."""
    return SimFs.format(MemoryDevice(1 << 22), volume_id=uuid.UUID(int=3), clock=clock)


def write(tree, path, data, at=0):
    """A file with these bytes at some offset."""
    with tree.create(path, exclusive=False) as file:
        file.write_at(at, data)


def read(tree, path):
    """All of it."""
    with tree.open(path) as file:
        return file.read_at(0, file.size_bytes)


@pytest.fixture
def attribute(tmp_path):
    """Sets an extended attribute, or skips where the file system has none."""

    def put(path):
        try:
            os.setxattr(path, "user.kind", b"\0log")
        except OSError as error:
            pytest.skip(f"no extended attributes: {error}")

    return put


def test_a_file_is_taken_with_mode_times_and_attributes(trees, tmp_path, attribute):
    """All that `stat` tells is the same afterwards, to the nanosecond."""
    source, target = trees
    write(source, "a", b"bytes")
    path = tmp_path / "from" / "a"
    attribute(path)
    path.chmod(0o2640)
    os.utime(path, ns=(10**18 + 7, 10**18 + 9))
    target.take("b", source.ref("a"), budget=FREE)
    assert read(target, "b") == b"bytes"
    assert target.stat("b") == source.stat("a")
    assert target.stat("b").mode == 0o2640
    assert target.stat("b").xattrs == (("user.kind", b"\0log"),)
    assert (tmp_path / "into" / "b").stat().st_mtime_ns == 10**18 + 9


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_file_is_taken_with_its_owner(trees, tmp_path):
    """Applications refuse files of another owner."""
    source, target = trees
    write(source, "a", b"bytes")
    os.chown(tmp_path / "from" / "a", 33, 44)
    target.take("b", source.ref("a"), budget=FREE)
    assert (target.stat("b").owner, target.stat("b").group) == (33, 44)


def test_an_owner_that_cannot_be_given_is_an_error(trees, tmp_path, monkeypatch):
    """It is not left out silently, and no half file stays."""
    source, target = trees
    write(source, "a", b"bytes")
    real = os.fstat
    theirs = (tmp_path / "from" / "a").stat().st_ino

    def fstat(descriptor):
        facts = list(real(descriptor))
        if real(descriptor).st_ino == theirs:
            facts[4] += 1
        return os.stat_result(facts)

    def refuse(*_args):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fstat", fstat)
    monkeypatch.setattr(os, "fchown", refuse)
    with pytest.raises(FileSystemError, match=r"owner .* cannot be kept .*not permitted"):
        target.take("b", source.ref("a"), budget=FREE)
    assert target.listdir() == []


def test_holes_are_taken_as_holes(trees, tmp_path):
    """A sparse file costs no more than its data."""
    source, target = trees
    write(source, "a", b"end", at=32 << 20)
    os.truncate(tmp_path / "from" / "a", 0)
    with (tmp_path / "from" / "a").open("r+b") as file:
        file.seek(32 << 20)
        file.write(b"end")
    target.take("b", source.ref("a"), budget=FREE)
    facts = (tmp_path / "into" / "b").stat()
    assert facts.st_size == (32 << 20) + 3
    assert facts.st_blocks * 512 < 1 << 20
    assert read(target, "b")[-4:] == b"\0end"


def test_what_is_there_is_refused_and_kept(trees):
    """Not idempotent: a file in the way stays what it is; a source must be a file."""
    source, target = trees
    write(source, "a", b"bytes")
    write(target, "b", b"mine")
    with pytest.raises(FileExists):
        target.take("b", source.ref("a"), budget=FREE)
    assert read(target, "b") == b"mine"
    with pytest.raises(FileMissing):
        target.take("none/b", source.ref("a"), budget=FREE)
    gone = source.ref("a")
    source.remove("a")
    with pytest.raises(FileMissing):
        target.take("c", gone, budget=FREE)
    assert target.listdir() == ["b"]
    with pytest.raises(WriteProtected):
        PathFileSystem(target.root, read_only=True).take("c", gone, budget=FREE)


@pytest.mark.parametrize("into", ["directory", "volume"])
def test_a_cancelled_taking_leaves_nothing(trees, into):
    """Looked at between pieces, and once at least."""
    source, target = trees
    write(source, "a", b"bytes")
    token = CancelToken()
    token.cancel()
    tree = target if into == "directory" else volume()
    with pytest.raises(Cancelled):
        tree.take("b", source.ref("a"), budget=Budget.of(VirtualClock(), token=token))
    assert list(tree.listdir()) == []


def test_a_volume_of_the_lab_takes_bytes_holes_and_time():
    """That is all there is; it is durable after a sync of the path."""
    clock = VirtualClock()
    source, target = volume(clock), volume()
    write(source, "a", b"x" * 5000, at=1 << 20)
    then = clock.now()
    clock.advance(1000)
    free = target.free_bytes
    target.take("b", source.ref("a"), budget=FREE)
    assert read(target, "b") == read(source, "a")
    assert target.stat("b") == source.stat("a")
    assert target.stat("b").modified_at == then
    assert free - target.free_bytes < 64 << 10
    target.sync(["b"])
    again = SimFs.mount(target._device)
    assert again.stat("b") == source.stat("a")
    assert read(again, "b") == read(source, "a")


def test_bytes_go_between_kinds_of_file_systems(trees):
    """From the lab to a directory and back; what only one side has stays there."""
    first, _ = trees
    lab, back = volume(), volume()
    write(lab, "a", b"bytes" * 3000)
    first.take("b", lab.ref("a"), budget=FREE)
    back.take("c", first.ref("b"), budget=FREE)
    assert read(first, "b") == read(back, "c") == read(lab, "a")
    with pytest.raises(FileExists):
        back.take("c", first.ref("b"), budget=FREE)
    assert read(back, "c") == read(lab, "a")


def test_a_volume_syncs_the_paths_it_is_given():
    """A file that is not named stays volatile; names are all durable; missing paths are fine."""
    tree = volume()
    tree.sync()
    for path in ("a", "b"):
        write(tree, path, b"bytes")
    tree.sync(["a", "none"])
    again = SimFs.mount(tree._device)
    assert (read(again, "a"), read(again, "b")) == (b"bytes", b"")
    assert sorted(again.listdir()) == ["a", "b"]


def test_stat_tells_of_a_link_and_nothing_else_shows_it(trees, tmp_path, attribute):
    """Whoever must know that a link is there asks `stat`; a volume of the lab tells nothing."""
    source, _ = trees
    write(source, "a", b"bytes")
    attribute(tmp_path / "from" / "a")
    (tmp_path / "from" / "link").symlink_to("a")
    facts = source.stat("link")
    assert (facts.link_target, facts.is_directory, facts.xattrs) == ("a", False, ())
    assert not source.exists("link")
    assert source.listdir() == ["a"]
    for action in (source.open, source.ref, source.remove):
        with pytest.raises(FileMissing):
            action("link")
    assert source.stat("a").link_target is None
    assert source.stat("").mode is not None
    lab = volume()
    write(lab, "a", b"bytes")
    facts = lab.stat("a")
    assert (facts.mode, facts.owner, facts.group, facts.xattrs) == (None,) * 4
    assert source.stat("a").modified_at <= datetime.now(UTC)
