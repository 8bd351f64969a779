"""What a log analysis looks at: the databases, logs and checkpoint of one storage group.

Plain values without their bytes, so that the decision procedure in
`frskit.exchange.log_analysis.decision_table` can be tested with invented situations;
`frskit.exchange.log_analysis.reading` makes them of real files. What one database, log or checkpoint
means is said by `frskit.ese`; here is what only a storage group knows: which databases are its own,
which of them are missing, and what two sources hold. Input list of [exchange.md 5.5].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import evolve, field, frozen

from frskit.ese import (
    CheckpointFacts,
    DatabaseFacts,
    LogFacts,
    RequiredRange,
    logs_by_generation,
    required_range,
)

__all__ = ["GroupDatabase", "StorageGroupFacts", "merge", "needed_logs", "place_current"]

_NO_SUCH_LOG = RequiredRange(first=0, last=0, committed=0)
"""What a dirty database needs whose header names no log: generation 0, which no stream has."""


@frozen(kw_only=True)
class GroupDatabase:
    """A database that belongs to a storage group, whether its file is there or not.

    Attributes:
        name: Name for messages.
        path: Its path on production, as logs record it; empty if unknown.
        foreign: Whether it is a page-only store, whose logs are not judged [R-22].
        facts: What its header says; None if there is no file.
    """

    name: str
    path: str = ""
    foreign: bool = False
    facts: DatabaseFacts | None = None


@frozen(kw_only=True)
class StorageGroupFacts:
    """The situation of one storage group, to be judged.

    Attributes:
        base: Log base name, for messages (``E00``).
        databases: The databases of the storage group.
        logs: Archived logs by the generation in their name.
        current: The current log, if there is one.
        temporary: Whether the prepared next log ``Enntmp.log`` is there.
        checkpoint: The checkpoint file, if there is one.
        conflicts: Generations for which two sources hold different logs.
    """

    base: str = "E00"
    databases: tuple[GroupDatabase, ...] = ()
    logs: Mapping[int, LogFacts] = field(factory=dict, hash=False)
    current: LogFacts | None = None
    temporary: bool = False
    checkpoint: CheckpointFacts | None = None
    conflicts: frozenset[int] = frozenset()

    @property
    def stream(self) -> dict[int, LogFacts]:
        """Archived logs and the current log by generation, ascending."""
        current = () if self.current is None else (self.current,)
        return logs_by_generation((*self.logs.values(), *current))

    @property
    def judged(self) -> Sequence[DatabaseFacts]:
        """The databases whose logs matter: those that are there and not page-only."""
        return [
            each.facts for each in self.databases if each.facts is not None and not each.foreign
        ]

    @property
    def dirty(self) -> Sequence[DatabaseFacts]:
        """The databases that need logs."""
        return [each for each in self.judged if not each.is_clean]


def needed_logs(databases: Iterable[DatabaseFacts]) -> RequiredRange | None:
    """The logs that databases need together; None if all are clean [EXC-55].

    A dirty one whose header names no log needs generation 0, which no stream has: no logs can be
    shown to suffice for it (frskit's choice).
    """
    return required_range(each.required or _NO_SUCH_LOG for each in databases if not each.is_clean)


def place_current(current: LogFacts | None, archived: Iterable[int]) -> LogFacts | None:
    """The current log; one without a readable header stands behind the highest archived log."""
    if current is None or current.signature is not None:
        return current
    return evolve(current, generation=max(archived, default=0) + 1)


def merge(newest: StorageGroupFacts, *older: StorageGroupFacts) -> StorageGroupFacts:
    """The situation if the archived logs of several sources lay in one directory.

    Databases, checkpoint, current and temporary log are those of `newest`. A generation that two
    sources hold must be the same log, judged by {stream, generation, creation time}; otherwise it
    is a conflict: two timelines [exchange.md 5.5, combination rule, inferred].
    """
    logs, stream = dict(newest.logs), newest.stream
    conflicts = set(newest.conflicts)
    for source in older:
        conflicts |= source.conflicts
        for generation, log in source.logs.items():
            known = stream.get(generation) or logs.get(generation)
            if known is None:
                logs[generation] = log
            elif (known.signature, known.created) != (log.signature, log.created):
                conflicts.add(generation)
            elif known.error and not log.error:
                logs[generation] = log
    return evolve(newest, logs=dict(sorted(logs.items())), conflicts=frozenset(conflicts))
