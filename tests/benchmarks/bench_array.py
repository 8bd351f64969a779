"""The speed promises of the simulated array's data plane, as ratios within one run.

    python tests/benchmarks/bench_array.py [--quick]

Every figure is a median over rounds that are interleaved with those of its yardstick; buffers and
pools are touched before. Exit status 1 if a promise is not kept. Figures without a promise are
printed for orientation.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import statistics
import sys
import tempfile
import time
import tracemalloc
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from frskit.eva.blocks.store import BlockStore

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = 4096
MIB = 1 << 20
failures: list[str] = []


def timed(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def report(what: str, value: float, unit: str, limit: str = "", *, kept: bool = True) -> None:
    """Print a line, and remember a broken promise."""
    verdict = "" if not limit else "   kept" if kept else "   NOT KEPT"
    promise = f"   promise {limit}" if limit else ""
    print(f"{what:58s} {value:10.3f} {unit}{promise}{verdict}")
    if not kept:
        failures.append(what)


def filled(size: int) -> tuple[BlockStore, int]:
    """A store with one volume, written from end to end twice."""
    store = BlockStore()
    volume = store.create(size)
    piece = os.urandom(MIB)
    for _ in range(2):
        for offset in range(0, size, MIB):
            store.write(volume, offset, piece)
    return store, volume


def random_writes(store: BlockStore, volume: int, size: int, rounds: int) -> None:
    """Random 4 KiB writes against ``os.pwrite`` to a memfd of the same size."""
    memory = os.memfd_create("yardstick")
    piece = os.urandom(MIB)
    for offset in range(0, size, MIB):
        os.pwrite(memory, piece, offset)
    chance = random.Random(0)
    data = os.urandom(PAGE)
    places = [chance.randrange(size // PAGE) * PAGE for _ in range(20_000)]

    def yardstick() -> None:
        write = os.pwrite
        for place in places:
            write(memory, data, place)

    def writes() -> None:
        write = store.write
        for place in places:
            write(volume, place, data)

    def reads() -> None:
        read = store.read
        for place in places:
            read(volume, place, PAGE)

    times = [(timed(yardstick), timed(writes), timed(reads)) for _ in range(rounds)]
    os.close(memory)
    for name, column in (("writes", 1), ("reads", 2)):
        kilo = len(places) / statistics.median(row[column] for row in times) / 1000
        report(f"random 4 KiB {name}", kilo, "kIOPS")
    ratio = statistics.median(row[0] / row[1] for row in times)
    report("random 4 KiB writes / os.pwrite to a memfd", ratio, "x", ">= 0.5", kept=ratio >= 0.5)


def sequential(store: BlockStore, volume: int, size: int, rounds: int) -> None:
    """Sequential reads and writes of 1 MiB against ``numpy.copyto``."""
    source = np.frombuffer(os.urandom(MIB) * (size // MIB), dtype=np.uint8)
    target = np.ones(size, dtype=np.uint8)
    view = memoryview(target)

    def yardstick() -> None:
        np.copyto(target, source)

    def into() -> None:
        for offset in range(0, size, MIB):
            store.readinto(volume, offset, view[offset : offset + MIB])

    def reads() -> None:
        for offset in range(0, size, MIB):
            store.read(volume, offset, MIB)

    def writes() -> None:
        for offset in range(0, size, MIB):
            store.write(volume, offset, view[offset : offset + MIB])

    times = [(timed(yardstick), timed(into), timed(reads), timed(writes)) for _ in range(rounds)]
    for name, column in (("copyto", 0), ("readinto", 1), ("read", 2), ("write", 3)):
        speed = size / statistics.median(row[column] for row in times) / 1e9
        report(f"sequential {name}, 1 MiB at a time", speed, "GB/s")
    for name, column in (("readinto", 1), ("read", 2)):
        ratio = statistics.median(row[0] / row[column] for row in times)
        what = f"sequential {name} / numpy.copyto"
        report(what, ratio, "x", ">= 0.3", kept=ratio >= 0.3)


def cut_ms(store: BlockStore, members: list[int], sets: int) -> tuple[float, list[int]]:
    """Median time of a copy set, and all copies made."""
    times, copies = [], []
    chance = random.Random(1)
    for _ in range(sets):
        for member in members:
            store.write(member, chance.randrange(256) * PAGE, b"between")
        start = time.perf_counter()
        copies += store.snapshot(members)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000, copies


def copy_sets(sets: int, gigabytes: int) -> None:
    """A set of 64 volumes: small, large, and with many copies held."""
    store = BlockStore()
    small = [store.create(MIB) for _ in range(64)]
    piece = os.urandom(MIB)
    for member in small:
        store.write(member, 0, piece)
    first, held = cut_ms(store, small, sets)
    report("copy set of 64 small volumes", first, "ms", "<= 1", kept=first <= 1)
    large = [store.create(1 << 41) for _ in range(64)]
    for number in range(gigabytes << 10):
        store.write(large[number % 64], number // 64 * MIB, piece)
    second, more = cut_ms(store, large, sets)
    what = f"copy set of 64 volumes of 2 TiB, {gigabytes} GiB mapped"
    report(what, second, "ms", "<= 1", kept=second <= 1)
    third, most = cut_ms(store, small, sets)
    what = f"copy set with {len(held + more)} copies held"
    report(what, third, "ms", "<= 1", kept=third <= 1)
    seconds = timed(lambda: [store.delete(copy) for copy in held + more + most])
    report("deletion of one of these copies", seconds / len(held + more + most) * 1e6, "us")
    store.check()


def memory() -> None:
    """Tables of an untouched volume and of a densely written one."""
    store = BlockStore()
    piece = os.urandom(MIB)
    store.write(store.create(MIB), 0, piece)
    tracemalloc.start()
    store.create(2 * 10**12)
    thin = tracemalloc.get_traced_memory()[0] / 1024
    report("untouched volume of 2 TB", thin, "KiB", "<= 32", kept=thin <= 32)
    volume = store.create(1 << 30)
    before = tracemalloc.get_traced_memory()[0]
    for offset in range(0, 256 * MIB, MIB):
        store.write(volume, offset, piece)
    dense = (tracemalloc.get_traced_memory()[0] - before) * 4 / MIB
    tracemalloc.stop()
    report("tables of a densely written GiB", dense, "MiB", "<= 3", kept=dense <= 3)


def deletion(store: BlockStore, volume: int, size: int, rounds: int) -> None:
    """First writes after a cut, and deleting the copy, per table compared."""
    chance = random.Random(2)
    data = os.urandom(PAGE)
    first, each, filling = [], [], []
    for _ in range(rounds):
        (copy,) = store.snapshot([volume])
        places = [chance.randrange(size // PAGE) * PAGE for _ in range(4000)]
        start = time.perf_counter()
        for place in places:
            store.write(volume, place, data)
        first.append((time.perf_counter() - start) / len(places))
        leaves = len({place >> 21 for place in places})
        each.append(timed(partial(store.delete, copy)) / leaves)
        (clone,) = store.start_clone([volume])
        filling.append(size / timed(partial(store.clone_step, clone, size)))
        store.delete(clone)
    report("first write of a page after a cut", statistics.median(first) * 1e6, "us")
    report("deleting a snapshot, per table compared", statistics.median(each) * 1e6, "us")
    report("filling a clone", statistics.median(filling) / 1e9, "GB/s")


def durable(rounds: int) -> None:
    """Commits and opening of a store in a directory."""
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        with BlockStore.open(directory) as store:
            with store.transaction():
                volumes = [store.create(1 << 34) for _ in range(1000)]
            volume = volumes[0]
            data = os.urandom(PAGE)
            pool = store._transactions.forest.pool
            empty, syncs, many, cuts = [], [], [], []
            for number in range(rounds):
                empty.append(timed(lambda: store.set_meta("x", data)))
                for page in range(4000):
                    store.write(volume, (page * 1024 + number) * PAGE, data)
                syncs.append(timed(pool.sync))  # as fast as the disk is, so apart
                many.append(timed(store.flush))
                cuts.append(timed(lambda: store.snapshot(volumes[:64])))
        report("durable: commit of a piece of metadata", statistics.median(empty) * 1e3, "ms")
        report("durable: fdatasync of 4 000 pages", statistics.median(syncs) * 1e3, "ms")
        report("durable: commit of 4 000 changed pages", statistics.median(many) * 1e3, "ms")
        ratio = statistics.median(m / e for m, e in zip(many, empty, strict=True))
        report("durable: the second over the first", ratio, "x", "<= 20", kept=ratio <= 20)
        report("durable: copy set of 64", statistics.median(cuts) * 1e3, "ms")

        def opening() -> None:
            BlockStore.open(directory).close()

        opening()
        seconds = statistics.median(timed(opening) for _ in range(rounds))
        what = f"durable: opening with 1 000 volumes, {rounds * 64} copies"
        report(what, seconds, "s", "<= 0.5", kept=seconds <= 0.5)


def main() -> int:
    """Run everything; 1 if a promise was not kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smaller volumes, fewer rounds")
    quick = parser.parse_args().quick
    rounds = 5 if quick else 15
    size = (256 if quick else 1024) * MIB
    store, volume = filled(size)
    random_writes(store, volume, size, rounds)
    sequential(store, volume, min(size, 512 * MIB), rounds)
    deletion(store, volume, size, 3 if quick else 7)
    store.close()
    gc.collect()
    copy_sets(15 if quick else 50, 1 if quick else 4)
    memory()
    durable(3 if quick else 9)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
