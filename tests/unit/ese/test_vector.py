"""Many pages at once: same verdicts as one by one, whatever the mix and the pieces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frskit.errors import FormatError
from frskit.ese import verify_page
from frskit.ese.pages.checksums import PAGE_SIZES
from frskit.ese.pages.verify_many import STATUS_NAMES, PageVerifier, as_words


def mixed(forge, rng, size, count, first):
    """Pages of every kind in random order."""
    pages = []
    for number in range(first, first + count):
        kind = rng.randrange(6)
        page = bytearray(forge.page(number, size, new=kind % 2 == 0, seed=number % 3))
        if kind == 2:
            page = bytearray(size)
        elif kind >= 3:
            for _ in range(kind - 2):
                page[rng.randrange(size)] ^= 1 << rng.randrange(8)
        pages.append(bytes(page))
    return pages


@settings(max_examples=25)
@given(
    size=st.sampled_from(PAGE_SIZES),
    count=st.integers(1, 40),
    first=st.sampled_from((1, 1000, 2**32 - 100)),
    piece=st.sampled_from((2048, 16384, 1 << 20)),
    rng=st.randoms(use_true_random=False),
)
def test_same_verdicts_as_page_by_page(forge, size, count, first, piece, rng):
    """Status, bit and probable number agree with the reference for any mix of pages."""
    pages = mixed(forge, rng, size, count, first)
    run = PageVerifier(size, count, piece).verify(as_words(b"".join(pages)), first)
    for index, page in enumerate(pages):
        verdict = verify_page(page, first + index)
        assert STATUS_NAMES[run.status[index]] == verdict.status
        assert run.bits.get(index) == verdict.bit
        assert run.probable.get(index) == verdict.probable_number


def test_a_verifier_forgets_the_run_before(forge):
    """Reusing a verifier after old, zero and bad pages gives the same as a fresh one."""
    new = b"".join(forge.page(number) for number in range(1, 9))
    old = b"".join(forge.page(number, new=False) for number in range(1, 9))
    verifier = PageVerifier(4096, 8, 8192)
    for data, expected in ((old, "ok"), (bytes(8 * 4096), "uninitialized"), (new, "ok")) * 2:
        status = verifier.verify(as_words(data), 1).status
        assert {STATUS_NAMES[each] for each in status} == {expected}


def test_highest_dbtime_is_that_of_a_good_or_corrected_page(forge):
    """Bad pages do not count; a correctable page counts with its corrected value."""
    pages = [
        forge.page(1, dbtime=100),
        forge.page(2, dbtime=900),
        forge.page(3, dbtime=500),
    ]
    run = PageVerifier(4096, 3).verify(as_words(b"".join(pages)), 1)
    assert (run.highest_dbtime, run.highest_index) == (900, 1)
    bad = bytearray(pages[1])
    bad[100] ^= 3
    flip = bytearray(pages[2])
    flip[13] ^= 1
    run = PageVerifier(4096, 3).verify(as_words(pages[0] + bad + flip), 1)
    assert (run.highest_dbtime, run.highest_index) == (500, 2)


def test_every_flipped_bit_of_a_page_is_seen(forge):
    """All 16384 single flips of a 2 KB page: correctable at that bit, or bad where they must be."""
    page = np.frombuffer(forge.page(1, 2048), np.uint8)
    for begin in range(0, 16384, 1024):
        copies = np.tile(page, (1024, 1))
        bits = np.arange(begin, begin + 1024)
        copies[np.arange(1024), bits // 8] ^= (1 << bits % 8).astype(np.uint8)
        for index, bit in enumerate(bits.tolist()):
            run = VERIFIER.verify(as_words(copies[index]), 1)
            assert run.bits.get(0) == (None if bit < 64 or bit == 301 else bit)
            assert STATUS_NAMES[run.status[0]] != "ok"


VERIFIER = PageVerifier(2048, 1)


def test_refuses_parts_of_pages_and_too_many(forge):
    """A run is whole pages, and not more than the capacity."""
    verifier = PageVerifier(4096, 2)
    for length in (100, 4096 + 8, 3 * 4096):
        with pytest.raises(FormatError):
            verifier.verify(as_words(bytes(length)), 1)
    with pytest.raises(FormatError):
        PageVerifier(1234, 1)
