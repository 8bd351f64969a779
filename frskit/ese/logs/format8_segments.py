"""Bodies of new logs (format 8): segments of 4096 bytes, each with a page checksum.

Reads and judges; frskit writes no such logs. Facts and the order of the tests: [ese.md 8].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from attrs import define, frozen

from frskit.ese.fields import parse_lgpos
from frskit.ese.pages.checksums import NEW_FORMAT_FLAG
from frskit.ese.pages.verify import verify_page
from frskit.ese.pages.verify_many import BAD, CORRECTABLE, OK, UNINITIALIZED, PageVerifier, as_words
from frskit.ese.sources import read_exactly
from frskit.model.ese_structures import LgPos
from frskit.model.reports import LogStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frskit.ese.sources import Readable
    from frskit.model.ese_files import LogHeader

__all__ = ["SEGMENT_SIZE", "SegmentWalk", "walk_segments"]

SEGMENT_SIZE = 4096
"""Bytes of a log segment [ese.md 8]."""

# Segments per pass of the verifier, 1 MB (ours).
_RUN = 256


@frozen(kw_only=True)
class SegmentWalk:
    """What the segments of one log look like.

    Attributes:
        status: OK; CORRECTABLE: some have one flipped bit; TORN: the last one is broken but its
            shadow is good; DAMAGED.
        used: Segments with data of this generation.
        empty: Segments without.
        correctable: Segments with one flipped bit.
        checksum: XOR of the stored checksums of all used segments.
        last_checksum: Stored checksum of the last used one; 0 if there is none.
        end: Where the data end.
        problem: What is wrong, in words; empty if nothing.
        problem_offset: Byte offset of the segment concerned; None if it is none or several.
    """

    status: LogStatus
    used: int
    empty: int
    correctable: int
    checksum: int
    last_checksum: int
    end: LgPos
    problem: str = ""
    problem_offset: int | None = None


@define
class _Tally:
    """Counts while walking."""

    used: int = 0
    empty: int = 0
    correctable: int = 0
    checksum: int = 0
    last_checksum: int = 0
    next_segment: int = 0

    def take(self, index: int, stored: int, *, corrected: bool) -> None:
        self.used += 1
        self.correctable += corrected
        self.checksum ^= stored
        self.last_checksum = stored
        self.next_segment = index + 1


def walk_segments(file: Readable, header: LogHeader) -> SegmentWalk:
    """Judge every segment between the header and the last one, which is never used.

    Memory stays small; the number of segments is limited by the header's 16-bit count and by the
    file's length.
    """
    first = header.header_sectors
    # The last segment is never used [ese.md 8].
    end = min(header.file_sectors, file.size_bytes // SEGMENT_SIZE) - 1
    tally = _Tally(next_segment=first)
    for index, status, start in _statuses(file, first, end):
        stored = int.from_bytes(start[:8], "little")
        problem = ""
        if status == UNINITIALIZED:
            tally.empty += 1
        elif status in (OK, CORRECTABLE):
            here = LgPos(generation=header.generation, sector=index)
            found = parse_lgpos(start[8:16])
            if found < here:
                # A position below its place: left over in a file that was used again [ese.md 8].
                tally.empty += 1
            elif found > here or tally.empty:
                problem = "a segment of another position" if found > here else _AFTER_EMPTY
            else:
                tally.take(index, stored, corrected=status == CORRECTABLE)
        # Good under the number before: a shadow copy of that segment [ese.md 8].
        elif _good_under(file, index, index - 1):
            tally.empty += end - index
            break
        elif not tally.empty and _shadow_follows(file, index, header.generation):
            return _walk(tally, header, LogStatus.TORN, "the last write is torn", index)
        else:
            problem = "a segment's checksum is wrong"
        if problem:
            return _walk(tally, header, LogStatus.DAMAGED, problem, index)
    if not tally.correctable:
        return _walk(tally, header, LogStatus.OK)
    problem = f"segments with one flipped bit each: {tally.correctable}"
    return _walk(tally, header, LogStatus.CORRECTABLE, problem)


_AFTER_EMPTY = "a used segment after an empty one"


def _walk(
    tally: _Tally,
    header: LogHeader,
    status: LogStatus,
    problem: str = "",
    index: int | None = None,
) -> SegmentWalk:
    return SegmentWalk(
        status=status,
        used=tally.used,
        empty=tally.empty,
        correctable=tally.correctable,
        checksum=tally.checksum,
        last_checksum=tally.last_checksum,
        end=LgPos(generation=header.generation, sector=tally.next_segment),
        problem=problem,
        problem_offset=None if index is None else index * SEGMENT_SIZE,
    )


def _statuses(file: Readable, first: int, end: int) -> Iterator[tuple[int, int, bytes]]:
    """(index, status, first 16 bytes) of each segment; only the new checksum format is good."""
    verifier = PageVerifier(SEGMENT_SIZE, _RUN)
    for begin in range(first, end, _RUN):
        count = min(_RUN, end - begin)
        data = read_exactly(file, begin * SEGMENT_SIZE, count * SEGMENT_SIZE)
        count = len(data) // SEGMENT_SIZE
        words = as_words(data[: count * SEGMENT_SIZE])
        status = verifier.verify(words, begin).status
        # The flags at byte 36 are the upper half of the fifth word [ese.md 3].
        old = words[4 :: SEGMENT_SIZE // 8] >> np.uint64(32) & np.uint64(NEW_FORMAT_FLAG) == 0
        status[old & (status != UNINITIALIZED)] = BAD
        for index, value in enumerate(status.tolist()):
            at = index * SEGMENT_SIZE
            yield begin + index, value, data[at : at + 16]


def _good_under(file: Readable, index: int, number: int) -> bool:
    """Whether the segment at `index` is good as number `number`."""
    data = read_exactly(file, index * SEGMENT_SIZE, SEGMENT_SIZE)
    if len(data) < SEGMENT_SIZE or number < 1:
        return False
    verdict = verify_page(data, number)
    return verdict.format == "new" and verdict.status == "ok"


def _shadow_follows(file: Readable, index: int, generation: int) -> bool:
    """Whether the next segment is a good shadow of the one at `index`."""
    if not _good_under(file, index + 1, index):
        return False
    position = read_exactly(file, (index + 1) * SEGMENT_SIZE + 8, 8)
    return parse_lgpos(position) == LgPos(generation=generation, sector=index)
