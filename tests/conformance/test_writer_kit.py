"""The writer kit passes on a small honest writer, and kills writers that are wrong."""

from __future__ import annotations

import re

import attrs
import pytest
from support.exchange_world import ExchangeWorld

import frskit
from frskit.bases import WriterBase
from frskit.clock import Budget, VirtualClock
from frskit.errors import WriterVeto
from frskit.model.components import (
    BackupSchema,
    BackupType,
    Component,
    ComponentId,
    Quiesce,
    WriterFailure,
    WriterMetadata,
    WriterRecord,
)
from frskit.model.files import FileSet
from frskit.testing.writer.kit import _SCENARIOS, check_writer

pytestmark = pytest.mark.kits

WRITER = "76fe1ac4-15f7-4bcd-987e-8e1acb462fb7"
GROUP = ComponentId(writer_id=WRITER, logical_path="", name="group")


# Parts for which a world needs more levers than it must have.
WITHOUT_APPLICATION = {"failing application", "slow application"}
WITHOUT_LEVERS = {
    *WITHOUT_APPLICATION,
    "which logs",
    "one of two components",
    "whole window",
    "abort inside freeze",
    "shutdown inside freeze",
    "abort beside freeze",
    "shutdown beside freeze",
}


class SmallStore:
    """An application: some data, some logs, and a hold that ends by itself after 20 s."""

    window_s = 20.0

    def __init__(self, clock):
        self.clock = clock
        self.data = 0
        self.logs = [1, 2, 3]
        self.held_since = None

    @property
    def held(self):
        if (
            self.held_since is not None
            and self.clock.monotonic() - self.held_since >= self.window_s
        ):
            self.held_since = None
        return self.held_since is not None


class HonestWriter(WriterBase):
    """Marks, holds, lets go, and truncates after success only; its store keeps the window."""

    keeps_window = False

    def __init__(self, store):
        self.store = store
        self.running = None
        self.lost = False
        self.instance = "11111111-1111-4111-8111-111111111111"

    def identify(self, *, budget):
        return WriterMetadata(
            writer_id=WRITER,
            instance_id=self.instance,
            name="honest",
            components=(
                Component(id=GROUP, selectable=True),
                Component(
                    id=ComponentId(writer_id=WRITER, logical_path="group", name="db"),
                    files=(FileSet(path="M:\\", pattern="*"),),
                ),
            ),
            schema=frozenset({BackupSchema.COPY}),
            freeze_timeout_s=self.store.window_s,
        )

    def prepare_backup(self, session, *, budget):
        if self.running not in (None, session.session_id):
            raise WriterVeto("busy", native=WriterFailure.RETRYABLE.value, retryable=True)
        self.running = session.session_id

    def freeze(self, session, *, budget):
        self.store.held_since = self.store.clock.monotonic()

    def thaw(self, session, *, budget):
        if not self.store.held:
            raise WriterVeto("lost", native=WriterFailure.TIMEOUT.value)
        self.store.held_since = None

    def post_snapshot(self, session, *, budget):
        return [WriterRecord(component=each, stamp="s") for each in session.components]

    def backup_complete(self, session, *, budget):
        good = all(session.succeeded.get(each, False) for each in session.components)
        known = self.running == session.session_id
        if known and good and session.backup_type is BackupType.FULL:
            self.store.logs = self.store.logs[-1:]

    def abort(self, session):
        if session.session_id == self.running:
            self.store.held_since = None
            self.running = None


class World:
    """Levers on the small store."""

    def __init__(self, kind=HonestWriter, *, clock=True):
        self.clock = VirtualClock()
        self.store = SmallStore(self.clock)
        self.writer = kind(self.store)
        self.components = [GROUP]
        self.volumes = ["volume-1"]
        self._has_clock = clock

    def write(self):
        if self.store.held:
            return False
        self.store.data += 1
        return True

    def image(self):
        return self.store.data, tuple(self.store.logs)

    def truncated(self):
        return len(self.store.logs) < 3

    def truncates(self):
        return True

    def pass_window(self):
        if self._has_clock:
            self.clock.advance(20.0)
        return self._has_clock

    def budget(self):
        return Budget.of(self.clock)


@pytest.mark.rule("VSS-07", "VSS-09", "VSS-11", "VSS-36", "VSS-64", "EXC-21", "R-4")
def test_honest_writer_passes():
    """A small writer that does its duty passes every part."""
    report = check_writer(World)
    assert set(report.skipped) == WITHOUT_LEVERS
    assert set(_SCENARIOS) <= set(report.executed)


def test_missing_levers_are_reported():
    """A writer without a clock of its own is told so in the report."""
    report = check_writer(lambda: World(clock=False))
    assert set(report.skipped) == {"window", *WITHOUT_LEVERS}


class DoesNotHold(HonestWriter):
    def freeze(self, session, *, budget):
        pass

    def thaw(self, session, *, budget):
        pass


class SaysThatItDoesNotHold(DoesNotHold):
    def identify(self, *, budget):
        return attrs.evolve(super().identify(budget=budget), quiesce=Quiesce.INSTANT_ONLY)


def test_a_writer_that_says_that_it_does_not_hold_is_skipped_visibly():
    """A backup mode does not hold writes by right: the rest is checked, the report says so."""
    report = check_writer(lambda: World(SaysThatItDoesNotHold))
    assert {"hold", "window"} <= set(report.skipped)
    assert "EXC-17" in report.skipped["hold"]


class StaysFrozen(HonestWriter):
    def thaw(self, session, *, budget):
        pass


class WritesWhenAsked(HonestWriter):
    def identify(self, *, budget):
        self.store.data += 1
        return super().identify(budget=budget)


class NewInstanceEachTime(HonestWriter):
    count = 0

    def identify(self, *, budget):
        NewInstanceEachTime.count += 1
        instance = f"{NewInstanceEachTime.count:08d}-1111-4111-8111-111111111111"
        return attrs.evolve(super().identify(budget=budget), instance_id=instance)


class AbortKeepsFrozen(HonestWriter):
    def abort(self, session):
        self.running = None


class AbortOnce(HonestWriter):
    def abort(self, session):
        if self.running is None:
            raise WriterVeto("nothing to abort")
        super().abort(session)


class StaysInProgress(HonestWriter):
    def abort(self, session):
        self.store.held_since = None


class ShutdownKeepsFrozen(HonestWriter):
    def backup_shutdown(self, session):
        self.running = None


class ShutdownTruncates(HonestWriter):
    def backup_shutdown(self, session):
        super().backup_shutdown(session)
        self.store.logs = []


class TruncatesOnFailure(HonestWriter):
    def backup_complete(self, session, *, budget):
        self.store.logs = []


class TruncatesWithoutVerdict(HonestWriter):
    def backup_complete(self, session, *, budget):
        if False not in session.succeeded.values() and session.backup_type is BackupType.FULL:
            self.store.logs = []


class TruncatesOnCopy(HonestWriter):
    def backup_complete(self, session, *, budget):
        super().backup_complete(attrs.evolve(session, backup_type=BackupType.FULL), budget=budget)


class TruncatesAtThaw(HonestWriter):
    def thaw(self, session, *, budget):
        super().thaw(session, budget=budget)
        self.store.logs = []


class NeverTruncates(HonestWriter):
    def backup_complete(self, session, *, budget):
        pass


class HidesLostHold(HonestWriter):
    def thaw(self, session, *, budget):
        self.store.held_since = None


class OtherCodeForLostHold(HonestWriter):
    def thaw(self, session, *, budget):
        if not self.store.held:
            raise WriterVeto("lost", native=-2402)
        super().thaw(session, budget=budget)


class FreezesForever(HonestWriter):
    def freeze(self, session, *, budget):
        self.store.window_s = 1e9
        super().freeze(session, budget=budget)


class VetoesWithOddCode(HonestWriter):
    def prepare_backup(self, session, *, budget):
        if self.running not in (None, session.session_id):
            raise WriterVeto("busy", native=0x50D, retryable=True)
        self.running = session.session_id


class KeepsRecordsOfStrangers(HonestWriter):
    def post_snapshot(self, session, *, budget):
        return [WriterRecord(component=attrs.evolve(GROUP, name="other"))]


class ForeignClass(HonestWriter):
    def identify(self, *, budget):
        said = super().identify(budget=budget)
        return attrs.evolve(said, writer_id="99999999-1111-4111-8111-111111111111")


class ChildrenFirst(HonestWriter):
    def identify(self, *, budget):
        said = super().identify(budget=budget)
        return attrs.evolve(said, components=said.components[::-1])


class ContradictorySchema(HonestWriter):
    def identify(self, *, budget):
        odd = frozenset({BackupSchema.TIMESTAMPED})
        return attrs.evolve(super().identify(budget=budget), schema=odd)


MUTANTS = [
    DoesNotHold,
    StaysFrozen,
    WritesWhenAsked,
    NewInstanceEachTime,
    AbortKeepsFrozen,
    AbortOnce,
    StaysInProgress,
    ShutdownKeepsFrozen,
    ShutdownTruncates,
    TruncatesOnFailure,
    TruncatesWithoutVerdict,
    TruncatesOnCopy,
    TruncatesAtThaw,
    NeverTruncates,
    HidesLostHold,
    OtherCodeForLostHold,
    FreezesForever,
    VetoesWithOddCode,
    KeepsRecordsOfStrangers,
    ForeignClass,
    ChildrenFirst,
    ContradictorySchema,
]


@pytest.mark.breaks
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda each: each.__name__)
def test_mutants_die(mutant):
    """A writer with this mistake does not pass the kit."""
    with pytest.raises(AssertionError):
        check_writer(lambda: World(mutant))


def exchange_of_a_lab():
    """The simulated Exchange server of a lab, with mail in two batches."""
    lab = frskit.lab()
    server = lab.parties.production
    for _ in range(2):
        lab.deliver("evs1", "sg1", messages=150)
        lab.advance(60.0)

    def files():
        for volume in server.volumes():
            tree = server.files(volume.id)
            for path in tree.walk():
                yield path, tree

    def image():
        found = []
        for path, tree in files():
            with tree.open(path) as file:
                found.append((path, hash(file.read_at(0, file.size_bytes))))
        return found

    closed = re.compile(r"E00[0-9a-f]+\.log$", re.IGNORECASE)
    return ExchangeWorld(
        writer=lab.parties.exchange.writer,
        volumes=[each.id for each in server.volumes()],
        clock=lab.parties.clock,
        deliver=lambda: lab.deliver("evs1", "sg1", messages=1),
        logs=lambda: [path for path, _ in files() if closed.search(path)],
        image=image,
        window_s=20.0,
        roll=lambda: lab.exchange.group("sg1").roll(),
    )


@pytest.mark.rule("EXC-12", "EXC-17", "EXC-21", "EXC-22", "EXC-33", "R-4")
def test_exchange_writer_passes():
    """The writer of the simulated Exchange holds, lets go, and truncates after success only."""
    report = check_writer(exchange_of_a_lab)
    assert set(report.skipped) == WITHOUT_APPLICATION | {"one of two components"}
    assert {*_SCENARIOS, "which logs", "abort inside freeze"} <= set(report.executed)
