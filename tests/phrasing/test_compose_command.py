"""``cmpc compose``, as a user types it, and what its scenes show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_scenes import Box
from PIL import Image
from test_phrase_command import DOGS, write

from cmpc.cli import main
from cmpc.data.masks import decode_mask

COLOURS = {"white": (255, 255, 255), "black": (0, 0, 0), "red": (255, 0, 0)}
SCENES = 40
LONE_CAT = (Box("cat", 100, 60, 50, 60, "red"),)


def compose(folder: Path, out: Path, *more: str) -> int:
    arguments = ["--annotations", f"train={folder / 'instances.json'}", "--images", str(folder / "photos")]
    return main(["compose", *arguments, "--out", str(out), "--scenes", str(SCENES), "--workers", "1", *more])


def read(out: Path, split: str = "train") -> dict[str, Any]:
    return dict(json.loads((out / f"instances_{split}.json").read_text()))


def test_masks_of_new_scenes_fit_their_pixels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert compose(write(tmp_path / "data", DOGS, LONE_CAT), out) == 0
    assert "2 photos and 40 new scenes" in capsys.readouterr().out
    content = read(out)
    names = {category["id"]: category["name"] for category in content["categories"]}
    assert [image["file_name"] for image in content["images"][:2]] == ["1.png", "2.png"]
    assert len(content["images"]) == 2 + SCENES
    assert [one["id"] for one in content["annotations"]] == list(range(1, len(content["annotations"]) + 1))
    pasted = 0
    for image in content["images"]:
        pixels = np.asarray(Image.open(out / "images" / image["file_name"]).convert("RGB")).astype(int)
        assert pixels.shape[:2] == (image["height"], image["width"])
        covered = np.zeros(pixels.shape[:2], int)
        things = [one for one in content["annotations"] if one["image_id"] == image["id"]]
        pasted += len(things) > 3
        for one in things:
            mask = decode_mask(one["segmentation"]["counts"], image["height"], image["width"])
            covered += mask
            x, y, width, height = map(int, one["bbox"])
            assert mask[y : y + height, x : x + width].sum() == mask.sum() > 0
            darkest, brightest = pixels[mask].mean(axis=0).min(), pixels[mask].mean(axis=0).max()
            assert darkest < 80 or brightest > 170  # black, white or red as they were drawn, not the grey behind them
            assert names[one["category_id"]] in ("cat", "dog")
        assert covered.max() <= 1  # what is pasted hides what is behind it
    assert pasted > SCENES / 4


def test_number_of_processes_changes_nothing_and_the_seed_does(tmp_path: Path) -> None:
    data = write(tmp_path / "data", DOGS, LONE_CAT)
    for name, more in {"one": (), "two": ("--workers", "2"), "other": ("--seed", "1")}.items():
        assert compose(data, tmp_path / name, *more) == 0
    first, second, third = (read(tmp_path / name)["annotations"] for name in ("one", "two", "other"))
    assert first == second != third
    for image in (tmp_path / "one/images").iterdir():
        assert image.read_bytes() == (tmp_path / "two/images" / image.name).read_bytes()


def test_other_splits_are_taken_over_without_new_scenes_and_expressions_can_be_made(tmp_path: Path) -> None:
    data = write(tmp_path / "data", DOGS)
    other = write(tmp_path / "other", LONE_CAT)
    (other / "photos/1.png").rename(data / "photos/cat.png")
    content = json.loads((other / "instances.json").read_text())
    content["images"][0]["file_name"] = "cat.png"
    (data / "val.json").write_text(json.dumps(content))
    out = tmp_path / "out"
    assert compose(data, out, f"val={data / 'val.json'}") == 2  # an argument that belongs to no option
    arguments = ["--annotations", f"train={data / 'instances.json'}", f"val={data / 'val.json'}"]
    arguments += ["--images", str(data / "photos"), "--out", str(out), "--scenes", "10"]
    assert main(["compose", *arguments]) == 0
    assert [image["file_name"] for image in read(out, "val")["images"]] == ["cat.png"]
    splits = [f"{split}={out / f'instances_{split}.json'}" for split in ("train", "val")]
    phrase = ["phrase", "--annotations", *splits, "--images", str(out / "images"), "--out", str(tmp_path / "phrases")]
    assert main(phrase) == 0


def test_photos_of_splits_may_lie_in_folders_of_their_own_as_those_of_coco(tmp_path: Path) -> None:
    coco = tmp_path / "coco"
    arguments = ["--images", str(coco), "--out", str(tmp_path / "out"), "--scenes", "4", "--workers", "1"]
    arguments += ["--annotations"]
    for split, things in {"train": DOGS, "val": LONE_CAT}.items():
        given = write(tmp_path / split, things)
        coco.mkdir(exist_ok=True)
        (given / "photos").rename(coco / f"{split}2017")
        arguments.append(f"{split}={given / 'instances.json'}")
    assert main(["compose", *arguments]) == 0
    for split, count in {"train": 5, "val": 1}.items():
        files = [image["file_name"] for image in read(tmp_path / "out", split)["images"]]
        assert files[0] == f"{split}2017/1.png"
        assert len(files) == count
        first = tmp_path / "out/images" / files[0]
        assert first.read_bytes() == (coco / files[0]).read_bytes()
    splits = [f"{split}={tmp_path / f'out/instances_{split}.json'}" for split in ("train", "val")]
    images, phrases = str(tmp_path / "out/images"), str(tmp_path / "phrases")
    assert main(["phrase", "--annotations", *splits, "--images", images, "--out", phrases]) == 0


@pytest.mark.parametrize(
    ("change", "more", "status", "sentence"),
    [
        ({}, ("--scenes", "-1"), 2, "--scenes must not be negative"),
        ({"missing": True}, (), 1, "photos that are missing"),
        ({"empty": True}, (), 1, "no annotation with a mask"),
        ({"shrunk": True}, (), 1, "1.png is 100 x 80 pixels, its annotations 320 x 240"),
    ],
)
def test_bad_input_is_answered_with_a_sentence_and_nothing_is_written(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, bool],
    more: tuple[str, ...],
    status: int,
    sentence: str,
) -> None:
    data = write(tmp_path / "data", DOGS)
    if change.get("missing"):
        (data / "photos/1.png").unlink()
    if change.get("shrunk"):
        Image.new("RGB", (100, 80)).save(data / "photos/1.png")
    if change.get("empty"):
        content = json.loads((data / "instances.json").read_text())
        for one in content["annotations"]:
            del one["segmentation"]
        (data / "instances.json").write_text(json.dumps(content))
    assert compose(data, tmp_path / "out", *more) == status
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_nothing_but_earlier_scenes_is_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write(tmp_path / "data", DOGS)
    for out in (data, data / "photos"):
        assert compose(data, out) == 1
        assert "the photos lie in it" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    assert compose(data, tmp_path / "mine") == 1
    assert "holds other files (such as notes.txt)" in capsys.readouterr().err
    assert (tmp_path / "mine/notes.txt").read_text() == "mine"
    assert compose(data, tmp_path / "out") == compose(data, tmp_path / "out") == 0
