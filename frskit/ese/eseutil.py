"""Reports as text in the manner of eseutil: ``/k``, ``/mh``, ``/ml`` and ``/mk``.

Pure functions from values to lines, so that operators and scripts find the words they know.
Labels and order follow the published source ([MS dbdump.cxx, logdump.cxx, checksum.cxx]); lines
that only the engine can fill (its own version, for one) are left out. Nothing is printed here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.codes.ese import EseError
from frskit.model.ese_files import DatabaseHeader
from frskit.model.reports import LogProblemKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frskit.ese.header import HeaderCopies
    from frskit.model.ese_files import Checkpoint, LogHeader
    from frskit.model.ese_structures import AttachInfo, BackupRange, DbmsParameters
    from frskit.model.reports import DatabaseReport, LogProblem, LogReport, LogSetReport

__all__ = [
    "check_lines",
    "checkpoint_lines",
    "checksum_lines",
    "checksum_warnings",
    "database_exit_code",
    "header_lines",
    "log_header_lines",
    "log_lines",
    "log_set_lines",
]

# Bytes per read of the tool, from which its number of reads follows [ese.md 5.2].
_READ_BYTES = 256 << 10


def checksum_lines(report: DatabaseReport, *, elapsed_s: float = 0.0) -> list[str]:
    """The counters of ``eseutil /k``, in its order [ese.md 5.2].

    Args:
        report: The report.
        elapsed_s: How long the check took; eseutil counts at least one second. The number of
            reads is that of eseutil's 256 KB reads; their times, which frskit does not take, are
            spread evenly.
    """
    reads = -(-report.pages_seen * report.page_size // _READ_BYTES)
    megabytes = report.pages_seen // ((1 << 20) // report.page_size)
    seconds = max(int(elapsed_s), 1)
    milliseconds = int(elapsed_s * 1000)
    # Single reads are not timed here: their mean stands for the slowest and the fastest, too.
    each = milliseconds // reads if reads else 0
    return [
        f"{report.pages_seen} pages seen",
        f"{report.pages_bad} bad checksums",
        f"{report.pages_correctable} correctable checksums",
        f"{report.pages_uninitialized} uninitialized pages",
        f"{report.pages_wrong_number} wrong page numbers",
        f"0x{report.highest_dbtime:x} highest dbtime (pgno 0x{report.highest_dbtime_page:x})",
        "",
        f"{reads} reads performed",
        f"{megabytes} MB read",
        f"{seconds} seconds taken",
        f"{megabytes // seconds} MB/second",
        f"{milliseconds} milliseconds used",
        f"{each} milliseconds per read",
        f"{each} milliseconds for the slowest read",
        f"{each} milliseconds for the fastest read",
    ]


def checksum_warnings(report: DatabaseReport) -> list[str]:
    """The lines eseutil writes to its error output, one per damaged page [ese.md 5.2]."""
    return [
        f"WARNING: page {each.page}{_header_mark(each.page)} checksum verification failed but "
        f"the corruption ( bit {each.bit} ) can be corrected"
        if each.status == "correctable"
        else f"ERROR: page {each.page}{_header_mark(each.page)} checksum failed"
        for each in report.damaged
    ]


def check_lines(report: DatabaseReport, *, elapsed_s: float = 0.0) -> list[str]:
    """All that ``eseutil /k`` says about one file: damaged pages first, then the counters."""
    warnings = checksum_warnings(report)
    return [*warnings, *([""] if warnings else []), *checksum_lines(report, elapsed_s=elapsed_s)]


def _header_mark(page: int) -> str:
    return " (header)" if page <= 0 else ""


def database_exit_code(report: DatabaseReport) -> int:
    """What eseutil would return: 0, or -1206; correctable pages do not count [EXC-57, R-2]."""
    failed = report.pages_bad or report.pages_wrong_number or not report.pages_seen
    return EseError.DATABASE_CORRUPTED if failed else 0


def header_lines(header: DatabaseHeader | HeaderCopies) -> list[str]:
    """The header dump of ``eseutil /mh`` [ese.md 5.2].

    Args:
        header: Both copies as read, of which the one to be believed is shown with what is wrong
            with the other; or just one header, without checksum information.
    """
    if isinstance(header, DatabaseHeader):
        lines = ["Fields:"]
    else:
        lines = _copies_lines(header)
        header = header.header
    for part in (_identity_fields, _log_fields, _history_fields, _backup_fields, _count_fields):
        lines += part(header)
    return lines


def _copies_lines(copies: HeaderCopies) -> list[str]:
    # What is dumped is the copy that is believed [ese.md 2.2].
    index = 1 if copies.condition == "primary bad" else 0
    return [
        *_condition_lines(copies),
        "Checksum Information:",
        f"Expected Checksum: 0x{copies.computed[index] or 0:08x}",
        f"  Actual Checksum: 0x{copies.stored[index] or 0:08x}",
        "",
        "Fields:",
    ]


def _condition_lines(copies: HeaderCopies) -> list[str]:
    texts = {
        "copies differ": "WARNING: primary and shadow copy of the header are not identical.",
        "primary bad": "WARNING: the primary copy of the header is damaged.",
        "secondary bad": "WARNING: the shadow copy of the header is damaged.",
    }
    text = texts.get(copies.condition)
    return [] if text is None else [text, ""]


def _identity_fields(header: DatabaseHeader) -> Iterator[str]:
    version = f"0x{header.format_version:x},{header.format_update_major}"
    if header.format_update_minor:
        version += f",{header.format_update_minor}"
    yield f"        File Type: {'Streaming File' if header.is_streaming_file else 'Database'}"
    yield f"         Checksum: 0x{header.checksum:x}"
    yield f"   Format ulMagic: 0x{header.magic:x}"
    yield f" Format ulVersion: {version}"
    yield f"Created ulVersion: 0x{header.created_version:x},{header.created_update}"
    yield f"     DB Signature: {header.db_signature}"
    yield f"         cbDbPage: {header.page_size}"
    yield f"           dbtime: {header.dbtime_dirtied} (0x{header.dbtime_dirtied:x})"
    yield f"            State: {header.state_text}"


def _log_fields(header: DatabaseHeader) -> Iterator[str]:
    first, last = header.gen_min_required, header.gen_max_required
    yield f"     Log Required: {first}-{last} (0x{first:x}-0x{last:x})"
    yield f"Gen. Max. Req. Creation Time: {header.gen_max_required_time}"
    committed = header.gen_max_committed
    yield f"    Log Committed: 0-{committed} (0x0-0x{committed:x})"
    yield f"Gen. Max. Com. Creation Time: {header.gen_max_creation_time}"
    yield f"   Log Consistent: {header.gen_min_consistent} (0x{header.gen_min_consistent:x})"
    yield f"   Log Recovering: {header.gen_recovering} (0x{header.gen_recovering:x})"
    yield f"         Shadowed: {'No' if header.flags & 1 else 'Yes'}"
    yield f"       Last Objid: {header.last_objid}"
    yield f"     Scrub Dbtime: {header.scrub_dbtime} (0x{header.scrub_dbtime:x})"
    yield f"       Scrub Date: {header.scrub_time}"
    yield f"     Repair Count: {header.repair_count}"
    yield f"      Repair Date: {header.repair_time}"
    yield f" Old Repair Count: {header.old_repair_count}"


def _history_fields(header: DatabaseHeader) -> Iterator[str]:
    consistent, attach = header.consistent_position, header.attach_position
    yield f"  Last Consistent: {consistent}  {header.consistent_time}"
    yield f"      Last Attach: {attach}  {header.attach_time}"
    yield f"      Last Detach: {header.detach_position}  {header.detach_time}"
    yield f"    Last ReAttach: {header.reattach_position}  {header.reattach_time}"
    yield f"             Dbid: {header.dbid}"
    yield f"    Log Signature: {header.log_signature}"
    version = f"{header.os_major}.{header.os_minor}.{header.os_build} SP {header.os_service_pack}"
    yield f"       OS Version: ({version})"


def _backup_fields(header: DatabaseHeader) -> Iterator[str]:
    for title, backup in (
        ("Previous Full Backup", header.full_backup_previous),
        ("Previous Incremental Backup", header.incremental_backup_previous),
        ("Previous Copy Backup", header.copy_backup_previous),
        ("Previous Differential Backup", header.differential_backup_previous),
        ("Current Full Backup", header.full_backup_current),
        ("Current Shadow copy backup", header.snapshot_backup_current),
    ):
        yield ""
        yield f"{title}:"
        yield from _backup_lines(backup)


def _backup_lines(backup: BackupRange) -> Iterator[str]:
    first, last = backup.first_generation, backup.last_generation
    yield f"        Log Gen: {first}-{last} (0x{first:x}-0x{last:x})"
    yield f"           Mark: {backup.mark}"
    yield f"           Mark: {backup.time}"


def _count_fields(header: DatabaseHeader) -> Iterator[str]:
    yield ""
    yield f"     cpgUpgrade55Format: {header.upgrade_format_pages}"
    yield f"    cpgUpgradeFreePages: {header.upgrade_free_pages}"
    yield f"cpgUpgradeSpaceMapPages: {header.upgrade_space_map_pages}"
    yield ""
    yield f"       ECC Fix Success Count: {_found(header.ecc_fixed_count)}"
    yield f"   Old ECC Fix Success Count: {_found(header.ecc_fixed_old_count)}"
    yield f"         ECC Fix Error Count: {_found(header.ecc_failed_count)}"
    yield f"     Old ECC Fix Error Count: {_found(header.ecc_failed_old_count)}"
    yield f"    Bad Checksum Error Count: {_found(header.bad_checksum_count)}"
    yield f"Old bad Checksum Error Count: {_found(header.bad_checksum_old_count)}"


def _found(count: int) -> str:
    return f"found ({count})" if count else "none"


def log_header_lines(header: LogHeader, checkpoint: Checkpoint | None = None) -> list[str]:
    """The header part of ``eseutil /ml`` for one log."""
    position = "NOT AVAILABLE" if checkpoint is None else str(checkpoint.position)
    version = f"{header.major}.{header.minor}.{header.update_major}.{header.update_minor}"
    on, before = header.circular_logging, bool(header.flags & 4)
    return [
        f"      lGeneration: {header.generation} (0x{header.generation:X})",
        f"      Checkpoint: {position}",
        f"      creation time: {header.created}",
        f"      prev gen time: {header.previous_created}",
        f"      prev gen accumulated segment checksum: 0x{header.previous_checksum:016x}",
        f"      Format LGVersion: ({version})",
        f"      Signature: {header.log_signature}",
        *_parameter_lines(header.parameters),
        f"      Using Reserved Log File: {'true' if header.flags & 1 else 'false'}",
        f"      Circular Logging Flag (current file): {'on' if on else 'off'}",
        f"      Circular Logging Flag (past files): {'on' if before else 'off'}",
        *(line for each in header.attachments for line in _attachment_lines(each)),
    ]


def _parameter_lines(parameters: DbmsParameters) -> list[str]:
    names = "CircLog,Session,Opentbl,VerPage,Cursors,LogBufs,LogFile,Buffers"
    values = ", ".join(f"{count:7}" for count in parameters.counters)
    circular = "on" if parameters.circular_logging else "off"
    return [
        f"      Env SystemPath: {parameters.system_path}",
        f"      Env LogFilePath: {parameters.log_path}",
        f"      Env ({names})",
        f"          ({circular:>7}, {values})",
    ]


def _attachment_lines(attachment: AttachInfo) -> list[str]:
    return [
        f"      {attachment.dbid} {attachment.path}",
        f"        dbtime: {attachment.dbtime} (0x{attachment.dbtime:x})",
        f"        Signature: {attachment.db_signature}",
        f"        Last Attach: {attachment.attach}  Consistent: {attachment.consistent}",
    ]


def log_lines(report: LogReport) -> list[str]:
    """The verdict of ``eseutil /ml`` on one log file [ese.md 11.1]."""
    if report.error is not None:
        return [f"ERROR: Log damaged (unusable). {report.problem} ({report.error})"]
    lines = [f"Integrity check passed for log file: {report.name}"]
    if report.problem:
        lines.insert(0, f"WARNING: {report.problem} (recovery can repair it)")
    return lines


def log_set_lines(report: LogSetReport) -> list[str]:
    """The lines of ``eseutil /ml Enn`` on a set [ese.md 11.1]."""
    lines = ["Verifying log files...", f"     Base name: {report.base}", ""]
    holes = [each for each in report.problems if each.kind is LogProblemKind.MISSING]
    for log in report.logs:
        while holes and holes[0].last_generation < (log.generation or 0):
            lines.append(_hole_line(report.base, holes.pop(0)))
        lines += _log_set_entry(log, [each for each in report.problems if each.name == log.name])
    lines += [_hole_line(report.base, each) for each in holes]
    if report.ok:
        return [*lines, "", "No damaged log files were found."]
    return [*lines, "", f"Operation terminated with error {report.error}."]


def _log_set_entry(log: LogReport, own: list[LogProblem]) -> list[str]:
    if not any(each.error is not None for each in own):
        notes = [f"                WARNING: {each.text}" for each in own]
        return [f"      Log file: {log.name} - OK", *notes]
    return [
        f"      Log file: {log.name}",
        *(
            f"                {'WARNING' if each.error is None else 'ERROR'}: {each.text}"
            + ("" if each.error is None else f". Error {each.error}.")
            for each in own
        ),
    ]


def _hole_line(base: str, hole: LogProblem) -> str:
    # Five digits as long as they suffice [ese.md 10].
    digits = 5 if hole.last_generation <= 0xFFFFF else 8
    first, last = (
        f"{generation:0{digits}X}" for generation in (hole.first_generation, hole.last_generation)
    )
    if first == last:
        return f"      Missing log file: {base}{first}.log"
    return f"      Missing log files: {base}{{{first} - {last}}}.log"


def checkpoint_lines(checkpoint: Checkpoint) -> list[str]:
    """The dump of ``eseutil /mk`` [ese.md 9]."""
    return [
        f"      LastFullBackupCheckpoint: {checkpoint.full_backup_checkpoint}",
        f"      Checkpoint: {checkpoint.position}",
        f"      DbConsistency: {checkpoint.consistency}",
        f"      FullBackup: {checkpoint.full_backup_position}",
        f"      FullBackup time: {checkpoint.full_backup_time}",
        f"      IncBackup: {checkpoint.incremental_backup_position}",
        f"      IncBackup time: {checkpoint.incremental_backup_time}",
        f"      Signature: {checkpoint.log_signature}",
        *_parameter_lines(checkpoint.parameters)[2:],
        *(line for each in checkpoint.attachments for line in _attachment_lines(each)),
    ]
