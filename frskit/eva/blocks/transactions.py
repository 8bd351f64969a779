"""Lock, transactions, metadata and commits of a block store: all but volumes and bytes.

A change of structure is done at once and recorded with what takes it back. What could not be taken
back, the freeing of pages, is deferred to the commit. That is also what durability asks for: a
deletion widens what the remaining volumes may overwrite in place, so it must not happen before the
commit that contains it ([feasibility 11.3], traps 2 to 4).
"""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING

from frskit.errors import ArrayDamaged, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Self

    from frskit.eva.blocks.commit_log import CommitLog
    from frskit.eva.blocks.versions import Forest

__all__ = ["TransactionalStore"]

_FAILED = "the block store failed and must be opened again"


class TransactionalStore:
    """The base of `frskit.eva.blocks.store.BlockStore`.

    Args:
        forest: The versions, tables and pages.
        commit_log: Makes them durable; None for a store in memory.
        meta: The metadata as loaded.
    """

    def __init__(
        self, forest: Forest, commit_log: CommitLog | None, meta: dict[str, bytes]
    ) -> None:
        self._forest = forest
        self._commit_log = commit_log
        self._meta = meta
        self._lock = threading.RLock()
        self._unusable: str | None = None
        self._depth = 0
        self._undo: list[Callable[[], object]] = []
        self._deferred: list[Callable[[], object]] = []
        self._changed_meta: dict[str, bytes | None] = {}
        self._flush_asked = False
        if commit_log is not None:
            _open_stores.add(self)

    # --- metadata --------------------------------------------------------------------------

    def set_meta(self, key: str, value: bytes | None) -> None:
        """Keep a value of the layer above with the volumes, or forget it (None)."""
        with self.transaction():
            before = self._meta.get(key)
            self._undo.append(lambda: self._put_meta(key, before))
            self._put_meta(key, value)

    def _put_meta(self, key: str, value: bytes | None) -> None:
        if value is None:
            self._meta.pop(key, None)
        else:
            self._meta[key] = bytes(value)
        self._changed_meta[key] = value

    def get_meta(self, key: str) -> bytes | None:
        """The value kept under a key, or None."""
        with self._lock:
            self._check_usable()
            return self._meta.get(key)

    def meta_keys(self, prefix: str = "") -> list[str]:
        """The keys that begin with `prefix`, sorted."""
        with self._lock:
            self._check_usable()
            return sorted(key for key in self._meta if key.startswith(prefix))

    # --- transactions ----------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Join changes of structure and metadata into one: all of them, or none.

        It holds the store's lock. When the block is left by an exception, what was made in it is
        taken back - but bytes written in it stay, as on a disk. In a durable store the changes are
        durable, with all writes before them, when the block has been left. A transaction inside
        another one becomes part of it, and can still be taken back alone.

        Raises:
            InsufficientCapacity: The file system is full; the store must be opened again.
            ArrayDamaged: The store could not be written; it must be opened again.
        """
        with self._lock:
            self._check_usable()
            marks = len(self._undo), len(self._deferred)
            self._depth += 1
            try:
                yield
            except BaseException:
                self._roll_back(*marks)
                self._depth -= 1
                if self._flush_asked and not self._depth:
                    self._commit()
                raise
            self._depth -= 1
            if not self._depth:
                self._commit()

    def _roll_back(self, undo_mark: int, deferred_mark: int) -> None:
        if self._unusable is not None:
            return
        del self._deferred[deferred_mark:]
        try:
            while len(self._undo) > undo_mark:
                self._undo.pop()()
        except BaseException as error:
            self._retire(f"{_FAILED}: {error}")
            raise

    def _commit(self) -> None:
        self._flush_asked = False
        try:
            for action in self._deferred:
                action()
            self._forest.detach_complete()
            if self._commit_log is not None:
                self._commit_log.commit(self._forest, self._changed_meta)
        except BaseException as error:
            # Memory is now ahead of what is stored; only what is stored can be trusted.
            self._retire(f"{_FAILED}: {error}")
            raise
        self._undo.clear()
        self._deferred.clear()
        self._changed_meta.clear()
        self._forest.settle()

    def flush(self) -> None:
        """Return when every earlier write is durable; nothing to do for a store in memory.

        Inside a transaction it is done when the outermost one has been left, either way.

        Raises:
            InsufficientCapacity: The file system is full; the store must be opened again.
            ArrayDamaged: The store could not be written; it must be opened again.
        """
        with self._lock:
            self._check_usable()
            if self._depth:
                self._flush_asked = True
            elif self._commit_log is not None:
                self._commit()

    # --- the end ---------------------------------------------------------------------------

    def check(self) -> None:
        """Compare counters and free list with what the tables reach; loads all tables.

        Raises:
            ArrayDamaged: They do not agree, or the files are damaged.
        """
        with self._lock:
            self._check_usable()
            self._forest.check()
            if self._commit_log is not None:
                self._commit_log.check(self._forest)

    def close(self) -> None:
        """Make everything durable and give all up. Idempotent.

        Raises:
            UsageError: A transaction is open in this thread.
            InsufficientCapacity, ArrayDamaged: As `flush`; the store is closed nevertheless.
        """
        with self._lock:
            if self._depth:
                raise UsageError("a block store cannot be closed inside a transaction")
            try:
                if self._unusable is None and self._commit_log is not None:
                    self._commit()
                    self._commit_log.rest()
            finally:
                self._retire("the block store is closed")

    def _retire(self, why: str) -> None:
        if self._unusable is not None:
            return
        self._unusable = why
        _open_stores.discard(self)
        self._forest.live.clear()
        self._forest.pool.close()
        if self._commit_log is not None:
            self._commit_log.close()

    def _disown(self) -> None:
        """Make a durable store unusable in a forked child: it belongs to the parent process."""
        self._lock = threading.RLock()  # its owner may not exist here
        self._unusable = "the block store belongs to the parent process"
        self._forest.live.clear()
        if self._commit_log is not None:
            # Closing would let the database tidy up files that the parent is using.
            _disowned.append(self._commit_log)

    def _check_usable(self) -> None:
        if self._unusable is not None:
            failed = self._unusable.startswith(_FAILED)
            raise (ArrayDamaged if failed else UsageError)(
                self._unusable, hint="Open the store again."
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


_open_stores: weakref.WeakSet[TransactionalStore] = weakref.WeakSet()
_disowned: list[CommitLog] = []


def _disown_all() -> None:
    for store in list(_open_stores):
        store._disown()  # noqa: SLF001  # for the hook below alone; no caller may disown


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_all)
