"""Imports go down only, the wings never meet, and nothing imports the test helpers."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import frskit
from frskit.testing.architecture import LAYERS, layer_of, may_import

PACKAGE = Path(frskit.__file__).parent


def modules():
    """Every module of the package with its dotted name."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ("frskit", *path.relative_to(PACKAGE).with_suffix("").parts)
        yield ".".join(part for part in parts if part != "__init__"), path


def imports(path: Path, module: str):
    """Dotted names of frskit that a module imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("frskit"))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports inside the package are absolute"
            if node.module == "frskit":
                yield from (f"frskit.{alias.name}" for alias in node.names)
            elif node.module and node.module.startswith("frskit."):
                yield node.module


@pytest.mark.parametrize(("module", "path"), list(modules()), ids=lambda value: str(value)[-40:])
def test_imports_go_down_only(module, path):
    """Each module imports only from layers that the table allows it."""
    for target in imports(path, module):
        assert may_import(layer_of(module), layer_of(target)), f"{module} imports {target}"


def test_the_table_forbids_what_the_laws_forbid():
    """The table itself keeps wings apart, testing out and the order downward."""
    wings = ["frs", "vss", "exchange", "eva", "local", "hosts"]
    for wing in wings:
        assert not any(may_import(wing, other) for other in wings if other != wing)
        assert may_import(wing, "protocols")
        assert not may_import("protocols", wing)
    faces = ("testing", "frskit")  # the face of the package names every room, and loads none
    assert not any(may_import(layer, "testing") for layer in LAYERS if layer not in faces)
    assert not may_import("ese", "protocols")
    assert may_import("exchange", "ese")
    assert not may_import("eva", "ese")


def test_every_top_level_module_has_a_layer():
    """A new room in the house must be entered in the table."""
    found = {layer_of(module) for module, _ in modules() if module != "frskit"}
    assert found <= set(LAYERS)


def test_modules_do_not_import_each_other_in_cycles():
    """The import graph of modules, imports for type checking left out, has no cycle."""
    graph = {module: set(runtime_imports(path)) for module, path in modules()}
    done, active = set(), []

    def visit(module):
        if module in done or module not in graph:
            return
        assert module not in active, " -> ".join([*active, module])
        active.append(module)
        for target in sorted(graph[module]):
            if target != module:
                visit(target)
        active.pop()
        done.add(module)

    for module in sorted(graph):
        visit(module)


def runtime_imports(path: Path):
    """Top-level imports of frskit that run when the module is loaded."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("frskit."):
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("frskit."))


def test_importing_frskit_is_light():
    """``import frskit`` loads attrs and the standard library only."""
    code = (
        "import sys, frskit\n"
        "heavy = ('numpy', 'cattrs', 'click', 'typing_extensions', 'frskit._typing')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("banned", ["time.sleep", "datetime.now", "os.environ", "random.random"])
def test_time_and_environment_are_injected(banned):
    """Only the clock, the site and the command line touch the machine's clock or environment."""
    allowed = ("frskit.clock", "frskit.cli", "frskit.site")
    for module, path in modules():
        if module.startswith(allowed):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert f"{node.value.id}.{node.attr}" != banned, f"{module}:{node.lineno}"
