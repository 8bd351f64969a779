"""The store's speed as it grows, the hold, and what one copy costs in calls.

    python tests/benchmarks/bench_store.py [--quick]

Steps are measured at 4 000 and at 8 000 messages, in one run and in processor seconds: 8 000 do not
fit the store's memory of 4 096 pages. A slope of 1 means that twice the messages take twice as
long; the status of 8 000 has to read all pages from disk, that of 4 000 none, so it is compared with
delivering them instead. The hold is the Exchange writer's part, from the beginning of Freeze to the
end of Thaw. Exit status 1 if a promise is not kept; ``--quick`` takes one round instead of three.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import math
import pstats
import statistics
import time
from typing import TYPE_CHECKING

import frskit
from frskit import BackupType, RecoveryMode
from frskit.exchange.writer.writer import ExchangeWriter
from frskit.model.ese_structures import LgPos

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (4000, 8000)
SLOPES = {
    "deliver half as many again": 1.3,
    "recover by roll-forward": 1.3,
}
STATUS = 0.05
CALLS = 100_000
failures: list[str] = []


def timed(work: Callable[[], object]) -> float:
    """Processor seconds that a call takes."""
    gc.collect()
    start = time.process_time()
    work()
    return time.process_time() - start


def report(what: str, figures: str, promise: str = "", *, kept: bool = True) -> None:
    """Print a line, and remember a broken promise."""
    verdict = "" if not promise else f"   promise {promise}   {'kept' if kept else 'NOT KEPT'}"
    print(f"{what:34s} {figures}{verdict}", flush=True)
    if not kept:
        failures.append(what)


def steps(messages: int) -> dict[str, float]:
    """Seconds of each step of one lab's life."""
    with frskit.lab(seed=1) as site:
        found = {"deliver": timed(lambda: site.deliver("evs1", "sg1", messages=messages))}
        found["status"] = timed(lambda: site.status("evs1", "sg1"))
        copy = site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
        found["deliver half as many again"] = timed(
            lambda: site.deliver("evs1", "sg1", messages=messages // 2)
        )
        plan = site.frs.plan_recovery(copy.id, mode=RecoveryMode.ROLL_FORWARD)
        found["recover by roll-forward"] = timed(lambda: site.frs.recover(plan))
        (store,) = [each for each in site.status("evs1", "sg1").databases if each.items]
        assert store.items == messages + messages // 2
    return found


def measure_growth(rounds: int) -> None:
    """Each step at both sizes, and how it grows."""
    runs = [[steps(size) for size in SIZES] for _ in range(rounds)]
    for name in runs[0][0]:
        small, large = (statistics.median(run[at][name] for run in runs) for at in (0, 1))
        slope = math.log2(large / small)
        limit = SLOPES.get(name)
        report(
            name,
            f"{small * 1000:9.1f} ms {large * 1000:9.1f} ms   slope {slope:4.2f}",
            f"<= {limit}" if limit else "",
            kept=limit is None or slope <= limit,
        )
    share = statistics.median(run[1]["status"] / run[1]["deliver"] for run in runs)
    report(
        f"status of {SIZES[1]}",
        f"{share:9.3f} of delivering them",
        f"<= {STATUS}",
        kept=share <= STATUS,
    )


def writer_seconds(groups: int) -> tuple[float, float]:
    """The Exchange writer's time per group in PrepareSnapshot, and in Freeze and Thaw together."""
    spent = {"prepare_snapshot": 0.0, "freeze": 0.0, "thaw": 0.0}
    real = {name: getattr(ExchangeWriter, name) for name in spent}

    def watched(name: str) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            start = time.process_time()
            result = real[name](*args, **kwargs)
            spent[name] += time.process_time() - start
            return result

        return call

    with frskit.lab(groups=groups, seed=2) as site:
        names = [f"sg{number + 1}" for number in range(groups)]
        for name in names:
            site.deliver("evs1", name, messages=50)
        try:
            for name in spent:
                setattr(ExchangeWriter, name, watched(name))
            site.frs.create_copy("evs1", names, backup_type=BackupType.FULL)
        finally:
            for name, method in real.items():
                setattr(ExchangeWriter, name, method)
    return spent["prepare_snapshot"] / groups, (spent["freeze"] + spent["thaw"]) / groups


def measure_hold(rounds: int) -> None:
    """The next log's space is made before the freeze, at a price like that of the whole hold."""
    for groups in (1, 4):
        runs = [writer_seconds(groups) for _ in range(4 * rounds + 1)]
        before, hold = (statistics.median(run[at] for run in runs) for at in (0, 1))
        report(
            f"hold per group, {groups} group(s)",
            f"{hold * 1000:9.1f} ms, before it {before * 1000:.1f} ms",
            "hold <= 2 x before",
            kept=hold <= 2 * before,
        )


def measure_calls() -> None:
    """Python calls of one whole copy cycle; the same on every machine."""
    with frskit.lab() as site:
        site.deliver("evs1", "sg1", messages=20)
        profile = cProfile.Profile()
        profile.enable()
        site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
        profile.disable()
    calls = pstats.Stats(profile).total_calls  # type: ignore[attr-defined]
    report("calls in one copy", f"{calls:9d}", f"<= {CALLS}", kept=calls <= CALLS)


def measure_positions(rounds: int) -> None:
    """Comparing log positions against comparing the tuples of their parts."""
    low, high = LgPos(generation=5, sector=7, offset=16), LgPos(generation=5, sector=7, offset=17)
    parts, more = (5, 7, 16), (5, 7, 17)

    def ours() -> None:
        for _ in range(100_000):
            low < high  # noqa: B015

    def tuples() -> None:
        for _ in range(100_000):
            parts < more  # noqa: B015

    ratio = statistics.median(timed(ours) / timed(tuples) for _ in range(2 * rounds + 1))
    report("compare two log positions", f"{ratio:9.1f} x tuples", "<= 15", kept=ratio <= 15)


def main() -> int:
    """Measure everything and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round instead of three")
    rounds = 1 if parser.parse_args().quick else 3
    print(frskit.__file__)
    measure_calls()
    measure_positions(rounds)
    measure_hold(rounds)
    measure_growth(rounds)
    if failures:
        print("not kept: " + "; ".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
