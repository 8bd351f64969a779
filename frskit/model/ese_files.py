"""What the headers of ESE files say: databases, streaming files, logs, checkpoints.

Values only: bytes become these values, and these values become bytes, in `frskit.ese`. Nothing
here reads a file or judges one. Layouts and meanings: [ese.md 1, 2, 6, 9]; field names are
frskit's own, one per field of the published structures. What several headers have in common is in
`frskit.model.ese_structures`.
"""

from __future__ import annotations

from enum import IntEnum

from attrs import field, frozen

from frskit.model.ese_structures import (
    AttachInfo,
    BackupRange,
    DbmsParameters,
    LgPos,
    LogTime,
    Signature,
)
from frskit.model.values import Value

__all__ = [
    "Checkpoint",
    "DatabaseHeader",
    "DatabaseState",
    "FileKind",
    "LogHeader",
]

DATABASE_MAGIC = 0x89ABCDEF
"""Word 1 of every database header [ese.md 2.1]."""

DEFAULT_PAGE_SIZE = 4096
"""Page size meant by a zero page-size field [ese.md 2.1]."""


class FileKind(IntEnum):
    """The file type word at offset 667 of every header [ese.md 1]."""

    UNKNOWN = 0
    DATABASE = 1
    STREAMING_FILE = 2
    LOG = 3
    CHECKPOINT = 4
    TEMPORARY_DATABASE = 5
    TRACE = 6
    FLUSH_MAP = 7
    CACHED_FILE = 8
    CACHING_FILE = 9
    REVERT_SNAPSHOT = 10
    REVERT_SNAPSHOT_CHECKPOINT = 11


class DatabaseState(IntEnum):
    """State of a database as its header says [ese.md 2.3]."""

    JUST_CREATED = 1
    DIRTY_SHUTDOWN = 2
    CLEAN_SHUTDOWN = 3
    BEING_CONVERTED = 4
    FORCE_DETACH = 5
    INCREMENTAL_RESEED = 6
    DIRTY_AND_PATCHED = 7
    REVERTING = 8


_STATE_TEXTS: dict[int, str] = {
    DatabaseState.JUST_CREATED: "Just Created",
    DatabaseState.DIRTY_SHUTDOWN: "Dirty Shutdown",
    DatabaseState.CLEAN_SHUTDOWN: "Clean Shutdown",
    DatabaseState.BEING_CONVERTED: "Being Converted",
    DatabaseState.FORCE_DETACH: "Force Detach",
    DatabaseState.INCREMENTAL_RESEED: "Incremental Reseed In Progress",
    DatabaseState.DIRTY_AND_PATCHED: "Dirty and Patched Shutdown",
    DatabaseState.REVERTING: "Database Revert in Progress",
}


@frozen(kw_only=True)
class DatabaseHeader(Value):
    """The header of a database or streaming file (DBFILEHDR) [ese.md 2.1].

    Fields appear over time; one that a version does not know is zero. All have a default, so
    that a writer names only what it sets.

    Attributes:
        checksum: As stored; writers need not set it.
        attribute: 0 database, 1 streaming file.
        dbtime_dirtied: Highest operation counter given out.
        state: See `DatabaseState`; other numbers are illegal but kept.
        consistent_position: "Last Consistent".
        page_size: As stored; 0 means 4096, see `page_size_bytes`.
        format_update_major: The "revision": 9, 0x0B, 0x0C, 0x11, 0x14 ...
        gen_min_required: First log needed to bring the database to a consistent state.
        gen_max_required: Last one.
        gen_max_committed: Last log that held committed data; 0 in versions before 2007.
        gen_max_creation_time: Creation time of that log.
        gen_max_required_time: Creation time of log `gen_max_required`, in new versions only.
        file_type: See `FileKind`; 0 in formats before 2001.
    """

    checksum: int = field(default=0, eq=False)
    magic: int = DATABASE_MAGIC
    format_version: int = 0x620
    attribute: int = 0
    dbtime_dirtied: int = 0
    db_signature: Signature = Signature()
    state: int = DatabaseState.JUST_CREATED.value
    consistent_position: LgPos = LgPos()
    consistent_time: LogTime = LogTime()
    attach_time: LogTime = LogTime()
    attach_position: LgPos = LgPos()
    detach_time: LogTime = LogTime()
    detach_position: LgPos = LgPos()
    dbid: int = 0
    log_signature: Signature = Signature()
    full_backup_previous: BackupRange = BackupRange()
    incremental_backup_previous: BackupRange = BackupRange()
    full_backup_current: BackupRange = BackupRange()
    flags: int = 0
    last_objid: int = 0
    os_major: int = 0
    os_minor: int = 0
    os_build: int = 0
    os_service_pack: int = 0
    format_update_major: int = 0
    page_size: int = DEFAULT_PAGE_SIZE
    repair_count: int = 0
    repair_time: LogTime = LogTime()
    slv_signature: Signature = Signature()
    scrub_dbtime: int = 0
    scrub_time: LogTime = LogTime()
    gen_min_required: int = 0
    gen_max_required: int = 0
    upgrade_format_pages: int = 0
    upgrade_free_pages: int = 0
    upgrade_space_map_pages: int = 0
    snapshot_backup_current: BackupRange = BackupRange()
    created_version: int = 0
    created_update: int = 0
    gen_max_creation_time: LogTime = LogTime()
    full_backup_type: int = 0
    incremental_backup_type: int = 0
    old_repair_count: int = 0
    ecc_fixed_count: int = 0
    ecc_fixed_time: LogTime = LogTime()
    ecc_fixed_old_count: int = 0
    ecc_failed_count: int = 0
    ecc_failed_time: LogTime = LogTime()
    ecc_failed_old_count: int = 0
    bad_checksum_count: int = 0
    bad_checksum_time: LogTime = LogTime()
    bad_checksum_old_count: int = 0
    gen_max_committed: int = 0
    copy_backup_previous: BackupRange = BackupRange()
    differential_backup_previous: BackupRange = BackupRange()
    copy_backup_type: int = 0
    differential_backup_type: int = 0
    reseed_count: int = 0
    reseed_time: LogTime = LogTime()
    reseed_old_count: int = 0
    patch_count: int = 0
    patch_time: LogTime = LogTime()
    patch_old_count: int = 0
    sort_version: int = 0
    dbscan_previous_time: LogTime = LogTime()
    dbscan_start_time: LogTime = LogTime()
    dbscan_page: int = 0
    gen_recovering: int = 0
    extend_count: int = 0
    extend_time: LogTime = LogTime()
    shrink_count: int = 0
    shrink_time: LogTime = LogTime()
    reattach_time: LogTime = LogTime()
    reattach_position: LgPos = LgPos()
    trim_count: int = 0
    header_flush_signature: Signature = Signature()
    flush_map_signature: Signature = Signature()
    gen_min_consistent: int = 0
    format_update_minor: int = 0
    engine_version: int = 0
    dbscan_highest_page: int = 0
    resize_position: LgPos = LgPos()
    file_type: int = FileKind.DATABASE.value
    gen_max_required_time: LogTime = LogTime()
    gen_pre_redo_min_consistent: int = 0
    gen_pre_redo_min_required: int = 0
    revert_snapshot_signature: Signature = Signature()
    revert_count: int = 0
    revert_from_time: LogTime = LogTime()
    revert_to_time: LogTime = LogTime()
    revert_page_count: int = 0
    revert_position: LgPos = LgPos()

    @property
    def page_size_bytes(self) -> int:
        """Page size in bytes, with the old meaning of zero resolved."""
        return self.page_size or DEFAULT_PAGE_SIZE

    @property
    def state_text(self) -> str:
        """The state in eseutil's words; "Illegal" for a number without meaning [ese.md 2.3]."""
        return _STATE_TEXTS.get(self.state, "Illegal")

    @property
    def is_clean(self) -> bool:
        """Whether the state is "Clean Shutdown"."""
        return self.state == DatabaseState.CLEAN_SHUTDOWN

    @property
    def is_streaming_file(self) -> bool:
        """Whether this is the header of a .stm file [ese.md 5.4]."""
        return self.attribute == 1 or self.file_type == FileKind.STREAMING_FILE

    @property
    def committed(self) -> int:
        """Last log that held committed data; `gen_max_required` where unknown [ese.md 2.1]."""
        return max(self.gen_max_required, self.gen_max_committed)


@frozen(kw_only=True)
class LogHeader(Value):
    """The header of a transaction log file (LGFILEHDR) [ese.md 6].

    Attributes:
        checksum: As stored; writers need not set it.
        generation: Number of the log in its stream.
        sector_size: Bytes per sector: 512 typical before 8.x, 4096 in 8.x.
        header_sectors: Sectors taken by the header.
        file_sectors: Sectors of the whole file.
        page_size: Database page size; 0 means 4096.
        created: When; the next log repeats it in `previous_created`.
        previous_created: Creation time of the log before; zero in generation 1.
        major: Format: up to 7 the old chained body, 8 the body of segments.
        log_signature: Identity of the stream.
        flags: 1 reserve log used, 2 circular logging now, 4 in the past.
        disk_sector_code: 0 unknown, 1 matches, 2 to 5 = 512 to 4096, 255 other.
        previous_checksum: Accumulated segment checksum of the log before; 0 in old logs.
        attachments: Databases attached when the log was begun.
    """

    checksum: int = field(default=0, eq=False)
    generation: int = 0
    sector_size: int = 512
    header_sectors: int = 8
    file_sectors: int = 10240
    page_size: int = DEFAULT_PAGE_SIZE
    created: LogTime = LogTime()
    previous_created: LogTime = LogTime()
    major: int = 7
    minor: int = 3704
    update_major: int = 5
    log_signature: Signature = Signature()
    parameters: DbmsParameters = DbmsParameters()
    flags: int = 0
    checkpoint_at_creation: LgPos = LgPos()
    update_minor: int = 0
    disk_sector_code: int = 0
    previous_checksum: int = 0
    engine_version: int = 0
    file_type: int = FileKind.LOG.value
    attachments: tuple[AttachInfo, ...] = ()

    @property
    def file_size_bytes(self) -> int:
        """Length that the file must have."""
        return self.sector_size * self.file_sectors

    @property
    def has_segments(self) -> bool:
        """Whether the body has the new format of 4096-byte segments [ese.md 6]."""
        return self.major >= 8

    @property
    def circular_logging(self) -> bool:
        """Whether circular logging was on when the log was begun [ese.md 11.3]."""
        return bool(self.flags & 2) or self.parameters.circular_logging


@frozen(kw_only=True)
class Checkpoint(Value):
    """The content of a checkpoint file [ese.md 9].

    Attributes:
        checksum: As stored; writers need not set it.
        full_backup_checkpoint: Checkpoint at the last full backup.
        position: The checkpoint itself: replay begins here.
        log_signature: Identity of the stream.
        version: Bit 0: attachments present.
        consistency: Database consistency position; unset = same as `position`.
    """

    checksum: int = field(default=0, eq=False)
    full_backup_checkpoint: LgPos = LgPos()
    position: LgPos = LgPos()
    log_signature: Signature = Signature()
    parameters: DbmsParameters = DbmsParameters()
    full_backup_position: LgPos = LgPos()
    full_backup_time: LogTime = LogTime()
    incremental_backup_position: LgPos = LgPos()
    incremental_backup_time: LogTime = LogTime()
    version: int = 0
    consistency: LgPos = LgPos()
    file_type: int = FileKind.CHECKPOINT.value
    attachments: tuple[AttachInfo, ...] = ()

    @property
    def generation(self) -> int:
        """The log in which replay begins."""
        return self.position.generation
