"""How fast pages are verified, as ratios to what the machine can do at best.

    python tests/benchmarks/bench_ese.py [--quick] [--memory]

Everything is measured in rounds that alternate between the parties, so that a machine whose
speed drifts compares like with like; medians of the ratios of each round are printed, beside the
promise. ``--memory`` checks a 4 GiB file and prints the peak memory of that process.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from frskit import ese
from frskit.ese.pages.checksums import NEW_FORMAT_FLAG
from frskit.ese.pages.verify_many import PageVerifier

RUN_BYTES = 64 << 20
REPEATS = 8
OTHERS_S = 0.06


def timed(action, repeats=1):
    """Seconds that an action takes."""
    begin = time.perf_counter()
    for _ in range(repeats):
        action()
    return (time.perf_counter() - begin) / repeats


def busy_s():
    """Processor seconds of the whole machine; 0 where the system does not say."""
    try:
        fields = Path("/proc/stat").read_text().split("\n")[0].split()[1:]
    except OSError:
        return 0.0
    numbers = [int(each) for each in fields]
    return (sum(numbers) - numbers[3] - numbers[4]) / os.sysconf("SC_CLK_TCK")


def disturbed(measure):
    """The result of a round of measurements, and whether other programs took part in it."""
    busy, own = busy_s(), time.process_time()
    result = measure()
    others = (busy_s() - busy) - (time.process_time() - own)
    return result, busy > 0 and others > OTHERS_S


def sealed_pages(size, megabytes, *, new):
    """A buffer of random pages that are all good, every byte of it touched."""
    words = np.random.default_rng(size).integers(
        0, 1 << 64, (megabytes << 20) // 8, dtype=np.uint64
    )
    step = size // 8
    flag = np.uint64(NEW_FORMAT_FLAG << 32)
    if new:
        words[4::step] |= flag
    else:
        words[4::step] &= ~flag
    data = words.view(np.uint8)
    for index in range(len(words) // step):
        page = bytearray(data[index * size : (index + 1) * size])
        ese.seal_page(page, index + 1)
        data[index * size : (index + 1) * size] = np.frombuffer(page, np.uint8)
    return words


def verify_all(verifier, words, first, end):
    """Verify the pages from index `first` to `end`; every one of them must be good."""
    step = verifier.page_size // 8
    for begin in range(first, end, verifier.capacity):
        stop = min(begin + verifier.capacity, end)
        run = verifier.verify(words[begin * step : stop * step], begin + 1)
        if run.status.any():
            raise SystemExit("the benchmark's own pages do not verify")


def together(here, there):
    """Run two actions at once, one of them in a thread of its own."""
    other = threading.Thread(target=there)
    other.start()
    here()
    other.join()


def both_halves(verifiers, words, pages):
    """Verify with two threads, one half each."""
    middle = pages // 2
    together(
        lambda: verify_all(verifiers[0], words, 0, middle),
        lambda: verify_all(verifiers[1], words, middle, pages),
    )


def flat_halves(words):
    """Flat XOR with two threads: what the machine's memory grants a second thread at all."""
    middle = len(words) // 2
    together(
        lambda: np.bitwise_xor.reduce(words[:middle]),
        lambda: np.bitwise_xor.reduce(words[middle:]),
    )


def ratios(words, size, rounds):
    """Median seconds of flat XOR and one thread; median ratios flat:one, one:two, flat one:two.

    Rounds in which other programs used the processors do not count, if three others are left.
    """
    pages = len(words) // (size // 8)
    verifiers = [PageVerifier(size, RUN_BYTES // size) for _ in range(2)]
    verify_all(verifiers[0], words, 0, pages)
    actions = (
        lambda: np.bitwise_xor.reduce(words),
        lambda: verify_all(verifiers[0], words, 0, pages),
        lambda: both_halves(verifiers, words, pages),
        lambda: flat_halves(words),
    )
    quiet, noisy = [], []
    while len(quiet) < rounds and len(quiet) + len(noisy) < 4 * rounds:
        found, noise = disturbed(lambda: [timed(each, REPEATS) for each in actions])
        (noisy if noise else quiet).append(found)
    flat, one, two, flat_two = zip(*(quiet if len(quiet) >= 3 else noisy), strict=True)

    def median_ratio(over, under):
        return statistics.median(a / b for a, b in zip(over, under, strict=True))

    return (
        statistics.median(flat),
        statistics.median(one),
        median_ratio(flat, one),
        median_ratio(one, two),
        median_ratio(flat, flat_two),
        len(quiet),
    )


def bench_pages(rounds, megabytes):
    """In memory: against a flat XOR over the same buffer, with one thread and with two.

    What a second thread brings is memory's to grant: pages of the old format are one plain XOR, as
    fast as one thread can read. So two threads are held to the share of two flat readers.

    Returns:
        Whether all promises were kept.
    """
    kept = True
    print(f"\nPages in memory ({megabytes} MiB, medians of up to {rounds} undisturbed rounds)")
    print("pages        GB/s   flat GB/s  ratio  of two  promise    2:1  flat 2:1  rounds")
    for size, new in ((4096, True), (8192, True), (32768, True), (4096, False)):
        words = sealed_pages(size, megabytes, new=new)
        flat, one, ratio, scaling, granted, quiet = ratios(words, size, rounds)
        gigabytes = words.nbytes / 1e9
        promise = 0.25 if new else 0.70
        of_two = ratio * scaling / granted
        kept = kept and min(ratio, of_two) >= promise
        print(
            f"{size:5} {'new' if new else 'old':4} {gigabytes / one:6.1f} {gigabytes / flat:11.1f}"
            f" {ratio:6.3f} {of_two:7.3f} {promise:8.2f} {scaling:6.2f} {granted:9.2f} {quiet:7}"
        )
    return kept


def write_database(path, megabytes, size=4096):
    """A database of good pages on disk, 64 different contents taking turns."""
    header = ese.pack_database_header(
        ese.DatabaseHeader(page_size=size, state=3, format_update_major=0x0B)
    )
    contents = [os.urandom(size) for _ in range(64)]
    with path.open("wb") as file:
        file.write(header * 2)
        for number in range(1, (megabytes << 20) // size - 1):
            page = bytearray(contents[number % 64])
            ese.seal_page(page, number, new_format=True)
            file.write(page)


CHECK = "from frskit.cli import main; main()"


PEAK = """
import sys
from frskit.ese import check_database
assert check_database(sys.argv[1]).verdict == "ok"
lines = open("/proc/self/status").read().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
"""


def bench_file(rounds, megabytes):
    """The whole command on a cached file, against cat of the same file; whether it is in time."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "bench.edb"
        write_database(path, megabytes)
        commands = {
            "cat": ["cat", str(path)],
            "check": [sys.executable, "-c", CHECK, "ese", "check", str(path)],
            "start": [sys.executable, "-c", CHECK, "ese", "--help"],
        }
        taken = {name: [] for name in commands}
        for _ in range(rounds + 1):
            for name, argv in commands.items():
                run = lambda argv=argv: subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)  # noqa: E731
                taken[name].append(timed(run))
        medians = {name: statistics.median(each[1:]) for name, each in taken.items()}
        allowed = 2.5 * medians["cat"] + 0.3
        inside = timed(lambda: ese.check_database(path))
        print(f"\nA cached file of {megabytes} MiB, 4 KB pages, {os.cpu_count()} processors")
        print(
            f"cat {medians['cat']:.3f} s, check {medians['check']:.3f} s, allowed {allowed:.3f} s"
        )
        print(f"of the check, starting the command takes {medians['start']:.3f} s")
        print(f"check_database alone {inside:.3f} s = {inside / medians['cat']:.2f} x cat")
        return medians["check"] <= allowed


def bench_memory():
    """Peak memory of checking 4 GiB: mostly a hole, with real pages at both ends."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "large.edb"
        write_database(path, 256)
        tail = path.stat().st_size
        with path.open("r+b") as file:
            file.truncate(4 << 30)
            file.seek((4 << 30) - 4096)
            page = bytearray(4096)
            ese.seal_page(page, (4 << 30) // 4096 - 2, new_format=True)
            file.write(page)
        begin = time.perf_counter()
        argv = [sys.executable, "-c", PEAK, str(path)]
        run = subprocess.run(argv, check=True, capture_output=True, text=True)
        taken = time.perf_counter() - begin
        peak = int(run.stdout) / 1024
        print(f"\n4 GiB ({tail >> 20} MiB of pages, the rest a hole): {taken:.2f} s")
        print(f"peak memory {peak:.0f} MiB, allowed 200 MiB")
        return peak <= 200


def main():
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds on less data")
    parser.add_argument("--memory", action="store_true", help="also check a file of 4 GiB")
    chosen = parser.parse_args()
    kept = [
        bench_pages(5 if chosen.quick else 15, 64 if chosen.quick else 128),
        bench_file(3 if chosen.quick else 9, 256 if chosen.quick else 1024),
    ]
    if chosen.memory:
        kept.append(bench_memory())
    raise SystemExit(0 if all(kept) else 1)


if __name__ == "__main__":
    main()
