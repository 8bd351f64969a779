"""What the requestor's own state has lost: records, a whole catalog, the journal of a recovery.

The array and production are asked what they know of it. Nothing is deleted because a record could
not be read or is gone: such copies are named, and people decide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from frskit.clock import Budget
from frskit.events import Warned
from frskit.frs.recovery.interrupted import MOUNTED, release
from frskit.frs.recovery.planning import used_up
from frskit.frs.state.journal_words import RECOVERING, RequestorOperation
from frskit.model.copies import (
    Copy,
    CopyFilter,
    CopyLife,
    DamagedRecord,
    MemberLife,
    Resumed,
    UnrecordedCopy,
)
from frskit.model.ids import CopyId, canonical_guid
from frskit.scopes import told

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from frskit.frs.deployment import Parts, Production
    from frskit.model.ids import StorageId

__all__ = ["end_lost_recovery", "resumed_unrecorded", "unrecorded", "warn_damaged"]


def warn_damaged(parts: Parts, damaged: Iterable[DamagedRecord]) -> None:
    """Tell listeners of records that a listing had to leave out."""
    for each in damaged:
        parts.sink.emit(Warned(at=parts.clock.now(), text=each.problem))


def unrecorded(parts: Parts, budget: Budget) -> Sequence[UnrecordedCopy]:
    """Copies of production's LUNs that carry a key of frskit and of which there is no record.

    That is what an emptied catalog leaves. Others may keep their copies on the same array: a set
    counts only if one of its members is a copy of a LUN that production has, or is one. A store
    that cannot be asked is left out with a warning; a stranger's store may know no keys.
    """
    known = {canonical_guid(each) for each in parts.catalog.ids(include_deleted=True)}
    found: list[UnrecordedCopy] = []
    for production in parts.productions.values():
        try:
            found += _unrecorded(production, known, budget)
        except Exception as error:  # noqa: BLE001 - parties are strangers: law 11
            text = (
                f"the array of {production.server.name} cannot be asked for copies: {told(error)}"
            )
            parts.sink.emit(Warned(at=parts.clock.now(), text=text))
    return _without_members(parts, found) if found else ()


def _without_members(parts: Parts, found: Sequence[UnrecordedCopy]) -> tuple[UnrecordedCopy, ...]:
    """Those of which no record names a LUN: a service may use a key of its own on the array.

    Where a record of the server cannot be read, it may name them: then none is called unrecorded.
    """
    records, damaged = parts.catalog.readable(CopyFilter(include_deleted=True))
    members = {member.storage for record in records for member in record.members}
    doubtful = {each.server for each in damaged}
    return tuple(
        each
        for each in found
        if each.server.casefold() not in doubtful and members.isdisjoint(each.storages)
    )


def _unrecorded(
    production: Production, known: set[str], budget: Budget
) -> Iterator[UnrecordedCopy]:
    sets: dict[str, list[StorageId]] = {}
    ours: set[str] = set()
    mounted = {one for each in production.server.volumes() for one in each.storages}
    for each in production.store.look(budget=budget):
        if each.key is None or canonical_guid(each.key) in known:
            continue
        key = canonical_guid(each.key)
        sets.setdefault(key, []).append(each.id)
        if each.id in mounted or each.source in mounted:
            ours.add(key)
    for key, storages in sets.items():
        if key in ours:
            yield UnrecordedCopy(
                id=CopyId(key), server=production.server.name, storages=tuple(storages)
            )


def resumed_unrecorded(parts: Parts, budget: Budget) -> Iterator[Resumed]:
    """The same for a resume, which can do nothing about them."""
    for each in unrecorded(parts, budget):
        yield Resumed(
            id=each.id,
            copy=None,
            result=each.problem,
            ended=False,
            commands=(f"frskit journal show {each.id}",),
        )


def end_lost_recovery(parts: Parts, copy: CopyId) -> Resumed | None:
    """End a recovery of which only the copy's record speaks; the caller holds the server's lock.

    Its journal was emptied or removed, so that no step can be undone. If the stores are up,
    production runs, and the copy is given free. Else people have to look.

    Returns:
        None if the journal knows the recovery, or there is none any more.
    """
    record = parts.catalog.get(copy)
    if record.stage != RECOVERING or _is_journalled(parts, copy):
        return None
    production = parts.production(record.server)
    down = _down(production, record, Budget.of(parts.clock))
    lost = "the journal of the recovery from it is gone"
    if down:
        return Resumed(
            id=copy,
            copy=record,
            result=f"{lost}, and {', '.join(down)} is not up: restore the journal from a copy, or "
            "bring production into order and its stores up by hand",
            ended=False,
            commands=(f"frskit show {record.server}", "frskit resume"),
        )
    _use_up(parts, production, copy)
    release(parts, copy)
    return Resumed(
        id=copy,
        copy=parts.catalog.get(copy),
        result=f"{lost}; all stores are up. LUNs and files that it had put aside may be left",
    )


def _is_journalled(parts: Parts, copy: CopyId) -> bool:
    return any(
        each.kind == RequestorOperation.RECOVERY and each.subject == copy
        for each in parts.journal.unfinished()
    )


def _down(production: Production, record: Copy, budget: Budget) -> list[str]:
    """The stores of the copy's components that are not up; a component that is gone counts."""
    names = {each.name for each in production.application.components(budget=budget)}
    down: list[str] = [each for each in record.components if each not in names]
    for name in names.intersection(record.components):
        status = production.application.status(name, budget=budget)
        down += [each.name for each in status.databases if each.state != MOUNTED]
    return sorted(down)


def _use_up(parts: Parts, production: Production, copy: CopyId) -> None:
    """Members that production runs on are the copy's no more."""
    mounted = {one for each in production.server.volumes() for one in each.storages}

    def change(record: Copy) -> Copy:
        members = tuple(
            evolve(each, life=MemberLife.CONSUMED) if each.storage in mounted else each
            for each in record.members
        )
        now = evolve(record, members=members)
        return evolve(now, life=CopyLife.CONSUMED) if used_up(now) else now

    parts.catalog.update(copy, change)
