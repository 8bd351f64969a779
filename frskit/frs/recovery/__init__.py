"""Recovery: planning it, carrying it out, ending one that was interrupted, and what is legal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit._lazy import face

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.frs.recovery.execution import RecoveryRun
    from frskit.frs.recovery.file_actions import (
        action_facts,
        clear_stale,
        drop_undo,
        run_action,
        twice_named,
        undo_copy_in,
        undo_move,
    )
    from frskit.frs.recovery.interrupted import MOUNTED, finish_recovery, release, settle
    from frskit.frs.recovery.legality import LEGALITY, objection, table_rows
    from frskit.frs.recovery.planning import make_plan, member_roles, mounted, used_up
    from frskit.frs.recovery.wish import RecoveryWish

__all__ = [
    "LEGALITY",
    "MOUNTED",
    "RecoveryRun",
    "RecoveryWish",
    "action_facts",
    "clear_stale",
    "drop_undo",
    "finish_recovery",
    "make_plan",
    "member_roles",
    "mounted",
    "objection",
    "release",
    "run_action",
    "settle",
    "table_rows",
    "twice_named",
    "undo_copy_in",
    "undo_move",
    "used_up",
]

_HOMES = {
    "LEGALITY": "frskit.frs.recovery.legality",
    "MOUNTED": "frskit.frs.recovery.interrupted",
    "RecoveryRun": "frskit.frs.recovery.execution",
    "RecoveryWish": "frskit.frs.recovery.wish",
    "action_facts": "frskit.frs.recovery.file_actions",
    "clear_stale": "frskit.frs.recovery.file_actions",
    "twice_named": "frskit.frs.recovery.file_actions",
    "drop_undo": "frskit.frs.recovery.file_actions",
    "finish_recovery": "frskit.frs.recovery.interrupted",
    "make_plan": "frskit.frs.recovery.planning",
    "member_roles": "frskit.frs.recovery.planning",
    "mounted": "frskit.frs.recovery.planning",
    "objection": "frskit.frs.recovery.legality",
    "release": "frskit.frs.recovery.interrupted",
    "run_action": "frskit.frs.recovery.file_actions",
    "settle": "frskit.frs.recovery.interrupted",
    "table_rows": "frskit.frs.recovery.legality",
    "undo_copy_in": "frskit.frs.recovery.file_actions",
    "undo_move": "frskit.frs.recovery.file_actions",
    "used_up": "frskit.frs.recovery.planning",
}
__getattr__: Callable[[str], object]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = face(__name__, _HOMES)
