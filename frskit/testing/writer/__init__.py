"""The kit for writers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit._lazy import face

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.testing.writer.kit import check_writer
    from frskit.testing.writer.levers import WriterLevers
    from frskit.testing.writer.world import WriterWorld

__all__ = ["WriterLevers", "WriterWorld", "check_writer"]

_HOMES = {
    "WriterLevers": "frskit.testing.writer.levers",
    "WriterWorld": "frskit.testing.writer.world",
    "check_writer": "frskit.testing.writer.kit",
}
__getattr__: Callable[[str], object]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = face(__name__, _HOMES)
