"""Library values as plain dictionaries for JSON, and as rows for tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from frskit.errors import FrskitError
    from frskit.model.copies import Copy
    from frskit.model.plans import ComponentStatus, RecoveryPlan, RecoveryReport

__all__ = [
    "component_facts",
    "copy_details",
    "copy_facts",
    "error_facts",
    "facts_text",
    "plan_facts",
    "recovery_facts",
]

Facts = dict[str, object]


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
        "completion": copy.completion.value,
        "truncated": [
            {
                "component": each.component.name,
                "first": each.first,
                "last": each.last,
                "count": each.count,
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
                    "generation": file.generation,
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
                "state": each.state,
                **({"detail": each.detail} if each.detail else {}),
            }
            for each in status.databases
        ],
        "lowest_log": status.lowest_log,
        "current_log": status.current_log,
        "checkpoint": status.checkpoint,
    }


def plan_facts(plan: RecoveryPlan) -> Facts:
    """A recovery plan."""
    return {
        "copy": plan.copy,
        "server": plan.server,
        "storage_group": plan.component,
        "mode": plan.mode.value,
        "method": plan.method.value,
        "consumes_copy": plan.consumes,
        "members": [
            {"mount_point": member.mount_point, "storage": member.storage}
            for member in plan.members
        ],
        "logs": {
            "verdict": plan.analysis.verdict.value,
            "needed": plan.analysis.needed,
            "reaches": plan.analysis.reaches,
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


def recovery_facts(report: RecoveryReport) -> Facts:
    """What a recovery did."""
    return {
        "copy": report.plan.copy,
        "storage_group": report.plan.component,
        "mode": report.plan.mode.value,
        "method": report.plan.method.value,
        "before": component_facts(report.before),
        "after": component_facts(report.after),
        "replayed": report.replayed,
        "displaced": list(report.displaced),
        "warnings": list(report.plan.warnings),
    }


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
