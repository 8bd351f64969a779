"""Arrays that copy one member after the other, and writers that go on meanwhile [R-27]."""

from __future__ import annotations

import pytest
from attrs import evolve

from frskit.errors import VolumeNotSupported
from frskit.model.components import Quiesce, WriterMetadata
from frskit.model.storage import SetAtomicity
from frskit.testing.fakes.hardware import SmallArray
from frskit.testing.fakes.site import SmallSite
from frskit.vss.documents import read_writer_metadata, write_writer_metadata


def site_with(monkeypatch, atomicity, quiesce, *, holds=None):
    """A site whose array relates the members so, and whose writers give so much."""
    real = SmallArray.capabilities.fget
    monkeypatch.setattr(
        SmallArray,
        "capabilities",
        property(lambda self: evolve(real(self), set_atomicity=atomicity)),
    )
    site = SmallSite()
    for each in site.writers:
        each.metadata = evolve(each.metadata, quiesce=quiesce)
    if holds is not None:
        site.production.holds_writes = holds
    return site


def planned(site, *components):
    """Its plan."""
    with site.service.session(site.request(*components)) as session:
        return session.plan(budget=site.budget())


@pytest.mark.rule("R-27")
@pytest.mark.parametrize("holds", [None, False])
def test_a_writer_that_goes_on_needs_one_instant(monkeypatch, holds):
    """Two LUNs one after the other: refused at the plan, before anybody is disturbed."""
    site = site_with(monkeypatch, SetAtomicity.WITHIN_HOLD, Quiesce.INSTANT_ONLY, holds=holds)
    with pytest.raises(VolumeNotSupported, match="one after the other, but writer-1") as caught:
        planned(site)
    assert "let the server hold writes" in caught.value.hint
    assert site.unrest() == []
    assert "writer-1.prepare_backup" not in site.script.steps


@pytest.mark.rule("R-27")
@pytest.mark.parametrize(
    ("atomicity", "quiesce", "holds"),
    [
        (SetAtomicity.WITHIN_HOLD, Quiesce.HOLDS, None),
        (SetAtomicity.WITHIN_HOLD, Quiesce.ANY_ORDER, None),
        (SetAtomicity.WITHIN_HOLD, Quiesce.INSTANT_ONLY, True),
        (SetAtomicity.INSTANT, Quiesce.INSTANT_ONLY, None),
    ],
)
def test_what_is_of_one_state_is_planned(monkeypatch, atomicity, quiesce, holds):
    """The writer holds, its mode allows any order, the server holds, or there is one instant."""
    site = site_with(monkeypatch, atomicity, quiesce, holds=holds)
    assert len(planned(site).storages) == 2


@pytest.mark.rule("R-27")
def test_one_lun_is_one_instant(monkeypatch):
    """A set of one member has nothing to belong to; a writer that takes no part counts for nothing."""
    site = site_with(monkeypatch, SetAtomicity.WITHIN_HOLD, Quiesce.INSTANT_ONLY)
    assert len(planned(site, "writer-2-0").storages) == 1
    first, second = site.writers
    first.metadata = evolve(first.metadata, quiesce=Quiesce.HOLDS)
    assert len(planned(site, "writer-1-0", "writer-1-1").storages) == 2
    assert second.metadata.quiesce is Quiesce.INSTANT_ONLY


def test_the_word_goes_through_the_document():
    """As every other word of a writer; left out where it is what every writer of VSS does."""
    for quiesce in Quiesce:
        said = WriterMetadata(
            writer_id="00000000-0000-4000-8000-000000000001",
            instance_id="00000000-0000-4000-8000-000000000002",
            name="n",
            components=(),
            quiesce=quiesce,
        )
        document = write_writer_metadata(said)
        assert read_writer_metadata(document) == said
        assert (b"quiesce" in document) is (quiesce is not Quiesce.HOLDS)
