"""The names of newer Pythons' typing, for every Python that frskit supports: one place for them.

Type checkers see them all; at run time only decorators are needed, so annotations (`TypeIs`,
`ReadOnly`) are imported under ``TYPE_CHECKING``. ``import frskit`` does not load this module.
"""

from __future__ import annotations

import sys

if sys.version_info >= (3, 13):
    from typing import ReadOnly, TypeIs, override
    from warnings import deprecated
else:
    from typing_extensions import ReadOnly, TypeIs, deprecated, override

__all__ = ["ReadOnly", "TypeIs", "deprecated", "override"]
