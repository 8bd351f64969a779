"""What the watchdogs cost in the hold: calls in threads of their own against calls inline.

    python tests/benchmarks/bench_watchdog.py [--quick]

A whole copy of 64 LUNs with 8 writers, on the machine's clock, once with watchdogs and once on a
clock that says that nothing happens beside the caller; rounds are interleaved. Arrays and writers
do next to nothing, so the difference is the watchdogs' own. Exit status 1 if a promise is broken.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from typing import TYPE_CHECKING

from frskit.clock import Budget, SystemClock
from frskit.events import FanOut
from frskit.model.components import BackupType
from frskit.model.ids import IdFactory, SetId, StorageId
from frskit.model.shadows import ShadowRequest
from frskit.model.storage import CopyKind
from frskit.testing.fakes.hardware import SmallArray, SmallServer
from frskit.testing.fakes.parties import Script, SmallWriter
from frskit.vss import ArrayProvider, Coordinator
from frskit.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable

LUNS, WRITERS = 64, 8
HOLD_SHARE = 0.01
"""Of the hold's window of 10 s, the watchdogs may take so much."""
PER_CALL = 6.0
"""Times that a bounded call may take what starting and joining a bare thread does."""


class Inline(SystemClock):
    """The machine's clock, for a process in which nobody hangs."""

    @property
    def real_time(self) -> bool:
        """Parties are called in the caller's own thread."""
        return False

    def alarm(self, at_s: float, action: Callable[[], None]) -> Callable[[], None]:
        """Nothing rings."""
        return lambda: None


def copied(clock: SystemClock) -> tuple[float, float]:
    """Seconds frozen and held, of one copy."""
    script, budget = Script(), Budget.of(clock)
    names = [f"lun-{number:02d}" for number in range(LUNS)]
    array = SmallArray(script, names)
    server = SmallServer(script, "evs1", [array], clock=clock)  # type: ignore[arg-type]
    for name in names:
        storage = StorageId(f"naa:{name}")
        array.present(storage, server.host, read_only=False, budget=budget)
        server.mount(f"volume-{name}", f"/{name}/", (storage, 0, 1))
    server.rescan(budget=budget)
    service = Coordinator(
        server,
        clock=clock,
        ids=IdFactory(),
        sink=FanOut(),
        providers=[ArrayProvider(array, server.host, clock=clock)],
    )
    for number in range(WRITERS):
        paths = [f"/{name}/data" for name in names[number::WRITERS]]
        writer = SmallWriter(script, f"writer-{number}", paths, number=number + 1)
        service.register_writer(writer)
    request = ShadowRequest(
        key=SetId(IdFactory().guid()),
        components=(),
        backup_type=BackupType.COPY,
        kind=CopyKind.SNAPCLONE,
    )
    with service.session(request) as session:
        made = session.create(budget=budget)
    assert len(made.shadows) == LUNS
    return float(made.freeze_s or 0), float(made.hold_s or 0)


def per_call(rounds: int) -> tuple[float, float]:
    """Seconds of a bounded call, and of a bare thread."""
    clock = SystemClock()
    dog = Watchdog("p", clock)
    bounded, bare = [], []
    for _ in range(rounds):
        start = time.perf_counter()
        dog.call("x", int, deadline_s=clock.monotonic() + 60)
        middle = time.perf_counter()
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
        bounded.append(middle - start)
        bare.append(time.perf_counter() - middle)
    return statistics.median(bounded), statistics.median(bare)


def main() -> int:
    """Measure; the exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    rounds = 5 if parser.parse_args().quick else 25
    bounded, bare = per_call(100 * rounds)
    pairs = [(copied(SystemClock()), copied(Inline())) for _ in range(rounds)]
    frozen, frozen_inline = (statistics.median(each[side][0] for each in pairs) for side in (0, 1))
    held, held_inline = (statistics.median(each[side][1] for each in pairs) for side in (0, 1))
    share = (held - held_inline) / 10.0
    lines: list[tuple[str, float, str, bool | str]] = [
        ("a bounded call", bounded * 1e6, "us", ""),
        ("  against a bare thread", bounded / bare, "x", bounded / bare <= PER_CALL),
        (f"frozen, {LUNS} LUNs and {WRITERS} writers", frozen * 1e3, "ms", ""),
        ("  of which watchdogs", (frozen - frozen_inline) * 1e3, "ms", ""),
        ("  against inline", frozen / frozen_inline, "x", ""),
        ("held", held * 1e3, "ms", ""),
        ("  of which watchdogs", (held - held_inline) * 1e3, "ms", ""),
        ("  share of the hold's window", share, "", share <= HOLD_SHARE),
    ]
    for what, value, unit, kept in lines:
        verdict = "" if kept == "" else "   kept" if kept else "   NOT KEPT"
        print(f"{what:50s} {value:10.4f} {unit}{verdict}")
    return int(any(kept is False for *_, kept in lines))


if __name__ == "__main__":
    sys.exit(main())
