"""The journal: one JSON-lines file per operation, every line durable before the next effect.

A line says ``intent`` before an outside call and ``done`` or ``failed`` after it (design law 5).
An operation without an ``end`` line was interrupted; `Journal.interrupted` finds those.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from frskit.errors import CatalogError, FrskitError

if TYPE_CHECKING:
    from frskit.clock import Clock

__all__ = ["Journal", "JournalOperation"]

SCHEMA = "frskit.journal/1"


class JournalOperation:
    """One copy, deletion or recovery being recorded."""

    def __init__(self, path: Path | None, clock: Clock, kind: str, subject: str) -> None:
        self.lines: list[dict[str, object]] = []
        self.kind = kind
        self.subject = subject
        self._path = path
        self._clock = clock

    def write(self, phase: str, step: str, **facts: object) -> None:
        """Append one line; durable when it returns.

        Raises:
            CatalogError: It could not be written; the operation must not go on.
        """
        line: dict[str, object] = {
            "schema": SCHEMA,
            "n": len(self.lines),
            "at": self._clock.now().isoformat(),
            "kind": self.kind,
            "subject": self.subject,
            "phase": phase,
            "step": step,
            **({"facts": facts} if facts else {}),
        }
        self.lines.append(line)
        if self._path is None:
            return
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, separators=(",", ":"), default=str) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise CatalogError(f"the journal {self._path} cannot be written: {error}") from error

    @contextmanager
    def step(self, name: str, **facts: object) -> Iterator[None]:
        """An outside call: intent before, done or failed after."""
        self.write("intent", name, **facts)
        try:
            yield
        except FrskitError as error:
            self.write("failed", name, code=error.code, message=error.message)
            raise
        except BaseException as error:
            self.write("failed", name, code=type(error).__name__, message=str(error))
            raise
        self.write("done", name)

    def end(self, result: str) -> None:
        """The operation is over and left nothing undone."""
        self.write("end", result)


class Journal:
    """All operations of one site, in a directory or, without one, in memory."""

    def __init__(self, directory: Path | None, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._operations: list[JournalOperation] = []
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)

    def begin(self, kind: str, subject: str, **facts: object) -> JournalOperation:
        """Start recording; a directory gets a file named by time, kind and subject."""
        path = None
        if self._directory is not None:
            number = len(list(self._directory.glob("*.jsonl")))
            safe = "".join(each if each.isalnum() or each in "-." else "-" for each in subject)
            path = self._directory / f"{number:06d}-{kind}-{safe}.jsonl"
        operation = JournalOperation(path, self._clock, kind, subject)
        self._operations.append(operation)
        operation.write("begin", kind, **facts)
        return operation

    def entries(self) -> Iterator[list[dict[str, object]]]:
        """The lines of every operation, oldest operation first; a torn last line is left out."""
        if self._directory is None:
            for operation in self._operations:
                yield operation.lines
            return
        for path in sorted(self._directory.glob("*.jsonl")):
            yield list(_read_lines(path))

    def interrupted(self) -> Iterator[list[dict[str, object]]]:
        """Operations that have no end."""
        for lines in self.entries():
            if lines and not any(line.get("phase") == "end" for line in lines):
                yield lines


def _read_lines(path: Path) -> Iterator[dict[str, object]]:
    """Lines of a file; stops at the first one that a crash tore."""
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            return
        if isinstance(line, dict):
            yield line
