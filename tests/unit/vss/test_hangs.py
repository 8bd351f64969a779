"""A party that hangs, in each of its calls: nobody else is frozen for longer than the window.

The sweep takes every step of a good backup, before and after its effect, once with threads that
really hang and once in virtual time. While the party still hangs, the others are looked at: a
bound that is only checked after the call came back does not pass.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest
from attrs import evolve
from support.watched import Watched, methods

from frskit.clock import Budget, CancelToken, SystemClock
from frskit.errors import (
    FreezeTimeout,
    FrskitError,
    HoldTimeout,
    NoAnswer,
    OutcomeUnknown,
    ServiceError,
    WriterVeto,
)
from frskit.model.components import BackupType
from frskit.model.shadows import RestoreRequest
from frskit.protocols import DiskArray, HardwareProvider, Server, Writer
from frskit.testing.fakes.parties import SmallWriter
from frskit.testing.fakes.site import SmallSite
from frskit.vss.requestor.backup_components import BackupComponents
from frskit.watchdog import silent_parties

WINDOWS_S = (0.2, 1.0, 5.0)
"""The first in which a busy machine gets as far as the step is taken."""
CLOSING_S = 0.5
SLACK_S = 5.0
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


class Stuck:
    """A site in real time that was backed up with one party hanging at a step, and still hangs.

    Attributes:
        site, error: The site, and how the backup ended.
        window_s: Freeze window of the writers, and the longest wait for an answer.
        let_go: Lets the party come back.
    """

    def __init__(self, step, change=lambda site: None):
        for self.window_s in WINDOWS_S:
            self.let_go, self.there = threading.Event(), threading.Event()
            self.site = timed(
                SmallSite(
                    clock=SystemClock(),
                    windows_s=(self.window_s, self.window_s),
                    answer_s=self.window_s,
                    closing_s=CLOSING_S,
                )
            )
            change(self.site)
            self.site.script.on(step, self._hang)
            self.error = attempt(self.site, KEYS[0], limit_s=5 * self.window_s)
            if self.there.is_set():
                return
        raise AssertionError(f"{step} was not reached: {self.error}")

    def _hang(self):
        self.there.set()
        self.let_go.wait(30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.let_go.set()

    def come_back(self):
        """The party answers at last; then parties get the time that a busy machine needs."""
        assert not self.let_go.is_set()
        self.let_go.set()
        settled(self.site)
        engine = self.site.service.engine
        engine.roster.answer_s = engine.providers.answer_s = 60.0
        for writer in self.site.writers:
            writer.metadata = evolve(writer.metadata, freeze_timeout_s=60.0)


@pytest.mark.rule("VSS-07", "VSS-42", "VSS-44", "VSS-36")
@pytest.mark.parametrize("step", STEPS)
def test_a_thread_that_hangs_holds_nobody_else(step):
    """In real time: bounded while it hangs, typed, undone when it comes back, and the next works."""
    with Stuck(step) as stuck:
        site, error = stuck.site, stuck.error
        party = step.split(".")[0]
        others = [each for each in site.writers if each.name != party]
        assert all(not each.frozen for each in others), "released while the party still hangs"
        assert all(each.longest_s < stuck.window_s + SLACK_S for each in others)
        if not step.endswith(("shutdown", "identify")):  # absent, or asked for nothing more
            assert isinstance(error, FrskitError)
            assert error.retryable or isinstance(error, OutcomeUnknown | WriterVeto)
        if party != "evs1":
            assert site.production.held == []
        stuck.come_back()
    told = {"identify", "backup_complete", "backup_shutdown"}  # the others have their copies
    if step.rstrip("!").split(".")[1] not in told:
        until(lambda: site.copies() == [])  # what was made, was made for a backup that failed
    assert attempt(site, KEYS[1]) is None
    assert site.unrest() == []


def until(condition):
    """Wait for what a late thread does."""
    end_s = time.monotonic() + 10
    while not condition() and time.monotonic() < end_s:
        time.sleep(0.01)
    assert condition()


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
    with Stuck("array.commit_copies!") as stuck:
        assert isinstance(stuck.error, OutcomeUnknown)
        assert stuck.site.copies() == [], "the look by key was made while the commit still hung"
        stuck.come_back()
    assert stuck.site.copies() == []


@pytest.mark.rule("HAZ-09")
def test_a_commit_that_makes_its_copies_late_loses_them_again():
    """The array hangs before its effect and copies after everybody gave up: undone by who was late."""

    def deaf(site):
        def commit(staged, *, budget):
            site.script.hit("array.commit_copies")
            return tuple(site.array._copy(staged.key, each) for each in staged.requests)

        site.array.commit_copies = commit  # it has not heard that the set was discarded meanwhile

    with Stuck("array.commit_copies", deaf) as stuck:
        assert isinstance(stuck.error, OutcomeUnknown)
        assert stuck.site.array._made == 0
        stuck.come_back()
    until(lambda: stuck.site.array._made == 2)
    until(lambda: stuck.site.copies() == [])


@pytest.mark.rule("HAZ-09")
def test_no_other_set_takes_the_id_of_one_that_a_late_answer_would_undo():
    """A retry under the same key would be deleted by the answer of the first; refused instead."""
    with Stuck("array.commit_copies!") as stuck:
        stuck.site.service.abort_all(budget=stuck.site.budget())
        error = attempt(stuck.site, KEYS[0])
        assert isinstance(error, ServiceError)
        assert "exists already" in str(error)
        stuck.come_back()
        assert attempt(stuck.site, KEYS[1]) is None
        until(lambda: len(stuck.site.copies()) == 2)


def test_who_owes_an_answer_is_refused_by_name_until_it_is_pardoned():
    """The next backup says who hangs, disturbs nobody for long, and works after `abort_all`."""
    with Stuck("writer-2.freeze") as stuck:
        site = stuck.site
        error = attempt(site, KEYS[1])
        assert isinstance(error, WriterVeto)
        assert "still owes an answer to Freeze" in str(error)
        assert isinstance(error.__cause__, NoAnswer)
        assert not any(each.frozen for each in site.writers)
        hanging = [each.name for each in threading.enumerate() if each.name.startswith("writer w")]
        assert hanging == ["writer writer-2: Freeze"]
        site.service.abort_all(budget=site.budget())
        site.service.engine.roster.answer_s = 60.0
        for writer in site.writers:
            writer.metadata = evolve(writer.metadata, freeze_timeout_s=60.0)
        assert attempt(site, KEYS[2]) is None


ECHO = """
import sys
for line in sys.stdin:
    print(line, end="", flush=True)
"""


@pytest.mark.rule("VSS-07", "VSS-42")
@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes are stopped by POSIX signals")
def test_a_process_that_a_writer_talks_to_and_that_is_stopped_holds_nobody_else():
    """SIGSTOP: the writer waits for a line that does not come; once it goes on, all is well."""
    with subprocess.Popen(
        [sys.executable, "-c", ECHO], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as other:

        def talk():
            there.set()
            other.stdin.write(b"freeze\n")
            assert other.stdout.readline() == b"freeze\n"

        talk_once, there = talk, threading.Event()
        talk_once()  # it is there, and answers
        other.send_signal(signal.SIGSTOP)
        try:
            for window_s in WINDOWS_S:
                there.clear()
                site = timed(
                    SmallSite(
                        clock=SystemClock(),
                        windows_s=(window_s, window_s),
                        answer_s=10 * window_s,
                        closing_s=CLOSING_S,
                    )
                )
                site.script.on("writer-2.freeze!", talk)
                error = attempt(site, KEYS[0])
                if there.is_set():
                    break
            assert isinstance(error, FreezeTimeout)
            assert not site.writers[0].frozen
            assert site.writers[0].longest_s < window_s + SLACK_S
            assert "writer writer-2: Freeze" in silent_parties()
            refused = attempt(site, KEYS[1])
            assert "still owes an answer to Freeze" in str(refused)
        finally:
            other.send_signal(signal.SIGCONT)
        settled(site)
        for writer in site.writers:
            writer.metadata = evolve(writer.metadata, freeze_timeout_s=60.0)
        site.service.engine.roster.answer_s = 60.0
        assert attempt(site, KEYS[2]) is None
        assert site.unrest() == []
        other.stdin.close()


@pytest.mark.rule("VSS-44")
def test_a_commit_that_ignores_its_budget_ends_with_the_callers_time():
    """It sleeps on and hears nothing: the caller's two seconds end it, not its own twelve."""
    site = timed(SmallSite())
    site.script.on("array.commit_copies", lambda: site.clock.sleep(12.0))
    error = attempt(site, KEYS[0], limit_s=2.0)
    assert isinstance(error, FrskitError)
    assert max(each.longest_s for each in site.writers) <= 2.0
    assert site.copies() == []
    assert attempt(site, KEYS[1]) is None


def test_every_event_but_the_closing_ones_has_a_budget_that_ends(monkeypatch):
    """A writer can know how long it may take; the caller's deadline and token are in it."""
    seen = {}
    site = SmallSite()
    token = CancelToken()
    for name in ("identify", "prepare_backup", "prepare_snapshot", "freeze", "thaw"):
        listen(monkeypatch, name, seen)
    for name in ("post_snapshot", "backup_complete", "pre_restore", "post_restore"):
        listen(monkeypatch, name, seen)
    caller = Budget.of(site.clock, 30.0, token)
    with site.service.session(site.request()) as session:
        created = session.create(budget=caller)
        components = [each.id for each in session.plan(budget=site.budget()).explicit]
        session.complete(dict.fromkeys(components, True), budget=site.budget())
    wanted = RestoreRequest(documents=created.documents, components=tuple(components))
    with site.service.restore_session(wanted):
        pass
    assert len(seen) == 9
    assert all(each.deadline_s is not None for each in seen.values())
    assert seen["freeze"].deadline_s == seen["thaw"].deadline_s == 20.0
    for name in ("prepare_snapshot", "post_snapshot"):
        assert (seen[name].deadline_s, seen[name].token) == (30.0, token)


def listen(monkeypatch, name, seen):
    """Note the budget of an event."""
    real = getattr(SmallWriter, name)

    def call(self, *words, budget):
        seen.setdefault(name, budget)
        return real(self, *words, budget=budget)

    monkeypatch.setattr(SmallWriter, name, call)


# --- each method of each party, as the seams have them -------------------------------------------

PARTIES = {"provider": HardwareProvider, "array": DiskArray, "server": Server, "writer": Writer}

NOT_CALLED = {
    "server": {"files", "attach"},  # the requestor's: in the sweep of the requestor's parties
}
"""What the shadow copy service has no need of."""


class SweptSite(SmallSite):
    """A site on which one party can hang in any of its calls.

    Args:
        who: The party.
        at, after, act: As of `Watched`.
    """

    def __init__(self, who, at=None, *, after=False, act=None):
        self._who = who
        self._how = {"at": at, "after": after, "act": act}
        super().__init__()
        timed(self)

    def _watched(self, party):
        self.watch = Watched(party, **self._how)
        return self.watch

    def _server(self, name):
        server = super()._server(name)
        return self._watched(server) if (self._who, name) == ("server", "evs1") else server

    def coordinator(self, *, strict=False):
        """With the party in its place."""
        if self._who == "array":
            self.provider._array = self._watched(self.array)
        if self._who == "provider":
            self.provider = self._watched(self.provider)
        if self._who == "writer":
            watched = self._watched(self.writers[0])
            service = super().coordinator(strict=strict)
            service.unregister(self.writers[0])
            service.register_writer(watched)
            return service
        return super().coordinator(strict=strict)


def whole_life(site):
    """A backup that is undone, one that travels, one that stays; break, restore, delete, unload.

    Whatever fails, the next step is tried: the error of each.
    """
    errors = []

    def step(action):
        try:
            return action()
        except FrskitError as error:
            errors.append(error)

    def backup(key, **wish):
        with site.service.session(site.request(key=key, **wish)) as session:
            made = session.create(budget=site.budget())
            chosen = [each.id for each in session.plan(budget=site.budget()).explicit]
            session.complete(dict.fromkeys(chosen, True), budget=site.budget())
        return made

    site.script.on("writer-2.post_snapshot", ValueError("no"))
    step(lambda: backup(KEYS[0]))
    site.script.faults.clear()
    made = step(lambda: backup(KEYS[1], transportable=False))
    if made is not None:
        wanted = RestoreRequest(
            documents=made.documents, components=(site.writers[0].metadata.components[0].id,)
        )
        step(lambda: site.service.restore_session(wanted).__enter__().__exit__(None, None, None))
    step(lambda: site.service.delete_set(KEYS[1], budget=site.budget()))
    made = step(lambda: backup(KEYS[2]))
    if made is not None:
        step(lambda: site.service.import_set(made.documents, budget=site.budget()))
        step(lambda: site.service.break_set(made.id, budget=site.budget()))
    step(lambda: site.service.abort_all(budget=site.budget()))
    step(lambda: site.service.unregister(site.service.engine.providers.all()[0]))
    return errors


def lives():
    """Every use of every party in that life."""
    found = {}
    for who in PARTIES:
        site = SweptSite(who)
        site.watch.on = True
        (wanted,) = whole_life(site)
        assert isinstance(wanted, WriterVeto)
        found[who] = list(site.watch.uses)
    return found


LIVES = lives()


@pytest.mark.parametrize("who", PARTIES)
def test_the_sweep_has_each_method_of_a_party(who):
    """Derived from the seam: whoever adds a method to it has it swept, or says why not."""
    assert set(methods(PARTIES[who])) - NOT_CALLED.get(who, set()) <= set(LIVES[who])


@pytest.mark.rule("VSS-07", "VSS-42", "VSS-44", "VSS-36")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("who", "number"),
    [
        pytest.param(who, number, id=f"{who}-{number}-{name}")
        for who, uses in LIVES.items()
        for number, name in enumerate(uses)
    ],
)
def test_virtual_time_ends_a_hang_in_each_method_of_each_party(who, number, after):
    """A day in any call, before or after its effect: nobody else is frozen for longer than 20 s."""
    site = SweptSite(who, number, after=after, act=lambda name: site.clock.sleep(86_400.0))
    site.watch.on = True
    errors = whole_life(site)
    site.watch.on = False
    assert all(isinstance(each, FrskitError) for each in errors)
    for each in site.writers[who == "writer" :]:
        assert each.longest_s <= 20.0
    assert site.unrest() == []
    if site.provider.info.id not in {each.info.id for each in site.service.engine.providers.all()}:
        site.service.register_provider(site.provider)
    site.service.abort_all(budget=site.budget())
    assert attempt(site, "00000009-1111-4111-8111-111111111111") is None
    assert site.unrest() == []


class Silent:
    """A provider or server before a good one that hangs when it is asked for one property."""

    def __init__(self, party, name, clock, seconds=86_400.0):
        self.__dict__.update(_party=party, _name=name, _clock=clock, _seconds=seconds)

    def __getattr__(self, name):
        if name == self._name:
            self._clock.sleep(self._seconds)
        return getattr(self._party, name)


def test_a_provider_that_does_not_say_who_it_is_is_not_registered():
    """It is asked once, when it is registered, and then never again."""
    site = SmallSite()
    with pytest.raises(NoAnswer, match="did not answer info"):
        site.service.register_provider(Silent(site.provider, "info", site.clock))
    assert attempt(site, KEYS[0]) is None


@pytest.mark.parametrize("name", ["relies_on_hold", "holds_writes"])
def test_what_a_party_relies_on_is_not_waited_for_without_end(monkeypatch, name):
    """Asked at plan time, before anybody is frozen; the backup is refused, and the next one works."""
    site = timed(SmallSite(clock=SystemClock(), closing_s=0.2))
    let_go = threading.Event()
    says = {"relies_on_hold": True, "holds_writes": True}

    def ask(self, what):
        if what == name:
            let_go.wait(30)
        return says[what]

    for kind, what in (
        (type(site.provider), "relies_on_hold"),
        (type(site.production), "holds_writes"),
    ):
        asked = property(lambda self, what=what: ask(self, what))
        monkeypatch.setattr(kind, what, asked, raising=False)
    began = time.monotonic()
    error = attempt(site, KEYS[0])
    assert time.monotonic() - began < SLACK_S
    assert isinstance(error, NoAnswer)
    assert name in str(error)
    assert max(each.longest_s for each in site.writers) == 0.0
    let_go.set()
    until(lambda: not [each for each in silent_parties() if name in each])
    assert attempt(site, KEYS[1]) is None


@pytest.mark.parametrize("name", ["relies_on_hold", "holds_writes"])
def test_a_broken_property_is_no_answer(monkeypatch, name):
    """An attribute that is missing inside of it does not mean that the party has no such property."""
    site = SmallSite()
    monkeypatch.setattr(type(site.provider), "relies_on_hold", property(lambda self: True))
    party = site.provider if name == "relies_on_hold" else site.production
    broken = property(lambda self: self.no_such_thing)
    monkeypatch.setattr(type(party), name, broken, raising=False)
    error = attempt(site, KEYS[0])
    assert isinstance(error, FrskitError)
    assert "no_such_thing" in str(error)


def test_a_hold_of_a_set_without_writers_ends_too():
    """No window ends it where nobody is frozen."""
    site = SmallSite()
    site.script.on("evs1.hold", lambda: site.clock.sleep(86_400.0))
    engine = site.service.engine
    for writer in list(engine.roster.writers()):
        engine.roster.unregister(writer)
    components = BackupComponents(site.service)
    components.initialize_for_backup()
    components.set_backup_state(BackupType.COPY, select_components=False)
    components.gather_writer_metadata(budget=site.budget())
    components.start_snapshot_set(KEYS[0])
    components.add_to_snapshot_set("L:\\")
    components.prepare_for_backup()
    with pytest.raises(HoldTimeout, match="did not say in time that it holds"):
        components.do_snapshot_set(budget=site.budget())
    assert site.unrest() == []
