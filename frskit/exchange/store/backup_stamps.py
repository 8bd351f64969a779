"""What database headers remember of finished backups [exchange.md 3.5]."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from frskit.codes.exchange_events import EventId
from frskit.errors import FrskitError
from frskit.exchange.store.snapshot_values import SnapshotKind
from frskit.model.ese_structures import BackupRange

if TYPE_CHECKING:
    from frskit.exchange.store.engine_instance import Instance
    from frskit.model.ese_files import DatabaseHeader

__all__ = ["OS_SNAPSHOT", "stamp_headers"]

OS_SNAPSHOT = 1
"""Type of a backup in the header: OS snapshot [ese.md 2.1]."""


def stamp_headers(instance: Instance, kind: SnapshotKind, record: BackupRange) -> None:
    """Record a backup in the header of every attached database, at once (EXC-44, EXC-45)."""
    copies = instance.profile.stamps_copy_backups
    for database in instance.attached():
        database.header = _stamped(database.header, kind, record, copies=copies)
        try:
            database.write_header()
        except FrskitError as error:
            # The backup is good even if this header does not remember it [exchange.md 3.5].
            instance.report(
                EventId.HEADER_NOT_UPDATED,
                f"the header of {database.name} was not updated: {error}",
            )


def _stamped(
    header: DatabaseHeader, kind: SnapshotKind, record: BackupRange, *, copies: bool
) -> DatabaseHeader:
    full, incremental = header.full_backup_previous, header.incremental_backup_previous
    # An older mark never replaces a newer one [EXC-44].
    if kind is SnapshotKind.FULL and record.mark > full.mark:
        return evolve(
            header,
            full_backup_previous=record,
            full_backup_type=OS_SNAPSHOT,
            incremental_backup_previous=BackupRange(),
            incremental_backup_type=0,
            differential_backup_previous=BackupRange(),
            differential_backup_type=0,
        )
    if kind is SnapshotKind.INCREMENTAL and record.mark > incremental.mark:
        return evolve(
            header, incremental_backup_previous=record, incremental_backup_type=OS_SNAPSHOT
        )
    if not copies:
        return header
    if kind is SnapshotKind.COPY and record.mark > header.copy_backup_previous.mark:
        return evolve(header, copy_backup_previous=record, copy_backup_type=OS_SNAPSHOT)
    newer = record.mark > header.differential_backup_previous.mark
    if kind is SnapshotKind.DIFFERENTIAL and newer:
        return evolve(
            header, differential_backup_previous=record, differential_backup_type=OS_SNAPSHOT
        )
    return header
