"""What a key that comes again means: the copy it made, the failure it ended in, or a new run.

The rule is that of CSI's CreateSnapshot: a call is repeated under one name until it has an answer;
what was made is returned, what failed before anything was cut may be tried anew, and a failure
after the cut is an answer. An instant cannot be made again, so that a failed copy is never made
anew under its own id. Where it is not known whether something was cut, it is taken for cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.clock import Budget
from frskit.errors import (
    CopyNotFound,
    FreezeTimeout,
    FrskitError,
    HoldTimeout,
    OutcomeUnknown,
    Stopped,
    UsageError,
)
from frskit.frs.resume import finish_copy
from frskit.frs.state.journal_words import CopyStep, RequestorOperation
from frskit.model.copies import CopyLife, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frskit.frs.copy_wish import CopyWish
    from frskit.frs.deployment import Parts
    from frskit.model.copies import Copy
    from frskit.model.ids import CopyId

__all__ = ["check_same", "recorded_failure", "settled"]

_WELL = frozenset({CopyLife.PARKED, CopyLife.PRESENTED, CopyLife.CONSUMED})
_GONE = frozenset({CopyLife.DELETING, CopyLife.DELETED})
# A party that ran out of time may act later, so that the array may still get the key.
_UNCLEAR = (Stopped, FreezeTimeout, HoldTimeout)
_NEW_KEY = "Take a new key: the instant of this one is over."


def settled(parts: Parts, wish: CopyWish, *, alone: bool) -> Copy | None:
    """What the run of the wish's key came to; None if it is to be made now.

    Args:
        parts: The site.
        wish: The wish, with its key as id.
        alone: Whether the caller holds the server's lock. Then what is unfinished is that of a
            dead process, and is ended; else it is left alone and counts as to be made.

    Raises:
        UsageError: The key came before with another wish, or its copy was deleted.
        FrskitError: What the run failed with.
    """
    try:
        record = parts.catalog.get(wish.id)
    except CopyNotFound:
        return None
    check_same(record, wish)
    if record.life in _GONE:
        raise UsageError(
            f"the copy of key {wish.id} was deleted",
            hint="Take a new key: an id is never used again.",
            context={"copy": wish.id},
        )
    if record.life in _WELL:
        return record
    if record.life is not CopyLife.FAILED:
        if not alone:
            return None
        record = finish_copy(parts, record)
        if record.life in _WELL:
            return record
    if _nothing_was_cut(parts, record):
        return None
    raise recorded_failure(record)


def check_same(record: Copy, wish: CopyWish) -> None:
    """Whether the key of a record comes with the wish that it came with first.

    Raises:
        UsageError: It does not; the message says in what.
    """
    pairs: dict[str, tuple[object, object]] = {
        "server": (record.server.casefold(), wish.server.casefold()),
        "components": (_names(record.asked or record.components), _names(wish.components)),
        "type": (record.backup_type.value, wish.backup_type.value),
        "kind": (record.kind.value, wish.kind.value),
        "check": (record.check_wanted, wish.check),
    }
    other = [f"{name} was {was}, is {now}" for name, (was, now) in pairs.items() if was != now]
    if other:
        raise UsageError(
            f"key {wish.id} came before with another wish: {'; '.join(other)}",
            hint="Take a new key for a new wish.",
            context={"copy": wish.id},
        )


def _names(components: tuple[str, ...]) -> str:
    """The order in which components are named means nothing."""
    return ", ".join(sorted({each.casefold() for each in components}))


def _nothing_was_cut(parts: Parts, record: Copy) -> bool:
    """Whether a failed run certainly left the array without any copy of its key."""
    if record.verdict is not Verdict.UNKNOWN or record.members or record.leftovers:
        return False
    if not any(step == CopyStep.CREATE for step in _begun(parts, record.id)):
        return True
    kind = _kind(record)
    if kind is None or issubclass(kind, _UNCLEAR):
        return False
    store = parts.production(record.server).store
    return not store.look(key=record.key, budget=Budget.of(parts.clock))


def _begun(parts: Parts, copy: CopyId) -> Iterator[str]:
    for operation in parts.journal.of(RequestorOperation.COPY, copy):
        for step, _ in operation.intents():
            yield step


def recorded_failure(record: Copy) -> FrskitError:
    """The recorded failure as an error, as its run raised it."""
    kind = _kind(record) or (Stopped if record.failure.startswith(_INTERRUPTS) else FrskitError)
    _, _, message = record.failure.partition(": ")
    message = message or f"the copy of key {record.id} failed"
    context = {"copy": record.id, "recorded": True}
    if issubclass(kind, OutcomeUnknown):
        error: FrskitError = kind(message, key=record.id, hint=_NEW_KEY, context=context)
    else:
        error = kind(message, hint=_NEW_KEY, context=context, retryable=False)
    error.copy, error.stage, error.leftovers = record, record.stage, record.leftovers
    return error


_INTERRUPTS = ("interrupted:", "KeyboardInterrupt:", "SystemExit:")


def _kind(record: Copy) -> type[FrskitError] | None:
    """The class of a record's failure, by its code; None for one that is not frskit's."""
    code, _, _ = record.failure.partition(": ")
    return next((each for each in _classes(FrskitError) if each.code == code), None)


def _classes(root: type[FrskitError]) -> Iterator[type[FrskitError]]:
    yield root
    for each in root.__subclasses__():
        yield from _classes(each)
