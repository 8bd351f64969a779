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
from typing import TYPE_CHECKING, Final, TypeVar, cast

from attrs import evolve, frozen

from frskit.clock import Budget
from frskit.errors import ApplicationError, ArrayError, HostError, IntegrityError, ServiceError
from frskit.model.shadows import ShadowSet
from frskit.watchdog import (
    ANSWER_S,
    CLOSING_S,
    Manners,
    Watchdog,
    guarded,
    name_of,
    unguarded,
    watchdog_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from frskit.clock import Clock
    from frskit.errors import FrskitError
    from frskit.protocols import RestoreSession, ShadowCopyService, ShadowSession

__all__ = ["WAITS", "Call", "Patience", "Wait", "guard", "guard_service"]

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
    "service": {
        "writers": Call(Wait.EFFECT, True, "looks, and asks every writer"),
        "writer_states": Call(Wait.ANSWER, True, "looks"),
        "shadows": Call(Wait.EFFECT, True, "looks, also for what a hanging call has made"),
        "session": Call(Wait.ANSWER, False, "begins nothing; refused while an answer is owed"),
        "restore_session": Call(Wait.ANSWER, False, "begins nothing"),
        "import_set": Call(Wait.EFFECT, False, "waits for disks to arrive"),
        "break_set": Call(Wait.EFFECT, True, "lets go of what an import brought"),
        "delete_set": Call(Wait.EFFECT, True, "takes copies back; many members"),
        "abort_all": Call(Wait.ANSWER, True, "ends what hangs"),
    },
    "session": {
        "__enter__": Call(Wait.EFFECT, False, "asks writers; entered too late, it is left at once"),
        "plan": Call(Wait.EFFECT, False, "asks every writer; too late, the session is abandoned"),
        "create": Call(
            Wait.EFFECT, False, "writers prepare; too late, it is abandoned and the set deleted"
        ),
        "complete": Call(Wait.EFFECT, False, "writers truncate; too late, its outcome is unknown"),
        "abandon": Call(Wait.ANSWER, True, "ends what hangs"),
        "__exit__": Call(Wait.EFFECT, True, "ends what hangs"),
    },
    "restore": {
        "__enter__": Call(Wait.EFFECT, False, "PreRestore; entered too late, it is left at once"),
        "__exit__": Call(Wait.EFFECT, True, "PostRestore"),
    },
}
"""By party and method. What is not named waits like a look, and not while an answer is owed."""


_ERRORS: Final[Mapping[str, type[FrskitError]]] = {
    "checker": IntegrityError,
    "application": ApplicationError,
    "store": ArrayError,
    "server": HostError,
    "service": ServiceError,
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
    name = called or f"{kind} {name_of(party, clock, type(party).__name__)}"
    dog = watchdog_of(party, name, clock, wrap=_ERRORS[kind], closing_s=patience.closing_s)
    return guarded(party, dog, _manners(kind, patience))


def _manners(kind: str, patience: Patience) -> Manners:
    calls = WAITS[kind]
    return Manners(
        closing=frozenset(name for name, call in calls.items() if call.always),
        answer_s=patience.answer_s,
        waits={name: call.wait.seconds(patience) for name, call in calls.items()},
    )


def guard_service(
    service: ShadowCopyService, clock: Clock, patience: Patience, server: str
) -> ShadowCopyService:
    """The same shadow copy service, its sessions too, behind one watchdog.

    One whose calls are bounded by itself stays as it is: it knows better whom to release.

    Args:
        service: The service.
        clock: Bounds its calls.
        patience: How long they may take.
        server: The server's name, for messages.
    """
    service = unguarded(service)
    name = f"the shadow copy service of {server}"
    dog = watchdog_of(service, name, clock, wrap=ServiceError, closing_s=patience.closing_s)
    if _bounds_itself(service, dog):
        return service

    def session(answer: object) -> object:
        return _session(cast("ShadowSession", answer), service, dog, patience)

    def restore(answer: object) -> object:
        return guarded(cast("RestoreSession", answer), dog, _manners("restore", patience))

    answers = {"session": session, "restore_session": restore}
    return guarded(service, dog, evolve(_manners("service", patience), answers=answers))


def _bounds_itself(service: ShadowCopyService, dog: Watchdog) -> bool:
    """Whether it says so; one that cannot even be asked does not."""
    try:
        found = dog.call(
            "capabilities", lambda: service.capabilities, deadline_s=None, closing=True
        )
    except Exception:  # noqa: BLE001 - parties are strangers: law 11
        return False
    return bool(getattr(found, "bounded", False))


def _session(
    session: ShadowSession, service: ShadowCopyService, dog: Watchdog, patience: Patience
) -> ShadowSession:
    """A session whose writers are released when it is given up, and whose late set is deleted."""
    manners = _manners("session", patience)
    found = guarded(session, dog, manners)

    def give_up(_answer: object) -> None:
        found.abandon()

    def give_up_set(answer: object) -> None:
        found.abandon()
        if isinstance(answer, ShadowSet):  # nobody else will ever hear of it
            service.delete_set(answer.id, budget=Budget.of(dog.clock, patience.cleanup_s))

    return guarded(session, dog, evolve(manners, ends={"plan": give_up, "create": give_up_set}))
