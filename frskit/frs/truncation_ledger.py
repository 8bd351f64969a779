"""The ledger: may logs be cut after this copy, and which were? (law 6, R-12).

Only the writer truncates; the requestor predicts with the stricter bound which logs will go, and
sends failure if one of them is not held undamaged by this copy. Afterwards it looks which files
disappeared, and holds that against what was allowed; it never believes a prediction, or a writer.

Places in a log are compared by `LogPoint.before` alone. Where they cannot be compared, deleting is
not safe. No name is taken apart, and no next place is ever reckoned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import evolve

from frskit.frs.file_sets import files_of
from frskit.model.checks import Coverage, FileVerdict
from frskit.model.components import BackupType, ComponentId
from frskit.model.copies import Truncation
from frskit.model.files import FileRole
from frskit.model.log_points import LogPoint
from frskit.model.plans import LogVerdict

if TYPE_CHECKING:
    from frskit.frs.deployment import Policy
    from frskit.model.checks import CheckedFile, ComponentCheck, IntegrityReport
    from frskit.model.components import Component
    from frskit.model.copies import Copy
    from frskit.model.plans import LogAnalysis
    from frskit.protocols import Server

__all__ = [
    "Bounds",
    "after_loss",
    "bounds",
    "disappeared",
    "log_files",
    "lost_logs",
    "outcomes",
    "truncated_since",
    "truncations",
]

# After COPY and DIFFERENTIAL no log is deleted [EXC-34].
_TRUNCATING = frozenset({BackupType.FULL, BackupType.INCREMENTAL})

Bounds = Mapping[ComponentId, LogPoint | None]
"""By selected component: what is strictly before it may be deleted; None, or absent: nothing."""

# --- what may go --------------------------------------------------------------------------------


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
    return _missing_log(report, check)


def _missing_log(report: IntegrityReport, check: ComponentCheck) -> str:
    """Whether a log that the writer may delete is not held undamaged by the copy."""
    bound = check.truncation_bound
    if bound is None:
        return ""
    for file in _logs_of(report, check):
        assert file.log is not None
        doomed = file.log.before(bound)
        if doomed is None:
            return f"{file.path} may be deleted: it is of another stream than the bound {bound}"
        if not doomed:
            continue
        if file.verdict is not FileVerdict.OK:
            return f"{file.path} would be deleted, and its copy is {file.verdict.value}"
        if check.logs_held is None or file.log not in check.logs_held:
            return f"{file.path} would be deleted, and the copy does not hold it in sequence"
    return ""


def _logs_of(report: IntegrityReport, check: ComponentCheck) -> Iterator[CheckedFile]:
    """The logs that a success for this component may cost: its own, and those of nobody."""
    # Each component has a log stream of its own, and bounds of others say nothing of it.
    others = [each.component for each in report.components if each is not check]
    for file in report.files:
        if file.role is not FileRole.LOG or file.log is None:
            continue
        mine = _related(check.component, file.component)
        if mine or not any(_related(other, file.component) for other in others):
            yield file


def bounds(copy: Copy, report: IntegrityReport, success: Mapping[ComponentId, bool]) -> Bounds:
    """What the writers may delete once they have been told these outcomes."""
    if copy.backup_type not in _TRUNCATING:
        return {}
    return {
        check.component: check.truncation_bound
        for check in report.components
        if success.get(check.component, False)
    }


# --- what went ----------------------------------------------------------------------------------


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


def disappeared(
    server: Server,
    copy: Copy,
    report: IntegrityReport | None,
    before: Mapping[ComponentId, set[str]],
    allowed: Bounds,
) -> tuple[Truncation, ...]:
    """What is gone from production now of what was there before, held against what was allowed."""
    after = log_files(server, copy.files)
    found = truncations(report, before, after, allowed)
    if any(each.beyond for each in found):
        # A log that is just being renamed is away for a moment; only what stays away is gone.
        for component, names in log_files(server, copy.files).items():
            after.setdefault(component, set()).update(names)
        found = truncations(report, before, after, allowed)
    return found


def truncations(
    report: IntegrityReport | None,
    before: Mapping[ComponentId, set[str]],
    after: Mapping[ComponentId, set[str]],
    allowed: Bounds,
) -> tuple[Truncation, ...]:
    """What disappeared between two looks at production's logs."""
    found = []
    for component, names in before.items():
        gone = sorted(_base_name(each) for each in names - after.get(component, set()))
        places = _places(report, component)
        known = [place for each in gone if (place := places.get(each.casefold())) is not None]
        # Two streams in one directory have no lowest log; the application's analysis says so.
        known.sort(key=lambda place: (place.stream, place.rank))
        limits = [bound for owner, bound in allowed.items() if _related(owner, component)]
        found.append(
            Truncation(
                component=component,
                first=known[0] if known else None,
                last=known[-1] if known else None,
                files=tuple(gone),
                beyond=()
                if _recycles(report, component)
                else tuple(each for each in gone if not _may_go(each, places, limits)),
            )
        )
    return tuple(found)


def _may_go(
    name: str, places: Mapping[str, LogPoint | None], limits: Sequence[LogPoint | None]
) -> bool:
    """Whether a file that is gone was no loss, by its base name."""
    if name.casefold() not in places:
        return False  # newer than the copy
    place = places[name.casefold()]
    # A file of the log directory that holds no transactions comes and goes.
    return place is None or any(limit is not None and place.before(limit) for limit in limits)


def _places(report: IntegrityReport | None, component: ComponentId) -> dict[str, LogPoint | None]:
    """Where the files of a component's log directory are in the log, by base name.

    By name alone: all else differs between production's paths and the copy's.
    """
    files = () if report is None else report.files
    return {
        _base_name(file.path).casefold(): file.log
        for file in files
        if file.role is FileRole.LOG
        and file.verdict is not FileVerdict.MISSING
        and _related(component, file.component)
    }


def _recycles(report: IntegrityReport | None, component: ComponentId) -> bool:
    checks = () if report is None else report.components
    return any(each.recycles_logs and _related(each.component, component) for each in checks)


def _base_name(path: str) -> str:
    return path.replace("\\", "/").rsplit("/", 1)[-1]


def _related(one: ComponentId, other: ComponentId) -> bool:
    """Whether they are the same component, or one contains the other."""
    return one == other or one.is_ancestor_of(other) or other.is_ancestor_of(one)


def truncated_since(server: Server, copy: Copy) -> tuple[Truncation, ...]:
    """What disappeared since a copy whose process died while it told the writers [HAZ-20].

    Only logs below the bound that the checker predicted can have been deleted by its completion;
    what else disappeared since may have had any cause.
    """
    if copy.report is None:
        return ()
    limits = bounds(copy, copy.report, dict.fromkeys((c.id for c in copy.selected), True))
    before: dict[ComponentId, set[str]] = {}
    for file in copy.report.files:
        if file.role is not FileRole.LOG or file.log is None:
            continue
        near = [bound for owner, bound in limits.items() if _related(owner, file.component)]
        if any(bound is not None and file.log.before(bound) for bound in near):
            place = server.resolve(file.path)
            before.setdefault(file.component, set()).add(f"{place.volume}:{place.path}")
    return truncations(copy.report, before, log_files(server, copy.files), limits)


# --- what that means for a recovery -------------------------------------------------------------


def lost_logs(copy: Copy, component: ComponentId, server: Server) -> tuple[str, ...]:
    """Logs that a roll forward from this copy needs, that were deleted, and are still away.

    Raises:
        VolumeNotFound: Production's log volume is not there.
    """
    gone = [each for each in copy.truncated if each.beyond and _related(each.component, component)]
    if not gone:
        return ()
    mine = [each for each in copy.files if _related(each.id, component)]
    there = {
        _base_name(path).casefold() for paths in log_files(server, mine).values() for path in paths
    }
    return tuple(
        name
        for each in gone
        for name in each.beyond
        if name.casefold() not in there and _is_needed(copy, each.component, name)
    )


def _is_needed(copy: Copy, component: ComponentId, name: str) -> bool:
    """Whether a log is not surely before all that a recovery from the copy reads."""
    place = _places(copy.report, component).get(name.casefold())
    checks = () if copy.report is None else copy.report.components
    firsts = [
        each.logs_needed.first
        for each in checks
        if each.logs_needed is not None and _related(each.component, component)
    ]
    return place is None or not any(place.before(first) for first in firsts)


def after_loss(
    analysis: LogAnalysis, copy: Copy, component: ComponentId, lost: Sequence[str]
) -> LogAnalysis:
    """The application's verdict on a roll forward, in the light of logs that are known to be lost.

    An application that saw the gap is believed. One that saw none has not looked, since the copy
    itself shows which logs there were; logs newer than the copy only it can miss.
    """
    places = _places(copy.report, component)
    known = [name for name in lost if name.casefold() in places]
    if not known or analysis.verdict not in (LogVerdict.CLEAN, LogVerdict.OK):
        return analysis
    return evolve(
        analysis,
        verdict=LogVerdict.IMPOSSIBLE,
        gap_at=places[known[0].casefold()],
        reason=f"{', '.join(known)} was deleted although it was needed, and is still missing",
        remedy="put it back from another copy, or recover to the point in time of this one",
    )
