"""What the page remembers of photos and answers, bounded in bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any


class Cache:
    """Values by key; the ones used longest ago are forgotten when all together take too many bytes."""

    def __init__(self, capacity: int) -> None:
        """
        Args:
            capacity: most bytes that are kept. A single larger value is not kept at all.
        """
        self.capacity = capacity
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Any | None:
        """The value of the key, or None where it is not kept."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][0]

    def put(self, key: Hashable, value: Any, size: int) -> None:
        """Keeps a value of ``size`` bytes, in the place of an older one with its key."""
        with self._lock:
            self._size -= self._values.pop(key, (None, 0))[1]
            if size > self.capacity:
                return
            self._values[key] = (value, size)
            self._size += size
            while self._size > self.capacity:
                self._size -= self._values.popitem(last=False)[1][1]


def bytes_of(value: Any) -> int:
    """Bytes of the tensors and arrays in a value: itself, or in its fields, entries or items."""
    if hasattr(value, "nbytes"):
        return int(value.nbytes)
    if isinstance(value, dict):
        return sum(map(bytes_of, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(bytes_of, value))
    return sum(map(bytes_of, vars(value).values())) if hasattr(value, "__dict__") else 0
