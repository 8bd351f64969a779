"""The parts of ``.ci/deep``: which tests, scripts and targets belong to each, and how they are run.

Tests belong to a part by their marks (``pyproject.toml`` says what each mark means), benchmarks and
fuzz targets by where they lie. Every part ends with one line, ``PART: N done, M failed, SECONDS``; a
part that fails does not stop the others.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PART_SECONDS = 59 * 60
"""What a part may take; what has not ended then is killed, and has failed."""


class Selection(NamedTuple):
    """Tests with any of some marks and none of others, and the variables they are run with."""

    marks: tuple[str, ...]
    without: tuple[str, ...] = ()
    variables: Mapping[str, str] = {}

    @property
    def expression(self) -> str:
        """As ``pytest -m`` wants it."""
        wanted = f"({' or '.join(self.marks)})"
        return f"{wanted} and not ({' or '.join(self.without)})" if self.without else wanted


DEEP = {"HYPOTHESIS_PROFILE": "deep"}
MARKED = {
    "crash": Selection(("crash",), ("breaks",), DEEP),
    "faults": Selection(("faults",), ("breaks",), DEEP),
    # Properties are histories of one step; Hypothesis marks them itself.
    "histories": Selection(
        ("histories", "hypothesis"), ("crash", "faults", "breaks", "kits"), DEEP
    ),
    "breaks": Selection(("breaks",)),
    "kits": Selection(("kits",), ("breaks",), DEEP),
    "real": Selection(("real", "oracle"), variables={"FRSKIT_ORACLES": "required"}),
}
"""By part: which tests belong to it."""

SCRIPTS = {"bench": "tests/benchmarks/bench_*.py", "fuzz": "tests/fuzz/fuzz_*.py"}
"""By part: the scripts that are run one after the other."""

EXTRA = {"real": ("--group", "oracles"), "fuzz": ("atheris",)}
"""By part: what is installed for it alone."""

PYTHONS = ("3.12", "3.13")
PARTS = ("crash", "faults", "histories", "breaks", "bench", "fuzz", "kits", "real", "pythons")


class Part:
    """One part while it runs: what it has done, what failed, and how much time is left."""

    def __init__(self, work: Path, fuzz_seconds: int) -> None:
        self.work, self.fuzz_seconds = work, fuzz_seconds
        self.done = self.failed = 0
        self.started = time.monotonic()

    @property
    def python(self) -> str:
        """The interpreter with the tests' environment."""
        return str(self.work / "env" / "bin" / "python")

    @property
    def seconds(self) -> float:
        """Since the part began."""
        return time.monotonic() - self.started

    def run(self, *words: str, **variables: str) -> int:
        """Run a command to its end, or to the end of the part's time; return its status."""
        process = subprocess.Popen(
            words, cwd=ROOT, env={**os.environ, **variables}, start_new_session=True
        )
        try:
            return process.wait(timeout=max(1.0, PART_SECONDS - self.seconds))
        except subprocess.TimeoutExpired:
            print(f"not ended in time: {' '.join(words)}", file=sys.stderr)
            return -signal.SIGKILL
        finally:  # whatever ends this, nothing that was started outlives it
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def count(self, *, succeeded: bool) -> None:
        """One script or target has ended."""
        self.done += succeeded
        self.failed += not succeeded

    def tests(self, *words: str, **variables: str) -> None:
        """Run pytest, which is what `words` start, and count its tests."""
        report = self.work / "tests.xml"
        report.unlink(missing_ok=True)
        status = self.run(*words, "-q", "-n", "auto", f"--junit-xml={report}", **variables)
        passed, failed = counted(report) if report.is_file() else (0, 0)
        self.done += passed
        self.failed += failed or (status != 0)  # nothing selected, or no pytest at all


def counted(report: Path) -> tuple[int, int]:
    """Passed and failed tests in a file that ``pytest --junit-xml`` wrote."""
    passed = failed = 0
    for suite in ET.parse(report).getroot().iter("testsuite"):
        total, skipped, bad, errors = (
            int(suite.get(name, "0")) for name in ("tests", "skipped", "failures", "errors")
        )
        passed += total - skipped - bad - errors
        failed += bad + errors
    return passed, failed


def scripts(name: str) -> list[str]:
    """The scripts of a part, relative to the checkout."""
    return sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(SCRIPTS[name]))


def marked(part: Part, name: str) -> None:
    """Run the tests with the marks of a part."""
    selection = MARKED[name]
    if name == "real" and not os.environ.get("FRSKIT_REAL_DATA"):
        print("FRSKIT_REAL_DATA is not set: no real files", file=sys.stderr)
        part.failed += 1
        return
    part.tests(part.python, "-m", "pytest", "-m", selection.expression, **selection.variables)


def bench(part: Part, name: str) -> None:
    """Run every benchmark; one that breaks a promise fails."""
    for script in scripts(name):
        part.count(succeeded=part.run(part.python, script) == 0)


def fuzz(part: Part, name: str) -> None:
    """Run every fuzz target for so many seconds; keep the inputs that made one fail."""
    found = Path(tempfile.mkdtemp(prefix="frskit-fuzz-"))
    for script in scripts(name):
        seeds = part.work / "seeds" / Path(script).stem
        seeds.mkdir(parents=True)
        options = (f"-max_total_time={part.fuzz_seconds}", f"-artifact_prefix={found}/")
        part.count(succeeded=part.run(part.python, script, *options, str(seeds)) == 0)
    if any(found.iterdir()):
        print(f"inputs that made a target fail are kept in {found}")
    else:
        found.rmdir()


def pythons(part: Part, _: str) -> None:
    """Run all tests on the other Pythons; one that is not on the machine has failed."""
    for version in PYTHONS:
        part.tests("bash", ".ci/other-python", version, str(part.work / f"env-{version}"))


SPECIAL: dict[str, Callable[[Part, str], None]] = {"bench": bench, "fuzz": fuzz, "pythons": pythons}


def install(work: Path, parts: Sequence[str]) -> bool:
    """Make the environment that the parts need, once; return whether that worked."""
    if set(parts) <= {"pythons"}:
        return True
    environment = work / "env"
    pip = (str(environment / "bin" / "python"), "-m", "pip", "install", "-q")
    steps = (
        (sys.executable, "-m", "venv", str(environment)),
        (*pip, "-U", "pip"),
        (*pip, ".[cli,testing]", "--group", "test"),
    )
    return all(subprocess.run(words, cwd=ROOT, check=False).returncode == 0 for words in steps)


def run_part(name: str, work: Path, fuzz_seconds: int) -> bool:
    """Run one part to its closing line; return whether nothing failed."""
    print(f"\n=== {name}", flush=True)
    part = Part(work, fuzz_seconds)
    extra = EXTRA.get(name, ())
    if extra and part.run(part.python, "-m", "pip", "install", "-q", *extra) != 0:
        part.failed += 1
    else:
        SPECIAL.get(name, marked)(part, name)
    print(f"{name}: {part.done} done, {part.failed} failed, {round(part.seconds)}", flush=True)
    return part.failed == 0


def asked(words: Sequence[str] | None) -> argparse.Namespace:
    """What the command line asks for; exits with status 2 if that is nothing that exists."""
    parser = argparse.ArgumentParser(prog=".ci/deep", description="What takes longer than .ci/run.")
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"all (the default), or of: {' '.join(PARTS)}"
    )
    parser.add_argument(
        "--fuzz-seconds", type=int, default=60, metavar="N", help="for each target (default: 60)"
    )
    options = parser.parse_args(words)
    unknown = [each for each in options.parts if each not in (*PARTS, "all")]
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}; there are: all {' '.join(PARTS)}")
    if options.fuzz_seconds < 1:
        parser.error("--fuzz-seconds is 1 or more")
    if not options.parts or "all" in options.parts:
        options.parts = PARTS
    return options


def prepare_environment() -> None:
    """Leave the tree as it was, and find real files beside it if nobody says where they are."""
    os.environ.update(PIP_DISABLE_PIP_VERSION_CHECK="1", PYTHONDONTWRITEBYTECODE="1")
    beside = ROOT.parent / "shared" / "data"
    if not os.environ.get("FRSKIT_REAL_DATA") and beside.is_dir():
        os.environ["FRSKIT_REAL_DATA"] = str(beside)


def main(words: Sequence[str] | None = None) -> int:
    """Run the parts in the order they were asked for."""
    options = asked(words)
    prepare_environment()
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        if not install(work, options.parts):
            print("the environment could not be made", file=sys.stderr)
            return 1
        results = [run_part(name, work, options.fuzz_seconds) for name in options.parts]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
