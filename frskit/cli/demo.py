"""`frskit demo`: one verified copy and two recoveries, with what they proved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from frskit.cli.app import Session, command
from frskit.cli.render import copy_facts, stretch_text
from frskit.cli.text import beginnings

if TYPE_CHECKING:
    from frskit.simulation.demo import AdoptedFile, DemoResult

__all__ = ["demo"]


@command("demo")
@click.option(
    "--edb",
    "edbs",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Check a database of yours.",
)
@click.option("--seed", type=int, default=0, show_default=True)
def demo(session: Session, *, edbs: tuple[Path, ...], seed: int) -> int:
    """Copy, check, damage and recover a simulated Exchange server, in memory."""
    from frskit.simulation.demo import run_demo

    steps = iter(range(1, 100))
    with session.progress() as bars:
        result = run_demo(
            edbs=edbs,
            seed=seed,
            tell=lambda text: session.output.line(f"{next(steps):>2}. {text}"),
            sink=bars,
        )
    session.output.document("frskit.demo/1", _facts(result))
    _print(session, result)
    return 0 if result.ok else 1


def _facts(result: DemoResult) -> dict[str, object]:
    return {
        "ok": result.ok,
        "copies": [
            {
                **copy_facts(copy),
                "freeze_s": copy.freeze_s,
                "pages": copy.report.pages if copy.report else 0,
                "logs": copy.report.logs if copy.report else 0,
            }
            for copy in result.copies
        ],
        "recoveries": [
            {
                "mode": each.mode.value,
                "messages_at_copy": each.at_copy,
                "messages_before": each.before,
                "messages_after": each.after,
                "messages_lost": each.lost,
                "kept_promise": each.kept_promise,
                "replayed": each.replayed and [each.replayed.first.rank, each.replayed.last.rank],
            }
            for each in result.recoveries
        ],
        "adopted": [_adopted_facts(each) for each in result.adopted],
    }


def _adopted_facts(file: AdoptedFile) -> dict[str, object]:
    return {
        "path": file.name,
        "verdict": file.checked.verdict.value,
        "pages": dict(file.checked.counts),
        "detail": file.checked.detail,
    }


def _print(session: Session, result: DemoResult) -> None:
    out = session.output
    short = beginnings(copy.id for copy in result.copies)
    out.line()
    out.table(
        "copies, checked from the recovery server",
        ("copy", "verdict", "pages checked", "logs checked", "logs truncated", "frozen"),
        [
            (
                short[copy.id],
                copy.verdict.value,
                copy.report.pages if copy.report else 0,
                copy.report.logs if copy.report else 0,
                ", ".join(stretch_text(each.first, each.last) or "none" for each in copy.truncated),
                "" if copy.freeze_s is None else f"{copy.freeze_s * 1000:.1f} ms",
            )
            for copy in result.copies
        ],
    )
    out.table(
        "recoveries (messages)",
        ("mode", "at copy", "before", "lost", "recovered", "replayed", "promise"),
        [
            (
                each.mode.value,
                each.at_copy,
                each.before,
                each.lost,
                each.after,
                str(each.replayed or "none"),
                "kept" if each.kept_promise else "BROKEN",
            )
            for each in result.recoveries
        ],
    )
    if result.adopted:
        out.table(
            "your files, checked page by page from the presented copy",
            ("file", "verdict", "pages", "detail"),
            [
                (
                    each.name,
                    each.checked.verdict.value,
                    ", ".join(f"{count} {name}" for name, count in each.checked.counts.items()),
                    each.checked.detail,
                )
                for each in result.adopted
            ],
        )
    out.line("All of it was simulated, on real bytes. Next: 'frskit lab init DIR'.")
