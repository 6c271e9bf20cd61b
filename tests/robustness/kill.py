"""``python -m tests.robustness.kill --moments 25``: commands that are killed, by ``kill -9``.

Each command that writes a folder is killed at random moments, and before and after each renaming of a file or folder.
Afterwards every file must be whole, old or new; the same command, with ``--resume`` where there is
one, must complete the work, to the result of a run that nobody killed, and leave nothing beside it.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from robustness.forks import run, start
from robustness.material import write_model, write_photo, write_prepared

UNLIKE = ("training.csv", "validation.csv", "training_state.json", "validation.json")
"""Files that tell the time."""
Tree = dict[str, str]


@dataclass(frozen=True)
class Work:
    """A command to be killed."""

    prepare: Callable[[Path], None]
    """Writes what it needs into the current folder."""
    arguments: tuple[str, ...]
    """The command, which writes the folder ``out``."""
    completing: tuple[str, ...] = ()
    """What is added to complete it after a kill."""
    starts_threads: tuple[str, ...] = ()
    """Modules to import before it is forked, where it starts threads of a runtime: after a whole run of it, forks of
    the same process would hang."""
    only_new: bool = False
    """Whether it refuses a folder that is there."""
    resumes: bool = False
    """Whether its folder grows while it runs; elsewhere it is the old or the new one, whole."""


def _photos(folder: Path) -> None:
    write_photo(folder / "photo.png")
    rows = [{"image": "photo.png", "expressions": ["red box", "left one"], "box": [20, 15, 20, 15]}] * 6
    (folder / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _old_dataset(folder: Path) -> None:
    _photos(folder)
    arguments = ["prepare", "own", "table.jsonl", "--images", ".", "--out", "out", "--name", "old"]
    assert _run(folder, arguments) == 0


def _scenes(folder: Path) -> None:
    write_prepared(folder / "data")


def _scenes_and_model(folder: Path) -> None:
    _scenes(folder)
    write_model(folder / "model")


def _instances(folder: Path) -> None:
    write_photo(folder / "photo.png")
    boxes = ([20, 15, 20, 15], [50, 30, 20, 20], [5, 40, 10, 10])
    instances = {
        "images": [{"id": 1, "file_name": "photo.png", "width": 80, "height": 60}],
        "annotations": [
            {
                "id": number,
                "image_id": 1,
                "category_id": number,
                "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
            }
            for number, (x, y, w, h) in enumerate(boxes)
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(("box", "dog", "car"))],
    }
    (folder / "instances.json").write_text(json.dumps(instances))


def _old_scenes(folder: Path) -> None:
    _instances(folder)
    assert _run(folder, [*_COMPOSE, "--scenes", "1"]) == 0


def _blocks(folder: Path) -> None:
    from cmpc.blocks.dataset import Settings, make_blocks

    make_blocks(folder / "data", Settings(seed=0, size=64, splits={"train": 4, "val": 2}))


def _photos_and_model(folder: Path) -> None:
    write_model(folder / "model")
    (folder / "photos").mkdir()
    for number in range(3):
        write_photo(folder / "photos" / f"{number}.png")


_COMPOSE = ("compose", "--annotations", "instances.json", "--images", ".", "--out", "out", "--workers", "1")
_ASKED = ("photos", "red box", "left one", "--model", "model", "--device", "cpu", "--out", "out")
_QUICK = (
    *("--image.size", "32", "--steps", "6", "--save-every", "2", "--log-every", "1", "--batch-images", "2"),
    *("--workers", "0", "--accelerator", "cpu", "--precision", "32", "--backbone.channels", "8", "8", "8", "8"),
    *("--network.multimodal-channels", "8", "--network.fusion-channels", "8", "--network.word-type-channels", "8"),
    *("--network.refinement-channels", "8", "--text.embedding-channels", "8", "--text.word-channels", "8"),
)
WORKS = {
    "prepare": Work(_old_dataset, ("prepare", "own", "table.jsonl", "--images", ".", "--out", "out", "--pack")),
    "train": Work(_scenes, ("train", "--data", "data", "--out", "out", *_QUICK), ("--resume",), resumes=True),
    "evaluate": Work(
        _scenes_and_model,
        ("evaluate", "--data", "data", "--split", "train", "--model", "model", "--device", "cpu", "--out", "out"),
        ("--resume",),
        resumes=True,
    ),
    "blocks": Work(lambda folder: None, ("blocks", "--images", "2", "--size", "64", "--workers", "1", "--out", "out")),
    "compose": Work(_old_scenes, (*_COMPOSE, "--scenes", "3")),
    "phrase": Work(
        _instances, ("phrase", "--annotations", "instances.json", "--images", ".", "--out", "out", "--pack")
    ),
    "pretrain": Work(_blocks, ("pretrain", "--data", "data", "--out", "out", *_QUICK), ("--resume",), resumes=True),
    "segment": Work(_photos_and_model, ("segment", *_ASKED), ("--resume",), resumes=True),
    "bulk": Work(_photos_and_model, ("bulk", *_ASKED, "--rows-per-part", "1"), ("--resume",), resumes=True),
    "new": Work(lambda folder: None, ("new", "out"), only_new=True),
    "export": Work(
        _scenes_and_model,
        ("export", "--model", "model", "--out", "out"),
        only_new=True,
        starts_threads=("torch.onnx", "torch.export", "onnxruntime", "cmpc.export.folder"),
    ),
}


def kill_again_and_again(name: str, moments: int, renamings: int | None = None, seed: int = 0) -> int:
    """Kills a command at random moments, and right before or after its renamings; returns how often it was killed.

    Args:
        name: of the command.
        moments: how many random moments.
        renamings: how many of the moments before and after each renaming; None: all of them.
        seed: decides which.

    Raises:
        AssertionError: a file was neither old nor new, or the work could not be completed.
    """
    work, generator = WORKS[name], random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="cmpc-kill-") as place:
        sound = Path(place) / "sound"
        sound.mkdir()
        work.prepare(sound)
        old = tree(sound / "out")
        _import(_copy(sound, Path(place) / "import"), work)
        whole = _copy(sound, Path(place) / "whole")
        began = time.monotonic()
        _run(whole, work.arguments)
        seconds, new = time.monotonic() - began, tree(whole / "out")
        there = _renamings(_copy(sound, Path(place) / "counted"), work)
        chosen = there if renamings is None else generator.sample(there, min(renamings, len(there)))
        kills = 0
        for number, how in enumerate([*(generator.uniform(0, seconds) for _ in range(moments)), *chosen]):
            folder = _copy(sound, Path(place) / str(number))
            kills += _kill(folder, work, how) == -signal.SIGKILL
            found = tree(folder / "out")
            about = f"{name} killed at {how}"
            if not work.resumes:
                assert found in (old, new), f"{about}: {sorted(found)} is neither old nor new"
            _assert_readable(folder / "out", about)
            _complete(folder, work, about)
            assert tree(folder / "out") == new, f"{about}: completed, it is another result"
            beside = [str(path.relative_to(folder)) for path in folder.rglob(".*")]
            assert not beside, f"{about}: left beside it are {beside}"
            shutil.rmtree(folder)
    return kills


def tree(folder: Path) -> Tree:
    """Each file of a folder, and what is in it; none where it does not exist."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(_content(path)).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in UNLIKE and not path.name.startswith("events.out")
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)  # not whole yet
    }


def _content(path: Path) -> bytes:
    """What is in a file, without the times that answers took."""
    if path.suffix != ".parquet":
        return path.read_bytes()
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    timeless = [name for name in table.column_names if name != "seconds"]
    return repr(table.select(timeless).to_pylist()).encode()


def _complete(folder: Path, work: Work, about: str) -> None:
    """Gives the command again, as a user does who reads what it says."""
    begun = bool(tree(folder / "out"))
    refused = work.only_new and begun
    status = _run(folder, (*work.arguments, *(work.completing if begun else ())))
    assert status == (2 if refused else 0), f"{about}: it cannot be completed"


def _assert_readable(out: Path, about: str) -> None:
    """Every file that a reader knows is whole."""
    from safetensors.torch import load_file

    readers: dict[str, Callable[[Path], object]] = {
        ".json": lambda path: json.loads(path.read_text()),
        ".safetensors": load_file,
    }
    for path in out.rglob("*"):
        if path.suffix in readers:
            try:
                readers[path.suffix](path)
            except Exception as error:
                raise AssertionError(f"{about}: {path.name} is not whole ({error})") from error


# Processes -----------------------------------------------------------------------------------------------------------
def _import(folder: Path, work: Work) -> None:
    """Gives the command in this process, so that its forks need not import again what it imports."""
    from cmpc.cli import main

    if work.starts_threads:
        for module in work.starts_threads:
            importlib.import_module(module)
        return
    with contextlib.chdir(folder), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        assert main(work.arguments) == 0, f"{work.arguments[0]} fails by itself"


def _run(folder: Path, arguments: Sequence[str]) -> int | None:
    return run(folder, arguments)[0]


def _kill(folder: Path, work: Work, how: float | tuple[int, str]) -> int | None:
    """Kills the command after so many seconds, or before or after so many renamings."""
    if isinstance(how, tuple):
        return run(folder, work.arguments, partial(_count_renamings, *how))[0]
    process = start(folder, work.arguments)
    process.join(how)
    with suppress(ProcessLookupError):
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    return process.exitcode


def _renamings(folder: Path, work: Work) -> list[tuple[int, str]]:
    """Every renaming of the command, before and after."""
    counted = folder / "renamings"
    run(folder, work.arguments, partial(_count_renamings, 0, str(counted)))
    number = len(counted.read_text()) if counted.exists() else 0
    return [(count, when) for count in range(1, number + 1) for when in ("before", "after")]


def _count_renamings(last: int, when: str) -> None:
    """Has this process die at a renaming; with the number 0 it writes a letter for each into a file instead."""
    from cmpc import files

    count = 0

    def counting(function: Callable[..., object]) -> Callable[..., object]:
        def rename(*arguments: object, **named: object) -> object:
            nonlocal count
            count += 1
            if last == 0:
                with open(when, "a") as file:
                    file.write("r")
            if (count, "before") == (last, when):
                os.kill(os.getpid(), signal.SIGKILL)
            result = function(*arguments, **named)
            if (count, "after") == (last, when):
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return rename

    os.rename, os.replace = counting(os.rename), counting(os.replace)  # type: ignore[assignment]
    files.exchange = counting(files.exchange)  # type: ignore[assignment]


def _copy(sound: Path, folder: Path) -> Path:
    return Path(shutil.copytree(sound, folder))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.robustness.kill", description=__doc__)
    parser.add_argument("--moments", type=int, default=25, help="random moments for each command")
    parser.add_argument("--only", nargs="*", choices=WORKS, default=list(WORKS), help="some of the commands")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name in options.only:
        began = time.monotonic()
        kills = kill_again_and_again(name, options.moments, seed=options.seed)
        print(f"{name}: killed {kills} times, complete each time ({time.monotonic() - began:.0f} s)")


if __name__ == "__main__":
    main()
