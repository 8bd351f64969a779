"""Whether the logs at hand can bring the databases to a consistent state, and which are used.

Looks only; nothing is changed before every rule has been passed. The rules and their order follow
[ese.md 11.2] and [exchange.md 5.5]; each refusal is a `StoreError` with the engine's number.
`redo` then does the work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from frskit.codes.ese import EseError
from frskit.errors import StoreError
from frskit.exchange.store.log_records import Attach, CreateDatabase, Detach
from frskit.model.ese_files import LogHeader
from frskit.model.ese_structures import Signature

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from frskit.exchange.store.database import Database, DatabaseFiles
    from frskit.exchange.store.log_directory import LogContent, LogDirectory
    from frskit.exchange.store.versions import StoreProfile
    from frskit.model.ese_files import Checkpoint

__all__ = ["LogSet", "SoftRecoveryPlan", "missing_databases", "plan_recovery", "survey_logs"]


@frozen(kw_only=True)
class LogSet:
    """The logs of a directory.

    Attributes:
        headers: Headers by generation, the current log included; damaged ones are left out.
        paths: Paths by generation.
        damaged: Errors of the logs whose header cannot be read.
        current: Generation of the current log; None if there is none.
        prepared: Header of the prepared next log, if usable.
        signature: Identity of the stream.
    """

    headers: Mapping[int, LogHeader]
    paths: Mapping[int, str]
    damaged: Mapping[int, StoreError]
    current: int | None
    prepared: LogHeader | None
    signature: Signature

    @property
    def is_empty(self) -> bool:
        """Whether there is no log at all."""
        return not self.paths and self.prepared is None

    @property
    def generations(self) -> list[int]:
        """All generations present, ascending."""
        return sorted(self.paths)


@frozen(kw_only=True)
class SoftRecoveryPlan:
    """Which logs recovery will read.

    Attributes:
        generations: From the first to the last, without a gap.
        logs: The set.
    """

    generations: tuple[int, ...]
    logs: LogSet

    @property
    def last(self) -> LogHeader:
        """Header of the last log."""
        return self.logs.headers[self.generations[-1]]


def survey_logs(directory: LogDirectory) -> LogSet:
    """Read all headers of a log directory.

    Raises:
        StoreError: A name does not agree with its header (native -513), logs of two streams lie
            together (-530), or the current log's header is damaged.
    """
    paths = directory.archived()
    headers: dict[int, LogHeader] = {}
    damaged: dict[int, StoreError] = {}
    for generation, path in paths.items():
        try:
            header = directory.header(path)
        except StoreError as error:
            # Damage counts only in a log that is needed; `_walk` finds out.
            damaged[generation] = error
            continue
        if header.generation != generation:
            raise _refuse(
                EseError.LOG_GENERATION_MISMATCH,
                f"{path} holds generation {header.generation}",
                generation,
            )
        headers[generation] = header
    current = _current_header(directory)
    if current is not None:
        if current.generation in paths:
            raise _refuse(
                EseError.INVALID_LOG_SEQUENCE,
                f"generation {current.generation} is there twice",
                current.generation,
            )
        headers[current.generation] = current
        paths[current.generation] = directory.current_path
    prepared = directory.temporary_header()
    # The temporary log, too, has to be of this stream.
    known = [*headers.values(), *([prepared] if prepared else [])]
    return LogSet(
        headers=headers,
        paths=paths,
        damaged=damaged,
        current=current.generation if current else None,
        prepared=prepared,
        signature=_one_signature(known),
    )


def _current_header(directory: LogDirectory) -> LogHeader | None:
    return directory.header(directory.current_path) if directory.has_current else None


def _one_signature(headers: Iterable[LogHeader]) -> Signature:
    signatures = {header.log_signature: header.generation for header in headers}
    if len(signatures) > 1:
        raise StoreError(
            "the log directory holds logs of two streams",
            hint="Move the foreign logs out of the directory.",
            context={"generations": sorted(signatures.values())},
            native=EseError.BAD_LOG_SIGNATURE,
        )
    return next(iter(signatures), Signature())


def plan_recovery(
    logs: LogSet,
    databases: Iterable[Database],
    checkpoint: Checkpoint | None,
    profile: StoreProfile,
) -> SoftRecoveryPlan:
    """The logs to be replayed, from the checkpoint or the lowest log to the last one.

    Args:
        logs: What is there.
        databases: Those of this stream.
        checkpoint: If usable; one of another stream is ignored, as a corrupt one is.
        profile: For the choices that versions make differently.

    Raises:
        StoreError: Recovery is impossible; `native` says why.
    """
    if checkpoint is not None and checkpoint.log_signature != logs.signature:
        # A foreign checkpoint is ignored: replay begins with the lowest log [ese.md 11.2 4].
        checkpoint = None
    dirty = [each for each in databases if not each.is_clean]
    _require_lowest(logs, dirty, checkpoint)
    _require_open_end(logs, profile)
    start = checkpoint.generation if checkpoint else logs.generations[0]
    reached = _walk(logs, start, profile)
    _require_highest(logs, dirty, reached)
    return SoftRecoveryPlan(generations=tuple(range(start, reached + 1)), logs=logs)


def _require_lowest(logs: LogSet, dirty: list[Database], checkpoint: Checkpoint | None) -> None:
    """Rules C1, C2, C4: the first log that is needed is there and will be read."""
    needed = min((each.header.gen_min_required for each in dirty), default=None)
    if needed is not None and needed not in logs.paths:
        raise _refuse(
            EseError.REQUIRED_LOG_FILES_MISSING, f"log {needed} is required and missing", needed
        )
    if checkpoint is None:
        return
    if needed is not None and checkpoint.generation > needed:
        raise StoreError(
            f"the checkpoint is at {checkpoint.generation}, a database needs log {needed}",
            hint="The checkpoint is of another time than the database; move it aside.",
            context={"checkpoint": checkpoint.generation, "required": needed},
            native=EseError.REQUIRED_LOG_FILES_MISSING,
        )
    if checkpoint.generation not in logs.paths:
        raise _refuse(
            EseError.MISSING_LOG_FILE,
            f"log {checkpoint.generation}, named by the checkpoint, is missing",
            checkpoint.generation,
        )


def _require_open_end(logs: LogSet, profile: StoreProfile) -> None:
    """Rule F1: soft recovery needs a log to go on in."""
    if logs.current is not None:
        return
    if logs.prepared is None or not profile.temporary_log_suffices:
        raise StoreError(
            "there is neither a current log nor a usable prepared one",
            hint="Bring the copy's temporary log, or rename the highest log to be the current one.",
            native=EseError.MISSING_LOG_FILE,
        )


def _walk(logs: LogSet, start: int, profile: StoreProfile) -> int:
    """Rules D1 and D2: the last generation of the unbroken chain, which must be the last of all."""
    last = logs.generations[-1]
    for generation in range(start, last + 1):
        if generation not in logs.paths:
            raise _refuse(
                profile.gap_code, f"log {generation} is missing, later ones exist", generation
            )
        if generation in logs.damaged:
            raise logs.damaged[generation]
        previous = logs.headers.get(generation - 1) if generation > start else None
        header = logs.headers[generation]
        if previous is not None and header.previous_created != previous.created:
            raise _refuse(
                EseError.INVALID_LOG_SEQUENCE,
                f"log {generation} does not follow log {generation - 1}",
                generation,
            )
    return last


def _require_highest(logs: LogSet, dirty: Iterable[Database], reached: int) -> None:
    """Rules E1 and E2: the chain reaches as far as the headers demand."""
    for database in dirty:
        header = database.header
        if reached < header.gen_max_required:
            raise _refuse(
                EseError.REQUIRED_LOG_FILES_MISSING,
                f"{database.name} needs logs up to {header.gen_max_required}, "
                f"there are only logs up to {reached}",
                header.gen_max_required,
            )
        if reached < header.committed:
            raise _refuse(
                EseError.COMMITTED_LOG_FILES_MISSING,
                f"logs {reached + 1} to {header.committed} of {database.name} are missing",
                header.committed,
            )
        # The right number is not enough: it must be the very log that the header means [ese.md 11.2
        # 6].
        expected = header.gen_max_creation_time
        found = logs.headers.get(header.gen_max_required)
        if expected.is_set and found is not None and found.created != expected:
            raise _refuse(
                EseError.REQUIRED_LOG_FILES_MISSING,
                f"log {header.gen_max_required} is not the one that {database.name} needs",
                header.gen_max_required,
            )


def missing_databases(
    contents: Iterable[LogContent],
    first: LogHeader,
    present: Iterable[Signature],
    known: Iterable[DatabaseFiles],
) -> dict[int, tuple[Signature, str]]:
    """Databases that are attached at the end of the stream and are not there, by dbid.

    Also verifies every log on the way. Each comes with its signature and its path.

    Args:
        contents: The logs to be replayed, in order.
        first: Header of the first one; it lists what was attached when it was begun.
        present: Signatures of the databases at hand.
        known: Where databases would be put if the stream creates them.
    """
    attached = {each.dbid: (each.db_signature, each.path) for each in first.attachments}
    at_hand = set(present)
    places = {each.display_path.casefold() for each in known}
    for content in contents:
        for _, record in content.administration():
            if isinstance(record, CreateDatabase):
                attached[record.dbid] = (record.signature, record.path)
                if record.path.casefold() in places:
                    at_hand.add(record.signature)
            elif isinstance(record, Attach):
                attached[record.dbid] = (record.signature, record.path)
            elif isinstance(record, Detach):
                attached.pop(record.dbid, None)
    return {dbid: each for dbid, each in attached.items() if each[0] not in at_hand}


def _refuse(native: int, message: str, generation: int) -> StoreError:
    return StoreError(message, context={"generation": generation}, native=native)
