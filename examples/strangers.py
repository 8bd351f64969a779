"""The seams hold for strangers: two arrays and an application that frskit has never heard of.

The same requestor makes a verified copy of a SQLite database, twice: on `DirectoryArray`, and on
the array in ``third_party_array.py``. Then the live database is damaged and recovered to the point
in time of the copy. Real files, real locks, real time; no hardware and no root are needed.

    python examples/strangers.py [DIRECTORY]
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import tempfile
from pathlib import Path

from sqlite_writer import SqliteApplication, SqliteChecker, SqliteWriter
from third_party_array import BlobArray

from frskit import (
    BackupType,
    Budget,
    Production,
    Recovery,
    RecoveryMode,
    Site,
    SystemClock,
    compose,
)
from frskit.hosts import LinuxServer
from frskit.local import DirectoryArray
from frskit.spi import HostRef, IdFactory
from frskit.storage import ArrayCopyStore
from frskit.vss import ArrayProvider, Coordinator

CLOCK = SystemClock()
PRODUCTION, RECOVERY = HostRef("shop"), HostRef("vault")


def rows(path: Path) -> int:
    """Orders in the database."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        return int(database.execute("SELECT count(*) FROM orders").fetchone()[0])


def order(path: Path, count: int) -> None:
    """The application at work."""
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, what TEXT)")
        database.executemany("INSERT INTO orders (what) VALUES (?)", [("a book " * 20,)] * count)


def damage(path: Path) -> None:
    """A disk writes to the wrong place."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xde\xad" * 8192)


def server(host: HostRef, root: Path, array) -> tuple[LinuxServer, Coordinator]:
    """A server of this machine with a shadow copy service that knows the array."""
    machine = LinuxServer(host, host, clock=CLOCK, arrays=[array], mounts=root / "mounts" / host)
    service = Coordinator(machine, clock=CLOCK, ids=IdFactory())
    service.register_provider(ArrayProvider(array, host))
    return machine, service


def build(array, root: Path) -> tuple[Site, Path]:
    """A production server with a database on the array, a recovery server, and the requestor."""
    machine, service = server(PRODUCTION, root, array)
    vault, vault_service = server(RECOVERY, root, array)
    disk, budget = array.add_storage("orders-disk"), Budget.of(CLOCK)
    array.present(disk, PRODUCTION, read_only=False, budget=budget)
    machine.rescan(budget=budget)
    machine.attach({disk: "data"}, read_only=False, budget=budget)
    path = machine.mounts / "data" / "orders.db"
    service.register_writer(SqliteWriter(path))
    production = Production(
        server=machine,
        service=service,
        application=SqliteApplication(path, server=machine.name),
        checker=SqliteChecker(),
        store=ArrayCopyStore(array),
    )
    recovery = Recovery(server=vault, service=vault_service, mount_root=str(vault.mounts))
    site = compose(productions=[production], recovery=recovery, clock=CLOCK, state=root / "state")
    return site, path


def show(array, root: Path) -> None:
    """Copy, verify, damage, recover."""
    site, path = build(array, root)
    with site:
        order(path, 1000)
        copy = site.frs.create_copy(PRODUCTION, ["orders"], backup_type=BackupType.COPY)
        print(f"{array.name}: copy of {rows(path)} orders is {copy.verdict.value}")
        print(f"{array.name}: writers waited for {copy.freeze_s:.3f} s")
        order(path, 500)
        print(f"{array.name}: {rows(path)} orders before the damage")
        damage(path)
        plan = site.frs.plan_recovery(copy.id, mode=RecoveryMode.POINT_IN_TIME)
        report = site.frs.recover(plan)
        print(f"{array.name}: the database was {report.before.databases[0].state}")
        print(f"{array.name}: {rows(path)} orders after the recovery, {path}")
        order(path, 1)
        print(f"{array.name}: {rows(path)} orders, and the application goes on")


def main(root: Path) -> None:
    """Both arrays, one after the other."""
    hosts = (PRODUCTION, RECOVERY)
    show(DirectoryArray(root / "one" / "array", clock=CLOCK, hosts=hosts), root / "one")
    show(BlobArray(root / "two" / "array", clock=CLOCK, hosts=hosts), root / "two")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as place:
            main(Path(place))
