"""Sphinx configuration; some pages are made from the code's own tables before each build."""

from __future__ import annotations

import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]  # the tables, and the frskit of this checkout

import reference_pages  # noqa: E402
import tables  # noqa: E402
from sphinx import addnodes  # noqa: E402

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
exclude_patterns = ["_build", "generated/rules-held.md"]  # a part of rules.md
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 88
napoleon_attr_annotations = False  # the signature shows them
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
default_role = "code"

tables.write_all(HERE / "generated")

# Types of other projects. Their docs are not asked: a build needs no network.
nitpick_ignore_regex = [
    ("py:class", r"(collections\.abc|contextlib|datetime|os|pathlib|random|types|uuid)\.\w+"),
    ("py:class", r"concurrent\.futures(\._base)?\.Executor"),
    ("py:class", r"(numpy|np)\..+"),
    # the same, where a module imports them for type checkers only
    ("py:class", r"AbstractContextManager|Executor|NDArray|Path|Random|TypeIs|datetime"),
    ("py:class", r"(frskit\.watchdog\.(\w+\.)?)?T"),  # a type variable: whatever the call answers
    # a number of the block store; the public name of the same spelling is the model's
    ("py:class", r"frskit\.eva\.blocks\.live_volumes\.VolumeId"),
]

_SECTION = re.compile(r"(\s*)(Args|Attributes|Raises):$")
_MEMBER = re.compile(r"<(\w+\.\w+): [^<>]*>")
_FIELDS = re.compile(r"(\s+)(\w+(?:, \w+)+): ")


def one_field_each(
    _app: object, what: str, _name: str, _obj: object, _options: object, lines: list[str]
) -> None:
    """Fit our docstrings to napoleon, which knows one name per field.

    ``first, second: Text`` becomes a field for each name. The first line of an attribute is no
    ``type: description`` either: an empty comment before it says so.
    """
    if what in ("attribute", "data", "property"):
        lines[:0] = ["..", ""]
    made: list[str] = []
    waiting: list[str] = []
    head: list[str] = []

    def flush() -> None:
        for each in head:
            made.extend([each, *waiting])
        head.clear()
        waiting.clear()

    for line in lines:
        found = _FIELDS.match(line)
        if found and found[1] and len(found[1]) <= 4:
            flush()
            head.extend(f"{found[1]}{each}: {line[found.end() :]}" for each in found[2].split(", "))
        elif head and line.startswith(" " * (len(head[0]) - len(head[0].lstrip()) + 1)):
            waiting.append(line)
        else:
            flush()
            made.append(line)
    flush()
    lines[:] = made


def readable_signature(
    _app: object,
    _what: str,
    name: str,
    _obj: object,
    _options: object,
    signature: str | None,
    returns: str | None,
) -> tuple[str, str | None] | None:
    """Defaults as one would write them; none for types that callers do not make."""
    if name in INNER:
        return "", None
    if signature is None:
        return None
    signature = _MEMBER.sub(r"\1", signature)
    return signature.replace("= NOTHING", "= ..."), returns  # made by a factory, for each object


def follow(_app: object, doctree: object) -> None:
    """Turn what annotations and docstrings call a public thing into the path of its entry."""
    for node in doctree.findall(addnodes.pending_xref):
        target = node.get("reftarget", "")
        if node.get("refdomain") == "py" and target in TARGETS:
            node["reftarget"] = TARGETS[target]
            node["refspecific"] = False


def setup(app: object) -> None:
    """Connect them; the first before napoleon, which is called at 500."""
    app.connect("autodoc-process-docstring", one_field_each, priority=400)
    app.connect("autodoc-process-signature", readable_signature)
    app.connect("doctree-read", follow)


INNER = {path for paths in reference_pages.NAMED_IN_SIGNATURES.values() for path in paths}
TARGETS = reference_pages.targets()
