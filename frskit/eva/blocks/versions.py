"""The versions of all volumes of one array, and the pages they hold.

A cut freezes the live version of a volume and lets two live ones grow from it; a deletion removes
a live version and lets its sibling take the place of their frozen parent ([feasibility 11.1]).
Because every cut makes exactly two children, a frozen version never has more than two: as soon as
one of them goes, the other one inherits. So the "hidden versions with many children" of that
section do not arise; what remains of its trap 7 is that a page which *both* children have
overwritten stays in use until one of them is deleted.

No locks, no transactions, no files here: see `frskit.eva.blocks.store` and `frskit.eva.blocks.commit_log`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.errors import ArrayDamaged, LimitExceeded
from frskit.eva.blocks.page_table import FIRST_FLOOR, NUMBER_BITS, NUMBER_MASK, Tables, Version

if TYPE_CHECKING:
    from frskit.eva.blocks.page_pool import PagePool

__all__ = ["Forest"]

_LAST_EPOCH = (1 << 63 - NUMBER_BITS) - 2


class Forest:
    """All versions, their tables and their pages.

    Args:
        pool: Where the pages lie.
        tables: The radix nodes.

    Attributes:
        epoch: The present epoch; every cut ends one, for the whole array.
        live: The version that each volume shows.
        versions: All versions by number.
        dirty: Versions to be stored with the next commit, when versions are stored.
        gone: Numbers of versions that were removed since the last commit.
        complete: Clones that share nothing any more and wait to be detached at a commit.
    """

    def __init__(self, pool: PagePool, tables: Tables) -> None:
        self.pool = pool
        self.tables = tables
        self.epoch: int = 1
        self.next_version: int = 1
        self.next_volume: int = 1
        self.live: dict[int, Version] = {}
        self.versions: dict[int, Version] = {}
        self.dirty: set[Version] = set()
        self.gone: list[int] = []
        self.complete: set[Version] = set()

    # --- versions --------------------------------------------------------------------------

    def _number(self) -> int:
        number = self.next_version
        self.next_version = number + 1
        return number

    def volume(self) -> int:
        """A volume number that was never used."""
        volume = self.next_volume
        self.next_volume = volume + 1
        return volume

    def plant(self, size_bytes: int) -> Version:
        """A new empty volume; its live version."""
        version = Version(self._number(), self.volume(), size_bytes)
        self.versions[version.number] = self.live[version.volume] = version
        self.dirty.add(version)
        return version

    def cut(self) -> int:
        """End the present epoch and return it: THE INSTANT of a copy set.

        Raises:
            LimitExceeded: 2**27 - 2 cuts were made in the array's life.
        """
        if self.epoch >= _LAST_EPOCH:
            raise LimitExceeded(f"the array has made its {_LAST_EPOCH} cuts")
        cut = self.epoch
        self.epoch = cut + 1
        self.tables.epoch_tag = self.epoch << NUMBER_BITS
        return cut

    def fork(self, version: Version, cut: int, volume: int) -> Version:
        """Freeze a live version at `cut`; its volume goes on, and `volume` shows the same.

        Returns:
            The new live version of `volume`; with `volume` 0 it is nobody's and just kept.
        """
        old = version.volume
        version.volume, version.cut = 0, cut
        goes_on = version.grow(self._number(), old)
        twin = version.grow(self._number(), volume)
        self.versions[goes_on.number] = goes_on
        self.versions[twin.number] = twin
        self.live[old] = goes_on
        if volume:
            self.live[volume] = twin
        self.dirty.update((version, goes_on, twin))
        return twin

    def show(self, version: Version, volume: int) -> None:
        """Let a volume show this live version; the one it showed before becomes nobody's."""
        before = self.live.get(volume)
        if before is not None and before is not version:
            before.volume = 0
            self.dirty.add(before)
        version.volume = volume
        self.live[volume] = version
        self.dirty.add(version)

    def hide(self, version: Version) -> None:
        """Let a live version be nobody's until it is dropped or shown again."""
        self.live.pop(version.volume, None)
        version.volume = 0
        self.dirty.add(version)

    def drop(self, version: Version) -> None:
        """Remove a live version and free what nobody else shows."""
        if version.volume:
            self.live.pop(version.volume, None)
        self.pool.release(self.tables.leave(version, None))
        self._remove(version)
        self._cut_off(version)

    def detach_complete(self) -> None:
        """Let every complete clone become a version without a parent; it shares nothing.

        It widens what the source may overwrite in place, so it belongs into a commit
        ([feasibility 11.3], trap 3).
        """
        while self.complete:
            clone = self.complete.pop()
            self._cut_off(clone)
            clone.hang_under(None)
            self.dirty.add(clone)

    def settle(self) -> None:
        """Note that all changes so far are committed: freed pages may be used again."""
        self.pool.settle()
        self.tables.settle()
        self.dirty.clear()
        self.gone.clear()

    def _cut_off(self, version: Version) -> None:
        parent = version.parent
        if parent is None:
            return
        parent.children.remove(version)
        (heir,) = parent.children
        freed = self.tables.leave(parent, heir)
        self.pool.release(freed)
        heir.own += parent.own - len(freed)
        heir.hang_under(parent.parent)
        if heir.parent is not None:
            heir.parent.children.remove(parent)
            heir.parent.children.append(heir)
        if parent in self.complete:
            self.complete.add(heir)
        self.dirty.add(heir)
        self._remove(parent)

    def _remove(self, version: Version) -> None:
        del self.versions[version.number]
        self.dirty.discard(version)
        self.complete.discard(version)
        self.gone.append(version.number)

    # --- pages -----------------------------------------------------------------------------

    def write(self, version: Version, offset: int, data: memoryview) -> None:
        """Store bytes anywhere inside a live version."""
        shift = self.pool.page_shift
        page_bytes = 1 << shift
        index, within = offset >> shift, offset & page_bytes - 1
        done, size = 0, len(data)
        if within or size < page_bytes:
            done = min(size, page_bytes - within)
            self._write_part(version, index, within, data[:done])
            index += 1
        while size - done >= page_bytes:
            pages = min((size - done) >> shift, 512 - (index & 511))
            end = done + (pages << shift)
            self._write_pages(version, index, data[done:end], pages)
            index, done = index + pages, end
        if done < size:
            self._write_part(version, index, 0, data[done:])

    def _write_part(self, version: Version, index: int, within: int, data: memoryview) -> None:
        shift = self.pool.page_shift
        entry = self.tables.entry(version, index)
        if entry >= version.floor:
            self.pool.put(((entry & NUMBER_MASK) << shift) + within, data)
            return
        page = bytearray(1 << shift)
        if entry:
            self.pool.fill((entry & NUMBER_MASK) << shift, memoryview(page))
        page[within : within + len(data)] = data
        self._redirect(version, index, memoryview(page), 1)

    def _write_pages(self, version: Version, index: int, data: memoryview, pages: int) -> None:
        pool, floor = self.pool, version.floor
        shift = pool.page_shift
        entries = self.tables.entries(version, index, pages)
        at = 0
        while at < pages:
            entry = entries[at]
            end = at + 1
            if entry >= floor:
                expected = entry + 1
                while end < pages and entries[end] == expected:
                    expected += 1
                    end += 1
                pool.put((entry & NUMBER_MASK) << shift, data[at << shift : end << shift])
            else:
                while end < pages and entries[end] < floor:
                    end += 1
                self._redirect(version, index + at, data[at << shift : end << shift], end - at)
            at = end

    def _redirect(self, version: Version, index: int, data: memoryview, pages: int) -> None:
        """Store whole pages of one leaf in new pages; none of the old ones is the version's own."""
        pool, shift = self.pool, self.pool.page_shift
        extents = pool.take(pages)
        at = 0
        try:
            # All data first: a page is mapped only when it holds what it should.
            for first, count in extents:
                pool.put(first << shift, data[at << shift : (at + count) << shift])
                at += count
        except BaseException:
            pool.release([first + n for first, count in extents for n in range(count)])
            raise
        self._map(version, index, extents)

    def _map(self, version: Version, index: int, extents: list[tuple[int, int]]) -> None:
        for first, count in extents:
            self.tables.set_run(version, index, first, count)
            version.own += count
            index += count
        if self.tables.stored:
            self.dirty.add(version)

    def discard(self, version: Version, offset: int, length: int) -> None:
        """Make holes of whole pages, and zeros of the rest, of a range of a live version."""
        shift = self.pool.page_shift
        end = offset + length
        first, last = -(-offset >> shift), end >> shift
        if first > last:
            self._zero_part(version, offset, end)
            return
        self._zero_part(version, offset, first << shift)
        self._zero_part(version, last << shift, end)
        self._punch(version, first, last)

    def _zero_part(self, version: Version, start: int, end: int) -> None:
        shift = self.pool.page_shift
        if start < end and self.tables.entry(version, start >> shift):
            within = start & (1 << shift) - 1
            self._write_part(version, start >> shift, within, memoryview(bytes(end - start)))

    def _punch(self, version: Version, first: int, last: int) -> None:
        tables, floor = self.tables, version.floor
        for number, leaf in list(tables.leaves(version, first >> 9)):
            start, end = max(first, number << 9), min(last, (number + 1) << 9)
            if start >= end:
                break
            entries = leaf[start & 511 : (start & 511) + end - start]
            mapped = len(entries) - entries.count(0)
            if not mapped:
                continue
            own = [entry & NUMBER_MASK for entry in entries if entry >= floor]
            tables.clear_run(version, start, end - start)
            self.pool.release(own)
            version.own -= len(own)
            version.mapped -= mapped
            self.dirty.add(version)

    def copy_shared(self, clone: Version, budget_pages: int) -> int:
        """Give a clone pages of its own, from its cursor on, for up to `budget_pages` pages.

        Returns:
            The number of pages that were copied.
        """
        copied = 0
        floor, pool = clone.floor, self.pool
        for number, leaf in self.tables.leaves(clone, clone.cursor >> 9):
            slot = clone.cursor & 511 if number == clone.cursor >> 9 else 0
            entries = leaf[:512]
            while slot < 512 and copied < budget_pages:
                if not 0 < entries[slot] < floor:
                    slot += 1
                    continue
                end = slot + 1
                while (
                    end < 512
                    and entries[end] == entries[slot] + end - slot
                    and end - slot < budget_pages - copied
                ):
                    end += 1
                extents = pool.take(end - slot)
                source = entries[slot] & NUMBER_MASK
                for first, count in extents:
                    pool.copy(source, first, count)
                    source += count
                self._map(clone, number << 9 | slot, extents)
                copied += end - slot
                slot = end
            clone.cursor = number << 9 | slot if slot < 512 else (number + 1) << 9
            if copied >= budget_pages:
                break
        return copied

    # --- the oracle ------------------------------------------------------------------------

    def check(self) -> None:
        """Recompute from the tables what the counters and the free list say.

        Raises:
            ArrayDamaged: They do not agree.
        """
        reachable: set[int] = set()
        for version in self.versions.values():
            mapped = own = 0
            for number, leaf in self.tables.leaves(version):
                used = [entry for entry in leaf[:512] if entry]
                mapped += len(used)
                mine = [entry for entry in used if entry >= version.floor]
                own += len(mine)
                if mine and leaf[512] < version.floor:
                    raise _damaged(f"leaf {number} of version {version.number} is older than it")
                reachable.update(entry & NUMBER_MASK for entry in used)
            if (mapped, own) != (version.mapped, version.own):
                raise _damaged(f"version {version.number} miscounts its pages")
            self._check_place(version)
        pool = self.pool
        spare = set(pool.free) | set(pool.pending)
        if len(spare) != len(pool.free) + len(pool.pending):
            raise _damaged("a page is free twice")
        if reachable & spare:
            raise _damaged("a page is in use and free")
        if reachable | spare != set(range(pool.high)):
            raise _damaged("pages are neither in use nor free, or lie outside the pool")

    def _check_place(self, version: Version) -> None:
        parent = version.parent
        floor = FIRST_FLOOR if parent is None else (parent.cut + 1) << NUMBER_BITS
        if version.floor != floor or (parent is not None and version not in parent.children):
            raise _damaged(f"version {version.number} does not fit its parent")
        if len(version.children) != (2 if version.cut else 0):
            raise _damaged(f"version {version.number} has {len(version.children)} children")


def _damaged(what: str) -> ArrayDamaged:
    return ArrayDamaged(f"the array's tables are damaged: {what}")
