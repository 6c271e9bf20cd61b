"""Sequences that need memory only for where their items lie, not for the items."""

from __future__ import annotations

import json
import os
import tempfile
import weakref
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar, overload

from cmpc.errors import UserError

Item = TypeVar("Item")

_BYTES_AT_ONCE = 1 << 18
_ITEMS_AT_ONCE = 500


class SequenceOnDisk(Sequence[Item], Generic[Item]):
    """Items in a file of the folder for temporary files, as JSON; each needs 8 bytes of memory.

    The file has no name: it is gone with the last process that has it open, however that ends. Instances may be sent to
    processes that are being started, which read the same file. Equal to any sequence of the same items. On Windows the
    JSON stays in memory.
    """

    def __init__(self, to_values: Callable[[Item], Any], from_values: Callable[[Any], Item]) -> None:
        """
        Args:
            to_values: what JSON can say, of an item.
            from_values: the item of that; what was a tuple comes as a list.

        Raises:
            UserError: there is no place for temporary files.
        """
        self._to_values = to_values
        self._from_values = from_values
        self._ends = array("q", [0])
        self._written = 0  # bytes of the store
        self._unwritten = bytearray()
        try:
            self._store = _Store()
        except OSError as error:
            raise _no_room(error) from None

    def append(self, item: Item) -> None:
        """Adds an item at the end.

        Raises:
            UserError: the folder for temporary files is full.
            ValueError: it is nested too deeply.
        """
        try:
            self._unwritten += json.dumps(self._to_values(item), separators=(",", ":")).encode()
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        self._ends.append(self._written + len(self._unwritten))
        if len(self._unwritten) >= _BYTES_AT_ONCE:
            self._write()

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        number = range(len(self))[index]
        return next(self._read(number, number + 1))

    def __iter__(self) -> Iterator[Item]:
        for start in range(0, len(self), _ITEMS_AT_ONCE):
            yield from self._read(start, min(start + _ITEMS_AT_ONCE, len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    def __getstate__(self) -> dict[str, Any]:
        self._write()
        return vars(self)

    def _read(self, start: int, stop: int) -> Iterator[Item]:
        first = self._ends[start]
        if self._ends[stop] > self._written:
            self._write()
        content = self._store.read(first, self._ends[stop])
        for number in range(start, stop):
            values = json.loads(content[self._ends[number] - first : self._ends[number + 1] - first])
            yield self._from_values(values)

    def _write(self) -> None:
        try:
            while self._unwritten:
                count = self._store.write(self._unwritten, self._written)
                del self._unwritten[:count]
                self._written += count
        except OSError as error:
            raise _no_room(error) from None


class _FileStore:
    """Bytes in a temporary file, read and written at places that do not depend on what forked processes do."""

    def __init__(self) -> None:
        with tempfile.TemporaryFile(buffering=0) as file:
            self._open(os.dup(file.fileno()))

    def read(self, start: int, stop: int) -> bytes:
        return os.pread(self.file, stop - start, start)

    def write(self, content: bytearray, start: int) -> int:
        """Gives how many bytes were written."""
        return os.pwrite(self.file, content, start)

    def __getstate__(self) -> dict[str, Any]:
        from multiprocessing.reduction import DupFd

        return {"file": DupFd(self.file)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._open(state["file"].detach())

    def _open(self, file: int) -> None:
        """Takes a descriptor, which is closed with the instance."""
        self.file = file
        weakref.finalize(self, os.close, file)


class _MemoryStore:
    """Bytes in memory."""

    def __init__(self) -> None:
        self.content = bytearray()

    def read(self, start: int, stop: int) -> bytes:
        return bytes(self.content[start:stop])

    def write(self, content: bytearray, start: int) -> int:
        self.content[start:] = content
        return len(content)


_Store: type[_FileStore] | type[_MemoryStore] = _FileStore if hasattr(os, "pread") else _MemoryStore
"""Windows does not read files at a place."""


def _no_room(error: OSError) -> UserError:
    return UserError(
        f"cannot write to the folder for temporary files, {tempfile.gettempdir()} ({error.strerror}): make room there, "
        "or name another folder in the environment variable TMPDIR."
    )
