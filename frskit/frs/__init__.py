"""The requestor: copies storage groups, checks them, and recovers from them.

`FastRecovery` is the face; the modules behind it follow the flow: `copy_run`, the package
`recovery` (planning, execution, interrupted ones), `resume`, and what is kept, in the package
`state` (catalog, journal, locks).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit._lazy import face

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.frs.deployment import Parts, Policy, Production, Recovery
    from frskit.frs.guards import Patience
    from frskit.frs.recovery.legality import LEGALITY
    from frskit.frs.requestor import FastRecovery
    from frskit.frs.running_copy import RunningCopy
    from frskit.frs.state.catalog import SqliteCatalog
    from frskit.frs.state.journal import Journal
    from frskit.frs.state.journal_words import Phase, RecoveryStep, RequestorOperation
    from frskit.frs.state.late_files import LateFiles, LateRef
    from frskit.frs.state.locks import Locks
    from frskit.model.copies import Resumed

__all__ = [
    "LEGALITY",
    "FastRecovery",
    "Journal",
    "LateFiles",
    "LateRef",
    "Locks",
    "Parts",
    "Patience",
    "Phase",
    "Policy",
    "Production",
    "Recovery",
    "RecoveryStep",
    "RequestorOperation",
    "Resumed",
    "RunningCopy",
    "SqliteCatalog",
]

_HOMES = {
    "FastRecovery": "frskit.frs.requestor",
    "Journal": "frskit.frs.state.journal",
    "LEGALITY": "frskit.frs.recovery.legality",
    "Locks": "frskit.frs.state.locks",
    "RequestorOperation": "frskit.frs.state.journal_words",
    "Parts": "frskit.frs.deployment",
    "Patience": "frskit.frs.guards",
    "LateFiles": "frskit.frs.state.late_files",
    "LateRef": "frskit.frs.state.late_files",
    "Phase": "frskit.frs.state.journal_words",
    "Policy": "frskit.frs.deployment",
    "Production": "frskit.frs.deployment",
    "Recovery": "frskit.frs.deployment",
    "RecoveryStep": "frskit.frs.state.journal_words",
    "Resumed": "frskit.model.copies",
    "RunningCopy": "frskit.frs.running_copy",
    "SqliteCatalog": "frskit.frs.state.catalog",
}
__getattr__: Callable[[str], object]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = face(__name__, _HOMES)
