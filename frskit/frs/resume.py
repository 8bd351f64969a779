"""After a crash of the requestor: finish or roll back what it left, and say so [FRS R-7.1].

BackupComplete is never sent by a resume: the writer was told BackupShutdown when the process
died, so that backup can never be completed. What ends well is VERIFIED-not-completed (usable, not
truncated); everything else is rolled back. The order of truth: catalog, then array.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from frskit.clock import Budget
from frskit.frs.recovery.interrupted import finish_recovery
from frskit.frs.set_lookup import known_before, remove_unfinished_set
from frskit.frs.state.journal_words import RequestorOperation
from frskit.frs.truncation_ledger import truncated_since
from frskit.model.copies import Completion, CopyFilter, CopyLife, Verdict
from frskit.model.ids import CopyId, canonical_guid
from frskit.scopes import Releases, told

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from frskit.frs.deployment import Parts, Production
    from frskit.model.copies import Copy

__all__ = ["Resumed", "resume"]

# Lives in which a copy waits for somebody; all others are ends.
_UNFINISHED = frozenset(
    {CopyLife.REQUESTED, CopyLife.CREATED, CopyLife.IMPORTED, CopyLife.VERIFIED, CopyLife.DELETING}
)


@frozen(kw_only=True)
class Resumed:
    """What became of one unfinished copy, or of the recovery that was using one."""

    copy: Copy
    result: str


def resume(parts: Parts) -> Sequence[Resumed]:
    """Bring every unfinished recovery and copy to an end; idempotent.

    What belongs to a server on which an operation is running now is left alone, and what that
    operation ended meanwhile as well: whether something is unfinished is asked with the lock held.
    """
    done = list(_recoveries(parts))
    for copy in parts.catalog.find(CopyFilter()):
        if copy.life not in _UNFINISHED:
            continue
        try:
            with parts.locks.hold(f"server-{copy.server}", "resume"):
                # Read with the lock held: until now an operation may have been running.
                now = parts.catalog.get(copy.id)
                if now.life in _UNFINISHED:
                    done.append(_finish(parts, now))
        except Exception as error:  # noqa: BLE001 - the other copies get their turn: law 11
            done.append(Resumed(copy=copy, result=f"left as it is: {told(error)}"))
    return tuple(done)


def _recoveries(parts: Parts) -> Iterator[Resumed]:
    """Recoveries first: they decide on which LUNs production runs."""
    for operation in list(parts.journal.unfinished()):
        if operation.kind != RequestorOperation.RECOVERY:
            continue
        copy = parts.catalog.get(CopyId(operation.subject))
        try:
            with parts.locks.hold(f"server-{copy.server}", "resume"):
                now = parts.journal.still_unfinished(operation)
                if now is None:
                    continue
                copy, result = finish_recovery(parts, now)
        except Exception as error:  # noqa: BLE001 - the other recoveries get their turn: law 11
            result = f"left as it is: {told(error)}"
        yield Resumed(copy=copy, result=result)


def _close_journal(parts: Parts, copy: Copy, result: str) -> None:
    """The operations of a dead process on this copy are over."""
    for operation in list(parts.journal.unfinished()):
        if operation.subject == copy.id and operation.kind != RequestorOperation.RECOVERY:
            operation.end(f"resumed: {result}")


def _finish(parts: Parts, copy: Copy) -> Resumed:
    production = parts.production(copy.server)
    if copy.verdict is Verdict.VERIFIED and copy.life is not CopyLife.DELETING:
        resumed = _park(parts, production, copy)
    else:
        resumed = _roll_back(parts, production, copy)
    _close_journal(parts, resumed.copy, resumed.result)
    return resumed


def _park(parts: Parts, production: Production, copy: Copy) -> Resumed:
    """A durable VERIFIED is usable; whether the writer was told is not known [HAZ-20]."""
    budget = Budget.of(parts.clock)
    storages = [member.storage for member in copy.members]
    _let_go(parts, copy, budget)
    production.store.unpresent(storages, budget=budget)
    parts.recovery.server.rescan(budget=budget)
    completion = copy.completion
    truncated = copy.truncated
    if completion is Completion.NONE:
        completion = Completion.UNKNOWN
        truncated = truncated_since(production.server, copy)
    parked = evolve(
        copy, life=CopyLife.PARKED, completion=completion, truncated=truncated, stage="parked"
    )
    parts.catalog.put(parked)
    return Resumed(copy=parked, result="verified; completion is not known, nothing more is sent")


def _let_go(parts: Parts, copy: Copy, budget: Budget) -> None:
    """Break the set if the recovery server still manages it."""
    set_id = copy.shadow_set
    if set_id is None:
        return
    known = {shadow.set_id for shadow in parts.recovery.service.shadows(budget=budget)}
    if canonical_guid(set_id) in known:
        parts.recovery.server.detach([m.storage for m in copy.members], budget=budget)
        parts.recovery.service.break_set(set_id, budget=budget)


def _roll_back(parts: Parts, production: Production, copy: Copy) -> Resumed:
    """Delete whatever service and array have of the set, looked up by its key."""
    budget = Budget.of(parts.clock)
    set_id = copy.shadow_set
    unnamed: list[str] = []
    if set_id is None:
        # Cut off before the service said what it calls the set.
        before = known_before(parts.journal, copy.id)
        unnamed = remove_unfinished_set(production.service, copy.key, before, budget)
    # By key and by record: the array may have members of which no record speaks [HAZ-10].
    found = {each.id for each in production.store.find(copy.key)}
    storages = [*{*found, *(member.storage for member in copy.members)}]
    releases = Releases()
    releases.push("members", lambda: production.store.delete(storages, budget=budget))
    if set_id is not None:
        delete = partial(parts.recovery.service.delete_set, set_id, budget=budget)
        releases.push("set", delete)
    releases.push("mounts", lambda: parts.recovery.server.detach(storages, budget=budget))
    leftovers = (*releases.unwind(), *unnamed)
    parts.recovery.server.rescan(budget=budget)
    gone = CopyLife.DELETED if copy.life is CopyLife.DELETING else CopyLife.FAILED
    # A deletion that left something behind stays one, and is tried again.
    life = copy.life if leftovers and gone is CopyLife.DELETED else gone
    ended = evolve(
        copy,
        life=life,
        failure=copy.failure or "interrupted: the process ended before the verdict",
        leftovers=leftovers,
    )
    parts.catalog.put(ended)
    return Resumed(copy=ended, result="rolled back" if not leftovers else "; ".join(leftovers))
