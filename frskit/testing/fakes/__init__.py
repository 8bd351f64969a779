"""Parties without any application: a site for tests of a shadow copy service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit._lazy import face

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.testing.fakes.hardware import SmallArray, SmallServer
    from frskit.testing.fakes.parties import Script, ScriptSink, SmallWriter
    from frskit.testing.fakes.site import SmallSite

__all__ = ["Script", "ScriptSink", "SmallArray", "SmallServer", "SmallSite", "SmallWriter"]

_HOMES = {
    "Script": "frskit.testing.fakes.parties",
    "ScriptSink": "frskit.testing.fakes.parties",
    "SmallArray": "frskit.testing.fakes.hardware",
    "SmallServer": "frskit.testing.fakes.hardware",
    "SmallSite": "frskit.testing.fakes.site",
    "SmallWriter": "frskit.testing.fakes.parties",
}
__getattr__: Callable[[str], object]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = face(__name__, _HOMES)
