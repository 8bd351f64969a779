"""One file of this machine copied into another: data, holes, and what else belongs to a file.

A reflink (the FICLONE request of ioctl) makes a new file that shares the data of another until one
of them is written: btrfs and xfs can, ext4 and tmpfs cannot. Whether a pair of files can is found
by trying, never assumed [feasibility 0, 1.2]. Elsewhere the data is copied, holes kept.

Nothing is dropped silently: an owner or an extended attribute that cannot be given to the copy is
an error, for applications refuse files of another owner. Left out are only the labels that the
kernel gives every file itself, by its own policy.

POSIX only. Everything here is frskit's choice unless a source is named.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from frskit.errors import FileMissing
from frskit.model.files import FileStat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "FICLONE",
    "clone_file",
    "copy_attributes",
    "copy_data",
    "copy_link_attributes",
    "file_facts",
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
# Labels that the kernel sets by its own policy and that only it can read or check.
_OF_THE_KERNEL: Final = frozenset({"security.selinux", "security.ima", "security.evm"})


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


def copy_data(source: int, target: int, size_bytes: int, check: Callable[[], None]) -> None:
    """Copy the data and leave the holes.

    Args:
        source: Open for reading.
        target: Open for writing, empty.
        size_bytes: Length of the source.
        check: Called between pieces; an exception of it ends the copying.

    Raises:
        OSError: No space, input/output error.
    """
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


def copy_attributes(source: int, target: int) -> None:
    """Give an open file or directory owner, group, extended attributes, mode and times of another.

    Raises:
        OSError: One of them cannot be given; only root may give files away.
    """
    facts, own = os.fstat(source), os.fstat(target)
    if (facts.st_uid, facts.st_gid) != (own.st_uid, own.st_gid):
        with _named(source, f"owner {facts.st_uid}:{facts.st_gid} cannot be kept"):
            os.fchown(target, facts.st_uid, facts.st_gid)
    # Empty lists cost one call: most files have none.
    for name in _attributes(source):
        with _named(source, f"attribute {name} cannot be kept"):
            os.setxattr(target, name, os.getxattr(source, name))
    os.fchmod(target, stat.S_IMODE(facts.st_mode))
    # Times last: everything above changes them.
    os.utime(target, ns=(facts.st_atime_ns, facts.st_mtime_ns))


@contextmanager
def _named(descriptor: int, text: str) -> Iterator[None]:
    """Say of which file it is, and what; the calls themselves know neither."""
    try:
        yield
    except OSError as error:
        where = Path(f"/proc/self/fd/{descriptor}")
        with suppress(OSError):
            where = where.readlink()
        reason = f"{text} ({error.strerror})"
        raise OSError(error.errno, reason, str(where)) from error


def _attributes(source: int) -> list[str]:
    try:
        return [each for each in os.listxattr(source) if each not in _OF_THE_KERNEL]
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        return []  # a file system without any


def copy_link_attributes(facts: os.stat_result, name: str, directory: int) -> None:
    """Give a symbolic link, or what cannot be opened, the owner and the times of another.

    Args:
        facts: Of the original.
        name: The copy's name in `directory`.
        directory: An open directory.

    Raises:
        OSError: One of them cannot be given.
    """
    own = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if (facts.st_uid, facts.st_gid) != (own.st_uid, own.st_gid):
        os.chown(name, facts.st_uid, facts.st_gid, dir_fd=directory, follow_symlinks=False)
    if not stat.S_ISLNK(facts.st_mode):  # links have no mode of their own on Linux
        os.chmod(name, stat.S_IMODE(facts.st_mode), dir_fd=directory)
    times = (facts.st_atime_ns, facts.st_mtime_ns)
    os.utime(name, ns=times, dir_fd=directory, follow_symlinks=False)


def file_facts(directory: int, name: str, path: str) -> FileStat:
    """What there is to say about a name in an open directory; links are not followed.

    Args:
        directory: Its descriptor.
        name: The name in it.
        path: For the message.

    Raises:
        FileMissing: A pipe, socket or device.
        OSError: Nothing is there, or it cannot be looked at.
    """
    facts = os.stat(name, dir_fd=directory, follow_symlinks=False)
    is_directory, is_link = stat.S_ISDIR(facts.st_mode), stat.S_ISLNK(facts.st_mode)
    if not is_directory and not is_link and not stat.S_ISREG(facts.st_mode):
        raise FileMissing(f"{path}: not a regular file", context={"path": path})
    return FileStat(
        size_bytes=0 if is_directory else facts.st_size,
        is_directory=is_directory,
        modified_at=datetime.fromtimestamp(facts.st_mtime, UTC),
        mode=stat.S_IMODE(facts.st_mode),
        owner=facts.st_uid,
        group=facts.st_gid,
        link_target=os.readlink(name, dir_fd=directory) if is_link else None,
        xattrs=_xattrs(f"/proc/self/fd/{directory}/{name}"),
    )


def _xattrs(path: str) -> tuple[tuple[str, bytes], ...] | None:
    """By name; None where there are none to be had. Only Linux has the calls."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
        values = [(each, os.getxattr(path, each, follow_symlinks=False)) for each in names]
    except (AttributeError, OSError):
        return None
    return tuple(sorted(values))
