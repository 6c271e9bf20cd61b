"""Folders that two commands want at once, starts that fail, disks that are full."""

from __future__ import annotations

import multiprocessing
import resource
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from pathlib import Path
from tempfile import gettempdir

import pytest
from PIL import Image

from cmpc.cli import main
from cmpc.locks import only_writer
from robustness.forks import run
from robustness.material import write_model, write_photo, write_prepared

FORK = multiprocessing.get_context("fork")
DATA = ("--data", "data", "--out", "out")
QUICK = ("--image.size", "32", "--steps", "2", "--batch-images", "2", "--workers", "0", "--accelerator", "cpu")
OWN = ("prepare", "own", "table.jsonl", "--images", ".", "--out", "out")
LOCKED = {
    "prepare": OWN,
    "phrase": ("phrase", "--annotations", "instances.json", "--images", ".", "--out", "out"),
    "compose": ("compose", "--annotations", "instances.json", "--images", "data", "--out", "out"),
    "bulk": ("bulk", "photos", "red box", "--out", "out"),
    "new": ("new", "out"),
    "blocks": ("blocks", "--images", "2", "--out", "out"),
    "pretrain": ("pretrain", *DATA),
    "train": ("train", *DATA, *QUICK),
    "evaluate": ("evaluate", *DATA, "--split", "val", "--model", "model"),
    "ablate": ("ablate", *DATA, "--split", "val"),
    "export": ("export", "--model", "model", "--out", "out"),
    "import-tf": ("import-tf", "checkpoint", "--vocabulary", "vocabulary.txt", "--out", "out"),
}
WRITING = {
    **{name: LOCKED[name] for name in ("prepare", "blocks", "train", "evaluate", "export")},
    "segment": ("segment", "photo.png", "red box", "--model", "model", "--device", "cpu", "--out", "out"),
    "explain": ("explain", "photo.png", "red box", "--model", "model", "--device", "cpu", "--out", "out.png"),
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with data, a table, a photo and a model."""
    folder = tmp_path / "place"
    folder.mkdir()
    write_prepared(folder / "data")
    write_model(folder / "model")
    write_photo(folder / "photo.png")
    row = '{"image": "photo.png", "expressions": ["red box"], "box": [20, 15, 20, 15]}\n'
    (folder / "table.jsonl").write_text(row)
    return folder


@pytest.fixture
def busy(place: Path) -> Iterator[Path]:
    """The same, where another process writes ``out``."""
    began, end = FORK.Event(), FORK.Event()

    def write(began: Event, end: Event) -> None:
        with only_writer(place / "out"):
            began.set()
            end.wait(30)

    process = FORK.Process(target=write, args=(began, end))
    process.start()
    assert began.wait(30)
    yield place
    end.set()
    process.join()


@pytest.mark.parametrize("command", LOCKED)
def test_second_command_of_a_folder_exits_with_2(
    command: str, busy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(busy)
    assert main(list(LOCKED[command])) == 2
    assert f"another process writes {busy / 'out'} at this moment" in capsys.readouterr().err
    assert not (busy / "out").exists()


def test_corrected_command_trains_where_one_with_the_wrong_photos_failed(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    (place / "others").mkdir()
    write_photo(place / "others" / "0.png")  # the first is there, and as it should be
    assert main([*LOCKED["train"], "--images", "others"]) == 1
    assert "cannot read the image others/" in capsys.readouterr().err
    assert not (place / "out").exists()
    assert main(list(LOCKED["train"])) == 0


def test_run_that_diverges_before_its_first_checkpoint_leaves_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    assert main([*LOCKED["train"], "--learning-rate", "1e18"]) == 1
    assert "the loss is no longer a number" in capsys.readouterr().err
    assert not (place / "out").exists()


def test_files_that_the_user_put_into_a_failed_run_stay(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from cmpc.training import recipe

    def fail(*_: object, **__: object) -> None:
        (place / "out" / "notes.txt").write_text("mine")
        raise OSError(28, "No space left on device")

    monkeypatch.chdir(place)
    monkeypatch.setattr(recipe, "_log_training", fail)
    assert main(list(LOCKED["train"])) == 1
    assert "out: No space left on device, so free some space there" in capsys.readouterr().err
    assert [path.name for path in (place / "out").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("command", WRITING)
def test_disk_without_room_is_named_and_nothing_is_half_written(command: str, place: Path) -> None:
    """A limit of the size of files raises where a full disk does."""
    before = {path for path in place.rglob("*") if path.name != "out"}

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    code, words = run(place, WRITING[command], limit)
    assert code == 1, words
    assert "Traceback" not in words
    assert "File too large" in words
    said = words.rpartition(f"cmpc {command}: ")[2]
    assert "out" in said or gettempdir() in said, said  # training keeps its rows in the folder for temporary files
    left = {path for path in place.rglob("*") if path not in before and path.is_file() and path.stat().st_size}
    unfinished = (".out.partial", "unfinished.jsonl")  # what the same command goes on from
    left = {path for path in left if not any(name in path.parts for name in unfinished)}
    for path in left:
        assert path.name.endswith(".mask.png"), path  # masks are written one by one, each whole
        Image.open(path).load()
