"""What the checks of ESE files found: verdicts and counts, ready to be shown or stored.

Values only; the checks are in `frskit.ese`. Counters follow eseutil's where it has them
[ese.md 5.2], so that the two can be laid side by side.
"""

from __future__ import annotations

from enum import Enum
from typing import Literal, TypeAlias

from attrs import frozen

from frskit.model.ese_files import Checkpoint, DatabaseHeader, LogHeader
from frskit.model.ese_structures import LgPos, Signature
from frskit.model.values import Value

__all__ = [
    "DamagedPage",
    "DatabaseCoverage",
    "DatabaseReport",
    "DatabaseVerdict",
    "LogProblem",
    "LogProblemKind",
    "LogReport",
    "LogSetReport",
    "LogStatus",
    "PageFormat",
    "PagePosition",
    "PageStatus",
    "PageVerdict",
    "RequiredRange",
]

#: What the checksums say of a page; uninitialized pages were never written [ese.md 4].
PageStatus: TypeAlias = Literal["ok", "correctable", "bad", "uninitialized"]
#: Which checksum a page carries; a zero page carries none.
PageFormat: TypeAlias = Literal["new", "old", "header", "zero"]
#: Whether a page belongs to the database or lies beyond its last owned page.
PagePosition: TypeAlias = Literal["inside", "beyond", "unknown"]
#: The worst of its pages: correctable pages have one bit wrong.
DatabaseVerdict: TypeAlias = Literal["ok", "correctable", "damaged"]
#: Whether every page carries a checksum, or the headers alone do (streaming files).
DatabaseCoverage: TypeAlias = Literal["full", "headers"]


@frozen(kw_only=True)
class PageVerdict(Value):
    """What the checksums say about one page [ese.md 4.5].

    Attributes:
        status: ``ok``; ``correctable``: exactly what one flipped bit (per block) would look like,
            likely but never proven; ``bad``; ``uninitialized``: all bytes are zero.
        bit: Position of the first flipped bit in the page, the least significant bit of byte 0
            being 0; None unless correctable.
        format: Which checksum the page carries, by its flags as read.
        stored: The checksums found, one per block.
        computed: The ones the bytes call for.
        probable_number: The page's likely own number if only the number is wrong; else None.
    """

    status: PageStatus
    bit: int | None = None
    format: PageFormat = "new"
    stored: tuple[int, ...] = ()
    computed: tuple[int, ...] = ()
    probable_number: int | None = None


@frozen(kw_only=True)
class DamagedPage(Value):
    """One page that is not as it should be.

    Attributes:
        page: Logical number; the header and its shadow are -1 and 0 [ese.md 5.2].
        status: ``bad`` or ``correctable``.
        bit: As in `PageVerdict`.
        probable_number: As in `PageVerdict`.
        position: ``inside`` the space that the database owns, ``beyond`` it (no data can be lost
            there), or ``unknown``: the space tree is not readable, or the database is dirty and
            may own more than its space tree says [ese.md 4.6]. Never changes a verdict.
    """

    page: int
    status: PageStatus
    bit: int | None = None
    probable_number: int | None = None
    position: PagePosition = "unknown"


@frozen(kw_only=True)
class RequiredRange(Value):
    """Logs that a dirty database needs [ese.md 11.2].

    Attributes:
        first: Lowest generation needed to reach a consistent state.
        last: Highest one needed for that.
        committed: Highest one that holds committed data; equal to `last` before 2007.
    """

    first: int
    last: int
    committed: int

    def __contains__(self, generation: object) -> bool:
        return isinstance(generation, int) and self.first <= generation <= self.last

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


@frozen(kw_only=True)
class DatabaseReport(Value):
    """Result of checking one database file.

    Attributes:
        name: The file's path or name.
        size_bytes: Its length; only whole pages are checked.
        page_size: Bytes per page.
        header: The good copy; None if the page size had to be given because neither was good.
        header_condition: ``ok``, ``copies differ`` (both good), ``primary bad``,
            ``secondary bad`` or ``both bad``.
        pages_seen: Whole pages, the two header pages included.
        pages_bad: Wrong checksum or wrong number.
        pages_correctable: Looking like one flipped bit per block.
        pages_uninitialized: All zero.
        pages_wrong_number: Always 0, as in the current eseutil, which counts a wrong number as a
            bad checksum [ese.md 5.2]; `DamagedPage.probable_number` tells them apart.
        damaged: Bad and correctable pages in ascending order; at most `damaged_limit` of them,
            while the counts are always exact.
        damaged_limit: Length at which `damaged` was cut.
        highest_dbtime: Largest operation counter of a good or correctable page, or 0.
        highest_dbtime_page: That page's number.
        verdict: ``damaged`` if a page is bad or no page was seen; else ``correctable`` if one
            is; else ``ok``.
        coverage: ``headers`` for .stm files, whose data carry no checksum of their own
            [ese.md 5.4]; else ``full``.
        required: Logs needed; None for a clean database.
        owned_pages: Pages that the database owns, by its space tree: 1 to this number. None if
            the tree does not tell, or if nothing was damaged and nobody asked.
    """

    name: str
    size_bytes: int
    page_size: int
    header: DatabaseHeader | None
    header_condition: str
    pages_seen: int
    pages_bad: int = 0
    pages_correctable: int = 0
    pages_uninitialized: int = 0
    pages_wrong_number: int = 0
    damaged: tuple[DamagedPage, ...] = ()
    damaged_limit: int = 0
    highest_dbtime: int = 0
    highest_dbtime_page: int = 0
    verdict: DatabaseVerdict = "ok"
    coverage: DatabaseCoverage = "full"
    required: RequiredRange | None = None
    owned_pages: int | None = None

    def __repr__(self) -> str:
        return (
            f"<DatabaseReport {self.name}: {self.verdict}, {self.state}, {self.pages_seen} pages, "
            f"{self.pages_bad} bad, {self.pages_correctable} correctable>"
        )

    @property
    def missing_pages(self) -> int:
        """Pages that the database owns and the file is too short to hold; 0 if unknown.

        Checksums cannot see a lost tail, and eseutil does not look for it; `verdict` leaves it out
        likewise (frskit's choice), so whoever asks for the owned pages should look here.
        """
        return max(0, (self.owned_pages or 0) - max(0, self.size_bytes // self.page_size - 2))

    @property
    def path(self) -> str:
        """Same as `name`."""
        return self.name

    @property
    def state(self) -> str:
        """The header's state in eseutil's words; "Unknown" without a header."""
        return "Unknown" if self.header is None else self.header.state_text

    @property
    def damaged_is_complete(self) -> bool:
        """Whether `damaged` lists every damaged page."""
        return len(self.damaged) == self.pages_bad + self.pages_correctable


class LogStatus(Enum):
    """What the bytes of one log file say.

    TORN: the last write did not arrive whole, but can be patched from its shadow; allowed only in
    the current log [ese.md 7, 8]. CORRECTABLE: segments with one flipped bit each.
    """

    OK = "ok"
    CORRECTABLE = "correctable"
    TORN = "torn"
    DAMAGED = "damaged"


@frozen(kw_only=True)
class LogReport(Value):
    """Result of checking one log file.

    Attributes:
        name: File name.
        size_bytes: Its length.
        header: The header; None if it is not readable.
        status: What the bytes say.
        error: ESE error number; None if the log is usable.
        problem: What is wrong, in words; empty if nothing.
        problem_offset: Byte offset of the place concerned; None if unknown.
        end: Where the data end; None without a header.
        records: Good checksum records (old body).
        segments_used: Segments with data (new body).
        segments_empty: Segments without.
        segments_correctable: Segments with one flipped bit (new body).
        checksum: XOR of the stored checksums of all used segments (new body); else 0.
        last_checksum: Stored checksum of the last used segment (new body); else 0.
    """

    name: str
    size_bytes: int
    header: LogHeader | None = None
    status: LogStatus = LogStatus.OK
    error: int | None = None
    problem: str = ""
    problem_offset: int | None = None
    end: LgPos | None = None
    records: int = 0
    segments_used: int = 0
    segments_empty: int = 0
    segments_correctable: int = 0
    checksum: int = 0
    last_checksum: int = 0

    def __repr__(self) -> str:
        said = f": {self.problem} ({self.error})" if self.problem else ""
        return f"<LogReport {self.name} {self.status.value}{said}>"

    @property
    def generation(self) -> int | None:
        """Generation by the header; None if it is not readable."""
        return None if self.header is None else self.header.generation


class LogProblemKind(Enum):
    """What can be wrong with a set of logs."""

    DAMAGED = "damaged"
    CORRECTABLE = "correctable"
    TORN = "torn"
    MISSING = "missing"
    NAME_MISMATCH = "name mismatch"
    DUPLICATE = "duplicate"
    BROKEN_CHAIN = "broken chain"
    CHECKSUM_CHAIN = "checksum chain"
    FOREIGN_SIGNATURE = "foreign signature"
    OLDER_VERSION = "older version"


@frozen(kw_only=True)
class LogProblem(Value):
    """One finding about a log set.

    Attributes:
        kind: What it is.
        text: One sentence.
        error: ESE error number; None for a warning.
        name: File concerned; empty if it is a hole.
        first_generation: Generation concerned, or the first one of a hole.
        last_generation: Last one of a hole; else the same.
    """

    kind: LogProblemKind
    text: str
    error: int | None
    name: str = ""
    first_generation: int = 0
    last_generation: int = 0


@frozen(kw_only=True)
class LogSetReport(Value):
    """Result of checking the logs of one storage group in one directory [ese.md 11.1].

    Attributes:
        base: Base name, as ``E00``.
        logs: Archived logs in ascending order, the current log last.
        current: Name of the current log ``Enn.log``; empty if there is none.
        temporary: Name of ``Enntmp.log``; empty if there is none.
        reserves: Names of reserve logs.
        checkpoint: The checkpoint; None if missing or unreadable.
        checkpoint_name: Its file name; empty if there is none.
        checkpoint_error: -533 if neither copy is good, -532 if it belongs to another stream,
            -1812 if it is no checkpoint; None if usable or missing.
        signature: Identity of the stream: that of the lowest readable log; None without logs.
        problems: All findings in the order of checking.
    """

    base: str
    logs: tuple[LogReport, ...] = ()
    current: str = ""
    temporary: str = ""
    reserves: tuple[str, ...] = ()
    checkpoint: Checkpoint | None = None
    checkpoint_name: str = ""
    checkpoint_error: int | None = None
    signature: Signature | None = None
    problems: tuple[LogProblem, ...] = ()

    def __repr__(self) -> str:
        return (
            f"<LogSetReport {self.base}: {len(self.logs)} logs, {len(self.problems)} problems, "
            f"error {self.error}>"
        )

    @property
    def error(self) -> int | None:
        """The first error, which is the result of ``eseutil /ml``; None if there is none."""
        return next((each.error for each in self.problems if each.error is not None), None)

    @property
    def ok(self) -> bool:
        """Whether no error was found; warnings do not count."""
        return self.error is None

    @property
    def missing(self) -> tuple[tuple[int, int], ...]:
        """Holes as (first, last) generations."""
        return tuple(
            (each.first_generation, each.last_generation)
            for each in self.problems
            if each.kind is LogProblemKind.MISSING
        )

    @property
    def generations(self) -> tuple[int, ...]:
        """Generations of all logs with a readable header, in order."""
        return tuple(each.generation for each in self.logs if each.generation is not None)
