"""The verdict on one page: good, correctable, bad, or never used.

Works on syndromes (stored XOR computed checksums) so that the page-at-a-time reference and the
vectorized check share one rule. The code is linear: flipping one bit changes the checksum by a
known amount, so "flip the bits and compute everything again" [ese.md 4.5] comes down to comparing
each block's syndrome with that amount.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.errors import FormatError
from frskit.ese.pages.checksums import (
    PAGE_SIZES,
    block_size,
    header_checksum,
    is_new_format,
    new_checksums,
    old_checksum,
    stored_checksums,
)
from frskit.model.reports import PageVerdict

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["is_trailer_page", "judge_new", "verify_header_page", "verify_page"]

FORMAT_FLAG_BIT = 301
"""Position of the new-format flag in a page [ese.md 3]."""

# Bits of block 0 in which a large page keeps the checksums of its other blocks [ese.md 4.5].
_SLOTS_BEGIN, _SLOTS_END = 320, 512


def verify_page(page: bytes | bytearray | memoryview, number: int) -> PageVerdict:
    """What the checksums say about one page.

    Args:
        page: The whole page; its length is the page size.
        number: Logical page number under which it was read. -1 and 0 are the header and its
            shadow, which carry the header checksum [ese.md 5.2].

    Raises:
        FormatError: The length is no page size, or the number no page number.
    """
    if len(page) not in PAGE_SIZES or not -1 <= number <= 0xFFFFFFFF:
        raise FormatError(
            f"{len(page)} bytes under number {number} are not a page",
            context={"page": number, "length": len(page)},
        )
    if not any(page):
        return PageVerdict(status="uninitialized", format="zero")
    # -1 and 0 are the header and its shadow [ese.md 5.2].
    if number <= 0:
        return verify_header_page(page)
    return _verify_new(page, number) if is_new_format(page) else _verify_old(page, number)


def verify_header_page(page: bytes | bytearray | memoryview) -> PageVerdict:
    """What the header checksum says about a header or trailer page [ese.md 4.1, 5.3]."""
    if not any(page):
        return PageVerdict(status="uninitialized", format="zero")
    stored, computed = int.from_bytes(page[:4], "little"), header_checksum(page)
    return PageVerdict(
        status="ok" if stored == computed else "bad",
        format="header",
        stored=(stored,),
        computed=(computed,),
    )


def is_trailer_page(page: bytes | bytearray | memoryview) -> bool:
    """Whether the last page of a file is the page a streaming backup appends [ese.md 5.3]."""
    return not any(page[4:16]) and not any(page[24:28])


def _verify_old(page: bytes | bytearray | memoryview, number: int) -> PageVerdict:
    """Old pages are good or bad, never correctable [ese.md 4.2]."""
    computed = old_checksum(page, number)
    stored = int.from_bytes(page[:8], "little")
    good = stored == computed and (len(page) <= 8192 or not any(page[40:64]))
    # The words agree and only the number differs: a whole page that belongs elsewhere [ese.md 4.2].
    moved = not good and (stored ^ computed) & 0xFFFFFFFF == 0 and stored != computed
    return PageVerdict(
        status="ok" if good else "bad",
        format="old",
        stored=(stored,),
        computed=(computed,),
        probable_number=stored >> 32 if moved else None,
    )


def _verify_new(page: bytes | bytearray | memoryview, number: int) -> PageVerdict:
    stored, computed = stored_checksums(page), new_checksums(page, number)
    bad, bit, probable = judge_new(stored, computed, len(page), number)
    return PageVerdict(
        status="bad" if bad else "ok" if bit is None else "correctable",
        bit=bit,
        stored=stored,
        computed=computed,
        probable_number=probable,
    )


def judge_new(
    stored: Sequence[int], computed: Sequence[int], page_size: int, number: int
) -> tuple[bool, int | None, int | None]:
    """The verdict on a new-format page from its checksums [ese.md 4.5].

    Returns:
        Whether it is bad; the first flipped bit, if it is correctable; its probable own number,
        if only the number is wrong.
    """
    held = list(stored)
    bits = 8 * block_size(page_size)
    first = None
    for index, expected in enumerate(computed):
        difference = held[index] ^ expected
        if not difference:
            continue
        bit = _flipped_bit(difference, bits, header=index == 0)
        if bit is None:
            return True, None, _probable_number(stored, computed, number)
        if first is None:
            first = index * bits + bit
        # A flipped slot would blame its block: judge that block by what the slot held before.
        if index == 0 and len(held) > 1 and _SLOTS_BEGIN <= bit < _SLOTS_END:
            slot, place = divmod(bit - _SLOTS_BEGIN, 64)
            held[1 + slot] ^= 1 << place
    return False, first, None


def _flipped_bit(difference: int, bits: int, *, header: bool) -> int | None:
    """The one bit whose flip explains a block's syndrome exactly; None if there is none."""
    bit = difference >> 32 & 0xFFFF
    # Bits 0 to 63 hold the checksum itself, and the flag has chosen this method [ese.md 4.5].
    if bit >= bits or (header and (bit < 64 or bit == FORMAT_FLAG_BIT)):
        return None
    expected = ((bits - 1 - bit) << 16 | bit) << 32 | 1 << (bit % 32)
    return bit if difference == expected else None


def _probable_number(stored: Sequence[int], computed: Sequence[int], number: int) -> int | None:
    """The page's own number, if a wrong number explains every block's syndrome."""
    differences = {held ^ expected for held, expected in zip(stored, computed, strict=True)}
    # The number is mixed into the sum of every block alike [ese.md 4.3].
    if len(differences) != 1:
        return None
    difference = differences.pop()
    return number ^ difference if difference >> 32 == 0 else None
