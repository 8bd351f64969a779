"""Keys and records: how values of columns become the bytes of a node.

Covers what the lab's tables need: fixed, variable and inline tagged columns, and ascending keys
over whole numbers and text. No long values, no multi-values. Facts: [lab-store.md 2.5 to 2.8].
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from attrs import field, frozen

from frskit.codes.ese import EseError
from frskit.errors import StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "BODY_PART_BYTES",
    "CodedRecord",
    "Message",
    "MessagePart",
    "StoredMessage",
    "decode_part",
    "encode_part",
    "encode_record",
    "key_of_long",
    "key_of_short",
    "key_of_text",
    "part_key",
    "split_message",
]

BODY_PART_BYTES = 1024
"""Bytes of a body per row; a longer body becomes several rows [lab-store.md 1]."""

MAX_SUBJECT_BYTES = 255
"""A text column without long type holds at most 255 bytes [lab-store.md 1]."""

CODE_PAGE = "cp1252"

_NULL_FILL = 0x2A
_FIXED = struct.Struct("<iiiq")
_HEAD = struct.Struct("<BBH")
_U16 = struct.Struct("<H")
_TAGGED = struct.Struct("<HH")
# Column ids and flags of a record [lab-store.md 1, 2.6].
_SUBJECT_ID = 128
_BODY_ID = 256
_EXTENDED = 0x4000
_NULL_BIT = 0x8000
_LONG_TYPE = 1


def _check_subject(_: object, __: object, value: str) -> None:
    try:
        length = len(value.encode(CODE_PAGE))
    except UnicodeEncodeError as error:
        raise UsageError(f"the subject does not fit code page 1252: {value!r}") from error
    if "\0" in value:
        raise UsageError("a subject cannot hold a NUL character")
    if length > MAX_SUBJECT_BYTES:
        raise UsageError(f"the subject has {length} bytes, 255 are possible")


def _check_folder(_: object, __: object, value: int) -> None:
    if not -(1 << 31) <= value < 1 << 31:
        raise UsageError(f"folder {value} is not a 32-bit number")


@frozen(kw_only=True)
class Message:
    """A message to be stored.

    Attributes:
        subject: Text of code page 1252, at most 255 bytes.
        body: Any bytes.
        folder: Number of the folder it lies in.
    """

    subject: str = field(validator=_check_subject)
    body: bytes = b""
    folder: int = field(default=0, validator=_check_folder)


@frozen(kw_only=True)
class StoredMessage:
    """A message as it lies in a database.

    Attributes:
        id: Its number in the database.
        subject: As delivered.
        body: As delivered.
        folder: As delivered.
        txid: The transaction that wrote it.
    """

    id: int
    subject: str
    body: bytes
    folder: int
    txid: int


@frozen(kw_only=True)
class MessagePart:
    """One row of the table Messages [lab-store.md 1]."""

    id: int
    part: int
    folder: int
    txid: int
    subject: str
    body: bytes


def key_of_long(value: int) -> bytes:
    """A 32-bit key segment: big-endian with the sign bit flipped, after 0x7F."""
    return b"\x7f" + ((value + (1 << 31)) & 0xFFFFFFFF).to_bytes(4, "big")


def key_of_short(value: int) -> bytes:
    """A 16-bit key segment."""
    return b"\x7f" + ((value + (1 << 15)) & 0xFFFF).to_bytes(2, "big")


def key_of_text(value: str) -> bytes:
    """A text key segment: upper case, zero-terminated, as the catalog's indexes show it."""
    return b"\x7f" + value.upper().encode(CODE_PAGE) + b"\0"


def part_key(message_id: int, part: int) -> bytes:
    """Primary key of a row of Messages."""
    return key_of_long(message_id) + key_of_long(part)


_FIRST_PART = key_of_long(0)


def is_first_part(key: bytes) -> bool:
    """Whether a primary key names a message's first row; every message has exactly one."""
    return key.endswith(_FIRST_PART)


@frozen(kw_only=True)
class CodedRecord:
    """Column values ready to be laid out.

    Attributes:
        fixed: Width and little-endian bytes (None = null) of the fixed columns from 1 on.
        variable: Bytes or None of the variable columns from 128 on.
        tagged: Bytes of the long binary columns, by id.
    """

    fixed: Sequence[tuple[int, bytes | None]]
    variable: Sequence[bytes | None] = ()
    tagged: Mapping[int, bytes] = {}


def encode_record(record: CodedRecord) -> bytes:
    """The bytes of a record [lab-store.md 2.6]."""
    fixed = b"".join(
        bytes([_NULL_FILL]) * width if data is None else data for width, data in record.fixed
    )
    bits = sum(1 << index for index, (_, data) in enumerate(record.fixed) if data is None)
    width = (len(record.fixed) + 7) // 8
    # Bits without a column are set, like those of null columns.
    unused = -1 << len(record.fixed)
    bitmap = ((bits | unused) & ((1 << 8 * width) - 1)).to_bytes(width, "little")
    end = _HEAD.size + len(fixed) + width
    # Variable columns count from 128 [lab-store.md 2.7].
    head = _HEAD.pack(len(record.fixed), 127 + len(record.variable), end)
    return head + fixed + bitmap + _variable(record.variable) + _tagged(record.tagged)


def _variable(values: Sequence[bytes | None]) -> bytes:
    offsets = b""
    end = 0
    for value in values:
        end += len(value or b"")
        offsets += _U16.pack(end | _NULL_BIT if value is None else end)
    return offsets + b"".join(value or b"" for value in values)


def _tagged(values: Mapping[int, bytes]) -> bytes:
    heads = data = b""
    for column, value in sorted(values.items()):
        offset = _TAGGED.size * len(values) + len(data)
        heads += _TAGGED.pack(column, offset | _EXTENDED)
        data += bytes([_LONG_TYPE]) + value
    return heads + data


def encode_part(part: MessagePart) -> bytes:
    """The record of one row of Messages; an empty body is null."""
    raw = _FIXED.pack(part.id, part.part, part.folder, part.txid)
    return encode_record(
        CodedRecord(
            fixed=((4, raw[:4]), (4, raw[4:8]), (4, raw[8:12]), (8, raw[12:])),
            variable=(part.subject.encode(CODE_PAGE),),
            tagged={_BODY_ID: part.body} if part.body else {},
        )
    )


def decode_part(data: bytes) -> MessagePart:
    """The row that `encode_part` laid out.

    Raises:
        StoreError: The bytes are no such record (native -1206).
    """
    try:
        last_fixed, last_variable, end = _HEAD.unpack_from(data)
        message_id, part, folder, txid = _FIXED.unpack_from(data, _HEAD.size)
        if (last_fixed, last_variable) != (4, _SUBJECT_ID):
            raise ValueError("other columns")
        length = _U16.unpack_from(data, end)[0]
        start = end + _U16.size
        subject = data[start : start + length].decode(CODE_PAGE)
    except (struct.error, ValueError) as error:
        raise StoreError(
            "a row of Messages cannot be read", native=EseError.DATABASE_CORRUPTED
        ) from error
    return MessagePart(
        id=message_id,
        part=part,
        folder=folder,
        txid=txid,
        subject=subject,
        # Behind the head of the one tagged column, and its flag byte.
        body=data[start + length + _TAGGED.size + 1 :],
    )


def split_message(message: Message, message_id: int, txid: int) -> list[MessagePart]:
    """The rows of a message: one, or one per kilobyte of body."""
    # A message without a body has one row all the same.
    pieces = range(0, max(1, len(message.body)), BODY_PART_BYTES)
    return [
        MessagePart(
            id=message_id,
            part=index,
            folder=message.folder,
            txid=txid,
            subject=message.subject,
            body=message.body[at : at + BODY_PART_BYTES],
        )
        for index, at in enumerate(pieces)
    ]
