"""Moving whole LUNs under a server: shown, hidden and mounted, always in the same safe order.

Dismount, unpresent, rescan to take one away; present, rescan, mount to put one in place [HAZ-01].
Every function is harmless where its effect is there already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.errors import RecoveryPrecondition
from frskit.model.server_paths import same_path
from frskit.model.volumes import DiskFlags

if TYPE_CHECKING:
    from frskit.clock import Budget
    from frskit.frs.deployment import Production
    from frskit.model.ids import StorageId

__all__ = ["hide", "mount", "mounted_storage", "put_back", "show"]


def mounted_storage(production: Production, mount_point: str) -> StorageId:
    """The LUN of the volume that is mounted here.

    Raises:
        RecoveryPrecondition: Nothing is mounted here.
    """
    for volume in production.server.volumes():
        if any(same_path(mount_point, point) for point in volume.mount_points):
            # A volume on several LUNs cannot change places with one copy, and fails here.
            (storage,) = volume.storages
            return storage
    raise RecoveryPrecondition(f"{mount_point} is not mounted on production")


def show(production: Production, storage: StorageId, budget: Budget) -> None:
    """Present a LUN to production for writing, and let the server see it."""
    production.store.present([storage], [production.server.host], read_only=False, budget=budget)
    production.server.rescan(budget=budget)


def hide(production: Production, storage: StorageId, budget: Budget) -> None:
    """Take a LUN away from every host."""
    production.server.detach([storage], budget=budget)
    production.store.unpresent([storage], budget=budget)
    production.server.rescan(budget=budget)


def mount(production: Production, storage: StorageId, mount_point: str, budget: Budget) -> None:
    """Mount for writing; the flags that a copy carries from its creation are cleared."""
    production.server.set_flags([storage], DiskFlags())
    production.server.attach({storage: mount_point}, read_only=False, budget=budget)


def put_back(production: Production, storage: StorageId, mount_point: str, budget: Budget) -> None:
    """Show a LUN and mount it where it belongs."""
    show(production, storage, budget)
    mount(production, storage, mount_point, budget)
