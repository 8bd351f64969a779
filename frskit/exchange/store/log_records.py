"""Log records of the lab's engine: what they say and how they are coded.

Records are physiological: a page number, a slot and the operation on the node, with the page's
dbtime before and after. Only NOP (0) and END (4) have real numbers; ours are taken from an
unassigned range, so that nobody mistakes them for Microsoft's [lab-store.md 3]. Framing: u8 type,
u16 length, body. Checksums and sectors are for `logfile`.
"""

from __future__ import annotations

import struct
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from attrs import frozen

from frskit.codes.ese import EseError
from frskit.errors import FormatError, StoreError
from frskit.ese import pack_lgpos, pack_signature, parse_lgpos, parse_signature
from frskit.model.ese_structures import LgPos, Signature

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Attach",
    "BackupMark",
    "Begin",
    "Commit",
    "CreateDatabase",
    "Detach",
    "NewPages",
    "NodeChange",
    "Operation",
    "PageImage",
    "Record",
    "Rollback",
    "TornPageImage",
    "decode_records",
    "encode_record",
]

# The only numbers that are Microsoft's own [lab-store.md 3].
NOP = 0
END = 4

# Bodies of the records; the layouts are ours [lab-store.md 3].
_FRAME = struct.Struct("<BH")
_TXID = struct.Struct("<Q")
_OPERATION = struct.Struct("<QBIQQHBHHH")
_IMAGE = struct.Struct("<IQQH")
_COUNT = struct.Struct("<BH")
_CREATE = struct.Struct("<BIB")
_BACKUP = struct.Struct("<BII")
_LENGTH = struct.Struct("<H")


class NodeChange(Enum):
    """What happens to a node; the value is the record's type number."""

    INSERT = 105
    REPLACE = 106
    DELETE = 107

    @property
    def inverse(self) -> NodeChange:
        """The kind that takes it back."""
        return {
            NodeChange.INSERT: NodeChange.DELETE,
            NodeChange.DELETE: NodeChange.INSERT,
        }.get(self, self)


@frozen(kw_only=True)
class Begin:
    """A transaction starts."""

    txid: int


@frozen(kw_only=True)
class Commit:
    """A transaction is done; durable together with this record."""

    txid: int


@frozen(kw_only=True)
class Rollback:
    """A transaction has been taken back completely."""

    txid: int


@frozen(kw_only=True)
class Operation:
    """One change of one node.

    Attributes:
        kind: Insert, replace or delete.
        txid: The transaction.
        dbid: The database.
        page: Number of the page.
        before: The page's dbtime before.
        after: And after.
        slot: Place of the node, from 0.
        compensation: Whether it takes back an earlier operation of the transaction; never taken
            back itself.
        key: Key of the node.
        old: Data before; empty for an insert.
        new: Data after; empty for a delete.
    """

    kind: NodeChange
    txid: int
    dbid: int
    page: int
    before: int
    after: int
    slot: int
    compensation: bool
    key: bytes
    old: bytes
    new: bytes


@frozen(kw_only=True)
class PageImage:
    """Full content of one page, without its unused middle.

    Attributes:
        page: Number of the page.
        before: Its dbtime before; 0 for a page never used.
        after: Its dbtime in the image.
        image: As `Page.image` made it.
    """

    page: int
    before: int
    after: int
    image: bytes


@frozen(kw_only=True)
class NewPages:
    """A split or an extension: the after-images of all its pages, in one atomic record."""

    dbid: int
    pages: tuple[PageImage, ...]


@frozen(kw_only=True)
class TornPageImage:
    """A page as it is about to be written, in case that write tears.

    Redo takes it where the page on disk has a bad checksum or just this dbtime. A page that is too
    old is *not* healed by it, so that a lost flush stays visible (frskit's choice).
    """

    dbid: int
    page: PageImage


@frozen(kw_only=True)
class CreateDatabase:
    """A database comes into being, empty, and is attached.

    Attributes:
        dbid: Its number in the stream.
        pages: Its size.
        legacy: Whether its pages begin with the old checksum format.
        signature: Its identity.
        slv_signature: That of its streaming file; unset without one.
        path: Where it lies, in the server's notation.
    """

    dbid: int
    pages: int
    legacy: bool
    signature: Signature
    slv_signature: Signature
    path: str


@frozen(kw_only=True)
class Attach:
    """A clean database is mounted.

    Attributes:
        dbid: Its number in the stream.
        consistent: Where it was last consistent, as its header said.
        signature: Its identity.
        path: Where it lies.
    """

    dbid: int
    consistent: LgPos
    signature: Signature
    path: str


@frozen(kw_only=True)
class Detach:
    """A database has been dismounted; all its pages had been written.

    Attributes:
        dbid: Its number in the stream.
        signature: Its identity.
        abandoned: Recovery went on without it because it was missing; nothing was written.
    """

    dbid: int
    signature: Signature
    abandoned: bool = False


@frozen(kw_only=True)
class BackupMark:
    """A snapshot backup froze the group just before this record [resolutions.md R-9].

    Attributes:
        kind: Number of the backup kind: 0 full, 1 incremental, 2 copy, 3 differential.
        first_generation: Lowest log of the copy.
        last_generation: Highest log of the copy.
    """

    kind: int
    first_generation: int
    last_generation: int


Record: TypeAlias = (
    Begin
    | Commit
    | Rollback
    | Operation
    | NewPages
    | TornPageImage
    | CreateDatabase
    | Attach
    | Detach
    | BackupMark
)

# Ours, from the unassigned numbers 102 to 127 [lab-store.md 3].
_BEGIN, _COMMIT, _ROLLBACK = 102, 103, 104
_NEW_PAGES, _TORN_PAGE, _CREATE_DB, _ATTACH, _DETACH, _BACKUP_MARK = range(108, 114)
_OPERATIONS = {kind.value: kind for kind in NodeChange}


def encode_record(record: Record) -> bytes:
    """The bytes of a record, framed.

    Raises:
        StoreError: It is larger than a record may be.
    """
    number, body = _encode(record)
    if len(body) > 0xFFFF:
        raise StoreError(
            f"a log record of {len(body)} bytes is not possible", native=EseError.RECORD_TOO_BIG
        )
    return _FRAME.pack(number, len(body)) + body


def _encode(record: Record) -> tuple[int, bytes]:
    match record:
        case Begin(txid=txid):
            return _BEGIN, _TXID.pack(txid)
        case Commit(txid=txid):
            return _COMMIT, _TXID.pack(txid)
        case Rollback(txid=txid):
            return _ROLLBACK, _TXID.pack(txid)
        case Operation():
            return record.kind.value, _encode_operation(record)
        case NewPages():
            body = b"".join(map(_encode_image, record.pages))
            return _NEW_PAGES, _COUNT.pack(record.dbid, len(record.pages)) + body
        case TornPageImage():
            return _TORN_PAGE, bytes([record.dbid]) + _encode_image(record.page)
        case CreateDatabase():
            return _CREATE_DB, _encode_create(record)
        case Attach():
            body = bytes([record.dbid]) + pack_lgpos(record.consistent)
            return _ATTACH, body + pack_signature(record.signature) + _encode_text(record.path)
        case Detach():
            head = bytes([record.dbid, record.abandoned])
            return _DETACH, head + pack_signature(record.signature)
        case BackupMark():
            numbers = (record.kind, record.first_generation, record.last_generation)
            return _BACKUP_MARK, _BACKUP.pack(*numbers)


def _encode_operation(record: Operation) -> bytes:
    head = _OPERATION.pack(
        record.txid,
        record.dbid,
        record.page,
        record.before,
        record.after,
        record.slot,
        record.compensation,
        len(record.key),
        len(record.old),
        len(record.new),
    )
    return head + record.key + record.old + record.new


def _encode_image(image: PageImage) -> bytes:
    return _IMAGE.pack(image.page, image.before, image.after, len(image.image)) + image.image


def _encode_create(record: CreateDatabase) -> bytes:
    return (
        _CREATE.pack(record.dbid, record.pages, record.legacy)
        + pack_signature(record.signature)
        + pack_signature(record.slv_signature)
        + _encode_text(record.path)
    )


def _encode_text(text: str) -> bytes:
    raw = text.encode()
    return _LENGTH.pack(len(raw)) + raw


class _Reader:
    """Takes values from the front of a record's body; never reads past its end."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def numbers(self, layout: struct.Struct) -> tuple[int, ...]:
        """The numbers of a layout."""
        return layout.unpack(self.raw(layout.size))

    def raw(self, length: int) -> bytes:
        """So many bytes."""
        piece = self._body[self._at : self._at + length]
        if len(piece) < length:
            raise ValueError("the body ends too early")
        self._at += length
        return piece

    def text(self) -> str:
        """A text with its length before it."""
        return self.raw(self.numbers(_LENGTH)[0]).decode()

    def image(self) -> PageImage:
        """One page image."""
        page, before, after, length = self.numbers(_IMAGE)
        return PageImage(page=page, before=before, after=after, image=self.raw(length))

    def signature(self) -> Signature:
        """A signature."""
        return parse_signature(self.raw(28))


def decode_records(data: bytes, *, administrative: bool = False) -> Iterator[tuple[int, Record]]:
    """The records of one flush range with their offsets in it; NOPs and END are left out.

    Args:
        data: The range's bytes after the checksum record.
        administrative: Only the records about whole databases.

    Raises:
        StoreError: The bytes are no records (native -501).
    """
    at = 0
    while at < len(data):
        if data[at] == NOP:
            # Padding up to the next sector, skipped at once because there may be much of it.
            at = len(data) - len(data[at:].lstrip(b"\0"))
            continue
        if data[at] == END:
            at += 1
            continue
        if at + _FRAME.size > len(data):
            raise _damaged(at)
        number, length = _FRAME.unpack_from(data, at)
        start = at + _FRAME.size
        if start + length > len(data):
            raise _damaged(at)
        at_record, at = at, start + length
        # From this number on records are about whole databases.
        if administrative and number < _CREATE_DB:
            continue
        try:
            record = _decode(number, _Reader(data[start:at]))
        except (ValueError, struct.error, FormatError) as error:
            raise _damaged(at_record) from error
        yield at_record, record


def _decode(number: int, body: _Reader) -> Record:
    if number in _OPERATIONS:
        return _decode_operation(_OPERATIONS[number], body)
    if number == _BEGIN:
        return Begin(txid=body.numbers(_TXID)[0])
    if number == _COMMIT:
        return Commit(txid=body.numbers(_TXID)[0])
    if number == _ROLLBACK:
        return Rollback(txid=body.numbers(_TXID)[0])
    if number == _NEW_PAGES:
        dbid, count = body.numbers(_COUNT)
        return NewPages(dbid=dbid, pages=tuple(body.image() for _ in range(count)))
    if number == _TORN_PAGE:
        return TornPageImage(dbid=body.raw(1)[0], page=body.image())
    return _decode_administration(number, body)


def _decode_operation(kind: NodeChange, body: _Reader) -> Operation:
    txid, dbid, page, before, after, slot, compensation, *lengths = body.numbers(_OPERATION)
    key, old, new = (body.raw(length) for length in lengths)
    return Operation(
        kind=kind,
        txid=txid,
        dbid=dbid,
        page=page,
        before=before,
        after=after,
        slot=slot,
        compensation=bool(compensation),
        key=key,
        old=old,
        new=new,
    )


def _decode_administration(number: int, body: _Reader) -> Record:
    if number == _CREATE_DB:
        dbid, pages, legacy = body.numbers(_CREATE)
        return CreateDatabase(
            dbid=dbid,
            pages=pages,
            legacy=bool(legacy),
            signature=body.signature(),
            slv_signature=body.signature(),
            path=body.text(),
        )
    if number == _ATTACH:
        return Attach(
            dbid=body.raw(1)[0],
            consistent=parse_lgpos(body.raw(8)),
            signature=body.signature(),
            path=body.text(),
        )
    if number == _DETACH:
        dbid, abandoned = body.raw(2)
        return Detach(dbid=dbid, abandoned=bool(abandoned), signature=body.signature())
    if number == _BACKUP_MARK:
        kind, first, last = body.numbers(_BACKUP)
        return BackupMark(kind=kind, first_generation=first, last_generation=last)
    raise ValueError(f"record type {number} is unknown")


def _damaged(at: int) -> StoreError:
    return StoreError(
        f"the log holds no record at byte {at} of a range",
        context={"offset": at},
        native=EseError.LOG_FILE_CORRUPT,
    )
