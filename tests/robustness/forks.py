"""Commands in processes of their own that need not import everything again: forks of this one."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path


def start(folder: Path, arguments: Sequence[str], before: Callable[[], object] = lambda: None) -> BaseProcess:
    """Starts ``cmpc`` in a folder, after calling ``before`` there; what it says goes to a file beside the folder."""
    process = multiprocessing.get_context("fork").Process(target=_work, args=(folder, list(arguments), before))
    process.start()
    return process


def run(folder: Path, arguments: Sequence[str], before: Callable[[], object] = lambda: None) -> tuple[int | None, str]:
    """Exit code and words of ``cmpc`` in a folder."""
    process = start(folder, arguments, before)
    process.join()
    return process.exitcode, _words(folder).read_text(encoding="utf-8", errors="replace")


def _words(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.log")


def _work(folder: Path, arguments: list[str], before: Callable[[], object]) -> None:
    from cmpc.cli import main

    os.chdir(folder)
    with _words(folder).open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False, buffering=1)
    before()
    status = main(arguments)
    sys.stdout.flush()
    os._exit(status)
