"""Public test helpers: conformance kits for the seams, and the pytest plugin for rule marks.

Nothing in frskit imports this package. The kits are loaded on first use; those that try random
histories need the extra ``testing`` (Hypothesis).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit._lazy import face

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.testing.array.kit import check_disk_array
    from frskit.testing.array.world import ArrayWorld, ScsiWorld
    from frskit.testing.provider.kit import check_provider
    from frskit.testing.provider.levers import ProviderLevers
    from frskit.testing.provider.world import ProviderWorld
    from frskit.testing.report import KitReport
    from frskit.testing.requestor.kit import check_requestor
    from frskit.testing.requestor.levers import RequestorLevers
    from frskit.testing.requestor.world import RequestorWorld
    from frskit.testing.writer.kit import check_writer
    from frskit.testing.writer.levers import WriterLevers
    from frskit.testing.writer.world import WriterWorld

__all__ = [
    "ArrayWorld",
    "KitReport",
    "ProviderLevers",
    "ProviderWorld",
    "RequestorLevers",
    "RequestorWorld",
    "ScsiWorld",
    "WriterLevers",
    "WriterWorld",
    "check_disk_array",
    "check_provider",
    "check_requestor",
    "check_writer",
]

_HOMES = {
    "ArrayWorld": "frskit.testing.array.world",
    "KitReport": "frskit.testing.report",
    "ProviderLevers": "frskit.testing.provider.levers",
    "ProviderWorld": "frskit.testing.provider.world",
    "RequestorLevers": "frskit.testing.requestor.levers",
    "RequestorWorld": "frskit.testing.requestor.world",
    "ScsiWorld": "frskit.testing.array.world",
    "WriterLevers": "frskit.testing.writer.levers",
    "WriterWorld": "frskit.testing.writer.world",
    "check_disk_array": "frskit.testing.array.kit",
    "check_provider": "frskit.testing.provider.kit",
    "check_requestor": "frskit.testing.requestor.kit",
    "check_writer": "frskit.testing.writer.kit",
}
__getattr__: Callable[[str], object]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = face(__name__, _HOMES)
