"""Parties of the requestor that hang or raise what nobody knows: bounded, typed, and gone on from.

The sweep takes every call that the requestor itself makes: of the checker, the application, the
copy store and both servers. What happens between Freeze and Thaw is in `test_hangs` of the shadow
copy service.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from support.faults import Fault
from support.requestor_site import RequestorSite

import frskit
from frskit import BackupType, CancelToken, CopyLife, RecoveryMode
from frskit.clock import Budget, SystemClock
from frskit.errors import (
    ApplicationError,
    ArrayError,
    Cancelled,
    FrskitError,
    HostError,
    IntegrityError,
    NoAnswer,
    RecoveryFailed,
    TimedOut,
)
from frskit.frs import Patience
from frskit.frs.guards import WAITS, Wait, guard
from frskit.protocols import (
    Application,
    CopyStore,
    IntegrityChecker,
    RestoreSession,
    Server,
    ShadowCopyService,
    ShadowSession,
)
from frskit.watchdog import silent_parties

WAITS_S = (0.2, 1.0, 5.0)
"""The first in which a busy machine gets as far as the step is taken."""
SLACK_S = 20.0
"""For a busy machine; a party that is not bounded hangs for 60 s."""


def short(wait_s):
    """Patience for tests."""
    return Patience(
        answer_s=wait_s, effect_s=wait_s, replay_s=wait_s, cleanup_s=wait_s, closing_s=0.2
    )


def outside_steps(tmp_path):
    """Every step that the requestor takes itself, in a good copy."""
    site = RequestorSite(tmp_path)
    assert site.attempt() is None
    site.close()
    parties = ("checker", "application", "store", "frs1", "evs1")
    inside = ("hold", "release", "mark", "clear")
    found = [each for each in dict.fromkeys(site.script.steps) if not each.endswith(inside)]
    return [each for each in found if each.split(".")[0] in parties]


STEPS = (
    "application.components",
    "checker.available",
    "evs1.resolve",
    "evs1.volumes",
    "frs1.rescan",
    "store.look",
    "frs1.attach",
    "frs1.volumes",
    "checker.check",
    "frs1.files",
    "frs1.detach",
    "store.unpresent",
)
KINDS = {
    "checker": IntegrityError,
    "application": ApplicationError,
    "store": ArrayError,
    "frs1": HostError,
    "evs1": HostError,
}


def test_the_sweep_has_every_step(tmp_path):
    """Nobody adds a call that is not bounded."""
    assert set(outside_steps(tmp_path)) == set(STEPS)


def test_the_table_has_every_method():
    """Each method of the four seams has its bound, with the reason; nothing else has."""
    seams = {
        "checker": IntegrityChecker,
        "application": Application,
        "store": CopyStore,
        "server": Server,
        "service": ShadowCopyService,
        "session": ShadowSession,
        "restore": RestoreSession,
    }
    # Bounded by the shadow copy service, with the window.
    elsewhere = {"hold_writes"}
    for kind, seam in seams.items():
        methods = {
            name
            for name, value in vars(seam).items()
            if (not name.startswith("_") or name in ("__enter__", "__exit__")) and callable(value)
        }
        assert methods - elsewhere <= set(WAITS[kind]), kind
        assert all(call.why for call in WAITS[kind].values())


def test_the_page_has_the_table():
    """What people read is what the code does."""
    page = (Path(__file__).parents[3] / "docs" / "flow.md").read_text(encoding="utf-8")
    for kind, calls in WAITS.items():
        for name, call in calls.items():
            (row,) = [each for each in page.splitlines() if each.startswith(f"| {kind} | `{name}`")]
            assert f"| {'yes' if call.always else 'no'} | {call.why} |" in row
            assert (call.wait is Wait.BUDGET) or f"`{call.wait.name.lower()}_s`" in row


def test_a_check_may_take_hours_and_nothing_else_is_unbounded():
    """A checker reads a terabyte by right; the deadline of the verdict is its bound."""
    bounded = [(kind, name) for kind, calls in WAITS.items() for name in calls]
    free = [each for each in bounded if WAITS[each[0]][each[1]].wait is Wait.BUDGET]
    assert free == [("checker", "check")]


@pytest.mark.rule("FRS-22")
@pytest.mark.parametrize("step", STEPS)
def test_a_foreign_exception_of_any_party_is_typed_and_on_record(tmp_path, step):
    """Its kind, type and text are in the error, with the record; nothing is frozen or left."""
    site = RequestorSite(tmp_path)
    site.script.on(step, KeyError("vendor bug"))
    error = site.attempt()
    if error is not None:  # the volumes are asked for a warning, too
        assert isinstance(error, KINDS[step.split(".")[0]] | FrskitError)
        assert "KeyError: 'vendor bug'" in f"{error} {error.leftovers}"
        assert error.hint
        if error.copy is not None:
            assert error.stage
            assert site.frs.copy(error.copy.id).failure
    assert site.unrest() == []
    assert site.attempt() is None
    site.close()


def test_a_foreign_exception_of_the_service_is_typed_too(tmp_path, monkeypatch):
    """Whatever reaches the caller carries the record of the copy."""
    site = RequestorSite(tmp_path)
    with monkeypatch.context() as patch:
        Fault(type(site.service), "session", KeyError("vendor bug"), patch=patch)
        error = site.attempt()
    assert isinstance(error, FrskitError)
    assert "KeyError: 'vendor bug'" in str(error)
    assert error.copy.failure
    assert site.attempt() is None
    site.close()


def test_a_server_that_hangs_in_a_mount_is_still_asked_to_take_it_back(tmp_path):
    """What only ends something is asked although an answer is owed; the copies are gone, too."""
    with Hanging(tmp_path, "frs1.attach") as hanging:
        assert "was not asked for detach" not in " ".join(hanging.error.leftovers)
        assert "detach" in hanging.site.script.of("frs1")


def test_a_checker_that_cannot_say_whether_it_is_there_leaves_a_record(tmp_path):
    """The record comes first: what was asked for and why it failed can be read afterwards."""
    site = RequestorSite(tmp_path)
    site.script.on("checker.available", OSError("no route"))
    error = site.attempt()
    assert isinstance(error, IntegrityError)
    assert "OSError: no route" in str(error)
    (copy,) = site.frs.copies()
    assert copy.life is CopyLife.FAILED
    assert "no route" in copy.failure
    assert site.copies() == []
    site.close()


@pytest.mark.parametrize("step", STEPS)
def test_an_interrupt_in_any_party_stays_one(tmp_path, step):
    """Ctrl-C is not a party's error; what was begun is taken back all the same."""
    site = RequestorSite(tmp_path)
    site.script.on(step, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        site.attempt()
    assert site.unrest() == []
    assert site.attempt() is None
    site.close()


class Hanging:
    """A site in real time that tried a copy with one party hanging at a step, and still hangs."""

    def __init__(self, root, step, verdict=False):
        for self.wait_s in WAITS_S:
            self.let_go, self.there = threading.Event(), threading.Event()
            self.site = RequestorSite(
                root,
                clock=SystemClock(),
                answer_s=self.wait_s,
                closing_s=0.2,
                patience=short(self.wait_s),
                verdict_s=5 * self.wait_s if verdict else None,
            )
            self.site.script.on(step, self._hang)
            began = time.monotonic()
            self.error = self.site.attempt(
                None if verdict else Budget.of(self.site.clock, 5 * self.wait_s)
            )
            self.took_s = time.monotonic() - began
            if self.there.is_set():
                return
            self.site.close()
        raise AssertionError(f"{step} was not reached: {self.error}")

    def _hang(self):
        self.there.set()
        self.let_go.wait(60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.let_go.set()
        self.site.close()


def until(condition):
    """Wait for what a late thread does."""
    end_s = time.monotonic() + 10
    while not condition() and time.monotonic() < end_s:
        time.sleep(0.01)
    assert condition()


@pytest.mark.rule("VSS-07", "FRS-22")
@pytest.mark.parametrize("step", STEPS)
def test_a_party_that_hangs_is_left_and_named(tmp_path, step):
    """While it hangs: typed, nobody frozen; the next copy is refused or works; then all is well."""
    with Hanging(tmp_path, step) as hanging:
        site, error = hanging.site, hanging.error
        assert not hanging.let_go.is_set()
        assert hanging.took_s < SLACK_S
        assert error is None or isinstance(error, FrskitError)
        assert site.unrest() == []
        owed = silent_parties()
        party = {"frs1": "server frs1", "evs1": "server evs1", "store": "the copy store"}
        assert any(each.startswith(party.get(name := step.split(".")[0], name)) for each in owed)
        again = site.attempt(Budget.of(site.clock, 5 * hanging.wait_s))
        assert again is None or isinstance(again, FrskitError)
        assert site.unrest() == []
        hanging.let_go.set()
        until(lambda: not any(each in owed for each in silent_parties()))
        generous(site)
        until(lambda: site.attempt() is None)
        assert site.unrest() == []


def generous(site):
    """From now on everybody gets the time that a busy machine needs."""
    for service in (site.service, site.far):
        service.engine.roster.answer_s = service.engine.providers.answer_s = 60.0


def test_a_hanging_check_ends_with_the_deadline_of_the_verdict(tmp_path):
    """Nobody gave a budget: the site's own deadline bounds it, the writers hear failure."""
    with Hanging(tmp_path, "checker.check", verdict=True) as hanging:
        assert isinstance(hanging.error, NoAnswer)
        assert "check" in str(hanging.error)
        assert hanging.error.copy.completion.value == "failed"
        refused = hanging.site.attempt()
        assert isinstance(refused, NoAnswer)
        assert "still owes an answer to check" in str(refused)
        assert "freeze" not in " ".join(hanging.site.script.of("writer-1")[12:])


def test_what_a_server_owes_the_service_the_requestor_knows(tmp_path):
    """Both call the same server: a second thread does not go where the first one hangs."""
    with Hanging(tmp_path, "frs1.rescan") as hanging:
        site = hanging.site
        with pytest.raises(NoAnswer, match="still owes an answer to rescan"):
            site.parts.recovery.server.rescan(budget=Budget.of(site.clock, 5))
        site.far.abort_all(budget=Budget.of(site.clock))
        site.parts.recovery.server.rescan(budget=Budget.of(site.clock, 60))


def test_a_resume_asks_those_again_that_owe_an_answer(tmp_path):
    """Whoever says "go on" has looked: the next call is tried although nobody came back."""
    with Hanging(tmp_path, "checker.check", verdict=True) as hanging:
        assert isinstance(hanging.site.attempt(), NoAnswer)
        hanging.site.frs.resume()
        generous(hanging.site)
        until(lambda: hanging.site.attempt() is None)


@pytest.mark.parametrize("step", STEPS)
def test_virtual_time_ends_a_hang_outside_of_every_window(tmp_path, step):
    """Deterministic: a party waits for a year; the copy fails or goes on, and the next one works."""
    site = RequestorSite(tmp_path, verdict_s=48 * 3600.0)
    site.script.on(step, lambda: site.clock.sleep(365 * 86400.0))
    error = site.attempt()
    assert error is None or isinstance(error, FrskitError)
    assert site.unrest() == []
    assert site.attempt() is None
    site.close()


@pytest.mark.parametrize("step", ["checker.check", "frs1.attach", "writer-1.freeze"])
def test_cancelling_ends_the_wait_for_a_party_that_hangs(tmp_path, step):
    """The token is noticed while a party is waited for, not when it comes back."""
    site = RequestorSite(tmp_path, clock=SystemClock(), patience=short(50.0), closing_s=0.2)
    there, let_go = threading.Event(), threading.Event()
    site.script.on(step, lambda: (there.set(), let_go.wait(60)))
    running = site.frs.start_copy("evs1", site.names(), backup_type="copy")
    assert there.wait(30)
    running.cancel()
    with pytest.raises(FrskitError) as caught:
        running.wait(30)
    assert not let_go.is_set()
    assert isinstance(caught.value, Cancelled)
    assert site.unrest() == []
    let_go.set()
    until(lambda: not [each for each in silent_parties() if step.split(".")[0] in each])
    until(lambda: site.attempt() is None)
    site.close()


def test_a_party_that_watches_its_token_answers_by_itself():
    """It says more than the watchdog could, so it is left a little time."""
    token = CancelToken()
    clock = SystemClock()
    dog = frskit.watchdog.Watchdog("checker", clock, closing_s=30.0)

    def check():
        token.cancel()
        Budget.of(clock, token=token).check("reading page 7")

    with pytest.raises(Cancelled, match="reading page 7"):
        dog.call("check", check, deadline_s=clock.monotonic() + 60, token=token)


# --- on the lab: recoveries, and what a failed copy leaves --------------------------------------


@pytest.mark.rule("FRS-33")
def test_a_foreign_error_of_the_application_keeps_its_text_through_an_undo(site, monkeypatch):
    """`bring_online` fails once, the array once while it is undone: resume re-does the rest."""
    copy = site.frs.copies()[0]
    plan = site.frs.plan_recovery(copy.id, mode=RecoveryMode.POINT_IN_TIME)
    with monkeypatch.context() as patch:
        Fault(site.exchange.application, "bring_online", KeyError("vendor bug"), patch=patch)
        Fault(site.eva, "unpresent", RuntimeError("API changed"), at=8, patch=patch)
        with pytest.raises(RecoveryFailed, match="KeyError: 'vendor bug'") as caught:
            site.frs.recover(plan)
    assert any("RuntimeError: API changed" in each for each in caught.value.leftovers)
    (resumed,) = site.frs.resume()
    assert resumed.result == "the recovery of sg1 was undone"
    assert {each.state for each in site.status("evs1", "sg1").databases} == {"mounted"}


@pytest.mark.parametrize("error", [RuntimeError("broke"), OSError("broke"), ArrayError("broke")])
@pytest.mark.parametrize("method", ["presentations", "delete_storage"])
def test_what_an_array_keeps_from_being_cleaned_up_is_named_and_can_be_deleted(
    site, monkeypatch, method, error
):
    """The reason stays the error; the record names what is left; `delete_copy` takes it away."""
    kept = {each.id for each in site.eva.copies()}
    with monkeypatch.context() as patch:
        checker = type(site.parties.checker)

        def late(*_, **__):
            Fault(site.eva, method, error, lasting=True, patch=patch)
            raise TimedOut("late")

        patch.setattr(checker, "check", late)
        with pytest.raises(TimedOut) as caught:
            site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
    assert caught.value.stage == "checking"
    assert caught.value.leftovers == caught.value.copy.leftovers
    assert "broke" in " ".join(caught.value.leftovers)
    assert site.deliver("evs1", "sg1", messages=1) == 1
    site.frs.delete_copy(caught.value.copy.id)
    assert {each.id for each in site.eva.copies()} == kept


@pytest.mark.parametrize("method", ["take_offline", "bring_online"])
def test_an_application_that_hangs_in_a_recovery_is_bounded(site, monkeypatch, method):
    """In virtual time: production is up after it, undone or recovered."""
    copy = site.frs.copies()[0]
    plan = site.frs.plan_recovery(copy.id, mode=RecoveryMode.POINT_IN_TIME)
    application = site.exchange.application
    real, hung = getattr(application, method), []

    def hang(*words, **more):
        if not hung:
            hung.append(method)
            site.clock.sleep(365 * 86400.0)
        return real(*words, **more)

    monkeypatch.setattr(application, method, hang)
    if method == "bring_online":
        # It came up in the end; what is true counts, and not that nobody waited for the answer.
        assert site.frs.recover(plan).after.databases
    else:
        with pytest.raises(RecoveryFailed) as caught:
            site.frs.recover(plan)
        assert isinstance(caught.value.__cause__, NoAnswer)
        site.frs.resume()
    assert {each.state for each in site.status("evs1", "sg1").databases} == {"mounted"}


def test_a_party_that_cannot_say_its_name_is_called_by_its_class():
    """Strangers need not be able to; what they raise is named all the same."""

    class Nameless:
        @property
        def name(self):
            raise RuntimeError("no name")

        def available(self, server):
            raise KeyError("x")

    checker = guard(Nameless(), "checker", SystemClock(), Patience())
    with pytest.raises(IntegrityError, match="checker Nameless failed in available: KeyError"):
        checker.available(None)
