"""Begin with your own data: a folder with a table, three photos, and a README with the five commands that follow.

cmpc new mine
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass
class Options:
    """Where to begin."""

    folder: tyro.conf.Positional[Path]
    """A new or empty folder."""


def written(options: Options) -> Path:
    """The folder that no other process may write meanwhile."""
    return options.folder


def run(options: Options) -> None:
    """Writes the folder."""
    from rich.console import Console

    from cmpc.starter import write_starter

    write_starter(options.folder)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"written: {options.folder}; {options.folder / 'README.md'} says how to go on", markup=False)
