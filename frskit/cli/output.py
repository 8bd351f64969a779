"""Where commands print: tables and lines for people, documents for programs, errors for both.

Drawing is rich's; it is loaded when something is drawn, since plain lines and documents are all that
most commands print.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from frskit.cli.render import error_facts
from frskit.events import Event, Warned
from frskit.events import Progress as ProgressEvent

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from rich.console import Console
    from rich.progress import Progress, TaskID

    from frskit.errors import FrskitError

__all__ = ["Output", "ProgressBars"]


_WHOLE_WORDS = 16
"""Words up to this length are not broken in a table, as long as there is room at all."""


class Output:
    """Prints one command's result.

    Attributes:
        as_json: Whether results are JSON documents.
        quiet: Whether progress bars are left out.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json

    @cached_property
    def console(self) -> Console:
        """The standard output, for what has to be laid out."""
        from rich.console import Console

        return Console(highlight=False, soft_wrap=True)

    @cached_property
    def errors(self) -> Console:
        """The error output."""
        from rich.console import Console

        return Console(stderr=True, highlight=False, soft_wrap=True)

    def document(self, schema: str, facts: Mapping[str, object]) -> None:
        """One JSON document with its schema; nothing unless JSON is wanted."""
        if self.as_json:
            sys.stdout.write(json.dumps({"schema": schema, **facts}, default=str) + "\n")
            sys.stdout.flush()

    def line(self, text: str = "") -> None:
        """A line for people; nothing if JSON is wanted."""
        if self.as_json:
            return
        if hasattr(sys.stdout, "rich_proxied_file"):  # bars are being drawn around it
            self.console.print(text, markup=False)
        else:
            sys.stdout.write(f"{text}\n")

    def table(self, title: str, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table for people, its title only if there are no rows; nothing if JSON is wanted."""
        if self.as_json:
            return
        if not rows:
            self.line(title)
            return
        from rich.markup import escape
        from rich.table import Table

        table = Table(title=title or None, title_justify="left", show_header=any(headings))
        cells = [["" if each is None else str(each) for each in row] for row in rows]
        for number, heading in enumerate(headings):
            words = " ".join([heading, *(row[number] for row in cells)]).split()
            longest = max(map(len, words), default=0)
            table.add_column(heading, overflow="fold", min_width=min(longest, _WHOLE_WORDS))
        for row in cells:
            table.add_row(*map(escape, row))
        self.console.print(table)

    def warning(self, text: str) -> None:
        """A line on the error output, in both modes."""
        self.errors.print(f"warning: {text}", markup=False)

    def error(self, error: FrskitError) -> None:
        """An error with its hint: lines on the error output, or a document."""
        if self.as_json:
            self.document("frskit.error/1", {"error": error_facts(error)})
            return
        self.errors.print(f"error: {error.message}", markup=False, style="red")
        if error.stage:
            self.errors.print(f"stage: {error.stage}", markup=False)
        for leftover in error.leftovers:
            self.errors.print(f"left behind: {leftover}", markup=False)
        self.errors.print(f"hint: {error.hint}", markup=False)


class ProgressBars:
    """An event sink that draws progress on a terminal's error output; a context manager.

    Also passes warnings on. On anything but a terminal nothing is drawn.
    """

    def __init__(self, output: Output) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TransferSpeedColumn

        self._output = output
        self._tasks: dict[str, TaskID] = {}
        self._progress: Progress = Progress(
            TextColumn("{task.description:>16}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TransferSpeedColumn(),
            console=output.errors,
            transient=True,
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
            self._tasks[operation] = self._progress.add_task(operation, total=total or None)
        self._progress.update(self._tasks[operation], completed=done, total=total or None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()
