"""What a check saw: one item per file of a copy, one inspection per selected component.

Mutable notes of a check under way, and the facts that they amount to. Nothing is judged here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, evolve, field

from frskit.codes.ese import EseError
from frskit.ese import DatabaseFacts, checkpoint_facts, database_facts, log_facts
from frskit.ese.logs import LogFileKind
from frskit.exchange.log_analysis.group_facts import GroupDatabase, StorageGroupFacts, place_current
from frskit.model.checks import CheckedFile, Coverage, FileVerdict
from frskit.model.files import FileRole
from frskit.model.server_paths import split_path

if TYPE_CHECKING:
    from frskit.ese import CheckpointFacts, LogFacts
    from frskit.model.components import Component, ComponentId
    from frskit.model.ese_files import Checkpoint, DatabaseHeader, LogHeader
    from frskit.model.log_points import LogPoint
    from frskit.model.reports import LogReport
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
        place: The same in its stream, once the stream is known.
        needed: Whether recovery needs it; for logs decided by the judge.
        header: Of a database or streaming file.
        log, log_kind: What was found in a log, and what it is by its name.
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
    place: LogPoint | None = None
    needed: bool = True
    header: DatabaseHeader | None = None
    log: LogReport | None = None
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
    def log_header(self) -> LogHeader | None:
        """Of a log; None if it is not readable."""
        return None if self.log is None else self.log.header

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
            log=self.place,
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

    def facts(self) -> StorageGroupFacts:
        """The situation for the log analysis, damage of bodies and checksums included."""
        archived = {
            item.generation: facts
            for item in self.logs(LogFileKind.ARCHIVED)
            if item.generation is not None and (facts := _log(item, item.generation)) is not None
        }
        current = next((_log(item, None) for item in self.logs(LogFileKind.CURRENT)), None)
        temporary = self.logs(LogFileKind.TEMPORARY)
        return StorageGroupFacts(
            base=self.base,
            databases=tuple(_database(item) for item in self.databases),
            logs=dict(sorted(archived.items())),
            current=place_current(current, archived),
            temporary=any(item.log_header is not None for item in temporary),
            checkpoint=_checkpoint(self.checkpoint),
        )


def _database(item: Item) -> GroupDatabase:
    name = item.component.caption or item.file_name
    facts = None
    if item.header is not None:
        facts = database_facts(name, item.header)
    elif item.ref is not None:
        facts = DatabaseFacts(name=name, state=0, error=item.code or EseError.DATABASE_CORRUPTED)
    return GroupDatabase(name=name, foreign=item.foreign, facts=facts)


def _log(item: Item, named_generation: int | None) -> LogFacts | None:
    """The facts in a log, with what was found beyond its checksums."""
    if item.log is None:
        return None
    facts = log_facts(item.log, named_generation)
    return evolve(facts, error=item.code or facts.error)


def _checkpoint(item: Item | None) -> CheckpointFacts | None:
    if item is None or item.ref is None:
        return None
    if item.checkpoint is None:
        return checkpoint_facts(None, item.code or EseError.CHECKPOINT_CORRUPT)
    return checkpoint_facts(item.checkpoint)
