"""One lock for everything that processes must not do at once: a lock on a file.

The operating system drops it with the process that held it, so a killed process leaves none behind
and there are no stale locks to clean up. `filelock` does it on every platform (flock on POSIX); it
is loaded when a lock is taken. A second holder is refused in the same process too.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from frskit.errors import Busy, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from filelock import BaseFileLock

    from frskit.clock import Budget

__all__ = ["file_lock"]

_POLL_S: Final = 0.02
"""Time between two tries; frskit's choice: short against any operation, long against a try."""


@contextmanager
def file_lock(
    path: str | os.PathLike[str], doing: str, *, budget: Budget | None = None
) -> Iterator[None]:
    """Keep every other process and thread out for the length of the block.

    Args:
        path: A file that is made if need be, readable for its owner only, and never removed.
        doing: What for, as the beginning of the message.
        budget: How long to wait; None = not at all.

    Raises:
        Busy: Somebody else held it until the end of the budget.
        Cancelled: As the budget says.
        ConfigurationError: The file cannot be made or locked.
    """
    from filelock import FileLock

    # Not per thread: another thread of this process is refused like any other holder.
    lock = FileLock(path, timeout=0, mode=0o600, thread_local=False)
    while not _taken(lock, doing):
        left_s = 0.0 if budget is None else budget.remaining_s()
        if budget is None or left_s == 0.0:
            raise Busy(
                f"{doing}: {os.fspath(path)} is held by another process or thread",
                context={"lock": os.fspath(path)},
            )
        # Only a cancellation is told from here; that time is up means Busy.
        if budget.token is not None and budget.token.cancelled:
            budget.check("waiting for a lock")
        budget.clock.sleep(_POLL_S if left_s is None else min(_POLL_S, left_s))
    try:
        yield
    finally:
        lock.release()


def _taken(lock: BaseFileLock, doing: str) -> bool:
    """Whether the lock could be taken just now."""
    from filelock import Timeout

    try:
        lock.acquire()
    except Timeout:
        return False
    except (OSError, NotImplementedError) as error:
        raise ConfigurationError(
            f"{doing}: {lock.lock_file} cannot be locked: {error}",
            hint="Keep it in a directory that this user can write, on a file system with locks.",
        ) from error
    return True
