"""What a writer says about its files, and what a file system says about one."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from attrs import frozen

from frskit.model.values import Value

__all__ = ["FileRole", "FileSet", "FileStat"]


class FileRole(Enum):
    """What a file means to the application that owns it."""

    DATABASE = "database"
    LOG = "log"
    CHECKPOINT = "checkpoint"
    CONFIG = "config"


@frozen(kw_only=True)
class FileSet(Value):
    r"""A directory and a name pattern, as a writer reports it (VSS file set).

    Attributes:
        path: Directory in the server's own notation (``M:\exchsrvr\sg1``, ``/var/lib/app``).
        pattern: Name or wildcard pattern (``*`` and ``?``) inside it, compared case-insensitively.
        recursive: Whether subdirectories belong to it.
        role: What the files mean to the application.
    """

    path: str
    pattern: str
    recursive: bool = False
    role: FileRole = FileRole.DATABASE


@frozen(kw_only=True)
class FileStat(Value):
    """Facts about one file, directory or symbolic link.

    None in any of them means that the file system has no such thing, or does not tell.

    Attributes:
        size_bytes: Length; 0 for directories.
        is_directory: Whether it is a directory.
        modified_at: Last change of data or length, aware UTC.
        mode: Permission bits, as in ``chmod``.
        owner: Number of the user that owns it.
        group: Number of its group.
        link_target: Where a symbolic link leads, as it is written; None for all that is no link.
        xattrs: Names and values of the extended attributes, by name; empty if it has none.
    """

    size_bytes: int
    is_directory: bool = False
    modified_at: datetime | None = None
    mode: int | None = None
    owner: int | None = None
    group: int | None = None
    link_target: str | None = None
    xattrs: tuple[tuple[str, bytes], ...] | None = None
