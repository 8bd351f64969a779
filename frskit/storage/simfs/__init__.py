"""simfs, the lab's small file system: extents, a journal, and a volatile cache worth flushing.

It stands where NTFS stands on a real server, small enough to be proved: a crash at any device write
leaves a volume that mounts with everything that was synced. The layout is in
`frskit.storage.simfs.layout`, the promises are in `frskit.storage.simfs.filesystem`.
"""

from frskit.storage.simfs.check import check_volume
from frskit.storage.simfs.files import ExtentFile, SimFile, SimFileRef
from frskit.storage.simfs.filesystem import MINIMUM_VOLUME_BYTES, SimFs
from frskit.storage.simfs.layout import BLOCK_BYTES

__all__ = [
    "BLOCK_BYTES",
    "MINIMUM_VOLUME_BYTES",
    "ExtentFile",
    "SimFile",
    "SimFileRef",
    "SimFs",
    "check_volume",
]
