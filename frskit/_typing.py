"""The names of newer Pythons' typing, for every Python that frskit supports: one place for them.

At run time only decorators are needed; annotations (`TypeIs`) are imported under
``TYPE_CHECKING``. ``import frskit`` does not load this module.
"""

from __future__ import annotations

import sys

if sys.version_info >= (3, 13):
    from typing import TypeIs, override
else:
    from typing_extensions import TypeIs, override

__all__ = ["TypeIs", "override"]
