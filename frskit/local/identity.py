"""Who a directory is, so that one made anew under the same name is told from it.

Inode numbers alone do not tell: file systems give the number of a removed directory to the next
one. The time of birth does, where the system says it (Linux by ``statx``, the BSDs and macOS by
``stat``); it stays with the directory when that is renamed. Device numbers are left out, because
they change when disks are found in another order.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from functools import cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["directory_identity", "is_same_directory"]

# linux/stat.h and linux/fcntl.h
_AT_FDCWD: Final = -100
_AT_SYMLINK_NOFOLLOW: Final = 0x100
_STATX_INO: Final = 0x100
_STATX_BTIME: Final = 0x800
_STATX_BYTES: Final = 256
_INO_AT: Final = 32
_BTIME_AT: Final = 80


def directory_identity(path: Path) -> str | None:
    """Inode number and, where the system tells it, time of birth; None if there is no directory."""
    if path.is_symlink() or not path.is_dir():
        return None
    if sys.platform == "linux":
        found = _statx(path)
        if found is not None:
            return found
    try:
        facts = path.lstat()
    except OSError:  # removed meanwhile
        return None
    birth = getattr(facts, "st_birthtime", None)
    return str(facts.st_ino) if birth is None else f"{facts.st_ino}:{birth}"


def is_same_directory(path: Path, recorded: str | None) -> bool:
    """Whether this is the directory that had this identity.

    What is not known tells nothing: records from before, and a time of birth that one of the two
    does not have.
    """
    found = directory_identity(path)
    if found is None or recorded is None:
        return found is not None
    number, _, birth = found.partition(":")
    known, _, born = recorded.partition(":")
    return number == known and (not birth or not born or birth == born)


@cache
def _function() -> Any:
    """The C library's ``statx``; None if it has none."""
    try:
        return ctypes.CDLL(None, use_errno=True).statx
    except (OSError, AttributeError):
        return None


def _statx(path: Path) -> str | None:
    function = _function()
    if function is None:
        return None
    told = ctypes.create_string_buffer(_STATX_BYTES)
    asked = _STATX_INO | _STATX_BTIME
    if function(_AT_FDCWD, os.fsencode(path), _AT_SYMLINK_NOFOLLOW, asked, told) != 0:
        return None
    (mask,) = struct.unpack_from("=I", told, 0)
    (number,) = struct.unpack_from("=Q", told, _INO_AT)
    seconds, nanoseconds = struct.unpack_from("=qI", told, _BTIME_AT)
    if mask & _STATX_BTIME and seconds > 0:
        return f"{number}:{seconds}.{nanoseconds:09d}"
    return str(number)
