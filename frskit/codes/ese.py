"""Numbers of ESE errors: name and meaning, as data.

Names from the public header of the engine and, where it no longer has them, from Microsoft's
documents [ese.md 12]; meanings in frskit's words. No behavior belongs here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ESE_ERRORS", "EseCode", "ese_code", "ese_text"]


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


_TABLE: tuple[tuple[int, str, str], ...] = (
    (0, "errSuccess", "Success."),
    (-501, "errLogFileCorrupt", "A log file is corrupt."),
    (-509, "errMissingPreviousLogFile", "The log file before the given one is missing."),
    (-513, "errLogGenerationMismatch", "A log's name and header disagree about its generation."),
    (-514, "errBadLogVersion", "The version of a log file is not compatible."),
    (-515, "errInvalidLogSequence", "A log does not continue the one before it."),
    (-519, "errLogSequenceEnd", "The highest possible log generation was reached."),
    (-526, "errInvalidBackup", "Incremental backup is impossible under circular logging."),
    (-527, "errRecoveredWithErrors", "Recovery ended with errors."),
    (-528, "errMissingLogFile", "A log file in the sequence, or the current one, is missing."),
    (-530, "errBadLogSignature", "A log belongs to another log stream."),
    (-531, "errBadDbSignature", "A database is not the one that was expected."),
    (-532, "errBadCheckpointSignature", "The checkpoint belongs to another log stream."),
    (-533, "errCheckpointCorrupt", "Both copies of the checkpoint are unreadable."),
    (-534, "errMissingPatchPage", "A patch page of a streaming backup is missing."),
    (-535, "errBadPatchPage", "A patch page of a streaming backup is bad."),
    (-536, "errRedoAbruptEnded", "Redo ended abruptly on a log that cannot be read."),
    (-539, "errDatabaseLogSetMismatch", "A database does not belong to this set of logs."),
    (-541, "errLogFileSizeMismatch", "A log file's length is not what its header says."),
    (-542, "errCheckpointFileNotFound", "There is no checkpoint file."),
    (-543, "errRequiredLogFilesMissing", "Logs that a database requires are missing."),
    (
        -544,
        "errSoftRecoveryOnBackupDatabase",
        "A database from a streaming backup needs hard recovery.",
    ),
    (-546, "errLogSectorSizeMismatch", "Log and disk have different sector sizes."),
    (-549, "errStreamingDataNotLogged", "Streaming data were not logged under circular logging."),
    (
        -550,
        "errDatabaseDirtyShutdown",
        "The database was not shut down cleanly and needs recovery.",
    ),
    (
        -551,
        "errConsistentTimeMismatch",
        "Header and logs disagree about the time of last consistency.",
    ),
    (-553, "errEndingRestoreLogTooLow", "The last log to restore lies below what is required."),
    (-554, "errStartingRestoreLogTooHigh", "The first log to restore lies above what is required."),
    (-555, "errGivenLogFileHasBadSignature", "A given log belongs to another log stream."),
    (-556, "errGivenLogFileIsNotContiguous", "A given log does not continue the others."),
    (-557, "errMissingRestoreLogFiles", "Logs needed for the restore are missing."),
    (
        -560,
        "errMissingFullBackup",
        "The database missed a full backup before this incremental one.",
    ),
    (-563, "errDatabaseIncompleteUpgrade", "The database's conversion was not finished."),
    (-566, "errDbTimeTooOld", "A page is older than the log record expects: a lost write."),
    (-567, "errDbTimeTooNew", "A page is newer than the log record expects."),
    (-569, "errMissingFileToBackup", "A log that the backup needs is missing."),
    (-570, "errLogTornWriteDuringHardRestore", "A torn write in a log of the backup set."),
    (-571, "errLogTornWriteDuringHardRecovery", "A torn write in a log during hard recovery."),
    (-573, "errLogCorruptDuringHardRestore", "A corrupt log in the backup set."),
    (-574, "errLogCorruptDuringHardRecovery", "A corrupt log during hard recovery."),
    (-579, "errRecoveredWithoutUndo", "Recovery ended before undo."),
    (-580, "errDatabasesNotFromSameSnapshot", "The databases are not from one snapshot."),
    (-581, "errSoftRecoveryOnSnapshot", "Soft recovery of a database from a snapshot."),
    (
        -582,
        "errCommittedLogFilesMissing",
        "Logs with committed data are missing: data would be lost.",
    ),
    (
        -586,
        "errCommittedLogFileCorrupt",
        "A log with committed data is corrupt: data would be lost.",
    ),
    (
        585,
        "wrnCommittedLogFilesLost",
        "Logs with committed data were lost; the state is consistent.",
    ),
    (
        587,
        "wrnCommittedLogFilesRemoved",
        "Logs out of range were removed; the state is consistent.",
    ),
    (
        -590,
        "errLogSequenceChecksumMismatch",
        "A log's content is not what its successor remembers.",
    ),
    (-610, "errExistingLogFileHasBadSignature", "An existing log belongs to another log stream."),
    (-611, "errExistingLogFileIsNotContiguous", "An existing log does not continue the others."),
    (-612, "errLogReadVerifyFailure", "A log's checksum is wrong (read during backup)."),
    (-613, "errSLVReadVerifyFailure", "A page of the streaming file has a wrong checksum."),
    (-616, "errLogFileNotCopied", "Not all logs were copied, so none are deleted."),
    (-1018, "errReadVerifyFailure", "A page's checksum or number is wrong."),
    (-1019, "errPageNotInitialized", "A page is blank where data are expected."),
    (-1021, "errDiskReadVerificationFailure", "The operating system reports a checksum error."),
    (-1022, "errDiskIO", "A disk read or write failed."),
    (-1118, "errReadPgnoVerifyFailure", "A page has the number of another one."),
    (-1119, "errReadLostFlushVerifyFailure", "A page's last write was lost."),
    (-1206, "errDatabaseCorrupted", "The database is corrupt."),
    (-1209, "errInvalidDatabaseVersion", "The database's format version is not compatible."),
    (-1213, "errPageSizeMismatch", "The database's page size is not the engine's."),
    (
        -1216,
        "errAttachedDatabaseMismatch",
        "A database that the logs refer to is missing or another.",
    ),
    (-1226, "errDatabaseIncompleteIncrementalReseed", "An incremental reseed was not finished."),
    (-1808, "errDiskFull", "There is no space left on the disk."),
    (-1811, "errFileNotFound", "There is no such file."),
    (-1812, "errFileInvalidType", "The file is of another kind."),
    (-4001, "errFileIOBeyondEOF", "A read beyond the end of the file."),
    # Backup sessions [exchange.md 3.1]; the numbers are sourced, the names recalled.
    (-2401, "errOSSnapshotInvalidSequence", "A snapshot call came out of order."),
    (-2402, "errOSSnapshotTimeOut", "The freeze lasted too long; the engine thawed itself."),
    (-2403, "errOSSnapshotNotAllowed", "Another backup is in progress in this storage group."),
    (-2404, "errOSSnapshotInvalidSnapId", "There is no such snapshot session."),
    # Used by the simulated store; numbers and names recalled.
    (-529, "errLogDiskFull", "There is no space left for the log."),
    (-1008, "errDatabaseFileReadOnly", "The database is open for reading only."),
    (-1029, "errNotInitialized", "The storage group is not running."),
    (-1076, "errOutOfAutoincrementValues", "There are no free numbers left."),
    (-1601, "errRecordNotFound", "There is no such row."),
    (-1605, "errKeyDuplicate", "The row exists already."),
)

ESE_ERRORS: Mapping[int, EseCode] = {
    number: EseCode(number=number, name=f"JET_{name}", meaning=meaning)
    for number, name, meaning in _TABLE
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
