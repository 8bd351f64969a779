"""What the parts of one running engine share, and its upkeep: flushing and the checkpoint.

One ESE instance = one log stream, one checkpoint, some databases. Order of writing: log, then
pages (after the header's required range was raised), then headers, then the checkpoint; so headers
may be ahead of the checkpoint, never behind it. Facts: [lab-store.md 4], [exchange.md 5.5].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, evolve, field, frozen

from frskit.errors import FormatError
from frskit.ese import CHECKPOINT_COPY_SIZE, pack_checkpoint_copy, read_checkpoint
from frskit.exchange.store.log_directory import join
from frskit.exchange.store.logged_changes import PageChanges
from frskit.model.ese_files import Checkpoint
from frskit.model.ese_structures import LgPos, LogTime

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from random import Random

    from frskit.clock import Clock
    from frskit.exchange.store.database import Database
    from frskit.exchange.store.log_directory import LogDirectory
    from frskit.exchange.store.log_writer import LogStream, StreamSettings
    from frskit.exchange.store.versions import StoreProfile
    from frskit.model.ese_structures import AttachInfo
    from frskit.protocols.small import FileSystem

__all__ = ["CheckpointFile", "EngineEvent", "Instance"]


@frozen(kw_only=True)
class EngineEvent:
    """An entry of the application event log, source ESE [exchange.md 3.6].

    Attributes:
        id: Event number.
        text: What happened.
        at: When, by the engine's clock.
    """

    id: int
    text: str
    at: datetime


class CheckpointFile:
    """The checkpoint file ``Enn.chk``.

    Args:
        fs: Volume of the system path.
        directory: The system path on it.
        base: Three characters, such as ``E00``.
    """

    def __init__(self, fs: FileSystem, directory: str, base: str) -> None:
        self.fs = fs
        self.path: str = join(directory, f"{base}.chk")

    def read(self) -> Checkpoint | None:
        """The checkpoint; None if there is none or it is unusable, which is not fatal."""
        if not self.fs.exists(self.path):
            return None
        try:
            with self.fs.open(self.path) as file:
                return read_checkpoint(file)
        except FormatError:
            return None

    def write(self, checkpoint: Checkpoint) -> None:
        """Store both copies, one after the other, so that one is always good."""
        raw = pack_checkpoint_copy(checkpoint)
        exists = self.fs.exists(self.path)
        with self.fs.edit(self.path) if exists else self.fs.create(self.path) as file:
            for at in (0, CHECKPOINT_COPY_SIZE):
                file.write_at(at, raw)
                file.sync()

    def remove(self) -> None:
        """Remove it, if it is there."""
        if self.fs.exists(self.path):
            self.fs.remove(self.path)
            # One that came back after a crash could hide logs that are needed [EXC-66].
            self.fs.sync()


@define(kw_only=True)
class Instance:
    """The shared state of a running engine.

    Attributes:
        directory: Names of the logs.
        checkpoint_file: The checkpoint on disk.
        checkpoint: The same, in memory.
        settings: What log headers repeat.
        profile: Sizes and habits.
        clock: Time.
        rng: Randomness, for signatures.
        log: The log stream; None until it is open.
        databases: Databases with a loaded header, by name.
        transaction_begin: Position of the open transaction's first record, if one is open.
        events: What an administrator would see.
    """

    directory: LogDirectory
    checkpoint_file: CheckpointFile
    settings: StreamSettings
    profile: StoreProfile
    clock: Clock
    rng: Random
    checkpoint: Checkpoint = field(factory=Checkpoint)
    log: LogStream | None = None
    databases: dict[str, Database] = field(factory=dict)
    transaction_begin: LgPos | None = None
    events: list[EngineEvent] = field(factory=list)

    @property
    def stream(self) -> LogStream:
        """The open log stream; callers have checked that there is one."""
        assert self.log is not None
        return self.log

    @property
    def changes(self) -> PageChanges:
        """Logged changes of pages."""
        return PageChanges(self.stream)

    def report(self, event_id: int, text: str) -> None:
        """Add an event."""
        self.events.append(EngineEvent(id=event_id, text=text, at=self.clock.now()))

    def attached(self) -> list[Database]:
        """The mounted databases, by dbid."""
        mounted = [each for each in self.databases.values() if each.attached]
        return sorted(mounted, key=lambda each: each.dbid)

    def attachments(self) -> Iterable[AttachInfo]:
        """What log headers and the checkpoint list."""
        return [each.attach_info() for each in self.attached()]

    def log_time(self) -> LogTime:
        """Now, as headers store it."""
        return LogTime.of(self.clock.now())

    # --- upkeep

    def flush_pages(self, limit: int | None = None, only: Database | None = None) -> int:
        """Write changed pages, the longest waiting first.

        Args:
            limit: At most about so many; pages they depend on come on top. None = all.
            only: Of this database alone.

        Returns:
            How many were written.
        """
        written = 0
        for database in [only] if only else list(self.databases.values()):
            left = None if limit is None else limit - written
            if left is not None and left <= 0:
                break
            # Pages that these need come along, so that it may be more than the limit.
            numbers = database.write_order(database.dirty()[:left])
            if numbers:
                self.write_pages(database, numbers)
            written += len(numbers)
        return written

    def write_pages(self, database: Database, numbers: list[int]) -> None:
        """Write pages of one database: images and log first, then the header, then the pages."""
        self.changes.log_before_write(database, numbers)
        self.stream.flush()
        self.raise_required(database)
        database.write_header()
        database.write_pages(numbers)

    def raise_required(self, database: Database) -> None:
        """Make the header promise the logs that changes up to now need."""
        generation = self.stream.generation
        # Exchange 2003 knows no committed generation [ese.md 2.1].
        committed = generation if self.profile.tracks_committed else 0
        database.header = evolve(
            database.header,
            dbtime_dirtied=max(database.header.dbtime_dirtied, database.dbtime),
            gen_max_required=max(database.header.gen_max_required, generation),
            gen_max_committed=max(database.header.gen_max_committed, committed),
            # Tells the log that is needed from another one of its number [ese.md 2.1].
            gen_max_creation_time=self.stream.header.created,
        )

    def note_generation(self) -> None:
        """Keep the committed generation of all headers up to date, where the profile has it."""
        if not self.profile.tracks_committed:
            return
        for database in self.attached():
            if database.header.gen_max_committed < self.stream.generation:
                database.header = evolve(database.header, gen_max_committed=self.stream.generation)
                database.write_header()

    def possible_checkpoint(self) -> LgPos:
        """How far the checkpoint may go: nothing before it is needed any more."""
        waiting = [each.oldest_change for each in self.databases.values()]
        positions = [each for each in [*waiting, self.transaction_begin] if each is not None]
        # What is not durable can still be lost, so the checkpoint stays before it.
        return min([*positions, self.stream.durable_position])

    def advance_checkpoint(self) -> None:
        """Move the checkpoint as far as possible: headers first, then the file."""
        self.stream.flush()
        position = self.possible_checkpoint()
        if position > self.checkpoint.position:
            # A checkpoint ahead of a header would make a good log set look incomplete [HAZ-22].
            for database in self.attached():
                self._raise_minimum(database, position.generation)
            self.write_checkpoint(position)
        if self.settings.parameters.circular_logging:
            self._drop_unneeded_logs()

    def _raise_minimum(self, database: Database, generation: int) -> None:
        minimum = max(
            generation,
            database.header.attach_position.generation,
            database.header.gen_min_required,
        )
        if minimum == database.header.gen_min_required:
            return
        database.header = evolve(database.header, gen_min_required=minimum)
        # A range must not end before it begins.
        if minimum > database.header.gen_max_required:
            self.raise_required(database)
        database.write_header()

    def write_checkpoint(self, position: LgPos) -> None:
        """Store a checkpoint at `position`."""
        self.checkpoint = evolve(
            self.checkpoint,
            position=position,
            log_signature=self.settings.signature,
            parameters=self.settings.parameters,
            version=1,
            attachments=tuple(self.attachments()),
        )
        self.checkpoint_file.write(self.checkpoint)

    def _drop_unneeded_logs(self) -> None:
        """Circular logging: logs below the checkpoint go [exchange.md 1.3]."""
        # Ascending, so that the logs that stay are contiguous whenever this stops [EXC-42].
        for generation, path in self.directory.archived().items():
            if generation >= self.checkpoint.generation:
                break
            self.directory.fs.remove(path)

    def upkeep(self) -> None:
        """What every commit does for the bounds of the profile."""
        self.note_generation()
        waiting = sum(each.dirty_count for each in self.attached())
        if waiting > self.profile.dirty_page_limit:
            self.flush_pages(self.profile.flush_batch_pages)
        depth = self.stream.generation - self.checkpoint.generation
        if depth > self.profile.checkpoint_depth_logs:
            self._catch_up()

    def _catch_up(self) -> None:
        """Write the pages that hold the checkpoint back, then move it."""
        # Half the depth, so that the next commits need not come here again (ours).
        target = self.stream.generation - self.profile.checkpoint_depth_logs // 2
        for database in self.attached():
            numbers = database.write_order(database.dirty_before(target))
            if numbers:
                self.write_pages(database, numbers)
        self.advance_checkpoint()
