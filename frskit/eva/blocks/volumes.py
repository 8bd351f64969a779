"""Volumes and copies of a block store: what exists, what it costs, and how it changes.

The instant of a copy set is `VolumeStore.snapshot`: one increment of the array's epoch and one
fork per member, under the lock that every write takes ([feasibility 7.2]). Sizes and counters here
are of pages; what an array charges for them is the business of its rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NewType

from attrs import frozen

from frskit.errors import CopyConflict, DeviceError, StorageNotFound, UsageError
from frskit.eva.blocks.transactions import TransactionalStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frskit.eva.blocks.commit_log import CommitLog
    from frskit.eva.blocks.page_table import Version
    from frskit.eva.blocks.versions import Forest

__all__ = ["CloneProgress", "VolumeId", "VolumeStore"]

VolumeId = NewType("VolumeId", int)

_AUTO_COMMIT_CHANGES = 1 << 18  # bounds the memory of uncommitted mappings; frskit's choice


@frozen(kw_only=True)
class CloneProgress:
    """How far a clone has been filled.

    Attributes:
        copied_bytes: Bytes of pages that it no longer shares.
        total_bytes: Bytes of pages that it shared when it was started.
        done: Whether it shares nothing any more.
    """

    copied_bytes: int
    total_bytes: int
    done: bool


class VolumeStore(TransactionalStore):
    """The part of `frskit.eva.blocks.store.BlockStore` that knows volumes but moves no bytes.

    Args:
        forest: The versions, tables and pages.
        commit_log: Makes them durable; None for a store in memory.
        meta: The metadata as loaded.
    """

    def __init__(
        self, forest: Forest, commit_log: CommitLog | None, meta: dict[str, bytes]
    ) -> None:
        super().__init__(forest, commit_log, meta)
        self._live = forest.live
        self._tables = forest.tables
        self._pool = forest.pool
        self._shift = forest.pool.page_shift
        self._page_bytes = 1 << self._shift

    # --- state -----------------------------------------------------------------------------

    @property
    def durable(self) -> bool:
        """Whether the store outlives the process."""
        return self._commit_log is not None

    @property
    def page_bytes(self) -> int:
        """Unit of sharing and allocation."""
        return self._page_bytes

    @property
    def pages_in_use(self) -> int:
        """Pages that hold data of some volume or of a cut that some volume needs."""
        with self._lock:
            self._check_usable()
            return self._pool.pages_in_use

    @property
    def bytes_in_use(self) -> int:
        """The same in bytes."""
        return self.pages_in_use << self._shift

    def volumes(self) -> tuple[VolumeId, ...]:
        """The volumes that exist, oldest first."""
        with self._lock:
            self._check_usable()
            return tuple(VolumeId(volume) for volume in sorted(self._live))

    def size_bytes(self, volume: int) -> int:
        """Length of a volume."""
        with self._lock:
            return self._version(volume).size_bytes

    def mapped_bytes(self, volume: int) -> int:
        """Bytes of the pages that a volume shows, shared or not. O(1)."""
        with self._lock:
            return self._version(volume).mapped << self._shift

    def own_bytes(self, volume: int) -> int:
        """Bytes of the pages that a volume has written since it was last cut or made. O(1).

        A volume that never took part in a copy owns all it maps. For what a copy costs in all,
        see `differing_bytes`.
        """
        with self._lock:
            return self._version(volume).own << self._shift

    def first_overwrites(self, volume: int, offset: int, length: int) -> int:
        """Pages in the range that are shared with a cut: a write keeps their old content.

        Holes do not count: they hold nothing to be kept. 0 without a search when the volume has
        no copies.
        """
        with self._lock:
            version = self._in_range(volume, offset, length)
            if version.parent is None or not length:
                return 0
            floor = version.floor
            return sum(
                pages
                for entry, pages in self._page_runs(version, offset, length)
                if 0 < entry < floor
            )

    def shared_pages(self, volume: int, other: int, offset: int, length: int) -> int:
        """Pages in the range at which both volumes show one stored page.

        It is what a write to `volume` there will cost its copy `other`, in pages: the copy alone
        keeps the old content from then on. The same holds with the two exchanged.
        """
        with self._lock:
            version = self._in_range(volume, offset, length)
            against = self._version(other)
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
        """Bytes of the pages at which two volumes do not show one stored page.

        For a copy and its source it is the space that a demand-allocated copy needs. The time
        goes with what differs, not with what is mapped.
        """
        with self._lock:
            one, two = self._version(volume), self._version(other)
            return self._tables.count_different(one, two) << self._shift

    # --- structure -------------------------------------------------------------------------

    def create(self, size_bytes: int) -> VolumeId:
        """Make a thin volume that reads as zeros."""
        _check_size(size_bytes)
        with self.transaction():
            volume = self._forest.plant(size_bytes).volume
            self._undo.append(lambda: self._forest.drop(self._live[volume]))
            return VolumeId(volume)

    def snapshot(self, volumes: Sequence[int]) -> tuple[VolumeId, ...]:
        """Cut all volumes at one instant; one writable copy of each, in order, or none at all.

        The time does not depend on sizes, mapped pages or earlier copies.

        Raises:
            StorageNotFound: A volume does not exist.
            CopyConflict: A volume is a clone that is still being filled.
            UsageError: A volume is named twice.
        """
        with self.transaction():
            if len(set(volumes)) != len(volumes):
                raise UsageError("a volume is named twice in one copy set")
            versions = [self._source(volume) for volume in volumes]
            forest = self._forest
            cut = forest.cut()
            copies: list[VolumeId] = []
            self._undo.append(lambda: self._drop_all(copies))
            copies.extend(
                VolumeId(forest.fork(version, cut, forest.volume()).volume) for version in versions
            )
            return tuple(copies)

    def start_clone(self, volumes: Sequence[int]) -> tuple[VolumeId, ...]:
        """As `snapshot`; `clone_step` then makes each copy independent of its source.

        The clones can be read and written at once, and their sources deleted.

        Raises:
            StorageNotFound, CopyConflict, UsageError: As `snapshot`.
        """
        with self.transaction():
            clones = self.snapshot(volumes)
            for volume in clones:
                version = self._live[volume]
                version.clone_total = version.mapped
            return clones

    def clone_step(self, volume: int, budget_bytes: int) -> CloneProgress:
        """Copy up to `budget_bytes` (at least one page, unless 0) that a clone still shares.

        Of a volume that is no clone, or a complete one, it just says that it is done.

        Raises:
            StorageNotFound: There is no such volume.
            InsufficientCapacity: The machine has no room for the copy; try again later.
        """
        with self._lock:
            version = self._version(volume)
            total = version.clone_total
            if total < 0:
                size = version.mapped << self._shift
                return CloneProgress(copied_bytes=size, total_bytes=size, done=True)
            budget = max(1, budget_bytes >> self._shift) if budget_bytes > 0 else 0
            self._forest.copy_shared(version, budget)
            self._forest.dirty.add(version)
            shared = version.mapped - version.own
            if not shared:
                with self.transaction():
                    self._tables.drop_foreign_holes(version)
                    version.clone_total = -1
                    self._forest.complete.add(version)
            self._bound_changes()
            return CloneProgress(
                copied_bytes=max(0, total - shared) << self._shift,
                total_bytes=total << self._shift,
                done=not shared,
            )

    def _bound_changes(self) -> None:
        """Commit when many mappings have gathered that no transaction holds."""
        if len(self._tables.changes) > _AUTO_COMMIT_CHANGES and not self._depth:
            self._commit()

    def restore(self, volume: int, source: int) -> None:
        """Let a volume show at once what `source` shows now, in its size; both stay writable.

        Raises:
            StorageNotFound: One of them does not exist.
            CopyConflict: One of them is a clone that is still being filled.
        """
        with self.transaction():
            old, version = self._source(volume), self._source(source)
            if old is version:
                return
            forest = self._forest
            forest.hide(old)
            forest.fork(version, forest.cut(), volume)

            def undo() -> None:
                forest.drop(self._live[volume])
                forest.show(old, volume)

            self._undo.append(undo)
            self._deferred.append(lambda: forest.drop(old))

    def delete(self, volume: int) -> None:
        """Remove a volume; its copies stay. Its space comes back with the transaction's end.

        Raises:
            StorageNotFound: There is no such volume.
        """
        with self.transaction():
            version = self._version(volume)
            forest = self._forest
            forest.hide(version)
            self._undo.append(lambda: forest.show(version, volume))
            self._deferred.append(lambda: forest.drop(version))

    def resize(self, volume: int, size_bytes: int) -> None:
        """Change a volume's length; what is cut off is gone, what is added reads as zeros.

        Raises:
            StorageNotFound: There is no such volume.
            CopyConflict: A clone that is still being filled cannot shrink.
        """
        _check_size(size_bytes)
        with self.transaction():
            version = self._version(volume)
            before = version.size_bytes
            if size_bytes >= before:
                version.size_bytes = size_bytes
                self._forest.dirty.add(version)
                self._undo.append(lambda: self._set_size(volume, before))
                return
            self._shrink(self._source(volume), size_bytes)

    def _shrink(self, version: Version, size_bytes: int) -> None:
        forest, volume, before = self._forest, version.volume, version.size_bytes
        # A cut nobody sees keeps what is cut off until the transaction has ended.
        kept = forest.fork(version, forest.cut(), 0)

        def undo() -> None:
            doomed = self._live[volume]
            forest.show(kept, volume)
            forest.drop(doomed)

        self._undo.append(undo)
        self._deferred.append(lambda: forest.drop(kept))
        whole = -(-before >> self._shift) << self._shift
        forest.discard(self._live[volume], size_bytes, whole - size_bytes)
        self._live[volume].size_bytes = size_bytes

    def _set_size(self, volume: int, size_bytes: int) -> None:
        version = self._live[volume]
        self._forest.discard(version, size_bytes, version.size_bytes - size_bytes)
        version.size_bytes = size_bytes
        self._forest.dirty.add(version)

    def _drop_all(self, volumes: Sequence[int]) -> None:
        for volume in reversed(volumes):
            self._forest.drop(self._live[volume])

    # --- finding ---------------------------------------------------------------------------

    def _page_runs(self, version: Version, offset: int, length: int) -> list[tuple[int, int]]:
        first, last = offset >> self._shift, (offset + length - 1) >> self._shift
        return self._tables.extents(version, first, last + 1 - first)

    def _version(self, volume: int) -> Version:
        version = self._live.get(volume)
        if version is None:
            self._check_usable()
            raise StorageNotFound(f"the array has no volume {volume}", context={"volume": volume})
        return version

    def _source(self, volume: int) -> Version:
        version = self._version(volume)
        if version.clone_total >= 0:
            raise CopyConflict(
                f"volume {volume} is a clone that is still being filled",
                context={"volume": volume},
            )
        return version

    def _in_range(self, volume: int, offset: int, length: int) -> Version:
        version = self._version(volume)
        if offset < 0 or length < 0 or offset + length > version.size_bytes:
            raise DeviceError(
                f"bytes {offset} to {offset + length} are not inside volume {volume} "
                f"of {version.size_bytes} bytes",
                context={"volume": volume, "offset": offset, "length": length},
            )
        return version


def _check_size(size_bytes: int) -> None:
    if size_bytes < 0:
        raise UsageError(f"a volume cannot have {size_bytes} bytes")
