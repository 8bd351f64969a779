"""Planning a recovery: preconditions P-01..P-12, members, log analysis, steps. Changes nothing.

To read the copy's headers the planner presents and mounts the copy on the recovery server and
takes it away again; array and files are as before when it returns [FRS-32].
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from attrs import frozen

from frskit.errors import CopyInUse, RecoveryPrecondition, StorageGroupNotRecognized
from frskit.frs.mounted_copy import MountedCopy, mount_points
from frskit.frs.recovery.legality import objection
from frskit.frs.state.journal_words import RECOVERING
from frskit.model.copies import Copy, CopyFilter, CopyLife, CopyMember, MemberLife, Verdict
from frskit.model.files import FileRole
from frskit.model.plans import (
    LogVerdict,
    PlanStep,
    RecoveryMethod,
    RecoveryMode,
    RecoveryPlan,
)
from frskit.model.server_paths import inside, same_path
from frskit.model.storage import CopyState
from frskit.scopes import attached, presented

if TYPE_CHECKING:
    from frskit.clock import Budget
    from frskit.frs.deployment import Parts, Production
    from frskit.model.components import ComponentId
    from frskit.model.ids import StorageId
    from frskit.model.plans import ComponentInfo, FileAction, LogAnalysis

__all__ = ["RecoveryWish", "make_plan", "member_roles", "mounted", "used_up"]


@frozen(kw_only=True)
class RecoveryWish:
    """What the caller wants.

    Attributes:
        mode, method: How.
        component: Its name; None if the copy holds just one.
        accept_unverified: Whether an unverified copy may be used (never a corrupt one).
    """

    mode: RecoveryMode
    method: RecoveryMethod = RecoveryMethod.SWAP
    component: str | None = None
    accept_unverified: bool = False


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
    try:
        with presented(production.store, storages, server.host, read_only=True, budget=budget):
            server.rescan(budget=budget)
            with attached(server, at, read_only=True, budget=budget) as volumes:
                yield MountedCopy(copy, server, volumes)
    finally:
        # A server forgets a LUN only when it looks again [HAZ-01].
        server.rescan(budget=budget)


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
    component = _component(production, copy, wish.component)
    reason = objection(copy.kind, wish.mode, wish.method)
    if reason:
        raise refuse("P-01", reason, "Use --method copy-back, or swap with a snapclone.")
    members = _members(copy, component, wish.mode)
    _check_members(production, members)
    _check_alone(production, component, members)
    _check_present(production, members)
    _check_running(production, component, budget)
    with mounted(parts, production, copy, budget) as files:
        analysis = production.application.analyze(component.name, files, wish.mode)
        if analysis.verdict is LogVerdict.IMPOSSIBLE:
            raise refuse("P-08", analysis.reason, analysis.remedy or None)
        # While the copy is mounted: which files have to move depends on its own.
        actions = tuple(
            production.application.file_actions(component.name, files, wish.mode, wish.method)
        )
    return RecoveryPlan(
        copy=copy.id,
        server=copy.server,
        component=component.name,
        mode=wish.mode,
        method=wish.method,
        members=members,
        host=production.server.host,
        analysis=analysis,
        made_at=parts.clock.now(),
        file_actions=actions,
        steps=tuple(_steps(component, wish, members, actions, analysis)),
        warnings=tuple(_warnings(wish, analysis)),
        consumes=wish.method is RecoveryMethod.SWAP,
    )


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
    for each in parts.catalog.find(CopyFilter(server=copy.server)):
        if each.stage == RECOVERING:
            raise refuse(
                "P-11", f"a recovery from copy {each.id} is not ended", "Run 'frskit resume'."
            )


def _check_members(production: Production, members: tuple[CopyMember, ...]) -> None:
    """P-01 for the members that take part: not used up, still on the array, normalized."""
    if any(member.life is not MemberLife.HELD for member in members):
        raise refuse(
            "P-01",
            "a member of the copy was used up by an earlier recovery",
            "Choose another copy: 'frskit copy list'.",
        )
    states = {each.id: each for each in production.store.states([m.storage for m in members])}
    for member in members:
        state = states.get(member.storage)
        if state is None or state.state is CopyState.INVALID:
            raise refuse("P-01", f"the array has lost member {member.storage} of the copy")
        if state.state is CopyState.NORMALIZING:
            raise refuse("P-01", f"member {member.storage} still normalizes", "Wait for it.")


def _component(production: Production, copy: Copy, wanted: str | None) -> ComponentInfo:
    """The component to recover, by its name or, where the record has another one, its identity."""
    selected = {each.id for each in copy.selected}
    held = {each.casefold() for each in copy.components}
    components = production.application.components()
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
    production: Production, component: ComponentInfo, members: tuple[CopyMember, ...]
) -> None:
    """P-10: a LUN is replaced whole, so nothing of another component may be on it."""
    for other in production.application.components():
        if other.name == component.name:
            continue
        for path in (*other.database_paths, other.log_path, other.system_path):
            for member in members:
                if path and inside(member.mount_point, path) is not None:
                    raise refuse(
                        "P-10",
                        f"{member.mount_point} also holds {path} of {other.name}",
                        "Use --method copy-back.",
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


def _steps(
    component: ComponentInfo,
    wish: RecoveryWish,
    members: tuple[CopyMember, ...],
    actions: tuple[FileAction, ...],
    analysis: LogAnalysis,
) -> Iterator[PlanStep]:
    """The steps for people, in the order of execution."""
    yield PlanStep(title="dismount the stores", detail=", ".join(component.databases))
    yield PlanStep(title="allow the stores to be overwritten")
    yield PlanStep(title="tell the writer: PreRestore")
    if wish.method is RecoveryMethod.SWAP:
        for member in members:
            yield PlanStep(
                title="swap LUNs",
                detail=f"{member.mount_point}: {member.storage} takes the place of production's",
            )
    for action in actions:
        detail = f"{action.path} -> {action.target}" if action.target else action.path
        yield PlanStep(title=action.kind.value, detail=detail)
    yield PlanStep(title="tell the writer: PostRestore")
    replay = "nothing to replay" if analysis.reaches is None else f"up to {analysis.reaches}"
    yield PlanStep(
        title="mount and replay",
        detail=replay,
        point_of_no_return="the first write of replay uses the copy up"
        if wish.method is RecoveryMethod.SWAP
        else "",
    )
    yield PlanStep(
        title="stores are mounted",
        point_of_no_return="from here undo would lose mail",
    )


def _warnings(wish: RecoveryWish, analysis: LogAnalysis) -> Iterator[str]:
    """What the administrator must know [FRS 5.5]."""
    if wish.mode is RecoveryMode.POINT_IN_TIME:
        yield "mail newer than the copy is lost; newer logs are set aside, not deleted"
    if analysis.verdict is LogVerdict.PARTIAL:
        yield f"the log chain breaks at {analysis.gap_at}: later transactions are lost"
    if analysis.stale_checkpoint:
        yield "the checkpoint file is ahead of the restored headers and is set aside"
    if wish.method is RecoveryMethod.SWAP:
        yield "the copy is used up; production runs on its LUNs afterwards"
    yield "take a new copy at once after the recovery"
