"""The XML documents: byte-stable, tolerant, and deaf to attacks."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frskit.errors import DocumentError
from frskit.model.components import (
    BackupSchema,
    BackupType,
    Component,
    ComponentId,
    ComponentKind,
    WriterLevel,
    WriterMetadata,
)
from frskit.model.files import FileRole, FileSet
from frskit.model.shadows import LunInformation
from frskit.vss import (
    BackupDocument,
    read_backup_components,
    read_writer_metadata,
    with_outcomes,
    write_backup_components,
    write_writer_metadata,
)
from frskit.vss.documents import xml as xmltext
from frskit.vss.documents.backup_document import (
    DocumentComponent,
    DocumentShadow,
    DocumentWriter,
    schema_of,
)
from frskit.vss.documents.xml import XmlText

texts = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=20
)
guids = st.uuids().map(str)
luns = st.builds(
    LunInformation,
    storage=texts,
    identifiers=st.lists(texts, max_size=2).map(tuple),
    vendor=texts,
    product=texts,
    serial=texts,
    signature=texts,
    bus=texts,
)
shadows = st.builds(
    DocumentShadow,
    id=guids,
    volume=texts,
    mount_point=texts,
    provider_id=guids,
    source=luns,
    target=luns,
    offset_bytes=st.integers(0, 2**63),
    length_bytes=st.integers(0, 2**63),
)


@st.composite
def writers(draw):
    """A writer of a document with components of its own."""
    writer_id = draw(guids)
    components = draw(
        st.lists(
            st.builds(
                DocumentComponent,
                id=st.builds(
                    ComponentId, writer_id=st.just(writer_id), logical_path=texts, name=texts
                ),
                kind=st.sampled_from(ComponentKind),
                stamp=texts,
                metadata=texts,
                succeeded=st.none() | st.booleans(),
            ),
            max_size=3,
            unique_by=lambda each: each.id,
        )
    )
    return DocumentWriter(
        writer_id=writer_id,
        instance_id=draw(guids),
        schema=draw(st.sampled_from([frozenset(), frozenset({BackupSchema.COPY})])),
        components=tuple(components),
    )


documents = st.builds(
    BackupDocument,
    set_id=guids,
    backup_type=st.sampled_from(BackupType),
    context=st.integers(0, 2**32 - 1),
    writers=st.lists(writers(), max_size=2).map(tuple),
    shadows=st.lists(shadows, min_size=1, max_size=3).map(tuple),
)


@pytest.mark.rule("VSS-47")
@given(documents)
def test_backup_document_round_trip(document):
    """What is written is read again, and writing it once more gives the same bytes."""
    data = write_backup_components(document)
    again = read_backup_components(data)
    assert again == document
    assert write_backup_components(again) == data
    assert XmlText(data).to_bytes() == data


file_sets = st.builds(
    FileSet,
    path=texts,
    pattern=texts,
    recursive=st.booleans(),
    role=st.sampled_from(FileRole),
)


@st.composite
def metadata(draw):
    """Any writer metadata that a writer may report."""
    writer_id = draw(guids)
    components = draw(
        st.lists(
            st.builds(
                Component,
                id=st.builds(
                    ComponentId, writer_id=st.just(writer_id), logical_path=texts, name=texts
                ),
                caption=texts | st.just("line\none"),
                kind=st.sampled_from(ComponentKind),
                selectable=st.booleans(),
                selectable_for_restore=st.booleans(),
                notify_on_backup_complete=st.booleans(),
                files=st.lists(file_sets, max_size=2).map(tuple),
            ),
            max_size=3,
        )
    )
    return WriterMetadata(
        writer_id=writer_id,
        instance_id=draw(guids),
        name=draw(texts),
        components=tuple(components),
        level=draw(st.sampled_from(WriterLevel)),
        freeze_timeout_s=draw(st.floats(0.5, 1000)),
        excluded=tuple(
            attrs.evolve(each, role=FileRole.LOG) for each in draw(st.lists(file_sets, max_size=2))
        ),
    )


@given(metadata())
def test_metadata_round_trip(value):
    """Writer metadata comes back equal, with level, window and roles."""
    data = write_writer_metadata(value)
    assert read_writer_metadata(data) == value
    assert write_writer_metadata(read_writer_metadata(data)) == data


BCD = (
    '<BACKUP_COMPONENTS xmlns="x-schema:#VssComponentMetadata" version="1.2" odd=\'1\' '
    'backupType="full" snapshotSetId="{E109943B-232E-4B52-8DC4-62B7DE94761B}"><!-- kept -->'
    '<WRITER_COMPONENTS instanceId="1bddd48e-5052-49db-9b07-b96f96727e6b" '
    'writerId="{D61D61C8-D73A-4EEE-8CDD-F6F9786B7124}" backupSchema="0">\r\n'
    '<COMPONENT  componentName="a&amp;b"   componentType="database" new="x"/>'
    '<BACKUP_METADATA xmlns="" metadata="q"/><FUTURE><X y="z">text</X></FUTURE>'
    "</WRITER_COMPONENTS></BACKUP_COMPONENTS>"
)
ENCODINGS = [
    ("utf-8", b"", b""),
    ("utf-8", b"\xef\xbb\xbf", b"\0"),
    ("utf-16-le", b"", b"\0\0"),
    ("utf-16-le", b"\xff\xfe", b""),
    ("utf-16-be", b"\xfe\xff", b"\0\0\0\0"),
    ("utf-16-be", b"", b""),
]


@pytest.mark.rule("VSS-67", "VSS-68")
@pytest.mark.parametrize(("codec", "mark", "tail"), ENCODINGS)
@pytest.mark.parametrize("prolog", ["", '<?xml version="1.0" encoding="utf-16"?>\r\n'])
def test_amending_keeps_every_other_byte(codec, mark, tail, prolog):
    """Outcomes are spliced in; encoding, mark, tail, prolog and unknown content stay as they are."""
    data = mark + (prolog + BCD).encode(codec) + tail
    document = read_backup_components(data)
    assert document.set_id == "e109943b-232e-4b52-8dc4-62b7de94761b"
    (component,) = document.writers[0].components
    assert component.id.name == "a&b"
    assert component.id.writer_id == "d61d61c8-d73a-4eee-8cdd-f6f9786b7124"
    assert component.kind is ComponentKind.DATABASE
    amended = with_outcomes(data, {component.id: False})
    assert read_backup_components(amended).writers[0].components[0].succeeded is False
    added = ' xmlns:frskit="urn:frskit:shadow-copy-set:1" frskit:succeeded="no"'.encode(codec)
    assert amended.replace(added, b"") == data
    twice = with_outcomes(amended, {component.id: True})
    assert len(twice) == len(amended) + len("s".encode(codec))


def test_unknown_component_cannot_be_amended():
    """An outcome for a component that the document does not have is refused."""
    stranger = ComponentId(
        writer_id="d61d61c8-d73a-4eee-8cdd-f6f9786b7124", logical_path="", name="x"
    )
    with pytest.raises(DocumentError):
        with_outcomes(BCD.encode(), {stranger: True})


ATTACKS = {
    "dtd": '<!DOCTYPE BACKUP_COMPONENTS SYSTEM "file:///etc/passwd"><BACKUP_COMPONENTS/>',
    "entity": '<!DOCTYPE x [<!ENTITY e "boom">]><BACKUP_COMPONENTS a="&e;"/>',
    "undeclared entity": '<BACKUP_COMPONENTS a="&e;"/>',
    "bomb": '<!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><BACKUP_COMPONENTS>&b;</BACKUP_COMPONENTS>',
    "other root": "<OTHER/>",
    "empty": "",
    "text": "hello",
    "cut": BCD[:200],
    "bad guid": BCD.replace("1bddd48e", "zzzz"),
    "no name": BCD.replace("writerId", "w"),
    "bad number": BCD.replace('backupSchema="0"', 'backupSchema="-1"'),
    "schema contradiction": BCD.replace('backupSchema="0"', 'backupSchema="4"'),
    "deep": "<BACKUP_COMPONENTS>" + "<a>" * 100 + "</a>" * 100 + "</BACKUP_COMPONENTS>",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_bad_documents_are_refused(name):
    """Attacks and damage give DocumentError with a native code, never anything else."""
    with pytest.raises(DocumentError) as caught:
        read_backup_components(ATTACKS[name].encode())
    assert caught.value.native in (0x80042310, 0x80042311)


def test_size_bounds(monkeypatch):
    """Documents beyond the bounds are refused before they cost anything."""
    monkeypatch.setattr(xmltext, "MAX_BYTES", 100)
    with pytest.raises(DocumentError):
        read_backup_components(BCD.encode())
    monkeypatch.setattr(xmltext, "MAX_BYTES", 10_000)
    monkeypatch.setattr(xmltext, "MAX_ELEMENTS", 3)
    with pytest.raises(DocumentError):
        read_backup_components(BCD.encode())


@given(st.binary(max_size=200))
def test_any_bytes(data):
    """Any bytes at all give a value or DocumentError."""
    for read in (read_backup_components, read_writer_metadata):
        with pytest.raises(DocumentError):
            read(data)


@given(st.integers(0, len(BCD) - 1), st.integers(0, 255))
def test_damaged_bytes(place, value):
    """One changed byte of a document gives a value or DocumentError."""
    data = bytearray(BCD.encode())
    data[place] = value
    try:
        document = read_backup_components(bytes(data))
        with_outcomes(bytes(data), dict.fromkeys(document.explicit(), True))
    except DocumentError:
        pass


def test_text_that_xml_cannot_carry():
    """Control characters cannot be written and are refused, not dropped."""
    bad = BackupDocument(set_id="a\x01b", backup_type=BackupType.FULL)
    with pytest.raises(DocumentError):
        write_backup_components(bad)


@pytest.mark.rule("VSS-63")
@pytest.mark.parametrize(
    ("bits", "fine"),
    [
        (0x7, True),
        (0x4, False),
        (0x5, False),
        (0x20, False),
        (0x21, True),
        (0x40, False),
        (0x371, True),
    ],
)
def test_schema_contradictions(bits, fine):
    """Exclusive needs both bits, time stamps need one of them."""
    if fine:
        assert BackupSchema.DIFFERENTIAL in schema_of(bits)
    else:
        with pytest.raises(DocumentError):
            schema_of(bits)


def test_children_can_be_added():
    """Elements can be appended to empty and to filled elements without touching the rest."""
    text = XmlText(b"<a> <b/> <c>x</c></a>")
    text.append_child(text.root.children[0], "<new/>")
    text.append_child(text.root.children[1], "<y/>")
    text.append_child(text.root, "<z/>")
    assert text.to_bytes() == b"<a> <b><new/></b> <c>x<y/></c><z/></a>"


@pytest.mark.parametrize(
    "name", [f"WM{number}.xml" for number in (0, 1, 2, 4, 5, 6, 7, 8, 9, 10)] + ["WM3.xml.gz"]
)
@pytest.mark.rule("VSS-67")
def test_real_metadata(unpack, name):
    """Documents written by Windows are read, and survive unchanged."""
    data = unpack(f"vss/{name}").read_bytes()
    value = read_writer_metadata(data)
    assert value.name
    assert XmlText(data).to_bytes() == data
    assert read_writer_metadata(write_writer_metadata(value)) == value


def test_real_system_writer(unpack):
    """The two-megabyte document of the System Writer is read completely."""
    value = read_writer_metadata(unpack("vss/WM3.xml.gz").read_bytes())
    assert sum(len(each.files) for each in value.components) == 18925


def test_real_backup_document(unpack):
    """A backup components document written by Windows is read and amended in place."""
    data = unpack("vss/BCDocument.xml").read_bytes()
    document = read_backup_components(data)
    assert document.backup_type is BackupType.FULL
    assert len(document.explicit()) == 8
    assert not document.transportable
    amended = with_outcomes(data, dict.fromkeys(document.explicit(), True))
    read = read_backup_components(amended)
    assert all(each.succeeded for writer in read.writers for each in writer.components)
    assert XmlText(unpack("vss/Manifest.xml").read_bytes()).root.name == "Manifest"
