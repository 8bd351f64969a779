"""The header of a transaction log file: reading and packing.

Only the 4096 bytes of the header; bodies are for `frskit.ese.logs.format7_chain` (up to format 7) and
`frskit.ese.logs.format8_segments` (8). Layouts before 7.3701 (Exchange 5.5) are out of scope. Facts:
[ese.md 6].
"""

from __future__ import annotations

from frskit.codes.ese import EseError
from frskit.errors import FormatError
from frskit.ese.fields import Layout, pack_fields, unpack_fields
from frskit.ese.header import header_is_sound
from frskit.ese.pages.checksums import seal_header
from frskit.ese.sources import Readable, Source, opened, read_exactly, source_name
from frskit.model.ese_files import FileKind, LogHeader

__all__ = [
    "LOG_HEADER_SIZE",
    "load_log_header",
    "pack_log_header",
    "parse_log_header",
    "read_log_header",
]

LOG_HEADER_SIZE = 4096
"""Bytes of a log header, whatever the sector size [ese.md 6]."""

LOG_LAYOUT: Layout = Layout(
    (
        ("checksum", 0, "u32"),
        ("generation", 4, "i32"),
        ("sector_size", 8, "u16"),
        ("header_sectors", 10, "u16"),
        ("file_sectors", 12, "u16"),
        ("page_size", 14, "u16"),
        ("created", 16, "time"),
        ("previous_created", 24, "time"),
        ("major", 32, "u32"),
        ("minor", 36, "u32"),
        ("update_major", 40, "u32"),
        ("log_signature", 44, "signature"),
        ("parameters", 72, "parameters"),
        ("flags", 639, "u8"),
        ("checkpoint_at_creation", 640, "lgpos"),
        ("update_minor", 648, "u32"),
        ("disk_sector_code", 652, "u8"),
        ("previous_checksum", 653, "u64"),
        ("engine_version", 661, "u32"),
        ("file_type", 667, "u32"),
        ("attachments", 671, "attachments"),
    )
)
"""Offset and kind of every field of LGFILEHDR [ese.md 6]."""


def parse_log_header(data: bytes) -> LogHeader:
    """The fields of a log header; checks nothing but that the bytes suffice.

    Raises:
        FormatError: Too few bytes.
    """
    return LogHeader(**unpack_fields(LOG_LAYOUT, data))


def pack_log_header(header: LogHeader) -> bytes:
    """The 4096 bytes of a log header, sealed.

    Raises:
        FormatError: A value does not fit into its field.
    """
    area = pack_fields(LOG_LAYOUT, header, LOG_HEADER_SIZE)
    seal_header(area)
    return bytes(area)


def read_log_header(file: Source) -> LogHeader:
    """The header of a log file.

    Raises:
        FormatError: The checksum is wrong (native -501), the file is of another kind (-1812), of
            an unknown version (-514), or its geometry is impossible (-501).
    """
    with opened(file) as reader:
        return load_log_header(reader, source_name(file))


def load_log_header(file: Readable, name: str = "log") -> LogHeader:
    """As `read_log_header`, of a file that is open already."""
    data = read_exactly(file, 0, LOG_HEADER_SIZE)
    if len(data) < LOG_HEADER_SIZE or not header_is_sound(data):
        raise _refuse(f"the header of {name} is damaged", name, EseError.LOG_FILE_CORRUPT)
    header = parse_log_header(data)
    if header.file_type not in (FileKind.UNKNOWN, FileKind.LOG):
        raise _refuse(f"{name} is not a log file", name, EseError.FILE_INVALID_TYPE)
    # 6 and 7 have chained bodies, 8 has segments; older headers are laid out differently [ese.md
    # 6].
    if header.major not in (6, 7, 8):
        raise _refuse(
            f"{name} has log format {header.major}, which is unknown",
            name,
            EseError.BAD_LOG_VERSION,
        )
    _require_geometry(header, name)
    return header


def _require_geometry(header: LogHeader, name: str) -> None:
    sector = header.sector_size
    if header.has_segments and sector != LOG_HEADER_SIZE:
        raise _refuse(
            f"{name}: format 8 has sectors of 4096 bytes, not {sector}",
            name,
            EseError.LOG_FILE_CORRUPT,
        )
    # The header is 4096 bytes whatever the sector, so sectors have to divide it [ese.md 6].
    if sector < 512 or sector > LOG_HEADER_SIZE or LOG_HEADER_SIZE % sector:
        raise _refuse(
            f"{name} cannot have sectors of {sector} bytes", name, EseError.LOG_FILE_CORRUPT
        )
    if header.header_sectors * sector != LOG_HEADER_SIZE:
        raise _refuse(
            f"{name} says {header.header_sectors} header sectors", name, EseError.LOG_FILE_CORRUPT
        )


def _refuse(message: str, name: str, native: int) -> FormatError:
    return FormatError(message, context={"file": name}, native=native)
