"""One history of the array kit: an array, a naive model of bytes beside it, and every step.

What it is: the steps of a random history as plain methods, so that they can be read, typed and
taken by hand without Hypothesis. What it is not: what chooses the steps; that is
`frskit.testing.array.machine`.

The model is a byte string per storage and per copy, and the set of copies that exist. An array may
refuse what its rules forbid; then nothing may have changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define

from frskit.errors import (
    CopyConflict,
    CopyInvalid,
    FrskitError,
    HasDependents,
    InsufficientCapacity,
    LimitExceeded,
)
from frskit.model.storage import CopyKind, CopyRequest, CopyState, StagedCopies
from frskit.testing.array.steps import UNLIMITED, delete_fully, kit_key, used_bytes
from frskit.testing.report import demand

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from frskit.model.ids import CopyKey, StorageId
    from frskit.model.storage import ArrayCopy, Presentation
    from frskit.protocols import DiskArray
    from frskit.testing.array.world import ArrayWorld
    from frskit.testing.report import KitReport

__all__ = ["ArrayHistory"]

_BUDGET: Final = UNLIMITED
_REFUSALS: Final = (CopyConflict, InsufficientCapacity, LimitExceeded)
_PATIENCE: Final = 64  # times to let 1000 s pass until normalization must have ended


@define
class _Made:
    """A copy as the model knows it."""

    key: CopyKey
    source: StorageId
    kind: CopyKind
    content: bytearray
    invalid: bool = False
    copied_bytes: int = 0


class ArrayHistory:
    """One history: the array, the model beside it, and every step that may be taken."""

    def __init__(self, world: ArrayWorld, report: KitReport) -> None:
        self.world = world
        self.report = report
        self.size: int = world.size_bytes
        self.content: dict[StorageId, bytearray] = {
            each: bytearray(self.size) for each in world.storages
        }
        self.copies: dict[StorageId, _Made] = {}
        self.staged: dict[CopyKey, StagedCopies] = {}
        self.committed: dict[CopyKey, tuple[StagedCopies, tuple[StorageId, ...]]] = {}
        self.number: int = 0
        self.used: dict[str, int] | None = used_bytes(self.array)
        self.kinds: list[CopyKind] = sorted(
            self.array.capabilities.kinds, key=lambda kind: kind.value
        )

    @property
    def array(self) -> DiskArray:
        """The array now."""
        return self.world.array

    def _picked(self, pick: int) -> StorageId | None:
        return sorted(self.copies)[pick % len(self.copies)] if self.copies else None

    # --- steps -----------------------------------------------------------------------------

    def write(self, pick: int, offset: int, data: bytes) -> None:
        """Production writes."""
        storage = self.world.storages[pick % len(self.world.storages)]
        offset %= self.size - len(data) + 1
        try:
            self.world.write(storage, offset, data)
        except InsufficientCapacity:
            self._compare(storage)
            self.report.ran("refused write")
            return
        self.content[storage][offset : offset + len(data)] = data

    def stage(self, kind: int, members: Sequence[int]) -> None:
        """Prepare a set; refusals must leave nothing."""
        self.number += 1
        key = kit_key(self.number)
        count = len(self.world.storages)
        picks = dict.fromkeys(each % count for each in members)
        limit = self.array.capabilities.max_set_members or len(picks)
        requests = [
            CopyRequest(
                source=self.world.storages[each],
                kind=self.kinds[kind % len(self.kinds)],
                name=f"kit-{self.number}-{each}",
            )
            for each in list(picks)[:limit]
        ]
        before = used_bytes(self.array)
        try:
            self.staged[key] = self.array.stage_copies(requests, key=key, budget=_BUDGET)
        except _REFUSALS:
            self.array.discard_staged(key, budget=_BUDGET)
            demand(used_bytes(self.array) == before, "a refused staging took space [EVA-32]")

    def copy(self, kind: int, members: Sequence[int]) -> None:
        """Stage and commit at once, so that most histories have copies."""
        self.stage(kind, members)
        self.commit(-1)

    def commit(self, pick: int) -> None:
        """The instant of a staged set."""
        if not self.staged:
            return
        key = sorted(self.staged)[pick % len(self.staged)]
        staged = self.staged.pop(key)
        try:
            made = self.array.commit_copies(staged, budget=_BUDGET)
        except _REFUSALS:
            demand(
                not self.array.copies(key=key, budget=_BUDGET), "a refused set has members [EVA-34]"
            )
            self.array.discard_staged(key, budget=_BUDGET)
            self.report.ran("copy after refusal")
            return
        self._note(staged, made)
        self.report.ran("copy")

    def _note(self, staged: StagedCopies, made: Sequence[ArrayCopy]) -> None:
        sources = [each.source for each in staged.requests]
        demand([each.source for each in made] == sources, "copies are not in the requests' order")
        demand(all(each.key == staged.key for each in made), "a copy has another key")
        demand(
            len({each.id for each in made} | set(self.copies)) == len(made) + len(self.copies),
            "two copies have one id",
        )
        for copy, request in zip(made, staged.requests, strict=True):
            self.copies[copy.id] = _Made(
                key=staged.key,
                source=request.source,
                kind=request.kind,
                content=bytearray(self.content[request.source]),
            )
        self.committed[staged.key] = (staged, tuple(each.id for each in made))

    def discard(self, pick: int) -> None:
        """Forget a staged set, or try to forget a committed one."""
        if self.staged:
            key = sorted(self.staged)[pick % len(self.staged)]
            del self.staged[key]
            self.array.discard_staged(key, budget=_BUDGET)
        elif self.committed:
            self.array.discard_staged(
                sorted(self.committed)[pick % len(self.committed)], budget=_BUDGET
            )

    def commit_again(self, pick: int) -> None:
        """A commit that is repeated makes nothing new."""
        whole = [key for key, (_, ids) in self.committed.items() if set(ids) <= set(self.copies)]
        if not whole:
            return
        staged, ids = self.committed[sorted(whole)[pick % len(whole)]]
        again = self.array.commit_copies(staged, budget=_BUDGET)
        demand(tuple(each.id for each in again) == ids, "a repeated commit gives other copies")
        self.report.ran("repeat a commit")

    def read_copy(self, pick: int) -> None:
        """A copy shows its source at the instant, read-only."""
        storage = self._picked(pick)
        if storage is None or self.copies[storage].invalid:
            return
        shown = self.array.present(storage, self.world.host, read_only=True, budget=_BUDGET)
        try:
            self._compare(storage)
            if shown.read_only:
                self._try_write(storage)
                self._compare(storage)
        finally:
            self.array.unpresent(shown, budget=_BUDGET)
        self.report.ran("read a copy")

    def _compare(self, storage: StorageId) -> None:
        seen = self.world.read(storage, 0, self.size)
        expected = self.copies[storage].content if storage in self.copies else self.content[storage]
        if seen != expected:
            at = next(i for i in range(self.size) if seen[i : i + 1] != expected[i : i + 1])
            what = self.copies[storage].kind.value if storage in self.copies else "source"
            raise AssertionError(f"{what} {storage} differs from its instant at byte {at} [EVA-01]")

    def _try_write(self, storage: StorageId) -> None:
        try:
            self.world.write(storage, 0, b"\xff")
        except (FrskitError, OSError):
            return
        raise AssertionError("storage presented read-only was written")

    def write_copy(self, pick: int, offset: int, data: bytes) -> None:
        """Writing a copy changes that copy only [EVA-02]."""
        storage = self._picked(pick)
        if storage is None or self.copies[storage].invalid:
            return
        offset %= self.size - len(data) + 1
        shown = self.array.present(storage, self.world.host, read_only=False, budget=_BUDGET)
        try:
            self.world.write(storage, offset, data)
        except InsufficientCapacity:
            self._compare(storage)
            self.report.ran("refused write")
            return
        else:
            self.copies[storage].content[offset : offset + len(data)] = data
            self._compare(storage)
            self._compare(self.copies[storage].source)
        finally:
            self.array.unpresent(shown, budget=_BUDGET)
        self.report.ran("write a copy")

    def delete_copy(self, pick: int) -> None:
        """Delete a copy, twice."""
        storage = self._picked(pick)
        if storage is None:
            return
        try:
            delete_fully(self.world, storage)
        except HasDependents:
            return
        delete_fully(self.world, storage)
        self._forget(storage)
        self.report.ran("delete a copy")

    def _forget(self, storage: StorageId) -> None:
        made = self.copies.pop(storage)
        ids = self.committed[made.key][1]
        if not set(ids) & set(self.copies):
            del self.committed[made.key]

    def advance(self, seconds: float) -> None:
        """Let time pass; progress never goes back [EVA-05]."""
        self.world.advance(seconds)

    def finish(self) -> None:
        """Normalization ends; then the copy is its own [EVA-05, EVA-06]."""
        waiting = [
            each
            for each in self.array.copies(budget=_BUDGET)
            if each.state is CopyState.NORMALIZING
        ]
        for _ in range(_PATIENCE):
            if not any(
                each.state is CopyState.NORMALIZING for each in self.array.copies(budget=_BUDGET)
            ):
                break
            self.world.advance(1000)
        else:
            raise AssertionError(f"normalization does not end in {_PATIENCE * 1000} s [EVA-05]")
        if waiting:
            self.report.ran("normalization")

    def restart(self) -> None:
        """Close and reopen: everything is still there."""
        if self.world.restart():
            self.report.ran("restart")
        else:
            self.report.skip("restart", "the world cannot restart its array")

    def restore(self, pick: int) -> None:
        """Put a copy back into its source; all copies stay as they are [EVA-66]."""
        call: Callable[..., None] | None = getattr(self.array, "restore_storage", None)
        storage = self._picked(pick)
        if call is None:
            self.report.skip("restore", "the array has no restore_storage")
        if call is None or storage is None or self.copies[storage].invalid:
            return
        source = self.copies[storage].source
        hidden = self._hide(source)
        try:
            call(source, storage, budget=_BUDGET)
        except _REFUSALS:
            return
        else:
            self.content[source][:] = self.copies[storage].content
        finally:
            for each in hidden:
                self.array.present(
                    each.storage, each.host, read_only=each.read_only, budget=_BUDGET
                )
        self._compare(source)
        self.report.ran("restore")

    def _hide(self, storage: StorageId) -> Sequence[Presentation]:
        hidden = tuple(self.array.presentations(storage, budget=_BUDGET))
        for each in hidden:
            self.array.unpresent(each, budget=_BUDGET)
        return hidden

    # --- what always holds -----------------------------------------------------------------

    def check(self) -> None:
        """The array's lists agree with the model."""
        listed = {each.id: each for each in self.array.copies(budget=_BUDGET)}
        demand(set(listed) == set(self.copies), "copies() and what was made do not agree")
        for storage, copy in listed.items():
            made = self.copies[storage]
            demand(
                (copy.source, copy.kind, copy.key) == (made.source, made.kind, made.key),
                f"copies() tells something else of {storage} than its commit did",
            )
            demand(
                not made.invalid or copy.state is CopyState.INVALID,
                "an invalid copy became valid again [EVA-30]",
            )
            made.invalid = copy.state is CopyState.INVALID
            if copy.copied_bytes is not None:
                demand(
                    made.copied_bytes <= copy.copied_bytes <= (copy.size_bytes or 0),
                    f"progress went from {made.copied_bytes} to {copy.copied_bytes} [EVA-05]",
                )
                made.copied_bytes = copy.copied_bytes
        for key, (_, ids) in self.committed.items():
            alive = [each for each in ids if each in self.copies]
            found = [each.id for each in self.array.copies(key=key, budget=_BUDGET)]
            demand(found == alive, "copies(key) are not the members in their order")
        for key in self.staged:
            demand(not self.array.copies(key=key, budget=_BUDGET), "a staged set is visible")

    def end(self) -> None:
        """Every copy still shows its instant; then everything goes and space comes back."""
        for storage in self.world.storages:
            self._compare(storage)
        for pick in range(len(self.copies)):
            self.read_copy(pick)
        self._read_invalid()
        self.finish()
        for key in sorted(self.staged):
            self.array.discard_staged(key, budget=_BUDGET)
        for storage in sorted(self.copies):
            delete_fully(self.world, storage)
        demand(not self.array.copies(budget=_BUDGET), "deleted copies are still listed")
        left = {each.id for each in self.array.storage(budget=_BUDGET)}
        demand(left == set(self.world.storages), "storage is left after all copies were deleted")
        if self.used is None:
            self.report.skip("space comes back", "the array has no disk_groups")
            return
        demand(used_bytes(self.array) == self.used, "space did not come back [EVA-60]")
        self.report.ran("space comes back")

    def _read_invalid(self) -> None:
        for storage, made in self.copies.items():
            if not made.invalid:
                continue
            try:
                self.array.present(storage, self.world.host, read_only=True, budget=_BUDGET)
            except CopyInvalid:
                self.report.ran("invalid copy is refused")
            else:
                raise AssertionError("an invalid copy was presented [EVA-30]")
