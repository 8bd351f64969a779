"""The journal: intent before effect, torn lines ignored, interrupted operations found."""

from __future__ import annotations

import json

import pytest

from frskit.clock import VirtualClock
from frskit.errors import CatalogError, CopyConflict
from frskit.frs import Journal


@pytest.mark.rule("FRS-36")
def test_intent_is_on_disk_before_the_effect(tmp_path):
    """Inside a step the file already says what is about to happen."""
    journal = Journal(tmp_path, VirtualClock())
    operation = journal.begin("copy", "id-1", server="evs1")
    (path,) = tmp_path.glob("*.jsonl")
    with operation.step("create", storages=["a"]):
        last = json.loads(path.read_text().splitlines()[-1])
        assert (last["phase"], last["step"]) == ("intent", "create")
        assert last["facts"] == {"storages": ["a"]}
    operation.end("parked")
    phases = [json.loads(line)["phase"] for line in path.read_text().splitlines()]
    assert phases == ["begin", "intent", "done", "end"]


def test_a_failing_step_is_recorded_and_raised(tmp_path):
    """The failure's code is in the journal and the error goes on."""
    operation = Journal(tmp_path, VirtualClock()).begin("copy", "id-1")
    with pytest.raises(CopyConflict), operation.step("create"):
        raise CopyConflict("no")
    assert operation.lines[-1]["phase"] == "failed"
    assert operation.lines[-1]["facts"]["code"] == "array.copy-conflict"


@pytest.mark.crash
@pytest.mark.parametrize("keep", [None, True])
def test_interrupted_operations_are_found(tmp_path, keep):
    """An operation without an end is interrupted, also if its last line is torn."""
    journal = Journal(tmp_path if keep else None, VirtualClock())
    journal.begin("copy", "done").end("parked")
    journal.begin("copy", "cut").write("intent", "create")
    if keep:
        path = max(tmp_path.glob("*.jsonl"))
        path.write_text(path.read_text() + '{"phase": "end", "st')
    found = [lines[0]["subject"] for lines in journal.interrupted()]
    assert found == ["cut"]


@pytest.mark.crash
@pytest.mark.rule("FRS-36", "FRS-49")
def test_an_interrupted_operation_can_be_ended_by_a_later_process(tmp_path):
    """A torn last line does not swallow the end that a resume writes; its facts are readable."""
    first = Journal(tmp_path, VirtualClock())
    operation = first.begin("recovery", "cut", component="sg1")
    operation.write("intent", "swap", old="a", new="b")
    (path,) = tmp_path.glob("*.jsonl")
    path.write_text(path.read_text() + '{"phase": "done", "st')
    (found,) = Journal(tmp_path, VirtualClock()).unfinished()
    assert (found.kind, found.subject, found.facts) == ("recovery", "cut", {"component": "sg1"})
    assert list(found.intents()) == [("swap", {"old": "a", "new": "b"})]
    found.end("undone")
    assert list(Journal(tmp_path, VirtualClock()).unfinished()) == []
    (lines,) = Journal(tmp_path, VirtualClock()).entries()
    assert [line["phase"] for line in lines] == ["begin", "intent", "end"]


@pytest.mark.parametrize(
    ("facts", "component"), [({"component": "sg1"}, "sg1"), ({"group": "sg1"}, "sg1"), ({}, None)]
)
def test_a_recovery_says_what_it_recovers_in_the_words_of_every_version(tmp_path, facts, component):
    """Journals of 0.1.0 call it a group; a torn first line does not say."""
    Journal(tmp_path, VirtualClock()).begin("recovery", "cut", **facts)
    (found,) = Journal(tmp_path, VirtualClock()).unfinished()
    assert found.component == component


def test_no_two_operations_share_a_number(tmp_path):
    """Files that somebody deleted or put there do not make a number come again."""
    journal = Journal(tmp_path, VirtualClock())
    for name in "abc":
        journal.begin("copy", name).end("parked")
    (tmp_path / "000000-copy-a.jsonl").unlink()
    (tmp_path / "000001-copy-b.jsonl").unlink()
    (tmp_path / "notes.jsonl").write_text("")
    journal.begin("copy", "d")
    assert [path.name[:6] for path in sorted(tmp_path.glob("0*"))] == ["000002", "000003"]
    assert [lines[0]["subject"] for lines in journal.interrupted()] == ["d"]


def test_lines_that_are_no_records_are_left_out(tmp_path):
    """A file that somebody wrote into is read as far as it is a journal."""
    operation = Journal(tmp_path, VirtualClock()).begin("copy", "id-1")
    (path,) = tmp_path.glob("*.jsonl")
    path.write_text(path.read_text() + '"text"\n[1]\n7\n')
    operation.write("intent", "create")
    (lines,) = Journal(tmp_path, VirtualClock()).entries()
    assert [line["phase"] for line in lines] == ["begin", "intent"]


def test_a_journal_that_cannot_be_written_is_a_typed_error(tmp_path):
    """The effect must not happen then: the caller is told before it."""
    operation = Journal(tmp_path, VirtualClock()).begin("copy", "id-1")
    (path,) = tmp_path.glob("*.jsonl")
    path.unlink()
    path.mkdir()
    with pytest.raises(CatalogError, match="cannot be written"), operation.step("create"):
        raise AssertionError("the step was taken")
