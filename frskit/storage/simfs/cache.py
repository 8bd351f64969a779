"""What a program wrote and nobody flushed yet: the volatile cache of one file.

A crash loses it all. Byte ranges are kept exactly as written, so a 512-byte log sector stays one
512-byte device write. Source: frskit's choice; the cache exists so that flush means something
(lab-store.md 4).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from attrs import define, field

from frskit.storage.simfs.extents import ExtentMap

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DirtyRanges", "FileCache"]


class DirtyRanges:
    """Disjoint byte ranges with their content, sorted by offset."""

    __slots__ = ("_buffers", "_starts", "total_bytes")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._buffers: list[bytearray] = []
        self.total_bytes: int = 0

    def __bool__(self) -> bool:
        return bool(self._starts)

    def __iter__(self) -> Iterator[tuple[int, bytearray]]:
        return zip(self._starts, self._buffers, strict=True)

    def _end(self, index: int) -> int:
        return self._starts[index] + len(self._buffers[index])

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Keep `data`; it wins over what was there."""
        end = offset + len(data)
        # The first range that touches the new one may begin before it.
        first = max(0, bisect_right(self._starts, offset) - 1)
        if first < len(self._starts) and self._end(first) < offset:
            first += 1
        last = bisect_left(self._starts, end, lo=first)
        if first == last:
            self._starts.insert(first, offset)
            self._buffers.insert(first, bytearray(data))
            self.total_bytes += len(data)
            return
        self._merge(first, last, offset, data)

    def _merge(
        self, first: int, last: int, offset: int, data: bytes | bytearray | memoryview
    ) -> None:
        """Write over ranges ``first..last-1``, which touch the new one, and make them one."""
        start, buffer = self._starts[first], self._buffers[first]
        end = offset + len(data)
        before = sum(len(old) for old in self._buffers[first:last])
        # What the last range has behind the new end; the first one keeps its own by itself.
        tail = b""
        if self._end(last - 1) > end and last - 1 > first:
            tail = bytes(self._buffers[last - 1][end - self._starts[last - 1] :])
        if offset < start:
            buffer[: max(0, end - start)] = data
            self._starts[first] = offset
        else:
            buffer[offset - start : end - start] = data
        buffer += tail
        del self._starts[first + 1 : last], self._buffers[first + 1 : last]
        self.total_bytes += len(buffer) - before

    def cut(self, size_bytes: int) -> None:
        """Forget everything from byte `size_bytes` on."""
        while self._starts and self._end(-1) > size_bytes:
            keep = max(0, size_bytes - self._starts[-1])
            self.total_bytes -= len(self._buffers[-1]) - keep
            if keep:
                del self._buffers[-1][keep:]
            else:
                del self._starts[-1], self._buffers[-1]

    def clear(self) -> None:
        """Forget everything."""
        self._starts.clear()
        self._buffers.clear()
        self.total_bytes = 0

    def touches(self, offset: int, length: int) -> bool:
        """Whether a kept byte lies in the range."""
        index = bisect_left(self._starts, offset + length) - 1
        return index >= 0 and self._end(index) > offset

    def overlay(self, target: bytearray, offset: int) -> None:
        """Copy what is kept over `target`, whose first byte is byte `offset` of the file."""
        end = offset + len(target)
        index = max(0, bisect_right(self._starts, offset) - 1)
        while index < len(self._starts) and self._starts[index] < end:
            start = self._starts[index]
            low, high = max(start, offset), min(self._end(index), end)
            if high > low:
                kept = memoryview(self._buffers[index])[low - start : high - start]
                target[low - offset : high - offset] = kept
            index += 1


@define
class FileCache:
    """The volatile state of one file.

    Attributes:
        size_bytes: Length as programs see it.
        modified_us: Last change, microseconds since 1970; 0 if unknown.
        dirty: Bytes that are not on the device.
        staged: Blocks set aside for dirty bytes; they belong to nobody on disk yet.
        staged_runs: How many extents `staged` may add to the metadata, at most.
    """

    size_bytes: int
    modified_us: int = 0
    dirty: DirtyRanges = field(factory=DirtyRanges)
    staged: ExtentMap = field(factory=ExtentMap)
    staged_runs: int = 0
