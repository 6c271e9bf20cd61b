"""Damages files at random and reads them: each is read, or refused by one sentence, soon and in little memory."""

from __future__ import annotations

import random
import resource
import shutil
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cmpc.errors import UserError
from fuzz.mutations import mutate
from fuzz.readers import READERS, Reader

MOST_SECONDS = 10.0
MOST_MEMORY = 2 * 2**30
"""Seconds and bytes that no damaged file may take."""


class Fault(Exception):
    """A damaged file was answered with something else than a sentence. It says with which seed."""


def fresh_seed() -> int:
    """A seed that nobody has tried yet, most likely."""
    return random.SystemRandom().randrange(10**9)


def fuzz(seconds: float, *, seed: int, only: Sequence[str] = tuple(READERS), keep: Path | None = None) -> Counter:
    """Reads damaged files in turns over the readers until the time is over.

    Args:
        seconds: time to spend.
        seed: decides the damages.
        only: names of readers.
        keep: where the damaged file of a fault is kept.

    Returns:
        For each reader how many files it was given.

    Raises:
        Fault: names the seed, the reader, the damaged file and what it raised.
    """
    generator, tried, end = random.Random(seed), Counter(), time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="cmpc-fuzz-") as place:
        sound = {name: _write(READERS[name], Path(place) / name.replace(" ", "-")) for name in only}
        while time.monotonic() < end:
            for name in only:
                file = generator.choice(sound[name])
                with _damaged(file, mutate(file.read_bytes(), generator)):
                    _read(name, Path(place) / name.replace(" ", "-"), file, seed, keep)
                tried[name] += 1
    return tried


def _write(reader: Reader, folder: Path) -> list[Path]:
    folder.mkdir()
    files = reader.write(folder)
    reader.read(folder)  # sound as they are
    return files


@contextmanager
def _damaged(file: Path, content: bytes) -> Iterator[None]:
    before = file.read_bytes()
    file.write_bytes(content)
    try:
        yield
    finally:
        file.write_bytes(before)


def _read(name: str, folder: Path, file: Path, seed: int, keep: Path | None) -> None:
    began, memory = time.process_time(), _memory()  # of this process alone: the machine may have other work
    try:
        READERS[name].read(folder)
        fault = None
    except UserError as error:
        fault = f"two lines: {error}" if "\n" in str(error) else None
    except Exception:
        fault = traceback.format_exc(limit=-4)
    if time.process_time() - began > MOST_SECONDS:
        fault = f"it took {time.process_time() - began:.0f} s"
    if _memory() - memory > MOST_MEMORY:
        fault = f"it took {(_memory() - memory) / 2**30:.1f} GiB"
    if fault is not None:
        kept = ""
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            kept = f" (kept in {shutil.copy(file, keep)})"
        raise Fault(f"{name}, with --seed {seed}: {file.name}{kept}: {fault}")


def _memory() -> int:
    """Most memory that this process has taken, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
