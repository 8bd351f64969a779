"""`DirectoryArray`: directories as LUNs, copies that are all there or not at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from attrs import evolve
from support.counting_ids import CountingIds, storage_id

import frskit
from frskit.clock import Budget, CancelToken, VirtualClock
from frskit.errors import (
    ArrayDamaged,
    ArrayError,
    Busy,
    Cancelled,
    CopyConflict,
    CopyInvalid,
    HasDependents,
    InsufficientCapacity,
    LimitExceeded,
    NameInUse,
    OutcomeUnknown,
    StillPresented,
    StorageNotFound,
    TimedOut,
    UnsupportedKind,
    UsageError,
)
from frskit.local import DirectoryArray
from frskit.local.records import load_records, save_records
from frskit.local.reflink import clone_file, clone_tree
from frskit.model.ids import CopyKey, HostRef, StorageId
from frskit.model.storage import (
    CopyKind,
    CopyRequest,
    CopyState,
    ReadOnlyScope,
    SetAtomicity,
    StagedCopies,
    StorageState,
)
from frskit.storage import file_lock
from frskit.testing.array import plant_tree, read_tree

HOST = HostRef("prod")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(frskit.__file__).parents[1])}
KEY = CopyKey("11111111-2222-4333-8444-555555555555")


def request(source, name="", kind=CopyKind.SNAPCLONE):
    """A wish for one member."""
    return CopyRequest(source=source, kind=kind, name=name)


@pytest.fixture
def clock():
    """Virtual time."""
    return VirtualClock()


@pytest.fixture
def budget(clock):
    """No limit."""
    return Budget.of(clock)


@pytest.fixture
def array(tmp_path, clock):
    """An array with the storages ``data`` and ``logs``."""
    array = DirectoryArray(tmp_path / "array", clock=clock, hosts=None, ids=CountingIds())
    for name in ("data", "logs"):
        storage = array.add_storage(name)
        (array.directory(storage) / "file").write_bytes(name.encode())
    return array


def make(array, budget, *requests, key=KEY):
    """Stage and commit."""
    staged = array.stage_copies(requests, key=key, budget=budget)
    return array.commit_copies(staged, budget=budget)


def names(array, folder="copies"):
    """What lies in a folder of the array."""
    return sorted(each.name for each in (array.root / folder).iterdir())


DATA, LOGS = storage_id("data", 1), storage_id("logs", 2)


def test_a_copy_has_the_bytes_and_stands_alone(array, budget, clock):
    """A copy is whole at once, and independent when it is on the disk; the source may change."""
    first, second = make(array, budget, request(DATA, "c0"), request(LOGS, "c1"))
    assert (first.id, first.source, first.state) == (
        storage_id("c0", 3),
        DATA,
        CopyState.NORMALIZING,
    )
    assert (first.size_bytes, first.copied_bytes, first.created_at) == (4, None, clock.now())
    settled = tuple(
        evolve(each, state=CopyState.INDEPENDENT, copied_bytes=4) for each in (first, second)
    )
    assert array.copies(key=KEY) == settled == array.copies()
    (array.directory(DATA) / "file").write_bytes(b"other")
    assert (array.directory(first.id) / "file").read_bytes() == b"data"
    assert (array.directory(second.id) / "file").read_bytes() == b"logs"
    assert array.capabilities.set_atomicity is SetAtomicity.WITHIN_HOLD


def test_links_keep_their_text_and_pipes_are_pipes(array, budget, tmp_path):
    """A link in the tree is copied as a link; nothing outside is read, no pipe is opened."""
    source = array.directory(DATA)
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    (source / "link").symlink_to(secret)
    (source / "loop").symlink_to(".")
    os.mkfifo(source / "pipe")
    (source / "deep" / "er").mkdir(parents=True)
    (source / "deep" / "er" / "x").write_bytes(b"x")
    (source / "file").chmod(0o640)
    os.utime(source / "file", ns=(10**18, 10**18))
    (copy,) = make(array, budget, request(DATA))
    target = array.directory(copy.id)
    assert sorted(each.name for each in target.iterdir()) == [
        "deep",
        "file",
        "link",
        "loop",
        "pipe",
    ]
    assert (target / "pipe").is_fifo()
    assert (target / "link").readlink() == secret
    assert (target / "deep" / "er" / "x").read_bytes() == b"x"
    facts = (target / "file").stat()
    assert (facts.st_mode & 0o777, facts.st_mtime_ns) == (0o640, 10**18)


def test_a_presented_copy_is_the_tree_of_its_source(array, budget):
    """Modes, owners, times, empty directories, links, attributes, holes, pipes: all of it."""
    plant_tree(array.directory(DATA), special=True)
    before = read_tree(array.directory(DATA))
    (copy,) = make(array, budget, request(DATA))
    shown = array.present(copy.id, HOST, read_only=True, budget=budget)
    after = read_tree(Path(shown.access.path))
    assert {name: evolve(each, allocated_bytes=0) for name, each in after.items()} == {
        name: evolve(each, allocated_bytes=0) for name, each in before.items()
    }
    assert after["also-plain"].names == ("also-plain", "deep/er/plain-too", "plain")
    assert after["sparse"].allocated_bytes < 1 << 20


def test_names_of_a_file_outside_the_tree_do_not_matter(array, budget, tmp_path):
    """A hard link that leads out of the tree is a file in the copy; several sets may be made."""
    (tmp_path / "outside").hardlink_to(array.directory(DATA) / "file")
    for number in range(2):
        (copy,) = make(array, budget, request(DATA), key=CopyKey(f"key {number}"))
        facts = (array.directory(copy.id) / "file").stat()
        assert (facts.st_nlink, facts.st_size) == (1, 4)


@pytest.mark.parametrize(
    ("call", "complaint"), [("mknod", "pipe is a pipe"), ("fchown", r"owner 7:7 cannot.*file")]
)
def test_what_cannot_be_kept_is_refused_by_name(array, budget, monkeypatch, call, complaint):
    """A device without being root, a file of somebody else: no set, and it is said why."""
    os.mkfifo(array.directory(DATA) / "pipe")
    theirs = (array.directory(DATA) / "file").stat().st_ino
    real = os.fstat

    def fstat(descriptor):
        facts = real(descriptor)
        if facts.st_ino != theirs:
            return facts
        known = {each: getattr(facts, each) for each in dir(facts) if each.startswith("st_")}
        return SimpleNamespace(**{**known, "st_uid": 7, "st_gid": 7})

    def refuse(*_args, **_kwargs):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    staged = array.stage_copies([request(DATA), request(LOGS)], key=KEY, budget=budget)
    with monkeypatch.context() as patch:
        if call == "fchown":
            patch.setattr(os, "fstat", fstat)
        patch.setattr(os, call, refuse)
        with pytest.raises(ArrayError, match=complaint):
            array.commit_copies(staged, budget=budget)
    assert (names(array), array.copies()) == ([], ())


def beginnings(directory):
    """Names that were left by a try."""
    return [each.name for each in directory.glob(".probe-*")]


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        ("mknod", "deep/pipe is a pipe and cannot be copied"),
        ("chown", "theirs is of owner 12345 and group 12345 and cannot be copied"),
        ("access", "a file that cannot be read"),
    ],
)
def test_what_may_not_be_made_anew_is_refused_at_stage(array, budget, monkeypatch, call, complaint):
    """Before anybody is frozen: it is tried then, and nothing is left of the try."""
    source = array.directory(DATA)
    (source / "deep").mkdir()
    os.mkfifo(source / "deep" / "pipe")
    (source / "theirs").write_bytes(b"x")
    real = Path.lstat

    def lstat(path):
        facts = real(path)
        if path.name != "theirs":
            return facts
        known = {each: getattr(facts, each) for each in dir(facts) if each.startswith("st_")}
        return SimpleNamespace(**{**known, "st_uid": 12345, "st_gid": 12345})

    def refuse(*_args, **_kwargs):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "lstat", lstat)
    monkeypatch.setattr(os, call, (lambda *_a, **_w: False) if call == "access" else refuse)
    if call != "chown":
        monkeypatch.setattr(os, "chown", lambda *_args: None)
    with pytest.raises(ArrayError, match=complaint):
        array.stage_copies([request(DATA, "c0")], key=KEY, budget=budget)
    monkeypatch.undo()
    assert (names(array), beginnings(array.root)) == ([], [])
    with pytest.raises(CopyConflict):  # nothing is staged
        wanted = (request(DATA, "c0"),)
        array.commit_copies(StagedCopies(key=KEY, requests=wanted), budget=budget)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a device")
def test_root_copies_a_device(array, budget):
    """What may be made is no reason to refuse."""
    device = array.directory(DATA) / "null"
    try:
        os.mknod(device, 0o20600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("this root may not make devices")
    (copy,) = make(array, budget, request(DATA, "c0"))
    facts = (array.directory(copy.id) / "null").lstat()
    assert (facts.st_mode, facts.st_rdev) == (0o20600, os.makedev(1, 3))
    assert beginnings(array.root) == []


def test_holes_stay_holes(array, budget):
    """A sparse file costs no more in the copy."""
    with (array.directory(DATA) / "sparse").open("wb") as file:
        file.seek(64 << 20)
        file.write(b"end")
    (copy,) = make(array, budget, request(DATA))
    facts = (array.directory(copy.id) / "sparse").stat()
    assert facts.st_size == (64 << 20) + 3
    assert facts.st_blocks * 512 < 1 << 20
    with (array.directory(copy.id) / "sparse").open("rb") as file:
        file.seek(64 << 20)
        assert file.read() == b"end"


def test_staging_and_commit_are_idempotent_by_key(array, budget, tmp_path, clock):
    """The same key means the same set, also after a restart; other requests are refused."""
    wanted = (request(DATA, "c0"), request(LOGS, "c1"))
    staged = array.stage_copies(wanted, key=KEY, budget=budget)
    assert array.stage_copies(wanted, key=KEY, budget=budget) == staged
    assert names(array) == []
    with pytest.raises(CopyConflict):
        array.stage_copies(wanted[:1], key=KEY, budget=budget)
    array.commit_copies(staged, budget=budget)
    made = array.copies(key=KEY)
    assert array.commit_copies(staged, budget=budget) == made
    again = DirectoryArray(tmp_path / "array", clock=clock, hosts=None)
    restaged = again.stage_copies(wanted, key=KEY, budget=budget)
    assert (restaged.requests, restaged.estimate_commit_s) == (wanted, 0.0)
    assert again.commit_copies(staged, budget=budget) == made
    with pytest.raises(CopyConflict):
        again.stage_copies(wanted[:1], key=KEY, budget=budget)
    array.discard_staged(KEY)
    assert array.copies(key=KEY) == made


def test_what_is_not_staged_cannot_be_committed(array, budget):
    """After `discard_staged` the staging is worth nothing."""
    staged = array.stage_copies([request(DATA)], key=KEY, budget=budget)
    array.discard_staged(KEY)
    array.discard_staged(KEY)
    with pytest.raises(CopyConflict):
        array.commit_copies(staged, budget=budget)
    assert array.copies() == ()


def test_staging_refuses_what_cannot_work(array, budget, monkeypatch):
    """Unknown sources, other kinds, taken or double names, and no room."""

    def stage(*requests):
        array.stage_copies(requests, key=KEY, budget=budget)

    with pytest.raises(StorageNotFound):
        stage(request(StorageId("file:none")))
    with pytest.raises(UnsupportedKind):
        stage(request(DATA, kind=CopyKind.VSNAP))
    with pytest.raises(NameInUse):
        stage(request(DATA, "logs"))
    with pytest.raises(NameInUse):
        stage(request(DATA, "x"), request(LOGS, "x"))
    with pytest.raises(UsageError):
        stage()
    with pytest.raises(LimitExceeded):
        stage(request(DATA, "x" * 201))
    with pytest.raises(UsageError, match="twice"):
        stage(request(DATA, "x"), request(DATA, "y"))

    class Full:
        f_bavail, f_frsize = 0, 4096

    monkeypatch.setattr(array, "_reflinks", False)
    monkeypatch.setattr(os, "statvfs", lambda _path: Full)
    with pytest.raises(InsufficientCapacity):
        stage(request(DATA))


def test_commit_looks_again(array, budget):
    """A source that went after staging fails the set, and no member exists."""
    staged = array.stage_copies([request(DATA), request(LOGS)], key=KEY, budget=budget)
    array.delete_storage(LOGS, budget=budget)
    with pytest.raises(CopyConflict):
        array.commit_copies(staged, budget=budget)
    assert array.copies() == ()
    assert names(array) == []


@pytest.mark.parametrize(("code", "expected"), [(errno.ENOSPC, InsufficientCapacity)])
def test_a_member_that_fails_leaves_nothing(array, budget, monkeypatch, code, expected):
    """When the second member cannot be written the first one goes too."""
    staged = array.stage_copies([request(DATA), request(LOGS)], key=KEY, budget=budget)
    real, calls = os.utime, []

    def utime(*args, **kwargs):
        calls.append(args)
        if len(calls) == 3:
            raise OSError(code, os.strerror(code))
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, "utime", utime)
        with pytest.raises(expected):
            array.commit_copies(staged, budget=budget)
    assert names(array) == []
    assert array.copies() == ()
    assert len(array.commit_copies(staged, budget=budget)) == 2


def test_a_cancelled_commit_leaves_nothing(array, clock, budget):
    """Cancelling inside the copying undoes what was there."""
    token = CancelToken()
    staged = array.stage_copies([request(DATA), request(LOGS)], key=KEY, budget=budget)
    token.cancel()
    with pytest.raises(Cancelled):
        array.commit_copies(staged, budget=Budget.of(clock, token=token))
    assert names(array) == []
    assert array.copies() == ()


def test_a_record_that_may_not_be_durable_is_an_unknown_outcome(array, budget, monkeypatch):
    """If the record cannot be flushed the caller has to look; looking finds the truth."""
    staged = array.stage_copies([request(DATA, "c0")], key=KEY, budget=budget)

    def fail(_path, _records):
        raise OSError(errno.EIO, "I/O error")

    with monkeypatch.context() as patch:
        patch.setattr("frskit.local.records.save_records", fail)
        with pytest.raises(OutcomeUnknown) as caught:
            array.commit_copies(staged, budget=budget)
    assert caught.value.key == KEY
    assert array.copies(key=KEY) == ()
    array.add_storage("other")
    assert names(array) == []


def test_files_that_vanish_under_the_copying_are_a_conflict(array, budget, monkeypatch):
    """Without a hold the copying notices that its source moves."""
    real = os.listdir

    def listdir(path):
        found = real(path)
        return [*found, "ghost"] if isinstance(path, int) else found

    staged = array.stage_copies([request(DATA)], key=KEY, budget=budget)
    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", listdir)
        with pytest.raises(CopyConflict):
            array.commit_copies(staged, budget=budget)
    assert names(array) == []


def test_names_cannot_leave_the_array(array, budget):
    """A name with dots and slashes is an ordinary name."""
    (copy,) = make(array, budget, request(DATA, "../../evil"))
    assert copy.name == "../../evil"
    assert names(array) == ["%2E.%2F..%2Fevil"]
    assert (array.directory(copy.id) / "file").read_bytes() == b"data"
    array.delete_storage(copy.id, budget=budget)
    assert names(array) == []


def test_presenting_is_idempotent_and_says_the_path(array, budget):
    """One presentation per host, however it was asked for; hiding twice is fine."""
    shown = array.present(DATA, HOST, read_only=False, budget=budget)
    assert shown.access.path == str(array.directory(DATA))
    assert array.present(DATA, HOST, read_only=False, budget=budget) == shown
    assert array.present(DATA, HOST, read_only=True, budget=budget) == shown
    other = array.present(DATA, HostRef("recovery"), read_only=True, budget=budget)
    assert array.presentations() == (shown, other)
    assert array.presentations(LOGS) == ()
    array.unpresent(shown, budget=budget)
    array.unpresent(shown, budget=budget)
    assert array.presentations(DATA) == (other,)
    with pytest.raises(StorageNotFound):
        array.present(StorageId("file:none"), HOST, read_only=True, budget=budget)


def test_deleting(array, budget):
    """Presented storage stays, unknown storage is fine, and the files go."""
    (copy,) = make(array, budget, request(DATA, "c0"))
    shown = array.present(copy.id, HOST, read_only=True, budget=budget)
    with pytest.raises(StillPresented):
        array.delete_storage(copy.id, budget=budget)
    array.unpresent(shown, budget=budget)
    (array.directory(copy.id) / "locked").mkdir(mode=0o500)
    array.delete_storage(copy.id, budget=budget)
    array.delete_storage(copy.id, budget=budget)
    assert names(array) == []
    assert array.copies() == ()
    assert [each.id for each in array.storage()] == [DATA, LOGS]
    assert make(array, budget, request(DATA, "c0"))[0].name == "c0"


def test_storage_lists_what_is_there(array, budget):
    """Unknown ids are left out; sizes are counted."""
    (each,) = array.storage([DATA, StorageId("file:none")])
    assert (each.name, each.size_bytes) == ("data", 4)
    with pytest.raises(NameInUse):
        array.add_storage("data")
    (array.root / "storage" / "mine").mkdir()
    with pytest.raises(NameInUse):
        array.add_storage("mine")


def test_a_copy_whose_directory_is_gone_is_invalid(array, budget):
    """Somebody removed the files: the array says so instead of showing nothing."""
    (copy,) = make(array, budget, request(DATA, "c0"))
    (array.directory(copy.id) / "file").unlink()
    array.directory(copy.id).rmdir()
    assert array.copies()[0].state is CopyState.INVALID
    with pytest.raises(CopyInvalid):
        array.present(copy.id, HOST, read_only=True, budget=budget)
    array.delete_storage(copy.id, budget=budget)
    assert array.copies() == ()


def test_the_arrays_time_never_goes_back(tmp_path):
    """A clock that jumped back gives copies no earlier time than their predecessors [R-32]."""
    late = VirtualClock(elapsed_s=1000)
    array = DirectoryArray(tmp_path, clock=late, hosts=None)
    data = array.add_storage("data")
    early = VirtualClock()
    array = DirectoryArray(tmp_path, clock=early, hosts=None)
    (copy,) = make(array, Budget.of(early), request(data))
    assert copy.created_at == late.now()


@pytest.mark.parametrize(
    "text", ["", "{", '{"schema": "other/1", "records": {}}', '{"schema": 1}', "[]", "\xff"]
)
def test_a_damaged_record_file_is_refused(array, tmp_path, clock, text):
    """Anything but what was written is ArrayDamaged, and the copies are left alone."""
    (tmp_path / "array" / "copies" / ".new-x").mkdir()
    (tmp_path / "array" / "array.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ArrayDamaged):
        DirectoryArray(tmp_path / "array", clock=clock, hosts=None)
    assert names(array) == [".new-x"]


def test_a_record_of_the_wrong_shape_is_refused(array, tmp_path, clock):
    """A field of another type is damage, not a crash."""
    path = tmp_path / "array" / "array.json"
    document = json.loads(path.read_bytes())
    document["records"]["storages"][0]["created_at"] = "yesterday"
    path.write_text(json.dumps(document))
    with pytest.raises(ArrayDamaged):
        array.copies()


def test_two_processes_take_turns(array, tmp_path, clock):
    """While another process is inside a change, ours is Busy at the end of its budget."""
    code = textwrap.dedent(
        """
        import sys
        from frskit.clock import Budget, SystemClock
        from frskit.storage.file_locks import file_lock
        with file_lock(sys.argv[1], "test", budget=Budget.of(SystemClock(), 10)):
            print("locked", flush=True)
            sys.stdin.read()
        """
    )
    command = [sys.executable, "-c", code, str(tmp_path / "array" / "lock")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=ENVIRONMENT) as other:
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(Busy):
            array.present(DATA, HOST, read_only=True, budget=Budget.of(clock, 1))
        assert array.copies() == ()
        other.stdin.close()
        assert other.wait() == 0
    array.present(DATA, HOST, read_only=True, budget=Budget.of(clock, 1))


CHILD = textwrap.dedent(
    """
    import os, sys
    from pathlib import Path
    from frskit.clock import Budget, SystemClock
    from frskit.local import DirectoryArray
    from frskit.model.ids import CopyKey
    from frskit.model.storage import CopyKind, CopyRequest

    root, dies_at, what = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    clock = SystemClock()
    budget = Budget.of(clock)
    array = DirectoryArray(root, clock=clock, hosts=None)
    calls = 0

    def deadly(name):
        real = getattr(os, name)
        def call(*args, **kwargs):
            global calls
            calls += 1
            if calls == dies_at:
                os._exit(9)
            return real(*args, **kwargs)
        setattr(os, name, call)

    for name in ("mkdir", "fsync", "replace", "rename", "utime", "rmdir", "unlink"):
        deadly(name)
    known = {each.name: each.id for each in array.storage()}
    if what == "commit":
        requests = [
            CopyRequest(source=known[name], kind=CopyKind.SNAPCLONE, name=f"c-{name}")
            for name in ("data", "logs")
        ]
        staged = array.stage_copies(requests, key=CopyKey("k"), budget=budget)
        array.commit_copies(staged, budget=budget)
    else:
        array.delete_storage(known["c-data"], budget=budget)
    """
)


def run_child(root, dies_at, what):
    """Run the change in a process that is killed at its n-th call; True if it was."""
    command = [sys.executable, "-c", CHILD, str(root), str(dies_at), what]
    status = subprocess.run(command, check=False, env=ENVIRONMENT).returncode
    assert status in (0, 9)
    return status == 9


@pytest.mark.crash
def test_a_kill_at_any_call_leaves_all_members_or_none(tmp_path, clock):
    """Killed at every other call of a commit, the set is whole or absent, and the array works."""
    seen = set()
    for dies_at in range(1, 60, 2):
        root = tmp_path / str(dies_at)
        array = DirectoryArray(root, clock=clock, hosts=None)
        for name in ("data", "logs"):
            (array.directory(array.add_storage(name)) / "file").write_bytes(name.encode())
        killed = run_child(root, dies_at, "commit")
        array = DirectoryArray(root, clock=clock, hosts=None)
        copies = array.copies(key=CopyKey("k"))
        assert len(copies) in (0, 2)
        assert killed or len(copies) == 2
        assert names(array) == (["c-data", "c-logs"] if copies else [])
        for copy in copies:
            data = (array.directory(copy.id) / "file").read_bytes()
            assert f"c-{data.decode()}" == copy.name
        seen.add((killed, len(copies)))
        if not killed:
            break
    assert seen == {(True, 0), (True, 2), (False, 2)}


@pytest.mark.crash
def test_a_kill_at_any_call_of_a_deletion_is_finished_later(tmp_path, clock, budget):
    """Killed anywhere in a deletion, the storage is there, whole, or gone with its files."""
    seen = set()
    for dies_at in range(1, 40, 2):
        root = tmp_path / str(dies_at)
        array = DirectoryArray(root, clock=clock, hosts=None)
        source = array.add_storage("data")
        (array.directory(source) / "file").write_bytes(b"data")
        (copy,) = make(array, budget, request(source, "c-data"))
        killed = run_child(root, dies_at, "delete")
        array = DirectoryArray(root, clock=clock, hosts=None)
        there = bool(array.copies())
        assert names(array) == (["c-data"] if there else [])
        if there:
            assert (array.directory(copy.id) / "file").read_bytes() == b"data"
        seen.add((killed, there))
        if not killed:
            break
    assert seen == {(True, True), (True, False), (False, False)}


def replaced(directory):
    """Remove a directory and make another one under its name, as somebody might by hand."""
    shutil.rmtree(directory)
    directory.mkdir()
    (directory / "file").write_bytes(b"somebody's")
    return directory


def test_a_name_is_given_again_and_an_id_never(array, budget):
    """Storage, copies and whole sets: the same names and key, other objects."""
    (copy,) = make(array, budget, request(DATA, "c0"))
    assert array.copies(key=KEY)  # on the disk, so that it may go
    array.delete_storage(copy.id, budget=budget)
    array.delete_storage(DATA, budget=budget)
    again = array.add_storage("data")
    (second,) = make(array, budget, request(again, "c0"))
    assert len({DATA, LOGS, again, copy.id, second.id}) == 5
    assert not array.storage([DATA, copy.id])
    with pytest.raises(StorageNotFound):
        array.stage_copies([request(DATA, "c1")], key=CopyKey("k2"), budget=budget)


def test_a_source_made_anew_under_its_name_is_not_copied(array, budget):
    """Not after its staging, not before one, and not shown to anybody."""
    staged = array.stage_copies([request(DATA, "c0")], key=KEY, budget=budget)
    place = replaced(array.directory(DATA))
    with pytest.raises(CopyConflict, match="another one has taken its place"):
        array.commit_copies(staged, budget=budget)
    assert (array.copies(), names(array)) == ((), [])
    array.discard_staged(KEY)
    with pytest.raises(CopyInvalid, match="another one has taken its place"):
        array.stage_copies([request(DATA, "c0")], key=KEY, budget=budget)
    with pytest.raises(CopyInvalid):
        array.present(DATA, HOST, read_only=True, budget=budget)
    (told,) = array.storage([DATA])
    assert (told.state, told.size_bytes) == (StorageState.FAILED, 0)
    array.delete_storage(DATA, budget=budget)
    assert (place / "file").read_bytes() == b"somebody's"
    with pytest.raises(NameInUse):
        array.add_storage("data")


def test_what_lies_in_the_place_of_a_copy_is_nobodys_copy(array, budget, tmp_path, clock):
    """It is invalid; what lies there is neither shown, nor deleted, nor overwritten."""
    (copy,) = make(array, budget, request(DATA, "c0"))
    place = replaced(array.directory(copy.id))
    (told,) = array.copies()
    assert (told.state, told.storage_state) == (CopyState.INVALID, StorageState.FAILED)
    array.delete_storage(copy.id, budget=budget)
    array = DirectoryArray(tmp_path / "array", clock=clock, hosts=None)
    assert array.copies() == ()
    assert (place / "file").read_bytes() == b"somebody's"
    with pytest.raises(NameInUse, match="not of this array"):
        make(array, budget, request(LOGS, "c0"))
    assert (place / "file").read_bytes() == b"somebody's"


def test_a_removal_that_was_begun_spares_what_was_made_in_its_place(array, budget, tmp_path, clock):
    """The process died after it had recorded a deletion; somebody used the name meanwhile."""
    (copy,) = make(array, budget, request(DATA, "c0"))
    path = tmp_path / "array" / "array.json"
    records = load_records(path)
    save_records(path, records.without(records.find(copy.id)))
    place = replaced(tmp_path / "array" / "copies" / "c0")
    array = DirectoryArray(tmp_path / "array", clock=clock, hosts=None)
    assert array.copies() == ()
    assert (place / "file").read_bytes() == b"somebody's"


def test_a_copy_keeps_its_first_name_while_its_place_is_taken(array, budget, tmp_path, clock):
    """A process died between record and renaming; the copy is found, and nothing overwritten."""
    (copy,) = make(array, budget, request(DATA, "c0"))
    place = array.directory(copy.id)
    place.rename(place.with_name(".new-c0"))
    place.mkdir()
    array = DirectoryArray(tmp_path / "array", clock=clock, hosts=None)
    assert array.copies()[0].state is CopyState.INDEPENDENT
    assert (array.directory(copy.id) / "file").read_bytes() == b"data"
    assert list(place.iterdir()) == []
    array.delete_storage(copy.id, budget=budget)
    assert names(array) == ["c0"]


def test_an_array_moved_as_a_whole_is_itself_again(array, budget, tmp_path, clock):
    """All its directories are new ones then, and still its own; from then on as before."""
    (copy,) = make(array, budget, request(DATA, "c0"))
    shutil.copytree(tmp_path / "array", tmp_path / "moved")
    moved = DirectoryArray(tmp_path / "moved", clock=clock, hosts=None)
    assert moved.copies()[0].state is CopyState.INDEPENDENT
    assert (moved.directory(copy.id) / "file").read_bytes() == b"data"
    replaced(moved.directory(DATA))
    with pytest.raises(CopyInvalid):
        moved.directory(DATA)


def test_records_from_before_are_read_and_get_identities(array, budget, tmp_path, clock):
    """Ids of names stay what they are; what is made now has one of its own, under any name."""
    old = {"data": StorageId("file:data"), "c0": StorageId("file:c0")}
    (copy,) = make(array, budget, request(DATA, "c0"))
    assert array.copies()
    path = tmp_path / "array" / "array.json"
    text = path.read_text().replace(copy.id, old["c0"]).replace(DATA, old["data"])
    plain = json.loads(text)
    for record in plain["records"]["storages"]:
        del record["identity"]
    for word in ("home", "doomed_identities"):
        del plain["records"][word]
    path.write_text(json.dumps(plain))
    array = DirectoryArray(tmp_path / "array", clock=clock, hosts=None)
    assert [(each.id, each.source, each.state) for each in array.copies()] == [
        (old["c0"], old["data"], CopyState.INDEPENDENT)
    ]
    assert (array.directory(old["c0"]) / "file").read_bytes() == b"data"
    replaced(array.directory(old["data"]))
    with pytest.raises(CopyInvalid):
        array.stage_copies([request(old["data"], "c1")], key=CopyKey("k2"), budget=budget)
    array.delete_storage(old["c0"], budget=budget)
    (new,) = make(array, budget, request(LOGS, "c0"), key=CopyKey("k3"))
    assert new.id not in old.values()


def test_hosts_are_named_or_any_is_said(tmp_path, clock, budget):
    """A host that nobody named is refused; to take any name has to be said."""
    strict = DirectoryArray(tmp_path / "a", clock=clock, hosts=[HOST])
    storage = strict.add_storage("data")
    with pytest.raises(StorageNotFound):
        strict.present(storage, HostRef("pord"), read_only=True, budget=budget)
    assert strict.presentations() == ()
    anybody = DirectoryArray(tmp_path / "b", clock=clock, hosts=None)
    assert anybody.present(
        anybody.add_storage("data"), HostRef("pord"), read_only=True, budget=budget
    )
    with pytest.warns(DeprecationWarning, match="hosts=None"):
        DirectoryArray(tmp_path / "c", clock=clock)


def test_a_read_only_presentation_can_be_written_and_says_so(array, budget):
    """Nobody is kept from a path of this machine; capabilities and result tell the truth."""
    (copy,) = make(array, budget, request(DATA, "c0"))
    shown = array.present(copy.id, HOST, read_only=True, budget=budget)
    assert array.capabilities.read_only is ReadOnlyScope.NONE
    assert not shown.read_only
    assert array.presentations() == (shown,)
    (Path(shown.access.path) / "file").write_text("overwritten")


def test_reflinks_are_found_by_trying(array, tmp_path):
    """The array says what a real attempt in its directory says."""
    (tmp_path / "a").write_bytes(b"a")
    with (tmp_path / "a").open("rb") as source, (tmp_path / "b").open("wb") as target:
        assert array.reflinks == clone_file(source.fileno(), target.fileno())
    assert names(array, ".") == ["array.json", "copies", "lock", "storage", "sync.lock"]


def test_where_reflinks_work_they_are_used(tmp_path, clock, budget, monkeypatch):
    """With a cloning file system the data is not copied; the ioctl gets both descriptors."""
    cloned = []

    def ioctl(target, number, source):
        assert number == 0x40049409
        cloned.append(str(Path(f"/proc/self/fd/{source}").readlink()))
        os.pwrite(target, os.pread(source, 1 << 20, 0), 0)
        return 0

    monkeypatch.setattr("fcntl.ioctl", ioctl)
    array = DirectoryArray(tmp_path, clock=clock, hosts=None)
    data = array.add_storage("data")
    (array.directory(data) / "file").write_bytes(b"data")
    monkeypatch.setattr(os, "copy_file_range", None)
    (copy,) = make(array, budget, request(data))
    assert array.reflinks
    assert cloned[-1] == str(array.directory(data) / "file")
    assert (array.directory(copy.id) / "file").read_bytes() == b"data"
    assert array.storage([data])[0].allocated_bytes is None


def test_copying_without_copy_file_range(array, budget, monkeypatch):
    """Where the kernel cannot copy by itself the bytes go through this process."""

    def refuse(*_args):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    monkeypatch.setattr(array, "_reflinks", False)
    (copy,) = make(array, budget, request(DATA))
    assert (array.directory(copy.id) / "file").read_bytes() == b"data"


def test_relative_roots_survive_a_change_of_directory(tmp_path, clock, monkeypatch):
    """The root is fixed when the array is opened."""
    monkeypatch.chdir(tmp_path)
    array = DirectoryArray(Path("array"), clock=clock, hosts=None)
    data = array.add_storage("data")
    monkeypatch.chdir("/")
    assert array.directory(data) == tmp_path / "array" / "storage" / "data"


# --- durable after the release ----------------------------------------------------------------


@pytest.fixture
def syncs(monkeypatch):
    """Every wait for the disk, by the path it was for."""
    seen = []

    def count(name):
        real = getattr(os, name)

        def counted(*args):
            seen.append(os.readlink(f"/proc/self/fd/{args[0]}") if args else "everything")
            return real(*args)

        monkeypatch.setattr(os, name, counted)

    for name in ("fsync", "fdatasync", "sync"):
        count(name)
    return seen


def boots(monkeypatch, name):
    """Another start of the machine."""
    for module in ("records", "directory"):
        monkeypatch.setattr(f"frskit.local.{module}.boot_id", lambda: name)


@pytest.mark.parametrize("files", [1, 50])
def test_a_commit_waits_for_the_disk_for_its_record_only(array, budget, syncs, files):
    """Writes are held meanwhile: what the copies are made of is synced after the release."""
    for number in range(files):
        (array.directory(DATA) / f"file-{number}").write_bytes(b"x" * 8192)
    staged = array.stage_copies([request(DATA, "c0"), request(LOGS, "c1")], key=KEY, budget=budget)
    syncs.clear()
    first, _ = array.commit_copies(staged, budget=budget)
    assert syncs == [str(array.root / "array.json.new"), str(array.root)]
    syncs.clear()
    array.make_durable(first.id, budget=budget)
    target = array.directory(first.id)
    assert {str(each) for each in target.iterdir()} | {str(target), str(target.parent)} <= set(
        syncs
    )
    assert not [each for each in syncs if "c1" in each]
    syncs.clear()
    array.make_durable(first.id, budget=budget)
    assert syncs == []
    array.make_durable(budget=budget)
    assert [each for each in syncs if "c1" in each]
    assert not [each for each in syncs if "c0" in each]


def settled(array, timeout_s=30.0):
    """Look until no copy normalizes any more; the thread is real, so is the limit."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        copies = array.copies()
        if all(each.state is not CopyState.NORMALIZING for each in copies):
            return copies
    raise AssertionError("the copies do not become independent")


def test_looking_at_a_copy_makes_it_durable(array, budget, syncs):
    """A presentation neither waits for the disk nor bothers it; a look says when it is there."""
    first, second = make(array, budget, request(DATA, "c0"), request(LOGS, "c1"))
    syncs.clear()
    array.present(second.id, HOST, read_only=True, budget=budget)
    array.close()
    assert not [each for each in syncs if "/copies" in each]
    assert [each.state for each in settled(array)] == [CopyState.INDEPENDENT] * 2
    for copy in (first, second):
        assert str(array.directory(copy.id) / "file") in syncs
    syncs.clear()
    array.present(first.id, HOST, read_only=True, budget=budget)
    array.copies()
    assert not [each for each in syncs if "/copies" in each]


def test_while_the_disk_takes_its_time_a_copy_normalizes(array, budget, monkeypatch):
    """Looks come back, one thread works, and the source stays as long as it may be needed."""
    (copy,) = make(array, budget, request(DATA, "c0"))
    go, threads = threading.Event(), set()
    real = os.fsync

    def fsync(descriptor):
        if "c0" in os.readlink(f"/proc/self/fd/{descriptor}"):
            threads.add(threading.current_thread())
            assert go.wait(30)
        real(descriptor)

    monkeypatch.setattr("frskit.local.directory_storage._MOMENT_S", 0.01)
    monkeypatch.setattr(os, "fsync", fsync)
    try:
        for _ in range(3):
            assert [each.state for each in array.copies()] == [CopyState.NORMALIZING]
        array.present(copy.id, HOST, read_only=True, budget=budget)
        with pytest.raises(HasDependents, match="not on the disk"):
            array.delete_storage(DATA, budget=budget)
        with pytest.raises(Busy):
            array.make_durable(budget=Budget.of(VirtualClock(), 0.2))
        assert [each.state for each in array.copies()] == [CopyState.NORMALIZING]
    finally:
        go.set()
    assert [each.state for each in settled(array)] == [CopyState.INDEPENDENT]
    assert len(threads) == 1
    assert threading.main_thread() not in threads
    array.delete_storage(DATA, budget=budget)
    assert [each.id for each in array.storage()] == [LOGS, copy.id]


def test_a_refusal_that_did_not_get_into_the_record_is_kept(array, budget, monkeypatch):
    """The disk says it once; a second sync would succeed, so it is not asked again."""
    (copy,) = make(array, budget, request(DATA, "c0"))
    refusal = OSError(errno.EIO, "Input/output error")

    def refuse(_path):
        raise refusal

    def busy(_path, _records):
        raise Busy("not now")

    with monkeypatch.context() as patch:
        patch.setattr("frskit.local.directory_storage.sync_tree", refuse)
        patch.setattr("frskit.local.records.save_records", busy)
        with pytest.raises(Busy):
            array.make_durable(budget=budget)
    with pytest.raises(ArrayError, match="refused"):
        array.make_durable(budget=budget)
    assert [each.state for each in array.copies()] == [CopyState.INVALID]
    array.delete_storage(copy.id, budget=budget)


def test_a_copy_deleted_while_it_is_synced_is_no_refusal(array, budget, monkeypatch):
    """Its files vanish under the sync; that is nobody's fault."""
    (copy,) = make(array, budget, request(DATA, "c0"))

    def vanish(_path):
        array.delete_storage(copy.id, budget=budget)
        array.root.joinpath("copies", "c0").mkdir()
        raise OSError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr("frskit.local.directory_storage.sync_tree", vanish)
    array.make_durable(budget=budget)
    assert array.copies() == ()


def test_a_commit_that_was_too_late_is_never_a_result(array, clock, monkeypatch):
    """The copies are there, and the caller must look: writes may have been let go before."""
    budget = Budget.of(clock, 10)
    staged = array.stage_copies([request(DATA, "c0")], key=KEY, budget=budget)

    def slowly(path, records, real=save_records):
        clock.advance(11)
        real(path, records)

    with monkeypatch.context() as patch:
        patch.setattr("frskit.local.records.save_records", slowly)
        with pytest.raises(OutcomeUnknown, match="after its deadline") as caught:
            array.commit_copies(staged, budget=budget)
    assert caught.value.key == KEY
    assert [each.name for each in array.copies(key=KEY)] == ["c0"]
    later = Budget.of(clock)
    assert [each.name for each in array.commit_copies(staged, budget=later)] == ["c0"]


def test_a_budget_that_ends_before_the_record_undoes_everything(array, clock, monkeypatch):
    """The last member took too long: there is no set."""
    budget = Budget.of(clock, 10)
    staged = array.stage_copies([request(DATA), request(LOGS)], key=KEY, budget=budget)

    def slowly(*args, real=clone_tree, **kwargs):
        facts = real(*args, **kwargs)
        clock.advance(6)
        return facts

    with monkeypatch.context() as patch:
        patch.setattr("frskit.local.directory.clone_tree", slowly)
        with pytest.raises(TimedOut):
            array.commit_copies(staged, budget=budget)
    assert (names(array), array.copies()) == ([], ())


def test_the_estimate_comes_from_what_is_there(array, budget, monkeypatch):
    """It grows with names and bytes; where data is shared, hardly with bytes."""

    def estimate(number):
        key = CopyKey(f"key {number}")
        staged = array.stage_copies([request(DATA)], key=key, budget=budget)
        assert array.stage_copies([request(DATA)], key=key, budget=budget) == staged
        return staged.estimate_commit_s

    few = estimate(1)
    for number in range(200):
        (array.directory(DATA) / f"file-{number}").write_bytes(b"")
    many = estimate(2)
    (array.directory(DATA) / "big").write_bytes(bytes(4 << 20))
    monkeypatch.setattr(array, "_reflinks", False)
    big = estimate(3)
    monkeypatch.setattr(array, "_reflinks", True)
    assert 0 < few < many < estimate(4) < big
    assert array.capabilities.estimate_commit_s is None


def test_the_record_of_durability_follows_the_sync(array, budget, monkeypatch):
    """At no call of the disk does the record say more than the disk holds."""
    (copy,) = make(array, budget, request(DATA, "c0"))
    order = []
    real = os.fsync

    def fsync(descriptor):
        real(descriptor)
        text = (array.root / "array.json").read_text()
        order.append((os.readlink(f"/proc/self/fd/{descriptor}"), '"unsynced": null' in text))

    monkeypatch.setattr(os, "fsync", fsync)
    array.make_durable(copy.id, budget=budget)
    durable = [path for path, said in order if not said]
    assert str(array.root / "copies") in durable
    assert str(array.root / "copies" / "c0" / "file") in durable
    assert order[-1][1]


def test_a_copy_that_the_machine_may_have_lost_is_invalid(
    array, budget, clock, tmp_path, monkeypatch
):
    """After another start of the machine what was not on the disk is never shown as good."""
    sure, unsure = make(array, budget, request(DATA, "c0"), request(LOGS, "c1"))
    array.make_durable(sure.id, budget=budget)
    (array.directory(unsure.id) / "file").write_bytes(b"\0\0\0\0")  # what a file system may do
    boots(monkeypatch, "another")
    again = DirectoryArray(tmp_path / "array", clock=clock, hosts=None)
    states = {each.id: each.state for each in again.copies(key=KEY)}
    assert states == {sure.id: CopyState.INDEPENDENT, unsure.id: CopyState.INVALID}
    again.present(sure.id, HOST, read_only=True, budget=budget)
    with pytest.raises(CopyInvalid, match="machine stopped"):
        again.present(unsure.id, HOST, read_only=True, budget=budget)
    with pytest.raises(CopyInvalid):
        again.stage_copies([request(unsure.id)], key=CopyKey("other"), budget=budget)
    again.delete_storage(unsure.id, budget=budget)
    assert names(again) == ["c0"]


@pytest.mark.crash
def test_a_copy_of_a_dead_process_becomes_durable_at_the_next_opening(
    array, budget, clock, tmp_path, monkeypatch
):
    """The death of the process loses nothing; whoever opens the array makes up for it."""
    (copy,) = make(array, budget, request(DATA, "c0"))
    DirectoryArray(tmp_path / "array", clock=clock, hosts=None)
    boots(monkeypatch, "another")
    assert array.copies()[0].state is CopyState.INDEPENDENT
    assert (array.directory(copy.id) / "file").read_bytes() == b"data"


def test_opening_does_not_wait_for_who_is_at_it(array, budget, clock, tmp_path):
    """Another process brings the copies to the disk: they normalize until it has."""
    make(array, budget, request(DATA, "c0"))
    with file_lock(tmp_path / "array" / "sync.lock", "the other one"):
        again = DirectoryArray(tmp_path / "array", clock=clock, hosts=None)
        assert [each.state for each in again.copies()] == [CopyState.NORMALIZING]
    assert [each.state for each in settled(again)] == [CopyState.INDEPENDENT]


def test_a_copy_that_the_disk_refuses_is_invalid_for_good(
    array, budget, clock, tmp_path, monkeypatch
):
    """A second sync succeeds without having written anything, so there is none."""
    (copy,) = make(array, budget, request(DATA, "c0"))
    real = os.fsync

    def fsync(descriptor):
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("c0/file"):
            raise OSError(errno.EIO, "Input/output error")
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(ArrayError, match="refused"):
            array.make_durable(copy.id, budget=budget)
    for each in (array, DirectoryArray(tmp_path / "array", clock=clock, hosts=None)):
        with pytest.raises(CopyInvalid, match="refused"):
            each.present(copy.id, HOST, read_only=True, budget=budget)
        assert each.copies()[0].state is CopyState.INVALID


def test_a_refused_copy_does_not_keep_the_array_from_opening(
    array, budget, clock, tmp_path, monkeypatch
):
    """The other copies can still be had."""
    make(array, budget, request(DATA, "c0"), request(LOGS, "c1"))

    def refuse(path):
        if path.name == "c0":
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("frskit.local.directory_storage.sync_tree", refuse)
    again = DirectoryArray(tmp_path / "array", clock=clock, hosts=None)
    assert [each.state for each in again.copies()] == [CopyState.INVALID, CopyState.INDEPENDENT]


def test_where_the_machine_does_not_count_its_starts_a_commit_syncs(
    array, budget, syncs, monkeypatch
):
    """Nobody could notice later that the machine had stopped."""
    boots(monkeypatch, None)
    (copy,) = make(array, budget, request(DATA, "c0"))
    assert copy.state is CopyState.INDEPENDENT
    assert str(array.root / "copies" / ".new-c0" / "file") in syncs
    boots(monkeypatch, "another")
    assert array.copies() == (copy,)
    assert copy.state is CopyState.INDEPENDENT


def test_records_of_the_first_version_are_of_durable_copies(array, budget, tmp_path, clock):
    """They say nothing of it; their commits waited for the disk."""
    make(array, budget, request(DATA, "c0"))
    array.make_durable(budget=budget)
    (copy,) = array.copies()
    path = tmp_path / "array" / "array.json"
    document = json.loads(path.read_text())
    assert document["schema"] == "frskit.directory-array/2"
    document["schema"] = "frskit.directory-array/1"
    for each in document["records"]["storages"]:
        (each["copy"] or {}).pop("unsynced", None)
    path.write_text(json.dumps(document))
    assert DirectoryArray(tmp_path / "array", clock=clock, hosts=None).copies() == (copy,)
