"""Pages made from the code's own tables: architecture, errors, exit statuses, state machines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from frskit.codes.exits import EXIT_STATUSES
from frskit.frs.explain import error_classes
from frskit.frs.legality import table_rows as legality_rows
from frskit.testing.architecture import table_rows as architecture_rows
from frskit.vss.states import table_rows as state_rows


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""

    def line(cells: Sequence[object]) -> str:
        return "| " + " | ".join(str(each).replace("|", "\\|") for each in cells) + " |"

    return "\n".join([line(headings), line(["---"] * len(headings)), *map(line, rows)]) + "\n"


def errors_page() -> str:
    """The error catalogue."""
    rows = [
        (
            f"`{kind.code}`",
            f"`{kind.__name__}`",
            (kind.__doc__ or "").splitlines()[0],
            "yes" if kind.default_retryable else "no",
            kind.exit_status,
            kind.default_hint,
        )
        for kind in error_classes()
    ]
    headings = ("code", "class", "meaning", "retry", "exit", "what to do")
    return "# Errors\n\n" + table(headings, rows)


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
    return text + table(("part", "may import"), [(f"`{a}`", b) for a, b in architecture_rows()])


def states_page() -> str:
    """The state machines of the shadow copy service, and the legality of recoveries."""
    parts = ["# State tables\n"]
    for title, headings, rows in state_rows():
        parts.append(f"## {title}\n\n" + table(headings, rows))
    parts.append(
        "## Legality of a recovery\n\n" + table(("copy", "mode", "method", "verdict"), legality_rows())
    )
    return "\n".join(parts)


def write_all(directory: Path) -> None:
    """Write every generated page; unchanged ones keep their time."""
    directory.mkdir(exist_ok=True)
    pages = {
        "imports.md": architecture_page(),
        "errors.md": errors_page(),
        "exit-statuses.md": exits_page(),
        "states.md": states_page(),
    }
    for name, text in pages.items():
        path = directory / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
