"""Which files of production have to move for a recovery; a pure plan.

Rows 7 and 8 of [exchange.md 5.2]: roll forward keeps production's logs and moves a checkpoint
that is ahead of the restored headers (HAZ-22); point in time leaves only the copy's logs. Nothing
is deleted: SET_ASIDE renames into a new directory beside the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from frskit.ese.logs import LogFileKind, archived_log_name, parse_log_name
from frskit.exchange.log_analysis.decision_table import Decision, decide
from frskit.exchange.log_analysis.group_facts import needed_logs
from frskit.exchange.recovery.group_files import FileSource, GroupFiles, below
from frskit.exchange.writer.component_tree import checkpoint_files, log_files
from frskit.model.files import FileSet
from frskit.model.plans import FileAction, FileActionKind, RecoveryMethod, RecoveryMode
from frskit.model.server_paths import split_path

if TYPE_CHECKING:
    from frskit.exchange.store.versions import StoreProfile
    from frskit.protocols import CopyFiles

__all__ = ["plan_actions"]

# Ours; numbered, so that no recovery writes over what an earlier one set aside.
_ASIDE = "frskit-aside-"
_LATER = 2
"""Generations that a dismount after the plan was made may still close (frskit's choice)."""


def plan_actions(
    files: GroupFiles,
    copy: CopyFiles,
    mode: RecoveryMode,
    method: RecoveryMethod,
    *,
    profile: StoreProfile,
    running: bool,
) -> tuple[FileAction, ...]:
    """The changes of production's files for one recovery, in order.

    Args:
        files: The storage group.
        copy: The copy.
        mode: Where recovery shall end.
        method: How data is put back.
        profile: Whose engine will replay.
        running: Whether the group's engine still runs: dismounting it will move the checkpoint
            and may close another log, so that both are provided for.
    """
    plan = _Plan(
        files=files,
        copy=copy,
        in_place=method is not RecoveryMethod.COPY_BACK,
        profile=profile,
        running=running,
    )
    if mode is RecoveryMode.ROLL_FORWARD:
        return tuple(plan.roll_forward())
    return tuple(plan.point_in_time())


@frozen(kw_only=True)
class _Plan:
    """One plan in the making.

    Attributes:
        in_place: Whether whole volumes of the copy will be in place (swap, array restore).
        directory: Name of the directory for what is set aside, in every directory concerned.
    """

    files: GroupFiles
    copy: CopyFiles
    in_place: bool
    profile: StoreProfile
    running: bool
    directory: str = field(init=False)

    @directory.default
    def _new_directory(self) -> str:
        """The first name under which nothing lies yet, on production or in the copy."""
        settings = self.files.settings
        for number in count(1):
            name = f"{_ASIDE}{number}"
            sets = [
                FileSet(path=below(path, name), pattern="*")
                for path in dict.fromkeys((settings.log_path, settings.system_path))
            ]
            taken = [
                source.find(each)
                for each in sets
                for source in (self.files.production, self.copy)
                if self.files.has_volume(source, each)
            ]
            if not any(taken):
                return name
        raise AssertionError("unreachable")

    # --- roll forward

    def roll_forward(self) -> Iterator[FileAction]:
        """Keep production's logs; move the checkpoint and whatever lies behind a break."""
        facts = self.files.facts(self.copy, RecoveryMode.ROLL_FORWARD, swap=self.in_place)
        decision = decide(facts, RecoveryMode.ROLL_FORWARD, profile=self.profile)
        # Swapped in with the databases, the checkpoint is the copy's own.
        comes_along = self.in_place and self.files.comes_along(self.copy)
        # A running engine moves its checkpoint on, beyond what this plan has seen.
        moves = self.running and not comes_along
        if facts.checkpoint is not None and (decision.analysis.stale_checkpoint or moves):
            # Judged again: which logs are of use depends on where replay begins.
            without = evolve(facts, checkpoint=None)
            decision = decide(without, RecoveryMode.ROLL_FORWARD, profile=self.profile)
            yield self._aside(
                checkpoint_files(self.files.settings).path,
                checkpoint_files(self.files.settings).pattern,
                "the checkpoint is ahead of the restored headers, or will be after the dismount",
            )
        yield from self._broken_logs(decision, self.files.production)
        if not self.in_place:
            yield from self._copy_in(path for path, _ in self.files.databases(self.copy))

    def _broken_logs(self, decision: Decision, source: FileSource) -> Iterator[FileAction]:
        """What the analysis wants out of the way, and the new current log."""
        aside = {each.rank for each in decision.analysis.set_aside}
        reaches = decision.analysis.reaches
        settings = self.files.settings
        names = {split_path(path)[1] for path, _ in self.files.logs(source)}
        current = f"{settings.base}.log"
        # Once a log above the usable ones has to go, so has the current one, which comes after it.
        above = bool(aside) and max(aside) > (0 if reaches is None else reaches.rank)
        doomed = [name for name in names if self._generation(name) in aside]
        if above:
            doomed += [name for name in names if name.casefold() == current.casefold()]
            doomed += self._later_names(max(aside))
        if decision.drop_temporary:
            doomed += [name for name in names if self._kind(name) is LogFileKind.TEMPORARY]
        for name in sorted(set(doomed)):
            yield self._aside(settings.log_path, name, "it does not continue the usable logs")
        if decision.promote is not None:
            archived = self._archived(decision.promote)
            yield FileAction(
                kind=FileActionKind.RENAME,
                path=below(settings.log_path, archived),
                target=below(settings.log_path, current),
                reason="the engine needs a current log; this is the highest usable one",
            )

    # --- point in time

    def point_in_time(self) -> Iterator[FileAction]:
        """Leave only the copy's logs in place."""
        if self.in_place:
            yield from self._after_swap()
            return
        facts = self.files.facts(self.copy, RecoveryMode.POINT_IN_TIME)
        decision = decide(facts, RecoveryMode.POINT_IN_TIME, profile=self.profile)
        unusable = {each.rank for each in decision.analysis.set_aside}
        logs = [
            path
            for path, _ in self.files.logs(self.copy)
            if self._generation(split_path(path)[1]) not in unusable
        ]
        checkpoint = None if decision.analysis.stale_checkpoint else self._copied_checkpoint()
        yield from self._foreign_to({split_path(path)[1].casefold() for path in logs})
        # Production's own would point behind the copy's logs.
        if checkpoint is None:
            yield from self._production_checkpoint()
        databases = [path for path, _ in self.files.databases(self.copy)]
        yield from self._copy_in([*databases, *logs, *([checkpoint] if checkpoint else [])])

    def _after_swap(self) -> Iterator[FileAction]:
        """The copy's volumes are in place; what they do not cover is production's."""
        settings = self.files.settings
        if self.files.has_volume(self.copy, log_files(settings)):
            facts = self.files.facts(self.copy, RecoveryMode.POINT_IN_TIME)
            decision = decide(facts, RecoveryMode.POINT_IN_TIME, profile=self.profile)
            if decision.analysis.stale_checkpoint:
                yield from self._production_checkpoint()
            yield from self._broken_logs(decision, self.copy)
        else:
            # Production's logs stay as far as the copy needs them; later ones would roll it
            # forward.
            facts = self.files.facts(self.copy, RecoveryMode.ROLL_FORWARD)
            needed = needed_logs(facts.dirty)
            last = 0 if needed is None else needed.last
            keep = {self._archived(g).casefold() for g in facts.logs if g <= last}
            yield from self._foreign_to(keep)
        if not self.files.has_volume(self.copy, checkpoint_files(settings)):
            yield from self._production_checkpoint()

    def _copied_checkpoint(self) -> str | None:
        found = self.files.checkpoint(self.copy)
        return None if found is None else found[0]

    def _foreign_to(self, kept: set[str]) -> Iterator[FileAction]:
        """Production's logs that are not among `kept`: replaying them would roll forward."""
        names = {split_path(path)[1] for path, _ in self.files.logs(self.files.production)}
        generations = [self._generation(name) or 0 for name in names]
        doomed = {name for name in names if name.casefold() not in kept}
        # The current log gets the next number when the dismount closes it.
        later = self._later_names(max(generations, default=0) + 1)
        doomed |= {name for name in later if name.casefold() not in kept}
        for name in sorted(doomed):
            yield self._aside(
                self.files.settings.log_path, name, "it is newer than the copy, or not part of it"
            )

    def _production_checkpoint(self) -> Iterator[FileAction]:
        wanted = checkpoint_files(self.files.settings)
        yield self._aside(wanted.path, wanted.pattern, "it does not belong to the copy")

    # --- helpers

    def _aside(self, directory: str, name: str, reason: str) -> FileAction:
        return FileAction(
            kind=FileActionKind.SET_ASIDE,
            path=below(directory, name),
            target=below(below(directory, self.directory), name),
            reason=reason,
        )

    @staticmethod
    def _copy_in(paths: Iterable[str]) -> Iterator[FileAction]:
        for path in paths:
            yield FileAction(
                kind=FileActionKind.COPY_IN, path=path, reason="restored from the copy"
            )

    def _later_names(self, generation: int) -> list[str]:
        """Archive names that may appear between the plan and the dismount."""
        if not self.running:
            return []
        return [self._archived(g) for g in range(generation, generation + _LATER)]

    def _archived(self, generation: int) -> str:
        return archived_log_name(
            self.files.settings.base, generation, digits=self.profile.generation_digits
        )

    def _kind(self, name: str) -> LogFileKind | None:
        parsed = parse_log_name(name, self.files.settings.base)
        return None if parsed is None else parsed.kind

    def _generation(self, name: str) -> int | None:
        parsed = parse_log_name(name, self.files.settings.base)
        return None if parsed is None else parsed.generation
