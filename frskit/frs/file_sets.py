"""Which files of a volume a writer's file set means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.model.server_paths import inside, matches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frskit.model.files import FileSet
    from frskit.protocols import FileTree

__all__ = ["files_of", "means"]


def means(files: FileSet, path: str) -> bool:
    """Whether a file set means the file of this path, wherever it comes from."""
    below = inside(files.path, path)
    if not below or (not files.recursive and "/" in below):
        return False
    return matches(below.rsplit("/", 1)[-1], files.pattern)


def files_of(tree: FileTree, directory: str, files: FileSet) -> Iterator[str]:
    """Paths inside `tree` of the files that a file set means, sorted; none if it is not there."""
    if not tree.exists(directory):
        return
    if files.recursive:
        for path in tree.walk(directory):
            if matches(path.rsplit("/", 1)[-1], files.pattern):
                yield path
        return
    for name in tree.listdir(directory):
        path = f"{directory}/{name}" if directory else name
        if matches(name, files.pattern) and not tree.stat(path).is_directory:
            yield path
