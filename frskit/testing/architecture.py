"""The import table of the house, as data: who may import whom (design law 1).

The architecture test and the docs page "Architecture" are both made from it.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "FOLDERS",
    "LAYERS",
    "UPWARD_TYPES",
    "folder_of",
    "folder_rows",
    "layer_of",
    "may_import",
    "table_rows",
]

_BASE = frozenset({"_lazy", "_typing", "model", "errors"})
_SMALL = _BASE | {"codes", "clock"}
_SEAMS = _SMALL | {"events", "protocols"}
_TOOLS = _SEAMS | {"storage", "bases", "scopes", "watchdog"}
_WINGS = frozenset({"frs", "vss", "exchange", "eva", "local", "hosts"})

LAYERS: Mapping[str, frozenset[str]] = {
    "_lazy": frozenset(),
    "_typing": frozenset(),
    "errors": frozenset(),
    "model": frozenset({"_lazy", "errors"}),
    "codes": _BASE,
    "clock": _BASE,
    "events": _SMALL,
    "protocols": _SMALL | {"events"},
    "bases": _SEAMS,
    "scopes": _SEAMS,
    "watchdog": _SMALL,
    "spi": _SEAMS | {"bases"},
    "storage": _SEAMS | {"bases", "scopes"},
    "ese": _SMALL,
    "frs": _TOOLS,
    "vss": _TOOLS,
    "eva": _TOOLS,
    "local": _TOOLS,
    "hosts": _TOOLS,
    "exchange": _TOOLS | {"ese"},
    "site": _TOOLS | _WINGS | {"ese"},
    "simulation": _TOOLS | _WINGS | {"ese", "site"},
    "cli": _TOOLS | _WINGS | {"ese", "site", "simulation", "frskit"},
    "testing": _TOOLS | _WINGS | {"ese", "site", "simulation", "cli", "frskit"},
    "__main__": frozenset({"cli"}),
    "frskit": _TOOLS | _WINGS | {"ese", "site", "simulation", "cli", "spi", "testing"},
}
"""By part of the package: the parts that it may import, itself always allowed."""


UPWARD_TYPES = frozenset({("frskit.errors", "frskit.model.copies")})
"""Imports that go up, for annotations only: an error carries the record of the copy that failed,
and users want that typed (decision 0021)."""

FOLDERS: Mapping[str, Mapping[str, frozenset[str]]] = {
    "ese": {
        "": frozenset({"logs", "pages"}),
        "logs": frozenset({"", "pages"}),
        "pages": frozenset({""}),
    },
    "eva": {"": frozenset({"blocks"}), "blocks": frozenset({""})},
    "exchange": {
        "": frozenset({"log_analysis", "recovery", "store", "writer"}),
        "integrity": frozenset({"", "log_analysis", "store", "writer"}),
        "log_analysis": frozenset({"store"}),
        "recovery": frozenset({"", "log_analysis", "store", "writer"}),
        "store": frozenset(),
        "writer": frozenset({"", "store"}),
    },
    "frs": {
        "": frozenset({"recovery", "state"}),
        "recovery": frozenset({"", "state"}),
        "state": frozenset(),
    },
    "hosts": {"": frozenset({"runners"}), "runners": frozenset()},
    "storage": {"": frozenset({"simfs"}), "simfs": frozenset({""})},
    "testing": {
        "": frozenset({"array", "fakes", "provider", "requestor", "writer"}),
        **dict.fromkeys(("array", "provider", "requestor", "writer"), frozenset({""})),
        "fakes": frozenset(),
    },
    "vss": {
        "": frozenset({"documents", "provider", "requestor"}),
        "documents": frozenset({""}),
        "provider": frozenset({""}),
        "requestor": frozenset({"", "documents"}),
    },
}
"""By part and folder inside it, the folders of the same part that it may import; "" is the part's
own modules. Two folders may name each other through these modules; no module may be in a circle."""


def folder_of(module: str) -> str:
    """The folder inside its part that a dotted module name belongs to; "" for none."""
    names = module.split(".")
    return names[2] if len(names) > 2 and names[2] in FOLDERS.get(names[1], {}) else ""


def layer_of(module: str) -> str:
    """The part of the package that a dotted module name belongs to."""
    names = module.split(".")
    return names[1] if len(names) > 1 else "frskit"


def may_import(layer: str, target: str) -> bool:
    """Whether the table allows it."""
    return layer == target or target in LAYERS[layer]


def table_rows() -> list[tuple[str, str]]:
    """The table for people: part, and what it may import."""
    return [(layer, ", ".join(sorted(allowed)) or "-") for layer, allowed in LAYERS.items()]


def folder_rows() -> list[tuple[str, str]]:
    """The folders for people: where, and which of its own part's folders it may import."""
    return [
        (f"{part}/{folder}".rstrip("/"), ", ".join(name or part for name in sorted(allowed)) or "-")
        for part, folders in FOLDERS.items()
        for folder, allowed in folders.items()
    ]
