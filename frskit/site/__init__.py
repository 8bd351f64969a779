"""Composition: the parties of one site, put together into a `FastRecovery`."""

from __future__ import annotations

from frskit.site.composition import Site, compose
from frskit.site.opening import open_site

__all__ = ["Site", "compose", "open_site"]
