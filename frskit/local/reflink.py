"""Copies of directory trees, file by file, reflinked where the file system can.

How one file is copied stands in `frskit.storage.file_copies`. A reflink costs 10-20 microseconds
per extent, so it is quick but not instantaneous, and several files are never one instant
[feasibility 1.3]: somebody must hold the writers.

What a copied tree is: everything that is in the source. Directories, also empty ones, files, and
symbolic links as links, never followed; several names of one file (hard links) are again several
names of one file; pipes, sockets and devices are made anew, or the copying is refused. Each keeps
mode, owner, group and times, files and directories also their extended attributes, files their
holes. A copy that cannot be given its owner or an attribute is refused.

POSIX only.
"""

# Descriptors and path text are used on purpose, which pathlib does not offer.
# ruff: noqa: PTH101, PTH114, PTH118

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import frozen

from frskit.errors import ArrayError, CopyConflict
from frskit.storage import (
    FICLONE,
    PathFileSystem,
    clone_file,
    copy_attributes,
    copy_data,
    copy_link_attributes,
    flags,
    sync_directory,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "FICLONE",
    "TreeFacts",
    "can_reflink",
    "clone_file",
    "clone_tree",
    "measure_tree",
    "remove_tree",
    "sync_tree",
]

_READ: Final = flags("O_RDONLY", "O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK")
_WRITE: Final = flags("O_WRONLY", "O_CREAT", "O_EXCL", "O_NOFOLLOW", "O_CLOEXEC")


@frozen(kw_only=True)
class TreeFacts:
    """What a tree holds.

    Attributes:
        names: Number of names: files, directories, links and all else; of `measure_tree`.
        files: Number of regular files.
        size_bytes: Sum of their lengths.
        allocated_bytes: Sum of what they occupy; shared blocks count once per file.
        cloned: How many of them were reflinked, in the result of `clone_tree`.
    """

    names: int = 0
    files: int = 0
    size_bytes: int = 0
    allocated_bytes: int = 0
    cloned: int = 0

    def __add__(self, other: TreeFacts) -> TreeFacts:
        return TreeFacts(
            names=self.names + other.names,
            files=self.files + other.files,
            size_bytes=self.size_bytes + other.size_bytes,
            allocated_bytes=self.allocated_bytes + other.allocated_bytes,
            cloned=self.cloned + other.cloned,
        )


def can_reflink(directory: Path) -> bool:
    """Whether files can be reflinked inside this directory, found by trying.

    Raises:
        OSError: The directory cannot be written.
    """
    source, target = directory / ".probe-source", directory / ".probe-target"
    try:
        for path in (source, target):
            path.unlink(missing_ok=True)
        source.write_bytes(b"probe")
        with source.open("rb") as reading, target.open("wb") as writing:
            return clone_file(reading.fileno(), writing.fileno())
    finally:
        for path in (source, target):
            path.unlink(missing_ok=True)


class _Cloner:
    """One walk over a tree; everything is opened relative to descriptors, no link is followed."""

    def __init__(self, root: int, *, reflink: bool, check: Callable[[], None]) -> None:
        self._root = root
        self._reflink = reflink
        self._check = check
        self._linked: dict[tuple[int, int], str] = {}
        self.facts = TreeFacts()

    def directory(self, source: int, target: int, path: str = "") -> None:
        """Copy the content of one open directory into another, which is `path` in the new tree."""
        for name in sorted(os.listdir(source)):
            self._check()
            facts = os.stat(name, dir_fd=source, follow_symlinks=False)
            if stat.S_ISDIR(facts.st_mode):
                self._below(name, source, target, os.path.join(path, name))
            elif not self._link(facts, name, target, os.path.join(path, name)):
                self._entry(facts, name, source, target)
        copy_attributes(source, target)

    def _below(self, name: str, source: int, target: int, path: str) -> None:
        os.mkdir(name, 0o700, dir_fd=target)
        how = _READ | os.O_DIRECTORY
        inner = os.open(name, how, dir_fd=source)
        try:
            into = os.open(name, how, dir_fd=target)
            try:
                self.directory(inner, into, path)
            finally:
                os.close(into)
        finally:
            os.close(inner)

    def _link(self, facts: os.stat_result, name: str, target: int, path: str) -> bool:
        """Give the copy of a file with several names its next name; False if it has no copy yet."""
        if facts.st_nlink < 2:
            return False
        first = self._linked.setdefault((facts.st_dev, facts.st_ino), path)
        if first == path:
            return False
        os.link(first, name, src_dir_fd=self._root, dst_dir_fd=target, follow_symlinks=False)
        return True

    def _entry(self, facts: os.stat_result, name: str, source: int, target: int) -> None:
        if stat.S_ISREG(facts.st_mode):
            self._file(name, source, target)
            return
        if stat.S_ISLNK(facts.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        else:
            self._special(facts, name, target)
        copy_link_attributes(facts, name, target)

    @staticmethod
    def _special(facts: os.stat_result, name: str, target: int) -> None:
        """Make a pipe, socket or device: a name and a number, for whatever they lead to is not here.

        Raises:
            ArrayError: It may not be made; devices are for root.
        """
        try:
            os.mknod(name, stat.S_IFMT(facts.st_mode) | 0o600, facts.st_rdev, dir_fd=target)
        except OSError as error:
            raise ArrayError(
                f"{name} is a pipe, socket or device and cannot be copied: {error.strerror}",
                hint="Take it out of the directory, or run as root.",
                context={"name": name},
                native=error.errno,
            ) from error

    def _file(self, name: str, source: int, target: int) -> None:
        reading = os.open(name, _READ, dir_fd=source)
        try:
            writing = os.open(name, _WRITE, 0o600, dir_fd=target)
            try:
                size_bytes = os.fstat(reading).st_size
                cloned = self._reflink and clone_file(reading, writing)
                if not cloned:
                    copy_data(reading, writing, size_bytes, self._check)
                copy_attributes(reading, writing)
            finally:
                os.close(writing)
        finally:
            os.close(reading)
        self.facts += TreeFacts(files=1, size_bytes=size_bytes, cloned=int(cloned))


def clone_tree(
    source: Path, target: Path, *, reflink: bool, check: Callable[[], None]
) -> TreeFacts:
    """Make `target`, which must not exist, a copy of the directory `source`.

    It is in the memory of this machine; `sync_tree` brings it to the disk, which takes much longer
    and need not be waited for while somebody holds the writers.

    Args:
        source: What to copy; nothing may change in it meanwhile.
        target: New directory on the same file system if `reflink` shall work.
        reflink: Share data where possible.
        check: Called between pieces of the work; an exception of it ends the copying.

    Raises:
        ArrayError: A device cannot be made, because only root may.
        CopyConflict: A file vanished while it was copied, so writes were not held.
        OSError: No space, no permission ...; what was made of `target` remains.
    """
    target.mkdir(mode=0o700)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    from_directory = os.open(source, flags)
    try:
        into_directory = os.open(target, flags)
        try:
            cloner = _Cloner(into_directory, reflink=reflink, check=check)
            cloner.directory(from_directory, into_directory)
        finally:
            os.close(into_directory)
    except FileNotFoundError as error:
        raise CopyConflict(
            f"{source} changed while it was copied: {error.filename} is gone",
            hint="Hold the application's writes while its directory is copied.",
            context={"source": str(source)},
        ) from error
    finally:
        os.close(from_directory)
    return cloner.facts


def sync_tree(directory: Path) -> None:
    """Return when a tree, and its name, are on the disk.

    Raises:
        FrskitError, OSError: It is not known what a loss of power would leave.
    """
    PathFileSystem(directory).sync()
    sync_directory(directory.parent)


def measure_tree(directory: Path) -> TreeFacts:
    """Count the regular files of a tree; files that vanish meanwhile count as nothing."""
    facts, seen = TreeFacts(), set[tuple[int, int]]()
    for root, directories, names in os.walk(directory):
        facts += TreeFacts(names=len(directories) + len(names))
        for name in names:
            with suppress(FileNotFoundError):
                found = os.lstat(os.path.join(root, name))
                inode = (found.st_dev, found.st_ino)
                if stat.S_ISREG(found.st_mode) and inode not in seen:
                    # Several names of one file are stored once.
                    if found.st_nlink > 1:
                        seen.add(inode)
                    facts += TreeFacts(
                        files=1,
                        size_bytes=found.st_size,
                        allocated_bytes=found.st_blocks * 512,
                    )
    return facts


def remove_tree(directory: Path) -> None:
    """Remove a directory and everything in it, links unfollowed; absent is fine."""
    if not directory.is_symlink() and not directory.exists():
        return
    for root, names, _ in os.walk(directory):
        for path in (root, *(os.path.join(root, name) for name in names)):
            if not os.path.islink(path):
                with suppress(OSError):
                    os.chmod(path, 0o700)
    shutil.rmtree(directory)
    sync_directory(directory.parent)
