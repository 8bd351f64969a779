"""The requestor kit passes on FastRecovery over the lab, and catches requestors that are broken."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from attrs import evolve
from support.labs import closed_logs

import frskit
from frskit import BackupType, CopyLife, Verdict
from frskit.errors import CopyNotFound, IntegrityError, NotFound
from frskit.model.copies import CopyFilter
from frskit.testing import check_requestor
from frskit.testing.requestor.kit import _SCENARIOS

pytestmark = pytest.mark.kits


# Parts for which a world needs more levers than it must have.
WITHOUT_LEVERS = {
    "parties that raise",
    "parties that hang",
    "looks beside a copy",
    "cancelling from another thread",
}


class LabWorld:
    """The lab as a world of the kit; `wrap` may put a broken requestor before the real one."""

    def __init__(self, wrap=lambda site: site.frs):
        self.site = frskit.lab(seed=11)
        self.server, self.component = "evs1", "sg1"
        self.requestor = wrap(self.site)

    def work(self):
        """Mail, and one more closed generation."""
        self.site.deliver("evs1", "sg1", messages=10)
        self.site.exchange.group("sg1").roll()

    def logs(self):
        """Closed logs, byte by byte."""
        return closed_logs(self.site)

    @contextmanager
    def damaged(self):
        """Flip a bit in a page of the running store's file; flip it back at the end."""
        self.site.damage_database("evs1", "sg1", database="mailbox-sg1", page=3)
        yield
        self.site.damage_database("evs1", "sg1", database="mailbox-sg1", page=3)

    def close(self):
        """Stop the lab."""
        self.site.close()


class Wrapped:
    """A requestor that does what the real one does; the mutants change one thing each."""

    def __init__(self, site):
        self.site, self.real = site, site.frs

    def __getattr__(self, name):
        return getattr(self.real, name)


class PlansByDoing(Wrapped):
    """Planning makes a copy."""

    def plan_copy(self, server, components, **options):
        self.real.create_copy(server, components, **options)
        return self.real.plan_copy(server, components, **options)


class OldestFirst(Wrapped):
    """Lists in the wrong order."""

    def copies(self, **options):
        return tuple(reversed(self.real.copies(**options)))


class BelievesEverything(Wrapped):
    """A copy that did not pass is returned as verified."""

    def create_copy(self, server, components, **options):
        try:
            return self.real.create_copy(server, components, **options)
        except IntegrityError as error:
            return evolve(error.copy, verdict=Verdict.VERIFIED, life=CopyLife.PARKED)


class DropsOlder(Wrapped):
    """A failing run takes the older copies with it."""

    def create_copy(self, server, components, **options):
        try:
            return self.real.create_copy(server, components, **options)
        except IntegrityError:
            for copy in self.real.copies():
                if copy.recoverable:
                    self.real.delete_copy(copy.id)
            raise


class TruncatesAnyway(Wrapped):
    """A log is gone although the check failed."""

    def create_copy(self, server, components, **options):
        try:
            return self.real.create_copy(server, components, **options)
        except IntegrityError:
            self.lose_a_log()
            raise

    def lose_a_log(self):
        place = self.site.parties.production.resolve("L:\\exchsrvr\\sg1")
        tree = self.site.parties.production.files(place.volume)
        closed = [
            name for name in tree.listdir(place.path) if name[3:8].isalnum() and len(name) == 12
        ]
        tree.remove(f"{place.path}/{closed[0]}")


class TruncatesCopies(Wrapped):
    """Type COPY is treated as FULL."""

    def create_copy(self, server, components, *, backup_type, **options):
        return self.real.create_copy(server, components, backup_type=BackupType.FULL, **options)


class DeletesQuietly(Wrapped):
    """Deleting a deleted copy is no error."""

    def delete_copy(self, copy):
        try:
            self.real.delete_copy(copy)
        except CopyNotFound:
            return


class DeletesAll(Wrapped):
    """Deleting one copy forgets all of them."""

    def delete_copy(self, copy):
        self.real.delete_copy(copy)
        for each in self.site.parts.catalog.find(CopyFilter()):
            self.site.parts.catalog.put(evolve(each, life=CopyLife.DELETED))


class CopiesNothing(Wrapped):
    """Unknown names make an empty copy instead of an error."""

    def create_copy(self, server, components, **options):
        try:
            return self.real.create_copy(server, components, **options)
        except NotFound:
            return None


class HidesTheRecord(Wrapped):
    """The error of a failed copy does not carry the record."""

    def create_copy(self, server, components, **options):
        try:
            return self.real.create_copy(server, components, **options)
        except IntegrityError as error:
            error.copy = None
            raise


MUTANTS = [
    PlansByDoing,
    OldestFirst,
    BelievesEverything,
    DropsOlder,
    TruncatesAnyway,
    TruncatesCopies,
    DeletesQuietly,
    DeletesAll,
    CopiesNothing,
    HidesTheRecord,
]


@pytest.mark.rule("FRS-09", "FRS-16", "FRS-19", "FRS-32")
def test_fast_recovery_passes():
    """Every scenario runs on the real requestor; nothing is skipped."""
    report = check_requestor(LabWorld)
    assert len(report.executed) == len(_SCENARIOS) + 2
    assert set(report.skipped) == WITHOUT_LEVERS


@pytest.mark.breaks
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_broken_requestors_are_caught(mutant):
    """Each broken requestor fails the kit."""
    with pytest.raises(AssertionError):
        check_requestor(lambda: LabWorld(mutant))
