"""Filling clones of a block store, piece by piece, until they share nothing with their source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from frskit.eva.blocks.live_volumes import LiveVolumes
    from frskit.eva.blocks.page_table import Version
    from frskit.eva.blocks.transactions import TransactionalStore

__all__ = ["CloneFilling", "CloneProgress"]


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


class CloneFilling:
    """The filling of the clones of one store.

    Args:
        store: The store to which they belong.
        live: Its volumes.
    """

    def __init__(self, store: TransactionalStore, live: LiveVolumes) -> None:
        self._store = store
        self._volumes = live
        self._forest = store.forest
        self._shift = store.forest.pool.page_shift

    def step(self, volume: int, budget_bytes: int) -> CloneProgress:
        """Copy up to `budget_bytes` that a clone still shares; see `BlockStore.clone_step`."""
        with self._store.life.lock:
            version = self._volumes.version(volume)
            total = version.clone_total
            if total < 0:
                size = version.mapped << self._shift
                return CloneProgress(copied_bytes=size, total_bytes=size, done=True)
            budget = max(1, budget_bytes >> self._shift) if budget_bytes > 0 else 0
            self._forest.copy_shared(version, budget)
            self._forest.dirty.add(version)
            shared = version.mapped - version.own
            if not shared:
                self._complete(version)
            self._store.bound_changes()
            return CloneProgress(
                copied_bytes=max(0, total - shared) << self._shift,
                total_bytes=total << self._shift,
                done=not shared,
            )

    def _complete(self, version: Version) -> None:
        with self._store.transaction():
            self._forest.tables.drop_foreign_holes(version)
            version.clone_total = -1
            self._forest.complete.add(version)
