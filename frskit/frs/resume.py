"""After a crash of the requestor: finish or roll back what it left, and say so [FRS R-7.1].

BackupComplete is never sent by a resume: the writer was told BackupShutdown when the process
died, so that backup can never be completed. What ends well is VERIFIED-not-completed (usable, not
truncated); everything else is rolled back. The order of truth: catalog, then array.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from attrs import evolve

from frskit.clock import Budget
from frskit.errors import FrskitError
from frskit.frs.damaged_state import end_lost_recovery, resumed_unrecorded
from frskit.frs.late_collection import sweep
from frskit.frs.recovery.interrupted import finish_recovery
from frskit.frs.set_lookup import known_before, remove_unfinished_set, sets_on_record
from frskit.frs.state.journal_words import RECOVERING, WITHDRAWN, RequestorOperation
from frskit.frs.truncation_ledger import truncated_since
from frskit.model.copies import Completion, CopyLife, MemberLife, Resumed, Verdict
from frskit.model.ids import CopyId, canonical_guid
from frskit.scopes import Releases, told

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from frskit.frs.deployment import Parts, Production
    from frskit.frs.state.journal import JournalOperation
    from frskit.model.copies import Copy

__all__ = ["finish_copy", "resume"]

# Lives in which a copy waits for somebody; all others are ends.
_UNFINISHED = frozenset(
    {CopyLife.REQUESTED, CopyLife.CREATED, CopyLife.IMPORTED, CopyLife.VERIFIED, CopyLife.DELETING}
)
_AGAIN = "frskit resume"


def resume(parts: Parts, budget: Budget | None = None) -> Sequence[Resumed]:
    """Bring every unfinished recovery and copy to an end, and retry leftovers; idempotent.

    What belongs to a server on which an operation is running now is left alone, and what that
    operation ended meanwhile as well: whether something is unfinished is asked with the lock held.
    One object that cannot be ended, or read, does not stop the others.
    """
    budget = budget or Budget.of(parts.clock)
    done = list(_recoveries(parts, budget))
    for copy in parts.catalog.ids():
        try:
            record = parts.catalog.get(copy)
        except FrskitError as error:
            done.append(_unreadable(copy, error))
            continue
        if _is_unfinished(record):
            done.extend(_copy_ended(parts, record, budget))
        elif record.stage == RECOVERING:
            done.extend(_lost_recovery(parts, record, budget))
    done.extend(_left_open(parts, budget, {each.id for each in done if not each.ended}))
    done.extend(resumed_unrecorded(parts, budget))
    # Also what another process left that died between a record and its late files.
    sweep(parts)
    return tuple(done)


def _is_unfinished(copy: Copy) -> bool:
    """Whether a resume has something to do: a life that is no end, or named leftovers."""
    return copy.life in _UNFINISHED or (copy.life is CopyLife.FAILED and bool(copy.leftovers))


def _copy_ended(parts: Parts, copy: Copy, budget: Budget) -> Iterator[Resumed]:
    try:
        budget.check("resuming")
        with parts.locks.hold(f"server-{copy.server}", "resume"):
            # Read with the lock held: until now an operation may have been running.
            now = parts.catalog.get(copy.id)
            if _is_unfinished(now):
                yield _finish(parts, now)
    except Exception as error:  # noqa: BLE001 - the other copies get their turn: law 11
        yield _left(copy.id, copy, error)


def _left_open(parts: Parts, budget: Budget, told_of: Collection[CopyId]) -> Iterator[Resumed]:
    """Operations whose record is at an end: all that is missing is the end in the journal.

    Their process died before its first record (a deletion that changed nothing yet), or after its
    last one. Those that wait for somebody have been told of.
    """
    for operation in list(parts.journal.unfinished()):
        subject = CopyId(operation.subject)
        if operation.kind == RequestorOperation.RECOVERY or subject in told_of:
            continue
        try:
            record = parts.catalog.get(subject)
        except FrskitError:
            continue  # told of above; without any record nobody knows what became of it
        try:
            budget.check("resuming")
            with parts.locks.hold(f"server-{record.server}", "resume"):
                now = parts.journal.still_unfinished(operation)
                record = parts.catalog.get(subject)
                if now is None or _is_unfinished(record):
                    continue
                result = _found_ended(now, record)
                now.end(f"resumed: {result}")
                yield Resumed(id=subject, copy=record, result=result)
        except Exception as error:  # noqa: BLE001 - the others get their turn: law 11
            yield _left(subject, record, error)


def _found_ended(operation: JournalOperation, record: Copy) -> str:
    if operation.kind != RequestorOperation.DELETION:
        return f"it had ended: {record.life.value}, {record.verdict.value}"
    if record.life is CopyLife.DELETED:
        return "it was deleted"
    return "the deletion had not begun: the copy is as it was"


def _lost_recovery(parts: Parts, copy: Copy, budget: Budget) -> Iterator[Resumed]:
    """A recovery of which the journal does not know any more."""
    try:
        budget.check("resuming")
        with parts.locks.hold(f"server-{copy.server}", "resume"):
            ended = end_lost_recovery(parts, copy.id)
        if ended is not None:
            yield ended
    except Exception as error:  # noqa: BLE001 - the other copies get their turn: law 11
        yield _left(copy.id, copy, error)


def _left(copy: CopyId, record: Copy | None, error: Exception) -> Resumed:
    """What could not be touched now."""
    return Resumed(
        id=copy,
        copy=record,
        result=f"left as it is: {told(error)}",
        ended=False,
        commands=(_AGAIN,),
    )


def _unreadable(copy: CopyId, error: Exception) -> Resumed:
    """A copy, or its operation, of which something cannot be read."""
    return Resumed(
        id=copy,
        copy=None,
        result=f"left as it is: {told(error)}",
        ended=False,
        commands=(f"frskit journal show {copy}", f"frskit copy show {copy}"),
    )


def _recoveries(parts: Parts, budget: Budget) -> Iterator[Resumed]:
    """Recoveries first: they decide on which LUNs production runs."""
    for operation in list(parts.journal.unfinished()):
        if operation.kind != RequestorOperation.RECOVERY:
            continue
        subject = CopyId(operation.subject)
        try:
            copy = parts.catalog.get(subject)
        except Exception as error:  # noqa: BLE001 - the other recoveries get their turn: law 11
            yield _unreadable(subject, error)
            continue
        try:
            budget.check("resuming")
            with parts.locks.hold(f"server-{copy.server}", "resume"):
                now = parts.journal.still_unfinished(operation)
                if now is None:
                    continue
                if now.damage and parts.catalog.get(subject).stage == RECOVERING:
                    yield _damaged(copy, now)
                    continue
                yield finish_recovery(parts, now)
        except Exception as error:  # noqa: BLE001 - the other recoveries get their turn: law 11
            yield _left(subject, copy, error)


def _damaged(copy: Copy, operation: JournalOperation) -> Resumed:
    """What a recovery had begun cannot be told, so that nothing of it is undone or ended."""
    return Resumed(
        id=copy.id,
        copy=copy,
        result=f"left as it is: {operation.damage} cannot be read. Restore that file from a copy; "
        "or bring production into order and its stores up by hand, and remove it",
        ended=False,
        commands=(f"frskit journal show {copy.id}", f"frskit show {copy.server}", _AGAIN),
    )


def _close_journal(parts: Parts, copy: CopyId, result: str) -> None:
    """The operations of a dead process on this copy are over."""
    for operation in list(parts.journal.unfinished()):
        if operation.subject == copy and operation.kind != RequestorOperation.RECOVERY:
            operation.end(f"resumed: {result}")


def finish_copy(parts: Parts, copy: Copy) -> Copy:
    """End the copy or deletion of a dead process; the caller holds the server's lock."""
    return _finish(parts, copy).copy or copy


def _finish(parts: Parts, copy: Copy) -> Resumed:
    production = parts.production(copy.server)
    if copy.life is CopyLife.DELETING:
        resumed = _roll_back(parts, production, copy)
    elif copy.verdict is Verdict.VERIFIED or _decayed_at_work(copy):
        resumed = _park(parts, production, copy)
    elif copy.verdict is Verdict.CORRUPT or _may_hold_logs(copy):
        resumed = _hide(parts, production, copy)
    else:
        resumed = _roll_back(parts, production, copy)
    _close_journal(parts, resumed.id, resumed.result)
    return resumed


def _may_hold_logs(copy: Copy) -> bool:
    """Whether a copy that was lost may be the only one that holds logs that are deleted by now.

    Its writers may have been told success, unless its run says that it withdrew the verdict first.
    """
    return copy.verdict is Verdict.DECAYED and copy.stage != WITHDRAWN


def _decayed_at_work(copy: Copy) -> bool:
    """Seen to be lost by a listing, while its run was telling the writers, or died of it."""
    return copy.life is CopyLife.VERIFIED and _may_hold_logs(copy)


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
    parked = parts.catalog.update(
        copy.id,
        lambda now: evolve(
            now, life=CopyLife.PARKED, completion=completion, truncated=truncated, stage="parked"
        ),
    )
    result = f"{parked.verdict.value}; completion is not known, nothing more is sent"
    return Resumed(id=copy.id, copy=parked, result=result)


def _hide(parts: Parts, production: Production, copy: Copy) -> Resumed:
    """A corrupt copy stays for whoever wants to look into it; what is left to do is to park it."""
    budget = Budget.of(parts.clock)
    storages = [member.storage for member in copy.members]
    releases = Releases()
    releases.push("presentations", lambda: production.store.unpresent(storages, budget=budget))
    releases.push("set", lambda: _let_go(parts, copy, budget))
    leftovers = tuple(releases.unwind())
    parts.recovery.server.rescan(budget=budget)
    parked = parts.catalog.update(copy.id, lambda now: evolve(now, leftovers=leftovers))
    if leftovers:
        return _needs_you(parked)
    word = copy.verdict.value
    return Resumed(id=copy.id, copy=parked, result=f"{word}; what was left of its check is gone")


def _needs_you(copy: Copy) -> Resumed:
    """Leftovers that could not be removed: the next resume tries again, or a deletion does."""
    return Resumed(
        id=copy.id,
        copy=copy,
        result="; ".join(copy.leftovers),
        ended=False,
        commands=(_AGAIN, f"frskit copy rm {copy.id}"),
    )


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
        others = sets_on_record(parts.catalog)
        unnamed = remove_unfinished_set(production.service, copy.key, before, budget, others)
    # By key and by record: the array may have members of which no record speaks [HAZ-10].
    found = [each.id for each in production.store.look(key=copy.key, budget=budget)]
    # What a recovery took from the copy is production's, whatever becomes of the copy.
    taken = {each.storage for each in copy.members if each.life is not MemberLife.HELD}
    taken.update(one for each in production.server.volumes() for one in each.storages)
    every = dict.fromkeys([*found, *(member.storage for member in copy.members)])
    storages = [each for each in every if each not in taken]
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
    ended = parts.catalog.update(
        copy.id,
        lambda now: evolve(
            now,
            life=life,
            failure=now.failure or "interrupted: the process ended before the verdict",
            leftovers=leftovers,
            late=now.late if leftovers else (),
        ),
    )
    if leftovers:
        return _needs_you(ended)
    return Resumed(id=copy.id, copy=ended, result="rolled back")
