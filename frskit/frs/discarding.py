"""Deleting a set that will never get a verdict, or lost it, and what there may be of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.clock import Budget
from frskit.errors import FrskitError, NoAnswer
from frskit.frs.set_lookup import cleans_up_itself, remove_unfinished_set, sets_on_record
from frskit.scopes import Releases

if TYPE_CHECKING:
    from collections.abc import Collection

    from frskit.frs.deployment import Parts
    from frskit.model.copies import Copy
    from frskit.model.ids import SetId
    from frskit.model.shadows import ShadowSet
    from frskit.protocols import CopyStore

__all__ = ["discard", "half_made"]


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


def half_made(
    parts: Parts, copy: Copy, before: Collection[SetId] | None, error: BaseException
) -> list[str]:
    """What a creation that did not return has left, once it was cleaned up, and may make yet.

    Args:
        parts: The site.
        copy: Its record.
        before: The sets that the service had before; None: not known.
        error: How the creation ended.
    """
    service = parts.production(copy.server).service
    try:
        others = sets_on_record(parts.catalog)
    except FrskitError as trouble:  # the reason of the failure says more
        return [f"whatever the service made of set {copy.key}: {trouble}"]
    left = remove_unfinished_set(service, copy.key, before, Budget.of(parts.clock), others)
    if isinstance(error, NoAnswer) and not cleans_up_itself(service):
        left.append(f"what set {copy.key} becomes yet: {error}")
    return left
