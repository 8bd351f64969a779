"""What lies below the wings: block devices, the label of a disk, and the lab's file system."""

from frskit.storage.array_copy_store import ArrayCopyStore
from frskit.storage.device_copy import copy_device, find_difference
from frskit.storage.devices import (
    SECTOR_BYTES,
    FileDevice,
    MemoryDevice,
    ReadOnlyDevice,
    SliceDevice,
    check_range,
)
from frskit.storage.disk_label import LABEL_BYTES, DiskLabel, read_label, write_label
from frskit.storage.simfs import SimFs, check_volume
from frskit.storage.write_cache import VolatileDevice

__all__ = [
    "LABEL_BYTES",
    "SECTOR_BYTES",
    "ArrayCopyStore",
    "DiskLabel",
    "FileDevice",
    "MemoryDevice",
    "ReadOnlyDevice",
    "SimFs",
    "SliceDevice",
    "VolatileDevice",
    "check_range",
    "check_volume",
    "copy_device",
    "find_difference",
    "read_label",
    "write_label",
]
