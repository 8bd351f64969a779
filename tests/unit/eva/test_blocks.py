"""Volumes, copies, space and transactions of the block store in memory."""

from __future__ import annotations

import sys
import threading
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from frskit.errors import (
    CopyConflict,
    DeviceError,
    InsufficientCapacity,
    StorageNotFound,
    UsageError,
)
from frskit.eva.blocks.page_pool import SLAB_BYTES, MemoryPool
from frskit.eva.blocks.store import BlockStore

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = 4096
MIB = 1 << 20


@pytest.fixture
def store() -> BlockStore:
    """An empty store in memory."""
    return BlockStore()


@pytest.fixture
def volume(store: BlockStore) -> int:
    """A volume of 8 MiB whose first MiB is written."""
    volume = store.create(8 * MIB)
    store.write(volume, 0, b"s" * MIB)
    return volume


@pytest.mark.parametrize("page_bytes", [0, 256, 4095, 6000, 2 << 20])
def test_page_sizes_are_powers_of_two(page_bytes: int) -> None:
    """A page size that cannot work is refused at once."""
    with pytest.raises(UsageError):
        BlockStore(page_bytes=page_bytes)


@pytest.mark.parametrize("page_bytes", [512, 4096, 65536])
def test_unwritten_bytes_read_zero_and_writes_need_no_alignment(page_bytes: int) -> None:
    """A thin volume reads as zeros, and any byte range can be written."""
    store = BlockStore(page_bytes=page_bytes)
    volume = store.create(3 * MIB + 5)
    store.write(volume, 2 * MIB - 3, bytearray(b"unaligned"))
    store.write(volume, 3 * MIB + 4, b"z")
    everything = store.read(volume, 0, 3 * MIB + 5)
    assert everything.strip(b"\0") == b"unaligned" + bytes(MIB - 2) + b"z"
    assert store.read(volume, 2 * MIB - 3, 9) == b"unaligned"


def test_memoryviews_of_wider_items_are_written_as_bytes(store: BlockStore, volume: int) -> None:
    """The length of a write is its number of bytes, whatever the view's items are."""
    data = bytes(range(256)) * 32
    store.write(volume, 0, memoryview(data).cast("Q"))
    assert store.read(volume, 0, 8193) == data + b"s"


@pytest.mark.parametrize(
    ("offset", "length"), [(-1, 1), (8 * MIB, 1), (8 * MIB - 1, 2), (0, -1), (9 * MIB, 0)]
)
def test_ranges_outside_a_volume_are_refused(
    store: BlockStore, volume: int, offset: int, length: int
) -> None:
    """No access reaches beyond the volume, and nothing is changed by trying."""
    with pytest.raises(DeviceError):
        store.read(volume, offset, length)
    with pytest.raises(DeviceError):
        store.discard(volume, offset, length)
    if length >= 0:
        with pytest.raises(DeviceError):
            store.write(volume, offset, b"x" * length)
        with pytest.raises(DeviceError):
            store.readinto(volume, offset, bytearray(length))
    assert store.mapped_bytes(volume) == MIB


def test_unknown_volumes_are_named(store: BlockStore) -> None:
    """Every call on a volume that does not exist says which one."""
    calls = [
        lambda: store.read(9, 0, 1),
        lambda: store.write(9, 0, b"x"),
        lambda: store.snapshot([9]),
        lambda: store.start_clone([9]),
        lambda: store.clone_step(9, 1),
        lambda: store.restore(9, 9),
        lambda: store.delete(9),
        lambda: store.resize(9, 1),
        lambda: store.own_bytes(9),
    ]
    for call in calls:
        with pytest.raises(StorageNotFound) as caught:
            call()
        assert caught.value.context == {"volume": 9}


@pytest.mark.rule("EVA-01", "EVA-02")
def test_a_snapshot_and_its_source_do_not_see_each_other(store: BlockStore, volume: int) -> None:
    """A snapshot keeps the instant, and its own writes stay with it."""
    one, two = (*store.snapshot([volume]), *store.snapshot([volume]))
    store.write(volume, 100, b"source")
    store.write(one, 100, b"one")
    assert store.read(volume, 98, 10) == b"sssourcess"
    assert store.read(one, 98, 10) == b"ssonesssss"
    assert store.read(two, 98, 10) == b"ssssssssss"


def one_instant(store: BlockStore, members: list[int]) -> tuple[int, ...]:
    """A copy set as it should be."""
    return store.snapshot(members)


def one_by_one(store: BlockStore, members: list[int]) -> tuple[int, ...]:
    """A copy set as it must not be: the writers get on between two members."""
    copies = []
    for member in members:
        copies += store.snapshot([member])
        time.sleep(1e-4)
    return tuple(copies)


def torn_sets(cut: Callable[[BlockStore, list[int]], tuple[int, ...]], sets: int) -> int:
    """Cut sets while two writers are at work; how many sets do not hold a prefix of a stream?"""
    store = BlockStore(page_bytes=512)
    members = [store.create(64 * 512) for _ in range(16)]
    streams = [members[:8], members[8:]]
    stop = threading.Event()

    def stream(own: list[int]) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            store.write(own[number % 8], 512 * (number // 8 % 8), number.to_bytes(8, "little"))

    def torn(own: tuple[int, ...]) -> bool:
        seen = {
            int.from_bytes(store.read(copy, 512 * slot, 8), "little")
            for copy in own
            for slot in range(8)
        } - {0}
        last = max(seen, default=0)
        return seen != set(range(max(1, last - 63), last + 1))

    threads = [threading.Thread(target=stream, args=(own,)) for own in streams]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    for thread in threads:
        thread.start()
    try:
        found = 0
        for _ in range(sets):
            copies = cut(store, members)
            found += torn(copies[:8]) or torn(copies[8:])
            for copy in copies:
                store.delete(copy)
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        for thread in threads:
            thread.join()
    store.check()
    return found


@pytest.mark.rule("EVA-33", "EVA-67")
def test_a_set_keeps_the_order_of_writes_across_volumes() -> None:
    """With two writers at work, every copy set holds a prefix of each writer's stream."""
    assert torn_sets(one_instant, 40) == 0


def test_members_cut_one_by_one_are_seen_to_be_torn() -> None:
    """The test above would notice a set that is not cut at one instant."""
    assert torn_sets(one_by_one, 40) > 0


def test_a_copy_set_touches_no_page_and_no_table(store: BlockStore) -> None:
    """The instant is one increment of the epoch, whatever is mapped and whatever was copied."""
    members = [store.create(1 << 41) for _ in range(64)]
    for member in members:
        store.write(member, 1 << 40, b"x" * 100_000)
    forest = store._transactions.forest
    for _ in range(3):
        nodes, high, epoch = forest.tables.next_node, forest.pool.high, forest.epoch
        store.snapshot(members)
        assert forest.epoch == epoch + 1
        assert (forest.tables.next_node, forest.pool.high) == (nodes, high)


@pytest.mark.rule("EVA-34")
def test_a_set_is_made_as_a_whole(store: BlockStore, volume: int) -> None:
    """If one member is refused, no copy of any member exists."""
    with pytest.raises(StorageNotFound):
        store.snapshot([volume, 77])
    with pytest.raises(UsageError):
        store.snapshot([volume, volume])
    (clone,) = store.start_clone([volume])
    with pytest.raises(CopyConflict):
        store.snapshot([volume, clone])
    assert store.volumes() == (volume, clone)
    store.check()


@pytest.mark.rule("EVA-03", "EVA-04", "EVA-05", "EVA-06")
def test_a_clone_becomes_independent(store: BlockStore, volume: int) -> None:
    """A clone shows the instant from the start, keeps its writes and outlives its source."""
    (clone,) = store.start_clone([volume])
    store.write(volume, 0, b"later")
    store.write(clone, PAGE * 200, b"mine")
    expected = b"s" * MIB
    expected = expected[: PAGE * 200] + b"mine" + expected[PAGE * 200 + 4 :]
    reports = [store.clone_step(clone, 0)]
    while not reports[-1].done:
        assert store.read(clone, 0, MIB) == expected
        reports.append(store.clone_step(clone, 10 * PAGE))
    copied = [report.copied_bytes for report in reports]
    assert copied == sorted(copied)
    assert copied[-1] == reports[-1].total_bytes == MIB
    assert copied[0] == PAGE  # the page that was written already
    assert len(copied) == 1 + -(-255 // 10)
    assert store.shared_pages(clone, volume, 0, MIB) == 0
    store.delete(volume)
    assert store.read(clone, 0, MIB) == expected
    assert store.bytes_in_use == store.own_bytes(clone) == MIB
    store.check()


def test_a_clone_can_lose_its_source_while_it_is_filled(store: BlockStore, volume: int) -> None:
    """Deleting the source early changes nothing in the clone and saves the copying."""
    (clone,) = store.start_clone([volume])
    store.clone_step(clone, PAGE)
    store.delete(volume)
    assert store.clone_step(clone, 1).done
    assert store.read(clone, 0, MIB) == b"s" * MIB
    store.check()
    assert store.bytes_in_use == MIB


@pytest.mark.rule("EVA-66")
def test_restore_leaves_all_copies_alone(store: BlockStore, volume: int) -> None:
    """A restored volume equals its source; older and newer copies keep their own content."""
    copies = []
    for letter in b"abc":
        store.write(volume, 0, bytes([letter]) * PAGE)
        copies += store.snapshot([volume])
    store.restore(volume, copies[1])
    assert store.read(volume, 0, 1) == b"b"
    store.write(volume, 0, b"n")
    assert [store.read(copy, 0, 1) for copy in copies] == [b"a", b"b", b"c"]
    store.check()


@pytest.mark.rule("EVA-60", "EVA-61")
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1), (1, 3, 0, 2)])
def test_deletion_in_any_order_gives_all_space_back(store: BlockStore, order: tuple) -> None:
    """Whatever goes first, the others read on, and in the end no page is in use."""
    volume = store.create(4 * MIB)
    family = {}
    for number in range(3):
        store.write(volume, 0, bytes([number + 65]) * MIB)
        store.write(volume, (number + 1) * MIB, b"x" * PAGE)
        (copy,) = store.snapshot([volume])
        family[copy] = store.read(volume, 0, 4 * MIB)
    family[volume] = store.read(volume, 0, 4 * MIB)
    for place in order:
        store.delete(sorted({volume, *range(2, 5)})[place])
        for each in store.volumes():
            assert store.read(each, 0, 4 * MIB) == family[each]
        store.check()
    assert store.pages_in_use == 0


def test_freed_pages_are_used_again(store: BlockStore) -> None:
    """Copies that come and go do not make the pool grow."""
    volume = store.create(MIB)
    store.write(volume, 0, b"a" * MIB)
    for _ in range(5):
        (copy,) = store.snapshot([volume])
        store.write(volume, 0, b"b" * MIB)
        store.delete(copy)
    assert store._transactions.forest.pool.high <= 2 * MIB // PAGE


@pytest.mark.rule("EVA-59")
def test_resizing_loses_nothing_that_remains(store: BlockStore, volume: int) -> None:
    """Shrinking keeps what is left; growing again shows zeros; copies keep their size."""
    (copy,) = store.snapshot([volume])
    store.resize(volume, 5000)
    store.resize(volume, MIB)
    assert store.read(volume, 0, MIB) == b"s" * 5000 + bytes(MIB - 5000)
    assert store.read(copy, 0, 8 * MIB) == b"s" * MIB + bytes(7 * MIB)
    store.delete(copy)
    assert store.bytes_in_use == 2 * PAGE
    with pytest.raises(UsageError):
        store.resize(volume, -1)


def test_discarded_pages_come_back(store: BlockStore, volume: int) -> None:
    """A discarded range reads as zeros; only whole pages of the volume's own are freed."""
    store.discard(volume, 100, MIB - 200)
    assert store.read(volume, 0, MIB) == b"s" * 100 + bytes(MIB - 200) + b"s" * 100
    assert store.bytes_in_use == 2 * PAGE
    (copy,) = store.snapshot([volume])
    store.discard(volume, 0, 8 * MIB)
    assert store.mapped_bytes(volume) == 0
    assert store.bytes_in_use == store.mapped_bytes(copy) == 2 * PAGE


def test_what_a_write_will_cost_is_known_before(store: BlockStore, volume: int) -> None:
    """Pages shared with a cut are counted before a write, for the volume and for each copy."""
    assert store.first_overwrites(volume, 0, MIB) == 0
    (one,) = store.snapshot([volume])
    store.write(volume, 0, b"n" * 2 * PAGE)
    (two,) = store.snapshot([volume])
    assert store.first_overwrites(volume, 0, 8 * MIB) == MIB // PAGE
    assert store.first_overwrites(volume, PAGE - 1, 2) == 2
    assert store.first_overwrites(volume, 0, 0) == store.shared_pages(volume, one, 0, 0) == 0
    assert store.shared_pages(volume, one, 0, 3 * PAGE) == 1
    assert store.shared_pages(volume, two, 0, 3 * PAGE) == 3
    before = store.bytes_in_use
    store.write(volume, 0, b"m" * 3 * PAGE)
    assert store.bytes_in_use == before + 3 * PAGE
    assert store.first_overwrites(volume, 0, 3 * PAGE) == 0
    assert store.own_bytes(volume) == 3 * PAGE
    assert store.own_bytes(one) == store.own_bytes(two) == 0
    assert store.differing_bytes(one, volume) == store.differing_bytes(two, volume) == 3 * PAGE
    assert store.differing_bytes(one, two) == 2 * PAGE


@pytest.mark.rule("EVA-26")
def test_rewriting_a_page_costs_once(store: BlockStore, volume: int) -> None:
    """Only the first overwrite after a copy keeps the old page."""
    (copy,) = store.snapshot([volume])
    store.write(volume, 0, b"1")
    used, differing = store.bytes_in_use, store.differing_bytes(copy, volume)
    store.write(volume, 0, b"2")
    store.write(volume, PAGE - 1, b"3")
    assert (store.bytes_in_use, store.differing_bytes(copy, volume)) == (used, differing)
    assert differing == PAGE


@pytest.mark.parametrize("written", [1, 2 * MIB])
def test_a_full_machine_changes_nothing(
    store: BlockStore, volume: int, written: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that finds no memory is refused; what was there stays, and space is not lost."""
    (copy,) = store.snapshot([volume])
    used = store.pages_in_use

    def full(self: MemoryPool, pages: int) -> None:
        raise MemoryError("full")

    monkeypatch.setattr(MemoryPool, "_grow", full)
    with pytest.raises(InsufficientCapacity):
        store.write(volume, 0, b"x" * written)
    with pytest.raises(InsufficientCapacity):
        store.clone_step(*store.start_clone([copy]), MIB)
    assert store.read(volume, 0, 8 * MIB) == b"s" * MIB + bytes(7 * MIB)
    assert store.pages_in_use == used
    store.check()


def test_runs_cross_slabs(store: BlockStore) -> None:
    """Bytes that lie in two slabs of the pool are written, read and copied in one piece."""
    volume = store.create(2 * SLAB_BYTES)
    store.write(volume, 0, b"h" * PAGE * 3)
    data = bytes(range(256)) * (MIB // 256)
    for offset in range(3 * PAGE, SLAB_BYTES + MIB, MIB):
        store.write(volume, offset, data)
    at = SLAB_BYTES - PAGE * 2
    expected = (data * 2)[(at - 3 * PAGE) % MIB :][: PAGE * 4]
    target = bytearray(PAGE * 4)
    store.readinto(volume, at, target)
    assert store.read(volume, at, PAGE * 4) == target == expected
    store.write(volume, at, target[::-1])
    (clone,) = store.start_clone([volume])
    assert store.clone_step(clone, 2 * SLAB_BYTES).done
    assert store.read(clone, at, PAGE * 4) == target[::-1]


def test_a_transaction_is_all_or_nothing(store: BlockStore, volume: int) -> None:
    """What a failed transaction did is taken back; an inner one can fail alone."""
    store.set_meta("disk/1", b"old")
    with store.transaction():
        store.set_meta("disk/1", b"new")
        with pytest.raises(StorageNotFound), store.transaction():
            store.delete(volume)
            store.set_meta("disk/2", b"x")
            store.set_meta("disk/1", None)
            store.delete(99)
        assert store.volumes() == (volume,)
        assert store.meta_keys("disk/") == ["disk/1"]
        assert store.get_meta("disk/1") == b"new"
        store.create(1)
    assert len(store.volumes()) == 2
    assert store.get_meta("disk/1") == b"new"
    store.check()


def test_a_deletion_that_was_taken_back_kept_every_page(store: BlockStore, volume: int) -> None:
    """Pages of a deleted volume are not used again before the transaction has ended."""
    with pytest.raises(KeyboardInterrupt), store.transaction():
        store.delete(volume)
        other = store.create(MIB)
        store.write(other, 0, b"o" * MIB)
        raise KeyboardInterrupt
    assert store.read(volume, 0, MIB) == b"s" * MIB
    assert store.volumes() == (volume,)
    assert store.bytes_in_use == MIB


def test_a_closed_store_says_so(store: BlockStore, volume: int) -> None:
    """Every use after closing is refused with the reason; closing twice is harmless."""
    with pytest.raises(UsageError, match="inside a transaction"), store.transaction():
        store.close()
    with store:
        pass
    store.close()
    for call in (store.flush, store.check, store.volumes, lambda: store.read(volume, 0, 1)):
        with pytest.raises(UsageError, match="closed"):
            call()
    with pytest.raises(UsageError, match="closed"):
        store.write(volume, 0, b"x")
    with pytest.raises(UsageError, match="closed"):
        store.get_meta("x")


def test_tables_are_small() -> None:
    """An untouched volume of 2 TB takes at most 32 KiB, a written GiB at most 3 MiB of tables."""
    store = BlockStore()
    tracemalloc.start()
    try:
        store.create(2 * 10**12)
        assert tracemalloc.get_traced_memory()[0] <= 32 * 1024
        volume = store.create(1 << 30)
        before = tracemalloc.get_traced_memory()[0]
        piece = b"x" * MIB
        for offset in range(0, 64 * MIB, MIB):
            store.write(volume, offset, piece)
        del piece
        assert (tracemalloc.get_traced_memory()[0] - before) * 16 <= 3 * MIB
    finally:
        tracemalloc.stop()
