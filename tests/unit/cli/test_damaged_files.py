"""Each state file of a lab damaged in each way: a typed error, or the rest as it was.

Never a traceback and never status 1, which would be a defect of frskit.
"""

from __future__ import annotations

import json
import random
import shutil
import sqlite3

import pytest

import frskit
from frskit import BackupType
from frskit.errors import ConfigurationError, FrskitError

HOW = {
    "deleted": None,
    "emptied": lambda raw: b"",
    "garbage": lambda raw: random.Random(1).randbytes(4096),
    "cut in half": lambda raw: raw[: len(raw) // 2],
    "one byte": lambda raw: raw[: len(raw) // 3] + b"\xff" + raw[len(raw) // 3 + 1 :],
}
JOURNAL = "state/journal/*"
FILES = ("site.toml", "lab.json", "time", "services.sqlite", "state/catalog.sqlite", JOURNAL)
REFUSED = {"site.toml": 2, "lab.json": 2, "time": 2, "services.sqlite": 2}
"""Status of every command, whatever happened to the file; the others are told below."""


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A durable lab with two copies, and their ids; to be copied."""
    place = tmp_path_factory.mktemp("damaged") / "lab"
    with frskit.lab(place, seed=3) as site:
        site.deliver("evs1", "sg1", messages=10)
        first = site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
        site.advance(100.0)
        second = site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
    return place, (first.id, second.id)


@pytest.fixture
def place(base, tmp_path, monkeypatch):
    """A lab of its own, named by the environment."""
    shutil.copytree(base[0], tmp_path / "lab")
    monkeypatch.setenv("FRSKIT_SITE", str(tmp_path / "lab"))
    return tmp_path / "lab"


def damage(place, name, how):
    """Do it to the first file of that name; its path."""
    file = min(place.glob(name))
    if HOW[how] is None:
        file.unlink()
    else:
        file.write_bytes(HOW[how](file.read_bytes()))
    return file


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "command", ["tree", "copy list", "resume", "journal show", "copy add evs1 sg1"]
)
def test_no_command_ends_with_a_defect(frs, place, name, how, command):
    """Every file, every damage, every command."""
    file = damage(place, name, how)
    done = frs(*command.split())
    said = done.out + done.err
    assert done.status in (0, 2, 11, 14), said
    assert "Traceback" not in said
    assert "unexpected" not in said
    undetected = (name, how) == ("services.sqlite", "one byte")
    if name in REFUSED and not undetected:
        assert done.status == REFUSED[name], said
        assert str(file) in said
        assert "hint: " in said


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", FILES)
def test_the_library_raises_typed_errors(base, place, name, how):
    """Also whoever opens the site in a program."""
    damage(place, name, how)
    try:
        with frskit.open_site(place) as site:
            ids = {each.id for each in site.frs.copies()}
            lost = {each.id for each in site.frs.unrecorded_copies()}
            bad = {each.id for each in site.frs.damaged_records()}
    except FrskitError as error:
        assert error.hint
        assert error.exit_status in (2, 11)
    else:
        # Each copy is shown, or named as damaged or as lost.
        assert ids | lost | bad == set(base[1])


@pytest.mark.parametrize("how", HOW)
def test_a_damaged_journal_leaves_all_copies(frs, place, base, how):
    """Its operation was over; the record says so."""
    damage(place, JOURNAL, how)
    listed = json.loads(frs("--json", "copy", "list").out)
    assert {each["id"] for each in listed["copies"]} == set(base[1])
    assert frs("recover", base[1][1], "--mode", "point-in-time").status == 0


@pytest.mark.parametrize("how", ["deleted", "emptied"])
def test_a_lost_catalog_is_loud(frs, place, base, how):
    """The array is full of copies of which there is no record."""
    damage(place, "state/catalog.sqlite", how)
    listed = frs("copy", "list")
    assert listed.status == 11
    for copy in base[1]:
        assert copy in listed.err
    tree = frs("tree")
    assert (tree.status, "mailbox-sg1" in tree.out) == (0, True)
    assert all(copy in tree.err for copy in base[1])
    document = json.loads(frs("--json", "tree").out)
    assert {each["id"] for each in document["unrecorded"]} == set(base[1])
    resumed = frs("resume")
    assert resumed.status == 14
    assert all(copy in resumed.out for copy in base[1])
    assert "try: " in resumed.out


def test_a_catalog_from_a_time_before_the_last_copy(frs, place, base):
    """One copy is on record, the other one is not: `tree` asks the array."""
    first, second = base[1]
    db = sqlite3.connect(place / "state" / "catalog.sqlite")
    with db:
        db.execute("DELETE FROM copies WHERE id=?", (second,))
        db.execute("DELETE FROM copy_components WHERE id=?", (second,))
    db.close()
    tree = frs("tree")
    assert (tree.status, second in tree.err, first in tree.err) == (0, True, False)
    assert first[:8] in tree.out
    assert frs("copy", "list").status == 0


def spoil(place, *copies):
    """Make these records unreadable."""
    db = sqlite3.connect(place / "state" / "catalog.sqlite")
    with db:
        for copy in copies:
            db.execute("UPDATE copies SET record='garbage' WHERE id=?", (copy,))
    db.close()


def test_a_damaged_record_is_listed_as_such(frs, place, base):
    """One line, with what is wrong and the way out; the good one is shown, status 0."""
    first, second = base[1]
    spoil(place, first)
    listed = frs("copy", "list")
    assert listed.status == 0
    assert second[:8] in listed.out
    (line,) = listed.err.splitlines()
    assert line.startswith("warning: damaged: the record of copy ")
    assert first in line
    assert str(place / "state" / "catalog.sqlite") in line
    assert "restore the catalog" in line
    document = json.loads(frs("--json", "copy", "list").out)
    assert [each["id"] for each in document["copies"]] == [second]
    assert [each["id"] for each in document["damaged"]] == [first]
    assert first in frs("tree").err
    resumed = frs("resume")
    assert (resumed.status, first in resumed.out) == (14, True)
    assert frs("copy", "show", first).status == 11
    assert frs("copy", "show", second).status == 0
    assert frs("copy", "rm", first).status == 11
    assert frs("recover", second, "--mode", "point-in-time").status == 0
    assert frs("copy", "rm", second).status in (0, 10)


def test_nothing_but_damaged_records_is_a_failure(frs, place, base):
    """A script must not take it for an empty catalog."""
    spoil(place, *base[1])
    listed = frs("copy", "list")
    assert listed.status == 11
    assert all(copy in listed.err for copy in base[1])
    assert "no copies that can be shown" in listed.out


def test_the_other_command_line_says_the_same(place, base, capsys):
    """`hpfrscli listcopy`."""
    from frskit.cli.hpfrscli import run

    arguments = ["listcopy", "/exchange", "/server=evs1"]
    spoil(place, base[1][0])
    assert run(arguments) == 0
    out = capsys.readouterr()
    assert base[1][1] in out.out
    assert base[1][0] in out.err
    spoil(place, *base[1])
    assert run(arguments) == 11


def test_the_journal_names_a_damaged_line(frs, place):
    """`journal show` shows the rest."""
    file = min(place.glob(JOURNAL))
    lines = file.read_bytes().split(b"\n")
    lines[2] = b"\xffgarbage"
    file.write_bytes(b"\n".join(lines))
    shown = frs("journal", "show")
    assert shown.status == 0
    assert f"line 3 of {file} cannot be read" in shown.err


# --- the lab's clock ---------------------------------------------------------------------


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "3.2e11", "1e400", "", "x", "5.0"])
def test_a_time_that_cannot_be(place, text):
    """Neither absurd ones, nor one that lies before what the clock has shown."""
    (place / "time").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        frskit.open_site(place)
    assert str(place / "time") in str(caught.value)
    assert "seconds" in caught.value.hint


def test_a_time_that_is_gone_can_be_put_back(place):
    """The hint says what to write; copies stay in their order."""
    seconds = float((place / "time").read_text())
    (place / "time").unlink()
    with pytest.raises(ConfigurationError) as caught:
        frskit.open_site(place)
    assert repr(seconds) in caught.value.hint
    (place / "time").write_text(repr(seconds))
    with frskit.open_site(place) as site:
        assert site.clock.monotonic() >= seconds
        made = site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
        assert site.frs.copies()[0].id == made.id


def test_a_lab_is_made_with_its_time(tmp_path):
    """So that one that is gone is noticed, even if no time has passed."""
    place = tmp_path / "new"
    frskit.lab(place).close()
    assert (place / "time").exists()
    (place / "time").unlink()
    with pytest.raises(ConfigurationError):
        frskit.open_site(place)


def test_a_lab_of_before_without_the_seconds(place):
    """Labs of 0.1.0 did not keep them in two places."""
    file = place / "lab.json"
    plain = json.loads(file.read_text())
    del plain["elapsed_s"]
    file.write_text(json.dumps(plain))
    with frskit.open_site(place) as site:
        assert site.frs.copies()


def test_the_services_memory_is_read_with_care(place):
    """What SQLite finds only when it reads is typed as well."""
    from frskit.simulation.keeping import ServiceMemory

    memory = ServiceMemory(place / "services.sqlite", "evs1")
    try:
        with memory._db as db:
            db.execute("INSERT INTO memory_evs1 VALUES (CAST(x'ff' AS TEXT), 'text')")
        with pytest.raises(ConfigurationError, match=r"services\.sqlite"):
            list(memory)
    finally:
        memory.close()
