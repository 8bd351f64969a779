"""One lock for everything that processes must not do at once: a lock on a file.

The operating system drops it with the process that held it, so a killed process leaves none behind
and there are no stale locks to clean up. `filelock` does it on every platform (flock on POSIX); it
is loaded when a lock is taken. A second holder is refused in the same process too.

A process forked while a lock is held neither keeps it nor can give it up: `filelock` (from 3.30 on)
closes the child's descriptor and takes the lock for free there. While it is held the file says by
which process; that is for messages, and nothing relies on it.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from frskit.errors import Busy, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from filelock import BaseFileLock

    from frskit.clock import Budget

__all__ = ["HeldLock", "file_lock", "take_file_lock"]

_POLL_S: Final = 0.02
"""Time between two tries; frskit's choice: short against any operation, long against a try."""


class HeldLock:
    """A lock that was taken with `take_file_lock`, until `release`.

    Args:
        release: Gives it up.
    """

    def __init__(self, release: Callable[[], object]) -> None:
        self._release = release

    def release(self) -> None:
        """Give it up. Idempotent; in a forked child it does nothing: the lock is the parent's."""
        self._release()


def take_file_lock(
    path: str | os.PathLike[str], doing: str, *, budget: Budget | None = None
) -> HeldLock:
    """Keep every other process and thread out until the lock is released, or the process ends.

    Args:
        path: A file that is made if need be, readable for its owner only, and never removed.
        doing: What for, as the beginning of the message.
        budget: How long to wait; None = not at all.

    Returns:
        The lock. Keep it: it is given up with the last reference.

    Raises:
        Busy: Somebody else held it until the end of the budget. `context` has ``lock``, the file,
            and ``holder``, the process id as text, empty if it is not known.
        Cancelled: As the budget says.
        ConfigurationError: The file cannot be made or locked.
    """
    lock = _lock_of(path, doing)
    while not _taken(lock, doing):
        left_s = 0.0 if budget is None else budget.remaining_s()
        if budget is None or left_s == 0.0:
            raise _busy(path, doing)
        if budget.token is not None and budget.token.cancelled:
            budget.check("waiting for a lock")
        budget.clock.sleep(_POLL_S if left_s is None else min(_POLL_S, left_s))
    return HeldLock(lock.release)


@contextmanager
def file_lock(
    path: str | os.PathLike[str], doing: str, *, budget: Budget | None = None
) -> Iterator[None]:
    """Keep every other process and thread out for the length of the block.

    Args:
        path: As `take_file_lock`.
        doing: As `take_file_lock`.
        budget: As `take_file_lock`.

    Raises:
        Busy, Cancelled, ConfigurationError: As `take_file_lock`.
    """
    held = take_file_lock(path, doing, budget=budget)
    try:
        yield
    finally:
        held.release()


def _lock_of(path: str | os.PathLike[str], doing: str) -> BaseFileLock:
    from filelock import FileLock

    try:
        # A file whose mere existence is the lock would outlive its process: no fallback to that.
        return FileLock(
            path,
            timeout=0,
            mode=0o600,
            thread_local=False,
            fallback_to_soft=False,
            on_acquired=_sign,
        )
    except ValueError as error:  # filelock has nothing but such files here
        raise ConfigurationError(
            f"{doing}: {os.fspath(path)} needs the file locks of a POSIX system or of Windows",
            hint="Run this part of the site on Linux.",
        ) from error


def _sign(descriptor: int) -> None:
    """Write into the file that was just locked whose it is."""
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, f"{os.getpid()}\n".encode())


def _busy(path: str | os.PathLike[str], doing: str) -> Busy:
    holder = ""
    with suppress(OSError):  # on Windows a locked file cannot be read
        holder = Path(path).read_text("ascii", "replace").strip()
    who = f"process {holder}" if holder.isdigit() else "another process or thread"
    return Busy(
        f"{doing}: {os.fspath(path)} is held by {who}",
        context={"lock": os.fspath(path), "holder": holder},
    )


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
