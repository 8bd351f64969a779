"""DoSnapshotSet: rows 14 to 27 of the canonical trace, and the way back from each of them.

The order is that of [VSS 1.1]; the rules are VSS-01..06, 12..17, 30..32, 37, 42..45. Two choices
are frskit's own: the flags of the original LUNs are cleared right after the last Thaw, because
nothing is written between Freeze and Thaw (design law 5), and PostSnapshot stands between
PreFinalCommit and PostFinalCommit, as [VSS 1.1 row 26] infers.

After any failure the order is: release held writes, Abort to the writers, flags, providers. An
unclear outcome of the commit is a failure like any other here; what it may have left behind is
looked for afterwards, when the application writes again [HAZ-09].

Writers are frozen and thawed in one place, `Creation._frozen_part`; the hold of writes is
`frskit.vss.requestor.write_hold`, the flags are `frskit.vss.requestor.lun_flags`.

Between Freeze and Thaw every call has a deadline: the end of the shortest window. Whoever hangs
then, writes are released and everybody gets Abort at that moment; the one that hangs is left
behind, and what it answers later is undone.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

from attrs import define, field

from frskit.clock import Budget
from frskit.codes.hresult import hresult
from frskit.errors import (
    FreezeTimeout,
    FrskitError,
    HoldTimeout,
    NoAnswer,
    OutcomeUnknown,
    ProviderVeto,
    TimedOut,
)
from frskit.model.components import WriterRecord
from frskit.model.shadows import LunInformation, ShadowState
from frskit.protocols import HardwareProvider
from frskit.vss.context_flags import creation_attributes
from frskit.vss.engine import Engine, OpenSet
from frskit.vss.persistent_sets import MemberRecord, SetLife, SetRecord
from frskit.vss.providers import SupportsReconcile
from frskit.vss.requestor.lun_flags import OriginalFlags
from frskit.vss.requestor.participants import Participants
from frskit.vss.requestor.write_hold import HOLD_WINDOW_S, HeldWrites, held_too_long
from frskit.vss.state_tables import ShadowStep

__all__ = ["Creation"]

PREPARE_S = 4 * 3600.0
"""Longest staging where no budget says so: frskit's choice. A mirror may have to be brought up to
date first; nobody is frozen meanwhile."""


@define(eq=False)
class Creation:
    """One run of DoSnapshotSet.

    Attributes:
        engine, open_set, participants, budget: With what, what, with whom, how long.
        created_at: The instant.
        records: What writers want kept.
    """

    engine: Engine
    open_set: OpenSet
    participants: Participants
    budget: Budget
    created_at: datetime | None = None
    records: list[WriterRecord] = field(factory=list)
    _flags: OriginalFlags = field(init=False)
    _hold: HeldWrites = field(init=False)
    _created: list[HardwareProvider] = field(factory=list, init=False)
    _freeze_timeout: FreezeTimeout | None = field(default=None, init=False)
    _interrupt: BaseException | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._flags = OriginalFlags(self.engine, self.open_set)
        self._hold = HeldWrites(
            self.engine,
            self.open_set,
            self.participants,
            on_expiry=self._release_everybody,
            on_late=self._flags.clear,
        )

    @property
    def hold_s(self) -> float:
        """How long writes were held."""
        return self._hold.held_s

    def run(self) -> SetRecord:
        """Create the set; returns thawed, or raises thawed with nothing of the set left.

        Raises:
            WriterVeto: A writer failed; not if the creation goes on without it.
            FreezeTimeout: A window has passed.
            HoldTimeout: Writes were held too long.
            ProviderVeto, ProviderError, ArrayError, Stopped: A provider failed.
        """
        try:
            self._prepare()
            # Nobody outside may act on a row while the application is frozen (design law 5).
            with self.engine.trace.quiet():
                self._frozen_part()
            self._flags.clear()
            self._finish()
        except BaseException as error:
            self._roll_back(error)
            # An interrupt during the way back outranks the failure that led to it.
            if self._interrupt is not None and isinstance(error, Exception):
                raise self._interrupt from error
            if self._is_known(error):
                raise self._window_error() from error
            raise
        return self._record(SetLife.CREATED)

    def discard(self, error: BaseException) -> None:
        """Undo a set that was created, because what follows failed with `error`."""
        self._roll_back(error)

    # -- the way forward ---------------------------------------------------------------------

    def _prepare(self) -> None:
        """Rows 14 to 16: everything slow, outside of every window [VSS-02, VSS-45]."""
        self.participants.serve(self.budget)
        self._flags.remember()
        # Durable before the flags change, so that a restart can put them back.
        self.engine.records.put_set(self._record(SetLife.CREATING))
        self.open_set.advance(ShadowStep.PREPARE)
        self._each(
            "EndPrepareSnapshots",
            lambda each: each.end_prepare_snapshots(self.open_set.id, budget=self.budget),
            deadline_s=self._prepared_by_s(),
        )
        self.open_set.advance(ShadowStep.PREPARE_DONE)
        self._flags.mark()
        self.participants.prepare_snapshot()
        self.budget.check("preparing the shadow copies")

    def _frozen_part(self) -> None:
        """Rows 17 to 24: from the first Freeze to the last Thaw."""
        self.participants.bound(self.budget, self._release_everybody)
        try:
            self.participants.freeze(self.budget)
            self._pre_commit()
            self._hold_and_commit()
            self._post_commit()
            self.participants.thaw()
        except BaseException as error:
            # Only who was told of the snapshot: the others have nothing to undo.
            self._note(error, self.participants.abort(only_in_snapshot=True))
            raise

    def _prepared_by_s(self) -> float:
        """When staging is given up: a little after the budget, which the provider watches too."""
        engine = self.engine
        if self.budget.deadline_s is None:
            return engine.clock.monotonic() + PREPARE_S
        return self.budget.deadline_s + engine.providers.closing_s

    def _release_everybody(self) -> None:
        """A window has ended and somebody hangs: writes first, then all writers."""
        problems: list[BaseException] = []
        problems += self._quietly(self._hold.release_now, [], "held writes")
        try:
            self.participants.check_windows()
        except FreezeTimeout as late:
            self._freeze_timeout = late
        problems += self.participants.abort(only_in_snapshot=True)
        for problem in problems:
            if not isinstance(problem, Exception):
                raise problem

    def _is_known(self, error: BaseException) -> bool:
        """Whether a commit that was given up has come back, and nothing of it is left."""
        return (
            isinstance(error, OutcomeUnknown)
            and isinstance(error.__cause__, NoAnswer)
            and not error.leftovers
            and not any(self.engine.providers.dog(each).owes for each in self.open_set.providers())
        )

    def _window_error(self) -> FrskitError:
        """What ended while the commit was under way: the hold, a writer's window, or the budget."""
        if self._hold.expired:
            return held_too_long(self.hold_s)
        if self._freeze_timeout is not None:
            return self._freeze_timeout
        return TimedOut(
            "out of time while committing the shadow copies; nothing of them is left",
            context={"set": self.open_set.id},
        )

    def _pre_commit(self) -> None:
        """Row 18: writers are frozen, writes are not held yet [VSS-04]."""
        self.open_set.advance(ShadowStep.PRE_COMMIT)
        self._each(
            "PreCommitSnapshots",
            lambda each: each.pre_commit_snapshots(self.open_set.id),
            frozen=True,
        )
        self.open_set.advance(ShadowStep.PRE_COMMIT_DONE)
        self.participants.check_over()
        self.participants.check_windows()
        self.budget.check("pre-committing the shadow copies")

    def _hold_and_commit(self) -> None:
        """Rows 19 to 21: hold, commit, release at once [VSS-05]."""
        failure: BaseException | None = None
        try:
            with self._hold.held(self._window()):
                try:
                    self._commit()
                except BaseException as error:
                    failure = error
                    raise
        except TimedOut as spent:
            # The commit gave up because the window was spent: the hold is what failed.
            if self._hold.expired:
                raise held_too_long(self.hold_s) from spent
            raise
        except HoldTimeout as late:
            # The reason why it took so long says more than the fact that it did, unless it is the
            # spent window itself.
            if failure is not None and failure is not late and not isinstance(failure, TimedOut):
                raise failure from late
            raise
        if self.hold_s > HOLD_WINDOW_S:
            raise held_too_long(self.hold_s)
        self.created_at = self.engine.trace.now()
        self.participants.check_windows()

    def _commit(self) -> None:
        """Row 20: the instant, for every provider."""
        self.open_set.advance(ShadowStep.COMMIT)
        # The hold's own window begins now; the writers' windows are running already.
        window = self._window().at_most(HOLD_WINDOW_S)
        try:
            self._each(
                "CommitSnapshots",
                lambda each: each.commit_snapshots(self.open_set.id, budget=window),
                frozen=True,
            )
        except NoAnswer as silent:
            raise OutcomeUnknown(
                f"it is not known whether the copies were made: {silent}", key=self.open_set.id
            ) from silent
        self.participants.check_over()
        self.open_set.advance(ShadowStep.COMMIT_DONE)

    def _post_commit(self) -> None:
        """Row 23: all providers committed [VSS-06]."""
        self.open_set.advance(ShadowStep.POST_COMMIT)
        for each in self.open_set.providers():
            count = sum(member.provider is each for member in self.open_set.members)
            self._call_frozen(
                each,
                "PostCommitSnapshots",
                partial(each.post_commit_snapshots, self.open_set.id, count),
            )
            # From here on its copies exist for it, and Abort no longer removes them [VSS-32].
            self._created.append(each)
        self.open_set.advance(ShadowStep.POST_COMMIT_DONE)
        self.participants.check_windows()

    def _finish(self) -> None:
        """Rows 25 and 26: targets, and what writers want kept."""
        set_id = self.open_set.id
        for each in self.open_set.providers():
            self._learn_targets(each)
        self.open_set.advance(ShadowStep.PRE_FINAL)
        self._each("PreFinalCommitSnapshots", lambda each: each.pre_final_commit_snapshots(set_id))
        self.open_set.advance(ShadowStep.PRE_FINAL_DONE)
        self.records = self.participants.post_snapshot()
        self.open_set.advance(ShadowStep.POST_FINAL)
        self._each(
            "PostFinalCommitSnapshots", lambda each: each.post_final_commit_snapshots(set_id)
        )
        self.open_set.advance(ShadowStep.POST_FINAL_DONE)

    def _learn_targets(self, provider: HardwareProvider) -> list[LunInformation]:
        """Row 25: the target of each original, same length and order [VSS-12]."""
        sources = self.open_set.sources(provider)
        targets = self.engine.providers.call(
            provider,
            "GetTargetLuns",
            self.open_set.id,
            lambda: list(provider.get_target_luns(sources)),
        )
        if len(targets) != len(sources):
            name = self.engine.providers.info(provider).name
            raise ProviderVeto(
                f"provider {name} named {len(targets)} targets for {len(sources)} originals",
                context={"provider": name},
                native=hresult("VSS_E_UNEXPECTED_PROVIDER_ERROR"),
            )
        by_source = {
            source.storage: target for source, target in zip(sources, targets, strict=True)
        }
        for member in self.open_set.members:
            if member.provider is provider:
                member.target = by_source[member.source.storage]
        return targets

    # -- the way back ------------------------------------------------------------------------

    def _roll_back(self, error: BaseException) -> None:
        """Leave nothing: flags, shadow copies, record; what stays is named in the error."""
        problems: list[BaseException] = []
        leftovers: list[str] = []
        problems += self._quietly(self._flags.clear, leftovers, "flags of the original LUNs")
        budget = Budget.of(self.engine.clock, self.engine.cleanup_s)
        for provider in self.open_set.providers():
            problems += self._undo(provider, budget, leftovers)
        for member in self.open_set.members:
            # Committed or not decides which of the two ways out the table allows [VSS 2.3].
            made = member.state is ShadowState.CREATED
            member.advance(ShadowStep.DELETE if made else ShadowStep.ABORT)
        if any(self.engine.providers.dog(each).owes for each in self.open_set.providers()):
            self.engine.owed_sets.add(self.open_set.id)
        # The record stays while anything does: `recover` finds it there.
        if not leftovers:
            problems += self._quietly(
                lambda: self.engine.records.drop_set(self.open_set.id), leftovers, "record"
            )
        if isinstance(error, FrskitError):
            error.leftovers = (*error.leftovers, *leftovers)
        elif leftovers:
            error.add_note("left behind: " + "; ".join(leftovers))
        self._note(error, problems)

    def _undo(
        self, provider: HardwareProvider, budget: Budget, leftovers: list[str]
    ) -> list[BaseException]:
        """Make one provider forget the set [VSS-30, VSS-31]."""
        set_id, call = self.open_set.id, self.engine.providers.call
        name = self.engine.providers.info(provider).name
        problems: list[BaseException] = []
        found: list[str] = []
        problems += self._quietly(
            lambda: call(
                provider,
                "AbortSnapshots",
                set_id,
                lambda: provider.abort_snapshots(set_id),
                closing=True,
            ),
            found,
            f"uncommitted copies of set {set_id} at {name}",
        )
        if any(provider is each for each in self._created):
            # After PostCommit the provider ignores AbortSnapshots [VSS-32]; a created copy is
            # deleted by OnLunEmpty and by nothing else [VSS-54].
            for target in self._targets_to_delete(provider, found):
                empty = partial(provider.on_lun_empty, target, budget=budget)
                problems += self._quietly(
                    partial(call, provider, "OnLunEmpty", set_id, empty),
                    found,
                    f"copy {target.storage}",
                )
        if isinstance(provider, SupportsReconcile):
            # It looks at the array itself, so what it reports is all that counts.
            remains: list[str] = []
            reported: list[str] = []
            problems += self._quietly(
                lambda: remains.extend(self.engine.providers.reconcile(provider, set_id, budget)),
                reported,
                f"copies of set {set_id} at {name}",
            )
            found = [*remains, *reported]
        leftovers += found
        return problems

    def _targets_to_delete(
        self, provider: HardwareProvider, leftovers: list[str]
    ) -> list[LunInformation]:
        targets: list[LunInformation] = []
        self._quietly(
            lambda: targets.extend(self._learn_targets(provider)),
            leftovers,
            f"copies of set {self.open_set.id} at {self.engine.providers.info(provider).name}",
        )
        return targets

    @staticmethod
    def _quietly(
        action: Callable[[], None], leftovers: list[str], what: str
    ) -> list[BaseException]:
        """Do one step of the way back; a failure is noted, never in the way of the next step."""
        try:
            action()
        except BaseException as error:  # noqa: BLE001  handed back to the caller
            named = list(error.leftovers) if isinstance(error, FrskitError) else []
            leftovers += named or [f"{what}: {error}"]
            return [error]
        return []

    def _note(self, error: BaseException, problems: list[BaseException]) -> None:
        """Tell of what went wrong while cleaning up, without hiding the reason for it."""
        for problem in problems:
            error.add_note(f"while cleaning up: {type(problem).__name__}: {problem}")
            if not isinstance(problem, Exception) and self._interrupt is None:
                self._interrupt = problem

    # -- small parts ------------------------------------------------------------------------

    def _each(
        self,
        step: str,
        function: Callable[[HardwareProvider], None],
        *,
        frozen: bool = False,
        deadline_s: float | None = None,
    ) -> None:
        """The same call to every provider of the set; `frozen`: between Freeze and Thaw."""
        for provider in self.open_set.providers():
            if frozen:
                self._call_frozen(provider, step, partial(function, provider))
            else:
                self.engine.providers.call(
                    provider,
                    step,
                    self.open_set.id,
                    partial(function, provider),
                    deadline_s=deadline_s,
                    on_late=partial(self._undo_late, provider),
                    token=self.budget.token,
                )

    def _call_frozen(
        self, provider: HardwareProvider, step: str, function: Callable[[], None]
    ) -> None:
        """A call that must end with the window; what comes of it later is undone."""
        self.engine.providers.call(
            provider,
            step,
            self.open_set.id,
            function,
            deadline_s=self._hold.end_s(),
            on_expiry=self._release_everybody,
            on_late=partial(self._undo_late, provider),
        )

    def _undo_late(self, provider: HardwareProvider) -> None:
        """A provider came back after it was given up: the set is not wanted any more."""
        budget = Budget.of(self.engine.clock, self.engine.cleanup_s)
        left: list[str] = []
        self._undo(provider, budget, left)
        for each in left:
            self.engine.trace.warn(f"left behind by a late answer: {each}")

    def _window(self) -> Budget:
        """The caller's budget, cut to the shortest rest of a freeze window [VSS-43]."""
        return self.budget.at_most(self.participants.window_s())

    def _record(self, life: SetLife) -> SetRecord:
        attributes = int(creation_attributes(self.open_set.context))
        return SetRecord(
            id=self.open_set.id,
            life=life,
            context=self.open_set.context,
            members=tuple(
                MemberRecord(
                    shadow=member.shadow(self.open_set.id, attributes, self.open_set.key),
                    provider_id=self.engine.providers.info(member.provider).id,
                    source=member.source,
                    target=member.target,
                    source_flags=self._flags.of(member.source.storage),
                )
                for member in self.open_set.members
            ),
        )
