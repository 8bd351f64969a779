"""Which site a command works on, and waiting for it while another process has it open."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from frskit.cli.text import beginnings
from frskit.errors import Busy, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from frskit.site import Site

__all__ = ["SITE_VARIABLE", "WAIT_S", "opened", "short_ids"]

SITE_VARIABLE = "FRSKIT_SITE"
# Seconds that another process may keep the site, and between two tries (ours).
WAIT_S = 20.0
_PAUSE_S = 0.1


def opened(place: str | None, *, wait_s: float = WAIT_S) -> Site:
    """Open the site named on the command line or in the environment.

    Raises:
        ConfigurationError: None was named, or it cannot be opened.
        Busy: Another process kept it open for `wait_s` seconds.
    """
    path = place or os.environ.get(SITE_VARIABLE)
    if not path:
        raise ConfigurationError(
            "no site was named",
            hint=f"Give --site DIR or set {SITE_VARIABLE}; make one with 'frskit lab init DIR'.",
        )
    from frskit.site import open_site

    deadline = time.monotonic() + wait_s
    while True:
        try:
            return open_site(path)
        except Busy:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_PAUSE_S)


def short_ids(site: Site, others: Iterable[str] = ()) -> Mapping[str, str]:
    """For the id of each copy, and each of some others, the beginning by which tables show it.

    Commands take it in place of the id, so it is unique among the deleted copies as well.
    """
    return beginnings([*site.parts.catalog.ids(include_deleted=True), *others])
