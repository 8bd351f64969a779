"""The seams of frskit: what a writer, provider, array, server or requestor must offer.

All of them are `typing.Protocol` classes: structural, nothing has to be inherited. They can be
read top to bottom in the order of the flow: `requestor`, `service`, `writer`, `provider`,
`array`, `server`, `application`, `small`. `frskit.bases` has optional mixins.

What holds for every seam, unless a method says otherwise:

* **Errors.** A party raises the errors that its seam names. Whatever else comes out of it, an
  ``OSError`` or a `KeyError` of its own, the caller turns into the party's typed error, with the
  kind and text of the original; it never passes for a result. Interrupts pass through.
* **Again.** A method is *idempotent* if the same call once more has the same result and no second
  effect; then a caller may repeat it after a lost answer. Where the text does not say so, only an
  error that is `retryable` may be answered by a repetition, and only the requestor repeats.
* **At once.** One ordinary call at a time reaches a party object, from any thread. The calls that
  end something (`Writer.abort`, `Writer.backup_shutdown`, `ShadowSession.abandon`,
  `WriteHold.release`, `ShadowCopyService.abort_all`) may come at any moment, from another thread,
  and in the midst of a call of the same party, even below it on the same stack; they must not wait
  for a lock that such a call holds. So may an array's look-ups (`DiskArray.storage`,
  `DiskArray.copies`, `DiskArray.presentations`): whoever gave up a staging or a commit that hangs
  has to find what it made.
* **Time.** `budget` bounds a call; a party that waits asks it, and raises `TimedOut` or
  `Cancelled`. The caller stops waiting in any case: an answer that comes after that is no answer.
  What it may have done is undone (a late freeze is aborted, a late copy looked up and deleted), and
  the party gets no ordinary call until it has come back.
* **Restarts.** What a method returned a result for is still so after the party was restarted. What
  it had only begun is there wholly or not at all.
* **None** means "not known". A party never guesses a number, a time or a name.
"""

from __future__ import annotations

from frskit.protocols.application import Application, CheckTarget, CopyFiles, IntegrityChecker
from frskit.protocols.array import (
    CopyStore,
    DiskArray,
    ScsiTarget,
    SupportsProvisioning,
    SupportsRestore,
)
from frskit.protocols.provider import HardwareProvider
from frskit.protocols.requestor import (
    CopyCatalog,
    CopyOperation,
    Requestor,
    SupportsLogAnalysis,
    SupportsRecovery,
)
from frskit.protocols.server import Server, ServerDirectory, WriteHold
from frskit.protocols.service import RestoreSession, ShadowCopyService, ShadowSession
from frskit.protocols.small import (
    BlockDevice,
    CommandRunner,
    FileRef,
    FileSystem,
    FileTree,
    ReadableFile,
    SupportsDirectorySync,
    WritableFile,
)
from frskit.protocols.writer import Writer

__all__ = [
    "Application",
    "BlockDevice",
    "CheckTarget",
    "CommandRunner",
    "CopyCatalog",
    "CopyFiles",
    "CopyOperation",
    "CopyStore",
    "DiskArray",
    "FileRef",
    "FileSystem",
    "FileTree",
    "HardwareProvider",
    "IntegrityChecker",
    "ReadableFile",
    "Requestor",
    "RestoreSession",
    "ScsiTarget",
    "Server",
    "ServerDirectory",
    "ShadowCopyService",
    "ShadowSession",
    "SupportsDirectorySync",
    "SupportsLogAnalysis",
    "SupportsProvisioning",
    "SupportsRecovery",
    "SupportsRestore",
    "WritableFile",
    "WriteHold",
    "Writer",
]
