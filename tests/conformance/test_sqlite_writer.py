"""The writer of the examples passes the writer kit, on real files and the machine's clock."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import sqlite3
import sys
from pathlib import Path

import pytest

from frskit.clock import Budget, SystemClock
from frskit.testing import check_writer

pytestmark = pytest.mark.kits

EXAMPLE = Path(__file__).parents[2] / "examples" / "sqlite_writer.py"
NAME = "frskit_example_sqlite_writer"


def example():
    """The module of the example."""
    if NAME not in sys.modules:
        spec = importlib.util.spec_from_file_location(NAME, EXAMPLE)
        sys.modules[NAME] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[NAME])
    return sys.modules[NAME]


class SqliteWorld:
    """One database; it has no logs and lets nobody into its lock."""

    volumes = ("volume-1",)

    def __init__(self, path):
        self._path = path
        self._run("CREATE TABLE t (x)")
        self.writer = example().SqliteWriter(path)
        self.components = [example().component_of(path).id]

    def _run(self, statement):
        with contextlib.closing(sqlite3.connect(self._path, timeout=0.05)) as database, database:
            database.execute(statement)

    def write(self):
        try:
            self._run("INSERT INTO t VALUES (1)")
        except sqlite3.OperationalError:
            return False
        return True

    def image(self):
        return self._path.read_bytes()

    def truncated(self):
        return False

    def truncates(self):
        return False

    def pass_window(self):
        return False

    def budget(self):
        return Budget.of(SystemClock())


@pytest.mark.rule("EXC-12", "VSS-36")
def test_the_sqlite_writer_passes(tmp_path):
    """It never lets a lock be lost without a word, whoever ended it."""
    count = itertools.count()
    report = check_writer(lambda: SqliteWorld(tmp_path / f"{next(count)}.db"))
    assert set(report.skipped) == {
        "window",
        "which logs",
        "one of two components",
        "whole window",
        "failing application",
        "slow application",
    }
