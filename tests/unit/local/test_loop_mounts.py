"""Copies of directories on the file systems that Linux servers have, each mounted from a file."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from attrs import evolve

from frskit.clock import Budget, SystemClock
from frskit.local import DirectoryArray
from frskit.model.ids import CopyKey, HostRef
from frskit.model.storage import CopyKind, CopyRequest, CopyState
from frskit.storage.directory_filesystem import PathFileSystem
from frskit.testing.array import plant_tree, read_tree

BUDGET = Budget.unlimited()
MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-F"],
    "xfs": ["mkfs.xfs", "-q", "-m", "reflink=1"],
    "btrfs": ["mkfs.btrfs", "-q"],
}


def run(*command):
    """Run a program that only root may run; skip if it cannot."""
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"{command[0]}: {error}")
    if done.returncode:
        pytest.skip(f"{' '.join(command)}: {done.stderr.strip()}")


@pytest.fixture(params=sorted(MAKE))
def mounted(request, tmp_path):
    """A fresh file system of one kind, mounted; skipped where that cannot be done."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    tool = shutil.which(MAKE[request.param][0], path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if tool is None:
        pytest.skip(f"there is no {MAKE[request.param][0]}")
    image, point = tmp_path / "image", tmp_path / "point"
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(512 << 20)
    run(tool, *MAKE[request.param][1:], str(image))
    run("mount", "-o", "loop", str(image), str(point))
    yield request.param, point
    subprocess.run(["umount", str(point)], check=True)


def without_space(tree):
    """The tree, but for what it takes on the disk: file systems differ in that."""
    return {name: evolve(each, allocated_bytes=0) for name, each in tree.items()}


def test_a_tree_survives_on_every_file_system(mounted):
    """Copied on ext4, reflinked on btrfs and xfs: the copy is the tree, and becomes independent."""
    kind, point = mounted
    array = DirectoryArray(point / "array", clock=SystemClock(), hosts=None)
    assert array.reflinks == (kind != "ext4")
    source = array.add_storage("data")
    plant_tree(array.directory(source), special=True)
    before = read_tree(array.directory(source))
    assert before["plain"].xattrs
    wanted = [CopyRequest(source=source, kind=CopyKind.SNAPCLONE)]
    staged = array.stage_copies(wanted, key=CopyKey("k"), budget=BUDGET)
    (copy,) = array.commit_copies(staged, budget=BUDGET)
    (array.directory(source) / "plain").write_bytes(b"later")
    shown = array.present(copy.id, HostRef("h"), read_only=True, budget=BUDGET)
    after = read_tree(Path(shown.access.path))
    assert without_space(after) == without_space(before)
    assert after["sparse"].allocated_bytes < 1 << 20
    array.make_durable(budget=BUDGET)
    assert [each.state for each in array.copies()] == [CopyState.INDEPENDENT]


def test_a_file_is_taken_on_every_file_system(mounted):
    """With all that belongs to it, within a file system and from another one."""
    _, point = mounted
    for name in ("from", "into"):
        (point / name).mkdir()
    plant_tree(point / "from")
    elsewhere = point.parent / "elsewhere"
    elsewhere.mkdir()
    source = PathFileSystem(point / "from")
    for directory in (point / "into", elsewhere):
        target = PathFileSystem(directory)
        for name in ("plain", "sparse", "secret"):
            target.take(name, source.ref(name), budget=BUDGET)
            assert target.stat(name) == source.stat(name)
        target.sync(["plain", "sparse", "secret"])
        assert read_tree(directory)["sparse"].allocated_bytes < 1 << 20
