"""frskit: verified array-based copies and fast recovery, with a simulated site to try it on.

The names below are loaded on first use; ``import frskit`` itself loads attrs and the standard
library only.

Example:
    >>> import frskit
    >>> from frskit import BackupType
    >>> with frskit.lab() as site:
    ...     copy = site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
    >>> copy.verdict.value
    'verified'
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from frskit._lazy import face

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit import (
        bases,
        cli,
        clock,
        codes,
        errors,
        ese,
        eva,
        events,
        exchange,
        frs,
        hosts,
        local,
        model,
        protocols,
        scopes,
        simulation,
        site,
        spi,
        storage,
        testing,
        vss,
        watchdog,
    )
    from frskit.clock import Budget, CancelToken, SystemClock, VirtualClock
    from frskit.errors import FrskitError
    from frskit.frs import FastRecovery, Policy, Production, Recovery
    from frskit.model.components import BackupType
    from frskit.model.copies import Completion, Copy, CopyLife, Verdict
    from frskit.model.plans import RecoveryMethod, RecoveryMode
    from frskit.model.storage import CopyKind
    from frskit.simulation.lab import Lab, lab
    from frskit.site import Site, compose, open_site

__all__ = [
    "BackupType",
    "Budget",
    "CancelToken",
    "Completion",
    "Copy",
    "CopyKind",
    "CopyLife",
    "FastRecovery",
    "FrskitError",
    "Lab",
    "Policy",
    "Production",
    "Recovery",
    "RecoveryMethod",
    "RecoveryMode",
    "Site",
    "SystemClock",
    "Verdict",
    "VirtualClock",
    "__version__",
    "bases",
    "cli",
    "clock",
    "codes",
    "compose",
    "errors",
    "ese",
    "eva",
    "events",
    "exchange",
    "frs",
    "hosts",
    "lab",
    "local",
    "model",
    "open_site",
    "protocols",
    "scopes",
    "simulation",
    "site",
    "spi",
    "storage",
    "testing",
    "vss",
    "watchdog",
]

#: Version of frskit, as packaged.
__version__ = "0.2.0"

_HOMES = {
    "BackupType": "frskit.model.components",
    "Budget": "frskit.clock",
    "CancelToken": "frskit.clock",
    "Completion": "frskit.model.copies",
    "Copy": "frskit.model.copies",
    "CopyKind": "frskit.model.storage",
    "CopyLife": "frskit.model.copies",
    "FastRecovery": "frskit.frs",
    "FrskitError": "frskit.errors",
    "Lab": "frskit.simulation.lab",
    "Policy": "frskit.frs",
    "Production": "frskit.frs",
    "Recovery": "frskit.frs",
    "RecoveryMethod": "frskit.model.plans",
    "RecoveryMode": "frskit.model.plans",
    "Site": "frskit.site",
    "SystemClock": "frskit.clock",
    "Verdict": "frskit.model.copies",
    "VirtualClock": "frskit.clock",
    "compose": "frskit.site",
    "lab": "frskit.simulation.lab",
    "open_site": "frskit.site",
}
_MODULES = (
    "bases",
    "cli",
    "clock",
    "codes",
    "ese",
    "errors",
    "eva",
    "events",
    "exchange",
    "frs",
    "hosts",
    "local",
    "model",
    "protocols",
    "scopes",
    "simulation",
    "site",
    "spi",
    "storage",
    "testing",
    "vss",
    "watchdog",
)

logging.getLogger("frskit").addHandler(logging.NullHandler())

__getattr__: Callable[[str], object]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = face(__name__, _HOMES, _MODULES)
