"""Streaming files, flush maps, the storage group session, eseutil's words, error numbers."""

from __future__ import annotations

import pytest

from frskit import ese
from frskit.codes.ese import ESE_ERRORS, ese_code, ese_text
from frskit.errors import FormatError
from frskit.ese import CheckCode, StorageGroupCheck, check_flush_map, check_streaming_file
from frskit.ese.eseutil import (
    check_lines,
    checkpoint_lines,
    checksum_lines,
    checksum_warnings,
    database_exit_code,
    header_lines,
    log_header_lines,
    log_lines,
    log_set_lines,
)
from frskit.ese.header import read_header_copies
from frskit.ese.pages.checksums import seal_header, seal_page
from frskit.ese.sources import BytesFile


def test_streaming_files_belong_by_signature(forge):
    """Headers are checked, signatures compared, and data never judged."""
    mark = ese.Signature(random=5)
    data = forge.header(attribute=1, file_type=2, slv_signature=mark) * 2 + bytes(4096)
    assert check_streaming_file(data).ok
    assert check_streaming_file(data).belongs is None
    owner = ese.DatabaseHeader(slv_signature=mark)
    assert check_streaming_file(data, database=owner).belongs is True
    other = check_streaming_file(data, database=ese.DatabaseHeader())
    assert (other.belongs, other.ok, other.report.coverage) == (False, False, "headers")
    with pytest.raises(FormatError):
        check_streaming_file(forge.database(1))


def flush_map(forge, pages):
    """A flush map with some data pages."""
    header = bytearray(8192)
    header[36:40] = b"\x01\x00\x00\x00"
    header[667:671] = b"\x07\x00\x00\x00"
    seal_header(header)
    body = bytearray()
    for number in range(1, pages + 1):
        page = forge.content(8192, number)
        seal_page(page, number, new_format=True)
        body += page
    return header + bytes(8192) + body


def test_flush_maps_are_checked_page_by_page(forge):
    """Data pages count from 0; zero, bad and correctable ones are told apart."""
    data = flush_map(forge, 3)
    report = check_flush_map(data)
    assert (report.pages_seen, report.pages_uninitialized, report.ok) == (4, 1, True)
    assert report.header.is_clean
    data[2 * 8192 + 999] ^= 1
    data[3 * 8192 + 999] ^= 3
    report = check_flush_map(data)
    assert (report.pages_correctable, report.pages_bad, report.ok) == (1, 1, False)
    data[20] ^= 1
    with pytest.raises(FormatError):
        check_flush_map(data)
    with pytest.raises(FormatError):
        check_flush_map(forge.header(8192))


class TestStorageGroupCheck:
    """The session of exchange.md 4.4."""

    def files(self, forge, **other):
        """Two databases and their logs."""
        fields = {
            "state": 2,
            "gen_min_required": 2,
            "gen_max_required": 3,
            "log_signature": forge.signature,
        }
        return {
            "priv1.edb": bytes(forge.database(6, **fields)),
            "pub1.edb": bytes(forge.database(3, **{**fields, **other})),
        }

    def run(self, check, files):
        """All pages of all databases, one call each."""
        return [check.check_pages(name, 1, data[2 * 4096 :])[0] for name, data in files.items()]

    def test_everything_checked_is_success(self, forge):
        """Headers, all pages, logs, term."""
        files = self.files(forge)
        check = StorageGroupCheck(files, forge.stream(1, 3, current=4), "E00")
        assert check.check_headers() is CheckCode.SUCCESS
        assert (check.required.first, check.required.last) == (2, 3)
        assert self.run(check, files) == [CheckCode.SUCCESS] * 2
        assert check.check_logs() is CheckCode.SUCCESS
        assert check.term() is CheckCode.SUCCESS
        assert check.term() is CheckCode.BUSY

    @pytest.mark.rule("EXC-53")
    def test_a_skipped_page_or_log_is_dropped(self, forge):
        """Leaving out a page or the logs is -106; checking pages twice is fine."""
        files = self.files(forge)
        logs = forge.stream(1, 3)
        for first, with_logs, code in (
            (1, True, CheckCode.SUCCESS),
            (2, True, CheckCode.DROPPED),
            (1, False, CheckCode.DROPPED),
        ):
            check = StorageGroupCheck(files, logs, "E00")
            check.check_headers()
            self.run(check, {"pub1.edb": files["pub1.edb"]})
            for page in (first, 4, first, 6, 5, 3, 2):
                data = files["priv1.edb"][(page + 1) * 4096 : (page + 2) * 4096]
                assert check.check_pages("priv1.edb", page, data) == (CheckCode.SUCCESS, ())
            if with_logs:
                check.check_logs()
            assert check.term() is code

    @pytest.mark.rule("EXC-54")
    def test_mixed_signatures_and_page_sizes_fail_at_the_headers(self, forge):
        """All databases must share log signature and page size."""
        for other in (
            {"log_signature": ese.Signature(random=1)},
            {"page_size": 8192},
        ):
            files = self.files(forge)
            if "page_size" in other:
                files["pub1.edb"] = bytes(forge.database(3, 8192, log_signature=forge.signature))
            else:
                files = self.files(forge, **other)
            check = StorageGroupCheck(files, {}, "E00")
            assert check.check_headers() is CheckCode.CORRUPT
            assert check.check_pages("priv1.edb", 1, b"") == (CheckCode.BUSY, ())

    @pytest.mark.rule("EXC-55")
    def test_missing_required_logs_are_543(self, forge):
        """Any log of the required range absent: -543, whatever else is there."""
        for present, code in (((2, 3), CheckCode.SUCCESS), ((3, 4), -543), ((1, 2), -543)):
            check = StorageGroupCheck(self.files(forge), forge.stream(*present), "E00")
            check.check_headers()
            assert check.check_logs() == code

    def test_bad_pages_are_listed(self, forge):
        """Each failing page comes with actual and expected checksum."""
        files = self.files(forge)
        check = StorageGroupCheck(files, {}, "E00")
        check.check_headers()
        data = bytearray(files["priv1.edb"][2 * 4096 :])
        data[4096 + 100] ^= 3
        data[2 * 4096 + 100] ^= 1
        code, failed = check.check_pages("priv1.edb", 1, bytes(data))
        assert code is CheckCode.CHECKSUM
        assert [(each.page, each.correctable) for each in failed] == [(2, False), (3, True)]
        assert all(each.actual != each.expected for each in failed)

    def test_calls_out_of_order_and_bad_parameters(self, forge):
        """Too early is -1059, nonsense is -1003, an unreadable header -1018."""
        files = self.files(forge)
        check = StorageGroupCheck(files, {}, "E00")
        assert check.check_logs() is CheckCode.BUSY
        assert check.term() is CheckCode.BUSY
        assert check.check_headers() is CheckCode.SUCCESS
        assert check.check_headers() is CheckCode.BUSY
        for name, first, data in (
            ("none.edb", 1, b""),
            ("priv1.edb", 0, bytes(4096)),
            ("priv1.edb", 1, bytes(100)),
            ("priv1.edb", 6, bytes(8192)),
        ):
            assert check.check_pages(name, first, data)[0] is CheckCode.BAD_PARAMETER
        assert StorageGroupCheck({}, {}, "E00").check_headers() is CheckCode.BAD_PARAMETER
        broken = StorageGroupCheck({"a.edb": bytes(9000)}, {}, "E00")
        assert broken.check_headers() is CheckCode.CHECKSUM


def test_checksum_lines_are_in_eseutils_order(forge):
    """Counters in the order of ``eseutil /k``; damaged pages as its warnings."""
    data = forge.database(62)
    data[3 * 4096 + 100] ^= 1
    data[4 * 4096 + 100] ^= 3
    data[4096 + 100] ^= 3
    report = ese.check_database(data)
    lines = checksum_lines(report, elapsed_s=2.5)
    assert lines[:6] == [
        "64 pages seen",
        "2 bad checksums",
        "1 correctable checksums",
        "0 uninitialized pages",
        "0 wrong page numbers",
        "0x3e highest dbtime (pgno 0x3e)",
    ]
    assert lines[7:10] == ["1 reads performed", "0 MB read", "2 seconds taken"]
    assert checksum_warnings(report) == [
        "ERROR: page 0 (header) checksum failed",
        "WARNING: page 2 checksum verification failed but the corruption ( bit 800 ) can be corrected",
        "ERROR: page 3 checksum failed",
    ]
    everything = check_lines(report, elapsed_s=2.5)
    assert everything == [*checksum_warnings(report), "", *lines]
    assert check_lines(ese.check_database(forge.database(1)))[0] == "3 pages seen"


@pytest.mark.rule("EXC-57")
def test_only_bad_pages_make_the_exit_code_negative(forge):
    """0 is success also with correctable pages; a bad page is -1206."""
    data = forge.database(3)
    assert database_exit_code(ese.check_database(data)) == 0
    data[3 * 4096 + 100] ^= 1
    assert database_exit_code(ese.check_database(data)) == 0
    data[3 * 4096 + 100] ^= 2
    assert database_exit_code(ese.check_database(data)) == -1206


def test_header_lines_name_state_and_logs(forge):
    """The dump names checksums, state and log ranges by eseutil's words."""
    page = bytearray(
        forge.header(state=2, gen_min_required=10, gen_max_required=12, gen_max_committed=15)
    )
    stored = int.from_bytes(page[:4], "little")
    lines = header_lines(read_header_copies(BytesFile(bytes(page) * 2)))
    assert f"Expected Checksum: 0x{stored:08x}" in lines
    assert f"  Actual Checksum: 0x{stored:08x}" in lines
    assert "            State: Dirty Shutdown" in lines
    assert "     Log Required: 10-12 (0xa-0xc)" in lines
    assert "    Log Committed: 0-15 (0x0-0xf)" in lines
    assert " Format ulVersion: 0x620,11" in lines
    assert header_lines(ese.read_database_header(bytes(page)))[0] == "Fields:"
    page[99] ^= 1
    damaged = header_lines(read_header_copies(BytesFile(bytes(page) + forge.header())))
    assert damaged[0].startswith("WARNING: the primary copy")


def test_log_set_lines_name_holes_and_errors(forge):
    """OK lines, holes and errors stand in the order of the generations."""
    good = log_set_lines(ese.check_logs(forge.stream(1, 2), "E00"))
    assert good[3:] == [
        "      Log file: E0000001.log - OK",
        "      Log file: E0000002.log - OK",
        "",
        "No damaged log files were found.",
    ]
    files = forge.stream(1, 7)
    del files["E0000002.log"], files["E0000004.log"], files["E0000005.log"]
    files["E0000007.log"][4200] ^= 1
    lines = log_set_lines(ese.check_logs(files, "E00"))
    assert lines[3:9] == [
        "      Log file: E0000001.log - OK",
        "      Missing log file: E0000002.log",
        "      Log file: E0000003.log - OK",
        "      Missing log files: E00{00004 - 00005}.log",
        "      Log file: E0000006.log - OK",
        "      Log file: E0000007.log",
    ]
    assert "-501" in lines[9]
    assert lines[-1] == "Operation terminated with error -528."


def test_single_logs_and_checkpoints_as_text(forge):
    """``/ml`` of one file and ``/mk``."""
    log = forge.old_log(5)
    assert log_lines(ese.check_log(log))[0].startswith("Integrity check passed for log file")
    log[4200] ^= 1
    assert "Log damaged (unusable)" in log_lines(ese.check_log(log))[0]
    header = forge.log_header(5, attachments=(ese.AttachInfo(dbid=1, names=b"a.edb\0"),))
    assert "      lGeneration: 5 (0x5)" in log_header_lines(header)
    assert "      1 a.edb" in log_header_lines(header)
    lines = checkpoint_lines(ese.read_checkpoint(forge.checkpoint(11)))
    assert lines[1] == "      Checkpoint: (0xB,8,0)"


def test_error_numbers_have_names_and_meanings():
    """Every number of the table is found; an unknown one is said to be unknown."""
    assert ese_code(-1018).name == "JET_errReadVerifyFailure"
    assert ese_text(-543).startswith("-543 JET_errRequiredLogFilesMissing: ")
    assert ese_code(-99999) is None
    assert "no known" in ese_text(-99999)
    assert len({each.name for each in ESE_ERRORS.values()}) == len(ESE_ERRORS)
    assert all(each.is_error == (number < 0) for number, each in ESE_ERRORS.items())
    assert all(each.meaning.endswith(".") for each in ESE_ERRORS.values())
