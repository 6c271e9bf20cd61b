"""``cmpc segment`` as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from cmpc.cli import main


def segment(*arguments: str | Path) -> int:
    return main(["segment", *map(str, arguments)])


def test_photo_and_expressions_give_masks_overlay_and_json(
    photo: Path, tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert segment(photo, "the left man", "White frisbee!", "--model", tiny_model_folder, "--out", out) == 0
    assert sorted(file.name for file in out.iterdir()) == [
        "photo.1-the-left-man.mask.png",
        "photo.2-white-frisbee.mask.png",
        "photo.json",
        "photo.overlay.png",
    ]
    report = json.loads((out / "photo.json").read_text())
    assert (report["height"], report["width"]) == (90, 140)
    for prediction in report["predictions"]:
        mask = np.asarray(Image.open(out / prediction["mask"]))
        assert mask.shape == (90, 140)
        assert set(np.unique(mask)) <= {0, 255}
        np.testing.assert_array_equal(mask > 0, coco_mask.decode(prediction["rle"]).astype(bool))
        assert prediction["area"] == (mask > 0).sum()
    overlay = Image.open(out / "photo.overlay.png")
    assert overlay.width == 140
    assert overlay.height > 90  # the legend stands below
    assert " s" in capsys.readouterr().err  # how long each step took


def test_folder_list_and_several_photos_work(photo: Path, tiny_model_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "photo.jpg").write_bytes(photo.read_bytes())
    Image.open(photo).save(folder / "other.png")
    (folder / "notes.md").write_text("no photo")
    (tmp_path / "list.txt").write_text("photos/other.png\n\nphoto.jpg\n")
    options = ("dog", "--model", tiny_model_folder)
    assert segment(folder, *options, "--out", tmp_path / "a") == 0
    assert {file.name for file in (tmp_path / "a").glob("*.json")} == {"photo.json", "other.json"}
    assert segment(tmp_path / "list.txt", *options, "--out", tmp_path / "b") == 0
    assert {file.name for file in (tmp_path / "b").glob("*.json")} == {"photo.json", "other.json"}
    assert segment(photo, folder / "photo.jpg", *options, "--out", tmp_path / "c") == 0
    assert {file.name for file in (tmp_path / "c").glob("*.json")} == {"photo.json", "photo-2.json"}


def test_broken_photo_does_not_stop_the_others(
    photo: Path, tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no more")
    out = tmp_path / "out"
    assert segment(tmp_path / "broken.jpg", photo, "dog", "--model", tiny_model_folder, "--out", out) == 1
    assert (out / "photo.json").exists()
    assert not list(out.glob("broken*"))
    assert "1 of 2 photos failed" in capsys.readouterr().err


def test_unknown_words_are_warned_about(
    photo: Path, tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert segment(photo, "purple dog", "--model", tiny_model_folder, "--out", tmp_path / "out") == 0
    assert "'purple'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("missing.jpg", "dog"), 1, "there is no photo missing.jpg"),
        (("PHOTO",), 2, "say what to look for"),
        (("PHOTO", ""), 1, "holds no word"),
        (("PHOTO", "dog", "--device", "abacus"), 1, "there is no device 'abacus'"),
        (("PHOTO", "dog", "--threshold", "7"), 1, "between 0 and 1"),
    ],
)
def test_mistakes_are_answered_with_one_sentence(
    arguments: tuple[str, ...],
    status: int,
    message: str,
    photo: Path,
    tiny_model_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [str(photo) if argument == "PHOTO" else argument for argument in arguments]
    assert segment(*given, "--model", tiny_model_folder, "--out", tmp_path / "out") == status
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_missing_option_exits_with_2(photo: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cmpc", "segment", str(photo), "dog"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback(photo: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cmpc", "segment", str(photo), "dog", "--model", "nowhere/at/all"]
    done = subprocess.run([*command, "--out", str(tmp_path), "--debug"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    done = subprocess.run([*command, "--out", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("cmpc segment: nowhere/at/all does not exist")
