"""The late files of copies: bytes that came after the instant, kept by what they are.

A blob lies under the SHA-256 of its bytes, ``late/<first two digits>/<sha256>``, so that copies
that hold the same log share it. It is durable before the record that names it, and goes after the
last record that named it: a crash in between leaves a blob that nobody names, which the next
`LateFiles.sweep` takes. Whoever collects and records, or looks what is named and sweeps, does it
with `LateFiles.alone`, else a sweep could take what is about to be named.

Opening a blob reads it once to see that it still is what its name says.
"""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING

from attrs import field, frozen

from frskit.errors import CatalogError, IntegrityError, NoSpace
from frskit.storage import file_lock, flags, make_directory, sync_directory

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from frskit.clock import Budget
    from frskit.model.components import LateFile
    from frskit.protocols import FileRef, ReadableFile

__all__ = ["LateFiles", "LateRef", "opened"]

# Bytes per read and write: bounds the memory (ours).
_CHUNK_BYTES = 1 << 20
_PART = "incoming.part"
_DIGITS = frozenset("0123456789abcdef")


class _Opened:
    """A blob, or bytes, open for reading."""

    def __init__(self, file: IO[bytes], size_bytes: int) -> None:
        self._file = file
        self._lock = threading.Lock()
        self.size_bytes = size_bytes

    def read_at(self, offset: int, length: int) -> bytes:
        """Bytes from an offset; several threads may read."""
        with self._lock:
            self._file.seek(offset)
            return self._file.read(length)

    def close(self) -> None:
        """Release the file. Idempotent."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def opened(content: bytes) -> ReadableFile:
    """Bytes in the form of an open file."""
    return _Opened(BytesIO(content), len(content))


@frozen(kw_only=True)
class LateRef:
    """A late file of a copy that a worker can open by itself.

    Attributes:
        name: The path it has after a restore.
        size_bytes, sha256: What its bytes are.
        blob: Where it lies; None if it is lost, or `content` has it.
        content: Its bytes, at a site that keeps them in memory.
    """

    name: str
    size_bytes: int
    sha256: str
    blob: str | None = None
    content: bytes | None = field(default=None, repr=False)

    def open(self) -> ReadableFile:
        """Open it, and see that it is what was collected.

        Raises:
            IntegrityError: It is gone or changed; ``context["late"]`` has its name.
        """
        try:
            file = self._file()
        except OSError as error:
            raise self._lost(error.strerror or str(error)) from error
        try:
            size, digest = _digest(file)
        except OSError as error:
            file.close()
            raise self._lost(error.strerror or str(error)) from error
        if (size, digest) != (self.size_bytes, self.sha256):
            file.close()
            raise self._lost("its bytes are others")
        return _Opened(file, size)

    def _file(self) -> IO[bytes]:
        if self.content is not None:
            return BytesIO(self.content)
        if self.blob is None:
            raise FileNotFoundError(errno.ENOENT, "no such file")
        return Path(self.blob).open("rb")

    def _lost(self, why: str) -> IntegrityError:
        return IntegrityError(
            f"late file {self.name} is gone or changed: {why}",
            hint="The copy cannot be recovered without it. Restore the site's state directory.",
            context={"late": self.name, "sha256": self.sha256},
        )


def _digest(file: IO[bytes]) -> tuple[int, str]:
    sums, size = hashlib.sha256(), 0
    while piece := file.read(_CHUNK_BYTES):
        sums.update(piece)
        size += len(piece)
    return size, sums.hexdigest()


class LateFiles:
    """The blobs of one site.

    Args:
        directory: Where they lie, made with the first one; None keeps them in memory.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._memory: dict[str, bytes] = {}
        self._lock = threading.Lock()

    @contextmanager
    def alone(self, doing: str, budget: Budget | None = None) -> Iterator[None]:
        """Keep every other collection and sweep out for the length of the block.

        Args:
            doing: What for, for the message.
            budget: How long to wait for others; None = not at all.

        Raises:
            Busy: Another one is under way.
            Cancelled: As the budget says.
        """
        if self._directory is None:
            with self._lock:
                yield
            return
        make_directory(self._directory)
        with file_lock(self._directory / "lock", doing, budget=budget):
            yield

    def is_empty(self) -> bool:
        """Whether there never was one."""
        if self._directory is None:
            return not self._memory
        return not self._directory.exists()

    def put(self, source: ReadableFile, budget: Budget) -> tuple[int, str]:
        """Keep the bytes of an open file; durable when it returns, and only whole.

        Returns:
            Size and SHA-256.

        Raises:
            NoSpace: The state directory's volume is full; nothing of it is kept.
            CatalogError: It could not be written.
        """
        if self._directory is None:
            whole = b"".join(_pieces(source, budget))
            digest = hashlib.sha256(whole).hexdigest()
            self._memory[digest] = whole
            return len(whole), digest
        part = self._directory / _PART
        try:
            size, digest = _written(part, source, budget)
            self._put_in_place(part, self._path(digest))
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            kind = NoSpace if error.errno in (errno.ENOSPC, errno.EDQUOT) else CatalogError
            raise kind(
                f"a late file cannot be kept in {self._directory}: {error.strerror or error}",
                hint="Free space for the site's state directory, or name another one.",
                context={"path": str(self._directory)},
            ) from error
        return size, digest

    def ref(self, late: LateFile) -> LateRef:
        """A late file of a manifest."""
        blob = None if self._directory is None else str(self._path(late.sha256))
        return LateRef(
            name=late.path,
            size_bytes=late.size_bytes or 0,
            sha256=late.sha256,
            blob=blob,
            content=self._memory.get(late.sha256),
        )

    def missing(self, manifest: Iterable[LateFile]) -> LateFile | None:
        """The first file of a manifest that is not there in its length; nothing is read."""
        for late in manifest:
            if self._size(late.sha256) != late.size_bytes:
                return late
        return None

    def sweep(self, living: Iterable[str]) -> int:
        """Remove every blob that no living manifest names, and what a crash left; how many.

        The caller is `alone`, and has looked what is named since.

        Raises:
            CatalogError: One could not be removed; a later sweep tries again.
        """
        named = frozenset(living)
        if self._directory is None:
            doomed = self._memory.keys() - named
            for digest in doomed:
                del self._memory[digest]
            return len(doomed)
        gone = 0
        try:
            (self._directory / _PART).unlink(missing_ok=True)
            for path in self._blobs():
                if path.name not in named:
                    path.unlink()
                    gone += 1
        except OSError as error:
            raise CatalogError(
                f"late files in {self._directory} cannot be removed: {error.strerror or error}"
            ) from error
        return gone

    def _blobs(self) -> Iterator[Path]:
        """Every file that is named as a blob is, and lies where one does."""
        assert self._directory is not None
        for path in sorted(self._directory.glob("??/*")):
            if len(path.name) == 64 and _DIGITS.issuperset(path.name) and path.is_file():
                yield path

    def _path(self, digest: str) -> Path:
        assert self._directory is not None
        return self._directory / digest[:2] / digest

    def _size(self, digest: str) -> int | None:
        if self._directory is None:
            content = self._memory.get(digest)
            return None if content is None else len(content)
        try:
            return self._path(digest).stat().st_size
        except OSError:
            return None

    def _put_in_place(self, part: Path, path: Path) -> None:
        """Give a durable file its name, durably; one of that name is replaced by the same bytes."""
        assert self._directory is not None
        make_directory(path.parent)
        part.replace(path)
        for directory in (path.parent, self._directory, self._directory.parent):
            sync_directory(directory)


def _pieces(source: ReadableFile, budget: Budget) -> Iterator[bytes]:
    """The bytes of an open file, up to the length it had when it was opened."""
    for offset in range(0, source.size_bytes, _CHUNK_BYTES):
        budget.check("collecting a late file")
        yield source.read_at(offset, min(_CHUNK_BYTES, source.size_bytes - offset))


def _written(path: Path, source: ReadableFile, budget: Budget) -> tuple[int, str]:
    """Write and sync a new file; its size and SHA-256."""
    sums, size = hashlib.sha256(), 0
    how = flags("O_WRONLY", "O_CREAT", "O_TRUNC", "O_CLOEXEC")
    with open(os.open(path, how, 0o600), "wb") as file:  # noqa: PTH123 - a descriptor
        for piece in _pieces(source, budget):
            file.write(piece)
            sums.update(piece)
            size += len(piece)
        file.flush()
        os.fsync(file.fileno())
    return size, sums.hexdigest()


if TYPE_CHECKING:
    _ref: type[FileRef] = LateRef
    _file: type[ReadableFile] = _Opened
