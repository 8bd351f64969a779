"""The recovery side of a simulated Exchange: analysis, file actions, offline and online."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit._lazy import face

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.exchange.recovery.application import ExchangeApplication
    from frskit.exchange.recovery.file_actions import plan_actions
    from frskit.exchange.recovery.group_files import Found, GroupFiles, below

__all__ = ["ExchangeApplication", "Found", "GroupFiles", "below", "plan_actions"]

_HOMES = {
    "ExchangeApplication": "frskit.exchange.recovery.application",
    "Found": "frskit.exchange.recovery.group_files",
    "GroupFiles": "frskit.exchange.recovery.group_files",
    "below": "frskit.exchange.recovery.group_files",
    "plan_actions": "frskit.exchange.recovery.file_actions",
}
__getattr__: Callable[[str], object]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = face(__name__, _HOMES)
