"""Reading the benchmarks' pickles without trusting them.

A pickle is a program, and these come from the internet. The original's hold nothing but dictionaries, lists, text and
numbers, written by Python 2. So only the instructions that build those are carried out; any other one, and with it
every way to name a function or a class, ends the reading. NumPy's numbers, which people get into such lists without
noticing, name three functions: their names stand for functions of this file.
"""

from __future__ import annotations

import io
import pickle
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cmpc.errors import UserError
from cmpc.reading import read_file

_PLAIN_INSTRUCTIONS = (
    pickle.PROTO + pickle.FRAME + pickle.STOP + pickle.MARK + pickle.POP + pickle.POP_MARK + pickle.DUP
    + pickle.NONE + pickle.NEWTRUE + pickle.NEWFALSE
    + pickle.INT + pickle.BININT + pickle.BININT1 + pickle.BININT2 + pickle.LONG + pickle.LONG1
    + pickle.FLOAT + pickle.BINFLOAT
    + pickle.STRING + pickle.BINSTRING + pickle.SHORT_BINSTRING
    + pickle.UNICODE + pickle.BINUNICODE + pickle.SHORT_BINUNICODE
    + pickle.EMPTY_LIST + pickle.LIST + pickle.APPEND + pickle.APPENDS
    + pickle.EMPTY_DICT + pickle.DICT + pickle.SETITEM + pickle.SETITEMS
    + pickle.PUT + pickle.BINPUT + pickle.LONG_BINPUT + pickle.MEMOIZE + pickle.GET + pickle.BINGET + pickle.LONG_BINGET
)  # fmt: skip


_NUMPY_INSTRUCTIONS = (
    pickle.TUPLE + pickle.TUPLE1 + pickle.TUPLE2 + pickle.TUPLE3 + pickle.EMPTY_TUPLE
    + pickle.BINBYTES + pickle.SHORT_BINBYTES + pickle.GLOBAL + pickle.STACK_GLOBAL
)  # fmt: skip
_NUMBER = re.compile(r"[iu][1248]|f[248]|b1|[US][0-9]{1,4}")


class _Dtype:
    """What NumPy calls the type of a number, such as ``i8``."""

    def __init__(self, code: object) -> None:
        if not isinstance(code, str) or not _NUMBER.fullmatch(code):
            raise pickle.UnpicklingError("no type of numbers")
        self.code = code
        self.order = "="


def _noted(instruction: Callable[[Any], None]) -> Callable[[Any], None]:
    def carry_out(unpickler: _PlainUnpickler) -> None:
        unpickler.is_plain = False
        instruction(unpickler)

    return carry_out


# The interpreter of the standard library that is written in Python: it looks each instruction up in a table, which can
# be cut down. (The one in C can only be kept from finding classes, and reserves memory as the file demands.)
class _PlainUnpickler(pickle._Unpickler):
    dispatch = {code: pickle._Unpickler.dispatch[code] for code in _PLAIN_INSTRUCTIONS}  # noqa: RUF012
    dispatch |= {code: _noted(pickle._Unpickler.dispatch[code]) for code in _NUMPY_INSTRUCTIONS}
    is_plain = True
    """Whether none of the instructions was met that build more than plain data on the way."""

    def find_class(self, module: str, name: str) -> Any:
        """What the names of functions stand for."""
        return {
            "numpy.core.multiarray scalar": self._number,
            "numpy._core.multiarray scalar": self._number,
            "numpy dtype": self._type_of_number,
            "_codecs encode": self._bytes,
        }[f"{module} {name}"]

    def _type_of_number(self, code: object, align: object = False, copy: object = True) -> _Dtype:
        return _Dtype(code)

    def _bytes(self, text: str, encoding: str) -> bytes:
        return text.encode({"latin1": "latin-1"}[encoding])

    def _number(self, dtype: object, content: bytes | str) -> object:
        if not isinstance(dtype, _Dtype):
            raise pickle.UnpicklingError("no type of numbers")
        if isinstance(content, str):  # Python 2's, decoded
            content = content.encode(self.encoding)  # type: ignore[attr-defined]
        value = np.frombuffer(content, dtype.order + dtype.code)[0].item()
        return value.decode("latin-1") if isinstance(value, bytes) else value

    def load_reduce(self) -> None:
        """Calls one of the functions of this class."""
        arguments, function = self.stack.pop(), self.stack[-1]  # type: ignore[attr-defined]
        if function not in (self._number, self._type_of_number, self._bytes) or not isinstance(arguments, tuple):
            raise KeyError("REDUCE")
        self.stack[-1] = function(*arguments)  # type: ignore[attr-defined]

    def load_build(self) -> None:
        """Takes the order of bytes from what NumPy tells of a type."""
        state, dtype = self.stack.pop(), self.stack[-1]  # type: ignore[attr-defined]
        if not isinstance(dtype, _Dtype):
            raise KeyError("BUILD")
        dtype.order = {"<": "<", ">": ">", "|": "|", "=": "="}[state[1]]

    dispatch[pickle.REDUCE[0]] = load_reduce  # type: ignore[assignment]
    dispatch[pickle.BUILD[0]] = load_build  # type: ignore[assignment]


def _is_plain(value: object) -> bool:
    """Whether nothing is left of what numbers of NumPy are made of."""
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple):
            pending += value
        elif value is not None and not isinstance(value, str | int | float):
            return False
    return True


def read_plain_pickle(path: Path) -> Any:
    """The content of a pickle that holds only dictionaries, lists, text, numbers, true, false and none.

    Text written by Python 2 as bytes is read as UTF-8 or, where it is not, as Latin-1.

    Raises:
        UserError: the file is missing, cut short, or holds anything else; nothing of it has been executed.
    """
    try:
        data = read_file(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from None
    try:
        try:
            return _load(data, "utf-8")
        except UnicodeDecodeError:
            return _load(data, "latin-1")
    except KeyError:
        raise UserError(
            f"{path} holds more than plain data, which no benchmark does: it was not executed; get the file anew."
        ) from None
    except (
        pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError, AssertionError,
        struct.error, OverflowError, MemoryError, RecursionError,
    ):  # fmt: skip
        raise UserError(f"{path} is cut short or damaged: get the file anew.") from None


def _load(data: bytes, encoding: str) -> Any:
    """
    Raises:
        KeyError: the data hold more than plain data.
    """
    unpickler = _PlainUnpickler(io.BytesIO(data), encoding=encoding)
    content = unpickler.load()
    if not unpickler.is_plain and (isinstance(content, tuple) or not _is_plain(content)):
        raise KeyError("something that no list of references holds")
    return content
