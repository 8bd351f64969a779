"""The ledger: may logs be cut after this copy? Predicted before success is sent (law 6, R-12).

Only the writer truncates; the requestor predicts with the stricter bound which generations will
go, and sends failure if one of them is not held undamaged by this copy. Afterwards it looks which
files disappeared; it never believes a prediction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from frskit.frs.file_sets import files_of
from frskit.model.checks import Coverage, FileVerdict
from frskit.model.components import BackupType, ComponentId
from frskit.model.copies import Truncation
from frskit.model.files import FileRole

if TYPE_CHECKING:
    from frskit.frs.deployment import Policy
    from frskit.model.checks import CheckedFile, ComponentCheck, IntegrityReport
    from frskit.model.components import Component
    from frskit.model.copies import Copy
    from frskit.protocols import Server

__all__ = ["log_files", "outcomes", "truncated_since", "truncations"]

# After COPY and DIFFERENTIAL no log is deleted [EXC-34].
_TRUNCATING = frozenset({BackupType.FULL, BackupType.INCREMENTAL})


def outcomes(copy: Copy, report: IntegrityReport, policy: Policy) -> dict[ComponentId, str]:
    """For each selected component: empty if success may be sent, else why not."""
    return {check.component: _objection(copy, report, check, policy) for check in report.components}


def _objection(copy: Copy, report: IntegrityReport, check: ComponentCheck, policy: Policy) -> str:
    if not check.image_ok:
        return check.problems[0] if check.problems else "the copy is not usable"
    if copy.backup_type not in _TRUNCATING:
        return ""
    if not check.truncation_ok:
        return check.problems[0] if check.problems else "a log of the copy is damaged"
    if report.coverage is Coverage.HEADERS and not policy.accept_partial_coverage:
        return "some files could be checked only in part, and the site does not accept that"
    return _missing_generation(report, check)


def _missing_generation(report: IntegrityReport, check: ComponentCheck) -> str:
    """Whether a generation that the writer may delete is not held undamaged by the copy."""
    if check.truncation_bound is None:
        return ""
    doomed = [
        each
        for each in report.files
        if each.role is FileRole.LOG
        and each.generation is not None
        and each.generation < check.truncation_bound
    ]
    for file in doomed:
        if file.verdict is not FileVerdict.OK:
            return f"{file.path} would be deleted, and its copy is {file.verdict.value}"
        if check.logs_held is None or not (
            check.logs_held[0] <= (file.generation or 0) <= check.logs_held[1]
        ):
            return f"{file.path} would be deleted, and the copy does not hold it in sequence"
    return ""


def log_files(server: Server, components: Sequence[Component]) -> dict[ComponentId, set[str]]:
    """The log files that production has now, by the component that names them.

    Paths are inner paths of the volume, prefixed by the volume's id.
    """
    found: dict[ComponentId, set[str]] = {}
    for component in components:
        for files in component.files:
            if files.role is not FileRole.LOG:
                continue
            place = server.resolve(files.path)
            tree = server.files(place.volume)
            names = {f"{place.volume}:{path}" for path in files_of(tree, place.path, files)}
            found.setdefault(component.id, set()).update(names)
    return found


def truncated_since(server: Server, copy: Copy) -> tuple[Truncation, ...]:
    """What disappeared since a copy whose process died while it told the writers [HAZ-20].

    Only logs below the bound that the checker predicted can have been deleted by its completion.
    """
    if copy.report is None:
        return ()
    bounds = {check.component: check.truncation_bound for check in copy.report.components}
    before: dict[ComponentId, set[str]] = {}
    for file in copy.report.files:
        bound = max(
            (each or 0 for owner, each in bounds.items() if _within(owner, file)), default=0
        )
        if file.role is FileRole.LOG and file.generation is not None and file.generation < bound:
            place = server.resolve(file.path)
            before.setdefault(file.component, set()).add(f"{place.volume}:{place.path}")
    return truncations(copy.report, before, log_files(server, copy.files))


def _within(owner: ComponentId, file: CheckedFile) -> bool:
    return owner == file.component or owner.is_ancestor_of(file.component)


def truncations(
    report: IntegrityReport,
    before: Mapping[ComponentId, set[str]],
    after: Mapping[ComponentId, set[str]],
) -> tuple[Truncation, ...]:
    """What disappeared between two looks at production's logs."""
    # By name alone: all else differs between production's paths and the copy's.
    generations = {
        file.path.replace("\\", "/").rsplit("/", 1)[-1].casefold(): file.generation
        for file in report.files
        if file.role is FileRole.LOG and file.generation is not None
    }
    found = []
    for component, names in before.items():
        gone = sorted(
            name.replace("\\", "/").rsplit("/", 1)[-1]
            for name in names - after.get(component, set())
        )
        numbers = sorted(
            number for name in gone if (number := generations.get(name.casefold())) is not None
        )
        found.append(
            Truncation(
                component=component,
                first=numbers[0] if numbers else None,
                last=numbers[-1] if numbers else None,
                files=tuple(gone),
            )
        )
    return tuple(found)
