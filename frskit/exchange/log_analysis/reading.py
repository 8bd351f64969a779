"""From files to facts: reads the headers that a log analysis needs, and nothing else.

Sources are whatever `frskit.ese` accepts: references into a presented copy, open files, bytes.
File names: [ese.md 10], [exchange.md 1.2]. Bodies of logs are not read, so that their checksums are
not known here: a log whose predecessor has another content than it remembers is found by whoever
reads every byte, as `frskit.exchange.ExchangeChecker` does, and by the engine.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from attrs import frozen

from frskit.codes.ese import EseError
from frskit.errors import FormatError
from frskit.ese import (
    checkpoint_facts,
    database_facts,
    log_header_facts,
    read_checkpoint,
    read_database_header,
    read_log_header,
)
from frskit.ese.logs import LogFileKind, parse_log_name
from frskit.exchange.log_analysis.group_facts import GroupDatabase, StorageGroupFacts, place_current

if TYPE_CHECKING:
    from frskit.ese import CheckpointFacts, DatabaseFacts, LogFacts, Source

__all__ = ["DatabaseSource", "gather"]


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


def gather(
    base: str,
    databases: Iterable[DatabaseSource],
    logs: Iterable[tuple[str, Source]],
    checkpoint: Source | None,
) -> StorageGroupFacts:
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
    return StorageGroupFacts(
        base=base,
        databases=tuple(
            GroupDatabase(
                name=each.name,
                path=each.path,
                foreign=each.foreign,
                facts=None if each.source is None else _database(each.name, each.source),
            )
            for each in databases
        ),
        logs=dict(sorted(archived.items())),
        current=current,
        temporary=temporary,
        checkpoint=None if checkpoint is None else _checkpoint(checkpoint),
    )


def _sort_logs(
    base: str, logs: Iterable[tuple[str, Source]]
) -> tuple[dict[int, LogFacts], LogFacts | None, bool]:
    """Archived logs, the current one, and whether there is a usable temporary one."""
    archived: dict[int, LogFacts] = {}
    current: LogFacts | None = None
    temporary = False
    for name, source in logs:
        parsed = parse_log_name(name, base)
        kind = None if parsed is None else parsed.kind
        if parsed is not None and parsed.generation is not None:
            archived[parsed.generation] = _log(name, parsed.generation, source)
        elif kind is LogFileKind.CURRENT:
            current = _log(name, None, source)
        elif kind is LogFileKind.TEMPORARY:
            temporary = _log(name, None, source).error is None
    return archived, place_current(current, archived), temporary


def _database(name: str, source: Source) -> DatabaseFacts:
    try:
        return database_facts(name, read_database_header(source))
    except FormatError as error:
        return database_facts(name, error)


def _log(name: str, named_generation: int | None, source: Source) -> LogFacts:
    try:
        return log_header_facts(name, named_generation, read_log_header(source))
    except FormatError as error:
        native = error.native if isinstance(error.native, int) else None
        return log_header_facts(name, named_generation, None, native)


def _checkpoint(source: Source) -> CheckpointFacts | None:
    try:
        return checkpoint_facts(read_checkpoint(source))
    except FormatError as error:
        native = error.native if isinstance(error.native, int) else EseError.CHECKPOINT_CORRUPT
        return checkpoint_facts(None, native)
