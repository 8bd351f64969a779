r"""Which volumes the lab's production server has, and which files lie where (frskit's choice).

The first storage group has the drives ``L:`` (logs and checkpoint), ``M:`` (mailbox stores) and
``P:`` (public stores), each alone on its LUN, as HP advised: logs and databases apart. Further
groups are mounted below ``C:\mounts``. The `shared` layout puts everything of a group on one LUN;
it is there so that refusals can be seen.
"""

from __future__ import annotations

from attrs import frozen

from frskit.errors import UsageError

__all__ = [
    "FOREIGN_GROUP",
    "GROUP_LAYOUTS",
    "GroupLayout",
    "VolumeLayout",
    "foreign_layout",
    "group_layout",
]

GIB = 1 << 30
FOREIGN_GROUP = "foreign"
"""Name of the storage group that holds adopted databases."""
GROUP_LAYOUTS = ("separate", "shared")


@frozen(kw_only=True)
class VolumeLayout:
    """One volume: the virtual disk's name and size, and where it is mounted."""

    disk: str
    mount_point: str
    size_bytes: int


@frozen(kw_only=True)
class GroupLayout:
    """One storage group: its volumes and the directories on them."""

    name: str
    base: str
    volumes: tuple[VolumeLayout, ...]
    log_path: str
    mailbox_path: str
    public_path: str


def group_layout(number: int, server: str, layout: str) -> GroupLayout:
    """The layout of the storage group with this number, from 1.

    Raises:
        UsageError: More groups than the 2003 server has [FRS R-3.2], or no such layout.
    """
    if not 1 <= number <= 4:
        raise UsageError("an Exchange 2003 server has 1 to 4 storage groups")
    if layout not in GROUP_LAYOUTS:
        raise UsageError(f"no such layout: {layout!r}", hint=f"One of {', '.join(GROUP_LAYOUTS)}.")
    name = f"sg{number}"
    points = ("L:\\", "M:\\", "P:\\") if number == 1 else _below_c(name)
    parts = ("logs", "mailbox", "public") if layout == "separate" else ("all",)
    places = points if layout == "separate" else (points[1],) * 3
    # 2 GiB each, of which the array keeps what is written (ours).
    volumes = tuple(
        VolumeLayout(disk=f"{server}-{name}-{part}", mount_point=point, size_bytes=2 * GIB)
        for part, point in zip(parts, dict.fromkeys(places), strict=True)
    )
    logs, mailbox, public = (f"{place}exchsrvr\\{name}" for place in places)
    return GroupLayout(
        name=name,
        base=f"E{number - 1:02d}",
        volumes=volumes,
        log_path=logs,
        mailbox_path=mailbox,
        public_path=public,
    )


def foreign_layout(server: str, size_bytes: int) -> GroupLayout:
    """The group that holds adopted databases, on a LUN of its own with room for them [R-22]."""
    # Twice what is adopted, in whole gigabytes (ours).
    room = -(-max(size_bytes * 2, GIB) // GIB) * GIB
    logs, stores = "F:\\", "N:\\"
    return GroupLayout(
        name=FOREIGN_GROUP,
        base="E03",
        volumes=(
            VolumeLayout(disk=f"{server}-foreign-logs", mount_point=logs, size_bytes=GIB),
            VolumeLayout(disk=f"{server}-foreign-stores", mount_point=stores, size_bytes=room),
        ),
        log_path=f"{logs}exchsrvr\\foreign",
        mailbox_path=f"{stores}exchsrvr\\foreign",
        public_path=f"{stores}exchsrvr\\foreign",
    )


def _below_c(name: str) -> tuple[str, str, str]:
    logs, mailbox, public = (f"C:\\mounts\\{name}-{part}\\" for part in ("logs", "mbx", "pub"))
    return logs, mailbox, public
