"""Where commands print: tables and lines for people, documents for programs, errors for both.

On a terminal, and wherever ``COLUMNS`` is set, no line is longer than the width, and nothing is cut
off; elsewhere lines are whole. Characters that a terminal would obey are printed as escapes.

Drawing is rich's; it is loaded when something is drawn, since plain lines and documents are all that
most commands print.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from attrs import frozen

from frskit.cli.layout import blocks, fitted
from frskit.cli.render import error_facts
from frskit.cli.text import printable, terminal_width, wrapped
from frskit.events import Event, Warned
from frskit.events import Progress as ProgressEvent

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from rich.console import Console
    from rich.progress import Progress, TaskID
    from rich.tree import Tree

    from frskit.errors import FrskitError

__all__ = ["Branch", "Output", "ProgressBars"]

_UNBOUNDED = 1 << 20
"""Columns of a console whose lines may be as long as they like."""


@frozen
class Branch:
    """A line of a tree, and what hangs on it.

    Attributes:
        label: The line.
        branches: What hangs on it.
    """

    label: str
    branches: Sequence[Branch] = ()


class Output:
    """Prints one command's result.

    Attributes:
        as_json: Whether results are JSON documents.
        live: The console that is drawing bars at this moment; None = there are none. While it does,
            all that goes to a terminal is printed by it, above the bars: what is printed past it
            would stand in the middle of a bar.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.live: Console | None = None

    @cached_property
    def console(self) -> Console:
        """The standard output, for what has to be laid out."""
        return _console(errors=False)

    @cached_property
    def errors(self) -> Console:
        """The error output."""
        return _console(errors=True)

    def document(self, schema: str, facts: Mapping[str, object]) -> None:
        """One JSON document with its schema; nothing unless JSON is wanted."""
        if self.as_json:
            sys.stdout.write(json.dumps({"schema": schema, **facts}, default=str) + "\n")
            # At once: a program may be waiting for it.
            sys.stdout.flush()

    def line(self, text: str = "") -> None:
        """A line for people; nothing if JSON is wanted."""
        if self.as_json:
            return
        lines = wrapped(printable(text), terminal_width(sys.stdout))
        sys.stdout.writelines(f"{line}\n" for line in lines)  # bars replace it by their console

    def table(self, title: str, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table for people, its title only if there are no rows; nothing if JSON is wanted.

        Where the terminal is too narrow for a table, each row is a block of ``name: value`` lines.
        Without headings a row is a name and a value.
        """
        if self.as_json:
            return
        if title or not rows:
            self.line(title)
        if not rows:
            return
        cells = [["" if each is None else printable(str(each)) for each in row] for row in rows]
        names = [printable(each) for each in headings]
        grid = fitted(names, cells, terminal_width(sys.stdout))
        if grid is None:
            for line in blocks(names, cells):
                self.line(line)
            return
        from rich.table import Table

        table = Table(
            show_header=any(names),
            show_edge=grid.framed,
            pad_edge=grid.framed,
            padding=(0, 1) if grid.framed else 0,
        )
        for name, width in zip(names, grid.widths, strict=True):
            table.add_column(name, overflow="fold", width=width)
        for row in cells:
            table.add_row(*row)
        self.console.print(table)

    def tree(self, root: Branch) -> None:
        """A tree for people; nothing if JSON is wanted."""
        if not self.as_json:
            self.console.print(_drawn(root))

    def warning(self, text: str) -> None:
        """A warning on the error output, in both modes."""
        self.aside(f"warning: {text}")

    def aside(self, text: str, *, style: str = "") -> None:
        """A line on the error output, in both modes."""
        for line in wrapped(printable(text), terminal_width(sys.stderr)):
            (self.live or self.errors).print(line, style=style)

    def error(self, error: FrskitError) -> None:
        """An error with its hint: lines on the error output, or a document."""
        if self.as_json:
            self.document("frskit.error/1", {"error": error_facts(error)})
            return
        self.aside(f"error: {error.message}", style="red")
        if error.stage:
            self.aside(f"stage: {error.stage}")
        for leftover in error.leftovers:
            self.aside(f"left behind: {leftover}")
        self.aside(f"hint: {error.hint}")


def _console(*, errors: bool) -> Console:
    """A console that takes text as it is: no markup, no names of pictures, no colored numbers."""
    from rich.console import Console

    width = terminal_width(sys.stderr if errors else sys.stdout)
    return Console(
        stderr=errors, width=width or _UNBOUNDED, highlight=False, markup=False, emoji=False
    )


def _drawn(branch: Branch) -> Tree:
    from rich.tree import Tree

    tree = Tree(printable(branch.label))
    tree.children.extend(map(_drawn, branch.branches))
    return tree


class ProgressBars:
    """An event sink that draws progress on a terminal; a context manager.

    Also passes warnings on. Nothing is drawn unless the error output is a terminal. If results go
    to a terminal as well, the console that prints them draws the bars, so that it makes room.
    """

    def __init__(self, output: Output) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TransferSpeedColumn

        self._output = output
        self._tasks: dict[str, TaskID] = {}
        to_terminal = sys.stdout.isatty()
        self._progress: Progress = Progress(
            TextColumn("{task.description:>16}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TransferSpeedColumn(),
            console=output.console if to_terminal else output.errors,
            transient=True,
            redirect_stdout=to_terminal,
            disable=output.as_json or not sys.stderr.isatty(),
        )

    def emit(self, event: Event) -> None:
        """Draw progress, print warnings, ignore the rest."""
        if isinstance(event, Warned):
            self._output.warning(event.text)
        elif isinstance(event, ProgressEvent):
            self.update(event.operation, event.done, event.total)

    def update(self, operation: str, done: int, total: int) -> None:
        """Move the bar of an operation."""
        if operation not in self._tasks:
            name = printable(operation)
            self._tasks[operation] = self._progress.add_task(name, total=total or None)
        self._progress.update(self._tasks[operation], completed=done, total=total or None)

    def __enter__(self) -> Self:
        self._progress.start()
        if not self._progress.disable:
            self._output.live = self._progress.console
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()
        self._output.live = None
