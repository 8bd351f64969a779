"""Verdicts on single pages: the correction rules of ese.md 4.5."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frskit.errors import FormatError
from frskit.ese import verify_page
from frskit.ese.pages.checksums import PAGE_SIZES
from frskit.ese.pages.verify_many import STATUS_NAMES, PageVerifier, as_words


def flipped(page, *bits):
    """The page with some bits flipped."""
    changed = bytearray(page)
    for bit in bits:
        changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def by_vector(page, number):
    """(status, bit, own number) by the vectorized verifier."""
    run = PageVerifier(len(page), 1).verify(as_words(page), number)
    return STATUS_NAMES[run.status[0]], run.bits.get(0), run.probable.get(0)


@given(data=st.data())
def test_any_one_bit_flip_is_corrected_there_or_bad(forge, data):
    """One flip of an initialized new page is correctable at exactly that bit, or bad; never ok."""
    size = data.draw(st.sampled_from(PAGE_SIZES))
    number = data.draw(st.integers(1, 2**32 - 1))
    page = forge.page(number, size, dbtime=number, seed=data.draw(st.integers(0, 9)))
    bit = data.draw(st.integers(0, 8 * size - 1))
    verdict = verify_page(flipped(page, bit), number)
    if verdict.status == "correctable":
        assert verdict.bit == bit
    else:
        assert verdict.status == "bad"
        assert bit < 64 or bit == 301


@pytest.mark.parametrize("size", PAGE_SIZES)
def test_no_flip_in_the_first_eight_bytes_or_the_flag_is_correctable(forge, size):
    """Stored checksum words and the format flag cannot be repaired."""
    page = forge.page(7, size)
    for bit in (*range(64), 301):
        assert verify_page(flipped(page, bit), 7).status == "bad"


@pytest.mark.parametrize("size", PAGE_SIZES)
def test_old_pages_are_never_correctable(forge, size):
    """Every single flip of an old page is bad."""
    page = forge.page(7, size, new=False)
    assert verify_page(page, 7).status == "ok"
    for bit in (*range(0, 8 * size, 997), 40 * 8 + 5, 8 * size - 1):
        assert verify_page(flipped(page, bit), 7).status == "bad"


@given(data=st.data())
@settings(max_examples=40)
def test_two_flips_in_one_block_are_bad(forge, data):
    """Two flips in one block are always reported bad."""
    size = data.draw(st.sampled_from((2048, 4096, 8192)))
    bits = data.draw(st.lists(st.integers(0, 8 * size - 1), min_size=2, max_size=2, unique=True))
    assert verify_page(flipped(forge.page(5, size), *bits), 5).status == "bad"


@pytest.mark.parametrize("size", [16384, 32768])
def test_one_flip_in_each_block_is_correctable(forge, size):
    """A large page has four blocks, and each may have one flipped bit."""
    bits = [size // 4 * 8 * block + 1000 + block for block in range(4)]
    verdict = verify_page(flipped(forge.page(5, size), *bits), 5)
    assert (verdict.status, verdict.bit) == ("correctable", bits[0])


@pytest.mark.parametrize("size", [16384, 32768])
def test_a_flip_in_a_stored_block_checksum_is_correctable(forge, size):
    """A flip in bits 320 to 511 is seen in block 0 and must not spoil blocks 1 to 3."""
    page = forge.page(5, size)
    for bit in range(320, 512, 7):
        assert verify_page(flipped(page, bit), 5).bit == bit


@settings(max_examples=12)
@given(data=st.data())
def test_verdicts_agree_with_the_oracle(forge, oracle, data):
    """Reference, vectorized check and literal oracle agree on pages damaged in any way."""
    size = data.draw(st.sampled_from((2048, 4096, 16384)))
    number = data.draw(st.sampled_from((1, 2, 4711)))
    new = data.draw(st.booleans())
    page = bytearray(forge.page(4711, size, new=new))
    for bit in data.draw(st.lists(st.integers(0, 8 * size - 1), max_size=4)):
        page[bit // 8] ^= 1 << bit % 8
    page = bytes(page)
    verdict = verify_page(page, number)
    assert (verdict.status, verdict.bit) == oracle.verdict(page, number)
    assert by_vector(page, number) == (verdict.status, verdict.bit, verdict.probable_number)


@pytest.mark.parametrize("bits", [(100, 132, 1000), (96, 128, 9000), (70, 102, 134, 166, 900)])
def test_aliases_look_like_a_single_flip(forge, oracle, bits):
    """Three or five flips can look like one: why "correctable" is likely, never proven."""
    page = flipped(forge.page(5, 4096), *bits)
    verdict = verify_page(page, 5)
    assert (verdict.status, verdict.bit) == oracle.verdict(page, 5)


@pytest.mark.parametrize("size", PAGE_SIZES)
@pytest.mark.parametrize("new", [False, True])
def test_a_page_under_a_wrong_number_is_bad_and_says_whose_it_is(forge, size, new):
    """A good page in the wrong place is a checksum failure; its own number is a diagnostic."""
    verdict = verify_page(forge.page(77, size, new=new), 78)
    assert (verdict.status, verdict.probable_number) == ("bad", 77)
    assert by_vector(forge.page(77, size, new=new), 78) == ("bad", None, 77)


@pytest.mark.parametrize("size", PAGE_SIZES)
def test_all_zero_is_uninitialized_and_one_byte_more_is_bad(size):
    """Zero pages are no error anywhere; one stray byte makes an ordinary bad page."""
    for number in (-1, 0, 1, 12345):
        assert verify_page(bytes(size), number).status == "uninitialized"
    stray = bytes(size - 1) + b"\x01"
    assert verify_page(stray, 9).status == "bad"
    assert by_vector(stray, 9)[0] == "bad"
    assert by_vector(bytes(size), 9)[0] == "uninitialized"


def test_header_pages_have_numbers_minus_one_and_zero(forge):
    """Under -1 and 0 the header checksum counts, and nothing is correctable."""
    header = forge.header()
    assert verify_page(header, -1).status == verify_page(header, 0).status == "ok"
    assert verify_page(flipped(header, 5000), 0).status == "bad"
    assert verify_page(header, 1).status == "bad"


@pytest.mark.parametrize(("page", "number"), [(b"", 1), (bytes(100), 1), (bytes(4096), -2)])
def test_what_is_no_page_is_a_typed_error(page, number):
    """Impossible lengths and numbers raise FormatError."""
    with pytest.raises(FormatError):
        verify_page(page, number)


@given(st.binary(min_size=2048, max_size=2048), st.integers(-1, 2**32 - 1))
def test_arbitrary_bytes_get_a_verdict(page, number):
    """No 2 KB page of any content breaks the verifiers, and both say the same."""
    verdict = verify_page(page, number)
    assert verdict.status in STATUS_NAMES
    if number > 0:
        assert by_vector(page, number)[0] == verdict.status


@pytest.mark.parametrize("size", [2048, 4096, 8192, 16384])
def test_a_syndrome_that_points_at_the_flag_or_the_checksum_is_bad(forge, oracle, size):
    """A stored checksum that is off by just what bit 301, or a bit below 64, would make is bad."""
    last = 8 * min(size, 8192 if size <= 8192 else size // 4) - 1
    for bit, status in ((301, "bad"), (0, "bad"), (63, "bad"), (64, "correctable")):
        page = bytearray(forge.page(5, size))
        delta = ((last - bit) << 16 | bit) << 32 | 1 << bit % 32
        page[:8] = (int.from_bytes(page[:8], "little") ^ delta).to_bytes(8, "little")
        page = bytes(page)
        assert verify_page(page, 5).status == by_vector(page, 5)[0] == status
        assert oracle.verdict(page, 5)[0] == status
