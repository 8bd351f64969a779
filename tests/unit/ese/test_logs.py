"""Single logs: the chain of old bodies, the segments of new ones."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frskit import ese
from frskit.errors import FormatError
from frskit.ese.eseutil import log_lines
from frskit.ese.logs.format7_chain import (
    ChainEnd,
    build_checksum_record,
    parse_checksum_record,
    range_xor,
    walk_chain,
)
from frskit.ese.sources import BytesFile

STATUS = ese.LogStatus
FLUSHES = ((0, 300), (40, 1500), (0, 100))


@given(data=st.binary(max_size=200), start=st.integers(0, 200), length=st.integers(0, 200))
def test_range_xor_counts_words_from_the_start(oracle, data, start, length):
    """Words are counted from the start of the range, wherever it lies."""
    part = data[start : start + length]
    assert range_xor(data, start, min(start + length, len(data))) == oracle.xor32(part)


def test_a_record_holds_the_documented_sum(oracle):
    """Checksum and short checksum, written out by the book for a range of two sectors."""
    data = bytes(range(256)) * 4
    record = build_checksum_record(
        data, 30, forward=1024 - 52, generation=7, sector_size=512, next_offset=982
    )
    fixed = 30 ^ (1024 - 52) ^ 982 ^ 0x9A ^ 7
    before = oracle.xor32(data[:30])
    assert record.checksum == 0xFEEDBEAF ^ before ^ oracle.xor32(data[52:1024]) ^ fixed
    assert record.short == 0xDEADC0DE ^ before ^ oracle.xor32(data[52:512]) ^ fixed
    assert (record.back, record.flag) == (30, 0x9A)
    assert parse_checksum_record(record.pack()) == record


@pytest.mark.parametrize(
    "numbers",
    [
        {"at": 500, "forward": 0},
        {"at": 0, "forward": 600},
        {"at": 0, "forward": 5000},
        {"at": 30, "forward": 10, "back": 7},
        {"at": 0, "forward": 10, "next_offset": 1500},
    ],
)
def test_impossible_ranges_are_refused(numbers):
    """A record that breaks a rule of the format cannot be built."""
    with pytest.raises(FormatError):
        build_checksum_record(
            bytes(2048), numbers.pop("at"), generation=1, sector_size=512, **numbers
        )


def test_a_good_log_is_ok(forge):
    """All records are counted, and the end of the data is known."""
    report = ese.check_log(forge.old_log(5))
    assert (report.status, report.error, report.records) == (STATUS.OK, None, 3)
    assert (report.generation, report.end) == (
        5,
        ese.LgPos(generation=5, sector=8 + 1 + 4, offset=122),
    )


@pytest.mark.rule("FRS-08")
@settings(max_examples=100)
@given(data=st.data())
def test_any_changed_byte_of_a_covered_range_is_found(forge, data):
    """Header and all ranges are covered: changing any byte there makes the log unusable."""
    log = forge.old_log(3)
    place = data.draw(st.integers(0, 4095) | st.integers(4096, 4096 + 321))
    place = data.draw(st.sampled_from((place, 4608 + place % 2048, 6656 + place % 122)))
    log[place] ^= data.draw(st.integers(1, 255))
    report = ese.check_log(log)
    assert report.status is STATUS.DAMAGED
    assert report.error in (-501, -514, -541, -1812)


def test_bytes_behind_the_chain_are_not_checked(forge):
    """What follows the last record is fill and may be anything."""
    log = forge.old_log(3)
    log[6656 + 200 : 6656 + 210] = b"0123456789"
    assert ese.check_log(log).status is STATUS.OK


def test_a_torn_last_sector_with_a_shadow_is_patchable(forge):
    """A broken last flush with a good shadow is torn, not damaged; without one it is damaged."""
    log = forge.old_log(3)
    last = forge.add_shadow(log, 3)
    assert ese.check_log(log).status is STATUS.OK
    log[last + 50] ^= 1
    report = ese.check_log(log)
    assert (report.status, report.error, report.problem_offset) == (STATUS.TORN, None, last)
    log[last + 512 + 50] ^= 1
    assert ese.check_log(log).status is STATUS.DAMAGED


def test_a_torn_sector_may_be_wholly_lost(forge):
    """The shadow counts even if nothing of the original sector is left."""
    log = forge.old_log(3)
    last = forge.add_shadow(log, 3)
    log[last : last + 512] = bytes(512)
    assert ese.check_log(log).status is STATUS.TORN


def test_a_shadow_is_no_record_of_the_chain(forge):
    """The mark in a shadow's checksum keeps it from passing as an ordinary record."""
    log = forge.old_log(3, ((0, 100),))
    forge.add_shadow(log, 3, ((0, 100),))
    log[4096:4608] = log[4608:5120]
    assert ese.check_log(log).status is STATUS.TORN
    log[4608:5120] = bytes(512)
    assert ese.check_log(log).status is STATUS.DAMAGED


def test_the_generation_is_part_of_every_checksum(forge):
    """A body under the header of another generation is damaged."""
    log = forge.old_log(3)
    log[:4096] = ese.pack_log_header(forge.log_header(4))
    assert ese.check_log(log).error == -501


@settings(max_examples=60)
@given(
    body=st.binary(max_size=6000),
    numbers=st.tuples(*[st.integers(0, 2**32 - 1) | st.integers(0, 2000)] * 5),
)
def test_walks_over_any_bytes_end(body, numbers):
    """A chain of hostile numbers ends, within the file, with a verdict."""
    record = struct.pack("<BIIIIIB", 42, *numbers, 0xD1)
    walk = walk_chain(BytesFile(bytes(4096) + record + body), 1, 512)
    assert walk.end in ChainEnd
    assert walk.end_offset <= 4096 + 22 + len(body)


@given(st.binary(max_size=9000))
def test_any_bytes_get_a_report(data):
    """check_log never raises for content."""
    report = ese.check_log(data)
    assert (report.status, report.header, report.generation) == (STATUS.DAMAGED, None, None)
    assert report.error == -501


@pytest.mark.parametrize("change", [-1, 1, 512])
def test_the_length_must_be_what_the_header_says(forge, change):
    """A log that is too short or too long is -541."""
    log = forge.old_log(3)
    log = log[:change] if change < 0 else log + bytes(change)
    report = ese.check_log(log)
    assert (report.status, report.error) == (STATUS.DAMAGED, -541)


def test_new_logs_count_their_segments(forge):
    """Used and empty segments, the XOR of stored checksums, and the end of the data."""
    log = forge.new_log(4, used=5)
    report = ese.check_log(log)
    assert (report.status, report.segments_used, report.segments_empty) == (STATUS.OK, 5, 9)
    stored = [int.from_bytes(log[i * 4096 : i * 4096 + 8], "little") for i in range(1, 6)]
    total = 0
    for each in stored:
        total ^= each
    assert (report.checksum, report.last_checksum) == (total, stored[-1])
    assert report.end == ese.LgPos(generation=4, sector=6)


def test_left_overs_of_a_reused_file_are_empty(forge):
    """Segments of an older generation do not count; those of a newer one are corrupt."""
    log = forge.new_log(4, used=3)
    log[4 * 4096 : 5 * 4096] = forge.segment(4, generation=3)
    report = ese.check_log(log)
    assert (report.status, report.segments_used) == (STATUS.OK, 3)
    log[4 * 4096 : 5 * 4096] = forge.segment(4, generation=5)
    assert ese.check_log(log).error == -501


def test_a_shadow_segment_ends_the_data(forge):
    """A segment that is good under the number before it is a shadow: nothing follows."""
    log = forge.new_log(4, used=3)
    log[4 * 4096 : 5 * 4096] = forge.segment(3, generation=4)
    report = ese.check_log(log)
    assert (report.status, report.segments_used, report.segments_empty) == (STATUS.OK, 3, 11)


def test_a_torn_segment_with_a_shadow_is_patchable(forge):
    """A bad segment whose shadow follows is torn; without a shadow the log is corrupt."""
    log = forge.new_log(4, used=3)
    log[4 * 4096 : 5 * 4096] = forge.segment(3, generation=4)
    log[3 * 4096 + 100] ^= 3
    report = ese.check_log(log)
    assert (report.status, report.error, report.segments_used) == (STATUS.TORN, None, 2)
    log[4 * 4096 + 100] ^= 3
    assert ese.check_log(log).error == -501


def test_a_segment_of_the_old_page_format_is_corrupt(forge):
    """Segments carry the new checksum only; a sound old one does not pass."""
    log = forge.new_log(4, used=3)
    segment = bytearray(log[2 * 4096 : 3 * 4096])
    ese.seal_page(segment, 2, new_format=False)
    log[2 * 4096 : 3 * 4096] = segment
    assert ese.verify_page(segment, 2).status == "ok"
    assert ese.check_log(log).error == -501


def test_used_after_empty_is_corrupt(forge):
    """An empty segment ends the data: a used or bad one behind it is damage."""
    log = forge.new_log(4, used=5)
    log[3 * 4096 : 4 * 4096] = bytes(4096)
    assert ese.check_log(log).error == -501
    log = forge.new_log(4, used=2)
    log[5 * 4096 + 9] = 1
    assert ese.check_log(log).error == -501


def test_a_flipped_bit_in_a_segment_is_correctable(forge):
    """Segments follow the correction rule of pages; the log is usable and says so."""
    log = forge.new_log(4, used=3)
    log[2 * 4096 + 1000] ^= 8
    report = ese.check_log(log)
    assert (report.status, report.error) == (STATUS.CORRECTABLE, None)
    assert (report.segments_used, report.segments_correctable) == (3, 1)
    assert report.problem == "segments with one flipped bit each: 1"
    assert any("WARNING" in line for line in log_lines(report))


@pytest.mark.rule("FRS-08")
@settings(max_examples=60)
@given(place=st.integers(0, 4 * 4096 - 1), value=st.integers(1, 255))
def test_any_changed_byte_of_a_new_log_is_found(forge, place, value):
    """Header and used segments are covered: no change of a byte there leaves the status OK."""
    log = forge.new_log(4, used=3)
    log[place] ^= value
    assert ese.check_log(log).status is not STATUS.OK


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(4096, 16 * 4096 - 1), st.integers(0, 255)), max_size=20))
def test_new_logs_of_any_bytes_get_a_report(forge, changes):
    """Any damage behind a good header ends in a status."""
    log = forge.new_log(4, used=6)
    for place, value in changes:
        log[place] = value
    assert ese.check_log(log).status in STATUS
