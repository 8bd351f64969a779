"""The journal: one JSON-lines file per operation, every line durable before the next effect.

A line says ``intent`` before an outside call and ``done`` or ``failed`` after it (design law 5).
An operation without an ``end`` line was interrupted; `Journal.unfinished` finds those, so that a
resume can write their end.

A crash tears at most the line that was being written, whose effect had not begun: it is left out.
Any other line that cannot be read is damage (`JournalOperation.damage`), and nobody may act on the
rest of that file as if it were all. The lines are numbered, so that the two can be told apart.
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
# Every line begins so.
_START = b'{"schema":"frskit.journal/'
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
        self.damage = ""
        """File and line that cannot be read, and are not what a crash leaves; empty: none."""

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
    def taken_up(cls, path: Path, clock: Clock, content: bytes) -> Self:
        """An operation of an earlier process, to be ended."""
        lines, damage = _lines(content)
        # Its file's name says the same as its first line, which may be damaged.
        _, kind, subject = (*path.stem.split("-", 2), "", "")[:3]
        first = lines[0] if lines else {}
        found = cls(path, clock, str(first.get("kind", kind)), str(first.get("subject", subject)))
        found.lines = lines
        found.damage = f"{damage} of {path}" if damage else ""
        # A crash in the middle of a line leaves no end of line.
        found._torn = not content.endswith(b"\n")
        return found

    def check(self) -> None:
        """See that every line was read.

        Raises:
            CatalogError: One is damaged: what was begun cannot be told.
        """
        if self.damage:
            raise CatalogError(
                f"{self.damage} cannot be read",
                hint="Restore that file from a copy; other operations go on without it.",
                context={"copy": self.subject},
            )

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
        for path in self._files("*.jsonl"):
            yield self._taken_up(path).lines

    def damaged(self) -> Iterator[JournalOperation]:
        """Operations of which a line cannot be read, ended or not, oldest first."""
        if self._directory is not None:
            for path in self._files("*.jsonl"):
                operation = self._taken_up(path)
                if operation.damage:
                    yield operation

    def of(self, kind: RequestorOperation, subject: str) -> Iterator[JournalOperation]:
        """All operations of one kind on one subject, oldest first, ended or not."""
        if self._directory is None:
            yield from (e for e in self._operations if e.kind == kind and e.subject == subject)
            return
        for path in self._files(f"*-{kind}-{_safe(subject)}.jsonl"):
            yield self._taken_up(path)

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
        """Operations that have no end, oldest first; also those that are running now.

        One that is damaged is among them: `JournalOperation.check` it before acting on it.
        """
        if self._directory is None:
            yield from (each for each in self._operations if not _ended(each.lines))
            return
        for path in self._files("*.jsonl"):
            # Nearly all operations have ended, and are not read whole.
            if _END in _tail(path):
                continue
            operation = self._taken_up(path)
            # Without any line nothing was begun.
            if (operation.lines or operation.damage) and not _ended(operation.lines):
                yield operation

    def _files(self, pattern: str) -> Sequence[Path]:
        assert self._directory is not None
        try:
            return sorted(self._directory.glob(pattern))
        except OSError as error:
            raise CatalogError(f"the journal {self._directory} cannot be read: {error}") from error

    def _taken_up(self, path: Path) -> JournalOperation:
        with _reading(path):
            return JournalOperation.taken_up(path, self._clock, path.read_bytes())


def _safe(subject: str) -> str:
    """A subject as part of a file's name."""
    return "".join(each if each.isalnum() or each in "-." else "-" for each in subject)


def _number(path: Path) -> int:
    """The number that a journal file's name begins with; -1 for a name of somebody else's."""
    number, _, _ = path.name.partition("-")
    return int(number) if number.isdecimal() else -1


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CatalogError(f"the journal {path} cannot be read: {error}") from error


def _lines(content: bytes) -> tuple[list[dict[str, object]], str]:
    """Lines of a file; and which one is damaged, or nothing.

    One that a crash tore is left out: the last one, or one whose number the next line took.
    """
    lines: list[dict[str, object]] = []
    unread, damaged = 0, 0
    pieces = content.split(b"\n")
    for number, piece in enumerate(pieces, 1):
        # A loss of power may leave zeros where the file had grown already.
        if not piece.strip(b"\0\r "):
            continue
        line = _line(piece)
        if line is None:
            # A second one in a row was not torn by the same crash.
            damaged = damaged or unread
            unread = number
            continue
        expected = len(lines)
        found = line.get("n", expected)
        if not damaged and isinstance(found, int) and found > expected:
            damaged = unread or number
        unread = 0
        lines.append(line)
    if unread and not damaged and not _torn_at_end(pieces, unread):
        damaged = unread
    return lines, f"line {damaged}" if damaged else ""


def _torn_at_end(pieces: Sequence[bytes], number: int) -> bool:
    """Whether a last line looks as if its writer was cut off: begun rightly, and not ended."""
    piece = pieces[number - 1].rstrip(b"\0")
    return piece.startswith(_START[: len(piece)]) and not piece.endswith(b"}")


def _line(piece: bytes) -> dict[str, object] | None:
    try:
        line = json.loads(piece.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) and isinstance(line.get("phase"), str) else None


def _tail(path: Path) -> bytes:
    """The end of a file: enough for an ``end`` line, which is the last one and short."""
    with _reading(path), path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
        return file.read()


def _ended(lines: Sequence[Mapping[str, object]]) -> bool:
    return any(line.get("phase") == Phase.END for line in lines)


def _facts(line: Mapping[str, object]) -> Mapping[str, object]:
    facts = line.get("facts")
    return facts if isinstance(facts, dict) else {}
