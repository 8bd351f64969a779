"""The kit for requestors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit._lazy import face

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.testing.requestor.kit import RequestorWorld, check_requestor

__all__ = ["RequestorWorld", "check_requestor"]

_HOMES = {
    "RequestorWorld": "frskit.testing.requestor.kit",
    "check_requestor": "frskit.testing.requestor.kit",
}
__getattr__: Callable[[str], object]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = face(__name__, _HOMES)
