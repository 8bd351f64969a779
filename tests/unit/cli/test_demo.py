"""`frskit demo`: what it proves is in its numbers; files of the user's are judged as they are."""

from __future__ import annotations

import re

import pytest

import frskit
from frskit import BackupType
from frskit.errors import IntegrityError

SIZES = {
    "srudb_stale_tail.dat": 4096,
    "clean_8k.edb": 8192,
    "qmgr_16k_dirty.db": 16384,
    "large_32k.edb": 32768,
}
ROW = re.compile(
    r"page (?P<page_size>\d+);.*pages seen (?P<seen>\d+), bad (?P<bad>\d+), "
    r"correctable (?P<correctable>\d+), uninitialized (?P<uninitialized>\d+)"
)


def expected(real_data):
    """By name of the unpacked file: page size and counters, as the table of the data has them."""
    found = {}
    for line in (real_data / "ese" / "README.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        match = ROW.search(line)
        if match and len(cells) > 2:
            name = cells[1].strip("`").removesuffix(".gz")
            found[name] = {key: int(value) for key, value in match.groupdict().items()}
    return found


def verdict(counts):
    """The verdict that follows from the counters."""
    return "damaged" if counts["bad"] else "correctable" if counts["correctable"] else "ok"


@pytest.mark.rule("FRS-28", "FRS-29")
def test_the_demo_keeps_both_promises(frs):
    """Messages before, lost and recovered per mode; pages, logs, truncations, time of freeze."""
    ran = frs("--json", "demo")
    assert ran.status == 0
    facts = ran.document
    assert (facts["schema"], facts["ok"]) == ("frskit.demo/1", True)
    by_mode = {each["mode"]: each for each in facts["recoveries"]}
    forward, back = by_mode["roll-forward"], by_mode["point-in-time"]
    assert forward["messages_at_copy"] < forward["messages_before"] == forward["messages_after"]
    assert back["messages_after"] == back["messages_at_copy"] < back["messages_before"]
    assert forward["messages_lost"] == 0
    assert back["messages_lost"] == back["messages_before"] - back["messages_at_copy"]
    assert {each["kept_promise"] for each in facts["recoveries"]} == {True}
    for copy in facts["copies"]:
        assert copy["verdict"] == "verified"
        assert copy["pages"] > 100
        assert copy["logs"] >= 1
        assert 0 < copy["freeze_s"] <= 20
    assert sum(each["count"] for copy in facts["copies"] for each in copy["truncated"]) > 0


def test_the_demo_checks_real_databases(shell, real_data, unpack):
    """4, 8, 16 and 32 KB pages, a damaged file among them: told as the data's table has them."""
    paths = {name: unpack(f"ese/{name}.gz") for name in SIZES}
    words = [word for path in paths.values() for word in ("--edb", path)]
    facts = shell.json("demo", *words)
    known = expected(real_data)
    assert facts["ok"] is True
    assert [each["path"] for each in facts["adopted"]] == [str(path) for path in paths.values()]
    for each, (name, page_size) in zip(facts["adopted"], SIZES.items(), strict=True):
        counts = dict(known[name])
        assert counts.pop("page_size") == page_size
        assert each["pages"] == counts
        assert each["verdict"] == verdict(counts)


def report_of(paths):
    """What the checker says of these files, read from a presented copy of them."""
    with frskit.lab(edbs=paths) as site:
        try:
            copy = site.frs.create_copy("evs1", ["foreign"], backup_type=BackupType.COPY)
        except IntegrityError as error:
            copy = error.copy
        return site.frs.copy(copy.id).report


@pytest.mark.rule("FRS-08")
def test_every_real_database_through_a_copy(real_data, unpack):
    """Each file is adopted, copied by the array and judged from the presented copy."""
    known = expected(real_data)
    assert len(known) >= 13
    damaged = []
    for start in range(0, len(known), 5):
        names = list(known)[start : start + 5]
        report = report_of([unpack(f"ese/{name}.gz") for name in names])
        for number, name in enumerate(names, 1):
            (file,) = [each for each in report.files if each.path.endswith(f"\\{number}-{name}")]
            counts = {key: value for key, value in known[name].items() if key != "page_size"}
            assert dict(file.counts) == counts, name
            assert file.verdict.value == verdict(counts), name
        damaged += [each.path.rsplit("-", 1)[-1] for each in report.damaged]
    assert damaged == ["srudb_stale_tail.dat"]
