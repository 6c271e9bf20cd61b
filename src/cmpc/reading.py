"""Reading regular files, and nothing that may never end."""

from __future__ import annotations

import codecs
import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

MAX_TABLE = 4 * 1024**3
"""Larger tables and annotations (bytes) are refused before they are read into memory."""


def open_file(path: str | Path, *, at_most: int) -> BinaryIO:
    """Opens a regular file for reading. Pipes and devices, which may never end, are refused without waiting for them.

    Args:
        path: the file.
        at_most: bytes that it may have.

    Raises:
        OSError: it is missing, cannot be read, is no regular file, or is larger; ``strerror`` says which.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        handle = os.open(path, flags)
    except ValueError as error:  # a name that no file can have
        raise OSError(errno.EINVAL, str(error), str(path)) from None
    try:
        status = os.fstat(handle)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is a pipe or a device, not a file", str(path))
        if status.st_size > at_most:
            reason = f"it has {status.st_size:,} bytes, of which at most {at_most:,} are read"
            raise OSError(errno.EFBIG, reason, str(path))
        return open(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_text(path: str | Path, *, at_most: int = MAX_TABLE) -> str:
    """The content of a text file, UTF-8 or, with the mark that says so, UTF-16; marks at its beginning fall away.

    Raises:
        OSError: as ``open_file``.
        UnicodeDecodeError: it is no such text.
    """
    data = read_file(path, at_most=at_most)
    return data.decode("utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")


@contextmanager
def open_text(path: str | Path, *, at_most: int = MAX_TABLE) -> Iterator[TextIO]:
    """A text file line by line, which end in ``"\n"`` alone; encodings and errors as ``read_text``, also while it is
    read."""
    with open_file(path, at_most=at_most) as file:
        is_utf16 = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        file.seek(0)
        with io.TextIOWrapper(file, encoding="utf-16" if is_utf16 else "utf-8-sig", newline="\n") as text:
            yield text


def read_file(path: str | Path, *, at_most: int = MAX_TABLE) -> bytes:
    """The content of a regular file; arguments and errors as ``open_file``."""
    with open_file(path, at_most=at_most) as file:
        return file.read()
