"""Checksums page by page, against the slow oracle."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frskit.errors import FormatError
from frskit.ese import seal_page
from frskit.ese.pages.checksums import (
    PAGE_SIZES,
    block_checksum,
    header_checksum,
    new_checksums,
    old_checksum,
    stored_checksums,
    word_xor,
)

SIZES = st.sampled_from(PAGE_SIZES)


@given(st.binary(max_size=300))
def test_word_xor_is_the_xor_of_words(oracle, data):
    """Any length, also one that ends inside a word, gives the XOR of padded words."""
    assert word_xor(data) == oracle.xor32(data)


@settings(max_examples=8)
@given(size=st.sampled_from((2048, 4096, 8192)), seed=st.integers(0, 99), first=st.booleans())
def test_block_checksum_agrees_with_single_bits(forge, oracle, size, seed, first):
    """Folding in halves gives what adding up the positions of single bits gives."""
    block = bytes(forge.content(size, seed))
    assert block_checksum(block, 77, first=first) == oracle.block(block, 77, first)


@pytest.mark.parametrize("size", PAGE_SIZES)
def test_a_sealed_new_page_holds_its_checksums(forge, oracle, size):
    """Sealing stores, for every block, what the oracle computes over the sealed page."""
    page = forge.page(9, size)
    assert oracle.stored(page) == oracle.computed(page, 9)
    assert list(stored_checksums(page)) == list(new_checksums(page, 9)) == oracle.stored(page)


@pytest.mark.parametrize("size", PAGE_SIZES)
def test_a_sealed_old_page_holds_checksum_and_number(forge, oracle, size):
    """An old page begins with the XOR checksum and its own number."""
    page = forge.page(9, size, new=False)
    assert int.from_bytes(page[:4], "little") == oracle.header(page)
    assert int.from_bytes(page[4:8], "little") == 9
    assert int.from_bytes(page[:8], "little") == old_checksum(page, 9)


def test_sealing_follows_the_flag_unless_told(forge):
    """Without an explicit format the page's own flag decides, and it is left alone."""
    for new in (False, True):
        page = bytearray(forge.page(3, new=new))
        page[100] ^= 0xFF
        seal_page(page, 3)
        assert bool(page[37] & 0x20) is new
        assert bytes(page) == bytes(_resealed(page, new))


def _resealed(page, new):
    again = bytearray(page)
    seal_page(again, 3, new_format=new)
    return again


@pytest.mark.parametrize(
    ("size", "number"), [(1000, 1), (0, 1), (4096, 0), (4096, -1), (4096, 1 << 32)]
)
def test_sealing_refuses_what_is_no_page(size, number):
    """A wrong length or number is a typed error, not a broken page."""
    with pytest.raises(FormatError):
        seal_page(bytearray(size), number, new_format=True)


def test_an_old_large_page_must_leave_the_slots_alone(forge):
    """Bytes 40 to 63 of an old page above 8 KB have to be zero."""
    with pytest.raises(FormatError, match="40 to 63"):
        seal_page(forge.content(16384), 1, new_format=False)


@given(size=st.sampled_from((4096, 8192)), seed=st.integers(0, 99))
def test_header_checksum_leaves_out_the_first_word(forge, oracle, size, seed):
    """The header checksum covers everything but itself."""
    header = forge.content(size, seed)
    before = header_checksum(header)
    header[0:4] = b"\xff\xff\xff\xff"
    assert header_checksum(header) == before == oracle.header(header)
