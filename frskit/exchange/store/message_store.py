"""The messages of a running engine: transactions that write them, and reading.

A part of `StorageGroupEngine`. There is one writer at a time and no isolation: who reads sees what
the open transaction has done so far. Facts: [lab-store.md 3].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.errors import Busy
from frskit.exchange.store.btree import MessageTree
from frskit.exchange.store.row_codec import StoredMessage, decode_part, is_first_part
from frskit.exchange.store.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from frskit.exchange.store.engine_databases import DatabaseAdministration
    from frskit.exchange.store.engine_gate import EngineGate
    from frskit.exchange.store.engine_instance import Instance
    from frskit.exchange.store.row_codec import Message

__all__ = ["MessageStore"]


class MessageStore:
    """Reads and writes messages of the mounted databases."""

    def __init__(
        self, instance: Instance, gate: EngineGate, databases: DatabaseAdministration
    ) -> None:
        self._instance = instance
        self._gate = gate
        self._databases = databases

    def begin(self) -> Transaction:
        """Begin a transaction.

        Raises:
            Busy: Another one is open, or the group is frozen.
        """
        gate = self._gate
        with gate.writing():
            gate.settle_doomed()
            if gate.transaction is not None:
                raise Busy("another transaction is open")
            gate.transaction = Transaction(
                self._instance,
                gate.writing,
                self._databases.mounted,
                self._databases.allocate_id,
                self._ended,
            )
            return gate.transaction

    def _ended(self) -> None:
        self._gate.transaction = None

    def deliver(self, database: str, messages: Iterable[Message]) -> list[int]:
        """Store messages in one transaction; when this returns, they are acknowledged.

        Raises:
            NotFound: No such database, or it is not mounted.
            Busy: The group is frozen, or a transaction is open.
            StoreError: The engine could not do it; nothing of it stays.
        """
        # Held throughout, so that no other thread meets the open transaction.
        with self._gate.lock, self.begin() as transaction:
            return [transaction.insert(database, message) for message in messages]

    def delete(self, database: str, message_id: int) -> None:
        """Delete a message, in a transaction of its own. Errors as `deliver`."""
        with self._gate.lock, self.begin() as transaction:
            transaction.delete(database, message_id)

    def replace(self, database: str, message_id: int, message: Message) -> None:
        """Give a message other content, in a transaction of its own. Errors as `deliver`."""
        with self._gate.lock, self.begin() as transaction:
            transaction.replace(database, message_id, message)

    def read(self, database: str) -> Iterator[StoredMessage]:
        """The stored messages in the order of their ids; also while the group is frozen.

        Raises:
            NotFound: No such database, or it is not mounted.
        """
        # Read under the lock and handed out after it, for the caller may take its time.
        with self._gate.lock:
            tree = MessageTree(self._databases.mounted(database))
            rows = [decode_part(data) for _, data in tree.walk()]
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
        """How many messages a mounted database holds, by their keys alone."""
        with self._gate.lock:
            tree = MessageTree(self._databases.mounted(database))
            return sum(is_first_part(key) for key in tree.walk_keys())
