"""The data plane: volumes, versions and pages of one array, in memory or durable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit._lazy import face

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.eva.blocks.clone_filling import CloneProgress
    from frskit.eva.blocks.commit_log import CommitLog
    from frskit.eva.blocks.live_volumes import VolumeId
    from frskit.eva.blocks.page_pool import (
        SLAB_BYTES,
        SLAB_MASK,
        SLAB_SHIFT,
        FilePool,
        MemoryPool,
        PagePool,
    )
    from frskit.eva.blocks.page_table import FIRST_FLOOR, NUMBER_BITS, NUMBER_MASK, Tables, Version
    from frskit.eva.blocks.store import BlockStore
    from frskit.eva.blocks.transactions import TransactionalStore
    from frskit.eva.blocks.versions import Forest
    from frskit.eva.blocks.volumes import VolumeStore

__all__ = [
    "FIRST_FLOOR",
    "NUMBER_BITS",
    "NUMBER_MASK",
    "SLAB_BYTES",
    "SLAB_MASK",
    "SLAB_SHIFT",
    "BlockStore",
    "CloneProgress",
    "CommitLog",
    "FilePool",
    "Forest",
    "MemoryPool",
    "PagePool",
    "Tables",
    "TransactionalStore",
    "Version",
    "VolumeId",
    "VolumeStore",
]

_HOMES = {
    "BlockStore": "frskit.eva.blocks.store",
    "CloneProgress": "frskit.eva.blocks.clone_filling",
    "FIRST_FLOOR": "frskit.eva.blocks.page_table",
    "FilePool": "frskit.eva.blocks.page_pool",
    "Forest": "frskit.eva.blocks.versions",
    "CommitLog": "frskit.eva.blocks.commit_log",
    "MemoryPool": "frskit.eva.blocks.page_pool",
    "NUMBER_BITS": "frskit.eva.blocks.page_table",
    "NUMBER_MASK": "frskit.eva.blocks.page_table",
    "PagePool": "frskit.eva.blocks.page_pool",
    "SLAB_BYTES": "frskit.eva.blocks.page_pool",
    "SLAB_MASK": "frskit.eva.blocks.page_pool",
    "SLAB_SHIFT": "frskit.eva.blocks.page_pool",
    "Tables": "frskit.eva.blocks.page_table",
    "TransactionalStore": "frskit.eva.blocks.transactions",
    "Version": "frskit.eva.blocks.page_table",
    "VolumeId": "frskit.eva.blocks.live_volumes",
    "VolumeStore": "frskit.eva.blocks.volumes",
}
__getattr__: Callable[[str], object]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = face(__name__, _HOMES)
