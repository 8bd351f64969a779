"""One operation at a time per production server [FRS R-2.8, FRS-43], across processes too."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from frskit.errors import Busy
from frskit.storage import file_lock, make_directory

__all__ = ["Locks"]


class Locks:
    """Named locks: within the process, and with a directory also between processes.

    The files hold nothing; a lock goes with the process that held it.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._held: set[str] = set()
        self._guard = threading.Lock()
        if directory is not None:
            make_directory(directory)

    @contextmanager
    def hold(self, name: str, doing: str) -> Iterator[None]:
        """Hold a name for the length of the block.

        Raises:
            Busy: Somebody else holds it.
        """
        key = name.casefold()
        # Within the process, and all there is where no directory is.
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
        safe = "".join(each if each.isalnum() or each in "-." else "-" for each in key)
        with file_lock(self._directory / f"{safe}.lock", f"{doing} on {key}"):
            yield
