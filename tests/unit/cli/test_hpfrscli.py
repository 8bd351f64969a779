"""`hpfrscli`: the guide's two command forms, frskit's own third, and nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from frskit.cli.hpfrscli import USAGE, parse, run
from frskit.errors import UsageError
from frskit.events import Event
from frskit.model.copies import CopyLife

ACCEPTED = {
    "addcopy /exchange /server=evs1 /sg=sg1": ("addcopy", {"server": "evs1", "sg": "sg1"}),
    "listcopy /exchange /server=evs1 /sg=sg1": ("listcopy", {"server": "evs1", "sg": "sg1"}),
    "listcopy /exchange /server=evs1": ("listcopy", {"server": "evs1"}),
    "delcopy /exchange /copy=9750b023": ("delcopy", {"copy": "9750b023"}),
    "delcopy /exchange /server=evs1 /sg=sg1 /copy=97": (
        "delcopy",
        {"server": "evs1", "sg": "sg1", "copy": "97"},
    ),
    "ADDCOPY /EXCHANGE /SERVER=EVS1 /SG=sg1": ("addcopy", {"server": "EVS1", "sg": "sg1"}),
    "addcopy /sg=sg1 /server=evs1 /exchange": ("addcopy", {"server": "evs1", "sg": "sg1"}),
    "addcopy /exchange /server=evs1 /sg=sg1,sg2": ("addcopy", {"server": "evs1", "sg": "sg1,sg2"}),
    'addcopy /exchange /server="evs1" /sg="sg1"': ("addcopy", {"server": "evs1", "sg": "sg1"}),
    "addcopy /exchange /server=evs1 /sg=a=b": ("addcopy", {"server": "evs1", "sg": "a=b"}),
}

REJECTED = {
    "": "name a command",
    "/exchange": "name a command",
    "recover /exchange": "name a command",
    "deletecopy /exchange /copy=x": "name a command",
    "addcopy": "/exchange",
    "addcopy /server=evs1 /sg=sg1": "/exchange",
    "addcopy /exchange /exchange /server=evs1 /sg=sg1": "once",
    "addcopy /exchange=yes /server=evs1 /sg=sg1": "/exchange=yes",
    "addcopy /exchange /sg=sg1": "missing: /server=",
    "addcopy /exchange /server=evs1": "missing: /sg=",
    "addcopy /exchange /server= /sg=sg1": "/server=",
    "addcopy /exchange /server /sg=sg1": "/server",
    "addcopy /exchange /server=a /server=b /sg=sg1": "/server=b",
    "addcopy /exchange /server=evs1 /sg=sg1 /kind=snapshot": "/kind=snapshot",
    "addcopy /exchange /server=evs1 /sg=sg1 /copy=1": "/copy=1",
    "addcopy /exchange server=evs1 /sg=sg1": "server=evs1",
    "addcopy /exchange -server=evs1 /sg=sg1": "-server=evs1",
    "addcopy /exchange /server=evs1 /sg=sg1 sg2": "sg2",
    "listcopy /exchange": "missing: /server=",
    "delcopy /exchange /server=evs1 /sg=sg1": "missing: /copy=",
}


@pytest.mark.parametrize("line", ACCEPTED)
def test_grammar_accepts(line):
    """The forms of the guide, in any case and order of switches."""
    assert parse(line.split()) == ACCEPTED[line]


@pytest.mark.rule("FRS-20")
@pytest.mark.parametrize("line", REJECTED)
def test_grammar_rejects_and_names_what_is_wrong(line, capsys):
    """Anything else is wrong usage, exit 2, and the message names the parameter."""
    with pytest.raises(UsageError):
        parse(line.split())
    assert run(line.split()) == 2
    out = capsys.readouterr()
    assert out.out == ""
    assert REJECTED[line] in out.err
    assert "hpfrscli /?" in out.err


@pytest.mark.parametrize("flag", ["/?", "/help", "--help", "-h"])
def test_help_shows_the_forms(flag, capsys):
    """Help works with and without a command, needs no site and ends with 0."""
    assert run([flag]) == 0
    assert run(["addcopy", flag]) == 0
    assert capsys.readouterr().out == USAGE * 2


def test_without_a_site_the_error_says_which_variable(monkeypatch, capsys):
    """A right command without a site is wrong usage, with the way out."""
    monkeypatch.delenv("FRSKIT_SITE", raising=False)
    assert run(["listcopy", "/exchange", "/server=evs1"]) == 2
    assert "FRSKIT_SITE" in capsys.readouterr().err


def test_it_works_without_click_and_rich():
    """The command needs no extras: click and rich are not even looked for."""
    code = (
        "import sys\n"
        "class No:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('click', 'rich'): raise ImportError(name)\n"
        "sys.meta_path.insert(0, No())\n"
        "from frskit.cli.hpfrscli import run\n"
        "sys.exit(run(['/?']))\n"
    )
    argv = [sys.executable, "-c", code]
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, USAGE, "")


@pytest.mark.rule("FRS-17", "FRS-18", "FRS-19")
def test_add_list_and_delete(site, capsys):
    """The life of a copy through the guide's forms; deleting twice is exit 3."""
    assert run(["addcopy", "/exchange", "/server=evs1", "/sg=sg1"]) == 0
    (copy,) = site.frs.copies()
    assert copy.recoverable
    assert capsys.readouterr().out.startswith(f"copy {copy.id} of sg1 on evs1: verified, ")
    assert run(["listcopy", "/exchange", "/server=evs1", "/sg=sg1"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split() for line in listed] == [
        [
            copy.id,
            *f"{copy.created_at:%Y-%m-%d %H:%M:%S}".split(),
            "sg1",
            "snapclone",
            "verified",
            "parked",
        ]
    ]
    assert run(["listcopy", "/exchange", "/server=evs1", "/sg=sg2"]) == 0
    assert capsys.readouterr().out == "no copies\n"
    delete = ["delcopy", "/exchange", f"/copy={copy.id}"]
    assert run(delete) == 0
    assert site.frs.copies() == ()
    members = {member.storage for member in copy.members}
    assert not {each.id for each in site.eva.storage()} & members
    assert run(delete) == 3


@pytest.mark.rule("FRS-01")
def test_several_groups_are_one_set(site, capsys):
    """``/sg=a,b`` makes one copy with one member for each LUN of both groups."""
    assert run(["addcopy", "/exchange", "/server=evs1", "/sg=sg1,sg2"]) == 0
    (copy,) = site.frs.copies()
    assert copy.components == ("sg1", "sg2")
    sources = {
        storage for volume in site.parties.production.volumes() for storage in volume.storages
    }
    assert {member.source for member in copy.members} == sources
    assert len(copy.members) == 6
    assert {each.key for each in site.eva.copies()} == {copy.id}


@pytest.mark.rule("FRS-20")
@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("addcopy /exchange /server=nobody /sg=sg1", 3),
        ("addcopy /exchange /server=evs1 /sg=sg9", 3),
        ("addcopy /exchange /server=evs1 /sg=,", 2),
        ("listcopy /exchange /server=nobody", 3),
        ("delcopy /exchange /copy=12345678", 3),
    ],
)
def test_unknown_names_are_not_found(site, line, status, capsys):
    """Names nobody knows are exit 3, with a hint and without a traceback."""
    assert run(line.split()) == status
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "\nhint: " in error
    assert "Traceback" not in error


@pytest.mark.rule("FRS-08", "FRS-20")
def test_a_damaged_page_is_exit_seven(site, capsys):
    """The checker's verdict reaches the exit status; the copy stays listed as corrupt."""
    site.damage_database("evs1", "sg1", page=5)
    assert run(["addcopy", "/exchange", "/server=evs1", "/sg=sg1"]) == 7
    assert "mbx-sg1.edb" in capsys.readouterr().err
    assert run(["listcopy", "/exchange", "/server=evs1"]) == 0
    assert "  corrupt  failed" in capsys.readouterr().out


def test_ctrl_c_is_exit_twelve_and_names_resume(site, capsys):
    """An interruption leaves a hint how to go on."""

    def interrupt(event: Event) -> None:
        if getattr(event, "stage", "") == "imported":
            raise KeyboardInterrupt

    site.frs.subscribe(type("Sink", (), {"emit": staticmethod(interrupt)})())
    assert run(["addcopy", "/exchange", "/server=evs1", "/sg=sg1"]) == 12
    assert "frskit resume" in capsys.readouterr().err
    (copy,) = site.frs.copies()
    assert copy.life is CopyLife.FAILED
    assert not site.eva.copies()
