"""What a copy's record calls the components that were selected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.errors import StorageGroupNotRecognized

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frskit.model.components import Component
    from frskit.model.plans import ComponentInfo

__all__ = ["recoverable_names"]


def recoverable_names(
    application: str, known: Sequence[ComponentInfo], explicit: Sequence[Component]
) -> tuple[str, ...]:
    """What a record calls the selected components: by the application's names for them.

    People may name a component otherwise (by its GUID, its path, a container above it); a
    recovery and a listing find a copy by the component's name.

    Args:
        application: Its name.
        known: The components that it can recover.
        explicit: Those that were selected.

    Raises:
        StorageGroupNotRecognized: None of them can be recovered by the application.
    """
    components = {each.id: each.name for each in known}
    if not any(each.id in components for each in explicit):
        named = ", ".join(each.caption or each.id.full_path for each in explicit)
        raise StorageGroupNotRecognized(
            f"{application} could not recover {named}",
            hint=f"Name one of: {', '.join(components.values()) or 'none'}.",
            context={"components": [each.id.full_path for each in explicit]},
        )
    return tuple(components.get(each.id) or each.caption or each.id.name for each in explicit)
