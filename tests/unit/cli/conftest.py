"""A site that commands may open as often as they like, and commands as functions."""

from __future__ import annotations

import pytest

import frskit


class Borrowed:
    """A site of the test: entering gives it, leaving does not close it."""

    def __init__(self, site):
        self._site = site

    def __enter__(self):
        return self._site

    def __exit__(self, *_):
        return None


@pytest.fixture(autouse=True)
def no_width(monkeypatch):
    """Whoever runs the tests may have a width set; lines are whole unless a test sets one."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def lend(monkeypatch):
    """Function: let all commands of this test work on a site."""

    def lent(site):
        for module in ("frskit.cli.app", "frskit.cli.hpfrscli"):
            monkeypatch.setattr(f"{module}.opened", lambda *_, **__: Borrowed(site))
        return site

    return lent


@pytest.fixture
def site(lend):
    """A lab in memory with mail, lent to all commands."""
    with frskit.lab(groups=2, seed=5) as made:
        made.deliver("evs1", "sg1", messages=20)
        yield lend(made)


@pytest.fixture
def frs(capsys, ran_type):
    """Function: run `frskit` in this process."""
    from frskit.cli.app import run

    def ran(*arguments):
        capsys.readouterr()
        status = run([str(each) for each in arguments])
        out = capsys.readouterr()
        return ran_type(status, out.out, out.err)

    return ran
