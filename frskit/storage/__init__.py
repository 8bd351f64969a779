"""What lies below the wings: block devices, the label of a disk, and the lab's file system."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit._lazy import face

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.storage.array_copy_store import ArrayCopyStore, can_restore
    from frskit.storage.atomic_files import (
        make_directory,
        make_private_file,
        replace_file,
        sync_directory,
    )
    from frskit.storage.device_copy import copy_device, find_difference
    from frskit.storage.devices import (
        SECTOR_BYTES,
        FileDevice,
        MemoryDevice,
        ReadOnlyDevice,
        SliceDevice,
        check_range,
    )
    from frskit.storage.directory_filesystem import PathFileSystem
    from frskit.storage.disk_label import LABEL_BYTES, DiskLabel, read_label, write_label
    from frskit.storage.file_copies import (
        FICLONE,
        clone_file,
        copy_attributes,
        copy_data,
        copy_link_attributes,
    )
    from frskit.storage.file_locks import HeldLock, file_lock, take_file_lock
    from frskit.storage.posix import flags, require_posix
    from frskit.storage.simfs import SimFs, check_volume
    from frskit.storage.write_cache import VolatileDevice

__all__ = [
    "FICLONE",
    "LABEL_BYTES",
    "SECTOR_BYTES",
    "ArrayCopyStore",
    "DiskLabel",
    "FileDevice",
    "HeldLock",
    "MemoryDevice",
    "PathFileSystem",
    "ReadOnlyDevice",
    "SimFs",
    "SliceDevice",
    "VolatileDevice",
    "can_restore",
    "check_range",
    "check_volume",
    "clone_file",
    "copy_attributes",
    "copy_data",
    "copy_device",
    "copy_link_attributes",
    "file_lock",
    "find_difference",
    "flags",
    "make_directory",
    "make_private_file",
    "read_label",
    "replace_file",
    "require_posix",
    "sync_directory",
    "take_file_lock",
    "write_label",
]

_HOMES = {
    "FICLONE": "frskit.storage.file_copies",
    "clone_file": "frskit.storage.file_copies",
    "copy_attributes": "frskit.storage.file_copies",
    "copy_data": "frskit.storage.file_copies",
    "copy_link_attributes": "frskit.storage.file_copies",
    "ArrayCopyStore": "frskit.storage.array_copy_store",
    "can_restore": "frskit.storage.array_copy_store",
    "DiskLabel": "frskit.storage.disk_label",
    "FileDevice": "frskit.storage.devices",
    "HeldLock": "frskit.storage.file_locks",
    "LABEL_BYTES": "frskit.storage.disk_label",
    "MemoryDevice": "frskit.storage.devices",
    "PathFileSystem": "frskit.storage.directory_filesystem",
    "ReadOnlyDevice": "frskit.storage.devices",
    "SECTOR_BYTES": "frskit.storage.devices",
    "SimFs": "frskit.storage.simfs",
    "SliceDevice": "frskit.storage.devices",
    "VolatileDevice": "frskit.storage.write_cache",
    "check_range": "frskit.storage.devices",
    "check_volume": "frskit.storage.simfs",
    "copy_device": "frskit.storage.device_copy",
    "file_lock": "frskit.storage.file_locks",
    "find_difference": "frskit.storage.device_copy",
    "flags": "frskit.storage.posix",
    "make_directory": "frskit.storage.atomic_files",
    "make_private_file": "frskit.storage.atomic_files",
    "read_label": "frskit.storage.disk_label",
    "replace_file": "frskit.storage.atomic_files",
    "require_posix": "frskit.storage.posix",
    "sync_directory": "frskit.storage.atomic_files",
    "take_file_lock": "frskit.storage.file_locks",
    "write_label": "frskit.storage.disk_label",
}
__getattr__: Callable[[str], object]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = face(__name__, _HOMES)
