"""Facts for roll-forward: what is required, how far logs reach, and where they stop.

Pure functions from headers to facts. The verdicts (can it be recovered, with which error number)
are for whoever owns the decision table (`frskit.exchange.decide`); nothing is decided here. Facts
from [ese.md 11.2]; the words "run" and "stop" are frskit's.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from frskit.codes.ese import EseError
from frskit.errors import FormatError
from frskit.model.ese_files import DatabaseState
from frskit.model.ese_structures import LgPos, LogTime, Signature
from frskit.model.reports import LogStatus, RequiredRange

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from frskit.model.ese_files import Checkpoint, DatabaseHeader, LogHeader
    from frskit.model.ese_structures import AttachInfo
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
    "generation_ranges",
    "log_facts",
    "log_header_facts",
    "logs_by_generation",
    "longest_run",
    "missing_generations",
    "required_range",
    "required_range_of",
]

_HELPLESS = {
    DatabaseState.JUST_CREATED: EseError.DATABASE_CORRUPTED,
    DatabaseState.BEING_CONVERTED: EseError.DATABASE_INCOMPLETE_UPGRADE,
    DatabaseState.FORCE_DETACH: EseError.DATABASE_CORRUPTED,
    DatabaseState.INCREMENTAL_RESEED: EseError.DATABASE_INCOMPLETE_INCREMENTAL_RESEED,
    DatabaseState.REVERTING: EseError.DATABASE_CORRUPTED,
}
"""States that plain replay cannot help, with the engine's error [ese.md 11.2 2]."""


@frozen(kw_only=True)
class DatabaseFacts:
    """What a database's header means for recovery.

    Attributes:
        name: The file, or what messages shall call it.
        state: See `DatabaseState`; 0 if the header cannot be read.
        db_signature: Which database.
        log_signature: Which log stream it belongs to; unset if it was never logged.
        required: Logs needed; None if clean.
        consistent: Position of last consistency.
        attach: Position of the attach record.
        gen_max_time: Creation time that the log of the highest required generation must have;
            unset if the header does not say.
        page_size_bytes: Bytes per page.
        error: ESE error number if no replay can help (unreadable header, half-upgraded ...);
            else None.
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
    error: int | None = None

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
        checksum: Accumulated segment checksum (format 8), in other formats 0; None if the body was
            not read.
        last_checksum: Checksum of the last used segment (format 8), in other formats 0; None if
            the body was not read.
        previous_checksum: What the header says of the log before; 0 = says nothing.
        previous_is_last_only: Whether that covers the last segment only (update-minor 12).
        attached: Databases attached when the log was begun.
    """

    name: str
    generation: int
    named_generation: int | None = None
    signature: Signature | None = field(factory=Signature)
    created: LogTime = field(factory=LogTime)
    previous_created: LogTime = field(factory=LogTime)
    error: int | None = None
    torn: bool = False
    checksum: int | None = None
    last_checksum: int | None = None
    previous_checksum: int = 0
    previous_is_last_only: bool = False
    attached: tuple[AttachInfo, ...] = ()

    @property
    def is_current(self) -> bool:
        """Whether this is ``Enn.log``."""
        return self.named_generation is None

    @property
    def sought_generation(self) -> int:
        """Generation as which recovery opens it: by the name; by the header if it is current."""
        return self.generation if self.named_generation is None else self.named_generation

    def follows(self, previous: LogFacts) -> bool:
        """Whether this log continues `previous` by number and creation time [ese.md 11.1]."""
        return (
            self.generation == previous.generation + 1 and self.previous_created == previous.created
        )

    def checksum_follows(self, previous: LogFacts) -> bool:
        """Whether the accumulated checksum agrees, as far as both are known [ese.md 8]."""
        if not self.previous_checksum:
            return True
        held = previous.last_checksum if self.previous_is_last_only else previous.checksum
        return held is None or self.previous_checksum == held


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
    CONFLICT = "there are two different logs of the next generation"
    MISNAMED = "the next log has the name of another generation"
    OUT_OF_SEQUENCE = "the next log was created after another one"
    FOREIGN = "the next log belongs to another stream"
    CHECKSUM = "the next log saw another content of this one"


@frozen(kw_only=True)
class ContiguousRun:
    """How far unbroken logs reach from a start.

    Attributes:
        start: First generation of the run; the one asked for if that is not usable.
        last: Last generation reached; None if the one asked for is not usable.
        stop: Why the run ended there.
        stop_generation: First generation behind the run; the one asked for if that is not usable.
        stop_error: Error number of the log that stopped it: its own for a damaged one, -513,
            -515, -530 or -590 for one that does not fit, -528 for a hole; None at the end.
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
        return range(self.start, self.stop_generation)

    @property
    def reached(self) -> int:
        """Last generation reached; the one below the one asked for if there is none."""
        return self.stop_generation - 1


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


def database_facts(name: str, header: DatabaseHeader | FormatError) -> DatabaseFacts:
    """The facts in a database header, or in the failure to read one.

    The creation time is that of the highest *required* log where the header has it; else that of
    the highest committed log, if the two are the same log [ese.md 11.2, 6].
    """
    if isinstance(header, FormatError):
        native = header.native if isinstance(header.native, int) else EseError.DATABASE_CORRUPTED
        return DatabaseFacts(name=name, state=0, error=native)
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
        error=_obstacle(header.state),
    )


def _obstacle(state: int) -> int | None:
    """The engine's error for a state that replay cannot help; None for the others."""
    if state not in {each.value for each in DatabaseState}:
        return EseError.DATABASE_CORRUPTED
    return _HELPLESS.get(DatabaseState(state))


def log_facts(report: LogReport, named_generation: int | None) -> LogFacts:
    """The facts in the report on one log; `named_generation` None for the current log.

    A torn end is patched in the current log only; in an archived one it is damage [ese.md 11.1].
    """
    torn, error = report.status is LogStatus.TORN, report.error
    if torn and named_generation is not None:
        error = EseError.LOG_FILE_CORRUPT
    facts = log_header_facts(report.name, named_generation, report.header, error)
    if report.header is None:
        return facts
    return evolve(
        facts,
        torn=torn,
        checksum=report.checksum,
        last_checksum=report.last_checksum,
    )


def log_header_facts(
    name: str, named_generation: int | None, header: LogHeader | None, error: int | None = None
) -> LogFacts:
    """The facts in a log's header alone: nothing is known of the body and its checksums.

    Args:
        name: File name.
        named_generation: By the name; None for the current log.
        header: The header; None if it cannot be read.
        error: ESE error number of the file by itself; None if it is usable.
    """
    if header is None:
        return LogFacts(
            name=name,
            generation=named_generation or 0,
            named_generation=named_generation,
            signature=None,
            error=error or EseError.LOG_FILE_CORRUPT,
        )
    return LogFacts(
        name=name,
        generation=header.generation,
        named_generation=named_generation,
        signature=header.log_signature,
        created=header.created,
        previous_created=header.previous_created,
        error=error,
        previous_checksum=header.previous_checksum,
        # Update-minor 12 stored the sum of the last segment only [ese.md 8].
        previous_is_last_only=header.has_segments and header.update_minor == 12,
        attached=header.attachments,
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
    """One log per generation, as recovery would find it, ascending.

    An archived log goes before the current one [ese.md 11.2, 5].
    """
    found: dict[int, LogFacts] = {}
    # False sorts first: an archived log is kept, the current one only fills a gap.
    for log in sorted(logs, key=lambda each: each.is_current):
        found.setdefault(log.sought_generation, log)
    return dict(sorted(found.items()))


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


def generation_ranges(generations: Iterable[int]) -> str:
    """Generations for people, in ascending order: ``22-41, 50``."""
    groups: list[list[int]] = []
    for generation in sorted(generations):
        if groups and groups[-1][-1] == generation - 1:
            groups[-1].append(generation)
        else:
            groups.append([generation])
    return ", ".join(f"{g[0]}-{g[-1]}" if len(g) > 1 else str(g[0]) for g in groups)


def contiguous_run(
    logs: Iterable[LogFacts],
    start: int,
    *,
    signature: Signature | None = None,
    conflicts: Collection[int] = (),
) -> ContiguousRun:
    """Walk from `start` as far as each log is sound and continues the one before.

    Args:
        logs: In any order.
        start: First generation.
        signature: Stream that the logs must belong to; default: that of the first one.
        conflicts: Generations of which there are two different logs; none of them can be trusted.
    """
    found = logs_by_generation(logs)
    previous: LogFacts | None = None
    generation = start
    stop, error = RunStop.END, None
    while (log := found.get(generation)) is not None:
        # The caller's signature is for the first log; each further one must agree with the one
        # before.
        wanted = signature if previous is None else previous.signature
        refusal = _unfit(log, wanted, conflicts) or _apart(log, previous)
        if refusal is not None:
            stop, error = refusal
            break
        previous = log
        generation += 1
    beyond = tuple(each for each in found if each > generation)
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


def longest_run(
    logs: Iterable[LogFacts], through: int, *, conflicts: Collection[int] = ()
) -> ContiguousRun:
    """The run through a generation, from as far below it as logs are sound and continue each other.

    Args:
        logs: In any order.
        through: A generation of the run.
        conflicts: Generations of which there are two different logs; none of them can be trusted.
    """
    found = logs_by_generation(logs)
    run = contiguous_run(found.values(), through, conflicts=conflicts)
    if run.last is None:
        return run
    start, log = through, found[through]
    while (earlier := found.get(start - 1)) is not None:
        if _unfit(earlier, log.signature, conflicts) or _apart(log, earlier):
            break
        start, log = start - 1, earlier
    return evolve(run, start=start)


def _unfit(
    log: LogFacts, signature: Signature | None, conflicts: Collection[int]
) -> tuple[RunStop, int] | None:
    """Why a log cannot be used wherever it stands; None if it can [ese.md 11.2, 5]."""
    if log.sought_generation in conflicts:
        return RunStop.CONFLICT, EseError.INVALID_LOG_SEQUENCE
    if log.error is not None:
        return RunStop.DAMAGED, log.error
    if log.sought_generation != log.generation:
        return RunStop.MISNAMED, EseError.LOG_GENERATION_MISMATCH
    if signature is not None and log.signature != signature:
        return RunStop.FOREIGN, EseError.BAD_LOG_SIGNATURE
    return None


def _apart(log: LogFacts, previous: LogFacts | None) -> tuple[RunStop, int] | None:
    """Why a log does not continue the one before; None if it does [ese.md 11.2, 5]."""
    if previous is None:
        return None
    if not log.follows(previous):
        return RunStop.OUT_OF_SEQUENCE, EseError.INVALID_LOG_SEQUENCE
    if not log.checksum_follows(previous):
        return RunStop.CHECKSUM, EseError.LOG_SEQUENCE_CHECKSUM_MISMATCH
    return None
