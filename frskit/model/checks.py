"""The verdict on a copy: what was checked, what was found, and what follows from it."""

from __future__ import annotations

from enum import Enum

from attrs import field, frozen

from frskit.model.components import ComponentId
from frskit.model.files import FileRole
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
        detail: One sentence for people: page, generation, reason.
        coverage: How much was checked.
        size_bytes: Length that was read.
        pages: Pages or segments that were verified; 0 where there are none.
        generation: Log generation; None for other files.
        needed: Whether a recovery from this copy needs the file.
        counts: The checker's counters, such as ``bad``, ``correctable``, ``uninitialized``.
    """

    component: ComponentId
    path: str
    role: FileRole
    verdict: FileVerdict
    detail: str = ""
    coverage: Coverage = Coverage.FULL
    size_bytes: int = 0
    pages: int = 0
    generation: int | None = None
    needed: bool = True
    counts: dict[str, int] = field(factory=dict, hash=False)

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
        logs_held: First and last generation that the copy holds undamaged and in sequence.
        logs_needed: First and last generation that a recovery from this copy needs.
        truncation_bound: Generation below which the writer may delete; None if it deletes nothing.
    """

    component: ComponentId
    image_ok: bool
    truncation_ok: bool
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    logs_held: tuple[int, int] | None = None
    logs_needed: tuple[int, int] | None = None
    truncation_bound: int | None = None

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
