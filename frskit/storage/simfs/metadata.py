"""The state of a volume's names, sizes and extents, changed only by applying operations.

The same `Metadata.apply` runs when a program changes the volume and when a mount replays image and
journal, so what replay builds is what was there. Rules hold at every step: one name per directory
whatever its case, parents are directories, blocks belong to one file. A broken rule in replay is a
damaged volume.

What it is not: file contents, or anything volatile. Source: frskit's choice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define, field

from frskit.errors import FileSystemError
from frskit.storage.simfs.extents import BlockRun, ExtentMap, FreeMap
from frskit.storage.simfs.layout import (
    BLOCK_BYTES,
    MAP_BYTES,
    ROOT_INODE,
    MakeNode,
    MapBlocks,
    MoveNode,
    Operation,
    SetSize,
    UnlinkNode,
    damaged,
    decode_operations,
    encode_operation,
    node_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Metadata", "Node", "blocks_for", "check_name", "fold"]

# What Windows refuses in names, so that no volume of the lab holds a name it could not have.
_FORBIDDEN: Final = frozenset('<>:"/\\|?*') | {chr(code) for code in range(32)}
# In UTF-8; NTFS has as many units of its own kind (ours).
_NAME_BYTES: Final = 255


def fold(name: str) -> str:
    """The form in which names are compared: upper case, character by character as NTFS does."""
    if name.isascii():
        return name.upper()
    return "".join(up if len(up := char.upper()) == 1 else char for char in name)


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a file; the characters are those Windows refuses.

    Raises:
        FileSystemError: The name is empty, too long, or has a forbidden character.
    """
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        length = 0
    if not 0 < length <= _NAME_BYTES or name in {".", ".."} or not _FORBIDDEN.isdisjoint(name):
        raise FileSystemError(f"{name!r} is not a possible file name", context={"name": name})


def blocks_for(size_bytes: int) -> int:
    """Blocks that hold this many bytes."""
    return -(-size_bytes // BLOCK_BYTES)


@define
class Node:
    """One file or directory as the metadata has it."""

    inode: int
    parent: int
    name: str
    is_directory: bool
    modified_us: int = 0
    size_bytes: int = 0
    extents: ExtentMap = field(factory=ExtentMap)
    children: dict[str, int] = field(factory=dict)


class Metadata:
    """All nodes of a volume.

    Attributes:
        nodes: Every node by inode number; the root is `ROOT_INODE`.
        image_bytes: Length that `encode` gives at most.
        next_inode: Number of the next new node.
    """

    def __init__(self) -> None:
        root = Node(inode=ROOT_INODE, parent=ROOT_INODE, name="", is_directory=True)
        self.nodes: dict[int, Node] = {ROOT_INODE: root}
        self.image_bytes: int = 0
        self.next_inode: int = ROOT_INODE + 1

    @classmethod
    def replay(cls, image: bytes) -> Metadata:
        """The state that an image describes.

        Raises:
            FileSystemDamaged: The image breaks a rule.
        """
        metadata = cls()
        metadata.replay_more(image)
        return metadata

    def replay_more(self, operations: bytes) -> None:
        """Apply encoded operations.

        Raises:
            FileSystemDamaged: One breaks a rule.
        """
        for operation in decode_operations(operations):
            self.apply(operation)

    def encode(self) -> bytes:
        """The image of this state."""
        return b"".join(encode_operation(operation) for operation in self._operations())

    def _operations(self) -> Iterator[Operation]:
        """Parents first, else by inode number: equal states give equal bytes."""
        waiting = [ROOT_INODE]
        for inode in waiting:
            node = self.nodes[inode]
            if inode != ROOT_INODE:
                yield MakeNode(inode, node.parent, node.is_directory, node.modified_us, node.name)
                if not node.is_directory:
                    for logical, physical, count in node.extents:
                        yield MapBlocks(inode, logical, physical, count)
                    yield SetSize(inode, node.size_bytes, node.modified_us)
            waiting.extend(sorted(node.children.values()))

    def free_map(self, first: int, end: int) -> FreeMap:
        """The blocks of the data area that no file uses.

        Raises:
            FileSystemDamaged: Two files share a block, or one lies outside.
        """
        used = [run for node in self.nodes.values() for run in node.extents.runs()]
        try:
            return FreeMap.around(first, end, used)
        except ValueError as error:
            raise damaged(str(error)) from error

    def validate(self) -> None:
        """Look at what single operations cannot see.

        Raises:
            FileSystemDamaged: A directory is not below the root, or blocks lie behind a file's end.
        """
        reached = [ROOT_INODE]
        for inode in reached:
            reached.extend(self.nodes[inode].children.values())
        if len(reached) != len(self.nodes):
            raise damaged("a directory is not below the root")
        for node in self.nodes.values():
            if node.extents.end > blocks_for(node.size_bytes):
                raise damaged(f"blocks behind the end of inode {node.inode}")

    def apply(self, operation: Operation) -> list[BlockRun]:
        """Change the state and return the blocks that this freed.

        Raises:
            FileSystemDamaged: The operation breaks a rule; callers that are not replaying check
                before.
        """
        match operation:
            case MakeNode():
                self._make(operation)
            case SetSize(inode, size_bytes, modified_us):
                return self._set_size(self._file(inode), size_bytes, modified_us)
            case MapBlocks(inode, logical, physical, count):
                self._map(self._file(inode), logical, physical, count)
            case MoveNode(inode, parent, name):
                self._move(self._node(inode), parent, name)
            case UnlinkNode(inode):
                return self._unlink(self._node(inode))
        return []

    def _node(self, inode: int) -> Node:
        node = self.nodes.get(inode)
        if node is None or inode == ROOT_INODE:
            raise damaged(f"inode {inode} is not there or cannot change")
        return node

    def _file(self, inode: int) -> Node:
        node = self._node(inode)
        if node.is_directory:
            raise damaged(f"inode {inode} is a directory")
        return node

    def _link(self, parent: int, name: str, inode: int) -> None:
        directory = self.nodes.get(parent)
        if directory is None or not directory.is_directory:
            raise damaged(f"inode {parent} is not a directory")
        try:
            check_name(name)
        except FileSystemError as error:
            raise damaged(error.message) from error
        if fold(name) in directory.children:
            raise damaged(f"two files named {name!r} in one directory")
        directory.children[fold(name)] = inode

    def _make(self, operation: MakeNode) -> None:
        inode = operation.inode
        if inode in self.nodes or inode <= ROOT_INODE:
            raise damaged(f"inode {inode} is made twice")
        self._link(operation.parent, operation.name, inode)
        self.nodes[inode] = Node(
            inode=inode,
            parent=operation.parent,
            name=operation.name,
            is_directory=operation.is_directory,
            modified_us=operation.modified_us,
        )
        self.next_inode = max(self.next_inode, inode + 1)
        self.image_bytes += node_bytes(operation.name)

    def _set_size(self, node: Node, size_bytes: int, modified_us: int) -> list[BlockRun]:
        before = len(node.extents)
        freed = node.extents.cut(blocks_for(size_bytes))
        node.size_bytes = size_bytes
        node.modified_us = modified_us
        self.image_bytes += (len(node.extents) - before) * MAP_BYTES
        return freed

    def _map(self, node: Node, logical: int, physical: int, count: int) -> None:
        before = len(node.extents)
        try:
            node.extents.insert(logical, physical, count)
        except ValueError as error:
            raise damaged(f"inode {node.inode}: {error}") from error
        self.image_bytes += (len(node.extents) - before) * MAP_BYTES

    def _move(self, node: Node, parent: int, name: str) -> None:
        # Out of its old place first: a change of case alone has the same key.
        del self.nodes[node.parent].children[fold(node.name)]
        self._link(parent, name, node.inode)
        self.image_bytes += node_bytes(name) - node_bytes(node.name)
        node.parent = parent
        node.name = name

    def _unlink(self, node: Node) -> list[BlockRun]:
        if node.children:
            raise damaged(f"directory {node.inode} is removed but not empty")
        del self.nodes[node.parent].children[fold(node.name)]
        del self.nodes[node.inode]
        self.image_bytes -= node_bytes(node.name) + len(node.extents) * MAP_BYTES
        return node.extents.cut(0)
