"""`WriterBase` never stays frozen: its own timer, and what becomes of a Freeze that fails."""

from __future__ import annotations

import threading
import time

import pytest

from frskit import VirtualClock
from frskit.clock import Budget, SystemClock
from frskit.errors import WriterVeto
from frskit.model.components import BackupType, WriterFailure, WriterMetadata, WriterSession
from frskit.model.ids import SetId
from frskit.spi import WriterBase


def session(number=1):
    """A backup."""
    return WriterSession(
        session_id=SetId(f"{number:08d}-1111-4111-8111-111111111111"),
        backup_type=BackupType.COPY,
        components=(),
    )


class Small(WriterBase):
    """Holds a flag."""

    def __init__(self, in_freeze=lambda: None):
        self.held, self.aborts, self.in_freeze = False, 0, in_freeze

    def identify(self, *, budget):
        return WriterMetadata(
            writer_id="w", instance_id="i", name="n", components=(), freeze_timeout_s=10.0
        )

    def freeze(self, session, *, budget):
        self.held = True
        self.in_freeze()

    def thaw(self, session, *, budget):
        self.held = False

    def abort(self, session):
        self.held = False
        self.aborts += 1


class Deeper(Small):
    """A subclass of a subclass, which calls what it stands on."""

    def freeze(self, session, *, budget):
        super().freeze(session, budget=budget)

    def thaw(self, session, *, budget):
        super().thaw(session, budget=budget)

    def abort(self, session):
        super().abort(session)


@pytest.mark.rule("EXC-21", "VSS-42")
@pytest.mark.parametrize("kind", [Small, Deeper])
@pytest.mark.parametrize("limit_s", [None, 10.0, 50.0])
def test_it_lets_go_when_its_window_has_passed(kind, limit_s):
    """At exactly the budget, or its own window if nobody gave one; Thaw says that it was lost."""
    clock = VirtualClock()
    writer, backup = kind(), session()
    writer.freeze(backup, budget=Budget.of(clock, limit_s))
    window_s = limit_s or 10.0
    clock.advance(window_s - 0.1)
    assert writer.held
    clock.advance(0.1)
    assert not writer.held
    with pytest.raises(WriterVeto) as caught:
        writer.thaw(backup, budget=Budget.of(clock))
    assert caught.value.native == WriterFailure.TIMEOUT.value
    writer.abort(backup)
    writer.freeze(backup, budget=Budget.of(clock, 5.0))
    clock.advance(5.0)
    assert not writer.held, "the same session again has a timer again"


@pytest.mark.parametrize("kind", [Small, Deeper])
def test_a_thaw_in_time_cancels_it(kind):
    """Nothing rings afterwards, neither for this backup nor for the next."""
    clock = VirtualClock()
    writer = kind()
    writer.freeze(session(1), budget=Budget.of(clock, 10.0))
    writer.thaw(session(1), budget=Budget.of(clock, 10.0))
    assert clock._alarms == []
    clock.advance(5.0)
    writer.freeze(session(2), budget=Budget.of(clock, 10.0))
    clock.advance(6.0)
    assert writer.held
    assert writer.aborts == 0
    writer.abort(session(2))
    clock.advance(60.0)
    assert writer.aborts == 1


@pytest.mark.rule("EXC-23")
def test_what_a_freeze_raises_leaves_nothing_held():
    """Half-way in, anything is raised: let go first."""

    def broken():
        raise KeyError("vendor bug")

    writer = Small(broken)
    with pytest.raises(KeyError):
        writer.freeze(session(), budget=Budget.of(VirtualClock(), 10.0))
    assert not writer.held
    assert writer.aborts == 1


@pytest.mark.rule("EXC-21")
def test_a_freeze_that_takes_longer_than_its_window_is_let_go_inside():
    """The timer rings in its own wait; what it took afterwards is given back, and it is a veto."""
    clock = VirtualClock()
    writer = Small()
    seen = []

    def slow():
        clock.sleep(50.0)
        seen.append(writer.held)
        writer.held = True

    writer.in_freeze = slow
    with pytest.raises(WriterVeto):
        writer.freeze(session(), budget=Budget.of(clock, 10.0))
    assert seen == [False]
    assert not writer.held


@pytest.mark.rule("EXC-21", "VSS-36")
def test_in_real_time_a_freeze_that_hangs_is_let_go_by_its_own_timer():
    """Nobody calls: the timer's thread lets go while Freeze is still at it."""
    go = threading.Event()
    writer = Small(lambda: go.wait(30))
    raised = []

    def freeze():
        try:
            writer.freeze(session(), budget=Budget.of(SystemClock(), 0.2))
        except WriterVeto as error:
            raised.append(error.native)

    thread = threading.Thread(target=freeze)
    thread.start()
    end_s = time.monotonic() + 10
    while writer.aborts == 0 and time.monotonic() < end_s:
        time.sleep(0.01)
    assert not go.is_set()
    assert not writer.held
    go.set()
    thread.join(10)
    assert raised == [WriterFailure.TIMEOUT.value]
    assert not writer.held


def test_a_class_that_keeps_its_window_itself_says_so():
    """Then nothing rings."""

    class Own(Small):
        keeps_window = False

        def freeze(self, session, *, budget):
            super().freeze(session, budget=budget)

    clock = VirtualClock()
    writer = Own()
    writer.freeze(session(), budget=Budget.of(clock, 10.0))
    clock.advance(60.0)
    assert writer.held
