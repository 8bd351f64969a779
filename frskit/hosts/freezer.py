"""Freezing file systems of this machine for the length of a hold, by processes that thaw them.

The file system that a process lives on must never be frozen by it: the root, that of the
interpreter, of temporary files, of frskit's own state. Those are refused by name.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from frskit.errors import ConfigurationError, HostError
from frskit.hosts import freeze_child
from frskit.hosts.hold import MeasuredHold

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from frskit.clock import Clock

__all__ = ["Freezer", "FrozenHold", "check_may_freeze"]

_READY_S = 10.0
"""Longest wait for a process that starts; frskit's choice."""

_THAW_S = 2.0
"""Longest wait for a process that thaws, before this one does it itself; frskit's choice."""


def check_may_freeze(paths: Iterable[Path], keep: Iterable[Path]) -> dict[int, Path]:
    """The file systems of these paths, by device, each with one of the paths.

    Args:
        paths: Directories that are to be frozen.
        keep: More places that must stay writable: state, logs, the array's own directory.

    Raises:
        ConfigurationError: One of them is a file system that must stay writable.
    """
    own = {
        "the root": Path("/"),
        "the interpreter": Path(sys.executable),
        "Python's library": Path(os.__file__),
        "frskit": Path(__file__),
        "temporary files": Path(tempfile.gettempdir()),
        "the working directory": Path.cwd(),
        **{str(each): each for each in keep},
    }
    devices: dict[int, str] = {}
    for what, path in own.items():
        with suppress(OSError):
            devices.setdefault(path.stat().st_dev, what)
    found: dict[int, Path] = {}
    for path in paths:
        device = path.stat().st_dev
        if device in devices:
            raise ConfigurationError(
                f"the file system of {path} cannot be frozen: {devices[device]} is on it",
                hint="Put the application's files on a file system of their own.",
                context={"path": str(path), "what": devices[device]},
            )
        found.setdefault(device, path)
    return found


class _Holder:
    """This process's end of one child, and the file system should the child be killed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.place = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.child = subprocess.Popen(
                [sys.executable, "-I", "-S", freeze_child.__file__, str(path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                # Ctrl-C is this process's to judge.
                start_new_session=True,
            )
        except BaseException:
            os.close(self.place)
            raise
        self._text = b""

    def answer(self, timeout_s: float) -> str:
        """The next line; empty if there is none in time."""
        pipe = self.child.stdout
        assert pipe is not None
        while b"\n" not in self._text:
            if not select.select([pipe], [], [], max(0.0, timeout_s))[0]:
                return ""
            more = os.read(pipe.fileno(), 256)
            if not more:
                return ""
            self._text += more
        line, _, self._text = self._text.partition(b"\n")
        return line.decode()

    def tell(self, text: str) -> None:
        """A line to the child; one that is dead hears nothing."""
        assert self.child.stdin is not None
        with suppress(OSError):
            self.child.stdin.write(text.encode() + b"\n")

    def thaw_here(self) -> None:
        """Thaw it in this process; fine if it is not frozen."""
        import fcntl

        with suppress(OSError):
            fcntl.ioctl(self.place, freeze_child.FITHAW, 0)

    def close(self) -> None:
        """Let go of the child, which ends by itself."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        with suppress(OSError):
            self.child.stdin.close()
        self.child.stdout.close()
        try:
            self.child.wait(_THAW_S)
        except subprocess.TimeoutExpired:
            # It is stopped, or freezing at this moment and deaf until it has frozen: nobody waits
            # for that here, and whoever froze last, it is thawed in the end.
            self.child.kill()
            threading.Thread(target=self._end, name=f"end of {self.path}", daemon=True).start()
        else:
            os.close(self.place)

    def _end(self) -> None:
        self.child.wait()
        self.thaw_here()
        os.close(self.place)


class Freezer:
    """Freezes some file systems, once; one child for each, so that none waits for another.

    Args:
        paths: One directory on each.

    Raises:
        HostError: A child could not be started.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._holders: list[_Holder] = []
        self._lock = threading.Lock()
        self._frozen: list[_Holder] = []
        self.lost: bool = False
        try:
            for path in paths:
                self._holders.append(_Holder(path))
            # Started together, and every one is there before anything is frozen.
            for each in self._holders:
                if each.answer(_READY_S) != "ready":
                    raise HostError(f"the process that would freeze {each.path} did not start")
        except BaseException:
            self.close()
            raise

    def freeze(self, limit_s: float) -> None:
        """Freeze all of them, for so many seconds at most; none, if one cannot be.

        Raises:
            HostError: One could not be frozen, in time; all are thawed.
        """
        with self._lock:
            self._frozen = list(self._holders)
        for each in self._holders:
            each.tell(str(limit_s))
        try:
            for each in self._holders:
                said = each.answer(limit_s)
                if said != "frozen":
                    raise _refused(each.path, said)
        except BaseException:
            self.thaw()
            raise

    def thaw(self) -> None:
        """Thaw all of them now. Idempotent, from any thread; waits two seconds at most."""
        with self._lock:
            frozen = list(self._frozen)
            self._frozen.clear()
            for each in frozen:
                each.tell("thaw")
            end_s = time.monotonic() + _THAW_S
            for each in frozen:
                said = each.answer(end_s - time.monotonic())
                self.lost = self.lost or said != "thawed asked"
                if not said.startswith("thawed"):
                    each.thaw_here()  # the child was killed, or hangs

    def close(self) -> None:
        """Thaw, and let go of the children."""
        self.thaw()
        holders = list(self._holders)
        self._holders.clear()
        for each in holders:
            each.close()


def _refused(path: Path, said: str) -> HostError:
    number = int(said.removeprefix("failed ")) if said.startswith("failed ") else None
    why = os.strerror(number) if number is not None else "no answer in time"
    return HostError(
        f"the file system of {path} could not be frozen: {why}",
        hint="Freezing needs root, and a file system that can be frozen.",
        context={"path": str(path)},
        native=number,
    )


class FrozenHold(MeasuredHold):
    """A hold that is a frozen file system: its release thaws."""

    def __init__(self, clock: Clock, freezer: Freezer, limit_s: float | None) -> None:
        super().__init__(clock, limit_s)
        self._freezer = freezer

    def release(self) -> None:
        """Let writes pass; measured until they do."""
        self._freezer.thaw()
        super().release()
