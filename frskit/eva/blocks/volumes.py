"""Making, copying, restoring, deleting and resizing the volumes of a block store.

The instant of a copy set is `VolumeStore.snapshot`: one increment of the array's epoch and one
fork per member, under the lock that every write takes ([feasibility 7.2]). What it is not: the
filling of clones, bytes, and figures, which have their own parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.errors import UsageError
from frskit.eva.blocks.live_volumes import VolumeId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frskit.eva.blocks.live_volumes import LiveVolumes
    from frskit.eva.blocks.page_table import Version
    from frskit.eva.blocks.transactions import TransactionalStore

__all__ = ["VolumeId", "VolumeStore"]


class VolumeStore:
    """What happens to whole volumes, each in a transaction.

    Arguments and errors are described at `frskit.eva.blocks.store.BlockStore`.

    Args:
        store: The store to which they belong.
        live: Its volumes.
    """

    def __init__(self, store: TransactionalStore, live: LiveVolumes) -> None:
        self._store = store
        self._volumes = live
        self._forest = store.forest
        self._live = store.forest.live
        self._shift = store.forest.pool.page_shift

    def create(self, size_bytes: int) -> VolumeId:
        """Make a thin volume that reads as zeros."""
        _check_size(size_bytes)
        with self._store.transaction():
            volume = self._forest.plant(size_bytes).volume
            self._store.undo.append(lambda: self._forest.drop(self._live[volume]))
            return VolumeId(volume)

    def snapshot(self, volumes: Sequence[int]) -> tuple[VolumeId, ...]:
        """Cut all volumes at one instant; one writable copy of each, or none at all."""
        with self._store.transaction():
            if len(set(volumes)) != len(volumes):
                raise UsageError("a volume is named twice in one copy set")
            versions = [self._volumes.source(volume) for volume in volumes]
            forest = self._forest
            cut = forest.cut()
            copies: list[VolumeId] = []
            self._store.undo.append(lambda: self._drop_all(copies))
            copies.extend(
                VolumeId(forest.fork(version, cut, forest.volume()).volume) for version in versions
            )
            return tuple(copies)

    def _drop_all(self, volumes: Sequence[int]) -> None:
        for volume in reversed(volumes):
            self._forest.drop(self._live[volume])

    def start_clone(self, volumes: Sequence[int]) -> tuple[VolumeId, ...]:
        """As `snapshot`, of copies that `frskit.eva.blocks.clone_filling` makes independent."""
        with self._store.transaction():
            clones = self.snapshot(volumes)
            for volume in clones:
                version = self._live[volume]
                version.clone_total = version.mapped
            return clones

    def restore(self, volume: int, source: int) -> None:
        """Let a volume show at once what `source` shows now, in its size."""
        with self._store.transaction():
            old, version = self._volumes.source(volume), self._volumes.source(source)
            if old is version:
                return
            forest = self._forest
            forest.hide(old)
            forest.fork(version, forest.cut(), volume)

            def undo() -> None:
                forest.drop(self._live[volume])
                forest.show(old, volume)

            self._store.undo.append(undo)
            self._store.deferred.append(lambda: forest.drop(old))

    def delete(self, volume: int) -> None:
        """Remove a volume; its copies stay."""
        with self._store.transaction():
            version = self._volumes.version(volume)
            forest = self._forest
            forest.hide(version)
            self._store.undo.append(lambda: forest.show(version, volume))
            self._store.deferred.append(lambda: forest.drop(version))

    def resize(self, volume: int, size_bytes: int) -> None:
        """Change a volume's length."""
        _check_size(size_bytes)
        with self._store.transaction():
            version = self._volumes.version(volume)
            before = version.size_bytes
            if size_bytes >= before:
                version.size_bytes = size_bytes
                self._forest.dirty.add(version)
                self._store.undo.append(lambda: self._set_size(volume, before))
                return
            self._shrink(self._volumes.source(volume), size_bytes)

    def _shrink(self, version: Version, size_bytes: int) -> None:
        forest, volume, before = self._forest, version.volume, version.size_bytes
        # A cut nobody sees keeps what is cut off until the transaction has ended.
        kept = forest.fork(version, forest.cut(), 0)

        def undo() -> None:
            doomed = self._live[volume]
            forest.show(kept, volume)
            forest.drop(doomed)

        self._store.undo.append(undo)
        self._store.deferred.append(lambda: forest.drop(kept))
        whole = -(-before >> self._shift) << self._shift
        forest.discard(self._live[volume], size_bytes, whole - size_bytes)
        self._live[volume].size_bytes = size_bytes

    def _set_size(self, volume: int, size_bytes: int) -> None:
        version = self._live[volume]
        self._forest.discard(version, size_bytes, version.size_bytes - size_bytes)
        version.size_bytes = size_bytes
        self._forest.dirty.add(version)


def _check_size(size_bytes: int) -> None:
    if size_bytes < 0:
        raise UsageError(f"a volume cannot have {size_bytes} bytes")
