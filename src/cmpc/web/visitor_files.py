"""The files of visitors: what they upload, and what is made of it."""

from __future__ import annotations

import contextlib
import stat
import threading
import time
from pathlib import Path

KEPT_SECONDS = 3600
"""Age at which files of visitors are deleted."""


class VisitorFiles:
    """A folder that stays small: files are deleted when they are old, and the oldest when there are too many bytes.

    May be used by several threads at once.
    """

    def __init__(self, folder: Path, capacity: int) -> None:
        """
        Args:
            folder: holds the files, at any depth; who made it removes it.
            capacity: most bytes of all of them.
        """
        self.folder = folder
        self.capacity = capacity
        self._of_the_page: set[Path] = set()
        self._lock = threading.Lock()

    def keep_present(self) -> None:
        """What is there now, the page's examples, stays and does not count."""
        self._of_the_page = set(self.folder.rglob("*"))

    def make_room(self, size: int = 0) -> None:
        """Deletes what is old, and the oldest files until ``size`` bytes more have room."""
        with self._lock:
            too_old = time.time() - KEPT_SECONDS
            files, folders = self._visitors()
            total = size + sum(length for _, length, _ in files)
            for changed, length, file in files:
                if changed >= too_old and total <= self.capacity:
                    break
                file.unlink(missing_ok=True)
                total -= length
            for changed, folder in folders:
                if changed < too_old:
                    with contextlib.suppress(OSError):  # something is in it
                        folder.rmdir()

    def _visitors(self) -> tuple[list[tuple[float, int, Path]], list[tuple[float, Path]]]:
        """Files with their time and length, the oldest first, and folders with their time, the deepest first."""
        files, folders = [], []
        for path in self.folder.rglob("*"):
            if path in self._of_the_page:
                continue
            try:
                found = path.lstat()
            except OSError:  # deleted meanwhile
                continue
            if stat.S_ISDIR(found.st_mode):
                folders.append((found.st_mtime, path))
            else:
                files.append((found.st_mtime, found.st_size, path))
        return sorted(files), sorted(folders, key=lambda one: -len(one[1].parts))
