"""One part of a database file: what a worker reads, and what it sends back.

A part is a small picklable description, never a buffer, so that any `concurrent.futures`
executor can be given one, also in another process. The bytes of a part pass through one reused
buffer of a few megabytes, so memory does not depend on the size of the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from attrs import frozen

from frskit.codes.ese import EseError
from frskit.errors import FormatError
from frskit.ese.pages.verify_many import (
    BAD,
    CORRECTABLE,
    PIECE_BYTES,
    UNINITIALIZED,
    PageVerifier,
    as_words,
)
from frskit.ese.sources import PathFile, Source, opened, read_exactly
from frskit.model.reports import DamagedPage

if TYPE_CHECKING:
    from frskit.ese.pages.verify_many import PageRun, Words
    from frskit.ese.sources import Readable

__all__ = ["Part", "PartResult", "check_part"]

RUN_BYTES = 64 << 20
"""Bytes per run of the verifier: the longer, the fewer short calls for which two threads would
have to take turns (measured); a run keeps about 0.5 % of that in memory."""


@frozen(kw_only=True)
class Part:
    """Consecutive pages of one file, all of them data pages.

    Attributes:
        source: The file, as the worker will open it.
        page_size: Bytes per page.
        first_page: Logical number of the first one.
        pages: How many.
        damaged_limit: Most damaged pages to name.
        piece_bytes: Bytes per read.
    """

    source: Source
    page_size: int
    first_page: int
    pages: int
    damaged_limit: int
    piece_bytes: int = PIECE_BYTES

    @property
    def offset(self) -> int:
        """Where the part begins in the file: page P lies at (P+1) x page size."""
        return (self.first_page + 1) * self.page_size

    @property
    def size_bytes(self) -> int:
        """Length of the part."""
        return self.pages * self.page_size


@frozen(kw_only=True)
class PartResult:
    """Counts of one part, or of several added up.

    Attributes:
        pages: Pages seen.
        bad: Of these, bad ones.
        correctable: Correctable ones.
        uninitialized: All-zero ones.
        damaged: The first damaged pages.
        highest_dbtime: Of the good pages.
        highest_page: Where that was.
    """

    pages: int = 0
    bad: int = 0
    correctable: int = 0
    uninitialized: int = 0
    damaged: tuple[DamagedPage, ...] = ()
    highest_dbtime: int = 0
    highest_page: int = 0

    def plus(self, other: PartResult, damaged_limit: int) -> PartResult:
        """Both together; `other` lies behind this one in the file."""
        highest = max(self, other, key=lambda each: each.highest_dbtime)
        return PartResult(
            pages=self.pages + other.pages,
            bad=self.bad + other.bad,
            correctable=self.correctable + other.correctable,
            uninitialized=self.uninitialized + other.uninitialized,
            damaged=(self.damaged + other.damaged)[:damaged_limit],
            highest_dbtime=highest.highest_dbtime,
            highest_page=highest.highest_page,
        )


def check_part(part: Part) -> PartResult:
    """Read and judge the pages of one part.

    Raises:
        FormatError: The file ends inside the part (native -4001): it shrank while being read.
        HostError: It cannot be read.
    """
    with opened(part.source) as file:
        return _check_pages(file, part)


def _check_pages(file: Readable, part: Part) -> PartResult:
    capacity = max(1, min(part.pages, RUN_BYTES // part.page_size))
    verifier = PageVerifier(part.page_size, capacity, part.piece_bytes)
    buffer = np.empty(verifier.piece_pages * part.page_size, np.uint8)
    result = PartResult()
    for begin in range(0, part.pages, capacity):
        count = min(capacity, part.pages - begin)
        for at in range(0, count, verifier.piece_pages):
            pages = min(verifier.piece_pages, count - at)
            offset = part.offset + (begin + at) * part.page_size
            verifier.absorb(_read_words(file, offset, pages * part.page_size, buffer), at)
        number = part.first_page + begin
        run = _summary(verifier.conclude(count, number), number, part.damaged_limit)
        result = result.plus(run, part.damaged_limit)
    return result


def _read_words(file: Readable, offset: int, length: int, buffer: np.ndarray) -> Words:
    """`length` bytes as words: into `buffer` if the file can do that, else as they come."""
    # Into the one buffer: a large file is read without an allocation per piece.
    if isinstance(file, PathFile):
        count = file.read_into(offset, memoryview(cast("bytearray", buffer[:length])))
        data: bytes | np.ndarray = buffer[:count]
    else:
        data = read_exactly(file, offset, length)
    if len(data) < length:
        raise FormatError(
            "the file became shorter while it was read",
            hint="Check a copy that nobody writes to.",
            context={"offset": offset, "length": length},
            native=EseError.FILE_IO_BEYOND_EOF,
        )
    return as_words(data)


def _summary(run: PageRun, first_page: int, damaged_limit: int) -> PartResult:
    status = run.status
    counts = np.bincount(status, minlength=4).tolist()
    # What the report will not name is only counted.
    damaged = np.flatnonzero((status == BAD) | (status == CORRECTABLE))[:damaged_limit]
    return PartResult(
        pages=len(status),
        bad=counts[BAD],
        correctable=counts[CORRECTABLE],
        uninitialized=counts[UNINITIALIZED],
        damaged=tuple(_damaged_page(run, index, first_page) for index in damaged.tolist()),
        highest_dbtime=run.highest_dbtime,
        highest_page=first_page + run.highest_index if run.highest_dbtime else 0,
    )


def _damaged_page(run: PageRun, index: int, first_page: int) -> DamagedPage:
    return DamagedPage(
        page=first_page + index,
        status="correctable" if index in run.bits else "bad",
        bit=run.bits.get(index),
        probable_number=run.probable.get(index),
    )
