"""`frskit ese check|header|logs|checkpoint`: what eseutil /k /mh /ml /mk tell, on any platform."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from frskit.cli.app import Session, command, group
from frskit.errors import FrskitError, IntegrityError
from frskit.ese import (
    check_database,
    check_log,
    check_logs,
    identify,
    read_checkpoint,
    read_log_header,
)
from frskit.ese.eseutil import (
    checkpoint_lines,
    checksum_lines,
    checksum_warnings,
    header_lines,
    log_header_lines,
    log_lines,
    log_set_lines,
)
from frskit.ese.header import read_header_copies
from frskit.ese.sources import opened
from frskit.model.ese_files import FileKind

if TYPE_CHECKING:
    from frskit.model.reports import DatabaseReport, LogReport

__all__ = ["ese"]

_SUFFIXES = {".edb", ".stm", ".mdb", ".dat", ".log", ".chk"}
Facts = dict[str, object]


@group(
    "ese",
    "Check and describe ESE databases, logs and checkpoints (Exchange, Active Directory ...).",
)
def ese() -> None:
    """Nothing happens before a command."""


@command("check", parent=ese)
@click.argument(
    "paths",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, path_type=Path),
)
@click.option("--like-eseutil", is_flag=True, help="Counters and success as 'eseutil /k' has them.")
@click.option("--limit-mb", type=float, metavar="MB", help="Read at most so many MB per second.")
def check(
    session: Session, paths: tuple[Path, ...], *, like_eseutil: bool, limit_mb: float | None
) -> int:
    """Verify every page of databases, and every log; directories are searched for such files.

    Exit status 7 if anything is damaged or correctable; with --like-eseutil only if damaged.
    """
    found: list[Facts] = []
    worst = 0
    for path in _files(paths):
        facts, lines = _check_one(session, path, limit_mb)
        found.append(facts)
        bad = facts["verdict"] == "damaged" or (
            facts["verdict"] == "correctable" and not like_eseutil
        )
        worst = max(worst, IntegrityError.exit_status if bad else 0)
        for line in lines if like_eseutil else [_summary(facts)]:
            session.output.line(line)
    session.output.document("frskit.ese.check/1", {"files": found})
    return worst


@command("header", parent=ese)
@click.argument(
    "path", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
def header(session: Session, path: Path) -> None:
    """Show the header of a database (as 'eseutil /mh' does), log or checkpoint."""
    kind = identify(path)
    if kind is FileKind.LOG:
        log = read_log_header(path)
        facts, lines = _plain(log), log_header_lines(log)
    elif kind is FileKind.CHECKPOINT:
        found = read_checkpoint(path)
        facts, lines = _plain(found), checkpoint_lines(found)
    else:
        with opened(path) as file:
            copies = read_header_copies(file, str(path))
        facts, lines = _plain(copies.header), header_lines(copies)
        facts["condition"] = copies.condition
    session.output.document(
        "frskit.ese.header/1", {"path": str(path), "kind": kind.name.lower(), "header": facts}
    )
    for line in lines:
        session.output.line(line)


@command("logs", parent=ese)
@click.argument(
    "directory", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.argument("base", metavar="BASE")
def logs(session: Session, directory: Path, base: str) -> int:
    """Check the log files of a base name (E00), as 'eseutil /ml' does."""
    report = check_logs(directory, base)
    session.output.document(
        "frskit.ese.logs/1",
        {
            "base": report.base,
            "logs": [_log_facts(each) for each in report.logs],
            "missing": [list(each) for each in report.missing],
            "problems": [
                {"kind": each.kind.value, "text": each.text, "error": each.error, "name": each.name}
                for each in report.problems
            ],
            "error": report.error,
        },
    )
    for line in log_set_lines(report):
        session.output.line(line)
    return 0 if report.ok else IntegrityError.exit_status


@command("checkpoint", parent=ese)
@click.argument(
    "path", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
def checkpoint(session: Session, path: Path) -> None:
    """Show a checkpoint file, as 'eseutil /mk' does."""
    found = read_checkpoint(path)
    session.output.document("frskit.ese.checkpoint/1", {"path": str(path), **_plain(found)})
    for line in checkpoint_lines(found):
        session.output.line(line)


def _files(paths: tuple[Path, ...]) -> Iterator[Path]:
    """The files named, and those inside the directories named."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        inside = sorted(each for each in path.rglob("*") if each.suffix.casefold() in _SUFFIXES)
        yield from (each for each in inside if each.is_file())


def _check_one(session: Session, path: Path, limit_mb: float | None) -> tuple[Facts, list[str]]:
    """Check one file, whatever kind it is; damage that hides the kind is a verdict as well."""
    try:
        if identify(path) is FileKind.LOG:
            log = check_log(path)
            return _log_facts(log, path), log_lines(log)
        started = time.monotonic()
        with session.progress() as bars:
            report = check_database(
                path,
                progress=lambda done, total: bars.update(path.name, done, total),
                limit_bytes_per_s=None if limit_mb is None else limit_mb * 1e6,
            )
    except IntegrityError as error:
        facts = _unreadable(path, error)
        return facts, [_summary(facts)]
    lines = checksum_lines(report, elapsed_s=time.monotonic() - started)
    return _database_facts(path, report), [*checksum_warnings(report), *lines]


def _database_facts(path: Path, report: DatabaseReport) -> Facts:
    return {
        "path": str(path),
        "page_size": report.page_size,
        "state": report.state,
        "pages": {
            "seen": report.pages_seen,
            "bad": report.pages_bad,
            "correctable": report.pages_correctable,
            "uninitialized": report.pages_uninitialized,
            "wrong_number": report.pages_wrong_number,
        },
        "damaged": [
            {"page": each.page, "status": each.status, "bit": each.bit} for each in report.damaged
        ],
        "verdict": report.verdict,
        "coverage": report.coverage,
        "required": None
        if report.required is None
        else [report.required.first, report.required.last],
    }


def _log_facts(report: LogReport, path: Path | None = None) -> Facts:
    return {
        "path": str(path or report.name),
        "generation": report.generation,
        "status": report.status.value,
        "verdict": "ok" if report.error is None else "damaged",
        "error": report.error,
        "problem": report.problem,
    }


def _unreadable(path: Path, error: FrskitError) -> Facts:
    counts = dict.fromkeys(("seen", "bad", "correctable", "uninitialized", "wrong_number"), 0)
    return {
        "path": str(path),
        "page_size": None,
        "state": "Unknown",
        "pages": counts,
        "damaged": [],
        "verdict": "damaged",
        "error": error.native,
        "problem": error.message,
    }


def _summary(facts: Facts) -> str:
    pages = facts.get("pages")
    if isinstance(pages, dict) and pages["seen"]:
        counts = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in pages.items())
        return f"{facts['path']}: {facts['verdict']} ({facts['state']}; pages: {counts})"
    problem = f" ({facts['problem']})" if facts.get("problem") else ""
    return f"{facts['path']}: {facts['verdict']}{problem}"


def _plain(value: attrs.AttrsInstance) -> Facts:
    """An attrs value as plain JSON-able values; bytes as hexadecimal text."""

    def flat(_: object, __: object, each: object) -> object:
        return each.hex() if isinstance(each, bytes) else each

    return attrs.asdict(value, value_serializer=flat)
