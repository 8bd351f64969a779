"""Deleting the logs that a finished backup makes superfluous: ascending, and without a gap after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.codes.exchange_events import EventId
from frskit.errors import FileMissing, FrskitError
from frskit.exchange.store.snapshot_values import TruncationReport

if TYPE_CHECKING:
    from frskit.exchange.store.engine_instance import Instance

__all__ = ["delete_logs", "nothing_deleted"]


def nothing_deleted(instance: Instance, limit: int) -> TruncationReport:
    """Say that no log may go."""
    instance.report(EventId.NO_LOGS_DELETED, "no log files can be truncated")
    return TruncationReport(deleted=(), missing=(), limit=limit, event=EventId.NO_LOGS_DELETED)


def delete_logs(instance: Instance, limit: int) -> TruncationReport:
    """Delete the logs below a generation; what remains is without a gap (EXC-40)."""
    directory = instance.directory
    archived = directory.archived()
    lowest = min(archived, default=limit)
    if lowest >= limit:
        return nothing_deleted(instance, limit)
    deleted: list[int] = []
    missing: list[int] = []
    failed = None
    for generation in range(lowest, limit):
        try:
            directory.fs.remove(archived.get(generation, directory.archive_path(generation)))
        except FileMissing:
            # Removed by hand: counted for event 227, and no error [EXC-39].
            missing.append(generation)
            continue
        except FrskitError:
            # What is left stays contiguous [EXC-40].
            failed = generation
            break
        deleted.append(generation)
    directory.fs.sync()
    _report(instance, deleted, missing)
    return TruncationReport(
        deleted=tuple(deleted),
        missing=tuple(missing),
        limit=limit,
        event=EventId.LOGS_DELETED if deleted else EventId.NO_LOGS_DELETED,
        failed=failed,
    )


def _report(instance: Instance, deleted: list[int], missing: list[int]) -> None:
    if deleted:
        first, last = (instance.directory.archive_path(each) for each in (deleted[0], deleted[-1]))
        instance.report(EventId.LOGS_DELETED, f"deleting log files {first} to {last}")
    else:
        instance.report(EventId.NO_LOGS_DELETED, "no log files can be truncated")
    if missing:
        instance.report(
            EventId.LOGS_TO_DELETE_MISSING, f"{len(missing)} log files of the range were missing"
        )
