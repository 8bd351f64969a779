"""A hardware provider over any disk array."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit._lazy import face

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.vss.provider.array_provider import ArrayProvider
    from frskit.vss.provider.copy_names import copy_name, parse_copy_name

__all__ = ["ArrayProvider", "copy_name", "parse_copy_name"]

_HOMES = {
    "ArrayProvider": "frskit.vss.provider.array_provider",
    "copy_name": "frskit.vss.provider.copy_names",
    "parse_copy_name": "frskit.vss.provider.copy_names",
}
__getattr__: Callable[[str], object]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = face(__name__, _HOMES)
