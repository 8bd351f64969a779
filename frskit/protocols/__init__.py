"""The seams of frskit: what a writer, provider, array, server or requestor must offer.

All of them are `typing.Protocol` classes: structural, nothing has to be inherited. They can be
read top to bottom in the order of the flow: `requestor`, `service`, `writer`, `provider`,
`array`, `server`, `application`, `small`. `frskit.bases` has optional mixins.
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
    SupportsResume,
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
    "SupportsResume",
    "WritableFile",
    "WriteHold",
    "Writer",
]
