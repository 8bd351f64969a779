"""Copies of directory trees, file by file, reflinked where the file system can.

A reflink (the FICLONE request of ioctl) makes a new file that shares the data of another until one
of them is written: btrfs and xfs can, ext4 and tmpfs cannot. Whether a directory can is found by
trying, never assumed [feasibility 0, 1.2]. Elsewhere the data is copied, holes kept.

It costs 10-20 microseconds per extent, so it is quick but not instantaneous, and several files are
never one instant [feasibility 1.3]: somebody must hold the writers.

What a copied tree is: directories, regular files and symbolic links (copied as links, never
followed), with mode, times, extended attributes and, where allowed, owner. Sockets, pipes and
devices hold no data and are left out. Hard links become files of their own.

POSIX only.
"""

# Descriptors and path text are used on purpose, which pathlib does not offer.
# ruff: noqa: PTH101, PTH114, PTH118

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import frozen

from frskit.errors import CopyConflict
from frskit.storage import PathFileSystem, flags, sync_directory

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

FICLONE: Final = 0x40049409
"""Request number of the clone ioctl, ``_IOW(0x94, 9, int)`` of linux/fs.h [feasibility 0]."""

# What file systems answer that cannot do it, or not between these two files.
_UNSUPPORTED: Final = frozenset(
    {
        errno.EOPNOTSUPP,
        errno.ENOSYS,
        errno.ENOTTY,
        errno.EXDEV,
        errno.EINVAL,
        errno.EPERM,
    }
)
# Bytes per call, so that a deadline is noticed in large files too (ours).
_PIECE_BYTES: Final = 16 * 1024 * 1024
_READ: Final = flags("O_RDONLY", "O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK")
_WRITE: Final = flags("O_WRONLY", "O_CREAT", "O_EXCL", "O_NOFOLLOW", "O_CLOEXEC")


@frozen(kw_only=True)
class TreeFacts:
    """What a tree holds.

    Attributes:
        files: Number of regular files.
        size_bytes: Sum of their lengths.
        allocated_bytes: Sum of what they occupy; shared blocks count once per file.
        cloned: How many of them were reflinked, in the result of `clone_tree`.
    """

    files: int = 0
    size_bytes: int = 0
    allocated_bytes: int = 0
    cloned: int = 0

    def __add__(self, other: TreeFacts) -> TreeFacts:
        return TreeFacts(
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


def clone_file(source: int, target: int) -> bool:
    """Let `target` share all data of `source`; False if this file system or pair cannot.

    Raises:
        OSError: It can, but failed (no space, input/output error).
    """
    import fcntl

    try:
        fcntl.ioctl(target, FICLONE, source)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return False
        raise
    return True


def _copy_range(source: int, target: int, offset: int, length: int) -> int:
    """Copy some bytes at the same offset; return how many, 0 at the end of the source."""
    length = min(length, _PIECE_BYTES)
    try:
        return os.copy_file_range(source, target, length, offset, offset)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    data = memoryview(os.pread(source, length, offset))
    done = 0
    while done < len(data):
        done += os.pwrite(target, data[done:], offset + done)
    return done


def _copy_data(source: int, target: int, size_bytes: int, check: Callable[[], None]) -> None:
    """Copy the data and leave the holes."""
    # The length first: what no call writes stays a hole.
    os.ftruncate(target, size_bytes)
    offset = 0
    while offset < size_bytes:
        try:
            offset = os.lseek(source, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                # Nothing but a hole from here on.
                return
            raise
        end = min(os.lseek(source, offset, os.SEEK_HOLE), size_bytes)
        while offset < end:
            check()
            done = _copy_range(source, target, offset, end - offset)
            if done == 0:
                return
            offset += done


def _copy_attributes(source: int, target: int) -> None:
    facts = os.fstat(source)
    # Only root may give files away; the copy is as good without.
    with suppress(PermissionError):
        os.fchown(target, facts.st_uid, facts.st_gid)
    for name in os.listxattr(source):
        with suppress(OSError):
            os.setxattr(target, name, os.getxattr(source, name))
    os.fchmod(target, stat.S_IMODE(facts.st_mode))
    # Times last: everything above changes them.
    os.utime(target, ns=(facts.st_atime_ns, facts.st_mtime_ns))


class _Cloner:
    """One walk over a tree; everything is opened relative to descriptors, no link is followed."""

    def __init__(self, *, reflink: bool, check: Callable[[], None]) -> None:
        self._reflink = reflink
        self._check = check
        self.facts = TreeFacts()

    def directory(self, source: int, target: int) -> None:
        """Copy the content of one open directory into another."""
        for name in sorted(os.listdir(source)):
            self._check()
            mode = os.stat(name, dir_fd=source, follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                self._below(name, source, target)
            elif stat.S_ISREG(mode):
                self._file(name, source, target)
            elif stat.S_ISLNK(mode):
                os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        _copy_attributes(source, target)

    def _below(self, name: str, source: int, target: int) -> None:
        os.mkdir(name, 0o700, dir_fd=target)
        how = _READ | os.O_DIRECTORY
        inner = os.open(name, how, dir_fd=source)
        try:
            into = os.open(name, how, dir_fd=target)
            try:
                self.directory(inner, into)
            finally:
                os.close(into)
        finally:
            os.close(inner)

    def _file(self, name: str, source: int, target: int) -> None:
        reading = os.open(name, _READ, dir_fd=source)
        try:
            writing = os.open(name, _WRITE, 0o600, dir_fd=target)
            try:
                size_bytes = os.fstat(reading).st_size
                cloned = self._reflink and clone_file(reading, writing)
                if not cloned:
                    _copy_data(reading, writing, size_bytes, self._check)
                _copy_attributes(reading, writing)
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
        CopyConflict: A file vanished while it was copied, so writes were not held.
        OSError: No space, no permission ...; what was made of `target` remains.
    """
    target.mkdir(mode=0o700)
    cloner = _Cloner(reflink=reflink, check=check)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    from_directory = os.open(source, flags)
    try:
        into_directory = os.open(target, flags)
        try:
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
    facts = TreeFacts()
    for root, _, names in os.walk(directory):
        for name in names:
            with suppress(FileNotFoundError):
                found = os.lstat(os.path.join(root, name))
                if stat.S_ISREG(found.st_mode):
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
