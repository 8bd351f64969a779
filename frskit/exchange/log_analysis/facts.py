"""What a log analysis looks at: facts of databases, logs and checkpoint, without their bytes.

Plain values, so that the decision procedure in `frskit.exchange.log_analysis.decision_table` can be tested with
invented situations; `frskit.exchange.log_analysis.reading` makes them of real files. Input list of
[exchange.md 5.5].
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve, field, frozen

from frskit.model.ese_structures import AttachInfo, LgPos, LogTime, Signature

__all__ = ["CheckpointFact", "DatabaseFact", "LogFact", "RecoveryFacts", "merge"]

_NO_SIGNATURE = Signature()
_NO_POSITION = LgPos()
_NO_TIME = LogTime()


@frozen(kw_only=True)
class DatabaseFact:
    """What one database's header says, or that there is none.

    Attributes:
        name: Name for messages.
        path: Its path on production, as logs record it; empty if unknown.
        present: Whether the file is there.
        foreign: Whether it is a page-only store, whose logs are not judged [R-22].
        clean: Whether it was shut down cleanly and needs no log.
        required: Rmin and Rmax, first and last generation it needs.
        committed: Cmax, last generation with committed data; Rmax where unknown.
        log_signature: The log stream it belongs to; unset = never logged.
        db_signature: Its own identity.
        consistent: Position of its last consistency.
        attach: Position of its last attachment.
        last_log_created: Creation time that log Rmax must have; unset = not known [ese.md 11.2 6].
        obstacle: ESE error if no replay can help (unreadable header, half-upgraded ...); 0 = none.
    """

    name: str
    path: str = ""
    present: bool = True
    foreign: bool = False
    clean: bool = False
    required: tuple[int, int] = (0, 0)
    committed: int = 0
    log_signature: Signature = _NO_SIGNATURE
    db_signature: Signature = _NO_SIGNATURE
    consistent: LgPos = _NO_POSITION
    attach: LgPos = _NO_POSITION
    last_log_created: LogTime = _NO_TIME
    obstacle: int = 0

    @property
    def highest_committed(self) -> int:
        """Cmax, never below Rmax."""
        return max(self.required[1], self.committed)

    @property
    def dirty(self) -> bool:
        """Whether it needs logs."""
        return self.present and not self.foreign and not self.clean


@frozen(kw_only=True)
class LogFact:
    """One log file.

    Attributes:
        name: File name.
        generation: Generation in its header; that of the name if the header cannot be read.
        named: Generation in its name; None for the current log ``Enn.log``.
        signature: The stream it belongs to.
        created: When it was begun.
        previous_created: When the log before it was begun, as it remembers.
        error: ESE error of the file by itself (damage in header or body); 0 = good.
        attached: Databases attached when it was begun.
    """

    name: str
    generation: int
    named: int | None
    signature: Signature = _NO_SIGNATURE
    created: LogTime = _NO_TIME
    previous_created: LogTime = _NO_TIME
    error: int = 0
    attached: tuple[AttachInfo, ...] = ()


@frozen(kw_only=True)
class CheckpointFact:
    """The checkpoint file.

    Attributes:
        generation: Where replay would begin.
        signature: The stream it belongs to.
        damaged: Whether neither of its copies can be read.
    """

    generation: int
    signature: Signature = _NO_SIGNATURE
    damaged: bool = False


@frozen(kw_only=True)
class RecoveryFacts:
    """One situation to be judged.

    Attributes:
        base: Log base name, for messages (``E00``).
        databases: The databases of the storage group.
        logs: Archived logs by generation.
        current: The current log, if there is one.
        temporary: Whether the prepared next log ``Enntmp.log`` is there.
        checkpoint: The checkpoint file, if there is one.
        conflicts: Generations for which two sources hold different logs.
    """

    base: str = "E00"
    databases: tuple[DatabaseFact, ...] = ()
    logs: Mapping[int, LogFact] = field(factory=dict, hash=False)
    current: LogFact | None = None
    temporary: bool = False
    checkpoint: CheckpointFact | None = None
    conflicts: frozenset[int] = frozenset()

    @property
    def stream(self) -> dict[int, LogFact]:
        """Archived logs and the current log by generation, ascending."""
        every = dict(self.logs)
        if self.current is not None:
            every.setdefault(self.current.generation, self.current)
        return dict(sorted(every.items()))


def merge(newest: RecoveryFacts, *older: RecoveryFacts) -> RecoveryFacts:
    """The situation if the archived logs of several sources lay in one directory.

    Databases, checkpoint, current and temporary log are those of `newest`. A generation that two
    sources hold must be the same log, judged by {stream, generation, creation time}; otherwise it
    is a conflict: two timelines [exchange.md 5.5, combination rule, inferred].
    """
    logs = dict(newest.logs)
    conflicts = set(newest.conflicts)
    for source in older:
        conflicts |= source.conflicts
        for generation, log in source.logs.items():
            # The newest source decides, and its current log counts as well.
            known = newest.stream.get(generation) or logs.get(generation)
            if known is None:
                logs[generation] = log
            elif (known.signature, known.created) != (log.signature, log.created):
                conflicts.add(generation)
            # The same log by its creation time, and this twin of it is good.
            elif known.error and not log.error:
                logs[generation] = log
    return evolve(newest, logs=dict(sorted(logs.items())), conflicts=frozenset(conflicts))
