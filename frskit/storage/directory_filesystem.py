"""Files of a real directory as a `FileSystem`.

`PathFileSystem` shows one directory of this machine as a volume. It never leaves that directory:
every path is walked name by name and no symbolic link is followed, so a link in the tree, whoever
put it there, cannot lead to another place. Links, sockets, pipes and devices are not files of the
volume and are not shown: what an application keeps behind a link lies elsewhere and is *not* in a
copy of this volume, which the file list of a check then finds (HAZ-17).

What it is not: a mount. The read-only mode is kept by this class, not by the kernel.

POSIX only. Everything here is frskit's choice.
"""

# Descriptors and path text are used on purpose, which pathlib does not offer.
# ruff: noqa: PTH100, PTH118

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, NoReturn

from attrs import frozen

from frskit.errors import (
    DeviceError,
    FileExists,
    FileMissing,
    FileSystemError,
    FrskitError,
    NoSpace,
    UsageError,
    WriteProtected,
)
from frskit.storage.atomic_files import sync_directory
from frskit.storage.file_copies import clone_file, copy_attributes, copy_data, file_facts
from frskit.storage.posix import flags, require_posix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import Self

    from frskit.clock import Budget
    from frskit.model.files import FileStat
    from frskit.protocols.small import (
        FileRef,
        FileSystem,
        ReadableFile,
        WritableFile,
    )

__all__ = ["DirectoryFile", "PathFileSystem", "PathRef"]

_DIRECTORY: Final = flags("O_RDONLY", "O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC")
# Bytes per call: Linux moves at most 2 GiB at once (read(2)); half of it is ours.
_PIECE_BYTES: Final = 1 << 30
# Bytes per read and write through this process: bounds the memory (ours).
_CHUNK_BYTES: Final = 4 << 20
_ERRORS: Final[dict[int, type[FrskitError]]] = {
    errno.ENOENT: FileMissing,
    errno.ENOTDIR: FileMissing,
    # A link stands where a name was wanted, or a pipe or device that nobody can open.
    errno.ELOOP: FileMissing,
    errno.ENXIO: FileMissing,
    errno.EISDIR: FileMissing,
    errno.EEXIST: FileExists,
    errno.ENOSPC: NoSpace,
    errno.EDQUOT: NoSpace,
    errno.EFBIG: NoSpace,
    errno.EROFS: WriteProtected,
    errno.EIO: DeviceError,
}


def _write_all(descriptor: int, offset: int, data: memoryview) -> None:
    while data:
        written = os.pwrite(descriptor, data[:_PIECE_BYTES], offset)
        data, offset = data[written:], offset + written


def _fail(error: OSError, path: str) -> NoReturn:
    kind = _ERRORS.get(error.errno or 0, FileSystemError)
    raise kind(
        f"{path or '.'}: {error.strerror}", context={"path": path}, native=error.errno
    ) from error


@contextmanager
def _typed(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        _fail(error, path)


def _parts(path: str) -> tuple[str, ...]:
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if ".." in parts or "\0" in path:
        raise UsageError(f"{path!r} is not a path inside a volume", context={"path": path})
    return parts


@contextmanager
def _opened(root: str, parts: tuple[str, ...]) -> Iterator[int]:
    """A descriptor of a directory below `root`, reached without following any link."""
    # The root itself may be a link: whoever named it meant it.
    current = os.open(root, flags("O_RDONLY", "O_DIRECTORY", "O_CLOEXEC"))
    try:
        for part in parts:
            following = os.open(part, _DIRECTORY, dir_fd=current)
            os.close(current)
            current = following
        yield current
    finally:
        os.close(current)


def _open_regular(root: str, path: str, how: int) -> int:
    """Open a regular file below `root`; O_NONBLOCK so that a pipe cannot block the caller."""
    parts = _parts(path)
    if not parts:
        raise FileMissing("the root of a volume is not a file", context={"path": path})
    with _typed(path), _opened(root, parts[:-1]) as directory:
        safe = how | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(parts[-1], safe, 0o644, dir_fd=directory)
        # Asked of the descriptor, because the name may mean another file by now.
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
    raise FileMissing(f"{path}: not a regular file", context={"path": path})


class DirectoryFile:
    """An open file of a `PathFileSystem`. Reads and writes carry offsets: threads may share it."""

    def __init__(self, descriptor: int, path: str, *, new_in: str | None = None) -> None:
        self._descriptor: int | None = descriptor
        self._path = path
        self._new_in = new_in
        self._size_bytes = os.fstat(descriptor).st_size

    @property
    def size_bytes(self) -> int:
        """Length at the time of opening."""
        return self._size_bytes

    def descriptor(self) -> int:
        """The open file's number for this process.

        Raises:
            DeviceError: It is closed.
        """
        if self._descriptor is None:
            raise DeviceError(f"{self._path}: the file is closed", context={"path": self._path})
        return self._descriptor

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; shorter only at the end of the file."""
        descriptor = self.descriptor()
        if offset < 0 or length < 0:
            raise DeviceError(f"{self._path}: cannot read {length} bytes at {offset}")
        pieces: list[bytes] = []
        with _typed(self._path):
            while length:
                piece = os.pread(descriptor, min(length, _PIECE_BYTES), offset)
                if not piece:
                    break
                pieces.append(piece)
                offset, length = offset + len(piece), length - len(piece)
        return b"".join(pieces)

    def write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Store `data`, growing the file if needed.

        The space is allocated first, so that a full volume leaves the file unchanged.
        """
        descriptor = self.descriptor()
        view = memoryview(data).cast("B")
        if offset < 0:
            raise DeviceError(f"{self._path}: cannot write at {offset}")
        if not view:
            return
        with _typed(self._path):
            before = os.fstat(descriptor).st_size
            try:
                os.posix_fallocate(descriptor, offset, len(view))
                _write_all(descriptor, offset, view)
            except OSError:
                # Allocating may have made the file longer before it failed.
                with suppress(OSError):
                    os.ftruncate(descriptor, before)
                raise

    def truncate(self, size_bytes: int) -> None:
        """Set the length; growth reads as zero."""
        with _typed(self._path):
            os.ftruncate(self.descriptor(), size_bytes)

    def sync(self) -> None:
        """Return when data, size and, for a new file, its name are durable."""
        with _typed(self._path):
            os.fsync(self.descriptor())
            # A new file is not durable before its name is.
            if self._new_in is not None:
                sync_directory(self._new_in)
                self._new_in = None

    def take(self, source: FileRef, check: Callable[[], None]) -> bool:
        """Fill this empty file from another, with what belongs to it; see `PathFileSystem.take`.

        Returns:
            Whether the other has an owner and a mode, which have come along.

        Args:
            source: The other file.
            check: Called between pieces; an exception of it ends the copying.
        """
        check()
        with source.open() as reading:
            if isinstance(reading, DirectoryFile):
                with _typed(self._path):
                    # Before the first byte: what is in it is perhaps not for everybody.
                    os.fchmod(self.descriptor(), 0o600)
                    if not clone_file(reading.descriptor(), self.descriptor()):
                        copy_data(
                            reading.descriptor(), self.descriptor(), reading.size_bytes, check
                        )
                    copy_attributes(reading.descriptor(), self.descriptor())
                return True
            for offset in range(0, reading.size_bytes, _CHUNK_BYTES):
                check()
                self.write_at(offset, reading.read_at(offset, _CHUNK_BYTES))
            self.truncate(reading.size_bytes)
        return False

    def close(self) -> None:
        """Release the file. Idempotent."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@frozen(kw_only=True)
class PathRef:
    """A file of a `PathFileSystem`, described so that any process of this machine can open it.

    Attributes:
        root: The directory that is the volume, absolute.
        path: The file in it, with ``/``.
        size_bytes: Length when the reference was made.
    """

    root: str
    path: str
    size_bytes: int

    @property
    def name(self) -> str:
        """The path inside the volume."""
        return self.path

    @property
    def native_path(self) -> str:
        """The absolute path, for programs that need one; nobody has checked it for links."""
        return os.path.join(self.root, *_parts(self.path))

    def open(self) -> DirectoryFile:
        """Open for reading.

        Raises:
            FileMissing: It is gone, or is no regular file any more.
        """
        return DirectoryFile(_open_regular(self.root, self.path, os.O_RDONLY), self.path)


class PathFileSystem:
    """The files of one directory of this machine.

    Names are compared exactly (Linux). `sync` without paths flushes every file of the tree, also
    those that other programs wrote; it is not for use after each of many changes.

    Args:
        root: The directory; it is the volume's root.
        read_only: Refuse every change.
        hidden: Names in the root directory that are not shown and cannot be reached.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        read_only: bool = False,
        hidden: frozenset[str] = frozenset(),
    ) -> None:
        require_posix("a directory that stands for a volume")
        self._root = os.path.abspath(root)
        self._read_only = read_only
        self._hidden = hidden

    @property
    def root(self) -> str:
        """The directory, absolute."""
        return self._root

    @property
    def read_only(self) -> bool:
        """Whether changes are refused."""
        return self._read_only

    def _inside(self, path: str) -> tuple[str, ...]:
        parts = _parts(path)
        if parts and parts[0] in self._hidden:
            raise FileMissing(f"{path}: no such file", context={"path": path})
        return parts

    def _writable(self, path: str) -> tuple[str, ...]:
        if self._read_only:
            raise WriteProtected(f"{path}: the volume is read-only", context={"path": path})
        parts = self._inside(path)
        if not parts:
            raise FileMissing("the root of a volume is not a file", context={"path": path})
        return parts

    def _entries(self, parts: tuple[str, ...]) -> list[tuple[str, bool]]:
        """Names in a directory and whether they are directories, sorted."""
        with _opened(self._root, parts) as directory, os.scandir(directory) as found:
            entries = [
                (entry.name, entry.is_dir(follow_symlinks=False))
                for entry in found
                if entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False)
            ]
        if not parts:
            entries = [each for each in entries if each[0] not in self._hidden]
        return sorted(entries, key=lambda each: (each[0].casefold(), each[0]))

    def listdir(self, path: str = "") -> list[str]:
        """Names of files and directories in a directory, sorted case-insensitively."""
        with _typed(path):
            return [name for name, _ in self._entries(self._inside(path))]

    def walk(self, path: str = "") -> Iterator[str]:
        """Paths of all files below `path`, directory by directory, names sorted."""
        parts = self._inside(path)
        with _typed(path):
            entries = self._entries(parts)
        for name, is_directory in entries:
            below = "/".join((*parts, name))
            if is_directory:
                yield from self.walk(below)
            else:
                yield below

    def stat(self, path: str) -> FileStat:
        """Facts about a file or directory, or about a symbolic link itself.

        Attributes that only root may list are not told to others.
        """
        parts = self._inside(path)
        with _typed(path), _opened(self._root, parts[:-1]) as directory:
            name = parts[-1] if parts else "."
            return file_facts(directory, name, path)

    def _shown(self, path: str, *, file: bool = False) -> os.stat_result:
        """Raise for what is not shown, as links are not, and for a directory if a file is wanted.

        Cheaper than `stat`: it is asked of every file of a listing.
        """
        parts = self._inside(path)
        with _typed(path), _opened(self._root, parts[:-1]) as directory:
            facts = os.stat(parts[-1] if parts else ".", dir_fd=directory, follow_symlinks=False)
        if not stat.S_ISREG(facts.st_mode) and (file or not stat.S_ISDIR(facts.st_mode)):
            raise FileMissing(f"{path}: not a regular file", context={"path": path})
        return facts

    def exists(self, path: str) -> bool:
        """Whether a file or directory is there."""
        try:
            self._shown(path)
        except FileMissing:
            return False
        return True

    def open(self, path: str) -> DirectoryFile:
        """Open for reading."""
        self._inside(path)
        return DirectoryFile(_open_regular(self._root, path, os.O_RDONLY), path)

    def ref(self, path: str) -> PathRef:
        """A description of the file that can be pickled."""
        facts = self._shown(path, file=True)
        return PathRef(root=self._root, path="/".join(_parts(path)), size_bytes=facts.st_size)

    def create(self, path: str, *, exclusive: bool = True) -> DirectoryFile:
        """Make an empty file and open it; the directory must exist."""
        parts = self._writable(path)
        how = os.O_RDWR | os.O_CREAT | (os.O_EXCL if exclusive else os.O_TRUNC)
        parent = os.path.join(self._root, *parts[:-1])
        return DirectoryFile(_open_regular(self._root, path, how), path, new_in=parent)

    def edit(self, path: str) -> DirectoryFile:
        """Open an existing file for reading and writing."""
        self._writable(path)
        return DirectoryFile(_open_regular(self._root, path, os.O_RDWR), path)

    def makedirs(self, path: str) -> None:
        """Make the directory and its parents, durably; existing ones are fine.

        A new one belongs to whom the one above belongs, if this process may give it away, and is
        open to nobody whom that one shuts out: what a recovery makes is the application's.
        """
        parts = self._writable(path) if _parts(path) else ()
        with _typed(path):
            for depth, name in enumerate(parts):
                with _opened(self._root, parts[:depth]) as above, suppress(FileExistsError):
                    os.mkdir(name, dir_fd=above)
                    _inherit(name, above)
                    os.fsync(above)
            # Whatever was there already has to be a directory.
            with _opened(self._root, parts):
                pass

    def rename(self, old: str, new: str, *, replace: bool = False) -> None:
        """Rename a file inside the volume; atomic, and durable when this returns.

        Without `replace`, looking for `new` and renaming are two steps: another program that
        creates `new` in between loses its file.
        """
        source, target = self._writable(old), self._writable(new)
        self._shown(old, file=True)
        if not replace and self.exists(new):
            raise FileExists(f"{new} exists", context={"path": new})
        with (
            _typed(new),
            _opened(self._root, source[:-1]) as out_of,
            _opened(self._root, target[:-1]) as into,
        ):
            os.rename(source[-1], target[-1], src_dir_fd=out_of, dst_dir_fd=into)
            # Both directories have changed; the one that has the file now goes first.
            os.fsync(into)
            if source[:-1] != target[:-1]:
                os.fsync(out_of)

    def remove(self, path: str) -> None:
        """Remove a file."""
        parts = self._writable(path)
        self._shown(path, file=True)
        with _typed(path), _opened(self._root, parts[:-1]) as directory:
            os.unlink(parts[-1], dir_fd=directory)

    def take(self, path: str, source: FileRef, *, mode: int | None = None, budget: Budget) -> None:
        """Make the new file `path` a copy of `source`, with all that this machine can keep of it.

        A file of a `PathFileSystem` gives everything; from others the bytes come, and the file
        belongs to whom its directory belongs to.
        """
        with self.create(path) as target:
            try:
                owned = target.take(source, lambda: budget.check(f"copying {source.name}"))
                if not owned or mode is not None:
                    self._give(target.descriptor(), path, mode, owned=owned)
            except BaseException:
                with suppress(FrskitError):
                    self.remove(path)
                raise

    def _give(self, descriptor: int, path: str, mode: int | None, *, owned: bool) -> None:
        """Owner and mode for a file that brought none, or another mode than it brought."""
        with _typed(path), _opened(self._root, self._inside(path)[:-1]) as directory:
            above = os.fstat(directory)
            if not owned:
                with suppress(PermissionError):
                    os.fchown(descriptor, above.st_uid, above.st_gid)
            # After the owner: a change of that may take rights away.
            os.fchmod(descriptor, above.st_mode & 0o666 if mode is None else mode)

    def sync(self, paths: Iterable[str] | None = None) -> None:
        """Return when every file and directory of the tree is durable, or only those named."""
        if paths is None:
            self._sync(())
            return
        directories = set()
        for path in sorted(set(paths)):
            parts = self._inside(path)
            with _typed(path):
                directories.add(parts if self._flush(parts) else parts[:-1])
        # After the files: a name is worth nothing before its bytes.
        for parts in sorted(directories):
            with _typed("/".join(parts)), _opened(self._root, parts) as directory:
                os.fsync(directory)

    def _flush(self, parts: tuple[str, ...]) -> bool:
        """Flush one file, if it is there and is one; True if it is a directory."""
        if not parts:
            return True
        with _opened(self._root, parts[:-1]) as directory:
            try:
                facts = os.stat(parts[-1], dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:
                return False
            if stat.S_ISREG(facts.st_mode):
                _sync_file(directory, parts[-1])
            return stat.S_ISDIR(facts.st_mode)

    def _sync(self, parts: tuple[str, ...]) -> None:
        path = "/".join(parts)
        with _typed(path), _opened(self._root, parts) as directory:
            for name, is_directory in self._entries(parts):
                if is_directory:
                    self._sync((*parts, name))
                else:
                    _sync_file(directory, name)
            os.fsync(directory)


def _inherit(name: str, above: int) -> None:
    """Give a new directory the owner and group of the one that it is in, and no wider mode."""
    outer = os.fstat(above)
    inner = os.stat(name, dir_fd=above, follow_symlinks=False)
    if (outer.st_uid, outer.st_gid) != (inner.st_uid, inner.st_gid):
        with suppress(PermissionError):
            os.chown(name, outer.st_uid, outer.st_gid, dir_fd=above, follow_symlinks=False)
    narrowed = stat.S_IMODE(inner.st_mode) & (outer.st_mode | stat.S_ISGID)
    os.chmod(name, narrowed, dir_fd=above)


def _sync_file(directory: int, name: str) -> None:
    """Flush one file; one that vanished meanwhile needs no flushing."""
    with suppress(FileNotFoundError):
        how = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(name, how, dir_fd=directory)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


if TYPE_CHECKING:
    _file_system: type[FileSystem] = PathFileSystem
    _ref: type[FileRef] = PathRef
    _readable: type[ReadableFile] = DirectoryFile
    _writable: type[WritableFile] = DirectoryFile
