"""Waiting until the members of a copy have normalized."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.errors import NormalizationFailed, NormalizationTimeout
from frskit.frs.still_there import lost_among

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from frskit.clock import Budget
    from frskit.frs.deployment import Parts
    from frskit.model.ids import StorageId
    from frskit.model.storage import ArrayCopy
    from frskit.protocols import CopyStore

__all__ = ["wait_normalized"]


def wait_normalized(
    parts: Parts,
    store: CopyStore,
    storages: Sequence[StorageId],
    progress: Callable[[str], Callable[[int, int], None]],
    budget: Budget,
) -> None:
    """Wait until no member is normalizing; the array is the only witness [FRS-07].

    Raises:
        NormalizationFailed: The array lost a member.
        NormalizationTimeout: It takes longer than the site's policy allows.
        TimedOut, Cancelled: As the budget says.
    """
    # Monotonic, because the clock may be set during a night of copying.
    limit = parts.clock.monotonic() + parts.policy.normalization_timeout_s
    while running := _running(store, storages, progress("normalization"), budget):
        # Late is a failure: no check ever starts on a copy that still normalizes.
        if parts.clock.monotonic() >= limit:
            raise NormalizationTimeout(
                f"{len(running)} members still normalize after "
                f"{parts.policy.normalization_timeout_s:.0f} s",
                context={
                    "storages": [each.id for each in running],
                    "left_bytes": sum(_left_bytes(each) for each in running),
                },
            )
        budget.wait(parts.policy.normalization_poll_s, "waiting for normalization")


def _running(
    store: CopyStore,
    storages: Sequence[StorageId],
    report: Callable[[int, int], None],
    budget: Budget,
) -> list[ArrayCopy]:
    """The members that normalize still; tells how far they all are."""
    states = store.look(storages=storages, budget=budget)
    if lost := lost_among(storages, states):
        raise NormalizationFailed("the array lost members of the copy: " + ", ".join(lost))
    running = [each for each in states if each.is_busy]
    total = sum(each.size_bytes or 0 for each in states)
    report(total - sum(_left_bytes(each) for each in running), total)
    return running


def _left_bytes(copy: ArrayCopy) -> int:
    return (copy.size_bytes or 0) - (copy.copied_bytes or 0)
