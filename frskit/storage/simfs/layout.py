"""The on-disk layout of simfs, the lab's small file system (all of it frskit's choice).

Blocks are 4 KiB, numbers little-endian. A volume of N blocks::

    block 0            superblock, one sector
    1 .. J             journal: transaction records, each starting on a sector
    J+1 .. J+M         metadata image 0
    J+M+1 .. J+2M      metadata image 1
    J+2M+1 .. N-2      data
    N-1                mirror of the superblock

    superblock         0  8s  magic "FRSSIMFS"
                       8  u16 version, 1; u16 zero; u32 block size, 4096
                      16  u64 sequence; the valid image is number ``sequence % 2``, and the
                          sequence is the epoch of the journal records that follow it
                      24 16s  volume id (GUID)
                      40  u64 blocks of the volume
                      48  u32 J; u32 M
                      56  u64 length of the image in bytes; u32 its CRC-32
                      68  u32 CRC-32 of the 68 bytes before

    journal record     0  4s  magic "SFJR"; u32 number of the record in its epoch, from 0
                       8  u64 epoch; u32 length of the operations; u32 their CRC-32
                      24  u32 CRC-32 of the 24 bytes before; then the operations, zero fill to the
                          next sector

    image, operations  a sequence of operations, each u8 kind and its fields; an image is the
                       shortest sequence that makes the state out of an empty root (inode 1)

    operation  1 MAKE    u64 inode, u64 parent, u8 directory, i64 modified, u16 length, name UTF-8
               2 SIZE    u64 inode, u64 size, i64 modified (microseconds since 1970 UTC, 0 unknown)
               3 MAP     u64 inode, u64 logical block, u64 block of the volume, u32 count
               4 MOVE    u64 inode, u64 parent, u16 length, name UTF-8
               5 UNLINK  u64 inode

SIZE below the mapped end frees the blocks behind it; UNLINK frees all. Bytes of the last block
behind the size are undefined on disk. A record counts if both checksums, epoch and number are
right; the first that does not ends the journal. If a *later* record of the same epoch is good, the
journal is damaged, because a record is written only after the one before is durable. Damage of the
very last record cannot be told from a crash while it was written.
"""

from __future__ import annotations

import struct
import uuid
import zlib
from typing import TYPE_CHECKING, Final

from attrs import frozen

from frskit.errors import FileSystemDamaged
from frskit.storage.devices import SECTOR_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "BLOCK_BYTES",
    "MAP_BYTES",
    "ROOT_INODE",
    "MakeNode",
    "MapBlocks",
    "MoveNode",
    "Operation",
    "SetSize",
    "Superblock",
    "UnlinkNode",
    "damaged",
    "decode_operations",
    "decode_superblock",
    "encode_operation",
    "encode_record",
    "encode_superblock",
    "journal_records",
    "node_bytes",
]

BLOCK_BYTES: Final = 4096
ROOT_INODE: Final = 1

_SUPER_MAGIC: Final = b"FRSSIMFS"
_SUPER: Final = struct.Struct("<8sHHIQ16sQIIQI")
_RECORD_MAGIC: Final = b"SFJR"
_RECORD: Final = struct.Struct("<4sIQII")
_CRC: Final = struct.Struct("<I")
_RECORD_BYTES: Final = _RECORD.size + _CRC.size

_MAKE: Final = struct.Struct("<BQQBqH")
_SIZE: Final = struct.Struct("<BQQq")
_MAP: Final = struct.Struct("<BQQQI")
_MOVE: Final = struct.Struct("<BQQH")
_UNLINK: Final = struct.Struct("<BQ")

MAP_BYTES: Final = _MAP.size
"""Bytes that one extent takes in an image."""


@frozen(kw_only=True)
class Superblock:
    """Where everything is, and which image is valid.

    Attributes:
        sequence: Raised by every new image; epoch of the journal.
        volume_id: The volume's GUID.
        blocks: Blocks of the volume.
        journal_blocks: Length of the journal.
        image_blocks: Room for one image.
        image_bytes: Length of the valid image.
        image_crc: Its CRC-32.
    """

    sequence: int
    volume_id: uuid.UUID
    blocks: int
    journal_blocks: int
    image_blocks: int
    image_bytes: int = 0
    image_crc: int = 0

    @property
    def image_offset(self) -> int:
        """Byte position of the valid image."""
        return self.image_offset_of(self.sequence)

    def image_offset_of(self, sequence: int) -> int:
        """Byte position of the image that belongs to a sequence number."""
        return (1 + self.journal_blocks + sequence % 2 * self.image_blocks) * BLOCK_BYTES

    @property
    def journal_bytes(self) -> int:
        """Length of the journal; it starts at block 1."""
        return self.journal_blocks * BLOCK_BYTES

    @property
    def data_start(self) -> int:
        """First data block."""
        return 1 + self.journal_blocks + 2 * self.image_blocks

    @property
    def data_end(self) -> int:
        """One past the last data block, which is the block of the mirror."""
        return self.blocks - 1


@frozen
class MakeNode:
    """A new file or directory."""

    inode: int
    parent: int
    is_directory: bool
    modified_us: int
    name: str


@frozen
class SetSize:
    """A file's length and time of change."""

    inode: int
    size_bytes: int
    modified_us: int


@frozen
class MapBlocks:
    """Blocks that now belong to a file."""

    inode: int
    logical: int
    physical: int
    count: int


@frozen
class MoveNode:
    """A new name or directory."""

    inode: int
    parent: int
    name: str


@frozen
class UnlinkNode:
    """A file or empty directory is gone."""

    inode: int


Operation = MakeNode | SetSize | MapBlocks | MoveNode | UnlinkNode


def damaged(what: str) -> FileSystemDamaged:
    """The error for metadata that cannot be."""
    return FileSystemDamaged(f"the volume's metadata is damaged: {what}", context={"what": what})


def node_bytes(name: str) -> int:
    """Bytes that a node without extents takes in an image."""
    return _MAKE.size + len(name.encode()) + _SIZE.size


def encode_operation(operation: Operation) -> bytes:
    """One operation in the layout of the module docstring."""
    match operation:
        case MakeNode(inode, parent, is_directory, modified_us, name):
            text = name.encode()
            return _MAKE.pack(1, inode, parent, is_directory, modified_us, len(text)) + text
        case SetSize(inode, size_bytes, modified_us):
            return _SIZE.pack(2, inode, size_bytes, modified_us)
        case MapBlocks(inode, logical, physical, count):
            return _MAP.pack(3, inode, logical, physical, count)
        case MoveNode(inode, parent, name):
            text = name.encode()
            return _MOVE.pack(4, inode, parent, len(text)) + text
        case UnlinkNode(inode):
            return _UNLINK.pack(5, inode)


def decode_operations(data: bytes) -> Iterator[Operation]:
    """The operations in `data`.

    Raises:
        FileSystemDamaged: The bytes are not operations.
    """
    position = 0
    try:
        while position < len(data):
            operation, position = _decode_one(data, position)
            yield operation
    except (struct.error, UnicodeDecodeError) as error:
        raise damaged("an operation is cut off or unreadable") from error


def _decode_one(data: bytes, at: int) -> tuple[Operation, int]:
    match data[at]:
        case 1:
            _, inode, parent, directory, modified_us, length = _MAKE.unpack_from(data, at)
            name, at = _decode_name(data, at + _MAKE.size, length)
            return MakeNode(inode, parent, bool(directory), modified_us, name), at
        case 2:
            _, inode, size_bytes, modified_us = _SIZE.unpack_from(data, at)
            return SetSize(inode, size_bytes, modified_us), at + _SIZE.size
        case 3:
            _, inode, logical, physical, count = _MAP.unpack_from(data, at)
            return MapBlocks(inode, logical, physical, count), at + _MAP.size
        case 4:
            _, inode, parent, length = _MOVE.unpack_from(data, at)
            name, at = _decode_name(data, at + _MOVE.size, length)
            return MoveNode(inode, parent, name), at
        case 5:
            return UnlinkNode(_UNLINK.unpack_from(data, at)[1]), at + _UNLINK.size
        case kind:
            raise damaged(f"unknown operation {kind}")


def _decode_name(data: bytes, at: int, length: int) -> tuple[str, int]:
    if at + length > len(data):
        raise damaged("a name is cut off")
    return data[at : at + length].decode(), at + length


def encode_superblock(superblock: Superblock) -> bytes:
    """The superblock's sector."""
    body = _SUPER.pack(
        _SUPER_MAGIC,
        1,
        0,
        BLOCK_BYTES,
        superblock.sequence,
        superblock.volume_id.bytes,
        superblock.blocks,
        superblock.journal_blocks,
        superblock.image_blocks,
        superblock.image_bytes,
        superblock.image_crc,
    )
    return (body + _CRC.pack(zlib.crc32(body))).ljust(SECTOR_BYTES, b"\0")


def decode_superblock(sector: bytes) -> Superblock | None:
    """The superblock, or None if this sector is not a good one."""
    if len(sector) < SECTOR_BYTES:
        return None
    magic, version, _, block, sequence, volume_id, blocks, journal, image, length, crc = (
        _SUPER.unpack_from(sector)
    )
    (checksum,) = _CRC.unpack_from(sector, _SUPER.size)
    good = checksum == zlib.crc32(sector[: _SUPER.size])
    if not good or (magic, version, block) != (_SUPER_MAGIC, 1, BLOCK_BYTES):
        return None
    return Superblock(
        sequence=sequence,
        volume_id=uuid.UUID(bytes=volume_id),
        blocks=blocks,
        journal_blocks=journal,
        image_blocks=image,
        image_bytes=length,
        image_crc=crc,
    )


def encode_record(epoch: int, number: int, operations: bytes) -> bytes:
    """A journal record, padded to whole sectors."""
    header = _RECORD.pack(_RECORD_MAGIC, number, epoch, len(operations), zlib.crc32(operations))
    record = header + _CRC.pack(zlib.crc32(header)) + operations
    return record.ljust(-(-len(record) // SECTOR_BYTES) * SECTOR_BYTES, b"\0")


def journal_records(journal: bytes, epoch: int) -> Iterator[tuple[bytes, int]]:
    """Operations and end position of every record of the epoch, in order.

    Raises:
        FileSystemDamaged: A record is bad although a later one was written.
    """
    position = 0
    expected = 0
    while (header := _decode_header(journal, position, epoch)) is not None:
        number, length, crc = header
        start = position + _RECORD_BYTES
        operations = journal[start : start + length]
        # The end of the journal, or a record that a crash cut off.
        if number != expected or len(operations) < length or zlib.crc32(operations) != crc:
            break
        position = start + length + -(start + length) % SECTOR_BYTES
        expected += 1
        yield operations, position
    # A bad record before a good one is damage; before nothing it is just the torn end.
    for later in _record_places(journal, position):
        header = _decode_header(journal, later, epoch)
        if header is not None and header[0] > expected:
            raise damaged(f"journal record {expected} is bad but record {header[0]} exists")


def _record_places(journal: bytes, position: int) -> Iterator[int]:
    """Sectors from `position` on that begin like a record; empty ones cost next to nothing."""
    while (position := journal.find(_RECORD_MAGIC, position)) >= 0:
        if position % SECTOR_BYTES == 0:
            yield position
        position += SECTOR_BYTES - position % SECTOR_BYTES


def _decode_header(journal: bytes, at: int, epoch: int) -> tuple[int, int, int] | None:
    """Number, length and checksum of the record at a position, or None."""
    if journal[at : at + 4] != _RECORD_MAGIC or at + _RECORD_BYTES > len(journal):
        return None
    _, number, found, length, crc = _RECORD.unpack_from(journal, at)
    (checksum,) = _CRC.unpack_from(journal, at + _RECORD.size)
    # Of another epoch: left over from before the last image.
    if checksum != zlib.crc32(journal[at : at + _RECORD.size]) or found != epoch:
        return None
    return number, length, crc
