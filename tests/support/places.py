"""Places in a log as numbers, for tests that count generations."""

from __future__ import annotations


def rank(point):
    """Of a place, or None."""
    return None if point is None else point.rank


def ranks(stretch):
    """Of a stretch: first and last, or None."""
    return None if stretch is None else (stretch.first.rank, stretch.last.rank)


def analyzed(world, copy, mode, *, component="sg1"):
    """What the application of an `ExchangeWorld` says of the logs, without a stop."""
    from frskit.model.plans import RecoveryTarget

    return world.exchange.application.analyze(
        component, copy, RecoveryTarget(mode=mode), budget=world.budget
    )


def actions_for(world, copy, mode, method):
    """The changes of files that it wants, without a stop."""
    from frskit.model.plans import RecoveryTarget

    return world.exchange.application.file_actions(
        "sg1", copy, RecoveryTarget(mode=mode), method, budget=world.budget
    )
