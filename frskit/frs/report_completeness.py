"""Is a checker's report about the whole copy? Held against the list of files before it counts.

A checker is a party like any other: it may return nothing, forget a component, or say "good" about
a copy whose files it never named. The requestor knows which files the writer named and which of
them the copy holds, so it compares; what is not accounted for fails the copy (law 11, HAZ-17).
Whether a file's verdict is *right* cannot be seen from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from frskit.errors import IntegrityError
from frskit.model.checks import ComponentCheck, FileVerdict, IntegrityReport
from frskit.model.files import FileRole
from frskit.model.server_paths import separator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frskit.model.components import Component, ComponentId
    from frskit.model.files import FileSet
    from frskit.protocols import CheckTarget

__all__ = ["held_against_files"]

_PASSING = frozenset({FileVerdict.OK, FileVerdict.CORRECTABLE})


def held_against_files(
    report: IntegrityReport | None, target: CheckTarget, checker: str
) -> IntegrityReport:
    """The report, with every gap in it as a problem of the component that has it.

    Args:
        report: What the checker returned.
        target: The mounted copy.
        checker: The checker's name, for messages.

    Raises:
        IntegrityError: It is no report at all.
    """
    if not isinstance(report, IntegrityReport):
        raise IntegrityError(
            f"the checker {checker} returned {type(report).__name__}, not a report",
            hint="The copy was not judged. This is a defect of the checker.",
        )
    judged = [_judged(report, target, each) for each in target.copy.selected]
    chosen = {each.id for each in target.copy.selected}
    # What it says beyond the question stays in the report, and decides nothing.
    others = [each for each in report.components if each.component not in chosen]
    return evolve(report, components=(*judged, *others))


def _judged(report: IntegrityReport, target: CheckTarget, selected: Component) -> ComponentCheck:
    """The one verdict on a selected component; failed if there is not exactly one, or a gap."""
    checks = [each for each in report.components if each.component == selected.id]
    gaps = list(_gaps(report, target, selected.id))
    # Two verdicts on one component could contradict each other.
    if len(checks) != 1:
        times = f"{len(checks)} times" if checks else "not"
        gaps.insert(0, f"{selected.caption or selected.id.full_path} was {times} judged")
    check = (
        checks[0]
        if checks
        else ComponentCheck(component=selected.id, image_ok=False, truncation_ok=False)
    )
    if not gaps:
        return check
    return evolve(check, image_ok=False, truncation_ok=False, problems=(*check.problems, *gaps))


def _gaps(report: IntegrityReport, target: CheckTarget, selected: ComponentId) -> Iterator[str]:
    """Files of a selected component that the report leaves out, or contradicts its verdict by."""
    verdicts = {_folded(each.path): each for each in report.files}
    for component in target.components:
        if component.id != selected and not selected.is_ancestor_of(component.id):
            continue
        for path in _paths(target, component):
            if _folded(path) not in verdicts:
                yield f"{path} is in the copy, and the report does not name it"
    passed = any(each.component == selected and each.image_ok for each in report.components)
    for file in report.files if passed else ():
        mine = file.component == selected or selected.is_ancestor_of(file.component)
        if mine and file.needed and file.verdict not in _PASSING:
            yield f"{file.path} is needed and {file.verdict.value}, and the report passes it"


def _paths(target: CheckTarget, component: Component) -> Iterator[str]:
    """The files of the copy that a component means, and databases that ought to be there."""
    for files in component.files:
        found = [path for path, _ in target.find(files)]
        yield from found
        # Only a plain name can be missed: a pattern may mean nothing at all.
        if not found and files.role is FileRole.DATABASE and not _wild(files):
            yield files.path.rstrip("\\/") + separator(files.path) + files.pattern


def _wild(files: FileSet) -> bool:
    return any(mark in files.pattern for mark in "*?")


def _folded(path: str) -> str:
    """As the server compares paths: a Windows one with any separator and in any case."""
    if separator(path) == "/":
        return path
    return path.replace("\\", "/").casefold()
