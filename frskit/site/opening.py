"""Open a site from its ``site.toml`` or from the directory that holds one.

The file says what kind of site it is (``kind = "lab"``); the kinds are plugins of the entry point
group ``frskit.sites``: a function ``open(directory: Path, settings: Mapping[str, object]) -> Site``.
The lab is one of them, without any privilege.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from os import PathLike
from pathlib import Path
from typing import cast

from frskit.errors import ConfigurationError
from frskit.site.composition import Site

__all__ = ["SITE_FILE", "Opener", "open_site", "read_settings"]

#: Name of the file that describes a site in its directory.
SITE_FILE = "site.toml"
Opener = Callable[[Path, Mapping[str, object]], Site]

_GROUP = "frskit.sites"


def open_site(path: str | PathLike[str]) -> Site:
    """The site of a ``site.toml`` or of a directory that has one; a context manager.

    Raises:
        ConfigurationError: There is none, it is not readable, or its kind is unknown.
        Busy: Another process has the site open and does not let go of it.
    """
    given = Path(path)
    file = given / SITE_FILE if given.is_dir() else given
    settings = read_settings(file)
    kind = settings.get("kind")
    if not isinstance(kind, str):
        raise ConfigurationError(f'{file} does not say its kind (kind = "lab")')
    return _opener(kind, file)(file.parent, settings)


def read_settings(file: Path) -> Mapping[str, object]:
    """What a site file says.

    Raises:
        ConfigurationError: It is not there, or not readable.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(
            f"there is no site at {file}",
            hint="Make a lab with 'frskit lab init DIR', or name a site.toml.",
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}") from error


def _opener(kind: str, file: Path) -> Opener:
    """The plugin for a kind.

    Raises:
        ConfigurationError: None is installed, several are, or it cannot be loaded.
    """
    points = entry_points(group=_GROUP)
    mine = [point for point in points if point.name == kind]
    if not mine:
        known = ", ".join(sorted({point.name for point in points})) or "none"
        raise ConfigurationError(
            f"{file}: a site of kind {kind!r} is not known",
            hint=f"Installed are: {known}. A plugin is an entry point of the group {_GROUP}.",
        )
    # One plugin may be installed twice; which of two different ones is meant, people must say.
    if len({point.value for point in mine}) > 1:
        raise ConfigurationError(
            f"{file}: several plugins offer sites of kind {kind!r}: "
            f"{', '.join(sorted(point.value for point in mine))}",
            hint="Uninstall all but one of them.",
        )
    try:
        return cast("Opener", mine[0].load())
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"{file}: the plugin {mine[0].value} for sites of kind {kind!r} does not load: {error}"
        ) from error
