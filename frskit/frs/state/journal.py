"""The journal: one JSON-lines file per operation, every line durable before the next effect.

A line says ``intent`` before an outside call and ``done`` or ``failed`` after it (design law 5).
An operation without an ``end`` line was interrupted; `Journal.unfinished` finds those, so that a
resume can write their end.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from frskit.errors import CatalogError, FrskitError
from frskit.frs.state.journal_words import Phase, RequestorOperation
from frskit.storage import make_directory, make_private_file

if TYPE_CHECKING:
    from typing import Self

    from frskit.clock import Clock

__all__ = ["Journal", "JournalOperation"]

SCHEMA = "frskit.journal/1"
# As `write` puts it, without blanks: looked for in the bytes, before anything is parsed.
_END = b'"phase":"end"'
# Bytes from the end; a last line is short (ours).
_TAIL_BYTES = 1024


class JournalOperation:
    """One copy, deletion or recovery being recorded."""

    def __init__(self, path: Path | None, clock: Clock, kind: str, subject: str) -> None:
        self.lines: list[dict[str, object]] = []
        self.kind = kind
        self.subject = subject
        self._path = path
        self._clock = clock
        self._torn = False

    @property
    def facts(self) -> Mapping[str, object]:
        """What was said when it began."""
        return _facts(self.lines[0]) if self.lines else {}

    @property
    def component(self) -> str | None:
        """What a recovery puts back; None if the first line is torn."""
        # Journals of 0.1.0 call it "group".
        name = self.facts.get("component", self.facts.get("group"))
        return None if name is None else str(name)

    def intents(self) -> Iterator[tuple[str, Mapping[str, object]]]:
        """Step and facts of every outside call that was begun, in order."""
        for line in self.lines:
            if line.get("phase") == Phase.INTENT:
                yield str(line.get("step")), _facts(line)

    def is_same(self, other: JournalOperation) -> bool:
        """Whether both record the same operation."""
        return self is other or (self._path is not None and self._path == other._path)

    def reached(self, phase: Phase) -> bool:
        """Whether a line says this phase."""
        return any(line.get("phase") == phase for line in self.lines)

    @classmethod
    def taken_up(cls, path: Path, clock: Clock, lines: list[dict[str, object]]) -> Self:
        """An operation of an earlier process, to be ended."""
        first = lines[0] if lines else {}
        found = cls(path, clock, str(first.get("kind", "")), str(first.get("subject", "")))
        found.lines = lines
        # A crash in the middle of a line leaves no end of line.
        found._torn = not path.read_bytes().endswith(b"\n")
        return found

    def write(self, phase: Phase, step: str, **facts: object) -> None:
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
            make_private_file(self._path)
            with self._path.open("a", encoding="utf-8") as file:
                # A line that a crash tore must not swallow this one.
                file.write("\n" if self._torn else "")
                file.write(json.dumps(line, separators=(",", ":"), default=str) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise CatalogError(f"the journal {self._path} cannot be written: {error}") from error
        self._torn = False

    @contextmanager
    def step(self, name: str, **facts: object) -> Iterator[None]:
        """An outside call: intent before, done or failed after."""
        self.write(Phase.INTENT, name, **facts)
        try:
            yield
        except FrskitError as error:
            self.write(Phase.FAILED, name, code=error.code, message=error.message)
            raise
        except BaseException as error:
            self.write(Phase.FAILED, name, code=type(error).__name__, message=str(error))
            raise
        self.write(Phase.DONE, name)

    def end(self, result: str) -> None:
        """The operation is over and left nothing undone."""
        self.write(Phase.END, result)


class Journal:
    """All operations of one site, in a directory or, without one, in memory."""

    def __init__(self, directory: Path | None, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._operations: list[JournalOperation] = []
        if directory is not None:
            make_directory(directory)

    def begin(self, kind: RequestorOperation, subject: str, **facts: object) -> JournalOperation:
        """Start recording; a directory gets a file named by number, kind and subject.

        The number is the highest one so far plus one, so that no two operations ever share one,
        whatever was deleted by hand.
        """
        path = None
        if self._directory is not None:
            number = 1 + max(map(_number, self._directory.glob("*.jsonl")), default=-1)
            path = self._directory / f"{number:06d}-{kind}-{_safe(subject)}.jsonl"
        operation = JournalOperation(path, self._clock, kind, subject)
        self._operations.append(operation)
        operation.write(Phase.BEGIN, kind, **facts)
        return operation

    def entries(self) -> Iterator[list[dict[str, object]]]:
        """The lines of every operation, oldest operation first; a torn line is left out."""
        if self._directory is None:
            for operation in self._operations:
                yield operation.lines
            return
        for path in sorted(self._directory.glob("*.jsonl")):
            yield list(_read_lines(path))

    def of(self, kind: RequestorOperation, subject: str) -> Iterator[JournalOperation]:
        """All operations of one kind on one subject, oldest first, ended or not."""
        if self._directory is None:
            yield from (e for e in self._operations if e.kind == kind and e.subject == subject)
            return
        for path in sorted(self._directory.glob(f"*-{kind}-{_safe(subject)}.jsonl")):
            yield JournalOperation.taken_up(path, self._clock, list(_read_lines(path)))

    def interrupted(self) -> Iterator[list[dict[str, object]]]:
        """The lines of operations that have no end."""
        for operation in self.unfinished():
            yield operation.lines

    def still_unfinished(self, operation: JournalOperation) -> JournalOperation | None:
        """The operation with all its lines up to now; None if it was ended meanwhile.

        Ask with its server's lock held: what `unfinished` gave may have been running then.
        """
        return next((each for each in self.unfinished() if each.is_same(operation)), None)

    def unfinished(self) -> Iterator[JournalOperation]:
        """Operations that have no end, oldest first; also those that are running now."""
        if self._directory is None:
            yield from (each for each in self._operations if not _ended(each.lines))
            return
        for path in sorted(self._directory.glob("*.jsonl")):
            # Nearly all operations have ended, and are not read whole.
            if _END in _tail(path):
                continue
            lines = list(_read_lines(path))
            if lines and not _ended(lines):
                yield JournalOperation.taken_up(path, self._clock, lines)


def _safe(subject: str) -> str:
    """A subject as part of a file's name."""
    return "".join(each if each.isalnum() or each in "-." else "-" for each in subject)


def _number(path: Path) -> int:
    """The number that a journal file's name begins with; -1 for a name of somebody else's."""
    number, _, _ = path.name.partition("-")
    return int(number) if number.isdecimal() else -1


def _read_lines(path: Path) -> Iterator[dict[str, object]]:
    """Lines of a file; one that a crash tore is left out."""
    # A crash may tear a line in the middle of a character.
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            yield line


def _tail(path: Path) -> bytes:
    """The end of a file: enough for an ``end`` line, which is the last one and short."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
        return file.read()


def _ended(lines: Sequence[Mapping[str, object]]) -> bool:
    return any(line.get("phase") == Phase.END for line in lines)


def _facts(line: Mapping[str, object]) -> Mapping[str, object]:
    facts = line.get("facts")
    return facts if isinstance(facts, dict) else {}
