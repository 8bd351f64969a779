"""What a requestor keeps between calls: catalog, journal, locks, and their records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit._lazy import face

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.frs.state.catalog import SqliteCatalog
    from frskit.frs.state.journal import Journal, JournalOperation
    from frskit.frs.state.journal_words import (
        RECOVERING,
        CopyStep,
        DeletionStep,
        Phase,
        RecoveryStep,
        RequestorOperation,
    )
    from frskit.frs.state.late_files import LateFiles
    from frskit.frs.state.locks import Locks

__all__ = [
    "RECOVERING",
    "CopyStep",
    "DeletionStep",
    "Journal",
    "JournalOperation",
    "LateFiles",
    "Locks",
    "Phase",
    "RecoveryStep",
    "RequestorOperation",
    "SqliteCatalog",
]

_HOMES = {
    "CopyStep": "frskit.frs.state.journal_words",
    "DeletionStep": "frskit.frs.state.journal_words",
    "Journal": "frskit.frs.state.journal",
    "JournalOperation": "frskit.frs.state.journal",
    "LateFiles": "frskit.frs.state.late_files",
    "Locks": "frskit.frs.state.locks",
    "RequestorOperation": "frskit.frs.state.journal_words",
    "Phase": "frskit.frs.state.journal_words",
    "RECOVERING": "frskit.frs.state.journal_words",
    "RecoveryStep": "frskit.frs.state.journal_words",
    "SqliteCatalog": "frskit.frs.state.catalog",
}
__getattr__: Callable[[str], object]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = face(__name__, _HOMES)
