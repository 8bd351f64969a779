"""Every example runs as a program of its own and says what it should."""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import frskit
from frskit import BackupType, RecoveryMethod, RecoveryMode
from frskit.clock import Budget, SystemClock
from frskit.errors import IntegrityError, WriterVeto
from frskit.model.components import WriterSession
from frskit.model.ids import SetId

SESSION = WriterSession(
    session_id=SetId("11111111-1111-4111-8111-111111111111"),
    backup_type=BackupType.COPY,
    components=(),
)
EXAMPLES = Path(__file__).parents[2] / "examples"
SAYS = {
    "quickstart.py": ["verified", "mounted"],
    "sqlite_writer.py": [],
    "strangers.py": [
        f"{array}: {text}"
        for array in ("local", "blobs")
        for text in (
            "copy of 1000 orders is verified",
            "1500 orders before the damage",
            "the database was damaged",
            "1000 orders after the recovery",
            "1001 orders, and the application goes on",
        )
    ],
    "third_party_array.py": [],
}


def test_every_example_is_tested():
    """A new example cannot be forgotten here."""
    assert sorted(SAYS) == sorted(each.name for each in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("name", sorted(SAYS))
def test_example_runs(name, tmp_path):
    """The example ends well, complains about nothing, and prints what its reader is told."""
    result = subprocess.run(
        [sys.executable, "-B", "-W", "error", str(EXAMPLES / name)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(frskit.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    for text in SAYS[name]:
        assert text in result.stdout
    assert not any(tmp_path.iterdir())


def test_the_third_party_array_knows_the_seams_only():
    """It imports protocols, values, errors and bases, and no wing of frskit."""
    text = (EXAMPLES / "third_party_array.py").read_text()
    used = {
        line.split()[1] for line in text.splitlines() if line.lstrip().startswith("from frskit")
    }
    assert used <= {"frskit.spi"}
    assert sum(1 for line in text.splitlines() if line.strip()) <= 225


@pytest.fixture
def example(monkeypatch):
    """Import an example as a module, as another example would."""
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return importlib.import_module


@pytest.fixture
def sqlite_writer(example):
    """The writer, application and checker."""
    return example("sqlite_writer")


@pytest.fixture
def database(tmp_path):
    """A small database."""
    path = tmp_path / "orders.db"
    insert(path, timeout_s=1)
    return path


def insert(path, timeout_s=0.0):
    """One order, unless the database is locked."""
    with (
        contextlib.closing(sqlite3.connect(path, timeout=timeout_s)) as connection,
        connection,
    ):
        connection.execute("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY)")
        connection.execute("INSERT INTO orders DEFAULT VALUES")


def test_the_sqlite_hold_survives_a_copy_by_this_process(sqlite_writer, database):
    """Opening and closing the file, as an array does, does not let writers in; thaw does."""
    writer, budget = sqlite_writer.SqliteWriter(database), Budget.of(SystemClock(), 20)
    writer.freeze(SESSION, budget=budget)
    shutil.copyfile(database, database.with_suffix(".copy"))
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        insert(database)
    writer.thaw(SESSION, budget=Budget.of(SystemClock()))
    insert(database)
    with pytest.raises(WriterVeto, match="lost"):  # nothing is held: nobody may think so
        writer.thaw(SESSION, budget=Budget.of(SystemClock()))
    writer.abort(SESSION)
    assert sqlite_writer.damage(database.with_suffix(".copy")) == ""


def test_a_lost_sqlite_hold_fails_the_thaw(sqlite_writer, database):
    """If the holder let go by itself, the copy must not be trusted."""
    writer = sqlite_writer.SqliteWriter(database)
    writer.freeze(SESSION, budget=Budget.of(SystemClock(), 0.5))
    insert(database, timeout_s=10)
    with pytest.raises(WriterVeto, match="lost"):
        writer.thaw(SESSION, budget=Budget.of(SystemClock()))


def test_a_sqlite_database_that_is_busy_vetoes(sqlite_writer, database):
    """The lock that cannot be had in time is a veto that may be tried again; nothing is held."""
    writer = sqlite_writer.SqliteWriter(database)
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(WriterVeto) as caught:
            writer.freeze(SESSION, budget=Budget.of(SystemClock(), 0.3))
        assert caught.value.retryable
    insert(database)


def test_sqlite_damage_is_found(sqlite_writer, database):
    """A page of rubbish is named, also where the file is no database at all."""
    with database.open("r+b") as file:
        file.seek(4096)
        file.write(b"rubbish" * 100)
    assert sqlite_writer.damage(database)
    database.write_bytes(b"rubbish" * 100)
    assert sqlite_writer.damage(database)


@pytest.fixture(params=["local", "blobs"])
def shop(request, example, tmp_path):
    """The site of the strangers, its database, and the module, for each array."""
    strangers = example("strangers")
    makers = {"local": strangers.DirectoryArray, "blobs": strangers.BlobArray}
    hosts = (strangers.PRODUCTION, strangers.RECOVERY)
    array = makers[request.param](tmp_path / "array", clock=SystemClock(), hosts=hosts)
    site, path = strangers.build(array, tmp_path)
    strangers.order(path, 1000)
    with site:
        yield strangers, array, site, path


def test_a_damaged_database_gives_no_verified_copy(shop):
    """The check runs on the copy's own bytes: a damaged source fails, the older copy stays good."""
    strangers, _, site, path = shop
    good = site.frs.create_copy("shop", ["orders"], backup_type=BackupType.COPY)
    strangers.damage(path)
    with pytest.raises(IntegrityError):
        site.frs.create_copy("shop", ["orders"], backup_type=BackupType.COPY)
    verdicts = {each.id: each.verdict.value for each in site.frs.copies()}
    assert sorted(verdicts.values()) == ["corrupt", "verified"]
    plan = site.frs.plan_recovery(good.id, mode=RecoveryMode.POINT_IN_TIME)
    site.frs.recover(plan)
    assert strangers.rows(path) == 1000


def test_files_can_be_copied_back_instead(shop):
    """Copy back puts the file in place and keeps the copy for another time."""
    strangers, array, site, path = shop
    copy = site.frs.create_copy("shop", ["orders"], backup_type=BackupType.COPY)
    for _ in range(2):
        strangers.damage(path)
        plan = site.frs.plan_recovery(
            copy.id, mode=RecoveryMode.POINT_IN_TIME, method=RecoveryMethod.COPY_BACK
        )
        site.frs.recover(plan)
        assert strangers.rows(path) == 1000
    site.frs.delete_copy(copy.id)
    assert list(array.copies()) == []


WORKER = """
import contextlib, select, sqlite3, sys
done = 0
while not select.select([sys.stdin], [], [], 0.005)[0]:
    with contextlib.closing(sqlite3.connect(sys.argv[1], timeout=30)) as database, database:
        for _ in range(20):
            database.execute("INSERT INTO orders (what) VALUES ('a pen')")
    done += 20
    print(done, flush=True)
print(done)
"""


def test_nobody_writes_between_freeze_and_thaw(shop, monkeypatch):
    """While the array copies, an application that never stops ordering has to wait."""
    strangers, array, site, path = shop
    real, seen = array.commit_copies, []

    def slow_commit(staged, *, budget):
        seen.append(strangers.rows(path))
        budget.clock.sleep(0.3)
        made = real(staged, budget=budget)
        seen.append(strangers.rows(path))
        return made

    monkeypatch.setattr(array, "commit_copies", slow_commit)
    command = [sys.executable, "-c", WORKER, str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as worker:
        assert worker.stdout.readline() == "20\n"
        copy = site.frs.create_copy("shop", ["orders"], backup_type=BackupType.COPY)
        done = int(worker.communicate("\n")[0].split()[-1])
    assert seen[0] == seen[1]
    assert strangers.rows(path) == 1000 + done > seen[0] > 1000
    site.frs.recover(site.frs.plan_recovery(copy.id, mode=RecoveryMode.POINT_IN_TIME))
    assert strangers.rows(path) == seen[0]
