"""Deletions and copies killed at every line of the journal and every write of the catalog.

After a resume nothing is unfinished: neither a record, nor an operation of the journal.
"""

from __future__ import annotations

import os
import shutil

import pytest
from support.faults import Fault, places

import frskit
from frskit import BackupType, CopyLife, Verdict
from frskit.errors import ArrayError, CatalogError
from frskit.frs.state.catalog import SqliteCatalog
from frskit.frs.state.journal import JournalOperation
from frskit.frs.state.journal_words import RequestorOperation

FULL = BackupType.FULL


def killed(directory, action, at, *, before):
    """Whether the action was killed at its n-th durable write, before or after it."""
    child = os.fork()
    if not child:
        writes = 0

        def deadly(owner, name):
            real = getattr(owner, name)

            def call(self, *args, **kwargs):
                nonlocal writes
                writes += 1
                mine = writes
                if before and mine == at:
                    os._exit(9)
                result = real(self, *args, **kwargs)
                if mine == at:
                    os._exit(9)
                return result

            setattr(owner, name, call)

        status = 1
        try:
            with frskit.lab(directory) as site:
                deadly(JournalOperation, "write")
                deadly(SqliteCatalog, "put")
                deadly(SqliteCatalog, "update")
                action(site)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 9)
    return code == 9


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A durable lab with two copies, to be copied for each death; the id of the second."""
    directory = tmp_path_factory.mktemp("made") / "lab"
    with frskit.lab(directory, seed=6) as site:
        site.deliver("evs1", "sg1", messages=10)
        site.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
        return directory, site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.COPY).id


def deletion(copy):
    """What is killed."""
    return lambda site: site.frs.delete_copy(copy)


def creation(_copy):
    """What is killed."""
    return lambda site: site.frs.create_copy("evs1", ["sg1"], backup_type=FULL)


def after_death(directory):
    """A resume leaves nothing open, on record or in the journal, and says what it closed."""
    with frskit.lab(directory) as site:
        open_before = [each.subject for each in site.parts.journal.unfinished()]
        results = site.frs.resume()
        assert all(each.ended for each in results), results
        assert {each.id for each in results} >= set(open_before)
        assert not list(site.parts.journal.unfinished())
        assert site.frs.resume() == ()
        copies = {each.id: each for each in site.frs.copies()}
        known = {each.storage for copy in copies.values() for each in copy.members}
        assert {each.id for each in site.eva.copies()} <= known
        return copies


@pytest.mark.crash
@pytest.mark.parametrize(
    ("what", "before", "least"),
    [(deletion, False, 5), (deletion, True, 5), (creation, False, 12)],
    ids=["deletion, written", "deletion, not written", "copy, written"],
)
def test_killed_at_every_write(made, tmp_path, what, before, least):
    """It is as if it had never begun, or as if it had come to its end; the others stay."""
    source, copy = made
    for at in places(60):
        directory = tmp_path / str(at)
        shutil.copytree(source, directory)
        dead = killed(directory, what(copy), at, before=before)
        copies = after_death(directory)
        shutil.rmtree(directory)
        if what is deletion:
            assert copy not in copies or copies[copy].recoverable
            assert (copy in copies) is (at <= 2 if before else at == 1)
        assert sum(each.recoverable for each in copies.values()) >= 1
        if not dead:
            assert at > least
            return


@pytest.fixture
def lab():
    """A lab with a copy."""
    with frskit.lab(seed=8) as site:
        site.deliver("evs1", "sg1", messages=10)
        site.kept = site.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
        yield site


def test_a_deletion_that_had_not_begun_is_told_of_once(lab):
    """The journal began it, the record never heard of it."""
    fault = Fault(lab.parts.catalog, "update", CatalogError)
    with pytest.raises(CatalogError):
        lab.frs.delete_copy(lab.kept.id)
    fault.remove()
    (resumed,) = lab.frs.resume()
    assert (resumed.ended, resumed.id) == (True, lab.kept.id)
    assert "had not begun" in resumed.result
    assert resumed.copy.verdict is Verdict.VERIFIED
    assert lab.frs.resume() == ()


def test_an_operation_that_runs_is_not_closed(lab):
    """Its server is locked: a resume says so and touches nothing."""
    lab.parts.journal.begin(RequestorOperation.DELETION, lab.kept.id)
    with lab.parts.locks.hold("server-evs1", "deletion"):
        (resumed,) = lab.frs.resume()
    assert not resumed.ended
    assert "another operation" in resumed.result
    assert len(list(lab.parts.journal.unfinished())) == 1
    (resumed,) = lab.frs.resume()
    assert resumed.ended


def test_a_deletion_that_broke_off_stays_open_until_it_is_done(lab):
    """Its record says DELETING: what is left to do is no line of the journal."""
    fault = Fault(lab.eva, "delete_storage", ArrayError, lasting=True)
    with pytest.raises(ArrayError):
        lab.frs.delete_copy(lab.kept.id)
    (resumed,) = lab.frs.resume()
    assert not resumed.ended
    assert lab.parts.catalog.get(lab.kept.id).life is CopyLife.DELETING
    fault.remove()
    (resumed,) = lab.frs.resume()
    assert resumed.ended
    assert not list(lab.parts.journal.unfinished())


def test_what_came_between_is_left_for_the_next_resume(lab, monkeypatch):
    """A deletion that died after a resume had gone through the records is not just closed."""
    fault = Fault(lab.eva, "delete_storage", ArrayError, lasting=True)
    with pytest.raises(ArrayError):
        lab.frs.delete_copy(lab.kept.id)
    fault.remove()
    with monkeypatch.context() as patch:
        patch.setattr(lab.parts.catalog, "ids", lambda **_: ())
        assert lab.frs.resume() == ()
    assert len(list(lab.parts.journal.unfinished())) == 1
    assert lab.frs.resume()[0].ended
