"""The speed promises of the requestor: catalog, whole copy cycle, start of the library.

    python tests/benchmarks/bench_frs.py [--quick]

The catalog holds 100 000 copies: 250 servers with 4 storage groups each, 100 copies per group, every
record with its members, a checker's report and documents. It is filled without syncing, then
measured with the syncing that it always has. Every figure is a median. Exit status 1 if a promise
is not kept; with ``--quick`` there are fewer rounds and a tenth of the copies. Figures without a
promise are printed for orientation.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve

import frskit
from frskit import BackupType, RecoveryMode
from frskit.frs import SqliteCatalog
from frskit.model.checks import CheckedFile, ComponentCheck, FileVerdict, IntegrityReport
from frskit.model.components import Component, ComponentId
from frskit.model.copies import Copy, CopyFilter, CopyLife, CopyMember, Verdict
from frskit.model.files import FileRole, FileSet
from frskit.model.ids import CopyId, StorageId, VolumeId
from frskit.model.log_points import LogPoint
from frskit.model.shadows import ShadowDocuments
from frskit.model.storage import CopyKind

if TYPE_CHECKING:
    from collections.abc import Callable

START = datetime(2005, 7, 15, tzinfo=UTC)
GROUPS_PER_SERVER = 4
COPIES_PER_GROUP = 100
LOGS = 12
failures: list[str] = []


def timed(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def report(what: str, seconds: float, limit_s: float | None = None) -> None:
    """Print a line, and remember a broken promise."""
    kept = limit_s is None or seconds <= limit_s
    verdict = "" if limit_s is None else "   kept" if kept else "   NOT KEPT"
    promise = "" if limit_s is None else f"   promise <= {limit_s * 1000:.1f} ms"
    print(f"{what:62s} {seconds * 1000:9.2f} ms{promise}{verdict}")
    if not kept:
        failures.append(what)


def a_record() -> Copy:
    """A copy as it is after a run: three LUNs, two databases, a report, documents."""
    group = ComponentId(
        writer_id="76fe1ac4-15f7-4bcd-987e-8e1acb462fb7", logical_path="g", name="s"
    )
    paths = [f"L:\\exchsrvr\\sg1\\E00{number:05x}.log" for number in range(LOGS)]
    files = tuple(
        CheckedFile(
            component=group,
            path=path,
            role=FileRole.LOG,
            verdict=FileVerdict.OK,
            log=LogPoint(rank=number, stream="s"),
            counts={"seen": 10240, "bad": 0},
        )
        for number, path in enumerate(paths)
    )
    sets = (FileSet(path="M:\\exchsrvr\\sg1", pattern="mbx.edb", role=FileRole.DATABASE),)
    component = Component(id=group, caption="sg1", selectable=True, files=sets)
    return Copy(
        id=CopyId("0"),
        server="evs1",
        components=("sg1",),
        kind=CopyKind.SNAPCLONE,
        backup_type=BackupType.FULL,
        created_at=START,
        selected=(component,),
        files=(component, component, component),
        members=tuple(
            CopyMember(
                volume=VolumeId(f"v{number}"),
                mount_point=f"{'LMP'[number]}:\\",
                source=StorageId(f"naa:600508b49430d83d0000a000000{number}0000"),
                storage=StorageId(f"naa:600508b49430d83d0000a000001{number}0000"),
            )
            for number in range(3)
        ),
        report=IntegrityReport(
            checker="bench",
            components=(ComponentCheck(component=group, image_ok=True, truncation_ok=True),),
            files=files,
        ),
        documents=ShadowDocuments(backup_components=b"<a/>" * 500, writers={"w": b"<b/>" * 500}),
        verdict=Verdict.VERIFIED,
        life=CopyLife.PARKED,
    )


def numbered(pattern: Copy, number: int) -> Copy:
    """Copy number so-and-so of its group, server and time."""
    group = number // COPIES_PER_GROUP
    return evolve(
        pattern,
        id=CopyId(f"{number:08x}-0000-4000-8000-000000000000"),
        server=f"evs{group // GROUPS_PER_SERVER}",
        components=(f"sg{group % GROUPS_PER_SERVER + 1}",),
        created_at=START + timedelta(hours=number % COPIES_PER_GROUP),
    )


def filled(path: Path, count: int) -> None:
    """A catalog file with so many copies, made without syncing."""
    catalog = SqliteCatalog(path)
    catalog._db.execute("PRAGMA synchronous=OFF")
    pattern = a_record()
    for number in range(count):
        catalog.put(numbered(pattern, number))
    catalog.close()


def measure_catalog(directory: Path, count: int, rounds: int) -> None:
    """Listing one group, adding, reading and replacing one copy."""
    path = directory / "catalog.sqlite"
    print(f"catalog of {count} copies: filled in {timed(lambda: filled(path, count)):.1f} s")
    pattern = a_record()
    groups = count // COPIES_PER_GROUP
    catalog = SqliteCatalog(path)
    lists, adds, replacements, gets, syncs = [], [], [], [], []
    gc.disable()
    for turn in range(rounds):
        group = (turn * 37) % groups
        wanted = CopyFilter(
            server=f"evs{group // GROUPS_PER_SERVER}",
            component=f"sg{group % GROUPS_PER_SERVER + 1}",
        )
        lists.append(timed(lambda wanted=wanted: catalog.find(wanted)))
        fresh = numbered(pattern, count + turn * COPIES_PER_GROUP)
        adds.append(timed(lambda fresh=fresh: catalog.put(fresh)))
        old = numbered(pattern, (turn * 977) % count)
        replacements.append(timed(lambda old=old: catalog.put(old)))
        gets.append(timed(lambda old=old: catalog.get(old.id)))
        syncs.append(timed(lambda: synced(directory / "yardstick")))
    gc.enable()
    assert len(catalog.find(CopyFilter(server="evs0", component="sg1"))) == COPIES_PER_GROUP
    report(f"list one group ({COPIES_PER_GROUP} copies)", statistics.median(lists), 0.050)
    report("add a copy (durable)", statistics.median(adds), 0.010)
    report("append 16 KiB to a file and sync it (yardstick)", statistics.median(syncs))
    report("replace a copy (durable)", statistics.median(replacements))
    report("get one copy with report and documents", statistics.median(gets))
    catalog.close()
    report("open the catalog", timed(lambda: SqliteCatalog(path).close()))


def synced(path: Path) -> None:
    """What a durable change costs at least on this disk."""
    with path.open("ab") as file:
        file.write(bytes(16 << 10))
        file.flush()
        os.fdatasync(file.fileno())


def measure_cycle(directory: Path, rounds: int) -> None:
    """The whole cycle on the lab: copy, normalize, check every page and log, tell, park."""
    memory, durable, recoveries = [], [], []
    for turn in range(rounds):
        with frskit.lab(seed=turn) as site:
            site.deliver("evs1", "sg1", messages=100)
            memory.append(timed(lambda site=site: copied(site)))
            (copy,) = site.frs.copies()
            plan = site.frs.plan_recovery(copy.id, mode=RecoveryMode.ROLL_FORWARD)
            recoveries.append(timed(lambda site=site, plan=plan: site.frs.recover(plan)))
        with frskit.lab(directory / f"lab{turn}", seed=turn) as site:
            site.deliver("evs1", "sg1", messages=100)
            durable.append(timed(lambda site=site: copied(site)))
    report("whole copy cycle, one small group, lab in memory", statistics.median(memory), 0.5)
    report("whole copy cycle, one small group, lab in a directory", statistics.median(durable))
    report("recovery by swap, lab in memory", statistics.median(recoveries))


def copied(site: frskit.Lab) -> None:
    """One cycle."""
    copy = site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
    assert copy.recoverable


def measure_import(rounds: int) -> None:
    """``import frskit`` against ``import attrs``, each in a fresh interpreter."""
    attrs, ours = [], []
    for _ in range(rounds):
        attrs.append(import_seconds("attrs"))
        ours.append(import_seconds("frskit"))
    yardstick = statistics.median(attrs)
    report("import attrs (yardstick)", yardstick)
    report("import frskit", statistics.median(ours), 1.5 * yardstick + 0.030)


def import_seconds(name: str) -> float:
    """Seconds that the import takes in a process of its own."""
    code = f"import time; t = time.perf_counter(); import {name}; print(time.perf_counter() - t)"
    path = str(Path(frskit.__file__).parents[1])
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    return float(result.stdout)


def main() -> int:
    """Measure everything and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, a tenth of the copies")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as name:
        measure_catalog(Path(name), 10_000 if quick else 100_000, 11 if quick else 51)
        measure_cycle(Path(name), 3 if quick else 9)
    measure_import(5 if quick else 21)
    if failures:
        print("not kept: " + "; ".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
