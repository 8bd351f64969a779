"""`LocalRunner`: programs without a shell, killed at their deadline."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from frskit.clock import Budget, CancelToken, SystemClock
from frskit.errors import Cancelled, FileMissing, FileSystemError, HostError, TimedOut, UsageError
from frskit.hosts.runners import LocalRunner

CLOCK = SystemClock()
BUDGET = Budget.of(CLOCK)


def python(text, *arguments, **options):
    """Run a piece of Python."""
    return LocalRunner().run([sys.executable, "-c", text, *arguments], budget=BUDGET, **options)


def test_status_and_both_outputs_come_back():
    """A non-zero status is a result, not an error."""
    result = python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    assert (result.status, result.stdout, result.stderr) == (3, "out\n", "err\n")


def test_arguments_are_not_interpreted():
    """There is no shell between the caller and the program."""
    result = python("import sys; print(sys.argv[1:])", "$HOME; echo x", "*")
    assert result.stdout == "['$HOME; echo x', '*']\n"


def test_input_and_environment_are_passed():
    """Input longer than a pipe arrives, and a given environment is the whole one."""
    result = python(
        "import os, sys; print(len(sys.stdin.read()), sorted(os.environ)[:1], os.environ['A'])",
        input_text="x" * 300_000,
        environment={"A": "1"},
    )
    assert result.stdout == "300000 ['A'] 1\n"
    assert python("import sys; print(repr(sys.stdin.read()))").stdout == "''\n"


def test_output_that_is_not_text_is_replaced():
    """Bytes of no encoding do not break the caller."""
    assert python("import os; os.write(1, b'a\\xffb')").stdout == "a\ufffdb"


def test_a_program_is_killed_with_its_children_at_the_deadline(tmp_path):
    """TimedOut leaves no process of the group behind."""
    text = (
        "import os, sys, time\n"
        "if os.fork() == 0:\n"
        "    time.sleep(0.6); open(sys.argv[1], 'w').close()\n"
        "time.sleep(60)\n"
    )
    marker = tmp_path / "alive"
    command = [sys.executable, "-c", text, str(marker)]
    with pytest.raises(TimedOut):
        LocalRunner().run(command, budget=Budget.of(CLOCK, 0.3))
    time.sleep(0.6)
    assert not marker.exists()


def test_a_cancelled_program_is_killed():
    """The cancel token works from another thread."""
    token = CancelToken()
    timer = threading.Timer(0.1, token.cancel)
    timer.start()
    with pytest.raises(Cancelled):
        LocalRunner().run(["sleep", "60"], budget=Budget.of(CLOCK, None, token))
    timer.join()


def test_what_cannot_be_started_is_a_host_error(tmp_path):
    """Missing programs, impossible arguments, and nothing at all."""
    for argv in (["/nowhere/program"], ["a\0b"], [str(tmp_path)]):
        with pytest.raises(HostError):
            LocalRunner().run(argv, budget=BUDGET)
    with pytest.raises(UsageError):
        LocalRunner().run([], budget=BUDGET)


def test_the_working_directory_is_the_runners(tmp_path):
    """Programs start where the runner says."""
    assert LocalRunner(directory=tmp_path).run(["pwd"], budget=BUDGET).stdout == f"{tmp_path}\n"


def test_files_go_there_and_back(tmp_path):
    """put_file replaces, get_file reads, missing places are named as such."""
    runner, path = LocalRunner(), str(tmp_path / "file")
    runner.put_file(path, b"one", budget=BUDGET)
    runner.put_file(path, b"two", budget=BUDGET)
    assert runner.get_file(path, budget=BUDGET) == b"two"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    for call in (
        lambda: runner.get_file(path + "x", budget=BUDGET),
        lambda: runner.get_file(path + "/x", budget=BUDGET),
        lambda: runner.put_file(path + "x/y", b"", budget=BUDGET),
    ):
        with pytest.raises(FileMissing):
            call()
    for call in (
        lambda: runner.get_file(str(tmp_path), budget=BUDGET),
        lambda: runner.put_file(path + "/y", b"", budget=BUDGET),
    ):
        with pytest.raises(FileSystemError):
            call()
