"""The table of what the tests have run, wing by wing, and whether that is enough.

``.ci/run`` measures its one run of the tests, in all processes: the environment variables
``COVERAGE_PROCESS_START`` (``pyproject.toml``) and ``COVERAGE_FILE`` switch that on from outside. This
script puts the files of the processes together. Exit status 1: a gate does not hold, or nothing was
measured.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
ALL = "frskit"
GATES = {(ALL, "all"): 97.5, ("frs", "branches"): 98.0}
"""By wing and column: the least percentage."""


class Figures(NamedTuple):
    """How many there are and how many of them were run."""

    lines: int = 0
    lines_run: int = 0
    branches: int = 0
    branches_run: int = 0

    def plus(self, other: Figures) -> Figures:
        """Both together."""
        return Figures(*(one + two for one, two in zip(self, other, strict=True)))

    def percent(self, column: str) -> float:
        """Of ``lines``, ``branches`` or ``all``; what has none of them is run whole."""
        run, total = {
            "lines": (self.lines_run, self.lines),
            "branches": (self.branches_run, self.branches),
            "all": (self.lines_run + self.branches_run, self.lines + self.branches),
        }[column]
        return 100.0 * run / total if total else 100.0


def wing(path: str) -> str:
    """The wing of a file below ``frskit``; the modules on top are one by themselves."""
    parts = path.replace("\\", "/").split("/")
    return parts[1] if len(parts) > 2 else "(top)"


def by_wing(files: Mapping[str, Figures]) -> dict[str, Figures]:
    """Sums by wing, and of all as the last one."""
    found: dict[str, Figures] = defaultdict(Figures)
    for path, figures in sorted(files.items()):
        found[wing(path)] = found[wing(path)].plus(figures)
    total = Figures()
    for figures in found.values():
        total = total.plus(figures)
    return {**found, ALL: total}


def table(wings: Mapping[str, Figures]) -> Iterator[str]:
    """One line for each wing."""
    yield f"{'wing':<12}{'lines':>8}{'branches':>10}{'all':>8}"
    for name, figures in wings.items():
        lines, branches, both = (figures.percent(each) for each in ("lines", "branches", "all"))
        yield f"{name:<12}{lines:>8.2f}{branches:>10.2f}{both:>8.2f}"


def failures(wings: Mapping[str, Figures]) -> Iterator[str]:
    """The gates that do not hold."""
    for (name, column), least in GATES.items():
        found = wings.get(name, Figures())
        if not found.lines:
            yield f"{name}: nothing was measured"
        elif found.percent(column) < least:
            yield f"{name}, {column}: {found.percent(column):.2f} is below {least:.2f}"


def measured() -> dict[str, Figures]:
    """What the files of the processes say, put together, for every file of the package."""
    from coverage import Coverage  # here, so that the rest can be tested without it
    from coverage.exceptions import NoDataError

    data = Coverage(config_file=str(ROOT / "pyproject.toml"))
    try:
        data.combine()
    except NoDataError:
        return {}
    with tempfile.TemporaryDirectory() as place:
        report = Path(place) / "coverage.json"
        data.json_report(outfile=str(report))
        return figures_of(report)


def figures_of(report: Path) -> dict[str, Figures]:
    """The figures in a report that ``coverage json`` wrote."""
    return {
        path: Figures(
            summary["num_statements"],
            summary["covered_lines"],
            summary["num_branches"],
            summary["covered_branches"],
        )
        for path, summary in (
            (path, each["summary"])
            for path, each in json.loads(report.read_text(encoding="utf-8"))["files"].items()
        )
    }


def main() -> int:
    """Print the table; complain about what is not enough."""
    os.chdir(ROOT)  # what the paths of the configuration are relative to
    wings = by_wing(measured())
    print("\n".join(table(wings)))
    bad = list(failures(wings))
    for text in bad:
        print(f"coverage: {text}", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
