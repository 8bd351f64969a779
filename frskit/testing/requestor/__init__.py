"""The kit for requestors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit._lazy import face

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.testing.requestor.kit import check_requestor
    from frskit.testing.requestor.levers import RequestorLevers
    from frskit.testing.requestor.world import RequestorWorld

__all__ = ["RequestorLevers", "RequestorWorld", "check_requestor"]

_HOMES = {
    "RequestorLevers": "frskit.testing.requestor.levers",
    "RequestorWorld": "frskit.testing.requestor.world",
    "check_requestor": "frskit.testing.requestor.kit",
}
__getattr__: Callable[[str], object]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = face(__name__, _HOMES)
