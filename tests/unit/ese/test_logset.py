"""Sets of logs: names, holes, chains, signatures, the checkpoint."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from frskit import ese
from frskit.clock import Budget, CancelToken, VirtualClock
from frskit.errors import Cancelled, FileMissing, UsageError
from frskit.ese import check_logs, facts_of_checkpoint, facts_of_logs, log_facts
from frskit.ese.logs.names import LogFileKind, archived_log_name, parse_log_name
from frskit.model.reports import LogProblemKind as Kind


def kinds(report):
    """(kind, error) of all problems, in order."""
    return [(each.kind, each.error) for each in report.problems]


def test_a_good_stream_is_ok(forge):
    """Archived logs in order, the current one last, and the checkpoint."""
    files = forge.stream(2, 5, current=6, checkpoint=4)
    files |= {"E00tmp.log": b"", "res1.log": b"", "res2.log": b"", "E01.log": b"", "x.txt": b""}
    report = check_logs(files, "e00")
    assert (report.ok, report.problems) == (True, ())
    assert report.generations == (2, 3, 4, 5, 6)
    assert (report.current, report.temporary) == ("E00.log", "E00tmp.log")
    assert report.reserves == ("res1.log", "res2.log")
    assert (report.checkpoint.generation, report.checkpoint_error) == (4, None)
    assert report.signature == forge.signature


def test_directories_and_trees_are_read_alike(forge, tmp_path):
    """A directory of the machine gives the same report as a mapping."""
    files = forge.stream(1, 3, current=4)
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "sub").mkdir()
    assert check_logs(tmp_path, "E00").generations == check_logs(files, "E00").generations
    with pytest.raises(FileMissing):
        check_logs(tmp_path / "none", "E00")


def test_five_and_eight_digits_make_one_stream(forge):
    """A directory may change from 5 to 8 digits."""
    files = forge.stream(1, 2) | forge.stream(3, 4, digits=8)
    report = check_logs(files, "E00")
    assert report.ok
    assert report.generations == (1, 2, 3, 4)


def test_an_empty_directory_has_no_logs(forge):
    """No logs, no problem here: what it means is decided elsewhere."""
    report = check_logs({}, "E00")
    assert (report.logs, report.signature, report.ok) == ((), None, True)
    assert facts_of_checkpoint(report) is None


def test_a_hole_is_missing_and_the_chain_restarts(forge):
    """One problem -528 for the hole, none for the logs around it."""
    files = forge.stream(1, 6, current=9)
    del files["E0000003.log"], files["E0000004.log"]
    report = check_logs(files, "E00")
    assert kinds(report) == [(Kind.MISSING, -528), (Kind.MISSING, -528)]
    assert report.missing == ((3, 4), (7, 8))
    assert report.error == -528


def test_a_current_log_that_repeats_a_generation_is_an_error(forge):
    """The current log has to be the next one."""
    report = check_logs(forge.stream(1, 3, current=3), "E00")
    assert kinds(report) == [(Kind.DUPLICATE, -528)]


def test_two_names_for_one_generation_are_a_warning(forge):
    """The 5- and the 8-digit name of one generation: said, but no error by itself."""
    report = check_logs(forge.stream(1, 2) | forge.stream(2, 2, digits=8), "E00")
    assert kinds(report) == [(Kind.DUPLICATE, None)]


def test_a_renamed_log_is_found_by_its_header(forge):
    """Name and header must agree: -513."""
    files = forge.stream(1, 3)
    files["E0000004.log"] = files.pop("E0000003.log")
    report = check_logs(files, "E00")
    assert report.problems[0].kind is Kind.NAME_MISMATCH
    assert report.error == -513


def test_a_divergent_timeline_breaks_the_chain(forge):
    """A log created after another predecessor is -515."""
    files = forge.stream(1, 4)
    files["E0000003.log"] = forge.old_log(3, previous_created=forge.time(999))
    report = check_logs(files, "E00")
    assert kinds(report) == [(Kind.BROKEN_CHAIN, -515)]
    assert report.problems[0].first_generation == 3


def test_all_eight_bytes_of_the_creation_time_count(forge):
    """A difference in the milliseconds alone breaks the chain."""
    files = forge.stream(1, 2)
    moment = forge.time(1).raw[:6] + b"\x00\x02"
    files["E0000002.log"] = forge.old_log(2, previous_created=ese.LogTime(raw=moment))
    assert check_logs(files, "E00").error == -515


def test_a_foreign_log_is_found(forge):
    """A log of another stream is -530, whatever its times say."""
    files = forge.stream(1, 3)
    other = evolve(forge.signature, random=1)
    files["E0000002.log"] = forge.old_log(2, log_signature=other)
    report = check_logs(files, "E00")
    assert kinds(report) == [(Kind.FOREIGN_SIGNATURE, -530)]
    assert report.signature == forge.signature


def test_a_damaged_body_and_a_damaged_header_are_501(forge):
    """Both are -501; after an unreadable header the chain restarts."""
    files = forge.stream(1, 5)
    files["E0000002.log"][4200] ^= 1
    files["E0000004.log"][10] ^= 1
    report = check_logs(files, "E00")
    assert kinds(report) == [(Kind.DAMAGED, -501), (Kind.DAMAGED, -501)]
    assert [each.name for each in report.problems] == ["E0000002.log", "E0000004.log"]


def test_a_torn_tail_is_forgiven_in_the_current_log_only(forge):
    """Torn and patchable: a warning in Enn.log, -501 in an archived log."""
    torn = forge.old_log(3)
    torn[forge.add_shadow(torn, 3) + 50] ^= 1
    report = check_logs({**forge.stream(1, 2), "E00.log": torn}, "E00")
    assert kinds(report) == [(Kind.TORN, None)]
    assert report.ok
    report = check_logs({**forge.stream(1, 2), "E0000003.log": torn}, "E00")
    assert kinds(report) == [(Kind.DAMAGED, -501)]
    assert facts_of_logs(report)[-1].error == -501
    assert [log_facts(ese.check_log(torn), named).error for named in (3, None)] == [-501, None]


def test_a_correctable_log_is_a_warning(forge):
    """One flipped bit in a segment is named, and is no error: the engine corrects it."""
    log = forge.new_log(3)
    log[2 * 4096 + 1000] ^= 8
    report = check_logs({"E0000003.log": log}, "E00")
    assert kinds(report) == [(Kind.CORRECTABLE, None)]
    assert report.ok


def test_accumulated_checksums_hold_new_logs_together(forge):
    """From update-minor 13 a log repeats the XOR of the one before; 0 says nothing: -590."""
    first = forge.new_log(1)
    total = ese.check_log(first).checksum
    good = {"edb00001.log": first, "edb00002.log": forge.new_log(2, previous_checksum=total)}
    assert check_logs(good, "edb").ok
    silent = {**good, "edb00002.log": forge.new_log(2)}
    assert check_logs(silent, "edb").ok
    bad = {**good, "edb00002.log": forge.new_log(2, previous_checksum=total ^ 1)}
    assert kinds(check_logs(bad, "edb")) == [(Kind.CHECKSUM_CHAIN, -590)]


def test_minor_twelve_repeats_the_last_segment_only(forge):
    """Update-minor 12 stored the checksum of the last used segment."""
    first = forge.new_log(1)
    last = ese.check_log(first).last_checksum
    files = {
        "edb00001.log": first,
        "edb00002.log": forge.new_log(2, previous_checksum=last, update_minor=12),
    }
    assert [each.error for each in check_logs(files, "edb").problems] == [None]


def test_an_older_version_is_a_warning(forge):
    """Going back in versions is said, but is no error."""
    files = forge.stream(1, 2)
    files["E0000002.log"] = forge.old_log(2, update_major=4)
    report = check_logs(files, "E00")
    assert kinds(report) == [(Kind.OLDER_VERSION, None)]
    assert report.ok


def test_checkpoints_are_judged_by_copies_and_signature(forge):
    """Unreadable is -533, of another stream -532, missing is nothing."""
    files = forge.stream(1, 2)
    assert facts_of_checkpoint(check_logs(files, "E00")) is None
    report = check_logs({**files, "E00.chk": bytes(8192)}, "E00")
    assert (report.checkpoint, report.checkpoint_error) == (None, -533)
    assert not facts_of_checkpoint(report).usable
    foreign = forge.checkpoint(1, log_signature=ese.Signature(random=1))
    report = check_logs({**files, "e00.CHK": foreign}, "E00")
    assert report.checkpoint_error == -532
    assert facts_of_checkpoint(check_logs({**files, "E00.chk": forge.checkpoint(2)}, "E00")).usable


def test_generations_can_be_limited(forge):
    """Only the logs of the range are looked at."""
    files = forge.stream(1, 6, current=7)
    files["E0000001.log"][4200] ^= 1
    report = check_logs(files, "E00", first_generation=2, last_generation=4)
    assert report.generations == (2, 3, 4)
    assert report.ok
    assert report.current == ""


def test_progress_and_cancelling(forge):
    """Progress counts logs; a set token stops before the next one."""
    seen = []
    check_logs(forge.stream(1, 3), "E00", progress=lambda *numbers: seen.append(numbers))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        check_logs(forge.stream(1, 1), "E00", budget=Budget.of(VirtualClock(), token=token))


@pytest.mark.parametrize("base", ["", "../E00", "E 0", "E" * 17])
def test_impossible_base_names_are_refused(base):
    """A base name is letters and digits."""
    with pytest.raises(UsageError):
        check_logs({}, base)


@given(st.integers(1, 0x7FFFFA00))
def test_archived_names_are_understood(generation):
    """The name made for a generation is read back as that generation, in any case."""
    name = archived_log_name("E00", generation)
    assert len(name) == (12 if generation <= 0xFFFFF else 15)
    for spelled in (name, name.upper()):
        assert parse_log_name(spelled, "e00").generation == generation


def test_names_of_every_kind():
    """Each kind of file in a log directory is known by name; others are not ours."""
    known = {
        "E00.log": LogFileKind.CURRENT,
        "e00TMP.log": LogFileKind.TEMPORARY,
        "E00.chk": LogFileKind.CHECKPOINT,
        "E00.jcp": LogFileKind.CHECKPOINT,
        "E0000001.jtx": LogFileKind.ARCHIVED,
        "E00res00001.jrs": LogFileKind.RESERVE,
        "RES1.LOG": LogFileKind.RESERVE,
    }
    for name, kind in known.items():
        assert parse_log_name(name, "E00").kind is kind
    for name in ("E01.log", "E000001.log", "E00000001.logx", "priv1.edb", "E0000g01.log", ""):
        assert parse_log_name(name, "E00") is None
    for generation, digits in ((0, 5), (0x100000, 5), (1, 6), (0x7FFFFA01, 8)):
        with pytest.raises(UsageError):
            archived_log_name("E00", generation, digits=digits)


@given(st.dictionaries(st.sampled_from(["E0000001.log", "E00.log", "E00.chk"]), st.binary()))
def test_sets_of_any_bytes_get_a_report(files):
    """Whatever the files hold, the set gets a report."""
    report = check_logs(files, "E00")
    assert len(report.logs) == sum(name.endswith(".log") for name in files)
    assert report.ok is (not report.logs)
