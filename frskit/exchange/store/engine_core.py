"""What every part of a storage group's engine stands on: its state, its guards, what it shows.

The base class of `StorageGroupEngine`, kept apart because it changes nothing.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from frskit.codes.ese import EseError
from frskit.errors import Busy, NotFound, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frskit.exchange.store.adopted_database import AdoptedDatabase
    from frskit.exchange.store.database import Database, DatabaseFiles
    from frskit.exchange.store.engine_instance import EngineEvent, Instance
    from frskit.exchange.store.log_directory import LogDirectory
    from frskit.exchange.store.snapshot_session import SnapshotSession
    from frskit.exchange.store.transaction import Transaction
    from frskit.exchange.store.versions import StoreProfile
    from frskit.model.ese_files import Checkpoint, Signature

__all__ = ["EngineCore"]


class EngineCore:
    """State, status and guards of an engine."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._lock = threading.RLock()
        self._files: dict[str, DatabaseFiles] = {}
        self._adopted: dict[str, AdoptedDatabase] = {}
        self._next_ids: dict[str, int] = {}
        self._transaction: Transaction | None = None
        self._session: SnapshotSession | None = None
        self._closed = False

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

    def is_mounted(self, name: str) -> bool:
        """Whether a database is attached, so that messages can be read and written."""
        database = self._instance.databases.get(name)
        return database is not None and database.attached

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

    # --- guards

    def _mounted(self, name: str) -> Database:
        database = self._instance.databases.get(name)
        if database is None or not database.attached:
            raise NotFound(
                f"{name} is not mounted",
                hint="Mount the database.",
                context={"database": name},
            )
        return database

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
                native=EseError.NOT_INITIALIZED,
            )
        if self._instance.stream.is_broken:
            raise StoreError(
                "the log of the storage group could not be written; the engine is down",
                hint="Repair the log volume, then close the engine and recover the group.",
                native=EseError.LOG_WRITE_FAIL,
            )

    def _settle_doomed(self) -> None:
        """Finish the rollback that had no room in the log."""
        if self._transaction is not None and self._transaction.is_doomed:
            self._transaction.rollback()

    def _require_no_freeze(self, what: str) -> None:
        """Between prepare and thaw databases stay as they are (EXC-16, R-6)."""
        if self._session is not None and self._session.blocks_administration:
            raise Busy(
                f"no {what} while a backup is being prepared",
                native=EseError.OS_SNAPSHOT_NOT_ALLOWED,
            )
