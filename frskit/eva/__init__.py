"""The disk array of the Fast Recovery Solution: a simulated EVA.

`SimulatedEva` is the array, `ModelProfile` and its presets are the limits of the models; the rules
that decide what may be copied are pure functions in `frskit.eva.rules`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit._lazy import face

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.eva.array import SimulatedEva
    from frskit.eva.blocks.store import BlockStore, CloneProgress
    from frskit.eva.event_log import ArrayOperation
    from frskit.eva.identifiers import ObjectIdentity
    from frskit.eva.models import (
        EVA3000,
        EVA4000,
        EVA5000,
        EVA6000,
        EVA8000,
        PROFILES,
        PSEG_BYTES,
        STRICT,
        ExhaustionPolicy,
        ModelProfile,
        ProtectionLevel,
        Vraid,
    )
    from frskit.eva.records import EvaCopyRequest, VirtualDisk
    from frskit.eva.views import DiskView

__all__ = [
    "EVA3000",
    "EVA4000",
    "EVA5000",
    "EVA6000",
    "EVA8000",
    "PROFILES",
    "PSEG_BYTES",
    "STRICT",
    "ArrayOperation",
    "BlockStore",
    "CloneProgress",
    "DiskView",
    "EvaCopyRequest",
    "ExhaustionPolicy",
    "ModelProfile",
    "ObjectIdentity",
    "ProtectionLevel",
    "SimulatedEva",
    "VirtualDisk",
    "Vraid",
]

_HOMES = {
    "ArrayOperation": "frskit.eva.event_log",
    "BlockStore": "frskit.eva.blocks.store",
    "CloneProgress": "frskit.eva.blocks.store",
    "DiskView": "frskit.eva.views",
    "EVA3000": "frskit.eva.models",
    "EVA4000": "frskit.eva.models",
    "EVA5000": "frskit.eva.models",
    "EVA6000": "frskit.eva.models",
    "EVA8000": "frskit.eva.models",
    "EvaCopyRequest": "frskit.eva.records",
    "ExhaustionPolicy": "frskit.eva.models",
    "ModelProfile": "frskit.eva.models",
    "ObjectIdentity": "frskit.eva.identifiers",
    "PROFILES": "frskit.eva.models",
    "PSEG_BYTES": "frskit.eva.models",
    "ProtectionLevel": "frskit.eva.models",
    "STRICT": "frskit.eva.models",
    "SimulatedEva": "frskit.eva.array",
    "VirtualDisk": "frskit.eva.records",
    "Vraid": "frskit.eva.models",
}
__getattr__: Callable[[str], object]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = face(__name__, _HOMES)
