"""What the logs of a storage group allow: facts read, chains found, the decision made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit._lazy import face

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.exchange.log_analysis.case import AnalysisCase, Decision
    from frskit.exchange.log_analysis.decision_table import decide
    from frskit.exchange.log_analysis.facts import (
        CheckpointFact,
        DatabaseFact,
        LogFact,
        RecoveryFacts,
        merge,
    )
    from frskit.exchange.log_analysis.log_chain import Break, LogRun, fault, longest_run, ranges
    from frskit.exchange.log_analysis.reading import (
        DatabaseSource,
        checkpoint_fact,
        database_fact,
        gather,
        log_fact,
    )
    from frskit.exchange.log_analysis.truncation import truncation_bound, truncation_range

__all__ = [
    "AnalysisCase",
    "Break",
    "CheckpointFact",
    "DatabaseFact",
    "DatabaseSource",
    "Decision",
    "LogFact",
    "LogRun",
    "RecoveryFacts",
    "checkpoint_fact",
    "database_fact",
    "decide",
    "fault",
    "gather",
    "log_fact",
    "longest_run",
    "merge",
    "ranges",
    "truncation_bound",
    "truncation_range",
]

_HOMES = {
    "AnalysisCase": "frskit.exchange.log_analysis.case",
    "Break": "frskit.exchange.log_analysis.log_chain",
    "CheckpointFact": "frskit.exchange.log_analysis.facts",
    "DatabaseFact": "frskit.exchange.log_analysis.facts",
    "DatabaseSource": "frskit.exchange.log_analysis.reading",
    "Decision": "frskit.exchange.log_analysis.case",
    "LogFact": "frskit.exchange.log_analysis.facts",
    "RecoveryFacts": "frskit.exchange.log_analysis.facts",
    "LogRun": "frskit.exchange.log_analysis.log_chain",
    "checkpoint_fact": "frskit.exchange.log_analysis.reading",
    "database_fact": "frskit.exchange.log_analysis.reading",
    "decide": "frskit.exchange.log_analysis.decision_table",
    "fault": "frskit.exchange.log_analysis.log_chain",
    "gather": "frskit.exchange.log_analysis.reading",
    "log_fact": "frskit.exchange.log_analysis.reading",
    "longest_run": "frskit.exchange.log_analysis.log_chain",
    "merge": "frskit.exchange.log_analysis.facts",
    "ranges": "frskit.exchange.log_analysis.log_chain",
    "truncation_bound": "frskit.exchange.log_analysis.truncation",
    "truncation_range": "frskit.exchange.log_analysis.truncation",
}
__getattr__: Callable[[str], object]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = face(__name__, _HOMES)
