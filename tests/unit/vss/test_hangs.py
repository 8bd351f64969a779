"""A party that hangs, in each of its calls: nobody else is frozen for longer than the window.

The sweep takes every step of a good backup, before and after its effect, once with threads that
really hang and once in virtual time. While the party still hangs, the others are looked at: a
bound that is only checked after the call came back does not pass.
"""

from __future__ import annotations

import threading
import time

import pytest

from frskit.clock import SystemClock
from frskit.errors import FrskitError, NoAnswer, OutcomeUnknown, WriterVeto
from frskit.testing.fakes.parties import SmallWriter
from frskit.testing.fakes.site import SmallSite
from frskit.watchdog import silent_parties

WINDOW_S = 0.15
CLOSING_S = 0.05
SLACK_S = 3.0
"""For a machine that is busy with something else; a party that is not bounded hangs for 30 s."""

KEYS = [f"{number:08d}-1111-4111-8111-111111111111" for number in range(3)]


class TimedWriter(SmallWriter):
    """Knows how long it was frozen at most, and whether it is."""

    _since_s, longest_s, clock = None, 0.0, None

    @property
    def frozen(self):
        """Whether it holds."""
        return self._since_s is not None

    @frozen.setter
    def frozen(self, value):
        if value and self._since_s is None:
            self._since_s = self.clock.monotonic()
        elif not value and self._since_s is not None:
            self.longest_s = max(self.longest_s, self.clock.monotonic() - self._since_s)
            self._since_s = None


def timed(site):
    """The same site with writers that measure themselves."""
    for writer in site.writers:
        writer.__class__, writer.clock = TimedWriter, site.clock
        writer.__dict__.pop("frozen", None)
    return site


def attempt(site, key, limit_s=None):
    """One whole backup, told success; the error, or None."""
    try:
        with site.service.session(site.request(key=key)) as session:
            session.create(budget=site.budget(limit_s))
            components = [each.id for each in session.plan(budget=site.budget()).explicit]
            session.complete(dict.fromkeys(components, True), budget=site.budget())
    except FrskitError as error:
        return error
    return None


def steps():
    """Every step of a good backup, before and, where there is one, after its effect."""
    site = SmallSite()
    assert attempt(site, KEYS[0]) is None
    wanted = [each for each in dict.fromkeys(site.script.hits) if not each.startswith("event.")]
    return [each for each in wanted if not each.startswith("evs1.release")]


STEPS = steps()


def test_the_sweep_reaches_every_kind_of_call():
    """Writers, array and server, on both sides of the window and inside it."""
    names = {each.rstrip("!").split(".")[1] for each in STEPS}
    assert {"identify", "prepare_backup", "freeze", "thaw", "post_snapshot"} <= names
    assert {"backup_complete", "backup_shutdown"} <= names
    assert {"stage_copies", "commit_copies", "hold", "mark", "clear"} <= names


@pytest.mark.rule("VSS-07", "VSS-42", "VSS-44", "VSS-36")
@pytest.mark.parametrize("step", STEPS)
def test_a_thread_that_hangs_holds_nobody_else(step):
    """In real time: bounded while it hangs, typed, undone when it comes back, and the next works."""
    site = timed(
        SmallSite(
            clock=SystemClock(),
            windows_s=(WINDOW_S, WINDOW_S),
            answer_s=WINDOW_S,
            closing_s=CLOSING_S,
        )
    )
    let_go, there = threading.Event(), threading.Event()

    def hang():
        there.set()
        let_go.wait(30)

    site.script.on(step, hang)
    stuck = step.split(".")[0]
    others = [each for each in site.writers if each.name != stuck]
    try:
        error = attempt(site, KEYS[0], limit_s=5 * WINDOW_S)
        assert there.is_set()
        assert not let_go.is_set()
        assert all(not each.frozen for each in others), "released while the party still hangs"
        assert all(each.longest_s < WINDOW_S + SLACK_S for each in others)
        if not step.endswith(("shutdown", "identify")):  # absent, or asked for nothing more
            assert isinstance(error, FrskitError)
            assert error.retryable or isinstance(error, OutcomeUnknown | WriterVeto)
        if stuck != "evs1":
            assert site.production.held == []
    finally:
        let_go.set()
    settled(site)
    told = {"identify", "backup_complete", "backup_shutdown"}  # the others have their copies
    if step.rstrip("!").split(".")[1] not in told:
        assert site.copies() == [], "made, but its backup failed"
    assert attempt(site, KEYS[1]) is None
    assert site.unrest() == []


def settled(site):
    """Wait until what was late is undone."""
    end_s = time.monotonic() + 10
    while time.monotonic() < end_s:
        owed = [each for each in silent_parties() if "writer-" in each or "array" in each]
        if not site.unrest() and not owed:
            return
        time.sleep(0.01)
    assert site.unrest() == []


@pytest.mark.rule("VSS-07", "VSS-42", "VSS-44")
@pytest.mark.parametrize("step", STEPS)
def test_virtual_time_ends_a_hang_at_exactly_the_window(step):
    """Deterministic: a party waits for hours; the others were frozen for their window, no more."""
    site = timed(SmallSite())
    site.script.on(step, lambda: site.clock.sleep(50_000.0))
    stuck = step.split(".")[0]
    attempt(site, KEYS[0])
    for each in site.writers:
        if each.name != stuck:
            assert each.longest_s <= 20.0
    assert site.unrest() == []
    assert attempt(site, KEYS[1]) is None
    assert site.unrest() == []


@pytest.mark.rule("VSS-36")
@pytest.mark.parametrize("event", ["abort", "backup_shutdown"])
def test_a_writer_that_hangs_in_its_abort_delays_nobody(event):
    """Freeze fails, and one writer hangs in Abort: the other one has heard its own already."""
    for clock in (None, SystemClock()):
        site = timed(SmallSite(clock=clock, closing_s=CLOSING_S))
        let_go = threading.Event()

        def hang(clock=clock, let_go=let_go, site=site):
            if clock is None:
                site.clock.sleep(50_000.0)
            else:
                let_go.wait(30)

        site.script.on("writer-2.freeze!", WriterVeto("no"))
        site.script.on(f"writer-1.{event}", hang)
        began = site.clock.monotonic()
        error = attempt(site, KEYS[0])
        assert isinstance(error, WriterVeto)
        assert site.writers[1].longest_s <= site.clock.monotonic() - began
        assert site.writers[1].longest_s < (SLACK_S if clock else 0.001)
        let_go.set()
        settled(site)


@pytest.mark.rule("HAZ-09")
def test_a_commit_that_does_not_come_back_is_of_unknown_outcome_and_looked_for():
    """The array hangs after its effect: not a copy from after the hold; found by key and removed."""
    site = timed(SmallSite(clock=SystemClock(), windows_s=(WINDOW_S, 60.0), closing_s=CLOSING_S))
    let_go = threading.Event()
    site.script.on("array.commit_copies!", lambda: let_go.wait(30))
    error = attempt(site, KEYS[0])
    assert isinstance(error, OutcomeUnknown)
    assert site.copies() == [], "the look by key was made while the commit still hung"
    let_go.set()
    settled(site)
    assert site.copies() == []


def test_a_commit_that_makes_its_copies_late_loses_them_again():
    """The array hangs before its effect and copies after everybody gave up: undone by who was late."""
    site = timed(SmallSite(clock=SystemClock(), windows_s=(WINDOW_S, 60.0), closing_s=CLOSING_S))
    let_go = threading.Event()
    site.script.on("array.commit_copies", lambda: let_go.wait(30))
    assert isinstance(attempt(site, KEYS[0]), OutcomeUnknown)
    let_go.set()
    end_s = time.monotonic() + 10
    while "array.delete_storage" not in site.script.steps[-40:] and time.monotonic() < end_s:
        time.sleep(0.01)
    settled(site)
    assert site.copies() == []


def test_who_owes_an_answer_is_refused_by_name_until_it_is_pardoned():
    """The next backup says who hangs, disturbs nobody for long, and works after `abort_all`."""
    site = timed(SmallSite(clock=SystemClock(), windows_s=(WINDOW_S, 60.0), closing_s=CLOSING_S))
    let_go = threading.Event()
    try:
        site.script.on("writer-2.freeze", lambda: let_go.wait(30))
        assert isinstance(attempt(site, KEYS[0]), WriterVeto | FrskitError)
        error = attempt(site, KEYS[1])
        assert isinstance(error, WriterVeto)
        assert "still owes an answer to Freeze" in str(error)
        assert isinstance(error.__cause__, NoAnswer)
        assert not any(each.frozen for each in site.writers)
        hanging = [each.name for each in threading.enumerate() if each.name.startswith("writer w")]
        assert hanging == ["writer writer-2: Freeze"]
        site.service.abort_all(budget=site.budget())
        assert attempt(site, KEYS[2]) is None
    finally:
        let_go.set()
