"""Every room imports where POSIX is missing; what needs POSIX says so, typed, when it is used.

A stand-in, on this machine, for a Python without fcntl and without the flags of `os.open` that
Windows lacks; no Windows has run this.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

BARE = """
import importlib.abc, os, sys
for name in ("O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY", "O_SYNC", "O_DSYNC",
             "getuid", "geteuid", "mkfifo", "pread", "pwrite", "preadv", "pwritev", "statvfs",
             "posix_fallocate", "posix_fadvise", "sched_getaffinity", "fork", "setsid", "killpg"):
    if hasattr(os, name):
        delattr(os, name)

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in ("fcntl", "pwd", "grp", "resource", "termios", "pty", "tty", "syslog"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

for name in ("fcntl", "pwd", "grp", "resource", "termios"):
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Missing())
"""


def run(code):
    """Run code in a process where POSIX is missing."""
    return subprocess.run(
        [sys.executable, "-c", BARE + code], capture_output=True, text=True, check=False
    )


def test_every_module_imports_without_posix():
    """All of them, the requestor, site and lab among them."""
    result = run(
        "import importlib, pkgutil, frskit\n"
        "for info in pkgutil.walk_packages(frskit.__path__, 'frskit.'):\n"
        "    if not info.name.endswith(('__main__', 'pytest_plugin')):\n"
        "        importlib.import_module(info.name)\n"
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_the_lab_runs_without_posix():
    """In memory: a copy, its check, and a recovery."""
    result = run(
        "import frskit\n"
        "with frskit.lab() as site:\n"
        "    site.deliver('evs1', 'sg1', messages=5)\n"
        "    copy = site.frs.create_copy('evs1', ['sg1'], backup_type='full')\n"
        "    site.frs.recover(site.frs.plan_recovery(copy.id, mode='point-in-time'))\n"
        "    print(copy.verdict.value, site.status('evs1', 'sg1').databases[0].items)\n"
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "verified 5\n", "")


@pytest.mark.parametrize(
    "use",
    [
        "frskit.local.DirectoryArray(pathlib.Path(place), clock=frskit.SystemClock(), hosts=None)",
        "frskit.storage.directory_filesystem.PathFileSystem(place)",
        "frskit.lab(place + '/lab')",
    ],
    ids=["directory array", "directory as volume", "durable lab"],
)
def test_what_needs_posix_says_so(tmp_path, use):
    """A typed error that names the need, instead of an AttributeError."""
    result = run(
        "import pathlib, frskit, frskit.storage.directory_filesystem\n"
        f"place = {str(tmp_path)!r}\n"
        f"try: {use}\n"
        "except frskit.FrskitError as error: print(type(error).__name__, error)\n"
    )
    assert result.returncode == 0, result.stderr
    assert "POSIX" in result.stdout
