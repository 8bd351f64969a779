"""What the `frskit ese` commands say: reports of `frskit.ese` as JSON facts and as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from frskit.codes.ese import EseError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frskit.errors import FrskitError
    from frskit.ese import FlushMapReport
    from frskit.model.ese_files import FileKind
    from frskit.model.reports import DamagedPage, DatabaseReport, LogReport, LogSetReport

__all__ = [
    "Facts",
    "database_facts",
    "failure_facts",
    "flush_map_facts",
    "kind_name",
    "log_facts",
    "log_set_facts",
    "plain",
    "summary",
]

Facts = dict[str, object]

# Damaged pages that people are shown; JSON has all of them (ours).
_SHOWN = 20
_COUNTERS = ("seen", "bad", "correctable", "uninitialized", "wrong_number")


def kind_name(kind: FileKind) -> str:
    """A kind of file for JSON and people."""
    return kind.name.lower().replace("_", " ")


def database_facts(path: str, kind: FileKind, report: DatabaseReport) -> Facts:
    """A database, streaming file or checkpoint, page by page."""
    counts = (
        report.pages_seen,
        report.pages_bad,
        report.pages_correctable,
        report.pages_uninitialized,
        report.pages_wrong_number,
    )
    return {
        "path": path,
        "kind": kind_name(kind),
        "size_bytes": report.size_bytes,
        "page_size": report.page_size,
        "state": report.state,
        "header_condition": report.header_condition,
        "pages": dict(zip(_COUNTERS, counts, strict=True)),
        "damaged": [_page_facts(each) for each in report.damaged],
        "damaged_is_complete": report.damaged_is_complete,
        "owned_pages": report.owned_pages,
        "missing_pages": report.missing_pages,
        "verdict": report.verdict,
        "coverage": report.coverage,
        "required": None
        if report.required is None
        else [report.required.first, report.required.last],
        "error": EseError.DATABASE_CORRUPTED if report.verdict == "damaged" else None,
        "problem": "",
    }


def _page_facts(page: DamagedPage) -> Facts:
    return {
        "page": page.page,
        "status": page.status,
        "bit": page.bit,
        "position": page.position,
        "probable_number": page.probable_number,
    }


def log_facts(path: str, report: LogReport, *, archived: bool) -> Facts:
    """One log. A torn last write is damage in an archived log, which is complete [ese.md 7]."""
    torn = report.status.value == "torn"
    error = EseError.LOG_FILE_CORRUPT if torn and archived else report.error
    return {
        "path": path,
        "kind": "log",
        "size_bytes": report.size_bytes,
        "generation": report.generation,
        "status": report.status.value,
        "verdict": report.status.value if error is None else "damaged",
        "error": error,
        "problem": report.problem,
    }


def log_set_facts(directory: str, report: LogSetReport) -> Facts:
    """The logs of one stream in one directory."""
    return {
        "directory": directory,
        "base": report.base,
        "logs": [
            log_facts(each.name, each, archived=each.name != report.current) for each in report.logs
        ],
        "missing": [list(each) for each in report.missing],
        "problems": [
            {"kind": each.kind.value, "text": each.text, "error": each.error, "name": each.name}
            for each in report.problems
        ],
        "checkpoint": None if report.checkpoint is None else report.checkpoint.generation,
        "checkpoint_error": report.checkpoint_error,
        "error": report.error,
    }


def flush_map_facts(path: str, report: FlushMapReport) -> Facts:
    """A flush map; its pages have a fixed size of their own."""
    counts = (
        report.pages_seen,
        report.pages_bad,
        report.pages_correctable,
        report.pages_uninitialized,
        0,
    )
    damaged = "correctable" if report.pages_correctable else "ok"
    return {
        "path": path,
        "kind": "flush map",
        "page_size": 8192,
        "state": "Clean" if report.header.is_clean else "Dirty",
        "pages": dict(zip(_COUNTERS, counts, strict=True)),
        "damaged": [],
        "damaged_is_complete": not report.pages_bad and not report.pages_correctable,
        "verdict": "damaged" if report.pages_bad else damaged,
        "coverage": "full",
        "error": None,
        "problem": "",
    }


def failure_facts(path: str, kind: FileKind, error: FrskitError, verdict: str) -> Facts:
    """A file that could not be checked to the end, or of which nothing is readable."""
    return {
        "path": path,
        "kind": kind_name(kind),
        "page_size": None,
        "state": "Unknown",
        "pages": dict.fromkeys(_COUNTERS, 0),
        "damaged": [],
        "damaged_is_complete": False,
        "verdict": verdict,
        "error": error.native,
        "problem": error.message,
    }


def summary(facts: Facts) -> Iterator[str]:
    """What people read about one file: a line, and one for each damaged page."""
    notes = list(_notes(facts))
    yield f"{facts['path']}: {facts['verdict']}" + (f" ({'; '.join(notes)})" if notes else "")
    pages = facts.get("damaged")
    if not isinstance(pages, list):
        return
    for each in pages[:_SHOWN]:
        yield f"  page {each['page']}: {_damage(each)}, {_position(each, facts)}"
    if len(pages) > _SHOWN:
        yield f"  and {len(pages) - _SHOWN} more; --json has them"


def _notes(facts: Facts) -> Iterator[str]:
    if facts["kind"] == "log":
        if facts["generation"] is not None:
            yield f"log, generation {facts['generation']}"
    elif (pages := facts["pages"]) and isinstance(pages, dict) and pages["seen"]:
        counts = [f"{number} {name.replace('_', ' ')}" for name, number in pages.items()]
        yield f"{facts['kind']}, {facts['state']}"
        yield f"pages: {', '.join(counts)}"
    if facts.get("coverage") == "headers":
        yield "headers only: pages of a streaming file carry no checksum"
    if facts.get("missing_pages"):
        yield f"the file ends {facts['missing_pages']} pages before the space it owns"
    if facts["problem"]:
        yield str(facts["problem"])


def _damage(page: Facts) -> str:
    if page["status"] == "correctable":
        return f"correctable (bit {page['bit']})"
    number = page["probable_number"]
    return "bad" if number is None else f"bad (perhaps this is page {number})"


def _position(page: Facts, facts: Facts) -> str:
    return {
        "inside": "inside the space that the database owns",
        "beyond": f"beyond the {facts.get('owned_pages')} pages that the database owns",
    }.get(str(page["position"]), "position unknown")


def plain(value: attrs.AttrsInstance) -> Facts:
    """An attrs value as plain JSON-able values; bytes as hexadecimal text."""

    def flat(_: object, __: object, each: object) -> object:
        return each.hex() if isinstance(each, bytes) else each

    return attrs.asdict(value, value_serializer=flat)
