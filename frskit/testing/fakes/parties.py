"""Small parties for tests of shadow copies: a script of what happens, and a writer on it.

Everything that happens goes to one `Script`, in order; the script can also raise, or let time
pass, at any step, before or after its effect. Array and server are in
`frskit.testing.fakes.hardware`, a whole site in `frskit.testing.fakes.site`.

These are not simulations of real products; those are `frskit.simulation`'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from attrs import define, field

from frskit._typing import override
from frskit.bases import WriterBase
from frskit.clock import Budget
from frskit.events import Event, ServiceTrace
from frskit.model.components import (
    BackupSchema,
    Component,
    ComponentId,
    WriterLevel,
    WriterMetadata,
    WriterRecord,
    WriterSession,
)
from frskit.model.files import FileSet

if TYPE_CHECKING:
    from frskit.protocols import Writer

__all__ = ["Script", "ScriptSink", "SmallWriter"]


@define(eq=False)
class Script:
    """The one list of what happened, and the faults to come.

    A step is ``party.call``, for example ``writer-1.freeze``; every step is recorded when it
    begins, and is hit again as ``party.call!`` when its effect has happened.

    Attributes:
        steps: What happened, in order.
        hits: The same, with the effects.
        faults: What to do when a step is hit, once each.
    """

    steps: list[str] = field(factory=list)
    hits: list[str] = field(factory=list)
    faults: dict[str, Callable[[], None]] = field(factory=dict)

    def on(self, step: str, action: Callable[[], None] | BaseException) -> None:
        """Do something at the next hit of this step: call it, or raise it."""
        if isinstance(action, BaseException):
            error = action

            def throw() -> None:
                raise error

            self.faults[step] = throw
        else:
            self.faults[step] = action

    def hit(self, step: str) -> None:
        """A step is reached."""
        self.hits.append(step)
        if not step.endswith("!"):
            self.steps.append(step)
        # Taken away before it acts: each fault happens once.
        action = self.faults.pop(step, None)
        if action is not None:
            action()

    @contextmanager
    def around(self, step: str) -> Iterator[None]:
        """A step and its effect."""
        self.hit(step)
        yield
        self.hit(step + "!")

    def of(self, party: str) -> list[str]:
        """The calls of one party."""
        prefix = party + "."
        return [step.removeprefix(prefix) for step in self.steps if step.startswith(prefix)]


class ScriptSink:
    """Puts the coordinator's trace on the script, as ``event.X Step``, and keeps the rows."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.rows: list[ServiceTrace] = []
        self.others: list[Event] = []

    def emit(self, event: Event) -> None:
        """Record it."""
        if isinstance(event, ServiceTrace):
            self.rows.append(event)
            self._script.hit(f"event.{event.party} {event.step}")
        else:
            self.others.append(event)

    def steps(self) -> list[str]:
        """The rows as ``X Step``."""
        return [f"{row.party} {row.step}" for row in self.rows]


class SmallWriter(WriterBase):
    """A writer with one database component per path; holds a flag instead of an application.

    It does not keep its window: tests want to see that the service does.

    Args:
        script: Where its events go.
        name: Its name, also its party on the script.
        paths: Directories with its files; one selectable component each.
        number: Makes its GUIDs.
        level, window_s, schema: As in the metadata.
    """

    keeps_window = False

    def __init__(
        self,
        script: Script,
        name: str,
        paths: Sequence[str],
        *,
        number: int = 1,
        level: WriterLevel = WriterLevel.FRONT_END,
        window_s: float = 60.0,
        schema: Iterable[BackupSchema] = (BackupSchema.COPY,),
    ) -> None:
        self.script = script
        self.name = name
        self.frozen: bool = False
        self.sessions: list[tuple[str, WriterSession]] = []
        self.truncated: list[ComponentId] = []
        writer_id = f"00000000-0000-4000-8000-{number:012d}"
        self.metadata: WriterMetadata = WriterMetadata(
            writer_id=writer_id,
            instance_id=f"00000000-0000-4000-9000-{number:012d}",
            name=name,
            components=tuple(
                Component(
                    id=ComponentId(writer_id=writer_id, logical_path=name, name=f"db{place}"),
                    caption=f"{name}-{place}",
                    selectable=True,
                    notify_on_backup_complete=True,
                    files=(FileSet(path=path, pattern="*.edb"),),
                )
                for place, path in enumerate(paths)
            ),
            schema=frozenset(schema),
            level=level,
            freeze_timeout_s=window_s,
        )

    def _event(self, event: str, session: WriterSession) -> None:
        self.sessions.append((event, session))
        self.script.hit(f"{self.name}.{event}")

    def _done(self, event: str) -> None:
        self.script.hit(f"{self.name}.{event}!")

    @override
    def identify(self, *, budget: Budget) -> WriterMetadata:
        """What it is."""
        self.script.hit(f"{self.name}.identify")
        return self.metadata

    @override
    def prepare_backup(self, session: WriterSession, *, budget: Budget) -> None:
        """Nothing but the record."""
        self._event("prepare_backup", session)

    @override
    def prepare_snapshot(self, session: WriterSession, *, budget: Budget) -> None:
        """Nothing but the record."""
        self._event("prepare_snapshot", session)

    @override
    def freeze(self, session: WriterSession, *, budget: Budget) -> None:
        """Hold; a fault before the effect leaves it writing, one after it leaves it frozen."""
        self._event("freeze", session)
        self.frozen = True
        self._done("freeze")

    @override
    def thaw(self, session: WriterSession, *, budget: Budget) -> None:
        """Write again."""
        self._event("thaw", session)
        self.frozen = False
        self._done("thaw")

    @override
    def post_snapshot(self, session: WriterSession, *, budget: Budget) -> Sequence[WriterRecord]:
        """A stamp for each component."""
        self._event("post_snapshot", session)
        return tuple(
            WriterRecord(component=each, stamp=f"stamp of {each.name}", metadata=f"<{each.name}>")
            for each in session.components
        )

    @override
    def backup_complete(self, session: WriterSession, *, budget: Budget) -> None:
        """Truncate what succeeded, and nothing else."""
        self._event("backup_complete", session)
        self.truncated += [each for each, good in session.succeeded.items() if good]
        self._done("backup_complete")

    @override
    def backup_shutdown(self, session: WriterSession) -> None:
        """Release whatever is still held."""
        self.frozen = False
        self._event("backup_shutdown", session)

    @override
    def abort(self, session: WriterSession) -> None:
        """Write again, then record; a fault cannot keep it frozen."""
        self.frozen = False
        self._event("abort", session)

    @override
    def pre_restore(self, session: WriterSession, *, budget: Budget) -> None:
        """Nothing but the record."""
        self._event("pre_restore", session)

    @override
    def post_restore(self, session: WriterSession, *, budget: Budget) -> None:
        """Nothing but the record."""
        self._event("post_restore", session)


if TYPE_CHECKING:
    _: type[Writer] = SmallWriter
