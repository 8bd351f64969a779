"""The verdict on a copy of storage groups: databases, streaming files and logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit._lazy import face

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.exchange.integrity.checker import ExchangeChecker
    from frskit.exchange.integrity.inspection import Inspection, Item
    from frskit.exchange.integrity.verdicts import CheckPolicy, judge

__all__ = ["CheckPolicy", "ExchangeChecker", "Inspection", "Item", "judge"]

_HOMES = {
    "CheckPolicy": "frskit.exchange.integrity.verdicts",
    "ExchangeChecker": "frskit.exchange.integrity.checker",
    "Inspection": "frskit.exchange.integrity.inspection",
    "Item": "frskit.exchange.integrity.inspection",
    "judge": "frskit.exchange.integrity.verdicts",
}
__getattr__: Callable[[str], object]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = face(__name__, _HOMES)
