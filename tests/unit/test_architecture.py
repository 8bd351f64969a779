"""Imports go down only, the wings never meet, and nothing imports the test helpers."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import frskit
from frskit.testing.architecture import (
    FOLDERS,
    LAYERS,
    UPWARD_TYPES,
    folder_of,
    layer_of,
    may_import,
)

PACKAGE = Path(frskit.__file__).parent
FACED = {"frs", "vss", "exchange", "eva", "local", "hosts", "ese", "storage", "site"}
"""Parts whose modules are imported from other parts through a face only."""
OPEN = {"frskit.ese.eseutil"}
"""A module that is a face of its own: what eseutil would print, for commands."""


def modules():
    """Every module of the package with its dotted name."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ("frskit", *path.relative_to(PACKAGE).with_suffix("").parts)
        yield ".".join(part for part in parts if part != "__init__"), path


def sources():
    """The source of every module, and the names of those that are packages."""
    found = {module: path.read_text(encoding="utf-8") for module, path in modules()}
    return found, {module for module, path in modules() if path.name == "__init__.py"}


def imports(source, module, known=()):
    """Modules of frskit that a module imports, wherever in the file, also for annotations only."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("frskit"))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports inside the package are absolute"
            if node.module == "frskit":
                yield from (f"frskit.{alias.name}" for alias in node.names)
            elif node.module and node.module.startswith("frskit."):
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    yield inner if inner in known else node.module


def circles(found, packages):
    """Circles of modules, annotations included. Faces import by name and late: they are left out."""
    graph = {
        module: {
            each
            for each in imports(source, module, found)
            if each not in packages and (module, each) not in UPWARD_TYPES
        }
        for module, source in found.items()
        if module not in packages
    }
    done, active, circle = set(), [], []

    def visit(module):
        if module in active:
            circle.append(" -> ".join([*active[active.index(module) :], module]))
        if module in done or module in active or module not in graph:
            return
        active.append(module)
        for target in sorted(graph[module] - {module}):
            visit(target)
        active.pop()
        done.add(module)

    for module in sorted(graph):
        visit(module)
    return circle


def out_of_folder(found, packages):
    """Imports that the table of folders does not allow."""
    for module, source in found.items():
        for target in imports(source, module, found) if module not in packages else ():
            if layer_of(target) == layer_of(module) and target not in packages:
                here, there = folder_of(module), folder_of(target)
                allowed = FOLDERS.get(layer_of(module), {"": frozenset()})[here]
                if here != there and there not in allowed:
                    yield f"{module} imports {target}"


def past_a_face(found, packages):
    """Imports from another wing that go past a package's face."""
    for module, source in found.items():
        for target in imports(source, module, found):
            if (
                layer_of(target) in FACED
                and layer_of(target) != layer_of(module)
                and target not in packages | OPEN
            ):
                yield f"{module} imports {target}"


def upward_names(found, packages):
    """Names of rooms as strings in a module that may not import them."""
    rooms = {layer_of(module) for module in found if module != "frskit"}
    for module, source in found.items():
        for node in ast.walk(ast.parse(source)):
            if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
                continue
            named = re.fullmatch(r"frskit\.(\w+)(?:\.\w+)*(?::\w+)?", node.value)
            if named and named[1] in rooms and not may_import(layer_of(module), named[1]):
                yield f"{module} names {node.value}"


def classes_of_one_name(found, packages):
    """Public classes that share their name with another one."""
    places = {}
    for module, source in found.items():
        for node in ast.parse(source).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(module)
    return [f"{name}: {', '.join(where)}" for name, where in places.items() if len(where) > 1]


LAWS = {
    "no circle": circles,
    "folders": out_of_folder,
    "faces": past_a_face,
    "no upper room as a string": upward_names,
    "one class, one name": classes_of_one_name,
}


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS.keys())
def test_the_house_keeps_its_laws(law):
    """Circles, folders, faces, names of upper rooms, class names: the whole package."""
    assert list(law(*sources())) == []


@pytest.mark.breaks
@pytest.mark.parametrize(
    ("law", "module", "line"),
    [
        ("no circle", "frskit.frs.state.locks", "from frskit.frs.resume import resume"),
        (
            "no circle",
            "frskit.frs.state.locks",
            "if TYPE_CHECKING:\n    from frskit.frs.requestor import FastRecovery",
        ),
        ("folders", "frskit.exchange.store.btree", "from frskit.exchange.settings import x"),
        ("faces", "frskit.exchange.settings", "from frskit.ese.header import identify"),
        ("faces", "frskit.site.opening", "from frskit.frs.state.locks import Locks"),
        ("no upper room as a string", "frskit.site.opening", "X = 'frskit.simulation.lab:lab'"),
        ("no upper room as a string", "frskit.eva.models", "X = 'frskit.vss'"),
        ("one class, one name", "frskit.eva.models", "class Copy: pass"),
    ],
    ids=str,
)
def test_a_planted_breach_is_found(law, module, line):
    """Each law is seen to fail on one line that breaks it."""
    found, packages = sources()
    assert module in found
    assert list(LAWS[law]({**found, module: f"{found[module]}\n{line}\n"}, packages))


@pytest.mark.parametrize(("module", "path"), list(modules()), ids=lambda value: str(value)[-40:])
def test_imports_go_down_only(module, path):
    """Each module imports only from layers that the table allows it."""
    for target in imports(path.read_text(encoding="utf-8"), module):
        allowed = (module, target) in UPWARD_TYPES or may_import(layer_of(module), layer_of(target))
        assert allowed, f"{module} imports {target}"


@pytest.mark.parametrize(("module", "target"), sorted(UPWARD_TYPES))
def test_what_goes_up_is_for_annotations_only(module, target):
    """The exception is used, and nothing is loaded by it."""
    source = (PACKAGE.parent / (module.replace(".", "/") + ".py")).read_text(encoding="utf-8")
    assert target in imports(source, module)
    code = f"import sys, {module}; print({target!r} in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


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
