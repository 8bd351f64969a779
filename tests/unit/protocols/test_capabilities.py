"""What a party can do is asked by shape, never by class; and the seams are nothing but shapes."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from types import SimpleNamespace

import pytest

from frskit import protocols
from frskit.eva import SimulatedEva
from frskit.exchange import ExchangeWriter
from frskit.frs import FastRecovery
from frskit.hosts.linux import LinuxServer
from frskit.hosts.simulated import SimulatedServer
from frskit.local import DirectoryArray
from frskit.storage import ArrayCopyStore
from frskit.storage.devices import MemoryDevice
from frskit.storage.directory_filesystem import PathFileSystem
from frskit.storage.simfs import SimFs
from frskit.vss import ArrayProvider, Coordinator
from frskit.vss.providers import SupportsReconcile

OWN = [
    (protocols.Requestor, FastRecovery),
    (protocols.SupportsRecovery, FastRecovery),
    (protocols.SupportsLogAnalysis, FastRecovery),
    (protocols.ShadowCopyService, Coordinator),
    (protocols.Writer, ExchangeWriter),
    (protocols.HardwareProvider, ArrayProvider),
    (protocols.DiskArray, SimulatedEva),
    (protocols.DiskArray, DirectoryArray),
    (protocols.SupportsRestore, SimulatedEva),
    (protocols.SupportsProvisioning, SimulatedEva),
    (protocols.ScsiTarget, SimulatedEva),
    (protocols.CopyStore, ArrayCopyStore),
    (protocols.Server, SimulatedServer),
    (protocols.Server, LinuxServer),
    (protocols.FileSystem, SimFs),
    (protocols.FileSystem, PathFileSystem),
    (protocols.BlockDevice, MemoryDevice),
]


def members(protocol):
    """What a protocol asks for, with all that it inherits."""
    return {
        name: value
        for each in protocol.__mro__
        if each.__module__.startswith("frskit.protocols.")
        for name, value in vars(each).items()
        if isinstance(value, property)
        or (inspect.isfunction(value) and not name.startswith(("_no_init", "__init__", "__sub")))
    }


@pytest.mark.parametrize(
    ("protocol", "party"), OWN, ids=lambda each: getattr(each, "__name__", str(each))
)
def test_our_own_parties_take_what_their_seam_gives(protocol, party):
    """Every member is there, under the same names of parameters and with the same defaults."""
    assert members(protocol)
    for name, asked in members(protocol).items():
        if isinstance(asked, property):
            assert name in dir(party) or name in inspect.get_annotations(party), name
            continue
        wanted = inspect.signature(asked).parameters
        given = inspect.signature(getattr(party, name)).parameters
        for parameter, value in wanted.items():
            assert parameter in given, f"{name}({parameter})"
            default = given[parameter].default
            if parameter == "budget" and default is None:
                continue  # laxer than the seam, for people at a prompt
            if value.default is ...:  # some default, which the party chooses
                assert default is not inspect.Parameter.empty, f"{name}({parameter})"
            else:
                assert default == value.default, f"{name}({parameter})"
        for more in given.keys() - wanted.keys():
            assert given[more].default is not inspect.Parameter.empty, f"{name}({more})"


@pytest.mark.parametrize(
    ("protocol", "method"),
    [(SupportsReconcile, "reconcile")],
)
def test_a_capability_is_the_method_alone(protocol, method):
    """A stranger that offers it has it; nothing has to be inherited or declared."""
    assert isinstance(SimpleNamespace(**{method: print}), protocol)
    assert not isinstance(SimpleNamespace(), protocol)
    assert not isinstance(SimpleNamespace(**{method: None}), protocol)


def test_nothing_is_implemented_in_the_seams():
    """A body in a protocol is its docstring, and perhaps an ellipsis."""
    files = sorted(Path(protocols.__file__).parent.glob("*.py"))
    assert len(files) > 5
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                for line in node.body:
                    assert isinstance(line, ast.Expr), f"{path.name}: {node.name}"
                    assert isinstance(line.value, ast.Constant), f"{path.name}: {node.name}"
