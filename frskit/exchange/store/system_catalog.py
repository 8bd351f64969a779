"""The pages of a new, empty database: space trees, catalog, shadow catalog, table Messages.

Values only; nothing is written here. The result depends on nothing but its arguments, so that
redo can make the same database again. Facts: [lab-store.md 2]; numbers that real databases show
are named there, the sizes are frskit's choice.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from attrs import frozen

from frskit.exchange.store.pages import Page, PageFlag
from frskit.exchange.store.row_codec import (
    CODE_PAGE,
    CodedRecord,
    encode_record,
    key_of_long,
    key_of_short,
    key_of_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "AVAILABLE_OFFSET",
    "DATABASE_ROOT",
    "LAST_OBJID",
    "MESSAGES_OBJID",
    "MESSAGES_ROOT",
    "OWNED_OFFSET",
    "build_database",
    "space_entry",
    "space_nodes",
]

DATABASE_ROOT = 1
"""Root page of the database's own space trees [lab-store.md 2.4]."""

MESSAGES_ROOT = 29
"""Root page of the table Messages: the first page after the shadow catalog."""

MESSAGES_OBJID = 6
"""Object id of the table Messages."""

LAST_OBJID = 6
"""Highest object id given out; kept in the header [lab-store.md 2.10]."""

OWNED_OFFSET = 1
"""A tree's owned-extents root lies one page after its root, as the well-known trees do."""

AVAILABLE_OFFSET = 2
"""And the available-extents root two pages after it."""

# Roots of the well-known trees [lab-store.md 2.4].
_CATALOG, _NAME_INDEX, _ROOT_INDEX, _SHADOW = 4, 7, 10, 24
# Values that real databases show [lab-store.md 2.8].
_SYSTEM_TABLE = 0xC0000000
_TABLE, _COLUMN, _INDEX = 1, 2, 3
_ENGLISH = 1033
_LC_MAP = 0x30401
_PRIMARY_FLAGS, _NAME_FLAGS, _ROOT_FLAGS = 0x10031, 0x10011, 0x10009
_DENSITY = 80
_BIT, _SHORT, _LONG, _CURRENCY, _BINARY, _TEXT, _LONG_BINARY = 1, 3, 4, 5, 9, 10, 11
# For readers, SpaceUsage is the width of a fixed column [lab-store.md 2.9].
_WIDTHS = {_BIT: 1, _SHORT: 2, _LONG: 4, _CURRENCY: 8, _BINARY: 255, _TEXT: 255, _LONG_BINARY: 0}
_EXTERNAL = struct.Struct("<IIII")


@frozen
class _Column:
    id: int
    name: str
    type: int
    not_null: bool = False


@frozen
class _Index:
    objid: int
    name: str
    root: int
    flags: int
    columns: tuple[int, ...]


@frozen
class _Table:
    objid: int
    name: str
    root: int
    pages: int
    flags: int
    columns: tuple[_Column, ...]
    indexes: tuple[_Index, ...]


CATALOG_COLUMNS = (
    _Column(1, "ObjidTable", _LONG, not_null=True),
    _Column(2, "Type", _SHORT, not_null=True),
    _Column(3, "Id", _LONG, not_null=True),
    _Column(4, "ColtypOrPgnoFDP", _LONG, not_null=True),
    _Column(5, "SpaceUsage", _LONG, not_null=True),
    _Column(6, "Flags", _LONG, not_null=True),
    _Column(7, "PagesOrLocale", _LONG, not_null=True),
    _Column(8, "RootFlag", _BIT),
    _Column(9, "RecordOffset", _SHORT),
    _Column(10, "LCMapFlags", _LONG),
    _Column(128, "Name", _TEXT, not_null=True),
    _Column(129, "Stats", _BINARY),
    _Column(130, "TemplateTable", _TEXT),
    _Column(131, "DefaultValue", _BINARY),
    _Column(132, "KeyFldIDs", _BINARY),
    _Column(133, "VarSegMac", _BINARY),
    _Column(134, "ConditionalColumns", _BINARY),
    _Column(135, "TupleLimits", _BINARY),
    _Column(256, "CallbackData", _LONG_BINARY),
    _Column(257, "CallbackDependencies", _LONG_BINARY),
)
"""Columns of the catalog at revisions 9 and 0x0B [lab-store.md 2.7]."""

MESSAGE_COLUMNS = (
    _Column(1, "MsgId", _LONG, not_null=True),
    _Column(2, "Part", _LONG, not_null=True),
    _Column(3, "Folder", _LONG),
    _Column(4, "Txid", _CURRENCY),
    _Column(128, "Subject", _TEXT),
    _Column(256, "Body", _LONG_BINARY),
)
"""Columns of the table Messages [lab-store.md 1]."""


def _tables(pages: int) -> tuple[_Table, ...]:
    return (
        _Table(
            2,
            "MSysObjects",
            _CATALOG,
            20,
            _SYSTEM_TABLE,
            CATALOG_COLUMNS,
            (
                _Index(2, "Id", _CATALOG, _PRIMARY_FLAGS, (1, 2, 3)),
                _Index(4, "Name", _NAME_INDEX, _NAME_FLAGS, (1, 2, 128)),
                _Index(5, "RootObjects", _ROOT_INDEX, _ROOT_FLAGS, (8, 128)),
            ),
        ),
        _Table(
            3,
            "MSysObjectsShadow",
            _SHADOW,
            5,
            _SYSTEM_TABLE,
            CATALOG_COLUMNS,
            (_Index(3, "Id", _SHADOW, _PRIMARY_FLAGS, (1, 2, 3)),),
        ),
        _Table(
            MESSAGES_OBJID,
            "Messages",
            MESSAGES_ROOT,
            pages - MESSAGES_ROOT + 1,
            0,
            MESSAGE_COLUMNS,
            (_Index(MESSAGES_OBJID, "MessageId", MESSAGES_ROOT, _PRIMARY_FLAGS, (1, 2)),),
        ),
    )


@frozen
class _Row:
    """One row of the catalog: its key parts, its name and its record."""

    objid: int
    type: int
    id: int
    name: str
    data: bytes

    @property
    def key(self) -> bytes:
        return key_of_long(self.objid) + key_of_short(self.type) + key_of_long(self.id)

    @property
    def name_key(self) -> bytes:
        return key_of_long(self.objid) + key_of_short(self.type) + key_of_text(self.name)


def _row(
    objid: int,
    row_type: int,
    row_id: int,
    name: str,
    *,
    target: int,
    space: int,
    flags: int,
    pages: int,
    more: Sequence[tuple[int, bytes | None]],
    segments: Sequence[int] = (),
) -> _Row:
    numbers = (objid, row_type, row_id, target, space, flags, pages)
    widths = (4, 2, 4, 4, 4, 4, 4)
    fixed = [
        (width, value.to_bytes(width, "little"))
        for width, value in zip(widths, numbers, strict=True)
    ]
    # Per key segment a zero and the column [lab-store.md 2.8].
    key_columns = b"".join(struct.pack("<HH", 0, column) for column in segments)
    variable: list[bytes | None] = [name.encode(CODE_PAGE)]
    if segments:
        variable += [None, None, None, key_columns]
    record = CodedRecord(fixed=[*fixed, *more], variable=variable)
    return _Row(objid, row_type, row_id, name, encode_record(record))


def _rows(table: _Table) -> Iterator[_Row]:
    yield _row(
        table.objid,
        _TABLE,
        table.objid,
        table.name,
        target=table.root,
        space=_DENSITY,
        flags=table.flags,
        pages=table.pages,
        more=[(1, b"\xff")],  # RootFlag [lab-store.md 2.8]
    )
    # Fixed columns lie behind the four bytes of a record's head [lab-store.md 2.6].
    offset = 4
    for column in table.columns:
        fixed = column.id < 128
        yield _row(
            table.objid,
            _COLUMN,
            column.id,
            column.name,
            target=column.type,
            space=_WIDTHS[column.type],
            flags=int(column.not_null),
            pages=1252,  # code page
            more=[(1, None), (2, offset.to_bytes(2, "little") if fixed else b"\0\0")],
        )
        offset += _WIDTHS[column.type] if fixed else 0
    for index in sorted(table.indexes, key=lambda each: each.objid):
        yield _row(
            table.objid,
            _INDEX,
            index.objid,
            index.name,
            target=index.root,
            space=_DENSITY,
            flags=index.flags,
            pages=_ENGLISH,
            more=[(1, None), (2, None), (4, _LC_MAP.to_bytes(4, "little"))],
            segments=index.columns,
        )


def space_entry(last: int, count: int) -> tuple[bytes, bytes]:
    """The node of one extent: its last page, big-endian, and its length [lab-store.md 2.4]."""
    return last.to_bytes(4, "big"), count.to_bytes(4, "little")


def space_nodes(page: Page) -> list[tuple[int, int]]:
    """The extents of a space tree of one page, as (last page, count)."""
    return [
        (int.from_bytes(key, "big"), int.from_bytes(data, "little")) for key, data in page.nodes()
    ]


class _Builder:
    """Collects the pages of a new database."""

    def __init__(self) -> None:
        self.pages: dict[int, Page] = {}

    def tree(
        self,
        root: int,
        objid: int,
        owned: tuple[int, int],
        parent: int,
        nodes: Sequence[tuple[bytes, bytes]] = (),
        *,
        spare: range = range(0),
        index: bool = False,
    ) -> None:
        """A root leaf with its nodes, and its two space trees; `spare` pages are available to it."""
        kind = PageFlag.INDEX if index else PageFlag(0)
        external = _EXTERNAL.pack(owned[1], parent, 1, root + OWNED_OFFSET)
        self.pages[root] = page = Page.empty(objid, PageFlag.ROOT | PageFlag.LEAF | kind, external)
        page.fill(list(nodes))
        self._space(root + OWNED_OFFSET, objid, kind, [owned])
        available = [(spare[-1], len(spare))] if spare else []
        self._space(root + AVAILABLE_OFFSET, objid, kind, available)

    def _space(
        self, number: int, objid: int, kind: PageFlag, extents: Sequence[tuple[int, int]]
    ) -> None:
        flags = PageFlag.ROOT | PageFlag.LEAF | PageFlag.SPACE_TREE | kind
        page = Page.empty(objid, flags, bytes(16))
        page.fill([space_entry(last, count) for last, count in extents])
        self.pages[number] = page


def build_database(pages: int, *, legacy: bool = False) -> dict[int, Page]:
    """All initialized pages of an empty database, by number; dbtimes from 1 on.

    Args:
        pages: Logical pages of the file; those not returned are zero.
        legacy: Leave the new-checksum flag out, as before Exchange 2003 SP1.
    """
    tables = _tables(pages)
    rows = [row for table in tables for row in _rows(table)]
    catalog = sorted((row.key, row.data) for row in rows)
    names = sorted((row.name_key, row.key) for row in rows)
    # By RootFlag and name: of all rows only those of tables have the flag.
    roots = sorted(
        (b"\x7f\xff" + key_of_text(row.name), row.key) for row in rows if row.type == _TABLE
    )
    builder = _Builder()
    builder.tree(DATABASE_ROOT, 1, (pages, pages), 0)
    builder.tree(_CATALOG, 2, (23, 20), 1, catalog, spare=range(13, 24))
    builder.tree(_NAME_INDEX, 4, (9, 3), _CATALOG, names, index=True)
    builder.tree(_ROOT_INDEX, 5, (12, 3), _CATALOG, roots, index=True)
    builder.tree(_SHADOW, 3, (28, 5), 1, catalog, spare=range(27, 29))
    builder.tree(
        MESSAGES_ROOT,
        MESSAGES_OBJID,
        (pages, pages - MESSAGES_ROOT + 1),
        1,
        spare=range(MESSAGES_ROOT + 3, pages + 1),
    )
    for dbtime, number in enumerate(sorted(builder.pages), start=1):
        page = builder.pages[number]
        page.dbtime = dbtime
        if legacy:
            page.flags &= ~PageFlag.NEW_CHECKSUM
    return builder.pages
