"""What the volumes of a block store take: sizes and counters, of pages and in bytes.

What it is not: what an array charges for them; that is the business of its rules. Each figure is
described at `frskit.eva.blocks.store.BlockStore`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from frskit.eva.blocks.live_volumes import LiveVolumes
    from frskit.eva.blocks.transactions import TransactionalStore

__all__ = ["VolumeUsage"]


class VolumeUsage:
    """The sizes and counters of one store.

    Args:
        store: The store to which they belong.
        live: Its volumes.
    """

    def __init__(self, store: TransactionalStore, live: LiveVolumes) -> None:
        self._life = store.life
        self._volumes = live
        self._tables = store.forest.tables
        self._pool = store.forest.pool
        self._shift = store.forest.pool.page_shift

    def pages_in_use(self) -> int:
        """Pages that hold data of some volume or of a cut that some volume needs."""
        with self._life.lock:
            self._life.check()
            return self._pool.pages_in_use

    def size_bytes(self, volume: int) -> int:
        """Length of a volume."""
        with self._life.lock:
            return self._volumes.version(volume).size_bytes

    def mapped_bytes(self, volume: int) -> int:
        """Bytes of the pages that a volume shows. O(1)."""
        with self._life.lock:
            return self._volumes.version(volume).mapped << self._shift

    def own_bytes(self, volume: int) -> int:
        """Bytes of the pages that a volume has written since it was last cut or made. O(1)."""
        with self._life.lock:
            return self._volumes.version(volume).own << self._shift

    def first_overwrites(self, volume: int, offset: int, length: int) -> int:
        """Pages in the range that are shared with a cut; holes do not count."""
        with self._life.lock:
            version = self._volumes.in_range(volume, offset, length)
            if version.parent is None or not length:
                return 0
            floor = version.floor
            return sum(
                pages
                for entry, pages in self._volumes.page_runs(version, offset, length)
                if 0 < entry < floor
            )

    def shared_pages(self, volume: int, other: int, offset: int, length: int) -> int:
        """Pages in the range at which both volumes show one stored page."""
        with self._life.lock:
            version = self._volumes.in_range(volume, offset, length)
            against = self._volumes.version(other)
            if not length:
                return 0
            index, last = offset >> self._shift, (offset + length - 1) >> self._shift
            total = 0
            while index <= last:
                count = min(512 - (index & 511), last + 1 - index)
                mine = self._tables.entries(version, index, count)
                theirs = self._tables.entries(against, index, count)
                total += sum(a == b and a > 0 for a, b in zip(mine, theirs, strict=True))
                index += count
            return total

    def differing_bytes(self, volume: int, other: int) -> int:
        """Bytes of the pages at which two volumes do not show one stored page."""
        with self._life.lock:
            one, two = self._volumes.version(volume), self._volumes.version(other)
            return self._tables.count_different(one, two) << self._shift
