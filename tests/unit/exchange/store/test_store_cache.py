"""The pages that a database keeps in memory: what a miss costs, and that no change gets lost."""

from __future__ import annotations

import pytest
from attrs import evolve

from frskit.exchange.store import SMALL_LOGS, Message, database, message_store
from frskit.exchange.store.database import CachedPage
from frskit.model.ese_structures import LgPos


class Watched(CachedPage):
    """A page in memory that counts how often anybody looks at whether it waits for the disk."""

    looks = 0

    def __getattribute__(self, name):
        if name in ("first", "torn"):
            Watched.looks += 1
        return super().__getattribute__(name)


def looks_per_miss(group, monkeypatch, size):
    """Looks at entries per page read, with `size` pages in memory of which half wait."""
    monkeypatch.setattr(database, "CachedPage", Watched)
    monkeypatch.setattr(Watched, "looks", 0)
    profile = evolve(SMALL_LOGS, cache_pages=size, dirty_page_limit=10 * size)
    store = group(profile=profile).with_stores("mb").engine.databases["mb"]
    for number in range(1, size // 2 + 1):
        store.mark(store.cached(number), LgPos(generation=1, sector=number))
    for number in range(1000, 1000 + size):
        store.cached(number)
    before, misses = Watched.looks, 50
    for number in range(5000, 5000 + misses):
        store.cached(number)
    return (Watched.looks - before) / misses


def test_a_miss_costs_the_same_however_many_pages_are_in_memory(group, monkeypatch):
    """A miss drops one page without looking at the others, also behind a run of changed ones."""
    small = looks_per_miss(group, monkeypatch, 32)
    large = looks_per_miss(group, monkeypatch, 512)
    assert small == large <= 4


def test_asking_for_changed_pages_looks_at_these_alone(group, monkeypatch):
    """Every commit asks; a large cache of clean pages must not make it dear."""
    monkeypatch.setattr(database, "CachedPage", Watched)
    store = group(profile=evolve(SMALL_LOGS, cache_pages=500)).with_stores("mb").engine
    store.idle()
    pages = store.databases["mb"]
    for number in range(1000, 1400):
        pages.cached(number)
    pages.mark(pages.cached(1200), LgPos(generation=9, sector=2))
    pages.mark(pages.cached(1100), LgPos(generation=9, sector=1))
    monkeypatch.setattr(Watched, "looks", 0)
    assert pages.dirty() == [1100, 1200]
    assert pages.dirty_count == 2
    assert pages.oldest_change == LgPos(generation=9, sector=1)
    assert Watched.looks <= 12


def test_the_longest_unused_page_goes_first_and_a_torn_or_changed_one_never(group):
    """Room for four: of the clean pages the last used stay, the others only if they must."""
    store = group(profile=evolve(SMALL_LOGS, cache_pages=4)).with_stores("mb").engine
    store.idle()
    pages = store.databases["mb"]
    pages.close()
    torn, changed = pages.cached(1001), pages.cached(1002)
    pages.tear(torn)
    pages.mark(changed, LgPos(generation=9))
    pages.cached(1003)
    pages.cached(1004)
    pages.cached(1003)
    pages.cached(1005)
    assert sorted(pages._cache) == [1001, 1002, 1003, 1005]
    assert pages.cached(1001) is torn
    assert pages.cached(1002) is changed


def test_a_change_is_kept_when_all_other_pages_wait_for_the_disk(group):
    """A page read into a cache full of changed pages is not dropped before it is changed."""
    profile = evolve(SMALL_LOGS, cache_pages=4, dirty_page_limit=1000)
    site = group(profile=profile).with_stores("mb")
    ids = site.fill(60, body=bytes(900))
    site.engine.flush_pages()
    with site.engine.begin() as transaction:
        for each in ids:
            transaction.replace("mb", each, Message(subject="new", body=bytes(900)))
    assert site.subjects() == ["new"] * 60
    site.engine.dismount("mb")
    site.engine.mount("mb")
    assert site.subjects() == ["new"] * 60


@pytest.mark.parametrize("body", [b"", bytes(900), bytes(3000)])
def test_counting_agrees_with_listing_and_decodes_no_row(group, monkeypatch, body):
    """Messages of several rows count once; no record is taken apart for it."""
    site = group().with_stores("mb")
    ids = site.fill(25, body=body)
    site.engine.delete_message("mb", ids[3])
    listed = len(list(site.engine.messages("mb")))

    def refuse(data):
        raise AssertionError("a row was decoded")

    monkeypatch.setattr(message_store, "decode_part", refuse)
    assert site.engine.count("mb") == listed == 24
