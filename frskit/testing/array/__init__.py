"""The kit for disk arrays: directed scenarios and random histories against a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit._lazy import face

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.testing.array.history import ArrayHistory
    from frskit.testing.array.kit import check_disk_array
    from frskit.testing.array.machine import run_histories
    from frskit.testing.array.scenarios import demand, run_scenarios
    from frskit.testing.array.steps import kit_key, take_set, used_bytes
    from frskit.testing.array.trees import (
        TreeEntry,
        TreeWorld,
        plant_tree,
        read_tree,
        run_tree_scenarios,
    )
    from frskit.testing.array.world import ArrayWorld, LunArray, ScsiWorld

__all__ = [
    "ArrayHistory",
    "ArrayWorld",
    "LunArray",
    "ScsiWorld",
    "TreeEntry",
    "TreeWorld",
    "check_disk_array",
    "demand",
    "kit_key",
    "plant_tree",
    "read_tree",
    "run_histories",
    "run_scenarios",
    "run_tree_scenarios",
    "take_set",
    "used_bytes",
]

_HOMES = {
    "TreeEntry": "frskit.testing.array.trees",
    "TreeWorld": "frskit.testing.array.trees",
    "plant_tree": "frskit.testing.array.trees",
    "read_tree": "frskit.testing.array.trees",
    "run_tree_scenarios": "frskit.testing.array.trees",
    "ArrayHistory": "frskit.testing.array.history",
    "ArrayWorld": "frskit.testing.array.world",
    "LunArray": "frskit.testing.array.world",
    "ScsiWorld": "frskit.testing.array.world",
    "check_disk_array": "frskit.testing.array.kit",
    "demand": "frskit.testing.array.scenarios",
    "kit_key": "frskit.testing.array.steps",
    "run_histories": "frskit.testing.array.machine",
    "run_scenarios": "frskit.testing.array.scenarios",
    "take_set": "frskit.testing.array.steps",
    "used_bytes": "frskit.testing.array.steps",
}
__getattr__: Callable[[str], object]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = face(__name__, _HOMES)
