"""What a kit gives back: parts that ran, parts that did not and why."""

from __future__ import annotations

import pytest

from frskit.testing import KitReport
from frskit.testing.report import demand


def test_parts_are_counted():
    """Each run of a part counts."""
    report = KitReport()
    report.ran("copy")
    report.ran("copy")
    report.ran("restore")
    assert report.executed == {"copy": 2, "restore": 1}
    assert report.skipped == {}


def test_what_ran_anywhere_is_not_skipped():
    """Before or after: one history may not get to a part that another one tries."""
    report = KitReport()
    report.skip("restore", "not offered")
    report.ran("restore")
    report.skip("restore", "not offered")
    assert (report.executed, report.skipped) == ({"restore": 1}, {})


def test_the_first_reason_stays():
    """Later reasons are consequences of the first."""
    report = KitReport()
    report.skip("restart", "the world cannot")
    report.skip("restart", "something else")
    assert report.skipped == {"restart": "the world cannot"}


def test_a_report_is_readable():
    """One line for each part, skipped ones last and loud."""
    report = KitReport()
    report.ran("restore")
    report.ran("copy")
    report.skip("restart", "the world cannot")
    assert str(report).splitlines() == [
        "copy: 1 times",
        "restore: 1 times",
        "restart: SKIPPED, the world cannot",
    ]


def test_a_demand_fails_the_kit():
    """Also where assertions are switched off: it is no `assert`."""
    demand(True, "fine")
    with pytest.raises(AssertionError, match="the copy changed"):
        demand(False, "the copy changed")
