"""Fuzz target: any bytes as the body of an old or a new log, alone and in a set.

    python tests/fuzz/fuzz_ese_logs.py -max_total_time=60         (needs atheris)

The first byte says which checksums are mended, so that the fuzzer gets behind them. Fails on any
exception: the checks of logs report damage, they never raise for it.
"""

from __future__ import annotations

import atheris

with atheris.instrument_imports(include=["frskit"]):
    from frskit import ese
    from frskit.errors import FrskitError
    from frskit.ese.eseutil import log_lines, log_set_lines
    from frskit.ese.logs.format7_chain import build_checksum_record, parse_checksum_record

    for name in ese.__all__:  # loaded on first use, which must be here
        getattr(ese, name)

import seeds

OLD = ese.LogHeader(generation=1, file_sectors=24)
NEW = ese.LogHeader(
    generation=1, sector_size=4096, header_sectors=1, file_sectors=6, major=8, minor=4000
)


def mend_old(log):
    """Give every record of the chain the checksum that its numbers call for."""
    at = 4096
    for _ in range(40):
        record = parse_checksum_record(log[at : at + 22])
        if record is None:
            return
        start = at - at % 512
        try:
            made = build_checksum_record(
                memoryview(log)[start:],
                at - start,
                forward=record.forward,
                generation=1,
                sector_size=512,
                next_offset=record.next_offset,
                back=record.back,
            )
        except FrskitError:
            return
        log[at : at + 22] = made.pack()
        if not record.next_offset:
            return
        at += 22 + record.next_offset


def mend_new(log):
    """Give every segment a right checksum under its number, or under the one before."""
    for index in range(1, len(log) // 4096):
        segment = log[index * 4096 : (index + 1) * 4096]
        if any(segment) and segment[36] & 3 != 3:
            ese.seal_page(segment, max(1, index - (segment[36] & 1)), new_format=True)
            log[index * 4096 : (index + 1) * 4096] = segment


def one(data):
    """One input: a byte of choices, then a body, taken behind a good header of either format."""
    if not data:
        return
    logs = []
    for bit, header, mend in ((1, OLD, mend_old), (2, NEW, mend_new)):
        size = header.file_size_bytes
        log = bytearray(ese.pack_log_header(header) + data[1:])[:size]
        log = log.ljust(size, b"\0")
        if data[0] & bit:
            mend(log)
        report = ese.check_log(log)
        assert report.status in ese.LogStatus
        assert log_lines(report)
        assert (report.error is None) == (report.status is not ese.LogStatus.DAMAGED)
        logs.append(log)
    report = ese.check_logs({"E0000001.log": logs[0], "E00.log": logs[1], "E00.chk": data}, "E00")
    assert len(report.logs) == 2
    assert log_set_lines(report)


def examples():
    """Bodies of either format: good, torn with a shadow, with a flipped bit."""
    make = seeds.forge()
    old = make.old_log(1, file_sectors=24)
    torn = old[:]
    last = make.add_shadow(torn)
    torn[last + 30] ^= 1
    new = make.new_log(1, used=3, sectors=6)
    new_torn = new[:]
    new_torn[4 * 4096 : 5 * 4096] = make.segment(3, number=3)
    flipped = new[:]
    flipped[2 * 4096 + 99] ^= 4
    for log in (old, torn, new, new_torn, flipped):
        for choice in (b"\0", b"\3"):
            yield choice + bytes(log[4096:])


if __name__ == "__main__":
    atheris.Setup([*seeds.arguments(examples()), "-max_len=24000"], one)
    atheris.Fuzz()
