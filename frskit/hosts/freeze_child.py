"""Holds the writes of one file system; run as a program of its own, one process for each.

A hold must end whatever becomes of the process that asked for it: it may hang, be stopped, be
killed, or itself wait for a write to the file system that it froze. So this one opens the mount
point first, and once it has frozen it, it imports nothing, writes no file and logs nothing. It
thaws when it is told to, at its own deadline, when its parent is gone, and when it is terminated.
Nobody is left to thaw if both are killed with ``kill -9`` at once: then ``fsfreeze -u`` does it.

    python -I -S freeze_child.py MOUNT_POINT

It says ``ready``, waits for a line with the longest hold in seconds, freezes and says ``frozen``
(or ``failed ERRNO``), and ends with ``thawed asked`` or ``thawed late``.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FIFREEZE", "FITHAW", "main"]

FIFREEZE = 0xC0045877
FITHAW = 0xC0045878
"""Both as Linux has them on all but a few old architectures [linux/fs.h]."""

_LOOK_S = 0.1
"""How often it looks whether its parent is there: a fork of the parent may keep the pipe open."""


_terminated: list[int] = []
"""The signals that asked for the end: noted, never raised, for between a freeze and its thaw there
is no place where an exception would do."""


def _note(number: int, _frame: object) -> None:
    _terminated.append(number)


def _say(text: str) -> None:
    os.write(1, text.encode() + b"\n")


def _asked(end_s: float, parent: int) -> bool:
    """Wait to be told; False at the deadline.

    A signal that asks for the end, that of the pipe and that of the parent count as told.
    """
    while not _terminated:
        left_s = end_s - time.monotonic()
        if left_s <= 0:
            return False
        if select.select([0], [], [], min(left_s, _LOOK_S))[0] or os.getppid() != parent:
            break
    return True


def _line(parent: int) -> bytes:
    """The first line; empty if there will be none, or nobody who could thaw with us."""
    _asked(float("inf"), parent)
    if _terminated or os.getppid() != parent or not select.select([0], [], [], 0)[0]:
        return b""
    return os.read(0, 64)


def _hold(request: Callable[[int], object], limit_s: float, parent: int) -> str:
    """Freeze, wait, thaw; how it ended."""
    end_s = time.monotonic() + limit_s
    asked = False
    try:
        request(FIFREEZE)
    except OSError as error:
        return f"failed {error.errno}"
    try:
        _say("frozen")
        asked = _asked(end_s, parent)
    except OSError:
        pass
    finally:
        # Somebody else may have thawed it meanwhile.
        with contextlib.suppress(OSError):
            request(FITHAW)
    return "thawed asked" if asked else "thawed late"


def main(mount_point: str) -> int:
    """Serve one hold; the exit status."""
    import fcntl  # not where POSIX is missing; and before anything is frozen

    parent = os.getppid()
    place = os.open(mount_point, os.O_RDONLY | os.O_DIRECTORY)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _note)
    try:
        _say("ready")
        line = _line(parent)
        if line:
            _say(_hold(lambda code: fcntl.ioctl(place, code, 0), float(line), parent))
    except BrokenPipeError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
