"""Parties behind their watchdogs: the same objects, every call of which is bounded.

`guarded` gives out something that looks like the party. What its methods, its properties and its
context do goes through `frskit.watchdog.Watchdog`, in the manner that was asked for.
"""

from __future__ import annotations

from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, TypeVar, cast

from attrs import field, frozen

from frskit.clock import Budget
from frskit.watchdog.bounded_calls import ANSWER_S, Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from frskit.clock import Clock

__all__ = ["Manners", "guarded", "name_of", "pardon", "unguarded"]

T = TypeVar("T")

_CONSTANT = frozenset({"capabilities", "host", "info", "name", "runner"})
"""Properties that the seams call constant: asked for until they are known, and never again."""


@frozen(kw_only=True)
class Manners:
    """How the calls of a guarded party are made.

    Attributes:
        closing: Methods that are called although answers are owed: those that only end something,
            or only look.
        answer_s: Longest wait for a call whose budget has no deadline.
        waits: Other such waits, by method; infinity bounds it by its budget alone.
        ends: What is done when a call is given up, with None, and when it came back after that,
            with its answer if there is one; by method.
        answers: What the caller gets in place of an answer; by method.
    """

    closing: frozenset[str] = frozenset()
    answer_s: float = ANSWER_S
    waits: Mapping[str, float] = field(factory=dict)
    ends: Mapping[str, Callable[[object], None]] = field(factory=dict)
    answers: Mapping[str, Callable[[object], object]] = field(factory=dict)


class _Guard:
    """What `guarded` gives out; looks like the party, and calls it through the watchdog."""

    __slots__ = ("_dog", "_known", "_manners", "_party")
    _party: object
    _dog: Watchdog
    _manners: Manners
    _known: dict[str, object]

    def __init__(self, party: object, dog: Watchdog, manners: Manners) -> None:
        for name, value in zip(
            ("_party", "_dog", "_manners", "_known"), (party, dog, manners, {}), strict=True
        ):
            object.__setattr__(self, name, value)

    @property
    def __class__(self) -> type:
        """The party's own class, so that `isinstance` answers as for the party."""
        return type(self._party)

    @__class__.setter
    def __class__(self, value: type) -> None:
        raise TypeError("the class of a guarded party cannot be changed")

    def __getattr__(self, name: str) -> object:
        if name in self._known:
            return self._known[name]
        value = getattr(self._party, name) if self._is_plain(name) else self._asked(name)
        if name.startswith("_") or not callable(value) or isinstance(value, type):
            return value
        return partial(self._call, name, value)

    def _is_plain(self, name: str) -> bool:
        """Whether looking the name up runs nothing of the party's."""
        party = self._party
        kind = type(party)
        return isinstance(getattr(kind, name, None), FunctionType) or (
            name in getattr(party, "__dict__", ())
            and not isinstance(getattr(kind, name, 0), property)
        )

    def _asked(self, name: str) -> object:
        """A property, or what a stand-in looks up: it may hang and raise like any other call."""
        dog = self._dog

        def read() -> tuple[object, AttributeError | None]:
            try:
                return getattr(self._party, name), None
            except AttributeError as error:  # it has no such name: what `hasattr` asks
                return None, error

        value, missing = dog.call(
            name, read, deadline_s=dog.clock.monotonic() + self._manners.answer_s, closing=True
        )
        if missing is not None:
            raise missing
        if name in _CONSTANT:
            self._known[name] = value
        return value

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._party, name, value)

    def __repr__(self) -> str:
        return repr(self._party)

    def _call(
        self, name: str, method: Callable[..., object], *args: object, **words: object
    ) -> object:
        dog, manners = self._dog, self._manners
        now_s = dog.clock.monotonic()
        end_s = now_s + manners.waits.get(name, manners.answer_s)
        budget = words.get("budget")
        token = budget.token if isinstance(budget, Budget) else None
        if isinstance(budget, Budget) and budget.deadline_s is not None:
            # A party that watches its budget answers by itself, and says more than we could.
            end_s = max(now_s, budget.deadline_s) + dog.closing_s
        answered: list[object] = []
        end = self._end(name)
        answer = dog.call(
            name,
            partial(_kept, answered, partial(method, *args, **words)),
            deadline_s=end_s,
            on_expiry=None if end is None else partial(end, None),
            on_late=None if end is None else lambda: end(answered[0] if answered else None),
            closing=name in manners.closing,
            token=token,
        )
        change = manners.answers.get(name)
        return answer if change is None else change(answer)

    def _end(self, name: str) -> Callable[[object], None] | None:
        """What is done when a call of this method is given up, and when it came back too late."""
        return self._manners.ends.get(name)


def _kept(answered: list[object], function: Callable[[], object]) -> object:
    """What a function returns, kept for whoever asks after it is too late."""
    answer = function()
    answered.append(answer)
    return answer


class _ContextGuard(_Guard):
    """The same for a party that is a context manager; its block's errors always go on."""

    __slots__ = ()

    def __enter__(self) -> object:
        method = type(self._party).__enter__  # type: ignore[attr-defined]  # see `guarded`
        entered = self._call("__enter__", method, self._party)
        return self if entered is self._party else entered

    def _end(self, name: str) -> Callable[[object], None] | None:
        return self._left_late if name == "__enter__" else super()._end(name)

    def _left_late(self, entered: object) -> None:
        """Entered too late is not entered: nobody else would leave it."""
        if entered is not None:
            type(self._party).__exit__(self._party, None, None, None)  # type: ignore[attr-defined]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        method = type(self._party).__exit__  # type: ignore[attr-defined]  # see `guarded`
        try:
            self._call("__exit__", method, self._party, kind, error, trace)
        except Exception as trouble:
            if error is None:
                raise
            error.add_note(f"while it was ended: {type(trouble).__name__}: {trouble}")


def guarded(party: T, dog: Watchdog, manners: Manners | None = None) -> T:
    """The same party, with every method and property called through its watchdog.

    A call ends `CLOSING_S` after its ``budget``, or after `Manners.answer_s` if it has none; its
    budget's cancel token ends it, too. A party that is a context manager stays one: leaving it
    never hides the error of the block, and is no error of its own then.

    Args:
        party: Any object; `isinstance` answers as before.
        dog: Stands before it.
        manners: How its calls are made.
    """
    kind = _ContextGuard if hasattr(type(party), "__exit__") else _Guard
    return cast("T", kind(party, dog, manners or Manners()))


def name_of(party: object, clock: Clock, otherwise: str) -> str:
    """What a party calls itself; strangers may hang there, too, or not know."""

    def ask() -> object:
        return party.name  # type: ignore[attr-defined]  # whatever has none is called otherwise

    try:
        return str(Watchdog(otherwise, clock).call("name", ask, deadline_s=None, closing=True))
    except Exception:  # noqa: BLE001 - parties are strangers: law 11
        return otherwise


def unguarded(party: T) -> T:
    """The party itself, if this is what `guarded` gave out; `isinstance` cannot tell."""
    if not issubclass(type(party), _Guard):
        return party
    return cast("T", cast("_Guard", party)._party)  # noqa: SLF001


def pardon(party: object) -> None:
    """Forget what a guarded party owes; nothing happens to another one."""
    if issubclass(type(party), _Guard):
        cast("_Guard", party)._dog.pardon()  # noqa: SLF001
