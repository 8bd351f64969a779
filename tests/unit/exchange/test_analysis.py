"""The decision table of the log analysis, on invented situations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import evolve
from support.places import rank

from frskit.ese import (
    CheckpointFacts,
    DatabaseFacts,
    DatabaseState,
    LogFacts,
    RequiredRange,
    RunStop,
    generation_ranges,
    longest_run,
    pack_log_header,
)
from frskit.exchange.log_analysis.decision_table import decide
from frskit.exchange.log_analysis.group_facts import (
    GroupDatabase,
    StorageGroupFacts,
    merge,
    needed_logs,
)
from frskit.exchange.log_analysis.reading import gather
from frskit.exchange.log_analysis.truncation import truncation_bound, truncation_range
from frskit.exchange.store.versions import STORE_2003
from frskit.model.ese_files import AttachInfo, LgPos, LogHeader, LogTime, Signature
from frskit.model.plans import LogAnalysis, LogVerdict, RecoveryMode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from frskit.exchange.log_analysis.case import Decision

PIT, RF = RecoveryMode.POINT_IN_TIME, RecoveryMode.ROLL_FORWARD
CLEAN, OK = LogVerdict.CLEAN, LogVerdict.OK
PARTIAL, IMPOSSIBLE = LogVerdict.PARTIAL, LogVerdict.IMPOSSIBLE
STREAM, OTHER = Signature(random=1), Signature(random=2)
STORE = Signature(random=77)


def moment(generation: int, timeline: int = 0) -> LogTime:
    """The creation time of a log; another timeline has other times."""
    return LogTime(raw=bytes([1, timeline]) + generation.to_bytes(4, "big") + bytes(2))


def log(
    generation: int, *, current: bool = False, timeline: int = 0, **changes: object
) -> LogFacts:
    """A good log of the stream."""
    facts = LogFacts(
        name="E00.log" if current else f"E00{generation:05x}.log",
        generation=generation,
        named_generation=None if current else generation,
        signature=STREAM,
        created=moment(generation, timeline),
        previous_created=moment(generation - 1, timeline),
    )
    return evolve(facts, **changes)


def dirty(
    first: int, last: int, name: str = "mbx1", committed: int | None = None, **changes: object
) -> DatabaseFacts:
    """A dirty database that needs logs `first` to `last`."""
    facts = DatabaseFacts(
        name=name,
        state=DatabaseState.DIRTY_SHUTDOWN,
        required=RequiredRange(
            first=first, last=last, committed=last if committed is None else committed
        ),
        log_signature=STREAM,
        db_signature=STORE,
    )
    return evolve(facts, **changes)


def clean(**changes: object) -> DatabaseFacts:
    """A database that was shut down cleanly."""
    return dirty(0, 0, state=DatabaseState.CLEAN_SHUTDOWN, required=None, **changes)


def missing(name: str) -> GroupDatabase:
    """A database whose file is not there."""
    return GroupDatabase(name=name)


def situation(
    databases: Iterable[DatabaseFacts | GroupDatabase],
    logs: Iterable[int | LogFacts] = (),
    *,
    current: int | None = None,
    temporary: bool = False,
    checkpoint: int | None = None,
) -> StorageGroupFacts:
    """Facts in the spelling of the vectors: generations, C, T and K."""
    facts = [log(each) if isinstance(each, int) else each for each in logs]
    return StorageGroupFacts(
        databases=tuple(
            each if isinstance(each, GroupDatabase) else GroupDatabase(name=each.name, facts=each)
            for each in databases
        ),
        logs={each.sought_generation: each for each in facts},
        current=None if current is None else log(current, current=True),
        temporary=temporary,
        checkpoint=None
        if checkpoint is None
        else CheckpointFacts(generation=checkpoint, signature=STREAM),
    )


def aside(analysis: LogAnalysis) -> tuple[int, ...]:
    """Generations to be set aside."""
    return tuple(each.rank for each in analysis.set_aside)


def summary(decision: Decision) -> tuple[LogVerdict, int | None, int]:
    """The three fields that the vectors fix."""
    return decision.analysis.verdict, rank(decision.analysis.reaches), decision.analysis.code


FORKED = [10, 11, 12, log(13, previous_created=moment(12, timeline=1)), 14, 15]
COPY = [dirty(10, 12)]
VECTORS = {
    "V1": (situation([clean()]), PIT, (CLEAN, None, 0)),
    "V2": (situation(COPY, [10, 11, 12], temporary=True, checkpoint=10), PIT, (OK, 12, 0)),
    "V3": (situation(COPY, [10, 11, 12], checkpoint=10), PIT, (IMPOSSIBLE, None, -528)),
    "V4": (
        situation(COPY, [11, 12], temporary=True, checkpoint=11),
        PIT,
        (IMPOSSIBLE, None, -543),
    ),
    "V5": (
        situation(COPY, [10, 11], temporary=True, checkpoint=10),
        PIT,
        (IMPOSSIBLE, None, -543),
    ),
    "V6": (situation(COPY, range(10, 41), current=41, checkpoint=38), RF, (OK, 41, -543)),
    "V7": (situation(COPY, range(13, 41), current=41), RF, (IMPOSSIBLE, None, -543)),
    "V8": (
        situation(COPY, [*range(10, 21), *range(22, 41)], current=41),
        RF,
        (PARTIAL, 20, -528),
    ),
    "V9": (
        situation([dirty(10, 22)], [*range(10, 21), *range(22, 41)], current=41),
        RF,
        (IMPOSSIBLE, None, -528),
    ),
    "V10": (
        situation([*COPY, dirty(9, 12, "pub1")], [10, 11, 12], temporary=True, checkpoint=10),
        PIT,
        (IMPOSSIBLE, None, -543),
    ),
    "V11": (situation(COPY, FORKED), RF, (PARTIAL, 12, -515)),
    "V12": (
        situation([dirty(10, 12, log_signature=OTHER)], [10, 11, 12], temporary=True),
        PIT,
        (IMPOSSIBLE, None, -539),
    ),
    "V13": (
        situation(
            [*COPY, missing("pub1")],
            [10, 11, 12],
            temporary=True,
            checkpoint=10,
        ),
        PIT,
        (IMPOSSIBLE, None, -1216),
    ),
    "V14": (
        situation([dirty(10, 12, committed=15)], [10, 11, 12, 13], temporary=True, checkpoint=10),
        PIT,
        (IMPOSSIBLE, 13, -582),
    ),
    "V15": (situation(COPY), PIT, (IMPOSSIBLE, None, -550)),
    "V15 roll forward": (situation(COPY), RF, (IMPOSSIBLE, None, -550)),
}


@pytest.mark.parametrize("name", VECTORS)
@pytest.mark.rule("EXC-67")
def test_vectors(name: str) -> None:
    """Every vector of the decision table gives its verdict, reach and error number."""
    facts, mode, expected = VECTORS[name]
    assert summary(decide(facts, mode)) == expected


@pytest.mark.rule("EXC-66")
@pytest.mark.rule("HAZ-22")
def test_stale_checkpoint_is_named_and_cured_by_its_absence() -> None:
    """V6: a checkpoint ahead of the headers must go; without it the same logs are fine."""
    facts = VECTORS["V6"][0]
    stale = decide(facts, RF).analysis
    assert stale.stale_checkpoint
    assert "E00.chk" in stale.remedy
    cured = decide(evolve(facts, checkpoint=None), RF).analysis
    assert (cured.verdict, rank(cured.reaches), cured.code, cured.stale_checkpoint) == (
        OK,
        41,
        0,
        False,
    )


@pytest.mark.rule("EXC-66")
def test_checkpoint_equal_to_the_required_log_stays() -> None:
    """A checkpoint at Rmin is not ahead of it."""
    assert not decide(VECTORS["V2"][0], PIT).analysis.stale_checkpoint


@pytest.mark.rule("EXC-66")
def test_checkpoint_that_names_an_absent_log_must_go() -> None:
    """C4: replay would stop at its start with -528 although the required logs are there."""
    analysis = decide(situation(COPY, [10, 11, 12], temporary=True, checkpoint=8), PIT).analysis
    assert (analysis.verdict, analysis.code, analysis.stale_checkpoint) == (OK, -528, True)


@pytest.mark.parametrize(
    ("checkpoint", "code"),
    [
        (CheckpointFacts(generation=10, signature=OTHER), -532),
        (CheckpointFacts(error=-533), -533),
        (CheckpointFacts(error=-1812), -1812),
    ],
)
def test_unusable_checkpoint_is_ignored(checkpoint: CheckpointFacts, code: int) -> None:
    """C3: a foreign or damaged checkpoint costs nothing but must go."""
    facts = evolve(situation(COPY, [10, 11, 12], temporary=True), checkpoint=checkpoint)
    analysis = decide(facts, PIT).analysis
    assert (analysis.verdict, analysis.code, analysis.stale_checkpoint) == (OK, code, True)


def test_gap_names_what_to_move_aside() -> None:
    """V8: everything behind the gap goes aside and the last good log becomes the current one."""
    decision = decide(VECTORS["V8"][0], RF)
    assert rank(decision.analysis.gap_at) == 21
    assert aside(decision.analysis) == tuple(range(22, 42))
    assert decision.promote == 20
    assert decision.used == tuple(range(10, 21))


@pytest.mark.rule("EXC-67")
def test_gap_code_of_older_engines_is_profile_data() -> None:
    """A gap inside the required range is -528, or -543 where the profile says so."""
    older = evolve(STORE_2003, gap_code=-543)
    assert decide(VECTORS["V9"][0], RF, profile=older).analysis.code == -543


@pytest.mark.rule("EXC-69")
@pytest.mark.rule("EXC-73")
def test_two_timelines_split_the_chain() -> None:
    """V11: logs of a second timeline are told apart by creation times and set aside."""
    decision = decide(VECTORS["V11"][0], RF)
    assert (rank(decision.analysis.gap_at), aside(decision.analysis)) == (13, (13, 14, 15))


@pytest.mark.rule("EXC-73")
def test_required_log_of_another_timeline_is_refused() -> None:
    """The log with the right number is not enough: the header knows its creation time."""
    facts = situation([dirty(10, 12, gen_max_time=moment(12, 1))], [10, 11, 12], current=13)
    decision = decide(facts, RF)
    assert (decision.rule, decision.analysis.verdict) == ("E0", IMPOSSIBLE)
    right = situation([dirty(10, 12, gen_max_time=moment(12))], [10, 11, 12], current=13)
    assert decide(right, RF).analysis.verdict is OK


@pytest.mark.rule("EXC-69")
def test_foreign_log_in_the_directory_is_refused() -> None:
    """A2: a log of another stream makes everything impossible until it is gone."""
    facts = situation(COPY, [10, 11, 12, log(13, signature=OTHER)], temporary=True)
    assert summary(decide(facts, PIT)) == (IMPOSSIBLE, None, -530)


def test_renamed_log_is_refused() -> None:
    """A1: a name that does not fit the header."""
    facts = situation(COPY, [10, 11, log(14, named_generation=12)], temporary=True)
    assert decide(facts, PIT).analysis.code == -513


@pytest.mark.rule("EXC-68")
def test_temporary_log_may_not_suffice() -> None:
    """Neither current nor temporary log is -528; whether the temporary one suffices is data."""
    facts = VECTORS["V2"][0]
    strict = evolve(STORE_2003, temporary_log_suffices=False)
    decision = decide(facts, PIT, profile=strict)
    assert (decision.rule, decision.analysis.code, decision.promote) == ("F1", -528, 12)


@pytest.mark.parametrize(
    ("damaged", "committed", "expected"),
    [
        (11, 12, (IMPOSSIBLE, None, -501)),
        (13, 14, (IMPOSSIBLE, 12, -586)),
        (14, 12, (PARTIAL, 13, -501)),
    ],
)
def test_damaged_log(
    damaged: int, committed: int, expected: tuple[LogVerdict, int | None, int]
) -> None:
    """D3: damage inside the required range, among committed logs, and behind both."""
    logs = [log(g, error=-501 if g == damaged else None) for g in range(10, 16)]
    facts = situation([dirty(10, 12, committed=committed)], logs, current=16, checkpoint=10)
    assert summary(decide(facts, RF)) == expected


def test_damage_below_the_checkpoint_costs_nothing() -> None:
    """Replay begins at the checkpoint and never reads what lies before it."""
    logs = [log(8, error=-501), *range(9, 13)]
    facts = situation(COPY, logs, current=13, checkpoint=9)
    assert summary(decide(facts, RF)) == (OK, 13, 0)


def test_without_checkpoint_unusable_logs_below_go_aside() -> None:
    """Without a checkpoint the engine starts at the lowest log, so a hole below is in its way."""
    facts = situation(COPY, [5, 6, *range(9, 13)], current=13)
    analysis = decide(facts, RF).analysis
    assert (analysis.verdict, rank(analysis.reaches), aside(analysis)) == (PARTIAL, 13, (5, 6))


def test_checkpoint_below_a_hole_goes_with_the_logs() -> None:
    """A checkpoint that names a log before the hole would start replay there."""
    facts = situation(COPY, [5, 6, *range(9, 13)], current=13, checkpoint=6)
    analysis = decide(facts, RF).analysis
    assert (aside(analysis), analysis.stale_checkpoint) == ((5, 6), True)


def test_clean_databases_roll_forward_from_their_last_log() -> None:
    """B2: the log of the shutdown must be there, else the databases mount as they are."""
    store = clean(consistent=LgPos(generation=10))
    assert summary(decide(situation([store], [10, 11], current=12), RF)) == (OK, 12, 0)
    without = decide(situation([store], [11], current=12), RF)
    assert (without.rule, without.analysis.verdict) == ("B2", IMPOSSIBLE)


def test_foreign_databases_are_not_judged() -> None:
    """R-22: a page-only store neither needs logs nor is missed."""
    facts = dirty(125, 125, "adopted", log_signature=OTHER)
    foreign = GroupDatabase(name="adopted", foreign=True, facts=facts)
    assert decide(situation([foreign]), PIT).analysis.verdict is CLEAN
    facts = situation([*COPY, foreign], [10, 11, 12], temporary=True, checkpoint=10)
    assert summary(decide(facts, PIT)) == (OK, 12, 0)


def test_obstacle_is_reported_before_the_logs_are_asked() -> None:
    """A half-upgraded database cannot be replayed whatever the logs are."""
    facts = situation([dirty(10, 12, error=-563)], [10, 11, 12], temporary=True)
    assert summary(decide(facts, PIT)) == (IMPOSSIBLE, None, -563)


def attached(signature: Signature, consistent: int) -> tuple[AttachInfo, ...]:
    """An attachment list with one database."""
    return (
        AttachInfo(
            dbid=1,
            db_signature=signature,
            consistent=LgPos(generation=consistent),
            names=b"M:\\mbx1.edb\0",
        ),
    )


def test_old_file_under_newer_logs() -> None:
    """F2: the stream attached a later state of the database than the file has."""
    store = dirty(10, 12, consistent=LgPos(generation=3))
    logs = [log(g, attached=attached(STORE, 7)) for g in (10, 11, 12)]
    facts = situation([store], logs, temporary=True, checkpoint=10)
    assert summary(decide(facts, PIT)) == (IMPOSSIBLE, None, -551)
    logs = [log(g, attached=attached(STORE, 3)) for g in (10, 11, 12)]
    assert decide(situation([store], logs, temporary=True), PIT).analysis.verdict is OK


@pytest.mark.rule("EXC-72")
def test_create_database_record_bounds_roll_forward() -> None:
    """F3: replay must stop before the log that makes an empty database at the same path."""
    logs = [log(g, attached=attached(STORE if g < 15 else OTHER, 3)) for g in range(10, 18)]
    store = dirty(10, 12, consistent=LgPos(generation=3))
    facts = situation([store], logs, current=18)
    decision = decide(facts, RF)
    assert (decision.rule, rank(decision.analysis.reaches)) == ("F3", 13)
    assert aside(decision.analysis) == (14, 15, 16, 17, 18)
    assert decide(facts, PIT).analysis.reaches.rank == 18


def test_union_with_the_copys_logs_makes_roll_forward_possible() -> None:
    """V7: production lacks 10 to 12, the copy has them, and they chain."""
    production = VECTORS["V7"][0]
    decision = decide(merge(production, situation([], [10, 11, 12])), RF)
    assert summary(decision) == (OK, 41, 0)


@pytest.mark.rule("EXC-73")
def test_union_refuses_two_versions_of_one_generation() -> None:
    """The same number with another creation time is another timeline."""
    production = situation(COPY, range(10, 20), current=20)
    merged = merge(production, situation([], [10, 11, log(15, timeline=1)]))
    assert merged.conflicts == {15}
    assert summary(decide(merged, RF)) == (PARTIAL, 14, -515)


def test_union_prefers_the_undamaged_twin() -> None:
    """A damaged production log is replaced by the copy's good one of the same creation."""
    production = situation(COPY, [10, log(11, error=-501), 12], current=13)
    assert decide(merge(production, situation([], [11])), RF).analysis.verdict is OK


@pytest.mark.parametrize(
    ("committed", "expected"),
    [
        pytest.param(14, (IMPOSSIBLE, None, -590), id="required"),
        pytest.param(12, (PARTIAL, 13, -590), id="behind"),
    ],
)
def test_a_log_that_saw_another_content_breaks_the_chain(
    committed: int, expected: tuple[LogVerdict, int | None, int]
) -> None:
    """D2: creation times fit, but log 14 remembers another checksum of log 13."""
    logs = [log(g, checksum=g, previous_checksum=g - 1) for g in range(10, 17)]
    facts = situation([dirty(10, committed)], logs, current=17)
    assert summary(decide(facts, RF)) == (OK, 17, 0)
    logs[3] = evolve(logs[3], checksum=4711)
    decision = decide(situation([dirty(10, committed)], logs, current=17), RF)
    assert summary(decision) == expected
    assert (decision.rule, rank(decision.analysis.gap_at)) == ("D2", 14)


def test_a_committed_log_that_saw_another_content_is_lost() -> None:
    """D2 among committed logs: what follows log 13 cannot be had back."""
    logs = [log(g, checksum=g, previous_checksum=g - 1) for g in range(10, 17)]
    logs[3] = evolve(logs[3], checksum=4711)
    facts = situation([dirty(10, 12, committed=15)], logs, current=17)
    assert summary(decide(facts, RF)) == (IMPOSSIBLE, 13, -582)


def test_a_broken_checksum_chain_below_the_need_goes_aside() -> None:
    """Without a checkpoint the engine would start below the break."""
    logs = [log(g, checksum=g, previous_checksum=g - 1) for g in range(5, 13)]
    logs[1] = evolve(logs[1], checksum=4711)
    decision = decide(situation(COPY, logs, current=13), RF)
    assert summary(decision) == (PARTIAL, 13, -528)
    assert aside(decision.analysis) == (5, 6)


def test_a_dirty_database_without_a_range_needs_what_no_stream_has() -> None:
    """C1: nothing shows which logs would suffice for it, so none do."""
    bare = dirty(0, 0, required=None)
    assert needed_logs([bare, dirty(10, 12)]) == RequiredRange(first=0, last=12, committed=12)
    assert needed_logs([clean()]) is None
    assert summary(decide(situation([bare], [10, 11], current=12), RF)) == (IMPOSSIBLE, None, -543)


def test_run_around_a_generation_stops_at_every_break() -> None:
    """The run goes both ways and names what ends it."""
    logs = [log(each) for each in (4, 6, 7, 8, 10)]
    run = longest_run(logs, 7)
    assert (run.start, run.last, run.stop, run.stop_error) == (6, 8, RunStop.HOLE, -528)
    assert longest_run(logs, 5).last is None
    assert generation_ranges(run.generations) == "6-8"


@pytest.mark.rule("EXC-35")
@pytest.mark.parametrize(
    ("lowest", "checkpoint", "copy_max", "expected"),
    [
        pytest.param(5, 17, 20, range(5, 17), id="V16"),
        pytest.param(5, 25, 20, range(5, 20), id="V17"),
        pytest.param(17, 17, 20, range(0), id="V18"),
        pytest.param(18, 17, 20, range(0), id="checkpoint below the lowest log"),
        pytest.param(None, 17, 20, range(0), id="no logs"),
    ],
)
def test_truncation_range(
    lowest: int | None, checkpoint: int, copy_max: int, expected: range
) -> None:
    """V16 to V18: lowest <= g < min(copy_max, checkpoint at freeze)."""
    found = truncation_range(lowest=lowest, checkpoint_at_freeze=checkpoint, copy_max=copy_max)
    assert list(found) == list(expected)


@pytest.mark.rule("EXC-41")
def test_truncation_bound_is_the_stricter_one() -> None:
    """No log that any header of the copy needs may go, nor one from the checkpoint on."""
    stores = [dirty(10, 12), dirty(9, 12, "pub1")]
    assert truncation_bound(stores, 11, 20) == 9
    assert truncation_bound(stores, 8, 20) == 8
    assert truncation_bound([], 25, 20) == 20
    assert truncation_bound(stores, None, 20) is None
    assert truncation_bound([clean()], 11, 20) == 11


def test_a_current_log_without_a_header_stands_behind_the_archived_ones() -> None:
    """Read from files: nobody can say its generation, but it is damaged, and in the way."""
    files = [
        (
            f"E00{g:05x}.log",
            pack_log_header(
                LogHeader(
                    generation=g,
                    log_signature=STREAM,
                    created=moment(g),
                    previous_created=moment(g - 1),
                )
            ),
        )
        for g in (10, 11, 12)
    ]
    facts = gather("E00", [], [*files, ("E00.log", bytes(4096))], None)
    assert facts.current is not None
    assert (facts.current.generation, facts.current.error) == (13, -501)
    database = GroupDatabase(name="mbx1", facts=COPY[0])
    decision = decide(evolve(facts, databases=(database,)), RF)
    assert summary(decision) == (PARTIAL, 12, -501)
    assert (aside(decision.analysis), decision.promote) == ((13,), 12)
