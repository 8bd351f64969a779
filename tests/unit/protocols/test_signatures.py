"""The seams stay as they are: what others implement is compared with a kept file.

Run this module as a program to write the file anew; that is a decision, and wants a changelog
fragment and a major step of the version.
"""

from __future__ import annotations

import ast
from pathlib import Path

import frskit.protocols

KEPT = Path(__file__).resolve().parents[2] / "golden" / "protocols.txt"
MOST_METHODS = 142
"""Public methods of all protocols before the seams were amended; amending must not add any."""


def signatures() -> list[str]:
    """One line per public member of each protocol: ``Class.name(arguments) -> result``."""
    (folder,) = frskit.protocols.__path__
    lines = []
    for module in sorted(Path(folder).glob("*.py")):
        tree = ast.parse(module.read_text(encoding="utf-8"))
        for kind in (node for node in tree.body if isinstance(node, ast.ClassDef)):
            if not any("Protocol" in ast.unparse(base) for base in kind.bases):
                continue
            lines += [_line(kind.name, each) for each in kind.body if _public(each)]
    return lines


def _public(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and not node.name.startswith("_")


def _line(kind: str, node: ast.stmt) -> str:
    assert isinstance(node, ast.FunctionDef)
    result = ast.unparse(node.returns) if node.returns else ""
    if any(isinstance(each, ast.Name) and each.id == "property" for each in node.decorator_list):
        return f"{kind}.{node.name}: {result}"
    return f"{kind}.{node.name}({ast.unparse(node.args)}) -> {result}"


def test_the_seams_are_the_kept_ones() -> None:
    assert signatures() == KEPT.read_text(encoding="utf-8").splitlines(), (
        "a seam changed: other people's arrays, writers and tools no longer fit"
    )


def test_amending_the_seams_added_no_methods() -> None:
    assert len(signatures()) <= MOST_METHODS


if __name__ == "__main__":
    KEPT.write_text("\n".join(signatures()) + "\n", encoding="utf-8")
