"""The simulated Exchange store: databases, logs and a checkpoint made of real bytes.

`StorageGroupEngine` is one storage group's engine; everything else here is what it takes and
returns. The files have the published ESE formats and are opened by independent readers; the log
records are frskit's own, and nobody claims that Microsoft's engine would attach them.
"""

from frskit.exchange.store.adopted_database import AdoptedDatabase
from frskit.exchange.store.database import Database, DatabaseFiles
from frskit.exchange.store.engine import StorageGroupEngine
from frskit.exchange.store.engine_instance import EngineEvent
from frskit.exchange.store.places import Places
from frskit.exchange.store.row_codec import Message, StoredMessage
from frskit.exchange.store.snapshot_session import SnapshotSession
from frskit.exchange.store.snapshot_values import SnapshotKind, SnapshotState, TruncationReport
from frskit.exchange.store.soft_recovery import SoftRecoveryReport
from frskit.exchange.store.transaction import Transaction
from frskit.exchange.store.versions import (
    SMALL_LOGS,
    STORE_2003,
    StoreKind,
    StoreProfile,
)

__all__ = [
    "SMALL_LOGS",
    "STORE_2003",
    "AdoptedDatabase",
    "Database",
    "DatabaseFiles",
    "EngineEvent",
    "Message",
    "Places",
    "SnapshotKind",
    "SnapshotSession",
    "SnapshotState",
    "SoftRecoveryReport",
    "StorageGroupEngine",
    "StoreKind",
    "StoreProfile",
    "StoredMessage",
    "Transaction",
    "TruncationReport",
]
