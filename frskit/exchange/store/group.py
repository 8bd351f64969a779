"""The engine of one storage group: open, recover, mount, deliver, back up, close.

One engine = one ESE instance = one log stream, one checkpoint, up to five or so databases. It does
its work on file systems, time and randomness that it is given. It is not Microsoft's engine: the
files have the published formats and independent readers open them, the log records are frskit's
own. Facts: [lab-store.md], [exchange.md 1, 3, 5].
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from frskit.errors import Busy, FileExists, StoreError
from frskit.exchange.store.administration import DatabaseAdministration
from frskit.exchange.store.btree import MessageTree
from frskit.exchange.store.instance import CheckpointFile, Instance
from frskit.exchange.store.logdir import LogDirectory
from frskit.exchange.store.logfile import StreamSettings
from frskit.exchange.store.profile import EXCHANGE_2003
from frskit.exchange.store.records import StoredMessage, decode_part
from frskit.exchange.store.snapshot import SnapshotKind, SnapshotSession
from frskit.exchange.store.startup import RecoveryReport, detach, recover
from frskit.exchange.store.transaction import Transaction
from frskit.model.ese_files import DbmsParameters, LogTime, Signature

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from random import Random

    from frskit.clock import Clock
    from frskit.exchange.store.profile import StoreProfile
    from frskit.exchange.store.records import Message
    from frskit.protocols.small import FileSystem

__all__ = ["StorageGroupEngine"]


class StorageGroupEngine(DatabaseAdministration):
    """A storage group's engine; use `create` for a new group, `open` and `recover` for an old one.

    All methods may be called from several threads; one transaction is open at a time.
    """

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
        directory = engine._instance.directory  # noqa: SLF001  # a classmethod's own instance
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
            if clean and self.is_running and not self._instance.stream.is_broken:
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

    # --- messages

    def begin(self) -> Transaction:
        """Begin a transaction.

        Raises:
            Busy: Another one is open, or the group is frozen.
        """
        with self._guard():
            self._settle_doomed()
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

        Shows what an open transaction has done so far: there is one writer and no isolation.

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
                lock=self._session_lock,
                all_attached=self._all_attached,
                is_current=lambda session: session is self._session,
                release=self._release_session,
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
