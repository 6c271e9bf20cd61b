"""What tells whether two models are the same."""

from __future__ import annotations

from pathlib import Path

from cmpc.engines.loading import is_export
from cmpc.files import fingerprint_files
from cmpc.model_folder import CONFIG, VOCABULARY, WEIGHTS, located


def fingerprint_model(folder: Path) -> str:
    """SHA-256 over the files that a model computes with, in hexadecimal.

    Args:
        folder: a model folder, one that ``cmpc export`` wrote, or the name of a model that ships.
    """
    folder = located(folder)
    names = [WEIGHTS, CONFIG, VOCABULARY]
    if is_export(folder):
        names = sorted(path.name for path in folder.iterdir() if path.is_file())
    return fingerprint_files([folder / name for name in names])
