"""Copying small files back into production, against `cp -a` and one sync.

    python tests/benchmarks/bench_copy_back.py [--quick]

100 and 1 000 files of 8 KiB replace files of the same names, with what is there kept for undo until
the end, as a recovery by copy-back does it; the journal's own lines are left out. `cp -a` keeps
nothing for undo, and a crash in the middle of it leaves a mixture; what each file costs beyond it is
the price of that. Wall time and counted syncs. Exit status 1 if a promise is not kept; ``--quick``
takes 50 and 200 files.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

import frskit
from frskit.frs.recovery.file_actions import drop_undo, run_action
from frskit.model.ids import VolumeId
from frskit.model.plans import FileAction, FileActionKind
from frskit.model.volumes import VolumePath
from frskit.scopes import Releases
from frskit.storage.directory_filesystem import PathFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.protocols import FileRef

SYNCS_PER_FILE = 6
GROWTH = 1.5
FILE = b"x" * 8192


@frozen
class OneVolume:
    """A server with a single volume."""

    tree: PathFileSystem

    def resolve(self, path: str) -> VolumePath:
        """Every path is on it."""
        return VolumePath(volume=VolumeId("v"), path=path)

    def files(self, _volume: VolumeId) -> PathFileSystem:
        """Its files."""
        return self.tree


@frozen
class TheCopy:
    """A mounted copy with the same paths."""

    tree: PathFileSystem

    def ref(self, path: str) -> FileRef:
        """Every path is on it."""
        return self.tree.ref(path)


def timed(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def filled(path: Path, count: int) -> Path:
    """A directory with so many files, all on disk."""
    path.mkdir()
    for number in range(count):
        (path / str(number)).write_bytes(FILE)
    PathFileSystem(path).sync()
    return path


def copied_back(source: Path, production: Path, count: int) -> None:
    """What a recovery by copy-back does with files."""
    server, undo = OneVolume(PathFileSystem(production)), Releases()
    copy = TheCopy(PathFileSystem(source))
    actions = tuple(
        FileAction(kind=FileActionKind.COPY_IN, path=str(number)) for number in range(count)
    )
    for each in actions:
        run_action(server, copy, each, undo)  # type: ignore[arg-type]
    undo.keep()
    drop_undo(server, actions)  # type: ignore[arg-type]


def plainly(source: Path, target: Path) -> None:
    """`cp -a` and one sync of what it wrote."""
    subprocess.run(["cp", "-a", f"{source}/.", str(target)], check=True)
    PathFileSystem(target).sync()


def counted(work: Callable[[], object]) -> int:
    """How many syncs a call makes."""
    made = []
    real = os.fsync
    os.fsync = lambda fd: (made.append(fd), real(fd))[1]  # type: ignore[func-returns-value, assignment]
    try:
        work()
    finally:
        os.fsync = real
    return len(made)


def measure(directory: Path, count: int, rounds: int) -> tuple[float, float, float]:
    """Seconds of copying back and of copying plainly, and syncs per file."""
    source = filled(directory / f"copy{count}", count)
    production = filled(directory / f"production{count}", count)
    ours, plain = [], []
    for _ in range(rounds):
        ours.append(timed(lambda: copied_back(source, production, count)))
        plain.append(timed(lambda: plainly(source, production)))
    assert len(os.listdir(production)) == count  # noqa: PTH208
    syncs = counted(lambda: copied_back(source, production, count)) / count
    return statistics.median(ours), statistics.median(plain), syncs


def main() -> int:
    """Measure both sizes and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="50 and 200 files, one round")
    parser.add_argument("--files", type=int, nargs=2, help="other numbers of files")
    parser.add_argument("--directory", help="where, instead of the temporary directory")
    options = parser.parse_args()
    sizes = options.files or ((50, 200) if options.quick else (100, 1000))
    print(frskit.__file__)
    per_file = []
    kept = True
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        for count in sizes:
            ours, plain, syncs = measure(Path(name), count, 1 if options.quick else 3)
            per_file.append(ours / count)
            kept = kept and syncs <= SYNCS_PER_FILE
            print(
                f"{count:5d} files: {ours:8.3f} s, cp -a and sync {plain:8.3f} s = "
                f"{ours / plain:6.1f} x; {syncs:.1f} syncs per file   promise <= {SYNCS_PER_FILE}",
                flush=True,
            )
    growth = per_file[1] / per_file[0]
    kept = kept and growth <= GROWTH
    print(f"time per file grows by {growth:.2f}   promise <= {GROWTH}")
    print("kept" if kept else "NOT KEPT")
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
