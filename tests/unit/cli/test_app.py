"""`frskit`: exit statuses, errors for people and for programs, and what every command prints."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime

import click
import pytest
from attrs import evolve

import frskit
from frskit import BackupType, Budget, Policy, RecoveryMode
from frskit.cli.app import main
from frskit.cli.render import truncation_text
from frskit.codes.exits import EXIT_STATUSES
from frskit.codes.explain import error_classes
from frskit.errors import ArrayError, FreezeTimeout, StoreError
from frskit.frs import RequestorOperation
from frskit.frs.state.late_files import opened
from frskit.model.components import ComponentId, LateFile
from frskit.model.copies import CopyLife, Truncation
from frskit.model.log_points import LogPoint


def commands(group=main, prefix=()):
    """Every command of the program, as (words, command)."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if isinstance(found, click.Group):
            yield from commands(found, (*prefix, name))
        else:
            yield (*prefix, name), found


COMMANDS = dict(commands())


# --- exit statuses, each reached by something that really happens ------------------------------


def copy_of(site, **wishes):
    """A verified copy of sg1."""
    return site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL, **wishes)


def wrong_usage(site, frs):
    return frs("copy", "add", "evs1")


def not_found(site, frs):
    return frs("copy", "add", "evs1", "sg9")


def writer_refuses(site, frs):
    site.exchange.writer.freeze = raising(FreezeTimeout("too slow"))
    return frs("copy", "add", "evs1", "sg1")


def array_is_full(site, frs):
    (pool,) = site.eva.disk_groups()
    site.eva.create_storage("ballast", pool.copies_fit_bytes - (1 << 30), disk_group=pool.name)
    return frs("copy", "add", "evs1", "sg1")


def damaged_page(site, frs):
    site.damage_database("evs1", "sg1", page=5)
    return frs("copy", "add", "evs1", "sg1")


def not_recoverable(site, frs):
    copy = copy_of(site, check=False)
    return frs("recover", copy.id, "--mode", "point-in-time")


def replay_fails(site, frs):
    copy = copy_of(site)
    application = site.exchange.application
    online, calls = application.bring_online, []

    def once(group, *, budget):
        calls.append(group)
        if len(calls) == 1:
            raise StoreError("no", native=-543)
        return online(group, budget=budget)

    application.bring_online = once
    return frs("recover", copy.id, "--mode", "point-in-time")


def locked(site, frs):
    with site.parts.locks.hold("server-evs1", "test"):
        return frs("copy", "add", "evs1", "sg1")


def interrupted(site, frs):
    class Sink:
        def emit(self, event):
            if getattr(event, "stage", "") == "imported":
                raise KeyboardInterrupt

    site.frs.subscribe(Sink())
    return frs("copy", "add", "evs1", "sg1")


def defect(site, frs):
    site.frs.copies = lambda **_: 1 / 0
    return frs("copy", "list")


def raising(error):
    """A function that raises."""

    def call(*_, **__):
        raise error

    return call


HAPPENINGS = {
    1: defect,
    2: wrong_usage,
    3: not_found,
    4: writer_refuses,
    5: array_is_full,
    7: damaged_page,
    8: not_recoverable,
    9: replay_fails,
    10: locked,
    12: interrupted,
}


@pytest.mark.rule("FRS-20")
@pytest.mark.parametrize("status", HAPPENINGS)
def test_exit_status(status, site, frs):
    """Each class of failure has its status, an error with a hint, and no traceback."""
    ran = HAPPENINGS[status](site, frs)
    assert (ran.status, ran.out) == (status, "")
    assert ran.err.lstrip().startswith(("error: ", "warning: "))
    assert "\nhint: " in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.rule("FRS-07", "FRS-20")
def test_exit_status_of_a_normalization_that_takes_too_long(lend, frs):
    """Exit 6: the check never starts on a copy that still normalizes; nothing stays behind."""
    policy = Policy(normalization_timeout_s=10, normalization_poll_s=5)
    with frskit.lab(policy=policy) as site:
        lend(site)
        checks = []
        site.parties.checker.check = lambda *_, **__: checks.append(1)
        ran = frs("copy", "add", "evs1", "sg1")
        assert (ran.status, checks) == (6, [])
        assert not site.eva.copies()


@pytest.mark.rule("FRS-20", "HAZ-15")
def test_exit_status_of_a_damaged_catalog(tmp_path, frs):
    """Exit 11: the catalog's file is garbage."""
    frskit.lab(tmp_path / "lab").close()
    (tmp_path / "lab" / "state" / "catalog.sqlite").write_bytes(b"garbage" * 1000)
    ran = frs("--site", tmp_path / "lab", "copy", "list")
    assert (ran.status, ran.out) == (11, "")
    assert "catalog.sqlite" in ran.err


def test_every_status_of_the_contract_is_reached_or_has_no_command_yet():
    """Success (everywhere), 6, 11 (above), 14 (below) and the doctor's 13 are not in the table."""
    assert set(EXIT_STATUSES) - set(HAPPENINGS) == {0, 6, 11, 13, 14}
    assert {kind.exit_status for kind in error_classes()} <= set(EXIT_STATUSES)


def test_exit_status_of_a_resume_tells_whether_it_needs_somebody(site, frs):
    """Exit 14 with the commands that lead out, and 0 once nothing is left to do."""
    check, delete = site.parties.checker.check, site.eva.delete_storage
    site.parties.checker.check = raising(StoreError("no"))
    site.eva.delete_storage = raising(ArrayError("broken"))
    assert frs("copy", "add", "evs1", "sg1").status == 9
    (copy,) = site.frs.copies()
    ran = frs("resume")
    assert (ran.status, ran.err) == (14, "")
    assert f"{copy.id}: " in ran.out
    assert "broken" in ran.out
    assert f"try: frskit copy rm {copy.id}" in ran.out
    ran = frs("--json", "resume")
    (facts,) = json.loads(ran.out)["copies"]
    assert (ran.status, facts["ended"]) == (14, False)
    assert facts["commands"] == ["frskit resume", f"frskit copy rm {copy.id}"]
    site.parties.checker.check, site.eva.delete_storage = check, delete
    ran = frs("resume")
    assert (ran.status, ran.out) == (0, f"{copy.id}: rolled back\n")
    assert frs("resume").out == "nothing was left unfinished\n"


def test_a_resume_names_what_has_no_record(site, frs):
    """The journal speaks of a copy that the catalog does not know."""
    unknown = site.parts.ids.guid()
    site.parts.journal.begin(RequestorOperation.RECOVERY, unknown, component="sg1")
    ran = frs("--json", "resume")
    (facts,) = json.loads(ran.out)["copies"]
    assert (ran.status, facts["id"], facts["ended"]) == (14, unknown, False)
    assert f"try: frskit journal show {unknown}" in frs("resume").out


def test_a_key_makes_the_command_repeatable(site, frs):
    """The same command again prints the same copy; another wish under the key is exit 2."""
    key = "0fa2a8d2-6b5c-4f0e-9c8a-3f2d9e6b7a10"
    first = frs("--json", "copy", "add", "evs1", "sg1", "--key", key)
    again = frs("--json", "copy", "add", "evs1", "sg1", "--key", key)
    assert json.loads(first.out)["copy"]["id"] == key
    assert json.loads(again.out) == json.loads(first.out)
    assert len(site.frs.copies()) == 1
    other = frs("copy", "add", "evs1", "sg2", "--key", key)
    assert other.status == 2
    assert "another wish" in other.err


@pytest.mark.parametrize("mode", list(RecoveryMode), ids=lambda each: each.value)
def test_recovering_by_the_array(site, frs, mode):
    """`--method array-restore`, from the plan to the same copy once more."""
    copy = copy_of(site)
    arguments = ("recover", copy.id, "--mode", mode.value, "--method", "array-restore")
    plan = frs(*arguments, "--plan")
    assert plan.status == 0
    assert "let the array copy back" in plan.out
    assert "not undone" in plan.out
    for _ in range(2):
        ran = frs(*arguments)
        assert (ran.status, ran.err) == (0, "")
        assert "recovered" in ran.out
    assert site.frs.copy(copy.id).recoverable


# --- errors for programs --------------------------------------------------------------------------


@pytest.mark.parametrize("status", HAPPENINGS)
def test_errors_as_json(status, site, frs):
    """With --json the same error is one document on the standard output."""
    ran = HAPPENINGS[status](site, lambda *words: frs("--json", *words))
    assert ran.status == status
    assert ran.document["schema"] == "frskit.error/1"
    error = ran.document["error"]
    assert error["exit_status"] == status
    assert error["code"]
    assert error["message"]
    assert error["hint"]
    assert isinstance(error["retryable"], bool)
    assert isinstance(error["leftovers"], list)
    assert "error: " not in ran.err


def test_errors_as_json_with_the_flag_after_the_command(site, frs):
    """--json is understood at the end as well, also for wrong usage."""
    assert frs("copy", "show", "none", "--json").document["error"]["code"] == "not-found.copy"
    assert frs("copy", "sho", "--json").document["error"]["code"] == "usage"
    assert frs("nonsense", "--json").document["error"]["code"] == "usage"


@pytest.mark.rule("FRS-27")
def test_an_error_names_stage_and_code(site, frs):
    """The stage in which a copy failed is told with the error, and kept with the copy."""
    ran = writer_refuses(site, lambda *words: frs("--json", *words))
    error = ran.document["error"]
    assert (error["stage"], error["retryable"]) == ("planned", True)
    (copy,) = frs("--json", "copy", "list").document["copies"]
    shown = frs("--json", "copy", "show", copy["id"]).document["copy"]
    assert shown["state"] == "failed"
    assert shown["stage"] == "planned"
    assert shown["failure"].startswith(error["code"])
    assert shown["leftovers"] == []
    explained = frs("--json", "explain", error["code"]).document
    assert explained["advice"]


def test_an_internal_error_shows_its_traceback_only_on_request(site, frs, monkeypatch):
    """A defect says how to report it; the variable adds the traceback."""
    assert "FRSKIT_TRACEBACK" in defect(site, frs).err
    monkeypatch.setenv("FRSKIT_TRACEBACK", "1")
    assert "ZeroDivisionError" in frs("copy", "list").err


# --- usage --------------------------------------------------------------------------------------------


def test_without_a_command_the_help_is_shown(frs):
    """Nothing given: the commands are listed, and it is still wrong usage."""
    for words in ([], ["copy"], ["lab"]):
        ran = frs(*words)
        assert (ran.status, ran.out) == (2, "")
        assert ran.err.startswith("Usage: frskit")
        assert "Commands:" in ran.err


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_and_json(words, frs):
    """Each command explains itself and takes --json."""
    ran = frs(*words, "--help")
    assert (ran.status, ran.err) == (0, "")
    assert COMMANDS[words].help
    assert "--json" in ran.out


@pytest.mark.parametrize("words", [(), ("copy", "add"), ("recover",)], ids=" ".join)
def test_unknown_options_are_wrong_usage(words, frs):
    """The message names the option, the hint the help of this very command."""
    ran = frs(*words, "--nonsense")
    assert ran.status == 2
    assert "--nonsense" in ran.err
    assert f"{' '.join(('frskit', *words))} --help" in ran.err


def test_without_a_site_the_error_says_how_to_get_one(frs, monkeypatch):
    """No site named: both ways of naming and the command that makes one."""
    monkeypatch.delenv("FRSKIT_SITE", raising=False)
    ran = frs("copy", "list")
    assert ran.status == 2
    assert "--site" in ran.err
    assert "FRSKIT_SITE" in ran.err
    assert "frskit lab init" in ran.err


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra_one_line_says_what_to_install(missing):
    """`frskit` without click or rich: exit 2 and the pip command, no traceback."""
    code = (
        "import sys\n"
        "class No:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] == {missing!r}:\n"
        f"            raise ImportError('no', name={missing!r})\n"
        "sys.meta_path.insert(0, No())\n"
        "from frskit.cli import main\n"
        "main()\n"
    )
    argv = [sys.executable, "-c", code, "demo"]
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "frskit: the command line needs: pip install 'frskit[cli]'\n"


# --- what commands print --------------------------------------------------------------------------------


@pytest.mark.rule("FRS-17", "FRS-18", "FRS-19")
def test_copies_as_json(site, frs):
    """The listing has what a program needs: id, time, kind, state, verdict, members."""
    made = frs("--json", "copy", "add", "evs1", "sg1").document
    assert made["schema"] == "frskit.copy/1"
    listed = frs("--json", "copy", "list", "evs1", "sg1").document
    assert listed["schema"] == "frskit.copies/1"
    (copy,) = listed["copies"]
    assert copy["id"] == made["copy"]["id"]
    assert copy["server"] == "evs1"
    assert copy["components"] == ["sg1"]
    assert datetime.fromisoformat(copy["created_at"]).utcoffset().total_seconds() == 0
    assert (copy["kind"], copy["state"], copy["verdict"]) == ("snapclone", "parked", "verified")
    assert copy["completion"] == "done"
    assert [each["mount_point"] for each in copy["members"]] == ["L:\\", "M:\\", "P:\\"]
    assert frs("--json", "copy", "list", "evs1", "sg2").document["copies"] == []
    assert frs("copy", "rm", copy["id"][:8]).status == 0
    assert frs("copy", "rm", copy["id"][:8]).status == 3
    assert frs("--json", "copy", "list").document["copies"] == []


@pytest.mark.rule("FRS-08", "FRS-12")
def test_the_report_of_a_copy_lists_its_files(site, frs):
    """`copy add` and `copy show` carry the same report, with every file of the group."""
    made = frs("--json", "copy", "add", "evs1", "sg1").document["copy"]
    shown = frs("--json", "copy", "show", made["id"]).document["copy"]
    assert shown["report"] == made["report"]
    names = {each["path"].rsplit("\\", 1)[-1] for each in made["report"]["files"]}
    assert {"mbx-sg1.edb", "mbx-sg1.stm", "pub-sg1.edb", "pub-sg1.stm", "E00.chk"} <= names
    (database,) = [each for each in made["report"]["files"] if each["path"].endswith("mbx-sg1.edb")]
    assert database["counts"]["seen"] == database["pages"] > 0
    assert made["report"]["pages"] >= database["pages"]


@pytest.mark.rule("FRS-54")
def test_an_unchecked_copy_says_so(site, frs):
    """--no-check: unverified, nothing truncated, and recovery refuses it."""
    copy = frs("--json", "copy", "add", "evs1", "sg1", "--no-check").document["copy"]
    assert (copy["verdict"], copy["truncated"], copy.get("report")) == ("unverified", [], None)
    ran = frs("--json", "recover", copy["id"], "--mode", "point-in-time")
    assert ran.status == 8
    assert ran.document["error"]["context"]["condition"] == "P-01"


def test_a_plan_of_a_copy_changes_nothing(site, frs):
    """`copy add --plan` names volumes, LUNs and steps and leaves no copy."""
    plan = frs("--json", "copy", "add", "evs1", "sg1", "--plan").document
    assert plan["schema"] == "frskit.copy-plan/1"
    assert [each["mount_point"] for each in plan["volumes"]] == ["L:\\", "M:\\", "P:\\"]
    assert len(plan["steps"]) > 4
    assert frs("--json", "copy", "list").document["copies"] == []
    assert not site.eva.copies()


@pytest.mark.rule("FRS-32")
def test_a_plan_of_a_recovery_changes_nothing(site, frs):
    """`recover --plan` prints steps and points of no return; bytes and presentations stay."""
    copy = copy_of(site)
    before = (site.status("evs1", "sg1"), set(site.eva.presentations()))
    plan = frs("--json", "recover", copy.id, "--mode", "roll-forward", "--plan").document
    assert plan["schema"] == "frskit.recovery-plan/1"
    assert plan["consumes_copy"] is True
    assert sum("point_of_no_return" in step for step in plan["steps"]) == 2
    assert (site.status("evs1", "sg1"), set(site.eva.presentations())) == before
    assert site.frs.copy(copy.id).life is CopyLife.PARKED
    text = frs("recover", copy.id, "--mode", "roll-forward", "--plan").out
    assert "point of no return" in text


def test_a_stop_has_a_kind_and_a_text_and_must_be_known(site, frs):
    """`recover --stop`: refused at the command line, or by a plan, before anything happens."""
    copy = site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
    forward = ("recover", copy.id, "--mode", "roll-forward", "--plan", "--stop")
    assert frs(*forward, "noon").status == 2
    assert frs(*forward, "time=").status == 2
    ran = frs(*forward, "time=noon")
    assert (ran.status, "cannot stop a roll forward at a time" in ran.err) == (8, True)
    back = frs("recover", copy.id, "--mode", "point-in-time", "--stop", "time=noon")
    assert (back.status, "a stop belongs to roll forward" in back.err) == (2, True)


def test_logs_are_named_and_counts_have_a_unit(site, frs):
    """For people the names of files; in documents the numbers that were always there, too."""
    site.deliver("evs1", "sg1", messages=5)
    status = site.status("evs1", "sg1")
    text = frs("show", "evs1").out
    assert str(status.current_log) in text
    assert "messages" in text
    (group,) = (
        each
        for each in frs("--json", "show", "evs1").document["storage_groups"]
        if each["name"] == "sg1"
    )
    assert group["current_log"] == status.current_log.rank
    assert (group["current_log_name"], group["unit"]) == (status.current_log.name, "messages")


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({}, "none"),
        ({"files": ("a",)}, "1 file: a"),
        ({"files": ("a", "b"), "beyond": ("b",)}, "2 files: a, b; not allowed: b"),
        (
            {"files": ("a", "b"), "first": LogPoint(rank=1, name="a"), "last": LogPoint(rank=2)},
            "a to 2 (2 files)",
        ),
        ({"files": ("a",), "first": LogPoint(rank=1), "last": LogPoint(rank=1)}, "1 (1 file)"),
    ],
)
def test_what_was_truncated_is_said_also_without_places(facts, said):
    """An application whose files have no place in a log still has names."""
    owner = ComponentId(writer_id="w", logical_path="", name="kv")
    assert truncation_text(Truncation(component=owner, **facts)) == said


def test_recover_prints_messages_before_and_after(site, frs):
    """The counts of the report are those of the stores."""
    copy = copy_of(site)
    site.deliver("evs1", "sg1", messages=5)
    done = frs("--json", "recover", copy.id, "--mode", "point-in-time").document
    assert done["schema"] == "frskit.recovery/1"
    before = {each["name"]: each["messages"] for each in done["before"]["databases"]}
    after = {each["name"]: each["messages"] for each in done["after"]["databases"]}
    assert (before["mailbox-sg1"], after["mailbox-sg1"]) == (25, 20)


def test_show_tree_logs_and_journal_as_json(site, frs):
    """The overview commands have schemas and the facts they promise."""
    copy = copy_of(site)
    shown = frs("--json", "show", "evs1").document
    assert shown["schema"] == "frskit.show/1"
    assert [each["name"] for each in shown["storage_groups"]] == ["sg1", "sg2"]
    assert shown["storage_groups"][0]["databases"][0] == {
        "name": "mailbox-sg1",
        "messages": 20,
        "items": 20,
        "state": "mounted",
    }
    tree = frs("--json", "tree").document
    assert [each["id"] for each in tree["servers"][0]["copies"]] == [copy.id]
    logs = frs("--json", "logs", "evs1", "sg1", "--copy", copy.id).document
    assert {each["mode"]: each["verdict"] for each in logs["analyses"]} == {
        mode.value: "ok" for mode in RecoveryMode
    }
    journal = frs("--json", "journal", "show", copy.id[:8]).document
    assert journal["lines"][0]["phase"] == "begin"
    assert journal["lines"][-1]["phase"] == "end"


def test_show_names_the_late_files_of_a_copy(site, frs):
    """How many for people, each with its hash for programs; nothing where there are none."""
    copy = copy_of(site)
    assert "late files" not in frs("copy", "show", copy.id).out
    with site.parts.late.alone("test"):
        size, digest = site.parts.late.put(opened(b"label"), Budget.of(site.clock))
    late = LateFile(component=copy.selected[0].id, path="M:\\label", size_bytes=size, sha256=digest)
    site.parts.catalog.update(copy.id, lambda record: evolve(record, late=(late,)))
    said = frs("copy", "show", copy.id).out
    assert "late files" in said
    assert "1, 5 bytes" in said
    shown = frs("--json", "copy", "show", copy.id).document
    assert shown["copy"]["late_files"] == [{"path": "M:\\label", "size_bytes": 5, "sha256": digest}]


@pytest.mark.rule("FRS-24")
def test_tree_for_people(site, frs):
    """The text has servers, groups, stores and copies."""
    copy = copy_of(site)
    out = frs("tree").out
    for text in ("evs1", "sg2", "mailbox-sg1: mounted, 20 messages", copy.id[:8]):
        assert text in out


def test_nothing_but_documents_goes_to_the_output_with_json(site, frs):
    """Warnings of a run go to the error output, so that the output stays one document."""
    copy_of(site)
    site.damage_logs("evs1", "sg1")
    ran = frs("--json", "copy", "add", "evs1", "sg1")
    assert json.loads(ran.out)["schema"].startswith("frskit.")
