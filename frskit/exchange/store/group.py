"""The engine of one storage group: open, recover, mount, deliver, back up, close.

One engine = one ESE instance = one log stream, one checkpoint, up to five or so databases. It does
its work on file systems, time and randomness that it is given. It is not Microsoft's engine: the
files have the published formats and independent readers open them, the log records are frskit's
own. Facts: [lab-store.md], [exchange.md 1, 3, 5].
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from attrs import evolve

from frskit.errors import Busy, FileExists, FrskitError, NotFound, StoreError
from frskit.exchange.store.adopted import AdoptedDatabase
from frskit.exchange.store.btree import MessageTree
from frskit.exchange.store.database import Database, DatabaseFiles
from frskit.exchange.store.instance import CheckpointFile, Instance
from frskit.exchange.store.logdir import LogDirectory
from frskit.exchange.store.logfile import StreamSettings
from frskit.exchange.store.logrecords import Attach, CreateDatabase, encode_record
from frskit.exchange.store.profile import EXCHANGE_2003, StoreKind
from frskit.exchange.store.records import StoredMessage, decode_part
from frskit.exchange.store.snapshot import SnapshotKind, SnapshotSession
from frskit.exchange.store.startup import RecoveryReport, detach, new_header, recover
from frskit.exchange.store.transaction import Transaction
from frskit.model.ese_files import (
    Checkpoint,
    DatabaseState,
    DbmsParameters,
    LogTime,
    Signature,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from random import Random

    from frskit.clock import Clock
    from frskit.ese.sources import Readable
    from frskit.exchange.store.instance import EngineEvent
    from frskit.exchange.store.profile import StoreProfile
    from frskit.exchange.store.records import Message
    from frskit.protocols.small import FileSystem

__all__ = ["StorageGroupEngine"]

_MAX_DBID = 250
_MAX_MESSAGE_ID = (1 << 31) - 1


class StorageGroupEngine:
    """A storage group's engine; use `create` for a new group, `open` and `recover` for an old one.

    All methods may be called from several threads; one transaction is open at a time.
    """

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._lock = threading.RLock()
        self._files: dict[str, DatabaseFiles] = {}
        self._adopted: dict[str, AdoptedDatabase] = {}
        self._next_ids: dict[str, int] = {}
        self._transaction: Transaction | None = None
        self._session: SnapshotSession | None = None
        self._closed = False

    # --- life

    @classmethod
    def create(
        cls,
        fs_log: FileSystem,
        log_dir: str,
        fs_system: FileSystem,
        system_dir: str,
        base: str,
        *,
        clock: Clock,
        rng: Random,
        profile: StoreProfile = EXCHANGE_2003,
        circular: bool = False,
    ) -> StorageGroupEngine:
        """Begin a log stream at generation 1; the engine is running afterwards.

        Args:
            fs_log: Volume of the logs.
            log_dir: Their directory; made if it is not there.
            fs_system: Volume of the checkpoint.
            system_dir: Its directory; made if it is not there.
            base: Three characters, such as ``E00``.
            clock: Time.
            rng: Randomness, for signatures.
            profile: Sizes and habits.
            circular: Circular logging.

        Raises:
            FileExists: The directory holds logs already.
        """
        fs_log.makedirs(log_dir)
        fs_system.makedirs(system_dir)
        engine = cls.open(
            fs_log,
            log_dir,
            fs_system,
            system_dir,
            base,
            clock=clock,
            rng=rng,
            profile=profile,
            circular=circular,
        )
        directory = engine._instance.directory
        if directory.archived() or directory.has_current or directory.has_temporary:
            raise FileExists(
                f"{log_dir} holds logs of {base} already", context={"directory": log_dir}
            )
        engine.recover()
        return engine

    @classmethod
    def open(
        cls,
        fs_log: FileSystem,
        log_dir: str,
        fs_system: FileSystem,
        system_dir: str,
        base: str,
        *,
        clock: Clock,
        rng: Random,
        profile: StoreProfile = EXCHANGE_2003,
        circular: bool = False,
    ) -> StorageGroupEngine:
        """An engine for an existing stream, stopped: register its databases, then `recover`."""
        parameters = DbmsParameters(
            system_path=system_dir,
            log_path=log_dir,
            flags=int(circular),
            counters=(0, 0, 0, 0, 0, profile.log_sectors, profile.cache_pages),
        )
        signature = Signature(random=rng.getrandbits(32), created=LogTime.of(clock.now()))
        instance = Instance(
            directory=LogDirectory(fs_log, log_dir, base, profile.generation_digits),
            checkpoint_file=CheckpointFile(fs_system, system_dir, base),
            settings=StreamSettings(
                signature=signature, sectors=profile.log_sectors, parameters=parameters
            ),
            profile=profile,
            clock=clock,
            rng=rng,
        )
        return cls(instance)

    def recover(self, *, allow_missing: bool = False) -> RecoveryReport:
        """Soft recovery; afterwards the engine runs and all its databases are clean, unmounted.

        Args:
            allow_missing: Go on without databases that are missing.

        Raises:
            StoreError: Impossible; `native` is the engine's number. Nothing was changed.
            Busy: The engine is running already.
        """
        with self._lock:
            if self._closed or self._instance.log is not None:
                raise Busy("the engine is running already, or was closed")
            return recover(self._instance, list(self._files.values()), allow_missing=allow_missing)

    def close(self, *, clean: bool = True) -> None:
        """Stop. Clean: dismount everything first. Not clean: as a loss of power would.

        A snapshot session ends with the engine, as with a service restart (EXC-14).
        """
        with self._lock:
            if self._closed:
                return
            if clean and self._instance.log is not None:
                self._close_cleanly()
            self._closed = True
            self._session = None
            for database in self._instance.databases.values():
                database.close()
            if self._instance.log is not None:
                self._instance.log.close()

    def _close_cleanly(self) -> None:
        if self._session is not None:
            self._session.abort()
        if self._transaction is not None:
            self._transaction.rollback()
        for database in self._instance.attached():
            detach(self._instance, database)
        self._instance.advance_checkpoint()

    # --- databases

    def register_database(
        self,
        name: str,
        fs: FileSystem,
        path: str,
        *,
        display_path: str | None = None,
        kind: StoreKind = StoreKind.MAILBOX,
        stream_fs: FileSystem | None = None,
        stream_path: str = "",
        stream_display_path: str = "",
    ) -> None:
        """Say where a database of the group lies; nothing is touched.

        Args:
            name: Its name in the group.
            fs: Volume of the .edb.
            path: Path of the .edb.
            display_path: In the server's notation; default: `path`.
            kind: Mailbox or public folder store.
            stream_fs: Volume of the .stm; default: that of the .edb.
            stream_path: Path of the .stm; empty = there is none.
            stream_display_path: In the server's notation.

        Raises:
            FileExists: The group has a database of this name.
        """
        with self._lock:
            if name in self._files or name in self._adopted:
                raise FileExists(f"the group has a database {name}", context={"database": name})
            self._files[name] = DatabaseFiles(
                name=name,
                fs=fs,
                path=path,
                display_path=display_path or path,
                kind=kind,
                stream_fs=(stream_fs or fs) if stream_path else None,
                stream_path=stream_path,
                stream_display_path=stream_display_path,
            )

    def add_database(
        self,
        name: str,
        fs: FileSystem,
        path: str,
        *,
        display_path: str | None = None,
        kind: StoreKind = StoreKind.MAILBOX,
        stream_fs: FileSystem | None = None,
        stream_path: str = "",
        stream_display_path: str = "",
    ) -> Database:
        """Make a new, empty database and mount it. Arguments as `register_database`.

        Raises:
            FileExists: The group has a database of this name, or the file is there.
            Busy: The group is frozen.
        """
        with self._guard():
            if fs.exists(path):
                raise FileExists(f"{path} exists already", context={"path": path})
            self.register_database(
                name,
                fs,
                path,
                display_path=display_path,
                kind=kind,
                stream_fs=stream_fs,
                stream_path=stream_path,
                stream_display_path=stream_display_path,
            )
            try:
                return self._create_database(self._files[name])
            except FrskitError:
                del self._files[name]
                raise

    def _create_database(self, files: DatabaseFiles) -> Database:
        instance = self._instance
        record = CreateDatabase(
            dbid=self._free_dbid(),
            pages=instance.profile.initial_pages,
            legacy=instance.profile.legacy_initial_pages,
            signature=self._new_signature(),
            slv_signature=self._new_signature() if files.stream_fs is not None else Signature(),
            path=files.display_path,
        )
        position = instance.stream.append(encode_record(record))
        instance.stream.flush()
        database = Database.create(
            files,
            new_header(instance, record, position),
            pages=record.pages,
            legacy=record.legacy,
            cache_pages=instance.profile.cache_pages,
        )
        instance.raise_required(database)
        database.attached = True
        instance.databases[files.name] = database
        self._next_ids[files.name] = 1
        return database

    def _new_signature(self) -> Signature:
        return Signature(
            random=self._instance.rng.getrandbits(32), created=self._instance.log_time()
        )

    def _free_dbid(self) -> int:
        used = {each.dbid for each in self._instance.databases.values()}
        dbid = max(used, default=0) + 1
        if dbid > _MAX_DBID:
            raise StoreError("the group cannot hold another database", native=-1027)
        return dbid

    def mount(self, name: str) -> None:
        """Attach a clean database; does nothing if it is mounted.

        Raises:
            NotFound: No such database.
            StoreError: It is dirty (native -550), or a file is missing (-1811).
            Busy: The group is frozen, or a backup prevents it.
        """
        with self._guard():
            database = self._loaded(name)
            if database.attached:
                return
            self._require_no_freeze("mount")
            if not database.is_clean:
                raise StoreError(
                    f"{name} was not shut down cleanly",
                    hint="Recover the storage group first.",
                    context={"database": name},
                    native=-550,
                )
            database.check_stream_file()
            self._attach(database)
            self._next_ids[name] = self._first_free_id(database)

    def _loaded(self, name: str) -> Database:
        """The database, its header read again from disk if it is not mounted."""
        database = self._instance.databases.get(name)
        if database is not None and database.attached:
            return database
        if name not in self._files:
            raise NotFound(f"the group has no database {name}", context={"database": name})
        if database is not None:
            database.close()
        database = Database.load(self._files[name], cache_pages=self._instance.profile.cache_pages)
        self._instance.databases[name] = database
        return database

    def _attach(self, database: Database) -> None:
        instance = self._instance
        others = {each.dbid for each in instance.databases.values() if each is not database}
        dbid = database.dbid
        if dbid == 0 or dbid in others:
            database.header = evolve(database.header, dbid=0)
            dbid = self._free_dbid()
        header = database.header
        record = Attach(
            dbid=dbid,
            consistent=header.consistent_position,
            signature=header.db_signature,
            path=database.files.display_path,
        )
        position = instance.stream.append(encode_record(record))
        instance.stream.flush()
        database.header = evolve(
            header,
            state=DatabaseState.DIRTY_SHUTDOWN.value,
            dbid=dbid,
            log_signature=instance.settings.signature,
            attach_position=position,
            attach_time=instance.log_time(),
            gen_min_required=position.generation,
            gen_max_required=position.generation,
        )
        instance.raise_required(database)
        database.attached = True
        database.write_header()
        database.write_stream_file()

    def dismount(self, name: str) -> None:
        """Detach a database cleanly; does nothing if it is not mounted.

        Raises:
            NotFound: No such database.
            Busy: The group is frozen, a backup is about to freeze it, or a transaction is open.
        """
        with self._guard():
            if name not in self._files:
                raise NotFound(f"the group has no database {name}", context={"database": name})
            database = self._instance.databases.get(name)
            if database is None or not database.attached:
                return
            self._require_no_freeze("dismount")
            if self._transaction is not None:
                raise Busy("a transaction is open", context={"database": name})
            detach(self._instance, database)

    def forget_database(self, name: str) -> None:
        """Take an unmounted database out of the group; its files stay.

        Raises:
            NotFound: No such database.
            Busy: It is mounted.
        """
        with self._lock:
            database = self._instance.databases.get(name)
            if database is not None and database.attached:
                raise Busy(f"{name} is mounted", context={"database": name})
            if self._files.pop(name, None) is None and self._adopted.pop(name, None) is None:
                raise NotFound(f"the group has no database {name}", context={"database": name})
            self._instance.databases.pop(name, None)

    def adopt_database(
        self, name: str, fs: FileSystem, path: str, source: Readable | None = None
    ) -> AdoptedDatabase:
        """Take in a database of another engine, as it is and for good (R-22).

        Args:
            name: Its name in the group.
            fs: Volume.
            path: Where it is put.
            source: The file to copy; None if it was copied before.

        Raises:
            FileExists: The name or the path is taken.
            StoreError: The source is no database (native -1206).
        """
        with self._guard():
            if name in self._files or name in self._adopted:
                raise FileExists(f"the group has a database {name}", context={"database": name})
            files = DatabaseFiles(name=name, fs=fs, path=path, display_path=path)
            adopted = (
                AdoptedDatabase.load(files)
                if source is None
                else AdoptedDatabase.adopt(files, source)
            )
            self._adopted[name] = adopted
            return adopted

    @property
    def databases(self) -> Mapping[str, Database]:
        """The databases with a loaded header, by name; adopted ones are in `adopted`."""
        return dict(self._instance.databases)

    @property
    def database_files(self) -> Mapping[str, DatabaseFiles]:
        """Where the registered databases lie, by name."""
        return dict(self._files)

    @property
    def adopted(self) -> Mapping[str, AdoptedDatabase]:
        """The databases of other engines."""
        return dict(self._adopted)

    # --- messages

    def begin(self) -> Transaction:
        """Begin a transaction.

        Raises:
            Busy: Another one is open, or the group is frozen.
        """
        with self._guard():
            if self._transaction is not None:
                raise Busy("another transaction is open")
            self._transaction = Transaction(
                self._instance, self._guard, self._mounted, self._allocate_id, self._ended
            )
            return self._transaction

    def deliver(self, database: str, messages: Iterable[Message]) -> list[int]:
        """Store messages in one transaction; when this returns, they are acknowledged.

        Raises:
            NotFound: No such database, or it is not mounted.
            Busy: The group is frozen, or a transaction is open.
            StoreError: The engine could not do it; nothing of it stays.
        """
        with self._lock, self.begin() as transaction:
            return [transaction.insert(database, message) for message in messages]

    def delete_message(self, database: str, message_id: int) -> None:
        """Delete a message, in a transaction of its own. Errors as `deliver`."""
        with self._lock, self.begin() as transaction:
            transaction.delete(database, message_id)

    def replace_message(self, database: str, message_id: int, message: Message) -> None:
        """Give a message other content, in a transaction of its own. Errors as `deliver`."""
        with self._lock, self.begin() as transaction:
            transaction.replace(database, message_id, message)

    def messages(self, database: str) -> Iterator[StoredMessage]:
        """The stored messages in the order of their ids; also while the group is frozen.

        Raises:
            NotFound: No such database, or it is not mounted.
        """
        with self._lock:
            rows = [decode_part(data) for _, data in MessageTree(self._mounted(database)).walk()]
        bodies: dict[int, list[bytes]] = {}
        for row in rows:
            bodies.setdefault(row.id, []).append(row.body)
        for row in rows:
            if row.part == 0:
                yield StoredMessage(
                    id=row.id,
                    subject=row.subject,
                    body=b"".join(bodies[row.id]),
                    folder=row.folder,
                    txid=row.txid,
                )

    def count(self, database: str) -> int:
        """How many messages a mounted database holds."""
        return sum(1 for _ in self.messages(database))

    def _mounted(self, name: str) -> Database:
        database = self._instance.databases.get(name)
        if database is None or not database.attached:
            raise NotFound(
                f"{name} is not mounted",
                hint="Mount the database.",
                context={"database": name},
            )
        return database

    def _allocate_id(self, name: str) -> int:
        found = self._next_ids[name]
        if found > _MAX_MESSAGE_ID:
            raise StoreError(f"{name} has no free message numbers", native=-1092)
        self._next_ids[name] = found + 1
        return found

    @staticmethod
    def _first_free_id(database: Database) -> int:
        tree = MessageTree(database)
        data = tree.get(tree.last_key())
        return decode_part(data).id + 1 if data is not None else 1

    def _ended(self) -> None:
        self._transaction = None

    # --- upkeep

    def flush_pages(self, limit: int | None = None) -> int:
        """Write changed pages, the longest waiting first; returns how many."""
        with self._guard():
            return self._instance.flush_pages(limit)

    def advance_checkpoint(self) -> None:
        """Move the checkpoint as far as unwritten pages and open transactions allow."""
        with self._guard():
            self._instance.advance_checkpoint()

    def idle(self) -> None:
        """What a quiet engine does: write everything and move the checkpoint."""
        with self._guard():
            self._instance.flush_pages()
            self._instance.advance_checkpoint()

    def roll_log(self) -> None:
        """Close the current generation early and go on in the next."""
        with self._guard():
            self._instance.stream.roll()

    def poll(self) -> None:
        """Let the engine notice the time: a freeze that lasts too long ends here."""
        with self._lock:
            if self._session is not None:
                self._session.poll()

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint as last written."""
        return self._instance.checkpoint

    @property
    def checkpoint_generation(self) -> int:
        """Generation of the checkpoint."""
        return self._instance.checkpoint.generation

    @property
    def current_generation(self) -> int:
        """Generation that is being written; during a freeze, that of the prepared log."""
        self._require_running()
        return self._instance.stream.generation

    @property
    def lowest_generation(self) -> int:
        """Lowest generation on disk."""
        self._require_running()
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
    def profile(self) -> StoreProfile:
        """Sizes and habits."""
        return self._instance.profile

    @property
    def circular(self) -> bool:
        """Whether circular logging is on."""
        return self._instance.settings.parameters.circular_logging

    @property
    def log_files(self) -> list[str]:
        """Paths of the logs on their volume: archives ascending, then current and prepared."""
        directory = self._instance.directory
        more = [directory.current_path] if directory.has_current else []
        if directory.has_temporary:
            more.append(directory.temporary_path)
        return [*directory.archived().values(), *more]

    @property
    def checkpoint_path(self) -> str:
        """Path of the checkpoint file on its volume."""
        return self._instance.checkpoint_file.path

    @property
    def log_directory(self) -> LogDirectory:
        """Names of the stream's logs."""
        return self._instance.directory

    @property
    def events(self) -> list[EngineEvent]:
        """The engine's entries in the application event log."""
        return self._instance.events

    @property
    def is_running(self) -> bool:
        """Whether the log stream is open."""
        return self._instance.log is not None and not self._closed

    @property
    def is_frozen(self) -> bool:
        """Whether a backup holds all writing at this moment."""
        self.poll()
        return self._session is not None and self._session.is_frozen

    @property
    def snapshot_session(self) -> SnapshotSession | None:
        """The backup session in progress, if any."""
        self.poll()
        return self._session

    # --- backup

    def snapshot_prepare(self, kind: SnapshotKind = SnapshotKind.FULL) -> SnapshotSession:
        """Begin a backup session; one at a time.

        Raises:
            StoreError: A session is in progress (native -2403), or the engine is stopped (-1029).
        """
        with self._lock:
            self.poll()
            self._require_running()
            if self._session is not None:
                raise StoreError(
                    "a backup of the storage group is in progress",
                    hint="Wait until it completes, or abort it.",
                    retryable=True,
                    native=-2403,
                )
            self._session = SnapshotSession(
                self._instance,
                kind,
                self._session_lock,
                self._all_attached,
                lambda session: session is self._session,
                self._release_session,
            )
            return self._session

    def _all_attached(self) -> bool:
        mounted = {each.name for each in self._instance.attached()}
        return set(self._files) == mounted

    def _release_session(self, session: SnapshotSession) -> None:
        if self._session is session:
            self._session = None

    @contextmanager
    def _session_lock(self) -> Iterator[None]:
        with self._lock:
            self.poll()
            yield

    # --- guards

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Around everything that writes: the engine runs and is not frozen."""
        with self._lock:
            self.poll()
            self._require_running()
            if self._session is not None and self._session.is_frozen:
                raise Busy(
                    "the storage group is frozen for a backup",
                    hint="Writing goes on after the thaw.",
                )
            yield

    def _require_running(self) -> None:
        if not self.is_running:
            raise StoreError(
                "the engine of the storage group is not running",
                hint="Open and recover the storage group.",
                native=-1029,
            )

    def _require_no_freeze(self, what: str) -> None:
        """Between prepare and thaw databases stay as they are (EXC-16, R-6)."""
        if self._session is not None and self._session.blocks_administration:
            raise Busy(f"no {what} while a backup is being prepared", native=-2403)
