"""Planning a recovery: preconditions P-01..P-12, members, log analysis, steps. Changes nothing.

To read the copy's headers the planner presents and mounts the copy on the recovery server and
takes it away again; array and files are as before when it returns [FRS-32].
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from frskit.clock import Budget
from frskit.errors import (
    CopyInUse,
    IntegrityError,
    RecoveryPrecondition,
    StorageGroupNotRecognized,
    VolumeNotFound,
)
from frskit.frs.held_databases import gone_databases, not_held
from frskit.frs.late_collection import decayed, late_refs
from frskit.frs.mounted_copy import MountedCopy, mount_points
from frskit.frs.recovery.array_restore import check_array_restore
from frskit.frs.recovery.file_actions import twice_named
from frskit.frs.recovery.legality import objection
from frskit.frs.recovery.plan_text import steps, warnings
from frskit.frs.recovery.wish import RecoveryWish
from frskit.frs.state.journal_words import RequestorOperation
from frskit.frs.still_there import lost_among
from frskit.frs.truncation_ledger import after_loss, lost_logs
from frskit.model.copies import Copy, CopyFilter, CopyLife, CopyMember, MemberLife, Verdict
from frskit.model.files import FileRole
from frskit.model.ids import CopyId
from frskit.model.plans import (
    FileActionKind,
    LogVerdict,
    RecoveryMethod,
    RecoveryMode,
    RecoveryPlan,
    RecoveryTarget,
)
from frskit.model.server_paths import inside, same_path
from frskit.scopes import attached, presented

if TYPE_CHECKING:
    from frskit.frs.deployment import Parts, Production
    from frskit.model.components import ComponentId
    from frskit.model.ids import StorageId
    from frskit.model.plans import ComponentInfo, FileAction, LogAnalysis

__all__ = ["analyze_with", "make_plan", "member_roles", "mounted", "used_up"]


def refuse(condition: str, text: str, hint: str | None = None) -> RecoveryPrecondition:
    """The error for a precondition that does not hold."""
    return RecoveryPrecondition(f"{condition}: {text}", hint=hint, context={"condition": condition})


@contextmanager
def mounted(
    parts: Parts, production: Production, copy: Copy, budget: Budget
) -> Iterator[MountedCopy]:
    """The copy, presented to the recovery server and mounted read-only, for the block.

    Raises:
        CopyInUse: Production has a member mounted, as after an interrupted swap; hiding it
            afterwards would take production's LUN away.
        IntegrityError: A late file of the copy is gone or changed; the record has decayed.
    """
    server = parts.recovery.server
    members = [member for member in copy.members if member.life is MemberLife.HELD]
    storages = [member.storage for member in members]
    # After an interrupted swap production may run on the copy, which must not be shown twice.
    running_on = {one for each in production.server.volumes() for one in each.storages}
    if running_on.intersection(storages):
        raise CopyInUse(
            f"production has LUNs of copy {copy.id} mounted",
            hint="Run 'frskit resume'.",
            context={"copy": copy.id},
        )
    at = mount_points(parts.recovery.mount_root, copy, members)
    late = late_refs(parts, copy)
    try:
        # Before anything is shown to anybody: a copy that lacks one is of no use.
        for _, ref in late:
            ref.open().close()
        with presented(production.store, storages, server.host, read_only=True, budget=budget):
            server.rescan(budget=budget)
            with attached(server, at, read_only=True, budget=budget) as volumes:
                yield MountedCopy(copy, server, volumes, late=late, budget=budget)
    except IntegrityError as error:
        if "late" in error.context:
            decayed(parts, copy.id, str(error.context["late"]))
        raise
    finally:
        # A server forgets a LUN only when it looks again [HAZ-01]; also if the time is up.
        server.rescan(budget=Budget.of(budget.clock))


def make_plan(parts: Parts, copy: Copy, wish: RecoveryWish, budget: Budget) -> RecoveryPlan:
    """The plan for recovering one component from one copy.

    Raises:
        RecoveryPrecondition: It is not legal or not possible; ``context["condition"]`` says which
            precondition does not hold.
    """
    production = parts.production(copy.server)
    # Questions that cost nothing first; nothing is presented before all of them have passed.
    _check_copy(copy, wish)
    _check_interrupted(parts, copy)
    component = _component(production, copy, wish.component, budget)
    members = _checked_members(production, copy, component, wish, budget)
    lost = _lost(production, copy, component, wish.mode)
    budget.check("planning a recovery")
    with mounted(parts, production, copy, budget) as files:
        analysis = production.application.analyze(component.name, files, wish.target, budget=budget)
        analysis = after_loss(analysis, copy, component.id, lost)
        if analysis.verdict is LogVerdict.IMPOSSIBLE:
            raise refuse("P-08", analysis.reason, analysis.remedy or None)
        # While the copy is mounted: which files have to move depends on its own.
        actions = tuple(
            production.application.file_actions(
                component.name, files, wish.target, wish.method, budget=budget
            )
        )
        _check_actions(production, copy, wish.method, actions)
    return RecoveryPlan(
        copy=copy.id,
        server=copy.server,
        component=component.name,
        target=wish.target,
        method=wish.method,
        members=members,
        host=production.server.host,
        analysis=analysis,
        made_at=parts.clock.now(),
        file_actions=actions,
        steps=tuple(steps(component, wish, members, actions, analysis)),
        warnings=tuple(warnings(wish, analysis, lost, not_held(copy.files, component))),
        consumes=wish.method is RecoveryMethod.SWAP,
        owner=component.owner,
    )


def _checked_members(
    production: Production,
    copy: Copy,
    component: ComponentInfo,
    wish: RecoveryWish,
    budget: Budget,
) -> tuple[CopyMember, ...]:
    """The members that take part, after every question that can be asked without mounting them."""
    reason = objection(copy.kind, wish.mode, wish.method)
    if reason:
        raise refuse("P-01", reason, "Use --method copy-back, or swap with a snapclone.")
    members = _members(copy, component, wish.mode)
    _check_stop(component, wish.target)
    _check_members(production, members, budget)
    if wish.method is not RecoveryMethod.COPY_BACK:
        _check_alone(production, component, members, budget)
    _check_databases(copy, component, members, wish)
    _check_present(production, members)
    _check_running(production, component, budget)
    if wish.method is RecoveryMethod.ARRAY_RESTORE:
        check_array_restore(production, members, budget)
    return members


def _check_copy(copy: Copy, wish: RecoveryWish) -> None:
    """P-01 for the copy as a whole: verified, and not used up or deleted."""
    # People may accept a copy that was not checked, but none that was found bad.
    usable = copy.recoverable or (
        wish.accept_unverified
        and copy.verdict is Verdict.UNVERIFIED
        and copy.life in (CopyLife.PARKED, CopyLife.IMPORTED)
    )
    if not usable:
        raise refuse(
            "P-01",
            f"copy {copy.id} is {copy.verdict.value} and {copy.life.value}",
            "Choose a verified copy: 'frskit copy list'.",
        )


def _check_interrupted(parts: Parts, copy: Copy) -> None:
    """P-11: no recovery of this server is under way, not even one whose process died."""
    # By server and not by copy: two recoveries must not meet on one production server.
    under_way = set(parts.catalog.recovering(copy.server))
    # Of a record that cannot be read the journal knows as well.
    _, damaged = parts.catalog.readable(CopyFilter(server=copy.server))
    if damaged:
        unread = {each.id for each in damaged}
        under_way.update(
            CopyId(each.subject)
            for each in parts.journal.unfinished()
            if each.kind == RequestorOperation.RECOVERY and each.subject in unread
        )
    for each in sorted(under_way):
        raise refuse("P-11", f"a recovery from copy {each} is not ended", "Run 'frskit resume'.")


def _check_stop(component: ComponentInfo, target: RecoveryTarget) -> None:
    """P-08: the application knows such a stop; it parses the text itself later."""
    if not target.stop or target.stop_kind in component.stop_kinds:
        return
    known = ", ".join(sorted(component.stop_kinds))
    raise refuse(
        "P-08",
        f"{component.name} cannot stop a roll forward at a {target.stop_kind}",
        f"It knows: {known}." if known else "It rolls forward to the last transaction only.",
    )


def _lost(
    production: Production, copy: Copy, component: ComponentInfo, mode: RecoveryMode
) -> tuple[str, ...]:
    """Logs that a roll forward needs and that were deleted when the copy was made."""
    if mode is not RecoveryMode.ROLL_FORWARD:
        return ()
    try:
        return lost_logs(copy, component.id, production.server)
    except VolumeNotFound as error:
        raise refuse("P-07", f"the log volume is not mounted on production: {error}") from error


def analyze_with(
    production: Production,
    copy: Copy,
    name: str,
    files: MountedCopy,
    target: RecoveryTarget,
    budget: Budget,
) -> LogAnalysis:
    """What the logs allow with a copy's databases, and with what frskit knows to be lost."""
    application = production.application
    analysis = application.analyze(name, files, target, budget=budget)
    for component in application.components(budget=budget):
        if component.name.casefold() == name.casefold():
            lost = _lost(production, copy, component, target.mode)
            return after_loss(analysis, copy, component.id, lost)
    return analysis


def _check_members(production: Production, members: tuple[CopyMember, ...], budget: Budget) -> None:
    """P-01 for the members that take part: not used up, still on the array, normalized."""
    if any(member.life is not MemberLife.HELD for member in members):
        raise refuse(
            "P-01",
            "a member of the copy was used up by an earlier recovery",
            "Choose another copy: 'frskit copy list'.",
        )
    wanted = [member.storage for member in members]
    found = production.store.look(storages=wanted, budget=budget)
    for lost in lost_among(wanted, found):
        raise refuse("P-01", f"the array has lost member {lost} of the copy")
    for state in found:
        if state.id in wanted and state.is_busy:
            raise refuse("P-01", f"member {state.id} still normalizes", "Wait for it.")


def _component(
    production: Production, copy: Copy, wanted: str | None, budget: Budget
) -> ComponentInfo:
    """The component to recover, by its name or, where the record has another one, its identity."""
    selected = {each.id for each in copy.selected}
    held = {each.casefold() for each in copy.components}
    components = production.application.components(budget=budget)
    mine = [each for each in components if each.id in selected or each.name.casefold() in held]
    if wanted is None and len(mine) == len(copy.components) == 1:
        return mine[0]
    name = wanted or (copy.components[0] if len(copy.components) == 1 else None)
    if name is None:
        raise StorageGroupNotRecognized(
            "the copy holds several components; name one",
            hint=f"One of {', '.join(copy.components)}.",
        )
    for component in mine:
        if component.name.casefold() == name.casefold():
            return component
    if name.casefold() not in held:
        raise StorageGroupNotRecognized(f"the copy does not hold {name!r}")
    raise StorageGroupNotRecognized(
        f"{copy.server} has no component {name!r} now",
        hint="Recovery puts data back into a component that exists; create it first [P-06].",
    )


def _members(copy: Copy, component: ComponentInfo, mode: RecoveryMode) -> tuple[CopyMember, ...]:
    """The members whose LUNs take part: all for point in time, databases only for roll forward."""
    roles = member_roles(copy, component.id)
    if mode is RecoveryMode.POINT_IN_TIME:
        return tuple(member for member in copy.members if roles.get(member.storage))
    chosen = []
    for member in copy.members:
        has = roles.get(member.storage, set())
        if FileRole.DATABASE not in has:
            continue
        # A swap replaces the whole LUN, and with it the logs that roll forward needs.
        if has & {FileRole.LOG, FileRole.CHECKPOINT}:
            raise refuse(
                "P-07",
                f"databases and logs share {member.mount_point}; roll forward would lose the logs",
                "Recover to the point in time of the copy.",
            )
        chosen.append(member)
    if not chosen:
        raise refuse("P-01", "the copy holds no database of the component")
    return tuple(chosen)


def member_roles(copy: Copy, wanted: ComponentId) -> dict[StorageId, set[FileRole]]:
    """Which kinds of a component's files lie on which member."""
    found: dict[StorageId, set[FileRole]] = {}
    for component in copy.files:
        mine = component.id == wanted or wanted.is_ancestor_of(component.id)
        for files in component.files if mine else ():
            for member in copy.members:
                if inside(member.mount_point, files.path) is not None:
                    found.setdefault(member.storage, set()).add(files.role)
    return found


def used_up(copy: Copy) -> bool:
    """Whether no component of the copy can be recovered from it any more."""
    gone = {member.storage for member in copy.members if member.life is not MemberLife.HELD}
    return all(
        any(
            storage in gone and FileRole.DATABASE in roles
            for storage, roles in member_roles(copy, component.id).items()
        )
        for component in copy.selected
    )


def _check_alone(
    production: Production,
    component: ComponentInfo,
    members: tuple[CopyMember, ...],
    budget: Budget,
) -> None:
    """P-10: a LUN is replaced whole, so nothing of another component may be on it."""
    for other in production.application.components(budget=budget):
        if other.name != component.name:
            for _, path in other.paths:
                _check_not_on(members, path, f"{path} of {other.name}")


def _check_not_on(members: tuple[CopyMember, ...], path: str, what: str) -> None:
    for member in members:
        if inside(member.mount_point, path) is not None:
            raise refuse(
                "P-10", f"{member.mount_point} also holds {what}", "Use --method copy-back."
            )


def _check_databases(
    copy: Copy, component: ComponentInfo, members: tuple[CopyMember, ...], wish: RecoveryWish
) -> None:
    """P-06 and P-10: the component's databases are those of the copy, or in nobody's way."""
    gone = gone_databases(copy.files, component)
    if gone:
        raise refuse(
            "P-06",
            f"{component.name} has no database {', '.join(gone)} any more, which the logs name",
            "Make it again under its former path; recovery puts data back into what exists.",
        )
    if wish.method is RecoveryMethod.COPY_BACK:
        return
    for name, path in not_held(copy.files, component).items():
        _check_not_on(members, path, f"{name}, which is not part of the copy")


def _check_actions(
    production: Production, copy: Copy, method: RecoveryMethod, actions: tuple[FileAction, ...]
) -> None:
    """What every plan must keep to, so that each of its changes can be made, and undone."""
    for action in actions:
        late = any(same_path(action.path, each.path) for each in copy.late)
        if action.kind is FileActionKind.COPY_IN and method is RecoveryMethod.SWAP and not late:
            raise RecoveryPrecondition(
                f"{production.application.name} would copy {action.path} in after a swap, "
                "which brings all but the late files",
                hint="This is a defect of the application's file actions.",
                context={"path": action.path},
            )
    path = twice_named(actions)
    if path is not None:
        raise RecoveryPrecondition(
            f"{production.application.name} would change {path} twice, which could not be undone",
            hint="This is a defect of the application's file actions.",
            context={"path": path},
        )


def _check_present(production: Production, members: tuple[CopyMember, ...]) -> None:
    """P-06: the original mount points are there, so that data returns to its former paths."""
    points = [point for each in production.server.volumes() for point in each.mount_points]
    for member in members:
        if not any(same_path(member.mount_point, point) for point in points):
            raise refuse("P-06", f"{member.mount_point} is not mounted on production")


def _check_running(production: Production, component: ComponentInfo, budget: Budget) -> None:
    """P-05: the writer takes part in the restore, so its service must run."""
    wanted = (component.id.writer_id, component.id.instance)
    running = production.service.writers(budget=budget)
    if wanted not in {(each.writer_id, each.instance) for each in running}:
        raise refuse("P-05", f"the writer of {component.name} is not running", "Start the service.")
