"""Backup sessions of a running engine: one at a time. A part of `StorageGroupEngine`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.codes.ese import EseError
from frskit.errors import StoreError
from frskit.exchange.store.snapshot_session import SnapshotSession

if TYPE_CHECKING:
    from frskit.exchange.store.engine_databases import DatabaseAdministration
    from frskit.exchange.store.engine_gate import EngineGate
    from frskit.exchange.store.engine_instance import Instance
    from frskit.exchange.store.snapshot_values import SnapshotKind

__all__ = ["BackupSessions"]


class BackupSessions:
    """Begins backup sessions and knows which one is in progress."""

    def __init__(
        self, instance: Instance, gate: EngineGate, databases: DatabaseAdministration
    ) -> None:
        self._instance = instance
        self._gate = gate
        self._databases = databases

    @property
    def current(self) -> SnapshotSession | None:
        """The session in progress, if any."""
        self._gate.poll()
        return self._gate.session

    def prepare(self, kind: SnapshotKind) -> SnapshotSession:
        """Begin a session.

        Raises:
            StoreError: One is in progress (native -2403), or the engine is stopped (-1029).
        """
        gate = self._gate
        with gate.settled():
            gate.require_running()
            if gate.session is not None:
                raise StoreError(
                    "a backup of the storage group is in progress",
                    hint="Wait until it completes, or abort it.",
                    retryable=True,
                    native=EseError.OS_SNAPSHOT_NOT_ALLOWED,
                )
            gate.session = SnapshotSession(
                self._instance,
                kind,
                lock=gate.settled,
                all_attached=self._databases.all_attached,
                # Late calls of an old session must not act on a newer one.
                is_current=lambda session: session is gate.session,
                release=self._release,
            )
            return gate.session

    def _release(self, session: SnapshotSession) -> None:
        if self._gate.session is session:
            self._gate.session = None
