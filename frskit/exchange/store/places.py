"""Where the files of a log stream lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from frskit.protocols.small import FileSystem

__all__ = ["Places"]


@frozen
class Places:
    """Where a storage group keeps its logs and its checkpoint, and what they are called.

    Attributes:
        fs_log: Volume of the logs.
        log_dir: Their directory on it.
        fs_system: Volume of the checkpoint.
        system_dir: Its directory on it.
        base: Three characters that all names begin with, such as ``E00``.
    """

    fs_log: FileSystem
    log_dir: str
    fs_system: FileSystem
    system_dir: str
    base: str

    def make_directories(self) -> None:
        """Make both directories if they are not there."""
        self.fs_log.makedirs(self.log_dir)
        self.fs_system.makedirs(self.system_dir)
