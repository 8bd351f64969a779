"""The parts that a requestor object is put together from, each by itself."""

from __future__ import annotations

import pytest

from frskit.clock import Budget
from frskit.errors import BadState, NotFound, ServiceError, SnapshotSetInProgress
from frskit.model.components import BackupType
from frskit.model.shadows import ShadowDocuments
from frskit.vss.context_flags import CTX_ALL, CTX_FILE_SHARE_BACKUP
from frskit.vss.requestor import CallOrder, ComponentChoice, Dossier, Participants, SetBuilder
from frskit.vss.state_tables import REQUESTOR_TABLE, RequestorCall, RequestorState

DOCUMENTS = ShadowDocuments(backup_components=b"", writers={})


class Rows:
    """A tracer that keeps the requestor's rows."""

    def __init__(self):
        self.rows = []

    def row(self, party, step, *, set_id, subject=""):
        self.rows.append((party, step, set_id, subject))


class Parts:
    """The parts of one object on a site of small parties, without the object."""

    def __init__(self, site, *, state=RequestorState.BACKUP):
        self.site = site
        self.engine = site.service.engine
        self.order = CallOrder(self.engine.trace)
        self.order.state = state
        self.choice = ComponentChoice(self.engine, self.order)
        self.dossier = Dossier(explicit=self.choice.explicit)
        self.participants = Participants(roster=self.engine.roster, clock=self.engine.clock)
        self.builder = SetBuilder(
            self.engine, self.order, self.choice, self.dossier, self.participants
        )

    def some_component(self):
        """The first component that can be named."""
        return self.choice.metadata()[0].components[0].id

    def budget(self):
        return Budget.of(self.engine.clock)


@pytest.fixture
def parts(site):
    """The parts of an object that serves a backup."""
    return Parts(site)


@pytest.mark.parametrize("call", list(RequestorCall))
@pytest.mark.parametrize("state", list(RequestorState))
def test_the_order_of_calls_is_the_table(state, call):
    """A legal call is traced and leads on; any other is refused and changes nothing."""
    rows = Rows()
    order = CallOrder(rows)
    order.state = state
    after = REQUESTOR_TABLE.get((call, state))
    if after is not None:
        assert order.check(call) is after
        assert order.state is state
        order.enter(call, "it")
        assert order.state is after
        assert rows.rows == [("R", call.value, None, "it")]
        return
    with pytest.raises(BadState) as caught:
        order.enter(call)
    assert caught.value.context["state"] == state.value
    assert call.value not in caught.value.context["legal"]
    assert (order.state, rows.rows) == (state, [])


def test_the_order_of_calls_knows_the_context():
    """Nothing chosen means the context for backups; some contexts leave writers out."""
    order = CallOrder(Rows())
    assert order.effective_context == 0
    assert not order.without_writers
    order.context = CTX_FILE_SHARE_BACKUP
    assert order.effective_context == CTX_FILE_SHARE_BACKUP
    assert order.without_writers


def test_writers_are_asked_once_and_those_left_out_are_not_there(parts):
    """Metadata is gathered once; a disabled writer is none of it."""
    with pytest.raises(BadState):
        parts.choice.metadata()
    out = parts.engine.roster.identify()[0][1].instance_id
    parts.choice.disable_writers([out])
    assert parts.choice.gather() == len(parts.engine.roster.identify()) - 1
    assert out not in {each.instance_id for each in parts.choice.metadata()}
    with pytest.raises(BadState):
        parts.choice.gather()


def test_components_are_named_once_and_only_if_somebody_has_them(parts):
    """A second naming and a stranger are refused, a stamp needs a named component."""
    parts.choice.gather()
    mine = parts.some_component()
    with pytest.raises(NotFound):
        parts.choice.set_stamp(mine, "yesterday")
    parts.choice.add(mine)
    with pytest.raises(ServiceError):
        parts.choice.add(mine)
    parts.choice.set_stamp(mine, "yesterday")
    assert list(parts.choice.explicit) == [mine]
    assert parts.choice.stamps == {mine: "yesterday"}
    owners = [each for each in parts.choice.metadata() if parts.choice.of_writer(each)]
    assert [each.writer_id for each in owners] == [mine.writer_id]


def test_handles_are_void_when_writers_may_have_changed_the_component(parts):
    """The handle of an earlier generation refuses to tell."""
    parts.choice.gather()
    parts.choice.add(parts.some_component())
    (handle,) = parts.choice.handles()
    assert handle.component.id in parts.choice.explicit
    parts.order.generation += 1
    with pytest.raises(BadState):
        _ = handle.component


def test_a_set_is_begun_filled_and_made(parts):
    """Writers join with what was named, the set is on record, and the place is free again."""
    parts.dossier.backup_type = BackupType.FULL
    parts.choice.gather()
    mine = parts.some_component()
    parts.choice.add(mine)
    set_id = parts.builder.start(None, None)
    assert (parts.order.set_id, parts.dossier.set_id) == (set_id, set_id)
    with pytest.raises(SnapshotSetInProgress):
        Parts(parts.site).builder.start(None, None)
    shadow = parts.builder.add("L:\\", None)
    assert parts.builder.prepare_writers() == ()
    assert [each.session.components for each in parts.participants.entries] == [(mine,)]
    made = parts.builder.make(parts.budget(), lambda: DOCUMENTS)
    assert [each.id for each in made.shadows] == [shadow]
    assert made.documents is DOCUMENTS
    assert (
        parts.order.state is REQUESTOR_TABLE[RequestorCall.DO_SNAPSHOT_SET, RequestorState.PREPARED]
    )
    assert parts.engine.records.get_set(set_id) is not None
    Parts(parts.site).builder.start(None, None)


def test_a_set_whose_documents_cannot_be_written_is_discarded(parts):
    """Nothing of it stays, the object has failed, and the place is free again."""
    parts.order.context = CTX_FILE_SHARE_BACKUP
    set_id = parts.builder.start(None, None)
    parts.builder.add("L:\\", None)

    def documents():
        raise ServiceError("no room for documents")

    with pytest.raises(ServiceError, match="no room"):
        parts.builder.make(parts.budget(), documents)
    assert parts.order.state is RequestorState.FAILED
    assert parts.engine.records.get_set(set_id) is None
    Parts(parts.site).builder.start(None, None)


def test_a_set_of_an_object_that_lets_go_is_deleted(parts):
    """The context deletes it with the object; letting go again is fine."""
    parts.builder.let_go()
    parts.order.context = CTX_FILE_SHARE_BACKUP
    set_id = parts.builder.start(None, None)
    parts.builder.add("L:\\", None)
    parts.builder.make(parts.budget(), lambda: DOCUMENTS)
    parts.builder.let_go()
    assert parts.engine.records.get_set(set_id) is None
    parts.builder.let_go()


def test_an_object_for_queries_begins_no_set(parts):
    """The context for queries is refused before anything happens, and the place stays free."""
    parts.order.context = CTX_ALL
    with pytest.raises(BadState):
        parts.builder.start(None, None)
    Parts(parts.site).builder.start(None, None)


def test_volumes_and_writers_come_after_the_set(parts):
    """Without a set there is nothing to add to, and nothing to prepare for."""
    parts.choice.gather()
    with pytest.raises(BadState):
        parts.builder.add("L:\\", None)
    with pytest.raises(BadState):
        parts.builder.prepare_writers()
    with pytest.raises(BadState):
        parts.builder.make(parts.budget(), lambda: DOCUMENTS)
