"""Arrays made of what this machine has: directories whose copies are reflinked or copied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit._lazy import face

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.local.directory import DirectoryArray

__all__ = ["DirectoryArray"]

_HOMES = {"DirectoryArray": "frskit.local.directory"}
__getattr__: Callable[[str], object]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = face(__name__, _HOMES)
