"""Writing files and folders whole or not at all, and what tells whether files are the same.

What is not whole yet lies beside its place, in a folder ``.<name>.<random>.writing`` that is locked while its process
lives. What a killed process left of these is removed by the next one that writes into the same folder.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import shutil
import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cmpc.locks import release, take, take_over

_SUFFIX = ".writing"
_tidied: set[tuple[int, Path]] = set()
"""Processes, this one and those that it was forked from, and folders that they have tidied."""


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path``; on success it replaces ``path`` in one step, on an error it is removed.

    The content is flushed to disk before the replacement, so that a crash leaves the old file or the new one. A link
    stays a link: what it points at is replaced.

    Raises:
        OSError: ``path`` is a folder, or cannot be written. It says so of ``path`` itself.
    """
    path = Path(path).resolve()
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    with _workplace(path) as work:
        temporary = work / f"new{path.suffix}"
        yield temporary
        _finish(temporary)
        temporary.replace(path)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yields an empty temporary folder beside ``path``; on success it takes its place, on an error it is removed.

    A folder that stands at ``path`` is replaced as a whole, in one step where the system can do so. Elsewhere a process
    that is killed between two steps leaves the old one beside its place, and ``put_back``, or the next process that
    writes there, puts it back. A link stays a link: the folder it points at is replaced.

    Raises:
        OSError: the folder cannot be written or replaced. It says so of ``path`` itself.
    """
    path = Path(path).resolve()
    with _workplace(path) as work:
        temporary = work / "new"
        temporary.mkdir()
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _finish(file)
        if not path.exists():
            temporary.rename(path)
        elif not exchange(temporary, path):
            old = work / "old" / path.name
            old.parent.mkdir()
            path.rename(old)
            try:
                temporary.rename(path)
            except OSError:
                old.rename(path)
                raise


def put_back(folder: Path) -> None:
    """Removes what killed processes left in a folder, after putting back what they were about to replace there."""
    for lock in folder.resolve().glob(f".*{_SUFFIX}.lock"):
        descriptor = take_over(lock)
        if descriptor is None:
            continue
        work = lock.with_suffix("")
        for old in work.glob("old/*"):
            if not (folder / old.name).exists():
                old.rename(folder / old.name)
        shutil.rmtree(work, ignore_errors=True)
        release(lock, descriptor)


@contextmanager
def naming(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Errors of the system that do not say where they arose, such as a full disk's, name this path.

    Args:
        path: what is written.
        temporary: where it lies until it is whole; errors about that name ``path`` too.

    Raises:
        OSError: as before, with ``path`` for its file.
    """
    try:
        yield
    except OSError as error:
        inside = temporary is not None and str(error.filename).startswith(str(temporary))
        if (error.filename is None and type(error).__module__ == "builtins") or inside:
            number, reason = error.errno or errno.EIO, error.strerror or str(error)
            raise OSError(number, reason, str(path)) from error
        raise


def exchange(one: Path, other: Path) -> bool:
    """Exchanges two folders in one step, so that nothing can come in between; False where the system cannot do so."""
    if sys.platform != "linux":
        return False
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):  # another C library, or one from before 2018
        return False
    working_folder, both_stay = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(rename(working_folder, os.fsencode(one), working_folder, os.fsencode(other), both_stay) == 0)


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint_files(paths: Iterable[Path]) -> str:
    """SHA-256 over the hashes of files in this order, in hexadecimal: the same only where all of them are the same."""
    return hashlib.sha256(b"".join(bytes.fromhex(file_hash(path)) for path in paths)).hexdigest()


@contextmanager
def _workplace(path: Path) -> Iterator[Path]:
    """A locked folder beside ``path`` for what is not whole yet; it is removed at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if (os.getpid(), path.parent) not in _tidied:  # once for each process, for folders may hold many files
        put_back(path.parent)
        _tidied.add((os.getpid(), path.parent))
    start = os.fsencode(path.name)[:200].decode(errors="ignore")  # so that the whole is no longer than names may be
    work = path.parent / f".{start}.{uuid.uuid4().hex[:8]}{_SUFFIX}"
    lock = work.with_name(f"{work.name}.lock")
    with naming(path, work):
        while (descriptor := take(lock)) is None:
            pass  # another process that tidies looks at it
        try:
            work.mkdir()
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)
            release(lock, descriptor)


def _finish(path: Path) -> None:
    """Flushes a file to the disk; some writers make files that only their owner may read."""
    path.chmod(0o666 & ~_umask())
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
