"""Which databases of a component a copy holds, compared with those that the component has.

A copy is of what there was to copy: a database that was dismounted meanwhile is not in it, one that
was made, moved or renamed since is neither. The application's word is compared with the file sets
on the copy's record, so that people hear of it before they need the copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.model.files import FileRole
from frskit.model.server_paths import inside, join, matches

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from frskit.model.components import Component
    from frskit.model.files import FileSet
    from frskit.model.plans import ComponentInfo
    from frskit.model.shadows import SetPlan

__all__ = ["NOT_COPIED", "gone_databases", "missing_databases", "not_copied", "not_held"]

NOT_COPIED = "its application did not offer it, as a dismounted database"


def missing_databases(plan: SetPlan, known: Sequence[ComponentInfo]) -> tuple[str, ...]:
    """Databases of the selected components that a planned copy will not hold, by name."""
    chosen = {each.id for each in plan.explicit}
    return tuple(
        name
        for component in known
        if component.id in chosen
        for name in not_held(plan.components, component)
    )


def not_copied(plan: SetPlan, known: Sequence[ComponentInfo]) -> tuple[str, ...]:
    """The same as warnings of a plan."""
    return tuple(f"{name} is not copied: {NOT_COPIED}" for name in missing_databases(plan, known))


def not_held(files: Sequence[Component], component: ComponentInfo) -> dict[str, str]:
    """Paths of the component's databases that a copy does not hold, by the database's name.

    Args:
        files: All components of the copy with their file sets.
        component: As the application describes it now.
    """
    held = list(_file_sets(files, component))
    paths = component.paths_of(FileRole.DATABASE)
    # Without names the paths have to do.
    names = component.databases if len(component.databases) == len(paths) else paths
    return {
        name: path
        for name, path in zip(names, paths, strict=True)
        if not any(_holds(each, path) for each in held)
    }


def gone_databases(files: Sequence[Component], component: ComponentInfo) -> tuple[str, ...]:
    """Databases of a copy, by path, that the component does not have any more, or elsewhere.

    Only what the copy names by its whole name can be missed: a pattern may mean anything.
    """
    paths = component.paths_of(FileRole.DATABASE)
    if not paths:
        return ()
    gone = []
    for held in _components(files, component):
        theirs = [each for each in held.files if each.role is FileRole.DATABASE]
        # One of the component's files stands for all: a streaming file has no path of its own.
        named = [each for each in theirs if not set("*?") & set(each.pattern)]
        if len(named) == len(theirs) and named and not _any_of(named, paths):
            gone.append(join(named[0].path, named[0].pattern))
    return tuple(gone)


def _any_of(files: Sequence[FileSet], paths: Sequence[str]) -> bool:
    return any(_holds(each, path) for each in files for path in paths)


def _components(files: Sequence[Component], component: ComponentInfo) -> Iterator[Component]:
    for each in files:
        if each.id == component.id or component.id.is_ancestor_of(each.id):
            yield each


def _file_sets(files: Sequence[Component], component: ComponentInfo) -> Iterator[FileSet]:
    return (fs for each in _components(files, component) for fs in each.files)


def _holds(files: FileSet, path: str) -> bool:
    """Whether a file set means a path, of a file or of a directory, or something in or above it."""
    if inside(path, files.path) is not None:
        return True
    below = inside(files.path, path)
    if below is None:
        return False
    return files.recursive or ("/" not in below and matches(below, files.pattern))
