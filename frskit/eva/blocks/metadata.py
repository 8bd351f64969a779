"""The metadata of a block store: values that the layer above keeps with the volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from frskit.eva.blocks.transactions import TransactionalStore

__all__ = ["StoreMetadata"]


class StoreMetadata:
    """Values by key, changed in the transactions of their store.

    Args:
        store: The store to which they belong.
        values: As loaded.
    """

    def __init__(self, store: TransactionalStore, values: dict[str, bytes]) -> None:
        self._store = store
        self._values = values

    def set(self, key: str, value: bytes | None) -> None:
        """Keep a value, or forget it (None)."""
        with self._store.transaction():
            before = self._values.get(key)
            self._store.undo.append(lambda: self._put(key, before))
            self._put(key, value)

    def _put(self, key: str, value: bytes | None) -> None:
        if value is None:
            self._values.pop(key, None)
        else:
            self._values[key] = bytes(value)
        self._store.changed_meta[key] = value

    def get(self, key: str) -> bytes | None:
        """The value kept under a key, or None."""
        with self._store.life.lock:
            self._store.life.check()
            return self._values.get(key)

    def keys(self, prefix: str) -> list[str]:
        """The keys that begin with `prefix`, sorted."""
        with self._store.life.lock:
            self._store.life.check()
            return sorted(key for key in self._values if key.startswith(prefix))
