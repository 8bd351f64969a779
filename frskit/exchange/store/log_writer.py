"""Writing a log stream: flushes that are sector-exact, and the roll to the next generation.

A flush writes its own range, waits until that is durable, and only then makes the previous
checksum record point to it, one sector, and waits again. So whatever a crash leaves, the chain
ends after a complete flush. Facts: [lab-store.md 4], [ese.md 6, 7]; that 512-byte writes are
atomic is assumed.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from attrs import frozen

from frskit.codes.ese import EseError
from frskit.errors import FrskitError, NoSpace, StoreError
from frskit.ese.logs import (
    CHECKSUM_RECORD_SIZE,
    LOG_HEADER_SIZE,
    build_checksum_record,
    pack_log_header,
)
from frskit.exchange.store.log_directory import SECTOR_SIZE
from frskit.exchange.store.log_records import END
from frskit.model.ese_files import LogHeader
from frskit.model.ese_structures import DbmsParameters, LgPos, LogTime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from frskit.clock import Clock
    from frskit.exchange.store.log_directory import LogContent, LogDirectory
    from frskit.model.ese_structures import AttachInfo, Signature
    from frskit.protocols.small import WritableFile

__all__ = ["LogStream", "StreamSettings"]

_FIRST_SECTOR = LOG_HEADER_SIZE // SECTOR_SIZE
# Five hexadecimal digits, as Exchange 2003 names its logs [ese.md 10].
_LAST_GENERATION = 0xFFFFF
# Bytes per write while space is allocated: bounds the memory (ours).
_CHUNK = 1 << 20


@frozen(kw_only=True)
class StreamSettings:
    """What every log header of a stream repeats.

    Attributes:
        signature: Identity of the stream.
        sectors: Sectors per log.
        parameters: The engine's settings, with the circular flag.
    """

    signature: Signature
    sectors: int
    parameters: DbmsParameters


class LogStream:
    """The open end of a log stream.

    Records are collected by `append` and become durable with `flush`. Use `create` for a new
    stream and `resume` for one that recovery has read.

    Attributes:
        is_broken: Whether a write failed, so that nobody knows what is durable; the stream takes
            nothing more.
    """

    def __init__(
        self,
        directory: LogDirectory,
        settings: StreamSettings,
        clock: Clock,
        attachments: Callable[[], Iterable[AttachInfo]],
    ) -> None:
        self._directory = directory
        self._settings = settings
        self._clock = clock
        self._attachments = attachments
        self._header = LogHeader()
        self._file: WritableFile | None = None
        self._pending = bytearray()
        self._tail = b""
        self._tail_sector = 0
        self._next_sector = 0
        self._ended = False
        self.is_broken: bool = False

    @classmethod
    def create(
        cls,
        directory: LogDirectory,
        settings: StreamSettings,
        clock: Clock,
        attachments: Callable[[], Iterable[AttachInfo]],
        *,
        previous: LogHeader | None = None,
        not_before: LogTime | None = None,
    ) -> LogStream:
        """Begin a generation: the first one, or the one after `previous`.

        Args:
            directory: Where.
            settings: What headers repeat.
            clock: For creation times.
            attachments: Tells which databases are attached now.
            previous: Header of the last closed log, if any.
            not_before: The creation time must be later than this one.
        """
        stream = cls(directory, settings, clock, attachments)
        stream._begin(*stream._prepare(previous, not_before))
        directory.fs.rename(directory.temporary_path, directory.current_path)
        # The name is durable before anything is logged under it.
        directory.fs.sync()
        stream._open_current()
        stream.keep_prepared()
        return stream

    @classmethod
    def resume(
        cls,
        directory: LogDirectory,
        settings: StreamSettings,
        clock: Clock,
        attachments: Callable[[], Iterable[AttachInfo]],
        content: LogContent,
    ) -> LogStream:
        """Go on behind the last flush of the current log."""
        stream = cls(directory, settings, clock, attachments)
        stream._header = content.header
        stream._file = directory.fs.edit(directory.current_path)
        stream._next_sector = content.end_position.sector
        stream._tail_sector = content.tail_offset // SECTOR_SIZE
        length = (stream._next_sector - stream._tail_sector) * SECTOR_SIZE
        # The next flush rewrites the first sector of the last range.
        stream._tail = stream._file.read_at(content.tail_offset, length)
        stream._ended = content.ended
        # Closed by its last record; the crash came before it got its number.
        if content.ended:
            stream.roll()
        return stream

    @property
    def header(self) -> LogHeader:
        """Header of the current log."""
        return self._header

    @property
    def generation(self) -> int:
        """Number of the current log; while a roll is half done, of the prepared one."""
        return self._header.generation

    @property
    def durable_position(self) -> LgPos:
        """Where the durable part ends and the pending one begins."""
        return LgPos(
            generation=self.generation, sector=self._next_sector, offset=CHECKSUM_RECORD_SIZE
        )

    def reserve(self, length: int) -> LgPos:
        """The position that a record of `length` bytes will get if appended next.

        Rolls to the next generation if the current log has no room for it.
        """
        if self._sectors(len(self._pending) + length) > self._sectors_left:
            # Two sectors are never free: the first, empty range, and the one kept for END.
            if self._sectors(length) > self._settings.sectors - _FIRST_SECTOR - 2:
                raise StoreError(
                    f"no log can hold a record of {length} bytes", native=EseError.RECORD_TOO_BIG
                )
            self.roll()
        # Records begin behind the checksum record of their range.
        byte = CHECKSUM_RECORD_SIZE + len(self._pending)
        return LgPos(
            generation=self.generation,
            sector=self._next_sector + byte // SECTOR_SIZE,
            offset=byte % SECTOR_SIZE,
        )

    def append(self, record: bytes) -> LgPos:
        """Add a framed record to the pending ones; returns its position."""
        position = self.reserve(len(record))
        self._pending += record
        return position

    def flush(self) -> None:
        """Make all pending records durable; nothing to do if there are none."""
        if not self._pending:
            return
        with self._must_succeed():
            # Taken at once: after a failure the stream is broken, and nothing is written twice.
            data, self._pending = bytes(self._pending), bytearray()
            sectors = self._sectors(len(data))
            # The range first and durable, then the pointer to it: a crash in between leaves the old
            # end.
            self._write_range(data, sectors)
            self._link_tail()
            start = self._next_sector
            self._tail = self._range(data, sectors)
            self._tail_sector, self._next_sector = start, start + sectors
            self._ended = False

    def roll(self) -> None:
        """Close the current generation and go on in the next."""
        self.close_generation()
        self.open_prepared()

    def close_generation(self) -> int:
        """First half of a roll: the current log gets its number, the next one waits.

        Afterwards there is no current log, and the prepared one has a valid header
        [exchange.md 3.3]. Returns the closed generation.

        Raises:
            StoreError: The volume is full (native -529) or failed (-510); the current log stays.
        """
        self.flush()
        # It may be there already, from a roll that failed after it.
        if not self._ended:
            self._pending += bytes([END])
            self.flush()
            self._ended = True
        directory, closed = self._directory, self._header
        try:
            # Made before anything is given up: a full volume leaves the log as it was.
            header, tail = self._prepare(closed, None)
            self.close()
            directory.fs.rename(directory.current_path, directory.archive_path(closed.generation))
        except FrskitError as error:
            # It is still the current log, and is gone on with.
            self._file = self._file or directory.fs.edit(directory.current_path)
            raise _log_failure(error) from error
        with self._must_succeed():
            directory.fs.sync()
        self._begin(header, tail)
        return closed.generation

    def open_prepared(self) -> None:
        """Second half of a roll: the prepared log becomes the current one."""
        directory = self._directory
        with self._must_succeed():
            directory.fs.rename(directory.temporary_path, directory.current_path)
            directory.fs.sync()
            self._open_current()
        self.keep_prepared()

    def drop_prepared(self) -> None:
        """Remove the half-made next log, so that it cannot fail a checksum [exchange.md 3.3]."""
        if self._directory.has_temporary:
            self._directory.fs.remove(self._directory.temporary_path)
            self._directory.fs.sync()

    def keep_prepared(self) -> None:
        """Make a half-made next log: space only, no valid header [exchange.md 1.2].

        If there is no room for it, the roll will say so; until then nothing is wrong.
        """
        with suppress(FrskitError):
            self._allocated().close()

    def allocate_prepared(self) -> None:
        """Have the half-made next log on disk, so that the next roll writes its header alone.

        What lies there afterwards is what lies there at any time: space without a valid header,
        no generation. If there is no room for it, the roll will say so.
        """
        with suppress(FrskitError), self._allocated() as file:
            file.sync()

    def close(self) -> None:
        """Release the current log's file; pending records are lost."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def _sectors_left(self) -> int:
        """Sectors for more records; one is kept for END."""
        return self._settings.sectors - self._next_sector - 1

    @staticmethod
    def _sectors(length: int) -> int:
        return -(-(CHECKSUM_RECORD_SIZE + length) // SECTOR_SIZE)

    def _range(self, data: bytes, sectors: int, next_offset: int = 0) -> bytes:
        return _flush_range(data, sectors, self.generation, next_offset)

    def _write_range(self, data: bytes, sectors: int) -> None:
        file = self._require_file()
        file.write_at(self._next_sector * SECTOR_SIZE, self._range(data, sectors))
        file.sync()

    def _link_tail(self) -> None:
        """Make the previous checksum record point to the range just written."""
        file = self._require_file()
        data = self._tail[CHECKSUM_RECORD_SIZE:]
        # The records stay; `next` changes and with it the checksum, both in the first sector.
        linked = self._range(data, len(self._tail) // SECTOR_SIZE, len(data))
        file.write_at(self._tail_sector * SECTOR_SIZE, linked[:SECTOR_SIZE])
        file.sync()

    def _require_file(self) -> WritableFile:
        if self._file is None:
            raise StoreError("the log is not open for writing", native=EseError.LOG_WRITE_FAIL)
        return self._file

    @contextmanager
    def _must_succeed(self) -> Iterator[None]:
        """Around writes after whose failure nobody knows what is durable."""
        try:
            yield
        except FrskitError as error:
            self.is_broken = True
            raise _log_failure(error) from error

    def _prepare(
        self, previous: LogHeader | None, not_before: LogTime | None
    ) -> tuple[LogHeader, bytes]:
        """Write the next log under its temporary name: header and an empty first range."""
        generation = 1 if previous is None else previous.generation + 1
        if generation > _LAST_GENERATION:
            raise StoreError(
                "the log stream has reached its last generation", native=EseError.LOG_SEQUENCE_END
            )
        before = [previous.created if previous else None, not_before]
        parameters = self._settings.parameters
        header = LogHeader(
            generation=generation,
            sector_size=SECTOR_SIZE,
            header_sectors=_FIRST_SECTOR,
            file_sectors=self._settings.sectors,
            created=self._creation_time([each for each in before if each]),
            previous_created=previous.created if previous else LogTime(),
            log_signature=self._settings.signature,
            parameters=parameters,
            flags=2 if parameters.circular_logging else 0,  # circular logging now [ese.md 6]
            attachments=tuple(self._attachments()),
        )
        tail = _flush_range(b"", 1, generation)
        with self._allocated() as file:
            file.write_at(0, pack_log_header(header))
            file.write_at(LOG_HEADER_SIZE, tail)
            file.sync()
        return header, tail

    def _allocated(self) -> WritableFile:
        """The temporary log with all its space, so that no later write finds the volume full."""
        fs, path = self._directory.fs, self._directory.temporary_path
        size_bytes = self._settings.sectors * SECTOR_SIZE
        # Kept since it was prepared, with all its space; only its content is new.
        if fs.exists(path) and fs.stat(path).size_bytes == size_bytes:
            return fs.edit(path)
        file = fs.create(path, exclusive=False)
        try:
            # Written and not just extended: a hole would have to find its blocks later, in a
            # freeze.
            for at in range(0, size_bytes, _CHUNK):
                file.write_at(at, bytes(min(_CHUNK, size_bytes - at)))
        except FrskitError:
            file.close()
            self._drop_partial()
            raise
        return file

    def _drop_partial(self) -> None:
        """Give back the space of a temporary log that could not be made."""
        with suppress(FrskitError):
            self._directory.fs.remove(self._directory.temporary_path)

    def _begin(self, header: LogHeader, tail: bytes) -> None:
        """Go on in the log that was prepared."""
        self._header, self._tail = header, tail
        self._tail_sector, self._next_sector = _FIRST_SECTOR, _FIRST_SECTOR + 1
        self._ended = False

    def _creation_time(self, before: list[LogTime]) -> LogTime:
        """Now, but later than the given times, so that two timelines never look alike."""
        moment = self._clock.now()
        for each in before:
            earlier = each.to_datetime()
            # Headers keep nothing finer than a millisecond [ese.md 1].
            if earlier is not None and moment <= earlier + timedelta(milliseconds=1):
                moment = earlier + timedelta(milliseconds=1)
        return LogTime.of(moment)

    def _open_current(self) -> None:
        self._file = self._directory.fs.edit(self._directory.current_path)


def _flush_range(data: bytes, sectors: int, generation: int, next_offset: int = 0) -> bytes:
    """A flush range: checksum record, records, NOPs up to the sector's end."""
    forward = sectors * SECTOR_SIZE - CHECKSUM_RECORD_SIZE
    area = bytes(CHECKSUM_RECORD_SIZE) + data.ljust(forward, b"\0")
    record = build_checksum_record(
        area,
        0,
        forward=forward,
        generation=generation,
        sector_size=SECTOR_SIZE,
        next_offset=next_offset,
    )
    return record.pack() + area[CHECKSUM_RECORD_SIZE:]


def _log_failure(error: FrskitError) -> StoreError:
    if isinstance(error, StoreError):
        return error
    full = isinstance(error, NoSpace)
    return StoreError(
        f"the log cannot be written: {error}",
        hint="Free space on the log volume: a verified full backup lets logs be deleted."
        if full
        else "Look at the log volume.",
        context=error.context,
        native=EseError.LOG_DISK_FULL if full else EseError.LOG_WRITE_FAIL,
    )
