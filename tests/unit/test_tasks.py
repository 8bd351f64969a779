"""The task runner does what the scripts do: sessions of noxfile.py against .ci/run and .ci/deep."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
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
    r"(?:^|&& |required )((?:ruff|mypy|pyright|sphinx-build|python -m pytest)\b[^|)\n]*?)\s*"
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
    return loaded("noxfile.py")


@pytest.fixture
def parts():
    """What .ci/deep runs."""
    return loaded(".ci/deep_parts.py")


@pytest.fixture
def gates():
    """What judges the coverage."""
    return loaded(".ci/coverage_gates.py")


def loaded(path):
    """A script of the checkout as a module."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def steps():
    """By title, up to where it is put together from variables: the text of a step of .ci/run."""
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
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
    assert set(noxfile.STEPS) | {"deep"} == set(noxfile.nox.made)
    assert set(noxfile.nox.options.sessions) <= set(noxfile.STEPS)


@pytest.mark.parametrize("name", ["lint", "types", "docs", "oracles"])
def test_a_session_runs_the_commands_of_its_step(noxfile, name):
    """The same tools with the same options, in the same order."""
    commands = tools(steps()[noxfile.STEPS[name]])
    assert commands
    assert recorded(noxfile, name).commands == commands


def test_sessions_set_the_variables_of_the_scripts(noxfile):
    """What must not be skipped silently is asked for."""
    for session in ("oracles", "docs"):
        found = recorded(noxfile, session)
        (line,) = [
            each for each in steps()[noxfile.STEPS[session]].splitlines() if "pytest" in each
        ]
        assert [f"{name}={value}" for name, value in found.variables.items()] == re.findall(
            r"FRSKIT_\w+=\w+", line
        )


def test_tests_and_demo_are_the_commands_of_the_readme(noxfile):
    """They end as the README's lines end, and install what these install."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, command in (("tests", "test"), ("demo", "demo")):
        line = re.search(rf"<!-- command: {command} -->\n```sh\n(.*?)\n```", text).group(1)
        session = recorded(noxfile, name)
        assert session.commands == [line.rsplit(".venv/bin/", 1)[1]]
        assert session.installed == set(re.findall(r"--group (\w+)", line))


def test_coverage_is_switched_on_from_outside_the_readmes_command(noxfile):
    """Script and session set the same variables, and judge what was measured by the same script."""
    session = recorded(noxfile, "coverage")
    assert session.commands == ["pytest -n auto", "python .ci/coverage_gates.py"]
    assert session.variables.keys() == {"COVERAGE_FILE", "COVERAGE_PROCESS_START"}
    shown = steps()
    assert all(f"{name}=" in shown[noxfile.STEPS["tests"]] for name in session.variables)
    assert ".venv/bin/python .ci/coverage_gates.py" in shown[noxfile.STEPS["coverage"]]


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


@pytest.mark.parametrize(
    ("branches", "said"),
    [
        ({"frs": 98, "ese": 100}, []),
        ({"frs": 97, "ese": 100}, ["frs, branches: 97.00 is below 98.00"]),
        ({"frs": 98, "ese": 20}, ["frskit, all: 79.50 is below 97.50"]),
        ({"ese": 100}, ["frs: nothing was measured"]),
        ({}, ["frskit: nothing was measured", "frs: nothing was measured"]),
    ],
)
def test_a_gate_that_does_not_hold_is_named(gates, branches, said):
    """Too little of one wing, of everything, or nothing at all."""
    files = {
        f"frskit/{wing}/{name}.py": gates.Figures(50, 50, 50, run // 2 + (run % 2) * half)
        for wing, run in branches.items()
        for half, name in enumerate(("a", "b"))
    }
    wings = gates.by_wing(files)
    assert list(gates.failures(wings)) == said
    assert len(list(gates.table(wings))) == len(branches) + 2


def test_figures_are_those_of_the_report(gates, tmp_path, monkeypatch, capsys):
    """As coverage writes them, for every file; the table has a line for each wing."""
    summary = {"num_statements": 4, "covered_lines": 3, "num_branches": 2, "covered_branches": 1}
    files = {name: {"summary": summary} for name in ("frskit/errors.py", "frskit/frs/a/b.py")}
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"files": files}), encoding="utf-8")
    found = gates.figures_of(report)
    assert found == dict.fromkeys(files, (4, 3, 2, 1))
    monkeypatch.setattr(gates, "measured", lambda: found)
    monkeypatch.setattr(gates.os, "chdir", lambda _: None)
    assert gates.main() == 1
    told = capsys.readouterr()
    assert [line.split() for line in told.out.splitlines()] == [
        ["wing", "lines", "branches", "all"],
        ["(top)", "75.00", "50.00", "66.67"],
        ["frs", "75.00", "50.00", "66.67"],
        ["frskit", "75.00", "50.00", "66.67"],
    ]
    assert "frs, branches: 50.00 is below 98.00" in told.err


def test_every_part_of_deep_is_a_session(noxfile, parts):
    """The script runs it; both pages and the help know each part."""
    assert noxfile.PARTS == parts.PARTS
    for part in parts.PARTS:
        assert recorded(noxfile, "deep", part).commands == [f"bash .ci/deep {part}"]
    for page in ("CONTRIBUTING.md", "docs/testing.md"):
        rows = re.findall(
            r"^\| `(\w+)` \|", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE
        )
        assert tuple(rows[: len(parts.PARTS)]) == parts.PARTS, page
    assert set(parts.PARTS) == {*parts.MARKED, *parts.SPECIAL}


COLLECT = """
import json, sys, pytest
class Seen:
    def pytest_collection_finish(self, session):
        marks = [sorted({mark.name for mark in item.iter_markers()}) for item in session.items]
        with open(sys.argv[1], "w", encoding="utf-8") as file:
            json.dump(marks, file)
sys.exit(pytest.main(["--collect-only", "-qq", "tests"], plugins=[Seen()]))
"""


def test_every_part_selects_tests_and_every_mark_is_used(parts, tmp_path):
    """No part runs empty, no mark is forgotten; the parts take every history and property."""
    found = tmp_path / "marks.json"
    words = [sys.executable, "-c", COLLECT, str(found)]
    run = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-2000:]
    items = [set(each) for each in json.loads(found.read_text(encoding="utf-8"))]
    selected = {}
    for part, (marks, without, _) in parts.MARKED.items():
        selected[part] = [each for each in items if each & {*marks} and not each & {*without}]
        assert selected[part], part
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    options = tomllib.loads(text)["tool"]["pytest"]["ini_options"]
    for name in (line.split(":")[0] for line in options["markers"]):
        assert any(name in each for each in items), name
    taken = [each for chosen in selected.values() for each in chosen]
    for each in items:
        assert each in taken or not each & {"hypothesis", "histories"}, each


def test_marks_become_the_expression_of_pytest(parts):
    """Any of the marks, and none of the others."""
    assert parts.Selection(("a", "b"), ("c", "d")).expression == "(a or b) and not (c or d)"
    assert parts.Selection(("a",)).expression == "(a)"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["crash", "craash"], "no such part: craash; there are: all crash faults"),
        (["fuzz", "--fuzz-seconds", "0"], "1 or more"),
    ],
)
def test_what_deep_does_not_know_is_refused(words, complaint):
    """A clear message and status 2, before anything is made."""
    run = subprocess.run(
        ["bash", str(ROOT / ".ci" / "deep"), *words], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (2, "")
    assert complaint in " ".join(run.stderr.split())


def test_all_parts_is_what_deep_does_by_itself(parts):
    """Without a name, or with `all` among them."""
    assert parts.asked([]).parts == parts.asked(["fuzz", "all"]).parts == parts.PARTS
    assert parts.asked(["fuzz", "crash"]).parts == ["fuzz", "crash"]


REPORT = '<testsuites><testsuite tests="9" skipped="2" failures="{}" errors="0"/></testsuites>'


@pytest.mark.parametrize(
    ("status", "failures", "line"),
    [
        (0, 0, "crash: 7 done, 0 failed"),
        (1, 3, "crash: 4 done, 3 failed"),
        (3, 0, "crash: 7 done, 1 failed"),
        (5, None, "crash: 0 done, 1 failed"),
    ],
)
def test_a_part_ends_with_one_line(parts, tmp_path, monkeypatch, capfd, status, failures, line):
    """It counts what the tests' report says; a status without a failed test is one failure."""

    def run(part, *words, **variables):
        (report,) = [each.partition("=")[2] for each in words if each.startswith("--junit-xml")]
        assert variables == {"HYPOTHESIS_PROFILE": "deep"}
        if failures is not None:
            Path(report).write_text(REPORT.format(failures), encoding="utf-8")
        return status

    monkeypatch.setattr(parts.Part, "run", run)
    assert parts.run_part("crash", tmp_path, 1) is (status == 0)
    assert re.fullmatch(rf"\n=== crash\n{line}, \d+\n", capfd.readouterr().out)


def test_a_failed_script_does_not_stop_the_others(parts, tmp_path, monkeypatch, capfd):
    """Each benchmark is run, and counted as done or as failed."""
    ran = []

    def run(part, *words, **_):
        ran.append(words[-1])
        return len(ran) == 2

    monkeypatch.setattr(parts.Part, "run", run)
    assert not parts.run_part("bench", tmp_path, 1)
    files = sorted(path.name for path in (ROOT / "tests" / "benchmarks").glob("bench_*.py"))
    assert [Path(each).name for each in ran] == files
    assert f"bench: {len(files) - 1} done, 1 failed, " in capfd.readouterr().out


def test_every_fuzz_target_is_run_for_the_seconds(parts, tmp_path, monkeypatch):
    """A new target cannot be forgotten."""
    ran = []
    monkeypatch.setattr(parts.Part, "run", lambda part, *words, **_: ran.append(words) or 0)
    assert parts.run_part("fuzz", tmp_path, 77)
    assert ran[0][1:] == ("-m", "pip", "install", "-q", "atheris")
    targets = sorted(path.name for path in (ROOT / "tests" / "fuzz").glob("fuzz_*.py"))
    assert [Path(words[1]).name for words in ran[1:]] == targets
    assert all("-max_total_time=77" in words for words in ran[1:])


def test_what_overruns_its_part_is_killed(parts, tmp_path, monkeypatch, capfd):
    """With what it started; a part ends whatever its tests do."""
    monkeypatch.setattr(parts, "PART_SECONDS", 0)
    assert parts.Part(tmp_path, 1).run("sh", "-c", "sleep 600 & wait") < 0
    assert "not ended in time: sh" in capfd.readouterr().err


def test_hooks_are_local():
    """Nothing is fetched from anywhere, and the tools are those of the sessions."""
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert re.findall(r"^\s*- repo: (\S+)", text, re.MULTILINE) == ["local"]
    assert re.findall(r"entry: (\w+ \w+)", text) == ["ruff check", "ruff format", "mypy frskit"]
    assert "rev:" not in text
