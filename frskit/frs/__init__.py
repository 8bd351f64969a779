"""The requestor: copies storage groups, checks them, and recovers from them.

`FastRecovery` is the face; the modules behind it follow the flow: `copying`, `recovery_plan`,
`recovering`, `resuming`, and what they keep: `catalog`, `journal`, `ledger`.
"""

from __future__ import annotations

from frskit.frs.deployment import Parts, Policy, Production, Recovery
from frskit.frs.recovery.legality import LEGALITY
from frskit.frs.requestor import FastRecovery, RunningCopy
from frskit.frs.resume import Resumed
from frskit.frs.state.catalog import SqliteCatalog
from frskit.frs.state.journal import Journal
from frskit.frs.state.journal_words import OperationKind, Phase, RecoveryStep
from frskit.frs.state.locks import Locks

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
