"""The small structures that ESE headers are made of: positions, times, signatures, lists.

Values only: bytes become these values, and these values become bytes, in `frskit.ese`. Layouts and
meanings: [ese.md 1]; field names are frskit's own, one per field of the published structures.
The headers themselves are in `frskit.model.ese_files`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from attrs import frozen

from frskit.model.values import Value

__all__ = [
    "AttachInfo",
    "BackupRange",
    "DbmsParameters",
    "LgPos",
    "LogTime",
    "Signature",
]


@frozen(kw_only=True)
class LgPos(Value):
    """A log position; ordered by generation, sector, byte [ese.md 1].

    Attributes:
        generation: Log generation; 0 in an unset position.
        sector: Sector in the log file, counted from the file's first byte.
        offset: Byte in the sector.
    """

    generation: int = 0
    sector: int = 0
    offset: int = 0

    @property
    def is_set(self) -> bool:
        """Whether any part is non-zero."""
        return self != LgPos()

    # Written out because positions are compared by the million; attrs' comparison takes ten
    # times as long.

    def __lt__(self, other: LgPos) -> bool:
        if other.__class__ is not LgPos:
            return NotImplemented
        return (self.generation, self.sector, self.offset) < (
            other.generation,
            other.sector,
            other.offset,
        )

    def __le__(self, other: LgPos) -> bool:
        if other.__class__ is not LgPos:
            return NotImplemented
        return (self.generation, self.sector, self.offset) <= (
            other.generation,
            other.sector,
            other.offset,
        )

    def __gt__(self, other: LgPos) -> bool:
        if other.__class__ is not LgPos:
            return NotImplemented
        return other < self

    def __ge__(self, other: LgPos) -> bool:
        if other.__class__ is not LgPos:
            return NotImplemented
        return other <= self

    def __str__(self) -> str:
        """The form eseutil prints: hexadecimal, ``(0x1,4C,1BC)`` [ese.md 1]."""
        return f"(0x{self.generation:X},{self.sector:X},{self.offset:X})"


@frozen(kw_only=True)
class LogTime(Value):
    """A time stamp of eight bytes; equal means equal in all bytes [ese.md 1].

    Attributes:
        raw: The eight bytes as stored; all zero = unset.
    """

    raw: bytes = bytes(8)

    @classmethod
    def of(cls, moment: datetime, *, modern: bool = True) -> LogTime:
        """The stamp of an aware moment, in UTC.

        Args:
            moment: Aware time; cut to milliseconds (`modern`) or to seconds.
            modern: Set the UTC flag and milliseconds; Exchange 2000/2003 left those bytes zero
                and wrote local time [ese.md 1], for which frskit's choice is UTC.
        """
        utc = moment.astimezone(UTC)
        milliseconds = utc.microsecond // 1000
        extra = bytes((1 | (milliseconds & 0x7F) << 1, (milliseconds >> 7) << 1))
        parts = (utc.second, utc.minute, utc.hour, utc.day, utc.month, utc.year - 1900)
        return cls(raw=bytes(parts) + (extra if modern else bytes(2)))

    @property
    def is_set(self) -> bool:
        """Whether any byte is non-zero."""
        return any(self.raw)

    @property
    def is_utc(self) -> bool:
        """Whether the stamp says that it is in UTC."""
        return bool(self.raw[6] & 1)

    @property
    def milliseconds(self) -> int:
        """The part below a second, 0 to 1023 as stored."""
        return (self.raw[6] >> 1) + ((self.raw[7] >> 1 & 7) << 7)

    def to_datetime(self) -> datetime | None:
        """The moment in UTC; None if unset or not a date.

        A stamp without the UTC flag is local time of an unknown zone and is read as if it were
        UTC (frskit's choice).
        """
        second, minute, hour, day, month, year = self.raw[:6]
        try:
            moment = datetime(1900 + year, month, day, hour, minute, second, tzinfo=UTC)
        except ValueError:
            return None
        return moment + timedelta(milliseconds=self.milliseconds)

    def __str__(self) -> str:
        """The form eseutil prints: ``MM/DD/YYYY HH:MM:SS.mmm`` [ese.md 1]."""
        second, minute, hour, day, month, year = self.raw[:6]
        text = f"{month:02}/{day:02}/{1900 + year:04} {hour:02}:{minute:02}:{second:02}"
        return f"{text}.{self.milliseconds:03}" if self.is_set else text


@frozen(kw_only=True)
class Signature(Value):
    """Identity of a database or of a log stream; equal = all 28 bytes equal [ese.md 1].

    Attributes:
        random: A random number drawn at creation.
        created: When.
        computer_name: 16 bytes, NUL padded; empty in every real file seen.
    """

    random: int = 0
    created: LogTime = LogTime()
    computer_name: bytes = bytes(16)

    @property
    def is_set(self) -> bool:
        """Whether any byte is non-zero; a database that was never logged has no signature."""
        return self != Signature()

    def __str__(self) -> str:
        """The form eseutil prints."""
        name = self.computer_name.split(b"\0")[0].decode("latin-1")
        return f"Create time:{self.created} Rand:{self.random} Computer:{name}"


@frozen(kw_only=True)
class BackupRange(Value):
    """What a header remembers of one backup (BKINFO) [ese.md 1].

    Attributes:
        mark: Position of the backup in the log stream.
        time: When.
        first_generation: Lowest log of the backup.
        last_generation: Highest log of the backup.
    """

    mark: LgPos = LgPos()
    time: LogTime = LogTime()
    first_generation: int = 0
    last_generation: int = 0

    @property
    def is_set(self) -> bool:
        """Whether there was such a backup."""
        return self != BackupRange()


@frozen(kw_only=True)
class DbmsParameters(Value):
    """The engine's settings, as kept in log headers and checkpoints (DBMS_PARAM) [ese.md 1].

    Paths are decoded as Latin-1, which loses no byte; they end at the first NUL.

    Attributes:
        system_path: Directory of the checkpoint.
        log_path: Directory of the logs.
        flags: Bit 0: circular logging.
        counters: Sessions, open tables, version pages, cursors, log buffers, sectors per log
            file, cache size.
    """

    system_path: str = ""
    log_path: str = ""
    flags: int = 0
    counters: tuple[int, int, int, int, int, int, int] = (0, 0, 0, 0, 0, 0, 0)

    @property
    def circular_logging(self) -> bool:
        """Whether logs below the checkpoint are deleted as the stream goes on."""
        return bool(self.flags & 1)


@frozen(kw_only=True)
class AttachInfo(Value):
    """One attached database, as log headers and checkpoints list it (ATTACHINFO) [ese.md 1].

    Attributes:
        dbid: Number of the database in the stream, 1 to 255; 0 would end the list.
        flags: 0x20 names are Unicode, 0x40 sparse.
        dbtime: The database's operation counter.
        last_objid: Last object id given out.
        max_size_pages: Limit of its size; 0 = none.
        attach: Position of the attach record.
        consistent: Position of last consistency.
        db_signature: Which database.
        names: Raw bytes of the path, NUL-terminated.
    """

    dbid: int
    flags: int = 0
    dbtime: int = 0
    last_objid: int = 0
    max_size_pages: int = 0
    attach: LgPos = LgPos()
    consistent: LgPos = LgPos()
    db_signature: Signature = Signature()
    names: bytes = b""

    @property
    def path(self) -> str:
        """The database's path, without what follows the first NUL."""
        if self.flags & 0x20:
            return self.names.decode("utf-16-le", "replace").split("\0")[0]
        return self.names.split(b"\0")[0].decode("latin-1")
