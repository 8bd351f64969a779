"""The Exchange writer: its component tree, its backups, and the seam outwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit._lazy import face

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.exchange.writer.backups import NEXT_STATE, BackupJob, GroupBackup, JobState
    from frskit.exchange.writer.component_tree import (
        FOREIGN_CONTAINER,
        LOGS_NAME,
        checkpoint_files,
        component_tree,
        database_files,
        group_component,
        is_foreign,
        log_base,
        log_files,
    )
    from frskit.exchange.writer.writer import ExchangeWriter

__all__ = [
    "FOREIGN_CONTAINER",
    "LOGS_NAME",
    "NEXT_STATE",
    "BackupJob",
    "ExchangeWriter",
    "GroupBackup",
    "JobState",
    "checkpoint_files",
    "component_tree",
    "database_files",
    "group_component",
    "is_foreign",
    "log_base",
    "log_files",
]

_HOMES = {
    "BackupJob": "frskit.exchange.writer.backups",
    "ExchangeWriter": "frskit.exchange.writer.writer",
    "FOREIGN_CONTAINER": "frskit.exchange.writer.component_tree",
    "GroupBackup": "frskit.exchange.writer.backups",
    "JobState": "frskit.exchange.writer.backups",
    "LOGS_NAME": "frskit.exchange.writer.component_tree",
    "NEXT_STATE": "frskit.exchange.writer.backups",
    "checkpoint_files": "frskit.exchange.writer.component_tree",
    "component_tree": "frskit.exchange.writer.component_tree",
    "database_files": "frskit.exchange.writer.component_tree",
    "group_component": "frskit.exchange.writer.component_tree",
    "is_foreign": "frskit.exchange.writer.component_tree",
    "log_base": "frskit.exchange.writer.component_tree",
    "log_files": "frskit.exchange.writer.component_tree",
}
__getattr__: Callable[[str], object]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = face(__name__, _HOMES)
