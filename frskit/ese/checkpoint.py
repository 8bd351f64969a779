"""The checkpoint file: two copies of 4096 bytes, either of which may be torn.

Facts: [ese.md 9, 2.2]. Whether a checkpoint may be used with given databases is decided by
whoever recovers; here it is only read and packed.
"""

from __future__ import annotations

from frskit.codes.ese import EseError
from frskit.errors import FormatError
from frskit.ese.fields import Layout, pack_fields, unpack_fields
from frskit.ese.header import HeaderCondition, copies_condition, header_is_sound
from frskit.ese.pages.checksums import seal_header
from frskit.ese.sources import Readable, Source, opened, read_exactly, source_name
from frskit.model.ese_files import Checkpoint, FileKind

__all__ = [
    "CHECKPOINT_COPY_SIZE",
    "load_checkpoint",
    "pack_checkpoint",
    "pack_checkpoint_copy",
    "parse_checkpoint",
    "read_checkpoint",
]

CHECKPOINT_COPY_SIZE = 4096
"""Bytes of each of the two copies [ese.md 9]."""

CHECKPOINT_LAYOUT: Layout = Layout(
    (
        ("checksum", 0, "u32"),
        ("full_backup_checkpoint", 4, "lgpos"),
        ("position", 12, "lgpos"),
        ("log_signature", 20, "signature"),
        ("parameters", 48, "parameters"),
        ("full_backup_position", 615, "lgpos"),
        ("full_backup_time", 623, "time"),
        ("incremental_backup_position", 631, "lgpos"),
        ("incremental_backup_time", 639, "time"),
        ("version", 647, "u8"),
        ("consistency", 648, "lgpos"),
        ("file_type", 667, "u32"),
        ("attachments", 679, "attachments"),
    )
)
"""Offset and kind of every field of a checkpoint copy [ese.md 9]."""


def parse_checkpoint(data: bytes) -> Checkpoint:
    """The fields of one copy; checks nothing but that the bytes suffice.

    Raises:
        FormatError: Too few bytes.
    """
    return Checkpoint(**unpack_fields(CHECKPOINT_LAYOUT, data))


def pack_checkpoint_copy(checkpoint: Checkpoint) -> bytes:
    """One copy, sealed. A writer that stores the two separately survives a torn write.

    Raises:
        FormatError: A value does not fit into its field.
    """
    area = pack_fields(CHECKPOINT_LAYOUT, checkpoint, CHECKPOINT_COPY_SIZE)
    seal_header(area)
    return bytes(area)


def pack_checkpoint(checkpoint: Checkpoint) -> bytes:
    """The whole file: both copies."""
    return pack_checkpoint_copy(checkpoint) * 2


def read_checkpoint(file: Source) -> Checkpoint:
    """The good copy of a checkpoint.

    Raises:
        FormatError: Neither copy is good (native -533), or the file is of another kind (-1812).
    """
    with opened(file) as reader:
        return load_checkpoint(reader, source_name(file))[0]


def load_checkpoint(file: Readable, name: str = "checkpoint") -> tuple[Checkpoint, HeaderCondition]:
    """The good copy, and what the two look like, of a file that is open already."""
    copies = [read_exactly(file, at, CHECKPOINT_COPY_SIZE) for at in (0, CHECKPOINT_COPY_SIZE)]
    # A crash while one copy was written leaves the other whole, so each is judged by itself.
    good = [len(each) == CHECKPOINT_COPY_SIZE and header_is_sound(each) for each in copies]
    if not any(good):
        raise FormatError(
            f"neither copy of the checkpoint {name} is readable",
            hint="Recovery does without a checkpoint; it then starts at the lowest log.",
            context={"file": name},
            native=EseError.CHECKPOINT_CORRUPT,
        )
    checkpoint = parse_checkpoint(copies[0] if good[0] else copies[1])
    # Files from before the type word carry none and are accepted [ese.md 1].
    if checkpoint.file_type not in (FileKind.UNKNOWN, FileKind.CHECKPOINT):
        raise FormatError(
            f"{name} is not a checkpoint", context={"file": name}, native=EseError.FILE_INVALID_TYPE
        )
    return checkpoint, copies_condition(first=good[0], second=good[1], same=copies[0] == copies[1])
