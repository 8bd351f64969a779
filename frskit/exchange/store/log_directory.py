"""The directory of a log stream: names of logs, which generations are there, reading one log.

Names only and bytes only; what the records mean is for `logrecords`, whether the set suffices is
for `recovery`. Facts: [ese.md 6, 7, 10], [exchange.md 1.2].
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import frozen

from frskit.codes.ese import EseError
from frskit.errors import FormatError, StoreError
from frskit.ese.logs import (
    CHECKSUM_RECORD_SIZE,
    LOG_HEADER_SIZE,
    ChainEnd,
    load_log_header,
    parse_checksum_record,
    walk_chain,
)
from frskit.exchange.store.log_records import END, Record, decode_records
from frskit.model.ese_files import LogHeader
from frskit.model.ese_structures import LgPos

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frskit.protocols.small import FileSystem, ReadableFile

__all__ = ["SECTOR_SIZE", "LogContent", "LogDirectory", "join", "read_log"]

SECTOR_SIZE = 512
"""Bytes per sector of an old log [ese.md 6]."""


def join(directory: str, name: str) -> str:
    """The path of a file in a directory of a volume."""
    return f"{directory}/{name}" if directory else name


@frozen(kw_only=True)
class LogContent:
    """A verified log.

    Attributes:
        header: Its header.
        ranges: Where each flush range's records begin, and their bytes.
        tail_offset: Offset of the last checksum record.
        ended: Whether the last range holds an END record.
    """

    header: LogHeader
    ranges: tuple[tuple[int, bytes], ...]
    tail_offset: int
    ended: bool

    def records(self) -> Iterator[tuple[LgPos, Record]]:
        """All records with their positions.

        Raises:
            StoreError: Bytes that are no record (native -501).
        """
        yield from self._decoded(administrative=False)

    def _decoded(self, *, administrative: bool) -> Iterator[tuple[LgPos, Record]]:
        for start, data in self.ranges:
            for at, record in decode_records(data, administrative=administrative):
                sector, offset = divmod(start + at, SECTOR_SIZE)
                position = LgPos(generation=self.header.generation, sector=sector, offset=offset)
                yield position, record

    def administration(self) -> Iterator[tuple[LgPos, Record]]:
        """Only the records about whole databases, found without looking into the others.

        Raises:
            StoreError: Bytes that are no record (native -501).
        """
        yield from self._decoded(administrative=True)

    @property
    def end_position(self) -> LgPos:
        """Where the next flush would begin."""
        start, data = self.ranges[-1]
        sector = -(-(start + len(data)) // SECTOR_SIZE)
        return LgPos(generation=self.header.generation, sector=sector)


def read_log(file: ReadableFile, name: str) -> LogContent:
    """The verified content of a log.

    Raises:
        StoreError: Header or body is damaged (native -501), or it is no log.
    """
    header = read_header(file, name)
    if header.has_segments or header.sector_size != SECTOR_SIZE:
        raise StoreError(
            f"{name} was not written by this engine",
            context={"file": name},
            native=EseError.BAD_LOG_VERSION,
        )
    # Every range is verified before a record of any is believed.
    walk = walk_chain(file, header.generation, SECTOR_SIZE, header.file_size_bytes)
    if walk.end is not ChainEnd.COMPLETE:
        raise StoreError(
            f"{name} is damaged: {walk.problem}",
            hint="Bring an undamaged copy of this log.",
            context={"file": name, "generation": header.generation},
            native=EseError.LOG_FILE_CORRUPT,
        )
    ranges, tail = _ranges(file)
    # A log that was closed ends with this record; one that a crash left does not.
    ended = ranges[-1][1].rstrip(b"\0").endswith(bytes([END]))
    return LogContent(header=header, ranges=tuple(ranges), tail_offset=tail, ended=ended)


def read_header(file: ReadableFile, name: str) -> LogHeader:
    """The verified header of a log.

    Raises:
        StoreError: It is damaged, or the file has the wrong length.
    """
    try:
        header = load_log_header(file, name)
    except FormatError as error:
        raise StoreError(
            str(error), context=error.context, native=error.native or EseError.LOG_FILE_CORRUPT
        ) from error
    if file.size_bytes != header.file_size_bytes:
        raise StoreError(
            f"{name} has {file.size_bytes} bytes, its header says {header.file_size_bytes}",
            context={"file": name},
            native=EseError.LOG_FILE_SIZE_MISMATCH,
        )
    return header


def _ranges(file: ReadableFile) -> tuple[list[tuple[int, bytes]], int]:
    """The record bytes of a chain that has been verified."""
    found = []
    at = LOG_HEADER_SIZE
    while True:
        record = parse_checksum_record(file.read_at(at, CHECKSUM_RECORD_SIZE))
        if record is None:
            raise StoreError("the log changed while it was read", native=EseError.LOG_FILE_CORRUPT)
        start = at + CHECKSUM_RECORD_SIZE
        found.append((start, file.read_at(start, record.forward)))
        if record.next_offset == 0:
            return found, at
        at = start + record.next_offset


class LogDirectory:
    """Names and files of one log stream.

    Args:
        fs: The volume.
        path: Directory on it.
        base: Three characters, such as ``E00``.
        digits: Hex digits in the names of new archives: 5 or 8.
    """

    def __init__(self, fs: FileSystem, path: str, base: str, digits: int) -> None:
        self.fs = fs
        self.path = path
        self.base = base
        self.digits = digits
        self._pattern = re.compile(
            re.escape(base) + r"([0-9a-f]{8}|[0-9a-f]{5})\.log", re.IGNORECASE
        )

    @property
    def current_path(self) -> str:
        """The log being written: ``E00.log``."""
        return join(self.path, f"{self.base}.log")

    @property
    def temporary_path(self) -> str:
        """The next log being prepared: ``E00tmp.log``."""
        return join(self.path, f"{self.base}tmp.log")

    def archive_path(self, generation: int) -> str:
        """The name a generation gets when it is closed."""
        return join(self.path, f"{self.base}{generation:0{self.digits}x}.log")

    def archived(self) -> dict[int, str]:
        """Paths of the closed logs by the generation in their names, ascending."""
        found = {}
        for name in self.fs.listdir(self.path):
            match = self._pattern.fullmatch(name)
            if match:
                found[int(match[1], 16)] = join(self.path, name)
        return dict(sorted(found.items()))

    @property
    def has_current(self) -> bool:
        """Whether the log being written is there."""
        return self.fs.exists(self.current_path)

    @property
    def has_temporary(self) -> bool:
        """Whether a prepared next log is there, usable or not."""
        return self.fs.exists(self.temporary_path)

    def header(self, path: str) -> LogHeader:
        """The header of one of the logs.

        Raises:
            StoreError: It is damaged.
        """
        with self.fs.open(path) as file:
            return read_header(file, path)

    def temporary_header(self) -> LogHeader | None:
        """The header of the prepared next log; None if it is absent or only half made."""
        if not self.has_temporary:
            return None
        try:
            return self.header(self.temporary_path)
        except StoreError:
            return None

    def content(self, path: str) -> LogContent:
        """The verified content of one of the logs.

        Raises:
            StoreError: It is damaged.
        """
        with self.fs.open(path) as file:
            return read_log(file, path)
