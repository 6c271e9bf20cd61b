"""Locks between processes, as files that are locked; they end with the process that holds them, however it ends.

They are record locks of POSIX: processes that are started meanwhile do not inherit them, and most network file systems
have them. Where there are none (Windows, some file systems), nothing is locked.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cmpc.errors import UsageError

_taken: set[Path] = set()
"""Locks of this process, which do not keep itself out: to try one again would let it go."""


@contextmanager
def only_writer(folder: str | Path) -> Iterator[None]:
    """Keeps other processes from writing a folder while the ``with`` block runs, by ``.<name>.lock`` beside it.

    Parts of the same process may ask for a folder that it has already.

    Raises:
        UsageError: another process writes it.
        OSError: there can be no file beside it.
    """
    folder = Path(folder).resolve()
    lock = folder.parent / f".{folder.name}.lock"
    if lock in _taken or folder == folder.parent:
        yield
        return
    if folder.parent.is_file():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder.parent))
    missing = [above for above in folder.parents if not above.exists()]
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = take(lock)
        if descriptor is None:
            raise UsageError(f"another process writes {folder} at this moment: wait for it, or give another --out.")
        try:
            yield
        finally:
            release(lock, descriptor)
    finally:
        for above in missing:  # empty where nothing was written
            with suppress(OSError):
                above.rmdir()


def take(lock: Path) -> int | None:
    """Makes a file and locks it.

    Args:
        lock: the file, whose folder exists; this process does not hold it.

    Returns:
        What ``release`` needs; None where another process holds it.
    """
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        if _lock(descriptor) is False:
            os.close(descriptor)
            return None
        with suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), lock.stat()):
                _taken.add(lock)
                return descriptor
        os.close(descriptor)  # who held it has just removed it


def release(lock: Path, descriptor: int) -> None:
    """Removes a file that ``take`` or ``take_over`` locked."""
    lock.unlink(missing_ok=True)
    _taken.discard(lock)
    os.close(descriptor)


def take_over(lock: Path) -> int | None:
    """Locks a file that a process left; None where that process lives, or nobody can know."""
    if lock in _taken:
        return None
    try:
        descriptor = os.open(lock, os.O_RDWR)
    except OSError:
        return None
    if _lock(descriptor):
        _taken.add(lock)
        return descriptor
    os.close(descriptor)
    return None


if sys.platform == "win32":

    def _lock(descriptor: int) -> bool | None:
        """None: there are no such locks."""
        return None

else:
    import fcntl

    def _lock(descriptor: int) -> bool | None:
        """Locks an open file; False where another process has it locked, None where the file system has no locks."""
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False
        except OSError:
            return None
        return True
