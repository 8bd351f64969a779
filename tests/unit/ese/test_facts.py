"""Facts for roll-forward, on the vectors of exchange.md 5.5b."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from frskit import ese
from frskit.errors import FormatError
from frskit.ese.recovery_facts import (
    LogFacts,
    RunStop,
    checkpoint_facts,
    contiguous_run,
    database_facts,
    generation_ranges,
    log_facts,
    log_header_facts,
    logs_by_generation,
    longest_run,
    missing_generations,
    required_range,
    required_range_of,
)


def dirty(first, last, committed=0, **fields):
    """Header of a dirty database."""
    return ese.DatabaseHeader(
        state=2,
        gen_min_required=first,
        gen_max_required=last,
        gen_max_committed=committed,
        **fields,
    )


CLEAN = ese.DatabaseHeader(state=3)


def made(generation):
    """A creation time."""
    return ese.LogTime(raw=generation.to_bytes(8, "little"))


def logs(*generations, current=None, broken=(), damaged=()):
    """Chained facts of some logs."""
    return [
        LogFacts(
            name=f"{generation}.log",
            generation=generation,
            named_generation=None if generation == current else generation,
            created=made(generation),
            previous_created=made(7777 if generation in broken else generation - 1),
            error=-501 if generation in damaged else None,
        )
        for generation in generations
    ]


def test_v1_clean_databases_need_nothing():
    """V1: clean 0-0."""
    assert required_range([CLEAN, CLEAN]) is None


@pytest.mark.rule("EXC-55")
def test_v10_the_range_of_a_set_is_lowest_to_highest():
    """V10: two stores 10-12 and 9-12 need 9-12, also if one of them is clean."""
    need = required_range([dirty(10, 12), dirty(9, 11), CLEAN])
    assert (need.first, need.last, need.committed) == (9, 12, 12)
    assert missing_generations((10, 11, 12), need.first, need.last) == (9,)


def test_v2_all_required_logs_are_there():
    """V2: 10-12 with logs 10, 11, 12."""
    run = contiguous_run(logs(10, 11, 12), 10)
    assert (run.last, run.stop, run.stop_error) == (12, RunStop.END, None)
    assert list(run.generations) == [10, 11, 12]


def test_v4_the_first_required_log_is_missing():
    """V4 and V7: need 10, the set begins at 11: not even the first is usable."""
    run = contiguous_run(logs(11, 12), 10)
    assert (run.last, run.stop, run.stop_generation) == (None, RunStop.HOLE, 10)
    assert list(run.generations) == []


def test_v5_the_logs_end_too_early():
    """V5: 10-12 with 10, 11 only."""
    run = contiguous_run(logs(10, 11), 10)
    assert (run.last, run.stop) == (11, RunStop.END)


def test_v6_old_and_new_logs_chain_to_the_current_one():
    """V6: production logs 10..40 and the current log 41."""
    run = contiguous_run(logs(*range(10, 42), current=41), 10)
    assert run.last == 41


@pytest.mark.parametrize("required", [12, 22])
def test_v8_v9_a_gap_stops_the_run(required):
    """V8, V9: 10..20 and 22..41: the run ends at 20; where 41 lies is part of the facts."""
    run = contiguous_run(logs(*range(10, 21), *range(22, 42), current=41), 10)
    assert (run.last, run.stop, run.stop_error) == (20, RunStop.HOLE, -528)
    assert run.beyond == tuple(range(22, 42))
    assert (required <= run.last) is (required == 12)


def test_v11_two_timelines_stop_the_run():
    """V11: log 13 was created after another log 12."""
    run = contiguous_run(logs(*range(10, 16), broken=(13,)), 10)
    assert (run.last, run.stop, run.stop_error) == (12, RunStop.OUT_OF_SEQUENCE, -515)
    assert run.beyond == (14, 15)


def test_v12_another_signature_stops_the_run():
    """V12: databases of stream A, logs of stream B."""
    wanted = ese.Signature(random=1)
    run = contiguous_run(logs(10, 11, 12), 10, signature=wanted)
    assert (run.last, run.stop, run.stop_error) == (None, RunStop.FOREIGN, -530)


def test_v14_committed_may_lie_above_required():
    """V14: required 10-12, committed 15, logs to 13."""
    need = required_range([dirty(10, 12, 15)])
    assert (need.last, need.committed) == (12, 15)
    run = contiguous_run(logs(10, 11, 12, 13), need.first)
    assert need.last <= run.last < need.committed


def test_v15_no_logs_at_all():
    """V15: nothing there: the run is empty and ends at once."""
    run = contiguous_run([], 10)
    assert (run.last, run.stop, run.beyond) == (None, RunStop.END, ())


def test_a_damaged_log_stops_the_run_with_its_own_error():
    """The run ends before a damaged log and says its error."""
    run = contiguous_run(logs(10, 11, 12, 13, damaged=(12,)), 10)
    assert (run.last, run.stop, run.stop_error, run.beyond) == (11, RunStop.DAMAGED, -501, (13,))


def test_a_wrong_accumulated_checksum_stops_the_run():
    """A log that remembers another content of its predecessor is -590."""
    first, second = logs(1, 2)
    second = evolve(second, previous_checksum=5)
    assert contiguous_run([evolve(first, checksum=5), second], 1).last == 2
    run = contiguous_run([evolve(first, checksum=6), second], 1)
    assert (run.last, run.stop, run.stop_error) == (1, RunStop.CHECKSUM, -590)
    legacy = evolve(second, previous_is_last_only=True)
    assert contiguous_run([evolve(first, last_checksum=5), legacy], 1).last == 2
    assert contiguous_run([evolve(first, last_checksum=6), legacy], 1).last == 1


def test_a_checksum_that_nobody_computed_breaks_no_run(forge):
    """From headers alone nothing is known of bodies; 0, which a report computed, is something."""
    headers = [ese.read_log_header(forge.new_log(n, previous_checksum=5)) for n in (1, 2)]
    first, second = (log_header_facts("x", each.generation, each) for each in headers)
    assert first.checksum is None
    assert contiguous_run([first, second], 1).last == 2
    assert contiguous_run([evolve(first, checksum=0), second], 1).stop is RunStop.CHECKSUM


def test_of_two_different_logs_neither_is_used():
    """A generation with two different logs ends the run like one of another timeline."""
    run = contiguous_run(logs(10, 11, 12), 10, conflicts={11})
    assert (run.last, run.stop, run.stop_error) == (10, RunStop.CONFLICT, -515)
    assert longest_run(logs(10, 11, 12), 12, conflicts={11}).start == 12


def test_a_log_is_looked_for_by_its_name():
    """Generation 14 under the name of 12 is found as 12, and refused: -513."""
    ten, eleven, wrong, right = logs(10, 11, 14, 14)
    wrong = evolve(wrong, named_generation=12)
    assert logs_by_generation([right, wrong, ten]) == {10: ten, 12: wrong, 14: right}
    run = contiguous_run([ten, eleven, wrong, right], 10)
    assert (run.last, run.stop, run.stop_error) == (11, RunStop.MISNAMED, -513)
    run = contiguous_run([ten, eleven, evolve(wrong, error=-501), right], 10)
    assert (run.stop, run.stop_error) == (RunStop.DAMAGED, -501)


@pytest.mark.parametrize(
    ("change", "start"),
    [
        ({}, 5),
        ({"error": -501}, 8),
        ({"created": made(99)}, 8),
        ({"checksum": 4}, 8),
        ({"signature": ese.Signature(random=9)}, 8),
        ({"generation": 70}, 8),
    ],
    ids=str,
)
def test_the_longest_run_goes_down_as_far_as_logs_fit(change, start):
    """It begins above the first log below that is damaged, foreign, misnamed or does not fit."""
    stream = [evolve(each, previous_checksum=3, checksum=3) for each in logs(3, *range(5, 11))]
    stream[3] = evolve(stream[3], **change)
    run = longest_run(stream, 9)
    assert (run.start, run.last, run.stop) == (start, 10, RunStop.END)
    assert run.generations == range(start, 11)


def test_the_longest_run_through_an_unusable_log_is_none():
    """The run says what is wrong with the log that was asked for."""
    run = longest_run(logs(10, 11, 12, damaged=(11,)), 11)
    assert (run.start, run.last, run.reached) == (11, None, 10)
    assert (run.stop, run.stop_error) == (RunStop.DAMAGED, -501)
    assert list(run.generations) == []


@given(present=st.sets(st.integers(1, 40)), broken=st.sets(st.integers(1, 40), max_size=5))
def test_every_log_of_the_longest_run_has_the_same_longest_run(present, broken):
    """Runs divide the logs: no matter which of its logs is asked for, the run is the same."""
    stream = logs(*sorted(present), broken=broken)
    for generation in present:
        run = longest_run(stream, generation)
        assert generation in run.generations
        assert all(longest_run(stream, each) == run for each in run.generations)


def test_generations_for_people():
    """Neighbors are joined, in ascending order."""
    assert generation_ranges([50, *range(41, 21, -1)]) == "22-41, 50"
    assert generation_ranges([]) == ""


def test_an_archived_log_goes_before_the_current_one():
    """If both have one generation, recovery opens the archived one."""
    archived, current = logs(5)[0], logs(5, current=5)[0]
    assert logs_by_generation([current, archived])[5] is archived
    assert logs_by_generation([current])[5] is current


@given(
    present=st.sets(st.integers(1, 60)),
    start=st.integers(1, 60),
    broken=st.sets(st.integers(1, 60), max_size=3),
)
def test_runs_agree_with_a_plain_walk(present, start, broken):
    """The last generation is the one a plain loop reaches."""
    run = contiguous_run(logs(*sorted(present), broken=broken), start)
    reached = start - 1
    while reached + 1 in present and (reached + 1 == start or reached + 1 not in broken):
        reached += 1
    assert run.last == (reached if reached >= start else None)
    assert run.stop_generation == reached + 1
    assert run.beyond == tuple(sorted(each for each in present if each > reached + 1))


def test_missing_generations_are_bounded():
    """A hostile range costs no more than the limit."""
    assert len(missing_generations((), 1, 2**31 - 1, limit=7)) == 7
    assert missing_generations((1, 3), 1, 4) == (2, 4)


def test_facts_of_a_database_header():
    """States, ranges and the creation time of the highest required log."""
    header = dirty(10, 12, gen_max_creation_time=made(12))
    facts = database_facts("priv1.edb", header)
    assert (facts.required.first, facts.is_clean, facts.gen_max_time) == (10, False, made(12))
    later = dirty(10, 12, 15, gen_max_creation_time=made(15))
    assert not database_facts("priv1.edb", later).gen_max_time.is_set
    modern = dirty(10, 12, 15, gen_max_required_time=made(12))
    assert database_facts("priv1.edb", modern).gen_max_time == made(12)
    assert database_facts("priv1.edb", CLEAN).required is None
    assert required_range_of(ese.DatabaseHeader(state=2)) is None
    assert required_range([facts, facts.required, None]) == facts.required


@pytest.mark.parametrize(
    ("state", "error"),
    [(0, -1206), (1, -1206), (2, None), (3, None), (4, -563), (5, -1206), (6, -1226), (7, None)],
)
def test_a_state_that_replay_cannot_help_has_the_error_of_the_engine(state, error):
    """Half-made, half-upgraded and half-reseeded databases, and states that nobody knows."""
    found = database_facts("priv1.edb", ese.DatabaseHeader(state=state)).error
    assert found == error


def test_facts_of_a_database_without_a_readable_header():
    """It is not clean, and its error is that of the failure."""
    facts = database_facts("priv1.edb", FormatError("torn", native=-1018))
    assert (facts.name, facts.is_clean, facts.required, facts.error) == (
        "priv1.edb",
        False,
        None,
        -1018,
    )
    assert database_facts("priv1.edb", FormatError("torn")).error == -1206


def test_facts_of_logs_and_checkpoints(forge):
    """Reports become facts; an unreadable log keeps the generation of its name."""
    facts = log_facts(ese.check_log(forge.old_log(5)), 5)
    assert (facts.generation, facts.error, facts.is_current) == (5, None, False)
    assert facts.follows(log_facts(ese.check_log(forge.old_log(4)), 4))
    assert not facts.follows(facts)
    lost = log_facts(ese.check_log(b"x" * 5000), 9)
    assert (lost.generation, lost.signature, lost.error) == (9, None, -501)
    assert log_header_facts("E00.log", None, None).error == -501
    named = (ese.AttachInfo(dbid=1, names=b"a.edb\0"),)
    assert log_facts(ese.check_log(forge.old_log(5, attachments=named)), 5).attached == named
    assert log_facts(ese.check_log(forge.old_log(5)), None).is_current
    assert checkpoint_facts(None) is None
    assert checkpoint_facts(None, -533).error == -533
    assert checkpoint_facts(ese.Checkpoint(position=ese.LgPos(generation=3))).generation == 3
