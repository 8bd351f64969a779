"""Numbers of ESE errors: name and meaning, as data.

Names from the public header of the engine and, where it no longer has them, from Microsoft's
documents [ese.md 12]; meanings in frskit's words. No behavior belongs here.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

__all__ = ["ESE_ERRORS", "EseCode", "EseError", "ese_code", "ese_text"]


@frozen(kw_only=True)
class EseCode:
    """One error or warning number of the engine.

    Attributes:
        number: Negative for errors, positive for warnings, 0 for success.
        name: As in the engine's header, with its ``JET_`` prefix.
        meaning: One sentence.
    """

    number: int
    name: str
    meaning: str

    @property
    def is_error(self) -> bool:
        """Whether the number is negative: a failure [EXC-57]."""
        return self.number < 0


class EseError(IntEnum):
    """The engine's numbers by name; the table behind everything else here.

    A member is its number: it compares, prints and goes into JSON as that, also by ``repr``, so
    that values and messages that carry one read as the engine's own would.

    Attributes:
        jet_name: As in the engine's header, with its ``JET_`` prefix.
        meaning: One sentence.
    """

    _value_: int
    jet_name: str
    meaning: str

    def __new__(cls, number: int, name: str = "", meaning: str = "") -> Self:
        """A member from its row: number, name without ``JET_``, meaning."""
        # The defaults are for type checkers: ``EseError(-501)`` finds a member, it makes none.
        made = int.__new__(cls, number)
        made._value_ = number
        made.jet_name = f"JET_{name}"
        made.meaning = meaning
        return made

    def __repr__(self) -> str:
        return int.__repr__(self)

    SUCCESS = (0, "errSuccess", "Success.")
    LOG_FILE_CORRUPT = (-501, "errLogFileCorrupt", "A log file is corrupt.")
    MISSING_PREVIOUS_LOG_FILE = (
        -509,
        "errMissingPreviousLogFile",
        "The log file before the given one is missing.",
    )
    LOG_GENERATION_MISMATCH = (
        -513,
        "errLogGenerationMismatch",
        "A log's name and header disagree about its generation.",
    )
    BAD_LOG_VERSION = (-514, "errBadLogVersion", "The version of a log file is not compatible.")
    INVALID_LOG_SEQUENCE = (
        -515,
        "errInvalidLogSequence",
        "A log does not continue the one before it.",
    )
    LOG_SEQUENCE_END = (
        -519,
        "errLogSequenceEnd",
        "The highest possible log generation was reached.",
    )
    INVALID_BACKUP = (
        -526,
        "errInvalidBackup",
        "Incremental backup is impossible under circular logging.",
    )
    RECOVERED_WITH_ERRORS = (-527, "errRecoveredWithErrors", "Recovery ended with errors.")
    MISSING_LOG_FILE = (
        -528,
        "errMissingLogFile",
        "A log file in the sequence, or the current one, is missing.",
    )
    BAD_LOG_SIGNATURE = (-530, "errBadLogSignature", "A log belongs to another log stream.")
    BAD_DB_SIGNATURE = (-531, "errBadDbSignature", "A database is not the one that was expected.")
    BAD_CHECKPOINT_SIGNATURE = (
        -532,
        "errBadCheckpointSignature",
        "The checkpoint belongs to another log stream.",
    )
    CHECKPOINT_CORRUPT = (
        -533,
        "errCheckpointCorrupt",
        "Both copies of the checkpoint are unreadable.",
    )
    MISSING_PATCH_PAGE = (
        -534,
        "errMissingPatchPage",
        "A patch page of a streaming backup is missing.",
    )
    BAD_PATCH_PAGE = (-535, "errBadPatchPage", "A patch page of a streaming backup is bad.")
    REDO_ABRUPT_ENDED = (
        -536,
        "errRedoAbruptEnded",
        "Redo ended abruptly on a log that cannot be read.",
    )
    DATABASE_LOG_SET_MISMATCH = (
        -539,
        "errDatabaseLogSetMismatch",
        "A database does not belong to this set of logs.",
    )
    LOG_FILE_SIZE_MISMATCH = (
        -541,
        "errLogFileSizeMismatch",
        "A log file's length is not what its header says.",
    )
    CHECKPOINT_FILE_NOT_FOUND = (-542, "errCheckpointFileNotFound", "There is no checkpoint file.")
    REQUIRED_LOG_FILES_MISSING = (
        -543,
        "errRequiredLogFilesMissing",
        "Logs that a database requires are missing.",
    )
    SOFT_RECOVERY_ON_BACKUP_DATABASE = (
        -544,
        "errSoftRecoveryOnBackupDatabase",
        "A database from a streaming backup needs hard recovery.",
    )
    LOG_SECTOR_SIZE_MISMATCH = (
        -546,
        "errLogSectorSizeMismatch",
        "Log and disk have different sector sizes.",
    )
    STREAMING_DATA_NOT_LOGGED = (
        -549,
        "errStreamingDataNotLogged",
        "Streaming data were not logged under circular logging.",
    )
    DATABASE_DIRTY_SHUTDOWN = (
        -550,
        "errDatabaseDirtyShutdown",
        "The database was not shut down cleanly and needs recovery.",
    )
    CONSISTENT_TIME_MISMATCH = (
        -551,
        "errConsistentTimeMismatch",
        "Header and logs disagree about the time of last consistency.",
    )
    ENDING_RESTORE_LOG_TOO_LOW = (
        -553,
        "errEndingRestoreLogTooLow",
        "The last log to restore lies below what is required.",
    )
    STARTING_RESTORE_LOG_TOO_HIGH = (
        -554,
        "errStartingRestoreLogTooHigh",
        "The first log to restore lies above what is required.",
    )
    GIVEN_LOG_FILE_HAS_BAD_SIGNATURE = (
        -555,
        "errGivenLogFileHasBadSignature",
        "A given log belongs to another log stream.",
    )
    GIVEN_LOG_FILE_IS_NOT_CONTIGUOUS = (
        -556,
        "errGivenLogFileIsNotContiguous",
        "A given log does not continue the others.",
    )
    MISSING_RESTORE_LOG_FILES = (
        -557,
        "errMissingRestoreLogFiles",
        "Logs needed for the restore are missing.",
    )
    MISSING_FULL_BACKUP = (
        -560,
        "errMissingFullBackup",
        "The database missed a full backup before this incremental one.",
    )
    DATABASE_INCOMPLETE_UPGRADE = (
        -563,
        "errDatabaseIncompleteUpgrade",
        "The database's conversion was not finished.",
    )
    DB_TIME_TOO_OLD = (
        -566,
        "errDbTimeTooOld",
        "A page is older than the log record expects: a lost write.",
    )
    DB_TIME_TOO_NEW = (-567, "errDbTimeTooNew", "A page is newer than the log record expects.")
    MISSING_FILE_TO_BACKUP = (
        -569,
        "errMissingFileToBackup",
        "A log that the backup needs is missing.",
    )
    LOG_TORN_WRITE_DURING_HARD_RESTORE = (
        -570,
        "errLogTornWriteDuringHardRestore",
        "A torn write in a log of the backup set.",
    )
    LOG_TORN_WRITE_DURING_HARD_RECOVERY = (
        -571,
        "errLogTornWriteDuringHardRecovery",
        "A torn write in a log during hard recovery.",
    )
    LOG_CORRUPT_DURING_HARD_RESTORE = (
        -573,
        "errLogCorruptDuringHardRestore",
        "A corrupt log in the backup set.",
    )
    LOG_CORRUPT_DURING_HARD_RECOVERY = (
        -574,
        "errLogCorruptDuringHardRecovery",
        "A corrupt log during hard recovery.",
    )
    RECOVERED_WITHOUT_UNDO = (-579, "errRecoveredWithoutUndo", "Recovery ended before undo.")
    DATABASES_NOT_FROM_SAME_SNAPSHOT = (
        -580,
        "errDatabasesNotFromSameSnapshot",
        "The databases are not from one snapshot.",
    )
    SOFT_RECOVERY_ON_SNAPSHOT = (
        -581,
        "errSoftRecoveryOnSnapshot",
        "Soft recovery of a database from a snapshot.",
    )
    COMMITTED_LOG_FILES_MISSING = (
        -582,
        "errCommittedLogFilesMissing",
        "Logs with committed data are missing: data would be lost.",
    )
    COMMITTED_LOG_FILE_CORRUPT = (
        -586,
        "errCommittedLogFileCorrupt",
        "A log with committed data is corrupt: data would be lost.",
    )
    COMMITTED_LOG_FILES_LOST = (
        585,
        "wrnCommittedLogFilesLost",
        "Logs with committed data were lost; the state is consistent.",
    )
    COMMITTED_LOG_FILES_REMOVED = (
        587,
        "wrnCommittedLogFilesRemoved",
        "Logs out of range were removed; the state is consistent.",
    )
    LOG_SEQUENCE_CHECKSUM_MISMATCH = (
        -590,
        "errLogSequenceChecksumMismatch",
        "A log's content is not what its successor remembers.",
    )
    EXISTING_LOG_FILE_HAS_BAD_SIGNATURE = (
        -610,
        "errExistingLogFileHasBadSignature",
        "An existing log belongs to another log stream.",
    )
    EXISTING_LOG_FILE_IS_NOT_CONTIGUOUS = (
        -611,
        "errExistingLogFileIsNotContiguous",
        "An existing log does not continue the others.",
    )
    LOG_READ_VERIFY_FAILURE = (
        -612,
        "errLogReadVerifyFailure",
        "A log's checksum is wrong (read during backup).",
    )
    SLV_READ_VERIFY_FAILURE = (
        -613,
        "errSLVReadVerifyFailure",
        "A page of the streaming file has a wrong checksum.",
    )
    LOG_FILE_NOT_COPIED = (
        -616,
        "errLogFileNotCopied",
        "Not all logs were copied, so none are deleted.",
    )
    READ_VERIFY_FAILURE = (-1018, "errReadVerifyFailure", "A page's checksum or number is wrong.")
    PAGE_NOT_INITIALIZED = (
        -1019,
        "errPageNotInitialized",
        "A page is blank where data are expected.",
    )
    DISK_READ_VERIFICATION_FAILURE = (
        -1021,
        "errDiskReadVerificationFailure",
        "The operating system reports a checksum error.",
    )
    DISK_IO = (-1022, "errDiskIO", "A disk read or write failed.")
    READ_PGNO_VERIFY_FAILURE = (
        -1118,
        "errReadPgnoVerifyFailure",
        "A page has the number of another one.",
    )
    READ_LOST_FLUSH_VERIFY_FAILURE = (
        -1119,
        "errReadLostFlushVerifyFailure",
        "A page's last write was lost.",
    )
    DATABASE_CORRUPTED = (-1206, "errDatabaseCorrupted", "The database is corrupt.")
    INVALID_DATABASE_VERSION = (
        -1209,
        "errInvalidDatabaseVersion",
        "The database's format version is not compatible.",
    )
    PAGE_SIZE_MISMATCH = (
        -1213,
        "errPageSizeMismatch",
        "The database's page size is not the engine's.",
    )
    ATTACHED_DATABASE_MISMATCH = (
        -1216,
        "errAttachedDatabaseMismatch",
        "A database that the logs refer to is missing or another.",
    )
    DATABASE_INCOMPLETE_INCREMENTAL_RESEED = (
        -1226,
        "errDatabaseIncompleteIncrementalReseed",
        "An incremental reseed was not finished.",
    )
    DISK_FULL = (-1808, "errDiskFull", "There is no space left on the disk.")
    FILE_NOT_FOUND = (-1811, "errFileNotFound", "There is no such file.")
    FILE_INVALID_TYPE = (-1812, "errFileInvalidType", "The file is of another kind.")
    FILE_IO_BEYOND_EOF = (-4001, "errFileIOBeyondEOF", "A read beyond the end of the file.")
    # Backup sessions [exchange.md 3.1]; the numbers are sourced, the names recalled.
    OS_SNAPSHOT_INVALID_SEQUENCE = (
        -2401,
        "errOSSnapshotInvalidSequence",
        "A snapshot call came out of order.",
    )
    OS_SNAPSHOT_TIME_OUT = (
        -2402,
        "errOSSnapshotTimeOut",
        "The freeze lasted too long; the engine thawed itself.",
    )
    OS_SNAPSHOT_NOT_ALLOWED = (
        -2403,
        "errOSSnapshotNotAllowed",
        "Another backup is in progress in this storage group.",
    )
    OS_SNAPSHOT_INVALID_SNAP_ID = (
        -2404,
        "errOSSnapshotInvalidSnapId",
        "There is no such snapshot session.",
    )
    # Used by the simulated store and `frskit.ese.chksgfiles`; numbers and names recalled.
    LOG_DISK_FULL = (-529, "errLogDiskFull", "There is no space left for the log.")
    LOG_WRITE_FAIL = (-510, "errLogWriteFail", "The log cannot be written.")
    DATABASE_FILE_READ_ONLY = (
        -1008,
        "errDatabaseFileReadOnly",
        "The database is open for reading only.",
    )
    NOT_INITIALIZED = (-1029, "errNotInitialized", "The storage group is not running.")
    OUT_OF_AUTOINCREMENT_VALUES = (
        -1076,
        "errOutOfAutoincrementValues",
        "There are no free numbers left.",
    )
    RECORD_NOT_FOUND = (-1601, "errRecordNotFound", "There is no such row.")
    KEY_DUPLICATE = (-1605, "errKeyDuplicate", "The row exists already.")
    TASK_DROPPED = (-106, "errTaskDropped", "The task was dropped without being done.")
    INVALID_PARAMETER = (-1003, "errInvalidParameter", "A parameter makes no sense.")
    INVALID_DATABASE_ID = (-1010, "errInvalidDatabaseId", "There is no such open database.")
    OUT_OF_MEMORY = (-1011, "errOutOfMemory", "There is no memory left.")
    RECORD_TOO_BIG = (-1026, "errRecordTooBig", "A record is larger than its place.")
    TOO_MANY_ACTIVE_USERS = (-1059, "errTooManyActiveUsers", "Too many use the engine at once.")
    TOO_MANY_ATTACHED_DATABASES = (
        -1805,
        "errTooManyAttachedDatabases",
        "The engine cannot attach another database.",
    )


ESE_ERRORS: Mapping[int, EseCode] = {
    each.value: EseCode(number=each.value, name=each.jet_name, meaning=each.meaning)
    for each in EseError
}
"""All known numbers."""


def ese_code(number: int) -> EseCode | None:
    """What is known about a number; None if it is not listed."""
    return ESE_ERRORS.get(number)


def ese_text(number: int) -> str:
    """Number, name and meaning in one line, for messages."""
    code = ESE_ERRORS.get(number)
    if code is None:
        return f"{number} (no known ESE error)"
    return f"{number} {code.name}: {code.meaning}"
