"""Telling the writers the outcome of a copy, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from attrs import frozen

from frskit.errors import FrskitError, NoAnswer, OutcomeUnknown
from frskit.frs.state.journal_words import CopyStep
from frskit.model.components import WriterState
from frskit.model.copies import Completion
from frskit.scopes import told

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from frskit.clock import Budget
    from frskit.model.components import ComponentId, WriterStatus
    from frskit.model.shadows import ShadowDocuments
    from frskit.protocols import ShadowSession

__all__ = ["Told", "tell"]


class _Step(Protocol):
    def __call__(self, name: CopyStep, **facts: object) -> AbstractContextManager[None]: ...


@frozen(kw_only=True)
class Told:
    """What came of it.

    Attributes:
        completion: Whether the writers were told and took it.
        reason: Why not; empty if they did.
        documents: The documents afterwards; None: as they were.
    """

    completion: Completion
    reason: str = ""
    documents: ShadowDocuments | None = None


def tell(
    session: ShadowSession, success: Mapping[ComponentId, bool], step: _Step, budget: Budget
) -> Told:
    """Tell the writers; what goes wrong is in the result, never raised.

    Args:
        session: The session of the copy.
        success: The outcome of each component.
        step: Opens a step of the journal.
        budget: Time of its own: that the caller's is used up must not leave the writers waiting.
    """
    want = all(success.values())
    try:
        with step(CopyStep.COMPLETE, success=want):
            report = session.complete(success, budget=budget)
    except (OutcomeUnknown, NoAnswer) as error:
        reason = f"it is not known whether the writers got the outcome: {error}"
        return Told(completion=Completion.UNKNOWN, reason=reason)
    except FrskitError as error:
        reason = f"the writers could not be told the outcome: {error}"
        return Told(completion=Completion.FAILED, reason=reason)
    except Exception as error:  # noqa: BLE001 - a foreign error says nothing of what was told
        reason = f"it is not known whether the writers got the outcome: {told(error)}"
        return Told(completion=Completion.UNKNOWN, reason=reason)
    return Told(
        # A writer that was told of a failure has completed nothing.
        completion=Completion.DONE if want and report.completed else Completion.FAILED,
        reason="" if report.completed else _unstable(report.writers),
        documents=report.documents,
    )


def _unstable(writers: Sequence[WriterStatus]) -> str:
    """Which writers did not take the outcome, and what they say."""
    bad = [each for each in writers if each.failure or each.state is not WriterState.STABLE]
    said = [f"{each.name} ({each.reason or each.state.name})" for each in bad]
    return f"the outcome was not taken by {', '.join(said) or 'every writer'}"
