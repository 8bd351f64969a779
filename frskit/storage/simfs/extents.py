"""Where a file's blocks are, and which blocks of the volume are free.

Plain interval arithmetic in memory; nothing here knows about devices or crashes. Numbers are block
numbers. Source: none; frskit's choice.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["BlockRun", "ExtentMap", "FreeMap", "Piece"]


class BlockRun(NamedTuple):
    """A run of blocks on the volume."""

    start: int
    blocks: int


class Piece(NamedTuple):
    """A run of blocks of a file; `physical` is None for a hole."""

    logical: int
    physical: int | None
    blocks: int


class ExtentMap:
    """The extents of one file, sorted, adjacent ones merged."""

    __slots__ = ("_counts", "_logicals", "_physicals")

    def __init__(self) -> None:
        self._logicals: list[int] = []
        self._physicals: list[int] = []
        self._counts: list[int] = []

    def __len__(self) -> int:
        return len(self._logicals)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        """Logical start, physical start and count of every extent, in order."""
        return zip(self._logicals, self._physicals, self._counts, strict=True)

    @property
    def end(self) -> int:
        """One past the last mapped logical block; 0 if nothing is mapped."""
        return self._logicals[-1] + self._counts[-1] if self._logicals else 0

    def runs(self) -> Iterator[BlockRun]:
        """The physical runs, in logical order."""
        return map(BlockRun, self._physicals, self._counts)

    def insert(self, logical: int, physical: int, count: int) -> None:
        """Map a run.

        Raises:
            ValueError: A part of it is mapped already, or the run is empty.
        """
        index = bisect_left(self._logicals, logical)
        if count <= 0:
            raise ValueError("an empty extent")
        if index and self._logicals[index - 1] + self._counts[index - 1] > logical:
            raise ValueError("extents overlap")
        if index < len(self) and logical + count > self._logicals[index]:
            raise ValueError("extents overlap")
        self._logicals.insert(index, logical)
        self._physicals.insert(index, physical)
        self._counts.insert(index, count)
        # With the next one first, so that the index is good for the one before.
        self._merge(index)
        if index:
            self._merge(index - 1)

    def _merge(self, index: int) -> None:
        """Join extent `index` with the next one if they are adjacent on both sides."""
        if index + 1 >= len(self):
            return
        count = self._counts[index]
        if (
            self._logicals[index] + count == self._logicals[index + 1]
            and self._physicals[index] + count == self._physicals[index + 1]
        ):
            self._counts[index] += self._counts.pop(index + 1)
            del self._logicals[index + 1], self._physicals[index + 1]

    def cut(self, first: int) -> list[BlockRun]:
        """Unmap everything from logical block `first` on and return what was mapped there."""
        removed: list[BlockRun] = []
        while self._logicals and self._logicals[-1] + self._counts[-1] > first:
            logical, physical = self._logicals[-1], self._physicals[-1]
            keep = max(0, first - logical)
            removed.append(BlockRun(physical + keep, self._counts[-1] - keep))
            if keep:
                self._counts[-1] = keep
            else:
                del self._logicals[-1], self._physicals[-1], self._counts[-1]
        return removed

    def pieces(self, first: int, count: int) -> Iterator[Piece]:
        """The range as mapped runs and holes, in order, without gaps."""
        end = first + count
        index = max(0, bisect_right(self._logicals, first) - 1)
        while first < end and index < len(self):
            logical, length = self._logicals[index], self._counts[index]
            if logical >= end:
                break
            if first < logical:
                yield Piece(first, None, logical - first)
                first = logical
            stop = min(end, logical + length)
            if stop > first:
                yield Piece(first, self._physicals[index] + first - logical, stop - first)
                first = stop
            index += 1
        if first < end:
            yield Piece(first, None, end - first)

    def block_after(self, logical: int) -> int | None:
        """The block right behind the last extent that starts before `logical`: a place to grow."""
        index = bisect_left(self._logicals, logical) - 1
        return None if index < 0 else self._physicals[index] + self._counts[index]


class FreeMap:
    """The free runs of a volume, sorted; adjacent ones are merged."""

    __slots__ = ("_counts", "_starts", "free_blocks")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._counts: list[int] = []
        self.free_blocks: int = 0

    @classmethod
    def around(cls, first: int, end: int, used: Iterable[BlockRun]) -> FreeMap:
        """What is free between `first` and `end` beside the runs in use.

        Raises:
            ValueError: Runs overlap or lie outside.
        """
        free = cls()
        for run in sorted(used):
            if run.start < first or run.blocks <= 0:
                raise ValueError("blocks are used twice or lie outside the data area")
            free._append(first, run.start - first)
            first = run.start + run.blocks
        if first > end:
            raise ValueError("blocks lie outside the data area")
        free._append(first, end - first)
        return free

    def __iter__(self) -> Iterator[BlockRun]:
        return map(BlockRun, self._starts, self._counts)

    def _append(self, start: int, count: int) -> None:
        if count:
            self._starts.append(start)
            self._counts.append(count)
            self.free_blocks += count

    def allocate(self, count: int, goal: int | None = None) -> list[BlockRun]:
        """Take `count` blocks, near `goal` if it is free, in one run if there is one.

        Returns:
            The runs taken; empty, and nothing taken, if there are not enough free blocks.
        """
        if count > self.free_blocks:
            return []
        runs: list[BlockRun] = []
        if goal is not None and (taken := self._take_at(goal, count)) is not None:
            runs.append(taken)
            count -= taken.blocks
        while count:
            # The first run that is long enough; if none is, the first one is used up.
            index = next((i for i, length in enumerate(self._counts) if length >= count), 0)
            runs.append(self._take(index, 0, count))
            count -= runs[-1].blocks
        return runs

    def _take_at(self, goal: int, count: int) -> BlockRun | None:
        index = bisect_right(self._starts, goal) - 1
        if index < 0 or self._starts[index] + self._counts[index] <= goal:
            return None
        return self._take(index, goal - self._starts[index], count)

    def _take(self, index: int, skip: int, count: int) -> BlockRun:
        """Take up to `count` blocks of free run `index`, `skip` blocks into it."""
        start, length = self._starts[index], self._counts[index]
        taken = BlockRun(start + skip, min(count, length - skip))
        del self._starts[index], self._counts[index]
        rest = length - skip - taken.blocks
        if rest:
            self._starts.insert(index, taken.start + taken.blocks)
            self._counts.insert(index, rest)
        if skip:
            self._starts.insert(index, start)
            self._counts.insert(index, skip)
        self.free_blocks -= taken.blocks
        return taken

    def release(self, runs: Sequence[BlockRun]) -> None:
        """Give runs back."""
        for start, count in runs:
            index = bisect_left(self._starts, start)
            self._starts.insert(index, start)
            self._counts.insert(index, count)
            self.free_blocks += count
            self._merge(index)
            if index:
                self._merge(index - 1)

    def _merge(self, index: int) -> None:
        if index + 1 >= len(self._starts):
            return
        if self._starts[index] + self._counts[index] == self._starts[index + 1]:
            self._counts[index] += self._counts.pop(index + 1)
            del self._starts[index + 1]
