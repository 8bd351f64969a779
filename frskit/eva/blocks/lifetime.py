"""How long a block store may be used, and by whom: its lock, its end, and forked children.

What it is: the lock that every part of one store takes, and the reason, once there is one, why the
store takes no calls any more: it was closed, it failed, or it belongs to the parent of this process.
What it is not: changes and commits; see `frskit.eva.blocks.transactions`.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING

from frskit.errors import ArrayDamaged, UsageError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from frskit.eva.blocks.commit_log import CommitLog
    from frskit.eva.blocks.versions import Forest

__all__ = ["Lifetime"]


class Lifetime:
    """The life of one store, from its opening to its end.

    Args:
        forest: The versions, tables and pages.
        commit_log: Makes them durable; None for a store in memory.

    Attributes:
        lock: Taken by every call, again by calls inside calls. Look it up for each call: a forked
            child gets another one, because nobody there would ever release the parent's.
    """

    def __init__(self, forest: Forest, commit_log: CommitLog | None) -> None:
        self.lock: AbstractContextManager[bool] = threading.RLock()
        self._forest = forest
        self._commit_log = commit_log
        self._end_message: str | None = None
        self._failed = False
        if commit_log is not None:
            _open_lives.add(self)

    @property
    def is_over(self) -> bool:
        """Whether the store takes no calls any more."""
        return self._end_message is not None

    def check(self) -> None:
        """Return if the store may be used.

        Raises:
            UsageError: It was closed, or belongs to the parent process.
            ArrayDamaged: It failed.
        """
        if self._end_message is not None:
            raise (ArrayDamaged if self._failed else UsageError)(
                self._end_message, hint="Open the store again."
            )

    def fail(self, error: BaseException) -> None:
        """End the store because memory and files do not agree; only the files can be trusted."""
        self._failed = self._failed or not self.is_over
        self._end(f"the block store failed and must be opened again: {error}")

    def close(self) -> None:
        """End the store; a second end changes nothing."""
        self._end("the block store is closed")

    def _end(self, message: str) -> None:
        if self._end_message is not None:
            return
        self._end_message = message
        _open_lives.discard(self)
        self._forest.live.clear()
        self._forest.pool.close()
        if self._commit_log is not None:
            self._commit_log.close()

    def disown(self) -> None:
        """Make a durable store unusable in a forked child: it belongs to the parent process."""
        self.lock = threading.RLock()  # the owner of the old one may not exist here
        self._end_message = "the block store belongs to the parent process"
        self._forest.live.clear()
        if self._commit_log is not None:
            # Closing would let the database tidy up files that the parent is using.
            _disowned.append(self._commit_log)


_open_lives: weakref.WeakSet[Lifetime] = weakref.WeakSet()
_disowned: list[CommitLog] = []


def _disown_all() -> None:
    for life in list(_open_lives):
        life.disown()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_all)
