"""What the array allows: pure functions from the state of the sources to a refusal or None.

What it is: the copy rules RULE-1 to RULE-11 and 15 to 17 of [EVA 1.6] as a table of small
functions. What it is not: an actor; nothing here changes or looks up anything. The array asks
twice, when a set is staged and again at its commit, because rules that held may not hold any more.

Where sources contradict each other, a `ModelProfile` decides. Refusals marked "inferred" in
`frskit.codes.eva` are frskit's reading.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import frozen

from frskit.errors import (
    ArrayError,
    CopyConflict,
    CopyInvalid,
    HasDependents,
    LimitExceeded,
    NotLicensed,
    StillPresented,
    UnsupportedKind,
)
from frskit.eva.models import ModelProfile, Vraid
from frskit.model.storage import CopyKind, CopyState

__all__ = [
    "COPY_RULES",
    "DependentState",
    "DiskState",
    "Refusal",
    "RequestedCopy",
    "check_copy",
    "check_delete",
    "check_resize",
    "check_restore",
    "check_set",
]


@frozen(kw_only=True)
class DependentState:
    """A copy that needs its source, as far as the rules see it."""

    kind: CopyKind
    vraid: Vraid


@frozen(kw_only=True)
class DiskState:
    """A virtual disk as far as the rules see it.

    Attributes:
        name: Its name, for messages.
        size_bytes: Its size.
        group: Its disk group.
        vraid: Its redundancy.
        kind: Kind of copy; None for originals.
        state: State of a copy; None for originals.
        dependents: Copies that need it.
        presented: Whether a host sees it.
    """

    name: str
    size_bytes: int
    group: str
    vraid: Vraid
    kind: CopyKind | None = None
    state: CopyState | None = None
    dependents: tuple[DependentState, ...] = ()
    presented: bool = False

    @property
    def is_snapshot(self) -> bool:
        """A snapshot of either kind."""
        return self.kind in (CopyKind.SNAPSHOT, CopyKind.VSNAP)

    @property
    def is_normalizing(self) -> bool:
        """A snapclone under way."""
        return self.state is CopyState.NORMALIZING

    @property
    def snapshots(self) -> tuple[DependentState, ...]:
        """Its snapshots."""
        return tuple(each for each in self.dependents if each.kind is not CopyKind.SNAPCLONE)

    @property
    def clones(self) -> int:
        """Snapclones of it that normalize now."""
        return sum(1 for each in self.dependents if each.kind is CopyKind.SNAPCLONE)


@frozen(kw_only=True)
class RequestedCopy:
    """A copy that somebody wants.

    Attributes:
        kind: Kind of copy.
        group: Disk group for it.
        vraid: Vraid for it.
    """

    kind: CopyKind
    group: str
    vraid: Vraid


@frozen(kw_only=True)
class Refusal:
    """Why the array says no.

    Attributes:
        rule: The rule, e.g. ``RULE-4``; empty for limits of the profile without one.
        reason: What stands in the way, one sentence.
        error: The error that a caller gets.
    """

    rule: str
    reason: str
    error: type[ArrayError]

    def as_error(self, **context: object) -> ArrayError:
        """The refusal as an exception to raise."""
        text = f"{self.reason} ({self.rule})" if self.rule else self.reason
        return self.error(text, context={"rule": self.rule, **context})


_Reason = str | None
_Rule = Callable[[DiskState, RequestedCopy, ModelProfile], _Reason]


def _copies_snapshot(source: DiskState, _wish: RequestedCopy, _profile: ModelProfile) -> _Reason:
    return f"{source.name!r} is itself a snapshot" if source.is_snapshot else None


def _snapshots_normalizing(
    source: DiskState, wish: RequestedCopy, _profile: ModelProfile
) -> _Reason:
    if wish.kind is not CopyKind.SNAPCLONE and source.is_normalizing:
        return f"{source.name!r} is still normalizing"
    return None


def _clones_shared(source: DiskState, wish: RequestedCopy, _profile: ModelProfile) -> _Reason:
    if wish.kind is not CopyKind.SNAPCLONE:
        return None
    if source.snapshots:
        return f"{source.name!r} has snapshots"
    return f"{source.name!r} is still normalizing" if source.is_normalizing else None


def _source_busy(source: DiskState, wish: RequestedCopy, profile: ModelProfile) -> _Reason:
    if wish.kind is CopyKind.SNAPCLONE:
        busy = source.clones >= profile.max_clones_per_source
    else:
        busy = source.clones > 0 and profile.source_busy_while_cloning
    return f"a snapclone of {source.name!r} is still normalizing" if busy else None


def _other_group(source: DiskState, wish: RequestedCopy, _profile: ModelProfile) -> _Reason:
    if wish.kind is not CopyKind.SNAPCLONE and wish.group != source.group:
        return f"a snapshot of {source.name!r} must lie in the group {source.group!r}"
    return None


def _higher_vraid(source: DiskState, wish: RequestedCopy, _profile: ModelProfile) -> _Reason:
    if wish.kind is not CopyKind.SNAPCLONE and wish.vraid.rank > source.vraid.rank:
        return f"{wish.vraid.value} is above {source.vraid.value} of {source.name!r}"
    return None


def _mixed_snapshots(source: DiskState, wish: RequestedCopy, _profile: ModelProfile) -> _Reason:
    if wish.kind is CopyKind.SNAPCLONE:
        return None
    for each in source.snapshots:
        if each.kind is not wish.kind or each.vraid is not wish.vraid:
            return f"{source.name!r} has snapshots of kind {each.kind.value} in {each.vraid.value}"
    return None


def _too_many_snapshots(source: DiskState, wish: RequestedCopy, profile: ModelProfile) -> _Reason:
    allowed = profile.snapshots_allowed(source.size_bytes)
    if wish.kind is not CopyKind.SNAPCLONE and len(source.snapshots) >= allowed:
        return f"{source.name!r} may have no more than {allowed} snapshots"
    return None


COPY_RULES: Final[tuple[tuple[str, _Rule, type[ArrayError]], ...]] = (
    ("RULE-1", _copies_snapshot, CopyConflict),
    ("RULE-2", _snapshots_normalizing, CopyConflict),
    ("RULE-3", _clones_shared, CopyConflict),
    ("RULE-4", _source_busy, CopyConflict),
    ("RULE-5", _other_group, CopyConflict),
    ("RULE-6", _higher_vraid, CopyConflict),
    ("RULE-7", _mixed_snapshots, CopyConflict),
    ("RULE-9", _too_many_snapshots, LimitExceeded),
)
"""Rule, its function, its error; asked in this order, the first refusal counts."""


def check_copy(source: DiskState, wish: RequestedCopy, profile: ModelProfile) -> Refusal | None:
    """Whether this copy may be made now: None, or the first rule against it.

    Example:
        >>> from frskit.eva.models import EVA8000
        >>> disk = DiskState(name="d", size_bytes=1, group="g", vraid=Vraid.VRAID1,
        ...                  kind=CopyKind.VSNAP, state=CopyState.DEPENDENT)
        >>> wish = RequestedCopy(kind=CopyKind.VSNAP, group="g", vraid=Vraid.VRAID1)
        >>> check_copy(disk, wish, EVA8000).rule
        'RULE-1'
    """
    if not profile.licensed:
        return Refusal(
            rule="", reason="the array has no licence for local replication", error=NotLicensed
        )
    if wish.vraid not in profile.vraids:
        return Refusal(
            rule="", reason=f"{profile.model} has no {wish.vraid.value}", error=UnsupportedKind
        )
    for rule, function, error in COPY_RULES:
        reason = function(source, wish, profile)
        if reason is not None:
            return Refusal(rule=rule, reason=reason, error=error)
    return None


def check_set(members: int, disks: int, profile: ModelProfile) -> Refusal | None:
    """Whether a set of this many members may be made while there are `disks` virtual disks."""
    if profile.max_set_members is not None and members > profile.max_set_members:
        limit = profile.max_set_members
        return Refusal(
            rule="RULE-15",
            reason=f"a set has at most {limit} members, not {members}",
            error=LimitExceeded,
        )
    if disks + members > profile.max_vdisks:
        return Refusal(
            rule="RULE-8",
            reason=f"{profile.model} has at most {profile.max_vdisks} virtual disks and snapshots",
            error=LimitExceeded,
        )
    return None


def _dependents(disk: DiskState, rule: str, error: type[ArrayError]) -> Refusal | None:
    if disk.snapshots:
        return Refusal(rule=rule, reason=f"{disk.name!r} has snapshots", error=error)
    if disk.clones:
        reason = f"a snapclone of {disk.name!r} is still normalizing"
        return Refusal(rule=rule, reason=reason, error=error)
    return None


def _presented(disk: DiskState) -> Refusal | None:
    if disk.presented:
        return Refusal(rule="", reason=f"{disk.name!r} is presented", error=StillPresented)
    return None


def check_delete(disk: DiskState) -> Refusal | None:
    """Whether a disk may be deleted now [RULE-10, RULE-11, EVA-38]."""
    return _presented(disk) or _dependents(disk, "RULE-10", HasDependents)


def check_resize(disk: DiskState, size_bytes: int, profile: ModelProfile) -> Refusal | None:
    """Whether a disk may get this size now [RULE-16]; a presented one may only grow."""
    if not profile.min_vdisk_bytes <= size_bytes <= profile.max_vdisk_bytes:
        return Refusal(
            rule="",
            reason=f"{profile.model} has no virtual disks of {size_bytes} bytes",
            error=LimitExceeded,
        )
    if disk.is_snapshot or disk.is_normalizing:
        reason = f"{disk.name!r} is a {'snapshot' if disk.is_snapshot else 'normalizing copy'}"
        return Refusal(rule="RULE-16", reason=reason, error=CopyConflict)
    if size_bytes < disk.size_bytes and disk.presented:
        return _presented(disk)
    return _dependents(disk, "RULE-16", HasDependents)


def check_restore(
    target: DiskState, source: DiskState, profile: ModelProfile, *, related: bool
) -> Refusal | None:
    """Whether the array may put `source` back into `target` [RULE-17].

    Args:
        target: The disk to overwrite.
        source: The copy.
        profile: The model.
        related: Whether `source` was copied from `target`.
    """
    if not profile.licensed:
        return Refusal(
            rule="", reason="the array has no licence for local replication", error=NotLicensed
        )
    if source.state is CopyState.INVALID:
        return Refusal(rule="RULE-17", reason=f"{source.name!r} holds no data", error=CopyInvalid)
    reason = None
    if not related or source.size_bytes != target.size_bytes:
        reason = f"{source.name!r} is not a copy of {target.name!r} as it is now"
    elif target.is_snapshot:
        reason = f"{target.name!r} is itself a snapshot"
    elif source.is_normalizing or target.is_normalizing or target.clones:
        reason = f"a snapclone of {target.name!r} or {source.name!r} is still normalizing"
    if reason is not None:
        return Refusal(rule="RULE-17", reason=reason, error=CopyConflict)
    return _presented(target)
