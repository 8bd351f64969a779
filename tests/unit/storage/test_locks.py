"""The lock between processes: one holder, a time to wait, and nothing left by the dead."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import warnings

import pytest

from frskit.clock import Budget, CancelToken, VirtualClock
from frskit.errors import Busy, Cancelled, ConfigurationError
from frskit.storage.file_locks import file_lock, take_file_lock

HOLD = (
    "import sys, time\n"
    "from frskit.storage.file_locks import file_lock\n"
    "with file_lock(sys.argv[1], 'child'):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(60)\n"
)


def test_the_lock_excludes_and_is_released(tmp_path):
    """A second holder is Busy after its budget, on the clock that it was given."""
    clock, path = VirtualClock(), tmp_path / "lock"
    with file_lock(path, "first"):
        with (
            pytest.raises(Busy, match=r"second: .*lock is held"),
            file_lock(path, "second", budget=Budget.of(clock, 5)),
        ):
            pytest.fail("two holders")
        assert clock.monotonic() == pytest.approx(5)
        with pytest.raises(Busy), file_lock(path, "at once"):
            pytest.fail("two holders")
        token = CancelToken()
        token.cancel()
        with (
            pytest.raises(Cancelled),
            file_lock(path, "third", budget=Budget.of(clock, None, token)),
        ):
            pytest.fail("two holders")
    with file_lock(path, "again", budget=Budget.of(clock, 0)):
        pass
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_error_in_the_block_lets_go(tmp_path):
    """The lock does not outlive the block."""
    with pytest.raises(ZeroDivisionError), file_lock(tmp_path / "lock", "first"):
        raise ZeroDivisionError
    with file_lock(tmp_path / "lock", "second"):
        pass


@pytest.mark.crash
@pytest.mark.rule("FRS-43")
def test_a_killed_process_leaves_no_lock(tmp_path):
    """A kill -9 releases it, and nobody has to clean up."""
    path = tmp_path / "lock"
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(Busy), file_lock(path, "mine"):
            pytest.fail("two holders")
        child.send_signal(signal.SIGKILL)
    with file_lock(path, "mine"):
        pass


def test_a_file_that_cannot_be_locked_is_a_typed_error(tmp_path):
    """A directory in its place, or a file where its directory should be."""
    (tmp_path / "lock").mkdir()
    (tmp_path / "file").touch()
    for path in (tmp_path / "lock", tmp_path / "file" / "lock"):
        with pytest.raises(ConfigurationError, match="cannot be locked"), file_lock(path, "x"):
            pytest.fail("locked")


def test_the_message_says_whose_it_is(tmp_path):
    """Also after others tried: a try leaves the holder's name in the file."""
    path = tmp_path / "lock"
    with child(HOLD, path) as holder:
        assert holder.stdout.readline() == "held\n"
        for _ in range(3):
            with pytest.raises(Busy, match=rf"mine: .* is held by process {holder.pid}$") as caught:
                take_file_lock(path, "mine")
            assert caught.value.context == {"lock": str(path), "holder": str(holder.pid)}
        holder.kill()
    path.write_text("a longer text of an earlier holder")
    held = take_file_lock(path, "mine")
    with pytest.raises(Busy, match=f"process {os.getpid()}$"):
        take_file_lock(path, "again")
    held.release()
    held.release()
    path.write_text("no number")
    fcntl.flock((file := path.open()).fileno(), fcntl.LOCK_EX)
    with file, pytest.raises(Busy, match="another process or thread"):
        take_file_lock(path, "mine")


FORK = """
import os, sys
from frskit.storage.file_locks import file_lock, take_file_lock
path, way = sys.argv[1:]
up, go = os.pipe(), os.pipe()
if way == "leaves the block":
    try:
        with file_lock(path, "parent"):
            if not os.fork():
                raise ZeroDivisionError
            os.wait()
            print("child gone", flush=True)
            sys.stdin.readline()
    except ZeroDivisionError:
        sys.exit()
    sys.exit()
held = take_file_lock(path, "parent")
if not (forked := os.fork()):
    if way == "releases":
        held.release()
        os._exit(0)
    if way == "exits":
        sys.exit()  # with all that an interpreter does at its end
    os.write(up[1], b"x")
    os.close(go[1])
    os.read(go[0], 1)  # until its parent says so or is gone
    os._exit(0)
if way in ("releases", "exits"):
    os.wait()
    print("child gone", flush=True)
    sys.stdin.readline()
else:
    os.read(up[0], 1)
    if way == "stays while the lock is released":
        held.release()
    print("child there", flush=True)
    sys.stdin.readline()
    os.write(go[1], b"x")
"""


def child(code, *arguments):
    """A process that runs code."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("way", ["releases", "exits", "leaves the block"])
def test_a_forked_child_cannot_give_the_lock_up(tmp_path, way):
    """Not by a call, not by its end, not by an exception: the lock is the parent's."""
    path = tmp_path / "lock"
    with child(FORK, path, way) as parent:
        assert parent.stdout.readline() == "child gone\n"
        with pytest.raises(Busy, match=str(parent.pid)):
            take_file_lock(path, "mine")
        parent.stdin.close()
    take_file_lock(path, "mine").release()


def test_a_release_holds_for_forked_children_too(tmp_path):
    """A child that lives on does not keep what its parent gave up."""
    path = tmp_path / "lock"
    with child(FORK, path, "stays while the lock is released") as parent:
        assert parent.stdout.readline() == "child there\n"
        take_file_lock(path, "mine").release()
        parent.stdin.close()


def test_a_killed_parent_leaves_no_lock_with_its_child(tmp_path):
    """Kill -9 of the holder frees the lock although a process forked from it is still there."""
    path = tmp_path / "lock"
    with child(FORK, path, "stays") as parent:
        assert parent.stdout.readline() == "child there\n"
        with pytest.raises(Busy, match=str(parent.pid)):
            take_file_lock(path, "mine")
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        take_file_lock(path, "mine").release()


def test_without_locks_of_the_system_there_is_no_lock(tmp_path, monkeypatch):
    """A file system that refuses to lock is an error; a file that only exists is no lock."""

    def refused(*arguments):
        raise OSError(errno.ENOSYS, "not here")

    monkeypatch.setattr(fcntl, "flock", refused)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConfigurationError, match="cannot be locked"):
            take_file_lock(tmp_path / "lock", "mine")
