"""`LinuxServer`: directories of this machine as the volumes of a server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import evolve
from support.counting_ids import CountingIds, storage_id

from frskit.clock import Budget, VirtualClock
from frskit.errors import (
    Busy,
    ConfigurationError,
    DuplicateSignature,
    HoldTimeout,
    StaleLun,
    UsageError,
    VolumeBusy,
    VolumeNotFound,
    WriteProtected,
)
from frskit.hosts.linux import IDENTITY_FILE, LinuxServer
from frskit.hosts.mount_table import MountTable
from frskit.local import DirectoryArray
from frskit.model.ids import CopyKey, HostRef, StorageId
from frskit.model.storage import CopyKind, CopyRequest
from frskit.model.volumes import DiskFlags
from frskit.storage.file_locks import file_lock

DATA, LOGS = storage_id("data", 1), storage_id("logs", 2)
HOST = HostRef("prod")


class World:
    """An array with two storages, shown to the server ``prod``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = VirtualClock()
        self.budget = Budget.of(self.clock)
        self.array = DirectoryArray(root / "array", clock=self.clock, hosts=None, ids=CountingIds())
        for name in ("data", "logs"):
            storage = self.array.add_storage(name)
            (self.array.directory(storage) / "file").write_bytes(name.encode())
            self.present(storage)

    def server(self, name: str = "prod") -> LinuxServer:
        return LinuxServer(
            name,
            HostRef(name),
            clock=self.clock,
            arrays=[self.array],
            mounts=self.root / "mounts" / name,
        )

    def present(self, storage, host=HOST, *, read_only=False):
        self.array.present(storage, host, read_only=read_only, budget=self.budget)

    def unpresent(self, storage, host=HOST):
        for each in self.array.presentations(storage):
            if each.host == host:
                self.array.unpresent(each, budget=self.budget)

    def copy(self, name, source=DATA) -> StorageId:
        wanted = [CopyRequest(source=source, kind=CopyKind.SNAPCLONE, name=name)]
        staged = self.array.stage_copies(wanted, key=CopyKey(name), budget=self.budget)
        return self.array.commit_copies(staged, budget=self.budget)[0].id


@pytest.fixture
def world(tmp_path):
    """One array, no server yet."""
    return World(tmp_path)


@pytest.fixture
def server(world):
    """The production server with ``data`` mounted."""
    server = world.server()
    server.attach({DATA: "data"}, read_only=False, budget=world.budget)
    return server


def test_a_server_finds_what_is_presented_to_it(world):
    """Other hosts' directories are not its disks; a rescan returns the new ones only."""
    server = world.server()
    assert [each.storage for each in server.disks()] == [DATA, LOGS]
    copy = world.copy("c0")
    world.present(copy, HostRef("other"), read_only=True)
    assert list(server.rescan(budget=world.budget)) == []
    world.present(copy, read_only=True)
    assert [each.storage for each in server.rescan(budget=world.budget)] == [copy]
    assert list(server.rescan(budget=world.budget)) == []
    assert server.volumes() == ()


def test_attach_makes_a_link_and_detach_takes_it_away(world, server):
    """The mount point is a path that applications can use while the volume is mounted."""
    point = server.mounts / "data"
    assert (point / "file").read_bytes() == b"data"
    (volume,) = server.volumes()
    assert volume.mount_points == (str(point),)
    assert volume.storages == {DATA}
    assert server.attach({DATA: str(point)}, read_only=False, budget=world.budget) == (volume,)
    server.detach([DATA, LOGS], budget=world.budget)
    server.detach([DATA], budget=world.budget)
    assert not point.is_symlink()
    assert server.volumes() == ()
    with pytest.raises(VolumeNotFound):
        server.files(volume.id)


def test_paths_resolve_through_the_mount_point_and_by_their_real_place(world, server):
    """Both spellings lead to the same volume and file; everything else is refused."""
    (volume,) = server.volumes()
    real = world.array.directory(DATA)
    for path in (f"{server.mounts}/data/a/b.log", f"{real}/a/b.log", f"{real}/a/./x/../b.log"):
        found = server.resolve(path)
        assert (found.volume, found.path) == (volume.id, "a/b.log")
    assert server.resolve(f"{server.mounts}/data").path == ""
    for path in (f"{server.mounts}/database", f"{server.mounts}", "data/file", "/etc/passwd"):
        with pytest.raises(VolumeNotFound):
            server.resolve(path)


def test_nested_mount_roots_are_made_and_removed(world, server):
    """A mount point in a new directory brings the directory and takes it along."""
    point = str(server.mounts / "copies" / "one" / "0")
    (volume,) = server.attach({LOGS: point}, read_only=True, budget=world.budget)
    assert volume.mount_points == (point,)
    server.detach([LOGS], budget=world.budget)
    assert sorted(each.name for each in server.mounts.iterdir() if each.name[0] != ".") == ["data"]


def test_a_copy_has_its_originals_volume_id_and_the_id_is_not_shown(world, server):
    """The id travels in a hidden file of the volume, written at the first writable mount."""
    copy = world.copy("c0")
    world.present(copy, HostRef("rec"), read_only=True)
    recovery = world.server("rec")
    (volume,) = recovery.attach({copy: "c/0"}, read_only=True, budget=world.budget)
    (original,) = server.volumes()
    assert volume.id == original.id
    assert recovery.disks()[0].signature == original.id
    assert volume.read_only
    assert recovery.files(volume.id).listdir() == ["file"]
    assert (world.array.directory(copy) / IDENTITY_FILE).exists()


def enforcing(monkeypatch, array, storage):
    """Let the array say that it keeps everybody from writing this storage."""
    real = array.presentations

    def presentations(wanted=None, *, budget=None):
        return [
            evolve(each, read_only=each.storage == storage) for each in real(wanted, budget=budget)
        ]

    monkeypatch.setattr(array, "presentations", presentations)


@pytest.mark.parametrize("enforced", [True, False])
def test_a_read_only_volume_refuses_changes(world, server, monkeypatch, enforced):
    """Whether the array sees to it or only the server: nothing is written, no id left behind."""
    world.unpresent(LOGS)
    world.present(LOGS, read_only=True)
    if enforced:
        enforcing(monkeypatch, world.array, LOGS)
    server.rescan(budget=world.budget)
    (volume,) = server.attach({LOGS: "logs"}, read_only=not enforced, budget=world.budget)
    assert volume.read_only
    with pytest.raises(WriteProtected):
        server.files(volume.id).create("x")
    assert [each.name for each in world.array.directory(LOGS).iterdir()] == ["file"]
    (data,) = (each for each in server.volumes() if each.storages == {DATA})
    with server.files(data.id).create("x") as file:
        file.write_at(0, b"x")


def test_what_lies_in_the_place_of_a_presented_directory_is_no_disk(world, server):
    """Somebody removed it and made another one: a server that looks anew does not find it."""
    place = world.array.directory(LOGS)
    shutil.rmtree(place)
    place.mkdir()
    fresh = LinuxServer(
        "prod", HOST, clock=world.clock, arrays=[world.array], mounts=world.root / "others"
    )
    assert [each.storage for each in fresh.disks()] == [DATA]


@pytest.mark.rule("HAZ-02")
def test_two_copies_of_one_volume_are_refused_and_nothing_is_mounted(world, server):
    """A server never has two disks of one signature online."""
    first, second = (world.copy(name) for name in ("c0", "c1"))
    for copy in (first, second):
        world.present(copy, HostRef("rec"), read_only=True)
    recovery = world.server("rec")
    at = {first: "0", second: "1"}
    with pytest.raises(DuplicateSignature):
        recovery.attach(at, read_only=True, budget=world.budget)
    assert recovery.volumes() == ()
    assert not (recovery.mounts / "0").is_symlink()
    recovery.attach({first: "0"}, read_only=True, budget=world.budget)
    with pytest.raises(DuplicateSignature):
        recovery.attach({second: "1"}, read_only=True, budget=world.budget)
    assert len(recovery.volumes()) == 1


def test_attach_is_all_or_nothing(world, server):
    """A second disk that is unknown, or whose place is taken, keeps the first one away."""
    for at in ({LOGS: "x", StorageId("file:none"): "y"}, {LOGS: "data"}, {LOGS: "data/x"}):
        with pytest.raises((VolumeNotFound, VolumeBusy)):
            server.attach(at, read_only=False, budget=world.budget)
    with pytest.raises(VolumeBusy):
        server.attach({DATA: "other"}, read_only=False, budget=world.budget)
    (server.mounts / "full").mkdir()
    (server.mounts / "full" / "file").write_bytes(b"mine")
    with pytest.raises(VolumeBusy):
        server.attach({LOGS: "full"}, read_only=False, budget=world.budget)
    with pytest.raises(VolumeBusy):
        server.attach({LOGS: "full/file/x"}, read_only=False, budget=world.budget)
    assert [each.storages for each in server.volumes()] == [{DATA}]
    assert (server.mounts / "full" / "file").read_bytes() == b"mine"


@pytest.mark.parametrize("point", ["..", "/etc/frskit", "a/../../b", ".", ".table.json"])
def test_mount_points_lie_in_the_mount_directory(world, server, point):
    """The server makes links in its own directory only."""
    with pytest.raises(UsageError):
        server.attach({LOGS: point}, read_only=False, budget=world.budget)


def test_open_files_keep_a_volume_mounted(world, server):
    """Detach is refused while any process has a file open there, then works."""
    with (server.mounts / "data" / "file").open("rb"):
        with pytest.raises(VolumeBusy) as caught:
            server.detach([DATA], budget=world.budget)
        assert str(os.getpid()) in caught.value.context["open"][0]
    command = [sys.executable, "-c", "print(1, flush=True); input()"]
    place = world.array.directory(DATA)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=place) as other:
        other.stdout.readline()
        with pytest.raises(VolumeBusy):
            server.detach([DATA], budget=world.budget)
        assert len(server.volumes()) == 1
        other.communicate(b"\n")
    server.detach([DATA], budget=world.budget)


@pytest.mark.rule("HAZ-01")
def test_data_of_another_directory_is_never_returned(world, server):
    """A directory that was replaced under a mounted volume is stale, not read."""
    (volume,) = server.volumes()
    place = world.array.directory(DATA)
    place.rename(place.with_name("gone"))
    place.mkdir()
    (place / "file").write_bytes(b"wrong")
    with pytest.raises(StaleLun):
        server.files(volume.id)
    with pytest.raises(VolumeBusy):
        server.rescan(budget=world.budget)
    with pytest.raises(StaleLun):
        server.files(volume.id)


def test_a_volume_that_disappears_is_failed_until_it_is_detached(world, server):
    """A rescan names it once; its mount point stays taken until detach."""
    (volume,) = server.volumes()
    world.unpresent(DATA)
    with pytest.raises(VolumeBusy):
        server.rescan(budget=world.budget)
    server.rescan(budget=world.budget)
    assert server.volumes() == ()
    with pytest.raises(StaleLun):
        server.files(volume.id)
    server.detach([DATA], budget=world.budget)
    assert server.attach({LOGS: "data"}, read_only=False, budget=world.budget)


def test_a_copy_takes_productions_place(world, server):
    """After the swap the application's path leads to the copy, under the same volume id."""
    (volume,) = server.volumes()
    copy = world.copy("c0")
    path = server.mounts / "data" / "file"
    path.write_bytes(b"damaged")
    server.detach([DATA], budget=world.budget)
    world.unpresent(DATA)
    server.rescan(budget=world.budget)
    world.present(copy)
    server.rescan(budget=world.budget)
    server.attach({copy: str(server.mounts / "data")}, read_only=False, budget=world.budget)
    assert path.read_bytes() == b"data"
    (now,) = server.volumes()
    assert (now.id, now.storages) == (volume.id, {copy})
    assert (world.array.directory(DATA) / "file").read_bytes() == b"damaged"


def test_mounts_survive_a_restart(world, server):
    """A new process finds the volumes mounted as they were."""
    server.rescan(budget=world.budget)
    before = server.volumes()
    again = world.server()
    assert again.volumes() == before
    assert again.files(before[0].id).listdir() == ["file"]
    again.detach([DATA], budget=world.budget)
    assert world.server().volumes() == ()


def test_a_mount_that_was_not_finished_is_forgotten(world, server):
    """A record without its link is a crash in the middle of attach."""
    (server.mounts / "data").unlink()
    again = world.server()
    assert again.volumes() == ()
    again.attach({DATA: "elsewhere"}, read_only=False, budget=world.budget)
    assert len(again.volumes()) == 1


@pytest.mark.parametrize("text", ["{", '{"schema": "x"}', '{"schema": "frskit.mounts/1"}', "[]"])
def test_a_damaged_table_is_refused(world, server, text):
    """The server does not guess what is mounted."""
    (server.mounts / ".table.json").write_text(text)
    with pytest.raises(ConfigurationError):
        world.server()


def test_another_process_at_the_table_is_waited_for(world, server):
    """Attach is Busy if the table stays locked."""
    lock = server.mounts / ".lock"
    with file_lock(lock, "test", budget=world.budget), pytest.raises(Busy):
        server.attach({LOGS: "logs"}, read_only=False, budget=world.budget)


@pytest.mark.rule("VSS-44")
def test_a_hold_is_measured_and_limited(world, server):
    """Up to ten seconds are fine; more raises after the release, errors inside come through."""
    (volume,) = server.volumes()
    with server.hold_writes([volume.id], budget=world.budget) as hold:
        world.clock.advance(9.5)
        assert hold.held_s == 9.5
    world.clock.advance(100)
    assert hold.held_s == 9.5
    with pytest.raises(HoldTimeout), server.hold_writes([volume.id], budget=world.budget):
        world.clock.advance(10.5)
    with pytest.raises(KeyError), server.hold_writes([volume.id], budget=world.budget):
        world.clock.advance(99)
        raise KeyError
    with pytest.raises(VolumeNotFound), server.hold_writes(["nothing"], budget=world.budget):
        pytest.fail("held what is not there")


def test_a_hold_flushes_first(world, server, monkeypatch):
    """Every file of the volume is durable when the hold begins."""
    (volume,) = server.volumes()
    synced = []
    monkeypatch.setattr(
        os, "fsync", lambda fd: synced.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
    )
    with server.hold_writes([volume.id], budget=world.budget):
        assert str(world.array.directory(DATA) / "file") in synced
        synced.clear()
    assert synced == []


def test_flags_have_no_effect(world, server):
    """Directories have no label area."""
    before = server.disks()
    server.set_flags([DATA], DiskFlags(hidden=True))
    assert server.disks() == before


def test_a_link_that_cannot_be_made_undoes_the_others(world, server, monkeypatch):
    """If the second link fails the first one goes again."""
    real, calls = Path.symlink_to, []

    def symlink_to(self, target, *args):
        calls.append(self)
        if len(calls) == 2:
            raise OSError(28, "No space left on device", str(self))
        real(self, target, *args)

    server.detach([DATA], budget=world.budget)
    monkeypatch.setattr(Path, "symlink_to", symlink_to)
    with pytest.raises(VolumeBusy):
        server.attach({DATA: "a/0", LOGS: "b/0"}, read_only=False, budget=world.budget)
    assert server.volumes() == ()
    assert [each.name for each in server.mounts.iterdir() if each.name[0] != "."] == []
    assert MountTable(server.mounts, world.clock).records == ()
