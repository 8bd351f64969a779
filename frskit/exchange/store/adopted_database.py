"""Adopted databases: files of other engines that the lab keeps as they are.

Page-only stores: copied in byte by byte, presented and verified like the lab's own, but never
written to and never judged as to logs: their log stream is foreign [resolutions.md R-22].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.codes.ese import EseError
from frskit.errors import FormatError, NoSpace, StoreError
from frskit.ese import read_header_copies

if TYPE_CHECKING:
    from frskit.ese import Readable
    from frskit.exchange.store.database import DatabaseFiles
    from frskit.model.ese_files import DatabaseHeader

__all__ = ["AdoptedDatabase"]

# Bytes per read and write: bounds the memory (ours).
_CHUNK = 1 << 20


class AdoptedDatabase:
    """A database of another engine.

    Attributes:
        files: Where it lies.
        header: Its header, as found.
    """

    foreign = True

    def __init__(self, files: DatabaseFiles, header: DatabaseHeader) -> None:
        self.files = files
        self.header = header

    @property
    def name(self) -> str:
        """Its name in the group."""
        return self.files.name

    @classmethod
    def load(cls, files: DatabaseFiles) -> AdoptedDatabase:
        """One that was adopted before.

        Raises:
            StoreError: It is no database (native -1206).
            FileMissing: It is gone.
        """
        with files.fs.open(files.path) as file:
            return cls(files, _header(file, files.path))

    @classmethod
    def adopt(cls, files: DatabaseFiles, source: Readable) -> AdoptedDatabase:
        """Copy a database in, as it is.

        Raises:
            StoreError: The source is no database (native -1206); nothing is copied.
            FileExists: There is a file of this name already.
            NoSpace: The volume is full; what had been copied is removed.
        """
        header = _header(source, files.name)
        try:
            with files.fs.create(files.path) as file:
                for at in range(0, source.size_bytes, _CHUNK):
                    file.write_at(at, source.read_at(at, min(_CHUNK, source.size_bytes - at)))
                file.sync()
        except NoSpace:
            # Half a copy would be taken for a damaged database.
            files.fs.remove(files.path)
            raise
        return cls(files, header)


def _header(source: Readable, name: str) -> DatabaseHeader:
    try:
        return read_header_copies(source, name).header
    except FormatError as error:
        raise StoreError(
            str(error), context={"source": name}, native=EseError.DATABASE_CORRUPTED
        ) from error
