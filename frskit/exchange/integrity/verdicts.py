"""From what a check saw to the verdict on a copy: can it be restored, may its logs be cut.

Two verdicts, kept apart [R-1]: damage in logs that recovery does not need leaves the image
usable, but forbids cutting production's good twins of them. Rules: [exchange.md 4.3, 4.4],
EXC-50 to EXC-55; correctable pages [R-2]; streaming files [R-3]; foreign databases [R-22].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, evolve, field, frozen

from frskit.codes.ese import EseError
from frskit.ese import longest_run
from frskit.ese.logs import LogFileKind
from frskit.exchange.log_analysis.decision_table import decide
from frskit.exchange.log_analysis.group_facts import needed_logs
from frskit.exchange.log_analysis.places import LogPlaces, stream_of, stream_text
from frskit.exchange.log_analysis.truncation import truncation_bound
from frskit.model.checks import ComponentCheck, Coverage, FileVerdict
from frskit.model.files import FileRole
from frskit.model.plans import LogVerdict, RecoveryMode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frskit.ese import ContiguousRun, RequiredRange
    from frskit.exchange.integrity.inspection import Inspection, Item
    from frskit.exchange.log_analysis.group_facts import StorageGroupFacts
    from frskit.exchange.store.versions import StoreProfile

__all__ = ["CheckPolicy", "judge"]

# Those that hold records; temporary and reserve logs hold none.
_LOGS = (LogFileKind.ARCHIVED, LogFileKind.CURRENT)


@frozen(kw_only=True)
class CheckPolicy:
    """What a checker lets pass; see `ExchangeChecker`."""

    accept_unneeded_log_damage: bool
    every_log_needed: bool
    blank_log_tail: bool
    store: StoreProfile


@define(kw_only=True)
class _Notes:
    """Reasons collected while judging."""

    image: list[str] = field(factory=list)
    truncation: list[str] = field(factory=list)
    warnings: list[str] = field(factory=list)


def judge(unit: Inspection, strays: Sequence[Inspection], policy: CheckPolicy) -> ComponentCheck:
    """The verdict on one selected component.

    Args:
        unit: What was seen of it.
        strays: Files that belong to no selected component; they count for every verdict.
        policy: What may pass.
    """
    assert unit.selected is not None
    notes = _Notes()
    facts = unit.facts()
    first_relevant = _first_relevant(facts)
    _mark_needed(unit, first_relevant, policy)
    # What belongs to nobody counts against everybody: no other verdict would cover it.
    for item in [*unit.items, *(item for stray in strays for item in stray.items)]:
        _judge_file(item, policy, notes)
    _judge_headers(unit, notes)
    _judge_checkpoint(unit, notes)
    held = _judge_chain(facts, first_relevant, policy, notes)
    _judge_recovery(facts, policy, notes)
    _note_coverage(unit, notes)
    needed = _needed(facts)
    bound = _bound(unit, facts)
    places = stream_of(facts, policy.store)
    _place_logs(unit, places)
    return ComponentCheck(
        component=unit.selected,
        image_ok=not notes.image,
        truncation_ok=not notes.image and not notes.truncation,
        problems=tuple(dict.fromkeys(notes.image + notes.truncation)),
        warnings=tuple(dict.fromkeys(notes.warnings)),
        logs_held=None if held is None else places.stretch(held.start, held.reached),
        logs_needed=None if needed is None else places.stretch(needed.first, needed.last),
        truncation_bound=places.maybe(bound),
        recycles_logs=_is_circular(unit),
    )


def _place_logs(unit: Inspection, places: LogPlaces) -> None:
    """Say where each log is; one whose header is not readable is of the stream that it lies in."""
    for item in unit.logs(*_LOGS):
        header = item.log_header
        own = "" if header is None else stream_text(header.log_signature)
        stream = evolve(places, stream=own) if own else places
        item.place = stream.maybe(item.generation)


def _is_circular(unit: Inspection) -> bool:
    headers = [item.log_header for item in unit.logs(*_LOGS) if item.log_header is not None]
    return any(header.circular_logging for header in headers[-1:])


def _needed(facts: StorageGroupFacts) -> RequiredRange | None:
    """Min Rmin .. max Rmax over the dirty databases that logs can help [EXC-55]."""
    return needed_logs(each for each in facts.dirty if each.error is None)


def _first_relevant(facts: StorageGroupFacts) -> int:
    """C: damage from this generation on fails the copy [exchange.md 4.3]."""
    bounds = [needed.first] if (needed := _needed(facts)) else []
    if facts.checkpoint is not None and facts.checkpoint.usable:
        bounds.append(facts.checkpoint.generation)
    # Without any bound every log counts as needed.
    return min(bounds, default=0)


def _mark_needed(unit: Inspection, first_relevant: int, policy: CheckPolicy) -> None:
    for item in unit.logs(*_LOGS):
        generation = item.generation or 0
        item.needed = policy.every_log_needed or generation >= first_relevant


def _judge_file(item: Item, policy: CheckPolicy, notes: _Notes) -> None:
    """One file by itself [EXC-50, EXC-51, EXC-52]."""
    if item.warning:
        notes.warnings.append(item.warning)
    if item.verdict is FileVerdict.OK:
        return
    text = f"{item.path}: {item.detail}" + (f" ({item.code})" if item.code else "")
    if item.verdict is FileVerdict.CORRECTABLE:
        notes.warnings.append(text)  # whether it may pass is the requestor's choice
    # Recovery does without a checkpoint; only predicting the truncation needs it.
    elif item.role is FileRole.CHECKPOINT and item.verdict is FileVerdict.DAMAGED:
        item.needed = False
        notes.warnings.append(text)
    elif item.role is FileRole.LOG and not item.needed:
        notes.warnings.append(f"{text}; recovery does not need it")
        if not policy.accept_unneeded_log_damage:
            notes.truncation.append(text)
    else:
        notes.image.append(text)


def _judge_headers(unit: Inspection, notes: _Notes) -> None:
    """One log stream and one page size for all databases of the group [EXC-54]."""
    headers = [
        item.header for item in unit.databases if item.header is not None and not item.foreign
    ]
    if len({header.page_size_bytes for header in headers}) > 1:
        number = EseError.PAGE_SIZE_MISMATCH
        notes.image.append(f"the databases have different page sizes ({number})")
    if len({header.log_signature for header in headers}) > 1:
        number = EseError.DATABASE_LOG_SET_MISMATCH
        notes.image.append(f"the databases belong to different log streams ({number})")
    for item in unit.items:
        if item.is_streaming_file and item.header is not None:
            _judge_stream_file(unit, item, notes)
    for item in unit.databases:
        if item.foreign:
            notes.warnings.append(f"{item.path}: log requirements: foreign: not judged")


def _judge_stream_file(unit: Inspection, item: Item, notes: _Notes) -> None:
    """An .edb and its .stm are one unit and know each other's signature."""
    partner = next((each for each in unit.databases if each.component is item.component), None)
    if partner is None or partner.header is None or item.header is None:
        return
    if not item.header.is_streaming_file:
        item.damage("this is not the header of a streaming file", EseError.FILE_INVALID_TYPE)
    elif item.header.slv_signature != partner.header.slv_signature:
        item.damage(f"it does not belong to {partner.file_name}", EseError.BAD_DB_SIGNATURE)
    else:
        return
    notes.image.append(f"{item.path}: {item.detail} ({item.code})")


def _judge_checkpoint(unit: Inspection, notes: _Notes) -> None:
    """Without its generation nobody can predict what the writer would delete [R-12]."""
    item = unit.checkpoint
    if item is not None and item.verdict is FileVerdict.DAMAGED:
        notes.truncation.append(f"{item.path}: {item.detail} ({item.code})")


def _judge_chain(
    facts: StorageGroupFacts, first_relevant: int, policy: CheckPolicy, notes: _Notes
) -> ContiguousRun | None:
    """Sequence of the logs: a break above what recovery needs fails, below it forbids cutting."""
    stream = facts.stream
    if not stream:
        return None
    needed = _needed(facts)
    through = needed.first if needed and needed.first in stream else max(stream)
    run = longest_run(stream.values(), through, conflicts=facts.conflicts)
    if run.last is None:
        return None
    # What comes after a break could never be replayed [exchange.md 4.3].
    if run.last < max(stream):
        notes.image.append(
            f"logs after {run.last} do not follow it ({run.stop_error}): transactions would be lost"
        )
    if run.start > min(stream):
        text = f"logs before {run.start} do not lead up to it"
        if run.start > first_relevant or policy.every_log_needed:
            notes.image.append(text)
        else:
            notes.warnings.append(text)
            if not policy.accept_unneeded_log_damage:
                notes.truncation.append(text)
    return run


def _judge_recovery(facts: StorageGroupFacts, policy: CheckPolicy, notes: _Notes) -> None:
    """Whether the copy could be recovered to its own instant [EXC-55, exchange.md 5.5]."""
    decision = decide(facts, RecoveryMode.POINT_IN_TIME, profile=policy.store)
    analysis = decision.analysis
    if analysis.verdict is LogVerdict.IMPOSSIBLE:
        notes.image.append(f"{analysis.reason} ({analysis.code})")
    elif analysis.stale_checkpoint and not (facts.checkpoint and facts.checkpoint.error):
        notes.image.append(
            f"the checkpoint does not fit the logs and headers ({analysis.code}): "
            "files of different times are mixed"
        )


def _note_coverage(unit: Inspection, notes: _Notes) -> None:
    """Streaming files carry no checksums that anybody knows how to check [R-3]."""
    partial = [item for item in unit.items if item.coverage is Coverage.HEADERS]
    if not partial:
        return
    notes.warnings.append(f"{len(partial)} streaming files could be checked by their headers only")


def _bound(unit: Inspection, facts: StorageGroupFacts) -> int | None:
    """What the writer may delete, by the stricter bound; nothing under circular logging."""
    if _is_circular(unit):
        return None
    checkpoint = facts.checkpoint
    generation = checkpoint.generation if checkpoint is not None and checkpoint.usable else None
    return truncation_bound(facts.judged, generation, max(facts.logs, default=None))
