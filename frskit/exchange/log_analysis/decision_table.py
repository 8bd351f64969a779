"""The log analysis: what a set of databases, logs and checkpoint allows, as a pure function.

`decide` is the decision table of [exchange.md 5.5]; rule names (A1 ... G) are those of the table
and the first that hits decides. It changes nothing and reads no file: facts come in as values
(`frskit.exchange.log_analysis.group_facts`). Where the books disagree: [resolutions R-10, R-11].
"""

from __future__ import annotations

from collections.abc import Callable

from frskit.codes.ese import EseError
from frskit.ese import ContiguousRun, RunStop, generation_ranges, longest_run
from frskit.exchange.log_analysis.case import AnalysisCase, Decision
from frskit.exchange.log_analysis.group_facts import StorageGroupFacts
from frskit.exchange.store.versions import STORE_2003, StoreProfile
from frskit.model.plans import LogVerdict, RecoveryMode

__all__ = ["Decision", "decide"]

_TIMELINE = "of another timeline"
_RULE_OF = {
    RunStop.HOLE: ("D1", "missing"),
    RunStop.OUT_OF_SEQUENCE: ("D2", _TIMELINE),
    RunStop.CONFLICT: ("D2", _TIMELINE),
    RunStop.FOREIGN: ("D2", "of another stream"),
    RunStop.MISNAMED: ("D2", "another one than its name says"),
    RunStop.CHECKSUM: ("D2", "begun after another content of the log before"),
    RunStop.DAMAGED: ("D3", "damaged"),
}
"""Row of the table for what ends a run though there are later logs, and what the log then is."""


def decide(
    facts: StorageGroupFacts, mode: RecoveryMode, *, profile: StoreProfile = STORE_2003
) -> Decision:
    """What these files allow in this mode [exchange.md 5.5].

    Args:
        facts: The situation: databases to be brought to life, and logs beside them.
        mode: Point in time (the logs of the copy), or roll forward (all logs there are).
        profile: Whose engine will replay; rows that differ between engines ask it.
    """
    case = AnalysisCase(facts=facts, mode=mode, profile=profile)
    for rule in _RULES:
        decision = rule(case)
        if decision is not None:
            return decision
    return _judge_run(case)


def _a0_obstacle(case: AnalysisCase) -> Decision | None:
    """A database that no replay can help [ese.md 11.2, states]."""
    for database in case.judged:
        if database.error is not None:
            return case.impossible(
                "A0",
                database.error,
                f"database {database.name} cannot be recovered by replay",
            )
    return None


def _a1_name(case: AnalysisCase) -> Decision | None:
    for log in case.facts.logs.values():
        if log.sought_generation != log.generation and log.error is None:
            return case.impossible(
                "A1",
                EseError.LOG_GENERATION_MISMATCH,
                f"log {log.name} says that it is generation {log.generation}",
                "rename it to its generation",
            )
    return None


def _a1_twice(case: AnalysisCase) -> Decision | None:
    """The current log must not be one of the archived ones (frskit's choice for the number)."""
    current = case.facts.current
    if current is None or current.error is not None or current.generation not in case.facts.logs:
        return None
    return case.impossible(
        "A1",
        EseError.INVALID_LOG_SEQUENCE,
        f"generation {current.generation} is there twice: archived, and as {current.name}",
        f"move {current.name} aside",
    )


def _a2_mixed(case: AnalysisCase) -> Decision | None:
    signatures = {log.signature for log in case.facts.stream.values() if log.error is None}
    if len(signatures) <= 1:
        return None
    return case.impossible(
        "A2",
        EseError.BAD_LOG_SIGNATURE,
        f"logs of {len(signatures)} different streams lie in one directory",
        "move the foreign logs away",
    )


def _a3_signature(case: AnalysisCase) -> Decision | None:
    stream = [log for log in case.facts.stream.values() if log.error is None]
    if not stream:
        return None
    for database in case.dirty:
        if database.log_signature == stream[0].signature:
            continue
        # If the stream knows the database, it is a wrong state of the right one.
        attached = {each.db_signature for log in stream for each in log.attached}
        return case.impossible(
            "A3",
            EseError.ATTACHED_DATABASE_MISMATCH
            if database.db_signature in attached
            else EseError.DATABASE_LOG_SET_MISMATCH,
            f"log signature mismatch: database {database.name} does not belong to these logs",
        )
    return None


def _a4_missing(case: AnalysisCase) -> Decision | None:
    """A database that the stream has attached and that is not there; others are not missed."""
    listed = {each.path.casefold() for log in case.facts.stream.values() for each in log.attached}
    # Without a path, or without any list in the logs, every missing database is missed.
    for database in case.facts.databases:
        known = not database.path or not listed or database.path.casefold() in listed
        if database.facts is None and not database.foreign and known:
            return case.impossible(
                "A4",
                EseError.ATTACHED_DATABASE_MISMATCH,
                f"database {database.name} is not there although the log stream refers to it",
                "supply it; an override (eseutil /r /i) strands its data",
            )
    return None


def _b_clean(case: AnalysisCase) -> Decision | None:
    """B1 and B2: nothing dirty."""
    if case.dirty:
        return None
    if case.mode is RecoveryMode.POINT_IN_TIME or not case.judged:
        return case.decision("B1", LogVerdict.CLEAN, "every database was shut down cleanly")
    if case.need not in case.facts.stream:
        return case.impossible(
            "B2",
            EseError.REQUIRED_LOG_FILES_MISSING,
            f"no roll-forward: log {case.need}, in which the databases were shut down, is missing",
            "mount the databases as they are, without rolling forward",
        )
    return None


def _c5_empty(case: AnalysisCase) -> Decision | None:
    if case.facts.stream:
        return None
    return case.impossible(
        "C5",
        EseError.DATABASE_DIRTY_SHUTDOWN,
        "there are no logs: the engine would start a new log stream and refuse the dirty databases",
        "supply the required logs; never mount with an empty log directory",
    )


def _c1_required(case: AnalysisCase) -> Decision | None:
    if case.need in case.facts.stream:
        return None
    return case.impossible(
        "C1",
        EseError.REQUIRED_LOG_FILES_MISSING,
        f"required log {case.need} is missing",
        f"supply logs {case.need} to {case.required_last} from the copy or a later one",
    )


def _c3_bad_checkpoint(case: AnalysisCase) -> None:
    """A checkpoint that cannot be used is ignored, and must go."""
    checkpoint, stream = case.facts.checkpoint, case.facts.stream
    if checkpoint is None:
        return
    if checkpoint.error is not None:
        case.checkpoint_code = checkpoint.error
    elif all(log.signature != checkpoint.signature for log in stream.values() if log.error is None):
        case.checkpoint_code = EseError.BAD_CHECKPOINT_SIGNATURE


def _c2_stale_checkpoint(case: AnalysisCase) -> None:
    """A checkpoint ahead of the headers hides required logs [HAZ-22, EXC-66]."""
    if case.checkpoint is not None and case.checkpoint.generation > case.need:
        case.checkpoint_code = EseError.REQUIRED_LOG_FILES_MISSING


def _c4_dangling_checkpoint(case: AnalysisCase) -> None:
    """A checkpoint that names a log which is not there stops redo at its start."""
    if case.checkpoint is not None and case.checkpoint.generation not in case.facts.stream:
        case.checkpoint_code = EseError.MISSING_LOG_FILE


_RULES: tuple[Callable[[AnalysisCase], Decision | None], ...] = (
    _a1_name,
    _a1_twice,
    _a2_mixed,
    _a0_obstacle,
    _a3_signature,
    _a4_missing,
    _b_clean,
    _c5_empty,
    _c1_required,
    _c3_bad_checkpoint,
    _c2_stale_checkpoint,
    _c4_dangling_checkpoint,
)
"""The first rows of the table in their order; those of the checkpoint only take notes."""


def _judge_run(case: AnalysisCase) -> Decision:
    """Rows D to G: walk the chain from the first required log."""
    facts = case.facts
    run = longest_run(facts.stream.values(), case.need, conflicts=facts.conflicts)
    if run.last is None:
        return case.impossible(
            "D3",
            run.stop_error or EseError.LOG_FILE_CORRUPT,
            f"required log {case.need} is damaged",
            f"supply a good log {case.need}",
            gap_at=case.need,
        )
    for rule in _RUN_RULES:
        decision = rule(case, run)
        if decision is not None:
            return decision
    return _reachable(case, run)


def _e0_other_log(case: AnalysisCase, run: ContiguousRun) -> Decision | None:
    """The log with the right number must be the very one that the header means [ese.md 11.2 6]."""
    for database in case.dirty:
        required, wanted = database.required, database.gen_max_time
        log = None if required is None else case.facts.stream.get(required.last)
        if log is None or log.generation > run.reached or not wanted.is_set:
            continue
        if log.created != wanted:
            return case.impossible(
                "E0",
                EseError.REQUIRED_LOG_FILES_MISSING,
                f"log {log.generation} is of another timeline than database {database.name}",
            )
    return None


def _d_broken(case: AnalysisCase, run: ContiguousRun) -> Decision | None:
    """D1 to D3: the chain is broken at M; None if it breaks behind everything that is needed."""
    if run.stop_error is None:
        return None
    at = run.stop_generation
    rule, words = _RULE_OF[run.stop]
    if at <= case.required_last:
        return case.impossible(
            rule,
            case.profile.gap_code if run.stop is RunStop.HOLE else run.stop_error,
            f"log {at} is {words}; the databases need {case.need} to {case.required_last}",
            f"supply log {at}",
            gap_at=at,
        )
    if at <= case.committed_last:
        return _lossy(
            case,
            rule,
            EseError.COMMITTED_LOG_FILE_CORRUPT
            if run.stop is RunStop.DAMAGED
            else EseError.COMMITTED_LOG_FILES_MISSING,
            run,
        )
    return None


def _lossy(case: AnalysisCase, rule: str, code: int, run: ContiguousRun) -> Decision:
    return case.impossible(
        rule,
        code,
        f"committed logs {run.stop_generation} to {case.committed_last} are not usable",
        f"lossy recovery (eseutil /r /a, 2007 and later) gives a consistent state at {run.reached}",
        reaches=run.reached,
        gap_at=run.stop_generation,
    )


def _e_short(case: AnalysisCase, run: ContiguousRun) -> Decision | None:
    """E1 and E2: the logs simply end too early."""
    if run.reached < case.required_last:
        return case.impossible(
            "E1",
            EseError.REQUIRED_LOG_FILES_MISSING,
            f"the databases need logs {case.need} to {case.required_last}, "
            f"but there are only logs up to {run.reached}",
            f"supply logs {run.stop_generation} to {case.required_last}",
            gap_at=run.stop_generation,
        )
    if run.reached < case.committed_last:
        return _lossy(case, "E2", EseError.COMMITTED_LOG_FILES_MISSING, run)
    return None


def _f2_attach(case: AnalysisCase, run: ContiguousRun) -> Decision | None:
    """An old file under newer logs: the stream attached a later state of it [F2]."""
    checkpoint = case.checkpoint
    start = case.facts.stream[max(run.start, checkpoint.generation) if checkpoint else run.start]
    for database in case.dirty:
        for attached in start.attached:
            if attached.db_signature != database.db_signature:
                continue
            if attached.consistent > database.consistent:
                return case.impossible(
                    "F2",
                    EseError.CONSISTENT_TIME_MISMATCH,
                    f"database {database.name} is older than the state that log "
                    f"{start.generation} attached",
                )
    return None


def _f2_alone(case: AnalysisCase, run: ContiguousRun) -> Decision | None:
    """One store cannot go back alone: the others have used the shared logs already [EXC-71]."""
    if case.mode is not RecoveryMode.POINT_IN_TIME:
        return None
    for database in case.judged:
        if database.is_clean and database.consistent.generation > run.stop_generation:
            return case.impossible(
                "F2",
                EseError.CONSISTENT_TIME_MISMATCH,
                f"database {database.name} is newer than the logs, which end at {run.reached}",
                "roll the restored database forward, or recover the whole storage group",
            )
    return None


_RUN_RULES: tuple[Callable[[AnalysisCase, ContiguousRun], Decision | None], ...] = (
    _e0_other_log,
    _d_broken,
    _e_short,
    _f2_attach,
    _f2_alone,
)
"""The rows that look at the run of logs through the first required one, in their order."""


def _recreated_at(case: AnalysisCase, run: ContiguousRun) -> int | None:
    """The log in which a database was made anew at the path of one to be recovered [F3].

    Seen in headers only: log g lists the path with another signature than before, so log g-1
    holds the create record. One that is in the last log itself cannot be seen.
    """
    ours = {each.db_signature for each in case.judged if each.db_signature.is_set}
    logs = [case.facts.stream[g] for g in run.generations]
    paths = {
        each.path.casefold() for log in logs for each in log.attached if each.db_signature in ours
    }
    for log in logs:
        for each in log.attached:
            replaced = each.path.casefold() in paths and each.db_signature not in ours
            if replaced and log.generation > case.required_last:
                return log.generation - 1
    return None


def _reachable(case: AnalysisCase, run: ContiguousRun) -> Decision:
    """G, with what must be moved away first; F1 and F3."""
    last, code, rule, gap_at = run.reached, run.stop_error, "G", None
    reason = f"logs {case.need} to {last} can be replayed"
    if run.stop in _RULE_OF:
        rule, _ = _RULE_OF[run.stop]
        gap_at = run.stop_generation
        reason += f"; the chain breaks at {gap_at}"
    recreated = _recreated_at(case, run) if case.mode is RecoveryMode.ROLL_FORWARD else None
    # Within the committed logs there is no stopping before it.
    if recreated is not None and recreated > case.committed_last:
        rule, gap_at, last = "F3", recreated, recreated - 1
        reason = f"log {recreated} makes a database anew and would wipe the restored one"
    above = tuple(g for g in case.facts.stream if g > last)
    below = _unusable_below(case, run)
    promote = _promotion(case, last, above)
    if promote is not None and not above:
        return _no_current(case, promote)
    remedy = _remedy(case, above + below, promote)
    return case.decision(
        rule,
        LogVerdict.PARTIAL if above or below else LogVerdict.OK,
        reason,
        code=code or case.checkpoint_code or (EseError.MISSING_LOG_FILE if below else 0),
        remedy=remedy,
        reaches=last,
        gap_at=gap_at,
        set_aside=tuple(sorted(below + above)),
        promote=promote,
        drop_temporary=bool(above) and case.facts.temporary,
    )


def _unusable_below(case: AnalysisCase, run: ContiguousRun) -> tuple[int, ...]:
    """Logs below the run that replay would start with; takes a note if the checkpoint must go.

    Without a checkpoint the engine starts with the lowest log that it finds [ese.md 11.2 4].
    """
    checkpoint = case.checkpoint
    if checkpoint is not None and checkpoint.generation >= run.start:
        return ()
    below = tuple(g for g in case.facts.stream if g < run.start)
    if checkpoint is not None:
        case.checkpoint_code = EseError.MISSING_LOG_FILE
    return below


def _promotion(case: AnalysisCase, last: int, above: tuple[int, ...]) -> int | None:
    """The log that has to become the current one, if there will be none [F1, R-10]."""
    current = case.facts.current
    if current is not None and current.generation == last:
        return None
    # The engine makes its current log of the temporary one, unless logs above have to go first.
    bridged = case.facts.temporary and case.profile.temporary_log_suffices and not above
    return None if bridged else last


def _no_current(case: AnalysisCase, promote: int) -> Decision:
    base = case.facts.base
    return case.impossible(
        "F1",
        EseError.MISSING_LOG_FILE,
        f"there is neither {base}.log nor {base}tmp.log; soft recovery refuses to begin",
        f"supply {base}tmp.log of the copy, or rename log {promote} to {base}.log",
        promote=promote,
    )


def _remedy(case: AnalysisCase, aside: tuple[int, ...], promote: int | None) -> str:
    parts = []
    if case.checkpoint_code:
        parts.append(f"move {case.facts.base}.chk aside")
    if aside:
        parts.append(f"move logs {generation_ranges(aside)} aside")
    if promote is not None:
        parts.append(f"rename log {promote} to {case.facts.base}.log")
    return ", ".join(parts)
