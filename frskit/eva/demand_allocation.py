"""Which chunks a demand-allocated snapshot keeps for itself: what its capacity follows from.

What it is: one sparse bit map per vsnap. A chunk gets its bit at the first overwrite in the source
since the instant, or at the first write to the snapshot; a second overwrite changes nothing
[EVA-25, EVA-26]. What it is not: the data; that is in the block store, and a chunk counts even
where the store needs no page for it.

The chunk size is the page of the block store (frskit's choice; on the real array it is UNKNOWN,
[EVA 1.10]). Maps are kept with the array's records and reach the disk with the next flush or
command, together with the data that they speak of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define, field

from frskit.errors import ArrayDamaged
from frskit.eva.models import PSEG_BYTES
from frskit.model.ids import StorageId

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frskit.eva.blocks.store import BlockStore

__all__ = ["DemandMaps"]

# One stored record of 512 bytes per region of 16 MiB (frskit's choice; part of the durable format).
_REGION_CHUNKS: Final = 4096


@define
class _Map:
    """Bits of one snapshot, by region of 4096 chunks, and how many are set."""

    regions: dict[int, int] = field(factory=dict)
    chunks: int = 0


def _pieces(first: int, last: int) -> Iterator[tuple[int, int]]:
    """Region and mask of bits, for chunks `first` to `last`."""
    for region in range(first // _REGION_CHUNKS, last // _REGION_CHUNKS + 1):
        low = max(first - region * _REGION_CHUNKS, 0)
        high = min(last - region * _REGION_CHUNKS, _REGION_CHUNKS - 1)
        yield region, ((1 << (high - low + 1)) - 1) << low


class DemandMaps:
    """The maps of all vsnaps of one array.

    Args:
        store: The block store whose pages are the chunks and whose metadata keeps the maps.
    """

    def __init__(self, store: BlockStore) -> None:
        self._store = store
        self._maps: dict[StorageId, _Map] = {}
        self._dirty: set[tuple[StorageId, int]] = set()
        self._per_pseg = max(1, PSEG_BYTES // store.page_bytes)

    @property
    def page_bytes(self) -> int:
        """Length of a chunk."""
        return self._store.page_bytes

    @property
    def dirty(self) -> bool:
        """Whether something is not kept yet."""
        return bool(self._dirty)

    def add(self, storage: StorageId) -> None:
        """A new vsnap that shares everything."""
        self._maps[storage] = _Map()

    def drop(self, storage: StorageId) -> None:
        """The vsnap is gone."""
        for region in self._maps.pop(storage, _Map()).regions:
            self._dirty.add((storage, region))

    def chunks(self, storage: StorageId) -> int:
        """Chunks that it keeps for itself."""
        known = self._maps.get(storage)
        return 0 if known is None else known.chunks

    def psegs(self, storage: StorageId) -> int:
        """Usable PSEGs that these take."""
        return -(-self.chunks(storage) // self._per_pseg)

    def psegs_after(self, storage: StorageId, first: int, last: int) -> int:
        """Usable PSEGs that it will take once chunks `first` to `last` are its own too."""
        known = self._maps[storage]
        more = sum(
            (mask & ~known.regions.get(region, 0)).bit_count()
            for region, mask in _pieces(first, last)
        )
        return -(-(known.chunks + more) // self._per_pseg)

    def mark(self, storage: StorageId, first: int, last: int) -> None:
        """Chunks `first` to `last` are its own from now on."""
        for region, mask in _pieces(first, last):
            self._set(storage, region, mask)

    def merge(self, storage: StorageId, other: StorageId) -> None:
        """Every chunk that `other` keeps becomes `storage`'s own too."""
        for region, bits in list(self._maps[other].regions.items()):
            self._set(storage, region, bits)

    def union_psegs(self, storage: StorageId, other: StorageId) -> int:
        """Usable PSEGs after `merge`."""
        mine, theirs = self._maps[storage], self._maps[other]
        more = sum(
            (bits & ~mine.regions.get(region, 0)).bit_count()
            for region, bits in theirs.regions.items()
        )
        return -(-(mine.chunks + more) // self._per_pseg)

    def _set(self, storage: StorageId, region: int, mask: int) -> None:
        known = self._maps[storage]
        before = known.regions.get(region, 0)
        fresh = mask & ~before
        if fresh:
            known.regions[region] = before | fresh
            known.chunks += fresh.bit_count()
            self._dirty.add((storage, region))

    def persist(self) -> None:
        """Keep what changed; call it inside the transaction it belongs to."""
        if self._store.durable:
            for storage, region in sorted(self._dirty):
                known = self._maps.get(storage)
                bits = 0 if known is None else known.regions.get(region, 0)
                raw = bits.to_bytes(_REGION_CHUNKS // 8, "little") if bits else None
                self._store.set_meta(f"map/{storage}/{region}", raw)
        self._dirty.clear()

    def load(self, vsnaps: set[StorageId]) -> None:
        """Read the maps of these vsnaps back.

        Raises:
            ArrayDamaged: A map belongs to nothing, or is no map.
        """
        for storage in vsnaps:
            self.add(storage)
        for key in self._store.meta_keys("map/"):
            storage_text, _, region = key.removeprefix("map/").rpartition("/")
            storage = StorageId(storage_text)
            raw = self._store.get_meta(key)
            if storage not in vsnaps or not region.isdecimal() or raw is None:
                raise ArrayDamaged(f"the record {key!r} belongs to no demand-allocated snapshot")
            if len(raw) != _REGION_CHUNKS // 8:
                raise ArrayDamaged(f"the record {key!r} of the array is damaged")
            self._set(storage, int(region), int.from_bytes(raw, "little"))
        self._dirty.clear()
