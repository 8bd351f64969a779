"""A wall clock that is set in the middle of a backup, and a hold that its server does not judge."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta

import pytest

from frskit.clock import VirtualClock
from frskit.errors import HoldTimeout
from frskit.testing.fakes.site import SmallSite

KEY = "00000001-1111-4111-8111-111111111111"
HOUR = timedelta(hours=1)


class SetClock(VirtualClock):
    """Somebody can set its wall clock."""

    wrong = timedelta()

    def now(self):
        """As it was set."""
        return super().now() + self.wrong


def steps():
    """Every call of a good backup."""
    site = SmallSite()
    with site.service.session(site.request()) as session:
        session.create(budget=site.budget())
    return [each for each in dict.fromkeys(site.script.steps) if not each.startswith("event.")]


@pytest.mark.parametrize("by", [-HOUR, HOUR])
@pytest.mark.parametrize("step", steps())
def test_a_clock_that_is_set_during_a_backup_changes_no_time_of_it(step, by):
    """Rows never run backwards, and the instant lies between the rows around it."""
    site = SmallSite(clock=SetClock())
    began = site.clock.now()

    def set_it():
        site.clock.wrong = by
        site.clock.advance(2.0)

    site.script.on(step, set_it)
    with site.service.session(site.request()) as session:
        made = session.create(budget=site.budget())
        states = site.service.writer_states(budget=site.budget())
    rows = site.sink.rows
    assert [each.at for each in rows] == sorted(each.at for each in rows)
    assert rows[-1].at - began == timedelta(seconds=2)
    after = next(each.at for each in rows if each.step == "ReleaseWrites")
    before = next(each.at for each in rows if each.step == "HoldWrites")
    assert before <= made.created_at <= after + timedelta(seconds=2)
    assert all(began <= each.since <= rows[-1].at for each in states)


def test_the_next_backup_reads_the_clock_again():
    """Times are wrong for the length of one backup, and not for the life of the service."""
    site = SmallSite(clock=SetClock())
    with site.service.session(site.request()) as session:
        session.create(budget=site.budget())
        site.clock.wrong = HOUR
        with site.service.session(site.request(key=KEY)) as other:
            made = other.create(budget=site.budget())
        assert made.created_at == site.clock.now() - HOUR, "rows of the first one may follow"
    with site.service.session(site.request(key=KEY[:-1] + "2")) as third:
        assert third.create(budget=site.budget()).created_at == site.clock.now()


class Forgetful:
    """A server's hold that says too little of its length."""

    def __init__(self, hold, said_s):
        self._hold, self._said_s = hold, said_s

    @property
    def held_s(self):
        """What it claims."""
        if isinstance(self._said_s, Exception):
            raise self._said_s
        return self._said_s

    def release(self):
        """Let go."""
        self._hold.release()


@pytest.mark.rule("VSS-44")
@pytest.mark.parametrize("said_s", [0.0, 3.0, RuntimeError("not measured"), float("nan")])
@pytest.mark.parametrize("took_s", [4.0, 10.5, 11.0])
def test_the_hold_is_judged_by_the_services_own_clock_too(said_s, took_s):
    """A server that says three seconds of a hold of eleven is not believed."""
    site = SmallSite()
    real = site.production.hold_writes

    @contextmanager
    def hold_writes(volumes, *, budget):
        block = real(volumes, budget=budget)
        hold = block.__enter__()
        try:
            yield Forgetful(hold, said_s)
        finally:
            hold.release()  # and judges nothing

    site.production.hold_writes = hold_writes
    # Inside of the hold, and beside every call that has a deadline of its own.
    site.script.on("array.commit_copies!", lambda: setattr(site.clock, "_elapsed_s", took_s))
    if took_s < 10.0:
        with site.service.session(site.request()) as session:
            assert session.create(budget=site.budget()).hold_s == max(took_s, 0.0)
    else:
        with pytest.raises(HoldTimeout), site.service.session(site.request()) as session:
            session.create(budget=site.budget())
        assert site.copies() == []
    assert site.unrest() == []


@pytest.mark.rule("VSS-44")
def test_what_comes_after_the_release_was_told_is_no_part_of_the_hold():
    """A server that tidies up for a minute after it has released: its own figure counts."""
    site = SmallSite()
    site.script.on("evs1.release", lambda: site.clock.advance(4.0))
    site.script.on("array.commit_copies", lambda: site.clock.advance(3.0))
    with site.service.session(site.request()) as session:
        assert session.create(budget=site.budget()).hold_s == 3.0
