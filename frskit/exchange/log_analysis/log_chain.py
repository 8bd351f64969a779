"""Chains of logs: which logs follow each other without a break, and what breaks them.

Judges facts, not bytes. Rules D1 to D3 of [exchange.md 5.5] and [ese.md 11.1, 11.2].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum

from attrs import frozen

from frskit.codes.ese import EseError
from frskit.exchange.log_analysis.facts import LogFact

__all__ = ["Break", "LogRun", "fault", "longest_run", "ranges"]


class Break(Enum):
    """Why a chain of logs ends although there are later ones, with the engine's error."""

    GAP = EseError.MISSING_LOG_FILE
    CHAIN = EseError.INVALID_LOG_SEQUENCE
    DAMAGE = EseError.LOG_FILE_CORRUPT


@frozen(kw_only=True)
class LogRun:
    """An unbroken chain of good logs.

    Attributes:
        first, last: Its generations.
        broken_by: Why it cannot go on although there are later logs; None = it simply ends.
        code: ESE error of what breaks it; 0 = nothing does.
    """

    first: int
    last: int
    broken_by: Break | None = None
    code: int = 0


def longest_run(
    stream: Mapping[int, LogFact], through: int, conflicts: frozenset[int]
) -> LogRun | None:
    """The unbroken chain of good logs around one generation; None if that log is not good."""
    if through not in stream or fault(stream, through, conflicts) is not None:
        return None
    first = last = through
    # Downwards the predecessor is the one to be judged, upwards the successor.
    while first - 1 in stream and _joint(stream, first, conflicts) is None:
        first -= 1
    broken: tuple[Break, int] | None = None
    while broken is None and last + 1 in stream:
        broken = _joint(stream, last + 1, conflicts, forward=True)
        last += broken is None
    if broken is None and any(each > last for each in stream):
        broken = (Break.GAP, Break.GAP.value)
    if broken is None:
        return LogRun(first=first, last=last)
    return LogRun(first=first, last=last, broken_by=broken[0], code=broken[1])


def fault(
    stream: Mapping[int, LogFact], generation: int, conflicts: frozenset[int]
) -> tuple[Break, int] | None:
    """What is wrong with one log by itself, and the engine's error for it; None = nothing."""
    if generation in conflicts:
        return Break.CHAIN, Break.CHAIN.value
    error = stream[generation].error
    return (Break.DAMAGE, error) if error else None


def _joint(
    stream: Mapping[int, LogFact], later: int, conflicts: frozenset[int], *, forward: bool = False
) -> tuple[Break, int] | None:
    """What keeps log `later` and its predecessor apart; looks at the far one of the two."""
    broken = fault(stream, later if forward else later - 1, conflicts)
    if broken is not None:
        return broken
    if stream[later].previous_created != stream[later - 1].created:
        return Break.CHAIN, Break.CHAIN.value
    return None


def ranges(generations: Iterable[int]) -> str:
    """``22-41, 50`` of ascending numbers."""
    groups: list[list[int]] = []
    for generation in sorted(generations):
        if groups and groups[-1][-1] == generation - 1:
            groups[-1].append(generation)
        else:
            groups.append([generation])
    return ", ".join(f"{g[0]}-{g[-1]}" if len(g) > 1 else str(g[0]) for g in groups)
