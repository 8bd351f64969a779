"""The order of copies is that in which they were made, whatever the clock says."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

import frskit
from frskit import BackupType, VirtualClock
from frskit.frs import SqliteCatalog
from frskit.frs.previous_stamps import previous_stamps
from frskit.model.components import Component, ComponentId, WriterRecord
from frskit.model.copies import Completion, Copy, CopyFilter, CopyLife, Verdict
from frskit.model.ids import CopyId
from frskit.model.storage import CopyKind

START = datetime(2005, 7, 15, tzinfo=UTC)
HOUR, YEARS = timedelta(hours=1), timedelta(days=3652)
GROUP = ComponentId(writer_id="w", logical_path="a", name="g")


def a_copy(number, at, *, server="evs1", stamp="", **changes):
    """A record of a good copy of an instant."""
    copy = Copy(
        id=CopyId(f"{number:08x}-0000-4000-8000-000000000000"),
        server=server,
        components=("sg1",),
        kind=CopyKind.SNAPCLONE,
        backup_type=BackupType.FULL,
        created_at=at,
        selected=(Component(id=GROUP, files=()),),
        records=(WriterRecord(component=GROUP, stamp=stamp),),
        verdict=Verdict.VERIFIED,
        completion=Completion.DONE,
        life=CopyLife.PARKED,
    )
    return evolve(copy, **changes)


def numbers(catalog):
    """The copies by number, in every order that the catalog gives; all are the same."""
    found = [int(each[:8], 16) for each in catalog.ids()]
    assert [int(each.id[:8], 16) for each in catalog.find(CopyFilter())] == found
    assert [int(each.id[:8], 16) for each in catalog.find(CopyFilter(component="SG1"))] == found
    one = [int(each.id[:8], 16) for each in catalog.find(CopyFilter(server="evs1"))]
    assert one == [int(each.id[:8], 16) for each in catalog.ended("evs1")]
    assert one == [each for each in found if each in one]
    return found


@pytest.mark.parametrize("back", [HOUR, YEARS], ids=["an hour", "ten years"])
def test_a_clock_that_is_set_back_does_not_turn_the_copies_round(monkeypatch, back):
    """Nor one that is set right again; listing, logs and recovery go by the newest copy."""
    shift, real = [timedelta()], VirtualClock.now
    monkeypatch.setattr(VirtualClock, "now", lambda self: real(self) + shift[0])
    with frskit.lab(seed=4) as site:
        made = []
        for each in (timedelta(), -back, -back - HOUR, timedelta()):
            shift[0] = each
            site.deliver("evs1", "sg1", messages=5)
            made.append(site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL))
        assert made[1].created_at < made[0].created_at
        assert [each.id for each in site.frs.copies()] == [each.id for each in reversed(made)]
        plan = site.frs.plan_recovery(made[1].id, mode="point-in-time", method="copy-back")
        site.frs.recover(plan)
        assert sum(each.items for each in site.status("evs1", "sg1").databases) == 10


@pytest.mark.parametrize("back", [HOUR, YEARS], ids=["an hour", "ten years"])
def test_writers_hear_the_stamp_of_the_newest_copy(back):
    """Not of the one with the latest time."""
    catalog = SqliteCatalog()
    catalog.put(a_copy(1, START, stamp="one"))
    catalog.put(a_copy(2, START - back, stamp="two"))
    assert previous_stamps(catalog, "evs1") == {GROUP: "two"}


def test_a_place_is_kept_while_a_record_changes():
    """And many copies of one instant, or of earlier ones, stay in the order they came in."""
    catalog = SqliteCatalog()
    times = [START, START, START - HOUR, START - YEARS, START + HOUR, START + HOUR, START]
    servers = ["evs1", "evs2", "evs1", "evs1", "evs2", "evs1", "evs1"]
    for number, (at, server) in enumerate(zip(times, servers, strict=True)):
        catalog.put(a_copy(number, at, server=server))
    assert numbers(catalog) == [6, 5, 4, 3, 2, 1, 0]
    for number in (3, 0, 5):
        copy = catalog.get(a_copy(number, START).id)
        catalog.put(evolve(copy, note="changed"))
    assert numbers(catalog) == [6, 5, 4, 3, 2, 1, 0]
    for number in range(7, 1200):
        catalog.put(a_copy(number, START - HOUR, server="evs1"))
    assert numbers(catalog) == list(range(1199, -1, -1))


def test_a_new_run_of_a_key_is_the_newest_copy():
    """Its instant is new, whatever the clock says of it."""
    catalog = SqliteCatalog()
    catalog.put(a_copy(1, START))
    catalog.put(a_copy(2, START + HOUR))
    catalog.put(a_copy(1, START - HOUR))
    assert numbers(catalog) == [1, 2]


def test_an_older_catalog_keeps_its_order_and_new_copies_come_first(tmp_path):
    """Older ones have the instants themselves; so have new ones, as long as the clock goes on."""
    path = tmp_path / "catalog.sqlite"
    with closing(SqliteCatalog(path)) as catalog:
        for number, at in enumerate([START, START - HOUR, START + HOUR]):
            catalog.put(a_copy(number, at))
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP INDEX copies_by_place")
        for number, at in enumerate([START, START - HOUR, START + HOUR]):
            for table in ("copies", "copy_components"):
                db.execute(
                    f"UPDATE {table} SET created_at=? WHERE id=?",
                    (at.isoformat(), a_copy(number, at).id),
                )
        db.commit()
    with closing(SqliteCatalog(path)) as catalog:
        assert numbers(catalog) == [2, 0, 1]
        catalog.update(a_copy(1, START).id, lambda now: evolve(now, note="changed"))
        assert numbers(catalog) == [2, 0, 1]
        catalog.put(a_copy(3, START))
        catalog.put(a_copy(4, START + 2 * HOUR))
        assert numbers(catalog) == [4, 3, 2, 0, 1]
    with closing(sqlite3.connect(path)) as db:
        (newest,) = db.execute("SELECT max(created_at) FROM copies").fetchone()
        assert newest == (START + 2 * HOUR).isoformat()
