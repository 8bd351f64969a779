"""What the logs of a storage group allow: its facts gathered, the decision made.

Facts of one database, log or checkpoint, and runs of logs, are those of `frskit.ese`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit._lazy import face

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.exchange.log_analysis.case import AnalysisCase, Decision
    from frskit.exchange.log_analysis.decision_table import decide
    from frskit.exchange.log_analysis.group_facts import (
        GroupDatabase,
        StorageGroupFacts,
        merge,
        needed_logs,
    )
    from frskit.exchange.log_analysis.reading import DatabaseSource, gather
    from frskit.exchange.log_analysis.truncation import truncation_bound, truncation_range

__all__ = [
    "AnalysisCase",
    "DatabaseSource",
    "Decision",
    "GroupDatabase",
    "StorageGroupFacts",
    "decide",
    "gather",
    "merge",
    "needed_logs",
    "truncation_bound",
    "truncation_range",
]

_HOMES = {
    "AnalysisCase": "frskit.exchange.log_analysis.case",
    "DatabaseSource": "frskit.exchange.log_analysis.reading",
    "Decision": "frskit.exchange.log_analysis.case",
    "GroupDatabase": "frskit.exchange.log_analysis.group_facts",
    "StorageGroupFacts": "frskit.exchange.log_analysis.group_facts",
    "decide": "frskit.exchange.log_analysis.decision_table",
    "gather": "frskit.exchange.log_analysis.reading",
    "merge": "frskit.exchange.log_analysis.group_facts",
    "needed_logs": "frskit.exchange.log_analysis.group_facts",
    "truncation_bound": "frskit.exchange.log_analysis.truncation",
    "truncation_range": "frskit.exchange.log_analysis.truncation",
}
_DEPRECATED = {
    "Break": "frskit.ese.RunStop",
    "CheckpointFact": "frskit.ese.CheckpointFacts",
    "DatabaseFact": "frskit.ese.DatabaseFacts",
    "LogFact": "frskit.ese.LogFacts",
    "LogRun": "frskit.ese.ContiguousRun",
    "RecoveryFacts": "frskit.exchange.log_analysis.StorageGroupFacts",
    "checkpoint_fact": "frskit.ese.checkpoint_facts",
    "database_fact": "frskit.ese.database_facts",
    "fault": "frskit.ese.contiguous_run",
    "log_fact": "frskit.ese.log_header_facts",
    "longest_run": "frskit.ese.longest_run",
    "ranges": "frskit.ese.generation_ranges",
}
__getattr__: Callable[[str], object]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = face(__name__, _HOMES, deprecated=_DEPRECATED)
