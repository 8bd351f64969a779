"""The identities of array objects: one number in three spellings, and the counter behind it.

What it is: exact arithmetic between ``objectid``, ``objecthexuid`` and ``uid`` [EVA 1.2, measured
on dumps of a real array], world wide names of ports and LUNs, and the factory that numbers new
objects. What it is not: a registry; uniqueness of forced LUN names is the array's business.

The range of handles per class of object is inferred from the dumps.
"""

from __future__ import annotations

import re
import struct
from enum import Enum
from typing import Final

from attrs import frozen

from frskit.errors import FormatError, UsageError
from frskit.model.ids import StorageId

__all__ = [
    "Numbering",
    "ObjectClass",
    "ObjectIdentity",
    "dashed",
    "port_name",
    "storage_id",
    "wwlun_name",
]

_VENDOR_WORD: Final = 0x600508B4
"""NAA type 6 prefix of the EVA3000/5000 family [D-vd]."""

_HEX: Final = re.compile(r"[0-9a-f]+")


class ObjectClass(Enum):
    """Classes of objects with the value (first handle, third word) seen in dumps [EVA 1.2]."""

    CELL = (0x0008, 0x8000)
    DISK_GROUP = (0x0100, 0x8000)
    VDISK = (0x2000, 0xA000)
    SNAPSHOT = (0x2000, 0xD001)
    HOST = (0x8000, 0xA000)
    PRESENTED_UNIT = (0x8800, 0xA000)


_HANDLE_SPAN: Final = {
    ObjectClass.CELL: 1,
    ObjectClass.DISK_GROUP: 0x100,
    ObjectClass.VDISK: 0x6000,
    ObjectClass.SNAPSHOT: 0x6000,
    ObjectClass.HOST: 0x800,
    ObjectClass.PRESENTED_UNIT: 0x7800,
}


@frozen(kw_only=True)
class ObjectIdentity:
    """One object's number: a handle and four 32-bit words.

    Example:
        >>> one = ObjectIdentity.from_objectid("7A200710B4080560D62E100000A0000000004006")
        >>> one.objecthexuid
        '6005-08b4-0010-2ed6-0000-a000-0640-0000'
        >>> one.uid
        '8314.7.16.1610942644.1060566.40960.104857600'

    Attributes:
        handle: 16-bit handle, 0 for families.
        words: The four words.
        kind: The two bytes after the handle: (7, 16) for objects, (7, 8) for controllers.
    """

    handle: int
    words: tuple[int, int, int, int]
    kind: tuple[int, int] = (0x07, 0x10)

    @classmethod
    def from_objectid(cls, text: str) -> ObjectIdentity:
        """Read the 40 hex digits of an ``objectid``.

        Raises:
            FormatError: They are not 40 hex digits.
        """
        try:
            raw = bytes.fromhex(text)
            handle, first, second, *words = struct.unpack("<HBB4I", raw)
        except (ValueError, struct.error) as error:
            raise FormatError(f"{text!r} is not an objectid of 40 hex digits") from error
        return cls(
            handle=handle, words=(words[0], words[1], words[2], words[3]), kind=(first, second)
        )

    @classmethod
    def from_uid(cls, text: str) -> ObjectIdentity:
        """Read the seven decimal numbers of a ``uid``.

        Raises:
            FormatError: They are not seven numbers in range.
        """
        parts = text.split(".")
        if len(parts) != 7 or not all(part.isascii() and part.isdigit() for part in parts):
            raise FormatError(f"{text!r} is not a uid of seven numbers")
        numbers = [int(part) for part in parts]
        limits = (1 << 16, 1 << 8, 1 << 8, *[1 << 32] * 4)
        if any(number >= limit for number, limit in zip(numbers, limits, strict=True)):
            raise FormatError(f"a number of the uid {text!r} is too large")
        return cls(
            handle=numbers[0],
            kind=(numbers[1], numbers[2]),
            words=(numbers[3], numbers[4], numbers[5], numbers[6]),
        )

    @property
    def objectid(self) -> str:
        """40 upper-case hex digits: handle, two bytes, four words, all little-endian."""
        return struct.pack("<HBB4I", self.handle, *self.kind, *self.words).hex().upper()

    @property
    def hexuid(self) -> str:
        """The four words big-endian as 32 hex digits without dashes."""
        return struct.pack(">4I", *self.words).hex()

    @property
    def objecthexuid(self) -> str:
        """The four words big-endian in 8 groups of 4 lower-case digits."""
        return dashed(self.hexuid)

    @property
    def uid(self) -> str:
        """Handle, two bytes and four words in decimal, dotted."""
        return ".".join(str(number) for number in (self.handle, *self.kind, *self.words))


@frozen(kw_only=True)
class Numbering:
    """Numbers the objects of one array; immutable, so that a failed command takes no number.

    Attributes:
        cell_word: Second word of every id of this array.
        count: Objects numbered so far; numbers are never used again [HAZ-01].
    """

    cell_word: int
    count: int = 0

    def next(self, kind: ObjectClass) -> tuple[ObjectIdentity, Numbering]:
        """The identity of a new object, and the numbering after it."""
        number = self.count + 1
        first_handle, third_word = kind.value
        # The dumps count in the upper half of the last word; the lower half takes the overflow.
        last_word = (number & 0xFFFF) << 16 | (number >> 16) & 0xFFFF
        identity = ObjectIdentity(
            handle=first_handle + number % _HANDLE_SPAN[kind],
            words=(_VENDOR_WORD, self.cell_word, third_word, last_word),
        )
        return identity, Numbering(cell_word=self.cell_word, count=number)


def dashed(digits: str) -> str:
    """Hex digits in groups of four."""
    return "-".join(digits[start : start + 4] for start in range(0, len(digits), 4))


def _digits(text: str) -> str:
    return text.strip().lower().removeprefix("naa:").replace("-", "").replace(":", "")


def wwlun_name(text: str) -> str:
    """The world wide LUN name as 32 lower-case digits, whatever its dashes and case.

    Raises:
        UsageError: It is not a name of NAA type 6 with 32 hex digits.
    """
    digits = _digits(text)
    if len(digits) != 32 or not _HEX.fullmatch(digits) or digits[0] != "6":
        raise UsageError(f"{text!r} is not a world wide LUN name of 32 hex digits (NAA type 6)")
    return digits


def storage_id(identity: ObjectIdentity) -> StorageId:
    """The id that frskit gives the object of this number.

    The number and not the world wide LUN name: that one can be given to another disk [EVA-43],
    while numbers are never used again [HAZ-01].
    """
    return StorageId(f"eva:{identity.objectid.lower()}")


def port_name(text: str) -> str:
    """An initiator port in the array's spelling, ``1000-0000-c96c-c699`` in upper case.

    Names that are not 16 hex digits (iSCSI) are kept, lower-cased.
    """
    digits = text.strip().lower().replace("-", "").replace(":", "").replace(" ", "")
    if len(digits) == 16 and _HEX.fullmatch(digits):
        return dashed(digits.upper())
    return text.strip().lower()
