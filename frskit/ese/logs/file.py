"""Checking one transaction log file: header, length, body of either format.

A log alone cannot be placed in its stream; `frskit.ese.logs.log_set` does that. Facts: [ese.md 6 to 8].
"""

from __future__ import annotations

from frskit.codes.ese import EseError
from frskit.errors import FormatError
from frskit.ese.logs.format7_chain import ChainEnd, walk_chain
from frskit.ese.logs.format8_segments import walk_segments
from frskit.ese.logs.header import load_log_header
from frskit.ese.sources import BytesFile, Readable, Source, opened, read_exactly, source_name
from frskit.model.ese_files import LogHeader
from frskit.model.reports import LogReport, LogStatus

__all__ = ["check_log", "check_open_log"]

# Bytes. Logs have 1 or 5 MB [ese.md 6]; held whole, thousands of small reads become one (ours).
_WHOLE_BYTES = 16 << 20

_CHAIN_STATUS = {
    ChainEnd.COMPLETE: LogStatus.OK,
    ChainEnd.TORN: LogStatus.TORN,
    ChainEnd.DAMAGED: LogStatus.DAMAGED,
}


def check_log(file: Source) -> LogReport:
    """Check every byte of a log that a checksum covers.

    Returns:
        The report, also if the log is damaged; its error is -501 (header or body), -541 (length),
        -514 (version) or -1812 (not a log).

    Raises:
        FileMissing, HostError: It cannot be opened or read.
    """
    with opened(file) as reader:
        return check_open_log(reader, source_name(file))


def check_open_log(file: Readable, name: str) -> LogReport:
    """As `check_log`, of a file that is open already."""
    size = file.size_bytes
    try:
        header = load_log_header(file, name)
    except FormatError as error:
        return LogReport(
            name=name,
            size_bytes=size,
            status=LogStatus.DAMAGED,
            error=error.native if isinstance(error.native, int) else EseError.LOG_FILE_CORRUPT,
            problem=str(error),
            problem_offset=0,
        )
    # To the engine a wrong length is an error of its own (-541), whatever the body says [ese.md 6].
    if size != header.file_size_bytes:
        return LogReport(
            name=name,
            size_bytes=size,
            header=header,
            status=LogStatus.DAMAGED,
            error=EseError.LOG_FILE_SIZE_MISMATCH,
            problem=f"the file has {size} bytes, its header says {header.file_size_bytes}",
        )
    if size <= _WHOLE_BYTES:
        file = BytesFile(read_exactly(file, 0, size))
    return (
        _check_segments(file, name, header)
        if header.has_segments
        else _check_chain(file, name, header)
    )


def _check_chain(file: Readable, name: str, header: LogHeader) -> LogReport:
    walk = walk_chain(file, header.generation, header.sector_size)
    status = _CHAIN_STATUS[walk.end]
    return LogReport(
        name=name,
        size_bytes=file.size_bytes,
        header=header,
        status=status,
        error=EseError.LOG_FILE_CORRUPT if status is LogStatus.DAMAGED else None,
        problem=walk.problem,
        problem_offset=walk.problem_offset,
        end=walk.position(header.generation, header.sector_size),
        records=walk.records,
    )


def _check_segments(file: Readable, name: str, header: LogHeader) -> LogReport:
    walk = walk_segments(file, header)
    return LogReport(
        name=name,
        size_bytes=file.size_bytes,
        header=header,
        status=walk.status,
        error=EseError.LOG_FILE_CORRUPT if walk.status is LogStatus.DAMAGED else None,
        problem=walk.problem,
        problem_offset=walk.problem_offset,
        end=walk.end,
        segments_used=walk.used,
        segments_empty=walk.empty,
        segments_correctable=walk.correctable,
        checksum=walk.checksum,
        last_checksum=walk.last_checksum,
    )
