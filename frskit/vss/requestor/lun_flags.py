"""Flags of the original LUNs: set before the copy is made, so that the copies carry them.

Rows 15 and 22 of the canonical trace [VSS 1.1]. They are cleared right after the last Thaw, which
is frskit's choice, because nothing is written between Freeze and Thaw (design law 5).
"""

from __future__ import annotations

from functools import partial

from attrs import define, field

from frskit.model.ids import StorageId
from frskit.model.volumes import DiskFlags
from frskit.vss.engine import Engine, OpenSet

__all__ = ["COPY_FLAGS", "OriginalFlags"]

COPY_FLAGS = DiskFlags(hidden=True, read_only=True, no_drive_letter=True, shadow_copy=True)
"""What originals are marked with, so that the copies carry it [VSS 1.1 row 15]."""


@define(eq=False)
class OriginalFlags:
    """Marks the originals of one set, and gives them back the flags that they had."""

    engine: Engine
    open_set: OpenSet
    _before: dict[StorageId, DiskFlags] = field(factory=dict, init=False)
    _marked: bool = field(default=False, init=False)

    def of(self, storage: StorageId) -> DiskFlags:
        """The flags that a LUN had before."""
        return self._before.get(storage, DiskFlags())

    def remember(self) -> None:
        """Look at the flags as they are."""
        known = {disk.storage: disk.flags for disk in self.engine.server.disks()}
        for lun in self.open_set.sources():
            self._before[lun.storage] = known.get(lun.storage, DiskFlags())

    def mark(self) -> None:
        """Row 15: mark the originals, before the copy is made."""
        storages = list(self._before)
        # Set before the call: one that fails half-way may have marked some.
        self._marked = True
        self.engine.server_dog.call(
            "MarkOriginalLuns",
            partial(self.engine.bare_server.set_flags, storages, COPY_FLAGS),
            deadline_s=self.engine.clock.monotonic() + self.engine.roster.answer_s,
            on_late=self.clear,
        )
        self.engine.trace.row(
            "C", "MarkOriginalLuns", set_id=self.open_set.id, subject=", ".join(storages)
        )

    def clear(self) -> None:
        """Row 22: give the originals the flags that they had; once."""
        if not self._marked:
            return
        # Few calls for many LUNs: those with the same former flags go together.
        groups: dict[DiskFlags, list[StorageId]] = {}
        for storage, flags in self._before.items():
            groups.setdefault(flags, []).append(storage)
        for flags, storages in groups.items():
            self.engine.server.set_flags(storages, flags)
        self.engine.trace.row(
            "C", "ClearOriginalLuns", set_id=self.open_set.id, subject=", ".join(self._before)
        )
        self._marked = False
