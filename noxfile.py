"""The steps of ``.ci/run`` and ``.ci/deep`` one by one, each in an environment of its own.

``nox`` runs the sessions that must pass before a change lands, ``nox -s lint`` one of them,
``nox --list`` names all. What follows ``--`` goes to pytest, or to ``.ci/deep``. A test holds the
sessions against the two scripts.
"""

from __future__ import annotations

from pathlib import Path

import nox

ROOT = Path(__file__).parent
STEPS = {
    "demo": "README: the demo, from a fresh clone",
    "tests": "README: the tests, from the same clone",
    "coverage": "coverage of that run, in all its processes",
    "wheel": "wheel: only what belongs into it, in an environment of its own",
    "lint": "lint and format",
    "types": "types",
    "docs": "docs",
    "oracles": "tests that independent readers and executors judge as well",
    "python": "another Python",
}
"""By session: the step of ``.ci/run`` that it stands for."""

PARTS = ("crash", "faults", "histories", "breaks", "bench", "fuzz", "kits", "real", "pythons")
"""The parts of ``.ci/deep``."""

nox.options.sessions = ["lint", "types", "docs", "tests", "oracles", "wheel"]
nox.options.error_on_missing_interpreters = True


def install(session: nox.Session, *groups: str, extras: str = "[cli,testing]") -> None:
    """This checkout, not editable, with dependency groups; old pips know no groups."""
    session.install("-q", "-U", "pip")
    options = [word for group in groups for word in ("--group", group)]
    session.install("-q", f".{extras}", *options)


def script(step: str) -> str:
    """The Python that a step of ``.ci/run`` feeds to an interpreter, so that it exists once."""
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    body = text.split(f'step "{step}', 1)[1].split("\nstep ", 1)[0]
    return body.split("<<'PY'\n", 1)[1].split("\nPY\n", 1)[0]


@nox.session
def lint(session: nox.Session) -> None:
    """Rules and format."""
    session.install("-q", "-U", "pip")
    session.install("-q", "--group", "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", "-q", ".")


@nox.session
def types(session: nox.Session) -> None:
    """The package, the use of its public face, and whether every public name has types."""
    install(session, "test", "oracles", "typing")
    session.run("mypy", "frskit")
    session.run("mypy", "--strict", "tests/typing")
    with session.chdir(session.create_tmp()):  # so that the installed package is looked at
        session.run("pyright", "--verifytypes", "frskit", "--ignoreexternal")


@nox.session
def docs(session: nox.Session) -> None:
    """The pages, built once: a warning is an error, and so is a public name without an entry."""
    install(session, "test", "docs")
    required = {"FRSKIT_DOCS": "required"}
    session.run("python", "-m", "pytest", "-q", "tests/docs/test_reference.py", env=required)


@nox.session
def tests(session: nox.Session) -> None:
    """All tests, as the README runs them."""
    install(session, "test")
    session.run("pytest", "-n", "auto", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """All tests, measured in every process, and whether that is enough."""
    install(session, "test")
    place = Path(session.create_tmp()).resolve()
    where = {"COVERAGE_FILE": str(place / "coverage")}
    for old in place.glob("coverage*"):
        old.unlink()
    on = {**where, "COVERAGE_PROCESS_START": str(ROOT / "pyproject.toml")}
    session.run("pytest", "-n", "auto", *session.posargs, env=on)
    session.run("python", ".ci/coverage_gates.py", env=where)


@nox.session
def oracles(session: nox.Session) -> None:
    """Tests that independent readers and executors judge as well; needs a C compiler."""
    install(session, "test", "oracles")
    required = {"FRSKIT_ORACLES": "required"}
    command = ("python", "-m", "pytest", "-q", "-n", "auto", "-m", "oracle")
    session.run(*command, *session.posargs, env=required)


@nox.session
def demo(session: nox.Session) -> None:
    """One copy and two recoveries, with what a user installs."""
    install(session, extras="[cli]")
    session.run("frskit", "demo")


@nox.session
def wheel(session: nox.Session) -> None:
    """Only what belongs into the wheel is in it, and it works without extras."""
    work = Path(session.create_tmp()).resolve()
    for old in work.glob("dist/*.whl"):
        old.unlink()
    session.install("-q", "build")
    session.run("python", "-m", "build", "--wheel", "--outdir", str(work / "dist"), ".")
    (made,) = work.glob("dist/*.whl")
    session.run("python", "-m", "venv", "--clear", str(work / "bare"))
    bare = [*work.glob("bare/bin"), *work.glob("bare/Scripts")][0]
    with session.chdir(work):
        session.run(str(bare / "pip"), "install", "-q", str(made), external=True)
        session.run(str(bare / "python"), "-c", script("wheel"), external=True)
        # Without the extra the one command says what to install, the other needs none.
        session.run(str(bare / "frskit"), "--help", external=True, success_codes=[2])
        session.run(str(bare / "hpfrscli"), "/?", external=True)


@nox.session
@nox.parametrize("version", ["3.12", "3.13"])
def python(session: nox.Session, version: str) -> None:
    """All tests on another Python, looked for as ``.ci/other-python`` does."""
    environment = str(Path(session.create_tmp()) / f"env-{version}")
    options = ("-q", "-n", "auto", *session.posargs)
    session.run("bash", ".ci/other-python", version, environment, *options, external=True)


@nox.session
@nox.parametrize("part", PARTS)
def deep(session: nox.Session, part: str) -> None:
    """What takes longer, by part; ``-- --fuzz-seconds 600`` lets each target run longer."""
    session.run("bash", ".ci/deep", part, *session.posargs, external=True)
