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
    former: Mapping[str, str] | None = None,
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package.

    Args:
        package: Its name.
        homes: By public name, the module that defines it.
        modules: Submodules that are reachable as attributes.
        former: By a name that a public name had before, that name; asking for it warns.
    """

    def load(name: str) -> object:
        """Load a public name on first use."""
        if former and name in former:
            warnings.warn(
                f"{package}.{name} is now {package}.{former[name]}",
                DeprecationWarning,
                stacklevel=2,
            )
            return getattr(sys.modules[package], former[name])
        if name in homes:
            value: object = getattr(importlib.import_module(homes[name]), name)
        elif name in modules:
            value = importlib.import_module(f"{package}.{name}")
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        """All public names, loaded or not."""
        module = sys.modules[package]
        return sorted({*module.__all__, *(name for name in vars(module) if name.startswith("__"))})

    return load, names
