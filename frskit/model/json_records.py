"""Records on disk and documents for people: JSON with a ``schema`` field, one codec for all.

A record says what it is and in which version, ``frskit.copy/1``. A newer frskit reads older ones
through `UPGRADES`, one step per version; a record of a newer frskit is refused with a hint. Times
are ISO 8601 with their offset, bytes base64, enums their value, sets sorted lists; a mapping whose
keys are values of their own becomes a list of pairs.

cattrs is loaded on first use, because it is slow to import. Its strict form refuses fields that
are not known: for records of which nobody else may know more.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

from attrs import has

from frskit.errors import CatalogError, FrskitError

if TYPE_CHECKING:
    from cattrs import Converter

__all__ = ["UPGRADES", "dump", "from_plain", "load", "schema_name", "to_plain"]

T = TypeVar("T")

UPGRADES: dict[str, dict[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {}
"""By schema name: from version n to n + 1."""


def converter(*, strict: bool = False) -> Converter:
    """The converter for all records."""
    # By position, because a cache takes `f()` and `f(strict=False)` for two questions: each new
    # converter makes its code for every class anew.
    return _converter(strict)


@cache
def _converter(strict: bool) -> Converter:
    from cattrs import Converter

    made = Converter(forbid_extra_keys=strict)
    made.register_unstructure_hook(datetime, lambda value: value.isoformat())
    made.register_structure_hook(datetime, lambda value, _: datetime.fromisoformat(value))
    made.register_unstructure_hook(bytes, lambda value: base64.b64encode(value).decode("ascii"))
    made.register_structure_hook(bytes, lambda value, _: base64.b64decode(value))
    # An enum of numbers may stand where a number is declared; a document has the plain number.
    made.register_unstructure_hook_func(lambda kind: kind is int, int)
    # A number or a word comes back as what it is; JSON tells the two apart.
    made.register_structure_hook_func(lambda kind: kind == int | str, lambda value, _: value)
    made.register_unstructure_hook_func(_is_set, lambda value: _sorted(made, value))
    made.register_unstructure_hook_func(
        _has_rich_keys,
        lambda value: [[made.unstructure(k), made.unstructure(v)] for k, v in value.items()],
    )
    made.register_structure_hook_func(_has_rich_keys, lambda value, kind: _pairs(made, value, kind))
    return made


def _is_set(kind: object) -> bool:
    return (get_origin(kind) or kind) in (set, frozenset)


def _sorted(made: Converter, value: frozenset[object]) -> list[object]:
    """A set as a list whose order does not depend on the process."""
    return sorted((made.unstructure(each) for each in value), key=str)


def _has_rich_keys(kind: object) -> bool:
    """Whether it is a mapping with attrs classes as keys, which JSON has no place for."""
    arguments = get_args(kind)
    origin = get_origin(kind)
    return (
        isinstance(origin, type)
        and issubclass(origin, Mapping)
        and isinstance(arguments[0], type)
        and has(arguments[0])
    )


def _pairs(made: Converter, value: list[list[Any]], kind: Any) -> dict[Any, Any]:
    key_kind, value_kind = get_args(kind)
    return {made.structure(k, key_kind): made.structure(v, value_kind) for k, v in value}


def to_plain(value: object) -> dict[str, Any]:
    """An attrs value as dictionaries, lists, text, numbers and None."""
    plain: dict[str, Any] = converter().unstructure(value)
    return plain


def from_plain(plain: object, kind: type[T]) -> T:
    """The value that `to_plain` made this of.

    Raises:
        CatalogError: It is none.
    """
    try:
        made: T = converter().structure(plain, kind)
    except Exception as problem:  # cattrs raises groups of many kinds; all mean "not readable"
        raise CatalogError(f"a {kind.__name__} cannot be read: {problem}") from problem
    return made


def dump(
    value: object,
    schema: str,
    version: int = 1,
    *,
    under: str | None = None,
    indent: int | None = None,
    sort_keys: bool = False,
) -> str:
    """A value as one JSON document with its schema.

    Args:
        value: An attrs value; anything that can be unstructured if `under` is given.
        schema: Name of what it is, without the version.
        version: Version of that.
        under: Name of the field that holds the value; None puts its own fields beside the schema.
        indent: For people; None is compact.
        sort_keys: Whether the fields come in alphabetical order.
    """
    plain = converter().unstructure(value)
    document = {"schema": f"{schema}/{version}", **(plain if under is None else {under: plain})}
    separators = (",", ":") if indent is None else None
    return json.dumps(document, separators=separators, indent=indent, sort_keys=sort_keys)


def load(
    text: str | bytes,
    kind: type[T],
    schema: str,
    version: int = 1,
    *,
    under: str | None = None,
    strict: bool = False,
    what: str = "",
    error: type[FrskitError] = CatalogError,
    hint: str | None = "Restore the catalog from a copy, or rebuild it.",
    context: Mapping[str, object] | None = None,
) -> T:
    """The value of a document.

    Args:
        text: The document.
        kind: Type of the value.
        schema: Name of what it must be.
        version: The newest version that is known.
        under: As for `dump`.
        strict: Whether fields that are not known are an error.
        what: What to call it in messages; default: the schema's name.
        error: Kind of error to raise.
        hint: What to do about it.
        context: Identifiers for the error.

    Raises:
        FrskitError: Of the kind `error`: it is damaged, of another schema, or of a newer version.
    """
    try:
        plain = json.loads(text)
        if not isinstance(plain, dict):
            raise TypeError("it is not an object")
        name, _, found = plain.pop("schema").rpartition("/")
        number = int(found)
        if name != schema:
            raise ValueError(f"schema is {name}, not {schema}")
        if number > version:
            raise ValueError(f"version {number} is newer than this frskit knows ({version})")
        if under is not None:
            plain = plain[under]
        for step in range(number, version):
            plain = UPGRADES[schema][step](plain)
        made: T = converter(strict=strict).structure(plain, kind)
    except Exception as problem:  # cattrs raises groups of many kinds; all mean "not readable"
        raise error(
            f"{what or f'a {schema} record'} cannot be read: {problem}", hint=hint, context=context
        ) from problem
    return made


def schema_name(kind: type) -> str:
    """The schema of a public value's document: ``frskit.integrity-report`` for IntegrityReport."""
    letters = [f"-{each.lower()}" if each.isupper() else each for each in kind.__name__]
    return "frskit." + "".join(letters).lstrip("-")
