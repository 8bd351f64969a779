"""One transaction: changes of messages that become durable together, or not at all.

A storage group has one open transaction at a time (frskit's choice: a single writer). Taking back
is logged as well, as compensating operations, so that a crash in the middle of it can be gone on
with. Facts: [lab-store.md 3].
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from frskit.errors import FrskitError, NotFound, UsageError
from frskit.exchange.store.btree import MessageTree
from frskit.exchange.store.log_records import (
    Begin,
    Commit,
    NodeChange,
    Operation,
    Record,
    Rollback,
    encode_record,
)
from frskit.exchange.store.row_codec import (
    Message,
    decode_part,
    encode_part,
    part_key,
    split_message,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from types import TracebackType
    from typing import Self

    from frskit.exchange.store.database import Database
    from frskit.exchange.store.engine_instance import Instance

__all__ = ["Transaction", "inverse", "transaction_id"]

# The tree fills in page, slot and dbtimes, which only it knows.
_PLACEHOLDER = 0


def transaction_id(generation: int, offset: int) -> int:
    """A number that no other transaction of the stream has: where it begins (frskit's choice)."""
    return generation << 32 | offset


def inverse(operation: Operation) -> Operation:
    """The compensating operation."""
    return Operation(
        kind=operation.kind.inverse,
        txid=operation.txid,
        dbid=operation.dbid,
        page=_PLACEHOLDER,
        before=0,
        after=0,
        slot=0,
        compensation=True,
        key=operation.key,
        old=operation.new,
        new=operation.old,
    )


class Transaction:
    """An open transaction; as a context manager it commits, or rolls back on an exception.

    Made by `StorageGroupEngine.begin`; its methods are called through the engine's lock.

    Attributes:
        id: Its number.
        is_doomed: Whether it could not be rolled back yet, and will be.
    """

    def __init__(
        self,
        instance: Instance,
        guard: Callable[[], AbstractContextManager[None]],
        database: Callable[[str], Database],
        allocate: Callable[[str], int],
        done: Callable[[], None],
    ) -> None:
        self._instance = instance
        self._guard = guard
        self._database = database
        self._allocate = allocate
        self._done = done
        self._undo: list[tuple[Database, Operation]] = []
        self._open = True
        self.is_doomed: bool = False
        # More than the record takes: if the log has to roll, it does so before the id is made of
        # the place.
        position = instance.stream.reserve(64)
        offset = position.sector * 512 + position.offset
        self.id: int = transaction_id(position.generation, offset)
        self._append(Begin(txid=self.id))
        # The checkpoint stays before it: undo reads the log from here.
        instance.transaction_begin = position

    @property
    def is_open(self) -> bool:
        """Whether it may still change something."""
        return self._open

    def insert(self, database: str, message: Message) -> int:
        """Store a message; returns its id."""
        with self._statement():
            store = self._database(database)
            message_id = self._allocate(database)
            for part in split_message(message, message_id, self.id):
                key = part_key(part.id, part.part)
                self._change(store, NodeChange.INSERT, key, b"", encode_part(part))
            return message_id

    def delete(self, database: str, message_id: int) -> None:
        """Remove a message.

        Raises:
            NotFound: There is no such message.
        """
        with self._statement():
            store = self._database(database)
            for key, data in self._parts(store, message_id):
                self._change(store, NodeChange.DELETE, key, data, b"")

    def replace(self, database: str, message_id: int, message: Message) -> None:
        """Give a message other content; its id stays.

        Raises:
            NotFound: There is no such message.
        """
        with self._statement():
            store = self._database(database)
            old = self._parts(store, message_id)
            new = [
                (part_key(part.id, part.part), encode_part(part))
                for part in split_message(message, message_id, self.id)
            ]
            # Rows that both have are replaced; the rest of the longer one is inserted or deleted
            # below.
            for (key, before), (_, after) in zip(old, new, strict=False):
                self._change(store, NodeChange.REPLACE, key, before, after)
            for key, after in new[len(old) :]:
                self._change(store, NodeChange.INSERT, key, b"", after)
            for key, before in old[len(new) :]:
                self._change(store, NodeChange.DELETE, key, before, b"")

    def commit(self) -> None:
        """Make everything durable; when this returns, it is acknowledged."""
        with self._guard():
            self._require_open()
            self._append(Commit(txid=self.id))
            self._instance.stream.flush()
            self._finish()
            # After the end, because upkeep may move the checkpoint past this transaction.
            self._instance.upkeep()

    def rollback(self) -> None:
        """Take everything back."""
        with self._guard():
            self._require_open()
            self._undo_to(0)
            self._append(Rollback(txid=self.id))
            self._finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._open:
            return
        if kind is None:
            try:
                self.commit()
            except FrskitError:
                self._give_up()
                raise
        elif issubclass(kind, Exception):
            self._give_up()

    @contextmanager
    def _statement(self) -> Iterator[None]:
        """One change of a message: if it fails half-way, its rows are taken back."""
        with self._guard():
            self._require_open()
            mark = len(self._undo)
            try:
                yield
            except FrskitError:
                self._undo_to(mark)
                raise

    def _undo_to(self, mark: int) -> None:
        while len(self._undo) > mark:
            store, operation = self._undo[-1]
            # Forgotten only when it is taken back: a rollback that breaks off goes on where it was.
            self._tree(store).change(inverse(operation))
            self._undo.pop()

    def _give_up(self) -> None:
        """Roll back now if that is possible, otherwise as soon as it is.

        A full log volume has no room for the records of a rollback either; the engine then tries
        again before the next transaction.
        """
        self.is_doomed = True
        with suppress(FrskitError):
            if self._open:
                self.rollback()

    def _require_open(self) -> None:
        if not self._open:
            raise UsageError("the transaction has ended")

    def _finish(self) -> None:
        self._open = False
        self._instance.transaction_begin = None
        self._done()

    def _append(self, record: Record) -> None:
        self._instance.stream.append(encode_record(record))

    def _tree(self, store: Database) -> MessageTree:
        return MessageTree(store, self._instance.changes, self._instance.profile.growth_pages)

    def _change(
        self, store: Database, kind: NodeChange, key: bytes, old: bytes, new: bytes
    ) -> None:
        operation = Operation(
            kind=kind,
            txid=self.id,
            dbid=store.dbid,
            page=_PLACEHOLDER,
            before=0,
            after=0,
            slot=0,
            compensation=False,
            key=key,
            old=old,
            new=new,
        )
        self._tree(store).change(operation)
        self._undo.append((store, operation))

    def _parts(self, store: Database, message_id: int) -> list[tuple[bytes, bytes]]:
        """The rows of a message, with their keys."""
        tree = self._tree(store)
        found: list[tuple[bytes, bytes]] = []
        while (data := tree.get(part_key(message_id, len(found)))) is not None:
            if decode_part(data).id != message_id:
                break
            found.append((part_key(message_id, len(found)), data))
        if not found:
            raise NotFound(
                f"{store.name} has no message {message_id}",
                hint="List the messages of the database.",
                context={"database": store.name, "message": message_id},
            )
        return found
