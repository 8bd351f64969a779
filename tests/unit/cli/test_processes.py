"""The whole path through real processes: each command a fresh interpreter on one lab directory.

What a mode of recovery promises is counted in messages, and the rows are read by an independent
reader out of the recovered stores.
"""

from __future__ import annotations

import io
import re

import pytest

import frskit
from frskit import ese
from frskit.model.copies import CopyLife


def store_bytes(site, path):
    """A file of the production server, as bytes."""
    production = site.parties.production
    place = production.resolve(path)
    with production.files(place.volume).open(place.path) as file:
        return file.read_at(0, file.size_bytes)


def rows_by_another_reader(data):
    """Subjects and bodies of all messages, as dissect.esedb reads them."""
    dissect = pytest.importorskip("dissect.esedb")
    database = dissect.EseDB(io.BytesIO(data))
    (table,) = [each for each in database.tables() if each.name == "Messages"]
    return sorted(
        tuple(str(value) for value in record.as_dict().values()) for record in table.records()
    )


def count(rows):
    """Number of messages: bodies may take several rows, numbered in the second column."""
    return len({message for message, *_ in rows})


def recovered_rows(shell, path="M:\\exchsrvr\\sg1\\mbx-sg1.edb"):
    """The rows of a store after the lab was stopped cleanly, and what frskit says of its pages."""
    with frskit.lab(shell.place) as site:
        site.exchange.stop()
        data = store_bytes(site, path)
    report = ese.check_database(io.BytesIO(data))
    assert (report.verdict, report.state) == ("ok", "Clean Shutdown")
    return rows_by_another_reader(data)


def log_files(shell):
    """Production's logs and their bytes."""
    with frskit.lab(shell.place) as site:
        site.exchange.stop()
        production = site.parties.production
        place = production.resolve("L:\\exchsrvr\\sg1")
        names = production.files(place.volume).listdir(place.path)
        return {
            name: store_bytes(site, f"L:\\exchsrvr\\sg1\\{name}")
            for name in names
            if name.casefold().endswith(".log")
        }


@pytest.mark.rule("FRS-17", "FRS-18", "FRS-29")
def test_roll_forward_through_processes(shell):
    """Copy, more mail, damage, roll forward: every message is there, also for another reader."""
    shell.frskit("lab", "init", shell.place)
    shell.frskit("lab", "deliver", "evs1", "sg1", "--messages", 30)
    line = shell.hpfrscli("addcopy", "/exchange", "/server=evs1", "/sg=sg1").out
    copy = re.match(r"copy (\S+) of sg1 on evs1: verified, (\d+) pages and (\d+) logs", line)
    assert int(copy[2]) > 100
    listed = shell.hpfrscli("listcopy", "/exchange", "/server=evs1", "/sg=sg1").out
    assert listed.split()[0] == copy[1]
    shell.frskit("lab", "deliver", "evs1", "sg1", "--messages", 12)
    before = recovered_rows(shell)
    assert count(before) == 42
    shell.frskit("lab", "damage", "evs1", "sg1")
    assert shell.messages()["mailbox-sg1"] == ("damaged", None)
    report = shell.json("recover", copy[1], "--mode", "roll-forward")
    assert {each["name"]: each["messages"] for each in report["after"]["databases"]} == {
        "mailbox-sg1": 42,
        "public-sg1": 0,
    }
    assert recovered_rows(shell) == before
    shell.frskit("lab", "deliver", "evs1", "sg1", "--messages", 1)
    (group,) = shell.json("show", "evs1")["storage_groups"]
    assert [(each["state"], each["messages"]) for each in group["databases"]] == [
        ("mounted", 43),
        ("mounted", 0),
    ]


@pytest.mark.rule("FRS-28")
def test_point_in_time_through_processes(shell):
    """The same, to the point in time: exactly the messages that the copy has, and mail goes on."""
    shell.frskit("lab", "init", shell.place)
    shell.frskit("lab", "deliver", "evs1", "sg1", "--messages", 30)
    shell.frskit("copy", "add", "evs1", "sg1")
    at_copy = recovered_rows(shell)
    shell.frskit("lab", "deliver", "evs1", "sg1", "--messages", 12)
    shell.frskit("lab", "damage", "evs1", "sg1")
    (copy,) = shell.copies()
    report = shell.json("recover", copy.id[:8], "--mode", "point-in-time")
    assert report["after"]["databases"][0]["messages"] == 30
    assert shell.messages() == {"mailbox-sg1": ("mounted", 30), "public-sg1": ("mounted", 0)}
    assert recovered_rows(shell) == at_copy
    assert count(at_copy) == 30
    assert shell.copies()[0].life is CopyLife.CONSUMED
    shell.frskit("copy", "add", "evs1", "sg1")
    assert shell.copies()[0].recoverable


@pytest.mark.rule("FRS-08", "FRS-09", "FRS-20")
def test_a_flipped_bit_through_processes(shell):
    """Exit 7, the report names file, page and verdict; logs stay, the older copy stays good."""
    shell.frskit("lab", "init", shell.place)
    shell.frskit("lab", "deliver", "evs1", "sg1", "--messages", 30)
    shell.frskit("copy", "add", "evs1", "sg1")
    (good,) = shell.copies()
    shell.frskit("lab", "deliver", "evs1", "sg1", "--messages", 30)
    shell.frskit("lab", "damage", "evs1", "sg1", "--page", 9)
    before = log_files(shell)
    error = shell.json("copy", "add", "evs1", "sg1", status=7)["error"]
    assert error["code"] == "integrity"
    assert "mbx-sg1.edb" in error["message"]
    bad = shell.json("copy", "show", error["context"]["copy"])["copy"]
    assert (bad["state"], bad["verdict"], bad["completion"]) == ("failed", "corrupt", "failed")
    assert all(each["count"] == 0 for each in bad["truncated"])
    (file,) = [each for each in bad["report"]["files"] if each["verdict"] != "ok"]
    assert file["path"] == "M:\\exchsrvr\\sg1\\mbx-sg1.edb"
    assert file["verdict"] == "correctable"
    assert "page 9" in file["detail"]
    assert file["counts"]["correctable"] == 1
    after = log_files(shell)
    assert {name: after.get(name) for name in before if name != "E00.log"} == {
        name: data for name, data in before.items() if name != "E00.log"
    }
    assert good in shell.copies()
    shell.frskit("lab", "damage", "evs1", "sg1")
    shell.frskit("recover", good.id, "--mode", "roll-forward")
    assert shell.messages()["mailbox-sg1"] == ("mounted", 60)


@pytest.mark.rule("FRS-43", "FRS-55")
def test_two_processes_at_once(shell):
    """Commands on one lab wait for each other: both copies are made, one after the other."""
    shell.frskit("lab", "init", shell.place)
    both = [shell.start("copy", "add", "evs1", "sg1") for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, (out, err)
    assert [copy.recoverable for copy in shell.copies()] == [True, True]
