"""One operation at a time per production server [FRS R-2.8, FRS-43], across processes too."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from frskit.errors import Busy

__all__ = ["Locks"]


class Locks:
    """Named locks: within the process, and with a directory also between processes.

    The files hold nothing; the operating system drops a lock with the process that held it, so
    there are no stale locks to clean up.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._held: set[str] = set()
        self._guard = threading.Lock()
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def hold(self, name: str, doing: str) -> Iterator[None]:
        """Hold a name for the length of the block.

        Raises:
            Busy: Somebody else holds it.
        """
        key = name.casefold()
        with self._guard:
            if key in self._held:
                raise Busy(f"{doing}: another operation on {name} is running", context={"on": name})
            self._held.add(key)
        try:
            with self._between_processes(key, doing):
                yield
        finally:
            with self._guard:
                self._held.discard(key)

    @contextmanager
    def _between_processes(self, key: str, doing: str) -> Iterator[None]:
        if self._directory is None:
            yield
            return
        import fcntl

        safe = "".join(each if each.isalnum() or each in "-." else "-" for each in key)
        with (self._directory / f"{safe}.lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise Busy(
                    f"{doing}: another process works on {key}", context={"on": key}
                ) from error
            yield
