"""Small durable files: replaced at one instant, and changed by one process at a time.

For the records that arrays and servers of this machine keep. What it is not: a database; a file is
read and written as a whole. POSIX only. Everything here is frskit's choice.
"""

# Descriptors and path text are used on purpose, which pathlib does not offer.
# ruff: noqa: PTH105, PTH120, PTH123

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from frskit.errors import Busy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frskit.clock import Budget

__all__ = ["exclusive_lock", "replace_file", "sync_directory"]

_POLL_S: Final = 0.02


def replace_file(path: str | os.PathLike[str], data: bytes, *, mode: int = 0o644) -> None:
    """Give a file new content, durably and at one instant.

    After a crash the file has the old content or the new one, never a mixture. One writer at a
    time: the temporary file beside it is always ``<path>.new``.

    Raises:
        OSError: It is not known which content a crash would leave; without one, see for yourself.
    """
    target = os.fspath(path)
    temporary = f"{target}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    os.replace(temporary, target)
    sync_directory(os.path.dirname(target) or ".")


def sync_directory(path: str | os.PathLike[str]) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def exclusive_lock(path: str | os.PathLike[str], *, budget: Budget) -> Iterator[None]:
    """Keep every other process and thread out; a process that dies lets go.

    Args:
        path: A file that is made if need be and never removed.
        budget: How long to wait.

    Raises:
        Busy: Somebody else held it until the end of the budget.
        Cancelled: As the budget says.
    """
    import fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if budget.remaining_s() == 0.0:
                    raise Busy(
                        f"{os.fspath(path)} is held by another process or thread",
                        context={"lock": os.fspath(path)},
                    ) from error
            left_s = budget.remaining_s()
            if budget.token is not None and budget.token.cancelled:
                budget.check("waiting for a lock")
            budget.clock.sleep(_POLL_S if left_s is None else min(_POLL_S, left_s))
        yield
    finally:
        os.close(descriptor)
