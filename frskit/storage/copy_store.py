"""The former place of `ArrayCopyStore`, which `frskit.storage` offers."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from frskit.storage.array_copy_store import ArrayCopyStore

__all__ = ["ArrayCopyStore"]


def __getattr__(name: str) -> object:
    """The class, with a warning that says where to import it from."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import frskit.storage

    warnings.warn(
        f"frskit.storage.copy_store moved: write 'from frskit.storage import {name}'",
        DeprecationWarning,
        stacklevel=2,
    )
    value: object = getattr(frskit.storage, name)
    return value
