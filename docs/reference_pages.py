"""The reference: one page for each public room, made from the rooms' own ``__all__``.

A room may export what an inner module defines, and several rooms may export one thing. Each thing
is described once, in the first room of `ROOMS` that exports it, under that room's name; the other
rooms list it with a link. So every public name has an entry in the inventory of the docs.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import types
from pathlib import Path
from typing import NamedTuple, NewType

#: Title of the page, and the packages and modules on it. Owners come first: what ``frskit`` and
#: ``frskit.spi`` only gather is described in the rooms that have it.
ROOMS: dict[str, tuple[str, ...]] = {
    "Errors": ("frskit.errors",),
    "Events": ("frskit.events",),
    "Time": ("frskit.clock",),
    "Scopes": ("frskit.scopes",),
    "Watchdog": ("frskit.watchdog",),
    "Values": ("frskit.model",),
    "Protocols": ("frskit.protocols",),
    "Bases": ("frskit.bases",),
    "Codes": (
        "frskit.codes",
        "frskit.codes.ese",
        "frskit.codes.eva",
        "frskit.codes.exchange_events",
        "frskit.codes.exits",
        "frskit.codes.explain",
        "frskit.codes.hresult",
    ),
    "ESE files": ("frskit.ese", "frskit.ese.eseutil", "frskit.ese.logs", "frskit.ese.pages"),
    "The requestor": ("frskit.frs",),
    "The shadow copy service": ("frskit.vss",),
    "Exchange": ("frskit.exchange",),
    "The array": ("frskit.eva",),
    "Local arrays": ("frskit.local",),
    "Hosts": ("frskit.hosts",),
    "Storage": ("frskit.storage",),
    "Sites": ("frskit.site",),
    "The lab": ("frskit.simulation",),
    "Conformance kits": ("frskit.testing",),
    "Command line": ("frskit.cli",),
    "Building your own": ("frskit.spi",),
    "frskit": ("frskit",),
}

#: By module of `ROOMS`, what its signatures name although no room exports it: described below its
#: public names, so that every type in the reference can be followed.
NAMED_IN_SIGNATURES: dict[str, tuple[str, ...]] = {
    "frskit.ese": (
        "frskit.ese.chksgfiles.PageResult",
        "frskit.ese.flushmap.FlushMapHeader",
        "frskit.ese.header.HeaderCopies",
        "frskit.ese.sources.NamedFiles",
        "frskit.ese.streaming_file.StreamingFileReport",
    ),
    "frskit.ese.pages": ("frskit.ese.pages.verify_many.Words",),
    "frskit.frs": (
        "frskit.frs.copy_run.CopyRun",
        "frskit.frs.running_copy.RunsUnderWay",
        "frskit.frs.state.journal.JournalOperation",
    ),
    "frskit.vss": (
        "frskit.vss.documents.backup_document.DocumentShadow",
        "frskit.vss.documents.backup_document.DocumentWriter",
        "frskit.vss.engine.EngineOwner",
        "frskit.vss.requestor.component_choice.ComponentHandle",
        "frskit.vss.session.EngineRestoreSession",
        "frskit.vss.session.EngineSession",
        "frskit.vss.state_tables.RequestorState",
    ),
    "frskit.exchange": (
        "frskit.exchange.host.ExchangeHost",
        "frskit.exchange.log_analysis.group_facts.StorageGroupFacts",
        "frskit.exchange.storage_group.StorageGroup",
        "frskit.exchange.store.row_codec.StoredMessage",
        "frskit.exchange.store.versions.StoreProfile",
    ),
    "frskit.storage": (
        "frskit.storage.directory_filesystem.DirectoryFile",
        "frskit.storage.directory_filesystem.PathRef",
        "frskit.storage.simfs.files.SimFile",
        "frskit.storage.simfs.files.SimFileRef",
        "frskit.storage.simfs.store.MetadataStore",
    ),
    "frskit.simulation": ("frskit.simulation.parties.Parties",),
    "frskit.testing": ("frskit.testing.array.world.LunArray",),
}

#: Longest value of a constant that is shown.
_VALUE_WIDTH = 80


class Place(NamedTuple):
    """Where a public name is described: the room's name for it, and the directive's kind."""

    path: str
    role: str


def public_names(room: str) -> tuple[str, ...]:
    """The names that a package or module exports; none if it has no ``__all__``."""
    return tuple(sorted(getattr(importlib.import_module(room), "__all__", ()), key=str.lower))


def _source(module: str) -> str:
    file = inspect.getsourcefile(importlib.import_module(module)) or ""
    return Path(file).read_text(encoding="utf-8")


def defining_module(room: str, name: str) -> str:
    """The module that assigns a name: the imports of the rooms are followed, unread."""
    for node in ast.walk(ast.parse(_source(room))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("frskit"):
            for alias in node.names:
                if (alias.asname or alias.name) == name and node.module != room:
                    return defining_module(node.module, alias.name)
    return room


def _definition(room: str, name: str) -> tuple[str, str, str]:
    """Module and name under which something is defined, and the role that links to it."""
    value = getattr(importlib.import_module(room), name)
    if isinstance(value, types.ModuleType):
        return value.__name__, "", "mod"
    if inspect.isclass(value) and value.__module__.startswith("frskit"):
        role = "exc" if issubclass(value, BaseException) else "class"
        return value.__module__, value.__qualname__, role
    if inspect.isfunction(value):
        return value.__module__, value.__qualname__, "func"
    return defining_module(room, name), name, "data"


def places() -> dict[tuple[str, str], Place]:
    """By definition, the place where it is described: the first room that exports it."""
    found: dict[tuple[str, str], Place] = {}
    for rooms in ROOMS.values():
        for room in rooms:
            found[room, ""] = Place(room, "mod")
            for name in public_names(room):
                module, qualname, role = _definition(room, name)
                path = f"{room}.{name}" if qualname else module
                found.setdefault((module, qualname), Place(path, role))
    return found


def _kind_of(value: object) -> str:
    if isinstance(value, NewType):
        return f"NewType of {value.__supertype__.__name__}"
    if type(value).__module__ in ("types", "typing"):
        return "type alias"
    return type(value).__name__


def _comment(module: str, name: str) -> str:
    """What the source says about a constant: the string below it, or the comment above or beside."""
    lines = _source(module).splitlines()
    body = ast.parse("\n".join(lines)).body
    for node, after in zip(body, [*body[1:], None], strict=True):
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        if name not in [each.id for each in targets if isinstance(each, ast.Name)]:
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            return inspect.cleandoc(str(after.value.value))
        above = itertools.takewhile(
            lambda line: line.startswith("#"), reversed(lines[: node.lineno - 1])
        )
        beside = lines[(node.end_lineno or node.lineno) - 1][node.end_col_offset or 0 :]
        comment = [*reversed(list(above)), beside.strip()]
        return " ".join(each.lstrip("#: ") for each in comment if each).strip()
    return ""


def _data(room: str, name: str) -> list[str]:
    value = getattr(importlib.import_module(room), name)
    module = defining_module(room, name)
    shown = repr(value).replace("typing.", "").replace("frskit.model.storage.", "")
    lines = [f".. py:data:: {name}", f"   :module: {room}"]
    if module != room:
        lines.append(f"   :canonical: {module}.{name}")
    if len(shown) <= _VALUE_WIDTH and " at 0x" not in shown and not isinstance(value, NewType):
        lines.append(f"   :value: {shown}")
    told = " ".join(_comment(module, name).split())  # one line, or the directive would end in it
    return [*lines, "", f"   ({_kind_of(value)}) {told}", ""]


def _described(room: str, name: str, role: str) -> list[str]:
    """The directive that describes a name."""
    if role == "data":
        return _data(room, name)
    if role == "func":
        return [f".. autofunction:: {room}.{name}", ""]
    lines = [f".. auto{'exception' if role == 'exc' else 'class'}:: {room}.{name}", "   :members:"]
    value = getattr(importlib.import_module(room), name)
    if role == "exc":
        lines.append("   :show-inheritance:")
    if hasattr(value, "__members__"):  # an enum: its members speak for themselves
        lines.append("   :undoc-members:")
    return [*lines, ""]


def _listed(room: str, name: str, place: Place) -> list[str]:
    """An entry without text, so that the name can be looked up and linked."""
    kind = {"mod": "data", "exc": "exception", "func": "function"}.get(place.role, place.role)
    call = "()" if kind == "function" else ""
    return [f".. py:{kind}:: {name}{call}", f"   :module: {room}", "   :no-typesetting:", ""]


def _room(room: str, known: dict[tuple[str, str], Place]) -> list[str]:
    lines = [f"## `{room}`", "", "```{eval-rst}", f".. automodule:: {room}", ""]
    own, borrowed = [], []
    for name in public_names(room):
        module, qualname, role = _definition(room, name)
        place = known[module, qualname]
        if role == "mod":
            borrowed.append((name, place))
        elif place.path == f"{room}.{name}":
            own += _described(room, name, role)
        else:
            lines += _listed(room, name, place)
            borrowed.append((name, place))
    lines += own
    lines += ["```", ""]
    if inner := NAMED_IN_SIGNATURES.get(room):
        lines += ["Named in signatures; not made by callers, and imported by nobody:", ""]
        lines += ["```{eval-rst}"]
        for path in inner:
            module, _, name = path.rpartition(".")
            value = getattr(importlib.import_module(module), name)
            if inspect.isclass(value):
                lines += [f".. autoclass:: {path}", ""]
            else:
                lines += _data(module, name)
        lines += ["```", ""]
    if borrowed:
        lines += ["Described elsewhere:", ""]
        lines += [f"- `{name}`: {{py:{place.role}}}`{place.path}`" for name, place in borrowed]
        lines.append("")
    return lines


def targets() -> dict[str, str]:
    """What annotations and docstrings call a public thing, and the path of its entry.

    An annotation names the defining module (``frskit.model.copies.Copy``) or, where the module
    is imported for type checkers only, nothing but the name (``Copy``).
    """
    found: dict[str, str] = {}
    names: dict[str, set[str]] = {}
    inner = {
        tuple(path.rpartition(".")[::2]): Place(path, "class")
        for paths in NAMED_IN_SIGNATURES.values()
        for path in paths
    }
    for (module, qualname), place in {**places(), **inner}.items():
        if qualname:
            found[f"{module}.{qualname}"] = place.path
            names.setdefault(qualname, set()).add(place.path)
    for name, paths in names.items():
        if len(paths) == 1:
            found[name] = paths.pop()
    return found


def pages() -> dict[str, str]:
    """Text of each page of the reference, by file name."""
    known = places()
    made = {}
    for title, rooms in ROOMS.items():
        lines = [f"# {title}", ""]
        for room in rooms:
            lines += _room(room, known)
        made[f"{rooms[0].removeprefix('frskit.').replace('.', '-')}.md"] = "\n".join(lines)
    return made
