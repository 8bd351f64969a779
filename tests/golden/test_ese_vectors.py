"""Real ESE files and vectors of the published checksum source.

The files are not part of the repository; they are found through FRSKIT_REAL_DATA.
"""

from __future__ import annotations

import base64
import json
import re
import zlib

import pytest

from frskit import ese
from frskit.ese.checkpoint import load_checkpoint
from frskit.ese.eseutil import checkpoint_lines, header_lines
from frskit.ese.header import DATABASE_LAYOUT, pack_database_header, read_header_copies
from frskit.ese.logs.format7_chain import range_xor
from frskit.ese.logs.header import pack_log_header
from frskit.ese.pages.checksums import (
    header_checksum,
    new_checksums,
    old_checksum,
    stored_checksums,
)
from frskit.ese.pages.verify_many import STATUS_NAMES, PageVerifier, as_words
from frskit.ese.sources import BytesFile

DATABASES = [
    "basic.edb",
    "binary.edb",
    "catalog1.edb",
    "clean_8k.edb",
    "index.edb",
    "large_32k.edb",
    "qmgr_16k_dirty.db",
    "raven_data_dirty.edb",
    "srudb.dat",
    "srudb_stale_tail.dat",
    "test_4k.edb",
    "ual_current.mdb",
    "ual_dirty.mdb",
]
ROW = re.compile(
    r"page (\d+); version 0x620,([0-9a-f]+),([0-9a-f]+); ([a-z ]+); required (\d+)-(\d+), "
    r"committed (\d+); pages seen (\d+), bad (\d+), correctable (\d+), uninitialized (\d+)"
)


@pytest.fixture(scope="module")
def expected(real_data):
    """File name -> what the table beside the files says about it."""
    rows = {}
    for line in (real_data / "ese" / "README.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) > 6 and (found := ROW.search(cells[7])):
            rows[cells[1].strip("`").removesuffix(".gz")] = found.groups()
    return rows


@pytest.fixture
def real(unpack):
    """Function: name of a database -> its bytes."""
    return lambda name: unpack(f"ese/{name}.gz").read_bytes()


@pytest.mark.parametrize("name", DATABASES)
def test_real_databases_are_read_as_the_table_says(unpack, expected, name):
    """Page size, version, state, log range and all counts agree for every real database."""
    report = ese.check_database(unpack(f"ese/{name}.gz"))
    header = report.header
    assert (
        str(report.page_size),
        f"{header.format_update_major:x}",
        f"{header.format_update_minor:x}",
        report.state.lower(),
        str(header.gen_min_required),
        str(header.gen_max_required),
        str(header.gen_max_committed),
        str(report.pages_seen),
        str(report.pages_bad),
        str(report.pages_correctable),
        str(report.pages_uninitialized),
    ) == expected[name]
    assert report.pages_wrong_number == 0
    assert report.header_condition == "ok"


def test_the_table_lists_every_database(expected):
    """No file of the table is left out."""
    assert sorted(expected) == DATABASES


def test_the_stale_tail_is_named(unpack):
    """The 16 foreign pages at the end of a clean database are pages 143 to 158."""
    report = ese.check_database(unpack("ese/srudb_stale_tail.dat.gz"))
    assert [each.page for each in report.damaged] == list(range(143, 159))
    assert report.verdict == "damaged"


@pytest.mark.parametrize("name", DATABASES)
def test_real_headers_are_packed_as_they_were(real, name):
    """Packing what was parsed gives every byte of the real header page, checksum included."""
    data = real(name)
    copies = read_header_copies(BytesFile(data))
    assert pack_database_header(copies.header) == data[: copies.page_size]
    assert f"            State: {copies.header.state_text}" in header_lines(copies)


def test_the_layout_agrees_with_dissect():
    """An independent description of the header has the same fields at the same places."""
    c_esedb = pytest.importorskip("dissect.esedb.c_esedb").c_esedb
    theirs = {each.offset: each.name for each in c_esedb.DBFILEHDR.__fields__}
    ours = {row.offset: row.name for row in DATABASE_LAYOUT}
    assert set(ours) == {at for at, name in theirs.items() if "rgbReserved" not in str(name)} | {
        252
    }
    assert theirs[52] == "dbstate"
    assert len(c_esedb.DBFILEHDR) == max(row.end for row in DATABASE_LAYOUT)


@pytest.mark.parametrize("name", DATABASES)
def test_headers_agree_with_dissect(real, name):
    """An independent reader sees the same values in the same fields."""
    c_esedb = pytest.importorskip("dissect.esedb.c_esedb").c_esedb
    data = real(name)
    theirs, ours = c_esedb.DBFILEHDR(data[:748]), ese.read_database_header(data)
    pairs = {
        "checksum": "ulChecksum",
        "magic": "ulMagic",
        "format_version": "ulVersion",
        "dbtime_dirtied": "dbtimeDirtied",
        "state": "dbstate",
        "last_objid": "objidLast",
        "os_build": "dwBuildNumber",
        "format_update_major": "ulDaeUpdateMajor",
        "format_update_minor": "ulDaeUpdateMinor",
        "page_size": "cbPageSize",
        "repair_count": "ulRepairCount",
        "gen_min_required": "lGenMinRequired",
        "gen_max_required": "lGenMaxRequired",
        "gen_max_committed": "lGenMaxCommitted",
        "gen_recovering": "lGenRecovering",
        "gen_min_consistent": "lGenMinConsistent",
        "engine_version": "efvMaxBinAttachDiagnostic",
        "file_type": "filetype",
    }
    for own, other in pairs.items():
        assert getattr(ours, own) == int(getattr(theirs, other)), own
    for own, other in (("log_signature", "signLog"), ("db_signature", "signDb")):
        mine, found = getattr(ours, own), getattr(theirs, other)
        assert mine.random == found.ulRandom
        assert mine.created.raw == found.logtimeCreate.dumps()
    for own, other in (("consistent_position", "Consistent"), ("attach_position", "Attach")):
        mine, found = getattr(ours, own), getattr(theirs, f"lgpos{other}")
        assert (mine.generation, mine.sector, mine.offset) == (
            found.lGeneration,
            found.isec,
            found.ib,
        )


@pytest.mark.oracle
@pytest.mark.parametrize("name", DATABASES)
def test_headers_agree_with_libesedb(unpack, name):
    """A second independent reader agrees on page size and format version."""
    pyesedb = pytest.importorskip("pyesedb", reason="libesedb is not installed")
    path = unpack(f"ese/{name}.gz")
    ours = ese.read_database_header(path)
    file = pyesedb.file()
    try:
        file.open(str(path))
    except OSError as error:
        pytest.skip(f"libesedb cannot open this file: {str(error)[:80]}")
    try:
        assert file.get_page_size() == ours.page_size_bytes
        assert file.get_format_version() == ours.format_version << 32 | ours.format_update_major
    finally:
        file.close()


def vectors(real_data, name):
    """The vectors of one file."""
    return json.loads((real_data / "ese" / name).read_text(encoding="utf-8"))["vectors"]


def computed(page, vector):
    """Checksums in the notation of the vectors."""
    kind, number = vector["format"], vector["pgno"]
    if kind == "header":
        return [header_checksum(page)]
    if kind == "old":
        return [old_checksum(page, number), *([0] * 3 if len(page) > 8192 else [])]
    return list(new_checksums(page, number))


def test_all_page_vectors_agree(real_data):
    """All 61 pages: stored and computed checksums, verdict and bit, by both verifiers."""
    found = vectors(real_data, "checksum_vectors.json")
    assert len(found) == 61
    for vector in found:
        page = zlib.decompress(base64.b64decode(vector["data"]))
        verdict = ese.verify_page(page, vector["pgno"])
        assert (verdict.status, verdict.bit) == (vector["verdict"], vector["bit"]), vector["id"]
        if vector["format"] == "zero":
            continue
        assert [f"{each:016x}" for each in computed(page, vector)] == vector["computed"]
        if vector["page_type"] == "header":
            continue
        assert [f"{each:016x}" for each in stored_checksums(page)] == vector["stored"]
        run = PageVerifier(len(page), 1).verify(as_words(page), vector["pgno"])
        assert STATUS_NAMES[run.status[0]] == vector["verdict"]
        assert run.bits.get(0) == vector["bit"]


def test_all_log_range_vectors_agree(real_data):
    """All 16 ranges of the old log checksum."""
    found = vectors(real_data, "log_range_vectors.json")
    assert len(found) == 16
    for vector in found:
        data = base64.b64decode(vector["data"])
        result = range_xor(data, vector["start"], vector["end"], int(vector["seed"], 16))
        assert f"{result:08x}" == vector["checksum"], vector["id"]


def test_a_lone_page_of_unknown_number_says_whose_it_is(real_data):
    """The single 8 KB page gives its own number, under which it is good."""
    page = (real_data / "ese" / "page_8k_12050322830504531039.bin").read_bytes()
    own = ese.verify_page(page, 1).probable_number
    assert own is not None
    assert ese.verify_page(page, own).status == "ok"


def test_the_real_log(unpack, real_data):
    """The Windows 10 log: one used segment, 253 empty, and its checkpoint in the same stream."""
    path = unpack("ese/secedit_edb.log.gz")
    report = ese.check_log(path)
    assert (report.status, report.segments_used, report.segments_empty) == (
        ese.LogStatus.OK,
        1,
        253,
    )
    assert report.checksum == 1767126870531511331
    assert pack_log_header(report.header) == path.read_bytes()[:4096]
    files = {"edb.log": path, "edb.chk": real_data / "ese" / "secedit_edb.chk"}
    both = ese.check_logs(files, "edb")
    assert both.ok
    assert (both.checkpoint_error, both.signature.random) == (None, 3958749024)


def test_real_checkpoints(real_data, unpack):
    """Positions, signatures, both copies; one belongs to the dirty database beside it."""
    for name, position, signature in (
        ("raven_rvn.chk", "(0x1,76,1BC)", 6181678),
        ("secedit_edb.chk", "(0x1,1,0)", 3958749024),
    ):
        data = (real_data / "ese" / name).read_bytes()
        checkpoint, condition = load_checkpoint(BytesFile(data))
        assert condition == "ok"
        assert (str(checkpoint.position), checkpoint.log_signature.random) == (position, signature)
        assert ese.pack_checkpoint(checkpoint)[:4096] == data[:4096]
        assert f"      Checkpoint: {position}" in checkpoint_lines(checkpoint)
    owner = ese.read_database_header(unpack("ese/raven_data_dirty.edb.gz"))
    raven = ese.read_checkpoint(real_data / "ese" / "raven_rvn.chk")
    assert owner.log_signature == raven.log_signature


def test_the_real_flush_map(real_data):
    """The flush map's header is good, its one data page was never written."""
    path = real_data / "ese" / "secedit.jfm"
    assert ese.identify(path) is ese.FileKind.FLUSH_MAP
    report = ese.check_flush_map(path)
    assert (report.ok, report.pages_seen, report.pages_uninitialized) == (True, 1, 1)
    assert report.header.version_major == 3


def test_every_real_file_is_identified(real_data, unpack):
    """Kinds of all real files, by their headers."""
    kinds = ese.FileKind
    for name in DATABASES:
        assert ese.identify(unpack(f"ese/{name}.gz")) is kinds.DATABASE
    assert ese.identify(unpack("ese/secedit_edb.log.gz")) is kinds.LOG
    assert ese.identify(real_data / "ese" / "raven_rvn.chk") is kinds.CHECKPOINT


@pytest.mark.parametrize("bit", [0, 77, 301, 333, 4095])
def test_flips_in_a_real_large_page_are_found(real, bit):
    """A flip in page 4 of the 32 KB database is correctable there, or bad if in the first bytes."""
    data = bytearray(real("large_32k.edb"))
    data[5 * 32768 + bit // 8] ^= 1 << bit % 8
    report = ese.check_database(data)
    (found,) = report.damaged
    assert found.page == 4
    assert (found.status, found.bit) == (
        ("bad", None) if bit < 64 or bit == 301 else ("correctable", bit)
    )
