"""Copies and recoveries from end to end, on real bytes, seen by a host that frskit does not know."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import frskit
from frskit import BackupType, Completion, CopyKind, CopyLife, RecoveryMethod, RecoveryMode, Verdict
from frskit.clock import Budget
from frskit.errors import (
    Busy,
    IntegrityError,
    RecoveryPrecondition,
    WriteProtected,
)
from frskit.frs.recovery_plan import mounted
from frskit.model.checks import FileVerdict
from frskit.model.files import FileRole
from frskit.model.storage import CopyState

MAILBOX = "exchsrvr/sg1/mbx-sg1.edb"
LOGS = "exchsrvr/sg1"
PAGE = 4096


def needed_log(scene):
    """Name of a log in the copy that a recovery from it needs."""
    storage = scene.members()["L:\\"]
    return f"{LOGS}/E00tmp.log", storage


# --- the copy ------------------------------------------------------------------------------------


@pytest.mark.rule("FRS-04", "FRS-11", "FRS-14")
def test_production_writes_while_the_copy_normalizes(scene):
    """Not one byte of the copy's volumes changes while production goes on and after it is done."""
    at_cut, written = {}, []

    def work():
        for storage in scene.members().values():
            (copy,) = [each for each in scene.site.eva.copies() if each.id == storage]
            assert copy.state is CopyState.NORMALIZING
            at_cut[storage] = scene.bench.fingerprint(storage)
        written.append(scene.site.deliver("evs1", "sg1", messages=150))
        scene.site.exchange.group("sg1").roll()

    scene.at("normalizing", work)
    copy = scene.copy()
    assert written == [150]
    assert scene.mail() == 190
    assert {storage: scene.bench.fingerprint(storage) for storage in at_cut} == at_cut
    production = scene.luns()
    assert scene.bench.fingerprint(production["M:\\"]) != at_cut[scene.members(copy)["M:\\"]]


@pytest.mark.rule("FRS-14")
def test_a_snapclone_outlives_its_source(scene):
    """After normalization the source can be deleted and the copy is the same, byte by byte."""
    copy = scene.copy()
    member, source = scene.members(copy)["M:\\"], scene.luns()["M:\\"]
    before = scene.bench.fingerprint(member)
    scene.site.exchange.stop()
    budget = Budget.of(scene.site.clock)
    scene.site.parties.production.detach([source], budget=budget)
    scene.site.parties.store.delete([source], budget=budget)
    assert source not in {each.id for each in scene.site.eva.storage()}
    assert scene.bench.fingerprint(member) == before


@pytest.mark.rule("FRS-06")
def test_who_sees_the_copy(scene):
    """While it is checked the recovery server sees exactly the members, read-only; later nobody."""
    seen = []

    def look():
        members = set(scene.members().values())
        seen.extend(each for each in scene.site.eva.presentations() if each.storage in members)

    scene.at("checking", look)
    copy = scene.copy()
    assert {each.storage for each in seen} == set(scene.members(copy).values())
    assert {(each.host, each.read_only) for each in seen} == {("frs1", True)}
    assert not [
        each
        for each in scene.site.eva.presentations()
        if each.storage in set(scene.members(copy).values())
    ]
    assert scene.site.parties.recovery.volumes() == ()


@pytest.mark.rule("FRS-38")
def test_the_check_needs_nothing_of_production(scene, monkeypatch):
    """While the copy is checked no file of production is opened, and the verdict is the same."""
    production = scene.site.parties.production
    files = production.files
    opened = []

    def watched(volume):
        if scene.newest().stage == "imported" and not opened:
            raise AssertionError("production was read while the copy was checked")
        return files(volume)

    scene.at("checking", lambda: monkeypatch.setattr(production, "files", watched))
    scene.at("verified", lambda: opened.append(True))
    assert scene.copy().recoverable


@pytest.mark.rule("FRS-12", "FRS-08")
def test_the_report_has_every_file_of_the_group(scene):
    """Databases, streaming files, every log and the checkpoint are in the report, each once."""
    scene.site.exchange.group("sg1").roll()
    names = set()

    def look():
        names.update(scene.closed_logs())

    scene.at("created", look)
    copy = scene.copy()
    paths = [file.path for file in copy.report.files]
    assert len(paths) == len(set(paths))
    inside = {path.rsplit("\\", 1)[-1] for path in paths}
    assert inside == names | {
        "E00tmp.log",
        "E00.chk",
        "mbx-sg1.edb",
        "mbx-sg1.stm",
        "pub-sg1.edb",
        "pub-sg1.stm",
    }
    assert copy.report.logs == len(names) + 1


@pytest.mark.rule("HAZ-17", "FRS-12")
@pytest.mark.parametrize("name", ["mbx-sg1.stm", "mbx-sg1.edb"])
def test_a_file_that_is_not_in_the_copy_fails_it(scene, name):
    """A file of the component list that is gone is MISSING, not a shorter list."""
    scene.at("imported", lambda: scene.bench.remove(scene.members()["M:\\"], f"{LOGS}/{name}"))
    with pytest.raises(IntegrityError) as caught:
        scene.copy()
    missing = [
        file.path
        for file in caught.value.copy.report.files
        if file.verdict is FileVerdict.MISSING
    ]
    assert missing == [f"M:\\exchsrvr\\sg1\\{name}"]


@pytest.mark.rule("FRS-16", "FRS-28")
def test_any_of_several_copies_can_be_chosen(scene):
    """Three copies are listed, newest first; the oldest brings back exactly its own messages."""
    made = []
    for _ in range(3):
        made.append(scene.copy())
        scene.site.deliver("evs1", "sg1", messages=7)
    assert [copy.id for copy in scene.site.frs.copies()] == [copy.id for copy in reversed(made)]
    plan = scene.site.frs.plan_recovery(made[0].id, mode=RecoveryMode.POINT_IN_TIME)
    scene.site.frs.recover(plan)
    assert scene.mail() == 40
    assert [scene.site.frs.copy(copy.id).recoverable for copy in made] == [False, True, True]


@pytest.mark.rule("FRS-15")
@pytest.mark.parametrize("kind", [CopyKind.SNAPSHOT, CopyKind.VSNAP])
def test_snapshots_are_verified_but_never_swapped(scene, kind):
    """A dependent copy passes its check; a swap is refused with P-01, copying files back is not."""
    copy = scene.copy(kind=kind)
    assert (copy.kind, copy.verdict) == (kind, Verdict.VERIFIED)
    assert {each.kind for each in scene.site.eva.copies()} == {kind}
    scene.site.deliver("evs1", "sg1", messages=9)
    with pytest.raises(RecoveryPrecondition) as caught:
        scene.site.frs.plan_recovery(copy.id, mode=RecoveryMode.POINT_IN_TIME)
    assert caught.value.context["condition"] == "P-01"
    assert scene.mail() == 49
    plan = scene.site.frs.plan_recovery(
        copy.id, mode=RecoveryMode.POINT_IN_TIME, method=RecoveryMethod.COPY_BACK
    )
    scene.site.frs.recover(plan)
    assert scene.mail() == 40


@pytest.mark.rule("FRS-43")
def test_one_copy_at_a_time(scene):
    """A second copy of the server while the first one runs is Busy; the first one ends well."""
    refused = []

    def second():
        try:
            scene.copy()
        except Busy as error:
            refused.append(error.exit_status)

    scene.at("normalizing", second)
    assert scene.copy().recoverable
    assert refused == [10]
    assert len(scene.site.frs.copies()) == 1


@pytest.mark.rule("FRS-37")
def test_a_parked_copy_can_be_read_on_the_recovery_server(scene):
    """Mounted read-only it gives the files, refuses writes, and is unchanged when released."""
    copy = scene.copy()
    member = scene.members(copy)["M:\\"]
    before = scene.bench.fingerprint(member)
    production = scene.site.parts.production("evs1")
    with mounted(scene.site.parts, production, copy, Budget.of(scene.site.clock)) as files:
        tree, _, inner = files.locate("M:\\exchsrvr\\sg1\\mbx-sg1.edb")
        with tree.open(inner) as file:
            archived = file.read_at(0, file.size_bytes)
        with pytest.raises(WriteProtected):
            tree.edit(inner)
    assert archived == scene.bench.read(member, MAILBOX)
    assert scene.bench.fingerprint(member) == before
    assert not [each for each in scene.site.eva.presentations() if each.storage == member]


# --- damage between the cut and the check ----------------------------------------------------------


def check_refused(scene, good, before, caught, path):
    """What must hold after a copy that did not pass."""
    error = caught.value
    assert error.exit_status == 7
    failed = scene.newest()
    assert error.copy.id == failed.id
    assert (failed.verdict, failed.life) == (Verdict.CORRUPT, CopyLife.FAILED)
    assert failed.completion is Completion.FAILED
    assert sum(each.count for each in failed.truncated) == 0
    assert path in str(error)
    assert scene.closed_logs() == before
    assert scene.site.frs.copy(good.id).recoverable
    assert set(scene.states().values()) == {"mounted"}


@pytest.mark.rule("FRS-08", "FRS-09", "EXC-33")
def test_a_page_that_flips_in_the_copy(scene):
    """One bit of a page of the *copy* after the cut: refused, logs stay, production is healthy."""
    good = scene.copy()
    scene.site.deliver("evs1", "sg1", messages=40)
    scene.site.exchange.group("sg1").roll()
    before = scene.closed_logs()
    assert before
    damage = scene.at(
        "imported",
        lambda: scene.bench.flip(scene.members()["M:\\"], MAILBOX, (9 + 1) * PAGE + 77),
    )
    with pytest.raises(IntegrityError) as caught:
        scene.copy()
    assert damage.seen == 1
    check_refused(scene, good, before, caught, "mbx-sg1.edb")
    (file,) = scene.newest().report.damaged
    assert file.path == "M:\\exchsrvr\\sg1\\mbx-sg1.edb"
    assert file.verdict is FileVerdict.CORRECTABLE
    assert "page 9" in file.detail
    again = scene.copy()
    assert again.recoverable
    assert sum(each.count for each in again.truncated) == len(before)
    assert scene.closed_logs().keys().isdisjoint(before)


@pytest.mark.rule("FRS-08", "FRS-09", "EXC-33")
def test_a_needed_log_that_flips_in_the_copy(scene):
    """The same for a log that recovery needs: the report names the log and what is wrong."""
    good = scene.copy()
    scene.site.deliver("evs1", "sg1", messages=40)
    before = scene.closed_logs()
    flipped = []

    def damage():
        report_of = scene.members()["L:\\"]
        names = [name for name in scene.bench.names(report_of, LOGS) if name.endswith(".log")]
        newest = max(name for name in names if name[3:-4].isalnum() and len(name) == 12)
        flipped.append(newest)
        scene.bench.flip(report_of, f"{LOGS}/{newest}", PAGE + 300)

    scene.at("imported", damage)
    with pytest.raises(IntegrityError) as caught:
        scene.copy()
    check_refused(scene, good, before, caught, flipped[0])
    (file,) = [each for each in scene.newest().report.damaged if each.role is FileRole.LOG]
    assert file.path == f"L:\\exchsrvr\\sg1\\{flipped[0]}"
    assert file.verdict is FileVerdict.DAMAGED
    assert file.needed
    assert file.detail


@pytest.fixture(scope="module")
def damaged_scene():
    """One scene for many flips; every failed copy is deleted again."""
    from collections import deque

    with frskit.lab(seed=12) as site:
        site.deliver("evs1", "sg1", messages=12)
        yield site, deque()


@pytest.mark.rule("FRS-08")
@settings(max_examples=25)
@given(page=st.integers(-1, 62), offset=st.integers(0, PAGE - 1), bit=st.integers(0, 7))
def test_any_bit_of_any_page_is_noticed(page, offset, bit):
    """Wherever in the mailbox store a bit of the copy flips, headers included, the copy fails."""
    from tests_flow_scene import flip_and_copy  # pragma: no cover

    flip_and_copy(page, offset, bit)
