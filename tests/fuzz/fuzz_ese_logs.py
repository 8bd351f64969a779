"""Fuzz target: any bytes as the body of an old or a new log, alone and in a set.

    python tests/fuzz/fuzz_ese_logs.py -max_total_time=60         (needs atheris)

Fails on any exception: the checks of logs report damage, they never raise for it.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["frskit"]):
    from frskit import ese
    from frskit.ese.eseutil import log_set_lines

OLD = ese.LogHeader(generation=1, file_sectors=24)
NEW = ese.LogHeader(
    generation=1, sector_size=4096, header_sectors=1, file_sectors=6, major=8, minor=4000
)


def one(data):
    """One input: a body behind a good header of either format."""
    logs = []
    for header in (OLD, NEW):
        size = header.file_size_bytes
        log = (ese.pack_log_header(header) + data)[:size].ljust(size, b"\0")
        assert ese.check_log(log).status in ese.LogStatus
        logs.append(log)
    report = ese.check_logs({"E0000001.log": logs[0], "E00.log": logs[1], "E00.chk": data}, "E00")
    assert len(report.logs) == 2
    assert log_set_lines(report)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
