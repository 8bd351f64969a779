"""The three spellings of an object's identity, against real dumps and for every object we make."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frskit.errors import FormatError, UsageError
from frskit.eva.identifiers import (
    Numbering,
    ObjectClass,
    ObjectIdentity,
    dashed,
    port_name,
    storage_id,
    wwlun_name,
)
from frskit.model.storage import CopyKind

DUMPED = [
    (
        "7A200710B4080560D62E100000A0000000004006",
        "6005-08b4-0010-2ed6-0000-a000-0640-0000",
        "8314.7.16.1610942644.1060566.40960.104857600",
    ),
    (
        "27210710B4080560D62E100001D000000000F502",
        "6005-08b4-0010-2ed6-0000-d001-02f5-0000",
        "8487.7.16.1610942644.1060566.53249.49610752",
    ),
    (
        "00010710B4080560D62E10000080000000001E00",
        "6005-08b4-0010-2ed6-0000-8000-001e-0000",
        "256.7.16.1610942644.1060566.32768.1966080",
    ),
]


@pytest.mark.rule("EVA-41")
@pytest.mark.parametrize(("objectid", "hexuid", "uid"), DUMPED)
def test_spellings_seen_on_a_real_array(objectid, hexuid, uid):
    """Identities read from a real array's output agree in all three spellings."""
    one = ObjectIdentity.from_objectid(objectid)
    assert (one.objectid, one.objecthexuid, one.uid) == (objectid, hexuid, uid)
    assert ObjectIdentity.from_uid(uid) == one


@pytest.mark.rule("EVA-41")
def test_every_identity_in_the_real_dumps(real_data):
    """Every objectid, objecthexuid and uid in the real dumps encode one number."""
    seen = 0
    for path in sorted((real_data / "eva").glob("*.xml")):
        text = path.read_text()
        for prefix in ("object", "objectparent"):
            ids = re.findall(f"<{prefix}id>([0-9A-F]{{40}})<", text)
            hexuids = re.findall(f"<{prefix}hexuid>([0-9a-f-]{{39}})<", text)
            for objectid, hexuid in zip(ids, hexuids, strict=True):
                assert ObjectIdentity.from_objectid(objectid).objecthexuid == hexuid
                seen += 1
    assert seen >= 5


words = st.integers(0, 0xFFFFFFFF)
identities = st.builds(
    ObjectIdentity,
    handle=st.integers(0, 0xFFFF),
    words=st.tuples(words, words, words, words),
    kind=st.tuples(st.integers(0, 255), st.integers(0, 255)),
)


@pytest.mark.rule("EVA-41")
@given(identities)
def test_spellings_round_trip(identity):
    """Each spelling with the handle gives the identity back; the third is its big-endian words."""
    assert ObjectIdentity.from_objectid(identity.objectid) == identity
    assert ObjectIdentity.from_uid(identity.uid) == identity
    assert identity.objecthexuid == dashed(identity.hexuid)
    big = b"".join(word.to_bytes(4, "big") for word in identity.words)
    assert identity.hexuid == big.hex()


@given(st.text(max_size=50))
def test_foreign_text_is_refused_with_a_typed_error(text):
    """No text makes the readers raise anything but FormatError."""
    for read in (ObjectIdentity.from_objectid, ObjectIdentity.from_uid):
        try:
            read(text)
        except FormatError:
            continue


@pytest.mark.parametrize("text", ["", "1.2.3", "65536.7.16.0.0.0.0", "1.256.1.0.0.0.0"])
def test_uid_out_of_range_is_refused(text):
    """Numbers that do not fit their field are refused."""
    with pytest.raises(FormatError):
        ObjectIdentity.from_uid(text)


@pytest.mark.rule("EVA-42")
def test_numbers_are_never_given_twice():
    """A hundred thousand objects, past the overflow of the counter's half word, all differ."""
    numbering = Numbering(cell_word=5)
    seen = set()
    for index in range(100_000):
        kind = list(ObjectClass)[index % len(ObjectClass)]
        identity, numbering = numbering.next(kind)
        assert 0 <= identity.handle <= 0xFFFF
        seen.add(identity.words[3])
    assert len(seen) == 100_000


def test_words_of_new_objects_look_like_the_dumps():
    """Third word and handle range of new objects are those of the real array's classes."""
    disk, numbering = Numbering(cell_word=0x00102ED6, count=0x63F).next(ObjectClass.VDISK)
    assert disk.objecthexuid == "6005-08b4-0010-2ed6-0000-a000-0640-0000"
    snapshot, _ = numbering.next(ObjectClass.SNAPSHOT)
    assert snapshot.words[2] == 0xD001
    assert disk.handle >> 12 == snapshot.handle >> 12 == 2


def test_lun_and_port_names_are_read_in_any_spelling():
    """Dashes, colons and case do not matter; other lengths and types are refused."""
    assert wwlun_name("6005-08B4-0010-2ED6-0000-A000-0640-0000") == wwlun_name(
        "naa:600508b400102ed60000a00006400000"
    )
    assert port_name("10:00:00:00:c9:6c:c6:99") == "1000-0000-C96C-C699"
    assert port_name(" iqn.2001-04.com.Example ") == "iqn.2001-04.com.example"
    for text in ("", "6005", "5" + "0" * 31, "6" + "g" * 31):
        with pytest.raises(UsageError):
            wwlun_name(text)


@pytest.mark.rule("EVA-41", "EVA-42")
def test_objects_of_the_array_have_consistent_names(bench, kind):
    """Disks and copies: LUN name is the object's hex id, unique, and stable across changes."""
    source = bench.disk()
    copy = bench.copy(kind, source, name="copy")
    for storage in (source, copy.id):
        view = bench.array.describe(storage)
        assert view.wwlun == view.identity.objecthexuid
        assert storage == storage_id(view.identity) == f"eva:{view.identity.objectid.lower()}"
        [listed] = bench.array.storage([storage])
        assert listed.identifiers == (f"naa:{view.identity.hexuid}",)
    bench.array.rename_storage(copy.id, "renamed")
    bench.show(copy.id)
    if kind is CopyKind.SNAPCLONE:
        bench.clock.advance(1000)
        bench.array.resize_storage(copy.id, 16 << 20)
    [renamed] = bench.array.storage([copy.id])
    assert renamed.name == "renamed"
    assert bench.array.describe(copy.id).wwlun == dashed(
        renamed.identifiers[0].removeprefix("naa:")
    )
