"""Sphinx configuration; some pages are made from the code's own tables before each build."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]  # the tables, and the frskit of this checkout

import tables  # noqa: E402

import frskit  # noqa: E402

project = "frskit"
author = "the frskit developers"
project_copyright = "the frskit developers"
release = frskit.__version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
html_theme = "furo"
html_title = f"frskit {release}"
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
default_role = "code"
nitpick_ignore_regex = [("py:.*", ".*")]

tables.write_all(HERE / "generated")
