"""What a copy that failed raises: always an error of frskit, which can carry the copy's record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.errors import FrskitError, IntegrityError
from frskit.scopes import told

if TYPE_CHECKING:
    from frskit.model.checks import IntegrityReport
    from frskit.model.copies import Copy

__all__ = ["integrity_error", "typed"]


def typed(error: BaseException) -> BaseException:
    """A foreign exception as an error of frskit, which can carry the record of the copy."""
    if isinstance(error, FrskitError) or not isinstance(error, Exception):
        return error
    return FrskitError(
        f"the copy failed: {told(error)}",
        hint="A party raised what its contract does not name, or frskit has a defect.",
    )


def integrity_error(copy: Copy, report: IntegrityReport) -> IntegrityError:
    """The error for a copy that did not pass; it names the worst three of what was found."""
    worst = [
        f"{file.path}: {file.verdict.value}" + (f" ({file.detail})" if file.detail else "")
        for file in report.damaged
    ]
    problems = [text for check in report.components for text in check.problems]
    return IntegrityError(
        f"the copy did not pass its check: {'; '.join(worst[:3] or problems[:3])}",
        context={"copy": copy.id, "files": worst, "problems": problems},
    )
