"""Whether what a verdict speaks of is still there; the one place that judges a loss [HAZ-04].

A verdict is about data on an array, which goes on living: somebody deletes a LUN, a snapshot
overflows, a disk group fails. So the array is asked again whenever something is built on a verdict:
while the members normalize, right before success is told, before a copy is given back, in listings.

Only what the array says is a loss. A member that it does not name was asked for by name, and is
gone; one whose state it does not know (`CopyState.UNKNOWN`, as strangers say) is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, frozen

from frskit.clock import Budget
from frskit.errors import IntegrityError
from frskit.events import Warned
from frskit.frs.late_collection import decayed
from frskit.model.copies import CopyLife, MemberLife, Verdict
from frskit.scopes import told

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from frskit.frs.deployment import Parts
    from frskit.model.copies import Copy
    from frskit.model.ids import StorageId
    from frskit.model.storage import ArrayCopy
    from frskit.protocols import CopyStore

__all__ = ["Answer", "ask", "looked_at", "loss_error", "lost_among", "refuse_lost", "why_lost"]

_HINT_KEPT = "No log was deleted for it. Look at the array, then make another copy."
_HINT_CUT = (
    "Make a full copy at once, and keep what is left of this one until that is verified: "
    "logs may have been deleted for it."
)


@frozen(kw_only=True)
class Answer:
    """What the array says of a copy's members.

    Attributes:
        lost: Those that are gone or hold no data.
        silence: Why it did not say; empty if it did.
    """

    lost: tuple[StorageId, ...] = ()
    silence: str = ""


def lost_among(storages: Iterable[StorageId], states: Sequence[ArrayCopy]) -> tuple[StorageId, ...]:
    """Which of the members that a store was asked for are lost, by what it answered."""
    alive = {each.id for each in states} - {each.id for each in states if each.is_lost}
    return tuple(each for each in storages if each not in alive)


def ask(parts: Parts, copy: Copy) -> Answer:
    """Ask the array for the members that a copy holds; never raises what the array raises.

    In time of its own, as the writers are told: that the caller's is used up proves nothing, and
    the store's watchdog bounds it.
    """
    try:
        store = parts.production(copy.server).store
        return Answer(lost=_lost(store, _held(copy), Budget.of(parts.clock)))
    except Exception as error:  # noqa: BLE001 - parties are strangers: law 11
        text = f"the array did not say whether it still has every member: {told(error)}"
        parts.sink.emit(Warned(at=parts.clock.now(), text=text))
        return Answer(silence=text)


def loss_error(copy: Copy, *, kept: bool) -> IntegrityError:
    """The error of a run whose copy was lost.

    Args:
        copy: Its record, which says in `failure` what was lost.
        kept: Whether production certainly has all logs that it had.
    """
    return IntegrityError(
        f"the copy was good, and is not any more: {copy.failure}",
        hint=_HINT_KEPT if kept else _HINT_CUT,
        context={"copy": copy.id},
    )


def refuse_lost(parts: Parts, copy: Copy) -> Copy:
    """A copy that an earlier call made, as it is now, if it is still worth giving back.

    Raises:
        IntegrityError: It has decayed; the record says so.
    """
    if copy.verdict is Verdict.VERIFIED and (lost := ask(parts, copy).lost):
        copy = _decay(parts, copy, lost)
    if copy.verdict is Verdict.DECAYED:
        error = loss_error(copy, kept=False)
        error.copy, error.stage, error.leftovers = copy, copy.stage, copy.leftovers
        raise error
    return copy


def looked_at(parts: Parts, copy: Copy) -> Copy:
    """The record with its verdict decayed if the array lost a member, or it lost a late file."""
    held = _held(copy)
    if copy.verdict is not Verdict.VERIFIED or copy.life is CopyLife.DELETED or not held:
        return copy
    late = parts.late.missing(copy.late)
    if late is not None:
        return decayed(parts, copy.id, late.path)
    lost = _lost(parts.production(copy.server).store, held, Budget.of(parts.clock))
    return _decay(parts, copy, lost) if lost else copy


def why_lost(lost: Iterable[StorageId]) -> str:
    """What a record says of lost members."""
    return f"the array lost {', '.join(sorted(lost))}"


def _held(copy: Copy) -> list[StorageId]:
    return [each.storage for each in copy.members if each.life is MemberLife.HELD]


def _lost(store: CopyStore, held: Sequence[StorageId], budget: Budget) -> tuple[StorageId, ...]:
    return lost_among(held, store.look(storages=held, budget=budget)) if held else ()


def _decay(parts: Parts, copy: Copy, lost: Iterable[StorageId]) -> Copy:
    def change(record: Copy) -> Copy:
        """Unless a recovery or deletion has given the lost members up meanwhile."""
        still = set(_held(record)).intersection(lost)
        if not still or record.verdict is not Verdict.VERIFIED:
            return record
        return evolve(record, verdict=Verdict.DECAYED, failure=why_lost(still))

    return parts.catalog.update(copy.id, change)
