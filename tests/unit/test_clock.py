"""Alarms of the clocks: a virtual one rings inside the wait, a real one beside everybody."""

from __future__ import annotations

import threading
import time

from frskit.clock import SystemClock, VirtualClock


def test_virtual_alarms_ring_at_their_time_in_order():
    """Inside the wait that passes them, each at its own reading; the wait ends where it should."""
    clock, seen = VirtualClock(), []
    for at_s in (7.0, 3.0, 3.0, 20.0):
        clock.alarm(at_s, lambda at_s=at_s: seen.append((at_s, clock.monotonic())))
    clock.sleep(10)
    assert seen == [(3.0, 3.0), (3.0, 3.0), (7.0, 7.0)]
    assert clock.monotonic() == 10.0
    clock.advance(10)
    assert seen[-1] == (20.0, 20.0)


def test_a_wait_inside_an_alarm_is_part_of_the_wait():
    """An alarm that waits itself does not make the outer wait longer, unless it is longer itself."""
    clock = VirtualClock()
    clock.alarm(2.0, lambda: clock.sleep(3))
    clock.sleep(10)
    assert clock.monotonic() == 10.0
    clock.alarm(11.0, lambda: clock.sleep(50))
    clock.sleep(10)
    assert clock.monotonic() == 61.0


def test_a_cancelled_alarm_is_silent_and_a_past_one_rings_at_the_next_step():
    """Cancelling twice or after it rang is harmless."""
    clock, seen = VirtualClock(elapsed_s=5), []
    cancel = clock.alarm(6.0, lambda: seen.append("cancelled"))
    late = clock.alarm(1.0, lambda: seen.append("past"))
    cancel()
    cancel()
    clock.sleep(0)
    late()
    clock.sleep(10)
    assert seen == ["past"]
    assert clock.monotonic() == 15.0


def test_a_real_alarm_rings_once_in_another_thread():
    """Soon after its time; a cancelled one never."""
    clock, seen = SystemClock(), []
    rang = threading.Event()

    def ring():
        seen.append((clock.monotonic(), threading.current_thread()))
        rang.set()

    at_s = clock.monotonic() + 0.05
    clock.alarm(clock.monotonic() + 0.02, lambda: seen.append("cancelled"))()
    clock.alarm(at_s, ring)
    assert rang.wait(20)
    time.sleep(0.05)
    ((when, thread),) = seen
    assert when >= at_s
    assert thread.daemon
    assert thread is not threading.current_thread()
    assert clock.real_time
    assert not VirtualClock().real_time
