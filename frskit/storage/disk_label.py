"""The label area at the start of every LUN: who this disk is, and what a server may do with it.

A server recognizes a disk by the *signature* in its label, not by its LUN number; a copy made by an
array carries the signature of its source. The flags are what VSS keeps in hidden places of a real
disk (hidden, read-only, no drive letter, shadow copy). The label is the only part of a copy that
may change while the copy is "static" (design.md 4; resolutions 30).

What it is not: a partition table of any real system. The layout is frskit's choice::

    0          copy A of the label, one sector
    524288     copy B of the label, one sector
    1048576    LABEL_BYTES: first byte a volume may use

    sector     0  8s  magic "FRSLABEL"
               8  u16 version, 1
              10  u16 flags: 1 hidden, 2 read-only, 4 no drive letter, 8 shadow copy
              12  u32 CRC-32 of the sector with this field zero
              16  u64 sequence number, raised by every write
              24 16s  disk signature (GUID)
              40 16s  volume id (GUID)
              56  u64 offset of the volume in bytes
              64  u64 length of the volume in bytes
              72  u16 length of the text, then the text in UTF-8 (at most 400 bytes), zero fill

All numbers are little-endian. A copy is one sector, so a crash never tears it; the copies are
written one after the other with a flush between, so one is good at any time.
"""

from __future__ import annotations

import struct
import uuid
import zlib
from typing import TYPE_CHECKING, Final

from attrs import field, frozen
from attrs.validators import ge

from frskit.errors import FileSystemDamaged, UsageError
from frskit.storage.devices import SECTOR_BYTES, SliceDevice

if TYPE_CHECKING:
    from frskit.protocols.small import BlockDevice

__all__ = [
    "LABEL_BYTES",
    "DiskLabel",
    "read_label",
    "write_label",
]

LABEL_BYTES: Final = 1024 * 1024
"""Length of the label area; volumes start behind it (frskit's choice)."""

# Half the area apart, so that one bad stretch does not take both (ours).
_COPIES: Final = (0, LABEL_BYTES // 2)
_MAGIC: Final = b"FRSLABEL"
_VERSION: Final = 1
_HEADER: Final = struct.Struct("<8sHHIQ16s16sQQH")
# Byte of the checksum, which counts as zero in its own sum.
_CRC_AT: Final = 12
# Bytes: what a sector has left beside the header, rounded down.
_TEXT_BYTES: Final = 400
# Bits of the flags, the lowest first.
_FLAGS: Final = ("hidden", "read_only", "no_drive_letter", "shadow_copy")


def _canonical_guid(value: str) -> str:
    try:
        return str(uuid.UUID(value))
    except ValueError as error:
        raise UsageError(f"{value!r} is not a GUID") from error


@frozen(kw_only=True)
class DiskLabel:
    """Identity and flags of one disk.

    Attributes:
        signature: The disk's GUID as text, lower case; equal in a disk and its array copies.
        volume_id: GUID of the volume on the disk.
        volume_offset_bytes: Where the volume starts, at least `LABEL_BYTES`.
        volume_length_bytes: Length of the volume.
        hidden: The server does not bring the volume online by itself (VSS: hidden).
        read_only: The server mounts the volume read-only.
        no_drive_letter: No drive letter or mount point is given automatically.
        shadow_copy: The disk holds a shadow copy, not a live volume.
        text: Free text for people, at most 400 bytes in UTF-8.
    """

    signature: str = field(converter=_canonical_guid)
    volume_id: uuid.UUID
    volume_offset_bytes: int = field(default=LABEL_BYTES, validator=ge(LABEL_BYTES))
    volume_length_bytes: int = field(validator=ge(0))
    hidden: bool = False
    read_only: bool = False
    no_drive_letter: bool = False
    shadow_copy: bool = False
    text: str = ""

    def volume(self, device: BlockDevice) -> SliceDevice:
        """The volume's bytes on the disk that carries this label.

        Raises:
            FileSystemDamaged: The volume does not fit the disk.
        """
        if self.volume_offset_bytes + self.volume_length_bytes > device.size_bytes:
            raise FileSystemDamaged(
                "the label names a volume that is larger than its disk",
                context={"signature": self.signature, "disk_bytes": device.size_bytes},
            )
        return SliceDevice(device, self.volume_offset_bytes, self.volume_length_bytes)


def read_label(device: BlockDevice) -> DiskLabel | None:
    """The disk's label; None if none was ever written.

    Raises:
        FileSystemDamaged: No copy of the label is good.
        DeviceError, StaleLun, CopyInvalid: As `BlockDevice.read`.
    """
    newest = max(_read_copies(device), key=lambda copy: copy[0], default=None)
    return None if newest is None else newest[1]


def write_label(device: BlockDevice, label: DiskLabel) -> None:
    """Make `label` the disk's label, durable on return.

    After a crash inside the call the disk has the old label or the new one. A damaged label is
    replaced.

    Raises:
        UsageError: The text is too long, or the volume does not fit the disk.
        WriteProtected, DeviceError: As `BlockDevice.write`.
    """
    if label.volume_offset_bytes + label.volume_length_bytes > device.size_bytes:
        raise UsageError("the label's volume does not fit the disk")
    try:
        copies = _read_copies(device)
    except FileSystemDamaged:
        # Both are damaged: there is nothing to be careful with.
        copies = []
    sequence = 1 + max((copy[0] for copy in copies), default=0)
    sector = _encode(label, sequence)
    # The copy that is not the newest good one goes first: one is good at any time.
    newest_at = max(copies, key=lambda copy: copy[0])[2] if copies else _COPIES[1]
    for offset in sorted(_COPIES, key=lambda at: at == newest_at):
        device.write(offset, sector)
        device.flush()


def _read_copies(device: BlockDevice) -> list[tuple[int, DiskLabel, int]]:
    """Sequence, label and offset of every good copy; empty if never written."""
    if device.size_bytes < LABEL_BYTES:
        return []
    sectors = [(at, device.read(at, SECTOR_BYTES)) for at in _COPIES]
    if not any(any(sector) for _, sector in sectors):
        return []
    good = [(*decoded, at) for at, sector in sectors if (decoded := _decode(sector)) is not None]
    if not good:
        raise FileSystemDamaged("both copies of the disk's label are damaged")
    return good


def _encode(label: DiskLabel, sequence: int) -> bytes:
    text = label.text.encode("utf-8", "replace")
    if len(text) > _TEXT_BYTES:
        raise UsageError(f"the label's text is longer than {_TEXT_BYTES} bytes")
    flags = sum(1 << bit for bit, name in enumerate(_FLAGS) if getattr(label, name))
    header = _HEADER.pack(
        _MAGIC,
        _VERSION,
        flags,
        0,
        sequence,
        uuid.UUID(label.signature).bytes,
        label.volume_id.bytes,
        label.volume_offset_bytes,
        label.volume_length_bytes,
        len(text),
    )
    sector = bytearray((header + text).ljust(SECTOR_BYTES, b"\0"))
    struct.pack_into("<I", sector, _CRC_AT, zlib.crc32(sector))
    return bytes(sector)


def _decode(sector: bytes) -> tuple[int, DiskLabel] | None:
    """Sequence and label, or None if the sector is not a good copy."""
    unsigned = sector[:_CRC_AT] + bytes(4) + sector[_CRC_AT + 4 :]
    magic, version, flags, crc, sequence, signature, volume, offset, length, text_bytes = (
        _HEADER.unpack_from(sector)
    )
    if (magic, version, crc) != (_MAGIC, _VERSION, zlib.crc32(unsigned)):
        return None
    if offset < LABEL_BYTES or text_bytes > _TEXT_BYTES:
        return None
    text = sector[_HEADER.size : _HEADER.size + text_bytes].decode("utf-8", "replace")
    label = DiskLabel(
        signature=str(uuid.UUID(bytes=signature)),
        volume_id=uuid.UUID(bytes=volume),
        volume_offset_bytes=offset,
        volume_length_bytes=length,
        hidden=bool(flags & 1),
        read_only=bool(flags & 2),
        no_drive_letter=bool(flags & 4),
        shadow_copy=bool(flags & 8),
        text=text,
    )
    return sequence, label
