"""The lock between processes: one holder, a time to wait, and nothing left by the dead."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from frskit.clock import Budget, CancelToken, VirtualClock
from frskit.errors import Busy, Cancelled, ConfigurationError
from frskit.storage.file_locks import file_lock

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
