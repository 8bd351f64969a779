"""What an Exchange server is told to run: its storage groups and databases, as plain values.

Lives outside the databases (Exchange kept it in the directory) and survives a restart of the
service. A durable lab stores it as JSON. Files and their content are not part of it.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import asdict, field, frozen

from frskit.errors import ConfigurationError
from frskit.exchange.store.versions import StoreKind

__all__ = ["DatabaseSettings", "ExchangeSettings", "GroupSettings"]

SCHEMA = "frskit.exchange.settings/1"


@frozen(kw_only=True)
class DatabaseSettings:
    """One database ("store").

    Attributes:
        name: Display name; unique on the server.
        guid: Identity, the component's name.
        path: Server-native path of the .edb.
        kind: Mailbox or public folder store.
        foreign: An adopted, page-only database [R-22]: no streaming file, no logs.
        mounted: Whether the service should have it mounted.
        may_be_overwritten: The "can be overwritten by a restore" flag [P-04, EXC-58].
    """

    name: str
    guid: str
    path: str
    kind: StoreKind = field(default=StoreKind.MAILBOX, converter=StoreKind)
    foreign: bool = False
    mounted: bool = True
    may_be_overwritten: bool = False

    @property
    def stream_path(self) -> str:
        """Path of the streaming file beside it; empty if it has none [EXC-07]."""
        return "" if self.foreign else self.path.rsplit(".", 1)[0] + ".stm"


@frozen(kw_only=True)
class GroupSettings:
    """One storage group.

    Attributes:
        name: Display name.
        guid: Identity, the component's name.
        base: Log prefix, ``E00`` to ``E03``.
        log_path: Directory of the logs.
        system_path: Directory of the checkpoint.
        circular: Whether circular logging is on.
        databases: Its databases.
    """

    name: str
    guid: str
    base: str
    log_path: str
    system_path: str
    circular: bool = False
    databases: tuple[DatabaseSettings, ...] = ()


@frozen(kw_only=True)
class ExchangeSettings:
    """Everything one Exchange server is told to run."""

    groups: tuple[GroupSettings, ...] = ()
    running: bool = False

    def to_json(self) -> dict[str, object]:
        """Plain values for JSON."""

        def plain(_: object, __: object, value: object) -> object:
            return value.value if isinstance(value, StoreKind) else value

        return {"schema": SCHEMA, **asdict(self, value_serializer=plain)}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> ExchangeSettings:
        """Settings out of plain values.

        Raises:
            ConfigurationError: They are of another schema, or incomplete.
        """
        if data.get("schema") != SCHEMA:
            raise ConfigurationError(
                f"these are not Exchange settings of schema {SCHEMA}",
                context={"schema": data.get("schema")},
            )
        try:
            groups = tuple(_group(each) for each in _entries(data["groups"]))
            return cls(groups=groups, running=bool(data["running"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(f"the Exchange settings are damaged: {error}") from error


def _entries(value: object) -> list[dict[str, object]]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(each, dict) for each in value):
        raise TypeError("a list of objects is missing")
    return list(value)


def _group(data: dict[str, object]) -> GroupSettings:
    databases = tuple(_database(each) for each in _entries(data["databases"]))
    return GroupSettings(
        name=_text(data, "name"),
        guid=_text(data, "guid"),
        base=_text(data, "base"),
        log_path=_text(data, "log_path"),
        system_path=_text(data, "system_path"),
        circular=bool(data["circular"]),
        databases=databases,
    )


def _database(data: dict[str, object]) -> DatabaseSettings:
    return DatabaseSettings(
        name=_text(data, "name"),
        guid=_text(data, "guid"),
        path=_text(data, "path"),
        kind=StoreKind(_text(data, "kind")),
        foreign=bool(data["foreign"]),
        mounted=bool(data["mounted"]),
        may_be_overwritten=bool(data["may_be_overwritten"]),
    )


def _text(data: dict[str, object], key: str) -> str:
    value = data[key]
    if not isinstance(value, str):
        raise TypeError(f"{key} is not a text")
    return value
