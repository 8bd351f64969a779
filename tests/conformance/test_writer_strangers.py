"""The newer parts of the writer kit pass on a writer with every lever, and kill what they are for."""

from __future__ import annotations

import threading

import attrs
import pytest
from support.full_writer import NAMES, FullWorld, FullWriter

from frskit.clock import SystemClock
from frskit.errors import Stopped, WriterVeto
from frskit.model.components import BackupType, WriterFailure, WriterRecord
from frskit.testing import check_writer
from frskit.testing.writer.kit import _SCENARIOS
from frskit.testing.writer.loyalty import LOYALTY_CASES
from frskit.testing.writer.strangers import stranger_cases

pytestmark = pytest.mark.kits

# Real seconds until a mutant that hangs is given up; what is honest comes back at once.
SHORT_S = 0.2
CASES = {*_SCENARIOS, *LOYALTY_CASES, *stranger_cases(SHORT_S)}
LEVERS = ("logs", "close_log", "during_freeze", "advance", "replaceable")


@pytest.mark.rule("VSS-11", "VSS-36", "VSS-64", "EXC-11", "EXC-12", "EXC-21", "EXC-23", "EXC-58")
def test_a_writer_that_does_everything_right_passes_with_every_lever():
    """Nothing is skipped where the world can do everything."""
    report = check_writer(FullWorld)
    assert report.skipped == {}
    assert set(report.executed) == CASES


def test_the_kit_works_on_the_machines_clock():
    """Threads and waits are real there; only what has to pass a window is left out."""
    report = check_writer(lambda: FullWorld(clock=SystemClock(), without=["advance"]))
    assert set(report.skipped) == {"window", "whole window"}


def test_levers_are_optional_and_their_lack_is_told():
    """A world of the kind that was enough before still is; what it lacks is named."""
    report = check_writer(lambda: FullWorld(without=LEVERS))
    assert set(report.skipped) == {
        "which logs",
        "one of two components",
        "whole window",
        "window",
        "failing application",
        "slow application",
    }
    assert all("no " in why for why in report.skipped.values())
    assert set(report.executed) | set(report.skipped) == CASES


# --- logs and outcomes


class Greedy(FullWriter):
    """Deletes every log, whatever is in the copy."""

    def truncate(self, component):
        self.store.logs[component].clear()


class AnySuccess(FullWriter):
    """One component that succeeded is success."""

    def good(self, session):
        return session.components if any(session.succeeded.values()) else ()


class SilenceIsSuccess(FullWriter):
    """A component without a verdict goes with the others."""

    def good(self, session):
        if not session.succeeded:
            return ()
        return [each for each in session.components if session.succeeded.get(each, True)]


class NeedsLies(FullWriter):
    """Says that the copy needs logs 999 to 1."""

    def post_snapshot(self, session, **words):
        return [WriterRecord(component=NAMES[0], logs_needed=(999, 1))]


# --- looking


class IdentifyTouches(FullWriter):
    """Makes a checkpoint to be able to tell its files, unless it holds."""

    def identify(self, **words):
        if not self.store.held:
            self.store.data += 1
        return super().identify(**words)


# --- sessions


class AnySessionThaws(FullWriter):
    """Any Thaw ends the hold, and the right one finds that it has been done."""

    done = False

    def thaw(self, session, **words):
        if self.done:
            return
        if session.session_id != self.running:
            self.done, self.store.held_since = True, None
            return
        super().thaw(session, **words)


class AnySessionCompletes(FullWriter):
    """Success of whatever session deletes logs."""

    def backup_complete(self, session, **words):
        if session.backup_type is BackupType.FULL:
            for each in self.good(session):
                self.truncate(each)


class AnySessionAborts(FullWriter):
    """Abort of another session ends the hold, and Thaw does not look whether there was one."""

    lost = False

    def abort(self, session):
        self.lost = self.lost or session.session_id != self.running
        self.store.held_since = None
        if not self.lost:
            self.running = None

    def thaw(self, session, **words):
        if not self.lost:
            super().thaw(session, **words)


class KeyErrorForStrangers(FullWriter):
    """Looks a session up in a dictionary and does not expect that it is not there."""

    def known(self, session):
        _ = {self.running: session}[session.session_id]


# --- time


class WrongWindow(FullWriter):
    """Says 20 s, holds for one."""

    def __init__(self, store):
        super().__init__(store)
        self.store.window_s = 1.0

    def identify(self, **words):
        return attrs.evolve(super().identify(**words), freeze_timeout_s=20.0)


class IgnoresBudget(FullWriter):
    """Waits for as long as the application likes."""

    def freeze(self, session, *, budget):
        super().freeze(session, budget=attrs.evolve(budget, deadline_s=None))


class HoldsWhenRefused(FullWriter):
    """Goes on to hold while it tells that there was no time."""

    def freeze(self, session, *, budget):
        try:
            super().freeze(session, budget=budget)
        except Stopped:
            self.store.held_since = self.store.clock.monotonic()
            raise


# --- restores


class RestoreBlind(FullWriter):
    """Lets files be replaced that are in use."""

    def pre_restore(self, session, **words):
        pass


class RestoreBroken(FullWriter):
    """Nobody ever wrote it."""

    def pre_restore(self, session, **words):
        raise NotImplementedError


class RestoreTouches(FullWriter):
    """Dismounts by itself, and writes to its files for it."""

    def pre_restore(self, session, **words):
        self.store.data += 1
        super().pre_restore(session, **words)


class PostRestoreBroken(FullWriter):
    """Refuses what it accepted."""

    def post_restore(self, session, **words):
        raise WriterVeto("no", native=WriterFailure.NONRETRYABLE.value)


class OddRestoreCode(FullWriter):
    """Vetoes with a number of its own."""

    def pre_restore(self, session, **words):
        raise WriterVeto("mounted", native=-2401)


# --- freeze that hangs, fails or is late


class Locked(FullWriter):
    """One lock round freeze."""

    make_lock = threading.Lock

    def __init__(self, store):
        super().__init__(store)
        self.lock = self.make_lock()

    def freeze(self, session, *, budget):
        with self.lock:
            super().freeze(session, budget=budget)


class AbortWaits(Locked):
    """Abort takes the lock that Freeze has."""

    def abort(self, session):
        with self.lock:
            super().abort(session)


class AbortWaitsBeside(AbortWaits):
    """The same with a lock that the same thread may take twice."""

    # A function on newer Pythons, which would become a method.
    make_lock = staticmethod(threading.RLock)


class ShutdownWaits(Locked):
    """BackupShutdown waits, Abort does not."""

    # A function on newer Pythons, which would become a method.
    make_lock = staticmethod(threading.RLock)

    def backup_shutdown(self, session):
        with self.lock:
            self.abort(session)


class IdentifyWaits(Locked):
    """Identify waits for Freeze."""

    # A function on newer Pythons, which would become a method.
    make_lock = staticmethod(threading.RLock)

    def identify(self, **words):
        with self.lock:
            return super().identify(**words)


class AbortRefused(FullWriter):
    """Abort is no legal event while it freezes."""

    freezing = False

    def hold_store(self, session):
        self.freezing = True
        try:
            super().hold_store(session)
        finally:
            self.freezing = False

    def abort(self, session):
        if self.freezing:
            raise WriterVeto("not now", native=WriterFailure.RETRYABLE.value)
        super().abort(session)


class LateFreezeHolds(FullWriter):
    """Abort has been handled when Freeze takes hold, and another one finds nothing to do."""

    def freeze(self, session, *, budget):
        self.known(session)
        budget.check("freezing")
        self.hold_store(session)


class HoldsAfterFailure(FullWriter):
    """What it had taken is not given back when the application fails."""

    def hold_store(self, session):
        self.store.held_since = self.store.clock.monotonic()
        super().hold_store(session)

    def release(self, session):
        pass


class LeaksOsError(FullWriter):
    """The application's own error comes out as it is."""

    def freeze(self, session, *, budget):
        try:
            super().freeze(session, budget=budget)
        except WriterVeto as error:
            raise (error.__cause__ or error) from None


class HidesFailure(FullWriter):
    """Frozen is frozen, flushed or not."""

    def hold_store(self, session):
        try:
            super().hold_store(session)
        except OSError:
            self.store.held_since = self.store.clock.monotonic()


# --- threads


class ThreadBound(FullWriter):
    """Its connection belongs to the thread that opened it."""

    def prepare_backup(self, session, **words):
        super().prepare_backup(session, **words)
        self.owner = threading.get_ident()

    def thaw(self, session, **words):
        if threading.get_ident() != self.owner:
            raise RuntimeError("objects created in a thread can only be used in that same thread")
        super().thaw(session, **words)


MUTANTS = {
    Greedy: "deleted logs that are in no copy: 4.log, 5.log of one",
    AnySuccess: "of a component that failed",
    SilenceIsSuccess: "of a component that has no verdict",
    NeedsLies: "the first comes after the last",
    IdentifyTouches: "VSS-11: Identify before a backup changed a file",
    AnySessionThaws: "thaw of an unknown session ended the hold, and Thaw hid it",
    AnySessionCompletes: "backup_complete of an unknown session deleted logs",
    AnySessionAborts: "abort of an unknown session ended the hold, and Thaw hid it",
    KeyErrorForStrangers: "of an unknown session raised KeyError",
    WrongWindow: "let go before the 20.0 s that it says",
    IgnoresBudget: "took longer than its budget",
    HoldsWhenRefused: "held although freeze was refused",
    RestoreBlind: "accepted that files in use are replaced",
    RestoreBroken: "pre_restore raised NotImplementedError",
    RestoreTouches: "PreRestore changed a file",
    PostRestoreBroken: "PostRestore failed",
    OddRestoreCode: "a veto with the code -2401",
    AbortWaits: "abort inside of freeze does not come back",
    AbortWaitsBeside: "abort waits for a freeze that hangs",
    ShutdownWaits: "backup_shutdown waits for a freeze that hangs",
    IdentifyWaits: "identify waits for a freeze",
    AbortRefused: "abort inside of freeze raised .*not now",
    LateFreezeHolds: "held after abort inside of freeze",
    HoldsAfterFailure: "held although freeze failed",
    LeaksOsError: "raised OSError",
    HidesFailure: "hid that the application failed",
    ThreadBound: "thaw raised RuntimeError",
}


@pytest.mark.breaks
@pytest.mark.parametrize(
    ("mutant", "words"), MUTANTS.items(), ids=lambda each: getattr(each, "__name__", "")
)
def test_mutants_die_for_their_reason(mutant, words):
    """Each writer that is wrong in one way is refused, in words that say which."""
    with pytest.raises(AssertionError, match=words):
        check_writer(lambda: FullWorld(mutant), patience_s=SHORT_S)


@pytest.mark.breaks
@pytest.mark.parametrize("mutant", [AbortWaits, AbortWaitsBeside, LateFreezeHolds])
def test_a_writer_that_looks_at_its_budget_needs_no_lever(mutant):
    """The kit's budget brings the kit into the midst of Freeze."""

    class Looks(mutant):
        def hold_store(self, session):
            budget, self.looked_at = self.looked_at, None
            budget.check("flushing")
            super().hold_store(session)

        def freeze(self, session, *, budget):
            self.looked_at = budget
            super().freeze(session, budget=budget)

    with pytest.raises(AssertionError):
        check_writer(lambda: FullWorld(Looks, without=LEVERS), patience_s=SHORT_S)
