"""Programs that are timed from their start to their end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from cmpc.errors import UserError

ROOT = Path(__file__).parents[2]
"""Where programs start, so that they find the package ``benchmarks``."""


def run_python(arguments: Sequence[str]) -> str:
    """Runs this Python with the arguments; gives what it printed.

    Raises:
        UserError: it failed; with the last line of what it said.
    """
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or f"it ended with status {done.returncode}").splitlines()
        raise UserError(said[-1])
    return done.stdout
