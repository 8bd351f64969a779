"""Records of copies that an older frskit wrote: generations become places without a stream."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
from attrs import evolve

from frskit.errors import CatalogError
from frskit.frs.state.catalog import SqliteCatalog
from frskit.frs.state.record_upgrades import upgrade_copy, upgrade_copy_detail
from frskit.model.copies import Truncation
from frskit.model.log_points import LogPoint, LogRange


def as_of_version_1(light, heavy):
    """The two halves as frskit 0.1 wrote them."""
    light["schema"], heavy["schema"] = "frskit.copy/1", "frskit.copy-detail/1"
    for each in light["truncated"]:
        each.pop("beyond")
        each["first"], each["last"] = 3, 4
    for each in heavy["report"]["files"]:
        log = each.pop("log")
        each["generation"] = None if log is None else log["rank"]
    for each in heavy["report"]["components"]:
        each.pop("recycles_logs")
        for name in ("logs_held", "logs_needed"):
            stretch = each[name]
            each[name] = stretch and [stretch["first"]["rank"], stretch["last"]["rank"]]
        bound = each["truncation_bound"]
        each["truncation_bound"] = bound and bound["rank"]
    for each in heavy["records"]:
        each["logs_needed"] = [7, 9]
    return light, heavy


def bare(place):
    """What an old record knew of a place."""
    return None if place is None else LogPoint(rank=place.rank)


@pytest.mark.rule("FRS-48")
def test_an_old_record_is_read_with_its_numbers_as_ranks(site, copy, tmp_path):
    """Every number that was a generation, in both halves; what was written anew is version 2."""
    (selected,) = copy.selected
    gone = Truncation(component=selected.id, first=LogPoint(rank=3), last=LogPoint(rank=4))
    path = tmp_path / "c.sqlite"
    with closing(SqliteCatalog(path)) as catalog:
        catalog.put(evolve(copy, truncated=(gone,)))
    with closing(sqlite3.connect(path)) as db:
        light, heavy = map(json.loads, db.execute("SELECT record, heavy FROM copies").fetchone())
        assert (light["schema"], heavy["schema"]) == ("frskit.copy/2", "frskit.copy-detail/2")
        halves = [json.dumps(each) for each in as_of_version_1(light, heavy)]
        db.execute("UPDATE copies SET record=?, heavy=?", halves)
        db.commit()
    with closing(SqliteCatalog(path)) as catalog:
        found = catalog.get(copy.id)
    assert found.truncated == (gone,)
    assert [each.log for each in found.report.files] == [
        bare(each.log) for each in copy.report.files
    ]
    assert any(each.log for each in found.report.files)
    for old, new in zip(found.report.components, copy.report.components, strict=True):
        assert old.truncation_bound == bare(new.truncation_bound)
        assert old.logs_held.last == bare(new.logs_held.last)
        assert old.logs_needed.first == bare(new.logs_needed.first)
    seven_to_nine = LogRange(first=LogPoint(rank=7), last=LogPoint(rank=9))
    assert [each.logs_needed for each in found.records] == [seven_to_nine] * len(found.records)
    assert found.records


def test_halves_without_anything_of_a_log_stay_as_they_are():
    """A copy that was never checked has no report; one that was never completed cut nothing."""
    assert upgrade_copy({"id": "1"}) == {"id": "1", "truncated": []}
    assert upgrade_copy_detail({"report": None}) == {"report": None, "records": []}
    record = {"component": {}, "logs_needed": None}
    assert upgrade_copy_detail({"records": [record]}) == {"records": [{**record, "late": []}]}


def test_a_record_of_a_newer_frskit_is_refused(copy, tmp_path):
    """It may hold what this one would lose."""
    path = tmp_path / "c.sqlite"
    with closing(SqliteCatalog(path)) as catalog:
        catalog.put(copy)
        with closing(sqlite3.connect(path)) as db:
            db.execute("UPDATE copies SET record=replace(record, 'frskit.copy/2', 'frskit.copy/3')")
            db.commit()
        with pytest.raises(CatalogError, match="newer"):
            catalog.get(copy.id)
