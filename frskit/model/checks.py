"""The verdict on a copy: what was checked, what was found, and what follows from it."""

from __future__ import annotations

import warnings
from enum import Enum
from typing import ClassVar

from attrs import field, frozen

from frskit.model.components import ComponentId
from frskit.model.files import FileRole
from frskit.model.log_points import LogPoint, LogRange
from frskit.model.values import Value

__all__ = ["CheckedFile", "ComponentCheck", "Coverage", "FileVerdict", "IntegrityReport"]


class FileVerdict(Enum):
    """Verdict on one file."""

    OK = "ok"
    CORRECTABLE = "correctable"
    DAMAGED = "damaged"
    MISSING = "missing"


class Coverage(Enum):
    """How much of a file its check can see: everything, or headers only (``.stm``) [R-3]."""

    FULL = "full"
    HEADERS = "headers"


@frozen(kw_only=True)
class CheckedFile(Value):
    """One file of a copy and its verdict.

    Attributes:
        component: The component that names it.
        path: Server-native path of the original.
        role: What the file is to the application.
        verdict: The verdict.
        detail: One sentence for people: page, log, reason.
        coverage: How much was checked.
        size_bytes: Length that was read.
        pages: Pages or segments that were verified; 0 where there are none.
        log: Where the file is in its stream; None for other files, and for files of a log
            directory that hold no transactions (a reserve, a log not yet begun).
        needed: Whether a recovery from this copy needs the file.
        counts: The checker's counters, such as ``bad``, ``correctable``, ``uninitialized``.
    """

    schema_version: ClassVar[int] = 2

    component: ComponentId
    path: str
    role: FileRole
    verdict: FileVerdict
    detail: str = ""
    coverage: Coverage = Coverage.FULL
    size_bytes: int = 0
    pages: int = 0
    log: LogPoint | None = None
    needed: bool = True
    counts: dict[str, int] = field(factory=dict, hash=False)

    @property
    def generation(self) -> int | None:
        """The rank of `log`, deprecated."""
        warnings.warn("a file's 'generation' is now 'log.rank'", DeprecationWarning, stacklevel=2)
        return None if self.log is None else self.log.rank

    def __repr__(self) -> str:
        said = f": {self.detail}" if self.detail else ""
        return f"<CheckedFile {self.path} {self.verdict.value}{said}>"


@frozen(kw_only=True)
class ComponentCheck(Value):
    """The verdict on one explicitly selected component.

    Attributes:
        component: The component.
        image_ok: Whether this copy of it can be restored [R-1].
        truncation_ok: Whether its logs may be cut after this copy [R-1].
        problems: What stands against it, one sentence each.
        warnings: What is worth knowing.
        logs_held: What the copy holds undamaged and in sequence.
        logs_needed: What a recovery from this copy needs.
        truncation_bound: The writer may delete what is strictly before it; None if it may delete
            nothing.
        recycles_logs: Whether the application itself drops old logs at any time, as under circular
            logging: that one disappears is then no writer's doing.
    """

    schema_version: ClassVar[int] = 2

    component: ComponentId
    image_ok: bool
    truncation_ok: bool
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    logs_held: LogRange | None = None
    logs_needed: LogRange | None = None
    truncation_bound: LogPoint | None = None
    recycles_logs: bool = False

    def __repr__(self) -> str:
        said = f": {'; '.join(self.problems)}" if self.problems else ""
        return (
            f"<ComponentCheck {self.component.name}: image {'ok' if self.image_ok else 'bad'}, "
            f"truncation {'ok' if self.truncation_ok else 'refused'}{said}>"
        )


@frozen(kw_only=True)
class IntegrityReport(Value):
    """Everything that a checker found out about a copy.

    Attributes:
        checker: Name and version of the checker.
        components: One verdict per explicitly selected component.
        files: Every file that was looked at.
    """

    schema_version: ClassVar[int] = 2

    checker: str
    components: tuple[ComponentCheck, ...]
    files: tuple[CheckedFile, ...]

    def __repr__(self) -> str:
        verdict = "passed" if self.image_ok else "failed"
        return (
            f"<IntegrityReport {verdict}: {len(self.components)} components, {len(self.files)} files, "
            f"{self.pages} pages, {self.logs} logs, {len(self.damaged)} damaged; {self.checker}>"
        )

    @property
    def image_ok(self) -> bool:
        """Whether every component of the copy can be restored."""
        return bool(self.components) and all(each.image_ok for each in self.components)

    @property
    def truncation_ok(self) -> bool:
        """Whether the logs of every component may be cut."""
        return self.image_ok and all(each.truncation_ok for each in self.components)

    @property
    def coverage(self) -> Coverage:
        """The weakest coverage of any needed file."""
        partial = any(each.coverage is Coverage.HEADERS for each in self.files if each.needed)
        return Coverage.HEADERS if partial else Coverage.FULL

    @property
    def pages(self) -> int:
        """Database pages verified."""
        return sum(each.pages for each in self.files if each.role is FileRole.DATABASE)

    @property
    def logs(self) -> int:
        """Log files verified."""
        return sum(1 for each in self.files if each.role is FileRole.LOG)

    @property
    def damaged(self) -> tuple[CheckedFile, ...]:
        """The files whose verdict is not OK."""
        return tuple(each for each in self.files if each.verdict is not FileVerdict.OK)
