"""The page tables of the block store: versions, radix nodes, and the difference of two trees.

Every live volume and every frozen cut of one is a `Version`: a parent, at most two children, a
radix tree of pages and, once frozen, the epoch of its cut. Trees share nodes; what a version may
change in place is decided by birth alone ([feasibility 11.1]): *a node or page is this version's
own iff it was born after the cut of the parent version*. There are no reference counts and no dead
lists; what a dying version leaves is found by comparing its tree with its only heir's.

Layout (frskit's choice within [feasibility 7.2]):

- An *entry* packs ``birth epoch << 36 | page number``; 0 is a hole. Epochs start at 1, so that no
  used entry is 0, and "no parent" counts as a cut at epoch 0 everywhere ([feasibility 11.3],
  trap 1).
- A *leaf* is an ``array('q')`` of 512 entries plus its own reference. A *mid* node is a list of
  512 leaves plus its own reference. A *root* is a dictionary of mid nodes, so that an untouched
  volume costs nothing whatever its size.
- A *reference* packs ``birth epoch << 36 | node number``. Where a reference stands in place of a
  node, the node has not been loaded yet.

This module knows nothing of bytes, locks or files.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["FIRST_FLOOR", "NUMBER_BITS", "NUMBER_MASK", "Tables", "Version"]

NUMBER_BITS: Final = 36
NUMBER_MASK: Final = (1 << NUMBER_BITS) - 1
FIRST_FLOOR: Final = 1 << NUMBER_BITS
_EMPTY: Final = bytes(512 * 8)

Mid = list[Any]  # 512 leaves, references or 0, and the node's own reference


class Version:
    """One state of one volume: live (it belongs to a volume) or frozen (it has children).

    Attributes:
        number: Number of the version, never used again.
        volume: The volume that shows it; 0 for a frozen version.
        parent: The frozen version it grew from.
        children: The versions that grew from it: none or two; one only while one is being removed.
        cut: The epoch at which it was frozen; 0 while it is live.
        floor: Entries and references from this value on are its own.
        root: Mid nodes (or references) by number.
        owns_root: Whether `root` may be changed in place; it is shared after a cut.
        size_bytes: Length of the volume.
        mapped: Pages reachable from it.
        own: Pages among them that are its own.
        clone_total: Pages to be copied when it began as a clone; -1 when it is none, or complete.
        cursor: Page index up to which a clone was copied.
    """

    __slots__ = (
        "children",
        "clone_total",
        "cursor",
        "cut",
        "floor",
        "mapped",
        "number",
        "own",
        "owns_root",
        "parent",
        "root",
        "size_bytes",
        "volume",
    )

    def __init__(self, number: int, volume: int, size_bytes: int) -> None:
        self.number: int = number
        self.volume: int = volume
        self.size_bytes: int = size_bytes
        self.parent: Version | None = None
        self.children: list[Version] = []
        self.cut: int = 0
        self.floor: int = FIRST_FLOOR
        self.root: dict[int, Any] = {}
        self.owns_root: bool = True
        self.mapped: int = 0
        self.own: int = 0
        self.clone_total: int = -1
        self.cursor: int = 0

    def grow(self, number: int, volume: int) -> Version:
        """A new live child that shows what this frozen version shows."""
        child = Version(number, volume, self.size_bytes)
        child.parent = self
        child.floor = (self.cut + 1) << NUMBER_BITS
        child.root = self.root
        child.owns_root = False
        child.mapped = self.mapped
        self.children.append(child)
        return child

    def hang_under(self, parent: Version | None) -> None:
        """Make `parent` this version's parent; what it may change in place follows from it."""
        self.parent = parent
        self.floor = FIRST_FLOOR if parent is None else (parent.cut + 1) << NUMBER_BITS


def _reference(node: Any) -> int:
    reference: int = node if node.__class__ is int else node[512]
    return reference


class Tables:
    """The radix nodes of one array.

    Args:
        load: Gives the 512 stored values of a node by its number; None if nodes are not stored.

    Attributes:
        epoch_tag: The present epoch, shifted as in entries and references.
        next_node: Number of the next node.
        nodes: Every node in memory by number. Kept only when nodes are stored.
        changes: ``node number << 9 | slot`` of every slot changed since the last commit.
        bases: Node that each new node was copied from, 0 for an empty one, since the last commit.
        dead: Numbers of the nodes that died since the last commit.
    """

    def __init__(self, load: Callable[[int], array[int]] | None = None) -> None:
        self._load = load
        self.stored: bool = load is not None
        self.epoch_tag = 1 << NUMBER_BITS
        self.next_node: int = 1
        self.nodes: dict[int, Any] = {}
        self.changes: list[int] = []
        self.bases: dict[int, int] = {}
        self.dead: list[int] = []

    def settle(self) -> None:
        """Note that all changes so far are committed."""
        self.changes.clear()
        self.bases.clear()
        for number in self.dead:
            self.nodes.pop(number, None)
        self.dead.clear()

    # --- finding ---------------------------------------------------------------------------

    def _resolve(self, holder: Any, key: int, *, leaf: bool) -> Any:
        """The node that `holder` has under `key`, loaded if need be."""
        node = holder[key]
        if node.__class__ is not int or not node:
            return node
        number = node & NUMBER_MASK
        loaded = self.nodes.get(number)
        if loaded is None:
            assert self._load is not None, "a reference in a tree that is not stored"
            values = self._load(number)
            values.append(node)
            loaded = self.nodes[number] = values if leaf else list(values)
        holder[key] = loaded
        return loaded

    def leaf(self, version: Version, number: int) -> array[int] | None:
        """Leaf `number` of a version for reading, or None where it has none."""
        key = number >> 9
        if key not in version.root:
            return None
        mid = self._resolve(version.root, key, leaf=False)
        return self._resolve(mid, number & 511, leaf=True) or None

    def leaves(self, version: Version, first: int = 0) -> Iterator[tuple[int, array[int]]]:
        """The leaves of a version from leaf number `first` on, in order."""
        for key in sorted(version.root):
            if key < first >> 9:
                continue
            mid = self._resolve(version.root, key, leaf=False)
            for slot in range(first & 511 if key == first >> 9 else 0, 512):
                if mid[slot]:
                    yield key << 9 | slot, self._resolve(mid, slot, leaf=True)

    def entry(self, version: Version, index: int) -> int:
        """Entry of page `index`, 0 for a hole."""
        leaf = self.leaf(version, index >> 9)
        return leaf[index & 511] if leaf is not None else 0

    def entries(self, version: Version, index: int, count: int) -> array[int]:
        """Entries of `count` pages that lie in one leaf."""
        leaf = self.leaf(version, index >> 9)
        slot = index & 511
        return leaf[slot : slot + count] if leaf is not None else array("q", bytes(8 * count))

    def extents(self, version: Version, index: int, count: int) -> list[tuple[int, int]]:
        """Runs (entry of the first page or 0, pages) that make up `count` pages.

        Pages of one run lie one after the other in the pool, and are of one birth.
        """
        runs: list[tuple[int, int]] = []
        start = expected = step = pages = 0
        while count:
            slot = index & 511
            part = min(512 - slot, count)
            leaf = self.leaf(version, index >> 9)
            if leaf is None:
                if start:
                    runs.append((start, pages))
                    start = expected = step = pages = 0
                pages += part
            else:
                for entry in leaf[slot : slot + part]:
                    if entry == expected:
                        expected += step
                        pages += 1
                    else:
                        if pages:
                            runs.append((start, pages))
                        start, pages = entry, 1
                        step = 1 if entry else 0
                        expected = entry + step
            index += part
            count -= part
        if pages:
            runs.append((start, pages))
        return runs

    # --- changing --------------------------------------------------------------------------

    def _new_reference(self, base: int) -> int:
        number = self.next_node
        self.next_node = number + 1
        if self.stored:
            self.bases[number] = base & NUMBER_MASK
        return self.epoch_tag | number

    def _adopt(self, node: Any) -> Any:
        if self.stored:
            self.nodes[node[512] & NUMBER_MASK] = node
        return node

    def _own_mid(self, version: Version, key: int) -> Mid:
        if not version.owns_root:
            version.root = dict(version.root)
            version.owns_root = True
        if key not in version.root:
            mid = [0] * 512 + [self._new_reference(0)]
        else:
            old = self._resolve(version.root, key, leaf=False)
            if old[512] >= version.floor:
                return old  # type: ignore[no-any-return]
            mid = [*old[:512], self._new_reference(old[512])]
        version.root[key] = self._adopt(mid)
        return mid

    def own_leaf(self, version: Version, number: int) -> array[int]:
        """Leaf `number` of a version for changing: copied, with its path, if it is not its own."""
        leaf = self.leaf(version, number)
        if leaf is not None and leaf[512] >= version.floor:
            return leaf
        mid = self._own_mid(version, number >> 9)
        if leaf is None:
            leaf = array("q", _EMPTY)
            leaf.append(self._new_reference(0))
        else:
            base = leaf[512]
            leaf = leaf[:]
            leaf[512] = self._new_reference(base)
        slot = number & 511
        mid[slot] = self._adopt(leaf)
        if self.stored:
            self.changes.append((mid[512] & NUMBER_MASK) << 9 | slot)
        return leaf

    def set_run(self, version: Version, index: int, page: int, count: int) -> None:
        """Map `count` pages, all in one leaf, to pages from `page` on, born now."""
        leaf = self.own_leaf(version, index >> 9)
        slot = index & 511
        entry = self.epoch_tag | page
        if count == 1:
            holes = int(not leaf[slot])
            leaf[slot] = entry
        else:
            holes = leaf[slot : slot + count].count(0)
            leaf[slot : slot + count] = array("q", range(entry, entry + count))
        self._changed(leaf, slot, count)
        version.mapped += holes

    def clear_run(self, version: Version, index: int, count: int) -> None:
        """Make holes of `count` pages that lie in one leaf."""
        leaf = self.own_leaf(version, index >> 9)
        slot = index & 511
        leaf[slot : slot + count] = array("q", bytes(8 * count))
        self._changed(leaf, slot, count)

    def _changed(self, leaf: array[int], slot: int, count: int) -> None:
        if self.stored:
            at = (leaf[512] & NUMBER_MASK) << 9 | slot
            self.changes.extend(range(at, at + count))

    def drop_foreign_holes(self, version: Version) -> None:
        """Take out shared nodes that map nothing, so that a complete clone shares no node."""
        for number, leaf in list(self.leaves(version)):
            if leaf[512] < version.floor:
                mid = self._own_mid(version, number >> 9)
                mid[number & 511] = 0
                if self.stored:
                    self.changes.append((mid[512] & NUMBER_MASK) << 9 | number & 511)
        for key in list(version.root):
            if _reference(version.root[key]) < version.floor:
                if not version.owns_root:
                    version.root = dict(version.root)
                    version.owns_root = True
                del version.root[key]

    # --- comparing -------------------------------------------------------------------------

    def leave(self, version: Version, heir: Version | None) -> list[int]:
        """Pages that die with `version`: its own, where its heir shows something else.

        Nodes that are not its own, or that the heir has too, are skipped with all below them.
        """
        floor = version.floor
        freed: list[int] = []
        for key in list(version.root):
            mine = version.root[key]
            other = heir.root.get(key, 0) if heir is not None else 0
            if _reference(mine) < floor or _reference(mine) == _reference(other):
                continue
            mid = self._resolve(version.root, key, leaf=False)
            if other:
                assert heir is not None
                other = self._resolve(heir.root, key, leaf=False)
            self._leave_mid(mid, other or None, floor, freed)
        return freed

    def _leave_mid(self, mid: Mid, other: Mid | None, floor: int, freed: list[int]) -> None:
        for slot in range(512):
            mine = mid[slot]
            theirs = other[slot] if other is not None else 0
            if mine is theirs or _reference(mine) < floor:
                continue
            if _reference(mine) == _reference(theirs):
                continue
            leaf = self._resolve(mid, slot, leaf=True)
            if not theirs:
                freed += [e & NUMBER_MASK for e in leaf[:512] if e >= floor]
            else:
                assert other is not None
                against = self._resolve(other, slot, leaf=True)
                pairs = zip(leaf[:512], against, strict=False)
                freed += [e & NUMBER_MASK for e, kept in pairs if e >= floor and e != kept]
            self._bury(leaf)
        self._bury(mid)

    def _bury(self, node: Any) -> None:
        if self.stored:
            self.dead.append(node[512] & NUMBER_MASK)

    def count_different(self, one: Version, two: Version) -> int:
        """Number of pages at which two versions do not show the same stored page."""
        total = 0
        for key in one.root.keys() | two.root.keys():
            mine, theirs = one.root.get(key, 0), two.root.get(key, 0)
            if _reference(mine) == _reference(theirs):
                continue
            mid = self._resolve(one.root, key, leaf=False) if mine else [0] * 512
            other = self._resolve(two.root, key, leaf=False) if theirs else [0] * 512
            for slot in range(512):
                if _reference(mid[slot]) == _reference(other[slot]):
                    continue
                a = self._resolve(mid, slot, leaf=True) or bytes(512)
                b = self._resolve(other, slot, leaf=True) or bytes(512)
                total += sum(x != y for x, y in zip(a[:512], b[:512], strict=True))
        return total
