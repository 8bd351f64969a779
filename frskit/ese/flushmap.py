"""The flush map (.jfm): the engine's own memory of which page was written last how.

Pages of 8192 bytes: page -1 is the header, pages 0, 1 ... are data with the new page checksum
under that number. It is a by-product that the engine rebuilds when it is missing; no copy needs
it. Layout [MS flushmap.hxx]; the header is confirmed by a real file.
"""

from __future__ import annotations

from attrs import frozen

from frskit.codes.ese import EseError
from frskit.errors import FormatError
from frskit.ese.fields import Layout, unpack_fields
from frskit.ese.header import header_is_sound
from frskit.ese.pages.checksums import is_new_format, new_checksums, stored_checksums
from frskit.ese.pages.verify import judge_new
from frskit.ese.sources import Source, opened, read_exactly, source_name
from frskit.model.ese_files import FileKind
from frskit.model.ese_structures import LogTime, Signature

__all__ = ["FLUSH_MAP_PAGE_SIZE", "FlushMapHeader", "FlushMapReport", "check_flush_map"]

FLUSH_MAP_PAGE_SIZE = 8192
"""Bytes per page of a flush map [MS flushmap.hxx]."""

_LAYOUT = Layout(
    (
        ("version_major", 4, "u32"),
        ("version_update_major", 8, "u32"),
        ("version_update_minor", 12, "u32"),
        ("flags", 36, "u32"),
        ("created", 40, "time"),
        ("attached", 48, "time"),
        ("detached", 56, "time"),
        ("gen_min_required", 64, "i32"),
        ("gen_min_required_target", 68, "i32"),
        ("flush_started", 72, "time"),
        ("flush_completed", 80, "time"),
        ("header_flush_signature", 88, "signature"),
        ("flush_map_signature", 116, "signature"),
        ("file_type", 667, "u32"),
    )
)


@frozen(kw_only=True)
class FlushMapHeader:
    """The header of a flush map (FMFILEHDR) [MS flushmap.hxx].

    Attributes:
        flags: Bit 0: clean.
        gen_min_required: First log needed to rebuild the map after a crash.
        header_flush_signature: Equal to the database header's, if the two belong together.
        flush_map_signature: Likewise.
    """

    version_major: int
    version_update_major: int
    version_update_minor: int
    flags: int
    created: LogTime
    attached: LogTime
    detached: LogTime
    gen_min_required: int
    gen_min_required_target: int
    flush_started: LogTime
    flush_completed: LogTime
    header_flush_signature: Signature
    flush_map_signature: Signature
    file_type: int

    @property
    def is_clean(self) -> bool:
        """Whether the map was closed in order."""
        return bool(self.flags & 1)


@frozen(kw_only=True)
class FlushMapReport:
    """Result of checking a flush map.

    Attributes:
        name: File name.
        header: Its header.
        pages_seen: Data pages.
        pages_bad: Wrong checksum; a correctable page is not counted.
        pages_correctable: One flipped bit.
        pages_uninitialized: All zero.
    """

    name: str
    header: FlushMapHeader
    pages_seen: int
    pages_bad: int
    pages_correctable: int
    pages_uninitialized: int

    @property
    def ok(self) -> bool:
        """Whether no page is bad."""
        return self.pages_bad == 0


def check_flush_map(file: Source) -> FlushMapReport:
    """Check the header and every data page.

    Raises:
        FormatError: The header is damaged (native -1018), or the file of another kind (-1812).
        FileMissing, HostError: It cannot be read.
    """
    name = source_name(file)
    with opened(file) as reader:
        first = read_exactly(reader, 0, FLUSH_MAP_PAGE_SIZE)
        if len(first) < FLUSH_MAP_PAGE_SIZE or not header_is_sound(first):
            text = f"the header of the flush map {name} is damaged"
            raise FormatError(text, context={"file": name}, native=EseError.READ_VERIFY_FAILURE)
        header = FlushMapHeader(**unpack_fields(_LAYOUT, first))
        if header.file_type != FileKind.FLUSH_MAP:
            raise FormatError(
                f"{name} is not a flush map",
                context={"file": name},
                native=EseError.FILE_INVALID_TYPE,
            )
        counts = {"ok": 0, "bad": 0, "correctable": 0, "uninitialized": 0}
        pages = reader.size_bytes // FLUSH_MAP_PAGE_SIZE - 1
        for number in range(pages):
            offset = (number + 1) * FLUSH_MAP_PAGE_SIZE
            counts[_status(read_exactly(reader, offset, FLUSH_MAP_PAGE_SIZE), number)] += 1
    return FlushMapReport(
        name=name,
        header=header,
        pages_seen=pages,
        pages_bad=counts["bad"],
        pages_correctable=counts["correctable"],
        pages_uninitialized=counts["uninitialized"],
    )


def _status(page: bytes, number: int) -> str:
    # As in a database, a page of zeros was never used and has no checksum [ese.md 4.6].
    if not any(page):
        return "uninitialized"
    if len(page) < FLUSH_MAP_PAGE_SIZE or not is_new_format(page):
        return "bad"
    stored, computed = stored_checksums(page), new_checksums(page, number)
    bad, bit, _ = judge_new(stored, computed, FLUSH_MAP_PAGE_SIZE, number)
    return "bad" if bad else "ok" if bit is None else "correctable"
