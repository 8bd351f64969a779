"""Transactions and commits of a block store: what is done at once, taken back, or put off.

A change of structure is done at once and recorded with what takes it back. What could not be taken
back, the freeing of pages, is deferred to the commit. That is also what durability asks for: a
deletion widens what the remaining volumes may overwrite in place, so it must not happen before the
commit that contains it ([feasibility 11.3], traps 2 to 4).

What it is not: volumes, bytes or metadata. The parts that have these hold one `TransactionalStore`
and add to its lists.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from frskit.errors import UsageError
from frskit.eva.blocks.lifetime import Lifetime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from frskit.eva.blocks.commit_log import CommitLog
    from frskit.eva.blocks.versions import Forest

__all__ = ["TransactionalStore"]

_AUTO_COMMIT_CHANGES: Final = 1 << 18  # bounds the memory of uncommitted mappings; frskit's choice


class TransactionalStore:
    """One forest whose changes are made together or not at all; every other part holds it.

    Errors of `transaction`, `flush` and `close` are described at
    `frskit.eva.blocks.store.BlockStore`.

    Args:
        forest: The versions, tables and pages.
        commit_log: Makes them durable; None for a store in memory.

    Attributes:
        forest: As given.
        life: The lock, and whether the store may still be used.
        undo: Inside a transaction, what takes its changes back; the last one is done first.
        deferred: Inside a transaction, what happens only when the outermost one is committed.
        changed_meta: Metadata to be stored with the next commit; None for a value that is gone.
    """

    def __init__(self, forest: Forest, commit_log: CommitLog | None) -> None:
        self.forest: Forest = forest
        self.life: Lifetime = Lifetime(forest, commit_log)
        self.undo: list[Callable[[], object]] = []
        self.deferred: list[Callable[[], object]] = []
        self.changed_meta: dict[str, bytes | None] = {}
        self._commit_log = commit_log
        self._depth = 0
        self._flush_asked = False

    @property
    def durable(self) -> bool:
        """Whether commits reach files."""
        return self._commit_log is not None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Join changes into one, under the lock; an inner one can be taken back alone."""
        with self.life.lock:
            self.life.check()
            marks = len(self.undo), len(self.deferred)
            self._depth += 1
            try:
                yield
            except BaseException:
                try:
                    self._roll_back(*marks)
                finally:
                    self._depth -= 1
                if self._flush_asked and not self._depth and not self.life.is_over:
                    self._commit()
                raise
            self._depth -= 1
            if not self._depth:
                self._commit()

    def _roll_back(self, undo_mark: int, deferred_mark: int) -> None:
        if self.life.is_over:
            return
        del self.deferred[deferred_mark:]
        try:
            while len(self.undo) > undo_mark:
                self.undo.pop()()
        except BaseException as error:
            self.life.fail(error)
            raise

    def _commit(self) -> None:
        self._flush_asked = False
        try:
            for action in self.deferred:
                action()
            self.forest.detach_complete()
            if self._commit_log is not None:
                self._commit_log.commit(self.forest, self.changed_meta)
        except BaseException as error:
            # Memory is now ahead of what is stored; only what is stored can be trusted.
            self.life.fail(error)
            raise
        self.undo.clear()
        self.deferred.clear()
        self.changed_meta.clear()
        self.forest.settle()

    def flush(self) -> None:
        """Commit now if durable; inside a transaction, when the outermost one has been left."""
        with self.life.lock:
            self.life.check()
            if self._depth:
                self._flush_asked = True
            elif self._commit_log is not None:
                self._commit()

    def bound_changes(self) -> None:
        """Commit when many mappings have gathered that no transaction holds; under the lock."""
        if len(self.forest.tables.changes) > _AUTO_COMMIT_CHANGES and not self._depth:
            self._commit()

    def check(self) -> None:
        """Compare counters, free list and files with what the tables reach.

        Raises:
            ArrayDamaged: They do not agree.
        """
        with self.life.lock:
            self.life.check()
            self.forest.check()
            if self._commit_log is not None:
                self._commit_log.check()

    def close(self) -> None:
        """Make everything durable and end the store. Idempotent."""
        with self.life.lock:
            if self._depth:
                raise UsageError("a block store cannot be closed inside a transaction")
            try:
                if self._commit_log is not None and not self.life.is_over:
                    self._commit()
                    self._commit_log.rest()
            finally:
                self.life.close()
