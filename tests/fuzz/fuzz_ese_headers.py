"""Fuzz target: any bytes as database header, log header, checkpoint and flush map.

    python tests/fuzz/fuzz_ese_headers.py -max_total_time=60      (needs atheris)

The checksum is mended first, so that the fuzzer gets behind it. Fails on any exception that is
not frskit's own.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["frskit"]):
    from frskit import ese
    from frskit.errors import FrskitError
    from frskit.ese.checksums import seal_header
    from frskit.ese.eseutil import checkpoint_lines, header_lines, log_header_lines
    from frskit.ese.facts import database_facts
    from frskit.ese.flushmap import check_flush_map


def one(data):
    """One input: a header, sealed, then read as everything that it might be."""
    for size in (4096, 8192):
        page = bytearray(data[:size].ljust(size, b"\0"))
        seal_header(page)
        file = bytes(page) * 2
        for read, show in (
            (ese.read_database_header, lambda found: database_facts("x", found)),
            (ese.read_database_header, header_lines),
            (ese.read_log_header, log_header_lines),
            (ese.read_checkpoint, checkpoint_lines),
            (check_flush_map, str),
            (ese.check_database, str),
            (ese.identify, str),
        ):
            try:
                found = read(file)
            except FrskitError:
                continue
            show(found)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
