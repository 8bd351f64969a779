"""Transaction logs: names, headers, both formats, and what a set of them adds up to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit._lazy import face

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.ese.logs.file import check_log, check_open_log
    from frskit.ese.logs.format7_chain import (
        CHECKSUM_RECORD_SIZE,
        ChainEnd,
        ChainWalk,
        ChecksumRecord,
        build_checksum_record,
        parse_checksum_record,
        range_xor,
        shadow_sector,
        walk_chain,
    )
    from frskit.ese.logs.format8_segments import SEGMENT_SIZE, SegmentWalk, walk_segments
    from frskit.ese.logs.header import (
        LOG_HEADER_SIZE,
        load_log_header,
        pack_log_header,
        parse_log_header,
        read_log_header,
    )
    from frskit.ese.logs.log_set import check_logs, facts_of_checkpoint, facts_of_logs
    from frskit.ese.logs.names import (
        LogFileKind,
        LogName,
        archived_log_name,
        check_base,
        parse_log_name,
    )

__all__ = [
    "CHECKSUM_RECORD_SIZE",
    "LOG_HEADER_SIZE",
    "SEGMENT_SIZE",
    "ChainEnd",
    "ChainWalk",
    "ChecksumRecord",
    "LogFileKind",
    "LogName",
    "SegmentWalk",
    "archived_log_name",
    "build_checksum_record",
    "check_base",
    "check_log",
    "check_logs",
    "check_open_log",
    "facts_of_checkpoint",
    "facts_of_logs",
    "load_log_header",
    "pack_log_header",
    "parse_checksum_record",
    "parse_log_header",
    "parse_log_name",
    "range_xor",
    "read_log_header",
    "shadow_sector",
    "walk_chain",
    "walk_segments",
]

_HOMES = {
    "CHECKSUM_RECORD_SIZE": "frskit.ese.logs.format7_chain",
    "ChainEnd": "frskit.ese.logs.format7_chain",
    "ChainWalk": "frskit.ese.logs.format7_chain",
    "ChecksumRecord": "frskit.ese.logs.format7_chain",
    "LOG_HEADER_SIZE": "frskit.ese.logs.header",
    "LogFileKind": "frskit.ese.logs.names",
    "LogName": "frskit.ese.logs.names",
    "SEGMENT_SIZE": "frskit.ese.logs.format8_segments",
    "SegmentWalk": "frskit.ese.logs.format8_segments",
    "archived_log_name": "frskit.ese.logs.names",
    "build_checksum_record": "frskit.ese.logs.format7_chain",
    "check_base": "frskit.ese.logs.names",
    "check_log": "frskit.ese.logs.file",
    "check_logs": "frskit.ese.logs.log_set",
    "check_open_log": "frskit.ese.logs.file",
    "facts_of_checkpoint": "frskit.ese.logs.log_set",
    "facts_of_logs": "frskit.ese.logs.log_set",
    "load_log_header": "frskit.ese.logs.header",
    "pack_log_header": "frskit.ese.logs.header",
    "parse_checksum_record": "frskit.ese.logs.format7_chain",
    "parse_log_header": "frskit.ese.logs.header",
    "parse_log_name": "frskit.ese.logs.names",
    "range_xor": "frskit.ese.logs.format7_chain",
    "read_log_header": "frskit.ese.logs.header",
    "shadow_sector": "frskit.ese.logs.format7_chain",
    "walk_chain": "frskit.ese.logs.format7_chain",
    "walk_segments": "frskit.ese.logs.format8_segments",
}
__getattr__: Callable[[str], object]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = face(__name__, _HOMES)
