"""How a command ends while a party still hangs: at once, with its status, and with all its output."""

from __future__ import annotations

import subprocess
import sys

import pytest

HANGING = """
import atexit, sys, threading
from frskit import SystemClock
from frskit.errors import NoAnswer
from frskit.watchdog import Watchdog

atexit.register(lambda: print("taken down"))
clock = SystemClock()
dog = Watchdog("the array", clock)
if HANG:
    try:
        dog.call("commit", threading.Event().wait, deadline_s=clock.monotonic() + 0.05)
    except NoAnswer:
        pass
sys.argv = COMMAND
from frskit.cli import hpfrscli, main
(hpfrscli.main if COMMAND[0] == "hpfrscli" else main)()
"""
COMMANDS = {
    "frskit": (["frskit", "--version"], 0),
    "frskit, wrong": (["frskit", "nonsense"], 2),
    "hpfrscli": (["hpfrscli", "/?"], 0),
    "hpfrscli, wrong": (["hpfrscli", "nonsense"], 2),
}


@pytest.mark.parametrize("hang", [True, False])
@pytest.mark.parametrize(("command", "status"), COMMANDS.values(), ids=COMMANDS.keys())
def test_a_command_ends_with_its_status_while_a_party_hangs(command, status, hang):
    """Its output is whole although nothing is taken down; without a hang all is as ever."""
    code = HANGING.replace("COMMAND", repr(command)).replace("HANG", str(hang))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == status
    assert done.stdout.removesuffix("taken down\n") + done.stderr
    assert ("taken down" in done.stdout) is not hang
