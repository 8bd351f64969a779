"""The kit for hardware providers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit._lazy import face

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.testing.provider.kit import check_provider
    from frskit.testing.provider.levers import ProviderLevers
    from frskit.testing.provider.world import ProviderWorld

__all__ = ["ProviderLevers", "ProviderWorld", "check_provider"]

_HOMES = {
    "ProviderLevers": "frskit.testing.provider.levers",
    "ProviderWorld": "frskit.testing.provider.world",
    "check_provider": "frskit.testing.provider.kit",
}
__getattr__: Callable[[str], object]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = face(__name__, _HOMES)
