"""PreRestore and PostRestore: the writer's part in a recovery."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.errors import RecoveryPrecondition
from frskit.model.shadows import RestoreRequest
from frskit.scopes import unswallowed

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from frskit.frs.deployment import Production
    from frskit.model.copies import Copy

__all__ = ["restore_session"]


def restore_session(
    production: Production, copy: Copy, component: str
) -> AbstractContextManager[object]:
    """PreRestore and PostRestore around a block; the saved documents say what is restored.

    Raises:
        RecoveryPrecondition: The copy has no documents.
    """
    if copy.documents is None:
        raise RecoveryPrecondition("the copy's documents are missing; VSS cannot restore it")
    selected = tuple(
        each.id for each in copy.selected if each.answers_to(component) or len(copy.selected) == 1
    )
    request = RestoreRequest(documents=copy.documents, components=selected)
    return unswallowed(production.service.restore_session(request))
