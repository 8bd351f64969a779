"""What is declared is used, and what is used is declared; one place for the version."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

import pytest

import frskit

PACKAGE = Path(frskit.__file__).parent
REPOSITORY = Path(__file__).parents[2]
PROJECT = REPOSITORY / "pyproject.toml"
pytestmark = pytest.mark.skipif(
    not PROJECT.is_file(),
    reason="the tests are not in a checkout; there is no project file",
)
NOT_RUN = {"benchmarks", "fuzz", "typing"}
"""Folders below tests/ that the test command does not collect."""


@pytest.fixture(scope="module")
def project():
    """The project file."""
    return tomllib.loads(PROJECT.read_text(encoding="utf-8"))


def distribution(requirement):
    """The normalized name of a requirement."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement).group()
    return re.sub(r"[-_.]+", "-", name).lower()


def modules(path):
    """Top-level modules that a file imports, without those whose absence it handles."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.partition(".")[0]


def guarded(path):
    """Modules whose absence a test file handles: importorskip, or a look for them before."""
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") in (
            "importorskip",
            "find_spec",
        ):
            argument = call.args[0]
            if isinstance(argument, ast.Constant):
                yield argument.value.partition(".")[0]


def sources(folder):
    """Python files below a folder that the test command runs."""
    return [
        path
        for path in sorted(folder.rglob("*.py"))
        if not NOT_RUN.intersection(path.relative_to(folder).parts)
    ]


def owners(module):
    """Normalized names of the distributions that bring a module."""
    return {distribution(each) for each in packages_distributions().get(module, [module])}


def test_the_test_group_holds_what_the_tests_import(project):
    """`pip install '.[cli,testing]' --group test` is enough for every import under tests/."""
    extras = project["project"]["optional-dependencies"]
    declared = {
        distribution(each)
        for each in (
            *project["project"]["dependencies"],
            *extras["cli"],
            *extras["testing"],
            *project["dependency-groups"]["test"],
        )
    }
    folder = REPOSITORY / "tests"
    local = {path.stem for path in folder.rglob("*.py")} | {
        path.name for path in folder.rglob("*") if path.is_dir()
    }
    local |= {path.stem for path in (REPOSITORY / "examples").glob("*.py")}
    known = set(sys.stdlib_module_names) | {"frskit", "__main__"} | local
    missing = {
        f"{path.relative_to(REPOSITORY)}: {name}"
        for path in sources(folder)
        for name in set(modules(path)) - set(guarded(path)) - known
        if not owners(name) & declared
    }
    assert missing == set()


def test_every_extra_is_imported_somewhere(project):
    """An extra is not declared before something in the package imports what it brings."""
    used = {name for path in PACKAGE.rglob("*.py") for name in modules(path)}
    used_distributions = {owner for name in used for owner in owners(name)}
    for extra, requirements in project["project"]["optional-dependencies"].items():
        for each in requirements:
            name = distribution(each)
            assert name == "frskit" or name in used_distributions, f"{extra}: {each}"


def test_every_core_dependency_is_imported_somewhere(project):
    """The same for what everybody must install."""
    used = {name for path in PACKAGE.rglob("*.py") for name in modules(path)}
    used_distributions = {owner for name in used for owner in owners(name)}
    for each in project["project"]["dependencies"]:
        assert distribution(each) in used_distributions, each


def test_the_package_imports_nothing_that_is_not_declared(project):
    """Core and extras together hold every third-party import of the package."""
    extras = project["project"]["optional-dependencies"]
    declared = {distribution(each) for each in project["project"]["dependencies"]}
    declared |= {distribution(each) for group in extras.values() for each in group}
    used = {name for path in PACKAGE.rglob("*.py") for name in modules(path)}
    foreign = used - set(sys.stdlib_module_names) - {"frskit"}
    assert {name for name in foreign if not owners(name) & declared} == set()


def test_the_source_distribution_has_what_the_repository_has(project):
    """Whoever has only the sdist can read, test and build all of it."""
    included = project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert all((REPOSITORY / each.lstrip("/")).exists() for each in included)
    try:
        listed = subprocess.run(
            ["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no git, or no checkout: what the repository has is not known")
    there = {line.partition("/")[0] for line in listed.stdout.splitlines()}
    # These two are always in.
    assert there - {each.lstrip("/") for each in included} == {"pyproject.toml", ".gitignore"}


def test_no_address_of_the_project_is_made_up(project):
    """There is no public place yet, so the metadata name none."""
    assert "urls" not in project["project"]


def test_the_version_is_said_once(project):
    """In the package; the build reads it from there, and the metadata agree."""
    assert "version" not in project["project"]
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "frskit/__init__.py"
    try:
        assert version("frskit") == frskit.__version__
    except PackageNotFoundError:
        pytest.skip("frskit is not installed")
    printed = subprocess.run(
        [sys.executable, "-m", "frskit", "--version"], capture_output=True, text=True, check=True
    )
    assert frskit.__version__ in printed.stdout
