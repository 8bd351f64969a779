"""`frskit recover`, `frskit logs` and `frskit resume`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from frskit.cli.app import Session, command
from frskit.cli.render import analysis_facts, copy_facts, items_text, plan_facts, recovery_facts
from frskit.model.plans import RecoveryMethod, RecoveryMode

if TYPE_CHECKING:
    from frskit.model.copies import Resumed
    from frskit.model.plans import RecoveryPlan, RecoveryReport

__all__ = ["NEEDS_YOU", "logs", "recover", "resume"]

NEEDS_YOU = 14
"""Exit status of a resume that left something which a human has to look at (ours)."""


@command("recover")
@click.argument("copy_id", metavar="ID")
@click.option(
    "--mode",
    type=click.Choice([each.value for each in RecoveryMode]),
    required=True,
    help="Where recovery ends.",
)
@click.option(
    "--method",
    type=click.Choice([each.value for each in RecoveryMethod]),
    default=RecoveryMethod.SWAP.value,
    show_default=True,
    help="How data is put back.",
)
@click.option(
    "--stop",
    metavar="KIND=TEXT",
    help="Where a roll forward ends, in the application's own words, as time=... or lsn=...",
)
@click.option("--component", metavar="NAME", help="If the copy holds several components.")
@click.option("--group", "component", hidden=True)  # its name before 0.2.0
@click.option("--plan", "only_plan", is_flag=True, help="Print what would be done, and stop.")
def recover(
    session: Session,
    copy_id: str,
    *,
    mode: str,
    method: str,
    stop: str | None,
    component: str | None,
    only_plan: bool,
) -> None:
    """Recover a component from a copy."""
    kind, _, text = (stop or "").partition("=")
    if stop is not None and not (kind and text):
        raise click.BadParameter(f"{stop!r} is not KIND=TEXT", param_hint="--stop")
    with session.site() as site, session.progress() as bars:
        site.frs.subscribe(bars)
        plan = site.frs.plan_recovery(
            copy_id,
            mode=RecoveryMode(mode),
            method=RecoveryMethod(method),
            component=component,
            stop=text,
            stop_kind=kind,
        )
        if only_plan:
            session.output.document("frskit.recovery-plan/1", plan_facts(plan))
            _print_plan(session, plan)
            return
        report = site.frs.recover(plan)
    session.output.document("frskit.recovery/1", recovery_facts(report))
    _print_report(session, report)


@command("logs")
@click.argument("server")
@click.argument("component", metavar="COMPONENT")
@click.option("--copy", "copy_id", metavar="ID", help="With the databases of this copy.")
def logs(session: Session, server: str, component: str, *, copy_id: str | None) -> None:
    """Tell what the transaction logs allow."""
    with session.site() as site:
        found = site.frs.analyze_logs(server, component, copy=copy_id)
    session.output.document(
        "frskit.logs/1",
        {"analyses": [analysis_facts(each) for each in found]},
    )
    session.output.table(
        "",
        ("mode", "verdict", "needed", "reaches", "reason"),
        [
            (
                each.mode.value,
                each.verdict.value,
                str(each.needed or "none"),
                each.reaches,
                each.reason,
            )
            for each in found
        ],
    )


@command("resume")
def resume(session: Session) -> int:
    """Finish or roll back what an interrupted command left, and retry leftovers.

    The status is 0 if all of it was ended, and 14 if something needs you.
    """
    with session.site() as site:
        done = site.frs.resume()
    session.output.document("frskit.resume/1", {"copies": [_resumed_facts(each) for each in done]})
    for each in done:
        session.output.line(f"{each.id}: {each.result}")
        for text in each.commands:
            session.output.line(f"  try: {text}")
    if not done:
        session.output.line("nothing was left unfinished")
    return 0 if all(each.ended for each in done) else NEEDS_YOU


def _resumed_facts(resumed: Resumed) -> dict[str, object]:
    facts = {"id": resumed.id} if resumed.copy is None else copy_facts(resumed.copy)
    return {
        **facts,
        "result": resumed.result,
        "ended": resumed.ended,
        "commands": list(resumed.commands),
    }


def _print_plan(session: Session, plan: RecoveryPlan) -> None:
    session.output.table(
        f"{plan.target} recovery of {plan.component} by {plan.method.value}",
        ("step", "detail", "point of no return"),
        [(step.title, step.detail, step.point_of_no_return) for step in plan.steps],
    )
    for text in plan.warnings:
        session.output.line(f"note: {text}")


def _print_report(session: Session, report: RecoveryReport) -> None:
    before = {each.name: each for each in report.before.databases}
    session.output.table(
        f"{report.plan.component} recovered, {report.plan.target}",
        ("database", "before", "items", "after", "items"),
        [
            (
                each.name,
                before[each.name].state if each.name in before else "",
                items_text(before[each.name].items, report.before.unit)
                if each.name in before
                else "",
                each.state,
                items_text(each.items, report.after.unit),
            )
            for each in report.after.databases
        ],
    )
    if report.replayed:
        session.output.line(f"logs replayed: {report.replayed}")
    for text in report.plan.warnings:
        session.output.line(f"note: {text}")
