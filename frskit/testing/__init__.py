"""Public test helpers: conformance kits for the seams, and the pytest plugin for rule marks.

Nothing in frskit imports this package. The kits are loaded on first use; those that try random
histories need the extra ``testing`` (Hypothesis).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from frskit.testing.array_kit import check_disk_array
    from frskit.testing.array_world import ArrayWorld, ScsiWorld
    from frskit.testing.provider_kit import ProviderWorld, check_provider
    from frskit.testing.report import KitReport
    from frskit.testing.requestor_kit import RequestorWorld, check_requestor
    from frskit.testing.writer_kit import WriterWorld, check_writer

__all__ = [
    "ArrayWorld",
    "KitReport",
    "ProviderWorld",
    "RequestorWorld",
    "ScsiWorld",
    "WriterWorld",
    "check_disk_array",
    "check_provider",
    "check_requestor",
    "check_writer",
]

_HOMES = {
    "ArrayWorld": "array_world",
    "KitReport": "report",
    "ProviderWorld": "provider_kit",
    "RequestorWorld": "requestor_kit",
    "ScsiWorld": "array_world",
    "WriterWorld": "writer_kit",
    "check_disk_array": "array_kit",
    "check_provider": "provider_kit",
    "check_requestor": "requestor_kit",
    "check_writer": "writer_kit",
}


def __getattr__(name: str) -> object:
    """Load a kit on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'frskit.testing' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"frskit.testing.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
