"""Selection of components: what is named, what comes along, what is left out and why."""

from __future__ import annotations

import attrs
import pytest

from frskit.errors import StorageGroupNotRecognized, VolumeNotFound
from frskit.model.components import (
    BackupSchema,
    BackupType,
    Component,
    ComponentId,
    WriterMetadata,
)
from frskit.model.files import FileSet
from frskit.vss import select_components
from frskit.vss.requestor.component_selection import backs_up, covers

EXCHANGE = "76fe1ac4-15f7-4bcd-987e-8e1acb462fb7"
ROOT = "Microsoft Exchange Server\\Microsoft Information Store\\EVS1"


def component(path, *, selectable=False, files=(), caption="", writer=EXCHANGE):
    """A component by full path."""
    logical_path, _, name = path.rpartition("\\")
    return Component(
        id=ComponentId(writer_id=writer, logical_path=logical_path, name=name),
        caption=caption,
        selectable=selectable,
        files=tuple(FileSet(path=each, pattern="*") for each in files),
    )


def writer(*components, name="Exchange", writer_id=EXCHANGE, **options):
    """A writer with these components."""
    return WriterMetadata(
        writer_id=writer_id,
        instance_id=writer_id[:-1] + "0",
        name=name,
        components=components,
        **options,
    )


def exchange(**options):
    """The worked example: two storage groups below three containers."""
    parts = ROOT.split("\\")
    containers = [component("\\".join(parts[: place + 1])) for place in range(3)]
    groups = []
    for number, disk in ((1, "M"), (2, "N")):
        guid = f"guid-{number}"
        groups += [
            component(f"{ROOT}\\{guid}", selectable=True, caption=f"SG{number}"),
            component(f"{ROOT}\\{guid}\\Logs", files=["L:\\sg"]),
            component(f"{ROOT}\\{guid}\\mbx", files=[f"{disk}:\\sg"]),
        ]
    return writer(*containers, *groups, **options)


def locate(files):
    """The drive letter is the volume; X: is not there."""
    if files.path.startswith("X:"):
        raise VolumeNotFound(f"nothing holds {files.path}")
    return files.path[:2]


def names(components):
    """Captions or names, for short."""
    return [each.caption or each.id.name for each in components]


@pytest.mark.rule("VSS-60")
@pytest.mark.parametrize("name", ["SG1", "sg1", "guid-1", f"{ROOT}\\guid-1"])
def test_a_group_is_named_alone(name):
    """Naming a storage group names it explicitly and brings everything below it."""
    found = select_components([exchange()], wanted=[name], locate=locate)
    assert names(found.explicit) == ["SG1"]
    assert names(found.components) == ["Logs", "mbx"]
    assert found.volumes == ("L:", "M:")
    assert found.excluded == ()


@pytest.mark.parametrize("name", ["EVS1", "Microsoft Exchange Server"])
def test_containers_stand_for_what_is_below(name):
    """Naming a container without files names the selectable components below it."""
    found = select_components([exchange()], wanted=[name], locate=locate)
    assert names(found.explicit) == ["SG1", "SG2"]
    assert found.volumes == ("L:", "M:", "N:")


def test_everything():
    """Without names everything that can be named is named, containers are not."""
    assert names(select_components([exchange()], locate=locate).explicit) == ["SG1", "SG2"]


def test_children_cannot_be_named_alone():
    """A component that is not selectable below a selectable one is always implicit."""
    with pytest.raises(StorageGroupNotRecognized) as caught:
        select_components([exchange()], wanted=["mbx"], locate=locate)
    assert "cannot be named alone" in str(caught.value)


def test_unknown_names():
    """An unknown name is an error that lists what there is."""
    with pytest.raises(StorageGroupNotRecognized) as caught:
        select_components([exchange()], wanted=["SG9"], locate=locate)
    assert caught.value.context["known"] == ["SG1", "SG2"]


@pytest.mark.rule("VSS-61")
def test_volume_outside_the_set():
    """A component on another volume is left out with its ancestors; required, it is an error."""
    found = select_components([exchange()], volumes=["L:", "M:"], locate=locate)
    assert names(found.explicit) == ["SG1"]
    left = {each.component.name: each.reason for each in found.excluded}
    assert set(left) == {
        "mbx",
        "guid-2",
        "EVS1",
        "Microsoft Information Store",
        *ROOT.split("\\")[:1],
    }
    assert "not in the set" in left["mbx"]
    assert "mbx" in left["guid-2"]
    with pytest.raises(StorageGroupNotRecognized) as caught:
        select_components([exchange()], wanted=["SG2"], volumes=["L:", "M:"], locate=locate)
    assert "not in the set" in caught.value.context["reason"]


@pytest.mark.rule("VSS-61")
def test_files_on_no_volume():
    """Files that no volume holds are a reason of their own, told in the error."""
    odd = writer(component("db", selectable=True, files=["X:\\gone"]))
    with pytest.raises(StorageGroupNotRecognized) as caught:
        select_components([odd], wanted=["db"], locate=locate)
    assert "X:\\gone" in str(caught.value)


@pytest.mark.rule("VSS-60")
def test_selectable_below_selectable():
    """A selectable component is implicit below an explicit one, and can be named on its own."""
    tree = writer(
        component("a", selectable=True, files=["L:\\a"]),
        component("a\\b", selectable=True, files=["L:\\b"]),
        component("a\\b\\c", files=["L:\\c"]),
    )
    assert names(select_components([tree], locate=locate).explicit) == ["a"]
    alone = select_components([tree], wanted=["b"], locate=locate)
    assert (names(alone.explicit), names(alone.components)) == (["b"], ["b", "c"])
    both = select_components([tree], wanted=["a", "b"], locate=locate)
    assert names(both.explicit) == ["a"]
    assert names(both.components) == ["a", "b", "c"]


@pytest.mark.rule("VSS-60")
def test_mandatory_components_come_along():
    """What is not selectable and has no selectable ancestor is part of every backup of the writer."""
    tree = writer(
        component("Executables", files=["L:\\bin"]),
        component("Executables\\ConfigFiles", files=["L:\\etc"]),
        component("data", selectable=True, files=["M:\\data"]),
    )
    found = select_components([tree], wanted=["data"], locate=locate)
    assert names(found.explicit) == ["Executables", "data"]
    assert names(found.components) == ["Executables", "ConfigFiles", "data"]
    with pytest.raises(StorageGroupNotRecognized):
        select_components([tree], wanted=["data"], volumes=["M:"], locate=locate)
    assert select_components([tree], volumes=["M:"], locate=locate).explicit == ()


@pytest.mark.rule("VSS-62")
@pytest.mark.parametrize(
    "backup_type", [BackupType.COPY, BackupType.INCREMENTAL, BackupType.DIFFERENTIAL]
)
def test_types_that_a_writer_lacks(backup_type):
    """A writer that lacks the type is never quietly backed up as FULL."""
    with pytest.raises(StorageGroupNotRecognized) as caught:
        select_components([exchange()], wanted=["SG1"], backup_type=backup_type, locate=locate)
    assert backup_type.value in caught.value.context["reason"]
    found = select_components([exchange()], backup_type=backup_type, locate=locate)
    assert found.explicit == ()
    assert all("does not support" in each.reason for each in found.excluded)
    able = attrs.evolve(exchange(), schema=frozenset(BackupSchema))
    assert select_components(
        [able], wanted=["SG1"], backup_type=backup_type, locate=locate
    ).explicit


@pytest.mark.parametrize(
    "name",
    ["SG2", "exchange:" + ROOT + "\\guid-2", "Exchange", EXCHANGE, "{" + EXCHANGE.upper() + "}"],
)
def test_exclusion_by_request(name):
    """Writers and components can be excluded by name, path, class or instance id."""
    other = "11111111-1111-4111-8111-111111111111"
    second = writer(
        component("x", selectable=True, files=["L:\\x"], writer=other), name="O", writer_id=other
    )
    found = select_components([exchange(), second], exclude=[name], locate=locate)
    assert "SG2" not in names(found.explicit)
    assert "x" in names(found.explicit)
    assert any("by request" in each.reason for each in found.excluded)


@pytest.mark.rule("VSS-60")
def test_excluded_files_win():
    """EXCLUDE_FILES always wins over what components name."""
    tree = writer(
        component("db", selectable=True, files=["L:\\data"]),
        excluded=(FileSet(path="L:\\DATA", pattern="*.tmp"),),
    )
    assert backs_up(tree, tree.components, "L:\\data\\a.edb")
    assert not backs_up(tree, tree.components, "l:\\data\\B.TMP")
    assert not backs_up(tree, tree.components, "L:\\other\\a.edb")


@pytest.mark.parametrize(
    ("pattern", "recursive", "path", "inside"),
    [
        ("*.edb", False, "L:\\d\\x.EDB", True),
        ("*.edb", False, "L:\\d\\x.edb.old", False),
        ("e0?.log", False, "L:/d/E00.log", True),
        ("e0?.log", False, "L:/d/E000.log", False),
        ("*.*", False, "L:\\d\\noext", True),
        ("*", False, "L:\\d\\sub\\x", False),
        ("*", True, "L:\\d\\sub\\x", True),
        ("*", True, "L:\\dd\\x", False),
        ("[a].txt", False, "L:\\d\\a.txt", False),
    ],
)
def test_file_sets(pattern, recursive, path, inside):
    """Patterns know ``*`` and ``?`` only, compare in any case, and descend if told to."""
    assert covers(FileSet(path="L:\\D\\", pattern=pattern, recursive=recursive), path) is inside
