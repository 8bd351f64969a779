"""Composition: the parties of one site, put together into a `FastRecovery`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit._lazy import face

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.site.composition import Site, compose
    from frskit.site.opening import SITE_FILE, open_site, read_settings

__all__ = ["SITE_FILE", "Site", "compose", "open_site", "read_settings"]

_HOMES = {
    "SITE_FILE": "frskit.site.opening",
    "Site": "frskit.site.composition",
    "compose": "frskit.site.composition",
    "open_site": "frskit.site.opening",
    "read_settings": "frskit.site.opening",
}
__getattr__: Callable[[str], object]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = face(__name__, _HOMES)
