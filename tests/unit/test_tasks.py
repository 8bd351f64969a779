"""The task runner does what the scripts do: sessions of noxfile.py against .ci/run and .ci/deep."""

from __future__ import annotations

import importlib.util
import re
import sys
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(
    not (ROOT / "noxfile.py").is_file() or not (ROOT / ".ci" / "run").is_file(),
    reason="only in a checkout",
)
TOOL = re.compile(
    r"(?:^|&& |required |deep )((?:ruff|mypy|pyright|sphinx-build|python -m pytest)\b[^|)\n]*?)\s*"
    r"(?=\||\)|\n|$)",
    re.MULTILINE,
)


class Recorder:
    """A session that only remembers what it was asked to run, and with which variables."""

    posargs = ()

    def __init__(self):
        self.commands = []
        self.variables = {}
        self.installed = set()

    def install(self, *words):
        self.installed |= {words[at + 1] for at, word in enumerate(words) if word == "--group"}

    def run(self, *words, env=None, **_):
        self.commands.append(" ".join(words))
        self.variables.update(env or {})

    def create_tmp(self):
        return "$work"

    def chdir(self, _):
        return nullcontext()


@pytest.fixture
def noxfile(monkeypatch):
    """The task file, on a stand-in for nox: nox itself need not be installed."""
    nox = ModuleType("nox")
    nox.made = []

    def session(function):
        nox.made.append(function.__name__)
        return function

    nox.session = session
    nox.parametrize = lambda *_: lambda function: function
    nox.options = SimpleNamespace()
    nox.Session = Recorder
    monkeypatch.setitem(sys.modules, "nox", nox)
    spec = importlib.util.spec_from_file_location("frskit_noxfile", ROOT / "noxfile.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def steps(name="run"):
    """By title, up to where it is put together from variables: the text of a script's step."""
    text = (ROOT / ".ci" / name).read_text(encoding="utf-8")
    found = re.split(r'^step "([^"]*?)(?: \([^"]*)?"\n', text, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def tools(body):
    """The command lines of tools in the text of a step."""
    return TOOL.findall(body.replace('"$bin/', "").replace('"$python"', "python").replace('"', ""))


def recorded(noxfile, name, *arguments):
    """What a session runs."""
    session = Recorder()
    getattr(noxfile, name)(session, *arguments)
    return session


def test_every_step_is_a_session(noxfile):
    """What .ci/run does has a session, but for its own setting up; and no session is invented."""
    own = {"system", "environment for the rest", "done"}
    assert set(noxfile.STEPS.values()) == set(steps()) - own
    assert set(noxfile.STEPS) | {"deep", "bench", "fuzz"} == set(noxfile.nox.made)
    assert set(noxfile.nox.options.sessions) <= set(noxfile.STEPS)


@pytest.mark.parametrize("name", ["lint", "types", "docs", "oracles"])
def test_a_session_runs_the_commands_of_its_step(noxfile, name):
    """The same tools with the same options, in the same order."""
    commands = tools(steps()[noxfile.STEPS[name]])
    assert commands
    assert recorded(noxfile, name).commands == commands


def test_sessions_set_the_variables_of_the_scripts(noxfile):
    """What must not be skipped silently is asked for, what is deep is deep."""
    for session in ("oracles", "docs"):
        found = recorded(noxfile, session)
        (line,) = [
            each for each in steps()[noxfile.STEPS[session]].splitlines() if "pytest" in each
        ]
        assert [f"{name}={value}" for name, value in found.variables.items()] == re.findall(
            r"FRSKIT_\w+=\w+", line
        )
    deep = recorded(noxfile, "deep")
    text = (ROOT / ".ci" / "deep").read_text(encoding="utf-8")
    assert deep.variables == {"HYPOTHESIS_PROFILE": "deep"}
    assert tools(text) == deep.commands


def test_tests_and_demo_are_the_commands_of_the_readme(noxfile):
    """They end as the README's lines end, and install what these install."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, command in (("tests", "test"), ("demo", "demo")):
        line = re.search(rf"<!-- command: {command} -->\n```sh\n(.*?)\n```", text).group(1)
        session = recorded(noxfile, name)
        assert session.commands == [line.rsplit(".venv/bin/", 1)[1]]
        assert session.installed == set(re.findall(r"--group (\w+)", line))


def test_other_pythons_are_asked_for_as_the_script_does(noxfile):
    """By the same script, with the same options."""
    (command,) = recorded(noxfile, "python", "3.13").commands
    shown = steps()[noxfile.STEPS["python"]].replace('"', "")
    assert command.removeprefix("bash ") in shown


def test_the_script_of_the_wheel_is_found(noxfile):
    """The session runs the very text of the step, and that is Python."""
    code = noxfile.script("wheel")
    compile(code, ".ci/run", "exec")
    assert code.startswith("import importlib.resources, frskit")
    assert code in steps()[noxfile.STEPS["wheel"]]


def test_every_benchmark_and_fuzz_target_is_run(noxfile, monkeypatch):
    """A new one cannot be forgotten: the session looks for them where the script does."""
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: None)
    for name, pattern in (("bench", "benchmarks/bench_*.py"), ("fuzz", "fuzz/fuzz_*.py")):
        shown = " ".join(recorded(noxfile, name).commands)
        files = sorted((ROOT / "tests").glob(pattern))
        assert files
        assert all(f"python tests/{path.parent.name}/{path.name}" in shown for path in files)


def test_hooks_are_local():
    """Nothing is fetched from anywhere, and the tools are those of the sessions."""
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert re.findall(r"^\s*- repo: (\S+)", text, re.MULTILINE) == ["local"]
    assert re.findall(r"entry: (\w+ \w+)", text) == ["ruff check", "ruff format", "mypy frskit"]
    assert "rev:" not in text
