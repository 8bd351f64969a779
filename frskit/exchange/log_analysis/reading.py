"""From files to facts: reads the headers that a log analysis needs, and nothing else.

Sources are whatever `frskit.ese` accepts: references into a presented copy, open files, bytes.
File names: [ese.md 10], [exchange.md 1.2]; which states replay can help: [ese.md 11.2].
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from frskit.codes.ese import EseError
from frskit.errors import FormatError
from frskit.ese import database_facts, read_checkpoint, read_database_header, read_log_header
from frskit.ese.logs import LogFileKind, parse_log_name
from frskit.exchange.log_analysis.facts import CheckpointFact, DatabaseFact, LogFact, RecoveryFacts
from frskit.model.ese_files import DatabaseState

if TYPE_CHECKING:
    from frskit.ese import Source
    from frskit.model.ese_files import DatabaseHeader, LogHeader

__all__ = [
    "DatabaseSource",
    "checkpoint_fact",
    "database_fact",
    "gather",
    "log_fact",
]

# -563 and -1226 are the engine's own numbers for it; the general one for the others is ours.
_HELPLESS = {
    DatabaseState.JUST_CREATED: EseError.DATABASE_CORRUPTED,
    DatabaseState.BEING_CONVERTED: EseError.DATABASE_INCOMPLETE_UPGRADE,
    DatabaseState.FORCE_DETACH: EseError.DATABASE_CORRUPTED,
    DatabaseState.INCREMENTAL_RESEED: EseError.DATABASE_INCOMPLETE_INCREMENTAL_RESEED,
    DatabaseState.REVERTING: EseError.DATABASE_CORRUPTED,
}
"""States that plain replay cannot help, with the engine's error [ese.md 11.2 2]."""


@frozen(kw_only=True)
class DatabaseSource:
    """A database file to be looked at.

    Attributes:
        name: Name for messages.
        source: The file; None = it is not there.
        path: Its path on production, as logs record it; empty if unknown.
        foreign: Whether it is page-only [R-22].
    """

    name: str
    source: Source | None
    path: str = ""
    foreign: bool = False


def database_fact(
    name: str, header: DatabaseHeader | FormatError | None, *, foreign: bool = False
) -> DatabaseFact:
    """The facts in a database's header; None = there is no file, an error = no good header."""
    if header is None:
        return DatabaseFact(name=name, present=False, foreign=foreign)
    if isinstance(header, FormatError):
        native = header.native if isinstance(header.native, int) else EseError.DATABASE_CORRUPTED
        return DatabaseFact(name=name, foreign=foreign, obstacle=native)
    facts = database_facts(name, header)
    required = facts.required
    return DatabaseFact(
        name=name,
        foreign=foreign,
        clean=facts.is_clean,
        required=(required.first, required.last) if required else (0, 0),
        committed=required.committed if required else 0,
        log_signature=facts.log_signature,
        db_signature=facts.db_signature,
        consistent=facts.consistent,
        attach=facts.attach,
        last_log_created=facts.gen_max_time,
        obstacle=0 if foreign else _obstacle(header),
    )


def _obstacle(header: DatabaseHeader) -> int:
    if header.state == DatabaseState.CLEAN_SHUTDOWN:
        return 0
    if header.state not in {each.value for each in DatabaseState}:
        return EseError.DATABASE_CORRUPTED
    return _HELPLESS.get(DatabaseState(header.state), 0)


def log_fact(
    name: str, named: int | None, header: LogHeader | None, error: int | None, *, guess: int = 0
) -> LogFact:
    """The facts in a log's header.

    Args:
        name: File name.
        named: Generation in the name; None for the current log.
        header: The header; None if it cannot be read.
        error: ESE error of the file by itself; None = good.
        guess: Generation of a current log whose header cannot be read.
    """
    if header is None:
        generation = guess if named is None else named
        return LogFact(
            name=name, generation=generation, named=named, error=error or EseError.LOG_FILE_CORRUPT
        )
    return LogFact(
        name=name,
        generation=header.generation,
        named=named,
        signature=header.log_signature,
        created=header.created,
        previous_created=header.previous_created,
        error=error or 0,
        attached=header.attachments,
    )


def checkpoint_fact(source: Source | None) -> CheckpointFact | None:
    """The facts in a checkpoint file; None if there is none."""
    if source is None:
        return None
    try:
        checkpoint = read_checkpoint(source)
    except FormatError:
        return CheckpointFact(generation=0, damaged=True)
    return CheckpointFact(generation=checkpoint.generation, signature=checkpoint.log_signature)


def gather(
    base: str,
    databases: Iterable[DatabaseSource],
    logs: Iterable[tuple[str, Source]],
    checkpoint: Source | None,
) -> RecoveryFacts:
    """The situation that these files make, from their headers.

    Args:
        base: Log prefix.
        databases: The databases of the storage group.
        logs: Files of the log directory, by name; files of other kinds are skipped.
        checkpoint: The checkpoint file, if there is one.

    Raises:
        HostError: A file cannot be read at all. Damage is a fact, not an error.
    """
    archived, current, temporary = _sort_logs(base, logs)
    return RecoveryFacts(
        base=base,
        databases=tuple(
            evolve(
                database_fact(each.name, _database_header(each.source), foreign=each.foreign),
                path=each.path,
            )
            for each in databases
        ),
        logs=dict(sorted(archived.items())),
        current=None
        if current is None
        else log_fact(
            current[0], None, *_log_header(current[1]), guess=max(archived, default=0) + 1
        ),
        temporary=temporary,
        checkpoint=checkpoint_fact(checkpoint),
    )


def _sort_logs(
    base: str, logs: Iterable[tuple[str, Source]]
) -> tuple[dict[int, LogFact], tuple[str, Source] | None, bool]:
    """Archived logs, the current one, and whether there is a usable temporary one."""
    archived: dict[int, LogFact] = {}
    current: tuple[str, Source] | None = None
    temporary = False
    for name, source in logs:
        parsed = parse_log_name(name, base)
        kind = None if parsed is None else parsed.kind
        if parsed is not None and parsed.generation is not None:
            archived[parsed.generation] = log_fact(name, parsed.generation, *_log_header(source))
        elif kind is LogFileKind.CURRENT:
            current = (name, source)
        elif kind is LogFileKind.TEMPORARY:
            # Without a good header it is only half made and cannot become the current log.
            temporary = _log_header(source)[0] is not None
    return archived, current, temporary


def _database_header(source: Source | None) -> DatabaseHeader | FormatError | None:
    if source is None:
        return None
    try:
        return read_database_header(source)
    except FormatError as error:
        return error


def _log_header(source: Source) -> tuple[LogHeader | None, int | None]:
    try:
        return read_log_header(source), None
    except FormatError as error:
        return None, error.native if isinstance(error.native, int) else EseError.LOG_FILE_CORRUPT
