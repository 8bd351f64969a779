"""The former place of `ArrayCopyStore`, which `frskit.storage` offers."""

from __future__ import annotations

import warnings

from frskit.storage.array_copy_store import ArrayCopyStore

__all__ = ["ArrayCopyStore"]

warnings.warn(
    "frskit.storage.copy_store moved: import ArrayCopyStore from frskit.storage",
    DeprecationWarning,
    stacklevel=2,
)
