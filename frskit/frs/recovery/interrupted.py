"""Ending a recovery whose process died or gave up: forward once replay may have begun, else back.

The journal says what was begun; every step of it can be undone from its line alone, also if the
process died in the middle of the step. Before the intent to replay nothing was written into the
copy by the application, so everything is put back and the copy is as good as before. Afterwards
the copy is used up (its record says so already), and bringing the stores online is repeated:
replay is idempotent [EXC-75]. An undo that was begun is always ended as an undo, whatever was
begun before it: the journal says so, or else production's mounts do. A recovery by the array goes
forward from the array's first restore on, by walking its whole way again. That an application
leaves a component alone until then is its host's business; the lab does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, frozen

from frskit.clock import Budget
from frskit.errors import RecoveryFailed
from frskit.frs.late_collection import late_refs
from frskit.frs.recovery.array_restore import PutBack, lost, read_facts, restore_may_have_begun
from frskit.frs.recovery.file_actions import LateOnly, drop_undo, undo_copy_in, undo_move
from frskit.frs.recovery.luns import hide, put_back
from frskit.frs.recovery.writer_session import restore_session
from frskit.frs.state.journal_words import RECOVERING, Phase, RecoveryStep
from frskit.model.copies import CopyLife, MemberLife, Resumed
from frskit.model.ids import CopyId, StorageId
from frskit.model.server_paths import same_path
from frskit.scopes import Releases, told

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from frskit.frs.deployment import Parts, Production
    from frskit.frs.recovery.array_restore import BackMember
    from frskit.frs.state.journal import JournalOperation
    from frskit.model.copies import Copy

__all__ = ["MOUNTED", "finish_recovery", "release", "settle"]

MOUNTED = "mounted"
"""State of a database that is up."""

# Steps that keep what was at their path, until the recovery has succeeded.
_KEEPING = frozenset({RecoveryStep.COPY_IN, RecoveryStep.CREATE, RecoveryStep.DELETE})
# Steps that gave a file another name.
_MOVES = frozenset({RecoveryStep.SET_ASIDE, RecoveryStep.RENAME})


def finish_recovery(parts: Parts, operation: JournalOperation) -> Resumed:
    """End an interrupted recovery; the caller holds the server's lock.

    Returns:
        What was done. Should something fail, the result names it, and the operation stays open
        for another resume.
    """
    copy = parts.catalog.get(CopyId(operation.subject))
    production = parts.production(copy.server)
    component = str(operation.component)
    undone = operation.reached(Phase.UNDO) or operation.reached(Phase.UNDONE)
    if copy.stage != RECOVERING:
        # Set before the first step, and taken back after the last one: whatever the journal says,
        # or has lost, there is nothing to undo.
        ended = _nothing_left(parts, production, copy, operation, component)
    elif restore_may_have_begun(operation) and not undone:
        ended = _restore_again(parts, production, copy, operation, component)
    elif _replay_may_have_begun(copy, operation) and not _was_undone(production, operation):
        ended = _forward(parts, production, copy, operation, component)
    else:
        ended = _back(parts, production, copy, operation, component)
    return Resumed(
        id=copy.id,
        copy=parts.catalog.get(copy.id),
        result=ended.result,
        ended=not ended.commands,
        commands=ended.commands,
    )


@frozen
class _Ended:
    """One sentence, and the commands that lead out if somebody has to look."""

    result: str
    commands: tuple[str, ...] = ()


def _open(text: str) -> _Ended:
    """The operation stays open: once the cause is gone, another resume ends it."""
    return _Ended(text, ("frskit resume",))


def _down(copy: Copy, component: str, text: str) -> _Ended:
    """The operation is over, and the stores are down: only another recovery helps."""
    again = f"frskit recover {copy.id} --component {component}"
    return _Ended(
        text,
        (f"{again} --mode point-in-time --plan", "frskit copy list"),
    )


def _nothing_left(
    parts: Parts, production: Production, copy: Copy, operation: JournalOperation, component: str
) -> _Ended:
    """The recovery had ended, or not begun: only its journal is open still."""
    operation.end("nothing was left to do")
    if operation.component is None:
        return _Ended("the recovery had nothing to be undone")
    try:
        # Whoever opened the site may have left them offline, because the journal was open.
        production.application.bring_online(component, budget=Budget.of(parts.clock))
    except Exception as error:  # noqa: BLE001 - parties are strangers: law 11
        return _down(copy, component, f"{component} cannot be mounted as it is: {told(error)}")
    undone = operation.reached(Phase.UNDO) or operation.reached(Phase.UNDONE)
    replayed = any(step == RecoveryStep.REPLAY for step, _ in operation.intents())
    if replayed and not undone:
        return _Ended(f"the recovery of {component} was completed")
    return _Ended(f"the recovery of {component} had nothing to be undone")


def _replay_may_have_begun(copy: Copy, operation: JournalOperation) -> bool:
    """The record says so first, the journal next; either is enough."""
    used = {each.storage for each in copy.members if each.life is MemberLife.CONSUMED}
    return any(
        step == RecoveryStep.REPLAY or (step == RecoveryStep.SWAP and facts.get("new") in used)
        for step, facts in operation.intents()
    )


def _was_undone(production: Production, operation: JournalOperation) -> bool:
    """Whether an undo was begun: by the journal, or because a former LUN is in its place again.

    The journal may lack the line (its disk was full); then where production runs decides.
    """
    if operation.reached(Phase.UNDO) or operation.reached(Phase.UNDONE):
        return True
    volumes = production.server.volumes()
    return any(
        facts["old"] in volume.storages and same_path(str(facts["mount"]), point)
        for step, facts in operation.intents()
        if step == RecoveryStep.SWAP
        for volume in volumes
        for point in volume.mount_points
    )


def settle(parts: Parts, copy: CopyId, old: StorageId, new: StorageId) -> None:
    """Production runs on `new` where it ran on `old` [R-31]; the old LUN is kept, and known."""
    since = parts.clock.now().isoformat()
    parts.catalog.join_lineage(old, new, since)
    parts.catalog.displace(old, copy, since)


def _forward(
    parts: Parts, production: Production, copy: Copy, operation: JournalOperation, component: str
) -> _Ended:
    """Bring the stores online, as the dead process was about to."""
    budget = Budget.of(parts.clock)
    # An application that cannot be asked leaves this as it is, for another resume.
    production.application.status(component, budget=budget)
    try:
        # Also if the process that died came as far as this: it may not have come to the end of it,
        # and what was set for the restore must not stay set.
        status = production.application.bring_online(component, budget=budget).status
    except Exception as error:  # noqa: BLE001 - parties are strangers: law 11
        return _open(f"the recovery of {component} cannot be ended: {told(error)}")
    broken = [each.name for each in status.databases if each.state != MOUNTED]
    if broken:
        down = ", ".join(broken)
        return _open(f"the recovery of {component} cannot be ended: {down} did not come up")
    for step, facts in operation.intents():
        if step == RecoveryStep.SWAP:
            settle(parts, copy.id, StorageId(str(facts["old"])), StorageId(str(facts["new"])))
        elif step in _KEEPING:
            undo_copy_in(production.server, str(facts["path"]), existed=True, restore=False)
    release(parts, copy.id)
    operation.end("recovered by a resume")
    return _Ended(f"the recovery of {component} was completed")


# --- by the array ------------------------------------------------------------------------


def _restore_again(
    parts: Parts, production: Production, copy: Copy, operation: JournalOperation, component: str
) -> _Ended:
    """The array may have begun to copy back: walk the whole way again, for the copy is whole."""
    members, actions = read_facts(operation)
    back = PutBack(production, members, operation.step)
    # All was in place then, and clients may have written since.
    if any(step == RecoveryStep.REPLAY for step, _ in operation.intents()):
        return _replayed(parts, production, copy, operation, back)
    budget = Budget.of(parts.clock)
    gone = lost(production, members, budget)
    application = production.application
    try:
        application.take_offline(component, for_restore=not gone, budget=budget)
        if gone:
            return _given_up(parts, production, copy, operation, members, gone)
        _undo_files(production, operation, back)
        _hide_from_recovery(parts, production, copy)
        with restore_session(production, copy, component):
            back.hide(budget, None, budget)
            back.restore(budget, lambda: None)
            back.show(budget)
            # Their undo is in the journal.
            late = LateOnly(late_refs(parts, copy))
            back.files(actions, late, Releases(), budget)
    except Exception as error:  # noqa: BLE001 - parties are strangers: law 11
        return _open(f"the recovery of {component} cannot be ended: {told(error)}")
    return _replayed(parts, production, copy, operation, back)


def _undo_files(production: Production, operation: JournalOperation, back: PutBack) -> None:
    """Give files their names back where the array does not.

    Raises:
        RecoveryFailed: Not all could be.
    """
    undo = Releases()
    for step, facts in operation.intents():
        if "path" in facts and not back.is_restored(str(facts["path"])):
            _push_file_undo(undo, production, step, facts)
    leftovers = undo.unwind()
    if leftovers:
        raise RecoveryFailed("; ".join(leftovers))


def _replayed(
    parts: Parts, production: Production, copy: Copy, operation: JournalOperation, back: PutBack
) -> _Ended:
    """Mount and replay; if that fails the volumes hold the copy's content, and the way is free."""
    budget = Budget.of(parts.clock)
    application, component = production.application, str(operation.component)
    try:
        with operation.step(RecoveryStep.REPLAY):
            status = application.bring_online(component, budget=budget).status
            down = [each.name for each in status.databases if each.state != MOUNTED]
            if down:
                raise RecoveryFailed(f"{', '.join(down)} did not come up")
    except Exception as error:  # noqa: BLE001 - parties are strangers: law 11
        try:
            application.take_offline(component, for_restore=True, budget=budget)
            _undo_files(production, operation, back)
            application.take_offline(component, for_restore=False, budget=budget)
        except Exception as other:  # noqa: BLE001 - the same
            return _open(f"the recovery of {component} cannot be ended: {told(other)}")
        release(parts, copy.id)
        operation.end("failed; the copy's content is in place")
        text = f"{component} holds the copy's content and does not come up: {told(error)}"
        return _down(copy, component, text)
    return _recovered(parts, production, copy, operation, component)


def _recovered(
    parts: Parts, production: Production, copy: Copy, operation: JournalOperation, component: str
) -> _Ended:
    _, actions = read_facts(operation)
    drop_undo(production.server, tuple(actions))
    release(parts, copy.id)
    operation.end("recovered by a resume")
    return _Ended(f"the recovery of {component} was completed")


def _given_up(
    parts: Parts,
    production: Production,
    copy: Copy,
    operation: JournalOperation,
    members: Sequence[BackMember],
    gone: Sequence[StorageId],
) -> _Ended:
    """The copy is lost in the middle of it: show production's LUNs as they are, and free the way."""
    budget = Budget.of(parts.clock)
    for each in members:
        put_back(production, each.old, each.mount, budget)
    component = str(operation.component)
    release(parts, copy.id)
    operation.end("given up: the copy was lost")
    text = (
        f"the recovery of {component} was given up: the array lost {', '.join(gone)} of the copy, "
        "and production's volumes hold a part of it"
    )
    return _Ended(text, ("frskit copy list",))


def _back(
    parts: Parts, production: Production, copy: Copy, operation: JournalOperation, component: str
) -> _Ended:
    """Undo every step that was begun, newest first, then try to mount what was there."""
    budget = Budget.of(parts.clock)
    undo = Releases()
    application = production.application
    undo.push(
        "mark for a restore",
        lambda: application.take_offline(component, for_restore=False, budget=budget),
    )
    for step, facts in operation.intents():
        _push_undo(undo, parts, production, step, facts)
    # Last in and first out: nothing may be open while LUNs and files move.
    undo.push("reading of the copy", lambda: _hide_from_recovery(parts, production, copy))
    # The mark stays while files move, and goes at the end.
    undo.push(
        "stores", lambda: application.take_offline(component, for_restore=True, budget=budget)
    )
    leftovers = undo.unwind()
    if leftovers:
        return _open(f"the recovery of {component} cannot be undone: {'; '.join(leftovers)}")
    release(parts, copy.id)
    operation.end("undone by a resume")
    try:
        application.bring_online(component, budget=budget)
    except Exception as error:  # noqa: BLE001 - parties are strangers: law 11
        text = (
            f"the recovery of {component} was undone; it cannot be mounted as it is: {told(error)}"
        )
        return _down(copy, component, text)
    return _Ended(f"the recovery of {component} was undone")


def _push_undo(
    undo: Releases, parts: Parts, production: Production, step: str, facts: Mapping[str, object]
) -> None:
    if step == RecoveryStep.SWAP:
        mount, old, new = (str(facts[key]) for key in ("mount", "old", "new"))
        undo.push(
            f"{old} at {mount}",
            lambda: _swap_back(parts, production, mount, StorageId(old), StorageId(new)),
        )
    elif step == RecoveryStep.HIDE:
        mount, old = str(facts["mount"]), StorageId(str(facts["old"]))
        undo.push(
            f"{old} at {mount}", lambda: put_back(production, old, mount, Budget.of(parts.clock))
        )
    else:
        _push_file_undo(undo, production, step, facts)


def _push_file_undo(
    undo: Releases, production: Production, step: str, facts: Mapping[str, object]
) -> None:
    server = production.server
    if step in _MOVES:
        path, target = str(facts["path"]), str(facts["target"])
        undo.push(f"name of {path}", lambda: undo_move(server, path, target))
    elif step in _KEEPING:
        # After a deletion there is nothing to remove, whatever was there before.
        path, existed = str(facts["path"]), bool(facts["existed"]) or step == RecoveryStep.DELETE
        undo.push(
            f"former {path}", lambda: undo_copy_in(server, path, existed=existed, restore=True)
        )


def _swap_back(
    parts: Parts, production: Production, mount: str, old: StorageId, new: StorageId
) -> None:
    """The old LUN at its mount point again; every call is harmless where nothing happened."""
    budget = Budget.of(parts.clock)
    hide(production, new, budget)
    put_back(production, old, mount, budget)


def _hide_from_recovery(parts: Parts, production: Production, copy: Copy) -> None:
    """A copy that was being read for copying back is parked again."""
    budget = Budget.of(parts.clock)
    mounted = {one for each in production.server.volumes() for one in each.storages}
    # What production has mounted is not the recovery server's to hide.
    held = [
        member.storage
        for member in copy.members
        if member.life is MemberLife.HELD and member.storage not in mounted
    ]
    parts.recovery.server.detach(held, budget=budget)
    production.store.unpresent(held, budget=budget)
    parts.recovery.server.rescan(budget=budget)


def release(parts: Parts, copy: CopyId) -> None:
    """No recovery uses the copy any more; durable."""

    def free(record: Copy) -> Copy:
        stage = "consumed" if record.life is CopyLife.CONSUMED else "parked"
        return evolve(record, stage=stage)

    parts.catalog.update(copy, free)
