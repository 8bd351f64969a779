"""Library values as plain dictionaries for JSON, and as rows for tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from frskit.model.log_points import LogRange

if TYPE_CHECKING:
    from frskit.errors import FrskitError
    from frskit.model.copies import Copy, Truncation
    from frskit.model.log_points import LogPoint
    from frskit.model.plans import ComponentStatus, LogAnalysis, RecoveryPlan, RecoveryReport

__all__ = [
    "analysis_facts",
    "component_facts",
    "copy_details",
    "copy_facts",
    "error_facts",
    "facts_text",
    "items_text",
    "plan_facts",
    "recovery_facts",
    "stretch_text",
    "truncation_text",
]

Facts = dict[str, object]


def _rank(point: LogPoint | None) -> int | None:
    """Where a place is, as a number: for documents that always said it so."""
    return None if point is None else point.rank


def _name(point: LogPoint | None) -> str | None:
    return None if point is None else str(point)


def _ranks(stretch: LogRange | None) -> list[int] | None:
    return None if stretch is None else [stretch.first.rank, stretch.last.rank]


def _names(stretch: LogRange | None) -> list[str] | None:
    return None if stretch is None else [str(stretch.first), str(stretch.last)]


def verdict_text(copy: Copy) -> str:
    """The verdict, and whether it is about a part of what was asked for."""
    return f"{copy.verdict.value} (partial)" if copy.partial else copy.verdict.value


def copy_facts(copy: Copy) -> Facts:
    """A copy as `copy list --json` shows it."""
    return {
        "id": copy.id,
        "server": copy.server,
        "components": list(copy.components),
        "created_at": copy.created_at.isoformat(),
        "kind": copy.kind.value,
        "state": copy.life.value,
        "verdict": copy.verdict.value,
        "missing": list(copy.missing),
        "completion": copy.completion.value,
        "truncated": [
            {
                "component": each.component.name,
                "first": _rank(each.first),
                "last": _rank(each.last),
                "first_name": _name(each.first),
                "last_name": _name(each.last),
                "count": each.count,
                "beyond": list(each.beyond),
            }
            for each in copy.truncated
        ],
        "members": [
            {
                "mount_point": member.mount_point,
                "source": member.source,
                "storage": member.storage,
                "state": member.life.value,
            }
            for member in copy.members
        ],
    }


def copy_details(copy: Copy) -> Facts:
    """A copy as `copy show --json` shows it: with times, failure and the checker's report."""
    facts = copy_facts(copy)
    facts.update(
        backup_type=copy.backup_type.value,
        stage=copy.stage,
        failure=copy.failure,
        leftovers=list(copy.leftovers),
        freeze_s=copy.freeze_s,
        hold_s=copy.hold_s,
    )
    if copy.late:
        facts["late_files"] = [
            {"path": late.path, "size_bytes": late.size_bytes, "sha256": late.sha256}
            for late in copy.late
        ]
    if copy.report is not None:
        facts["report"] = {
            "checker": copy.report.checker,
            "image_ok": copy.report.image_ok,
            "truncation_ok": copy.report.truncation_ok,
            "coverage": copy.report.coverage.value,
            "pages": copy.report.pages,
            "logs": copy.report.logs,
            "files": [
                {
                    "path": file.path,
                    "role": file.role.value,
                    "verdict": file.verdict.value,
                    "detail": file.detail,
                    "coverage": file.coverage.value,
                    "pages": file.pages,
                    "generation": _rank(file.log),
                    "log": _name(file.log),
                    "needed": file.needed,
                    "counts": dict(file.counts),
                }
                for file in copy.report.files
            ],
            "problems": [text for each in copy.report.components for text in each.problems],
            "warnings": [text for each in copy.report.components for text in each.warnings],
        }
    return facts


def component_facts(status: ComponentStatus) -> Facts:
    """A component as `show --json` shows it."""
    return {
        "name": status.name,
        "databases": [
            {
                "name": each.name,
                "messages": each.items,
                "items": each.items,
                "state": each.state,
                **({"detail": each.detail} if each.detail else {}),
            }
            for each in status.databases
        ],
        "unit": status.unit,
        "lowest_log": _rank(status.lowest_log),
        "current_log": _rank(status.current_log),
        "checkpoint": _rank(status.checkpoint),
        "lowest_log_name": _name(status.lowest_log),
        "current_log_name": _name(status.current_log),
        "checkpoint_name": _name(status.checkpoint),
    }


def plan_facts(plan: RecoveryPlan) -> Facts:
    """A recovery plan."""
    return {
        "copy": plan.copy,
        "server": plan.server,
        "storage_group": plan.component,
        "mode": plan.mode.value,
        "stop_kind": plan.target.stop_kind,
        "stop": plan.target.stop,
        "method": plan.method.value,
        "consumes_copy": plan.consumes,
        "members": [
            {"mount_point": member.mount_point, "storage": member.storage}
            for member in plan.members
        ],
        "logs": {
            "verdict": plan.analysis.verdict.value,
            "needed": _ranks(plan.analysis.needed),
            "reaches": _rank(plan.analysis.reaches),
            "needed_names": _names(plan.analysis.needed),
            "reaches_name": _name(plan.analysis.reaches),
            "reason": plan.analysis.reason,
        },
        "steps": [
            {
                "title": step.title,
                "detail": step.detail,
                **(
                    {"point_of_no_return": step.point_of_no_return}
                    if step.point_of_no_return
                    else {}
                ),
            }
            for step in plan.steps
        ],
        "warnings": list(plan.warnings),
    }


def analysis_facts(analysis: LogAnalysis) -> Facts:
    """What the logs allow, for one mode."""
    return {
        "mode": analysis.mode.value,
        "verdict": analysis.verdict.value,
        "needed": _ranks(analysis.needed),
        "reaches": _rank(analysis.reaches),
        "gap_at": _rank(analysis.gap_at),
        "needed_names": _names(analysis.needed),
        "reaches_name": _name(analysis.reaches),
        "gap_at_name": _name(analysis.gap_at),
        "code": analysis.code,
        "reason": analysis.reason,
        "remedy": analysis.remedy,
        "stale_checkpoint": analysis.stale_checkpoint,
    }


def recovery_facts(report: RecoveryReport) -> Facts:
    """What a recovery did."""
    return {
        "copy": report.plan.copy,
        "storage_group": report.plan.component,
        "mode": report.plan.mode.value,
        "method": report.plan.method.value,
        "before": component_facts(report.before),
        "after": component_facts(report.after),
        "replayed": _ranks(report.replayed),
        "replayed_names": _names(report.replayed),
        "displaced": list(report.displaced),
        "warnings": list(report.plan.warnings),
    }


def stretch_text(first: LogPoint | None, last: LogPoint | None) -> str:
    """From one log to another, for people; empty if neither is known."""
    if first is None or last is None:
        return ""
    return str(first) if first == last else str(LogRange(first=first, last=last))


def truncation_text(truncation: Truncation) -> str:
    """Which logs of a component disappeared, for people."""
    if not truncation.count:
        return "none"
    where = stretch_text(truncation.first, truncation.last)
    counted = f"{truncation.count} file" + ("s" if truncation.count != 1 else "")
    text = f"{where} ({counted})" if where else f"{counted}: {', '.join(truncation.files)}"
    if truncation.beyond:
        text += f"; not allowed: {', '.join(truncation.beyond)}"
    return text


def items_text(items: int | None, unit: str) -> str:
    """A count with its unit, for people."""
    return f"{'?' if items is None else items} {unit}"


def error_facts(error: FrskitError) -> Mapping[str, object]:
    """An error with everything that helps."""
    return {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "retryable": error.retryable,
        "stage": error.stage,
        "native": error.native,
        "leftovers": list(error.leftovers),
        "context": {key: str(value) for key, value in error.context.items()},
        "exit_status": error.exit_status,
    }


def facts_text(value: object) -> str:
    """What a line of the journal knows, for people: ``name value; name value, value``."""
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {facts_text(each)}" for name, each in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(facts_text, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
