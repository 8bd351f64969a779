"""Facts for roll-forward: what is required, how far logs reach, and where they stop.

Pure functions from headers to facts. The verdicts (can it be recovered, with which error number)
are for whoever owns the decision table; nothing is decided here. Facts from [ese.md 11.2];
the words "run" and "stop" are frskit's.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from attrs import field, frozen

from frskit.codes.ese import EseError
from frskit.model.ese_files import DatabaseState
from frskit.model.ese_structures import LgPos, LogTime, Signature
from frskit.model.reports import LogStatus, RequiredRange

if TYPE_CHECKING:
    from collections.abc import Iterable

    from frskit.model.ese_files import Checkpoint, DatabaseHeader
    from frskit.model.reports import LogReport

__all__ = [
    "CheckpointFacts",
    "ContiguousRun",
    "DatabaseFacts",
    "LogFacts",
    "RunStop",
    "checkpoint_facts",
    "contiguous_run",
    "database_facts",
    "log_facts",
    "logs_by_generation",
    "missing_generations",
    "required_range",
    "required_range_of",
]


@frozen(kw_only=True)
class DatabaseFacts:
    """What a database's header means for recovery.

    Attributes:
        name: The file.
        state: See `DatabaseState`.
        db_signature: Which database.
        log_signature: Which log stream it belongs to; unset if it was never logged.
        required: Logs needed; None if clean.
        consistent: Position of last consistency.
        attach: Position of the attach record.
        gen_max_time: Creation time that the log of the highest required generation must have;
            unset if the header does not say.
        page_size_bytes: Bytes per page.
    """

    name: str
    state: int = DatabaseState.CLEAN_SHUTDOWN.value
    db_signature: Signature = field(factory=Signature)
    log_signature: Signature = field(factory=Signature)
    required: RequiredRange | None = None
    consistent: LgPos = field(factory=LgPos)
    attach: LgPos = field(factory=LgPos)
    gen_max_time: LogTime = field(factory=LogTime)
    page_size_bytes: int = 4096

    @property
    def is_clean(self) -> bool:
        """Whether the state is "Clean Shutdown"."""
        return self.state == DatabaseState.CLEAN_SHUTDOWN


@frozen(kw_only=True)
class LogFacts:
    """What one log file means for recovery.

    Attributes:
        name: File name.
        generation: By the header; by the name if the header is unreadable.
        named_generation: By the name; None for the current log.
        signature: Identity of the stream; None if the header is unreadable.
        created: Creation time.
        previous_created: Creation time of the log before.
        error: ESE error number of the file itself (-501 ...); None if usable.
        torn: Whether the last write is broken but can be patched.
        checksum: Accumulated segment checksum (format 8); else 0.
        last_checksum: Checksum of the last used segment (format 8); else 0.
        previous_checksum: What the header says of the log before; 0 = says nothing.
        previous_is_last_only: Whether that covers the last segment only (update-minor 12).
    """

    name: str
    generation: int
    named_generation: int | None = None
    signature: Signature | None = field(factory=Signature)
    created: LogTime = field(factory=LogTime)
    previous_created: LogTime = field(factory=LogTime)
    error: int | None = None
    torn: bool = False
    checksum: int = 0
    last_checksum: int = 0
    previous_checksum: int = 0
    previous_is_last_only: bool = False

    @property
    def is_current(self) -> bool:
        """Whether this is ``Enn.log``."""
        return self.named_generation is None

    def follows(self, previous: LogFacts) -> bool:
        """Whether this log continues `previous` by number and creation time [ese.md 11.1]."""
        return (
            self.generation == previous.generation + 1 and self.previous_created == previous.created
        )

    def checksum_follows(self, previous: LogFacts) -> bool:
        """Whether the accumulated checksum agrees, as far as the header says one [ese.md 8]."""
        # Zero in formats that know no such sum [ese.md 6].
        if not self.previous_checksum:
            return True
        held = previous.last_checksum if self.previous_is_last_only else previous.checksum
        return self.previous_checksum == held


@frozen(kw_only=True)
class CheckpointFacts:
    """What the checkpoint file means for recovery.

    Attributes:
        generation: Log in which replay would begin.
        position: Where in it.
        signature: Identity of the stream.
        error: -533, -532 or -1812 if it cannot be used; else None.
    """

    generation: int = 0
    position: LgPos = field(factory=LgPos)
    signature: Signature = field(factory=Signature)
    error: int | None = None

    @property
    def usable(self) -> bool:
        """Whether recovery would start from it."""
        return self.error is None


class RunStop(Enum):
    """Why a run of logs ended."""

    END = "no more logs"
    HOLE = "a log is missing while later ones exist"
    DAMAGED = "the next log is damaged"
    OUT_OF_SEQUENCE = "the next log was created after another one"
    FOREIGN = "the next log belongs to another stream"
    CHECKSUM = "the next log saw another content of this one"


@frozen(kw_only=True)
class ContiguousRun:
    """How far unbroken logs reach from a start.

    Attributes:
        start: Generation asked for.
        last: Last generation reached; None if not even the first is usable.
        stop: Why the run ended there.
        stop_generation: First generation that does not belong to the run.
        stop_error: Error number of the log that stopped it: its own for a damaged one, -515,
            -530 or -590 for one that does not fit, -528 for a hole; None at the end.
        beyond: Generations present behind the stop, in order.
    """

    start: int
    last: int | None
    stop: RunStop
    stop_generation: int
    stop_error: int | None = None
    beyond: tuple[int, ...] = ()

    @property
    def generations(self) -> range:
        """The generations of the run; empty if there are none."""
        return range(self.start, self.start if self.last is None else self.last + 1)


def required_range_of(header: DatabaseHeader) -> RequiredRange | None:
    """The logs one database needs; None for a clean one, or one that was never logged.

    Clean, just created and converting databases carry zeros [ese.md 2.3].
    """
    first, last = header.gen_min_required, header.gen_max_required
    if header.is_clean or (first == 0 and last == 0):
        return None
    return RequiredRange(first=first, last=last, committed=header.committed)


def required_range(
    databases: Iterable[DatabaseHeader | DatabaseFacts | RequiredRange | None],
) -> RequiredRange | None:
    """The logs a set of databases needs: lowest minimum to highest maximum [EXC-55].

    None if all are clean.
    """
    ranges = [each for each in map(_range_of, databases) if each is not None]
    if not ranges:
        return None
    return RequiredRange(
        first=min(each.first for each in ranges),
        last=max(each.last for each in ranges),
        committed=max(each.committed for each in ranges),
    )


def _range_of(
    database: DatabaseHeader | DatabaseFacts | RequiredRange | None,
) -> RequiredRange | None:
    if database is None or isinstance(database, RequiredRange):
        return database
    if isinstance(database, DatabaseFacts):
        return database.required
    return required_range_of(database)


def database_facts(name: str, header: DatabaseHeader) -> DatabaseFacts:
    """The facts in a database header.

    The creation time is that of the highest *required* log where the header has it; else that of
    the highest committed log, if the two are the same log [ese.md 11.2, 6].
    """
    moment = header.gen_max_required_time
    if not moment.is_set and header.gen_max_required == header.committed:
        moment = header.gen_max_creation_time
    return DatabaseFacts(
        name=name,
        state=header.state,
        db_signature=header.db_signature,
        log_signature=header.log_signature,
        required=required_range_of(header),
        consistent=header.consistent_position,
        attach=header.attach_position,
        gen_max_time=moment,
        page_size_bytes=header.page_size_bytes,
    )


def log_facts(report: LogReport, named_generation: int | None) -> LogFacts:
    """The facts in the report on one log; `named_generation` None for the current log."""
    header = report.header
    if header is None:
        return LogFacts(
            name=report.name,
            generation=named_generation or 0,
            named_generation=named_generation,
            signature=None,
            error=report.error,
        )
    return LogFacts(
        name=report.name,
        generation=header.generation,
        named_generation=named_generation,
        signature=header.log_signature,
        created=header.created,
        previous_created=header.previous_created,
        error=report.error,
        torn=report.status is LogStatus.TORN,
        checksum=report.checksum,
        last_checksum=report.last_checksum,
        previous_checksum=header.previous_checksum,
        # Update-minor 12 stored the sum of the last segment only [ese.md 8].
        previous_is_last_only=header.has_segments and header.update_minor == 12,
    )


def checkpoint_facts(
    checkpoint: Checkpoint | None, error: int | None = None
) -> CheckpointFacts | None:
    """The facts in a checkpoint; None if there is no file at all."""
    if checkpoint is None:
        return None if error is None else CheckpointFacts(error=error)
    return CheckpointFacts(
        generation=checkpoint.generation,
        position=checkpoint.position,
        signature=checkpoint.log_signature,
        error=error,
    )


def logs_by_generation(logs: Iterable[LogFacts]) -> dict[int, LogFacts]:
    """One log per generation: an archived log goes before the current one [ese.md 11.2, 5]."""
    found: dict[int, LogFacts] = {}
    # False sorts first: an archived log is kept, the current one only fills a gap.
    for log in sorted(logs, key=lambda each: each.is_current):
        found.setdefault(log.generation, log)
    return found


def missing_generations(
    present: Iterable[int], first: int, last: int, limit: int = 1000
) -> tuple[int, ...]:
    """Generations of ``first..last`` that are not present, in order; at most `limit` of them."""
    have = set(present)
    found: list[int] = []
    for generation in range(first, last + 1):
        if len(found) >= limit:
            # A damaged header may claim millions; the list is for people to read (ours).
            break
        if generation not in have:
            found.append(generation)
    return tuple(found)


def contiguous_run(
    logs: Iterable[LogFacts], start: int, *, signature: Signature | None = None
) -> ContiguousRun:
    """Walk from `start` as far as each log is sound and continues the one before.

    Args:
        logs: In any order.
        start: First generation.
        signature: Stream that the logs must belong to; default: that of the first one.
    """
    found = logs_by_generation(logs)
    previous: LogFacts | None = None
    generation = start
    stop, error = RunStop.END, None
    while (log := found.get(generation)) is not None:
        # The caller's signature is for the first log; each further one must agree with the one
        # before.
        wanted = signature if previous is None else previous.signature
        refusal = _refusal(log, previous, wanted)
        if refusal is not None:
            stop, error = refusal
            break
        previous = log
        generation += 1
    # Logs that no walk reaches make a hole of what is missing before them [ese.md 11.2 5].
    beyond = tuple(sorted(each for each in found if each > generation))
    if log is None and beyond:
        stop, error = RunStop.HOLE, EseError.MISSING_LOG_FILE
    return ContiguousRun(
        start=start,
        last=None if previous is None else previous.generation,
        stop=stop,
        stop_generation=generation,
        stop_error=error,
        beyond=beyond,
    )


def _refusal(
    log: LogFacts, previous: LogFacts | None, signature: Signature | None
) -> tuple[RunStop, int] | None:
    """Why the log cannot be the next one; None if it can [ese.md 11.2, 5]."""
    if log.error is not None:
        return RunStop.DAMAGED, log.error
    if signature is not None and log.signature != signature:
        return RunStop.FOREIGN, EseError.BAD_LOG_SIGNATURE
    if previous is None:
        return None
    if not log.follows(previous):
        return RunStop.OUT_OF_SEQUENCE, EseError.INVALID_LOG_SEQUENCE
    if not log.checksum_follows(previous):
        return RunStop.CHECKSUM, EseError.LOG_SEQUENCE_CHECKSUM_MISMATCH
    return None
