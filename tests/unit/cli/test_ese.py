"""`frskit ese`: eseutil's questions, answered about files, directories and presented copies."""

from __future__ import annotations

import json
import os
import pty
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import frskit
from frskit import BackupType, ese
from frskit.errors import HostError
from frskit.ese.logs.format7_chain import shadow_sector

PAGE = 4096


# --- files ----------------------------------------------------------------------------------------


def database(pages=6, *, state=3, **fields):
    """A small good database."""
    header = ese.pack_database_header(ese.DatabaseHeader(state=state, **fields))
    body = bytearray()
    for number in range(1, pages + 1):
        page = bytearray(PAGE)
        page[8:16] = number.to_bytes(8, "little")
        page[500] = number
        ese.seal_page(page, number, new_format=True)
        body += page
    return bytearray(header * 2 + body)


def flipped(data, page, bits=1):
    """The same with some bits of a page flipped."""
    data = bytearray(data)
    for bit in range(bits):
        data[(page + 1) * PAGE + 100 + bit] ^= 1
    return data


def new_log(generation=1, used=2):
    """A log of format 8."""
    header = ese.LogHeader(
        generation=generation,
        sector_size=PAGE,
        header_sectors=1,
        file_sectors=8,
        major=8,
        minor=4000,
    )
    log = bytearray(ese.pack_log_header(header)).ljust(header.file_size_bytes, b"\0")
    for index in range(1, used + 1):
        segment = bytearray(PAGE)
        segment[8:16] = struct.pack("<HHi", 0, index, generation)
        segment[200] = index
        ese.seal_page(segment, index, new_format=True)
        log[index * PAGE : (index + 1) * PAGE] = segment
    return log


def old_log(generation=1, *, torn=False, signature=1, created=()):
    """A log of the old format with one flush; torn, its shadow is good."""
    times = {name: ese.LogTime(raw=bytes([value]) + bytes(7)) for name, value in created}
    mark = ese.Signature(random=signature)
    header = ese.LogHeader(generation=generation, file_sectors=16, log_signature=mark, **times)
    log = bytearray(ese.pack_log_header(header)).ljust(header.file_size_bytes, b"\0")
    record = ese.build_checksum_record(
        log[PAGE:], 0, forward=100, generation=generation, sector_size=512
    )
    log[PAGE : PAGE + 22] = record.pack()
    if torn:
        log[PAGE + 512 : PAGE + 1024] = shadow_sector(bytes(log[PAGE : PAGE + 512]), 0, generation)
        log[PAGE + 60] ^= 1
    return log


def flush_map():
    """A flush map with one page in use."""
    from frskit.ese.pages.checksums import seal_header

    header = bytearray(8192)
    header[36], header[667] = 1, 7
    seal_header(header)
    page = bytearray(8192)
    page[300] = 5
    ese.seal_page(page, 1, new_format=True)
    return header + bytes(8192) + page


@pytest.fixture
def place(tmp_path):
    """Function: write files into a directory of this test, return their paths."""

    def written(**files):
        paths = []
        for name, data in files.items():
            path = tmp_path / name.replace("__", "/").replace("_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            paths.append(path)
        return paths[0] if len(paths) == 1 else paths

    return written


@pytest.fixture
def check(frs):
    """Function: `frskit --json ese check`, the expected status and the files' facts."""

    def checked(*words, status=0):
        ran = frs("--json", "ese", "check", *words)
        assert ran.status == status, ran
        assert ran.document["schema"] == "frskit.ese.check/1"
        return ran.document["files"]

    return checked


@pytest.fixture
def store(site, tmp_path):
    """The bytes of a cleanly dismounted store of the lab, in a file."""
    site.exchange.stop()
    production = site.parties.production
    found = production.resolve("M:\\exchsrvr\\sg1\\mbx-sg1.edb")
    with production.files(found.volume).open(found.path) as file:
        path = tmp_path / "mail.edb"
        path.write_bytes(file.read_at(0, file.size_bytes))
    return path


# --- check: databases -----------------------------------------------------------------------------


@pytest.mark.rule("FRS-08")
def test_a_good_database_as_json(check, store):
    """The document has the counters, the state, the owned pages and the verdict."""
    (good,) = check(store)
    assert (good["verdict"], good["state"], good["page_size"]) == ("ok", "Clean Shutdown", PAGE)
    pages = store.stat().st_size // PAGE
    assert good["pages"] == {
        "seen": pages,
        "bad": 0,
        "correctable": 0,
        "uninitialized": good["pages"]["uninitialized"],
        "wrong_number": 0,
    }
    assert good["damaged"] == []
    assert (good["kind"], good["path"], good["owned_pages"]) == ("database", str(store), pages - 2)
    assert (good["coverage"], good["missing_pages"], good["error"]) == ("full", 0, None)


@pytest.mark.rule("EXC-50", "FRS-08")
def test_a_correctable_page_fails_unless_as_eseutil_sees_it(check, frs, store):
    """One flipped bit: status 7 with bit and position; eseutil lets it pass, and so on demand."""
    data = store.read_bytes()
    store.write_bytes(flipped(data, 7))
    (bad,) = check(store, status=7)
    assert bad["verdict"] == ese.check_database(store).verdict == "correctable"
    (page,) = bad["damaged"]
    assert {key: page[key] for key in ("page", "status", "bit", "position")} == {
        "page": 7,
        "status": "correctable",
        "bit": 800,
        "position": "inside",
    }
    assert frs("ese", "check", "--like-eseutil", store).status == 0
    store.write_bytes(flipped(data, 7, bits=3))
    assert check(store, status=7)[0]["verdict"] == "damaged"
    assert frs("ese", "check", "--like-eseutil", store).status == 7


def test_damage_beyond_the_owned_space_is_said(check, frs, store):
    """Foreign bytes behind the last owned page are damage that hurts nobody, and it says so."""
    data = store.read_bytes()
    owned = len(data) // PAGE - 2
    store.write_bytes(data + b"x" * PAGE)
    (bad,) = check(store, status=7)
    assert [(each["page"], each["position"]) for each in bad["damaged"]] == [(owned + 1, "beyond")]
    out = frs("ese", "check", store).out
    assert f"page {owned + 1}: bad, beyond the {owned} pages that the database owns" in out


def test_a_lost_tail_is_said(check, frs, store):
    """A file without its last pages has good checksums; the line and the document say it."""
    store.write_bytes(store.read_bytes()[: -5 * PAGE])
    (found,) = check(store)
    assert (found["verdict"], found["missing_pages"]) == ("ok", 5)
    assert "ends 5 pages before the space it owns" in frs("ese", "check", store).out


def test_people_read_a_line_per_file_and_per_damaged_page(frs, place):
    """The first twenty damaged pages are named, with what is known about each."""
    data = database(40)
    for page in range(1, 31):
        data = flipped(data, page, bits=1 + page % 2)
    data[9 * PAGE : 10 * PAGE] = data[40 * PAGE : 41 * PAGE]
    path = place(a_edb=data)
    out = frs("ese", "check", path).out.splitlines()
    assert out[0].startswith(f"{path}: damaged (database, Clean Shutdown; pages: 42 seen, 16 bad, ")
    assert out[1] == "  page 1: bad, position unknown"
    assert out[2] == "  page 2: correctable (bit 800), position unknown"
    assert out[8] == "  page 8: bad (perhaps this is page 39), position unknown"
    assert out[-1] == "  and 10 more; --json has them"
    assert len(out) == 22


@pytest.mark.rule("EXC-57")
def test_eseutils_counters_in_eseutils_order(shell, tmp_path):
    """A process: counters on the output, page warnings on the error output, status by bad pages."""
    path = tmp_path / "a.edb"
    path.write_bytes(flipped(flipped(database(9), 3), 5, bits=2))
    ran = shell.frskit("ese", "check", "--like-eseutil", path, status=7)
    counters = [line.partition(" ")[2] for line in ran.out.splitlines() if line]
    assert counters == [
        "pages seen",
        "bad checksums",
        "correctable checksums",
        "uninitialized pages",
        "wrong page numbers",
        "highest dbtime (pgno 0x9)",
        "reads performed",
        "MB read",
        "seconds taken",
        "MB/second",
        "milliseconds used",
        "milliseconds per read",
        "milliseconds for the slowest read",
        "milliseconds for the fastest read",
    ]
    assert ran.out.splitlines()[:3] == [
        "11 pages seen",
        "1 bad checksums",
        "1 correctable checksums",
    ]
    assert ran.err.splitlines() == [
        (
            "WARNING: page 3 checksum verification failed but the corruption ( bit 800 ) "
            "can be corrected"
        ),
        "ERROR: page 5 checksum failed",
    ]


def test_several_files_like_eseutil_are_told_apart(frs, place):
    """With more than one file each has its name above its counters."""
    paths = place(a_edb=database(2), b_edb=database(3))
    out = frs("ese", "check", "--like-eseutil", *paths).out
    assert out.index(f"File: {paths[0]}") < out.index("4 pages seen")
    assert out.index("4 pages seen") < out.index(f"File: {paths[1]}") < out.index("5 pages seen")


def test_an_unreadable_header_needs_a_page_size(check, frs, place):
    """Both copies bad: damaged, nothing checked; with a page size every page is."""
    path = place(a_edb=flipped(flipped(database(4), -1), 0))
    (found,) = check(path, status=7)
    assert (found["verdict"], found["pages"]["seen"], found["error"]) == ("damaged", 0, -1018)
    (found,) = check("--page-size", "4096", path, status=7)
    assert (found["pages"]["seen"], found["pages"]["bad"], found["state"]) == (6, 2, "Unknown")
    assert frs("ese", "check", "--page-size", "5000", path).status == 2


@pytest.mark.rule("EXC-50")
def test_a_streaming_file_is_checked_by_its_headers(check, frs, place):
    """Coverage says headers, in the document and to people."""
    header = ese.pack_database_header(ese.DatabaseHeader(state=3, attribute=1, file_type=2))
    path = place(a_stm=header * 2 + b"data" * PAGE)
    (found,) = check(path)
    assert (found["kind"], found["coverage"], found["verdict"]) == (
        "streaming file",
        "headers",
        "ok",
    )
    assert "headers only" in frs("ese", "check", path).out
    (found,) = check(place(b_stm=flipped(header * 2, 0)), status=7)
    assert found["verdict"] == "damaged"


def test_reading_can_be_slowed(frs, place):
    """A limit is accepted; none at all is a mistake."""
    path = place(a_edb=database(2))
    assert frs("ese", "check", "--limit-mb", "1000", path).status == 0
    assert frs("ese", "check", "--limit-mb", "0", path).status == 2


# --- check: logs and the others -------------------------------------------------------------------


@pytest.mark.rule("FRS-08")
@pytest.mark.parametrize(
    ("name", "data", "verdict", "status", "like_eseutil"),
    [
        ("E00.log", new_log(), "ok", 0, 0),
        ("E00.log", flipped(new_log(), 1), "correctable", 7, 0),
        ("E00.log", flipped(new_log(), 1, bits=2), "damaged", 7, 7),
        ("E00.log", old_log(), "ok", 0, 0),
        ("E00.log", old_log(torn=True), "torn", 7, 0),
        ("E0000001.log", old_log(torn=True), "damaged", 7, 7),
        ("E0000001.log", old_log()[:-512], "damaged", 7, 7),
        ("E0000001.log", bytes(PAGE * 2), "damaged", 7, 7),
    ],
)
def test_logs_are_never_simply_ok(check, frs, tmp_path, name, data, verdict, status, like_eseutil):
    """Torn and correctable logs have verdicts of their own; torn is damage in an archived log."""
    path = tmp_path / name
    path.write_bytes(data)
    (found,) = check(path, status=status)
    assert (found["kind"], found["verdict"]) == ("log", verdict)
    assert (found["error"] is not None) == (verdict == "damaged")
    assert frs("ese", "check", path).out.startswith(f"{path}: {verdict}")
    ran = frs("ese", "check", "--like-eseutil", path)
    assert ran.status == like_eseutil
    assert ("ERROR: Log damaged" in ran.out) == (verdict == "damaged")
    assert ("WARNING" in ran.out) == (verdict in ("torn", "correctable"))


def test_checkpoints_and_flush_maps_are_checked(check, place):
    """A checkpoint by its two copies, a flush map page by page."""
    good = ese.pack_checkpoint(ese.Checkpoint(position=ese.LgPos(generation=3, sector=8)))
    (found,) = check(place(E00_chk=good))
    assert (found["kind"], found["verdict"], found["pages"]["seen"]) == ("checkpoint", "ok", 2)
    (found,) = check(place(E00_chk=flipped(good, 0)), status=7)
    assert (found["verdict"], found["pages"]["bad"]) == ("damaged", 1)
    (found,) = check(place(E00_chk=flipped(flipped(good, 0), -1)), status=7)
    assert (found["verdict"], found["error"]) == ("damaged", -533)
    (found,) = check(place(a_jfm=flush_map()))
    assert (found["kind"], found["verdict"], found["pages"]["uninitialized"]) == (
        "flush map",
        "ok",
        1,
    )
    data = flush_map()
    data[2 * 8192 + 100] ^= 1
    assert check(place(a_jfm=data), status=7)[0]["verdict"] == "correctable"
    data[9] ^= 1
    assert check(place(a_jfm=data), status=7)[0]["error"] == -1018


def test_kinds_without_a_check_are_not_called_good(check, place):
    """A revert snapshot is known by its header; nothing checks it, and the status says so."""
    header = ese.pack_database_header(ese.DatabaseHeader(magic=1, file_type=10))
    (found,) = check(place(a_edb=header), status=2)
    assert (found["kind"], found["verdict"], found["error"]) == (
        "revert snapshot",
        "unsupported",
        -1812,
    )


# --- check: what is looked at ---------------------------------------------------------------------


def test_directories_are_searched(check, place, tmp_path):
    """Below a directory ESE files count by name, doubtful names by header, spare logs do not."""
    place(
        a_edb=database(1),
        deep__b_STM=ese.pack_database_header(ese.DatabaseHeader(attribute=1, file_type=2)) * 2,
        deep__E00_log=new_log(),
        deep__E00tmp_log=bytes(99),
        deep__res1_log=bytes(99),
        deep__c_dat=database(1),
        deep__d_dat=b"anything" * 999,
        deep__e_txt=b"text",
    )
    names = [each["path"].rsplit("/", 1)[-1] for each in check(tmp_path)]
    assert names == ["a.edb", "E00.log", "b.STM", "c.dat"]
    names = [
        each["path"].rsplit("/", 1)[-1] for each in check(tmp_path / "a.edb", tmp_path / "deep")
    ]
    assert names == ["a.edb", "E00.log", "b.STM", "c.dat"]
    assert check(tmp_path / "deep/d.dat", status=7)[0]["verdict"] == "damaged"


def test_one_bad_file_does_not_hide_the_others(check, place):
    """All files are checked; the status is that of the worst."""
    paths = place(a_edb=database(1), b_edb=flipped(database(2), 1, bits=2), c_edb=database(3))
    assert [each["verdict"] for each in check(*paths, status=7)] == ["ok", "damaged", "ok"]


def test_missing_files_and_empty_directories(frs, tmp_path):
    """Nothing to check is an error of its own, status 5, and never a success; no file is usage."""
    for word in (tmp_path / "none.edb", tmp_path):
        ran = frs("--json", "ese", "check", word)
        assert (ran.status, ran.document["error"]["code"]) == (5, "host.file-missing")
    assert frs("ese", "check").status == 2
    assert frs("ese", "logs", tmp_path, "E00").status == 5


def test_a_file_that_cannot_be_read(check, place, monkeypatch):
    """An error of the operating system is told per file, status 5; damage elsewhere is worse."""
    import frskit.cli.ese as module

    good, bad = place(a_edb=database(1), b_edb=flipped(database(2), 1))
    real = module.check_database

    def failing(source, **options):
        if source == good:
            raise HostError("cannot read it")
        return real(source, **options)

    monkeypatch.setattr(module, "check_database", failing)
    assert check(good, status=5)[0]["verdict"] == "unreadable"
    found = check(good, bad, status=7)
    assert [each["verdict"] for each in found] == ["unreadable", "correctable"]


# --- header, logs, checkpoint ---------------------------------------------------------------------


def test_headers_of_every_kind(frs, place, store):
    """One document per file; the words are eseutil's."""
    paths = place(
        E00_log=new_log(9),
        E00_chk=ese.pack_checkpoint(ese.Checkpoint(position=ese.LgPos(generation=3))),
        a_jfm=flush_map(),
        b_edb=flipped(database(1, dbtime_dirtied=77), -1),
    )
    ran = frs("--json", "ese", "header", store, *paths)
    documents = [json.loads(line) for line in ran.out.splitlines()]
    assert ran.status == 0
    assert {each["schema"] for each in documents} == {"frskit.ese.header/1"}
    assert [each["kind"] for each in documents] == [
        "database",
        "log",
        "checkpoint",
        "flush map",
        "database",
    ]
    assert documents[1]["header"]["generation"] == 9
    assert documents[4]["header"]["condition"] == "primary bad"
    assert documents[4]["header"]["dbtime_dirtied"] == 77
    assert "State: Clean Shutdown" in frs("ese", "header", store).out
    out = frs("ese", "header", *paths).out
    for text in ("lGeneration: 9 (0x9)", "Checkpoint: (0x3,0,0)", "gen_min_required: 0"):
        assert text in out
    assert "WARNING: the primary copy of the header is damaged." in out


def test_an_unreadable_header_does_not_hide_the_others(frs, place):
    """The error is told, the next header is shown, the status is 7."""
    bad, good = place(a_edb=b"nothing" * 3000, b_edb=database(1))
    ran = frs("ese", "header", bad, good)
    assert ran.status == 7
    assert "has no readable database header" in ran.err
    assert f"File: {good}" in ran.out
    assert frs("ese", "header", bad.parent / "none").status == 5


@pytest.fixture
def lab_logs(site, tmp_path):
    """Logs and checkpoint of the lab in a directory."""
    site.exchange.stop()
    production = site.parties.production
    found = production.resolve("L:\\exchsrvr\\sg1")
    tree = production.files(found.volume)
    place = tmp_path / "sg1"
    place.mkdir()
    for name in tree.listdir(found.path):
        with tree.open(f"{found.path}/{name}") as file:
            (place / name).write_bytes(file.read_at(0, file.size_bytes))
    return place


def test_logs_and_checkpoint_of_the_lab(frs, lab_logs):
    """The stream is found by itself or by its base name; the checkpoint belongs to it."""
    for words in ((lab_logs, "E00"), (lab_logs.parent,)):
        ran = frs("--json", "ese", "logs", *words)
        assert (ran.status, ran.document["error"]) == (0, None)
        assert (ran.document["schema"], ran.document["base"]) == ("frskit.ese.logs/1", "E00")
        assert ran.document["directory"] == str(lab_logs)
        assert len(ran.document["logs"]) >= 1
        assert ran.document["checkpoint"] >= 1
    assert "No damaged log files were found." in frs("ese", "logs", lab_logs).out
    document = frs("--json", "ese", "checkpoint", lab_logs).document
    assert document["schema"] == "frskit.ese.checkpoint/1"
    assert "Checkpoint: (0x" in frs("ese", "checkpoint", lab_logs / "E00.chk").out


def test_a_hole_in_the_logs(frs, place, tmp_path):
    """A missing generation is -528 and status 7, with its number."""
    place(E0000001_log=old_log(1), E0000003_log=old_log(3))
    ran = frs("--json", "ese", "logs", tmp_path)
    assert (ran.status, ran.document["error"], ran.document["missing"]) == (7, -528, [[2, 2]])
    assert "Missing log file: E0000002.log" in frs("ese", "logs", tmp_path).out


@pytest.mark.parametrize("data", [flipped(new_log(), 1), old_log(torn=True)])
def test_a_stream_with_a_flawed_current_log(frs, place, tmp_path, data):
    """Torn or correctable: a warning and status 7; eseutil lets it pass, and so on demand."""
    place(E00_log=data)
    ran = frs("ese", "logs", tmp_path)
    assert ran.status == 7
    assert "E00.log - OK" in ran.out
    assert "WARNING" in ran.out
    assert frs("ese", "logs", "--like-eseutil", tmp_path).status == 0


def test_several_streams_of_one_directory(frs, place, tmp_path):
    """Each stream has a document of its own; a base name chooses one."""
    place(E00_log=old_log(1), E0100001_log=old_log(1, signature=2), x_log=b"no log name")
    ran = frs("--json", "ese", "logs", tmp_path)
    assert [json.loads(line)["base"] for line in ran.out.splitlines()] == ["E00", "E01"]
    assert frs("--json", "ese", "logs", tmp_path, "e01").document["base"] == "e01"
    assert frs("ese", "logs", tmp_path, "E02").status == 5


def test_a_single_log(frs, place):
    """A log by itself is shown with its header, and judged by its name."""
    current, archived = place(E00_log=old_log(4, torn=True), E0000004_log=old_log(4, torn=True))
    ran = frs("--json", "ese", "logs", current)
    assert (ran.status, ran.document["schema"]) == (7, "frskit.ese.log/1")
    assert (ran.document["verdict"], ran.document["header"]["generation"]) == ("torn", 4)
    assert frs("ese", "logs", "--like-eseutil", current).status == 0
    out = frs("ese", "logs", "--like-eseutil", archived)
    assert out.status == 7
    assert "lGeneration: 4 (0x4)" in out.out
    assert "ERROR: Log damaged (unusable)" in out.out


# --- copies ---------------------------------------------------------------------------------------


def copied(site, **wishes):
    """A copy of sg1."""
    return site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.COPY, **wishes)


@pytest.mark.rule("FRS-08", "EXC-56")
def test_a_parked_copy_is_checked_from_its_luns(site, frs):
    """All its files are read from the presented LUNs; array and servers are as before."""
    copy = copied(site)
    before = set(site.eva.presentations())
    ran = frs("--json", "ese", "check", "--copy", copy.id[:8])
    assert ran.status == 0
    found = {each["path"]: each for each in ran.document["files"]}
    assert ran.document["copy"] == copy.id[:8]
    assert found["M:\\exchsrvr\\sg1\\mbx-sg1.edb"]["state"] == "Dirty Shutdown"
    logs = [each for path, each in found.items() if path.endswith(".log")]
    assert logs
    assert {each["verdict"] for each in logs} == {"ok"}
    assert found["L:\\exchsrvr\\sg1\\E00.chk"]["kind"] == "checkpoint"
    assert found["M:\\exchsrvr\\sg1\\mbx-sg1.stm"]["coverage"] == "headers"
    assert set(site.eva.presentations()) == before
    assert site.frs.copy(copy.id) == copy
    assert frs("ese", "check", "--copy", copy.id).out.count(": ok (") == len(found)


def test_files_of_a_copy_are_chosen_by_pattern(site, frs):
    """Patterns mean names; one that means nothing is an error."""
    copy = copied(site)
    ran = frs("--json", "ese", "check", "--copy", copy.id, "*.EDB", "*.chk")
    names = sorted(each["path"].rsplit("\\", 1)[-1] for each in ran.document["files"])
    assert names == ["E00.chk", "mbx-sg1.edb", "pub-sg1.edb"]
    assert frs("ese", "check", "--copy", copy.id, "*.txt").status == 5
    assert frs("ese", "check", "--copy", "ffffffff").status == 3


@pytest.mark.rule("FRS-08")
def test_damage_is_found_in_an_unverified_copy(site, frs):
    """A copy that was never checked can be checked later: page, bit, position, status 7."""
    site.damage_database("evs1", "sg1", page=9)
    copy = copied(site, check=False)
    before = set(site.eva.presentations())
    ran = frs("--json", "ese", "check", "--copy", copy.id, "mbx*.edb")
    assert ran.status == 7
    (page,) = ran.document["files"][0]["damaged"]
    assert (page["page"], page["status"], page["position"]) == (9, "correctable", "inside")
    assert set(site.eva.presentations()) == before


def test_headers_logs_and_checkpoints_of_a_copy(site, frs):
    """The other commands read the presented copy too."""
    copy = copied(site)
    ran = frs("--json", "ese", "header", "--copy", copy.id, "mbx*.edb")
    assert ran.document["header"]["state"] == 2
    ran = frs("--json", "ese", "logs", "--copy", copy.id)
    assert (ran.status, ran.document["directory"]) == (0, "L:\\exchsrvr\\sg1")
    assert ran.document["base"] == "E00"
    assert frs("ese", "logs", "--copy", copy.id, "E00", "E01").status == 2
    ran = frs("--json", "ese", "checkpoint", "--copy", copy.id)
    assert ran.document["path"] == "L:\\exchsrvr\\sg1\\E00.chk"


def test_a_copy_that_was_deleted_holds_nothing(site, frs):
    """Nothing is presented for a copy without LUNs; status 3."""
    copy = copied(site)
    site.frs.delete_copy(copy.id)
    ran = frs("ese", "check", "--copy", copy.id)
    assert ran.status == 3
    assert "holds no LUN any more" in ran.err


def test_a_copy_through_a_process(shell):
    """A process of its own opens the site, checks the parked copy, and leaves it parked."""
    shell.frskit("lab", "init", shell.place)
    shell.frskit("lab", "deliver", "evs1", "sg1", "--messages", 5)
    shell.frskit("copy", "add", "evs1", "sg1")
    (copy,) = shell.copies()
    document = shell.json("ese", "check", "--copy", copy.id)
    assert {each["verdict"] for each in document["files"]} == {"ok"}
    assert shell.copies() == (copy,)


# --- how it looks, and what it costs --------------------------------------------------------------


def test_a_terminal_gets_a_bar_with_its_speed(tmp_path):
    """On a terminal the check draws a bar with bytes per second; elsewhere it draws nothing."""
    path = tmp_path / "large.edb"
    with path.open("wb") as file:
        file.write(database(2))
        file.truncate(64 << 20)
    code = "import sys; from frskit.cli import main; main()"
    argv = [sys.executable, "-c", code, "ese", "check", "--limit-mb", "200", str(path)]
    main, worker = pty.openpty()
    root = str(Path(frskit.__file__).parents[1])
    process = subprocess.Popen(
        argv,
        stderr=worker,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": root, "TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(worker)
    drawn = b""
    while True:
        try:
            part = os.read(main, 65536)
        except OSError:
            break
        if not part:
            break
        drawn += part
    out, _ = process.communicate(timeout=60)
    os.close(main)
    assert process.returncode == 0
    assert b"large.edb: ok" in out
    assert re.search(rb"[0-9.]+ [MG]B/s", drawn)


def test_a_check_loads_neither_wings_nor_servers(place):
    """The command answers quickly because it loads nothing that a check does not need."""
    path = place(a_edb=database(2))
    code = (
        "import sys; from frskit.cli.app import run; run(sys.argv[1:]);"
        "print(*sorted(sys.modules), file=sys.stderr)"
    )
    root = str(Path(frskit.__file__).parents[1])
    ran = subprocess.run(
        [sys.executable, "-c", code, "--json", "ese", "check", str(path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": root},
    )
    loaded = set(ran.stderr.split())
    assert "frskit.ese.database" in loaded
    heavy = (
        "frskit.eva",
        "frskit.vss",
        "frskit.exchange",
        "frskit.site",
        "rich.console",
        "hypothesis",
    )
    assert not loaded & set(heavy)
