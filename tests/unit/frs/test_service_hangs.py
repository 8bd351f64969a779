"""A shadow copy service of somebody else that hangs, raises, lies or answers too late.

It has no watchdog before its own writers, so the requestor puts one before it: every method of the
service and of its sessions is taken from the protocols, and hangs with real threads, before its
effect and after it.
"""

from __future__ import annotations

import threading
import time

import pytest
from attrs import evolve
from support.kv_party import KvChecker
from support.late_service import LateRestore, LateService, LateSession, LateWorld

from frskit import Budget, Completion, Policy, RecoveryMethod, RecoveryMode, Verdict
from frskit.clock import SystemClock
from frskit.errors import FrskitError, IntegrityError, NoAnswer, ServiceError
from frskit.events import CallableSink
from frskit.frs import Patience
from frskit.frs.guards import guard_service
from frskit.frs.recovery import execution
from frskit.protocols import RestoreSession, ShadowCopyService, ShadowSession
from frskit.watchdog import silent_parties

WAIT_S = 1.0
SLACK_S = 20.0
"""For a busy machine; what hangs does so for 60 s."""
CLASSES = {"service": LateService, "session": LateSession, "restore": LateRestore}
SEAMS = {"service": ShadowCopyService, "session": ShadowSession, "restore": RestoreSession}
# Never called by a copy or a recovery.
UNUSED = {"service.writer_states", "service.abort_all"}
CONTEXT = ("__enter__", "__exit__")


def steps():
    """Every method and property of the three seams that the requestor uses."""
    found = {
        f"{kind}.{name}"
        for kind, seam in SEAMS.items()
        for name in vars(seam)
        if not name.startswith("_") or name in CONTEXT
    }
    return sorted(found - UNUSED)


class Meddled:
    """One method of a service's class does something at its next call."""

    def __init__(self, step, act, monkeypatch, *, after=False):
        kind, self.name = step.split(".")
        self.reached = threading.Event()
        self._act, self._after = act, after
        real = vars(CLASSES[kind])[self.name]
        if isinstance(real, property):
            monkeypatch.setattr(CLASSES[kind], self.name, property(self._meddle(real.fget)))
        else:
            monkeypatch.setattr(CLASSES[kind], self.name, self._meddle(real))

    def _meddle(self, real):
        def call(*words, **more):
            mine = not self.reached.is_set()
            self.reached.set()
            if mine and not self._after:
                self._act()
            answer = real(*words, **more)
            if mine and self._after:
                self._act()
            return answer

        return call


@pytest.fixture
def late(tmp_path):
    """A site whose requestor waits for a second."""
    patience = Patience(
        answer_s=WAIT_S, effect_s=WAIT_S, replay_s=WAIT_S, cleanup_s=WAIT_S, closing_s=0.2
    )
    with LateWorld(tmp_path, policy=Policy(patience=patience, verdict_deadline_s=5.0)) as world:
        world.store.fill(20, "before")
        yield world


@pytest.fixture
def hanging():
    """An event for which hanging calls wait; set at the end."""
    event = threading.Event()
    yield event
    event.set()
    until(lambda: not owed())


def owed():
    """What the shadow copy services owe."""
    return [each for each in silent_parties() if "the shadow copy service of" in each]


def until(condition, seconds=20):
    """Wait for what a late thread does."""
    end_s = time.monotonic() + seconds
    while not condition() and time.monotonic() < end_s:
        time.sleep(0.01)
    assert condition()


def attempt(world, step):
    """Whatever reaches the step; its error."""
    try:
        if "restore" in step:
            copy = world.frs.copies()[0]
            plan = world.frs.plan_recovery(
                copy.id, mode=RecoveryMode.POINT_IN_TIME, method=RecoveryMethod.COPY_BACK
            )
            world.frs.recover(plan)
        else:
            world.copy()
    except FrskitError as error:
        return error
    return None


def settled(world):
    """Everything is at rest, and the next copy works; what no record speaks of is gone."""
    world.frs.resume()
    assert world.store.held_until is None
    copy = world.copy()
    assert copy.verdict is Verdict.VERIFIED
    known = {m.storage for each in world.frs.copies() for m in each.members}
    assert world.handles() <= known


@pytest.mark.rule("VSS-07", "FRS-22")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", steps())
def test_a_service_that_hangs_is_bounded_and_named(late, hanging, monkeypatch, step, after):
    """In time, typed, nobody frozen; it is named while it hangs, and what it made too late goes."""
    if "restore" in step:
        late.copy()
        late.store.fill(5, "after")
    if step == "service.delete_set":
        late.service.faults["made"] = fail
    meddled = Meddled(step, lambda: hanging.wait(60), monkeypatch, after=after)
    began = time.monotonic()
    error = attempt(late, step)
    assert meddled.reached.is_set()
    assert time.monotonic() - began < SLACK_S
    assert error is None or isinstance(error, FrskitError)
    assert late.store.held_until is None
    assert owed()
    second = attempt(late, step)
    assert second is None or isinstance(second, FrskitError)
    hanging.set()
    until(lambda: not owed())
    settled(late)


def fail():
    """As a tool does at the very end of its work."""
    raise ServiceError("the tool failed at its very end")


@pytest.mark.rule("FRS-22")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", steps())
def test_what_a_service_raises_is_typed(late, monkeypatch, step, after):
    """Foreign exceptions are its typed error, with their text; nobody stays frozen."""

    def broken():
        raise KeyError("vendor bug")

    if "restore" in step:
        late.copy()
        late.store.fill(5, "after")
    if step == "service.delete_set":
        late.service.faults["made"] = fail
    meddled = Meddled(step, broken, monkeypatch, after=after)
    error = attempt(late, step)
    assert meddled.reached.is_set()
    assert error is None or isinstance(error, FrskitError)
    assert late.store.held_until is None
    settled(late)


class Swallowing:
    """A session whose context swallows what its block raises."""

    def __init__(self, session):
        self._session = session

    def __getattr__(self, name):
        return getattr(self._session, name)

    def __enter__(self):
        self._session.__enter__()
        return self

    def __exit__(self, *words):
        self._session.__exit__(*words)
        return True


@pytest.mark.rule("FRS-24")
def test_a_session_cannot_swallow_why_the_copy_failed(late, monkeypatch):
    """What the block raises goes on, whatever the service's context says to it."""
    real = LateService.session
    monkeypatch.setattr(LateService, "session", lambda self, wish: Swallowing(real(self, wish)))

    def bad(*words, **more):
        raise IntegrityError("every page is bad")

    monkeypatch.setattr(KvChecker, "check", bad)
    with pytest.raises(IntegrityError, match="every page is bad"):
        late.copy()


@pytest.mark.parametrize("bounded", [False, True], ids=["guarded", "bounded"])
def test_a_restore_session_cannot_swallow_why_the_recovery_failed(tmp_path, monkeypatch, bounded):
    """Files that were not put back are not replayed on, whether the service is called directly or not."""
    real = LateService.capabilities.fget
    can = property(lambda self: evolve(real(self), bounded=bounded))
    monkeypatch.setattr(LateService, "capabilities", can)
    with LateWorld(tmp_path) as late:
        late.store.fill(20, "before")
        copy = late.copy()
        late.store.fill(5, "after")
        plain = LateService.restore_session
        swallow = lambda self, wish: Swallowing(plain(self, wish))  # noqa: E731
        monkeypatch.setattr(LateService, "restore_session", swallow)
        plan = late.frs.plan_recovery(
            copy.id, mode=RecoveryMode.POINT_IN_TIME, method=RecoveryMethod.COPY_BACK
        )

        def unreadable(*words, **more):
            raise OSError("the copy cannot be read")

        monkeypatch.setattr(execution, "run_action", unreadable)
        with pytest.raises(FrskitError, match="the copy cannot be read"):
            late.frs.recover(plan)
        assert len(late.store.kv) == 25


def test_a_copy_whose_session_cannot_be_left_is_a_copy(late, monkeypatch):
    """The writers have their verdict; that the tool did not end well is said, and that is all."""
    told = []
    late.frs.subscribe(CallableSink(told.append))
    Meddled("session.__exit__", fail, monkeypatch)
    copy = late.copy()
    assert (copy.verdict, copy.completion) == (Verdict.VERIFIED, Completion.DONE)
    assert "failed at its very end" in " ".join(getattr(each, "text", "") for each in told)


@pytest.mark.rule("HAZ-20")
def test_an_outcome_that_was_not_answered_is_not_known(late, hanging, monkeypatch):
    """The writers may have heard it: neither done nor failed."""
    Meddled("session.complete", lambda: hanging.wait(60), monkeypatch)
    copy = late.copy()
    assert copy.completion is Completion.UNKNOWN
    assert copy.verdict is Verdict.VERIFIED


def test_what_may_still_be_made_is_named(late, hanging, monkeypatch):
    """A creation that hangs may end hours later; its record says so, and the set goes then."""
    Meddled("session.create", lambda: hanging.wait(60), monkeypatch, after=True)
    error = attempt(late, "session.create")
    assert isinstance(error, NoAnswer)
    assert "did not answer create in time" in " ".join(error.copy.leftovers)
    hanging.set()
    until(lambda: not late.sets())
    assert late.handles() == set()


def test_a_set_that_is_made_too_late_is_deleted(late, hanging):
    """The tool hangs with its writers frozen: they are released, and what it makes then goes."""
    late.service.faults["frozen"] = lambda: hanging.wait(60)
    error = attempt(late, "session.create")
    assert isinstance(error, NoAnswer)
    assert late.store.held_until is None
    assert late.sets() == set()
    made = []
    late.service.faults["made"] = lambda: made.extend(late.sets())
    hanging.set()
    until(lambda: not owed())
    assert len(made) == 1
    until(lambda: not late.sets())
    assert late.handles() == set()


@pytest.mark.parametrize("obeys", [False, True], ids=["own-id", "key"])
def test_a_set_of_a_creation_that_failed_at_its_end_is_deleted(tmp_path, obeys):
    """Whoever names it: a service that does not bound itself does not clean up by itself, either."""
    with LateWorld(tmp_path, obeys=obeys) as world:
        world.service.faults["made"] = fail
        with pytest.raises(ServiceError, match="at its very end"):
            world.copy()
        assert world.sets() == set()
        assert world.copy().verdict is Verdict.VERIFIED


class Stuck:
    """A session that notes what it hears; one of its calls hangs."""

    def __init__(self, step, hanging):
        self._step, self._hanging, self.heard = step, hanging, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.heard.append("left")

    def plan(self, *, budget):
        return self._called("plan")

    def create(self, *, budget):
        return self._called("create")

    def abandon(self):
        self.heard.append("abandoned")

    def _called(self, step):
        if step == self._step:
            self._hanging.wait(60)
        self.heard.append(step)


class StuckService:
    """A service with such a session."""

    def __init__(self, session):
        self._session = session

    def session(self, request):
        return self._session


@pytest.mark.parametrize("step", ["plan", "create"])
def test_a_session_is_abandoned_at_the_deadline_and_again_after_a_late_answer(hanging, step):
    """Releasing the writers does not wait for the block's end, nor is the late answer believed."""
    stuck, clock = Stuck(step, hanging), SystemClock()
    patience = Patience(answer_s=WAIT_S, effect_s=0.2, closing_s=0.2)
    service = guard_service(StuckService(stuck), clock, patience, "prod")
    with service.session(None) as session:
        with pytest.raises(NoAnswer):
            getattr(session, step)(budget=Budget.of(clock))
        assert stuck.heard == ["abandoned"]
        hanging.set()
        until(lambda: stuck.heard == ["abandoned", step, "abandoned"])
    assert stuck.heard[-1] == "left"


def test_a_session_that_was_entered_too_late_is_left(late, hanging, monkeypatch):
    """Nobody else would: the tool would run for ever."""
    Meddled("session.__enter__", lambda: hanging.wait(60), monkeypatch)
    assert isinstance(attempt(late, "session.__enter__"), NoAnswer)
    hanging.set()
    until(lambda: not owed())
    until(lambda: late.service.open == [])


def test_a_service_that_bounds_itself_is_called_directly(late):
    """Its own watchdogs know better whom to release."""
    watched = late.site.parts.productions["prod"].service
    bare = LateService(late.machine, late.shelf)
    assert type(watched) is not LateService

    class Bounded(LateService):
        @property
        def capabilities(self):
            return evolve(super().capabilities, bounded=True)

    bounded = Bounded(late.machine, late.shelf)
    production = evolve(late.site.parts.productions["prod"], service=bounded)
    assert production.guarded(late.site.parts.clock, Patience()).service is bounded
    production = evolve(production, service=bare)
    assert production.guarded(late.site.parts.clock, Patience()).service is not bare


def test_aborting_everything_asks_a_service_again(late, hanging, monkeypatch):
    """Whoever says "go on" has looked."""
    Meddled("session.create", lambda: hanging.wait(60), monkeypatch)
    assert isinstance(attempt(late, "session.create"), NoAnswer)
    with pytest.raises(NoAnswer, match="still owes an answer to create"):
        late.copy()
    late.frs.resume()
    assert late.copy().verdict is Verdict.VERIFIED
