"""A small folder to begin one's own data with: a table, three photos, and the five commands that follow."""

from __future__ import annotations

import shutil
from pathlib import Path

from cmpc.errors import UsageError
from cmpc.files import atomic_folder

PARTS = ("README.md", "table.jsonl", "photos")


def write_starter(folder: Path) -> None:
    """Writes the folder, whole or not at all.

    Raises:
        UsageError: something stands there already.
        OSError: it cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not empty: give a new folder.")
    source = Path(__file__).parent
    with atomic_folder(folder) as new:
        for name in PARTS:
            copy = shutil.copytree if (source / name).is_dir() else shutil.copyfile
            copy(source / name, new / name)
