"""The store of late files: whole or not at all, found by their hash, swept when nobody names them."""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from attrs import evolve
from support.faults import places

from frskit.clock import Budget, CancelToken, SystemClock, VirtualClock
from frskit.errors import (
    Busy,
    Cancelled,
    CatalogError,
    IntegrityError,
    NoSpace,
    RecoveryFailed,
    WriterError,
)
from frskit.frs import late_collection
from frskit.frs.recovery.file_actions import LateOnly
from frskit.frs.state import late_files, record_upgrades
from frskit.frs.state.late_files import LateFiles, LateRef, opened
from frskit.model.components import ComponentId, LateFile

KV = ComponentId(writer_id="w", logical_path="", name="kv")
DATA = os.urandom(3 << 19)
BUDGET = Budget.of(VirtualClock())


def digest(data):
    """What it is called."""
    return hashlib.sha256(data).hexdigest()


def named(data, path="/kv/label"):
    """An entry of a manifest."""
    return LateFile(component=KV, path=path, size_bytes=len(data), sha256=digest(data))


@pytest.fixture(params=["disk", "memory"])
def store(request, tmp_path):
    """A store of either kind."""
    return LateFiles(tmp_path / "late" if request.param == "disk" else None)


def kept(root):
    """Blobs on disk."""
    return {each.name for each in root.glob("??/*")}


def read(ref):
    """All bytes."""
    with ref.open() as file:
        return file.read_at(0, file.size_bytes)


# --- what is kept


def test_what_was_put_is_read_back_by_its_manifest(store):
    """Bytes, size and hash; twice the same is once; a reference goes to another process."""
    assert store.is_empty()
    with store.alone("test"):
        assert store.put(opened(DATA), BUDGET) == (len(DATA), digest(DATA))
        assert store.put(opened(DATA), BUDGET) == (len(DATA), digest(DATA))
        assert store.put(opened(b""), BUDGET) == (0, digest(b""))
    ref = pickle.loads(pickle.dumps(store.ref(named(DATA))))
    assert (ref.name, ref.size_bytes) == ("/kv/label", len(DATA))
    assert read(ref) == DATA
    assert store.missing([named(DATA), named(b"")]) is None
    assert read(store.ref(named(b""))) == b""
    with ref.open() as file:
        assert file.read_at(5, 7) == DATA[5:12]
        assert file.read_at(len(DATA) - 2, 9) == DATA[-2:]


def test_what_was_never_put_is_missing(store):
    """By listing and by opening, typed."""
    late = named(b"x")
    assert store.missing([late]) == late
    with pytest.raises(IntegrityError, match="gone or changed") as caught:
        store.ref(late).open()
    assert caught.value.context["late"] == late.path


@pytest.mark.parametrize("change", ["gone", "longer", "shorter", "flipped", "directory"])
def test_opening_sees_that_the_bytes_are_the_same(tmp_path, change):
    """Only a listing takes another byte of the same length for the same."""
    store = LateFiles(tmp_path / "late")
    with store.alone("test"):
        store.put(opened(DATA), BUDGET)
    path = tmp_path / "late" / digest(DATA)[:2] / digest(DATA)
    if change in ("gone", "directory"):
        path.unlink()
    if change == "directory":
        path.mkdir()
    else:
        other = {"longer": DATA + b"x", "shorter": DATA[:-1], "flipped": b"x" + DATA[1:]}
        if change in other:
            path.write_bytes(other[change])
    assert (store.missing([named(DATA)]) is None) is (change == "flipped")
    with pytest.raises(IntegrityError, match="gone or changed"):
        store.ref(named(DATA)).open()
    # Collected again, it is whole again.
    if change != "directory":
        with store.alone("test"):
            store.put(opened(DATA), BUDGET)
        assert read(store.ref(named(DATA))) == DATA


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_nobody_else_may_read_them(tmp_path):
    """They are production's data."""
    store = LateFiles(tmp_path / "late")
    with store.alone("test"):
        store.put(opened(DATA), BUDGET)
    for each in (tmp_path / "late").rglob("*"):
        assert each.stat().st_mode & 0o077 == 0, each


# --- when it does not work


@pytest.mark.faults
@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.ENOSPC, NoSpace), (errno.EDQUOT, NoSpace), (errno.EIO, CatalogError)],
)
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_volume_that_is_full_or_broken_keeps_nothing(tmp_path, monkeypatch, number, error, call):
    """Typed; what was there stays; once there is room again it works."""
    store = LateFiles(tmp_path / "late")
    with store.alone("test"):
        store.put(opened(b"first"), BUDGET)

        def fail(*_):
            raise OSError(number, "injected")

        with monkeypatch.context() as patch:
            patch.setattr(*((os, "fsync") if call == "fsync" else (Path, "replace")), fail)
            with pytest.raises(error):
                store.put(opened(DATA), BUDGET)
        assert kept(tmp_path / "late") == {digest(b"first")}
        assert not (tmp_path / "late" / "incoming.part").exists()
        store.put(opened(DATA), BUDGET)
    assert read(store.ref(named(DATA))) == DATA


def test_a_cancelled_collection_keeps_nothing(store):
    """Between pieces of a large file."""
    token = CancelToken()
    token.cancel()
    with store.alone("test"), pytest.raises(Cancelled):
        store.put(opened(DATA), Budget.of(VirtualClock(), token=token))
    with store.alone("test"):
        assert store.missing([named(DATA)]) is not None
        store.sweep(())


class Killed(BaseException):
    """The process dies here."""


@pytest.mark.crash
def test_a_process_that_dies_anywhere_leaves_a_blob_whole_or_none(tmp_path, monkeypatch):
    """At each write, sync and renaming; the next sweep takes what is left."""
    for at in places(60):
        root = tmp_path / str(at) / "late"
        store, seen = LateFiles(root), [0]

        def counted(real, seen=seen, at=at):
            def call(*args, **given):
                seen[0] += 1
                if seen[0] == at:
                    raise Killed
                return real(*args, **given)

            return call

        with store.alone("test"):
            store.put(opened(b"first"), BUDGET)
            with monkeypatch.context() as patch:
                patch.setattr(os, "fsync", counted(os.fsync))
                patch.setattr(Path, "replace", counted(Path.replace))
                patch.setattr(late_files, "make_directory", counted(late_files.make_directory))
                patch.setattr(late_files, "_pieces", counted(late_files._pieces))
                try:
                    store.put(opened(DATA), BUDGET)
                except Killed:
                    pass
                else:
                    assert at > 5
                    return
        again = LateFiles(root)
        with again.alone("test"):
            for name in kept(root) - {digest(b"first")}:
                assert name == digest(DATA)
                assert read(again.ref(named(DATA))) == DATA
            again.sweep({digest(b"first")})
            assert kept(root) == {digest(b"first")}
            assert not (root / "incoming.part").exists()
        assert read(again.ref(named(b"first"))) == b"first"


# --- sweeping


def test_a_sweep_takes_what_no_copy_names_and_nothing_else(store):
    """Shared blobs stay as long as one names them."""
    with store.alone("test"):
        for data in (b"a", b"b", b"c"):
            store.put(opened(data), BUDGET)
        assert store.sweep([digest(b"a"), digest(b"c"), digest(b"never was")]) == 1
        assert store.missing([named(b"a"), named(b"c")]) is None
        assert store.missing([named(b"b")]) is not None
        assert store.sweep([]) == 2
        assert store.sweep([]) == 0


def test_a_sweep_leaves_files_that_are_none_of_its_own(tmp_path):
    """What people put beside them."""
    root = tmp_path / "late"
    store = LateFiles(root)
    with store.alone("test"):
        store.put(opened(DATA), BUDGET)
        notes = [root / "ab" / "README", root / "ab" / ("A" * 64), root / ("a" * 64)]
        for each in notes:
            each.parent.mkdir(exist_ok=True)
            each.write_bytes(b"mine")
        (root / "incoming.part").write_bytes(b"half")
        store.sweep(())
    assert all(each.exists() for each in notes)
    assert not (root / "incoming.part").exists()
    assert not (root / digest(DATA)[:2] / digest(DATA)).exists()


@pytest.mark.faults
def test_a_sweep_that_cannot_remove_says_so(tmp_path, monkeypatch):
    """Typed, for whoever goes on without it."""
    store = LateFiles(tmp_path / "late")
    with store.alone("test"):
        store.put(opened(DATA), BUDGET)

        def refuse(*_, **__):
            raise PermissionError(errno.EACCES, "no")

        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", refuse)
            with pytest.raises(CatalogError, match="cannot be removed"):
                store.sweep(())
        assert store.sweep(()) == 1


def test_a_collection_and_a_sweep_keep_each_other_out(tmp_path):
    """Another process is refused, or waits as long as its budget."""
    root = tmp_path / "late"
    one, other = LateFiles(root), LateFiles(root)
    with one.alone("collecting"), pytest.raises(Busy), other.alone("sweeping"):
        pytest.fail("both at once")
    entered, leave = threading.Event(), threading.Event()

    def hold():
        with one.alone("collecting"):
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait(10)
    threading.Timer(0.1, leave.set).start()
    with other.alone("collecting", Budget.of(SystemClock(), 10.0)):
        assert leave.is_set()
    thread.join()


# --- records of before


def test_attachments_of_an_older_record_become_late_files():
    """Nobody reads them; nothing is lost."""
    component = {"writer_id": "w", "logical_path": "", "name": "kv"}
    old = {"report": None, "records": [{"component": component, "attachments": {"x": "AP8="}}]}
    (record,) = record_upgrades.upgrade_copy_detail(old)["records"]
    assert "attachments" not in record
    (late,) = record["late"]
    assert (late["path"], late["content"], late["size_bytes"]) == ("x", "AP8=", 2)
    assert late["sha256"] == digest(b"\x00\xff")
    assert record_upgrades.upgrade_copy_detail({"records": [{"component": component}]}) == {
        "records": [{"component": component, "logs_needed": None, "late": []}]
    }


class Shrinking:
    """An open file that is cut while it is read."""

    size_bytes = 100

    def read_at(self, offset, length):
        return b"x" * 60

    def close(self):
        pass

    __enter__ = lambda self: self  # noqa: E731
    __exit__ = lambda self, *_: None  # noqa: E731


def test_a_source_that_is_cut_while_it_is_read_is_refused(tmp_path):
    """Half a log would be called a log."""
    parts = SimpleNamespace(late=LateFiles(tmp_path / "late"))
    late = evolve(named(b""), content=None, size_bytes=None, sha256="", source="/kv/wal")
    with parts.late.alone("a test"), pytest.raises(WriterError, match="ended after 60 of 100"):
        late_collection._keep(parts, late, Shrinking(), Budget.of(SystemClock()))


def test_what_a_swap_does_not_bring_is_never_taken_from_an_image():
    """A plan that names another file than a late one is refused; nothing is copied from nowhere."""
    late = LateOnly([(None, LateRef(name="M:\\label", size_bytes=0, sha256="", content=b""))])
    assert late.ref("m:/label").name == "M:\\label"
    with pytest.raises(RecoveryFailed, match="only from a mounted copy"):
        late.ref("M:\\other")
