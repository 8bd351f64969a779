"""Pages, records, keys and log records: bytes and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frskit.errors import StoreError, UsageError
from frskit.exchange.store import Message, StoreProfile
from frskit.exchange.store import log_records as lr
from frskit.exchange.store.pages import PAGE_SIZE, Page, PageFlag
from frskit.exchange.store.row_codec import (
    MessagePart,
    decode_part,
    encode_part,
    key_of_long,
    key_of_short,
    key_of_text,
    split_message,
)
from frskit.model.ese_structures import LgPos, LogTime, Signature

SUBJECTS = st.text(
    st.characters(codec="cp1252", exclude_characters="\0", exclude_categories=("Cs",)),
    max_size=255,
)


def leaf():
    return Page.empty(6, PageFlag.LEAF)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("insert", "delete", "replace")),
            st.integers(0, 30),
            st.binary(max_size=300),
        ),
        max_size=60,
    )
)
def test_page_behaves_as_a_sorted_list_of_nodes(steps):
    """Insert, delete and replace keep exactly the nodes that a dictionary keeps."""
    page, model = leaf(), {}
    for action, number, data in steps:
        key = key_of_long(number)
        slot, found = page.find(key)
        assert found == (key in model)
        if action == "insert" and not found and page.has_room(key, data):
            page.insert(slot, key, data)
            model[key] = data
        elif action == "delete" and found:
            page.delete(slot)
            del model[key]
        elif action == "replace" and found and len(data) - len(model[key]) <= page.free_bytes:
            page.replace(slot, data)
            model[key] = data
    assert page.nodes() == sorted(model.items())
    used = sum(6 + len(key) + len(data) for key, data in model.items())
    assert page.free_bytes == PAGE_SIZE - 40 - 4 - used
    assert Page.from_image(page.image()).data == page.data


def test_page_refuses_what_does_not_fit():
    """A node that is too large, a slot that is not there and a growing replace are -1206."""
    page = leaf()
    page.insert(0, b"a", bytes(3000))
    for call in (
        lambda: page.insert(0, b"b", bytes(2000)),
        lambda: page.insert(5, b"b", b""),
        lambda: page.delete(1),
        lambda: page.replace(1, b""),
        lambda: page.replace(0, bytes(4050)),
        lambda: page.fill([(b"a", bytes(5000))]),
        lambda: page.key(1),
    ):
        with pytest.raises(StoreError) as caught:
            call()
        assert caught.value.native == -1206
    assert page.nodes() == [(b"a", bytes(3000))]


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_no_image(data):
    """A page image from a damaged log is refused, never half taken."""
    try:
        page = Page.from_image(data)
    except StoreError as error:
        assert error.native == -501
    else:
        assert len(page.data) == PAGE_SIZE


def test_branch_routes_by_exclusive_bounds():
    """A key equal to a bound belongs to the right, one beyond all bounds to the last child."""
    page = Page.empty(6, PageFlag.PARENT_OF_LEAF)
    page.fill([(b"b", b"\1\0\0\0"), (b"d", b"\2\0\0\0"), (b"", b"\3\0\0\0")])
    routes = {key: page.child(page.route(key)) for key in (b"", b"a", b"b", b"c", b"d", b"z")}
    assert routes == {b"": 1, b"a": 1, b"b": 2, b"c": 2, b"d": 3, b"z": 3}


def test_page_fields_keep_apart():
    """Numbers in the page header do not overlap, and a copy shares nothing."""
    page = Page.empty(9, PageFlag.ROOT | PageFlag.LEAF, bytes(16))
    page.dbtime, page.previous, page.following = 1 << 40, 0xFFFFFFFF, 0x12345678
    twin = page.copy()
    twin.dbtime = 1
    assert (page.dbtime, page.previous, page.following) == (1 << 40, 0xFFFFFFFF, 0x12345678)
    assert (page.objid, page.count, page.external, page.is_leaf) == (9, 0, bytes(16), True)


@given(
    st.builds(
        MessagePart,
        id=st.integers(0, 2**31 - 1),
        part=st.integers(0, 1000),
        folder=st.integers(-(2**31), 2**31 - 1),
        txid=st.integers(0, 2**62),
        subject=SUBJECTS,
        body=st.binary(max_size=1024),
    )
)
def test_rows_survive_coding(part):
    """What is laid out as a record is read back unchanged."""
    assert decode_part(encode_part(part)) == part


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_no_row(data):
    """Damaged records raise the engine's corruption error and nothing else."""
    try:
        decode_part(data)
    except StoreError as error:
        assert error.native == -1206


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=2, max_size=10))
def test_keys_sort_like_numbers(numbers):
    """The order of keys is the order of the numbers, negative ones first."""
    assert sorted(numbers) == [
        int.from_bytes(key[1:], "big") - (1 << 31) for key in sorted(map(key_of_long, numbers))
    ]


def test_short_and_text_keys():
    """Key segments as real catalogs show them."""
    assert key_of_short(2) == bytes.fromhex("7f8002")
    assert key_of_text("MSysObjects") == b"\x7fMSYSOBJECTS\0"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"subject": "\u4f60"}, "code page"),
        ({"subject": "x" * 256}, "256 bytes"),
        ({"subject": "a\0b"}, "NUL"),
        ({"subject": "x", "folder": 1 << 31}, "32-bit"),
    ],
)
def test_messages_that_cannot_be_stored_are_refused(arguments, part):
    """The limits of the columns are told before anything is written."""
    with pytest.raises(UsageError, match=part):
        Message(**arguments)


def test_long_bodies_become_parts():
    """A body is cut at every kilobyte; an empty one still has one row."""
    sizes = [len(each.body) for each in split_message(Message(subject="s", body=bytes(2500)), 1, 2)]
    assert sizes == [1024, 1024, 452]
    assert len(split_message(Message(subject="s"), 1, 2)) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"log_sectors": 100},
        {"log_sectors": 70_000},
        {"generation_digits": 6},
        {"initial_pages": 10},
        {"growth_pages": 0},
    ],
)
def test_impossible_profiles_are_refused(arguments):
    """A profile that the format cannot express is a usage error."""
    with pytest.raises(UsageError):
        StoreProfile(**arguments)


SIGNATURES = st.builds(
    Signature,
    random=st.integers(0, 2**32 - 1),
    created=st.builds(LogTime, raw=st.binary(min_size=8, max_size=8)),
)
POSITIONS = st.builds(
    LgPos,
    generation=st.integers(0, 2**31 - 1),
    sector=st.integers(0, 65535),
    offset=st.integers(0, 511),
)
IDS = st.integers(0, 2**63)
IMAGES = st.builds(
    lr.PageImage,
    page=st.integers(1, 2**32 - 1),
    before=IDS,
    after=IDS,
    image=st.binary(max_size=100),
)
RECORDS = st.one_of(
    st.builds(lr.Begin, txid=IDS),
    st.builds(lr.Commit, txid=IDS),
    st.builds(lr.Rollback, txid=IDS),
    st.builds(
        lr.Operation,
        kind=st.sampled_from(lr.NodeChange),
        txid=IDS,
        dbid=st.integers(1, 250),
        page=st.integers(1, 2**32 - 1),
        before=IDS,
        after=IDS,
        slot=st.integers(0, 1000),
        compensation=st.booleans(),
        key=st.binary(max_size=20),
        old=st.binary(max_size=50),
        new=st.binary(max_size=50),
    ),
    st.builds(
        lr.NewPages,
        dbid=st.integers(1, 250),
        pages=st.lists(IMAGES, max_size=4).map(tuple),
    ),
    st.builds(lr.TornPageImage, dbid=st.integers(1, 250), page=IMAGES),
    st.builds(
        lr.CreateDatabase,
        dbid=st.integers(1, 250),
        pages=st.integers(1, 10**6),
        legacy=st.booleans(),
        signature=SIGNATURES,
        slv_signature=SIGNATURES,
        path=st.text(max_size=30),
    ),
    st.builds(
        lr.Attach,
        dbid=st.integers(1, 250),
        consistent=POSITIONS,
        signature=SIGNATURES,
        path=st.text(max_size=30),
    ),
    st.builds(lr.Detach, dbid=st.integers(1, 250), signature=SIGNATURES, abandoned=st.booleans()),
    st.builds(
        lr.BackupMark,
        kind=st.integers(0, 3),
        first_generation=st.integers(0, 2**31),
        last_generation=st.integers(0, 2**31),
    ),
)


@given(st.lists(RECORDS, max_size=8), st.integers(0, 600))
def test_log_records_survive_coding(records, padding):
    """Any sequence of records, padded with NOPs and closed by END, is read back."""
    data = b"".join(map(lr.encode_record, records)) + bytes([lr.END]) + bytes(padding)
    assert [record for _, record in lr.decode_records(data)] == records
    about_databases = (lr.CreateDatabase, lr.Attach, lr.Detach, lr.BackupMark)
    assert [record for _, record in lr.decode_records(data, administrative=True)] == [
        each for each in records if isinstance(each, about_databases)
    ]


@given(st.binary(min_size=1, max_size=80))
def test_arbitrary_bytes_are_no_log_records(data):
    """A damaged range raises "log corrupt" and nothing else."""
    try:
        list(lr.decode_records(data))
    except StoreError as error:
        assert error.native == -501


def test_record_numbers_are_unassigned_ones():
    """All types but NOP and END lie between 102 and 127 (frskit's choice)."""
    numbers = {lr.encode_record(lr.Begin(txid=1))[0], lr.encode_record(lr.Commit(txid=1))[0]}
    numbers |= {kind.value for kind in lr.NodeChange}
    assert all(102 <= number <= 127 for number in numbers)


def test_oversized_records_are_refused():
    """A record that its 16-bit length cannot express is an error, not a wrong log."""
    image = lr.PageImage(page=1, before=0, after=1, image=bytes(40_000))
    with pytest.raises(StoreError) as caught:
        lr.encode_record(lr.NewPages(dbid=1, pages=(image, image)))
    assert caught.value.native == -1026
