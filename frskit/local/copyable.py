"""What of a tree cannot be copied, found before anybody is frozen for it.

Devices are for root, owners are given away by root, and some file systems have no pipes. Who may do
what depends on the process, its capabilities and the file system, so it is tried: each kind and
each owner once, in a directory of its own beside the copies.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Final

from frskit.errors import ArrayError

__all__ = ["check_copyable"]

_EFFECTIVE: Final = os.access in os.supports_effective_ids
_NAMED: Final = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_copyable(source: Path, beside: Path) -> None:
    """Refuse a tree with something that could not be made anew in a copy.

    Args:
        source: The tree.
        beside: Directory on the file system of the copies.

    Raises:
        ArrayError: The first such name, and why.
        OSError: Nothing can be made there at all.
    """
    probe = _Probe(beside)
    try:
        probe.try_out(source, source)
        for root, directories, files in os.walk(source, onerror=_unreadable):
            for name in (*directories, *files):
                probe.try_out(Path(root, name), source)
    finally:
        probe.close()


def _unreadable(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise _refusal(str(error.filename), "a directory that cannot be read", error) from error


def _refusal(name: str, what: str, error: OSError) -> ArrayError:
    return ArrayError(
        f"{name} is {what} and cannot be copied: {error.strerror}",
        hint="Take it out of the directory, or run as root.",
        context={"name": name},
        native=error.errno,
    )


class _Probe:
    """Tries to make things, each kind once, in a directory that is made when it is needed."""

    def __init__(self, beside: Path) -> None:
        self._beside = beside
        self._place: Path | None = None
        self._kinds: set[tuple[int, int]] = set()
        self._owners = {(os.geteuid(), os.getegid())}

    def close(self) -> None:
        """Remove what was tried."""
        if self._place is not None:
            shutil.rmtree(self._place, ignore_errors=True)

    def try_out(self, path: Path, source: Path) -> None:
        """Raise if the like of this cannot be made."""
        try:
            facts = path.lstat()
        except FileNotFoundError:  # gone meanwhile: nothing is held yet
            return
        name = path.relative_to(source).as_posix()
        kind = stat.S_IFMT(facts.st_mode)
        if kind in _NAMED and (kind, facts.st_rdev) not in self._kinds:
            self._kinds.add((kind, facts.st_rdev))
            self._make(name, kind, facts.st_rdev)
        if kind == stat.S_IFREG and not os.access(path, os.R_OK, effective_ids=_EFFECTIVE):
            error = PermissionError(13, "Permission denied")
            raise _refusal(name, "a file that cannot be read", error)
        owner = (facts.st_uid, facts.st_gid)
        if owner not in self._owners:
            self._owners.add(owner)
            self._give(name, owner)

    def _new(self) -> Path:
        if self._place is None:
            self._place = Path(tempfile.mkdtemp(prefix=".probe-", dir=self._beside))
        return self._place / str(len(self._kinds) + len(self._owners))

    def _make(self, name: str, kind: int, device: int) -> None:
        try:
            os.mknod(self._new(), kind | 0o600, device)
        except OSError as error:
            raise _refusal(name, _NAMED[kind], error) from error

    def _give(self, name: str, owner: tuple[int, int]) -> None:
        place = self._new()
        place.mkdir()
        try:
            os.chown(place, *owner)
        except OSError as error:
            what = f"of owner {owner[0]} and group {owner[1]}"
            raise _refusal(name, what, error) from error
