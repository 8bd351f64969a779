"""The servers of a site: simulated ones for the lab, and this machine.

`SimulatedServer` has disks on a simulated array and the lab's file system on them; `LinuxServer` is
this machine, with directories that arrays present. Both are loaded on first use, so that the lab
also starts where POSIX is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit._lazy import face

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.hosts.linux import LinuxServer
    from frskit.hosts.simulated import SimulatedServer

__all__ = ["LinuxServer", "SimulatedServer"]

_HOMES = {"LinuxServer": "frskit.hosts.linux", "SimulatedServer": "frskit.hosts.simulated"}
__getattr__: Callable[[str], object]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = face(__name__, _HOMES)
