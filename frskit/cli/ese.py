"""`frskit ese check|header|logs|checkpoint`: what eseutil /k /mh /ml /mk tell, on any platform.

The commands take files, directories (which are searched), or with ``--copy`` the files of a copy,
read from its presented LUNs. They change nothing, and need a site for ``--copy`` only.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from attrs import evolve, frozen

from frskit.cli.app import Session, command, group
from frskit.cli.ese_facts import (
    Facts,
    database_facts,
    failure_facts,
    flush_map_facts,
    kind_name,
    log_facts,
    log_set_facts,
    plain,
    summary,
)
from frskit.cli.ese_files import (
    CHECKPOINTS,
    DATABASES,
    LOGS,
    Found,
    base_names,
    directories,
    found_files,
    has_logs,
    is_archived,
    split_base,
)
from frskit.codes.ese import EseError
from frskit.errors import FileMissing, FormatError, HostError, IntegrityError, UsageError
from frskit.ese import check_database, identify, opened, read_checkpoint, read_header_copies
from frskit.ese.eseutil import (
    checkpoint_lines,
    checksum_lines,
    checksum_warnings,
    header_lines,
    log_header_lines,
    log_lines,
    log_set_lines,
)
from frskit.ese.pages import PAGE_SIZES
from frskit.model.ese_files import FileKind

if TYPE_CHECKING:
    from typing import TypeAlias

    from frskit.ese import Source

__all__ = ["ese"]

Bars: TypeAlias = "Callable[[str, int, int], None]"

_COPY = click.option(
    "--copy", "copy", metavar="ID", help="Work on the files of this copy; FILE... are patterns."
)
_LIKE_ESEUTIL = click.option(
    "--like-eseutil", is_flag=True, help="Words and success as eseutil has them."
)
_FILES = click.argument("words", metavar="FILE...", nargs=-1)

_STATUS = {
    "ok": 0,
    "correctable": IntegrityError.exit_status,
    "torn": IntegrityError.exit_status,
    "damaged": IntegrityError.exit_status,
    "unreadable": HostError.exit_status,
    "unsupported": UsageError.exit_status,
}
_PASSED_BY_ESEUTIL = ("correctable", "torn")

_BY_SUFFIX = {
    **dict.fromkeys(LOGS, FileKind.LOG),
    **dict.fromkeys(CHECKPOINTS, FileKind.CHECKPOINT),
    ".jfm": FileKind.FLUSH_MAP,
}


@group(
    "ese",
    "Check and describe ESE databases, logs and checkpoints (Exchange, Active Directory ...).",
)
def ese() -> None:
    """Nothing happens before a command."""


@frozen(kw_only=True)
class Checked:
    """One file's result.

    Attributes:
        facts: For JSON, and for people as `summary` puts it.
        lines: As eseutil puts it.
        warnings: What eseutil writes to the error output.
    """

    facts: Facts
    lines: list[str]
    warnings: list[str]

    def status(self, *, like_eseutil: bool) -> int:
        """Exit status of this file alone."""
        verdict = str(self.facts["verdict"])
        return 0 if like_eseutil and verdict in _PASSED_BY_ESEUTIL else _STATUS[verdict]


@command("check", parent=ese)
@_FILES
@_COPY
@_LIKE_ESEUTIL
@click.option("--limit-mb", type=float, metavar="MB", help="Read at most so many MB per second.")
@click.option(
    "--page-size",
    type=click.Choice([str(each) for each in PAGE_SIZES]),
    help="For databases of which neither header copy is readable.",
)
def check(
    session: Session,
    words: tuple[str, ...],
    *,
    copy: str | None,
    like_eseutil: bool,
    limit_mb: float | None,
    page_size: str | None,
) -> int:
    """Verify every page of databases, every log and checkpoint, as 'eseutil /k' does.

    Exit status 7 if anything is damaged, torn or correctable; with --like-eseutil only if damaged.
    """
    found: list[Checked] = []
    options = _Options(
        limit_bytes_per_s=None if limit_mb is None else limit_mb * 1e6,
        page_size=None if page_size is None else int(page_size),
    )
    suffixes = DATABASES | LOGS | CHECKPOINTS
    with found_files(session, words, copy, suffixes) as files, _bars(session) as bars:
        for file in files:
            result = _check_one(file, options, bars)
            found.append(result)
            _show(session, result, like_eseutil=like_eseutil, alone=len(files) == 1)
    document: Facts = {"files": [each.facts for each in found]}
    session.output.document(
        "frskit.ese.check/1", document if copy is None else {"copy": copy, **document}
    )
    statuses = {each.status(like_eseutil=like_eseutil) for each in found}
    return max(statuses)


@command("header", parent=ese)
@_FILES
@_COPY
def header(session: Session, words: tuple[str, ...], *, copy: str | None) -> int:
    """Show headers of databases (as 'eseutil /mh' does), logs, checkpoints and flush maps."""
    suffixes = DATABASES | LOGS | CHECKPOINTS
    return _each(session, words, copy, suffixes, _show_header)


@command("checkpoint", parent=ese)
@_FILES
@_COPY
def checkpoint(session: Session, words: tuple[str, ...], *, copy: str | None) -> int:
    """Show checkpoint files, as 'eseutil /mk' does."""
    return _each(session, words, copy, CHECKPOINTS, _show_checkpoint)


@command("logs", parent=ese)
@click.argument("words", metavar="DIR_OR_LOG... [BASE]", nargs=-1)
@_COPY
@_LIKE_ESEUTIL
def logs(session: Session, words: tuple[str, ...], *, copy: str | None, like_eseutil: bool) -> int:
    """Check the log streams of directories, or single logs, as 'eseutil /ml' does.

    BASE is a base name (E00); without it all streams that are found are checked. With --copy the
    only word is BASE. Exit status 7 if a log is missing, damaged, torn or correctable; with
    --like-eseutil a torn current log and correctable ones pass.
    """
    from frskit.ese import check_logs

    if copy is not None and len(words) > 1:
        raise UsageError("with --copy give a base name, or nothing")
    paths, base = (words, None) if copy is None else ((), next(iter(words), None))
    if copy is None:
        paths, base = split_base(words)
    worst = 0
    with found_files(session, paths, copy, LOGS | CHECKPOINTS, spare=True) as files:
        # Logs that were named themselves are looked at alone, the others as streams.
        single = {each.path for each in files} & set(paths)
        for file in files:
            if file.path in single:
                worst = max(worst, _show_log(session, file, like_eseutil=like_eseutil))
        streams = _streams([each for each in files if each.path not in single], base)
        for directory, name, members in streams:
            report = check_logs(members, name)
            facts = log_set_facts(directory, report)
            session.output.document("frskit.ese.logs/1", facts)
            for line in log_set_lines(report):
                session.output.line(line)
            flawed = any(each.kind.value in _PASSED_BY_ESEUTIL for each in report.problems)
            if not report.ok or (flawed and not like_eseutil):
                worst = max(worst, IntegrityError.exit_status)
    return worst


def _streams(
    files: list[Found], base: str | None
) -> Iterator[tuple[str, str, Mapping[str, Source]]]:
    """(directory, base name, its files) of every log stream.

    Raises:
        FileMissing: There is none; an empty answer would read like a good one.
    """
    count = 0
    for directory, members in directories(files).items():
        for name in base_names(members) if base is None else [base]:
            if has_logs(members, name):
                count += 1
                yield directory, name, members
    if not count and (files or base is not None):
        raise FileMissing(f"there are no logs{f' of {base}' if base else ''}")


def _show_log(session: Session, file: Found, *, like_eseutil: bool) -> int:
    """One log by itself: header and verdict."""
    from frskit.ese.logs import load_log_header

    result = _check_log(file)
    with opened(file.source) as reader:
        facts = dict(result.facts)
        lines = list(result.lines)
        try:
            found = load_log_header(reader, file.path)
        except FormatError:
            pass
        else:
            facts["header"] = plain(found)
            lines = [*log_header_lines(found), "", *lines]
    session.output.document("frskit.ese.log/1", facts)
    for line in lines:
        session.output.line(line)
    return result.status(like_eseutil=like_eseutil)


# --- one file ----------------------------------------------------------------------------------


@frozen(kw_only=True)
class _Options:
    """How files are read."""

    limit_bytes_per_s: float | None = None
    page_size: int | None = None


def _kind(file: Found) -> FileKind:
    """By the header; where that is not readable, by the name."""
    kind = identify(file.source)
    return _BY_SUFFIX.get(file.suffix, kind) if kind is FileKind.UNKNOWN else kind


def _check_one(file: Found, options: _Options, bars: Bars | None) -> Checked:
    """Check one file, whatever kind it is; what hides its content is a verdict as well."""
    from frskit.ese import check_flush_map

    kind = FileKind.UNKNOWN
    try:
        kind = _kind(file)
        if kind is FileKind.LOG:
            return _check_log(file)
        if kind is FileKind.FLUSH_MAP:
            return _plainly(flush_map_facts(file.path, check_flush_map(file.source)))
        if kind is FileKind.CHECKPOINT:
            read_checkpoint(file.source)
        return _check_pages(file, kind, options, bars)
    except FormatError as error:
        verdict = "unsupported" if error.native == EseError.FILE_INVALID_TYPE else "damaged"
        return _plainly(failure_facts(file.path, kind, error, verdict))
    except HostError as error:
        return _plainly(failure_facts(file.path, kind, error, "unreadable"))


def _check_pages(file: Found, kind: FileKind, options: _Options, bars: Bars | None) -> Checked:
    started = time.monotonic()
    report = check_database(
        file.source,
        progress=None if bars is None else lambda done, total: bars(file.name, done, total),
        limit_bytes_per_s=options.limit_bytes_per_s,
        page_size=options.page_size,
        owned_space=True,
    )
    return Checked(
        facts=database_facts(file.path, kind, report),
        lines=checksum_lines(report, elapsed_s=time.monotonic() - started),
        warnings=checksum_warnings(report),
    )


def _check_log(file: Found) -> Checked:
    from frskit.ese import check_log

    report = check_log(file.source)
    facts = log_facts(file.path, report, archived=is_archived(file.name))
    if facts["verdict"] == "damaged" and report.error is None:
        report = evolve(report, error=EseError.LOG_FILE_CORRUPT)
    return Checked(facts=facts, lines=log_lines(evolve(report, name=file.path)), warnings=[])


def _plainly(facts: Facts) -> Checked:
    """A result for which eseutil has no words of its own."""
    return Checked(facts=facts, lines=list(summary(facts)), warnings=[])


def _show(session: Session, result: Checked, *, like_eseutil: bool, alone: bool) -> None:
    """One file's result for people, as soon as it is there."""
    if session.output.as_json:
        return
    if not like_eseutil:
        for line in summary(result.facts):
            session.output.line(line)
        return
    if not alone:
        session.output.line(f"File: {result.facts['path']}")
    for line in result.warnings:
        session.output.aside(line)
    for line in result.lines:
        session.output.line(line)
    if not alone:
        session.output.line()


@contextmanager
def _bars(session: Session) -> Iterator[Bars | None]:
    """Progress bars, if there is a terminal to draw them on."""
    if session.output.as_json or not sys.stderr.isatty():
        yield None
        return
    with session.progress() as bars:
        yield bars.update


# --- headers -----------------------------------------------------------------------------------


def _each(
    session: Session,
    words: tuple[str, ...],
    copy: str | None,
    suffixes: Iterable[str],
    show: Callable[[Session, Found], list[str]],
) -> int:
    """Show something of each file; what is not readable does not keep the others from it."""
    worst = 0
    with found_files(session, words, copy, suffixes) as files:
        for file in files:
            try:
                lines = show(session, file)
            except (IntegrityError, HostError) as error:
                session.output.error(error)
                worst = max(worst, error.exit_status)
                continue
            for line in lines if len(files) == 1 else [f"File: {file.path}", *lines, ""]:
                session.output.line(line)
    return worst


def _show_header(session: Session, file: Found) -> list[str]:
    kind = _kind(file)
    facts, lines = _header(file, kind)
    session.output.document(
        "frskit.ese.header/1", {"path": file.path, "kind": kind_name(kind), "header": facts}
    )
    return lines


def _header(file: Found, kind: FileKind) -> tuple[Facts, list[str]]:
    from frskit.ese import check_flush_map, read_log_header

    if kind is FileKind.LOG:
        log = read_log_header(file.source)
        return plain(log), log_header_lines(log)
    if kind is FileKind.CHECKPOINT:
        found = read_checkpoint(file.source)
        return plain(found), checkpoint_lines(found)
    if kind is FileKind.FLUSH_MAP:
        facts = plain(check_flush_map(file.source).header)
        return facts, [f"{name}: {value}" for name, value in facts.items()]
    with opened(file.source) as reader:
        copies = read_header_copies(reader, file.path)
    return {**plain(copies.header), "condition": copies.condition}, header_lines(copies)


def _show_checkpoint(session: Session, file: Found) -> list[str]:
    found = read_checkpoint(file.source)
    session.output.document("frskit.ese.checkpoint/1", {"path": file.path, **plain(found)})
    return checkpoint_lines(found)
