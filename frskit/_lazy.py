"""Faces of packages whose names are loaded on first use (PEP 562), all made in one way.

A package says where its public names live; ``from package import name`` loads that module then, so
that importing one part of frskit does not load the others. For type checkers the package imports
the same names in a ``TYPE_CHECKING`` block.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

__all__ = ["face"]


def face(
    package: str,
    homes: Mapping[str, str],
    modules: Collection[str] = (),
    deprecated: Mapping[str, str] | None = None,
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package.

    Args:
        package: Its name.
        homes: By public name, the module that defines it.
        modules: Submodules that are reachable as attributes.
        deprecated: By former public name, the full name of what took its place: found with a
            `DeprecationWarning`, and listed nowhere.
    """
    former = deprecated or {}

    def load(name: str) -> object:
        """Load a public name on first use."""
        if name in homes:
            value: object = getattr(importlib.import_module(homes[name]), name)
        elif name in modules:
            value = importlib.import_module(f"{package}.{name}")
        elif name in former:
            # Not kept in the package: whoever asks next is warned too.
            return _replacement(f"{package}.{name}", former[name])
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        """All public names, loaded or not."""
        module = sys.modules[package]
        return sorted({*module.__all__, *(name for name in vars(module) if name.startswith("__"))})

    return load, names


def _replacement(name: str, successor: str) -> object:
    """What took the place of a former name, with a warning for the caller of the face."""
    home, _, attribute = successor.rpartition(".")
    warnings.warn(
        f"{name} is deprecated: write 'from {home} import {attribute}'",
        DeprecationWarning,
        stacklevel=3,
    )
    value: object = getattr(importlib.import_module(home), attribute)
    return value
