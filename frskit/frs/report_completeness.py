"""Is a checker's report about the whole copy? Held against the list of files before it counts.

A checker is a party like any other: it may return nothing, forget a component, or say "good" about
a copy whose files it never named. The requestor knows which files the writer named and which of
them the copy holds, so it compares; what is not accounted for fails the copy (law 11, HAZ-17):

* each file that the copy holds for a component, late ones included, is named, with its length;
* a file set that means no file at all is named as such, by its path and pattern;
* every selected component is judged, exactly once.

Whether a file's verdict is *right* cannot be seen from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from frskit.errors import IntegrityError, VolumeNotFound
from frskit.model.checks import ComponentCheck, FileVerdict, IntegrityReport
from frskit.model.server_paths import separator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from frskit.frs.deployment import Policy
    from frskit.model.checks import CheckedFile
    from frskit.model.components import Component, ComponentId
    from frskit.model.files import FileSet
    from frskit.protocols import CheckTarget, FileRef

__all__ = ["held_against_files", "passes"]

_PASSING = frozenset({FileVerdict.OK, FileVerdict.CORRECTABLE})


def passes(report: IntegrityReport, policy: Policy) -> bool:
    """Whether a whole report lets the copy pass at this site.

    A correctable page only looks like the old one: it passes with the site's consent alone [R-2].
    """
    if not report.image_ok or policy.accept_correctable:
        return report.image_ok
    return not any(each.verdict is FileVerdict.CORRECTABLE and each.needed for each in report.files)


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
    named: dict[str, list[CheckedFile]] = {}
    for file in report.files:
        named.setdefault(_folded(file.path), []).append(file)
    for component in target.components:
        # What no selected component is above of stands against all of them [EXC-53].
        if _belongs(component.id, selected) or _stray(target, component.id):
            yield from _unnamed(target, component, named)
    for late in target.copy.late:
        if _belongs(late.component, selected) and _folded(late.path) not in named:
            yield f"late file {late.path} is part of the copy, and the report does not name it"
    passed = any(each.component == selected and each.image_ok for each in report.components)
    for file in report.files if passed else ():
        mine = file.component == selected or selected.is_ancestor_of(file.component)
        if mine and file.needed and file.verdict not in _PASSING:
            yield f"{file.path} is needed and {file.verdict.value}, and the report passes it"


def _belongs(component: ComponentId, selected: ComponentId) -> bool:
    return component == selected or selected.is_ancestor_of(component)


def _stray(target: CheckTarget, component: ComponentId) -> bool:
    return not any(_belongs(component, each.id) for each in target.copy.selected)


def _unnamed(
    target: CheckTarget, component: Component, named: Mapping[str, Sequence[CheckedFile]]
) -> Iterator[str]:
    """What a component means that the report does not name, or names with another length."""
    for files in component.files:
        found = _found(target, files)
        for path, ref in found:
            entries = named.get(_folded(path))
            if not entries:
                yield f"{path} is in the copy, and the report does not name it"
                continue
            for entry in entries:
                if entry.verdict is FileVerdict.MISSING:
                    yield f"{path} is in the copy, and the report calls it missing"
                elif entry.size_bytes != ref.size_bytes:
                    yield (
                        f"{path} is {ref.size_bytes} bytes in the copy, "
                        f"and {entry.size_bytes} in the report"
                    )
        pattern = files.path.rstrip("\\/") + separator(files.path) + files.pattern
        if not found and _folded(pattern) not in named:
            yield f"{pattern} means no file of the copy, and the report does not say so"


def _found(target: CheckTarget, files: FileSet) -> Sequence[tuple[str, FileRef]]:
    try:
        return target.find(files)
    except VolumeNotFound:  # a set on a volume that was not copied: no file of it is there
        return ()


def _folded(path: str) -> str:
    """As the server compares paths: a Windows one with any separator and in any case."""
    if separator(path) == "/":
        return path
    return path.replace("\\", "/").casefold()
