"""One database of a storage group: its files, its header, its pages in memory and on disk.

Knows how pages and headers reach the disk and in which order; does not know what the pages mean
(`btree`) nor when they must be written (`engine`). A page read from disk is verified first.
Facts: [ese.md 2, 4], [lab-store.md 1, 4, 5].
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from attrs import Factory, define, evolve, field, frozen

from frskit.codes.ese import EseError
from frskit.errors import FileMissing, FormatError, NoSpace, StoreError
from frskit.ese import pack_database_header, read_header_copies
from frskit.ese.pages import seal_page, verify_page
from frskit.exchange.store.pages import PAGE_SIZE, Page, PageFlag
from frskit.exchange.store.system_catalog import (
    DATABASE_ROOT,
    OWNED_OFFSET,
    build_database,
    space_nodes,
)
from frskit.exchange.store.versions import StoreKind
from frskit.model.ese_files import DatabaseHeader, DatabaseState, FileKind
from frskit.model.ese_structures import AttachInfo, LgPos

if TYPE_CHECKING:
    from frskit.protocols.small import FileSystem, WritableFile

__all__ = ["CachedPage", "Database", "DatabaseFiles"]

_UNICODE_NAMES = 0x20  # attachment flag [ese.md 1]
_HEADER_PAGES = 2  # header and shadow [ese.md 2]


@frozen(kw_only=True)
class DatabaseFiles:
    """Where a database lies, and how its server calls it.

    Attributes:
        name: Its name in the group.
        fs: Volume of the database file.
        path: Path on that volume.
        display_path: Path in the server's notation, as log and headers record it; default: `path`.
        kind: Mailbox or public folder store.
        stream_path: Path of the streaming file; empty = there is none, as from 2007 on.
        stream_fs: Volume of the streaming file, if there is one; default: that of the database.
        stream_display_path: In the server's notation.
    """

    name: str
    fs: FileSystem
    path: str
    display_path: str = field(default=Factory(lambda files: files.path, takes_self=True))
    kind: StoreKind = StoreKind.MAILBOX
    stream_path: str = ""
    stream_fs: FileSystem | None = field(
        default=Factory(lambda files: files.fs if files.stream_path else None, takes_self=True)
    )
    stream_display_path: str = ""


@define(kw_only=True)
class CachedPage:
    """A page in memory.

    Attributes:
        number: Which page.
        page: Its content.
        first: Position of the oldest change that is not on disk; None = clean. Changed by
            `Database.mark` only.
        needs: Pages that must be on disk before this one.
        torn: Whether the page on disk is broken and its content here is not known yet. Set by
            `Database.tear` only.
    """

    number: int
    page: Page
    first: LgPos | None = None
    needs: set[int] = field(factory=set)
    torn: bool = False


class Database:
    """A database whose header has been read or made.

    Attributes:
        files: Where it lies.
        header: What the header says or will say when it is next written.
        dbtime: Highest operation number given out.
        attached: Whether it is mounted, that is, changes are possible.
    """

    def __init__(self, files: DatabaseFiles, header: DatabaseHeader, *, cache_pages: int) -> None:
        self.files = files
        self.header = header
        self.dbtime: int = header.dbtime_dirtied
        self.attached: bool = False
        self._on_disk = header
        # Every page in memory; which of them wait for the disk, in the order of their first
        # change; and which may be forgotten, the longest unused first. Torn ones may not.
        self._cache: dict[int, CachedPage] = {}
        self._waiting: dict[int, CachedPage] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()
        self._cache_pages = cache_pages
        self._file: WritableFile | None = None

    @property
    def name(self) -> str:
        """Its name in the group."""
        return self.files.name

    @property
    def dbid(self) -> int:
        """Its number in the log stream."""
        return self.header.dbid

    @property
    def is_clean(self) -> bool:
        """Whether the header says "Clean Shutdown"."""
        return self.header.is_clean

    # --- files

    @classmethod
    def exists(cls, files: DatabaseFiles) -> bool:
        """Whether the database file is there."""
        return files.fs.exists(files.path)

    @classmethod
    def load(cls, files: DatabaseFiles, *, cache_pages: int) -> Database:
        """The database whose files exist.

        Raises:
            StoreError: The file is missing (native -1811) or no copy of its header is good
                (-1206).
        """
        try:
            with files.fs.open(files.path) as file:
                header = read_header_copies(file, files.display_path).header
        except FileMissing as error:
            raise StoreError(
                f"the database file {files.display_path} is missing",
                context={"database": files.name, "path": files.path},
                native=EseError.FILE_NOT_FOUND,
            ) from error
        except FormatError as error:
            raise StoreError(
                str(error),
                context={"database": files.name},
                native=error.native or EseError.DATABASE_CORRUPTED,
            ) from error
        return cls(files, header, cache_pages=cache_pages)

    @classmethod
    def create(
        cls,
        files: DatabaseFiles,
        header: DatabaseHeader,
        *,
        pages: int,
        legacy: bool,
        cache_pages: int,
    ) -> Database:
        """Write a new, empty database; its header comes last, so a crash leaves none.

        Args:
            files: Where; existing files are emptied.
            header: The header to give it; dbtime is filled in.
            pages: Logical pages.
            legacy: Begin with old checksums.
            cache_pages: As for the constructor.
        """
        content = build_database(pages, legacy=legacy)
        # A header's dbtime is never below that of a page [lab-store.md 2.10].
        header = evolve(header, dbtime_dirtied=max(page.dbtime for page in content.values()))
        with files.fs.create(files.path, exclusive=False) as file:
            file.truncate((pages + _HEADER_PAGES) * PAGE_SIZE)
            for number, page in content.items():
                data = bytearray(page.data)
                seal_page(data, number)
                file.write_at((number + 1) * PAGE_SIZE, data)
            file.sync()
        database = cls(files, header, cache_pages=cache_pages)
        database.write_stream_file(create=True)
        database.write_header(force=True)
        return database

    def write_stream_file(self, *, create: bool = False) -> None:
        """Bring the streaming file's two headers up to date; it holds no data [lab-store.md 5]."""
        fs, path = self.files.stream_fs, self.files.stream_path
        if fs is None:
            return
        header = evolve(self.header, attribute=1, file_type=FileKind.STREAMING_FILE.value)
        raw = pack_database_header(header)
        with fs.create(path, exclusive=False) if create else fs.edit(path) as file:
            if create:
                # A body of blank pages, so that a copy of it has something to copy (ours).
                file.truncate((_HEADER_PAGES + 16) * PAGE_SIZE)
            for copy in range(_HEADER_PAGES):
                file.write_at(copy * PAGE_SIZE, raw)
                # Inside the loop: a write that tears must leave the other copy whole.
                file.sync()

    def check_stream_file(self) -> None:
        """Make sure that the streaming file belongs to the database.

        Raises:
            StoreError: It is missing (native -1811) or another one's (-531).
        """
        fs, path = self.files.stream_fs, self.files.stream_path
        if fs is None:
            return
        if not fs.exists(path):
            raise StoreError(
                f"the streaming file {self.files.stream_display_path or path} is missing",
                hint="A .edb and its .stm are one unit; bring both.",
                context={"database": self.name, "path": path},
                native=EseError.FILE_NOT_FOUND,
            )
        try:
            with fs.open(path) as file:
                found = read_header_copies(file, path).header
        except FormatError as error:
            raise StoreError(
                str(error), context={"path": path}, native=EseError.DATABASE_CORRUPTED
            ) from error
        if found.slv_signature != self.header.slv_signature:
            raise StoreError(
                f"the streaming file {path} does not belong to {self.name}",
                context={"database": self.name, "path": path},
                native=EseError.BAD_DB_SIGNATURE,
            )

    def write_header(self, *, force: bool = False) -> None:
        """Write both copies, one after the other, if anything changed since the last time."""
        if self.header == self._on_disk and not force:
            return
        raw = pack_database_header(self.header)
        file = self._opened()
        for copy in range(_HEADER_PAGES):
            file.write_at(copy * PAGE_SIZE, raw)
            # Inside the loop, for the same reason as in `write_stream_file`.
            file.sync()
        self._on_disk = self.header

    def close(self) -> None:
        """Release the file and forget the pages in memory."""
        if self._file is not None:
            self._file.close()
            self._file = None
        for pages in (self._cache, self._waiting, self._idle):
            pages.clear()
        self.attached = False

    def _opened(self) -> WritableFile:
        if self._file is None:
            self._file = self.files.fs.edit(self.files.path)
        return self._file

    # --- pages

    def page(self, number: int) -> Page:
        """A page for reading, from memory or verified from disk.

        Raises:
            StoreError: The page is bad (native -1018).
        """
        cached = self.cached(number)
        if cached.torn:
            raise self._page_error(number, EseError.READ_VERIFY_FAILURE, "has a bad checksum")
        return cached.page

    def cached(self, number: int) -> CachedPage:
        """A page's entry in memory; a broken page comes back marked as torn.

        A page that was never written, or lies beyond the end of the file, is blank.
        """
        found = self._cache.get(number)
        if found is not None:
            if number in self._idle:
                self._idle.move_to_end(number)
            return found
        found = self._read(number)
        self._evict(room=1)
        self._cache[number] = found
        if not found.torn:
            self._idle[number] = None
        return found

    def install(self, number: int, page: Page, position: LgPos) -> CachedPage:
        """Put whole new content in place of a page and mark it as changed at `position`."""
        found = self._cache.get(number)
        if found is None:
            found = self._cache[number] = CachedPage(number=number, page=page)
        found.page, found.torn = page, False
        self.mark(found, position)
        return found

    def mark(self, cached: CachedPage, position: LgPos) -> None:
        """Note that a page was changed by the record at `position`."""
        # What counts is the oldest change that is not on disk, so a later one changes nothing.
        if cached.first is None:
            cached.first = position
            self._waiting[cached.number] = cached
            self._idle.pop(cached.number, None)

    def tear(self, cached: CachedPage) -> None:
        """Note that a page's content is not to be believed until it is installed anew."""
        cached.torn = True
        self._idle.pop(cached.number, None)

    @property
    def dirty_count(self) -> int:
        """How many changed pages wait for the disk."""
        return len(self._waiting)

    def dirty(self) -> list[int]:
        """Numbers of the changed pages, the longest waiting first."""
        waiting = [
            (cached.first, number)
            for number, cached in self._waiting.items()
            if cached.first is not None
        ]
        return [number for _, number in sorted(waiting)]

    def dirty_before(self, generation: int) -> list[int]:
        """Numbers of the pages whose oldest change lies in a log before `generation`."""
        return [
            number
            for number in self.dirty()
            if (first := self._waiting[number].first) is not None and first.generation < generation
        ]

    @property
    def oldest_change(self) -> LgPos | None:
        """Position of the oldest change that is not on disk."""
        waiting = [each.first for each in self._waiting.values() if each.first is not None]
        return min(waiting, default=None)

    def write_order(self, numbers: list[int]) -> list[int]:
        """The pages with those they need before them, each once, in the order of writing.

        A page that points to a new page is written after it, so that a reader of the file never
        follows a pointer into nothing (frskit's choice).
        """
        # A stack and no recursion: chains of splits can be long.
        order: dict[int, None] = {}
        stack = list(reversed(numbers))
        while stack:
            number = stack[-1]
            missing = [each for each in self._waiting_needs(number) if each not in order]
            if missing:
                stack.extend(missing)
                continue
            order.setdefault(stack.pop())
        return list(order)

    def _waiting_needs(self, number: int) -> list[int]:
        return [each for each in sorted(self._cache[number].needs) if each in self._waiting]

    def write_pages(self, numbers: list[int]) -> None:
        """Write changed pages in the given order and wait until they are durable.

        The log must be durable as far as these pages go, and the header must have been raised.
        """
        file = self._opened()
        # After a crash the file may be shorter than its own space tree says.
        self.extend_file(self.owned_pages)
        for number in numbers:
            page = self._cache[number].page
            page.flags |= PageFlag.NEW_CHECKSUM
            seal_page(page.data, number)
            file.write_at((number + 1) * PAGE_SIZE, page.data)
        file.sync()
        # Only now, when the pages are durable, do they stop holding the checkpoint back.
        for number in numbers:
            cached = self._cache[number]
            cached.first = None
            cached.needs.clear()
            self._waiting.pop(number, None)
            if not cached.torn:
                self._idle[number] = None
        self._evict()

    @property
    def owned_pages(self) -> int:
        """Logical pages of the file, as the database's space tree says."""
        nodes = space_nodes(self.page(DATABASE_ROOT + OWNED_OFFSET))
        return nodes[-1][0] if nodes else 0

    def extend_file(self, pages: int) -> None:
        """Make the file long enough for so many logical pages.

        Raises:
            StoreError: The volume is full (native -1808); the file is as it was.
        """
        size_bytes = (pages + _HEADER_PAGES) * PAGE_SIZE
        if self.files.fs.stat(self.files.path).size_bytes < size_bytes:
            try:
                self._opened().truncate(size_bytes)
            except NoSpace as error:
                raise StoreError(
                    f"{self.files.display_path} cannot grow: the volume is full",
                    context={"database": self.name, "size_bytes": size_bytes},
                    native=EseError.DISK_FULL,
                ) from error

    def _read(self, number: int) -> CachedPage:
        raw = self._opened().read_at((number + 1) * PAGE_SIZE, PAGE_SIZE).ljust(PAGE_SIZE, b"\0")
        # Never written, so neither good nor torn [ese.md 4.6].
        if not any(raw):
            return CachedPage(number=number, page=Page(bytearray(PAGE_SIZE)))
        status = verify_page(raw, number).status
        return CachedPage(number=number, page=Page(bytearray(raw)), torn=status != "ok")

    def _evict(self, room: int = 0) -> None:
        """Forget the longest unused clean pages above the limit, and looks at no other page.

        Room is made *before* a page comes in: whoever asked for that page is about to change it,
        and if all the others wait for the disk, it would be the one to go.
        """
        while self._idle and len(self._cache) + room > self._cache_pages:
            number, _ = self._idle.popitem(last=False)
            del self._cache[number]

    def _page_error(self, number: int, native: int, what: str) -> StoreError:
        return StoreError(
            f"page {number} of {self.files.display_path} {what}",
            hint="Recover the database from a verified copy.",
            context={"database": self.name, "page": number},
            native=native,
        )

    # --- identity in the log

    def attach_info(self) -> AttachInfo:
        """What log headers and checkpoints say of it while it is attached."""
        return AttachInfo(
            dbid=self.dbid,
            flags=_UNICODE_NAMES,
            dbtime=self.dbtime,
            last_objid=self.header.last_objid,
            attach=self.header.attach_position,
            consistent=self.header.consistent_position,
            db_signature=self.header.db_signature,
            names=(self.files.display_path + "\0").encode("utf-16-le"),
        )

    def clean_header(self, position: LgPos) -> DatabaseHeader:
        """The header of the database after a clean dismount at `position`."""
        return evolve(
            self.header,
            state=DatabaseState.CLEAN_SHUTDOWN.value,
            dbtime_dirtied=self.dbtime,
            consistent_position=position,
            detach_position=position,
            gen_min_required=0,
            gen_max_required=0,
            gen_max_committed=0,
        )
