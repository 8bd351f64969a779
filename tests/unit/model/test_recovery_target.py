"""Where a recovery ends: a mode, and for a roll forward perhaps a stop."""

from __future__ import annotations

import pytest

from frskit.errors import UsageError
from frskit.model.log_points import LogPoint, LogRange
from frskit.model.plans import LogAnalysis, LogVerdict, RecoveryMode, RecoveryTarget

PIT, FORWARD = RecoveryMode.POINT_IN_TIME, RecoveryMode.ROLL_FORWARD


@pytest.mark.parametrize(
    ("mode", "kind", "stop", "said"),
    [
        (PIT, "time", "12:00", "a stop belongs to roll forward"),
        (FORWARD, "", "12:00", "a kind and a text"),
        (FORWARD, "time", "", "a kind and a text"),
    ],
)
def test_what_cannot_be_meant_is_refused_when_it_is_made(mode, kind, stop, said):
    """Before anybody is asked."""
    with pytest.raises(UsageError, match=said):
        RecoveryTarget(mode=mode, stop_kind=kind, stop=stop)


def test_a_target_says_where_it_ends():
    """In the application's own text."""
    assert str(RecoveryTarget(mode=PIT)) == "point-in-time"
    target = RecoveryTarget(mode=FORWARD, stop_kind="lsn", stop="0/1A2B3C")
    assert str(target) == "roll-forward, stop at lsn 0/1A2B3C"
    assert LogAnalysis(target=target, verdict=LogVerdict.OK).mode is FORWARD


@pytest.mark.parametrize(
    ("place", "inside"),
    [
        (LogPoint(rank=1), False),
        (LogPoint(rank=2), True),
        (LogPoint(rank=3), True),
        (LogPoint(rank=4), False),
        (LogPoint(rank=3, stream="another"), False),
        (3, False),
    ],
)
def test_a_stretch_holds_both_of_its_ends_and_nothing_of_another_stream(place, inside):
    """A place that cannot be compared is not in it."""
    assert (place in LogRange(first=LogPoint(rank=2), last=LogPoint(rank=3))) is inside
