"""Fuzz target: any bytes as a page, and as a database behind two good headers.

    python tests/fuzz/fuzz_ese_pages.py -max_total_time=60        (needs atheris)

Fails on any exception that is not frskit's own, and on any disagreement between the reference
and the vectorized verifier.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["frskit"]):
    from frskit import ese
    from frskit.errors import FormatError
    from frskit.ese.vector import STATUS_NAMES, PageVerifier, as_words

SIZES = (2048, 4096, 8192, 16384, 32768)


def one(data):
    """One input: a byte that chooses the page size, a number, the page."""
    if len(data) < 6:
        return
    size = SIZES[data[0] % len(SIZES)]
    number = int.from_bytes(data[1:5], "little") or 1
    page = data[5 : 5 + size].ljust(size, b"\0")
    verdict = ese.verify_page(page, number)
    run = PageVerifier(size, 1).verify(as_words(page), number)
    assert STATUS_NAMES[run.status[0]] == verdict.status
    assert run.bits.get(0) == verdict.bit
    sealed = bytearray(page)
    try:
        ese.seal_page(sealed, number)
    except FormatError:
        return
    if any(sealed):
        assert ese.verify_page(sealed, number).status == "ok"
    header = ese.pack_database_header(ese.DatabaseHeader(page_size=size))
    assert ese.check_database(header * 2 + page).pages_seen == 3


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
