"""Normalization: snapclones become independent of their sources as time passes.

What it is: the array's background copying, one bandwidth for the whole array, the oldest snapclone
first [EVA 1.6]. What it is not: a thread; it goes on whenever the array is asked anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from frskit.model.storage import CopyState

if TYPE_CHECKING:
    from frskit.eva.array_state import ArrayState
    from frskit.eva.records import VirtualDisk

__all__ = ["Normalization"]


class Normalization:
    """Fills the snapclones of one array; hears of time from its state.

    Args:
        state: The array's state; the time it was away counts.
    """

    def __init__(self, state: ArrayState) -> None:
        self._state = state
        self._credit_bytes = state.away_s * state.profile.copy_bytes_per_s
        state.on_elapsed = self.advance

    def advance(self, elapsed_s: float) -> None:
        """Copy what these seconds allow; credit without a snapclone is lost."""
        if not self._state.tables.clones.rows:
            self._credit_bytes = 0.0
            return
        self._credit_bytes += elapsed_s * self._state.profile.copy_bytes_per_s
        if self._credit_bytes >= 1:
            self._normalize()

    def _normalize(self) -> None:
        """Copy for as long as the elapsed time allows, the oldest snapclone first."""
        with self._state.change():
            for storage in tuple(self._state.tables.clones.rows):
                disk = self._state.tables.disks.rows[storage]
                step = min(int(self._credit_bytes), disk.size_bytes - disk.copied_bytes)
                self._credit_bytes -= step
                self._copy_up_to(disk, disk.copied_bytes + step)
                if self._credit_bytes < 1:
                    break

    def _copy_up_to(self, disk: VirtualDisk, target: int) -> None:
        """Bring a snapclone to `target` bytes; the pages behind them are copied for real.

        The array copies every byte of the disk, the block store only pages that hold something,
        so progress is scaled between the two.
        """
        progress = self._state.store.clone_step(disk.volume, 0)
        wanted = -(-progress.total_bytes * target // disk.size_bytes)
        if not progress.done and wanted > progress.copied_bytes:
            progress = self._state.store.clone_step(disk.volume, wanted - progress.copied_bytes)
        finished = target >= disk.size_bytes
        while finished and not progress.done:
            progress = self._state.store.clone_step(disk.volume, max(1, progress.total_bytes))
        state = CopyState.INDEPENDENT if finished else CopyState.NORMALIZING
        self._state.tables.disks.put(disk.id, evolve(disk, copied_bytes=target, state=state))
        if finished:
            self._state.tables.release(disk)
            self._state.log("normalized", disk.name, disk.id)
