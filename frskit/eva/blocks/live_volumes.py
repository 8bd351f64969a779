"""Which volumes a block store has now: finding the version that each of them shows.

What it is: the one place where a volume number, a range or a source is checked. Its methods are
called under the store's lock, but for `volumes`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NewType

from frskit.errors import CopyConflict, DeviceError, StorageNotFound

if TYPE_CHECKING:
    from frskit.eva.blocks.page_table import Version
    from frskit.eva.blocks.transactions import TransactionalStore

__all__ = ["LiveVolumes", "VolumeId"]

VolumeId = NewType("VolumeId", int)


class LiveVolumes:
    """The volumes of one store.

    Args:
        store: The store to which they belong.
    """

    def __init__(self, store: TransactionalStore) -> None:
        self._life = store.life
        self._live = store.forest.live
        self._tables = store.forest.tables
        self._shift = store.forest.pool.page_shift

    def volumes(self) -> tuple[VolumeId, ...]:
        """The volumes that exist, oldest first."""
        with self._life.lock:
            self._life.check()
            return tuple(VolumeId(volume) for volume in sorted(self._live))

    def version(self, volume: int) -> Version:
        """What a volume shows.

        Raises:
            StorageNotFound: There is no such volume.
            UsageError, ArrayDamaged: The store takes no calls any more.
        """
        version = self._live.get(volume)
        if version is None:
            self._life.check()
            raise StorageNotFound(f"the array has no volume {volume}", context={"volume": volume})
        return version

    def source(self, volume: int) -> Version:
        """What a volume shows that may be cut, restored or shortened.

        Raises:
            StorageNotFound: There is no such volume.
            CopyConflict: It is a clone that is still being filled.
        """
        version = self.version(volume)
        if version.clone_total >= 0:
            raise CopyConflict(
                f"volume {volume} is a clone that is still being filled",
                context={"volume": volume},
            )
        return version

    def in_range(self, volume: int, offset: int, length: int) -> Version:
        """What a volume shows that has all bytes of this range.

        Raises:
            StorageNotFound: There is no such volume.
            DeviceError: The range is not inside the volume.
        """
        version = self.version(volume)
        if offset < 0 or length < 0 or offset + length > version.size_bytes:
            raise DeviceError(
                f"bytes {offset} to {offset + length} are not inside volume {volume} "
                f"of {version.size_bytes} bytes",
                context={"volume": volume, "offset": offset, "length": length},
            )
        return version

    def page_runs(self, version: Version, offset: int, length: int) -> list[tuple[int, int]]:
        """Runs (entry or 0, pages) that a range of at least one byte touches."""
        first, last = offset >> self._shift, (offset + length - 1) >> self._shift
        return self._tables.extents(version, first, last + 1 - first)
