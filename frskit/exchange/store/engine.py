"""The engine of one storage group: open, recover, mount, deliver, back up, close.

One engine = one ESE instance = one log stream, one checkpoint, up to five or so databases. It does
its work on file systems, time and randomness that it is given. It is not Microsoft's engine: the
files have the published formats and independent readers open them, the log records are frskit's
own. Facts: [lab-store.md], [exchange.md 1, 3, 5].

`StorageGroupEngine` is put together from parts, each for itself: an `Instance` (the files and their
upkeep), an `EngineGate` (who may do what now), `DatabaseAdministration`, `MessageStore` and
`BackupSessions`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.errors import Busy, FileExists
from frskit.exchange.store.engine_backups import BackupSessions
from frskit.exchange.store.engine_databases import DatabaseAdministration
from frskit.exchange.store.engine_gate import EngineGate
from frskit.exchange.store.engine_instance import CheckpointFile, Instance
from frskit.exchange.store.log_directory import LogDirectory
from frskit.exchange.store.log_writer import StreamSettings
from frskit.exchange.store.message_store import MessageStore
from frskit.exchange.store.snapshot_values import SnapshotKind
from frskit.exchange.store.soft_recovery import SoftRecoveryReport, detach, recover
from frskit.exchange.store.versions import STORE_2003
from frskit.model.ese_structures import DbmsParameters, LogTime, Signature

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from random import Random

    from frskit.clock import Clock
    from frskit.ese import Readable
    from frskit.exchange.store.adopted_database import AdoptedDatabase
    from frskit.exchange.store.database import Database, DatabaseFiles
    from frskit.exchange.store.engine_instance import EngineEvent
    from frskit.exchange.store.places import Places
    from frskit.exchange.store.row_codec import Message, StoredMessage
    from frskit.exchange.store.snapshot_session import SnapshotSession
    from frskit.exchange.store.transaction import Transaction
    from frskit.exchange.store.versions import StoreProfile
    from frskit.model.ese_files import Checkpoint
    from frskit.protocols.small import FileSystem

__all__ = ["StorageGroupEngine"]


class StorageGroupEngine:
    """A storage group's engine; use `create` for a new group, `open` and `recover` for an old one.

    All methods may be called from several threads; one transaction is open at a time.
    """

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._gate = EngineGate(instance)
        self._databases = DatabaseAdministration(instance, self._gate)
        self._messages = MessageStore(instance, self._gate, self._databases)
        self._backups = BackupSessions(instance, self._gate, self._databases)

    # --- life

    @classmethod
    def create(
        cls,
        places: Places,
        *,
        clock: Clock,
        rng: Random,
        profile: StoreProfile = STORE_2003,
        circular: bool = False,
    ) -> StorageGroupEngine:
        """Begin a log stream at generation 1; the engine is running afterwards.

        Args:
            places: Where logs and checkpoint go; directories are made if they are not there.
            clock: Time.
            rng: Randomness, for signatures.
            profile: Sizes and habits.
            circular: Circular logging.

        Raises:
            FileExists: The directory holds logs already.
        """
        places.make_directories()
        engine = cls.open(places, clock=clock, rng=rng, profile=profile, circular=circular)
        directory = engine.log_directory
        if directory.archived() or directory.has_current or directory.has_temporary:
            raise FileExists(
                f"{places.log_dir} holds logs of {places.base} already",
                context={"directory": places.log_dir},
            )
        engine.recover()
        return engine

    @classmethod
    def open(
        cls,
        places: Places,
        *,
        clock: Clock,
        rng: Random,
        profile: StoreProfile = STORE_2003,
        circular: bool = False,
    ) -> StorageGroupEngine:
        """An engine for an existing stream, stopped: register its databases, then `recover`."""
        parameters = DbmsParameters(
            system_path=places.system_dir,
            log_path=places.log_dir,
            flags=int(circular),
            # Of the engine's settings only those that ours has a use for.
            counters=(0, 0, 0, 0, 0, profile.log_sectors, profile.cache_pages),
        )
        # For a new stream; recovery takes that of the logs which it finds.
        signature = Signature(random=rng.getrandbits(32), created=LogTime.of(clock.now()))
        instance = Instance(
            directory=LogDirectory(
                places.fs_log, places.log_dir, places.base, profile.generation_digits
            ),
            checkpoint_file=CheckpointFile(places.fs_system, places.system_dir, places.base),
            settings=StreamSettings(
                signature=signature, sectors=profile.log_sectors, parameters=parameters
            ),
            profile=profile,
            clock=clock,
            rng=rng,
        )
        return cls(instance)

    def recover(self, *, allow_missing: bool = False) -> SoftRecoveryReport:
        """Soft recovery; afterwards the engine runs and all its databases are clean, unmounted.

        Args:
            allow_missing: Go on without databases that are missing.

        Raises:
            StoreError: Impossible; `native` is the engine's number. Nothing was changed.
            Busy: The engine is running already.
        """
        with self._gate.lock:
            if self._gate.closed or self._instance.log is not None:
                raise Busy("the engine is running already, or was closed")
            files = list(self._databases.files.values())
            return recover(self._instance, files, allow_missing=allow_missing)

    def close(self, *, clean: bool = True) -> None:
        """Stop. Clean: dismount everything first. Not clean: as a loss of power would.

        A snapshot session ends with the engine, as with a service restart (EXC-14).
        """
        with self._gate.lock:
            if self._gate.closed:
                return
            # With a broken log nothing can be written any more: recovery will find what is on disk.
            if clean and self.is_running and not self._instance.stream.is_broken:
                self._close_cleanly()
            # Closed before the files are released, so that nobody begins anything in between.
            self._gate.closed = True
            self._gate.session = None
            for database in self._instance.databases.values():
                database.close()
            if self._instance.log is not None:
                self._instance.log.close()

    def _close_cleanly(self) -> None:
        if self._gate.session is not None:
            self._gate.session.abort()
        if self._gate.transaction is not None:
            self._gate.transaction.rollback()
        for database in self._instance.attached():
            detach(self._instance, database)
        self._instance.advance_checkpoint()

    # --- databases; errors as `DatabaseAdministration` says

    def register_database(self, files: DatabaseFiles) -> None:
        """Say where a database of the group lies; nothing is touched."""
        self._databases.register(files)

    def add_database(self, files: DatabaseFiles) -> Database:
        """Make a new, empty database and mount it."""
        return self._databases.add(files)

    def mount(self, name: str) -> None:
        """Attach a clean database; does nothing if it is mounted."""
        self._databases.mount(name)

    def dismount(self, name: str) -> None:
        """Detach a database cleanly; does nothing if it is not mounted."""
        self._databases.dismount(name)

    def forget_database(self, name: str) -> None:
        """Take an unmounted database out of the group; its files stay."""
        self._databases.forget(name)

    def adopt_database(
        self, name: str, fs: FileSystem, path: str, source: Readable | None = None
    ) -> AdoptedDatabase:
        """Take in a database of another engine, as it is and for good (R-22)."""
        return self._databases.adopt(name, fs, path, source)

    @property
    def databases(self) -> Mapping[str, Database]:
        """The databases with a loaded header, by name; adopted ones are in `adopted`."""
        return dict(self._instance.databases)

    @property
    def database_files(self) -> Mapping[str, DatabaseFiles]:
        """Where the registered databases lie, by name."""
        return dict(self._databases.files)

    @property
    def adopted(self) -> Mapping[str, AdoptedDatabase]:
        """The databases of other engines."""
        return dict(self._databases.adopted)

    def is_mounted(self, name: str) -> bool:
        """Whether a database is attached, so that messages can be read and written."""
        return self._databases.is_mounted(name)

    # --- messages; errors as `MessageStore` says

    def begin(self) -> Transaction:
        """Begin a transaction."""
        return self._messages.begin()

    def deliver(self, database: str, messages: Iterable[Message]) -> list[int]:
        """Store messages in one transaction; when this returns, they are acknowledged."""
        return self._messages.deliver(database, messages)

    def delete_message(self, database: str, message_id: int) -> None:
        """Delete a message, in a transaction of its own."""
        self._messages.delete(database, message_id)

    def replace_message(self, database: str, message_id: int, message: Message) -> None:
        """Give a message other content, in a transaction of its own."""
        self._messages.replace(database, message_id, message)

    def messages(self, database: str) -> Iterator[StoredMessage]:
        """The stored messages in the order of their ids; also while the group is frozen."""
        return self._messages.read(database)

    def count(self, database: str) -> int:
        """How many messages a mounted database holds, by their keys alone."""
        return self._messages.count(database)

    # --- upkeep

    def flush_pages(self, limit: int | None = None) -> int:
        """Write changed pages, the longest waiting first; returns how many."""
        with self._gate.writing():
            return self._instance.flush_pages(limit)

    def advance_checkpoint(self) -> None:
        """Move the checkpoint as far as unwritten pages and open transactions allow."""
        with self._gate.writing():
            self._instance.advance_checkpoint()

    def idle(self) -> None:
        """What a quiet engine does: write everything and move the checkpoint."""
        with self._gate.writing():
            self._instance.flush_pages()
            self._instance.advance_checkpoint()

    def roll_log(self) -> None:
        """Close the current generation early and go on in the next."""
        with self._gate.writing():
            self._instance.stream.roll()

    # --- backup; errors as `BackupSessions` says

    def snapshot_prepare(self, kind: SnapshotKind = SnapshotKind.FULL) -> SnapshotSession:
        """Begin a backup session; one at a time."""
        return self._backups.prepare(kind)

    @property
    def snapshot_session(self) -> SnapshotSession | None:
        """The backup session in progress, if any."""
        return self._backups.current

    def poll(self) -> None:
        """Let the engine notice the time: a freeze that lasts too long ends here."""
        self._gate.poll()

    # --- state

    @property
    def is_running(self) -> bool:
        """Whether the log stream is open."""
        return self._gate.is_running

    @property
    def is_frozen(self) -> bool:
        """Whether a backup holds all writing at this moment."""
        self._gate.poll()
        return self._gate.is_frozen

    @property
    def events(self) -> list[EngineEvent]:
        """The engine's entries in the application event log."""
        return self._instance.events

    @property
    def profile(self) -> StoreProfile:
        """Sizes and habits."""
        return self._instance.profile

    @property
    def circular(self) -> bool:
        """Whether circular logging is on."""
        return self._instance.settings.parameters.circular_logging

    # --- the log stream and its checkpoint

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint as last written."""
        return self._instance.checkpoint

    @property
    def checkpoint_generation(self) -> int:
        """Generation of the checkpoint."""
        return self._instance.checkpoint.generation

    @property
    def checkpoint_path(self) -> str:
        """Path of the checkpoint file on its volume."""
        return self._instance.checkpoint_file.path

    @property
    def current_generation(self) -> int:
        """Generation that is being written; during a freeze, that of the prepared log."""
        self._gate.require_running()
        return self._instance.stream.generation

    @property
    def lowest_generation(self) -> int:
        """Lowest generation on disk."""
        self._gate.require_running()
        return min([*self._instance.directory.archived(), self._instance.stream.generation])

    @property
    def log_signature(self) -> Signature:
        """Identity of the log stream."""
        return self._instance.settings.signature

    @property
    def base(self) -> str:
        """Base name of the logs, such as ``E00``."""
        return self._instance.directory.base

    @property
    def log_files(self) -> list[str]:
        """Paths of the logs on their volume: archives ascending, then current and prepared."""
        directory = self._instance.directory
        more = [directory.current_path] if directory.has_current else []
        if directory.has_temporary:
            more.append(directory.temporary_path)
        return [*directory.archived().values(), *more]

    @property
    def log_directory(self) -> LogDirectory:
        """Names of the stream's logs."""
        return self._instance.directory
