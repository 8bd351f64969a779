"""Fuzz target: any bytes as database header, log header and flush map.

    python tests/fuzz/fuzz_ese_headers.py -max_total_time=60      (needs atheris)

The checksum is mended first, so that the fuzzer gets behind it. Fails on any exception that is
not frskit's own, and on a header that is not read again as it was packed.
"""

from __future__ import annotations

import atheris

with atheris.instrument_imports(include=["frskit"]):
    from frskit import ese
    from frskit.errors import FrskitError
    from frskit.ese.eseutil import header_lines, log_header_lines
    from frskit.ese.flushmap import check_flush_map
    from frskit.ese.pages.checksums import seal_header
    from frskit.ese.recovery_facts import database_facts

    for name in ese.__all__:  # loaded on first use, which must be here
        getattr(ese, name)

import seeds


def database(found):
    """What is done with a database header."""
    assert header_lines(found)
    assert database_facts("x", found)
    assert ese.read_database_header(ese.pack_database_header(found)) == found


def log(found):
    """What is done with a log header."""
    assert log_header_lines(found)
    assert ese.read_log_header(ese.pack_log_header(found)) == found


def one(data):
    """One input: a header, sealed, then read as everything that it might be."""
    for size in (4096, 8192):
        page = bytearray(data[:size].ljust(size, b"\0"))
        seal_header(page)
        file = bytes(page) * 2
        for read, use in (
            (ese.read_database_header, database),
            (ese.read_log_header, log),
            (check_flush_map, str),
            (ese.check_database, str),
            (ese.identify, str),
        ):
            try:
                found = read(file)
            except FrskitError:
                continue
            use(found)


def examples():
    """Headers of databases and logs."""
    make = seeds.forge()
    for size in (4096, 8192):
        yield make.header(size, state=2, gen_min_required=3, gen_max_required=5)
    yield make.header(attribute=1, file_type=2)
    attached = ese.AttachInfo(dbid=1, names=b"M:\\mbx.edb\0")
    wide = ese.AttachInfo(dbid=2, flags=0x20, names="M:\\pub.edb\0".encode("utf-16-le"))
    yield bytes(make.old_log(7, attachments=(attached, wide))[:4096])
    yield bytes(make.new_log(7)[:4096])


if __name__ == "__main__":
    atheris.Setup(seeds.arguments(examples()), one)
    atheris.Fuzz()
