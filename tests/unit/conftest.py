"""Commands as processes of their own, and processes that die where a test says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import frozen

import frskit

PACKAGE = Path(frskit.__file__).parents[1]
KILLED = """
import importlib, os, signal, sys
from frskit import events
place = sys.argv.pop(1)

def die():
    os.kill(os.getpid(), signal.SIGKILL)

if ":" in place:                       # module:Class.method:before or after; n-th call: method#n
    module, name, when = place.split(":")
    name, _, count = name.partition("#")
    left = int(count or 1)
    kind, method = name.split(".")
    owner = getattr(importlib.import_module(module), kind)
    real = getattr(owner, method)

    def call(*args, **kwargs):
        global left
        left -= 1
        if not left and when == "before":
            die()
        result = real(*args, **kwargs)
        if not left:
            die()
        return result

    setattr(owner, method, call)
else:                                  # the n-th event of a stage or step: stage or stage#n
    stage, _, count = place.partition("#")
    left = int(count or 1)
    emit = events.FanOut.emit

    def watched(self, event):
        global left
        emit(self, event)
        if stage in (getattr(event, "stage", None), getattr(event, "step", None)):
            left -= 1
            if not left:
                die()

    events.FanOut.emit = watched
from frskit.cli import main
main()
"""


@frozen
class Ran:
    """What a command left."""

    status: int
    out: str
    err: str

    @property
    def document(self):
        """The one JSON document on the standard output."""
        (line,) = self.out.splitlines()
        return json.loads(line)


class Shell:
    """Runs the two commands as processes of their own, each in a fresh interpreter."""

    def __init__(self, place, directory):
        self.place = Path(place)
        self._directory = directory

    def start(self, *words, code="from frskit.cli import main; main()"):
        """Start `frskit`."""
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code, *(str(each) for each in words)],
            cwd=self._directory,
            env={
                **{key: value for key, value in os.environ.items() if key != "PYTHONWARNINGS"},
                "PYTHONPATH": str(PACKAGE),
                "FRSKIT_SITE": str(self.place),
                "COLUMNS": "200",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def frskit(self, *words, status=0):
        """Run `frskit` to the end and expect a status."""
        return self._ended(self.start(*words), status)

    def hpfrscli(self, *words, status=0):
        """Run `hpfrscli` to the end and expect a status."""
        code = "from frskit.cli.hpfrscli import main; main()"
        return self._ended(self.start(*words, code=code), status)

    def json(self, *words, status=0):
        """The document that ``frskit --json`` prints."""
        return self.frskit("--json", *words, status=status).document

    def messages(self, group="sg1"):
        """State and number of messages of a group's databases, looked up in this process."""
        with frskit.open_site(self.place) as site:
            return {
                each.name: (each.state, each.items) for each in site.status("evs1", group).databases
            }

    def copies(self):
        """The copies, newest first, looked up in this process."""
        with frskit.open_site(self.place) as site:
            return site.frs.copies()

    def killed(self, place, *words):
        """Run `frskit` in a process that kills itself, as ``kill -9`` does, at this place."""
        process = self.start(place, *words, code=KILLED)
        out, err = process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL, (process.returncode, out, err)

    @staticmethod
    def _ended(process, status):
        out, err = process.communicate(timeout=120)
        assert process.returncode == status, (process.args[4:], process.returncode, out, err)
        assert "Traceback" not in err
        return Ran(process.returncode, out, err)


@pytest.fixture
def shell(tmp_path):
    """Processes on a lab in a directory that does not exist yet."""
    return Shell(tmp_path / "lab", tmp_path)


@pytest.fixture
def ran_type():
    """The class of what a command left, for commands that run in this process."""
    return Ran
