"""Freezing a file system: thawed on command, at the deadline, and whatever becomes of this process.

The file system is ext4 in a file, on a loop device; that needs root. Writes that have to wait are
made by another process, so that a hold that never ended would not keep the tests.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from frskit.clock import Budget, SystemClock
from frskit.errors import ConfigurationError, HoldTimeout, HostError
from frskit.hosts.freezer import Freezer, check_may_freeze
from frskit.hosts.linux import LinuxServer
from frskit.local import DirectoryArray
from frskit.model.ids import HostRef, StorageId

HOST = HostRef("prod")
LONG_S = 30.0
"""A hold that no test waits for: the end of it would be the failure."""

WRITE = """
import os, sys
with open(sys.argv[1], "wb") as file:
    file.write(b"x" * 8192)
    os.fsync(file.fileno())
print("written", flush=True)
"""

HOLD = """
import sys
from pathlib import Path
from frskit.hosts.freezer import Freezer
freezer = Freezer([Path(sys.argv[1])])
freezer.freeze(float(sys.argv[2]))
print("frozen", flush=True)
sys.stdin.read()
"""


GUARD = """
import errno, fcntl, os, sys
from frskit.hosts.freeze_child import FITHAW
place = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)
print("watching", flush=True)
sys.stdin.read()
try:
    fcntl.ioctl(place, FITHAW, 0)
except OSError as error:
    sys.exit(error.errno != errno.EINVAL)  # it was not frozen
sys.exit("it was frozen still")
"""

KILLED_IN_BETWEEN = """
import os, signal
from frskit.hosts import freeze_child
asked = []

def request(code):
    asked.append(code)
    if code == freeze_child.FIFREEZE:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)

for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, freeze_child._note)
freeze_child._hold(request, 30.0, os.getppid())
print(asked == [freeze_child.FIFREEZE, freeze_child.FITHAW])
"""


@pytest.fixture
def disk():
    """An ext4 file system of its own, mounted."""
    tools = [shutil.which(each) for each in ("mkfs.ext4", "mount", "umount")]
    if os.geteuid() != 0 or None in tools:
        pytest.skip("a file system of its own needs root and mkfs.ext4")
    place = Path(tempfile.mkdtemp(prefix="frskit-freeze-"))
    image, mount = place / "image", place / "mount"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(32 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    done = subprocess.run(["mount", "-o", "loop", str(image), str(mount)], check=False)
    if done.returncode:
        shutil.rmtree(place)
        pytest.skip("no loop device can be had here")
    with guard_of(mount):
        yield mount
    subprocess.run(["umount", str(mount)], check=True)
    shutil.rmtree(place)


@contextmanager
def guard_of(mount):
    """A third process, there before anything is frozen: it thaws if this one is killed as well."""
    with subprocess.Popen(
        [sys.executable, "-c", GUARD, str(mount)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as guard:
        assert guard.stdout.readline() == b"watching\n"
        yield
        guard.stdin.close()
        assert guard.wait(LONG_S) == 0


class Writing:
    """Another process that writes to the file system."""

    def __init__(self, disk):
        self._process = subprocess.Popen(
            [sys.executable, "-c", WRITE, str(disk / "file")], stdout=subprocess.PIPE
        )

    def waits(self):
        """Whether it has to: half a second is plenty for a write that has not."""
        try:
            self._process.wait(0.5)
        except subprocess.TimeoutExpired:
            return True
        self._process.stdout.close()
        return False

    def goes_through(self):
        """Wait until it is done, much shorter than a hold that nobody ends."""
        out, _ = self._process.communicate(timeout=LONG_S / 2)
        return out == b"written\n"


def test_writes_wait_until_it_is_thawed(disk):
    """On command; a second thaw does nothing, and nothing was lost."""
    freezer = Freezer([disk])
    try:
        assert not Writing(disk).waits(), "nothing is held before"
        freezer.freeze(LONG_S)
        writing = Writing(disk)
        assert writing.waits()
        freezer.thaw()
        assert writing.goes_through()
        freezer.thaw()
        assert not freezer.lost
    finally:
        freezer.close()


@pytest.mark.rule("VSS-44")
def test_it_thaws_at_its_deadline_whoever_hangs(disk):
    """Nobody calls: the other process keeps the time. Who thaws afterwards learns of the loss."""
    freezer = Freezer([disk])
    try:
        freezer.freeze(1.0)
        assert Writing(disk).goes_through()
        freezer.thaw()
        assert freezer.lost
    finally:
        freezer.close()


@pytest.mark.crash
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_thaws_at_once_when_its_parent_dies(disk, number):
    """Kill -9 inside of the hold: the next write goes through long before the deadline."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(disk), str(LONG_S)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout.readline() == b"frozen\n"
        parent.send_signal(number)
        parent.wait()
        assert Writing(disk).goes_through()


@pytest.mark.crash
def test_it_thaws_at_its_deadline_when_its_parent_is_stopped(disk):
    """SIGSTOP: the pipe stays open and nobody answers; the deadline counts all the same."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(disk), "1.5"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout.readline() == b"frozen\n"
        parent.send_signal(signal.SIGSTOP)
        try:
            assert Writing(disk).goes_through()
        finally:
            parent.kill()


@pytest.mark.crash
def test_a_child_that_is_killed_is_stood_in_for(disk):
    """Nobody else knows that the file system is frozen: this process thaws it, and says so."""
    freezer = Freezer([disk])
    try:
        freezer.freeze(LONG_S)
        freezer._holders[0].child.kill()
        writing = Writing(disk)
        assert writing.waits()
        freezer.thaw()
        assert writing.goes_through()
        assert freezer.lost
    finally:
        freezer.close()


@pytest.mark.crash
def test_a_child_that_is_stopped_keeps_nobody(disk):
    """It neither thaws nor ends: this process does the one, and does not wait for the other."""
    freezer = Freezer([disk])
    child = freezer._holders[0].child
    try:
        freezer.freeze(LONG_S)
        child.send_signal(signal.SIGSTOP)
        freezer.thaw()
        assert freezer.lost
        assert Writing(disk).goes_through()
    finally:
        freezer.close()
    assert child.wait(LONG_S) == -signal.SIGKILL


@pytest.mark.crash
def test_signals_between_freeze_and_thaw_leave_nothing_frozen():
    """Whenever they come, and however many: no exception finds its way past the thaw."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED_IN_BETWEEN],
        capture_output=True,
        text=True,
        timeout=LONG_S / 2,
        check=True,
    )
    assert done.stdout == "frozen\nTrue\n"


def test_what_cannot_be_frozen_leaves_the_others_thawed(disk):
    """Proc has nothing to freeze: a typed error with the number, and the disk writes."""
    freezer = Freezer([disk, Path("/proc")])
    try:
        with pytest.raises(HostError, match="/proc could not be frozen") as caught:
            freezer.freeze(LONG_S)
        assert isinstance(caught.value.native, int)
        assert Writing(disk).goes_through()
    finally:
        freezer.close()


@pytest.mark.parametrize(
    "path", [Path("/"), Path(sys.executable).parent, Path(tempfile.gettempdir())]
)
def test_what_this_process_lives_on_is_refused(path):
    """The root, the interpreter, temporary files: a hold there would hold its own end."""
    with pytest.raises(ConfigurationError, match="cannot be frozen"):
        check_may_freeze([path], [])


def test_what_must_stay_writable_is_refused_by_name(disk):
    """The state directory of a site, for one."""
    assert list(check_may_freeze([disk, disk], []).values()) == [disk]
    with pytest.raises(ConfigurationError, match=f"{disk} is on it"):
        check_may_freeze([disk], [disk])


class FromBelow:
    """An array that copies from below the file system; for the rest a directory array."""

    def __init__(self, array):
        self._array = array

    def __getattr__(self, name):
        if name == "root":
            raise AttributeError(name)
        return getattr(self._array, name)


def served(disk, tmp_path, array, **words):
    """A server with one volume on the disk."""
    clock = SystemClock()
    real = DirectoryArray(disk / "array", clock=clock, hosts=None)
    storage = real.add_storage("data")
    real.present(storage, HOST, read_only=False, budget=Budget.of(clock))
    server = LinuxServer(
        "prod", HOST, clock=clock, arrays=[array(real)], mounts=tmp_path / "mounts", **words
    )
    (volume,) = server.attach(
        {StorageId(storage): "data"}, read_only=False, budget=Budget.of(clock)
    )
    return server, volume.id


@pytest.mark.rule("VSS-44", "R-27")
def test_a_linux_server_freezes_if_it_was_asked_to(disk, tmp_path):
    """Its hold keeps another process from writing, until it is left, or released before."""
    server, volume = served(disk, tmp_path, FromBelow, freeze=True)
    assert server.holds_writes
    with server.hold_writes([volume], budget=Budget.of(SystemClock())) as hold:
        writing = Writing(disk)
        assert writing.waits()
        hold.release()
        assert writing.goes_through()
    with server.hold_writes([volume], budget=Budget.of(SystemClock())):
        writing = Writing(disk)
        assert writing.waits()
    assert writing.goes_through()


@pytest.mark.rule("VSS-44")
def test_a_hold_that_was_lost_is_told(disk, tmp_path):
    """The budget was spent inside: thawed then, and an error on leaving."""
    server, volume = served(disk, tmp_path, FromBelow, freeze=True)
    budget = Budget.of(SystemClock(), 1.0)
    with (
        pytest.raises(HoldTimeout),
        server.hold_writes([volume], budget=budget),
    ):
        assert Writing(disk).goes_through()


def test_an_array_that_would_wait_for_its_own_hold_is_refused(disk, tmp_path):
    """It copies into the file system that it froze: refused, and nothing is held."""
    server, volume = served(disk, tmp_path, lambda array: array, freeze=True)
    with (
        pytest.raises(ConfigurationError, match="cannot be frozen"),
        server.hold_writes([volume], budget=Budget.of(SystemClock())),
    ):
        raise AssertionError("never")
    assert Writing(disk).goes_through()


def test_without_being_asked_it_only_flushes(disk, tmp_path):
    """The default stays: the application's own hold keeps writes away."""
    server, volume = served(disk, tmp_path, FromBelow)
    assert not server.holds_writes
    with server.hold_writes([volume], budget=Budget.of(SystemClock())):
        assert Writing(disk).goes_through()
