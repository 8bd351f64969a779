"""The check of a whole storage group as a session, modeled on Microsoft's CHKSGFILES interface.

For a requestor that reads the pages itself (while it copies them, say) and must prove at the end
that nothing was left out. Calls and codes follow the documented interface
[exchange.md 4.4]: init, headers, then pages and logs in any order, then `term`. Whoever only
wants a verdict uses `check_database` and `check_logs`.
"""

from __future__ import annotations

import threading
from enum import Enum, IntEnum
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from frskit.codes.ese import EseError
from frskit.errors import FormatError
from frskit.ese.header import read_header_copies
from frskit.ese.logs.log_set import check_logs
from frskit.ese.pages.verify import is_trailer_page, verify_header_page, verify_page
from frskit.ese.recovery_facts import required_range
from frskit.ese.sources import opened

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from frskit.ese.sources import NamedFiles, Source
    from frskit.model.ese_files import DatabaseHeader
    from frskit.model.reports import LogSetReport, RequiredRange

__all__ = ["CheckCode", "PageResult", "StorageGroupCheck"]


class CheckCode(IntEnum):
    """Result of each call; negative = failure [exchange.md 4.4]."""

    SUCCESS = 0
    DROPPED = EseError.TASK_DROPPED
    REQUIRED_LOGS_MISSING = EseError.REQUIRED_LOG_FILES_MISSING
    BAD_PARAMETER = EseError.INVALID_PARAMETER
    OUT_OF_MEMORY = EseError.OUT_OF_MEMORY
    CHECKSUM = EseError.READ_VERIFY_FAILURE
    BUSY = EseError.TOO_MANY_ACTIVE_USERS
    CORRUPT = EseError.DATABASE_CORRUPTED


class _Stage(Enum):
    NEW = 0
    READY = 1
    CHECKING = 2
    ENDED = 3


@frozen(kw_only=True)
class PageResult:
    """One page that failed in `StorageGroupCheck.check_pages`.

    Attributes:
        page: Logical number.
        actual: Checksum found (of the first block that differs).
        expected: Checksum the bytes call for.
        correctable: Whether one flipped bit would explain it.
    """

    page: int
    actual: int
    expected: int
    correctable: bool = False


@define
class _Coverage:
    """Which pages of one database were seen: disjoint, sorted, half-open intervals."""

    pages: int
    seen: list[tuple[int, int]] = field(factory=list)

    def add(self, first: int, end: int) -> None:
        # Merged at once, so that the list stays short however small the caller's pieces are.
        merged = []
        for low, high in self.seen:
            if high < first or low > end:
                merged.append((low, high))
            else:
                first, end = min(first, low), max(end, high)
        self.seen = sorted([*merged, (first, end)])

    @property
    def complete(self) -> bool:
        return self.pages == 0 or self.seen == [(1, self.pages + 1)]


class StorageGroupCheck:
    """One check of the databases and logs of a storage group.

    `check_pages` may be called from several threads; everything else is for one thread, once.
    Checking a page twice is no error [EXC-53].

    Args:
        databases: Database files by name.
        logs: Directory, mapping or tree that holds the logs.
        base: Base name of the logs.
    """

    def __init__(
        self,
        databases: Mapping[str, Source],
        logs: str | os.PathLike[str] | Mapping[str, Source] | NamedFiles,
        base: str,
    ) -> None:
        self._databases = dict(databases)
        self._logs = logs
        self._base = base
        self._stage = _Stage.NEW
        # Guards the coverage, all that threads share; judging pages needs no lock.
        self._lock = threading.Lock()
        self._coverage: dict[str, _Coverage] = {}
        self._page_size = 0
        self._logs_checked = False
        self.headers: dict[str, DatabaseHeader] = {}
        self.log_report: LogSetReport | None = None

    @property
    def required(self) -> RequiredRange | None:
        """Logs that the databases need together; None if all are clean [EXC-55]."""
        return required_range(self.headers.values())

    def check_headers(self) -> CheckCode:
        """Read all headers; first call. All must share page size and log signature [EXC-54]."""
        if self._stage is not _Stage.NEW:
            return CheckCode.BUSY
        if not self._databases:
            return CheckCode.BAD_PARAMETER
        # Not CHECKING before every header is good: after a failure here every later call is too
        # early.
        self._stage = _Stage.READY
        for name, source in self._databases.items():
            try:
                self._read_header(name, source)
            except FormatError:
                return CheckCode.CHECKSUM
        sizes = {header.page_size_bytes for header in self.headers.values()}
        signatures = {header.log_signature for header in self.headers.values()}
        if len(sizes) > 1 or len(signatures) > 1:
            return CheckCode.CORRUPT
        self._page_size = sizes.pop()
        self._stage = _Stage.CHECKING
        return CheckCode.SUCCESS

    def _read_header(self, name: str, source: Source) -> None:
        with opened(source) as file:
            copies = read_header_copies(file, name)
            # All but the header and its shadow, which the caller does not pass [ese.md 2].
            pages = max(0, file.size_bytes // copies.page_size - 2)
        self.headers[name] = copies.header
        self._coverage[name] = _Coverage(pages)

    def check_pages(
        self, name: str, first_page: int, data: bytes
    ) -> tuple[CheckCode, tuple[PageResult, ...]]:
        """Check consecutive pages that the caller has read; header pages are not passed.

        Args:
            name: The database.
            first_page: Logical number of the first page, 1 or more.
            data: Whole pages.

        Returns:
            The code, and the pages that failed. A correctable page fails too: the caller has
            the damaged bytes in hand.
        """
        if self._stage is not _Stage.CHECKING:
            return CheckCode.BUSY, ()
        coverage = self._coverage.get(name)
        count, rest = divmod(len(data), self._page_size)
        if coverage is None or rest or first_page < 1 or first_page + count > coverage.pages + 1:
            return CheckCode.BAD_PARAMETER, ()
        failed = []
        for index in range(count):
            page = data[index * self._page_size : (index + 1) * self._page_size]
            number = first_page + index
            result = _judge(page, number, last=number == coverage.pages)
            if result is not None:
                failed.append(result)
        # A damaged page was seen too: `term` asks what was checked, not what was good [EXC-53].
        with self._lock:
            coverage.add(first_page, first_page + count)
        return (CheckCode.CHECKSUM if failed else CheckCode.SUCCESS), tuple(failed)

    def check_logs(self) -> CheckCode:
        """Check the logs; once."""
        if self._stage is not _Stage.CHECKING or self._logs_checked:
            return CheckCode.BUSY
        report = check_logs(self._logs, self._base)
        self.log_report = report
        self._logs_checked = True
        required = self.required
        if required is not None:
            have = set(report.generations)
            if any(generation not in have for generation in _bounded(required, len(have))):
                return CheckCode.REQUIRED_LOGS_MISSING
        return CheckCode.SUCCESS if report.ok else CheckCode.CORRUPT

    def term(self) -> CheckCode:
        """End the check; -106 if any page or log was not checked, -1059 if called too early."""
        if self._stage is not _Stage.CHECKING:
            return CheckCode.BUSY
        self._stage = _Stage.ENDED
        complete = all(each.complete for each in self._coverage.values())
        return CheckCode.SUCCESS if complete and self._logs_checked else CheckCode.DROPPED


def _bounded(required: RequiredRange, present: int) -> range:
    """The required generations, cut where more would be missing than can be there."""
    return range(required.first, min(required.last, required.first + present) + 1)


def _judge(page: bytes, number: int, *, last: bool) -> PageResult | None:
    """The failure of one page; None if it is good or never used."""
    # The page that a streaming backup appends has a header's checksum [ese.md 5.3].
    trailer = last and is_trailer_page(page)
    verdict = verify_header_page(page) if trailer else verify_page(page, number)
    if verdict.status in ("ok", "uninitialized"):
        return None
    pairs = zip(verdict.stored, verdict.computed, strict=True)
    actual, expected = next((pair for pair in pairs if pair[0] != pair[1]), (0, 0))
    return PageResult(
        page=number,
        actual=actual,
        expected=expected,
        correctable=verdict.status == "correctable",
    )
