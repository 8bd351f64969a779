"""The recovery side of a simulated Exchange: analysis, file changes, offline and online.

Which files have to move for a recovery is decided here, purely; moving them is the requestor's.
Facts: [exchange.md 5]; SET_ASIDE goes into a new directory ``frskit-aside-N`` beside the file
(frskit's choice).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from frskit.errors import FrskitError, RecoveryPrecondition
from frskit.exchange.log_analysis.decision_table import decide
from frskit.exchange.recovery.file_actions import plan_actions
from frskit.exchange.recovery.group_files import GroupFiles
from frskit.exchange.writer.component_tree import group_component
from frskit.model.files import FileRole
from frskit.model.plans import (
    ComponentInfo,
    ComponentStatus,
    LogAnalysis,
    OnlineReport,
    RecoveryMethod,
    RecoveryMode,
    RecoveryTarget,
)

if TYPE_CHECKING:
    from frskit.clock import Budget
    from frskit.exchange.host import ExchangeHost
    from frskit.exchange.storage_group import StorageGroup
    from frskit.model.plans import FileAction
    from frskit.protocols import Application, CopyFiles

__all__ = ["ExchangeApplication"]


class ExchangeApplication:
    """Implements `frskit.protocols.Application` for a `SimulatedExchange`."""

    def __init__(self, exchange: ExchangeHost) -> None:
        self._exchange = exchange

    @property
    def name(self) -> str:
        """Name for messages."""
        return f"{self._exchange.profile.name} on {self._exchange.name}"

    def components(self, *, budget: Budget | None = None) -> Sequence[ComponentInfo]:
        """The storage groups, whatever their state; a simulated Exchange answers at once."""
        exchange = self._exchange
        return tuple(
            ComponentInfo(
                name=group.name,
                id=group_component(exchange.name, exchange.profile, group.settings),
                owner=exchange.server.name,
                databases=tuple(each.name for each in group.settings.databases),
                paths=(
                    *((FileRole.DATABASE, each.path) for each in group.settings.databases),
                    (FileRole.LOG, group.settings.log_path),
                    (FileRole.CHECKPOINT, group.settings.system_path),
                ),
            )
            for group in exchange.groups
        )

    def analyze(
        self, component: str, copy: CopyFiles | None, target: RecoveryTarget, *, budget: Budget
    ) -> LogAnalysis:
        """What the logs allow [exchange.md 5.5].

        Point in time: the copy's databases with the copy's own logs and checkpoint. Roll forward:
        the copy's databases with production's. Without a copy: production as it is.

        Raises:
            RecoveryPrecondition: The target has a stop; Exchange replays all logs it finds, to the
                end [EXC-75]. Or it is a roll forward of a copy under circular logging [P-09].
        """
        _refuse_stop(target)
        if copy is not None and target.mode is RecoveryMode.ROLL_FORWARD:
            _refuse_circular(self._exchange.group(component))
        budget.check(f"analyzing the logs of {component}")
        files = self._files(component)
        facts = files.facts(copy, target.mode)
        return decide(facts, target.mode, profile=self._exchange.profile.store).analysis

    def file_actions(
        self,
        component: str,
        copy: CopyFiles,
        target: RecoveryTarget,
        method: RecoveryMethod,
        *,
        budget: Budget,
    ) -> Sequence[FileAction]:
        """The changes of production's files that this recovery needs, in order; pure.

        Raises:
            RecoveryPrecondition: As for `analyze`.
        """
        _refuse_stop(target)
        budget.check(f"planning the changes of files of {component}")
        return plan_actions(
            self._files(component),
            copy,
            target.mode,
            method,
            profile=self._exchange.profile.store,
            running=self._exchange.group(component).is_open,
        )

    def take_offline(self, component: str, *, for_restore: bool = False, budget: Budget) -> None:
        """Dismount every database of the group and stop its engine. Idempotent.

        A store too damaged to be dismounted cleanly is dropped as a crash would; its log is
        durable up to the last acknowledged message.

        Args:
            component: The storage group.
            for_restore: Whether its databases "can be overwritten by a restore" from now on; their
                flag, which the writer's PreRestore demands [P-04, EXC-58].
            budget: Looked at before anything is dismounted.

        Raises:
            StoreError, Busy: A shadow copy is being made (native -2403) [EXC-16].
        """
        budget.check(f"dismounting {component}")
        owner = self._exchange.group(component)
        owner.take_offline()
        _allow_overwrite(owner, allowed=for_restore)

    def bring_online(self, component: str, *, budget: Budget) -> OnlineReport:
        """Start the group's engine with soft recovery and mount every database.

        A database that cannot be mounted although the logs were replayed is shown in the status.
        From then on none of them can be overwritten by a restore any more.

        Raises:
            StoreError: Replay failed; the native code says how. The group stays offline.
        """
        budget.check(f"mounting {component}")
        owner = self._exchange.group(component)
        seen = len(self._exchange.events)
        try:
            report = owner.open()
        except FrskitError as error:
            self._exchange.report_failure(owner.name, error)
            raise
        owner.mount_all([each.name for each in owner.settings.databases])
        _allow_overwrite(owner, allowed=False)
        replayed = None if report is None else report.generations
        return OnlineReport(
            status=owner.status(),
            replayed=owner.places().stretch(replayed[0], replayed[-1]) if replayed else None,
            events=tuple(f"{each.id}: {each.text}" for each in self._exchange.events[seen:]),
        )

    def status(self, component: str, *, budget: Budget | None = None) -> ComponentStatus:
        """State of the group's databases, with message counts where they can be read."""
        return self._exchange.group(component).status()

    def _files(self, component: str) -> GroupFiles:
        owner: StorageGroup = self._exchange.group(component)
        return GroupFiles(settings=owner.settings, server=self._exchange.server)


def _allow_overwrite(owner: StorageGroup, *, allowed: bool) -> None:
    """Set the "can be overwritten by a restore" flag of every database [P-04]."""
    for database in owner.settings.databases:
        owner.change(database.name, may_be_overwritten=allowed)


def _refuse_circular(group: StorageGroup) -> None:
    """P-09: with circular logging "only point-in-time recovery" [exchange.md 1.3]."""
    if group.is_circular:
        raise RecoveryPrecondition(
            f"P-09: circular logging of {group.name} is on; dismounting deletes the logs that a "
            "roll forward needs",
            hint="Recover to the point in time of a copy.",
            context={"condition": "P-09"},
        )


def _refuse_stop(target: RecoveryTarget) -> None:
    if target.stop:
        raise RecoveryPrecondition(
            f"Exchange cannot stop at {target.stop_kind} {target.stop}: it replays every log there is",
            hint="Roll forward to the end, or recover to the point in time of a copy.",
        )


if TYPE_CHECKING:
    _: Callable[[ExchangeHost], Application] = ExchangeApplication
