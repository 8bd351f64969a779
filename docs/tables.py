"""Pages made from the code's own tables: errors, exit statuses, states, rules, the reference."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import reference_pages
import rule_ids

from frskit.codes.exits import EXIT_STATUSES
from frskit.codes.explain import error_classes
from frskit.frs.recovery.legality import table_rows as legality_rows
from frskit.testing.architecture import folder_rows
from frskit.testing.architecture import table_rows as architecture_rows
from frskit.vss.state_tables import TABLE_NAMES
from frskit.vss.state_tables import table_rows as state_rows


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""

    def line(cells: Sequence[object]) -> str:
        return "| " + " | ".join(str(each).replace("|", "\\|") for each in cells) + " |"

    return "\n".join([line(headings), line(["---"] * len(headings)), *map(line, rows)]) + "\n"


def errors_page() -> str:
    """The error catalogue: a list, because six columns fit no small screen."""
    lines = ["# Errors", ""]
    for kind in error_classes():
        retry = "worth a retry" if kind.default_retryable else "no retry"
        meaning = (kind.__doc__ or "").splitlines()[0]
        hint = re.sub(r"(--[\w-]+)", r"`\1`", kind.default_hint)  # two hyphens stay two hyphens
        lines += [
            f"`{kind.code}`: {{py:exc}}`~frskit.errors.{kind.__name__}`",
            f": {meaning} Exit status {kind.exit_status}; {retry}. {hint}".rstrip(),
            "",
        ]
    return "\n".join(lines)


def exits_page() -> str:
    """Exit statuses of the command line."""
    intro = "# Exit statuses\n\nfrskit's own contract for `frskit` and `hpfrscli`; HP's are not known.\n\n"
    return intro + table(("status", "meaning"), EXIT_STATUSES.items())


def architecture_page() -> str:
    """Who may import whom."""
    text = (
        "# Imports\n\nImports go down only; the six wings (`frs`, `vss`, `exchange`, `eva`, `local`, "
        "`hosts`) never import each other, they meet through `frskit.protocols`. A test holds "
        "this table against the code.\n\n"
    )
    inside = (
        "\n## Folders inside the parts\n\nNo module is in a circle, not even one of annotations. From "
        "another part only a package's face is imported (`frskit.ese`, `frskit.ese.logs`), never a "
        "module behind it.\n\n"
    )
    return (
        text
        + table(("part", "may import"), [(f"`{a}`", b) for a, b in architecture_rows()])
        + inside
        + table(("folder", "may import"), [(f"`{a}`", b) for a, b in folder_rows()])
    )


_TITLES = {
    "writer": (
        "A writer, as the coordinator sees it",
        "After the slash: if the writer vetoes or fails.",
    ),
    "requestor": ("The requestor's object (`BackupComponents`)", "Every other call is BAD_STATE."),
    "shadow": ("A shadow copy", "Every other step is refused."),
    "provider": ("A hardware provider", "Every other call is refused."),
}
_ILLEGAL = frozenset({"-", "BAD_STATE"})


def _result(cell: str, state: str) -> str:
    success, *failures = cell.split(" / ")
    if set(failures) <= {success}:
        return "unchanged" if success == state else success
    if success == state != "STABLE":
        success = "unchanged"
    return " / ".join([success, *failures])


def _where(states: Sequence[str], some: Sequence[str]) -> str:
    """The states of a line, shortly: any, all but these, all that begin with FAILED_AT."""
    others = [each for each in states if each not in some]
    if not others:
        return "any"
    if len(others) <= len(states) // 3:
        return "all but " + ", ".join(others)
    failures = [each for each in states if each.startswith("FAILED_AT")]
    if len(failures) > 1 and set(failures) <= set(some):
        return ", ".join([*(each for each in some if each not in failures), "every FAILED_AT"])
    return ", ".join(some)


def transitions(rows: Sequence[Sequence[str]]) -> Iterable[tuple[str, str, str]]:
    """A matrix of events and states as lines: event, states in which it is legal, what follows."""
    states = rows[0][1:]
    for event, *cells in rows[1:]:
        found: dict[str, list[str]] = {}
        for state, cell in zip(states, cells, strict=True):
            if cell not in _ILLEGAL:
                found.setdefault(_result(cell, state), []).append(state)
        for result, where in found.items():
            yield event, _where(states, where), result


def states_page() -> str:
    """The state machines of the shadow copy service, and the legality of recoveries."""
    parts = ["# State tables\n"]
    for name in TABLE_NAMES:
        title, note = _TITLES[name]
        lines = table(("event or call", "in state", "then"), transitions(state_rows(name)))
        parts.append(f"## {title}\n\n{note}\n\n{lines}")
    headings = ("copy", "mode", "method", "verdict")
    parts.append("## Legality of a recovery\n\n" + table(headings, legality_rows()))
    return "\n".join(parts)


def write_all(directory: Path) -> None:
    """Write every generated page; unchanged ones keep their time."""
    (directory / "reference").mkdir(parents=True, exist_ok=True)
    pages = {
        "imports.md": architecture_page(),
        "errors.md": errors_page(),
        "exit-statuses.md": exits_page(),
        "states.md": states_page(),
        "rules-held.md": rule_ids.page(Path(__file__).parents[1] / "tests"),
        **{f"reference/{name}": text for name, text in reference_pages.pages().items()},
    }
    for name, text in pages.items():
        path = directory / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
