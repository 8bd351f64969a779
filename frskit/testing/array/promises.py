"""Scenarios of the array kit for what a caller relies on when things go wrong.

What it is: one function per sentence of `DiskArray` about deadlines, keys, numbers, read-only
presentations, staged objects and foreign copies. What it is not: the content of copies; that is
`frskit.testing.array.scenarios`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from frskit._typing import override
from frskit.clock import Budget, VirtualClock
from frskit.errors import (
    CopyConflict,
    OutcomeUnknown,
    PresentationFailed,
    Stopped,
    UsageError,
)
from frskit.model.storage import CopyRequest, ReadOnlyScope, ScsiLun
from frskit.testing.array.steps import (
    UNLIMITED,
    delete_fully,
    kit_key,
    refused,
    some_kind,
    state_of,
    take_set,
)
from frskit.testing.report import demand

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.model.ids import CopyKey, StorageId
    from frskit.model.storage import StagedCopies
    from frskit.protocols import DiskArray
    from frskit.testing.array.world import ArrayWorld
    from frskit.testing.report import KitReport

__all__ = ["PROMISES"]

_LOOKS: Final = 200  # more than any array needs to look at its budget during one small commit
_NUMBER: Final = 7  # any number that a fresh world does not use


class _Hurry(VirtualClock):
    """A clock on which time is up after so many looks, whatever happens between them."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    @override
    def monotonic(self) -> float:
        self.looks -= 1
        return 0.0 if self.looks >= 0 else 100.0


def _request(array: DiskArray, source: StorageId, name: str) -> CopyRequest:
    return CopyRequest(source=source, kind=some_kind(array), name=name)


def _staged(world: ArrayWorld, number: int) -> StagedCopies:
    request = _request(world.array, world.storages[0], f"kit-{number}")
    return world.array.stage_copies([request], key=kit_key(number), budget=UNLIMITED)


def _late_commit(world: ArrayWorld, report: KitReport) -> None:
    """Whenever the time is up, the commit gives no result; what it made is found by the key."""
    part = "late commit"
    for looks in range(_LOOKS):
        staged, clock = _staged(world, looks + 1), _Hurry(looks)
        try:
            world.array.commit_copies(staged, budget=Budget(clock=clock, deadline_s=1.0))
        except OutcomeUnknown as error:
            demand(error.key == staged.key, "OutcomeUnknown has another key than the set")
        except Stopped:
            made = world.array.copies(key=staged.key, budget=UNLIMITED)
            demand(not made, "a commit that was out of time made copies [EVA-34]")
        else:
            # One look is one before anything: nobody would have noticed that the effect came late.
            in_time = clock.looks >= 0 and looks - clock.looks >= 2
            demand(in_time, "a commit gave a result after its deadline [HAZ-09]")
            report.ran(part)
            return  # there was time for all its looks, so there are no more places to be late at
        _clear(world, staged.key)
    report.skip(part, f"a commit looks at its budget more than {_LOOKS} times")


def _clear(world: ArrayWorld, key: CopyKey) -> None:
    for each in world.array.copies(key=key, budget=UNLIMITED):
        delete_fully(world, each.id)
    world.array.discard_staged(key, budget=UNLIMITED)


def _repeated_commit(world: ArrayWorld, report: KitReport) -> None:
    """A commit that is repeated after a member was deleted gives the others."""
    array = world.array
    limit = array.capabilities.max_set_members or 2
    if limit < 2:
        report.skip("commit again after a deletion", "a set has one member")
        return
    requests = [
        _request(array, source, f"kit-{index}") for index, source in enumerate(world.storages[:2])
    ]
    staged = array.stage_copies(requests, key=kit_key(1), budget=UNLIMITED)
    first, second = array.commit_copies(staged, budget=UNLIMITED)
    delete_fully(world, first.id)
    again = array.commit_copies(staged, budget=UNLIMITED)
    demand(
        [each.id for each in again] == [second.id],
        "a repeated commit does not give what is left of the set",
    )
    report.ran("commit again after a deletion")


def _fresh_ids(world: ArrayWorld, report: KitReport) -> None:
    """An id is one object's: the same name, set or key gives another id after a deletion."""
    array, used = world.array, {each.id for each in world.array.storage(budget=UNLIMITED)}
    for _ in range(3):
        made = take_set(array, kit_key(1), world.storages[:1], some_kind(array))
        again = sorted(used & {each.id for each in made})
        demand(not again, f"the id {again} names a second object")
        used |= {each.id for each in made}
        _clear(world, kit_key(1))
    report.ran("ids are never used again")


def _no_set(world: ArrayWorld, report: KitReport) -> None:
    """No members, or one source twice, is the caller's mistake, and nothing is made."""
    array, before = world.array, state_of(world.array)
    twice = [_request(array, world.storages[0], f"kit-{number}") for number in range(2)]
    for requests, doing in (([], "a set without members"), (twice, "a source named twice")):
        refused(
            lambda requests=requests: array.stage_copies(  # type: ignore[misc]
                requests, key=kit_key(1), budget=UNLIMITED
            ),
            UsageError,
            doing=doing,
        )
    demand(state_of(array) == before, "a refused call changed the array [EVA-32]")
    report.ran("sets that are none")


def _conflict(world: ArrayWorld, report: KitReport) -> None:
    """A key that is used for other requests is refused before anything is made."""
    array = world.array
    staged = _staged(world, 1)
    other = _request(array, world.storages[1], "kit-other")
    for doing in ("a key that is staged", "a key that is committed"):
        before = state_of(array)
        refused(
            lambda: array.stage_copies([other], key=kit_key(1), budget=UNLIMITED),
            CopyConflict,
            doing=f"using {doing} for other requests",
        )
        demand(state_of(array) == before, "a refused key left something behind [EVA-32]")
        array.commit_copies(staged, budget=UNLIMITED)
    report.ran("keys in use")


def _staging_shows(world: ArrayWorld, report: KitReport) -> None:
    """What staging makes is listed with its key if the array says so, else not at all."""
    array = world.array
    before = {each.id for each in array.storage(budget=UNLIMITED)}
    staged = _staged(world, 1)
    new = [each for each in array.storage(budget=UNLIMITED) if each.id not in before]
    if array.capabilities.staging_visible:
        demand(
            {each.id for each in new} == set(staged.visible),
            "a staging does not name the objects that it made",
        )
        demand(
            all(each.staged_for == staged.key for each in new),
            "a staged object does not tell for which set it was made",
        )
        report.ran("staged objects")
    else:
        demand(not new and not staged.visible, "a staging shows, unlike the capabilities say")
        report.skip("staged objects", "staging is invisible")
    copies = array.commit_copies(staged, budget=UNLIMITED)
    known = {each.id: each for each in array.storage(budget=UNLIMITED)}
    demand(
        all(known[each.id].staged_for is None for each in copies),
        "a committed copy is listed as staged",
    )


def _foreign_copies(world: ArrayWorld, report: KitReport) -> None:
    """Copies that were made without frskit are listed, and belong to no set."""
    by_hand: Callable[[StorageId], StorageId] | None = getattr(world, "copy_by_hand", None)
    if by_hand is None:
        report.skip("foreign copies", "the world has no lever to make one")
        return
    array = world.array
    mine = {each.id for each in take_set(array, kit_key(1), world.storages[:1], some_kind(array))}
    stranger = by_hand(world.storages[1])
    listed = {each.id: each for each in array.copies(budget=UNLIMITED)}
    demand(stranger in listed, "copies() hides a copy that was made without frskit [HAZ-05]")
    demand(listed[stranger].key is None, "a copy that was made without frskit has a key")
    of_set = {each.id for each in array.copies(key=kit_key(1), budget=UNLIMITED)}
    demand(of_set == mine, "a copy that was made without frskit is listed with a set")
    report.ran("foreign copies")


def _numbers(world: ArrayWorld, report: KitReport) -> None:
    """The number asked for, or a refusal; never another one [HAZ-18]."""
    array = world.array
    first, second = world.storages[:2]

    def show(storage: StorageId, number: int) -> object:
        # Writable, as production has it: where the flag is the storage's there is no other way.
        return array.present(
            storage, world.host, read_only=False, number=number, budget=UNLIMITED
        ).access

    before = state_of(array)
    if not array.capabilities.numbers:
        refused(lambda: show(first, _NUMBER), PresentationFailed, doing="asking for a number")
        demand(state_of(array) == before, "a refused number changed something [EVA-32]")
        report.skip("LUN numbers", "the array gives no numbers")
        return
    for _ in range(2):
        place = show(first, _NUMBER)
        right = isinstance(place, ScsiLun) and place.number == _NUMBER
        demand(right, f"asked for LUN {_NUMBER}, the array gave {place}")
    before = state_of(array)
    for storage, number in ((second, _NUMBER), (first, _NUMBER + 1)):
        refused(
            lambda storage=storage, number=number: show(storage, number),  # type: ignore[misc]
            PresentationFailed,
            doing="a LUN number that is taken, or a second one for one disk,",
        )
    demand(state_of(array) == before, "a refused number changed something [EVA-32]")
    report.ran("LUN numbers")


def _read_only(world: ArrayWorld, report: KitReport) -> None:
    """What was asked for is not what is enforced; the result tells, and no host is forgotten."""
    array, scope = world.array, world.array.capabilities.read_only
    [copy] = take_set(array, kit_key(1), world.storages[:1], some_kind(array))
    shown = array.present(copy.id, world.host, read_only=True, budget=UNLIMITED)
    enforced = scope is not ReadOnlyScope.NONE
    demand(
        shown.read_only == enforced,
        f"read_only is {shown.read_only} where the capabilities say {scope.value}",
    )
    if enforced:
        refused(
            lambda: array.present(copy.id, world.host, read_only=False, budget=UNLIMITED),
            PresentationFailed,
            doing="presenting writable what is presented read-only",
        )
    array.unpresent(shown, budget=UNLIMITED)
    report.ran("read-only as asked")
    _other_hosts(world, report)


def _other_hosts(world: ArrayWorld, report: KitReport) -> None:
    array, source = world.array, world.storages[0]
    others = list(array.presentations(source, budget=UNLIMITED))
    if not others:
        report.skip("two hosts", "production storage is not presented in this world")
        return
    if array.capabilities.read_only is ReadOnlyScope.STORAGE:
        refused(
            lambda: array.present(source, world.host, read_only=True, budget=UNLIMITED),
            PresentationFailed,
            doing="showing storage to two hosts in two ways",
        )
    shown = array.present(source, world.host, read_only=False, budget=UNLIMITED)
    array.unpresent(shown, budget=UNLIMITED)
    left = list(array.presentations(source, budget=UNLIMITED))
    demand(left == others, "hiding storage from one host changed what another one sees [EVA-35]")
    report.ran("two hosts")


PROMISES: Final = (
    _late_commit,
    _repeated_commit,
    _fresh_ids,
    _no_set,
    _conflict,
    _staging_shows,
    _foreign_copies,
    _numbers,
    _read_only,
)
"""The scenarios, each for a fresh world."""
