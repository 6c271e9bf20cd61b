"""Reading the benchmarks' pickles without trusting them.

A pickle is a program, and these come from the internet. The original's hold nothing but dictionaries, lists, text and
numbers, written by Python 2. So only the instructions that build those are carried out; any other one, and with it
every way to name a function or a class, ends the reading.
"""

from __future__ import annotations

import io
import pickle
import struct
from pathlib import Path
from typing import Any

from cmpc.errors import UserError

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


# The interpreter of the standard library that is written in Python: it looks each instruction up in a table, which can
# be cut down. (The one in C can only be kept from finding classes, and reserves memory as the file demands.)
class _PlainUnpickler(pickle._Unpickler):
    dispatch = {code: pickle._Unpickler.dispatch[code] for code in _PLAIN_INSTRUCTIONS}  # noqa: RUF012

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name}")


def read_plain_pickle(path: Path) -> Any:
    """The content of a pickle that holds only dictionaries, lists, text, numbers, true, false and none.

    Text written by Python 2 as bytes is read as UTF-8 or, where it is not, as Latin-1.

    Raises:
        UserError: the file is missing, cut short, or holds anything else; nothing of it has been executed.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from None
    try:
        try:
            return _PlainUnpickler(io.BytesIO(data), encoding="utf-8").load()
        except UnicodeDecodeError:
            return _PlainUnpickler(io.BytesIO(data), encoding="latin-1").load()
    except KeyError:
        raise UserError(
            f"{path} holds more than plain data, which no benchmark does: it was not executed; get the file anew."
        ) from None
    except (
        pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError, AssertionError,
        struct.error, OverflowError, MemoryError, RecursionError,
    ):  # fmt: skip
        raise UserError(f"{path} is cut short or damaged: get the file anew.") from None
