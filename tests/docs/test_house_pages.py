"""Pages about the house: decisions, glossary, environment, support, contributing."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
RECORDS = sorted((DOCS / "decisions").glob("[0-9]*.md"))


def text(path):
    """A page."""
    return (ROOT / path).read_text(encoding="utf-8")


# --- decisions ----------------------------------------------------------------------------------------


def test_decisions_are_numbered_and_listed():
    """One number each, without gaps; the index has each record under its title, twice."""
    assert [int(path.name[:4]) for path in RECORDS] == list(range(1, len(RECORDS) + 1))
    index = text("docs/decisions/index.md")
    for path in RECORDS:
        title = text(path).splitlines()[0]
        assert title.startswith(f"# {path.name[:4]}: ")
        assert f"| [{path.name[:4]}]({path.name}) | {title.partition(': ')[2]} |" in index
        assert f"\n{path.stem}\n" in index
    assert len(RECORDS) >= 10


def test_a_decision_says_why_and_what_follows():
    """All have the same sections, and short they are."""
    for path in RECORDS:
        lines = text(path).splitlines()
        headings = [line for line in lines if line.startswith("## ")]
        assert headings == ["## Context", "## Decision", "## Consequences"], path.name
        assert 10 <= len(lines) <= 25, path.name


def test_decisions_name_places_that_exist():
    """Files that a record names are there, and the code uses its tag."""
    code = "\n".join(text(path) for path in (ROOT / "frskit").rglob("*.py"))
    for path in RECORDS:
        (status,) = [line for line in text(path).splitlines() if line.startswith("Status: ")]
        named = re.findall(r"`(frskit/[\w./]+)`", status)
        assert named, path.name
        assert all((ROOT / each).exists() for each in named), path.name
        for tag in re.findall(r"\b(?:R|FRS|VSS)-\d+", status):
            assert re.search(rf"\b{tag}\b", code), f"{path.name}: {tag}"


# --- other pages ------------------------------------------------------------------------------------------


def variables():
    """Every name that the command line asks the environment for."""
    for path in (ROOT / "frskit" / "cli").glob("*.py"):
        tree = ast.parse(text(path))
        constants = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "os.environ.get",
                "os.getenv",
            ):
                name = node.args[0]
                yield name.value if isinstance(name, ast.Constant) else constants[name.id]
            if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
                yield node.slice.value
            if isinstance(node, ast.keyword) and node.arg == "envvar":
                yield node.value.value


def test_every_variable_is_documented():
    """What the command line reads is on the page, and nothing else of frskit's own."""
    page = text("docs/environment.md")
    shown = set(re.findall(r"^\| `(FRSKIT_\w+)`", page, re.MULTILINE))
    # COLUMNS is not frskit's own; it is on the page with what Rich honors.
    assert shown == set(variables()) - {"COLUMNS"}
    assert "`COLUMNS`" in page
    tests = set(re.findall(r'"((?:FRSKIT|HYPOTHESIS)_[A-Z_]+)"', text("tests/conftest.py")))
    assert len(tests) >= 3
    assert all(f"`{each}`" in page for each in tests)


def test_supported_pythons_are_those_of_the_metadata():
    """The page and the classifiers name the same versions, and the floor is the first."""
    project = tomllib.loads(text("pyproject.toml"))["project"]
    classified = [
        each.rpartition(" ")[2] for each in project["classifiers"] if re.search(r":: 3\.\d+$", each)
    ]
    (row,) = [line for line in text("docs/support.md").splitlines() if line.startswith("| Python")]
    assert re.findall(r"3\.\d+", row) == classified
    assert project["requires-python"] == f">={classified[0]}"


def test_the_glossary_has_the_words_of_the_house():
    """One entry each for the words that code and docs use."""
    entries = re.findall(r"^([a-z].*|LUN)\n: ", text("docs/glossary.md"), re.MULTILINE)
    words = {word.strip() for entry in entries for word in entry.split(",")}
    assert len(entries) == len(set(entries))
    assert words >= {
        *("requestor", "writer", "provider", "component", "shadow copy set", "LUN"),
        *("virtual disk", "disk group", "snapshot", "vsnap", "snapclone", "normalization"),
        *("presentation", "storage group", "generation", "checkpoint", "lineage", "displaced"),
        *("parked", "consumed", "swap", "point of no return", "freeze", "thaw"),
    }


def test_contributors_are_told_every_step():
    """The page has each session of the task runner, and each kind of changelog fragment."""
    page = text("CONTRIBUTING.md")
    sessions = re.findall(r"^@nox\.session\n(?:@.*\n)*def (\w+)", text("noxfile.py"), re.MULTILINE)
    assert len(sessions) > 8
    for name in sessions:
        assert f"`nox -s {name}`" in page, name
    for path in (ROOT / "changelog.d").glob("*.md"):
        assert re.search(rf"\b{path.name.split('.')[-2]}\b", page), path.name


def test_every_page_is_in_the_contents():
    """No page of the docs is an orphan."""
    index = text("docs/index.md")
    listed = set(re.findall(r"^([\w/-]+)$", index, re.MULTILINE))
    for path in DOCS.glob("*.md"):
        assert path.stem in listed | {"index"}, path.name
    assert "decisions/index" in listed


# --- pages as they are read ---------------------------------------------------------------------------


def torn_rows(page):
    """Lines that are written as rows of a table but belong to none: an empty line tears it."""
    lines = page.splitlines()
    begins = [
        number
        for number, line in enumerate(lines)
        if line.startswith("|") and not (number and lines[number - 1].startswith("|"))
    ]
    after = {number: (*lines[number + 1 : number + 2], "")[0] for number in begins}
    return [number + 1 for number in begins if not re.match(r"\|[ :|-]+\|$", after[number])]


def test_no_table_is_torn():
    """What looks like a table in the source is one on the page."""
    assert torn_rows("| a |\n|---|\n| b |\n\n| c |\n| d |\n") == [5]
    pages = [ROOT / "README.md", *DOCS.rglob("*.md")]
    torn = {path.name: torn_rows(path.read_text(encoding="utf-8")) for path in pages}
    assert {name: rows for name, rows in torn.items() if rows} == {}
