"""The newer parts of the requestor kit pass on FastRecovery over a lab, and kill what is wrong."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest
from attrs import evolve
from support.examples import examples
from support.meddled_lab import MeddledLab

from frskit import Budget, CopyLife, Verdict
from frskit.errors import Busy, CopyNotFound, FrskitError
from frskit.model.ids import CopyKey
from frskit.model.storage import CopyKind, CopyRequest
from frskit.testing import check_requestor
from frskit.testing.requestor.kit import _SCENARIOS
from frskit.testing.requestor.strangers import stranger_cases

pytestmark = pytest.mark.kits

# Real seconds until a mutant that hangs is given up; what is honest comes back at once.
SHORT_S = 0.2
CASES = stranger_cases(5.0, None)


@pytest.mark.rule("FRS-22", "HAZ-09", "HAZ-10", "VSS-07")
@pytest.mark.parametrize("case", CASES)
def test_fast_recovery_outlives_its_parties(case):
    """Parties that raise, hang and answer late, and callers in several threads."""
    world = MeddledLab()
    try:
        assert stranger_cases(5.0, examples(5))[case](world) == ""
    finally:
        world.close()


class Plain:
    """A lab without the optional levers."""

    def __init__(self):
        self._lab = MeddledLab()
        self.requestor, self.server = self._lab.requestor, self._lab.server
        self.component = self._lab.component
        for name in ("work", "logs", "damaged", "close"):
            setattr(self, name, getattr(self._lab, name))


def test_levers_are_optional_and_their_lack_is_told():
    """A world of the kind that was enough before still is; what it lacks is named."""
    report = check_requestor(Plain)
    assert set(report.skipped) == {*CASES} - {"two callers", "two deletions"}
    assert all("no meddle" in why for why in report.skipped.values())
    assert len(report.executed) == len(_SCENARIOS) + 2


class Wrapped:
    """A requestor that does what the real one does; the mutants change one thing each."""

    def __init__(self, site):
        self.site, self.real = site, site.frs
        self.eva = site.eva

    def __getattr__(self, name):
        return getattr(self.real, name)


class LeaksForeign(Wrapped):
    """What a party raises comes out as it is."""

    def create_copy(self, server, components, **options):
        try:
            return self.real.create_copy(server, components, **options)
        except FrskitError as error:
            cause = error
            while cause.__cause__ is not None:
                cause = cause.__cause__
            raise cause from None


class HidesTheStage(Wrapped):
    """Its errors do not say how far it came."""

    def create_copy(self, server, components, **options):
        try:
            return self.real.create_copy(server, components, **options)
        except FrskitError as error:
            error.stage = None
            raise


class HidesTheRecord(Wrapped):
    """Its errors do not carry the record."""

    def create_copy(self, server, components, **options):
        try:
            return self.real.create_copy(server, components, **options)
        except FrskitError as error:
            error.copy = None
            raise


class ForgetsWhatIsLeft(Wrapped):
    """A copy that failed leaves something on the array that no record names."""

    def create_copy(self, server, components, **options):
        try:
            return self.real.create_copy(server, components, **options)
        except FrskitError:
            self.leave()
            raise

    def leave(self):
        disk, budget = self.eva.storage()[0].id, Budget.unlimited()
        request = CopyRequest(source=disk, kind=CopyKind.SNAPSHOT, name="nobody's")
        staged = self.eva.stage_copies([request], key=CopyKey("lost"), budget=budget)
        self.eva.commit_copies(staged, budget=budget)


class BusyForEver(Wrapped):
    """A lock that is not given back when a copy fails."""

    stuck = False

    def create_copy(self, server, components, **options):
        if self.stuck:
            raise Busy("another copy is being made")
        try:
            return self.real.create_copy(server, components, **options)
        except FrskitError:
            self.stuck = True
            raise


class BothLose(Wrapped):
    """Of two at once neither gets through."""

    def __init__(self, site):
        super().__init__(site)
        self.inside, self.together = 0, threading.Barrier(2)

    def create_copy(self, server, components, **options):
        with suppress(threading.BrokenBarrierError):
            self.together.wait(0.2)
            raise Busy("another copy is being made")
        return self.real.create_copy(server, components, **options)


class OneLock(Wrapped):
    """Looks wait for the copy that is under way."""

    def __init__(self, site):
        super().__init__(site)
        self.lock = threading.RLock()

    def create_copy(self, server, components, **options):
        with self.lock:
            return self.real.create_copy(server, components, **options)

    def copies(self, **options):
        with self.lock:
            return self.real.copies(**options)


class HidesWhileBusy(Wrapped):
    """While a copy is made there is nothing to be seen."""

    busy = False

    def create_copy(self, server, components, **options):
        self.busy = True
        try:
            return self.real.create_copy(server, components, **options)
        finally:
            self.busy = False

    def copies(self, **options):
        return () if self.busy else self.real.copies(**options)


class CancelBreaks(Wrapped):
    """Cancelling twice is an accident."""

    def start_copy(self, server, components, **options):
        return Cancelling(self.real.start_copy(server, components, **options))


class Cancelling:
    """An operation that is surprised by a second cancel."""

    def __init__(self, real):
        self.real, self.cancelled = real, False
        self.id, self.status = real.id, real.status

    def cancel(self):
        self.trouble = self.cancelled
        self.cancelled = True
        self.real.cancel()

    def wait(self, timeout_s=None):
        if self.trouble:
            raise AttributeError("'NoneType' object has no attribute 'cancel'")
        return self.real.wait(timeout_s)


class DeletesTwice(Wrapped):
    """Deleting what was deleted meanwhile is a crash."""

    def delete_copy(self, copy):
        try:
            self.real.delete_copy(copy)
        except (CopyNotFound, Busy):
            raise KeyError(copy) from None


class StaysAfterDeleting(Wrapped):
    """A deletion that finds another one under way undoes both."""

    def delete_copy(self, copy):
        raise Busy("it is being deleted")


class LateIsGood(Wrapped):
    """What came too late is taken for what was asked for."""

    def create_copy(self, server, components, **options):
        try:
            return self.real.create_copy(server, components, **options)
        except FrskitError as error:
            return evolve(error.copy, verdict=Verdict.VERIFIED, life=CopyLife.PARKED)


MUTANTS = [
    (LeaksForeign, "parties that raise", "raised ZeroDivisionError"),
    (HidesTheStage, "parties that hang", "does not name the stage"),
    (HidesTheRecord, "parties that hang", "carries no record"),
    (ForgetsWhatIsLeft, "parties that hang", "is named by no record"),
    (LateIsGood, "parties that hang", "is returned, and cannot be recovered from"),
    (BusyForEver, "parties that hang", "does not name the stage: Busy"),
    (BothLose, "two callers", "none succeeded"),
    (OneLock, "looks beside a copy", r"copies\(\) waits for"),
    (HidesWhileBusy, "looks beside a copy", "hides what can be recovered from"),
    (CancelBreaks, "cancelling from another thread", "raised AttributeError"),
    (DeletesTwice, "two deletions", "raised KeyError"),
    (StaysAfterDeleting, "two deletions", "stays"),
]


@pytest.mark.breaks
@pytest.mark.parametrize(("mutant", "case", "words"), MUTANTS)
def test_mutants_die_for_their_reason(mutant, case, words):
    """Each requestor that is wrong in one way is refused, in words that say which."""
    world = MeddledLab(mutant)
    try:
        with pytest.raises(AssertionError, match=words):
            stranger_cases(SHORT_S, 5)[case](world)
    finally:
        world.close()
