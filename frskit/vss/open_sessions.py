"""The requestor objects of one coordinator that are still open, and the end of those dropped.

An object that its program forgot would keep the one place for a set that is being made, and its
writers would wait for a verdict for ever [VSS-09, VSS-19]; at Windows COM releases it.
"""

from __future__ import annotations

import logging
import threading
import weakref
from typing import Protocol

from attrs import define, field

__all__ = ["OpenSessions"]


class _End(Protocol):
    """The end of one object, kept apart from it."""

    @property
    def over(self) -> bool: ...

    @property
    def told(self) -> str: ...

    def end(self) -> None: ...


@define(eq=False)
class OpenSessions:
    """Watches over requestor objects until they were released."""

    _lock: threading.RLock = field(factory=threading.RLock, init=False, repr=False)
    _open: list[tuple[weakref.ref[object], _End]] = field(factory=list, init=False)

    def add(self, owner: object, end: _End) -> None:
        """Watch over an object: should it be dropped, it is ended all the same."""
        with self._lock:
            self._open = [each for each in self._open if not each[1].over]
            self._open.append((weakref.ref(owner), end))
        # In a thread of its own: a collection may happen in the middle of anything, also inside of
        # the locks that ending it takes.
        weakref.finalize(owner, _in_background, end).atexit = False

    @property
    def none_open(self) -> bool:
        """Whether every object was released."""
        return not self._left(dropped=False)

    def reap(self) -> None:
        """End what was dropped, and wait for that."""
        for end in self._left(dropped=True):
            end.end()

    def end_all(self) -> list[str]:
        """End every object, dropped or not; texts about what was ended."""
        ended = []
        for end in self._left(dropped=False):
            ended.append(end.told)
            end.end()
        return ended

    def _left(self, *, dropped: bool) -> list[_End]:
        with self._lock:
            self._open = [each for each in self._open if not each[1].over]
            return [end for owner, end in self._open if not dropped or owner() is None]


def _in_background(end: _End) -> None:
    def run() -> None:
        try:
            end.end()
        except Exception:
            logging.getLogger(__name__).exception("a dropped session could not be ended")

    threading.Thread(target=run, name="end of a dropped session", daemon=True).start()
