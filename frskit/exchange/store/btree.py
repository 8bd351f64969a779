"""The B+-tree of the table Messages: look up, walk, insert with splits.

A split for a record at the very end opens an empty right page, any other split halves the page.
Nothing is merged and no page is given back: extents only grow (frskit's choice, [lab-store.md 1]).
Every structural step is one atomic `restructure` that leaves a valid tree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.codes.ese import EseError
from frskit.errors import StoreError
from frskit.exchange.store.log_records import NodeChange, Operation
from frskit.exchange.store.pages import Page, PageFlag
from frskit.exchange.store.system_catalog import (
    AVAILABLE_OFFSET,
    DATABASE_ROOT,
    MESSAGES_OBJID,
    MESSAGES_ROOT,
    OWNED_OFFSET,
    space_entry,
    space_nodes,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frskit.exchange.store.database import Database
    from frskit.exchange.store.logged_changes import PageChanges

__all__ = ["MessageTree"]

_BRANCH_ROOM = 48
"""Bytes a branch page must have left to take one more child with the longest key."""

# Levels of a tree, and steps towards room for one row. Trees have three levels [lab-store.md 1], so
# more is a circle (ours).
_MAX_STEPS = 32

# Behind every key, which all begin with 0x7F [lab-store.md 2.5].
_HIGHEST_KEY = b"\xff" * 16


class MessageTree:
    """The rows of Messages by primary key.

    Args:
        database: The database.
        changes: Where changes are logged; None = for reading only.
        growth_pages: Pages by which the file grows when it is full.
    """

    def __init__(
        self, database: Database, changes: PageChanges | None = None, growth_pages: int = 64
    ) -> None:
        self._database = database
        self._changes = changes
        self._growth_pages = growth_pages

    # --- reading

    def get(self, key: bytes) -> bytes | None:
        """The record under a key, or None."""
        page = self._page(self._path(key)[-1])
        slot, found = page.find(key)
        return page.value(slot) if found else None

    def leaves(self, *, backwards: bool = False) -> Iterator[Page]:
        """The leaf pages from left to right, or from right to left."""
        number = self._path(_HIGHEST_KEY if backwards else b"")[-1]
        # There cannot be more leaves than pages, so a damaged chain ends here.
        left = self._database.owned_pages
        while number:
            if left == 0:
                raise _in_circles()
            left -= 1
            page = self._page(number)
            yield page
            number = page.previous if backwards else page.following

    def walk(self) -> Iterator[tuple[bytes, bytes]]:
        """All rows in the order of their keys; the tree must not change meanwhile."""
        for leaf in self.leaves():
            yield from leaf.nodes()

    def walk_keys(self) -> Iterator[bytes]:
        """All keys in order, without the rows' data; the tree must not change meanwhile."""
        for leaf in self.leaves():
            yield from leaf.keys()

    def last_key(self) -> bytes:
        """The highest key, empty if there is no row."""
        for leaf in self.leaves(backwards=True):
            if leaf.count:
                return leaf.key(leaf.count - 1)
        return b""

    # --- changing

    def change(self, operation: Operation) -> None:
        """Insert, replace or delete the row with the operation's key.

        Raises:
            StoreError: The key exists already (native -1605), or does not exist (-1601).
        """
        kind = operation.kind
        # Each turn makes one structural step, after which the way down may be another.
        for _ in range(_MAX_STEPS):
            number = self._path(operation.key)[-1]
            page = self._page(number)
            slot, found = page.find(operation.key)
            # An insert wants no such row, everything else wants one.
            if found is (kind is NodeChange.INSERT):
                raise StoreError(
                    "the row exists already" if found else "there is no such row",
                    context={"database": self._database.name},
                    native=EseError.KEY_DUPLICATE if found else EseError.RECORD_NOT_FOUND,
                )
            if _fits(page, operation):
                self._writer.operate(self._database, number, slot, operation)
                return
            self._make_room(operation.key)
        raise StoreError("the tree found no room for a row", native=EseError.DATABASE_CORRUPTED)

    @property
    def _writer(self) -> PageChanges:
        if self._changes is None:
            raise StoreError(
                "the database is open for reading only", native=EseError.DATABASE_FILE_READ_ONLY
            )
        return self._changes

    def _page(self, number: int) -> Page:
        page = self._database.page(number)
        if page.objid != MESSAGES_OBJID:
            raise StoreError(
                f"page {number} does not belong to the table Messages",
                context={"database": self._database.name, "page": number},
                native=EseError.PAGE_NOT_INITIALIZED
                if page.objid == 0
                else EseError.DATABASE_CORRUPTED,
            )
        return page

    def _path(self, key: bytes) -> list[int]:
        """Page numbers from the root to the leaf that `key` belongs to."""
        path = [MESSAGES_ROOT]
        page = self._page(MESSAGES_ROOT)
        while not page.is_leaf:
            path.append(page.child(page.route(key)))
            if len(path) > _MAX_STEPS:
                raise _in_circles()
            page = self._page(path[-1])
        return path

    def _make_room(self, key: bytes) -> None:
        """One structural step towards room for `key` in its leaf."""
        path = self._path(key)
        level = len(path) - 1
        # A full parent could not take a second child: the highest full page is split first.
        while level and self._page(path[level - 1]).free_bytes < _BRANCH_ROOM:
            level -= 1
        if level == 0:
            self._push_down()
        else:
            self._split(path[level], path[level - 1], key)

    def _push_down(self) -> None:
        """Move the root's nodes into a new page below it: the tree becomes one level deeper."""
        number, space = self._allocate()
        root = self._page(MESSAGES_ROOT).copy()
        below = Page.empty(MESSAGES_OBJID, root.flags & ~PageFlag.ROOT)
        below.fill(root.nodes())
        kind = PageFlag.PARENT_OF_LEAF if root.is_leaf else PageFlag(0)
        root.flags = (root.flags & ~(PageFlag.LEAF | PageFlag.PARENT_OF_LEAF)) | kind
        # The root keeps its number, by which the catalog knows the table.
        root.fill([(b"", number.to_bytes(4, "little"))])
        pages = {number: below, MESSAGES_ROOT: root, **space}
        self._writer.restructure(self._database, pages, frozenset({number}))

    def _split(self, number: int, parent_number: int, key: bytes) -> None:
        """Move the upper nodes of a page into a new one to its right."""
        new_number, space = self._allocate()
        left = self._page(number).copy()
        kept, moved, bound = _divide(left, key)
        right = Page.empty(MESSAGES_OBJID, left.flags & ~PageFlag.ROOT)
        right.fill(moved)
        left.fill(kept)
        if left.is_leaf:
            # Only leaves are linked; libesedb refuses a branch page with a sibling.
            right.previous, right.following = number, left.following
            left.following = new_number
        pages = {new_number: right, number: left, **space}
        if right.following:
            pages[right.following] = after = self._page(right.following).copy()
            after.previous = new_number
        pages[parent_number] = self._parent_of(parent_number, number, new_number, bound)
        # The new page reaches the disk before the pages that point to it.
        self._writer.restructure(self._database, pages, frozenset({new_number}))

    def _parent_of(self, parent_number: int, left: int, right: int, bound: bytes) -> Page:
        """The parent page with one more child."""
        parent = self._page(parent_number).copy()
        nodes = parent.nodes()
        for index, (upper, child) in enumerate(nodes):
            if int.from_bytes(child, "little") == left:
                nodes[index : index + 1] = [(bound, child), (upper, right.to_bytes(4, "little"))]
                parent.fill(nodes)
                return parent
        raise StoreError("a page is not a child of its parent", native=EseError.DATABASE_CORRUPTED)

    def _allocate(self) -> tuple[int, dict[int, Page]]:
        """A page of the table's available extent, and the space page without it."""
        number = MESSAGES_ROOT + AVAILABLE_OFFSET
        if not self._page(number).count:
            self._extend()
        page = self._page(number).copy()
        (last, count), *more = space_nodes(page)
        rest = [(last, count - 1)] if count > 1 else []
        page.fill([space_entry(*each) for each in rest + more])
        return last - count + 1, {number: page}

    def _extend(self) -> None:
        """Let the file grow and give the new extent to the table."""
        # Copies, because what is in memory may change only together with its record in the log.
        database_owned = self._database.page(DATABASE_ROOT + OWNED_OFFSET).copy()
        table_owned = self._page(MESSAGES_ROOT + OWNED_OFFSET).copy()
        available = self._page(MESSAGES_ROOT + AVAILABLE_OFFSET).copy()
        last = self._database.owned_pages + self._growth_pages
        # The pages exist before any record speaks of them.
        self._database.extend_file(last)
        database_owned.fill([space_entry(last, last)])
        table_owned.fill([space_entry(last, last - MESSAGES_ROOT + 1)])
        available.fill([space_entry(last, self._growth_pages)])
        self._writer.restructure(
            self._database,
            {
                DATABASE_ROOT + OWNED_OFFSET: database_owned,
                MESSAGES_ROOT + OWNED_OFFSET: table_owned,
                MESSAGES_ROOT + AVAILABLE_OFFSET: available,
            },
        )


def _in_circles() -> StoreError:
    return StoreError("the tree goes round in circles", native=EseError.DATABASE_CORRUPTED)


def _fits(page: Page, operation: Operation) -> bool:
    if operation.kind is NodeChange.DELETE:
        return True
    if operation.kind is NodeChange.INSERT:
        return page.has_room(operation.key, operation.new)
    return len(operation.new) - len(operation.old) <= page.free_bytes


def _divide(
    page: Page, key: bytes
) -> tuple[list[tuple[bytes, bytes]], list[tuple[bytes, bytes]], bytes]:
    """Nodes that stay, nodes that move, and the exclusive upper bound of those that stay."""
    nodes = page.nodes()
    if page.is_leaf:
        # Mail comes in at the end: an empty right page leaves the pages before it full.
        at_end = page.following == 0 and bool(nodes) and key > nodes[-1][0]
        cut = len(nodes) if at_end else len(nodes) // 2
        return nodes[:cut], nodes[cut:], key if at_end else nodes[cut][0]
    at_end = page.route(key) == len(nodes) - 1
    cut = len(nodes) - 1 if at_end else len(nodes) // 2
    return nodes[:cut], nodes[cut:], nodes[cut - 1][0]
