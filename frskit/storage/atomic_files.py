"""Small durable files that are replaced at one instant.

For the records that arrays and servers of this machine keep. What it is not: a database; a file is
read and written as a whole. Everything here is frskit's choice.
"""

# Descriptors and path text are used on purpose, which pathlib does not offer.
# ruff: noqa: PTH103, PTH105, PTH120, PTH123

from __future__ import annotations

import os

from frskit.errors import ConfigurationError
from frskit.storage.posix import flags

__all__ = ["make_directory", "make_private_file", "replace_file", "sync_directory"]


def make_directory(path: str | os.PathLike[str]) -> None:
    """Make a directory for frskit's own state, and those above it, readable for their owner only.

    Raises:
        ConfigurationError: It cannot be made; a file may be in the way.
    """
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"the directory {os.fspath(path)} cannot be made: {error.strerror or error}",
            hint="Name another one, below a directory that this user can write.",
            context={"path": os.fspath(path)},
        ) from error


def make_private_file(path: str | os.PathLike[str]) -> None:
    """Make an empty file that only its owner can read; one that is there stays as it is.

    Raises:
        OSError: It cannot be made.
    """
    os.close(os.open(path, flags("O_RDWR", "O_CREAT", "O_CLOEXEC"), 0o600))


def replace_file(path: str | os.PathLike[str], data: bytes, *, mode: int = 0o600) -> None:
    """Give a file new content, durably and at one instant.

    After a crash the file has the old content or the new one, never a mixture. One writer at a
    time: the temporary file beside it is always ``<path>.new``.

    Raises:
        OSError: It is not known which content a crash would leave; without one, see for yourself.
    """
    target = os.fspath(path)
    temporary = f"{target}.new"
    descriptor = os.open(temporary, flags("O_WRONLY", "O_CREAT", "O_TRUNC", "O_CLOEXEC"), mode)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        # The content before the name, else a crash could leave the name on an empty file.
        os.fsync(descriptor)
    os.replace(temporary, target)
    # The name lies in the directory.
    sync_directory(os.path.dirname(target) or ".")


def sync_directory(path: str | os.PathLike[str]) -> None:
    """Make the names in a directory durable; where a directory cannot be opened, it is not asked."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(path, flags("O_RDONLY", "O_DIRECTORY", "O_CLOEXEC"))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
