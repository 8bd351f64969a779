"""Who may do what with a running engine at this moment: its lock, its state, its guards.

Every part of `StorageGroupEngine` asks the same gate. It changes nothing in the files.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from frskit.codes.ese import EseError
from frskit.errors import Busy, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from frskit.exchange.store.engine_instance import Instance
    from frskit.exchange.store.snapshot_session import SnapshotSession
    from frskit.exchange.store.transaction import Transaction

__all__ = ["EngineGate"]


class EngineGate:
    """What an engine is busy with, and whether it may begin something else.

    Attributes:
        lock: Held by every call that reads or changes the engine's state.
        transaction: The open transaction, if any.
        session: The backup session in progress, if any.
        closed: Whether the engine was closed; it is never opened again.
    """

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        # Taken again by its holder: `writing` polls, and a poll may end a freeze, which writes.
        self.lock: AbstractContextManager[bool] = threading.RLock()
        self.transaction: Transaction | None = None
        self.session: SnapshotSession | None = None
        self.closed = False

    # --- state

    def poll(self) -> None:
        """Let a freeze that lasts too long end here."""
        with self.lock:
            if self.session is not None:
                self.session.poll()

    @property
    def is_running(self) -> bool:
        """Whether the log stream is open."""
        return self._instance.log is not None and not self.closed

    @property
    def is_frozen(self) -> bool:
        """Whether a backup holds all writing; as of the last `poll`."""
        return self.session is not None and self.session.is_frozen

    # --- guards

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Around everything that writes: the engine runs and is not frozen.

        Raises:
            StoreError: The engine does not run (native -1029) or its log is broken (-510).
            Busy: It is frozen for a backup.
        """
        with self.lock:
            # The time first: nobody is refused because of a freeze that has lasted too long.
            self.poll()
            self.require_running()
            if self.session is not None and self.session.is_frozen:
                raise Busy(
                    "the storage group is frozen for a backup",
                    hint="Writing goes on after the thaw.",
                )
            yield

    @contextmanager
    def settled(self) -> Iterator[None]:
        """Around the calls of a backup session, which may work while the group is frozen."""
        with self.lock:
            self.poll()
            yield

    def require_running(self) -> None:
        """Refuse unless the log stream is open and whole; errors as `writing`."""
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

    def require_no_freeze(self, what: str) -> None:
        """Between prepare and thaw databases stay as they are (EXC-16, R-6).

        Raises:
            Busy: A backup is about to freeze the group, or has frozen it (native -2403).
        """
        if self.session is not None and self.session.blocks_administration:
            raise Busy(
                f"no {what} while a backup is being prepared",
                native=EseError.OS_SNAPSHOT_NOT_ALLOWED,
            )

    def settle_doomed(self) -> None:
        """Finish the rollback that had no room in the log."""
        if self.transaction is not None and self.transaction.is_doomed:
            self.transaction.rollback()
