"""Recovery by the array: it copies the members of a copy back into the LUNs they were made of.

Production's LUNs keep their identity, and the copy stays and can be used again. In return what
production's LUNs held is gone as soon as the array begins: from the first restore on there is no
undo. Until then everything is put back; from then on the only way is forward, and since the copy
stays whole, the way forward can be walked again from its start as often as needed: hide, restore,
show, mount, files, replay. A resume does just that.

What an array must offer for it is `SupportsRestore`: idempotent, the target hidden, and nothing
changed where it raises one of `REFUSALS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from frskit.errors import (
    CopyConflict,
    CopyInvalid,
    InsufficientCapacity,
    LimitExceeded,
    NotLicensed,
    RecoveryPrecondition,
    StillPresented,
    StorageNotFound,
    UnsupportedKind,
)
from frskit.frs.recovery.file_actions import action_facts, clear_stale, run_action
from frskit.frs.recovery.luns import hide, mount, mounted_storage, put_back, show
from frskit.frs.state.journal_words import Phase, RecoveryStep
from frskit.model.ids import StorageId
from frskit.model.json_records import from_plain, to_plain
from frskit.model.plans import FileAction, RecoveryMethod
from frskit.model.server_paths import inside
from frskit.storage import can_restore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from frskit.clock import Budget
    from frskit.frs.deployment import Production
    from frskit.frs.recovery.file_actions import CopySource
    from frskit.frs.state.journal import JournalOperation
    from frskit.model.copies import CopyMember
    from frskit.protocols import SupportsRestore
    from frskit.scopes import Releases

    Step = Callable[..., AbstractContextManager[None]]

__all__ = [
    "REFUSALS",
    "BackMember",
    "PutBack",
    "check_array_restore",
    "journal_facts",
    "lost",
    "read_facts",
    "restore_may_have_begun",
]

REFUSALS = (
    CopyConflict,
    CopyInvalid,
    InsufficientCapacity,
    LimitExceeded,
    NotLicensed,
    StillPresented,
    StorageNotFound,
    UnsupportedKind,
)
"""What an array raises before it has changed anything."""

_CODES = frozenset(each.code for each in REFUSALS)


@frozen(kw_only=True)
class BackMember:
    """One LUN to be copied back.

    Attributes:
        mount: Where production has it mounted.
        old: Production's LUN, to be overwritten.
        new: The copy's.
    """

    mount: str
    old: StorageId
    new: StorageId

    @classmethod
    def of(cls, member: CopyMember) -> BackMember:
        """A member of a plan."""
        return cls(mount=member.mount_point, old=member.source, new=member.storage)


def restorer(production: Production) -> SupportsRestore:
    """The array that holds production's storage, if it can copy back by itself.

    Raises:
        RecoveryPrecondition: It cannot.
    """
    store: object = production.store
    if can_restore(store):
        return store
    raise RecoveryPrecondition(
        "P-01: the array cannot restore storage from a copy",
        hint="Use --method swap with a snapclone, or copy-back.",
        context={"condition": "P-01"},
    )


def check_array_restore(
    production: Production, members: Iterable[CopyMember], budget: Budget
) -> None:
    """P-01 for this method: the array can, and every LUN is the one that its copy was made of.

    Raises:
        RecoveryPrecondition: What does not hold, before anything is touched.
    """
    restorer(production)
    disks = {each.storage: each for each in production.server.disks()}
    members = tuple(members)
    copies = production.store.look(storages=[each.storage for each in members], budget=budget)
    sizes = {each.id: each.size_bytes for each in copies if not each.is_lost}
    for member in members:
        now = mounted_storage(production, member.mount_point)
        reason = ""
        if now != member.source:
            reason = (
                f"{member.mount_point} is on {now} now, and the array copies back only into "
                f"{member.source}, of which the copy was made"
            )
        elif sizes.get(member.storage) not in (None, disks[now].size_bytes):
            reason = f"{now} has not the size of its copy {member.storage} any more"
        if reason:
            raise RecoveryPrecondition(
                f"P-01: {reason}",
                hint="Use --method copy-back.",
                context={"condition": "P-01"},
            )


class PutBack:
    """The steps of one such recovery, for the run that begins it and the resume that goes on.

    Args:
        production: Where.
        members: The LUNs.
        step: Opens a step of the journal.
    """

    def __init__(self, production: Production, members: Sequence[BackMember], step: Step) -> None:
        self._production = production
        self._members = members
        self._step = step

    def hide(self, budget: Budget, undo: Releases | None, closing: Budget) -> None:
        """Take production's LUNs away; each undo is remembered before its step."""
        for each in self._members:
            if undo is not None:
                self._push_back(each, undo, closing)
            with self._step(RecoveryStep.HIDE, mount=each.mount, old=each.old, new=each.new):
                hide(self._production, each.old, budget)
                # Also from the recovery server, which a resume may find it shown to.
                self._production.store.unpresent([each.new], budget=budget)

    def _push_back(self, each: BackMember, undo: Releases, budget: Budget) -> None:
        undo.push(
            f"{each.old} at {each.mount}",
            lambda: put_back(self._production, each.old, each.mount, budget),
        )

    def restore(self, budget: Budget, begun: Callable[[], None]) -> None:
        """Let the array copy back; `begun` is called once it may have changed something."""
        array = restorer(self._production)
        for each in self._members:
            with self._step(RecoveryStep.RESTORE, mount=each.mount, old=each.old, new=each.new):
                try:
                    array.restore_storage(each.old, each.new, budget=budget)
                except REFUSALS:
                    raise
                except BaseException:
                    begun()
                    raise
                begun()

    def show(self, budget: Budget) -> None:
        """Production's LUNs in their places again, with the copy's content."""
        for each in self._members:
            with self._step(RecoveryStep.SHOW, mount=each.mount, old=each.old):
                show(self._production, each.old, budget)
                mount(self._production, each.old, each.mount, budget)

    def files(
        self, actions: Iterable[FileAction], source: CopySource, undo: Releases, budget: Budget
    ) -> None:
        """The changes of files, once the volumes are in place; `source` has the late files."""
        for action in actions:
            clear_stale(self._production.server, action)
            facts = action_facts(self._production.server, action)
            with self._step(RecoveryStep(action.kind.value), **facts):
                run_action(self._production.server, source, action, undo, budget=budget)

    def is_restored(self, path: str) -> bool:
        """Whether a path lies on a LUN that the array overwrites."""
        return any(inside(each.mount, path) is not None for each in self._members)


def journal_facts(
    method: RecoveryMethod, members: Iterable[CopyMember], actions: Iterable[FileAction]
) -> dict[str, object]:
    """What the journal must know from the start: a resume has to walk all the way again."""
    if method is not RecoveryMethod.ARRAY_RESTORE:
        return {}
    return {
        "method": method.value,
        "members": [to_plain(BackMember.of(each)) for each in members],
        "actions": [to_plain(each) for each in actions],
    }


def read_facts(operation: JournalOperation) -> tuple[list[BackMember], list[FileAction]]:
    """The members and actions of a recovery that was begun."""
    facts: Mapping[str, object] = operation.facts
    members, actions = facts.get("members"), facts.get("actions")
    return (
        [from_plain(each, BackMember) for each in members] if isinstance(members, list) else [],
        [from_plain(each, FileAction) for each in actions] if isinstance(actions, list) else [],
    )


def restore_may_have_begun(operation: JournalOperation) -> bool:
    """Whether the array may have overwritten something: unless it refused, a begun step counts."""
    begun = 0
    for line in operation.lines:
        if line.get("step") != RecoveryStep.RESTORE:
            continue
        if line.get("phase") == Phase.INTENT:
            begun += 1
        elif line.get("phase") == Phase.FAILED and line.get("code") in _CODES:
            begun -= 1
    return begun > 0


def lost(production: Production, members: Iterable[BackMember], budget: Budget) -> list[StorageId]:
    """Members of the copy that the array has no more: what they held cannot be had again."""
    wanted = [each.new for each in members]
    looked = production.store.look(storages=wanted, budget=budget)
    good = {each.id for each in looked if not each.is_lost}
    return [each for each in wanted if each not in good]
