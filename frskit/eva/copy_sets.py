"""Copy sets of the simulated array: staging, the instant, and what becomes of the copies.

What it is: the copy half of `DiskArray` and `SupportsRestore`. Staging checks the rules, numbers
the copies and reserves names and space; the commit is one cut of the block store for all members.
What it is not: the rules themselves (`frskit.eva.rules`).

Sources: [EVA 1.6] for kinds and rules, [EVA-33, EVA-34] for the set. The reservation by staging,
one source at most once in a set, and the names of unnamed copies are frskit's choice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from frskit.errors import (
    CopyConflict,
    InsufficientCapacity,
    NameInUse,
    OutcomeUnknown,
    StorageNotFound,
    UnsupportedKind,
    UsageError,
)
from frskit.eva.capacity import disk_psegs, raw_psegs, usable_psegs
from frskit.eva.identifiers import ObjectClass, storage_id, wwlun_name
from frskit.eva.records import CopySet, EvaCopyRequest, VirtualDisk
from frskit.eva.rules import RequestedCopy, check_copy, check_restore, check_set
from frskit.model.ids import CopyKey
from frskit.model.storage import ArrayCopy, CopyKind, CopyRequest, CopyState, StagedCopies

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from frskit.clock import Budget
    from frskit.eva.array_state import ArrayState
    from frskit.eva.space import DemandSnapshots, GroupSpace
    from frskit.model.ids import StorageId

__all__ = ["CopySets"]

_KINDS = frozenset(CopyKind)


class CopySets:
    """The copy sets of one array, and its copies.

    Arguments, results and errors are described at `frskit.eva.array.SimulatedEva`.

    Args:
        state: The array's state.
        space: What its disk groups have left.
        vsnaps: Its demand-allocated snapshots.
    """

    def __init__(self, state: ArrayState, space: GroupSpace, vsnaps: DemandSnapshots) -> None:
        self._state = state
        self._space = space
        self._vsnaps = vsnaps
        self._checked: tuple[CopyKey, int] | None = None

    def copies(
        self, *, key: CopyKey | None = None, budget: Budget | None = None
    ) -> Sequence[ArrayCopy]:
        """Copies of one set in the order of its requests, or all copies, oldest first."""
        if budget is not None:
            budget.check("listing copies")
        with self._state.query():
            disks = self._state.tables.disks.rows
            if key is None:
                return tuple(_as_copy(disk) for disk in disks.values() if disk.kind is not None)
            copy_set = self._state.tables.sets.rows.get(key)
            members = () if copy_set is None or copy_set.staged else copy_set.members
            return tuple(_as_copy(disks[each]) for each in members if each in disks)

    def staged_keys(self) -> Sequence[CopyKey]:
        """Keys of sets that are staged and not committed; they hold names and space."""
        with self._state.query():
            sets = self._state.tables.sets.rows.values()
            return tuple(each.key for each in sets if each.staged)

    def stage_copies(
        self, requests: Sequence[CopyRequest], *, key: CopyKey, budget: Budget
    ) -> StagedCopies:
        """Check, number, and reserve names and space for a set; nothing is visible yet."""
        budget.check("staging copies")
        wanted = tuple(map(_eva_request, requests))
        with self._state.command():
            known = self._state.tables.sets.rows.get(key)
            if known is None:
                self._state.tables.add_set(self._prepare(key, wanted))
                # Holds when this command has ended and until the next change of any table.
                self._checked = (key, self._state.tables.revision + 1)
                self._state.log("stage", key, f"{len(wanted)} members")
            elif known.requests != wanted:
                raise CopyConflict(
                    f"the key {key} is in use for other requests", context={"key": key}
                )
        return StagedCopies(key=key, requests=tuple(requests))

    def copy_by_hand(self, request: CopyRequest) -> StorageId:
        """One copy that belongs to no set, as an operator makes it on the array itself."""
        with self._state.command():
            # Prepared under a key that nobody can ask for, and never recorded as a set.
            copy_set = self._prepare(CopyKey(""), (_eva_request(request),))
            [prepared] = copy_set.prepared
            self._make([self._state.disk(request.source)], [evolve(prepared, key=None)])
            self._state.log("copy_by_hand", prepared.name, prepared.id)
            return prepared.id

    def _prepare(self, key: CopyKey, requests: tuple[EvaCopyRequest, ...]) -> CopySet:
        self._check_members(requests)
        prepared: list[VirtualDisk] = []
        names = self._state.profile.names
        for request in requests:
            disk = self._prepare_member(key, request)
            if any(
                names.same(other.name, disk.name) or other.wwlun == disk.wwlun for other in prepared
            ):
                raise NameInUse(
                    f"two members of the set are named {disk.name!r}", context={"key": key}
                )
            prepared.append(disk)
        for group in sorted({disk.group for disk in prepared}):
            costs = (disk_psegs(each, self._state.maps) for each in prepared if each.group == group)
            self._space.take(group, sum(costs))
        return CopySet(
            key=key,
            requests=requests,
            members=tuple(disk.id for disk in prepared),
            prepared=tuple(prepared),
        )

    def _check_members(self, requests: tuple[EvaCopyRequest, ...]) -> None:
        if not requests:
            raise UsageError("a copy set needs at least one member")
        sources = [request.source for request in requests]
        if len(set(sources)) != len(sources):
            raise UsageError("a source is named twice in one set", context={"sources": sources})
        staged = sum(1 for _ in self._state.staged_disks())
        refusal = check_set(
            len(requests), len(self._state.tables.disks.rows) + staged, self._state.profile
        )
        if refusal is not None:
            raise refusal.as_error(members=len(requests))

    def _prepare_member(self, key: CopyKey, request: EvaCopyRequest) -> VirtualDisk:
        self._check_request(request)
        source = self._state.disk(request.source)
        snapshot = request.kind is not CopyKind.SNAPCLONE
        identity = self._state.new_identity(ObjectClass.SNAPSHOT if snapshot else ObjectClass.VDISK)
        name = request.name or f"{_shortened(source.name)}-{identity.words[3]:08x}"
        self._state.check_free_name(name)
        self._state.check_comment(request.comment)
        group = request.disk_group or source.group
        self._state.group(group)
        disk = VirtualDisk(
            id=storage_id(identity),
            identity=identity,
            name=name,
            size_bytes=source.size_bytes,
            group=group,
            vraid=request.vraid or source.vraid,
            volume=-1,
            created_at=self._state.at,
            comment=request.comment,
            kind=request.kind,
            source=source.id,
            key=key,
            state=CopyState.DEPENDENT if snapshot else CopyState.NORMALIZING,
            forced_wwlun=wwlun_name(request.wwlun) if request.wwlun else "",
        )
        self._state.check_free_wwlun(disk)
        return disk

    def _check_request(self, request: EvaCopyRequest) -> VirtualDisk:
        """The source of a member that the rules allow now."""
        if request.kind not in _KINDS:
            raise UnsupportedKind(f"the array makes no copies of kind {request.kind!r}")
        source = self._state.disk(request.source)
        wish = RequestedCopy(
            kind=request.kind,
            group=request.disk_group or source.group,
            vraid=request.vraid or source.vraid,
        )
        refusal = check_copy(self._state.seen_by_rules(source), wish, self._state.profile)
        if refusal is not None:
            raise refusal.as_error(source=source.id, kind=request.kind.value)
        return source

    def commit_copies(self, staged: StagedCopies, *, budget: Budget) -> Sequence[ArrayCopy]:
        """The instant: all members or none, checked once more [EVA-33, EVA-34]."""
        budget.check("committing copies")
        if self._is_staged(staged.key):
            # The array takes its time; the instant itself is one cut, at the end of it. Writes are
            # held until the budget ends: a cut after it would be of no instant, so none is made.
            budget.wait(self._state.profile.commit_s, "committing copies")
        copies = self._committed(staged)
        if budget.remaining_s() == 0:
            raise OutcomeUnknown(
                f"the set {staged.key} was committed after its deadline", key=staged.key
            )
        return copies

    def _committed(self, staged: StagedCopies) -> Sequence[ArrayCopy]:
        with self._state.command():
            copy_set = self._state.tables.sets.rows.get(staged.key)
            if copy_set is None or copy_set.requests != tuple(map(_eva_request, staged.requests)):
                raise CopyConflict(
                    f"the set {staged.key} is not staged", context={"key": staged.key}
                )
            if copy_set.staged:
                self._commit(copy_set)
            disks = self._state.tables.disks.rows
            return tuple(_as_copy(disks[each]) for each in copy_set.members if each in disks)

    def _is_staged(self, key: CopyKey) -> bool:
        with self._state.lock:
            copy_set = self._state.tables.sets.rows.get(key)
            return copy_set is not None and copy_set.staged

    def _commit(self, copy_set: CopySet) -> None:
        disks = self._state.tables.disks.rows
        if self._checked == (copy_set.key, self._state.tables.revision):
            sources = [disks[request.source] for request in copy_set.requests]
        else:
            sources = [self._check_request(request) for request in copy_set.requests]
        for source, disk in zip(sources, copy_set.prepared, strict=True):
            if source.size_bytes != disk.size_bytes:
                raise CopyConflict(
                    f"{source.name!r} was resized since staging", context={"key": copy_set.key}
                )
        self._state.tables.sets.put(copy_set.key, evolve(copy_set, prepared=()))
        self._make(sources, copy_set.prepared)
        self._state.log("commit", copy_set.key, " ".join(copy_set.members))

    def _make(self, sources: Sequence[VirtualDisk], prepared: Sequence[VirtualDisk]) -> None:
        volumes = self._cut(sources, prepared)
        for disk, volume in zip(prepared, volumes, strict=True):
            self._state.tables.add_disk(_born(disk, volume, self._state.at))
            if disk.kind is CopyKind.VSNAP:
                self._state.maps.add(disk.id)

    def _cut(self, sources: Sequence[VirtualDisk], copies: Sequence[VirtualDisk]) -> list[int]:
        """One cut of the block store; sets of mixed kinds take two with nothing in between.

        The caller's transaction keeps every write out until both are made.
        """
        result = [-1] * len(copies)
        for clones, cut in (
            (True, self._state.store.start_clone),
            (False, self._state.store.snapshot),
        ):
            chosen = [
                index
                for index, disk in enumerate(copies)
                if (disk.kind is CopyKind.SNAPCLONE) is clones
            ]
            if chosen:
                volumes = cut([sources[index].volume for index in chosen])
                for index, volume in zip(chosen, volumes, strict=True):
                    result[index] = volume
        return result

    def discard_staged(self, key: CopyKey, *, budget: Budget | None = None) -> None:
        """Forget a staging and give its names and space back; anything else is fine."""
        if budget is not None:
            budget.check("discarding a staging")
        with self._state.command():
            copy_set = self._state.tables.sets.rows.get(key)
            if copy_set is None or not copy_set.staged:
                return
            self._state.tables.drop_staged(copy_set)
            self._state.log("discard", key)

    def restore_storage(self, target: StorageId, source: StorageId, *, budget: Budget) -> None:
        """Instant restore: `target` shows what its copy `source` shows; all copies stay [EVA-66]."""
        budget.check("restoring storage")
        with self._state.command():
            into, copy = self._state.disk(target), self._state.disk(source)
            refusal = check_restore(
                self._state.seen_by_rules(into),
                self._state.seen_by_rules(copy),
                self._state.profile,
                # By the object: a stranger under the source's world wide name is not its source.
                related=copy.source == into.id,
            )
            if refusal is not None:
                raise refusal.as_error(target=target, source=source)
            preserved = self._room_for_restore(into, copy)
            self._state.store.restore(into.volume, copy.volume)
            for each in preserved:
                self._preserve_changed(each, copy)
            self._state.log("restore", into.name, copy.name)

    def _room_for_restore(self, into: VirtualDisk, copy: VirtualDisk) -> list[VirtualDisk]:
        """The other vsnaps, which keep every chunk that the restore changes in their source.

        A restore is never worth a copy: it is refused where a write would invalidate (frskit's
        choice).
        """
        others = [each for each in self._vsnaps.dependents(into) if each.id != copy.id]
        growth = 0
        for each in others:
            after = (
                self._state.maps.union_psegs(each.id, copy.id)
                if copy.kind is CopyKind.VSNAP
                else usable_psegs(each.size_bytes)
            )
            growth += raw_psegs(after, each.vraid) - disk_psegs(each, self._state.maps)
        if growth > self._space.free_psegs(into.group):
            raise InsufficientCapacity(
                f"other snapshots of {into.name!r} would not fit into {into.group!r} any more",
                context={"target": into.id, "source": copy.id},
            )
        return others

    def _preserve_changed(self, vsnap: VirtualDisk, copy: VirtualDisk) -> None:
        if copy.kind is CopyKind.VSNAP:
            # What differs between a vsnap and its source is what the vsnap keeps.
            self._state.maps.merge(vsnap.id, copy.id)
        else:
            self._state.maps.mark(
                vsnap.id, 0, (vsnap.size_bytes - 1) // self._state.maps.page_bytes
            )


def _shortened(name: str) -> str:
    """The beginning of a name, with room for a number behind it within the array's limit."""
    return name.encode()[:20].decode(errors="ignore").strip()


def _eva_request(request: CopyRequest) -> EvaCopyRequest:
    if isinstance(request, EvaCopyRequest):
        return request
    return EvaCopyRequest(
        source=request.source,
        kind=request.kind,
        name=request.name,
        comment=request.comment,
        disk_group=request.disk_group,
    )


def _born(disk: VirtualDisk, volume: int, at: datetime) -> VirtualDisk:
    # attrs.evolve takes three times as long, and 64 of these happen while writes are held.
    return VirtualDisk(
        id=disk.id,
        identity=disk.identity,
        name=disk.name,
        size_bytes=disk.size_bytes,
        group=disk.group,
        vraid=disk.vraid,
        volume=volume,
        created_at=at,
        comment=disk.comment,
        kind=disk.kind,
        source=disk.source,
        key=disk.key,
        state=disk.state,
        forced_wwlun=disk.forced_wwlun,
    )


def _as_copy(disk: VirtualDisk) -> ArrayCopy:
    if disk.source is None or disk.kind is None or disk.state is None:
        raise StorageNotFound(f"{disk.name!r} is not a copy", context={"storage": disk.id})
    return ArrayCopy(
        id=disk.id,
        source=disk.source,
        key=disk.key,
        kind=disk.kind,
        state=disk.state,
        size_bytes=disk.size_bytes,
        copied_bytes=disk.copied_bytes if disk.kind is CopyKind.SNAPCLONE else None,
        name=disk.name,
        created_at=disk.created_at,
    )
