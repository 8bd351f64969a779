"""Open a site from its ``site.toml`` or from the directory that holds one.

The file says what kind of site it is (``kind = "lab"``); the kinds are plugins of the entry point
group ``frskit.sites``: a function ``open(directory: Path, settings: Mapping[str, object]) -> Site``.
The lab is built in the same way.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from os import PathLike
from pathlib import Path
from typing import cast

from frskit.errors import ConfigurationError
from frskit.site.composition import Site

__all__ = ["SITE_FILE", "Opener", "open_site", "read_settings"]

SITE_FILE = "site.toml"
Opener = Callable[[Path, Mapping[str, object]], Site]

_BUILT_IN = {"lab": "frskit.simulation.lab:open_directory"}


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
    """The plugin for a kind; built-in ones cannot be overridden."""
    if kind in _BUILT_IN:
        module, _, name = _BUILT_IN[kind].partition(":")
        return cast("Opener", getattr(import_module(module), name))
    for point in entry_points(group="frskit.sites"):
        if point.name == kind:
            return cast("Opener", point.load())
    raise ConfigurationError(
        f"{file}: a site of kind {kind!r} is not known",
        hint=f"Known are: {', '.join(sorted(_BUILT_IN))}, and installed plugins.",
    )
