"""The reference has every public name, with its types; the page of rule ids has every id."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import frskit

ROOT = Path(__file__).parents[2]
PUBLIC = (
    "bases clock codes errors ese ese.logs ese.pages eva events exchange frs hosts local model "
    "protocols scopes simulation site spi storage testing vss"
)


@pytest.fixture(scope="module")
def reference_pages():
    """The module that makes the pages of the reference."""
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        yield importlib.import_module("reference_pages")
    finally:
        sys.path.remove(str(ROOT / "docs"))


@pytest.fixture
def rule_ids(reference_pages):
    """The module that reads the rule ids of tests."""
    return importlib.import_module("rule_ids")


def public_names():
    """Room and name of all that is exported; rooms that export modules have entries for these."""
    for room in ["frskit", *(f"frskit.{each}" for each in PUBLIC.split())]:
        for name in getattr(importlib.import_module(room), "__all__", ()):
            yield room, name
    for info in pkgutil.iter_modules(frskit.codes.__path__):
        for name in importlib.import_module(f"frskit.codes.{info.name}").__all__:
            yield f"frskit.codes.{info.name}", name


# --- built ------------------------------------------------------------------------------------------


def test_the_built_docs_have_every_public_name(tmp_path):
    """One strict build: no reference to a name of ours is lost, and no public name is missing."""
    pytest.importorskip("sphinx", reason="the docs are built with the group 'docs'")
    pytest.importorskip("myst_parser", reason="the docs are built with the group 'docs'")
    pytest.importorskip("furo", reason="the docs are built with the group 'docs'")
    from sphinx.util.inventory import InventoryFile

    command = [sys.executable, "-m", "sphinx", "-q", "-n", "-W", "-E", "-b", "html"]
    done = subprocess.run(
        [*command, "-d", tmp_path / "trees", ROOT / "docs", tmp_path / "html"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with (tmp_path / "html" / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda base, path: path)
    entries = {
        name: item
        for kind, items in inventory.items()
        if kind.startswith("py:")
        for name, item in items.items()
    }
    wanted = {f"{room}.{name}" for room, name in public_names()}
    assert len(wanted) > 500
    assert sorted(wanted - set(entries)) == []
    assert {"frskit.Copy", "frskit.spi.Copy", "frskit.model.Copy"} <= wanted

    page = (tmp_path / "html" / "generated" / "reference" / "model.html").read_text("utf-8")
    (copy,) = re.findall(r'<dt [^>]*id="frskit\.model\.Copy">.*?</dt>', page, re.DOTALL)
    assert 'href="#frskit.model.Verdict"' in copy  # the type of a field, as a link
    assert 'href="#frskit.model.Completion"' in copy


def test_names_of_our_own_are_never_ignored():
    """What the build may not find belongs to other projects: no pattern fits a name of ours."""
    tree = ast.parse((ROOT / "docs" / "conf.py").read_text(encoding="utf-8"))
    (ignored,) = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "nitpick_ignore_regex"
    ]
    ours = {name for _, name in public_names()} | {
        f"{room}.{name}" for room, name in public_names()
    }
    for _, pattern in ignored:
        assert not [name for name in ours if re.fullmatch(pattern, name)], pattern
    assert not any(re.fullmatch(pattern, "frskit.model.copies.Copy") for _, pattern in ignored)


# --- the pages' source --------------------------------------------------------------------------------


def test_every_public_room_is_on_a_page(reference_pages):
    """A package or module of frskit that is public cannot be forgotten."""
    rooms = {room for each in reference_pages.ROOMS.values() for room in each}
    assert rooms >= {f"frskit.{name}" for name in PUBLIC.split()}
    public = {info.name for info in pkgutil.iter_modules(frskit.__path__) if info.name[0] != "_"}
    assert {f"frskit.{name}" for name in public} <= rooms


def test_constants_say_what_they_are(reference_pages):
    """Values that are exported have a sentence of their own."""
    text = "\n".join(reference_pages.pages().values())
    entries = re.findall(r"\.\. py:data:: (\S+)\n(.*?)(?=\n\n\S|\n\n\.\.|\n```)", text, re.DOTALL)
    described = [(name, body) for name, body in entries if ":no-typesetting:" not in body]
    assert len(described) > 20
    silent = [name for name, body in described if not re.search(r"\n   \([^)]+\) \S", body)]
    assert silent == [], silent


# --- rule ids -----------------------------------------------------------------------------------------


SOURCE = '''
@pytest.mark.rule("EVA-01", "HAZ-02")
def test_one():
    """One says this.

    And more.
    """

@pytest.mark.rule(*[f"EVA-{n:02d}" for n in (*range(3, 5), 7)])
class TestMany:
    """Many at once."""

class Machine:
    """What a machine does."""

TestMachine = pytest.mark.rule("VSS-07")(Machine.TestCase)
'''


def test_rule_ids_are_read_from_the_source(rule_ids):
    """Marks on functions, on classes, computed ids, and a machine that is marked by a call."""
    found = {(held.rule, held.test, held.says) for held in rule_ids.held_by(SOURCE, "t.py")}
    assert found == {
        ("EVA-01", "t.py::test_one", "One says this."),
        ("HAZ-02", "t.py::test_one", "One says this."),
        ("EVA-03", "t.py::TestMany", "Many at once."),
        ("EVA-04", "t.py::TestMany", "Many at once."),
        ("EVA-07", "t.py::TestMany", "Many at once."),
        ("VSS-07", "t.py::TestMachine", "What a machine does."),
    }


def test_the_page_of_rules_has_every_id_that_a_test_carries(rule_ids):
    """As many places as the tests have marks; every test says something; every book is told of."""
    page = rule_ids.page(ROOT / "tests")
    told = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    held = rule_ids.all_held(ROOT / "tests")
    assert len({each.rule for each in held}) > 200
    for each in held:
        assert f"\n{each.rule}\n" in page
        assert each.says, each.test
        assert f"`{each.rule.partition('-')[0]}-n`" in told
    for path in (ROOT / "tests").rglob("test_*.py"):
        for word in re.findall(r"mark\.rule\(\s*\"([A-Z]+-\w+)\"", path.read_text("utf-8")):
            assert word in page, path
