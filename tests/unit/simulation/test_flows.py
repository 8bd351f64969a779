"""Copies and recoveries from end to end, on real bytes, seen by a host that frskit does not know."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frskit import Completion, CopyKind, CopyLife, RecoveryMethod, RecoveryMode, Verdict
from frskit.clock import Budget
from frskit.errors import (
    Busy,
    IntegrityError,
    RecoveryPrecondition,
    WriteProtected,
)
from frskit.frs.recovery.planning import mounted
from frskit.model.checks import FileVerdict
from frskit.model.files import FileRole
from frskit.model.storage import CopyState

MAILBOX = "exchsrvr/sg1/mbx-sg1.edb"
LOGS = "exchsrvr/sg1"
PAGE = 4096
FLIPS = max(10, settings.default.max_examples // 5)


def newest_log(scene, storage):
    """Name of the newest closed log on a LUN."""
    names = scene.bench.names(storage, LOGS)
    return max(name for name in names if len(name) == 12 and name.endswith(".log"))


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
    checker = type(scene.site.parties.checker)
    check = checker.check
    opened = []

    def alone(self, *asked, **how):
        with monkeypatch.context() as patch:
            patch.setattr(
                production, "files", lambda volume: opened.append(volume) or files(volume)
            )
            return check(self, *asked, **how)

    monkeypatch.setattr(checker, "check", alone)
    assert scene.copy().recoverable
    assert opened == []


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
        file.path for file in caught.value.copy.report.files if file.verdict is FileVerdict.MISSING
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
    assert before.items() <= scene.closed_logs().items()
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
    assert before.keys() <= {name for each in again.truncated for name in each.files}
    assert scene.closed_logs().keys().isdisjoint(before)


@pytest.mark.rule("FRS-08", "FRS-09", "EXC-33")
def test_a_needed_log_that_flips_in_the_copy(scene):
    """The same for a log that recovery needs: the report names the log and what is wrong."""
    good = scene.copy()
    scene.site.deliver("evs1", "sg1", messages=40)
    before = scene.closed_logs()
    flipped = []

    def damage():
        storage = scene.members()["L:\\"]
        flipped.append(newest_log(scene, storage))
        scene.bench.flip(storage, f"{LOGS}/{flipped[0]}", PAGE + 300)

    scene.at("imported", damage)
    with pytest.raises(IntegrityError) as caught:
        scene.copy()
    check_refused(scene, good, before, caught, flipped[0])
    (file,) = [each for each in scene.newest().report.damaged if each.role is FileRole.LOG]
    assert file.path == f"L:\\exchsrvr\\sg1\\{flipped[0]}"
    assert file.verdict is FileVerdict.DAMAGED
    assert file.needed
    assert file.detail


def refused_after(scene, damage):
    """The report of a copy that is damaged before its check; the record is deleted again.

    Such a copy cuts no logs, and each one makes a new one: from time to time a good one cuts them,
    once a message has moved the checkpoint, which stands still while nothing is delivered.
    """
    if len(scene.closed_logs()) > 25:
        scene.site.deliver("evs1", "sg1", messages=1)
        scene.site.frs.delete_copy(scene.copy().id)
        assert len(scene.closed_logs()) < 25
    sink = scene.at("imported", damage)
    with pytest.raises(IntegrityError) as caught:
        scene.copy()
    scene.forget(sink)
    scene.site.frs.delete_copy(caught.value.copy.id)
    return caught.value.copy.report


@pytest.mark.rule("FRS-08")
@settings(max_examples=FLIPS)
@given(page=st.integers(1, 62), offset=st.integers(0, PAGE - 1), bit=st.integers(0, 7))
def test_any_bit_of_any_page_is_noticed(lasting_scene, page, offset, bit):
    """Wherever in a page of the mailbox store a bit of the copy flips, the copy fails."""
    scene = lasting_scene

    def damage():
        scene.bench.flip(scene.members()["M:\\"], MAILBOX, (page + 1) * PAGE + offset, bit)

    (file,) = refused_after(scene, damage).damaged
    assert file.path.endswith("mbx-sg1.edb")
    assert f"page {page}" in file.detail


@pytest.mark.rule("FRS-08")
@settings(max_examples=FLIPS)
@given(place=st.integers(0, (1 << 32) - 1), bit=st.integers(0, 7))
def test_any_bit_of_the_used_part_of_a_needed_log_is_noticed(lasting_scene, place, bit):
    """Wherever in the header or the records of the newest closed log a bit flips, the copy fails."""
    scene = lasting_scene

    def damage():
        storage = scene.members()["L:\\"]
        name = newest_log(scene, storage)
        content = scene.bench.read(storage, f"{LOGS}/{name}")
        # How much is used depends on what came before; what is drawn must not.
        offset = place % len(content.rstrip(b"\0"))
        scene.bench.flip(storage, f"{LOGS}/{name}", offset, bit)

    report = refused_after(scene, damage)
    assert [file.role for file in report.damaged] == [FileRole.LOG]


# --- recovery --------------------------------------------------------------------------------------------


def recover(scene, copy, mode, method=RecoveryMethod.SWAP):
    """Plan and carry out."""
    plan = scene.site.frs.plan_recovery(copy.id, mode=mode, method=method)
    return scene.site.frs.recover(plan)


def stopped_rows(scene):
    """All rows of the mailbox store as another reader sees them; the server runs again after."""
    scene.site.exchange.stop()
    rows = scene.rows()
    scene.site.exchange.start()
    return rows


@pytest.mark.rule("FRS-29", "FRS-33", "EXC-64")
@pytest.mark.parametrize("method", [RecoveryMethod.SWAP, RecoveryMethod.COPY_BACK])
def test_roll_forward_reaches_the_last_transaction(scene, method):
    """Every row is back, whichever way the files come; the log LUN stays where it was."""
    copy = scene.copy()
    scene.site.deliver("evs1", "sg1", messages=25)
    rows = stopped_rows(scene)
    luns = scene.luns()
    scene.site.damage_database("evs1", "sg1")
    assert scene.states()["mailbox-sg1"] == "damaged"
    report = recover(scene, copy, RecoveryMode.ROLL_FORWARD, method)
    assert scene.mail() == 65
    assert [each.state for each in report.after.databases] == ["mounted", "mounted"]
    assert stopped_rows(scene) == rows
    swapped = {point for point, storage in scene.luns().items() if storage != luns[point]}
    assert swapped == ({"M:\\", "P:\\"} if method is RecoveryMethod.SWAP else set())


@pytest.mark.rule("FRS-28", "FRS-33", "EXC-62")
@pytest.mark.parametrize("method", [RecoveryMethod.SWAP, RecoveryMethod.COPY_BACK])
def test_point_in_time_ends_at_the_cut(scene, method):
    """Exactly the rows of the instant are back; newer logs are kept aside, not replayed."""
    rows = stopped_rows(scene)
    copy = scene.copy()
    scene.site.deliver("evs1", "sg1", messages=25)
    scene.site.exchange.group("sg1").roll()
    newer = scene.closed_logs()
    old_lun = scene.luns()["L:\\"]
    report = recover(scene, copy, RecoveryMode.POINT_IN_TIME, method)
    assert sum(each.items for each in report.after.databases) == scene.mail() == 40
    kept = {}
    if method is RecoveryMethod.SWAP:
        for name in scene.bench.names(old_lun, LOGS):
            if name in newer:
                kept[name] = scene.bench.read(old_lun, f"{LOGS}/{name}")
    else:
        aside = "L:\\exchsrvr\\sg1\\frskit-aside-1"
        kept = {name: scene.read(f"{aside}\\{name}") for name in scene.names(aside)}
    assert newer.items() <= kept.items() | scene.closed_logs().items()
    assert stopped_rows(scene) == rows
    assert scene.site.deliver("evs1", "sg1", messages=3) == 3
    assert scene.mail() == 43


@pytest.mark.rule("FRS-33")
def test_a_swap_uses_the_copy_up_and_copying_back_keeps_it(scene):
    """After copying back the copy is as it was and can be used again; after a swap it is not."""
    copy = scene.copy()
    members = [scene.members(copy)[point] for point in ("L:\\", "M:\\")]
    prints = {each: scene.bench.fingerprint(each) for each in members}
    scene.site.deliver("evs1", "sg1", messages=5)
    recover(scene, copy, RecoveryMode.POINT_IN_TIME, RecoveryMethod.COPY_BACK)
    assert scene.mail() == 40
    assert {each: scene.bench.fingerprint(each) for each in prints} == prints
    assert scene.site.frs.copy(copy.id).recoverable
    scene.site.deliver("evs1", "sg1", messages=5)
    recover(scene, copy, RecoveryMode.POINT_IN_TIME)
    assert scene.site.frs.copy(copy.id).life is CopyLife.CONSUMED
    with pytest.raises(RecoveryPrecondition) as caught:
        recover(scene, copy, RecoveryMode.POINT_IN_TIME)
    assert caught.value.context["condition"] == "P-01"


@pytest.mark.rule("FRS-34")
def test_mount_points_come_back(scene):
    """After a swap every volume is where it was, writable, on the copy's LUN; the old is hidden."""
    copy = scene.copy()
    old = scene.luns()
    report = recover(scene, copy, RecoveryMode.POINT_IN_TIME)
    assert scene.luns() == scene.members(copy)
    assert not any(volume.read_only for volume in scene.site.parties.production.volumes())
    assert set(report.displaced) == set(old.values())
    shown = {each.storage: (each.host, each.read_only) for each in scene.site.eva.presentations()}
    assert shown == dict.fromkeys(scene.members(copy).values(), ("evs1", False))
    for disk in scene.site.parties.production.disks():
        flags = disk.flags
        assert not any((flags.hidden, flags.read_only, flags.no_drive_letter, flags.shadow_copy))
    assert {each.id for each in scene.site.eva.storage()} >= set(old.values())


@pytest.mark.rule("FRS-31")
def test_roll_forward_needs_logs_on_a_lun_of_their_own(make_scene):
    """P-07: with databases and logs on one LUN the logs would be swapped away; nothing changes."""
    scene = make_scene(layout="shared")
    scene.site.deliver("evs1", "sg1", messages=10)
    copy = scene.copy()
    luns = scene.luns()
    with pytest.raises(RecoveryPrecondition) as caught:
        scene.site.frs.plan_recovery(copy.id, mode=RecoveryMode.ROLL_FORWARD)
    assert caught.value.context["condition"] == "P-07"
    assert (scene.luns(), scene.mail()) == (luns, 10)
    scene.site.deliver("evs1", "sg1", messages=10)
    recover(scene, copy, RecoveryMode.POINT_IN_TIME)
    assert scene.mail() == 10


@pytest.mark.rule("FRS-31", "FRS-35")
def test_roll_forward_needs_an_unbroken_chain(scene):
    """P-08: a log between copy and damage is gone; roll forward is refused before anything."""
    copy = scene.copy()
    for _ in range(3):
        scene.site.deliver("evs1", "sg1", messages=5)
        scene.site.exchange.group("sg1").roll()
    first = min(scene.closed_logs())
    place = scene.site.parties.production.resolve(f"L:\\exchsrvr\\sg1\\{first}")
    scene.site.parties.production.files(place.volume).remove(place.path)
    luns = scene.luns()
    with pytest.raises(RecoveryPrecondition) as caught:
        scene.site.frs.plan_recovery(copy.id, mode=RecoveryMode.ROLL_FORWARD)
    assert caught.value.context["condition"] == "P-08"
    assert scene.luns() == luns
    recover(scene, copy, RecoveryMode.POINT_IN_TIME)
    assert scene.mail() == 40


@pytest.mark.rule("HAZ-07")
def test_a_copy_of_a_discarded_timeline_is_not_rolled_forward(scene):
    """After a point-in-time recovery a newer copy's logs fork from production's: refused."""
    first = scene.copy()
    scene.site.deliver("evs1", "sg1", messages=10)
    scene.site.exchange.group("sg1").roll()
    discarded = scene.copy()
    recover(scene, first, RecoveryMode.POINT_IN_TIME)
    for _ in range(4):
        scene.site.deliver("evs1", "sg1", messages=5)
        scene.site.exchange.group("sg1").roll()
    with pytest.raises(RecoveryPrecondition) as caught:
        scene.site.frs.plan_recovery(discarded.id, mode=RecoveryMode.ROLL_FORWARD)
    assert caught.value.context["condition"] == "P-08"
    assert scene.mail() == 60


@pytest.mark.rule("FRS-01", "FRS-34")
def test_one_group_of_a_set_of_two(make_scene):
    """A set of two groups: recovering one leaves the other's mail and LUNs alone."""
    scene = make_scene(groups=2, seed=4)
    for group in ("sg1", "sg2"):
        scene.site.deliver("evs1", group, messages=10)
    copy = scene.copy("sg1", "sg2")
    assert len(copy.members) == 6
    for group in ("sg1", "sg2"):
        scene.site.deliver("evs1", group, messages=6)
    luns = scene.luns()
    plan = scene.site.frs.plan_recovery(copy.id, mode=RecoveryMode.POINT_IN_TIME, component="sg1")
    scene.site.frs.recover(plan)
    assert (scene.mail("sg1"), scene.mail("sg2")) == (10, 16)
    moved = {point for point, storage in scene.luns().items() if storage != luns[point]}
    assert moved == {"L:\\", "M:\\", "P:\\"}
    plan = scene.site.frs.plan_recovery(copy.id, mode=RecoveryMode.ROLL_FORWARD, component="sg2")
    scene.site.frs.recover(plan)
    assert (scene.mail("sg1"), scene.mail("sg2")) == (10, 16)


@pytest.mark.rule("FRS-31")
def test_recovery_needs_the_running_service(scene):
    """P-05: with the application's service stopped nothing is touched; started again it works."""
    copy = scene.copy()
    luns = scene.luns()
    scene.site.exchange.stop()
    with pytest.raises(RecoveryPrecondition) as caught:
        recover(scene, copy, RecoveryMode.POINT_IN_TIME)
    assert caught.value.context["condition"] == "P-05"
    assert scene.luns() == luns
    scene.site.exchange.start()
    recover(scene, copy, RecoveryMode.POINT_IN_TIME)
    assert scene.mail() == 40


@pytest.mark.rule("FRS-31")
def test_recovery_needs_the_former_mount_points(scene):
    """P-06: a volume that is not mounted where it was is told before anything happens."""
    copy = scene.copy()
    scene.site.exchange.stop()
    budget = Budget.of(scene.site.clock)
    production = scene.site.parties.production
    lun = scene.luns()["P:\\"]
    production.detach([lun], budget=budget)
    production.attach({lun: "Q:\\"}, read_only=False, budget=budget)
    scene.site.exchange.start()
    luns = scene.luns()
    with pytest.raises(RecoveryPrecondition) as caught:
        scene.site.frs.plan_recovery(copy.id, mode=RecoveryMode.POINT_IN_TIME)
    assert caught.value.context["condition"] == "P-06"
    assert scene.luns() == luns


@pytest.mark.rule("FRS-31")
def test_recovery_needs_all_members(scene):
    """P-01: a copy that lost one member on the array is not planned from."""
    copy = scene.copy()
    member = scene.members(copy)["P:\\"]
    scene.site.parties.store.delete([member], budget=Budget.of(scene.site.clock))
    with pytest.raises(RecoveryPrecondition) as caught:
        scene.site.frs.plan_recovery(copy.id, mode=RecoveryMode.POINT_IN_TIME)
    assert caught.value.context["condition"] == "P-01"
    assert scene.site.frs.copy(copy.id).verdict is Verdict.DECAYED
