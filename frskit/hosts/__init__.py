"""The servers of a site: simulated ones for the lab, and this machine.

`SimulatedServer` has disks on a simulated array and the lab's file system on them; `LinuxServer` is
this machine, with directories that arrays present. Both are loaded on first use, so that the lab
also starts where POSIX is missing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from frskit.hosts.linux import LinuxServer
    from frskit.hosts.simulated import SimulatedServer

__all__ = ["LinuxServer", "SimulatedServer"]

_HOMES = {"LinuxServer": "frskit.hosts.linux", "SimulatedServer": "frskit.hosts.simulated"}


def __getattr__(name: str) -> object:
    """Load a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'frskit.hosts' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
