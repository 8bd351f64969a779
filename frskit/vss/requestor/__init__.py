"""The requestor's object and what it does, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit._lazy import face

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.vss.requestor.backup_components import BackupComponents
    from frskit.vss.requestor.call_order import CallOrder
    from frskit.vss.requestor.component_choice import ComponentChoice, ComponentHandle
    from frskit.vss.requestor.component_selection import (
        Selection,
        backs_up,
        covers,
        select_components,
        supports_type,
    )
    from frskit.vss.requestor.do_snapshot_set import Creation
    from frskit.vss.requestor.dossier import Dossier
    from frskit.vss.requestor.import_break_delete import (
        break_set,
        delete_set,
        import_document,
        surface,
    )
    from frskit.vss.requestor.participant import Participant
    from frskit.vss.requestor.participants import Participants
    from frskit.vss.requestor.restore import Restoring
    from frskit.vss.requestor.set_builder import SetBuilder
    from frskit.vss.requestor.write_hold import HOLD_WINDOW_S

__all__ = [
    "HOLD_WINDOW_S",
    "BackupComponents",
    "CallOrder",
    "ComponentChoice",
    "ComponentHandle",
    "Creation",
    "Dossier",
    "Participant",
    "Participants",
    "Restoring",
    "Selection",
    "SetBuilder",
    "backs_up",
    "break_set",
    "covers",
    "delete_set",
    "import_document",
    "select_components",
    "supports_type",
    "surface",
]

_HOMES = {
    "BackupComponents": "frskit.vss.requestor.backup_components",
    "CallOrder": "frskit.vss.requestor.call_order",
    "ComponentChoice": "frskit.vss.requestor.component_choice",
    "ComponentHandle": "frskit.vss.requestor.component_choice",
    "Creation": "frskit.vss.requestor.do_snapshot_set",
    "Dossier": "frskit.vss.requestor.dossier",
    "HOLD_WINDOW_S": "frskit.vss.requestor.write_hold",
    "Participant": "frskit.vss.requestor.participant",
    "Participants": "frskit.vss.requestor.participants",
    "Restoring": "frskit.vss.requestor.restore",
    "Selection": "frskit.vss.requestor.component_selection",
    "SetBuilder": "frskit.vss.requestor.set_builder",
    "backs_up": "frskit.vss.requestor.component_selection",
    "break_set": "frskit.vss.requestor.import_break_delete",
    "covers": "frskit.vss.requestor.component_selection",
    "delete_set": "frskit.vss.requestor.import_break_delete",
    "import_document": "frskit.vss.requestor.import_break_delete",
    "select_components": "frskit.vss.requestor.component_selection",
    "supports_type": "frskit.vss.requestor.component_selection",
    "surface": "frskit.vss.requestor.import_break_delete",
}
__getattr__: Callable[[str], object]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = face(__name__, _HOMES)
