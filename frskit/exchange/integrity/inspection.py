"""What a check saw: one item per file of a copy, one inspection per selected component.

Mutable notes of a check under way, and the facts that they amount to. Nothing is judged here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from frskit.codes.ese import EseError
from frskit.ese.logs import LogFileKind
from frskit.exchange.log_analysis.facts import CheckpointFact, DatabaseFact, LogFact, RecoveryFacts
from frskit.exchange.log_analysis.reading import database_fact, log_fact
from frskit.model.checks import CheckedFile, Coverage, FileVerdict
from frskit.model.files import FileRole
from frskit.model.server_paths import split_path

if TYPE_CHECKING:
    from frskit.model.components import Component, ComponentId
    from frskit.model.ese_files import Checkpoint, DatabaseHeader, LogHeader
    from frskit.protocols import FileRef

__all__ = ["Inspection", "Item"]


@define(kw_only=True, eq=False)
class Item:
    """One file of the copy, or one that should be there.

    Attributes:
        component: Component that names it.
        role: What it is.
        path: Server-native path on production.
        ref: The file in the copy; None = missing.
        foreign: Whether it is a page-only database [R-22].
        verdict: What its bytes say.
        detail: Why, if not OK.
        warning: What is worth knowing although it is OK.
        code: ESE error of the damage; 0 = none.
        coverage: How much its check can see.
        pages: Pages, or checksum records of a log.
        counts: Pages of a database by what they are, as eseutil counts them.
        generation: Of a log.
        needed: Whether recovery needs it; for logs decided by the judge.
        header: Of a database or streaming file.
        log_header, log_kind: Of a log.
        checkpoint: Of a checkpoint file.
    """

    component: Component
    role: FileRole
    path: str
    ref: FileRef | None
    foreign: bool = False
    verdict: FileVerdict = FileVerdict.OK
    detail: str = ""
    warning: str = ""
    code: int = 0
    coverage: Coverage = Coverage.FULL
    pages: int = 0
    counts: dict[str, int] = field(factory=dict)
    generation: int | None = None
    needed: bool = True
    header: DatabaseHeader | None = None
    log_header: LogHeader | None = None
    log_kind: LogFileKind | None = None
    checkpoint: Checkpoint | None = None

    @property
    def size_bytes(self) -> int:
        """Length; 0 if it is missing."""
        return 0 if self.ref is None else self.ref.size_bytes

    @property
    def file_name(self) -> str:
        """The path without its directory."""
        return split_path(self.path)[1]

    @property
    def is_streaming_file(self) -> bool:
        """Whether it is an .stm, by its name: a damaged header cannot say."""
        return self.role is FileRole.DATABASE and self.path.casefold().endswith(".stm")

    def damage(self, detail: str, native: int | str | None) -> None:
        """Note that the file is damaged."""
        self.verdict = FileVerdict.DAMAGED
        self.detail = detail
        self.code = native if isinstance(native, int) else EseError.DATABASE_CORRUPTED

    def checked(self) -> CheckedFile:
        """The line of the report."""
        return CheckedFile(
            component=self.component.id,
            path=self.path,
            role=self.role,
            verdict=self.verdict,
            detail=self.detail,
            coverage=self.coverage,
            size_bytes=self.size_bytes,
            pages=self.pages,
            generation=self.generation,
            needed=self.needed,
            counts=self.counts,
        )


@define(kw_only=True, eq=False)
class Inspection:
    """Everything that was seen of one selected component.

    Attributes:
        selected: The component; None for files that belong to none.
        base: Log prefix.
        items: Its files.
    """

    selected: ComponentId | None
    base: str = ""
    items: list[Item] = field(factory=list)

    @property
    def databases(self) -> list[Item]:
        """Database files without streaming files."""
        return [
            each
            for each in self.items
            if each.role is FileRole.DATABASE and not each.is_streaming_file
        ]

    @property
    def checkpoint(self) -> Item | None:
        """The checkpoint file."""
        return next((each for each in self.items if each.role is FileRole.CHECKPOINT), None)

    def logs(self, *kinds: LogFileKind) -> list[Item]:
        """Log files of these kinds that are there."""
        return [each for each in self.items if each.log_kind in kinds]

    def facts(self) -> RecoveryFacts:
        """The situation for the log analysis, damage of bodies included."""
        archived = {
            item.generation: _log(item, item.generation)
            for item in self.logs(LogFileKind.ARCHIVED)
            if item.generation is not None
        }
        current = self.logs(LogFileKind.CURRENT)
        # A current log that cannot be read is taken for the one after the last.
        guess = max(archived, default=0) + 1
        temporary = self.logs(LogFileKind.TEMPORARY)
        return RecoveryFacts(
            base=self.base,
            databases=tuple(_database(item) for item in self.databases),
            logs=dict(sorted(archived.items())),
            current=_log(current[0], None, guess) if current else None,
            temporary=any(item.log_header is not None for item in temporary),
            checkpoint=_checkpoint(self.checkpoint),
        )


def _database(item: Item) -> DatabaseFact:
    name = item.component.caption or item.file_name
    # A file that is there and cannot be read is an obstacle; one that is missing is just not there.
    if item.header is None and item.ref is not None:
        return DatabaseFact(
            name=name, foreign=item.foreign, obstacle=item.code or EseError.DATABASE_CORRUPTED
        )
    return database_fact(name, item.header, foreign=item.foreign)


def _log(item: Item, named: int | None, guess: int = 0) -> LogFact:
    return log_fact(item.file_name, named, item.log_header, item.code or None, guess=guess)


def _checkpoint(item: Item | None) -> CheckpointFact | None:
    if item is None or item.ref is None:
        return None
    if item.checkpoint is None:
        return CheckpointFact(generation=0, damaged=True)
    return CheckpointFact(
        generation=item.checkpoint.generation, signature=item.checkpoint.log_signature
    )
