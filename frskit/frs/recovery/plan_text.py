"""What a recovery plan says to people: its steps, its points of no return, and its warnings."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from frskit.model.plans import LogVerdict, PlanStep, RecoveryMethod, RecoveryMode

if TYPE_CHECKING:
    from frskit.frs.recovery.wish import RecoveryWish
    from frskit.model.copies import CopyMember
    from frskit.model.plans import ComponentInfo, FileAction, LogAnalysis

__all__ = ["steps", "warnings"]


def steps(
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
    elif wish.method is RecoveryMethod.ARRAY_RESTORE:
        yield from _array_steps(members)
    for action in actions:
        detail = f"{action.path} -> {action.target}" if action.target else action.path
        yield PlanStep(title=action.kind.value, detail=detail)
    yield PlanStep(title="tell the writer: PostRestore")
    replay = "nothing to replay" if analysis.reaches is None else f"up to {analysis.reaches}"
    if wish.target.stop:
        replay += f", stop at {wish.target.stop_kind} {wish.target.stop}"
    yield PlanStep(
        title="mount and replay",
        detail=replay,
        point_of_no_return="the first write of replay uses the copy up"
        if wish.method is RecoveryMethod.SWAP
        else "",
    )
    yield PlanStep(
        title="stores are mounted",
        point_of_no_return="from here undo would lose what is written to them",
    )


def _array_steps(members: tuple[CopyMember, ...]) -> Iterator[PlanStep]:
    """Hide all, let the array copy all back, show all."""
    for member in members:
        yield PlanStep(
            title="hide production's LUN", detail=f"{member.mount_point}: {member.source}"
        )
    for number, member in enumerate(members):
        yield PlanStep(
            title="let the array copy back",
            detail=f"{member.mount_point}: {member.storage} into {member.source}",
            point_of_no_return=""
            if number
            else "the former content is gone; from here the recovery is finished, not undone",
        )
    for member in members:
        yield PlanStep(title="show and mount it again", detail=member.mount_point)


def warnings(
    wish: RecoveryWish, analysis: LogAnalysis, lost: tuple[str, ...], others: Collection[str]
) -> Iterator[str]:
    """What the administrator must know [FRS 5.5]."""
    if others:
        yield f"{', '.join(others)} is not part of the copy, and stays as it is"
    if wish.mode is RecoveryMode.POINT_IN_TIME:
        yield "what is newer than the copy is lost; newer logs are set aside, not deleted"
    if wish.target.stop:
        yield f"replay stops at {wish.target.stop_kind} {wish.target.stop}: what is later is lost"
    if lost:
        yield f"{', '.join(lost)} was deleted when the copy was made: what it held may be lost"
    if analysis.verdict is LogVerdict.PARTIAL:
        yield f"the log chain breaks at {analysis.gap_at}: later transactions are lost"
    if analysis.stale_checkpoint:
        yield "the checkpoint file is ahead of the restored headers and is set aside"
    if wish.method is RecoveryMethod.SWAP:
        yield "the copy is used up; production runs on its LUNs afterwards"
    if wish.method is RecoveryMethod.ARRAY_RESTORE:
        yield (
            "the array overwrites production's LUNs, and what they hold now is not kept [P-12]: "
            "if it may still be needed, swap instead"
        )
    yield "take a new copy at once after the recovery"
