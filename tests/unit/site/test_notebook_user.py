"""What somebody does with a site in a notebook: subscribe, pickle, print, run at once, cancel."""

from __future__ import annotations

import asyncio
import inspect
import json
import pickle
import threading
from collections import Counter

import pytest

import frskit
from frskit import BackupType, Budget, CancelToken, RecoveryMode
from frskit.errors import Busy, Cancelled, CatalogError, FrskitError, UsageError
from frskit.events import CallableSink

FULL = BackupType.FULL


@pytest.fixture
def site():
    """A lab with mail."""
    with frskit.lab() as made:
        made.deliver("evs1", "sg1", messages=50)
        yield made


def make(site, **more):
    """A full copy."""
    return site.frs.create_copy("evs1", ["sg1"], backup_type=FULL, **more)


def test_events_of_all_parties_come_to_the_site(site):
    """`site.subscribe` is enough, and each of them is JSON."""
    seen = []
    site.subscribe(CallableSink(seen.append))
    make(site)
    names = Counter(each.name for each in seen)
    assert names["service.trace"] > 10
    assert names["copy.stage"] > 5
    assert all(json.loads(json.dumps(each.to_dict())) for each in seen)


def test_values_and_errors_survive_a_pickle(site):
    """A copy, a plan, and an error with all that it says."""
    copy = make(site)
    plan = site.frs.plan_recovery(copy.id, mode=RecoveryMode.ROLL_FORWARD)
    assert pickle.loads(pickle.dumps(copy)) == copy
    assert pickle.loads(pickle.dumps(plan)) == plan
    with pytest.raises(FrskitError) as caught:
        site.frs.create_copy("evs1", ["nope"], backup_type=FULL)
    error, again = caught.value, pickle.loads(pickle.dumps(caught.value))
    for name in ("message", "hint", "context", "stage", "copy"):
        assert getattr(again, name) == getattr(error, name)


def test_what_is_shown_in_a_cell_is_one_short_line(site):
    """Site, copy, plan and operation."""
    copy = make(site)
    operation = site.frs.start_copy("evs1", ["sg1"], backup_type=FULL)
    operation.wait(60)
    plan = site.frs.plan_recovery(copy.id, mode=RecoveryMode.ROLL_FORWARD)
    for each in (site, copy, plan, operation, site.frs.copies()[0]):
        assert len(repr(each)) < 200
        assert "\n" not in repr(each)
    assert "ended: parked" in repr(operation)


def test_copies_at_once_are_made_or_refused_as_busy(site):
    """Never two on one server, and never anything else."""
    results = []

    def work():
        try:
            results.append(make(site).verdict.value)
        except Busy:
            results.append("busy")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert set(results) <= {"verified", "busy"}
    assert "verified" in results


def test_the_same_cell_run_twice_makes_one_copy(site):
    """With a key; four threads that run it at once all get the one copy."""
    key, made = site.parts.ids.guid(), []
    threads = [threading.Thread(target=lambda: made.append(make(site, key=key))) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [each.id for each in made] == [key] * 4
    assert len(site.frs.copies()) == 1


def test_a_cancelled_operation_leaves_nothing(site):
    """Typed, clean, and the application writes on."""
    operation = site.frs.start_copy("evs1", ["sg1"], backup_type=FULL)
    operation.cancel()
    try:
        operation.wait(60)
    except Cancelled as error:
        assert error.leftovers == ()
        assert not site.eva.copies()
    assert site.deliver("evs1", "sg1", messages=1) == 1


def test_operations_can_be_awaited(site):
    """In a thread of asyncio's own."""

    async def cell():
        operation = site.frs.start_copy("evs1", ["sg1"], backup_type=FULL)
        return await asyncio.to_thread(operation.wait)

    assert asyncio.run(cell()).recoverable


@pytest.mark.parametrize(
    "name",
    [
        "create_copy",
        "plan_copy",
        "recover",
        "plan_recovery",
        "delete_copy",
        "resume",
        "analyze_logs",
    ],
)
def test_every_call_that_takes_long_takes_a_budget(site, name):
    """By keyword, and none is needed."""
    budget = inspect.signature(getattr(site.frs, name)).parameters["budget"]
    assert budget.kind is inspect.Parameter.KEYWORD_ONLY
    assert budget.default is None


def test_a_cancelled_budget_stops_every_call(site):
    """With the typed error, and nothing is different afterwards."""
    copy = make(site)
    token = CancelToken()
    token.cancel()
    budget = Budget.of(site.clock, token=token)
    plan = site.frs.plan_recovery(copy.id, mode=RecoveryMode.POINT_IN_TIME)
    for call in (
        lambda: make(site, budget=budget),
        lambda: site.frs.plan_copy("evs1", ["sg1"], backup_type=FULL, budget=budget),
        lambda: site.frs.plan_recovery(copy.id, mode="point-in-time", budget=budget),
        lambda: site.frs.recover(plan, budget=budget),
        lambda: site.frs.delete_copy(copy.id, budget=budget),
        lambda: site.frs.analyze_logs("evs1", "sg1", copy=copy.id, budget=budget),
    ):
        with pytest.raises(Cancelled):
            call()
    assert site.frs.copy(copy.id).recoverable
    assert site.frs.recover(plan).after.databases[0].items == 50


def test_slips_are_told(site):
    """Words for types are taken; texts for lists and empty lists are refused."""
    assert site.frs.create_copy("evs1", ["sg1"], backup_type="full").recoverable
    with pytest.raises(UsageError, match="list"):
        site.frs.create_copy("evs1", "sg1", backup_type=FULL)
    with pytest.raises(UsageError):
        site.frs.create_copy("evs1", [], backup_type=FULL)


def test_a_closed_site_says_so():
    """And does nothing."""
    with frskit.lab() as site:
        pass
    with pytest.raises(CatalogError):
        site.frs.copies()
