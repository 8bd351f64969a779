"""The rule ids that tests carry, and what those tests say: read from their source, never run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

#: The books, in the order of the page, with what each is about.
BOOKS = {
    "FRS": "The requestor",
    "VSS": "The shadow copy service",
    "EXC": "Exchange and its files",
    "EVA": "The array",
    "HAZ": "Hazards",
    "R": "Resolutions",
}


class Held(NamedTuple):
    """A rule and one test that carries its id."""

    rule: str
    test: str
    says: str


def _ids(call: ast.expr) -> tuple[str, ...]:
    """The ids of ``pytest.mark.rule(...)``; none for any other expression."""
    if not (isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.rule"):
        return ()
    ids = ast.Expression(ast.Tuple(call.args, ast.Load()))
    code = compile(ast.fix_missing_locations(ids), "rule ids", "eval")
    # literals, or a comprehension over a range: nothing else is in reach
    return tuple(eval(code, {"__builtins__": {"range": range}}))  # noqa: S307


def _first_line(node: ast.AST) -> str:
    text = ast.get_docstring(node) if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else None
    return text.splitlines()[0] if text else ""


def held_by(source: str, path: str) -> Iterator[Held]:
    """The rules of one file: marks on functions and classes, and marks called on a class."""
    tree = ast.parse(source)
    classes = {each.name: each for each in ast.walk(tree) if isinstance(each, ast.ClassDef)}
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            for mark in node.decorator_list:
                for rule in _ids(mark):
                    yield Held(rule, f"{path}::{node.name}", _first_line(node))
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            # TestThing = pytest.mark.rule(...)(Machine.TestCase): the machine says what it does
            machine = next((ast.unparse(each) for each in node.value.args), "").split(".")[0]
            says = _first_line(classes[machine]) if machine in classes else ""
            for rule in _ids(node.value.func):
                yield Held(rule, f"{path}::{ast.unparse(node.targets[0])}", says)


def all_held(tests: Path) -> list[Held]:
    """Every rule of every test below a folder, by rule."""
    found = {
        held
        for path in tests.rglob("test_*.py")
        for held in held_by(
            path.read_text(encoding="utf-8"), path.relative_to(tests.parent).as_posix()
        )
    }
    return sorted(found, key=lambda held: (*_order(held.rule), held.test))


def _order(rule: str) -> tuple[int, int, str]:
    book, _, number = rule.partition("-")
    digits = "".join(each for each in number if each.isdigit())
    return [*BOOKS, book].index(book), int(digits or 0), rule


def page(tests: Path) -> str:
    """A section for each book; for each rule its tests and their first lines."""
    held = all_held(tests)
    lines: list[str] = []
    for book, title in BOOKS.items():
        rules = sorted({each.rule for each in held if each.rule.startswith(f"{book}-")}, key=_order)
        if not rules:
            continue
        lines += ["", f"# {title} ({book}): {len(rules)} rules", ""]
        for rule in rules:
            lines += [rule]
            lines += [_line(each) for each in held if each.rule == rule]
            lines.append("")
    return "\n".join(lines) + "\n"


def _line(held: Held) -> str:
    says = held.says or "(says nothing)"
    return f": {says} <br>`{held.test.removeprefix('tests/')}`"
