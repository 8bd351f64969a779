"""Bodies of old logs (up to format 7): the chain of checksum records.

Every flush of the engine is one *range*, covered by one 22-byte checksum record, which points to
the next. Here: computing such records (for a writer) and walking the chain (for a reader). The
log records between them are not interpreted. Facts: [ese.md 7]; values of the range XOR are held
by vectors of the published source.
"""

from __future__ import annotations

import struct
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np
from attrs import evolve, frozen

from frskit.errors import FormatError
from frskit.ese.logs.header import LOG_HEADER_SIZE
from frskit.ese.pages.checksums import word_xor
from frskit.ese.sources import read_exactly
from frskit.model.ese_structures import LgPos

if TYPE_CHECKING:
    from frskit.ese.sources import Readable

__all__ = [
    "CHECKSUM_RECORD_SIZE",
    "ChainEnd",
    "ChainWalk",
    "ChecksumRecord",
    "build_checksum_record",
    "parse_checksum_record",
    "range_xor",
    "shadow_sector",
    "walk_chain",
]

# Type, flags, seeds and the mark of a shadow: [ese.md 7].
CHECKSUM_RECORD_TYPE = 42
CHECKSUM_RECORD_SIZE = 22
"""Bytes of a checksum record."""

# Flags of the short checksum, seeds of both sums, mark of a shadow [ese.md 7].
SHORT_USED = 0x9A
SHORT_NOT_USED = 0xD1
_CHECKSUM_SEED = 0xFEEDBEAF
_SHORT_SEED = 0xDEADC0DE
_SHADOW_MARK = 0x5AD05EC7
_RECORD = struct.Struct("<BIIIIIB")
# Bytes per read; a multiple of four, so that words stay in step from piece to piece (ours).
_CHUNK = 1 << 20


@frozen(kw_only=True)
class ChecksumRecord:
    """A checksum record as stored (type 42) [ese.md 7].

    Attributes:
        back: Bytes covered before the record: none, or from the start of its sector.
        forward: Bytes covered after the record.
        next_offset: From the record's end to the next record; 0 ends the log.
        checksum: Over both parts.
        short: Over the record's own sector only; 0 if the range is one sector.
        flag: 0x9A if `short` is in use, 0xD1 if not.
    """

    back: int = 0
    forward: int = 0
    next_offset: int = 0
    checksum: int = 0
    short: int = 0
    flag: int = SHORT_NOT_USED

    def pack(self) -> bytes:
        """The 22 bytes.

        Raises:
            FormatError: A value is not a 32-bit number.
        """
        try:
            return _RECORD.pack(
                CHECKSUM_RECORD_TYPE,
                self.back,
                self.forward,
                self.next_offset,
                self.checksum,
                self.short,
                self.flag,
            )
        except struct.error as error:
            raise FormatError(f"not a checksum record: {error}") from error


def _sealed(record: ChecksumRecord, seed: int, covered: int, generation: int) -> int:
    """The checksum of a record over what it covers [ese.md 7]."""
    numbers = record.back ^ record.forward ^ record.next_offset ^ record.flag
    return seed ^ covered ^ numbers ^ (generation & 0xFFFFFFFF)


def parse_checksum_record(data: bytes) -> ChecksumRecord | None:
    """The record at the start of `data`; None if there is none."""
    if len(data) < CHECKSUM_RECORD_SIZE or data[0] != CHECKSUM_RECORD_TYPE:
        return None
    _, back, forward, next_offset, checksum, short, flag = _RECORD.unpack_from(data)
    return ChecksumRecord(
        back=back,
        forward=forward,
        next_offset=next_offset,
        checksum=checksum,
        short=short,
        flag=flag,
    )


def range_xor(data: bytes | bytearray | memoryview, start: int, end: int, seed: int = 0) -> int:
    """XOR of the 32-bit words of ``data[start:end]``, counted from `start`, into `seed`.

    The last partial word is padded with zero bytes at its high end [ese.md 7].
    """
    return seed ^ word_xor(memoryview(data)[start:end])


def build_checksum_record(
    data: bytes | bytearray | memoryview,
    at: int,
    *,
    forward: int,
    generation: int,
    sector_size: int,
    next_offset: int = 0,
    back: int | None = None,
) -> ChecksumRecord:
    """The record for one flush, with both checksums computed.

    Args:
        data: The range's bytes, beginning at a sector boundary of the log. The place of the
            record itself may hold anything.
        at: Offset of the record in `data`; the whole record lies in one sector.
        forward: Bytes covered after the record. A range of more than one sector must end on a
            sector boundary.
        generation: Generation of the log.
        sector_size: Bytes per sector.
        next_offset: From the record's end to the next record, or 0.
        back: Bytes covered before the record; default: from the start of its sector.

    Raises:
        FormatError: The numbers cannot describe a range.
    """
    sector = at - at % sector_size
    record_end, end = at + CHECKSUM_RECORD_SIZE, at + CHECKSUM_RECORD_SIZE + forward
    # A short checksum is for ranges of more than one sector only [ese.md 7].
    several = end > sector + sector_size
    record = ChecksumRecord(
        back=at - sector if back is None else back,
        forward=forward,
        next_offset=next_offset,
        flag=SHORT_USED if several else SHORT_NOT_USED,
    )
    problem = _shape_problem(record, at, sector_size, len(data))
    if problem:
        raise FormatError(problem, context={"at": at, "forward": forward})
    before = range_xor(data, at - record.back, at)
    whole = before ^ range_xor(data, record_end, end)
    head = before ^ range_xor(data, record_end, min(sector + sector_size, len(data)))
    return evolve(
        record,
        checksum=_sealed(record, _CHECKSUM_SEED, whole, generation),
        short=_sealed(record, _SHORT_SEED, head, generation) if several else 0,
    )


def shadow_sector(sector: bytes, at: int, generation: int) -> bytes:
    """The shadow copy of a last flush of one sector, to be written into the next sector.

    Args:
        sector: The sector as written, its checksum record at `at`.
        at: Offset of the record in the sector.
        generation: Generation of the log.

    Raises:
        FormatError: No single-sector checksum record lies there.
    """
    found = parse_checksum_record(sector[at:])
    if found is None or at + CHECKSUM_RECORD_SIZE + found.forward > len(sector):
        raise FormatError("a shadow copy needs a sector with its own checksum record")
    record = build_checksum_record(
        sector,
        at,
        forward=found.forward,
        generation=generation,
        sector_size=len(sector),
        back=found.back,
    )
    marked = evolve(record, checksum=record.checksum ^ _SHADOW_MARK)
    return sector[:at] + marked.pack() + sector[at + CHECKSUM_RECORD_SIZE :]


@frozen
class _Body:
    """What the walk needs to know about the log."""

    file: Readable
    generation: int
    sector_size: int
    size: int


class ChainEnd(Enum):
    """How the walk along a chain ended."""

    COMPLETE = "complete"
    TORN = "torn"
    DAMAGED = "damaged"


@frozen(kw_only=True)
class ChainWalk:
    """What the chain of one log looks like.

    Attributes:
        end: COMPLETE: every record good up to one without successor. TORN: the last, single-sector
            flush is broken but its shadow copy is good. DAMAGED: anything else.
        records: Good checksum records, in the chain's order.
        end_offset: First byte after the last good range.
        problem: What is wrong, in words; empty if COMPLETE.
        problem_offset: Offset of the record concerned; None if COMPLETE.
    """

    end: ChainEnd
    records: int
    end_offset: int
    problem: str = ""
    problem_offset: int | None = None

    def position(self, generation: int, sector_size: int) -> LgPos:
        """Where the good data end, as a log position."""
        sector, offset = divmod(self.end_offset, sector_size)
        return LgPos(generation=generation, sector=sector, offset=offset)


def walk_chain(
    file: Readable, generation: int, sector_size: int, size_bytes: int | None = None
) -> ChainWalk:
    """Follow the chain from byte 4096 and check every range.

    Each step goes forward by at least a sector, so the walk ends whatever the bytes say; memory
    stays small. What lies behind the last record is not looked at.
    """
    size = file.size_bytes if size_bytes is None else min(size_bytes, file.size_bytes)
    body = _Body(file, generation, sector_size, size)
    at, records, end_offset = LOG_HEADER_SIZE, 0, LOG_HEADER_SIZE
    while True:
        record = parse_checksum_record(read_exactly(file, at, CHECKSUM_RECORD_SIZE))
        problem = _record_problem(body, record, at)
        if record is None or problem:
            # What fails here may stand whole in the next sector: then the write was torn, not the
            # log.
            torn = _shadow_is_good(file, at, generation, sector_size)
            return ChainWalk(
                end=ChainEnd.TORN if torn else ChainEnd.DAMAGED,
                records=records,
                end_offset=end_offset,
                problem=problem,
                problem_offset=at,
            )
        records += 1
        end_offset = at + CHECKSUM_RECORD_SIZE + record.forward
        if record.next_offset == 0:
            # Behind the last record lies fill pattern, which nothing covers [ese.md 7].
            return ChainWalk(end=ChainEnd.COMPLETE, records=records, end_offset=end_offset)
        at += CHECKSUM_RECORD_SIZE + record.next_offset


def _record_problem(body: _Body, record: ChecksumRecord | None, at: int) -> str:
    """What is wrong with the range of one record; empty if nothing."""
    if record is None:
        return "no checksum record where the chain leads"
    problem = _shape_problem(record, at, body.sector_size, body.size)
    if problem:
        return problem
    begin = at - record.back
    covered = _file_xor(body.file, begin, at)
    after = at + CHECKSUM_RECORD_SIZE
    end = after + record.forward
    whole = covered ^ _file_xor(body.file, after, end)
    if record.checksum != _sealed(record, _CHECKSUM_SEED, whole, body.generation):
        return "the range's checksum is wrong"
    boundary = at - at % body.sector_size + body.sector_size
    if end <= boundary:
        return "" if record.short == 0 else "a short checksum where none belongs"
    # The short checksum covers the range up to the end of the record's own sector [ese.md 7].
    head = covered ^ _file_xor(body.file, after, boundary)
    if record.short != _sealed(record, _SHORT_SEED, head, body.generation):
        return "the short checksum is wrong"
    return ""


def _shape_problem(record: ChecksumRecord, at: int, sector_size: int, size: int) -> str:
    """Whether the record's numbers can be true [ese.md 7, validity]; empty if they can."""
    sector = at - at % sector_size
    boundary = sector + sector_size
    end = at + CHECKSUM_RECORD_SIZE + record.forward
    if at + CHECKSUM_RECORD_SIZE > boundary:
        return "a checksum record crosses a sector boundary"
    if record.back not in (0, at - sector):
        return "the part before the record does not begin with its sector"
    if end > size:
        return "the range reaches past the end of the file"
    if record.flag != (SHORT_USED if end > boundary else SHORT_NOT_USED):
        return "the flag of the short checksum is wrong"
    if end > boundary and end % sector_size:
        return "a range of several sectors does not end on a sector boundary"
    if record.next_offset:
        # At the earliest the sector behind the record's own, however short the range is.
        following = max(boundary, -(-end // sector_size) * sector_size)
        target = at + CHECKSUM_RECORD_SIZE + record.next_offset
        if not following <= target < following + sector_size:
            return "the next record is not in the sector after the range"
    return ""


def _shadow_is_good(file: Readable, at: int, generation: int, sector_size: int) -> bool:
    """Whether the sector after the record's holds a good shadow copy of it [ese.md 7]."""
    inside = at % sector_size
    shadow = read_exactly(file, at - inside + sector_size, sector_size)
    record = parse_checksum_record(shadow[inside:])
    if record is None or record.next_offset or len(shadow) < sector_size:
        return False
    # A shadow is always a single sector, so it must fit into one.
    if _shape_problem(record, inside, sector_size, sector_size):
        return False
    begin, after = inside - record.back, inside + CHECKSUM_RECORD_SIZE
    covered = range_xor(shadow, begin, inside) ^ range_xor(shadow, after, after + record.forward)
    expected = _sealed(record, _CHECKSUM_SEED, covered, generation)
    return record.checksum == expected ^ _SHADOW_MARK


def _file_xor(file: Readable, start: int, end: int) -> int:
    """`range_xor` over a part of a file, in pieces; the start may have any alignment."""
    value = 0
    for at in range(start, end, _CHUNK):
        piece = read_exactly(file, at, min(_CHUNK, end - at))
        # Whole words by numpy; the last partial word counts as padded with zeros [ese.md 7].
        whole = len(piece) - len(piece) % 4
        value ^= int(np.bitwise_xor.reduce(np.frombuffer(piece[:whole], "<u4"), initial=0))
        value ^= int.from_bytes(piece[whole:], "little")
    return value
