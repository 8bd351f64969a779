"""Fuzz target: any bytes as a page, as a space tree, and as a database behind two good headers.

    python tests/fuzz/fuzz_ese_pages.py -max_total_time=60        (needs atheris)

Fails on any exception that is not frskit's own, and on any disagreement between the reference
and the vectorized verifier.
"""

from __future__ import annotations

import struct

import atheris

with atheris.instrument_imports(include=["frskit"]):
    from frskit import ese
    from frskit.errors import FormatError
    from frskit.ese.pages.verify_many import STATUS_NAMES, PageVerifier, as_words

    for name in ese.__all__:  # loaded on first use, which must be here
        getattr(ese, name)

import seeds

SIZES = (2048, 4096, 8192, 16384, 32768)


def judge(page, number):
    """A page as it is: both verifiers agree; sealed, it is good."""
    verdict = ese.verify_page(page, number)
    run = PageVerifier(len(page), 1).verify(as_words(page), number)
    assert STATUS_NAMES[run.status[0]] == verdict.status
    assert run.bits.get(0) == verdict.bit
    sealed = bytearray(page)
    try:
        ese.seal_page(sealed, number)
    except FormatError:
        return
    if any(sealed):
        assert ese.verify_page(sealed, number).status == "ok"


def tree_page(size, *, flags, nodes, objid=1):
    """A page of a tree with these nodes, not sealed."""
    page = bytearray(size)
    large = size > 8192
    at = begin = 80 if large else 40
    struct.pack_into("<I4xHHI", page, 24, objid, 0, len(nodes), flags | 0x2800)
    for index, node in enumerate(nodes):
        page[at : at + len(node)] = node
        struct.pack_into("<HH", page, size - 4 * (index + 1), len(node), at - begin)
        at += len(node)
    return page


def extent(last, count):
    """An entry of a tree of owned extents."""
    return struct.pack("<H", 4) + last.to_bytes(4, "big") + count.to_bytes(4, "little")


ROOT = struct.pack("<4I", 4, 0, 1, 2)


def as_space_tree(page, kind, size):
    """A page, sealed, as one of the pages that say what the database owns."""
    leaf = tree_page(size, flags=0x23, nodes=[bytes(16), extent(3, 3)])
    branch = tree_page(size, flags=0x21, nodes=[bytes(16), b"\0\0" + struct.pack("<I", 3)])
    root = tree_page(size, flags=0x3, nodes=[ROOT])
    pages = [root, leaf if kind == 0 else branch, bytearray(size), bytearray(size)]
    pages[kind] = bytearray(page)
    header = ese.pack_database_header(ese.DatabaseHeader(page_size=size, state=3))
    for index, each in enumerate(pages):
        if any(each):
            ese.seal_page(each, index + 1, new_format=True)
    pages[3][100] = 1
    report = ese.check_database(header * 2 + b"".join(pages))
    assert report.pages_seen == 6
    assert report.owned_pages is None or 0 < report.owned_pages < 1 << 32
    wanted = {None: "unknown"}.get(report.owned_pages)
    if wanted is None:
        wanted = "inside" if report.owned_pages >= 4 else "beyond"
    assert report.damaged[-1].position == wanted


def one(data):
    """One input: a byte that chooses page size and role, a number, the page."""
    if len(data) < 6:
        return
    size = SIZES[data[0] % len(SIZES)]
    number = int.from_bytes(data[1:5], "little") or 1
    page = data[5 : 5 + size].ljust(size, b"\0")
    judge(page, number)
    if data[0] >= 128:
        as_space_tree(page, data[0] // 5 % 3, size)
    else:
        header = ese.pack_database_header(ese.DatabaseHeader(page_size=size))
        assert ese.check_database(header * 2 + page).pages_seen == 3


def choice(size, kind=None):
    """The first byte of an input."""
    index = SIZES.index(size)
    if kind is None:
        return index
    return next(each for each in range(128, 256) if each % 5 == index and each // 5 % 3 == kind)


def examples():
    """Good, flipped and moved pages of every size and format; pages of space trees."""
    make = seeds.forge()
    for size in SIZES:
        for new in (False, True):
            page = bytearray(make.page(7, size, new))
            for number in (7, 8):
                yield bytes([choice(size)]) + number.to_bytes(4, "little") + page
            page[100] ^= 16
            yield bytes([choice(size)]) + b"\7\0\0\0" + page
        number = b"\1\0\0\0"
        extents = [extent(2, 2), extent(9, 7)]
        leaf = tree_page(size, flags=0x23, nodes=[bytes(16), *extents])
        branch = tree_page(size, flags=0x21, nodes=[bytes(16), b"\0\0" + struct.pack("<I", 3)])
        prefix = 2 | 0x4 << 13 if size > 8192 else 2
        short = struct.pack("<HH", prefix, 2) + b"\0\x09" + struct.pack("<I", 9)
        lower = tree_page(size, flags=0x22, nodes=[b"\0\0", short])
        if size <= 8192:
            lower[size - 5] |= 0x80
        yield bytes([choice(size, 0)]) + number + tree_page(size, flags=0x3, nodes=[ROOT])
        yield bytes([choice(size, 1)]) + number + leaf
        yield bytes([choice(size, 1)]) + number + branch
        yield bytes([choice(size, 2)]) + number + lower


if __name__ == "__main__":
    atheris.Setup([*seeds.arguments(examples()), "-max_len=32773"], one)
    atheris.Fuzz()
