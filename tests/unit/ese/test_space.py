"""What a database owns, and on which side of it damage lies."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

import frskit
from frskit.ese import check_database, pack_database_header, read_owned_pages, seal_page
from frskit.ese.pages.checksums import PAGE_SIZES
from frskit.ese.sources import BytesFile
from frskit.model.ese_files import DatabaseHeader

ROOT_FLAGS, LEAF_FLAGS, BRANCH_FLAGS = 0x803, 0x822, 0x820
SPACE_HEADER = struct.pack("<4I", 4, 0, 1, 2)
COMPRESSED, DELETED = 4, 2


def tree_page(size, flags, nodes, *, objid=1):
    """A page of a tree; nodes are bytes, or (flags, bytes)."""
    page = bytearray(size)
    large = size > 8192
    at = begin = 80 if large else 40
    struct.pack_into("<I4xHHI", page, 24, objid, 0, len(nodes), flags)
    for index, node in enumerate(nodes):
        marks, data = node if isinstance(node, tuple) else (0, node)
        page[at : at + len(data)] = data
        offset = at - begin
        if large and index:
            page[at + 1] |= marks << 5
        elif not large:
            offset |= marks << 13
        struct.pack_into("<HH", page, size - 4 * (index + 1), len(data), offset)
        at += len(data)
    return page


def extent(last, count):
    """An entry of a leaf."""
    return struct.pack("<H", 4) + last.to_bytes(4, "big") + struct.pack("<I", count)


def child(number, key=b""):
    """An entry of a branch."""
    return struct.pack("<H", len(key)) + key + struct.pack("<I", number)


class Builder:
    """A database whose trees are nothing but the space tree."""

    def __init__(self, size=4096, pages=12, **header):
        self.size = size
        self.header = {"state": 3, "page_size": size, **header}
        self.pages = {number: bytearray(size) for number in range(1, pages + 1)}
        self.put(1, tree_page(size, ROOT_FLAGS, [SPACE_HEADER]))

    def put(self, number, page):
        """Store a page under a good checksum."""
        seal_page(page, number, new_format=True)
        self.pages[number] = page
        return self

    def extents(self, *nodes, number=2, flags=LEAF_FLAGS | 1):
        """Store a leaf of the tree of extents."""
        return self.put(number, tree_page(self.size, flags, [bytes(16), *nodes]))

    def file(self):
        """The bytes."""
        header = pack_database_header(DatabaseHeader(**self.header)) * 2
        return bytearray(header + b"".join(self.pages[number] for number in sorted(self.pages)))


@pytest.mark.parametrize("size", PAGE_SIZES)
def test_the_last_extent_counts(size):
    """A leaf of several extents, in every page size."""
    made = Builder(size).extents(extent(4, 4), extent(6, 2), extent(9, 3))
    assert read_owned_pages(made.file()) == 9


@pytest.mark.parametrize("size", PAGE_SIZES)
def test_a_tall_tree_is_followed_along_its_right_edge(size):
    """Branch pages lead to the last leaf, whose keys may share a prefix."""
    made = Builder(size)
    made.put(2, tree_page(size, BRANCH_FLAGS | 1, [bytes(16), child(7, b"\0\0"), child(3)]))
    made.put(3, tree_page(size, BRANCH_FLAGS, [b"", child(4)]))
    suffix = struct.pack("<HH", 2, 2) + b"\0\x0b" + struct.pack("<I", 3)
    nodes = [b"\0\0", extent(8, 8), (COMPRESSED, suffix)]
    made.put(4, tree_page(size, LEAF_FLAGS, nodes))
    assert read_owned_pages(made.file()) == 11


@pytest.mark.parametrize("size", PAGE_SIZES)
def test_deleted_entries_do_not_count(size):
    """An extent that was given back stays on the page until it is cleaned."""
    made = Builder(size).extents(extent(4, 4), extent(6, 2), (DELETED, extent(9, 3)))
    assert read_owned_pages(made.file()) == 6


def broken():
    """Space trees that tell nothing, by what is wrong with them."""
    good = (extent(4, 4), extent(9, 5))
    leaf = LEAF_FLAGS | 1
    root = [SPACE_HEADER]
    single = struct.pack("<4I", 4, 0, 0, 2)
    nested = struct.pack("<4I", 4, 7, 1, 2)
    far = struct.pack("<4I", 4, 0, 1, 13)
    yield "no root", Builder().extents(*good).put(1, tree_page(4096, 0x802, root))
    yield "another object", Builder().extents(*good).put(1, tree_page(4096, 3, root, objid=5))
    for name, external in (("single", single), ("nested", nested), ("far", far), ("none", b"")):
        yield name, Builder().extents(*good).put(1, tree_page(4096, ROOT_FLAGS, [external]))
    yield "no nodes", Builder().extents(*good).put(1, tree_page(4096, ROOT_FLAGS, []))
    yield "no extents", Builder().extents()
    yield "all deleted", Builder().extents((DELETED, good[0]))
    yield "no space tree", Builder().extents(*good, flags=0x803)
    yield (
        "a root below",
        Builder()
        .put(2, tree_page(4096, BRANCH_FLAGS | 1, [bytes(16), child(3)]))
        .extents(*good, number=3),
    )
    yield "no child", Builder().extents(flags=BRANCH_FLAGS | 1)
    yield (
        "a ring",
        Builder()
        .put(2, tree_page(4096, BRANCH_FLAGS | 1, [bytes(16), child(3)]))
        .put(3, tree_page(4096, BRANCH_FLAGS, [b"", child(3)])),
    )
    yield (
        "a short child",
        Builder().put(2, tree_page(4096, BRANCH_FLAGS | 1, [bytes(16), child(3)[:-1]])),
    )
    yield "a gap", Builder().extents(extent(4, 4), extent(9, 4))
    yield "an overlap", Builder().extents(extent(4, 4), extent(9, 6))
    yield "no pages", Builder().extents(extent(9, 0))
    yield "too many pages", Builder().extents(extent(9, 10))
    yield "a short key", Builder().extents(b"\3\0" + bytes(7))
    yield "a long key", Builder().extents(b"\xff\x1f" + bytes(7))
    yield "foreign object", Builder().put(2, tree_page(4096, leaf, [bytes(16), *good], objid=2))
    beyond = tree_page(4096, leaf, [bytes(16), *good])
    struct.pack_into("<HH", beyond, 4096 - 8, 10, 0x1FFF)
    yield "a node outside", Builder().put(2, beyond)
    many = tree_page(4096, leaf, [bytes(16), *good])
    struct.pack_into("<H", many, 34, 0xFFF)
    yield "too many nodes", Builder().put(2, many)


@pytest.mark.parametrize(("_", "made"), [pytest.param(*each, id=each[0]) for each in broken()])
def test_an_unusual_space_tree_tells_nothing(_, made):
    """Whatever is wrong with the tree, the answer is "does not tell", never an error or a guess."""
    data = made.file()
    assert read_owned_pages(data) is None
    data[12 * 4096 + 9] ^= 1
    (found,) = check_database(data).damaged
    assert found.position == "unknown"


def test_a_damaged_space_tree_tells_nothing():
    """A wrong checksum on the way makes every position unknown, a correctable one too."""
    for page in (1, 2):
        data = Builder().extents(extent(9, 9)).file()
        data[(page + 1) * 4096 + 2000] ^= 1
        report = check_database(data)
        assert (report.owned_pages, report.verdict) == (None, "correctable")
        assert [(each.page, each.position) for each in report.damaged] == [(page, "unknown")]


@given(st.integers(1, 4), st.binary(min_size=4056, max_size=4056))
def test_no_space_tree_is_an_error(which, content):
    """Pages of any content under a good checksum never raise, and never own less than one page."""
    made = Builder()
    made.put(2, tree_page(4096, BRANCH_FLAGS | 1, [bytes(16), child(3)]))
    flags = {1: 0x803, 2: 0x823, 3: 0x822, 4: 0x820}[which]
    page = bytearray(struct.pack("<24xI4xHHI", 1, 0, 3, flags) + content)
    owned = read_owned_pages(made.put(min(which, 3), page).file())
    assert owned is None or owned > 0


def test_damage_is_inside_or_beyond():
    """The last owned page is inside, the next one beyond; headers are always inside."""
    data = Builder().extents(extent(9, 9)).file()
    for page in (0, 5, 9, 10, 12):
        data[(page + 1) * 4096 + 100 : (page + 1) * 4096 + 103] = b"abc"
    report = check_database(data)
    assert report.owned_pages == 9
    assert {each.page: each.position for each in report.damaged} == {
        0: "inside",
        5: "inside",
        9: "inside",
        10: "beyond",
        12: "beyond",
    }
    assert report.verdict == "damaged"


def test_beyond_is_not_certain_in_a_dirty_database():
    """Logs may hold an extension that the space tree on disk does not know yet."""
    data = Builder(state=2, gen_min_required=1, gen_max_required=1).extents(extent(9, 9)).file()
    for page in (5, 11):
        data[(page + 1) * 4096 + 100] = 1
    positions = [(each.page, each.position) for each in check_database(data).damaged]
    assert positions == [(5, "inside"), (11, "unknown")]


class Counting(BytesFile):
    """Bytes that count how often they are read."""

    reads = 0

    def read_at(self, offset, length, /):
        """One more."""
        self.reads += 1
        return super().read_at(offset, length)


def test_only_damage_or_a_wish_costs_a_read():
    """Two more pages are read to place damage or if asked; a good database costs nothing."""
    data = Builder().extents(extent(9, 9)).file()

    def reads(**wish):
        file = Counting(data)
        return check_database(file, **wish), file.reads

    good, plain = reads()
    asked, more = reads(owned_space=True)
    assert (good.owned_pages, asked.owned_pages, more - plain) == (None, 9, 2)
    data[8 * 4096 + 5] = 1
    bad, more = reads()
    assert (bad.owned_pages, more - plain) == (9, 2)


def test_positions_do_not_depend_on_how_many_pages_are_named():
    """With no page named the owned pages are still reported."""
    data = Builder().extents(extent(9, 9)).file()
    data[8 * 4096 + 5] = 1
    report = check_database(data, damaged_limit=0)
    assert (report.damaged, report.owned_pages) == ((), 9)


def test_a_lost_tail_is_noticed():
    """A file that ends before its last owned page misses pages; checksums cannot see that."""
    data = Builder().extents(extent(12, 12)).file()
    assert check_database(data, owned_space=True).missing_pages == 0
    report = check_database(data[: -3 * 4096], owned_space=True)
    assert (report.verdict, report.missing_pages) == ("ok", 3)
    assert check_database(data[: -3 * 4096]).missing_pages == 0


@pytest.fixture(scope="module")
def store():
    """A store of the lab that grew by many extents and was shut down cleanly."""
    with frskit.lab(seed=3) as site:
        site.deliver("evs1", "sg1", messages=200)
        site.exchange.stop()
        production = site.parties.production
        place = production.resolve("M:\\exchsrvr\\sg1\\mbx-sg1.edb")
        with production.files(place.volume).open(place.path) as file:
            return bytes(file.read_at(0, file.size_bytes))


def test_a_store_of_the_lab_owns_all_its_pages(store):
    """The lab's store grows by extents that frskit reads from its bytes."""
    pages = len(store) // 4096 - 2
    assert read_owned_pages(store) == pages > 64
    data = bytearray(store + bytes(4096))
    data[(pages + 2) * 4096 + 77] = 7
    data[(pages + 1) * 4096 + 77] ^= 0xFF
    report = check_database(data)
    assert [(each.page, each.position) for each in report.damaged] == [
        (pages, "inside"),
        (pages + 1, "beyond"),
    ]


def dissect_owned(data):
    """The last owned page as an independent reader sees it: no code shared."""
    import io

    esedb = pytest.importorskip("dissect.esedb")
    page = esedb.EseDB(io.BytesIO(data)).page(2)
    assert page.is_leaf
    extents = [
        (int.from_bytes(bytes(node.key), "big"), int.from_bytes(bytes(node.data), "little"))
        for node in page.nodes()
    ]
    assert sum(count for _, count in extents) == extents[-1][0]
    return extents[-1][0]


def test_another_reader_sees_the_same_extents(store):
    """dissect.esedb lists the same extents of the lab's store."""
    assert read_owned_pages(store) == dissect_owned(store)


REAL = [
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


@pytest.mark.parametrize("name", REAL)
def test_real_databases_tell_what_they_own(unpack, name):
    """The owned pages are those that another reader sees, and the file holds them all."""
    data = unpack(f"ese/{name}.gz").read_bytes()
    report = check_database(data, owned_space=True)
    assert report.owned_pages == dissect_owned(data)
    assert report.missing_pages == 0


def test_the_stale_tail_lies_beyond_what_its_database_owns(unpack):
    """All 16 bad pages of the clean database, 143 to 158, are beyond its 142 pages."""
    report = check_database(unpack("ese/srudb_stale_tail.dat.gz"))
    assert report.owned_pages == 142
    assert [each.page for each in report.damaged] == list(range(143, 159))
    assert {each.position for each in report.damaged} == {"beyond"}
    assert report.verdict == "damaged"
