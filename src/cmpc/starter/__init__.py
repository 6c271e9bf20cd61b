"""A small folder to begin one's own data with: a table, three photos, and the five commands that follow."""

from __future__ import annotations

import shutil
from pathlib import Path

from cmpc.errors import UsageError
from cmpc.files import atomic_folder
from cmpc.weights import SHIPPED_EXAMPLES

PARTS = ("README.md", "table.jsonl")
PHOTOS = ("elephant.jpg", "dog.jpg", "cats.jpg", "ATTRIBUTION.md")
"""Of the examples for the model of photos, what the table is about."""


def write_starter(folder: Path) -> None:
    """Writes the folder, whole or not at all.

    Raises:
        UsageError: something stands there already.
        OSError: it cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not empty: give a new folder.")
    with atomic_folder(folder) as new:
        (new / "photos").mkdir()
        for name in PARTS:
            shutil.copyfile(Path(__file__).with_name(name), new / name)
        for name in PHOTOS:
            shutil.copyfile(SHIPPED_EXAMPLES["photos"] / name, new / "photos" / name)
