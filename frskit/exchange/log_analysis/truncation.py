"""Which logs a backup may delete: the engine's rule, and the requestor's stricter bound.

Pure arithmetic on generations [exchange.md 3.4; ese.md 11.4; resolutions R-9, R-12]. Only the
writer deletes; a requestor predicts.
"""

from __future__ import annotations

from collections.abc import Iterable

from frskit.ese import DatabaseFacts
from frskit.exchange.log_analysis.group_facts import needed_logs

__all__ = ["truncation_bound", "truncation_range"]


def truncation_range(*, lowest: int | None, checkpoint_at_freeze: int, copy_max: int) -> range:
    """The generations that a successful full or incremental backup deletes [EXC-35].

    ``lowest <= g < min(copy_max, checkpoint_at_freeze)``; empty if there is nothing to delete.
    """
    if lowest is None:
        return range(0)
    return range(lowest, max(lowest, min(copy_max, checkpoint_at_freeze)))


def truncation_bound(
    databases: Iterable[DatabaseFacts], checkpoint: int | None, copy_max: int | None
) -> int | None:
    """Generation below which a copy lets logs be deleted, by the stricter bound [R-12].

    The least of: Rmin of every dirty header of the copy (foreign databases are not among them), the
    copy's checkpoint, the copy's highest log. None if the copy gives no bound; then nothing may be deleted.
    """
    if copy_max is None or checkpoint is None:
        return None
    needed = needed_logs(databases)
    return min([copy_max, checkpoint, *([] if needed is None else [needed.first])])
