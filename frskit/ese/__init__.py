"""The files Exchange leaves on disk: pages, headers, logs, checkpoints.

A cross-platform stand-in for ``eseutil /k /mh /ml /mk``: it verifies and describes ESE files, and
packs and seals the same structures for a writer. It never runs recovery, never repairs, never
writes into a file it checks, and reads no tables. Usable alone; it needs nothing but numpy. Names
are loaded on first use.

Example:
    >>> from frskit.ese import seal_page, verify_page
    >>> page = bytearray(4096)
    >>> page[100:105] = b"hello"
    >>> seal_page(page, 7, new_format=True)
    >>> verify_page(page, 7).status
    'ok'
    >>> page[100] ^= 1
    >>> verify_page(page, 7).status, verify_page(page, 7).bit
    ('correctable', 800)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit._lazy import face

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.ese import eseutil
    from frskit.ese.checkpoint import (
        CHECKPOINT_COPY_SIZE,
        pack_checkpoint,
        pack_checkpoint_copy,
        read_checkpoint,
    )
    from frskit.ese.chksgfiles import CheckCode, StorageGroupCheck
    from frskit.ese.database import check_database
    from frskit.ese.fields import (
        pack_attachments,
        pack_lgpos,
        pack_signature,
        parse_lgpos,
        parse_signature,
    )
    from frskit.ese.flushmap import FlushMapReport, check_flush_map
    from frskit.ese.header import (
        identify,
        pack_database_header,
        read_database_header,
        read_header_copies,
    )
    from frskit.ese.logs.file import check_log
    from frskit.ese.logs.format7_chain import ChecksumRecord, build_checksum_record, shadow_sector
    from frskit.ese.logs.header import pack_log_header, read_log_header
    from frskit.ese.logs.log_set import check_logs, facts_of_checkpoint, facts_of_logs
    from frskit.ese.logs.names import archived_log_name, parse_log_name
    from frskit.ese.pages.checksums import seal_page
    from frskit.ese.pages.verify import verify_page
    from frskit.ese.recovery_facts import (
        CheckpointFacts,
        ContiguousRun,
        DatabaseFacts,
        LogFacts,
        RunStop,
        checkpoint_facts,
        contiguous_run,
        database_facts,
        generation_ranges,
        log_facts,
        log_header_facts,
        logs_by_generation,
        longest_run,
        required_range,
    )
    from frskit.ese.sources import Readable, Source, opened
    from frskit.ese.space_trees import read_owned_pages
    from frskit.ese.streaming_file import check_streaming_file
    from frskit.model.ese_files import (
        Checkpoint,
        DatabaseHeader,
        DatabaseState,
        FileKind,
        LogHeader,
    )
    from frskit.model.ese_structures import (
        AttachInfo,
        BackupRange,
        DbmsParameters,
        LgPos,
        LogTime,
        Signature,
    )
    from frskit.model.reports import (
        DamagedPage,
        DatabaseReport,
        LogReport,
        LogSetReport,
        LogStatus,
        PageVerdict,
        RequiredRange,
    )

__all__ = [
    "CHECKPOINT_COPY_SIZE",
    "AttachInfo",
    "BackupRange",
    "CheckCode",
    "Checkpoint",
    "CheckpointFacts",
    "ChecksumRecord",
    "ContiguousRun",
    "DamagedPage",
    "DatabaseFacts",
    "DatabaseHeader",
    "DatabaseReport",
    "DatabaseState",
    "DbmsParameters",
    "FileKind",
    "FlushMapReport",
    "LgPos",
    "LogFacts",
    "LogHeader",
    "LogReport",
    "LogSetReport",
    "LogStatus",
    "LogTime",
    "PageVerdict",
    "Readable",
    "RequiredRange",
    "RunStop",
    "Signature",
    "Source",
    "StorageGroupCheck",
    "archived_log_name",
    "build_checksum_record",
    "check_database",
    "check_flush_map",
    "check_log",
    "check_logs",
    "check_streaming_file",
    "checkpoint_facts",
    "contiguous_run",
    "database_facts",
    "eseutil",
    "facts_of_checkpoint",
    "facts_of_logs",
    "generation_ranges",
    "identify",
    "log_facts",
    "log_header_facts",
    "logs_by_generation",
    "longest_run",
    "opened",
    "pack_attachments",
    "pack_checkpoint",
    "pack_checkpoint_copy",
    "pack_database_header",
    "pack_lgpos",
    "pack_log_header",
    "pack_signature",
    "parse_lgpos",
    "parse_log_name",
    "parse_signature",
    "read_checkpoint",
    "read_database_header",
    "read_header_copies",
    "read_log_header",
    "read_owned_pages",
    "required_range",
    "seal_page",
    "shadow_sector",
    "verify_page",
]

_HOMES = {
    "AttachInfo": "frskit.model.ese_structures",
    "BackupRange": "frskit.model.ese_structures",
    "CHECKPOINT_COPY_SIZE": "frskit.ese.checkpoint",
    "CheckCode": "frskit.ese.chksgfiles",
    "Checkpoint": "frskit.model.ese_files",
    "CheckpointFacts": "frskit.ese.recovery_facts",
    "ChecksumRecord": "frskit.ese.logs.format7_chain",
    "ContiguousRun": "frskit.ese.recovery_facts",
    "DamagedPage": "frskit.model.reports",
    "DatabaseFacts": "frskit.ese.recovery_facts",
    "DatabaseHeader": "frskit.model.ese_files",
    "DatabaseReport": "frskit.model.reports",
    "DatabaseState": "frskit.model.ese_files",
    "DbmsParameters": "frskit.model.ese_structures",
    "FileKind": "frskit.model.ese_files",
    "FlushMapReport": "frskit.ese.flushmap",
    "LgPos": "frskit.model.ese_structures",
    "LogFacts": "frskit.ese.recovery_facts",
    "LogHeader": "frskit.model.ese_files",
    "LogReport": "frskit.model.reports",
    "LogSetReport": "frskit.model.reports",
    "LogStatus": "frskit.model.reports",
    "LogTime": "frskit.model.ese_structures",
    "PageVerdict": "frskit.model.reports",
    "Readable": "frskit.ese.sources",
    "RequiredRange": "frskit.model.reports",
    "RunStop": "frskit.ese.recovery_facts",
    "Signature": "frskit.model.ese_structures",
    "Source": "frskit.ese.sources",
    "StorageGroupCheck": "frskit.ese.chksgfiles",
    "archived_log_name": "frskit.ese.logs.names",
    "build_checksum_record": "frskit.ese.logs.format7_chain",
    "check_database": "frskit.ese.database",
    "check_flush_map": "frskit.ese.flushmap",
    "check_log": "frskit.ese.logs.file",
    "check_logs": "frskit.ese.logs.log_set",
    "check_streaming_file": "frskit.ese.streaming_file",
    "checkpoint_facts": "frskit.ese.recovery_facts",
    "contiguous_run": "frskit.ese.recovery_facts",
    "database_facts": "frskit.ese.recovery_facts",
    "facts_of_checkpoint": "frskit.ese.logs.log_set",
    "facts_of_logs": "frskit.ese.logs.log_set",
    "generation_ranges": "frskit.ese.recovery_facts",
    "identify": "frskit.ese.header",
    "log_facts": "frskit.ese.recovery_facts",
    "log_header_facts": "frskit.ese.recovery_facts",
    "logs_by_generation": "frskit.ese.recovery_facts",
    "longest_run": "frskit.ese.recovery_facts",
    "opened": "frskit.ese.sources",
    "pack_attachments": "frskit.ese.fields",
    "pack_checkpoint": "frskit.ese.checkpoint",
    "pack_checkpoint_copy": "frskit.ese.checkpoint",
    "pack_database_header": "frskit.ese.header",
    "pack_lgpos": "frskit.ese.fields",
    "pack_log_header": "frskit.ese.logs.header",
    "pack_signature": "frskit.ese.fields",
    "parse_lgpos": "frskit.ese.fields",
    "parse_log_name": "frskit.ese.logs.names",
    "parse_signature": "frskit.ese.fields",
    "read_checkpoint": "frskit.ese.checkpoint",
    "read_database_header": "frskit.ese.header",
    "read_header_copies": "frskit.ese.header",
    "read_log_header": "frskit.ese.logs.header",
    "read_owned_pages": "frskit.ese.space_trees",
    "required_range": "frskit.ese.recovery_facts",
    "seal_page": "frskit.ese.pages.checksums",
    "shadow_sector": "frskit.ese.logs.format7_chain",
    "verify_page": "frskit.ese.pages.verify",
}
__getattr__: Callable[[str], object]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = face(__name__, _HOMES, ("eseutil",))
