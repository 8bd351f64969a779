"""Where bytes come from: paths, open files, file references, and sets of named files.

The protocols are structural and deliberately small, so that a presented LUN's file, a plain path
and a buffer in memory are all welcome without an adapter. Sources are only ever read.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeAlias, cast

from frskit.errors import FileMissing, HostError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from frskit._typing import TypeIs

__all__ = [
    "BytesFile",
    "NamedFiles",
    "Openable",
    "PathFile",
    "Readable",
    "Source",
    "named_files",
    "opened",
    "read_exactly",
    "source_name",
]


class Readable(Protocol):
    """Random access to the bytes of one file; reads may run in several threads."""

    @property
    def size_bytes(self) -> int:
        """Length of the file."""
        ...

    def read_at(self, offset: int, length: int, /) -> bytes:
        """Up to `length` bytes from `offset`; shorter only at the end."""
        ...


class _Closable(Readable, Protocol):
    def close(self) -> None: ...


class Openable(Protocol):
    """A description of a file that can be opened; picklable if workers elsewhere are to read it."""

    def open(self) -> _Closable:
        """Open for reading."""
        ...


class NamedFiles(Protocol):
    """The files of one directory: the root of any file tree, or `named_files` of a directory."""

    def listdir(self, path: str = "", /) -> Sequence[str]:
        """Names of the files."""
        ...

    def open(self, path: str, /) -> _Closable:
        """Open one of them for reading."""
        ...


Source: TypeAlias = "str | os.PathLike[str] | Readable | Openable | BinaryIO | bytes | bytearray"
"""What the checks of this package accept as "a file"."""


class PathFile:
    """A file of this machine; picklable, opened again by whoever unpickles it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: str = os.fspath(path)
        # Where there is no pread, seeking and reading are two steps that threads must not mix.
        self._lock = threading.Lock()
        try:
            self._file = Path(self.path).open("rb", buffering=0)  # noqa: SIM115 - closed by close()
        except FileNotFoundError as error:
            raise FileMissing(
                f"there is no file {self.path}", context={"path": self.path}
            ) from error
        except OSError as error:
            raise _cannot_read(self.path, error) from error

    @property
    def name(self) -> str:
        """The path."""
        return self.path

    @property
    def size_bytes(self) -> int:
        """Length now."""
        try:
            with self._lock:
                return self._file.seek(0, os.SEEK_END)
        except OSError as error:
            raise _cannot_read(self.path, error) from error

    def read_at(self, offset: int, length: int, /) -> bytes:
        """Up to `length` bytes from `offset`; shorter only at the end.

        Raises:
            HostError: The operating system could not read.
        """
        # A read allocates what it is asked for, so it is not asked for more than there is.
        length = min(length, max(0, self.size_bytes - offset))
        pieces: list[bytes] = []
        try:
            while length and (piece := self._read_piece(offset, length)):
                pieces.append(piece)
                offset, length = offset + len(piece), length - len(piece)
        except OSError as error:
            raise _cannot_read(self.path, error) from error
        # One piece, which is all but always the case, is handed on without being copied.
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read_piece(self, offset: int, length: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), length, offset)
        with self._lock:
            self._file.seek(offset)
            return self._file.read(length) or b""

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Fill `buffer` from `offset`; the number of bytes read, less only at the end."""
        done = 0
        try:
            while done < len(buffer):
                count = self._read_once(offset + done, buffer[done:])
                if count == 0:
                    break
                done += count
        except OSError as error:
            raise _cannot_read(self.path, error) from error
        return done

    def _read_once(self, offset: int, buffer: memoryview) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self._file.fileno(), [buffer], offset)
        with self._lock:
            self._file.seek(offset)
            return self._file.readinto(buffer) or 0

    def close(self) -> None:
        """Release the file. Idempotent."""
        self._file.close()

    def __reduce__(self) -> tuple[type[PathFile], tuple[str]]:
        return PathFile, (self.path,)


class BytesFile:
    """Bytes in memory as a file."""

    def __init__(self, data: bytes | bytearray | memoryview, name: str = "bytes") -> None:
        self._data = memoryview(data)
        self.name = name

    @property
    def size_bytes(self) -> int:
        """Number of bytes."""
        return len(self._data)

    def read_at(self, offset: int, length: int, /) -> bytes:
        """Up to `length` bytes from `offset`."""
        return bytes(self._data[offset : offset + length])

    def close(self) -> None:
        """Nothing to release."""


class _StreamFile:
    """A seekable binary file object as a file; its position moves, reads take turns."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        with self._lock:
            self.size_bytes = stream.seek(0, os.SEEK_END)
        self.name = str(getattr(stream, "name", "stream"))

    def read_at(self, offset: int, length: int, /) -> bytes:
        parts = []
        with self._lock:
            self._stream.seek(offset)
            while length > 0 and (part := self._stream.read(length)):
                parts.append(part)
                length -= len(part)
        return b"".join(parts)


def _cannot_read(path: str, error: OSError) -> HostError:
    return HostError(
        f"cannot read {path}: {error.strerror or error}",
        hint="Look at the file's permissions and at the disk.",
        context={"path": path},
    )


def source_name(source: Source) -> str:
    """A name for messages: the path, the object's own ``name``, or its type."""
    if isinstance(source, (str, PurePath)):
        return str(source)
    if isinstance(source, os.PathLike):
        return os.fspath(source)
    name = getattr(source, "name", None)
    return str(name) if name is not None else type(source).__name__


@contextmanager
def opened(source: Source) -> Iterator[Readable]:
    """The source, open for reading; what was opened here is closed at the end.

    Raises:
        FileMissing: The path does not exist.
        HostError: It cannot be opened.
        UsageError: The object is no source.
    """
    if isinstance(source, (bytes, bytearray)):
        yield BytesFile(source)
    elif isinstance(source, (str, os.PathLike)):
        file = PathFile(source)
        try:
            yield file
        finally:
            file.close()
    elif hasattr(source, "read_at"):
        yield cast("Readable", source)
    elif hasattr(source, "open"):
        reader = cast("Openable", source).open()
        try:
            yield reader
        finally:
            reader.close()
    elif _is_stream(source):
        yield _StreamFile(source)
    else:
        raise UsageError(
            f"{type(source).__name__} is not a file",
            hint="Give a path, a binary file object, or an object with size_bytes and read_at.",
        )


def _is_stream(source: object) -> TypeIs[BinaryIO]:
    return hasattr(source, "read") and hasattr(source, "seek")


def read_exactly(file: Readable, offset: int, length: int) -> bytes:
    """The bytes of the range that exist; shorter than `length` only past the end.

    Never asks for more than the file says it has, whatever a hostile header wants.
    """
    length = min(length, file.size_bytes - offset)
    return bytes(file.read_at(offset, length)) if length > 0 else b""


class _Directory:
    """A directory of this machine as a set of named files."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def listdir(self, path: str = "", /) -> Sequence[str]:
        # The order of a directory is the file system's; reports shall not depend on it.
        try:
            return sorted(each.name for each in (self._path / path).iterdir() if each.is_file())
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FileMissing(
                f"there is no directory {self._path}", context={"path": str(self._path)}
            ) from error
        except OSError as error:
            raise _cannot_read(str(self._path), error) from error

    def open(self, path: str, /) -> PathFile:
        return PathFile(self._path / path)


class _Mapped:
    """A mapping of names to sources as a set of named files."""

    def __init__(self, files: Mapping[str, Source]) -> None:
        self._files = files

    def listdir(self, _path: str = "", /) -> Sequence[str]:
        return sorted(self._files)

    def open(self, path: str, /) -> _Held:
        return _Held(self._files[path])


class _Held:
    """An open source that closes what `opened` opened."""

    def __init__(self, source: Source) -> None:
        self._context = opened(source)
        self._file = self._context.__enter__()

    @property
    def size_bytes(self) -> int:
        return self._file.size_bytes

    def read_at(self, offset: int, length: int, /) -> bytes:
        return self._file.read_at(offset, length)

    def close(self) -> None:
        self._context.__exit__(None, None, None)


def named_files(
    files: str | os.PathLike[str] | Mapping[str, Source] | NamedFiles,
) -> NamedFiles:
    """A directory path, a mapping name -> source, or a file tree, as `NamedFiles`."""
    if isinstance(files, (str, os.PathLike)):
        return _Directory(files)
    if isinstance(files, Mapping):
        return _Mapped(files)
    return files
