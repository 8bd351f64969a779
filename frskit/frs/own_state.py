"""The site's own state must not lie where a copy freezes writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.errors import ConfigurationError, VolumeNotFound
from frskit.frs.set_lookup import same_volume

if TYPE_CHECKING:
    from collections.abc import Iterable

    from frskit.frs.deployment import Parts
    from frskit.model.ids import VolumeId
    from frskit.protocols import Server

__all__ = ["refuse_own_state"]


def refuse_own_state(parts: Parts, server: Server, volumes: Iterable[VolumeId]) -> None:
    """The catalog must not lie on a volume that is about to be frozen [HAZ-19].

    Raises:
        ConfigurationError: It does.
    """
    state = parts.state
    if state is None:
        return
    try:
        place = server.resolve(str(state.resolve()))
    except VolumeNotFound:
        return  # not on any volume of that server
    if any(same_volume(place.volume, each) for each in volumes):
        raise ConfigurationError(
            f"the catalog and journal in {state} lie on a volume that would be frozen",
            hint="Keep the site's state directory on another volume.",
            context={"volume": place.volume},
        )
