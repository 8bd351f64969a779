"""Which components a backup names, and what that brings along [VSS 4.3, VSS-60, VSS-61].

Pure functions over writer metadata. The policy is that of Microsoft's VShadow sample as [VSS 4.3]
tells it, with two choices of frskit's own: a backup may be asked for by component names, and a
component without files (a mere container, such as an Exchange server) is transparent: naming it
names what is selectable below it, and it is never put into the backup for its own sake.

Nothing vanishes silently: what is left out is reported with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from attrs import define, field, frozen

from frskit.errors import FrskitError, StorageGroupNotRecognized
from frskit.model.components import (
    BackupSchema,
    BackupType,
    Component,
    ComponentId,
    WriterMetadata,
)
from frskit.model.files import FileSet
from frskit.model.ids import VolumeId, canonical_guid
from frskit.model.server_paths import inside, matches, split_path
from frskit.model.shadows import ExcludedComponent

__all__ = ["Selection", "backs_up", "covers", "select_components", "supports_type"]

Locate = Callable[[FileSet], VolumeId]
"""Finds the volume of a file set; raises a `FrskitError` if there is none."""

# What a writer must declare for a type; FULL is always possible [VSS 4.1].
_NEEDED = {
    BackupType.INCREMENTAL: BackupSchema.INCREMENTAL,
    BackupType.DIFFERENTIAL: BackupSchema.DIFFERENTIAL,
    BackupType.COPY: BackupSchema.COPY,
    BackupType.LOG: BackupSchema.LOG,
}


@frozen(kw_only=True)
class Selection:
    """What a backup is made of.

    Attributes:
        writers: Writers that take part, in the order given.
        explicit: Components that are named in the backup.
        components: Those and everything below them, as far as it has files.
        volumes: Volumes that hold their files, in order of first use.
        excluded: What was left out, and why.
    """

    writers: tuple[WriterMetadata, ...]
    explicit: tuple[Component, ...]
    components: tuple[Component, ...]
    volumes: tuple[VolumeId, ...]
    excluded: tuple[ExcludedComponent, ...] = ()


def supports_type(writer: WriterMetadata, backup_type: BackupType) -> bool:
    """Whether the writer declares this type; FULL needs no declaration [VSS 4.1]."""
    needed = _NEEDED.get(backup_type)
    return needed is None or needed in writer.schema


def covers(files: FileSet, path: str) -> bool:
    """Whether a file set names this server-native path; wildcards ``*`` and ``?``, any case."""
    directory, name = split_path(path)
    below = inside(files.path, directory)
    placed = below == "" or (files.recursive and below is not None)
    return placed and matches(name, files.pattern)


def backs_up(writer: WriterMetadata, components: Iterable[Component], path: str) -> bool:
    """Whether a backup of `components` contains this file; exclusions always win [VSS-60]."""
    if any(covers(files, path) for files in writer.excluded):
        return False
    return any(covers(files, path) for each in components for files in each.files)


def select_components(
    writers: Sequence[WriterMetadata],
    *,
    locate: Locate,
    wanted: Sequence[str] = (),
    exclude: Collection[str] = (),
    volumes: Collection[VolumeId] | None = None,
    backup_type: BackupType = BackupType.FULL,
) -> Selection:
    """Choose the components of a backup.

    Args:
        writers: Metadata of all writers.
        locate: Finds the volume of a file set.
        wanted: Names, captions or full paths, with ``instance:`` before them where a writer class
            has several instances; none means everything that can be backed up.
        exclude: Writers (name, class or instance id) or components (name, or ``writer:path``).
        volumes: Volumes that the set may have; None = whatever the components need.
        backup_type: Writers that do not support it are left out, with the reason [VSS-62].

    Raises:
        StorageGroupNotRecognized: A wanted name is unknown, cannot be named alone, or had to be
            left out; the context tells why.
    """
    trees = [
        _Tree(writer=writer, dropped=_dropped(writer, locate, exclude, volumes, backup_type))
        for writer in writers
    ]
    _drop_twins(trees)
    for tree in trees:
        tree.drop_ancestors()
    named = {tree.writer.instance_id: _named(tree, wanted) for tree in trees}
    _check_names(trees, wanted)
    _check_instances(trees, named, wanted)
    chosen = [(tree, tree.explicit(named[tree.writer.instance_id], wanted)) for tree in trees]
    taking = [(tree, explicit) for tree, explicit in chosen if explicit]
    components = tuple(
        # Containers bring no files, so they have no part in what is copied.
        each
        for tree, explicit in taking
        for each in tree.below(explicit)
        if each.files
    )
    return Selection(
        writers=tuple(tree.writer for tree, _ in taking),
        explicit=tuple(each for _, explicit in taking for each in explicit),
        components=components,
        volumes=tuple(dict.fromkeys(locate(files) for each in components for files in each.files)),
        excluded=tuple(
            ExcludedComponent(component=component, reason=reason)
            for tree in trees
            for component, reason in tree.dropped.items()
        ),
    )


def _named(tree: _Tree, wanted: Sequence[str]) -> list[Component]:
    """The components that the names mean; of several with one name the outermost."""
    found: dict[ComponentId, Component] = {}
    for name in wanted:
        mine = [each for each in tree.writer.components if each.answers_to(name)]
        for each in mine:
            if not any(other.id.is_ancestor_of(each.id) for other in mine):
                found[each.id] = each
    return [each for each in tree.writer.components if each.id in found]


def _check_names(trees: Sequence[_Tree], wanted: Sequence[str]) -> None:
    """Every wanted name must be somebody's."""
    every = [each for tree in trees for each in tree.writer.components]
    for name in wanted:
        if not any(each.answers_to(name) for each in every):
            known = sorted({each.caption or each.id.name for each in every if each.selectable})
            raise StorageGroupNotRecognized(
                # Writers are excluded by name, class id or instance id, as VShadow does [VSS 4.3].
                f"no writer has a component {name!r}",
                context={"name": name, "known": known},
            )


def _drop_twins(trees: Sequence[_Tree]) -> None:
    """A component of two instances that give no names is nobody's: outcomes would mix."""
    owners: dict[ComponentId, list[_Tree]] = {}
    for tree in trees:
        for each in tree.writer.components:
            owners.setdefault(each.id, []).append(tree)
    for component, twins in owners.items():
        if len(twins) > 1:
            who = ", ".join(f"{tree.writer.name} {tree.writer.instance_id}" for tree in twins)
            for tree in twins:
                tree.dropped[component] = f"instances of one writer without names have it: {who}"


def _check_instances(
    trees: Sequence[_Tree], named: Mapping[str, list[Component]], wanted: Sequence[str]
) -> None:
    """A name must not mean components of two instances of one class; it may name the instance."""
    for name in wanted:
        found: dict[str, dict[str, str]] = {}
        for tree in trees:
            for each in named[tree.writer.instance_id]:
                if each.answers_to(name) and each.id not in tree.dropped:
                    told = f"{each.id.told} of {tree.writer.name} {tree.writer.instance_id}"
                    found.setdefault(each.id.writer_id, {})[tree.writer.instance_id] = told
        for fits in found.values():
            if len(fits) > 1:
                raise StorageGroupNotRecognized(
                    f"{name!r} is a component of {len(fits)} writer instances: "
                    + ", ".join(fits.values()),
                    hint="Put the instance and a colon before the name.",
                    context={"name": name, "fits": list(fits.values())},
                )


def _dropped(
    writer: WriterMetadata,
    locate: Locate,
    exclude: Collection[str],
    volumes: Collection[VolumeId] | None,
    backup_type: BackupType,
) -> dict[ComponentId, str]:
    """Components that cannot be in the backup for a reason of their own (steps 1 and 2)."""
    out = {canonical_guid(name).casefold() for name in exclude}
    if out & {writer.name.casefold(), writer.writer_id, writer.instance_id}:
        return {each.id: "its writer is excluded by request" for each in writer.components}
    if not supports_type(writer, backup_type):
        why = f"its writer does not support {backup_type.value} backups"
        return {each.id: why for each in writer.components}
    found: dict[ComponentId, str] = {}
    for each in writer.components:
        path = f"{writer.name}:{each.id.full_path}".casefold()
        if path in out or any(each.answers_to(name) for name in exclude):
            found[each.id] = "it is excluded by request"
        else:
            why = _out_of_place(each, locate, volumes)
            if why:
                found[each.id] = why
    return found


def _out_of_place(
    component: Component, locate: Locate, volumes: Collection[VolumeId] | None
) -> str:
    """Why a component's files cannot be copied; empty if they can."""
    for files in component.files:
        try:
            volume = locate(files)
        except FrskitError as error:
            return f"{files.path} is on no volume that can be copied: {error}"
        if volumes is not None and volume not in volumes:
            return f"{files.path} is on a volume that is not in the set"
    return ""


@define
class _Tree:
    """The components of one writer, with what was dropped."""

    writer: WriterMetadata
    dropped: dict[ComponentId, str] = field(factory=dict)

    def ancestors(self, component: Component) -> list[Component]:
        return [each for each in self.writer.components if each.id.is_ancestor_of(component.id)]

    def descendants(self, component: Component) -> list[Component]:
        return [each for each in self.writer.components if component.id.is_ancestor_of(each.id)]

    def below(self, explicit: Iterable[Component]) -> list[Component]:
        """The explicit ones and all their descendants, each once, in the writer's order."""
        inside = {each.id for top in explicit for each in (top, *self.descendants(top))}
        return [each for each in self.writer.components if each.id in inside]

    def drop_ancestors(self) -> None:
        """A component with a dropped descendant would be incomplete (step 3) [VSS-61]."""
        # A copy of the list, for dropping goes on in the loop.
        for component, reason in list(self.dropped.items()):
            for each in self.writer.components:
                if each.id.is_ancestor_of(component) and each.id not in self.dropped:
                    self.dropped[each.id] = f"{component.full_path} is left out: {reason}"

    def top(self, component: Component) -> bool:
        """Whether it may be named without being selectable: only containers stand above it."""
        return not any(each.files or each.selectable for each in self.ancestors(component))

    def includable(self, component: Component) -> bool:
        """Whether a backup may name it (step 5)."""
        if component.id in self.dropped:
            return False
        return component.selectable or (bool(component.files) and self.top(component))

    def explicit(self, named: Sequence[Component], wanted: Sequence[str]) -> list[Component]:
        """The components that the backup names (steps 4 to 6)."""
        # Names were given and none is this writer's.
        if wanted and not named:
            return []
        candidates = self._wished(named) if named else self._everything()
        inside = {each.id for each in candidates}
        if not candidates:
            return []
        mandatory = self._mandatory()
        # Asked for everything, a writer that cannot be whole is left out; asked for by name it
        # fails.
        if not named and any(each.id in self.dropped for each in mandatory):
            return []
        for each in mandatory:
            if each.id not in inside:
                self._require(each)
                candidates.append(each)
        chosen = {each.id for each in candidates}
        return [
            each
            for each in self.writer.components
            # An ancestor that is named brings its descendants along [VSS 4.3, step 5].
            if each.id in chosen and not any(up.id in chosen for up in self.ancestors(each))
        ]

    def _everything(self) -> list[Component]:
        """All that can be named, without what is below something that is named."""
        able = [each for each in self.writer.components if self.includable(each)]
        ids = {each.id for each in able}
        return [each for each in able if not any(up.id in ids for up in self.ancestors(each))]

    def _mandatory(self) -> list[Component]:
        """Not selectable, with files, only containers above: always part of the writer's backup."""
        return [
            each
            for each in self.writer.components
            if not each.selectable and each.files and self.top(each)
        ]

    def _wished(self, named: Sequence[Component]) -> list[Component]:
        """What the names mean; containers stand for what is selectable below them."""
        found: list[Component] = []
        for each in named:
            if each.selectable or each.files:
                found.append(each)
                continue
            inside = [
                low
                for low in self.descendants(each)
                if low.selectable and not any(up.selectable for up in self.ancestors(low))
            ]
            # Without anything selectable below, the container itself is refused, with a reason.
            found += inside or [each]
        for each in found:
            self._require(each)
        return found

    def _require(self, component: Component) -> None:
        """Fail, before anything is started, if the component cannot be named [VSS-61]."""
        reason = self.dropped.get(component.id, "")
        if not reason and not self.includable(component):
            reason = "it cannot be named alone; name the component above it"
        if reason:
            raise StorageGroupNotRecognized(
                f"component {component.caption or component.id.full_path} cannot be backed up: "
                f"{reason}",
                context={
                    "component": component.id.full_path,
                    "reason": reason,
                    "excluded": {key.full_path: why for key, why in self.dropped.items()},
                },
            )
