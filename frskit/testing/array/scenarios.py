"""Fixed scenarios of the array kit: the cases that a random history reaches too rarely.

What it is: one function per promise of `DiskArray`, each on a fresh world. What it is not: an
entry point; see `frskit.testing.array.kit.check_disk_array`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from frskit.errors import (
    ArrayError,
    CopyConflict,
    FrskitError,
    HasDependents,
    LimitExceeded,
    StillPresented,
    StorageNotFound,
    UnsupportedKind,
)
from frskit.model.ids import HostRef, StorageId
from frskit.model.storage import CopyKind, CopyRequest, CopyState, SetAtomicity
from frskit.testing.array.promises import PROMISES
from frskit.testing.array.steps import (
    POLLS,
    UNLIMITED,
    delete_fully,
    kit_key,
    refused,
    some_kind,
    state_of,
    take_set,
    used_bytes,
)
from frskit.testing.report import demand

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from frskit.model.ids import CopyKey
    from frskit.model.storage import ArrayCopy, StagedCopies
    from frskit.protocols import DiskArray
    from frskit.testing.array.world import ArrayWorld
    from frskit.testing.report import KitReport

__all__ = ["demand", "kit_key", "run_scenarios", "take_set", "used_bytes"]

_ROUNDS = 12  # cuts under load; one torn set in a few is enough to be caught
_BUDGET = UNLIMITED


def _unknown_source(world: ArrayWorld, report: KitReport) -> None:
    array, before = world.array, state_of(world.array)
    kind = some_kind(array)
    stranger = StorageId("kit:nobody")
    sources = [world.storages[0], stranger]
    refused(
        lambda: take_set(array, kit_key(1), sources, kind),
        StorageNotFound,
        doing="copying an unknown storage",
    )
    refused(
        lambda: array.present(stranger, world.host, read_only=True, budget=_BUDGET),
        StorageNotFound,
        doing="presenting an unknown storage",
    )
    refused(
        lambda: array.present(
            world.storages[0], HostRef("kit-nobody"), read_only=True, budget=_BUDGET
        ),
        StorageNotFound,
        doing="presenting to an unknown host",
    )
    array.delete_storage(stranger, budget=_BUDGET)
    array.discard_staged(kit_key(99), budget=_BUDGET)
    demand(not array.storage([stranger], budget=_BUDGET), "an unknown id is listed as storage")
    demand(state_of(array) == before, "a refused call changed the array [EVA-32]")
    report.ran("unknown ids")


def _unsupported_kind(world: ArrayWorld, report: KitReport) -> None:
    array = world.array
    others = [kind for kind in CopyKind if kind not in array.capabilities.kinds]
    if not others:
        report.skip("unsupported kind", "the array offers every kind")
        return
    for kind in others:
        refused(
            lambda kind=kind: take_set(array, kit_key(1), world.storages[:1], kind),  # type: ignore[misc]
            UnsupportedKind,
            doing=f"a copy of kind {kind.value}",
        )
    demand(not array.copies(budget=_BUDGET), "a refused kind left a copy")
    report.ran("unsupported kind")


def _too_many_members(world: ArrayWorld, report: KitReport) -> None:
    limit = world.array.capabilities.max_set_members
    if limit is None:
        report.skip("largest set", "the array declares no limit")
        return
    if limit >= len(world.storages):
        report.skip("largest set", f"the limit is {limit}, the world has fewer storages")
        return
    kind = some_kind(world.array)
    members = world.storages[: limit + 1]
    refused(
        lambda: take_set(world.array, kit_key(1), members, kind),
        LimitExceeded,
        doing="a set above the declared limit",
    )
    demand(not world.array.copies(budget=_BUDGET), "a set that was too large left copies")
    report.ran("largest set")


def _members(world: ArrayWorld) -> Sequence[StorageId]:
    limit = world.array.capabilities.max_set_members
    return world.storages[: 2 if limit is None else min(2, limit)]


def _whole_sets(world: ArrayWorld, report: KitReport) -> None:
    """A member that becomes impossible after staging fails the set as a whole [EVA-34]."""
    array = world.array
    first, *others = _members(world)
    if not others:
        report.skip("set fails as a whole", "sets have one member")
        return
    last, kind = others[-1], some_kind(array)
    requests = [CopyRequest(source=each, kind=kind) for each in (first, last)]
    staged = array.stage_copies(requests, key=kit_key(1), budget=_BUDGET)
    for presentation in array.presentations(last, budget=_BUDGET):
        array.unpresent(presentation, budget=_BUDGET)
    delete_fully(world, last)
    refused(
        lambda: array.commit_copies(staged, budget=_BUDGET),
        CopyConflict,
        StorageNotFound,
        doing="committing a set with a member whose source is gone",
    )
    demand(not array.copies(key=kit_key(1), budget=_BUDGET), "a failed set has members [EVA-34]")
    array.discard_staged(kit_key(1), budget=_BUDGET)
    demand(not array.copies(budget=_BUDGET), "a failed set left copies behind [EVA-34]")
    left = {each.id for each in array.storage(budget=_BUDGET)}
    demand(left == set(world.storages) - {last}, "a failed set left storage behind [EVA-34]")
    report.ran("set fails as a whole")


def _staging(world: ArrayWorld, report: KitReport) -> None:
    array, before = world.array, state_of(world.array)
    kind = some_kind(array)
    request = CopyRequest(source=world.storages[0], kind=kind, name="kit-staged")
    staged = array.stage_copies([request], key=kit_key(1), budget=_BUDGET)
    again = array.stage_copies([request], key=kit_key(1), budget=_BUDGET)
    demand(staged == again, "staging the same set again gives another staging")
    demand(not array.copies(budget=_BUDGET), "a staged set is listed as copies")
    other = CopyRequest(source=world.storages[1], kind=kind, name="kit-other")
    refused(
        lambda: array.stage_copies([other], key=kit_key(1), budget=_BUDGET),
        CopyConflict,
        doing="using a key for other requests",
    )
    array.discard_staged(kit_key(1), budget=_BUDGET)
    array.discard_staged(kit_key(1), budget=_BUDGET)
    demand(state_of(array) == before, "a discarded staging left something behind")
    refused(
        lambda: array.commit_copies(staged, budget=_BUDGET),
        ArrayError,
        doing="committing a discarded set",
    )
    demand(not array.copies(budget=_BUDGET), "committing a discarded set made copies")
    try:
        array.stage_copies([request], key=kit_key(2), budget=_BUDGET)
    except ArrayError as error:
        raise AssertionError(f"a discarded staging still stands in the way: {error}") from error
    array.discard_staged(kit_key(2), budget=_BUDGET)
    report.ran("staging")


def _presenting(world: ArrayWorld, report: KitReport) -> None:
    array = world.array
    [copy] = take_set(array, kit_key(1), world.storages[:1], some_kind(array))
    demand(
        not array.presentations(copy.id, budget=_BUDGET), "a new copy is visible to a host [EVA-35]"
    )
    first = array.present(copy.id, world.host, read_only=True, budget=_BUDGET)
    again = array.present(copy.id, world.host, read_only=True, budget=_BUDGET)
    demand(first == again, "presenting twice gives two presentations")
    demand(
        list(array.presentations(copy.id, budget=_BUDGET)) == [first],
        "presentations() does not tell the truth",
    )
    refused(
        lambda: array.delete_storage(copy.id, budget=_BUDGET),
        StillPresented,
        doing="deleting presented storage",
    )
    demand(bool(array.storage([copy.id], budget=_BUDGET)), "a refused deletion deleted [EVA-32]")
    array.unpresent(first, budget=_BUDGET)
    array.unpresent(first, budget=_BUDGET)
    demand(
        not array.presentations(copy.id, budget=_BUDGET), "unpresented storage is still presented"
    )
    try:
        world.read(copy.id, 0, 1)
    except Exception:  # noqa: BLE001 - how a world fails to reach it is its own business
        report.ran("presentation")
        return
    raise AssertionError("unpresented storage can be read [EVA-35]")


def _content(world: ArrayWorld, report: KitReport) -> None:
    """A copy shows its instant before, during and after normalization; space comes back."""
    array, source = world.array, world.storages[0]
    half = world.size_bytes // 2
    for number, kind in enumerate(each for each in CopyKind if each in array.capabilities.kinds):
        before, first = used_bytes(array), bytes([number + 1]) * 9
        world.write(source, half, b"the instant")
        world.write(source, 0, first)
        staged, [copy] = _stage_and_commit(array, kit_key(number), source, kind)
        world.write(source, half, b"later......")
        world.write(source, 0, b"elsewhere")
        shown = array.present(copy.id, world.host, read_only=True, budget=_BUDGET)
        for _ in range(POLLS):
            seen = world.read(copy.id, half, 11), world.read(copy.id, 0, 9)
            demand(
                seen == (b"the instant", first),
                f"{kind.value} differs from its instant: it shows {seen} [EVA-01, EVA-03]",
            )
            world.advance(1000)
            states = {each.state for each in array.copies(key=copy.key, budget=_BUDGET)}
        demand(CopyState.NORMALIZING not in states, "normalization does not end [EVA-05]")
        if shown.read_only:
            _write_protected(world, copy.id)
        again = array.commit_copies(staged, budget=_BUDGET)
        demand([each.id for each in again] == [copy.id], "a repeated commit gives other copies")
        array.unpresent(shown, budget=_BUDGET)
        delete_fully(world, copy.id)
        delete_fully(world, copy.id)
        demand(used_bytes(array) == before, "space did not come back [EVA-60]")
        report.ran(f"content of a {kind.value}")
        report.ran("delete a copy")


def _stage_and_commit(
    array: DiskArray, key: CopyKey, source: StorageId, kind: CopyKind
) -> tuple[StagedCopies, Sequence[ArrayCopy]]:
    request = CopyRequest(source=source, kind=kind, name=f"kit-{key[-6:]}")
    staged = array.stage_copies([request], key=key, budget=_BUDGET)
    return staged, array.commit_copies(staged, budget=_BUDGET)


def _write_protected(world: ArrayWorld, storage: StorageId) -> None:
    seen = world.read(storage, 0, 1)
    try:
        world.write(storage, 0, b"\xff")
    except (FrskitError, OSError):
        demand(world.read(storage, 0, 1) == seen, "a refused write changed the copy")
        return
    raise AssertionError("storage presented read-only was written")


def _restoring(world: ArrayWorld, report: KitReport) -> None:
    """A restore brings the instant back into the source, and the copy keeps it [EVA-66]."""
    array, source = world.array, world.storages[0]
    call: Callable[..., None] | None = getattr(array, "restore_storage", None)
    if call is None:
        report.skip("restore", "the array has no restore_storage")
        return
    world.write(source, 0, b"the instant")
    _, [copy] = _stage_and_commit(array, kit_key(1), source, some_kind(array))
    world.write(source, 0, b"damaged....")
    for _ in range(POLLS):
        world.advance(1000)
        array.copies(budget=_BUDGET)
    hidden = tuple(array.presentations(source, budget=_BUDGET))
    for each in hidden:
        array.unpresent(each, budget=_BUDGET)
    call(source, copy.id, budget=_BUDGET)
    for each in hidden:
        array.present(each.storage, each.host, read_only=each.read_only, budget=_BUDGET)
    demand(world.read(source, 0, 11) == b"the instant", "a restore did not restore")
    world.write(source, 0, b"new work...")
    array.present(copy.id, world.host, read_only=True, budget=_BUDGET)
    demand(world.read(copy.id, 0, 11) == b"the instant", "a restore changed its copy [EVA-66]")
    report.ran("restore")


def _dependents(world: ArrayWorld, report: KitReport) -> None:
    array, source = world.array, world.storages[0]
    [copy] = take_set(array, kit_key(1), [source], some_kind(array))
    if copy.state not in (CopyState.DEPENDENT, CopyState.NORMALIZING):
        report.skip("source of a dependent copy", "copies are independent at once")
        return
    for presentation in array.presentations(source, budget=_BUDGET):
        array.unpresent(presentation, budget=_BUDGET)
    refused(
        lambda: array.delete_storage(source, budget=_BUDGET),
        HasDependents,
        doing="deleting the source of a dependent copy",
    )
    demand(bool(array.storage([source], budget=_BUDGET)), "a refused deletion deleted [EVA-32]")
    report.ran("source of a dependent copy")


def _instant(world: ArrayWorld, report: KitReport) -> None:
    """Two storages are written in turn by another thread; no cut may fall between [EVA-33]."""
    array, part = world.array, "one instant under load"
    pair = _members(world)
    if array.capabilities.set_atomicity is not SetAtomicity.INSTANT or len(pair) < 2:
        report.skip(part, f"set atomicity is {array.capabilities.set_atomicity.value}")
        return
    if not world.concurrent:
        report.skip(part, "the world's levers are for one thread")
        return
    stop, failures = threading.Event(), list[BaseException]()

    def writer() -> None:
        count = 0
        try:
            while not stop.is_set():
                count += 1
                for storage in pair:
                    world.write(storage, 0, count.to_bytes(8, "big"))
        except BaseException as error:  # noqa: BLE001 - shown by the main thread
            failures.append(error)

    thread = threading.Thread(target=writer)
    thread.start()
    try:
        for number in range(_ROUNDS):
            _cut_under_load(world, kit_key(number), pair)
    finally:
        stop.set()
        thread.join()
    demand(not failures, f"a write failed while sets were copied: {failures}")
    report.ran(part)


def _cut_under_load(world: ArrayWorld, key: CopyKey, pair: Sequence[StorageId]) -> None:
    array = world.array
    counts = []
    copies = take_set(array, key, pair, some_kind(array))
    for copy in copies:
        shown = array.present(copy.id, world.host, read_only=True, budget=_BUDGET)
        counts.append(int.from_bytes(world.read(copy.id, 0, 8), "big"))
        array.unpresent(shown, budget=_BUDGET)
    for copy in copies:
        delete_fully(world, copy.id)
    # The first is written before the second: it may be one ahead, never behind.
    demand(counts[0] - counts[1] in (0, 1), f"members are of different instants: {counts} [EVA-33]")


_SCENARIOS = (
    _unknown_source,
    _unsupported_kind,
    _too_many_members,
    _whole_sets,
    _staging,
    _presenting,
    _content,
    _restoring,
    _dependents,
    _instant,
    *PROMISES,
)


def run_scenarios(make: Callable[[], ArrayWorld], report: KitReport) -> None:
    """Run every scenario on a world of its own."""
    for scenario in _SCENARIOS:
        world = make()
        try:
            scenario(world, report)
        finally:
            world.close()
