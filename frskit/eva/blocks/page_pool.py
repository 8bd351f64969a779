"""Where the pages of one simulated array lie: in memory slabs or in one file.

A pool hands out page numbers, takes them back and moves bytes to and from them; it does not know
to whom a page belongs (that is `frskit.eva.blocks.page_table` and `frskit.eva.blocks.store`). Positions are byte
positions in the pool, page number times page size. Pools are not thread-safe: the block store
calls them under its lock.

Slabs that are recycled but never returned, and a free list instead of reference counts, are the
measured choice of [feasibility 7.2, 11.1]; writing the file with ``pwrite`` instead of through a
mapping is frskit's choice, because a process killed inside a memory copy leaves half a page.
"""

from __future__ import annotations

import errno
import mmap
import os
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from frskit._typing import override
from frskit.errors import ArrayDamaged, InsufficientCapacity

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["SLAB_BYTES", "SLAB_MASK", "SLAB_SHIFT", "FilePool", "MemoryPool", "PagePool"]

SLAB_SHIFT: Final = 25  # 32 MiB
SLAB_BYTES: Final = 1 << SLAB_SHIFT
SLAB_MASK: Final = SLAB_BYTES - 1


class PagePool(ABC):
    """The allocator of pages, and what the two kinds of storage have in common.

    Args:
        page_shift: Binary logarithm of the page size.
        holds_back: Whether released pages wait for `settle` before they are used again. A durable
            pool must: older metadata still names them ([feasibility 11.3], trap 2).

    Attributes:
        high: Number of pages ever handed out; page numbers are below it.
        free: Pages that may be handed out again, the next one last.
        pending: Pages released since the last `settle`, when the pool holds back.
        taken: Pages handed out since the last `settle`, when the pool holds back.
    """

    def __init__(self, page_shift: int, *, holds_back: bool) -> None:
        self.page_shift = page_shift
        self.high: int = 0
        self.free: list[int] = []
        self.pending: list[int] = []
        self.taken: list[int] = []
        self._holds_back = holds_back

    @property
    def pages_in_use(self) -> int:
        """Pages handed out and not released."""
        return self.high - len(self.free) - len(self.pending)

    def take(self, count: int) -> list[tuple[int, int]]:
        """Hand out `count` pages as extents (first page, pages), in the order to be filled.

        Raises:
            InsufficientCapacity: The machine has no room; nothing was handed out.
        """
        free = self.free
        extents: list[tuple[int, int]] = []
        while count and free:
            first = free.pop()
            pages = 1
            while pages < count and free and free[-1] == first + pages:
                free.pop()
                pages += 1
            extents.append((first, pages))
            count -= pages
        if count:
            first = self.high
            try:
                self._grow(first + count)
            except (OSError, MemoryError) as error:
                for start, pages in reversed(extents):
                    free.extend(range(start + pages - 1, start - 1, -1))
                raise InsufficientCapacity(
                    f"this machine has no room for the array's pages: {error}"
                ) from error
            self.high = first + count
            extents.append((first, count))
        if self._holds_back:
            for first, pages in extents:
                self.taken.extend(range(first, first + pages))
        return extents

    def release(self, pages: Iterable[int]) -> None:
        """Take pages back; the caller vouches that nothing refers to them any more."""
        # Descending, so that they are handed out in ascending order and make long runs again.
        back = sorted(pages, reverse=True)
        (self.pending if self._holds_back else self.free).extend(back)

    def settle(self) -> None:
        """Note that the releases so far are committed: their pages may be used again."""
        self.pending.sort(reverse=True)
        self.free.extend(self.pending)
        self.pending.clear()
        self.taken.clear()

    @abstractmethod
    def _grow(self, pages: int) -> None:
        """Make room for `pages` pages in all."""

    @abstractmethod
    def put(self, position: int, data: memoryview) -> None:
        """Store bytes inside pages that lie one after the other."""

    @abstractmethod
    def pieces(self, position: int, size: int) -> list[memoryview | bytes]:
        """The bytes there, to be joined before the next call."""

    @abstractmethod
    def fill(self, position: int, target: memoryview) -> None:
        """Copy the bytes there into `target`."""

    def copy(self, source: int, target: int, pages: int) -> None:
        """Copy the content of `pages` pages from page `source` on to page `target` on."""
        shift = self.page_shift
        position = target << shift
        for piece in self.pieces(source << shift, pages << shift):
            self.put(position, memoryview(piece))
            position += len(piece)

    @abstractmethod
    def sync(self) -> None:
        """Return when all that was put is durable."""

    @abstractmethod
    def close(self) -> None:
        """Give the storage up. Idempotent."""


def _anonymous_slab() -> mmap.mmap:
    if not hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(-1, SLAB_BYTES)
    # Private, so that a forked child cannot write into its parent's array.
    slab = mmap.mmap(-1, SLAB_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without huge pages says EINVAL
            slab.madvise(mmap.MADV_HUGEPAGE)
    return slab


class MemoryPool(PagePool):
    """Pages in anonymous memory, in slabs that are touched as they are used."""

    def __init__(self, page_shift: int) -> None:
        super().__init__(page_shift, holds_back=False)
        self.slabs: list[mmap.mmap] = []
        self._views: list[memoryview] = []

    @override
    def _grow(self, pages: int) -> None:
        while len(self.slabs) << SLAB_SHIFT < pages << self.page_shift:
            slab = _anonymous_slab()
            self.slabs.append(slab)
            self._views.append(memoryview(slab))

    @override
    def put(self, position: int, data: memoryview) -> None:
        """Store bytes; see the base class."""
        slab, at = position >> SLAB_SHIFT, position & SLAB_MASK
        size = len(data)
        if at + size <= SLAB_BYTES:
            self._views[slab][at : at + size] = data
            return
        done = 0
        while done < size:
            part = min(SLAB_BYTES - at, size - done)
            self._views[slab][at : at + part] = data[done : done + part]
            slab, at, done = slab + 1, 0, done + part

    @override
    def pieces(self, position: int, size: int) -> list[memoryview | bytes]:
        """Views of the slabs themselves; see the base class."""
        slab, at = position >> SLAB_SHIFT, position & SLAB_MASK
        if at + size <= SLAB_BYTES:
            return [self._views[slab][at : at + size]]
        found: list[memoryview | bytes] = []
        while size:
            part = min(SLAB_BYTES - at, size)
            found.append(self._views[slab][at : at + part])
            slab, at, size = slab + 1, 0, size - part
        return found

    @override
    def fill(self, position: int, target: memoryview) -> None:
        """Copy bytes out; see the base class."""
        done = 0
        for piece in self.pieces(position, len(target)):
            target[done : done + len(piece)] = piece
            done += len(piece)

    @override
    def sync(self) -> None:
        """Nothing outlives the process: nothing to do."""

    @override
    def close(self) -> None:
        """Give the memory back to the machine."""
        for view in self._views:
            view.release()
        for slab in self.slabs:
            slab.close()
        self._views.clear()
        self.slabs.clear()


class FilePool(PagePool):
    """Pages in one file, which grows and is never shortened.

    Args:
        path: The pool file; it must exist.
        page_shift: Binary logarithm of the page size.

    Raises:
        ArrayDamaged: The file cannot be opened.
    """

    def __init__(self, path: Path, page_shift: int) -> None:
        super().__init__(page_shift, holds_back=True)
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
        except OSError as error:
            raise ArrayDamaged(
                f"the pool file {path} cannot be opened: {error}", context={"path": str(path)}
            ) from error
        self._unsynced = True

    @property
    def file_bytes(self) -> int:
        """Present length of the file."""
        return os.fstat(self._descriptor).st_size

    @override
    def _grow(self, pages: int) -> None:
        """A file grows by being written; a new page is always written whole."""

    @override
    def put(self, position: int, data: memoryview) -> None:
        """Store bytes by ``pwrite``; see the base class.

        Raises:
            InsufficientCapacity: The file system is full.
            ArrayDamaged: The file cannot be written.
        """
        self._unsynced = True
        try:
            done = os.pwrite(self._descriptor, data, position)
            while done < len(data):
                done += os.pwrite(self._descriptor, data[done:], position + done)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise InsufficientCapacity(
                    f"the file system of {self._path} is full", context={"path": str(self._path)}
                ) from error
            raise self._failed("written", error) from error

    @override
    def pieces(self, position: int, size: int) -> list[memoryview | bytes]:
        """One piece, read from the file; see the base class."""
        try:
            data = os.pread(self._descriptor, size, position)
        except OSError as error:
            raise self._failed("read", error) from error
        if len(data) == size:
            return [data]
        whole = bytearray(size)
        self.fill(position, memoryview(whole))
        return [memoryview(whole)]

    @override
    def fill(self, position: int, target: memoryview) -> None:
        """Copy bytes out by ``preadv``; see the base class.

        Raises:
            ArrayDamaged: The file cannot be read, or is shorter than its pages.
        """
        done = 0
        while done < len(target):
            try:
                got = os.preadv(self._descriptor, [target[done:]], position + done)
            except OSError as error:
                raise self._failed("read", error) from error
            if not got:
                raise ArrayDamaged(
                    f"the pool file {self._path} ends before byte {position + len(target)}",
                    context={"path": str(self._path)},
                )
            done += got

    def _failed(self, verb: str, error: OSError) -> ArrayDamaged:
        return ArrayDamaged(
            f"the pool file {self._path} cannot be {verb}: {error}",
            context={"path": str(self._path)},
        )

    @override
    def sync(self) -> None:
        """``fdatasync``, unless nothing was put since the last one.

        Raises:
            ArrayDamaged: The system reports that data could not be stored.
        """
        if not self._unsynced:
            return
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise self._failed("made durable", error) from error
        self._unsynced = False

    @override
    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
