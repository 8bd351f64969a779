"""Deleting a set that will never get a verdict, or lost it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.clock import Budget
from frskit.scopes import Releases

if TYPE_CHECKING:
    from frskit.frs.deployment import Parts
    from frskit.model.shadows import ShadowSet
    from frskit.protocols import CopyStore

__all__ = ["discard"]


def discard(parts: Parts, store: CopyStore, created: ShadowSet) -> tuple[str, ...]:
    """Delete the set with its members and mounts; what cannot be deleted is named."""
    recovery = parts.recovery
    # Not the record's members: a set may be refused before it has become any.
    storages = list(dict.fromkeys(shadow.storage for shadow in created.shadows))

    def budget() -> Budget:
        """For each step its own: one that hangs must not use up the others' time."""
        return Budget.of(parts.clock, parts.policy.patience.cleanup_s)

    def delete() -> None:
        within = budget()
        store.delete(storages, budget=within)
        recovery.server.rescan(budget=within)

    releases = Releases()
    # Unwound from the last: mounts, set, members.
    releases.push("members on the array", delete)
    releases.push(
        "set on the recovery server",
        lambda: recovery.service.delete_set(created.id, budget=budget()),
    )
    releases.push("mounts of the copy", lambda: recovery.server.detach(storages, budget=budget()))
    return tuple(releases.unwind())
