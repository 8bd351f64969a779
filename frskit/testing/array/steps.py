"""Steps that the scenarios and histories of the array kit share.

What it is: small functions over an array or a world. What it is not: scenarios; see
`frskit.testing.array.scenarios` and `frskit.testing.array.promises`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from frskit.clock import Budget
from frskit.errors import FrskitError, OutcomeUnknown
from frskit.model.ids import CopyKey, StorageId
from frskit.model.storage import CopyKind, CopyRequest, StorageState
from frskit.testing.report import demand

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from frskit.model.storage import ArrayCopy
    from frskit.protocols import DiskArray
    from frskit.testing.array.world import ArrayWorld

__all__ = [
    "POLLS",
    "UNLIMITED",
    "delete_fully",
    "kit_key",
    "refused",
    "some_kind",
    "state_of",
    "take_set",
    "used_bytes",
]

POLLS: Final = 8
"""Times to let 1000 s pass until what goes on for a while must have ended."""
UNLIMITED: Final = Budget.unlimited()


def kit_key(number: int) -> CopyKey:
    """The key of the kit's set of this number; a GUID, as frskit's own keys are."""
    return CopyKey(f"00000000-0000-4000-8000-{number:012d}")


def used_bytes(array: DiskArray) -> dict[str, int] | None:
    """Space in use by pool, or None where the array does not tell."""
    groups = getattr(array, "disk_groups", None)
    return None if groups is None else {group.name: group.used_bytes for group in groups()}


def take_set(
    array: DiskArray, key: CopyKey, sources: Sequence[StorageId], kind: CopyKind
) -> Sequence[ArrayCopy]:
    """Stage and commit one set."""
    requests = [
        CopyRequest(source=source, kind=kind, name=f"kit-{key[-6:]}-{index:02d}")
        for index, source in enumerate(sources)
    ]
    staged = array.stage_copies(requests, key=key, budget=UNLIMITED)
    return array.commit_copies(staged, budget=UNLIMITED)


def refused(call: Callable[[], object], *errors: type[FrskitError], doing: str) -> None:
    """Demand that a call raises one of these errors."""
    try:
        call()
    except errors:
        return
    except Exception as error:
        raise AssertionError(f"{doing}: {type(error).__name__} instead of {errors}") from error
    raise AssertionError(f"{doing} was not refused")


def some_kind(array: DiskArray) -> CopyKind:
    """The first kind of copy that the array offers."""
    offered = array.capabilities.kinds
    demand(bool(offered), "the array offers no kind of copy")
    return next(kind for kind in CopyKind if kind in offered)


def state_of(array: DiskArray) -> object:
    """What is there and who sees it, to be compared before and after a call."""
    storages = {(each.id, each.name, each.size_bytes) for each in array.storage(budget=UNLIMITED)}
    seen = {
        (each.storage, each.host, each.read_only) for each in array.presentations(budget=UNLIMITED)
    }
    return storages, {each.id for each in array.copies(budget=UNLIMITED)}, seen, used_bytes(array)


def delete_fully(world: ArrayWorld, storage: StorageId) -> None:
    """Delete storage, and wait for it where the array takes its time."""
    try:
        world.array.delete_storage(storage, budget=UNLIMITED)
    except OutcomeUnknown:
        for _ in range(POLLS):
            listed = world.array.storage([storage], budget=UNLIMITED)
            if not listed:
                return
            demand(
                listed[0].state is StorageState.DELETING,
                "storage whose deletion has no answer does not say that it is being deleted",
            )
            world.advance(1000)
        raise AssertionError("a deletion does not end") from None
    demand(not world.array.storage([storage], budget=UNLIMITED), "deleted storage is still listed")
