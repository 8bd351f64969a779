"""The database header and its shadow: reading, choosing the good copy, packing.

Also serves .stm files, whose header has the same layout [ese.md 5.4]. Judges header bytes only;
pages are for `frskit.ese.database`. Facts: [ese.md 2.1, 2.2, 4.1].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import frozen

from frskit.codes.ese import EseError
from frskit.errors import FormatError
from frskit.ese.fields import Layout, pack_fields, unpack_fields
from frskit.ese.pages.checksums import PAGE_SIZES, header_checksum, seal_header
from frskit.ese.sources import Readable, Source, opened, read_exactly, source_name
from frskit.model.ese_files import DATABASE_MAGIC, DEFAULT_PAGE_SIZE, DatabaseHeader, FileKind

if TYPE_CHECKING:
    from typing import TypeAlias

__all__ = [
    "HeaderCondition",
    "HeaderCopies",
    "copies_condition",
    "header_is_sound",
    "identify",
    "pack_database_header",
    "parse_database_header",
    "read_database_header",
    "read_header_copies",
]

HeaderCondition: TypeAlias = Literal["ok", "copies differ", "primary bad", "secondary bad"]
"""What the two copies look like; "copies differ" = both good, the first one counts [ese.md 2.2]."""

DATABASE_LAYOUT: Layout = Layout(
    (
        ("checksum", 0, "u32"),
        ("magic", 4, "u32"),
        ("format_version", 8, "u32"),
        ("attribute", 12, "u32"),
        ("dbtime_dirtied", 16, "u64"),
        ("db_signature", 24, "signature"),
        ("state", 52, "u32"),
        ("consistent_position", 56, "lgpos"),
        ("consistent_time", 64, "time"),
        ("attach_time", 72, "time"),
        ("attach_position", 80, "lgpos"),
        ("detach_time", 88, "time"),
        ("detach_position", 96, "lgpos"),
        ("dbid", 104, "u32"),
        ("log_signature", 108, "signature"),
        ("full_backup_previous", 136, "backup"),
        ("incremental_backup_previous", 160, "backup"),
        ("full_backup_current", 184, "backup"),
        ("flags", 208, "u32"),
        ("last_objid", 212, "u32"),
        ("os_major", 216, "u32"),
        ("os_minor", 220, "u32"),
        ("os_build", 224, "u32"),
        ("os_service_pack", 228, "u32"),
        ("format_update_major", 232, "u32"),
        ("page_size", 236, "u32"),
        ("repair_count", 240, "u32"),
        ("repair_time", 244, "time"),
        ("slv_signature", 252, "signature"),
        ("scrub_dbtime", 280, "u64"),
        ("scrub_time", 288, "time"),
        ("gen_min_required", 296, "i32"),
        ("gen_max_required", 300, "i32"),
        ("upgrade_format_pages", 304, "i32"),
        ("upgrade_free_pages", 308, "i32"),
        ("upgrade_space_map_pages", 312, "i32"),
        ("snapshot_backup_current", 316, "backup"),
        ("created_version", 340, "u32"),
        ("created_update", 344, "u32"),
        ("gen_max_creation_time", 348, "time"),
        ("full_backup_type", 356, "u32"),
        ("incremental_backup_type", 360, "u32"),
        ("old_repair_count", 364, "u32"),
        ("ecc_fixed_count", 368, "u32"),
        ("ecc_fixed_time", 372, "time"),
        ("ecc_fixed_old_count", 380, "u32"),
        ("ecc_failed_count", 384, "u32"),
        ("ecc_failed_time", 388, "time"),
        ("ecc_failed_old_count", 396, "u32"),
        ("bad_checksum_count", 400, "u32"),
        ("bad_checksum_time", 404, "time"),
        ("bad_checksum_old_count", 412, "u32"),
        ("gen_max_committed", 416, "i32"),
        ("copy_backup_previous", 420, "backup"),
        ("differential_backup_previous", 444, "backup"),
        ("copy_backup_type", 468, "u32"),
        ("differential_backup_type", 472, "u32"),
        ("reseed_count", 476, "u32"),
        ("reseed_time", 480, "time"),
        ("reseed_old_count", 488, "u32"),
        ("patch_count", 492, "u32"),
        ("patch_time", 496, "time"),
        ("patch_old_count", 504, "u32"),
        ("sort_version", 508, "u64"),
        ("dbscan_previous_time", 516, "time"),
        ("dbscan_start_time", 524, "time"),
        ("dbscan_page", 532, "u32"),
        ("gen_recovering", 536, "i32"),
        ("extend_count", 540, "u32"),
        ("extend_time", 544, "time"),
        ("shrink_count", 552, "u32"),
        ("shrink_time", 556, "time"),
        ("reattach_time", 564, "time"),
        ("reattach_position", 572, "lgpos"),
        ("trim_count", 580, "u32"),
        ("header_flush_signature", 584, "signature"),
        ("flush_map_signature", 612, "signature"),
        ("gen_min_consistent", 640, "i32"),
        ("format_update_minor", 644, "u32"),
        ("engine_version", 648, "u32"),
        ("dbscan_highest_page", 652, "u32"),
        ("resize_position", 656, "lgpos"),
        ("file_type", 667, "u32"),
        ("gen_max_required_time", 672, "time"),
        ("gen_pre_redo_min_consistent", 680, "i32"),
        ("gen_pre_redo_min_required", 684, "i32"),
        ("revert_snapshot_signature", 688, "signature"),
        ("revert_count", 716, "u32"),
        ("revert_from_time", 720, "time"),
        ("revert_to_time", 728, "time"),
        ("revert_page_count", 736, "u32"),
        ("revert_position", 740, "lgpos"),
    )
)
"""Offset and kind of every field of DBFILEHDR [ese.md 2.1]."""

# Offsets of what must be known before the layout can be read [ese.md 1, 2.1].
_PAGE_SIZE_AT = 236
_FILE_TYPE_AT = 667
# Bytes of a log header and of one copy of a checkpoint [ese.md 2.2, 6].
_SMALL_HEADER = 4096


@frozen(kw_only=True)
class HeaderCopies:
    """Both copies of a database header.

    Attributes:
        header: The copy to be believed.
        condition: What the two copies look like.
        page_size: Page size under which the believed copy verified.
        stored: Stored checksums of copy 1 and 2; None where the file ends before.
        computed: Computed ones.
    """

    header: DatabaseHeader
    condition: HeaderCondition
    page_size: int
    stored: tuple[int | None, int | None]
    computed: tuple[int | None, int | None]


def parse_database_header(data: bytes) -> DatabaseHeader:
    """The fields of one header copy; checks nothing but that the bytes suffice.

    Raises:
        FormatError: Fewer than 748 bytes.
    """
    return DatabaseHeader(**unpack_fields(DATABASE_LAYOUT, data))


def pack_database_header(header: DatabaseHeader) -> bytes:
    """One header copy: a whole page, sealed. A writer stores it at page 0 and page 1.

    Raises:
        FormatError: The page size is none, or a value does not fit into its field.
    """
    size = header.page_size_bytes
    if size not in PAGE_SIZES:
        raise FormatError(f"there are no pages of {size} bytes", context={"page_size": size})
    page = pack_fields(DATABASE_LAYOUT, header, size)
    seal_header(page)
    return bytes(page)


def header_is_sound(data: bytes) -> bool:
    """Whether a header's stored checksum is right; `data` is the whole header."""
    return len(data) >= 4 and int.from_bytes(data[:4], "little") == header_checksum(data)


def read_database_header(file: Source) -> DatabaseHeader:
    """The good copy of a database's header.

    Raises:
        FormatError: Neither copy is good (native -1018), or the file is of another kind (-1812).
    """
    with opened(file) as reader:
        return read_header_copies(reader, source_name(file)).header


def read_header_copies(file: Readable, name: str = "database") -> HeaderCopies:
    """Both copies, tried under every page size, and the one to be believed [ese.md 2.2].

    Raises:
        FormatError: Neither copy is good (native -1018), or the file is of another kind (-1812).
    """
    # Both copies under every page size, in one read.
    head = read_exactly(file, 0, 2 * max(PAGE_SIZES))
    # A copy names its own page size, so at most one size fits.
    firsts = [size for size in PAGE_SIZES if _copy_is_good(head[:size], size)]
    seconds = [size for size in PAGE_SIZES if _copy_is_good(head[size : 2 * size], size)]
    size = next(iter(firsts or seconds), None)
    if size is None:
        raise _unreadable(file, name)
    first, second = head[:size], head[size : 2 * size]
    header = parse_database_header(first if firsts else second)
    if header.magic != DATABASE_MAGIC:
        raise _unreadable(file, name)
    return HeaderCopies(
        header=header,
        condition=copies_condition(
            # A shadow that is good under another size is no shadow of this header.
            first=bool(firsts),
            second=size in seconds,
            same=first == second,
        ),
        page_size=size,
        stored=(_stored(first, size), _stored(second, size)),
        computed=(_computed(first, size), _computed(second, size)),
    )


def copies_condition(*, first: bool, second: bool, same: bool) -> HeaderCondition:
    """What two copies look like: which ones are good, and whether they say the same."""
    if not first:
        return "primary bad"
    if not second:
        return "secondary bad"
    return "ok" if same else "copies differ"


def _copy_is_good(copy: bytes, size: int) -> bool:
    """Whether a copy says that its pages have this size, and is sound as one of them."""
    if len(copy) < size:
        return False
    stored = int.from_bytes(copy[_PAGE_SIZE_AT : _PAGE_SIZE_AT + 4], "little")
    return (stored or DEFAULT_PAGE_SIZE) == size and header_is_sound(copy)


def _stored(copy: bytes, size: int) -> int | None:
    return int.from_bytes(copy[:4], "little") if len(copy) == size else None


def _computed(copy: bytes, size: int) -> int | None:
    return header_checksum(copy) if len(copy) == size else None


def _unreadable(file: Readable, name: str) -> FormatError:
    kind = identify(file)
    if kind not in (FileKind.UNKNOWN, FileKind.DATABASE, FileKind.STREAMING_FILE):
        return FormatError(
            f"{name} is not a database but a {kind.name.lower().replace('_', ' ')}",
            hint="Use the check for that kind of file.",
            context={"file": name, "kind": kind.name},
            native=EseError.FILE_INVALID_TYPE,
        )
    return FormatError(
        f"{name} has no readable database header",
        hint="The file is damaged, or is not an ESE database.",
        context={"file": name, "size_bytes": file.size_bytes},
        native=EseError.READ_VERIFY_FAILURE,
    )


def identify(file: Source) -> FileKind:
    """The kind of an ESE file, from the type word of a sound header; else UNKNOWN.

    Tries every header length, and the shadow copy too; files written before 2001 carry no type
    and are told apart by their magic number as far as that goes (frskit's choice).
    """
    with opened(file) as reader:
        for size in (_SMALL_HEADER, *PAGE_SIZES):
            # The copy at the beginning may be torn; its shadow lies one header length behind it.
            for offset in (0, size):
                data = read_exactly(reader, offset, size)
                if len(data) == size and header_is_sound(data):
                    return _kind_of(data)
    return FileKind.UNKNOWN


def _kind_of(data: bytes) -> FileKind:
    value = int.from_bytes(data[_FILE_TYPE_AT : _FILE_TYPE_AT + 4], "little")
    # Old files tell the two apart by the attribute at byte 12 only [ese.md 2.1].
    if value == 0 and int.from_bytes(data[4:8], "little") == DATABASE_MAGIC:
        return FileKind.STREAMING_FILE if data[12] == 1 else FileKind.DATABASE
    return FileKind(value) if value in set(FileKind) else FileKind.UNKNOWN
