"""Small structures of ESE files, and tables that turn header bytes into values and back.

A header is described by a `Layout` of `Field` rows (name, offset, kind); `unpack_fields` and
`pack_fields` do the rest. Layouts from [ese.md 1]. Nothing here knows about checksums or files.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from attrs import field, frozen

from frskit.errors import FormatError
from frskit.model.ese_structures import (
    AttachInfo,
    BackupRange,
    DbmsParameters,
    LgPos,
    LogTime,
    Signature,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

__all__ = [
    "ATTACHMENTS_SIZE",
    "AttachInfo",
    "BackupRange",
    "DbmsParameters",
    "Field",
    "Layout",
    "LgPos",
    "LogTime",
    "Signature",
    "pack_attachments",
    "pack_fields",
    "pack_lgpos",
    "pack_signature",
    "parse_attachments",
    "parse_lgpos",
    "parse_signature",
    "unpack_fields",
]

ATTACHMENTS_SIZE = 2048
"""Bytes of the attachment area of log headers and checkpoints [ese.md 1]."""

MAX_PATH_BYTES = 260
"""Longest path in the engine's settings, without its terminator [ese.md 1]."""

# Structures are packed: no alignment gaps [ese.md 1].
_LGPOS = struct.Struct("<HHi")
_SIGNATURE = struct.Struct("<I8s16s")
_BACKUP = struct.Struct("<8s8sII")
_PARAMETERS = struct.Struct("<261s261sB7I16x")
_ATTACH = struct.Struct("<BBHQIi8s8s28s")


def parse_lgpos(data: bytes) -> LgPos:
    """The log position stored in 8 bytes [ese.md 1]."""
    offset, sector, generation = _LGPOS.unpack(data)
    return LgPos(generation=generation, sector=sector, offset=offset)


def pack_lgpos(position: LgPos) -> bytes:
    """The 8 bytes of a log position."""
    return _LGPOS.pack(position.offset, position.sector, position.generation)


def parse_signature(data: bytes) -> Signature:
    """The signature stored in 28 bytes [ese.md 1]."""
    random, created, name = _SIGNATURE.unpack(data)
    return Signature(random=random, created=LogTime(raw=created), computer_name=name)


def pack_signature(signature: Signature) -> bytes:
    """The 28 bytes of a signature."""
    return _SIGNATURE.pack(signature.random, signature.created.raw, signature.computer_name)


def _parse_logtime(data: bytes) -> LogTime:
    return LogTime(raw=data)


def _pack_logtime(time: LogTime) -> bytes:
    return time.raw


def _parse_backup(data: bytes) -> BackupRange:
    mark, time, first, last = _BACKUP.unpack(data)
    return BackupRange(
        mark=parse_lgpos(mark),
        time=LogTime(raw=time),
        first_generation=first,
        last_generation=last,
    )


def _pack_backup(backup: BackupRange) -> bytes:
    return _BACKUP.pack(
        pack_lgpos(backup.mark),
        backup.time.raw,
        backup.first_generation,
        backup.last_generation,
    )


def _parse_parameters(data: bytes) -> DbmsParameters:
    system, log, flags, *counters = _PARAMETERS.unpack(data)
    return DbmsParameters(
        system_path=_text(system),
        log_path=_text(log),
        flags=flags,
        counters=tuple(counters),
    )


def _text(raw: bytes) -> str:
    """A path; the last byte of its field is a terminator, whatever it holds."""
    return raw[:MAX_PATH_BYTES].split(b"\0")[0].decode("latin-1")


def _pack_parameters(parameters: DbmsParameters) -> bytes:
    paths = [path.encode("latin-1") for path in (parameters.system_path, parameters.log_path)]
    if max(map(len, paths)) > MAX_PATH_BYTES:
        raise FormatError(f"a path in the engine's settings is longer than {MAX_PATH_BYTES} bytes")
    return _PARAMETERS.pack(*paths, parameters.flags, *parameters.counters)


def parse_attachments(area: bytes) -> tuple[AttachInfo, ...]:
    """The list of attached databases; ends at a zero dbid [ese.md 1].

    A damaged list ends where it stops making sense: an entry that would reach past the area
    is left out. The header's checksum, not this list, says whether the bytes are sound.
    """
    found = []
    at = 0
    while at + _ATTACH.size <= len(area) and area[at]:
        dbid, flags, length, dbtime, objid, pages, attach, consistent, signature = (
            _ATTACH.unpack_from(area, at)
        )
        at += _ATTACH.size
        if at + length > len(area):
            break
        found.append(
            AttachInfo(
                dbid=dbid,
                flags=flags,
                dbtime=dbtime,
                last_objid=objid,
                max_size_pages=pages,
                attach=parse_lgpos(attach),
                consistent=parse_lgpos(consistent),
                db_signature=parse_signature(signature),
                names=area[at : at + length],
            )
        )
        at += length
    return tuple(found)


def pack_attachments(attachments: Sequence[AttachInfo]) -> bytes:
    """The attachment area, zero padded to 2048 bytes.

    Raises:
        FormatError: The list does not fit.
    """
    area = b"".join(
        _ATTACH.pack(
            each.dbid,
            each.flags,
            len(each.names),
            each.dbtime,
            each.last_objid,
            each.max_size_pages,
            pack_lgpos(each.attach),
            pack_lgpos(each.consistent),
            pack_signature(each.db_signature),
        )
        + each.names
        for each in attachments
    )
    if len(area) > ATTACHMENTS_SIZE:
        raise FormatError(
            "too many attached databases for one header", context={"count": len(attachments)}
        )
    return area.ljust(ATTACHMENTS_SIZE, b"\0")


@frozen
class _Kind:
    """How one kind of field is read and written; the parsers see exactly `size` bytes."""

    size: int
    parse: Callable[[bytes], Any]
    pack: Callable[[Any], bytes]


def _number(code: str) -> _Kind:
    layout = struct.Struct("<" + code)
    return _Kind(layout.size, lambda data: layout.unpack(data)[0], layout.pack)


_KINDS: Mapping[str, _Kind] = {
    "u8": _number("B"),
    "u16": _number("H"),
    "u32": _number("I"),
    "i32": _number("i"),
    "u64": _number("Q"),
    "lgpos": _Kind(8, parse_lgpos, pack_lgpos),
    "time": _Kind(8, _parse_logtime, _pack_logtime),
    "signature": _Kind(28, parse_signature, pack_signature),
    "backup": _Kind(24, _parse_backup, _pack_backup),
    "parameters": _Kind(567, _parse_parameters, _pack_parameters),
    "attachments": _Kind(ATTACHMENTS_SIZE, parse_attachments, pack_attachments),
}


@frozen
class Field:
    """One row of a header layout: where a value lies and how it is coded.

    Attributes:
        name: Name of the value.
        offset: Where it begins.
        kind: How it is coded.
        end: Offset of the first byte after the field.
    """

    name: str
    offset: int
    kind: str
    end: int = field(init=False, eq=False, repr=False)

    @end.default
    def _end(self) -> int:
        return self.offset + _KINDS[self.kind].size


def _fields(rows: Iterable[tuple[str, int, str]]) -> tuple[Field, ...]:
    return tuple(Field(*row) for row in rows)


@frozen
class Layout:
    """The rows of a header.

    Attributes:
        rows: The fields, made from name, offset and kind of each.
        end: Offset of the first byte after all of them, known once and for all: headers are read
            often.
    """

    rows: tuple[Field, ...] = field(converter=_fields)
    end: int = field(init=False)

    @end.default
    def _end(self) -> int:
        return max(row.end for row in self.rows)

    def __iter__(self) -> Iterator[Field]:
        return iter(self.rows)


def unpack_fields(layout: Layout, data: bytes) -> dict[str, Any]:
    """The values of all fields by name; `data` must reach to the end of the layout.

    Raises:
        FormatError: `data` is too short.
    """
    if len(data) < layout.end:
        raise FormatError("the bytes end inside the header", context={"length": len(data)})
    return {row.name: _KINDS[row.kind].parse(data[row.offset : row.end]) for row in layout.rows}


def pack_fields(layout: Layout, value: object, size: int) -> bytearray:
    """A zeroed area of `size` bytes with every field of `value` in its place.

    Raises:
        FormatError: A value does not fit into its field.
    """
    area = bytearray(size)
    for row in layout.rows:
        try:
            raw = _KINDS[row.kind].pack(getattr(value, row.name))
        except (struct.error, UnicodeEncodeError) as error:
            raise FormatError(
                f"{row.name} does not fit into its field: {error}", context={"field": row.name}
            ) from error
        # Some values are bytes already and are packed as long as they are.
        if len(raw) != row.end - row.offset:
            raise FormatError(f"{row.name} has the wrong length", context={"field": row.name})
        area[row.offset : row.end] = raw
    return area
