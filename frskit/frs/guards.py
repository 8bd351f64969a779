"""How long the requestor waits for each call of a party, and the watchdogs that see to it.

One table says it for all: a look gets `Patience.answer_s`, what changes something gets
`Patience.effect_s`, a replay `Patience.replay_s`, and a check whatever the deadline of the verdict
leaves it, since it takes hours by right. A budget with a deadline comes before any of these. The
same table says which calls are made although the party owes an answer to another one: those that
only look, and those that only take something back.

A party's own exceptions become its typed error, with their type and text.
"""

from __future__ import annotations

import math
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, TypeVar

from attrs import frozen

from frskit.errors import ApplicationError, ArrayError, HostError, IntegrityError
from frskit.watchdog import ANSWER_S, CLOSING_S, guarded, unguarded, watchdog_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from frskit.clock import Clock
    from frskit.errors import FrskitError

__all__ = ["WAITS", "Call", "Patience", "Wait", "guard"]

T = TypeVar("T")


@frozen(kw_only=True)
class Patience:
    """How long parties may take where no budget says so; every number is frskit's own choice.

    Attributes:
        answer_s: Over a call that looks, or changes one thing.
        effect_s: Over one that may go through many members or wait for a flush: arrays that are
            told by a command line take several seconds for each LUN.
        replay_s: Over bringing an application online, or an array's own copying back.
        cleanup_s: Over each step of taking back what a failed copy has made.
        closing_s: Over a call that only ends something, and over what a cancelled one does still.
    """

    answer_s: float = ANSWER_S
    effect_s: float = 4 * 3600.0
    replay_s: float = 24 * 3600.0
    cleanup_s: float = 3600.0
    closing_s: float = CLOSING_S


class Wait(Enum):
    """What bounds a call whose budget has no deadline."""

    ANSWER = auto()
    EFFECT = auto()
    REPLAY = auto()
    BUDGET = auto()

    def seconds(self, patience: Patience) -> float:
        """The longest wait; infinity where the budget alone says it."""
        return {
            Wait.ANSWER: patience.answer_s,
            Wait.EFFECT: patience.effect_s,
            Wait.REPLAY: patience.replay_s,
            Wait.BUDGET: math.inf,
        }[self]


@frozen
class Call:
    """What holds for one method.

    Attributes:
        wait: Its bound.
        always: Whether it is made although the party owes an answer to another call.
        why: The reason for both.
    """

    wait: Wait
    always: bool
    why: str


WAITS: Final[Mapping[str, Mapping[str, Call]]] = {
    "checker": {
        "available": Call(Wait.ANSWER, False, "refused while it hangs, before anybody is frozen"),
        "check": Call(Wait.BUDGET, False, "hours by right: ends with the verdict's deadline"),
    },
    "application": {
        "components": Call(Wait.ANSWER, True, "looks"),
        "status": Call(Wait.ANSWER, True, "looks, also after a replay that hangs"),
        "analyze": Call(Wait.EFFECT, False, "reads the header of every log"),
        "file_actions": Call(Wait.EFFECT, False, "lists all files of a copy"),
        "take_offline": Call(Wait.EFFECT, True, "ends what a replay began; a dismount flushes"),
        "bring_online": Call(Wait.REPLAY, False, "replays logs"),
    },
    "store": {
        "look": Call(Wait.ANSWER, True, "looks, also for what a hanging call has made"),
        "present": Call(Wait.EFFECT, False, "many members"),
        "unpresent": Call(Wait.EFFECT, True, "takes a presentation back"),
        "delete": Call(Wait.EFFECT, True, "takes copies back; many members"),
        "restore_storage": Call(Wait.REPLAY, False, "copies a whole member"),
    },
    "server": {
        "disks": Call(Wait.ANSWER, True, "looks"),
        "volumes": Call(Wait.ANSWER, True, "looks"),
        "resolve": Call(Wait.ANSWER, True, "looks"),
        "files": Call(Wait.ANSWER, True, "opens a volume; what is read there is bounded by nobody"),
        "set_flags": Call(Wait.ANSWER, False, "changes labels"),
        "rescan": Call(Wait.EFFECT, False, "waits for every path to every disk"),
        "attach": Call(Wait.EFFECT, False, "a file system may have to be replayed"),
        "detach": Call(Wait.EFFECT, True, "takes mounts back; flushes"),
    },
}
"""By party and method. What is not named waits like a look, and not while an answer is owed."""


_ERRORS: Final[Mapping[str, type[FrskitError]]] = {
    "checker": IntegrityError,
    "application": ApplicationError,
    "store": ArrayError,
    "server": HostError,
}
"""What a party's own exceptions become."""


def guard(party: T, kind: str, clock: Clock, patience: Patience, *, called: str = "") -> T:
    """The same party, behind its watchdog; one that is there already may get other waits.

    Args:
        party: The party.
        kind: Which part of `WAITS` holds for it.
        clock: Bounds its calls.
        patience: How long they may take.
        called: What messages call it; by default its kind and name.
    """
    party = unguarded(party)
    name = called or _called(kind, party)
    dog = watchdog_of(party, name, clock, wrap=_ERRORS[kind], closing_s=patience.closing_s)
    calls = WAITS[kind]
    return guarded(
        party,
        dog,
        closing=[name for name, call in calls.items() if call.always],
        answer_s=patience.answer_s,
        waits={name: call.wait.seconds(patience) for name, call in calls.items()},
    )


def _called(kind: str, party: object) -> str:
    """What messages call it; strangers need not be able to say their name."""
    try:
        return f"{kind} {party.name}"  # type: ignore[attr-defined]  # all of them have one
    except Exception:  # noqa: BLE001 - parties are strangers: law 11
        return f"{kind} {type(party).__name__}"
