"""Headers: packing, parsing, choosing the good copy; hostile bytes."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from operator import eq, ge, gt, le, lt, ne

import pytest
from attrs import evolve, fields
from hypothesis import given
from hypothesis import strategies as st

from frskit import ese
from frskit.errors import FormatError
from frskit.ese import header as headers
from frskit.ese.checkpoint import CHECKPOINT_LAYOUT, load_checkpoint, parse_checkpoint
from frskit.ese.fields import pack_attachments, parse_attachments
from frskit.ese.header import (
    DATABASE_LAYOUT,
    parse_database_header,
    read_header_copies,
)
from frskit.ese.logs.header import LOG_LAYOUT, parse_log_header
from frskit.ese.pages.checksums import seal_header
from frskit.ese.sources import BytesFile

RAW = {
    "u8": st.integers(0, 2**8 - 1),
    "u16": st.integers(0, 2**16 - 1),
    "u32": st.integers(0, 2**32 - 1),
    "i32": st.integers(-(2**31), 2**31 - 1),
    "u64": st.integers(0, 2**64 - 1),
    "time": st.binary(min_size=8, max_size=8).map(lambda raw: ese.LogTime(raw=raw)),
}
RAW["lgpos"] = st.builds(ese.LgPos, generation=RAW["i32"], sector=RAW["u16"], offset=RAW["u16"])
RAW["signature"] = st.builds(
    ese.Signature,
    random=RAW["u32"],
    created=RAW["time"],
    computer_name=st.binary(min_size=16, max_size=16),
)
RAW["backup"] = st.builds(
    ese.BackupRange,
    mark=RAW["lgpos"],
    time=RAW["time"],
    first_generation=RAW["u32"],
    last_generation=RAW["u32"],
)
PATHS = st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=260)
RAW["parameters"] = st.builds(
    ese.DbmsParameters,
    system_path=PATHS,
    log_path=PATHS,
    flags=RAW["u8"],
    counters=st.tuples(*[RAW["u32"]] * 7),
)
RAW["attachments"] = st.lists(
    st.builds(
        ese.AttachInfo,
        dbid=st.integers(1, 255),
        flags=RAW["u8"],
        dbtime=RAW["u64"],
        last_objid=RAW["u32"],
        max_size_pages=RAW["i32"],
        attach=RAW["lgpos"],
        consistent=RAW["lgpos"],
        db_signature=RAW["signature"],
        names=st.binary(max_size=100),
    ),
    max_size=5,
).map(tuple)


def values(layout, **fixed):
    """Arbitrary values for all fields of a layout."""
    rows = {row.name: RAW[row.kind] for row in layout if row.name not in fixed}
    return st.fixed_dictionaries(rows).map(lambda drawn: {**drawn, **fixed})


@given(values(DATABASE_LAYOUT, page_size=4096), st.sampled_from((0, 2048, 4096, 8192, 32768)))
def test_database_headers_survive_packing(drawn, size):
    """Every field of a database header comes back as it was packed."""
    header = ese.DatabaseHeader(**{**drawn, "page_size": size})
    page = ese.pack_database_header(header)
    assert len(page) == (size or 4096)
    assert parse_database_header(page) == header


@given(values(LOG_LAYOUT))
def test_log_headers_survive_packing(drawn):
    """Every field of a log header comes back as it was packed."""
    header = ese.LogHeader(**drawn)
    assert parse_log_header(ese.pack_log_header(header)) == header


@given(values(CHECKPOINT_LAYOUT))
def test_checkpoints_survive_packing(drawn):
    """Every field of a checkpoint comes back, from either copy."""
    checkpoint = ese.Checkpoint(**drawn)
    data = ese.pack_checkpoint(checkpoint)
    assert len(data) == 8192
    assert parse_checkpoint(data[:4096]) == parse_checkpoint(data[4096:]) == checkpoint


@pytest.mark.parametrize(
    ("layout", "kind"),
    [
        (DATABASE_LAYOUT, ese.DatabaseHeader),
        (LOG_LAYOUT, ese.LogHeader),
        (CHECKPOINT_LAYOUT, ese.Checkpoint),
    ],
)
def test_layouts_name_every_field_and_do_not_overlap(layout, kind):
    """A layout has one row per attribute, in ascending places."""
    assert [row.name for row in layout] == [each.name for each in fields(kind)]
    for row, following in pairwise(layout):
        assert row.end <= following.offset, row.name
    assert layout.end == max(row.end for row in layout)
    assert layout.end in (748, 2719, 2727)


def test_too_large_values_are_refused():
    """A value that does not fit its field is a typed error that names the field."""
    with pytest.raises(FormatError, match="gen_min_required"):
        ese.pack_database_header(ese.DatabaseHeader(gen_min_required=2**31))
    with pytest.raises(FormatError, match="page"):
        ese.pack_database_header(ese.DatabaseHeader(page_size=5000))
    with pytest.raises(FormatError):
        ese.pack_log_header(ese.LogHeader(parameters=ese.DbmsParameters(log_path="x" * 261)))
    with pytest.raises(FormatError, match="attached"):
        pack_attachments([ese.AttachInfo(dbid=1, names=bytes(1000))] * 2)


def test_a_path_without_an_end_is_read_and_packed_again():
    """A path that fills its field, terminator included, is cut to what can be packed."""
    area = bytearray(ese.pack_checkpoint_copy(ese.Checkpoint()))
    area[48 : 48 + 522] = b"x" * 522
    seal_header(area)
    found = ese.read_checkpoint(area)
    assert found.parameters.system_path == found.parameters.log_path == "x" * 260
    assert ese.read_checkpoint(ese.pack_checkpoint(found)) == found


def test_a_full_attachment_list_is_packed_again():
    """A list that leaves no room for its end is read, and packed as it was."""
    attached = (ese.AttachInfo(dbid=1, names=bytes(960)),) * 2
    area = pack_attachments(attached)
    assert len(area) == 2048
    assert parse_attachments(area) == attached


@given(st.binary(max_size=2048))
def test_attachment_lists_of_any_bytes_end(area):
    """A damaged attachment list is cut short, never an error."""
    for each in parse_attachments(area):
        assert each.dbid > 0
        assert isinstance(each.path, str)


def test_attachment_paths_in_both_codings():
    """Names are Latin-1 or, with flag 0x20, UTF-16; what follows the NUL does not count."""
    assert ese.AttachInfo(dbid=1, names=b"C:\\a.edb\0C:\\a.stm\0").path == "C:\\a.edb"
    wide = "C:\\ü.edb\0".encode("utf-16-le")
    assert ese.AttachInfo(dbid=1, flags=0x20, names=wide).path == "C:\\ü.edb"


@pytest.mark.parametrize("size", [2048, 4096, 8192, 16384, 32768])
@pytest.mark.parametrize(
    ("damage", "condition"),
    [((), "ok"), ((0,), "primary bad"), ((1,), "secondary bad"), ((0, 1), None)],
)
def test_the_good_copy_is_chosen(forge, size, damage, condition):
    """Each page size is found, from either copy; with both bad it is -1018."""
    data = bytearray(forge.header(size, dbtime_dirtied=5) * 2)
    for copy in damage:
        data[copy * size + 100] ^= 1
    if condition is None:
        with pytest.raises(FormatError) as caught:
            ese.read_database_header(data)
        assert caught.value.native == -1018
        return
    copies = read_header_copies(BytesFile(data))
    assert (copies.condition, copies.page_size) == (condition, size)
    assert copies.header.dbtime_dirtied == 5


@pytest.mark.parametrize("size", [2048, 4096, 32768])
def test_a_header_is_read_in_one_go_and_summed_as_few_sizes(forge, monkeypatch, size):
    """Headers are read while mail stands still: no read and no checksum for every size there is."""
    asked, summed = [], []

    class Counted(BytesFile):
        def read_at(self, offset, length, /):
            asked.append(offset)
            return super().read_at(offset, length)

    def counted(data):
        summed.append(len(data))
        return word_sum(data)

    word_sum = headers.header_checksum
    monkeypatch.setattr(headers, "header_checksum", counted)
    found = read_header_copies(Counted(forge.header(size) * 2))
    assert (found.page_size, found.condition) == (size, "ok")
    assert len(asked) == 1
    assert len(summed) <= 5


def test_two_good_copies_that_differ_use_the_first(forge):
    """A crash between the two writes leaves different good copies; the first one counts."""
    data = forge.header(dbtime_dirtied=6) + forge.header(dbtime_dirtied=5)
    copies = read_header_copies(BytesFile(data))
    assert copies.condition == "copies differ"
    assert copies.header.dbtime_dirtied == 6


def test_a_page_size_of_zero_means_4096(forge):
    """Old headers leave the page size out."""
    page = forge.header(0)
    assert len(page) == 4096
    assert read_header_copies(BytesFile(page * 2)).page_size == 4096


@pytest.mark.parametrize("size", [1, 5000, 65536, 2**32 - 1])
def test_a_hostile_page_size_is_refused(forge, size):
    """A header that claims an impossible page size never verifies."""
    page = bytearray(forge.header(8192))
    page[236:240] = size.to_bytes(4, "little")
    seal_header(page)
    with pytest.raises(FormatError):
        ese.read_database_header(bytes(page) * 2)


def test_kinds_are_told_apart(forge):
    """`identify` knows each kind by its header, and UNKNOWN where there is none."""
    kinds = ese.FileKind
    assert ese.identify(forge.header() * 2) is kinds.DATABASE
    assert ese.identify(forge.header(32768) * 2) is kinds.DATABASE
    assert ese.identify(forge.header(attribute=1, file_type=2) * 2) is kinds.STREAMING_FILE
    assert ese.identify(forge.header(file_type=0) * 2) is kinds.DATABASE
    assert ese.identify(forge.header(file_type=0, attribute=1) * 2) is kinds.STREAMING_FILE
    assert ese.identify(forge.old_log()) is kinds.LOG
    assert ese.identify(forge.checkpoint(5)) is kinds.CHECKPOINT
    assert ese.identify(b"MZ" * 9000) is kinds.UNKNOWN
    assert ese.identify(b"") is kinds.UNKNOWN


@pytest.mark.parametrize("maker", ["old_log", "checkpoint"])
def test_other_kinds_are_not_read_as_databases(forge, maker):
    """A log or checkpoint given as a database is error -1812 and says what it is."""
    data = forge.old_log() if maker == "old_log" else forge.checkpoint(3)
    with pytest.raises(FormatError, match=r"log|checkpoint") as caught:
        ese.read_database_header(data)
    assert caught.value.native == -1812


def test_checkpoints_fall_back_to_the_second_copy(forge):
    """Either copy will do; both bad is -533, another kind is -1812."""
    data = bytearray(forge.checkpoint(9))
    assert ese.read_checkpoint(data).generation == 9
    data[50] ^= 1
    assert load_checkpoint(BytesFile(data))[1] == "primary bad"
    assert ese.read_checkpoint(data).generation == 9
    data[5000] ^= 1
    with pytest.raises(FormatError) as caught:
        ese.read_checkpoint(data)
    assert caught.value.native == -533
    with pytest.raises(FormatError) as caught:
        ese.read_checkpoint(forge.old_log())
    assert caught.value.native == -1812


def test_log_headers_are_checked(forge):
    """Checksum, type, version and geometry each have their error number."""
    good = forge.log_header()
    for header, native in (
        (evolve(good, file_type=1), -1812),
        (evolve(good, major=9), -514),
        (evolve(good, sector_size=100), -501),
        (evolve(good, sector_size=0), -501),
        (evolve(good, header_sectors=9), -501),
        (evolve(good, major=8), -501),
    ):
        with pytest.raises(FormatError) as caught:
            ese.read_log_header(ese.pack_log_header(header))
        assert caught.value.native == native
    data = bytearray(ese.pack_log_header(good))
    assert ese.read_log_header(data) == good
    data[300] ^= 1
    with pytest.raises(FormatError) as caught:
        ese.read_log_header(data)
    assert caught.value.native == -501


@given(st.binary(max_size=9000))
def test_header_readers_take_any_bytes(data):
    """Readers of headers raise FormatError or return, whatever they are given."""
    for read in (ese.read_database_header, ese.read_log_header, ese.read_checkpoint):
        with pytest.raises(FormatError):
            read(data)
    assert ese.identify(data) is ese.FileKind.UNKNOWN


def test_log_positions_are_ordered_and_printed():
    """Positions compare by generation, sector, byte, and print in hexadecimal."""
    low = ese.LgPos(generation=1, sector=9, offset=9)
    high = ese.LgPos(generation=2, sector=0, offset=0)
    assert low < high
    assert str(ese.LgPos(generation=1, sector=76, offset=444)) == "(0x1,4C,1BC)"
    assert not ese.LgPos().is_set


PARTS = st.tuples(*[st.integers(0, 2)] * 3)


@given(PARTS, PARTS)
def test_log_positions_compare_as_their_three_parts_do(one, other):
    """All six comparisons agree with each other, whichever part makes the difference."""
    left, right = (
        ese.LgPos(generation=generation, sector=sector, offset=offset)
        for generation, sector, offset in (one, other)
    )
    for compare in (lt, le, eq, ne, gt, ge):
        assert compare(left, right) is compare(one, other), compare
    assert (hash(left) == hash(right)) is (one == other)


@pytest.mark.parametrize("compare", [lt, le, gt, ge])
def test_a_log_position_is_not_ordered_among_other_things(compare):
    """A position and its parts are not to be mixed up: that is a mistake, not an order."""
    with pytest.raises(TypeError):
        compare(ese.LgPos(generation=1), (1, 0, 0))
    assert ese.LgPos(generation=1) != (1, 0, 0)


def test_log_times_keep_milliseconds_and_say_when_unset():
    """A modern stamp keeps milliseconds and UTC; an unset one is no date."""
    moment = datetime(2005, 7, 15, 13, 14, 15, 999_000, tzinfo=UTC)
    stamp = ese.LogTime.of(moment)
    assert stamp.to_datetime() == moment
    assert stamp.is_utc
    assert str(stamp) == "07/15/2005 13:14:15.999"
    old = ese.LogTime.of(moment, modern=False)
    assert (old.is_utc, old.milliseconds) == (False, 0)
    assert str(ese.LogTime()) == "00/00/1900 00:00:00"
    assert ese.LogTime().to_datetime() is None


@given(st.binary(min_size=8, max_size=8))
def test_log_times_of_any_bytes_print(raw):
    """Nonsense in a time stamp is kept and printable, never an error."""
    stamp = ese.LogTime(raw=raw)
    assert str(stamp)
    moment = stamp.to_datetime()
    assert moment is None or moment.tzinfo is UTC


def test_states_have_eseutils_words():
    """All states of the table, and "Illegal" for anything else."""
    words = [ese.DatabaseHeader(state=state).state_text for state in range(10)]
    assert words[1:4] == ["Just Created", "Dirty Shutdown", "Clean Shutdown"]
    assert words[0] == words[9] == "Illegal"
