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


def test_names_in_a_folder_that_are_no_photos_are_told(
    photo: Path, tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos"
    (folder / "below.jpg").mkdir(parents=True)
    for name in ("._photo.jpg", "Thumbs.db", "notes.md"):
        (folder / name).write_bytes(b"\x00\x05")
    (folder / "photo.JPG").write_bytes(photo.read_bytes())
    assert segment(folder, "dog", "--model", tiny_model_folder, "--out", tmp_path / "out") == 0
    told = f"4 of 5 names in {folder} are no photos and are skipped: ._photo.jpg, Thumbs.db, below.jpg and 1 more."
    assert told in capsys.readouterr().err
    assert [file.name for file in (tmp_path / "out").glob("*.json")] == ["photo.json"]


def test_patterns_are_read_where_no_shell_has_done_it(photo: Path, tiny_model_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "some [photos]"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_bytes(photo.read_bytes())
    (tmp_path / "list.txt").write_text("some [photos]\\a.jpg\n*/b.j*\n")
    options = ("dog", "--model", tiny_model_folder)
    assert segment(tmp_path / "list.txt", *options, "--out", tmp_path / "one") == 0
    assert segment(tmp_path / "some*" / "*.jpg", *options, "--out", tmp_path / "two") == 0
    for out in ("one", "two"):
        assert {file.name for file in (tmp_path / out).glob("*.json")} == {"a.json", "b.json"}


def test_broken_photo_does_not_stop_the_others(
    photo: Path, tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no more")
    out = tmp_path / "out"
    assert segment(tmp_path / "broken.jpg", photo, "dog", "--model", tiny_model_folder, "--out", out) == 1
    assert (out / "photo.json").exists()
    assert not list(out.glob("broken*"))
    assert "1 of 2 photos failed" in capsys.readouterr().err


def test_every_failed_photo_is_named(
    photo: Path, tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = [tmp_path / name for name in ("one.jpg", "two.jpg")]
    for file in broken:
        file.write_bytes(b"no image")
    assert segment(*broken, photo, "dog", "--model", tiny_model_folder, "--out", tmp_path / "out [/x]") == 1
    error = capsys.readouterr().err
    assert all(f"{file}: failed: " in error for file in broken)


def test_list_of_another_program_is_read_and_a_bad_one_refused(
    photo: Path, tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "list.txt"
    options = ("dog", "--model", tiny_model_folder, "--out", tmp_path / "out")
    photos.write_bytes(b"\xef\xbb\xbfphoto.jpg\r\n")  # as Windows' Notepad writes it
    assert segment(photos, *options) == 0
    capsys.readouterr()
    for content, message in ((b"\xff\xfe\x00", "not a list of photos"), (b" \n\n", "lists no photo")):
        photos.write_bytes(content)
        assert segment(photos, *options) == 1
        assert message in capsys.readouterr().err


def test_results_beside_the_photos_are_not_segmented_again(photo: Path, tiny_model_folder: Path) -> None:
    options = ("dog", "--model", tiny_model_folder, "--out", photo.parent)
    assert segment(photo.parent, *options) == 0
    written = sorted(photo.parent.iterdir())
    assert segment(photo.parent, *options) == 0
    assert sorted(photo.parent.iterdir()) == written


def test_results_that_cannot_be_written_are_told_in_one_sentence(
    photo: Path, tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert segment(photo, "dog", "--model", tiny_model_folder, "--out", tmp_path / "file") == 1
    assert capsys.readouterr().err == f"cmpc segment: {tmp_path / 'file'} is a file: give a folder with --out.\n"
    long = photo.rename(tmp_path / f"{'n' * 250}.jpg")
    assert segment(long, "dog", "--model", tiny_model_folder, "--out", tmp_path / "out") == 1
    assert "cannot write the results of" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_expression_may_be_long_or_the_name_of_a_folder(
    photo: Path,
    tiny_model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "dog").mkdir()
    monkeypatch.chdir(tmp_path)
    assert segment("photo.jpg", "dog", "--model", tiny_model_folder, "--out", "out") == 0
    assert json.loads(Path("out/photo.json").read_text())["predictions"][0]["expression"] == "dog"
    assert segment("photo.jpg", "man " * 100, "--model", tiny_model_folder, "--out", "out") == 0
    assert "reads only the first 20 words" in capsys.readouterr().err
    assert json.loads(Path("out/photo.json").read_text())["predictions"][0]["cut_words"] == ["man"] * 80


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
        (("", "dog"), 2, "say what to look for"),
        (("PHOTO", ""), 1, "holds no word"),
        (("PHOTO", "?!"), 1, "holds no word"),
        (("PHOTO", "dog", "--model", "PHOTO"), 1, "is not a model folder"),
        (("PHOTO", "dog", "--model", ""), 2, "--model is empty"),
        (("PHOTO", "dog", "--device", "abacus"), 1, "there is no device 'abacus'"),
        (("PHOTO", "dog", "--device", "meta"), 1, "there is no device 'meta'"),
        (("PHOTO", "dog", "--threshold", "7"), 2, "between 0 and 1"),
        (("PHOTO", "dog", "--threshold", "nan"), 2, "must be a finite number"),
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
    model = () if "--model" in given else ("--model", tiny_model_folder)
    assert segment(*given, *model, "--out", tmp_path / "out") == status
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
