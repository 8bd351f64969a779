"""What README and docs say exists: commands, options, links, code, contracts of the seams."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import itertools
import re
import shlex
from pathlib import Path

import click
import pytest

import frskit
from frskit import errors, protocols
from frskit.cli.app import main
from frskit.cli.hpfrscli import parse
from frskit.codes.explain import error_classes
from frskit.errors import FrskitError, UsageError

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "decisions").glob("*.md")),
]
BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:frskit|hpfrscli)(?: [^`\n]+)?)`")
PLACEHOLDER = re.compile(r"[A-Z][A-Z_]*(\.\.\.)?$")


# --- command lines ----------------------------------------------------------------------------------


def shown_lines():
    """Every line of a shell block, and every piece of inline code, that names a command."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for language, body in BLOCK.findall(text):
            if language not in ("sh", "console", "shell", "bash"):
                continue
            for line in body.splitlines():
                for part in re.split(r"&&|\|\|", line.removeprefix("$ ")):
                    words = shlex.split(part, comments=True)
                    if words and words[0].rsplit("/", 1)[-1] in ("frskit", "hpfrscli"):
                        yield page.name, " ".join([words[0].rsplit("/", 1)[-1], *words[1:]])
        for line in INLINE.findall(BLOCK.sub("", text)):
            yield page.name, line


def alternatives(line):
    """The lines that ``a|b`` and ``[...]`` stand for; brackets are simply dropped."""
    words = [re.sub(r"[\[\]]", "", word) for word in line.replace("\\|", "|").split()]
    for choice in itertools.product(*(word.split("|") for word in words)):
        yield list(choice)


LINES = sorted(set(shown_lines()))


def known_options(command):
    """The options of a command, by spelling."""
    return {
        spelling: parameter
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for spelling in (*parameter.opts, *parameter.secondary_opts)
    }


def check_frskit(words):
    """Walk down the commands; complain about a word or an option that does not exist."""
    command, context = main, click.Context(main)
    options = known_options(main) | {"--help": None, "--version": None}
    waiting = iter(words)
    for word in waiting:
        if word.startswith("-"):
            assert word in options, f"{word} is no option of {command.name}"
            option = options[word]
            if option is not None and not option.is_flag:
                value = next(waiting)
                if isinstance(option.type, click.Choice) and not PLACEHOLDER.match(value):
                    assert value in option.type.choices, f"{value} is no choice of {word}"
        elif isinstance(command, click.Group) and not PLACEHOLDER.match(word):
            found = command.get_command(context, word)
            assert found is not None, f"{word} is no command of {command.name}"
            command = found
            options = known_options(command) | {"--help": None}
        elif isinstance(command, click.Group):
            assert word == "COMMAND", f"{word} stands where a command belongs"
            options = {"--help": None, "--json": None}


@pytest.mark.parametrize(("page", "line"), LINES)
def test_shown_commands_exist(page, line):
    """Each command line of README and docs is one that the programs know."""
    for program, *words in alternatives(line):
        if program == "frskit":
            check_frskit(words)
        elif any(word.startswith("/") for word in words[1:]):
            parse(words)
        elif words:
            with pytest.raises(UsageError, match="/exchange"):
                parse(words[:1])


def test_the_checks_see_mistakes():
    """A command, an option or a switch that does not exist would be found; and there are lines."""
    assert len(LINES) > 20
    for line in ("copy make evs1", "copy list --nonsense", "recover ID --mode sideways"):
        with pytest.raises(AssertionError):
            check_frskit(line.split())
    with pytest.raises(UsageError):
        parse(["addcopy", "/exchange", "/srv=evs1", "/sg=sg1"])


def test_every_command_is_in_the_docs():
    """The page of commands names each command of `frskit`."""
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8").replace("\\|", "|")
    context = click.Context(main)
    for name in main.list_commands(context):
        found = main.get_command(context, name)
        assert f"frskit {name}" in text, name
        if isinstance(found, click.Group):
            row = next(line for line in text.splitlines() if f"frskit {name}" in line)
            for inner in found.list_commands(context):
                assert re.search(rf"\b{inner}\b", row), f"{name} {inner}"


# --- code and links -----------------------------------------------------------------------------------


def python_blocks():
    """Every block of Python."""
    for page in PAGES:
        for language, body in BLOCK.findall(page.read_text(encoding="utf-8")):
            if language == "python":
                yield page.name, body


@pytest.mark.parametrize(("page", "code"), list(python_blocks()), ids=lambda value: value[:20])
def test_python_blocks_use_names_that_exist(page, code):
    """Shown code compiles, and what it imports from frskit is there."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("frskit"):
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name), f"{node.module}.{alias.name}"


def test_the_example_of_the_readme_says_the_truth(capsys):
    """It runs, and prints what the comments promise: verified, and all 250 messages back."""
    (code,) = [body for page, body in python_blocks() if page == "README.md"]
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102  # our own README
    out = capsys.readouterr().out
    assert "Verdict.VERIFIED" in out
    assert "items=250" in out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """Relative links and included files exist; pages that a build makes are made by its tables."""
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)\)", text)
    targets += re.findall(r"^```\{literalinclude\} (\S+)", text, re.MULTILINE)
    for target in targets:
        if "://" in target or target.startswith("generated/"):
            continue
        assert (page.parent / target).exists(), target


def test_the_readme_has_no_relative_links():
    """It is the package's page elsewhere too, where only whole addresses and anchors lead on."""
    text = BLOCK.sub("", (ROOT / "README.md").read_text(encoding="utf-8"))
    targets = re.findall(r"\]\(([^)\s]+)", text) + re.findall(
        r"^\[[^\]]+\]: (\S+)", text, re.MULTILINE
    )
    targets += re.findall(r"(?:href|src)=[\"']([^\"']+)", text)
    assert [each for each in targets if not each.startswith(("https://", "#"))] == []


def test_files_that_the_readme_names_exist():
    """Each path of the source tree that it shows as code is there."""
    text = BLOCK.sub("", (ROOT / "README.md").read_text(encoding="utf-8"))
    named = re.findall(r"`((?:docs|examples)/[\w./-]+|[A-Z]+\.md)`", text)
    assert len(named) > 5
    for name in named:
        assert (ROOT / name).is_file(), name


def test_the_page_of_tests_names_every_benchmark():
    """A new benchmark cannot be forgotten there."""
    text = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    for script in (ROOT / "tests" / "benchmarks").glob("bench_*.py"):
        assert script.name in text


def test_generated_pages_are_complete(tmp_path, monkeypatch):
    """The pages made from tables have every error class, exit status and part."""
    monkeypatch.syspath_prepend(ROOT / "docs")
    spec = importlib.util.spec_from_file_location("frskit_docs_tables", ROOT / "docs" / "tables.py")
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    tables.write_all(tmp_path)
    pages = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.glob("*.md")}
    for kind in error_classes():
        assert (
            f"\n`{kind.code}`: {{py:exc}}`~frskit.errors.{kind.__name__}`\n: " in pages["errors.md"]
        )
    assert "| 7 | integrity check failed |" in pages["exit-statuses.md"]
    assert "| `frs` |" in pages["imports.md"]
    assert (
        "| Freeze | WAITING_FOR_FREEZE | WAITING_FOR_THAW / FAILED_AT_FREEZE" in pages["states.md"]
    )
    assert "| snapshot | roll-forward | swap | a swap needs a snapclone" in pages["states.md"]
    for page in pages.values():
        for link in re.findall(r"generated/([\w-]+\.md)", page):
            assert link in pages


def test_generated_pages_that_are_linked_are_made():
    """Each ``generated/...`` link names a page that the tables make."""
    made = {"errors", "exit-statuses", "imports", "reference", "rules-held", "states"}
    for page in PAGES:
        for name in re.findall(r"generated/([\w-]+)", page.read_text(encoding="utf-8")):
            assert name in made, f"{page.name}: {name}"


# --- the contracts of the seams ---------------------------------------------------------------------------


def methods(protocol):
    """Public methods and properties that a protocol itself defines."""
    for name, value in vars(protocol).items():
        function = value.fget if isinstance(value, property) else value
        public = not name.startswith("_") or (name == "__enter__" and function.__doc__)
        if public and inspect.isfunction(function):
            yield name, function


SEAMS = [
    name for name in protocols.__all__ if getattr(getattr(protocols, name), "_is_protocol", False)
]


@pytest.mark.parametrize("name", SEAMS)
def test_every_seam_has_a_contract(name):
    """Each protocol, and each of its methods, says in sentences what it promises."""
    protocol = getattr(protocols, name)
    assert len(inspect.getdoc(protocol)) > 20
    found = dict(methods(protocol))
    assert found
    for method, function in found.items():
        text = inspect.getdoc(function) or ""
        assert len(text) > 10, f"{name}.{method}"
        assert "." in text, f"{name}.{method}"


def documented_errors():
    """Names in the Raises sections of seams, requestor, site and lab, with the place."""
    places = [getattr(protocols, name) for name in protocols.__all__]
    places += [frskit.FastRecovery, frskit.Site, frskit.Lab]
    functions = [
        (f"{kind.__name__}.{name}", function) for kind in places for name, function in methods(kind)
    ]
    functions += [(each.__name__, each) for each in (frskit.lab, frskit.open_site, frskit.compose)]
    for place, function in functions:
        _, _, raises = (inspect.getdoc(function) or "").partition("Raises:\n")
        for names in re.findall(r"^    ([A-Z]\w+(?:, [A-Z]\w+)*):", raises, re.MULTILINE):
            for name in names.split(", "):
                yield place, name


def test_documented_errors_exist():
    """Every error that a contract names is a class of the tree."""
    found = list(documented_errors())
    assert len(found) > 60
    for place, name in found:
        assert issubclass(getattr(errors, name), FrskitError), place
