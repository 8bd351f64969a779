"""What only POSIX systems offer, looked up when it is used: every room can be imported anywhere."""

from __future__ import annotations

import os

from frskit.errors import HostError

__all__ = ["flags", "require_posix"]

_NEEDED = ("O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK")


def require_posix(what: str) -> None:
    """Refuse, where files cannot be opened relative to directories and without following links.

    Args:
        what: What needs it, as the beginning of the message.

    Raises:
        HostError: This system is not one.
    """
    missing = [name for name in _NEEDED if not hasattr(os, name)]
    if missing:
        raise HostError(
            f"{what} needs a POSIX system; this one has no os.{', os.'.join(missing)}",
            hint="Run this part of the site on Linux.",
        )


def flags(*names: str) -> int:
    """The flags of `os.open` with these names, together; those that this system lacks are left out.

    Who relies on one asks `require_posix` first.
    """
    found = 0
    for name in names:
        found |= int(getattr(os, name, 0))
    return found
