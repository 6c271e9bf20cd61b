"""``cmpc new`` and ``cmpc check``, on data with one fault of each kind."""

from __future__ import annotations

import io
import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from cmpc.checking.photos import near_pairs, perceptual_hash
from cmpc.cli import main
from cmpc.models.config import PRESETS
from cmpc.weights import SHIPPED_EXAMPLES
from networks import tiny_config

PHOTOS = SHIPPED_EXAMPLES["photos"]


def prepared(folder: Path, photos: dict[str, bytes], rows: list[dict[str, Any]]) -> Path:
    """A dataset of these photos and rows."""
    (folder / "photos").mkdir()
    for name, data in photos.items():
        (folder / "photos" / name).write_bytes(data)
    table = folder / "table.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ("--images", str(folder / "photos"), "--out", str(folder / "data"), "--name", "mine", "--licence", "mine")
    assert main(["prepare", "own", str(table), *options, "--exif", "keep"]) == 0
    return folder / "data"


def row(image: str, expression: str, split: str = "train", box: tuple[int, ...] = (20, 20, 60, 60)) -> dict[str, Any]:
    return {"image": image, "expression": expression, "box": list(box), "split": split}


def encoded(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.convert("RGB").save(file, format="JPEG", **options)
    return file.getvalue()


def test_good_data_has_nothing_to_mend(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = {name: (PHOTOS / name).read_bytes() for name in ("dog.jpg", "cats.jpg")}
    absent = row("dog.jpg", "the elephant", box=())
    data = prepared(tmp_path, photos, [row("dog.jpg", "the left dog"), absent, row("cats.jpg", "the dog", "val")])
    capsys.readouterr()
    assert main(["check", str(data), "--strict", "--out", str(tmp_path / "check")]) == 0
    assert "nothing to mend was found" in capsys.readouterr().out
    sheet = Image.open(tmp_path / "check/train.png")
    assert len(np.unique(np.asarray(sheet).reshape(-1, 3), axis=0)) > 100
    assert (tmp_path / "check/val.png").exists()


def test_each_fault_is_named_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dog, cats = Image.open(PHOTOS / "dog.jpg"), Image.open(PHOTOS / "cats.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    photos = {
        "dog.jpg": (PHOTOS / "dog.jpg").read_bytes(),
        "same.jpg": (PHOTOS / "dog.jpg").read_bytes(),
        "cats.jpg": encoded(cats, quality=95),
        "cats-again.jpg": encoded(ImageEnhance.Brightness(cats.resize((160, 130))).enhance(1.1), quality=60),
        "turned.jpg": encoded(Image.open(PHOTOS / "elephant.jpg"), exif=exif),
        "broken.jpg": (PHOTOS / "giraffes.jpg").read_bytes(),
    }
    width, height = dog.size
    rows = [
        row("dog.jpg", "the dog"),
        row("dog.jpg", "the dog", box=(100, 100, 20, 20)),
        row("dog.jpg", "a speck", box=(5, 5, 3, 3)),
        row("dog.jpg", "everything", box=(0, 0, width, height)),
        row("dog.jpg", "word " * 30),
        row("same.jpg", "the dog", "val"),
        row("cats.jpg", "the cat"),
        row("cats.jpg", "the cat"),
        row("cats-again.jpg", "the speck", "val"),
        row("cats.jpg", "a zebra", "test"),
        row("turned.jpg", "the dog"),
        row("broken.jpg", "the dog"),
    ]
    data = prepared(tmp_path, photos, rows)
    (tmp_path / "photos/broken.jpg").write_bytes(b"\xff\xd8")
    capsys.readouterr()
    assert main(["check", str(data)]) == 0
    found = re.sub(r"\d+\. ", "", capsys.readouterr().out)
    for sentence in (
        "a word of the tested expressions never occurs in training ('zebra')",
        "an expression has more than 20 words (train: dog.jpg, 'word word",
        "an expression means several objects of one photo (train: dog.jpg, 'the dog')",
        "an expression stands twice for the same object (train: cats.jpg, 'the cat')",
        "a mask covers less than 0.05% of its photo (train: dog.jpg, 'a speck')",
        "a mask covers more than 95% of its photo (train: dog.jpg, 'everything')",
        "a photo is missing or broken (broken.jpg)",
        "a photo is stored turned (EXIF orientation) (turned.jpg)",
        "a photo lies in several splits (cats.jpg in train and test)",
        "a photo lies in several splits under two names (dog.jpg in train, same.jpg in val)",
        "nearly the same",
    ):
        assert sentence in found, sentence
    assert main(["check", str(data), "--strict"]) == 1
    assert "11 things to mend" in capsys.readouterr().err


def test_hash_tells_photos_apart_and_knows_copies() -> None:
    photos = {file.name: Image.open(file).convert("RGB") for file in PHOTOS.glob("*.jpg")}
    copies = {f"small-{name}": image.resize((image.width // 2, image.height // 2)) for name, image in photos.items()}
    hashes = {name: perceptual_hash(np.asarray(image)) for name, image in {**photos, **copies}.items()}
    assert near_pairs(hashes) == sorted((name, f"small-{name}") for name in photos)


def test_starter_s_own_commands_lead_from_the_table_to_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", "mine"]) == 0
    monkeypatch.chdir(tmp_path / "mine")
    monkeypatch.setitem(PRESETS, "small", tiny_config(100))
    readme = Path("README.md").read_text(encoding="utf-8")
    commands = [shlex.split(line)[1:] for line in readme.splitlines() if line.startswith("cmpc ")]
    assert [command[0] for command in commands] == ["prepare", "check", "train", "evaluate", "segment"]
    quick = {"train": ["--steps", "2", "--workers", "0", "--image.size", "64"]}
    for command in commands:
        assert main([*command, *quick.get(command[0], [])]) == 0, command
    assert Path("results/dog.overlay.png").exists()
    assert Path("check/train.png").exists()


def test_starter_does_not_write_over_anything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    assert main(["new", str(tmp_path / "mine")]) == 2
    assert "exists and is not empty" in capsys.readouterr().err
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["notes.txt"]
