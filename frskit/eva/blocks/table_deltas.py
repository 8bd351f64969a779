"""Radix nodes and free pages as stored: whole rows of the last checkpoint, and deltas since.

A commit stores *one* delta row: pages taken and freed, and the changed slots of radix nodes
([feasibility 11.2]). When many changes have gathered, a checkpoint replaces the deltas by whole
nodes. Nodes are loaded when they are looked at. (The layout is frskit's choice.)
"""

from __future__ import annotations

import sys
from array import array
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from frskit.eva.files import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Iterable

    from frskit.eva.blocks.page_pool import PagePool
    from frskit.eva.blocks.tables_database import TablesDatabase
    from frskit.eva.blocks.versions import Forest

__all__ = ["TableDeltas"]

# After so many changed slots, or commits, whole nodes replace the deltas: bounds what opening
# reads. Both are frskit's choice.
_CHECKPOINT_CHANGES: Final = 1 << 15
_CHECKPOINT_COMMITS: Final = 512


class _Change(NamedTuple):
    """What one commit did to one node; `base` is -1 unless the commit made the node."""

    commit: int
    base: int
    slots: array[int]
    values: array[int]


class TableDeltas:
    """The stored nodes and free list of one store. Every call belongs inside the database's guard.

    Args:
        database: The tables.
    """

    def __init__(self, database: TablesDatabase) -> None:
        self._database = database
        self._history: dict[int, list[_Change]] = {}
        self._touched: set[int] = set()
        self._dead: set[int] = set()
        self._commits = 0
        self._weight = 0
        self._sequence = 0

    # --- reading ---------------------------------------------------------------------------

    def load(self, pool: PagePool) -> None:
        """Take in the deltas, and tell a new pool which pages are in use.

        Raises:
            ArrayDamaged: They do not fit together.
        """
        values = unpack(self._database.blobs("state")["free"])
        high, free = values[0], set(values[1:])
        for key, data in sorted(self._database.blobs("deltas").items()):
            self._sequence = int(key)
            self._commits += 1
            taken, freed = self._load_delta(unpack(data))
            for page in taken:
                if page >= high:
                    high = page + 1
                elif page in free:
                    free.remove(page)
                else:
                    raise self._database.damaged(f"page {page} was taken twice")
            free.update(freed)
        pool.high = high
        pool.free = sorted(free, reverse=True)

    def _load_delta(self, values: array[int]) -> tuple[array[int], array[int]]:
        at = 7
        columns: list[array[int]] = []
        for length in values[:7]:
            columns.append(values[at : at + length])
            at += length
        taken, freed, dead, new, bases, changes, contents = columns
        self._dead.update(dead)
        commit = self._sequence
        now: dict[int, _Change] = {}
        for number, base in zip(new, bases, strict=True):
            now[number] = _Change(commit, base, array("q"), array("q"))
        for change, content in zip(changes, contents, strict=True):
            number = change >> 9
            if number not in now:
                now[number] = _Change(commit, -1, array("q"), array("q"))
            now[number].slots.append(change & 511)
            now[number].values.append(content)
        for number, step in now.items():
            self._history.setdefault(number, []).append(step)
        self._weight += len(changes)
        return taken, freed

    def node(self, number: int) -> array[int]:
        """The 512 values of a node as last committed.

        Raises:
            ArrayDamaged: It is missing or damaged.
        """
        # A node made since the checkpoint is its base as it was then, and what came after.
        steps: list[_Change] = []
        until = sys.maxsize
        while True:
            changes = [c for c in self._history.get(number, ()) if c.commit <= until]
            steps += reversed(changes)
            if not changes or changes[0].base < 0:
                values = self._stored_node(number)
                break
            if not changes[0].base:
                values = array("q", bytes(4096))
                break
            number, until = changes[0].base, changes[0].commit
        for step in reversed(steps):
            for slot, value in zip(step.slots, step.values, strict=True):
                values[slot] = value
        return values

    def _stored_node(self, number: int) -> array[int]:
        data = self._database.blob("nodes", number)
        if data is None:
            raise self._database.damaged(f"node {number} is missing")
        values = unpack(data)
        if len(values) != 512:
            raise self._database.damaged(f"node {number} is cut short")
        return values

    # --- writing ---------------------------------------------------------------------------

    def store(self, forest: Forest) -> None:
        """Store what changed in a forest's tables and pool, inside the commit's transaction."""
        tables = forest.tables
        self._touched.update(change >> 9 for change in tables.changes)
        self._touched.update(tables.bases)
        self._dead.update(tables.dead)
        self._weight += len(tables.changes)
        self._commits += 1
        if self._weight > _CHECKPOINT_CHANGES or self._commits > _CHECKPOINT_COMMITS:
            self._checkpoint(forest)
            return
        self._sequence += 1
        self._database.put("deltas", self._sequence, pack(_delta(forest)))

    def _checkpoint(self, forest: Forest) -> None:
        database, pool = self._database, forest.pool
        # All values first: a node may still be made from the stored row of another one.
        rows = [
            (number, pack(self._current(forest, number)))
            for number in sorted((self._touched | self._history.keys()) - self._dead)
        ]
        database.drop("nodes", self._dead)
        database.put_all("nodes", rows)
        database.clear("deltas")
        free = array("q", [pool.high, *pool.free, *pool.pending])
        database.put("state", "free", pack(free))
        self._history.clear()
        self._touched.clear()
        self._dead.clear()
        self._weight = self._commits = 0

    def _current(self, forest: Forest, number: int) -> array[int]:
        node = forest.tables.nodes.get(number)
        return self.node(number) if node is None else _plain(node)


def _plain(node: Any) -> array[int]:
    """A node's 512 values: entries of a leaf, references of a mid node."""
    if isinstance(node, array):
        return node[:512]
    return array("q", [n if n.__class__ is int else n[512] for n in node[:512]])


def _delta(forest: Forest) -> array[int]:
    """What a commit did, in columns: their lengths first, then one after the other."""
    tables, pool = forest.tables, forest.pool
    nodes = tables.nodes
    changes = sorted(set(tables.changes))
    slots = [nodes[change >> 9][change & 511] for change in changes]
    columns: list[Iterable[int]] = [
        pool.taken,
        pool.pending,
        tables.dead,
        tables.bases.keys(),
        tables.bases.values(),
        changes,
        [value if value.__class__ is int else value[512] for value in slots],
    ]
    arrays = [array("q", column) for column in columns]
    values = array("q", map(len, arrays))
    for column in arrays:
        values.extend(column)
    return values
