"""`Value`: what every value of the model can do besides being one.

Values are frozen, slotted, keyword-only attrs classes. A value can say itself as plain JSON, with a
``schema`` field that names what it is: for logs, web services and programs in other languages.
"""

from __future__ import annotations

import json
from typing import ClassVar

__all__ = ["Value"]


class Value:
    """Base of the model's values.

    Attributes:
        schema_version: Version of the class's JSON form; grows when a field changes its meaning,
            its name or its type.
    """

    __slots__ = ()

    schema_version: ClassVar[int] = 1

    def to_dict(self) -> dict[str, object]:
        """Plain dictionaries, lists, text, numbers and None, with the ``schema`` first.

        Example:
            >>> from frskit.model import LogPoint
            >>> LogPoint(rank=3, name="E0000003.log").to_dict()
            {'schema': 'frskit.log-point/1', 'rank': 3, 'name': 'E0000003.log', 'stream': ''}
        """
        from frskit.model.json_records import schema_name, to_plain

        schema = f"{schema_name(type(self))}/{self.schema_version}"
        return {"schema": schema, **to_plain(self)}

    def to_json(self, *, indent: int | None = None) -> str:
        """The same as one JSON document; `indent` is for people."""
        return json.dumps(self.to_dict(), indent=indent)
