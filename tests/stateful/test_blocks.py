"""The block store against flat byte strings: any operation in any order, with crashes, and mutants.

The model of a volume is a `bytearray`. After every step every volume is read and compared, and an
independent mark-and-sweep says which pages are in use. A crash is an image of the directory taken
between two operations, without closing anything: what is in it must be the last commit, page by
page or newer.
"""

from __future__ import annotations

import shutil
import tempfile
from array import array
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.examples import examples

from frskit.errors import CopyConflict, FrskitError
from frskit.eva.blocks import table_deltas
from frskit.eva.blocks.commit_log import CommitLog
from frskit.eva.blocks.page_pool import PagePool
from frskit.eva.blocks.page_table import NUMBER_BITS, NUMBER_MASK, Tables, Version
from frskit.eva.blocks.store import BlockStore

pytestmark = pytest.mark.histories

PAGE = 512
MAX_PAGES = 600  # more than one leaf of the page table
MAX_VOLUMES = 7

picks = st.integers(0, 999)
places = st.integers(0, MAX_PAGES * PAGE)
lengths = st.sampled_from([0, 1, 100, PAGE, PAGE + 1, 7 * PAGE, 100 * PAGE, 550 * PAGE])


def sweep(store: BlockStore) -> set[int]:
    """Every page that any version reaches, found without the store's own walking code."""
    pages: set[int] = set()
    forest = store._transactions.forest
    tables = forest.tables
    for version in forest.versions.values():
        todo = [(version.root[key], 1) for key in version.root]
        while todo:
            node, level = todo.pop()
            if isinstance(node, int):
                number = node & NUMBER_MASK
                known = tables.nodes.get(number)
                node = known if known is not None else tables._load(number)
            for value in node[:512]:
                if level == 0 or isinstance(node, array):
                    if level == 1 and value:
                        todo.append((value, 0))
                    elif value:
                        pages.add(value & NUMBER_MASK)
                elif not isinstance(value, int) or value:
                    todo.append((value, 0))
    return pages


class Blocks(RuleBasedStateMachine):
    """A store in memory and its model."""

    durable = False

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[int, bytearray] = {}
        self.filling: set[int] = set()
        self.stamp = 0
        self.store = self.open()

    def open(self) -> BlockStore:
        """A new store."""
        return BlockStore(page_bytes=PAGE)

    def committed(self) -> None:
        """Called after each operation that commits."""

    def changed(self, volume: int, start: int, end: int) -> None:
        """Called after bytes of a volume changed."""

    def pick(self, number: int) -> int:
        """One of the volumes."""
        return sorted(self.model)[number % len(self.model)]

    def whole(self, number: int) -> int | None:
        """One of the volumes that are not clones in the making."""
        candidates = sorted(self.model.keys() - self.filling)
        return candidates[number % len(candidates)] if candidates else None

    def data(self, length: int) -> bytes:
        """Bytes never written before."""
        self.stamp += 1
        pattern = self.stamp.to_bytes(4, "little") + b"\xa5"
        return (pattern * (length // 5 + 1))[:length]

    @initialize(pages=st.integers(1, MAX_PAGES))
    def first(self, pages: int) -> None:
        """Start with two volumes that hold something."""
        self.create(pages, 77)
        self.write(0, 0, 100 * PAGE, True)
        self.create(MAX_PAGES, 0)
        self.write(1, 500 * PAGE, 50 * PAGE, True)

    @precondition(lambda self: len(self.model) < MAX_VOLUMES)
    @rule(pages=st.integers(0, MAX_PAGES), odd=st.integers(0, PAGE - 1))
    def create(self, pages: int, odd: int) -> None:
        """A new volume reads as zeros."""
        size = pages * PAGE + odd
        volume = self.store.create(size)
        assert volume not in self.model
        self.model[volume] = bytearray(size)
        self.committed()

    @precondition(lambda self: self.model)
    @rule(at=picks, place=places, length=lengths, aligned=st.booleans())
    def write(self, at: int, place: int, length: int, aligned: bool) -> None:
        """Write anywhere."""
        volume = self.pick(at)
        content = self.model[volume]
        start = place % (len(content) + 1)
        start -= start % PAGE if aligned else 0
        data = self.data(min(length, len(content) - start))
        self.store.write(volume, start, memoryview(data))
        content[start : start + len(data)] = data
        self.changed(volume, start, start + len(data))

    @precondition(lambda self: self.model)
    @rule(at=picks, place=places, pages=st.integers(1, 8))
    def write_pages(self, at: int, place: int, pages: int) -> None:
        """Write few whole pages: what most hosts do."""
        self.write(at, place, pages * PAGE, True)

    @precondition(lambda self: self.model)
    @rule(at=picks, place=places, length=lengths)
    def discard(self, at: int, place: int, length: int) -> None:
        """Discard anywhere."""
        volume = self.pick(at)
        content = self.model[volume]
        start = place % (len(content) + 1)
        length = min(length, len(content) - start)
        self.store.discard(volume, start, length)
        content[start : start + length] = bytes(length)
        self.changed(volume, start, start + length)

    @precondition(lambda self: len(self.model) < MAX_VOLUMES - 1)
    @rule(one=picks, two=picks, clone=st.booleans())
    def copy(self, one: int, two: int, clone: bool) -> None:
        """Copy one or two volumes at one instant."""
        chosen = {self.whole(one), self.whole(two)} - {None}
        members = sorted(chosen)
        copies = (self.store.start_clone if clone else self.store.snapshot)(members)
        assert len(copies) == len(members)
        for member, copy in zip(members, copies, strict=True):
            assert copy not in self.model
            self.model[copy] = bytearray(self.model[member])
            if clone:
                self.filling.add(copy)
        self.committed()

    @precondition(lambda self: self.filling)
    @rule(at=picks, pages=st.sampled_from([0, 1, 5, 200, 10_000]))
    def step(self, at: int, pages: int) -> None:
        """Fill a clone; meanwhile it is no source."""
        volume = sorted(self.filling)[at % len(self.filling)]
        with pytest.raises(CopyConflict):
            self.store.snapshot([volume])
        progress = self.store.clone_step(volume, pages * PAGE)
        assert 0 <= progress.copied_bytes <= progress.total_bytes
        if progress.done:
            self.filling.remove(volume)
            for other in self.model.keys() - {volume}:
                size = min(len(self.model[volume]), len(self.model[other]))
                assert not self.store.shared_pages(volume, other, 0, size)
            self.committed()

    @precondition(lambda self: self.model)
    @rule(at=picks, source=picks)
    def restore(self, at: int, source: int) -> None:
        """Let one volume show what another one shows."""
        volume, other = self.whole(at), self.whole(source)
        if volume is None or other is None:
            return
        self.store.restore(volume, other)
        self.model[volume] = bytearray(self.model[other])
        self.committed()

    @precondition(lambda self: len(self.model) > 2)
    @rule(at=picks)
    def delete(self, at: int) -> None:
        """Delete any volume, whatever hangs on it."""
        volume = self.pick(at)
        self.store.delete(volume)
        del self.model[volume]
        self.filling.discard(volume)
        self.committed()

    @precondition(lambda self: self.model)
    @rule(at=picks, size=places)
    def resize(self, at: int, size: int) -> None:
        """Change a volume's length."""
        volume = self.whole(at)
        if volume is not None:
            self.store.resize(volume, size)
            self.model[volume] = bytearray(self.model[volume][:size].ljust(size, b"\0"))
            self.committed()

    @rule(at=picks, flush=st.booleans())
    def roll_back(self, at: int, flush: bool) -> None:
        """A transaction that fails leaves nothing behind."""
        with pytest.raises(ZeroDivisionError), self.store.transaction():
            volume = self.whole(at)
            if volume is not None:
                (copy,) = self.store.snapshot([volume])
                (_, clone) = self.store.start_clone([volume, copy])
                size = len(self.model[volume])
                self.store.write(clone, 0, bytes(min(size, 700)))
                self.store.clone_step(clone, 1 << 30)
                self.store.restore(volume, copy)
                self.store.resize(volume, size // 2)
                self.store.resize(volume, size * 2)
                self.store.delete(copy)
            self.store.delete(self.store.create(5))
            for each in list(self.model):
                self.store.delete(each)
            self.store.set_meta("step", b"never")
            if flush:
                self.store.flush()
            raise ZeroDivisionError
        if flush:
            self.committed()
        assert self.store.get_meta("step") is None

    @invariant()
    def equal(self) -> None:
        """Every volume reads as its model; pages in use are those that are reached."""
        store = self.store
        assert set(store.volumes()) == self.model.keys()
        for volume, content in self.model.items():
            assert store.size_bytes(volume) == len(content)
            target = bytearray(len(content))
            store.readinto(volume, 0, target)
            assert target == content
            assert store.mapped_bytes(volume) >= store.own_bytes(volume)
        assert len(sweep(store)) == store.pages_in_use
        store.check()

    def teardown(self) -> None:
        """Nothing is left when all is deleted; a broken store is closed too."""
        try:
            for volume in list(self.model):
                self.store.delete(volume)
            assert not self.store.pages_in_use
            assert not sweep(self.store)
            self.store.check()
        finally:
            self.store.close()


class DurableBlocks(Blocks):
    """A store in a directory, which is reopened and crashes."""

    durable = True

    def __init__(self) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="frskit-blocks-"))
        self.images = 0
        self.last: dict[int, bytes] = {}
        self.later: dict[int, dict[int, set[bytes]]] = {}
        super().__init__()

    def open(self) -> BlockStore:
        """The store in the present directory."""
        return BlockStore.open(self.place / str(self.images), page_bytes=PAGE)

    def committed(self) -> None:
        """From here on a crash leads back to this."""
        self.last = {volume: bytes(content) for volume, content in self.model.items()}
        self.later = {volume: {} for volume in self.model}

    def changed(self, volume: int, start: int, end: int) -> None:
        """A crash may or may not keep these pages."""
        for page in range(start // PAGE, -(-end // PAGE)):
            content = bytes(self.model[volume][page * PAGE : (page + 1) * PAGE])
            self.later[volume].setdefault(page, set()).add(content)

    @rule()
    def flush(self) -> None:
        """What was written is durable."""
        self.store.flush()
        self.committed()

    @rule()
    def reopen(self) -> None:
        """Closing keeps everything."""
        self.store.close()
        self.store = self.open()
        self.committed()

    @rule()
    def crash(self) -> None:
        """An image of the directory holds the last commit; each page may be newer."""
        old = self.place / str(self.images)
        self.images += 1
        shutil.copytree(old, self.place / str(self.images))
        self.store.close()
        self.store = self.open()
        assert set(self.store.volumes()) == self.last.keys()
        self.model = {}
        for volume, before in self.last.items():
            now = self.store.read(volume, 0, self.store.size_bytes(volume))
            assert len(now) == len(before)
            for page in range(-(-len(now) // PAGE)):
                part = slice(page * PAGE, (page + 1) * PAGE)
                assert now[part] == before[part] or now[part] in self.later[volume].get(page, ())
            self.model[volume] = bytearray(now)
        self.filling &= self.model.keys()
        self.filling = {v for v in self.filling if self.store._live.version(v).clone_total >= 0}
        self.committed()

    def teardown(self) -> None:
        """As in memory; the files go too."""
        try:
            super().teardown()
        finally:
            shutil.rmtree(self.place)


def test_any_order_of_operations_in_memory() -> None:
    """Every volume reads as its flat model after every operation, and no page is lost or leaked."""
    run_state_machine_as_test(Blocks, settings=settings(stateful_step_count=40))


@pytest.mark.crash
@pytest.mark.parametrize("checkpoint_changes", [50, 1 << 15])
def test_any_order_of_operations_with_crashes(
    checkpoint_changes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a directory a crash loses no committed operation, and no page is of another volume."""
    monkeypatch.setattr(table_deltas, "_CHECKPOINT_CHANGES", checkpoint_changes)
    run_state_machine_as_test(
        DurableBlocks, settings=settings(stateful_step_count=40, max_examples=examples(30))
    )


def alias_the_source(patch: pytest.MonkeyPatch) -> None:
    """A cut does not end ownership, so both sides overwrite the same pages."""
    grow = Version.grow

    def aliasing(self: Version, number: int, volume: int) -> Version:
        child = grow(self, number, volume)
        child.floor = self.floor
        return child

    patch.setattr(Version, "grow", aliasing)


def free_what_the_heir_shows(patch: pytest.MonkeyPatch) -> None:
    """Deleting a cut frees pages that the remaining volume still shows."""
    leave = Tables.leave
    patch.setattr(Tables, "leave", lambda self, version, heir: leave(self, version, None))


def free_nothing(patch: pytest.MonkeyPatch) -> None:
    """Deleting leaks."""
    patch.setattr(Tables, "leave", lambda self, version, heir: [])


def prune_the_first_epoch(patch: pytest.MonkeyPatch) -> None:
    """'No parent' counts as a cut at the first epoch: the first pages have no owner."""
    hang_under = Version.hang_under

    def pruning(self: Version, parent: Version | None) -> None:
        hang_under(self, parent)
        if parent is None:
            self.floor = 2 << NUMBER_BITS

    patch.setattr(Version, "hang_under", pruning)


def share_leaves_while_writing(patch: pytest.MonkeyPatch) -> None:
    """A leaf is changed in place although another version has it too."""
    own_leaf = Tables.own_leaf

    def sharing(self: Tables, version: Version, number: int) -> array:
        leaf = self.leaf(version, number)
        return own_leaf(self, version, number) if leaf is None else leaf

    patch.setattr(Tables, "own_leaf", sharing)


def clone_without_copying(patch: pytest.MonkeyPatch) -> None:
    """A clone gets pages of its own with whatever is in them."""
    patch.setattr(
        "frskit.eva.blocks.page_pool.PagePool.copy", lambda self, source, target, pages: None
    )


def detach_no_clone(patch: pytest.MonkeyPatch) -> None:
    """A complete clone still shares with its source."""
    patch.setattr(
        "frskit.eva.blocks.versions.Forest.copy_shared",
        lambda self, clone, budget: setattr(clone, "own", clone.mapped),
    )


def reuse_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    """Freed pages are used again while the stored tables still name them."""

    def at_once(self: PagePool, pages: list[int]) -> None:
        self.free.extend(sorted(pages, reverse=True))

    patch.setattr(PagePool, "release", at_once)


def widen_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    """Nothing is stored when a volume is deleted, though its sibling overwrites in place."""
    commit = CommitLog.commit

    def lazy(self: CommitLog, forest, meta) -> None:
        if not forest.gone:
            commit(self, forest, meta)

    patch.setattr(CommitLog, "commit", lazy)


MEMORY_MUTANTS = [
    alias_the_source,
    free_what_the_heir_shows,
    free_nothing,
    prune_the_first_epoch,
    share_leaves_while_writing,
    clone_without_copying,
    detach_no_clone,
]
MUTANTS = [(Blocks, mutant) for mutant in MEMORY_MUTANTS]
MUTANTS += [(DurableBlocks, reuse_before_the_commit), (DurableBlocks, widen_before_the_commit)]


@pytest.mark.breaks
@pytest.mark.parametrize(("machine", "mutate"), MUTANTS, ids=[m.__name__ for _, m in MUTANTS])
def test_the_machine_sees_what_is_wrong(machine, mutate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of these mistakes makes the test above fail."""
    mutate(monkeypatch)
    hunt = settings(
        max_examples=300,
        stateful_step_count=40,
        phases=(Phase.generate,),
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    with pytest.raises((AssertionError, FrskitError, KeyError, ValueError, IndexError)):
        run_state_machine_as_test(machine, settings=hunt)
