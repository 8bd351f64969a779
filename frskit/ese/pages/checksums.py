"""Checksums of headers and pages, one page at a time, in plain Python.

This is the reference that everything else is measured by: short, exact, and fast enough for a
writer (tens of microseconds per page, on big integers). Many pages at once: `frskit.ese.pages.verify_many`.
What a mismatch means: `frskit.ese.pages.verify`. Facts: [ese.md 4.1 to 4.4].
"""

from __future__ import annotations

import struct

from frskit.errors import FormatError

__all__ = [
    "CHECKSUM_MAGIC",
    "NEW_FORMAT_FLAG",
    "PAGE_SIZES",
    "block_checksum",
    "block_size",
    "header_checksum",
    "is_new_format",
    "new_checksums",
    "old_checksum",
    "seal_header",
    "seal_page",
    "stored_checksums",
    "word_xor",
]

PAGE_SIZES = (2048, 4096, 8192, 16384, 32768)
"""Page sizes that exist [ese.md 2.2]."""

CHECKSUM_MAGIC = 0x89ABCDEF
"""Start value of header and old page checksums [ese.md 4.1]."""

NEW_FORMAT_FLAG = 0x2000
"""Page flag, at byte 36: the page carries the new checksum [ese.md 3]."""

_FLAGS = struct.Struct("<I")
_WORD = struct.Struct("<I")
_SLOT = struct.Struct("<Q")
# Bytes into a page: its flags, and the three further checksums above 8 KB [ese.md 3].
_FLAGS_AT = 36
_SLOTS_AT = 40
_MASK_32 = 0xFFFFFFFF


def word_xor(data: bytes | bytearray | memoryview) -> int:
    """XOR of all 32-bit little-endian words; a last partial word is padded with zero bytes.

    Words count from the start of `data`, wherever that lies in memory [ese.md 7].
    """
    value = int.from_bytes(data, "little")
    # Folding one big integer by halves handles thousands of bits per step of the interpreter.
    bits = 32
    while bits < 8 * len(data):
        bits *= 2
    while bits > 32:
        bits //= 2
        value = (value >> bits) ^ (value & ((1 << bits) - 1))
    return value


def header_checksum(data: bytes | bytearray | memoryview) -> int:
    """The checksum that the first word of a header must hold [ese.md 4.1].

    Args:
        data: The whole header: a page for databases, 4096 bytes for logs and checkpoints.
    """
    return word_xor(data[4:]) ^ CHECKSUM_MAGIC


def seal_header(data: bytearray) -> None:
    """Store the header checksum in the first word."""
    _WORD.pack_into(data, 0, header_checksum(data))


def is_new_format(page: bytes | bytearray | memoryview) -> bool:
    """Whether the page's flags, as read, say new checksum format [ese.md 4.5]."""
    flags: int = _FLAGS.unpack_from(page, _FLAGS_AT)[0]
    return bool(flags & NEW_FORMAT_FLAG)


def old_checksum(page: bytes | bytearray | memoryview, number: int) -> int:
    """The 64-bit value that an old-format page must begin with [ese.md 4.2].

    Args:
        page: The whole page.
        number: The page number expected at this place.
    """
    return header_checksum(page) | (number & _MASK_32) << 32


def block_size(page_size: int) -> int:
    """Bytes covered by one new-format checksum: the page, or a quarter above 8 KB [ese.md 4.4].

    Raises:
        FormatError: No such page size.
    """
    if page_size not in PAGE_SIZES:
        raise FormatError(
            f"there are no pages of {page_size} bytes", context={"page_size": page_size}
        )
    return page_size if page_size <= 8192 else page_size // 4


def block_checksum(block: bytes | bytearray | memoryview, number: int, *, first: bool) -> int:
    """The 64-bit new-format checksum of one block: ECC in the high half, XOR in the low one.

    Folding the bits in halves yields both at once: the parity of each upper half is one bit of
    the ECC, and the 32-bit value on the way is the XOR of all words [ese.md 4.3].

    Args:
        block: 2048, 4096 or 8192 bytes.
        number: Page number under which the block is read.
        first: Whether the block begins the page; its first 8 bytes then count as zero.
    """
    width = 8 * len(block)
    value = int.from_bytes(block, "little")
    if first:
        # The first 8 bytes are where the checksum will be stored; they count as zero [ese.md 4.3].
        value = value >> 64 << 64
    mask = width - 1
    ecc = xor = 0
    while width > 1:
        width //= 2
        upper = value >> width
        if upper.bit_count() & 1:
            ecc |= width
        value = upper ^ (value & ((1 << width) - 1))
        if width == 32:
            xor = value
    # What is left is the parity of all bits, which decides about the complement [ese.md 4.3].
    complement = ecc ^ mask if value else ecc
    return (complement << 16 | ecc) << 32 | (xor ^ number & _MASK_32)


def new_checksums(page: bytes | bytearray | memoryview, number: int) -> tuple[int, ...]:
    """The checksums that a new-format page must hold, one per block [ese.md 4.4].

    Block 0 is computed over the slots *as stored*.

    Raises:
        FormatError: The length is no page size.
    """
    size = block_size(len(page))
    return tuple(
        block_checksum(page[at : at + size], number, first=at == 0)
        for at in range(0, len(page), size)
    )


def stored_checksums(page: bytes | bytearray | memoryview) -> tuple[int, ...]:
    """The values a page holds: one, or four above 8 KB, in block order [ese.md 4.4]."""
    first: int = _SLOT.unpack_from(page, 0)[0]
    if len(page) <= 8192:
        return (first,)
    return (first, *struct.unpack_from("<3Q", page, _SLOTS_AT))


def seal_page(page: bytearray, number: int, *, new_format: bool | None = None) -> None:
    """Compute and store the checksum of a database page or log segment, in place.

    Args:
        page: The whole page; its length is the page size.
        number: The page's logical number, or a log segment's index.
        new_format: Sets or clears the format flag first; None keeps the format of the flag.

    Raises:
        FormatError: The length is no page size, the number no page number, or an old-format
            page above 8 KB uses bytes 40 to 63, which must be zero [ese.md 4.2].
    """
    block_size(len(page))
    if not 0 < number <= _MASK_32:
        raise FormatError(f"{number} is not a page number", context={"page": number})
    if new_format is not None:
        _set_format(page, new_format=new_format)
    if is_new_format(page):
        _seal_new(page, number)
        return
    if len(page) > 8192 and any(page[_SLOTS_AT : _SLOTS_AT + 24]):
        raise FormatError("an old-format page above 8 KB keeps bytes 40 to 63 zero")
    _WORD.pack_into(page, 4, number)
    seal_header(page)


def _set_format(page: bytearray, *, new_format: bool) -> None:
    flags: int = _FLAGS.unpack_from(page, _FLAGS_AT)[0]
    flags = flags | NEW_FORMAT_FLAG if new_format else flags & ~NEW_FORMAT_FLAG
    _FLAGS.pack_into(page, _FLAGS_AT, flags)


def _seal_new(page: bytearray, number: int) -> None:
    size = block_size(len(page))
    # The other blocks first: their checksums lie inside block 0 [ese.md 4.4].
    for index, at in enumerate(range(size, len(page), size)):
        checksum = block_checksum(page[at : at + size], number, first=False)
        _SLOT.pack_into(page, _SLOTS_AT + 8 * index, checksum)
    _SLOT.pack_into(page, 0, block_checksum(page[:size], number, first=True))
