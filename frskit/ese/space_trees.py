"""How many pages a database owns, as its own space tree says.

The root page of the database (page 1) names the tree of owned extents (page 2 in every database
seen); its entries are keyed by their last page and hold a count, and together they reach from
page 1 to the last page that the database ever asked the file system for. What lies beyond is
nobody's, and damage there hurts nobody. Nothing else of any tree is read, and free space is not
told apart from used space. Facts: [ese.md 3, 4.6] and [lab-store.md 2.1, 2.2, 2.4], confirmed by
every real database at hand.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from frskit.errors import FormatError
from frskit.ese.header import read_header_copies
from frskit.ese.pages.verify import verify_page
from frskit.ese.sources import Readable, Source, opened, read_exactly, source_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from frskit.model.reports import DamagedPage, PagePosition

__all__ = ["load_owned_pages", "locate", "read_owned_pages"]

# Page, object id and flags of the root [ese.md 3, lab-store.md 2.4]; tag flags [lab-store.md 2.1].
_ROOT_PAGE = 1
_DATABASE_OBJID = 1
_ROOT, _LEAF, _SPACE_TREE = 0x1, 0x2, 0x20
_DELETED, _COMPRESSED = 2, 4
_MAX_DEPTH = 8
"""Levels followed in the tree of extents; real trees have one to three (frskit's choice)."""


def read_owned_pages(file: Source) -> int | None:
    """How many pages the database owns; None if its space tree does not tell.

    A damaged, foreign or unusual space tree is "does not tell", never an error. In a database
    that was not shut down cleanly, logs may hold later extensions: then it owns at least this many.

    Raises:
        FormatError: No readable database header (native -1018), or another kind of file (-1812).
        FileMissing, HostError: It cannot be opened or read.
    """
    with opened(file) as reader:
        copies = read_header_copies(reader, source_name(file))
        return load_owned_pages(reader, copies.page_size)


def load_owned_pages(file: Readable, page_size: int) -> int | None:
    """As `read_owned_pages`, of a file that is open already.

    Raises:
        HostError: It cannot be read.
    """
    try:
        return _last_extent(file, page_size).last
    except FormatError:
        return None


def locate(
    damaged: Iterable[DamagedPage], owned_pages: int | None, *, clean: bool
) -> tuple[DamagedPage, ...]:
    """The damaged pages with their positions.

    Args:
        damaged: Pages; the header and its shadow belong to every database.
        owned_pages: What the space tree says.
        clean: Whether the database was shut down cleanly. If not, the space tree on disk may be
            older than the last extension, and "beyond" is not certain (frskit's choice).
    """
    beyond: PagePosition = "beyond" if clean else "unknown"

    def position(page: int) -> PagePosition:
        if page <= 0:
            return "inside"
        if owned_pages is None:
            return "unknown"
        return "inside" if page <= owned_pages else beyond

    return tuple(evolve(each, position=position(each.page)) for each in damaged)


@frozen
class _Extent:
    """Pages `first` to `last`."""

    first: int
    last: int


@frozen
class _Page:
    """A page of a tree, its checksum verified and its nodes cut out."""

    flags: int
    objid: int
    tags: Sequence[tuple[int, bytes]]


def _last_extent(file: Readable, page_size: int) -> _Extent:
    """Down the right edge of the tree of owned extents.

    Raises:
        FormatError: Something on the way is not as it should be.
    """
    root = _load(file, _ROOT_PAGE, page_size)
    if not root.flags & _ROOT or root.objid != _DATABASE_OBJID:
        raise FormatError("page 1 is not the root of a database")
    # Tag 0 of a root is its space header [lab-store.md 2.2].
    external = root.tags[0][1]
    if len(external) < 16:
        raise FormatError("the root has no space header")
    _, parent, multiple, number = struct.unpack_from("<4I", external)
    # The database's root has no parent, and its space is kept in a tree [lab-store.md 2.2].
    if parent or multiple & 0xFF != 1:
        raise FormatError("the root has no tree of extents")
    for level in range(_MAX_DEPTH):
        page = _load(file, number, page_size)
        # Only the topmost page of a tree is a root.
        root_flag = _ROOT if level == 0 else 0
        if (
            page.objid != root.objid
            or page.flags & (_SPACE_TREE | _ROOT) != _SPACE_TREE | root_flag
        ):
            raise FormatError(f"page {number} does not belong to the tree of extents")
        if page.flags & _LEAF:
            return _last_of(list(_extents(page)))
        number = _last_child(page)
    raise FormatError("the tree of extents has no end")


def _last_of(extents: Sequence[_Extent]) -> _Extent:
    """The last extent of a leaf, if all of them lie one behind the other."""
    if not extents:
        raise FormatError("a leaf without extents")
    for before, after in pairwise(extents):
        if after.first != before.last + 1:
            raise FormatError("the extents leave gaps or overlap")
    return extents[-1]


def _extents(page: _Page) -> Iterator[_Extent]:
    """The entries of a leaf: key = last page, big-endian; data = count [lab-store.md 2.4]."""
    for flags, node in page.tags[1:]:
        if flags & _DELETED:
            continue
        key, data = _node(flags, node, page.tags[0][1])
        if len(key) != 4 or len(data) != 4:
            raise FormatError("an extent of another kind")
        last, count = int.from_bytes(key, "big"), int.from_bytes(data, "little")
        if not 0 < count <= last:
            raise FormatError("an extent that cannot be")
        yield _Extent(last - count + 1, last)


def _last_child(page: _Page) -> int:
    """The rightmost child of a branch page; its key is empty [lab-store.md 2.3]."""
    if len(page.tags) < 2:
        raise FormatError("a branch without children")
    _, data = _node(*page.tags[-1], page.tags[0][1])
    if len(data) != 4:
        raise FormatError("a child of another kind")
    return int.from_bytes(data, "little")


def _node(flags: int, node: bytes, prefix: bytes) -> tuple[bytes, bytes]:
    """Key and data of a node [lab-store.md 2.3]."""
    at = 0
    start = b""
    if flags & _COMPRESSED:
        # 13 bits: on large pages the upper three are the node's flags [lab-store.md 2.1].
        start = prefix[: _u16(node, 0) & 0x1FFF]
        at = 2
    end = at + 2 + (_u16(node, at) & 0x1FFF)
    if end > len(node):
        raise FormatError("a key that leaves its node")
    return start + node[at + 2 : end], node[end:]


def _u16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "little")


def _load(file: Readable, number: int, page_size: int) -> _Page:
    """A page whose checksum is right, cut into its nodes [ese.md 3, lab-store.md 2.1]."""
    # A damaged number must lead neither outside nor to the header.
    if not 0 < number < file.size_bytes // page_size - 1:
        raise FormatError(f"there is no page {number}")
    data = read_exactly(file, (number + 1) * page_size, page_size)
    if len(data) < page_size or verify_page(data, number).status != "ok":
        raise FormatError(f"page {number} is damaged")
    # Above 8 KB the header has 80 bytes and a tag two numbers of 15 bits [ese.md 3].
    large = page_size > 8192
    begin, mask = (80, 0x7FFF) if large else (40, 0x1FFF)
    # The upper four bits are reserved [ese.md 3].
    count = _u16(data, 34) & 0x0FFF
    if count < 1 or begin + 4 * count > page_size:
        raise FormatError(f"page {number} has no room for {count} nodes")
    tags = []
    for index in range(count):
        size, offset = struct.unpack_from("<HH", data, page_size - 4 * (index + 1))
        at = begin + (offset & mask)
        if at + (size & mask) > page_size - 4 * count:
            raise FormatError(f"a node of page {number} leaves the page")
        node = data[at : at + (size & mask)]
        # Large pages have no room for flags in the tag; they are in the node [lab-store.md 2.1].
        flags = (_u16(node, 0) if large else offset) >> 13
        tags.append((flags if index else 0, node))
    flags = int.from_bytes(data[36:40], "little")
    return _Page(flags, int.from_bytes(data[24:28], "little"), tags)
