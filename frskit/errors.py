"""Every exception that frskit raises on purpose, in one tree.

The second level is the *party* that failed, the leaves are named by the condition::

    FrskitError
    +-- UsageError                       wrong option or value                      exit 2
    |   +-- ConfigurationError           a site file or lab directory is not usable
    +-- NotFound                         a name that nobody knows                   exit 3
    |   +-- ServerNotFound
    |   +-- StorageGroupNotRecognized
    |   +-- CopyNotFound
    +-- ServiceError                     the shadow copy service                    exit 4
    |   +-- BadState
    |   +-- SnapshotSetInProgress
    |   +-- HoldTimeout
    |   +-- ImportFailed
    |   +-- DocumentError
    |   +-- ProviderNotRegistered
    |   +-- VolumeNotSupported
    +-- WriterError                      an application's writer                    exit 4
    |   +-- WriterNotFound
    |   +-- WriterVeto
    |   +-- FreezeTimeout
    |   +-- WriterUnstable
    +-- ArrayError                       the disk array                             exit 5
    |   +-- StorageNotFound
    |   +-- NameInUse
    |   +-- CopyConflict
    |   +-- InsufficientCapacity
    |   +-- HasDependents
    |   +-- StillPresented
    |   +-- PresentationFailed
    |   +-- CopyInvalid
    |   +-- LimitExceeded
    |   +-- NotLicensed
    |   +-- UnsupportedKind
    |   +-- WriteProtected
    |   +-- ArrayDamaged
    +-- ProviderError                    the hardware provider                      exit 5
    |   +-- ProviderVeto
    +-- HostError                        a server's disks, volumes and files        exit 5
    |   +-- StaleLun
    |   +-- DuplicateSignature
    |   +-- VolumeNotFound
    |   +-- VolumeBusy
    |   +-- DeviceError
    |   +-- FileSystemError
    |       +-- FileMissing
    |       +-- FileExists
    |       +-- NoSpace
    |       +-- FileSystemDamaged
    +-- ApplicationError                 the application that is being protected    exit 9
    |   +-- StoreError
    +-- NormalizationError                                                          exit 6
    |   +-- NormalizationTimeout
    |   +-- NormalizationFailed
    +-- IntegrityError                   a copy or file did not pass its check      exit 7
    |   +-- FormatError                  bytes that are not what they should be
    |   +-- LogsLost                     logs that nobody was allowed to delete are gone
    +-- RecoveryError
    |   +-- RecoveryPrecondition                                                    exit 8
    |   +-- RecoveryFailed                                                          exit 9
    +-- Busy                             somebody else holds the lock               exit 10
    +-- CatalogError                     the catalog is damaged or inconsistent     exit 11
    |   +-- CatalogConflict              a record is not as the caller read it
    +-- CopyInUse                        a lease or mount holds the copy            exit 10
    +-- Stopped                                                                     exit 12
    |   +-- Cancelled
    |   +-- TimedOut
    |   |   +-- NoAnswer
    |   +-- OutcomeUnknown
    +-- DoctorFailed                     the doctor found failures                  exit 13
    +-- MissingDependency                an extra is not installed                  exit 2

Codes are stable text; native codes (HRESULTs, ESE errors, SSSU status) travel as data in
``native`` and never shape the tree. The exit statuses are frskit's own contract (FRS 6.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from frskit.model.copies import Copy  # the one import upward: see UPWARD_TYPES

__all__ = [
    "ApplicationError",
    "ArrayDamaged",
    "ArrayError",
    "BadState",
    "Busy",
    "Cancelled",
    "CatalogConflict",
    "CatalogError",
    "ConfigurationError",
    "CopyConflict",
    "CopyInUse",
    "CopyInvalid",
    "CopyNotFound",
    "DeviceError",
    "DoctorFailed",
    "DocumentError",
    "DuplicateSignature",
    "FileExists",
    "FileMissing",
    "FileSystemDamaged",
    "FileSystemError",
    "FormatError",
    "FreezeTimeout",
    "FrskitError",
    "HasDependents",
    "HoldTimeout",
    "HostError",
    "ImportFailed",
    "InsufficientCapacity",
    "IntegrityError",
    "LimitExceeded",
    "LogsLost",
    "MissingDependency",
    "NameInUse",
    "NoAnswer",
    "NoSpace",
    "NormalizationError",
    "NormalizationFailed",
    "NormalizationTimeout",
    "NotFound",
    "NotLicensed",
    "OutcomeUnknown",
    "PresentationFailed",
    "ProviderError",
    "ProviderNotRegistered",
    "ProviderVeto",
    "RecoveryError",
    "RecoveryFailed",
    "RecoveryPrecondition",
    "ServerNotFound",
    "ServiceError",
    "SnapshotSetInProgress",
    "StaleLun",
    "StillPresented",
    "Stopped",
    "StorageGroupNotRecognized",
    "StorageNotFound",
    "StoreError",
    "TimedOut",
    "UnsupportedKind",
    "UsageError",
    "VolumeBusy",
    "VolumeNotFound",
    "VolumeNotSupported",
    "WriteProtected",
    "WriterError",
    "WriterNotFound",
    "WriterUnstable",
    "WriterVeto",
]


class FrskitError(Exception):
    """Root of all exceptions that frskit raises on purpose.

    Args:
        message: What happened, one sentence, naming the objects concerned.
        hint: What the reader can do about it; defaults to the class's hint.
        context: Identifiers that belong to the failure (copy, server, storage, file ...).
        retryable: Overrides the class's answer to "does the same call make sense again?".
        native: The code of the party that failed: an HRESULT, an ESE error, an SSSU status.

    Attributes:
        code: Stable identifier of the class, e.g. ``"array.copy-conflict"``.
        exit_status: Exit status of the command line for this error (frskit's choice, FRS 6.2).
        stage: Stage of the operation that failed, filled in by the requestor.
        copy: The copy's record as it was left, filled in by the requestor; else None.
        leftovers: What could not be cleaned up, one text per object.
    """

    code: ClassVar[str] = "frskit"
    exit_status: ClassVar[int] = 1
    default_hint: ClassVar[str] = "Report this with the operation's journal."
    default_retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        context: Mapping[str, object] | None = None,
        retryable: bool | None = None,
        native: int | str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint: str = hint if hint is not None else self.default_hint
        self.context: dict[str, object] = dict(context or {})
        self.retryable: bool = self.default_retryable if retryable is None else retryable
        self.native = native
        self.stage: str | None = None
        self.copy: Copy | None = None
        self.leftovers: Sequence[str] = ()

    def __str__(self) -> str:
        return self.message


class UsageError(FrskitError):
    """A wrong option, switch or value was given."""

    code = "usage"
    exit_status = 2
    default_hint = "See the command's --help."


class ConfigurationError(UsageError):
    """A site file or lab directory cannot be used as it is."""

    code = "configuration"
    default_hint = "Correct the named entry, or create a lab with 'frskit lab init DIR'."


class MissingDependency(FrskitError):
    """An optional package is needed and is not installed."""

    code = "missing-dependency"
    exit_status = 2
    default_hint = "Install the extra that the message names."


class NotFound(FrskitError):
    """A name or id that nobody here knows."""

    code = "not-found"
    exit_status = 3
    default_hint = "List what exists with 'frskit tree'."


class ServerNotFound(NotFound):
    """No server of this name belongs to the site."""

    code = "not-found.server"
    default_hint = "List the servers with 'frskit tree'."


class StorageGroupNotRecognized(NotFound):
    """The writer does not know this storage group, or its files are not on a known array."""

    code = "not-found.storage-group"
    default_hint = "Run 'frskit show SERVER'; check that the group is mounted and that its volumes lie on the array."


class CopyNotFound(NotFound):
    """The catalog has no copy with this id."""

    code = "not-found.copy"
    default_hint = "List the copies with 'frskit copy list'."


class ServiceError(FrskitError):
    """The shadow copy service refused or failed."""

    code = "service"
    exit_status = 4
    default_hint = "Look at the writer and provider states."


class BadState(ServiceError):
    """A call came out of sequence (VSS_E_BAD_STATE)."""

    code = "service.bad-state"
    default_hint = "The context names the state and the calls that are legal in it."


class SnapshotSetInProgress(ServiceError):
    """Another shadow copy set is being created on this server."""

    code = "service.set-in-progress"
    default_hint = "Wait until it ended and try again."
    default_retryable = True


class HoldTimeout(ServiceError):
    """Writes were held longer than the flush-and-hold window of 10 s."""

    code = "service.hold-timeout"
    default_hint = "Try again at lower load; the application was released."
    default_retryable = True


class ImportFailed(ServiceError):
    """A transported set did not arrive, or not completely."""

    code = "service.import-failed"
    default_hint = "Check zoning and free LUN numbers of the recovery server."


class DocumentError(ServiceError):
    """A backup components or writer metadata document is damaged or refused."""

    code = "service.document"
    default_hint = "Use the documents that were saved with the copy."


class ProviderNotRegistered(ServiceError):
    """No hardware provider on this server supports the volume."""

    code = "service.provider-not-registered"
    default_hint = "Register the array's provider on this server."


class VolumeNotSupported(ServiceError):
    """No provider can copy this volume in the way that was asked for."""

    code = "service.volume-not-supported"
    default_hint = "Choose another kind of copy, or move the volume to the array."


class WriterError(FrskitError):
    """A writer refused or failed."""

    code = "writer"
    exit_status = 4
    default_hint = "Look at the application's event log."


class WriterNotFound(WriterError):
    """The writer is not in the list of the shadow copy service."""

    code = "writer.not-found"
    default_hint = "Start the application's service; the writer registers with it."


class WriterVeto(WriterError):
    """A writer vetoed the backup."""

    code = "writer.veto"
    default_hint = "The message names the writer and its reason."


class FreezeTimeout(WriterError):
    """A writer stayed frozen longer than its window and released itself."""

    code = "writer.freeze-timeout"
    default_hint = "Try again at lower load; the copy must not be trusted."
    default_retryable = True


class WriterUnstable(WriterError):
    """The writer lost its state during the backup, or is in a failed state."""

    code = "writer.unstable"
    default_hint = "Wait for the writer to become stable, then start a new copy."
    default_retryable = True


class ArrayError(FrskitError):
    """The disk array refused or failed."""

    code = "array"
    exit_status = 5
    default_hint = "Look at the array's own log."


class StorageNotFound(ArrayError):
    """The array has no such storage, host, disk group or set."""

    code = "array.not-found"
    default_hint = "List what exists with storage()."


class NameInUse(ArrayError):
    """The name belongs to another object of the array."""

    code = "array.name-in-use"
    default_hint = "Choose another name."


class CopyConflict(ArrayError):
    """The array's copy rules forbid this copy now."""

    code = "array.copy-conflict"
    default_hint = "Wait for normalization, or delete the copy that stands in the way."
    default_retryable = True


class InsufficientCapacity(ArrayError):
    """The disk group has no room for this."""

    code = "array.capacity"
    default_hint = "Delete old copies or add disks to the group."


class HasDependents(ArrayError):
    """Other objects depend on this one."""

    code = "array.has-dependents"
    default_hint = "Delete the dependents first, or wait until they are independent."


class StillPresented(ArrayError):
    """The object is presented to a host."""

    code = "array.still-presented"
    default_hint = "Unpresent it first."


class PresentationFailed(ArrayError):
    """The storage could not be presented, or is not presented as expected."""

    code = "array.presentation"
    default_hint = "Check the host's ports and free LUN numbers."
    default_retryable = True


class CopyInvalid(ArrayError):
    """The copy was invalidated by the array and holds no data any more."""

    code = "array.copy-invalid"
    default_hint = "Use another copy; make a new one."


class LimitExceeded(ArrayError):
    """A limit of the array model is reached."""

    code = "array.limit"
    default_hint = "Delete something, or choose a model with a larger limit."


class NotLicensed(ArrayError):
    """The array has no licence for local replication."""

    code = "array.not-licensed"
    default_hint = "Install the licence on the array."


class UnsupportedKind(ArrayError):
    """The array cannot make this kind of copy."""

    code = "array.unsupported-kind"
    default_hint = "Ask its capabilities for the kinds it has."


class WriteProtected(ArrayError):
    """The storage does not accept writes from this host."""

    code = "array.write-protected"
    default_hint = "Present it for writing."


class ArrayDamaged(ArrayError):
    """The array's own files are damaged."""

    code = "array.damaged"
    default_hint = "Restore the array's directory from a copy."


class ProviderError(FrskitError):
    """The hardware provider failed."""

    code = "provider"
    exit_status = 5
    default_hint = "Look at the provider's event record."


class ProviderVeto(ProviderError):
    """The hardware provider vetoed the shadow copy (VSS_E_PROVIDER_VETO)."""

    code = "provider.veto"
    default_hint = "The message names the reason; nothing of the set remains."
    default_retryable = True


class HostError(FrskitError):
    """A server's disks, volumes or files failed."""

    code = "host"
    exit_status = 5
    default_hint = "Rescan the server and look again."


class StaleLun(HostError):
    """Another disk answers under this LUN number than the server knows."""

    code = "host.stale-lun"
    default_hint = "Rescan the server; no data of the wrong disk was returned."
    default_retryable = True


class DuplicateSignature(HostError):
    """Two disks with one signature would be online on this server."""

    code = "host.duplicate-signature"
    default_hint = "Take the other copy offline first, or use another server."


class VolumeNotFound(HostError):
    """The server has no such volume or path."""

    code = "host.volume-not-found"
    default_hint = "List the server's volumes."


class VolumeBusy(HostError):
    """The volume or mount point is in use."""

    code = "host.volume-busy"
    default_hint = "Release what holds it."
    default_retryable = True


class DeviceError(HostError):
    """A block device refused a read or write."""

    code = "host.device"
    default_hint = "Check the range, the alignment and the presentation."


class FileSystemError(HostError):
    """A file system refused the operation."""

    code = "host.file-system"
    default_hint = "Check path and free space."


class FileMissing(FileSystemError):
    """No such file or directory on the volume."""

    code = "host.file-missing"
    default_hint = "Check the path."


class FileExists(FileSystemError):
    """A file of this name exists already."""

    code = "host.file-exists"
    default_hint = "Choose another name or remove it."


class NoSpace(FileSystemError):
    """The volume is full."""

    code = "host.no-space"
    default_hint = "Free space on the volume."


class FileSystemDamaged(FileSystemError):
    """The volume's metadata is damaged."""

    code = "host.file-system-damaged"
    default_hint = "Recover the volume from a copy."


class ApplicationError(FrskitError):
    """The protected application refused or failed."""

    code = "application"
    exit_status = 9
    default_hint = "Look at the application's event log."


class StoreError(ApplicationError):
    """The Exchange store reported an ESE error, given in 'native'."""

    code = "application.store"
    default_hint = "'frskit explain CODE' tells what the number means."


class NormalizationError(FrskitError):
    """A copy did not become independent of its source."""

    code = "normalization"
    exit_status = 6
    default_hint = "Look at the array."


class NormalizationTimeout(NormalizationError):
    """The background copy took longer than allowed."""

    code = "normalization.timeout"
    default_hint = "Allow more time; the copy stays on the array until it is deleted."
    default_retryable = True


class NormalizationFailed(NormalizationError):
    """The array reports that the background copy failed."""

    code = "normalization.failed"
    default_hint = "Look at the array; the copy is not usable."


class IntegrityError(FrskitError):
    """A copy or file did not pass its integrity check."""

    code = "integrity"
    exit_status = 7
    default_hint = "Keep the older verified copy and look into the source."


class LogsLost(IntegrityError):
    """Logs of production disappeared that no copy was known to hold, or before any verdict.

    Raised if it was found before the writers were told an outcome: then the copy is corrupt.
    Found afterwards, it stands in `Copy.failure` of a copy that is verified.
    """

    code = "integrity.logs-lost"
    default_hint = (
        "Take a full copy at once, and look into the writer: it deletes what it must not."
    )


class FormatError(IntegrityError):
    """The bytes are not what the format demands."""

    code = "integrity.format"
    default_hint = "The file is damaged, or is of another kind."


class RecoveryError(FrskitError):
    """A recovery could not be done."""

    code = "recovery"
    exit_status = 9
    default_hint = "Look at the plan and the journal."


class RecoveryPrecondition(RecoveryError):
    """A precondition of recovery does not hold; nothing was changed."""

    code = "recovery.precondition"
    exit_status = 8
    default_hint = "The message names the condition."


class RecoveryFailed(RecoveryError):
    """A recovery stopped half-way; its state is recorded."""

    code = "recovery.failed"
    exit_status = 9
    default_hint = "Look at the journal; what was undone is listed there."


class Busy(FrskitError):
    """Another operation holds the lock."""

    code = "busy"
    exit_status = 10
    default_hint = "Wait until it ended."
    default_retryable = True


class CopyInUse(FrskitError):
    """A lease or mount holds the copy."""

    code = "copy-in-use"
    exit_status = 10
    default_hint = "Unmount it first."


class CatalogError(FrskitError):
    """The catalog is damaged or does not agree with the array."""

    code = "catalog"
    exit_status = 11
    default_hint = "Restore an earlier catalog or rebuild it."


class CatalogConflict(CatalogError):
    """A record was changed by somebody else since the caller read it; nothing was stored."""

    code = "catalog.conflict"
    default_hint = "Read the record again, and decide anew."
    default_retryable = True


class Stopped(FrskitError):
    """A call ended before its work was done."""

    code = "stopped"
    exit_status = 12
    default_hint = "What had been started is named in the context."
    default_retryable = True


class Cancelled(Stopped):
    """The caller cancelled the operation."""

    code = "stopped.cancelled"
    default_hint = "Start it again when wanted."
    default_retryable = True


class TimedOut(Stopped):
    """The budget for the call ran out."""

    code = "stopped.timed-out"
    default_hint = "Give it more time."
    default_retryable = True


class NoAnswer(TimedOut):
    """A party did not answer in time, or still owes the answer to an earlier call.

    Its call goes on in a thread of its own; what it answers later is not believed.
    """

    code = "stopped.no-answer"
    default_hint = "Look at the party that the message names; nobody else was left waiting for it."


class DoctorFailed(FrskitError):
    """The doctor found failures."""

    code = "doctor"
    exit_status = 13
    default_hint = "Each finding names its remedy."


class OutcomeUnknown(Stopped):
    """A call's effect is not known: it may or may not have happened.

    The caller looks the object up by ``key`` before it does anything else; it never guesses.
    """

    code = "stopped.outcome-unknown"
    default_hint = "Look the object up by its key before doing anything else."
    default_retryable = False

    def __init__(
        self,
        message: str,
        *,
        key: str,
        hint: str | None = None,
        context: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message, hint=hint, context={"key": key, **(context or {})})
        self.key = key
