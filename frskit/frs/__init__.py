"""The requestor: copies storage groups, checks them, and recovers from them.

`FastRecovery` is the face; the modules behind it follow the flow: `copying`, `recovery_plan`,
`recovering`, `resuming`, and what they keep: `catalog`, `journal`, `ledger`.
"""

from __future__ import annotations

from frskit.frs.catalog import SqliteCatalog
from frskit.frs.journal import Journal
from frskit.frs.legality import LEGALITY
from frskit.frs.locks import Locks
from frskit.frs.parts import Parts, Policy, Production, Recovery
from frskit.frs.requestor import FastRecovery, RunningCopy
from frskit.frs.resuming import Resumed
from frskit.frs.steps import OperationKind, Phase, RecoveryStep

__all__ = [
    "LEGALITY",
    "FastRecovery",
    "Journal",
    "Locks",
    "OperationKind",
    "Parts",
    "Phase",
    "Policy",
    "Production",
    "Recovery",
    "RecoveryStep",
    "Resumed",
    "RunningCopy",
    "SqliteCatalog",
]
