"""Paths, locks, legality, explanations: the small tools of the requestor."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from frskit.codes.explain import error_classes, explain_code
from frskit.errors import Busy, NotFound
from frskit.frs import LEGALITY, Locks
from frskit.frs.recovery.legality import objection
from frskit.model.plans import RecoveryMethod, RecoveryMode
from frskit.model.server_paths import inside, join, matches
from frskit.model.storage import CopyKind


@pytest.mark.parametrize(
    ("mount", "path", "inner"),
    [
        ("M:\\", "m:\\a\\b.edb", "a/b.edb"),
        ("M:\\", "N:\\a", None),
        ("C:\\mounts\\x", "C:\\mounts\\xy\\a", None),
        ("C:\\mounts\\x\\", "c:\\MOUNTS\\X", ""),
        ("/srv/a", "/srv/a/b/c", "b/c"),
        ("/srv/a", "/srv/A/b", None),
    ],
)
def test_inside(mount, path, inner):
    """Prefixes end at separators; Windows paths ignore case, POSIX paths do not."""
    assert inside(mount, path) == inner


def test_join_uses_the_separator_of_the_directory():
    """Inner paths use slashes; the result is native."""
    assert join("M:\\", "a/b.edb") == "M:\\a\\b.edb"
    assert join("/srv", "a/b", "c") == "/srv/a/b/c"
    assert join("M:\\x", "") == "M:\\x"


def test_patterns_ignore_case():
    """A writer's pattern names files in any case."""
    assert matches("e0000001.LOG", "E00*.log")
    assert not matches("E01.log", "E00*.log")


@pytest.mark.rule("FRS-33", "FRS-15")
def test_only_a_snapclone_may_be_swapped():
    """The whole table: a snapshot never takes the place of its source."""
    assert len(LEGALITY) == len(CopyKind) * len(RecoveryMode) * len(RecoveryMethod)
    for kind in CopyKind:
        for mode in RecoveryMode:
            assert bool(objection(kind, mode, RecoveryMethod.SWAP)) == (
                kind is not CopyKind.SNAPCLONE
            )
            assert not objection(kind, mode, RecoveryMethod.COPY_BACK)


@pytest.mark.rule("FRS-43")
def test_a_lock_is_held_once_in_a_process_and_between_processes(tmp_path):
    """A second holder gets Busy, also in another process; a dead holder holds nothing."""
    locks = Locks(tmp_path)
    code = (
        "import sys, pathlib; from frskit.frs import Locks; from frskit.errors import Busy\n"
        "try:\n"
        "    with Locks(pathlib.Path(sys.argv[1])).hold('SERVER-evs1', 'copy'): print('got it')\n"
        "except Busy: print('busy')\n"
    )
    run = [sys.executable, "-c", code, os.fspath(tmp_path)]
    with locks.hold("server-evs1", "copy"):
        with pytest.raises(Busy), locks.hold("Server-EVS1", "copy"):
            pass
        assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "busy\n"
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "got it\n"


def test_every_code_of_the_tree_can_be_explained():
    """`explain` knows each class by code and by name, and says what to do."""
    for kind in error_classes():
        found = explain_code(kind.code)
        assert found.name == kind.__name__
        assert found.advice
    assert explain_code("0xfffffde1").name == "JET_errRequiredLogFilesMissing"
    with pytest.raises(NotFound):
        explain_code("0x1234567")
