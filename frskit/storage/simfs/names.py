"""Finding files by path in a volume's metadata.

Paths are those of `frskit.protocols.small.FileTree`: parts separated by ``/``, ``""`` is the root.
Nothing here changes anything. Source: frskit's choice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.errors import FileMissing
from frskit.storage.simfs.layout import ROOT_INODE
from frskit.storage.simfs.metadata import Metadata, Node, check_name, fold

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Names", "split_path"]


def split_path(path: str) -> list[str]:
    """The parts of a path; none for the root."""
    return path.split("/") if path else []


class Names:
    """Look-ups in one volume's metadata."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    def find(self, path: str) -> Node | None:
        """The node at a path, or None."""
        nodes = self._metadata.nodes
        node = nodes[ROOT_INODE]
        for part in split_path(path):
            inode = node.children.get(fold(part))
            if inode is None:
                return None
            node = nodes[inode]
        return node

    def existing(self, path: str) -> Node:
        """The node at a path.

        Raises:
            FileMissing: There is none.
        """
        node = self.find(path)
        if node is None:
            raise FileMissing(f"{path!r} does not exist", context={"path": path})
        return node

    def file(self, path: str) -> Node:
        """The file at a path.

        Raises:
            FileMissing: There is none, or it is a directory.
        """
        node = self.existing(path)
        if node.is_directory:
            raise FileMissing(f"{path!r} is a directory, not a file", context={"path": path})
        return node

    def directory(self, path: str) -> Node:
        """The directory at a path.

        Raises:
            FileMissing: There is none, or it is a file.
        """
        node = self.existing(path)
        if not node.is_directory:
            raise FileMissing(f"{path!r} is a file, not a directory", context={"path": path})
        return node

    def children(self, node: Node) -> list[Node]:
        """A directory's nodes, sorted as they are listed."""
        nodes = self._metadata.nodes
        return [nodes[inode] for _, inode in sorted(node.children.items())]

    def walk(self, node: Node, path: str) -> Iterator[str]:
        """Paths of all files below a directory, whose own path is `path`."""
        waiting = [(node, path)]
        while waiting:
            node, path = waiting.pop()
            if not node.is_directory:
                yield path
                continue
            prefix = f"{path}/" if path else ""
            below = [(child, prefix + child.name) for child in self.children(node)]
            waiting.extend(reversed(below))

    def place(self, path: str) -> tuple[Node, str]:
        """Directory and last part of a path that may not exist yet.

        Raises:
            FileSystemError: The last part cannot be a name.
            FileMissing: There is no such directory.
        """
        head, _, name = path.rpartition("/")
        check_name(name)
        return self.directory(head), name
