"""The public face as its users write it; never executed, only read by the type checkers.

``mypy --strict tests/typing`` fails if a public signature stops accepting what users pass, stops
returning what they were promised, or leaks ``Any``.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from datetime import datetime
from pathlib import Path
from typing import Literal, assert_type

import frskit
from frskit import (
    BackupType,
    Budget,
    CancelToken,
    Completion,
    Copy,
    CopyKind,
    CopyLife,
    FastRecovery,
    FrskitError,
    Lab,
    Policy,
    Production,
    Recovery,
    RecoveryMethod,
    RecoveryMode,
    Site,
    SystemClock,
    Verdict,
    VirtualClock,
    ese,
    eva,
    local,
)
from frskit.bases import ArrayBase, WriterBase
from frskit.codes.ese import EseError
from frskit.errors import IntegrityError, RecoveryFailed, RecoveryPrecondition
from frskit.events import CallableSink, CopyStage, Event, EventSink, Progress, ServiceTrace
from frskit.frs import RunningCopy
from frskit.model.checks import CheckedFile, FileVerdict, IntegrityReport
from frskit.model.components import (
    BackupSchema,
    Component,
    ComponentId,
    WriterMetadata,
    WriterRecord,
    WriterSession,
)
from frskit.model.copies import CopyMember, Resumed, Truncation
from frskit.model.files import FileRole, FileSet
from frskit.model.ids import CopyId, CopyKey, HostRef, IdFactory, StorageId, VolumeId
from frskit.model.log_points import LogRange
from frskit.model.plans import (
    ComponentInfo,
    ComponentStatus,
    CopyPlan,
    LogAnalysis,
    PlanStep,
    RecoveryPlan,
    RecoveryReport,
)
from frskit.model.storage import (
    AccessKind,
    ArrayCapabilities,
    ArrayCopy,
    CopyRequest,
    CopyState,
    HostPath,
    Presentation,
    SetAtomicity,
    StagedCopies,
    Storage,
)
from frskit.protocols import (
    Application,
    CopyOperation,
    DiskArray,
    HardwareProvider,
    IntegrityChecker,
    ReadableFile,
    Requestor,
    Server,
    ShadowCopyService,
    SupportsLogAnalysis,
    SupportsProvisioning,
    SupportsRecovery,
    SupportsRestore,
    SupportsResume,
    Writer,
)
from frskit.site import compose, open_site
from frskit.storage.array_copy_store import ArrayCopyStore
from frskit.vss import ArrayProvider, BackupComponents, Coordinator

# --- the lab and the requestor ---------------------------------------------------------------


def quickstart() -> None:
    """The README's example."""
    with frskit.lab() as site:
        assert_type(site, Lab)
        assert_type(site.frs, FastRecovery)
        assert_type(site.deliver("evs1", "sg1", messages=200), int)
        copy = site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
        assert_type(copy, Copy)
        assert_type(copy.id, CopyId)
        assert_type(copy.verdict, Verdict)
        assert_type(copy.completion, Completion)
        assert_type(copy.life, CopyLife)
        assert_type(copy.truncated, tuple[Truncation, ...])
        assert_type(copy.members, tuple[CopyMember, ...])
        assert_type(copy.created_at, datetime)
        assert_type(copy.freeze_s, float | None)
        assert_type(copy.report, IntegrityReport | None)
        if copy.report is not None:
            assert_type(copy.report.pages, int)
            assert_type(copy.report.files, tuple[CheckedFile, ...])
            assert_type(copy.report.files[0].verdict, FileVerdict)
        assert_type(site.damage_database("evs1", "sg1", page=3), str)
        assert_type(site.damage_logs("evs1", "sg1"), str)
        plan = site.frs.plan_recovery(copy.id, mode=RecoveryMode.ROLL_FORWARD)
        assert_type(plan, RecoveryPlan)
        assert_type(plan.steps, tuple[PlanStep, ...])
        report = site.frs.recover(plan)
        assert_type(report, RecoveryReport)
        assert_type(report.after, ComponentStatus)
        assert_type(report.after.databases[0].items, int | None)
        assert_type(report.replayed, LogRange | None)


def labs(directory: Path) -> None:
    """In memory, in a directory, with every argument."""
    assert_type(frskit.lab(directory), Lab)
    made = frskit.lab(
        str(directory),
        seed=3,
        groups=2,
        layout="shared",
        model="EVA5000",
        policy=Policy(accept_correctable=True, verdict_deadline_s=None),
        edbs=[directory / "a.edb", "b.edb"],
    )
    made.advance(3600)
    assert_type(made.groups(), Sequence[ComponentInfo])
    assert_type(made.status("evs1", "sg1"), ComponentStatus)
    assert_type(made.eva, eva.SimulatedEva)
    made.close()


def sites(toml: Path) -> None:
    """A site of any kind."""
    with open_site(toml) as site:
        assert_type(site, Site)
        assert_type(site.servers, tuple[str, ...])
    with frskit.open_site("site.toml") as again:
        assert_type(again.frs, FastRecovery)


def copies(frs: FastRecovery) -> None:
    """Every call about copies."""
    plan = frs.plan_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
    assert_type(plan, CopyPlan)
    assert_type(plan.volumes, tuple[tuple[VolumeId, str], ...])
    budget = Budget.of(SystemClock(), 60.0, token=CancelToken())
    copy = frs.create_copy(
        "evs1",
        ("sg1", "sg2"),
        backup_type=BackupType.COPY,
        kind=CopyKind.VSNAP,
        check=False,
        budget=budget,
    )
    frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL, key=copy.id)
    operation = frs.start_copy("evs1", ["sg1"], backup_type=BackupType.FULL, key=copy.id)
    assert_type(operation, RunningCopy)
    assert_type(operation.status(), Copy)
    assert_type(operation.wait(10.0), Copy)
    operation.cancel()
    seam: CopyOperation = operation
    assert_type(seam.id, CopyId)
    assert_type(frs.copies(), Sequence[Copy])
    assert_type(frs.copies(server="evs1", component="sg1"), Sequence[Copy])
    assert_type(frs.copy(copy.id), Copy)
    assert_type(frs.copy("9750b023"), Copy)
    frs.delete_copy(copy.id, budget=budget)
    for each in frs.resume(budget=budget):
        assert_type(each.result, str)
        assert_type(each.copy, Copy | None)
        assert_type(each.ended, bool)
        assert_type(each.commands, tuple[str, ...])


def recovery(frs: FastRecovery, copy: Copy) -> None:
    """Every call about recovery."""
    plan = frs.plan_recovery(
        copy.id,
        mode=RecoveryMode.POINT_IN_TIME,
        method=RecoveryMethod.COPY_BACK,
        component="sg1",
        accept_unverified=True,
    )
    assert_type(plan.analysis, LogAnalysis)
    try:
        frs.recover(
            plan,
            budget=Budget.of(SystemClock(), 60.0),
            progress=lambda done, total: print(done / total),
        )
    except RecoveryPrecondition as error:
        assert_type(error.context, dict[str, object])
        assert_type(error.hint, str)
    except RecoveryFailed as error:
        assert_type(error.leftovers, Sequence[str])
    assert_type(frs.analyze_logs("evs1", "sg1"), Sequence[LogAnalysis])
    assert_type(frs.analyze_logs("evs1", "sg1", copy=copy.id), Sequence[LogAnalysis])


def errors(frs: FastRecovery) -> int:
    """An error tells everything without a cast."""
    try:
        frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
    except IntegrityError as error:
        assert_type(error.code, str)
        assert_type(error.retryable, bool)
        assert_type(error.stage, str | None)
        assert_type(error.exit_status, int)
        if isinstance(error.copy, Copy):
            assert_type(error.copy.id, CopyId)
    except FrskitError as error:
        return error.exit_status
    return 0


def requestors(frs: FastRecovery) -> None:
    """The requestor keeps its seams, so tools can be typed against them."""
    requestor: Requestor = frs
    recovering: SupportsRecovery = frs
    analyzing: SupportsLogAnalysis = frs
    assert_type(requestor.copies(), Sequence[Copy])
    assert_type(recovering.plan_recovery(CopyId("x"), mode=RecoveryMode.ROLL_FORWARD), RecoveryPlan)
    assert_type(analyzing.analyze_logs("a", "b"), Sequence[LogAnalysis])
    resuming: SupportsResume = frs
    assert_type(resuming.resume(), Sequence[Resumed])


# --- events ------------------------------------------------------------------------------------


class Percentages:
    """A sink of a user's own; nothing is inherited."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def emit(self, event: Event) -> None:
        """Narrow by class."""
        assert_type(event.to_dict(), dict[str, object])
        if isinstance(event, Progress):
            self.lines.append(f"{event.operation} {100 * event.done // (event.total or 1)} %")
        elif isinstance(event, CopyStage):
            self.lines.append(f"{event.copy}: {event.stage}")
        elif isinstance(event, ServiceTrace):
            self.lines.append(f"{event.party} {event.step}")


def events(frs: FastRecovery) -> None:
    """Sinks of a class or a function."""
    sink: EventSink = Percentages()
    frs.subscribe(sink)
    frs.subscribe(CallableSink(lambda event: print(event.name, event.at)))


# --- ESE files ---------------------------------------------------------------------------------


class InMemory:
    """A readable file of a user's own."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size_bytes(self) -> int:
        """Length."""
        return len(self._data)

    def read_at(self, offset: int, length: int) -> bytes:
        """A slice."""
        return self._data[offset : offset + length]


def ese_files(path: Path, executor: Executor, shared: ReadableFile) -> None:
    """All entry points with all kinds of arguments."""
    budget = Budget.of(VirtualClock(), 5.0)
    report = ese.check_database(
        path,
        executor=executor,
        progress=lambda done, total: print(done, total),  # noqa: PLW0108  # the types are inferred
        budget=budget,
        limit_bytes_per_s=50e6,
    )
    assert_type(report, ese.DatabaseReport)
    assert_type(report.verdict, Literal["ok", "correctable", "damaged"])
    assert_type(report.damaged, tuple[ese.DamagedPage, ...])
    assert_type(report.required, ese.RequiredRange | None)
    ese.check_database("mail.edb")
    ese.check_database(InMemory(b""))
    ese.check_database(shared)
    with path.open("rb") as file:
        ese.check_database(file)
    verdict = ese.verify_page(b"\0" * 4096, 7)
    assert_type(verdict.status, Literal["ok", "correctable", "bad", "uninitialized"])
    assert_type(verdict.bit, int | None)
    logs = ese.check_logs(path, "E00")
    assert_type(logs, ese.LogSetReport)
    assert_type(logs.generations, tuple[int, ...])
    assert_type(ese.check_log(path), ese.LogReport)
    assert_type(ese.read_database_header(path), ese.DatabaseHeader)
    assert_type(ese.read_log_header(path), ese.LogHeader)
    assert_type(ese.read_checkpoint(path), ese.Checkpoint)


# --- an array of a stranger ----------------------------------------------------------------------


class TapeRobot(ArrayBase):
    """An array that copies slowly; typed against the protocol, with the optional mixin."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root

    @property
    def name(self) -> str:
        """Name for messages."""
        return "robot"

    @property
    def capabilities(self) -> ArrayCapabilities:
        """Full copies, one after the other."""
        return ArrayCapabilities(
            kinds=frozenset({CopyKind.SNAPCLONE}),
            access=frozenset({AccessKind.HOST_PATH}),
            set_atomicity=SetAtomicity.WITHIN_HOLD,
        )

    def storage(
        self, ids: Iterable[StorageId] | None = None, *, budget: Budget
    ) -> Sequence[Storage]:
        """One."""
        wanted = [StorageId("tape:1")] if ids is None else list(ids)
        return [Storage(id=each, name=each, size_bytes=1) for each in wanted]

    def copies(self, *, key: CopyKey | None = None, budget: Budget) -> Sequence[ArrayCopy]:
        """None yet."""
        return ()

    def commit_copies(self, staged: StagedCopies, *, budget: Budget) -> Sequence[ArrayCopy]:
        """One copy per request."""
        budget.check("committing")
        return [self._copied(staged.key, request) for request in staged.requests]

    def _copied(self, key: CopyKey, request: CopyRequest) -> ArrayCopy:
        return ArrayCopy(
            id=StorageId(f"{request.source}-copy"),
            source=request.source,
            key=key,
            kind=request.kind,
            state=CopyState.INDEPENDENT,
            size_bytes=1,
        )

    def delete_storage(self, storage: StorageId, *, budget: Budget) -> None:
        """Gone."""

    def present(
        self,
        storage: StorageId,
        host: HostRef,
        *,
        read_only: bool,
        access: str | None = None,
        number: int | None = None,
        budget: Budget,
    ) -> Presentation:
        """A directory."""
        return Presentation(
            storage=storage,
            host=host,
            access=HostPath(path=str(self._root / storage)),
            read_only=read_only,
        )

    def unpresent(self, presentation: Presentation, *, budget: Budget) -> None:
        """Hidden."""

    def presentations(
        self, storage: StorageId | None = None, *, budget: Budget
    ) -> Sequence[Presentation]:
        """None."""
        return ()


# --- a writer of a stranger ------------------------------------------------------------------------


WRITER = "11111111-2222-3333-4444-555555555555"


class ShortWriter(WriterBase):
    """Five methods and the mixin."""

    def identify(self, *, budget: Budget) -> WriterMetadata:
        """One component with one file."""
        files = FileSet(path="/srv/app", pattern="*.db", role=FileRole.DATABASE)
        name = ComponentId(writer_id=WRITER, logical_path="", name="app")
        return WriterMetadata(
            writer_id=WRITER,
            instance_id=WRITER,
            name="app",
            components=(Component(id=name, selectable=True, files=(files,)),),
            schema=frozenset({BackupSchema.COPY}),
        )

    def freeze(self, session: WriterSession, *, budget: Budget) -> None:
        """Hold."""

    def thaw(self, session: WriterSession, *, budget: Budget) -> None:
        """Go on."""

    def abort(self, session: WriterSession) -> None:
        """Go on."""

    def backup_complete(self, session: WriterSession, *, budget: Budget) -> None:
        """Outcomes by component."""
        assert_type(session.succeeded, dict[ComponentId, bool])


class WholeWriter:
    """Every event, nothing inherited."""

    def identify(self, *, budget: Budget) -> WriterMetadata:
        """Nothing."""
        return WriterMetadata(writer_id=WRITER, instance_id=WRITER, name="n", components=())

    def prepare_backup(self, session: WriterSession, *, budget: Budget) -> None:
        """Event."""

    def prepare_snapshot(self, session: WriterSession, *, budget: Budget) -> None:
        """Event."""

    def freeze(self, session: WriterSession, *, budget: Budget) -> None:
        """Event."""

    def thaw(self, session: WriterSession, *, budget: Budget) -> None:
        """Event."""

    def post_snapshot(self, session: WriterSession, *, budget: Budget) -> Sequence[WriterRecord]:
        """A stamp for each component."""
        return [WriterRecord(component=each, stamp="s") for each in session.components]

    def backup_complete(self, session: WriterSession, *, budget: Budget) -> None:
        """Event."""

    def backup_shutdown(self, session: WriterSession) -> None:
        """Event."""

    def abort(self, session: WriterSession) -> None:
        """Event."""

    def pre_restore(self, session: WriterSession, *, budget: Budget) -> None:
        """Event."""

    def post_restore(self, session: WriterSession, *, budget: Budget) -> None:
        """Event."""


def parties(robot: TapeRobot) -> None:
    """Strangers and frskit's own parties keep the seams."""
    arrays: list[DiskArray] = [
        robot,
        eva.SimulatedEva(clock=VirtualClock(), rng=random.Random(1)),
        local.DirectoryArray(Path("/srv/array"), clock=SystemClock(), hosts=None),
    ]
    writers: list[Writer] = [ShortWriter(), WholeWriter()]
    simulated = eva.SimulatedEva(
        "EVA2", profile=eva.EVA8000, clock=VirtualClock(), rng=random.Random(2), directory=Path("d")
    )
    restoring: SupportsRestore = simulated
    provisioning: SupportsProvisioning = simulated
    assert_type(provisioning.hosts(), Sequence[HostRef])
    print(arrays, writers, restoring)


def services(
    server: Server,
    robot: TapeRobot,
    application: Application,
    checker: IntegrityChecker,
    memory: dict[str, bytes],
) -> Site:
    """A site of parties of one's own."""
    clock = SystemClock()
    provider: HardwareProvider = ArrayProvider(robot, server.host)
    coordinator = Coordinator(server, clock=clock, ids=ids(), sink=Percentages(), memory=memory)
    coordinator.register_provider(provider)
    coordinator.register_writer(WholeWriter())
    service: ShadowCopyService = coordinator
    return compose(
        productions=[
            Production(
                server=server,
                service=service,
                application=application,
                checker=checker,
                store=ArrayCopyStore(robot),
            )
        ],
        recovery=Recovery(server=server, service=service, mount_root="/mnt/copies"),
        clock=clock,
        state=Path("state"),
        policy=Policy(normalization_timeout_s=60),
    )


def ids() -> IdFactory:
    """Ids from a seed."""
    return IdFactory(random.Random(1))


def mistakes(frs: FastRecovery, sink: Percentages) -> None:
    """What must be refused; an unused ignore is an error, so each line proves a refusal."""
    frs.create_copy("evs1", ["sg1"], backup_type=3)  # type: ignore[arg-type]
    frs.create_copy("evs1", ["sg1"], BackupType.FULL)  # type: ignore[call-arg]
    frs.plan_recovery(CopyId("x"), mode=RecoveryMethod.SWAP)  # type: ignore[arg-type]
    frs.recover(CopyId("x"))  # type: ignore[arg-type]
    frs.subscribe(print)  # type: ignore[arg-type]
    Copy(CopyId("x"))  # type: ignore[call-arg]
    not_an_array: DiskArray = sink  # type: ignore[assignment]
    print(not_an_array)


def kinds(table: Mapping[CopyKind, str], requestor_object: type[BackupComponents]) -> None:
    """Enums, not flags."""
    assert_type(table[CopyKind.SNAPCLONE], str)
    print(requestor_object.__name__)


def numbers(report: ese.LogReport) -> None:
    """An error of the engine is found by number or name, and is a number."""
    assert_type(EseError(-501), EseError)
    assert_type(EseError.LOG_FILE_CORRUPT.value, int)
    assert_type(report.error == EseError.LOG_FILE_CORRUPT, bool)
