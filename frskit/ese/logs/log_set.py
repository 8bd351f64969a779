"""Checking the logs of one storage group: what ``eseutil /ml Enn`` does.

Each log by itself, then how they hang together: names, holes, creation times, checksums across
files, one signature. Facts only; whether a copy can be recovered with them is decided elsewhere.
Facts: [ese.md 10, 11.1].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, field, frozen, mutable

from frskit.clock import Budget
from frskit.codes.ese import EseError
from frskit.errors import FormatError
from frskit.ese.checkpoint import load_checkpoint
from frskit.ese.logs.file import check_open_log
from frskit.ese.logs.names import LogFileKind, LogName, check_base, parse_log_name
from frskit.ese.recovery_facts import LogFacts, checkpoint_facts, log_facts
from frskit.ese.sources import named_files
from frskit.model.reports import LogProblem, LogProblemKind, LogReport, LogSetReport, LogStatus

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from frskit.ese.recovery_facts import CheckpointFacts
    from frskit.ese.sources import NamedFiles, Source
    from frskit.model.ese_files import Checkpoint, LogHeader
    from frskit.model.ese_structures import Signature

__all__ = ["check_logs", "facts_of_checkpoint", "facts_of_logs"]

_WARNINGS = {
    LogStatus.CORRECTABLE: LogProblemKind.CORRECTABLE,
    LogStatus.TORN: LogProblemKind.TORN,
}


@frozen(kw_only=True)
class _Names:
    """The names of one stream, sorted out."""

    logs: tuple[LogName, ...]
    temporary: str
    reserves: tuple[str, ...]
    checkpoint: str


@mutable
class _Chain:
    """State while going through the logs in order."""

    problems: list[LogProblem] = field(factory=list)
    signature: Signature | None = None
    previous: tuple[LogReport, LogHeader] | None = None
    last_generation: int | None = None

    def add(
        self,
        kind: LogProblemKind,
        error: int | None,
        text: str,
        *,
        name: str = "",
        first: int = 0,
        last: int | None = None,
    ) -> None:
        self.problems.append(
            LogProblem(
                kind=kind,
                text=text,
                error=error,
                name=name,
                first_generation=first,
                last_generation=first if last is None else last,
            )
        )


def check_logs(
    directory: str | os.PathLike[str] | Mapping[str, Source] | NamedFiles,
    base: str,
    *,
    first_generation: int | None = None,
    last_generation: int | None = None,
    budget: Budget | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> LogSetReport:
    """Check all logs of the stream `base` that a directory holds.

    Args:
        directory: A directory's path, a mapping from names to files, or a tree whose root
            directory holds the logs. Files of other streams are left alone.
        base: Base name, as ``E00``; case does not matter.
        first_generation: Archived logs below are left out.
        last_generation: Logs above are left out.
        budget: Deadline and cancel token, looked at before each log.
        progress: Called with (logs checked, logs in all).

    Returns:
        The report, also if logs are damaged or missing; its `error` is what eseutil would return.

    Raises:
        FileMissing, HostError: The directory or a file cannot be read.
        Cancelled, TimedOut: The budget said so.
        UsageError: `base` cannot be a base name.
    """
    files = named_files(directory)
    budget = budget or Budget.unlimited()
    names = _sort_names(files, check_base(base), first_generation, last_generation)
    chain = _Chain()
    logs: list[LogReport] = []
    current = ""
    for done, name in enumerate(names.logs):
        budget.check(f"checking {name.name}")
        report = _check_one(files, name)
        if name.kind is LogFileKind.CURRENT:
            # Only its header says which generation it is, so it is read before it can be left out.
            if not _within(report.generation, first_generation, last_generation):
                continue
            current = name.name
        logs.append(_place(report, name, chain))
        if progress is not None:
            progress(done + 1, len(names.logs))
    checkpoint, error = _checkpoint(files, names.checkpoint, chain.signature)
    return LogSetReport(
        base=base,
        logs=tuple(logs),
        current=current,
        temporary=names.temporary,
        reserves=names.reserves,
        checkpoint=checkpoint,
        checkpoint_name=names.checkpoint,
        checkpoint_error=error,
        signature=chain.signature,
        problems=tuple(chain.problems),
    )


def facts_of_logs(report: LogSetReport) -> tuple[LogFacts, ...]:
    """What each log means for recovery, in the report's order."""
    names = {each.name: parse_log_name(each.name, report.base) for each in report.logs}
    return tuple(
        log_facts(each, None if name is None else name.generation)
        for each in report.logs
        for name in (names[each.name],)
    )


def facts_of_checkpoint(report: LogSetReport) -> CheckpointFacts | None:
    """What the checkpoint means for recovery; None if there is no file."""
    return checkpoint_facts(report.checkpoint, report.checkpoint_error)


def _sort_names(files: NamedFiles, base: str, first: int | None, last: int | None) -> _Names:
    found = [parsed for name in files.listdir() if (parsed := parse_log_name(name, base))]
    by_kind: dict[LogFileKind, list[LogName]] = {kind: [] for kind in LogFileKind}
    for each in found:
        by_kind[each.kind].append(each)
    archived = [
        each for each in by_kind[LogFileKind.ARCHIVED] if _within(each.generation, first, last)
    ]
    archived.sort(key=lambda each: (each.generation or 0, each.name))
    # The name makes the order of two logs with one number the same on every file system.
    return _Names(
        logs=(*archived, *by_kind[LogFileKind.CURRENT][:1]),
        temporary=_first_name(by_kind[LogFileKind.TEMPORARY]),
        reserves=tuple(each.name for each in by_kind[LogFileKind.RESERVE]),
        checkpoint=_first_name(by_kind[LogFileKind.CHECKPOINT]),
    )


def _first_name(names: Sequence[LogName]) -> str:
    return names[0].name if names else ""


def _within(generation: int | None, first: int | None, last: int | None) -> bool:
    if generation is None:
        return True
    return (first is None or generation >= first) and (last is None or generation <= last)


def _check_one(files: NamedFiles, name: LogName) -> LogReport:
    file = files.open(name.name)
    try:
        report = check_open_log(file, name.name)
    finally:
        file.close()
    # Only the log in use may be torn; a closed one was written to its end [ese.md 7].
    if report.status is LogStatus.TORN and name.kind is LogFileKind.ARCHIVED:
        return evolve(report, error=EseError.LOG_FILE_CORRUPT)
    return report


def _place(report: LogReport, name: LogName, chain: _Chain) -> LogReport:
    """Add what is wrong with this log, and with its place among the others, to the chain."""
    generation = report.generation if name.generation is None else name.generation
    if report.header is None:
        _note_hole(chain, generation, name)
        chain.add(
            LogProblemKind.DAMAGED,
            report.error,
            report.problem,
            name=name.name,
            first=generation or 0,
        )
        # Without its header nothing can be said of what should follow: the chain starts again.
        chain.previous = None
    else:
        _place_readable(report, report.header, name, chain)
    if generation is not None:
        chain.last_generation = generation
    return report


def _place_readable(report: LogReport, header: LogHeader, name: LogName, chain: _Chain) -> None:
    """The tests in eseutil's order [ese.md 11.1]."""
    number = header.generation
    if name.generation not in (None, number):
        text = f"{name.name} says that it is generation {number}"
        chain.add(
            LogProblemKind.NAME_MISMATCH,
            EseError.LOG_GENERATION_MISMATCH,
            text,
            name=name.name,
            first=number,
        )
    _note_hole(chain, number if name.generation is None else name.generation, name)
    if chain.previous is not None:
        _compare_neighbors(chain, *chain.previous, report, header)
    if chain.signature is None:
        chain.signature = header.log_signature
    elif header.log_signature != chain.signature:
        text = f"{name.name} belongs to another log stream"
        chain.add(
            LogProblemKind.FOREIGN_SIGNATURE,
            EseError.BAD_LOG_SIGNATURE,
            text,
            name=name.name,
            first=number,
        )
    if report.error is not None:
        chain.add(
            LogProblemKind.DAMAGED, report.error, report.problem, name=name.name, first=number
        )
    elif report.status in _WARNINGS:
        kind = _WARNINGS[report.status]
        chain.add(kind, None, report.problem, name=name.name, first=number)
    # A log with a damaged body still has the header that the next one is compared with.
    chain.previous = (report, header)


def _note_hole(chain: _Chain, generation: int | None, name: LogName) -> None:
    """Note a hole before this log, or a second log of one generation; then chains restart."""
    last = chain.last_generation
    if last is None or generation is None or generation == last + 1:
        return
    chain.previous = None
    if generation > last:
        text = f"missing log file(s) before {name.name}"
        chain.add(
            LogProblemKind.MISSING,
            EseError.MISSING_LOG_FILE,
            text,
            first=last + 1,
            last=generation - 1,
        )
        return
    # Two archived names of one generation are ambiguous, but the engine finds one and goes on; a
    # current log that is not the next one is an error [ese.md 11.1].
    error = EseError.MISSING_LOG_FILE if name.kind is LogFileKind.CURRENT else None
    text = f"{name.name} is generation {generation}, which was there already"
    chain.add(LogProblemKind.DUPLICATE, error, text, name=name.name, first=generation)


def _compare_neighbors(
    chain: _Chain,
    previous: LogReport,
    previous_header: LogHeader,
    report: LogReport,
    header: LogHeader,
) -> None:
    """Creation times, checksums and versions of two logs that should follow each other."""
    before, after = log_facts(previous, None), log_facts(report, None)
    number = after.generation
    # All eight bytes of the time, as in recovery [ese.md 11.1].
    if after.previous_created != before.created:
        text = f"{report.name} does not continue {previous.name}"
        chain.add(
            LogProblemKind.BROKEN_CHAIN,
            EseError.INVALID_LOG_SEQUENCE,
            text,
            name=report.name,
            first=number,
        )
    if not after.checksum_follows(before):
        text = f"{report.name} remembers another content of {previous.name}"
        chain.add(
            LogProblemKind.CHECKSUM_CHAIN,
            EseError.LOG_SEQUENCE_CHECKSUM_MISMATCH,
            text,
            name=report.name,
            first=number,
        )
    if _version(header) < _version(previous_header):
        text = f"{report.name} has an older version than {previous.name}"
        chain.add(LogProblemKind.OLDER_VERSION, None, text, name=report.name, first=number)


def _version(header: LogHeader) -> tuple[int, int, int, int]:
    return (header.major, header.minor, header.update_major, header.update_minor)


def _checkpoint(
    files: NamedFiles, name: str, signature: Signature | None
) -> tuple[Checkpoint | None, int | None]:
    """The checkpoint and the error that keeps it from being used [ese.md 9]."""
    if not name:
        return None, None
    file = files.open(name)
    try:
        checkpoint = load_checkpoint(file, name)[0]
    except FormatError as error:
        return None, error.native if isinstance(error.native, int) else EseError.CHECKPOINT_CORRUPT
    finally:
        file.close()
    # Returned all the same, so that a report can show what it says.
    if signature is not None and checkpoint.log_signature != signature:
        return checkpoint, EseError.BAD_CHECKPOINT_SIGNATURE
    return checkpoint, None
