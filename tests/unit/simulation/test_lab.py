"""The lab in a directory: it lasts, it is held by one process, and it survives being killed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.labs import mail

import frskit
from frskit import BackupType, Completion, CopyLife, RecoveryMode, Verdict
from frskit.errors import (
    ArrayDamaged,
    Busy,
    CatalogError,
    ConfigurationError,
    CopyInUse,
    FileMissing,
    FormatError,
    FrskitError,
    RecoveryPrecondition,
    UsageError,
)
from frskit.events import CallableSink

WRITER = "frskit.exchange.writer.writer:ExchangeWriter"
EVA = "frskit.eva.array:SimulatedEva"
SERVER = "frskit.hosts.simulated:SimulatedServer"


def copied(site, **wishes):
    """A full copy of sg1."""
    return site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL, **wishes)


# --- lasting -------------------------------------------------------------------------------------


def test_a_lab_lasts(tmp_path):
    """Mail, copies, time and LUNs are there when the directory is opened again."""
    with frskit.lab(tmp_path / "lab", seed=2) as site:
        site.deliver("evs1", "sg1", messages=15)
        copy = copied(site)
        site.advance(3600)
        time = site.clock.now()
        storages = set(site.eva.storage())
    with frskit.open_site(tmp_path / "lab") as site:
        assert isinstance(site, frskit.Lab)
        assert site.clock.now() >= time
        assert mail(site) == 15
        assert site.frs.copy(copy.id) == copy
        assert {each.id for each in site.eva.storage()} == {each.id for each in storages}
        site.deliver("evs1", "sg1", messages=5)
        second = copied(site)
        assert second.id != copy.id
    with frskit.lab(tmp_path / "lab") as site:
        assert mail(site) == 20
        assert len(site.frs.copies()) == 2
        plan = site.frs.plan_recovery(copy.id, mode=RecoveryMode.POINT_IN_TIME)
        site.frs.recover(plan)
        assert mail(site) == 15
    with frskit.lab(tmp_path / "lab") as site:
        assert mail(site) == 15


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"seed": 99}, "seed is 1, not 99"),
        ({"groups": 3}, "groups is 2, not 3"),
        ({"model": "EVA3000"}, "model is 'EVA8000', not 'EVA3000'"),
        ({"layout": "shared"}, "layout is 'separate', not 'shared'"),
        ({"edbs": ["some.edb"]}, "adopts no more"),
    ],
    ids=lambda each: next(iter(each)) if isinstance(each, dict) else "",
)
def test_a_lab_that_is_there_already_refuses_what_it_is_not(tmp_path, asked, said):
    """Every argument is held against the lab in the directory; nothing is ignored silently."""
    directory = tmp_path / "lab"
    frskit.lab(directory, seed=1, groups=2).close()
    with pytest.raises(UsageError, match=said):
        frskit.lab(directory, **asked)
    with frskit.lab(directory, seed=1, groups=2, model="eva8000", layout="separate") as site:
        assert len(site.groups()) == 2


def test_nobody_else_can_read_what_a_lab_keeps(tmp_path):
    """Whatever the umask: directories are 0700, files 0600."""
    old = os.umask(0)
    try:
        with frskit.lab(tmp_path / "lab") as site:
            copied(site)
    finally:
        os.umask(old)
    modes = {
        path.relative_to(tmp_path).as_posix(): path.stat().st_mode & 0o777
        for path in (tmp_path / "lab", *(tmp_path / "lab").rglob("*"))
    }
    wanted = {name: 0o700 if (tmp_path / name).is_dir() else 0o600 for name in modes}
    assert modes == wanted


def test_a_closed_lab_can_be_closed_again(tmp_path):
    """Closing twice is harmless, and lets go of the directory."""
    site = frskit.lab(tmp_path / "lab")
    site.close()
    site.close()
    frskit.lab(tmp_path / "lab").close()


@pytest.mark.rule("FRS-36", "FRS-48")
def test_every_operation_leaves_a_journal(tmp_path):
    """Copy, recovery and deletion: one file of JSON lines each, intents before results, ended."""
    with frskit.lab(tmp_path / "lab") as site:
        first, second = copied(site), copied(site)
        site.frs.recover(site.frs.plan_recovery(first.id, mode=RecoveryMode.POINT_IN_TIME))
        site.frs.delete_copy(second.id)
    files = sorted((tmp_path / "lab" / "state" / "journal").glob("*.jsonl"))
    kinds = []
    for path in files:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [line["n"] for line in lines] == list(range(len(lines)))
        assert {line["schema"] for line in lines} == {"frskit.journal/1"}
        assert lines[0]["phase"] == "begin"
        assert lines[-1]["phase"] == "end"
        begun = [line["step"] for line in lines if line["phase"] == "intent"]
        done = [line["step"] for line in lines if line["phase"] == "done"]
        assert set(done) <= set(begun)
        kinds.append(lines[0]["kind"])
    assert kinds == ["copy", "copy", "recovery", "delete"]


# --- the same seed -----------------------------------------------------------------------------------


def story(seed, directory=None):
    """Ids, times, events and operations of the array in one little story, as one text."""
    told = []
    with frskit.lab(directory, seed=seed) as site:
        site.frs.subscribe(CallableSink(lambda event: told.append(event.to_dict())))
        site.deliver("evs1", "sg1", messages=20)
        copy = copied(site)
        site.deliver("evs1", "sg1", messages=10)
        told.append(site.damage_database("evs1", "sg1"))
        site.frs.recover(site.frs.plan_recovery(copy.id, mode=RecoveryMode.ROLL_FORWARD))
        told.append(copy.id)
        told.append([str(each) for each in site.eva.history])
        production = site.parties.production
        place = production.resolve("M:\\exchsrvr\\sg1\\mbx-sg1.edb")
        site.exchange.stop()
        with production.files(place.volume).open(place.path) as file:
            told.append(file.read_at(0, file.size_bytes).hex())
    return json.dumps(told, default=str)


@pytest.mark.rule("EVA-65")
def test_the_same_seed_tells_the_same_story(tmp_path):
    """Byte for byte: events, ids, the array's operations and the store's file; in a directory too."""
    assert story(7) == story(7)
    assert story(7) != story(8)
    assert story(7, tmp_path / "a") == story(7, tmp_path / "b")


# --- one process at a time ----------------------------------------------------------------------------


@pytest.mark.rule("FRS-43")
def test_a_second_process_is_told_busy(tmp_path):
    """While a process has the lab open another one gets Busy; afterwards it gets the lab."""
    code = (
        "import sys, frskit\n"
        "try:\n"
        "    frskit.open_site(sys.argv[1]).close(); print('opened')\n"
        "except frskit.FrskitError as error: print(type(error).__name__, error.exit_status)\n"
    )
    run = [sys.executable, "-c", code, str(tmp_path / "lab")]
    env = {"PYTHONPATH": str(Path(frskit.__file__).parents[1])}
    with frskit.lab(tmp_path / "lab"):
        with pytest.raises(Busy):
            frskit.lab(tmp_path / "lab")
        told = subprocess.run(run, capture_output=True, text=True, check=True, env=env).stdout
        assert told == "Busy 10\n"
    told = subprocess.run(run, capture_output=True, text=True, check=True, env=env).stdout
    assert told == "opened\n"


# --- mistakes and damage -------------------------------------------------------------------------------


def test_a_directory_with_something_in_it_is_refused(tmp_path):
    """Nothing is overwritten, nothing is left half-made."""
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(ConfigurationError):
        frskit.lab(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]
    for wrong in ({"layout": "odd"}, {"groups": 5}, {"groups": 0}, {"model": "EVA1"}):
        with pytest.raises(UsageError):
            frskit.lab(tmp_path / "new", **wrong)
    with pytest.raises(UsageError):
        frskit.lab(tmp_path / "new", edbs=[tmp_path / "note.txt"] * 6)
    with pytest.raises(FileMissing):
        frskit.lab(tmp_path / "new", edbs=[tmp_path / "none.edb"])
    with pytest.raises(FormatError):
        frskit.lab(tmp_path / "new", edbs=[tmp_path / "note.txt"])
    assert not (tmp_path / "new").exists()


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A lab in a directory: 30 messages, a verified copy, 10 newer messages and closed logs."""
    place = tmp_path_factory.mktemp("template") / "lab"
    with frskit.lab(place, seed=1) as site:
        site.deliver("evs1", "sg1", messages=30)
        copied(site)
        site.deliver("evs1", "sg1", messages=10)
        site.exchange.group("sg1").roll()
    return place


@pytest.fixture
def place(template, shell):
    """A copy of the template where this test's processes find it."""
    shutil.copytree(template, shell.place)
    return shell.place


DAMAGE = [
    ("site.toml", b"kind = \n", ConfigurationError),
    ("site.toml", b'kind = "moon"\n', ConfigurationError),
    ("site.toml", b"seed = 1\n", ConfigurationError),
    ("site.toml", b"\xff\xfe", ConfigurationError),
    ("lab.json", b"{", ConfigurationError),
    ("lab.json", b"[]", ConfigurationError),
    ("lab.json", b'{"schema": "frskit.lab/99"}', ConfigurationError),
    ("time", b"noon", ConfigurationError),
    ("services.sqlite", b"garbage" * 2000, ConfigurationError),
    ("state/catalog.sqlite", b"garbage" * 2000, CatalogError),
]


@pytest.mark.rule("HAZ-15")
@pytest.mark.parametrize(("name", "content", "kind"), DAMAGE)
def test_a_damaged_file_is_a_typed_error(place, name, content, kind):
    """Each file of the directory, damaged: a typed error that names it, and nothing held."""
    for companion in place.glob(f"{name}-*"):
        companion.unlink()
    whole = (place / name).read_bytes()
    (place / name).write_bytes(content)
    with pytest.raises(kind) as caught:
        frskit.open_site(place)
    assert name.rsplit("/", 1)[-1] in str(caught.value)
    assert caught.value.hint
    (place / name).write_bytes(whole)
    with frskit.open_site(place) as site:
        assert mail(site) == 40


@pytest.mark.parametrize("how", ["zeros", "cut", "garbage"])
def test_damaged_files_of_the_array_are_typed_errors(place, how):
    """Every file of the array's directory, damaged: a typed error, or only a store is damaged."""
    hurt = {
        "zeros": lambda data: bytes(len(data)),
        "cut": lambda data: data[: len(data) // 2],
        "garbage": lambda data: (b"garbage" * (len(data) // 7 + 1))[: len(data)],
    }[how]
    names = [path for path in (place / "eva").iterdir() if path.is_file() and path.stat().st_size]
    refused = {}
    for path in names:
        whole = path.read_bytes()
        path.write_bytes(hurt(whole))
        try:
            frskit.open_site(place).close()
        except FrskitError as error:
            refused[path.name] = type(error)
        path.write_bytes(whole)
    assert ArrayDamaged in refused.values()


def test_a_missing_directory_is_a_typed_error(tmp_path):
    """No lab there: the hint says how to make one."""
    with pytest.raises(ConfigurationError) as caught:
        frskit.open_site(tmp_path / "nowhere")
    assert "frskit lab init" in caught.value.hint


# --- kill -9 --------------------------------------------------------------------------------------------


BEFORE_THE_VERDICT = [
    "requested",
    "planned",
    f"{EVA}.stage_copies:after",
    f"{EVA}.commit_copies:before",
    f"{EVA}.commit_copies:after",
    "created",
    "imported",
    "normalizing",
    "checking",
]
AFTER_THE_VERDICT = [
    ("verified", Completion.UNKNOWN, 0),
    (f"{WRITER}.backup_complete:before", Completion.UNKNOWN, 0),
    (f"{WRITER}.backup_complete:after", Completion.UNKNOWN, 1),
    ("completed", Completion.DONE, 1),
]


def check_alive(site, older, messages=40):
    """What must hold after any crash and resume."""
    assert mail(site) == messages
    assert {each.state for each in site.status("evs1", "sg1").databases} == {"mounted"}
    assert site.frs.copy(older.id).recoverable
    assert list(site.parts.journal.interrupted()) == []
    assert site.frs.resume() == ()
    owned = {member.storage for copy in site.frs.copies() for member in copy.members}
    assert {each.id for each in site.eva.copies()} <= owned
    production = site.parties.production
    for disk in production.disks():
        assert not disk.flags.hidden
        assert not disk.flags.read_only
    shown = {(each.storage, each.host) for each in site.eva.presentations()}
    assert shown == {(lun, "evs1") for lun in site.parties.production_luns()}
    site.deliver("evs1", "sg1", messages=1)
    assert copied(site).recoverable


@pytest.mark.crash
@pytest.mark.rule("FRS-49", "FRS-50", "EXC-14")
@pytest.mark.parametrize("stage", BEFORE_THE_VERDICT)
def test_killed_before_the_verdict(place, shell, stage):
    """The process dies before VERIFIED is durable: rolled back, no log is lost, life goes on."""
    (older,) = shell.copies()
    shell.killed(stage, "copy", "add", "evs1", "sg1")
    with frskit.open_site(place) as site:
        (resumed,) = site.frs.resume()
        assert resumed.result == "rolled back"
        failed = site.frs.copy(resumed.copy.id)
        assert (failed.life, failed.completion) == (CopyLife.FAILED, Completion.NONE)
        assert failed.verdict is not Verdict.VERIFIED
        assert failed.leftovers == ()
        assert not [each for each in site.eva.copies() if each.key == failed.id]
        plan = site.frs.plan_recovery(older.id, mode=RecoveryMode.ROLL_FORWARD)
        assert plan.analysis.gap_at is None
        check_alive(site, older)


@pytest.mark.crash
@pytest.mark.rule("FRS-49", "HAZ-20", "EXC-33")
@pytest.mark.parametrize(("stage", "completion", "truncated"), AFTER_THE_VERDICT)
def test_killed_after_the_verdict(place, shell, stage, completion, truncated):
    """VERIFIED was durable: the copy stays usable; what was truncated is found by looking."""
    (older,) = shell.copies()
    shell.killed(stage, "copy", "add", "evs1", "sg1")
    with frskit.open_site(place) as site:
        (resumed,) = site.frs.resume()
        copy = site.frs.copy(resumed.copy.id)
        assert (copy.life, copy.verdict) == (CopyLife.PARKED, Verdict.VERIFIED)
        assert copy.completion is completion
        assert bool(sum(each.count for each in copy.truncated)) == bool(truncated)
        assert copy.recoverable
        site.frs.recover(site.frs.plan_recovery(copy.id, mode=RecoveryMode.POINT_IN_TIME))
        check_alive(site, older)


@pytest.mark.crash
def test_resume_through_a_process(place, shell):
    """`frskit resume` after a kill says what it did, and the second time that nothing is left."""
    shell.killed("normalizing", "copy", "add", "evs1", "sg1")
    (done,) = shell.json("resume")["copies"]
    assert (done["state"], done["result"]) == ("failed", "rolled back")
    assert shell.frskit("resume").out == "nothing was left unfinished\n"


UNDONE = ["take offline", "swap#1", "swap#2", "set-aside#1"]


@pytest.fixture
def damaged(place, shell):
    """The mailbox store of the lab is damaged; gives the copy to recover from."""
    with frskit.open_site(place) as site:
        site.damage_database("evs1", "sg1")
        return site.frs.copies()[0]


@pytest.mark.crash
@pytest.mark.rule("FRS-49", "FRS-31")
@pytest.mark.parametrize("step", UNDONE)
def test_a_recovery_killed_before_replay_is_undone(place, shell, damaged, step):
    """Until resumed nothing else may touch the copy; then all is as before, and it works again."""
    with frskit.open_site(place) as site:
        luns = {each.mount_points: each.storages for each in site.parties.production.volumes()}
    shell.killed(step, "recover", damaged.id, "--mode", "roll-forward")
    with frskit.open_site(place) as site:
        for refused, kind in (
            (lambda: site.frs.delete_copy(damaged.id), CopyInUse),
            (
                lambda: site.frs.plan_recovery(damaged.id, mode=RecoveryMode.POINT_IN_TIME),
                RecoveryPrecondition,
            ),
        ):
            with pytest.raises(kind) as caught:
                refused()
            assert "frskit resume" in caught.value.hint
    with frskit.open_site(place) as site:
        (resumed,) = site.frs.resume()
        assert "undone" in resumed.result
        assert site.frs.copy(damaged.id).recoverable
        production = site.parties.production
        assert {each.mount_points: each.storages for each in production.volumes()} == luns
        site.frs.recover(site.frs.plan_recovery(damaged.id, mode=RecoveryMode.ROLL_FORWARD))
        assert mail(site) == 40
    with frskit.open_site(place) as site:
        assert mail(site) == 40


# Three calls are those of the boot; the fourth belongs to the first swapped LUN.
BEFORE_REPLAY = [*UNDONE[:3], *(f"{SERVER}.set_flags#{n}:before" for n in (4, 5, 6))]


@pytest.mark.crash
@pytest.mark.rule("FRS-49", "FRS-31", "HAZ-01")
@pytest.mark.parametrize("look", [False, True], ids=["resume only", "looked at before"])
@pytest.mark.parametrize("step", BEFORE_REPLAY)
def test_nothing_is_mounted_before_the_journal_was_read(place, shell, step, look):
    """Healthy production, killed in a swap: no store mounts on half-swapped LUNs, none is lost.

    A store that mounts replays, and replay into a mixture of old and new LUNs ruins both.
    """
    (older,) = shell.copies()
    shell.killed(step, "recover", older.id, "--mode", "point-in-time")
    if look:
        states = {state for state, _ in shell.messages().values()}
        assert "mounted" not in states
    (done,) = shell.json("resume")["copies"]
    assert done["result"] == "the recovery of sg1 was undone"
    with frskit.open_site(place) as site:
        check_alive(site, older)
        site.frs.recover(site.frs.plan_recovery(older.id, mode=RecoveryMode.POINT_IN_TIME))
        assert mail(site) == 30


def test_a_recovery_whose_journal_does_not_say_the_group_keeps_every_group_offline(place, shell):
    """The first line is torn: nobody knows which group it was, so none is mounted."""
    (older,) = shell.copies()
    shell.killed("swap#2", "recover", older.id, "--mode", "point-in-time")
    (path,) = (place / "state" / "journal").glob("*recovery*.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"\xff" + lines[0][:20] + b"\n" + b"".join(lines[1:]))
    assert {state for state, _ in shell.messages().values()} == {"dismounted"}


@pytest.mark.crash
@pytest.mark.rule("FRS-49", "HAZ-25", "EXC-75")
@pytest.mark.parametrize("mode", RecoveryMode)
@pytest.mark.parametrize(
    "step",
    [
        "mount and replay",
        "frskit.exchange.recovery.application:ExchangeApplication.bring_online:after",
    ],
    ids=["before", "after"],
)
def test_a_recovery_killed_at_replay_is_completed(place, shell, damaged, mode, step):
    """From the intent to replay on there is no way back: resume ends what was begun."""
    shell.killed(step, "recover", damaged.id, "--mode", mode.value)
    with frskit.open_site(place) as site:
        assert site.frs.copy(damaged.id).life is CopyLife.CONSUMED
        (resumed,) = site.frs.resume()
        assert resumed.result == "the recovery of sg1 was completed"
        assert mail(site) == (40 if mode is RecoveryMode.ROLL_FORWARD else 30)
        displaced = {storage for storage, _ in site.parts.catalog.displaced()}
        assert len(displaced) == (2 if mode is RecoveryMode.ROLL_FORWARD else 3)
        assert not displaced & site.parties.production_luns()
        assert site.frs.resume() == ()
        assert copied(site).recoverable


@pytest.mark.crash
@pytest.mark.rule("FRS-49", "FRS-33")
@pytest.mark.parametrize("step", ["copy-in#1", "copy-in#3", "set-aside#1"])
def test_copying_back_killed_half_way_is_undone(place, shell, step):
    """Files that were put aside come back, no temporary file stays, mail goes on."""
    (older,) = shell.copies()
    shell.killed(step, "recover", older.id, "--mode", "point-in-time", "--method", "copy-back")
    with frskit.open_site(place) as site:
        (resumed,) = site.frs.resume()
        assert resumed.result == "the recovery of sg1 was undone"
        for volume in site.parties.production.volumes():
            names = list(site.parties.production.files(volume.id).walk(""))
            assert not [name for name in names if ".frskit-" in name]
        check_alive(site, older)
