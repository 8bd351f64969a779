"""Checksums of many pages at once, with numpy; nothing but arrays is touched per page.

The sums are those of `frskit.ese.pages.checksums`, the verdicts those of `frskit.ese.pages.verify`. The way:
popcount parity of every 64-bit word, packed to one bit per word; a segmented XOR per block; then a
halving fold of the packed parities, vectorized over blocks (frskit's choice, measured against
grids and in-place halving). Buffers are allocated once per verifier; a verifier belongs to one
thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from attrs import frozen

from frskit.errors import FormatError
from frskit.ese.pages.checksums import CHECKSUM_MAGIC, NEW_FORMAT_FLAG, block_size
from frskit.ese.pages.verify import judge_new

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["STATUS_NAMES", "PageRun", "PageVerifier", "as_words"]

#: Pages as rows of 8-byte little-endian words.
Words: TypeAlias = "NDArray[np.uint64]"

OK, CORRECTABLE, BAD, UNINITIALIZED = range(4)
STATUS_NAMES = ("ok", "correctable", "bad", "uninitialized")
"""Names of the numbers in `PageRun.status`."""

PIECE_BYTES = 2 << 20
"""Bytes per pass over memory: more would leave the cache, less costs calls (measured)."""

_WORD = np.dtype("<u8")
_SHIFT_32 = np.uint64(32)
_FLAG_BIT = np.uint64(NEW_FORMAT_FLAG << 32)
_LOW_32 = np.uint64(0xFFFFFFFF)
# Which bits of a word have bit k in their index: their parity is bit k of the ECC [ese.md 4.3].
_INDEX_MASKS = np.array(
    [sum(1 << i for i in range(64) if i >> level & 1) for level in range(6)], dtype=_WORD
)


def as_words(data: bytes | bytearray | memoryview | NDArray[np.uint8]) -> Words:
    """A view of whole 64-bit words on `data`, without copying."""
    usable = len(data) - len(data) % 8
    return np.frombuffer(data, dtype=_WORD, count=usable // 8)


@frozen(kw_only=True, eq=False)
class PageRun:
    """Verdicts on consecutive pages.

    Attributes:
        status: One number per page, see `STATUS_NAMES`.
        bits: Index of each correctable page -> position of its first flipped bit.
        probable: Index of each bad page that only has a wrong number -> its own number.
        highest_dbtime: Largest operation counter of a good or correctable page, or 0.
        highest_index: Index of that page.
    """

    status: NDArray[np.uint8]
    bits: Mapping[int, int]
    probable: Mapping[int, int]
    highest_dbtime: int = 0
    highest_index: int = 0


class PageVerifier:
    """Verifies runs of up to `capacity` pages of one size.

    Either `verify` a run that is in memory, or `absorb` it piece by piece as it is read and then
    `conclude`.

    Args:
        page_size: Bytes per page.
        capacity: Most pages in one run.

    Raises:
        FormatError: No such page size.
    """

    def __init__(self, page_size: int, capacity: int, piece_bytes: int = PIECE_BYTES) -> None:
        self.page_size = page_size
        self.capacity = capacity
        block_words = block_size(page_size) // 8
        self._page_words = page_size // 8
        self._block_words = block_words
        self._blocks = self._page_words // block_words
        blocks = capacity * self._blocks
        self._piece_pages = max(1, min(capacity, piece_bytes // page_size))
        piece_words = self._piece_pages * self._page_words
        self._starts = np.arange(0, piece_words, block_words)
        self._counts = np.empty(piece_words, np.uint8)
        self._parities = np.zeros(capacity * self._page_words // 8, np.uint8)
        self._xor = np.zeros(blocks, _WORD)
        self._heads = np.zeros((capacity, 8), _WORD)
        self._zero = np.zeros(capacity, np.bool_)
        self._expect_new = True

    def verify(self, words: Words, first_number: int) -> PageRun:
        """Verdicts on the pages in `words`, the first of which has number `first_number`.

        Raises:
            FormatError: More pages than the verifier's capacity, or not whole pages.
        """
        pages, rest = divmod(len(words), self._page_words)
        if rest or pages > self.capacity:
            raise FormatError("not a run of whole pages", context={"words": len(words)})
        for at in range(0, pages, self._piece_pages):
            end = min(at + self._piece_pages, pages)
            self.absorb(words[at * self._page_words : end * self._page_words], at)
        return self.conclude(pages, first_number)

    @property
    def piece_pages(self) -> int:
        """Most pages that `absorb` takes at once."""
        return self._piece_pages

    def absorb(self, words: Words, at: int) -> None:
        """Take in the pages in `words`, which begin at index `at` of the run."""
        pages = len(words) // self._page_words
        end = at + pages
        heads = self._heads[at:end]
        xor = self._xor[at * self._blocks : end * self._blocks]
        # The first pass waits for memory, the others find the data in the cache. A segmented XOR
        # is slow at the one and fastest at the other (measured); so what comes first depends on
        # the format, and the format is guessed to be that of the piece before.
        if self._expect_new:
            self._count_parities(words, at)
            np.bitwise_xor.reduceat(words, self._starts[: len(xor)], out=xor)
        else:
            np.bitwise_xor.reduce(words.reshape(len(xor), self._block_words), axis=1, out=xor)
        # The first 64 bytes have all that is looked at later: sums, dbtime, flags, slots.
        np.copyto(heads, words.reshape(pages, self._page_words)[:, :8])
        has_new = bool(np.bitwise_or.reduce(heads[:, 4]) & _FLAG_BIT)
        if has_new and not self._expect_new:
            self._count_parities(words, at)
        self._expect_new = has_new
        self._zero[at:end] = False
        # A page of zeros begins with a zero word; only then are whole pages looked at.
        if not heads[:, 0].all():
            starts = self._starts[: len(xor) : self._blocks]
            np.equal(np.bitwise_or.reduceat(words, starts), 0, out=self._zero[at:end])

    def _count_parities(self, words: Words, at: int) -> None:
        """One bit per word: whether it has an odd number of one-bits."""
        counts = self._counts[: len(words)]
        np.bitwise_count(words, out=counts)
        np.bitwise_and(counts, 1, out=counts)
        packed = np.packbits(counts, bitorder="little")
        begin = at * self._page_words // 8
        self._parities[begin : begin + len(packed)] = packed

    def conclude(self, pages: int, first_number: int) -> PageRun:
        """Verdicts on the `pages` pages taken in since the last conclusion."""
        numbers = np.arange(first_number, first_number + pages, dtype=_WORD)
        # Page numbers have 32 bits, and only those enter the sums.
        if first_number + pages > 1 << 32:
            numbers &= _LOW_32
        new = (self._heads[:pages, 4] & _FLAG_BIT) != 0
        zero = self._zero[:pages]
        status = np.full(pages, BAD, np.uint8)
        bits: dict[int, int] = {}
        probable: dict[int, int] = {}
        if not new.all():
            self._conclude_old(numbers, ~new, status, probable)
        if new.any():
            self._conclude_new(numbers, new, status, bits, probable)
        # Last, because by its flags a page of zeros is an old one, and by its sum a bad one.
        status[zero] = UNINITIALIZED
        return self._with_dbtime(status, bits, probable)

    def _conclude_old(
        self,
        numbers: Words,
        wanted: NDArray[np.bool_],
        status: NDArray[np.uint8],
        probable: dict[int, int],
    ) -> None:
        """Old pages: one 64-bit comparison [ese.md 4.2]."""
        pages = len(numbers)
        first = self._heads[:pages, 0]
        whole = self._xor[: pages * self._blocks]
        if self._blocks > 1:
            whole = np.bitwise_xor.reduce(whole.reshape(pages, self._blocks), axis=1)
        # Word 0 holds the stored checksum, which does not count: a second XOR takes it out.
        computed = whole >> _SHIFT_32
        computed ^= whole
        computed ^= first
        computed &= _LOW_32
        computed ^= (numbers << _SHIFT_32) ^ np.uint64(CHECKSUM_MAGIC)
        good = wanted & (computed == first)
        if self._blocks > 1:
            good &= ~self._heads[:pages, 5:].any(axis=1)
        status[good] = OK
        if good.all():
            return
        moved = wanted & ~good & ((computed ^ first) & _LOW_32 == 0) & (computed != first)
        for index in np.flatnonzero(moved).tolist():
            probable[index] = int(first[index]) >> 32

    def _conclude_new(
        self,
        numbers: Words,
        new: NDArray[np.bool_],
        status: NDArray[np.uint8],
        bits: dict[int, int],
        probable: dict[int, int],
    ) -> None:
        """New pages: compare all blocks; only what differs is looked at page by page."""
        computed = self._new_checksums(numbers)
        heads = self._heads[: len(numbers)]
        stored = heads[:, [0, 5, 6, 7][: self._blocks]]
        good = (stored == computed).all(axis=1)
        status[new & good] = OK
        for index in np.flatnonzero(new & ~good).tolist():
            bad, bit, own = judge_new(
                stored[index].tolist(), computed[index].tolist(), self.page_size, numbers[index]
            )
            if not bad and bit is not None:
                status[index] = CORRECTABLE
                bits[index] = bit
            elif own is not None:
                probable[index] = own

    def _new_checksums(self, numbers: Words) -> Words:
        """The checksums of every block of every page, as (pages, blocks)."""
        pages = len(numbers)
        blocks = pages * self._blocks
        xor = self._xor[:blocks].copy()
        # The stored checksum does not count [ese.md 4.3].
        xor[:: self._blocks] ^= self._heads[:pages, 0]
        # The XOR of all 64-bit words, folded once, is that of all 32-bit words.
        folded = (xor ^ xor >> _SHIFT_32) & _LOW_32
        # One row per bit of the ECC, of which blocks of 8 KB have 16 [ese.md 4.3].
        levels = np.zeros((16, blocks), np.uint8)
        np.bitwise_count(folded & _INDEX_MASKS[:5, None], out=levels[:5])
        # Bit 5 of a position tells the two halves of a 64-bit word apart.
        np.bitwise_count(xor >> _SHIFT_32, out=levels[5])
        self._fold(blocks, levels)
        levels &= 1
        packed = np.packbits(np.ascontiguousarray(levels.T), bitorder="little")
        ecc = packed.view("<u2").astype(_WORD)
        mask = np.uint64(64 * self._block_words - 1)
        complement = ecc ^ mask * (np.bitwise_count(folded) & np.uint8(1))
        result: Words = complement << np.uint64(48) | ecc << np.uint64(32) | folded
        result = result.reshape(pages, self._blocks)
        result ^= numbers[:, None]
        return result

    def _fold(self, blocks: int, levels: NDArray[np.uint8]) -> None:
        """ECC bits from 6 up: which words of a block have odd parity, folded by halves.

        The stored first word of a page is counted, but as word 0 it touches no bit from 6 up.
        """
        rows = self._block_words // 64
        parities = self._parities[: blocks * self._block_words // 8].view(_WORD)
        folded = np.ascontiguousarray(parities.reshape(blocks, rows).T)
        while rows > 1:
            rows //= 2
            upper = np.bitwise_xor.reduce(folded[rows:], axis=0) if rows > 1 else folded[1]
            np.bitwise_count(upper, out=levels[12 + rows.bit_length() - 1])
            folded = folded[:rows] ^ folded[rows:]
        np.bitwise_count(folded & _INDEX_MASKS[:, None], out=levels[6:12])

    def _with_dbtime(
        self, status: NDArray[np.uint8], bits: dict[int, int], probable: dict[int, int]
    ) -> PageRun:
        """Eseutil counts a correctable page too, after correcting it [ese.md 5.2]."""
        dbtimes = self._heads[: len(status), 1]
        if status.any():
            dbtimes = np.where((status == OK) | (status == CORRECTABLE), dbtimes, np.uint64(0))
            for index, bit in bits.items():
                # The flipped bit may lie in the dbtime itself, the second word of the page.
                if 64 <= bit < 128:
                    dbtimes[index] ^= np.uint64(1 << (bit - 64))
        index = int(dbtimes.argmax()) if len(dbtimes) else 0
        return PageRun(
            status=status,
            bits=bits,
            probable=probable,
            highest_dbtime=int(dbtimes[index]) if len(dbtimes) else 0,
            highest_index=index,
        )
