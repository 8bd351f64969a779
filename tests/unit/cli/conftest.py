"""A site that commands may open as often as they like, and commands as functions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import frozen

import frskit

PACKAGE = Path(frskit.__file__).parents[1]


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


class Borrowed:
    """A site of the test: entering gives it, leaving does not close it."""

    def __init__(self, site):
        self._site = site

    def __enter__(self):
        return self._site

    def __exit__(self, *_):
        return None


@pytest.fixture
def lend(monkeypatch):
    """Function: let all commands of this test work on a site."""

    def lent(site):
        for module in ("frskit.cli.app", "frskit.cli.hpfrscli"):
            monkeypatch.setattr(f"{module}.opened", lambda *_, **__: Borrowed(site))
        return site

    return lent


@pytest.fixture
def site(lend):
    """A lab in memory with mail, lent to all commands."""
    with frskit.lab(groups=2, seed=5) as made:
        made.deliver("evs1", "sg1", messages=20)
        yield lend(made)


@pytest.fixture
def frs(capsys):
    """Function: run `frskit` in this process."""
    from frskit.cli.app import run

    def ran(*arguments):
        capsys.readouterr()
        status = run([str(each) for each in arguments])
        out = capsys.readouterr()
        return Ran(status, out.out, out.err)

    return ran


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
