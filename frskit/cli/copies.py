"""`frskit copy add|list|show|rm`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from frskit.cli.app import Session, command, group
from frskit.cli.damage import look_for_damage
from frskit.cli.render import copy_details, copy_facts, truncation_text, verdict_text
from frskit.cli.sites import short_ids
from frskit.model.components import BackupType
from frskit.model.storage import CopyKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frskit.model.copies import Copy
    from frskit.model.plans import CopyPlan

__all__ = ["copies"]

_FOREIGN = (BackupType.LOG, BackupType.OTHER)
"""Types that only occur in the documents of other requestors."""


@group("copy", "Make, list, show and delete copies.")
def copies() -> None:
    """Nothing happens before a command."""


@command("add", parent=copies)
@click.argument("server")
@click.argument("components", metavar="COMPONENT...", nargs=-1, required=True)
@click.option(
    "--kind",
    type=click.Choice([each.value for each in CopyKind]),
    default=CopyKind.SNAPCLONE.value,
    show_default=True,
    help="Kind of array copy.",
)
@click.option(
    "--type",
    "backup_type",
    type=click.Choice([each.value for each in BackupType if each not in _FOREIGN]),
    default=BackupType.FULL.value,
    show_default=True,
    help="VSS backup type; full and incremental let the writer truncate logs.",
)
@click.option(
    "--key",
    metavar="GUID",
    help="Id of the copy to be: the same command with the same key makes no second copy.",
)
@click.option("--no-check", is_flag=True, help="Do not check; nothing is truncated.")
@click.option("--plan", "only_plan", is_flag=True, help="Print what would be done, and stop.")
def add(
    session: Session,
    server: str,
    components: tuple[str, ...],
    *,
    kind: str,
    backup_type: str,
    key: str | None,
    no_check: bool,
    only_plan: bool,
) -> None:
    """Copy components (storage groups), check the copy, tell the writer."""
    wanted_type, wanted_kind = BackupType(backup_type), CopyKind(kind)
    with session.site() as site, session.progress() as bars:
        if only_plan:
            plan = site.frs.plan_copy(server, components, backup_type=wanted_type, kind=wanted_kind)
            _print_plan(session, plan)
            return
        site.frs.subscribe(bars)
        copy = site.frs.create_copy(
            server,
            components,
            backup_type=wanted_type,
            kind=wanted_kind,
            check=not no_check,
            key=key,
        )
    session.output.document("frskit.copy/1", {"copy": copy_details(copy)})
    _print_copy(session, copy)


@command("list", parent=copies)
@click.argument("server", required=False)
@click.argument("component", metavar="[COMPONENT]", required=False)
def list_copies(session: Session, server: str | None, component: str | None) -> int:
    """List copies, newest first; warn of records that cannot be read.

    The status is 0 if any copy could be shown, and 11 if there are damaged records only.
    """
    with session.site() as site:
        found = site.frs.copies(server=server, component=component)
        damage = look_for_damage(site, server=server, component=component)
        short = short_ids(site)
    session.output.document(
        "frskit.copies/1", {"copies": [copy_facts(copy) for copy in found], **damage.facts}
    )
    damage.warn(session.output)
    session.output.table(
        "" if found else "no copies that can be shown" if damage.lines else "no copies",
        ("id", "server", "components", "created (UTC)", "kind", "state", "verdict", "completion"),
        [
            (
                short[copy.id],
                copy.server,
                ", ".join(copy.components),
                f"{copy.created_at:%Y-%m-%d %H:%M:%S}",
                copy.kind.value,
                copy.life.value,
                verdict_text(copy),
                copy.completion.value,
            )
            for copy in found
        ],
    )
    return damage.status(shown=bool(found))


@command("show", parent=copies)
@click.argument("copy_id", metavar="ID")
def show_copy(session: Session, copy_id: str) -> None:
    """Show all that is known about a copy."""
    with session.site() as site:
        copy = site.frs.copy(copy_id)
    session.output.document("frskit.copy/1", {"copy": copy_details(copy)})
    _print_copy(session, copy)
    if copy.report is not None:
        session.output.table(
            "checked from the presented copy",
            ("file", "role", "verdict", "pages", "detail"),
            [
                (file.path, file.role.value, file.verdict.value, file.pages or "", file.detail)
                for file in copy.report.files
            ],
        )


@command("rm", parent=copies)
@click.argument("copy_id", metavar="ID")
def remove(session: Session, copy_id: str) -> None:
    """Delete a copy from array and catalog."""
    with session.site() as site:
        copy = site.frs.copy(copy_id)
        site.frs.delete_copy(copy_id)  # as it was given: too little of an id is refused
    session.output.document("frskit.deleted/1", {"id": copy.id})
    session.output.line(f"deleted {copy.id}")


def _print_plan(session: Session, plan: CopyPlan) -> None:
    session.output.document(
        "frskit.copy-plan/1",
        {
            "server": plan.server,
            "components": list(plan.components),
            "kind": plan.kind.value,
            "backup_type": plan.backup_type.value,
            "volumes": [{"volume": each, "mount_point": point} for each, point in plan.volumes],
            "storages": list(plan.storages),
            "recovery_server": plan.recovery_server,
            "excluded": list(plan.excluded),
            "warnings": list(plan.warnings),
            "steps": [{"title": step.title, "detail": step.detail} for step in plan.steps],
        },
    )
    points = ", ".join(point for _, point in plan.volumes)
    session.output.line(f"{plan.kind.value} of {points} to be checked on {plan.recovery_server}")
    session.output.table("", ("step", "detail"), [(step.title, step.detail) for step in plan.steps])
    for text in (*plan.excluded, *plan.warnings):
        session.output.line(f"note: {text}")


def _print_copy(session: Session, copy: Copy) -> None:
    rows: list[tuple[str, object]] = [
        ("id", copy.id),
        ("components", f"{', '.join(copy.components)} on {copy.server}"),
        ("made", f"{copy.created_at:%Y-%m-%d %H:%M:%S} UTC, {copy.kind.value}"),
        ("state", copy.life.value),
        ("verdict", verdict_text(copy)),
        ("completion", copy.completion.value),
    ]
    rows.extend(_times(copy))
    if copy.report is not None:
        text = f"{copy.report.pages} pages, {copy.report.logs} logs"
        rows.append(("checked", f"{text}; coverage {copy.report.coverage.value}"))
    if copy.missing:
        rows.append(("not in it", ", ".join(copy.missing)))
    if copy.late:
        size = sum(each.size_bytes or 0 for each in copy.late)
        rows.append(("late files", f"{len(copy.late)}, {size} bytes"))
    rows.extend(
        (f"truncated ({each.component.name})", truncation_text(each)) for each in copy.truncated
    )
    if copy.failure:
        rows.append(("failure", f"{copy.failure} (stage {copy.stage})"))
    rows.extend(("left behind", text) for text in copy.leftovers)
    session.output.table("", ("", ""), rows)


def _times(copy: Copy) -> Iterator[tuple[str, object]]:
    """How long it was frozen and held, as far as the service could tell; unknown is not 0."""
    if copy.freeze_s is not None:
        held = "" if copy.hold_s is None else f" (writes held {copy.hold_s:.3f} s)"
        yield "frozen", f"{copy.freeze_s:.3f} s{held}"
    elif copy.hold_s is not None:
        yield "writes held", f"{copy.hold_s:.3f} s"
