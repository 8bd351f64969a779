"""One database page of 4 KB: header fields, tags and nodes, changed in place.

Layout only. Which page belongs to which tree is for `btree` and `catalog`, checksums are for
`frskit.ese`. Nodes are never prefix-compressed (frskit's choice; in a root readers refuse it).
Facts: [ese.md 3], [lab-store.md 2].
"""

from __future__ import annotations

import struct
from enum import IntFlag

from frskit.codes.ese import EseError
from frskit.errors import StoreError

__all__ = ["PAGE_SIZE", "Page", "PageFlag"]

PAGE_SIZE = 4096
"""Page size of the lab's stores [lab-store.md 1]."""

# Bytes of a small page's header and of a tag; 13 bits of a tag's two numbers [lab-store.md 2.1].
_HEADER = 40
_TAG = 4
_MASK = 0x1FFF
_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_TAG_LAYOUT = struct.Struct("<HH")
_NUMBERS = struct.Struct("<III")
_SPACE = struct.Struct("<HHHH")


class PageFlag(IntFlag):
    """Bits of the page's flag word that this engine sets [ese.md 3]."""

    ROOT = 0x1
    LEAF = 0x2
    PARENT_OF_LEAF = 0x4
    SPACE_TREE = 0x20
    INDEX = 0x40
    NEW_RECORDS = 0x800
    NEW_CHECKSUM = 0x2000


class Page:
    """A view on the 4096 bytes of one page.

    Attributes:
        data: The bytes; every change goes there. The checksum words are left alone.
    """

    __slots__ = ("data",)

    def __init__(self, data: bytearray) -> None:
        self.data: bytearray = data

    @classmethod
    def empty(cls, objid: int, flags: PageFlag, external: bytes = b"") -> Page:
        """A page without nodes.

        Args:
            objid: Object id of the tree it belongs to.
            flags: Its kind; the record and checksum format bits are added.
            external: Content of tag 0: a root's header, else the (empty) key prefix.
        """
        page = cls(bytearray(PAGE_SIZE))
        _U32.pack_into(page.data, 24, objid)
        page.flags = flags | PageFlag.NEW_RECORDS | PageFlag.NEW_CHECKSUM
        page._rebuild([external])
        return page

    @property
    def dbtime(self) -> int:
        """The operation that last changed the page [ese.md 3]."""
        value: int = _U64.unpack_from(self.data, 8)[0]
        return value

    @dbtime.setter
    def dbtime(self, value: int) -> None:
        _U64.pack_into(self.data, 8, value)

    @property
    def previous(self) -> int:
        """Number of the left sibling; 0 = none."""
        value: int = _U32.unpack_from(self.data, 16)[0]
        return value

    @previous.setter
    def previous(self, value: int) -> None:
        _U32.pack_into(self.data, 16, value)

    @property
    def following(self) -> int:
        """Number of the right sibling; 0 = none."""
        value: int = _U32.unpack_from(self.data, 20)[0]
        return value

    @following.setter
    def following(self, value: int) -> None:
        _U32.pack_into(self.data, 20, value)

    @property
    def objid(self) -> int:
        """Object id of the tree."""
        value: int = _U32.unpack_from(self.data, 24)[0]
        return value

    @property
    def flags(self) -> PageFlag:
        """Kind of the page; unknown bits are kept."""
        return PageFlag(_U32.unpack_from(self.data, 36)[0])

    @flags.setter
    def flags(self, value: PageFlag) -> None:
        _U32.pack_into(self.data, 36, value)

    @property
    def is_leaf(self) -> bool:
        """Whether nodes carry records; else they name child pages."""
        return bool(self.data[36] & PageFlag.LEAF)

    @property
    def free_bytes(self) -> int:
        """Bytes left for nodes and their tags, contiguous or not."""
        value: int = _U16.unpack_from(self.data, 28)[0]
        return value

    @property
    def count(self) -> int:
        """Number of nodes."""
        tags: int = _U16.unpack_from(self.data, 34)[0]
        return tags - 1

    @property
    def external(self) -> bytes:
        """Content of tag 0."""
        return self._content(0)

    def key(self, slot: int) -> bytes:
        """Key of a node, counted from 0."""
        raw = self._content(slot + 1)
        return raw[2 : 2 + _U16.unpack_from(raw)[0]]

    def value(self, slot: int) -> bytes:
        """Data of a node, counted from 0."""
        raw = self._content(slot + 1)
        return raw[2 + _U16.unpack_from(raw)[0] :]

    def keys(self) -> list[bytes]:
        """Keys of all nodes; the data, most of a page, is not copied.

        Raises:
            StoreError: A node reaches past the page (native -1206).
        """
        found = []
        for slot in range(self.count):
            size, place = self._tag(slot + 1)
            at = _HEADER + place
            if at + size > PAGE_SIZE or size < _U16.size:
                raise _corrupt(f"node {slot} does not lie in the page")
            start = at + _U16.size
            found.append(bytes(self.data[start : start + _U16.unpack_from(self.data, at)[0]]))
        return found

    def child(self, slot: int) -> int:
        """Page number that a branch node names."""
        value: int = _U32.unpack(self.value(slot))[0]
        return value

    def nodes(self) -> list[tuple[bytes, bytes]]:
        """All nodes as (key, data)."""
        return [(self.key(slot), self.value(slot)) for slot in range(self.count)]

    def find(self, key: bytes) -> tuple[int, bool]:
        """First slot whose key is not below `key`, and whether it is equal."""
        low, high = 0, self.count
        while low < high:
            middle = (low + high) // 2
            if self.key(middle) < key:
                low = middle + 1
            else:
                high = middle
        return low, low < self.count and self.key(low) == key

    def route(self, key: bytes) -> int:
        """Slot of the branch node that leads to `key`: bounds are exclusive, the last is empty."""
        low, high = 0, self.count - 1
        while low < high:
            middle = (low + high) // 2
            bound = self.key(middle)
            # Bounds are exclusive, and the empty one is above every key.
            if bound and bound <= key:
                low = middle + 1
            else:
                high = middle
        return low

    def has_room(self, key: bytes, data: bytes) -> bool:
        """Whether another node of this size fits."""
        return self.free_bytes >= 2 + len(key) + len(data) + _TAG

    def insert(self, slot: int, key: bytes, data: bytes) -> None:
        """Add a node before `slot`.

        Raises:
            StoreError: It does not fit, or there is no such slot (native -1206).
        """
        if not 0 <= slot <= self.count or not self.has_room(key, data):
            raise _corrupt(f"no node can be inserted at slot {slot}")
        contents = self._contents()
        contents.insert(slot + 1, _U16.pack(len(key)) + key + data)
        self._rebuild(contents)

    def delete(self, slot: int) -> None:
        """Take a node out.

        Raises:
            StoreError: There is no such slot (native -1206).
        """
        if not 0 <= slot < self.count:
            raise _corrupt(f"there is no slot {slot}")
        contents = self._contents()
        del contents[slot + 1]
        self._rebuild(contents)

    def replace(self, slot: int, data: bytes) -> None:
        """Give a node other data; the key stays.

        Raises:
            StoreError: It does not fit, or there is no such slot (native -1206).
        """
        if not 0 <= slot < self.count:
            raise _corrupt(f"there is no slot {slot}")
        old = self.value(slot)
        if len(data) - len(old) > self.free_bytes:
            raise _corrupt(f"the data at slot {slot} cannot grow to {len(data)} bytes")
        key = self.key(slot)
        contents = self._contents()
        contents[slot + 1] = _U16.pack(len(key)) + key + data
        self._rebuild(contents)

    def fill(self, nodes: list[tuple[bytes, bytes]]) -> None:
        """Replace all nodes; tag 0 stays.

        Raises:
            StoreError: They do not fit (native -1206).
        """
        contents = [_U16.pack(len(key)) + key + data for key, data in nodes]
        self._rebuild([self.external, *contents])

    def copy(self) -> Page:
        """A page of its own with the same bytes."""
        return Page(bytearray(self.data))

    def image(self) -> bytes:
        """The page without its unused middle, for the log; `from_image` is the inverse."""
        end = _HEADER + _U16.unpack_from(self.data, 32)[0]
        tags = _TAG * (self.count + 1)
        return _U16.pack(end) + bytes(self.data[:end]) + bytes(self.data[PAGE_SIZE - tags :])

    @classmethod
    def from_image(cls, image: bytes) -> Page:
        """The page that `image` was taken of.

        Raises:
            StoreError: The image makes no sense (native -501).
        """
        end = _U16.unpack_from(image)[0] if len(image) >= 2 + _HEADER else PAGE_SIZE
        # The middle was left out; nodes and tags lie at their two ends of the page.
        gap = PAGE_SIZE - (len(image) - 2)
        if not _HEADER <= end <= len(image) - 2 or gap < 0:
            raise StoreError(
                "a page image in the log makes no sense", native=EseError.LOG_FILE_CORRUPT
            )
        return cls(bytearray(image[2 : 2 + end]) + bytearray(gap) + bytearray(image[2 + end :]))

    def _tag(self, index: int) -> tuple[int, int]:
        size, place = _TAG_LAYOUT.unpack_from(self.data, PAGE_SIZE - _TAG * (index + 1))
        return size & _MASK, place & _MASK

    def _content(self, index: int) -> bytes:
        if not 0 <= index <= self.count:
            raise _corrupt(f"there is no tag {index}")
        size, place = self._tag(index)
        return bytes(self.data[_HEADER + place : _HEADER + place + size])

    def _contents(self) -> list[bytes]:
        return [self._content(index) for index in range(self.count + 1)]

    def _rebuild(self, contents: list[bytes]) -> None:
        # Laid out anew each time: 4 KB are cheap, and the free space stays in one piece.
        used = sum(map(len, contents))
        free = PAGE_SIZE - _HEADER - used - _TAG * len(contents)
        if free < 0:
            raise _corrupt(f"{len(contents)} nodes need {-free} bytes more than the page has")
        place = 0
        for index, content in enumerate(contents):
            _TAG_LAYOUT.pack_into(self.data, PAGE_SIZE - _TAG * (index + 1), len(content), place)
            self.data[_HEADER + place : _HEADER + place + len(content)] = content
            # Zeros, because images leave the middle out and redo has to make the same bytes.
            place += len(content)
        tail = PAGE_SIZE - _TAG * len(contents)
        self.data[_HEADER + place : tail] = bytes(tail - _HEADER - place)
        _SPACE.pack_into(self.data, 28, free, 0, place, len(contents))


def _corrupt(message: str) -> StoreError:
    return StoreError(message, native=EseError.DATABASE_CORRUPTED)
