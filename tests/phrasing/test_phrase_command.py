"""``cmpc phrase``, as a user types it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_scenes import Box, draw
from PIL import Image

from cmpc.cli import main
from cmpc.data.masks import encode_mask
from cmpc.data.schema import PreparedDataset
from cmpc.data.vocabulary import tokenize
from cmpc.phrasing.meaning import FAMILIES

REFER = Path(__file__).parents[1] / "data" / "refer"
DOGS = (Box("dog", 20, 80, 60, 60, "white"), Box("dog", 200, 80, 60, 60, "black"), Box("cat", 130, 40, 40, 40, "black"))

Change = Callable[[dict[str, Any]], object]


def phrase(folder: Path, *more: str) -> int:
    """Runs the command on a folder that ``write`` made."""
    arguments = ["--images", str(folder / "photos"), "--annotations", str(folder / "instances.json")]
    return main(["phrase", *arguments, "--out", str(folder / "out"), *more])


def write(folder: Path, *scenes: tuple[Box, ...], change: Change = lambda content: None) -> Path:
    """Draws photos and writes instances for them; ``change`` breaks something."""
    (folder / "photos").mkdir(parents=True)
    kinds = sorted({box.kind for boxes in scenes for box in boxes})
    content: dict[str, Any] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": number, "name": kind} for number, kind in enumerate(kinds, start=1)],
    }
    for number, boxes in enumerate(scenes, start=1):
        image, masks = draw(boxes)
        height, width = image.shape[:2]
        Image.fromarray(image).save(folder / "photos" / f"{number}.png")
        content["images"].append({"id": number, "file_name": f"{number}.png", "height": height, "width": width})
        for box, mask in zip(boxes, masks, strict=True):
            content["annotations"].append(
                {
                    "id": len(content["annotations"]) + 1,
                    "image_id": number,
                    "category_id": kinds.index(box.kind) + 1,
                    "segmentation": {"size": [height, width], "counts": encode_mask(mask)},
                    "bbox": [box.x, box.y, box.width, box.height],
                    "iscrowd": 0,
                    "quality": box.quality,
                }
            )
    change(content)
    (folder / "instances.json").write_text(json.dumps(content))
    return folder


def test_instances_of_coco_become_a_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shutil.copytree(REFER, tmp_path / "refer")
    instances = str(folder / "refcoco" / "instances.json")
    out = tmp_path / "out"
    arguments = ["--annotations", f"train={instances}", f"val={instances}", "--images", str(folder), "--out", str(out)]
    assert main(["phrase", *arguments, "--name", "mine", "--licence", "CC BY 4.0"]) == 0
    printed = capsys.readouterr().out
    assert all(family in printed for family in FAMILIES)
    assert f"written to {out}" in printed
    dataset = PreparedDataset.open(out)
    assert (dataset.info.name, dataset.info.licence, dataset.splits) == ("mine", "CC BY 4.0", ["train", "val"])
    rows = dataset.read("train")
    assert {"person", "giraffe"} <= {row.category for row in rows}
    for row in rows:
        assert dataset.read_image(row).shape == (row.height, row.width, 3)
        assert len(row.expressions) == len(set(row.expressions)) <= 5
        assert set(row.groups) <= set(FAMILIES)
        for text, types, grounding in zip(row.expressions, row.word_types, row.grounding, strict=True):
            assert len(types) == len(tokenize(text))
            noun = next(position for position, kind in enumerate(types) if kind == "entity")
            mask = next(row.decode(one.rle) for one in grounding if noun in one.words)
            assert (mask & row.decode_mask()).sum() == row.decode_mask().sum()


def test_same_seed_writes_the_same_bytes_and_splits_differ(tmp_path: Path) -> None:
    folder = write(tmp_path, DOGS)
    written = []
    for seed in ("1", "1", "2"):
        assert phrase(folder, "--seed", seed) == 0
        written.append((folder / "out" / "train-00000.parquet").read_bytes())
    assert written[0] == written[1] != written[2]


def test_options_say_how_many_and_of_whom(tmp_path: Path) -> None:
    teacher = Box("horse", 20, 150, 60, 60, quality="teacher")
    folder = write(tmp_path, (*DOGS, teacher))
    assert phrase(folder, "--per-object", "3", "--pack") == 0
    dataset = PreparedDataset.open(folder / "out")
    assert {row.category: len(row.expressions) for row in dataset.read("train")} == {"dog": 3, "cat": 3}
    assert phrase(folder, "--quality", "teacher") == 0
    assert {row.category for row in PreparedDataset.open(folder / "out").read("train")} == {"horse"}
    assert phrase(folder, "--smallest", "0.03") == 0
    assert {row.category for row in PreparedDataset.open(folder / "out").read("train")} == {"dog"}


def test_groups_and_absent_things_are_rows_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path, DOGS, DOGS[2:])
    assert phrase(folder, "--several-per-photo", "3", "--absent-per-photo", "4") == 0
    rows = PreparedDataset.open(folder / "out").read("train")
    together = [row for row in rows if set(row.groups) == {"several"}]
    for row in together:
        union = np.any([row.decode(rle) for rle in row.instances], axis=0)
        np.testing.assert_array_equal(row.decode_mask(), union)
        assert not row.is_empty
    assert {len(row.instances) for row in together} == {2, 3}  # dogs, and animals
    absent = [row for row in rows if row.is_empty]
    assert [row.image for row in absent] == ["1.png", "2.png"]
    for row in absent:
        assert set(row.groups) == {"absent"}
        assert 1 <= len(row.expressions) <= 4
        assert not row.decode_mask().any()
    assert phrase(folder, "--absent-per-photo", "-1") == 2
    assert "--absent-per-photo is a number from 0 to 1,000, not -" in capsys.readouterr().err


def test_rows_say_the_kinds_of_photos_in_which_all_of_a_benchmark_are_annotated(tmp_path: Path) -> None:
    scenes = (DOGS, DOGS[2:], DOGS[:2], DOGS, DOGS)

    def kinds_of(**annotated: str) -> dict[str, tuple[str, ...]]:
        def change(content: dict[str, Any]) -> None:
            for number, text in annotated.items():
                content["images"][int(number[-1]) - 1]["annotated"] = text
            hat = {"id": 9, "name": "hat"}  # no kind of COCO's: nobody annotates all hats
            content["categories"].append(hat)
            content["annotations"].append(content["annotations"][0] | {"id": 99, "category_id": 9})

        shutil.rmtree(tmp_path / "made", ignore_errors=True)
        folder = write(tmp_path / "made", *scenes, change=change)
        assert phrase(folder) == 0
        return {row.image_id: row.kinds for row in PreparedDataset.open(folder / "out").read("train")}

    whole = {"1": ("cat", "dog"), "2": ("cat",), "3": ("dog",), "4": ("cat", "dog"), "5": ("cat", "dog")}
    assert kinds_of() == whole
    partly = kinds_of(photo_1="one object", photo_3="kinds: dog", photo_4="voc20")
    assert partly == whole | {"1": (), "3": (), "4": ()}  # COCO's kinds of two photos are more than VOC's of three
    voc = {f"photo_{number}": "voc20" for number in (1, 3, 4, 5)}
    assert kinds_of(**voc) == whole
    assert kinds_of(**dict.fromkeys((*voc, "photo_2"), "kinds: dog cat")) == dict.fromkeys(whole, ())


def test_each_split_may_have_its_own_folder_of_photos(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write(tmp_path / split, DOGS, DOGS[:2])
        (tmp_path / "coco").mkdir(exist_ok=True)
        shutil.move(tmp_path / split / "photos", tmp_path / "coco" / f"{split}2017")
    files = [f"{split}={tmp_path / split / 'instances.json'}" for split in ("train", "val")]
    command = ["phrase", "--annotations", *files, "--images", str(tmp_path / "coco"), "--out", str(tmp_path / "out")]
    assert main(command) == 0
    dataset = PreparedDataset.open(tmp_path / "out")
    for split in ("train", "val"):
        rows = dataset.read(split)
        assert {row.image for row in rows} == {f"{split}2017/1.png", f"{split}2017/2.png"}
        assert dataset.read_image(rows[0]).any()


def test_a_kind_of_ones_own_is_called_by_its_name(tmp_path: Path) -> None:
    def annotate(content: dict[str, Any]) -> None:
        content["images"][0]["annotated"] = "kinds: Drum kit"

    kits = (Box("Drum kit", 20, 80, 60, 60), Box("Drum kit", 200, 80, 60, 60))
    assert phrase(write(tmp_path, kits, change=annotate)) == 0
    texts = [text for row in PreparedDataset.open(tmp_path / "out").read("train") for text in row.expressions]
    assert any(re.search("left drum kit|drum kit on the left", text) for text in texts)


def test_boxes_without_masks_are_context(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def unmask(content: dict[str, Any]) -> None:
        del content["annotations"][1]["segmentation"]

    assert phrase(write(tmp_path, DOGS, change=unmask)) == 0
    assert "annotations with a box and no mask, spoken of only beside others: 1" in capsys.readouterr().out
    rows = PreparedDataset.open(tmp_path / "out").read("train")
    assert [row.ref_id for row in rows] == ["1", "3"]
    assert any("left" in text for text in rows[0].expressions)
    assert not {"the dog", "dog"} & set(rows[0].expressions)


def first_annotation(**values: Any) -> Change:
    return lambda content: content["annotations"][0].update(values)


def first_image(**values: Any) -> Change:
    return lambda content: content["images"][0].update(values)


BROKEN: list[tuple[Change, str]] = [
    (first_annotation(category_id=99), "photos with annotations whose category has no name: 1 .first: annotation 1 of"),
    (first_annotation(image_id=99), "annotations of photos that are not in the file: 1"),
    (first_annotation(segmentation={"size": [240, 320], "counts": "!!"}), "broken masks: 1 .first: annotation 1 "),
    (first_annotation(segmentation=[[1, 2, 3, 4]]), "broken masks: 1"),
    (first_annotation(segmentation=[], bbox=[0, 0, 0, 0]), "annotations with neither mask nor box: 1"),
    (first_annotation(quality="fine"), "annotations whose quality is none of exact, teacher, split, rough: 1"),
    (first_image(annotated="some"), "images whose annotated is none of .*: 1 .*'some'"),
    (first_image(height="240"), "damaged image entries: 1"),
    (first_image(file_name="../1.png"), "damaged image entries: 1 .*not a path inside"),
    (first_image(file_name="7.png"), "photos that are missing in .*: 1 .first: 7.png"),
    (first_image(height=200), "broken masks: 3"),
]


@pytest.mark.parametrize(("change", "message"), BROKEN)
def test_what_is_broken_is_counted_refused_and_skipped_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Change, message: str
) -> None:
    folder = write(tmp_path, DOGS, DOGS, change=change)
    assert phrase(folder) == 1
    error = capsys.readouterr().err.strip()
    assert re.search(message, error), error
    assert error.count("\n") == 0
    assert "--skip-broken" in error
    assert not (folder / "out").exists()
    assert phrase(folder, "--skip-broken") == 0
    assert re.search(f"left out, .*{message}", capsys.readouterr().out)


@pytest.mark.parametrize("name", [None, "", 5])
def test_categories_without_names_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: object) -> None:
    folder = write(tmp_path, DOGS, DOGS, change=lambda content: content["categories"][1].update(name=name))
    assert phrase(folder) == 1
    assert "photos with annotations whose category has no name: 2" in capsys.readouterr().err
    assert phrase(folder, "--skip-broken") == 1
    assert "no expression could be made: of 0 annotations" in capsys.readouterr().err


def test_a_broken_mask_silences_its_kind(tmp_path: Path) -> None:
    change = first_annotation(segmentation={"size": [240, 320], "counts": "!!"})
    assert phrase(write(tmp_path, DOGS, change=change), "--skip-broken") == 0
    assert [row.category for row in PreparedDataset.open(tmp_path / "out").read("train")] == ["cat"]


def test_photos_that_are_turned_or_cut_short_or_of_another_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path, DOGS, DOGS, DOGS, DOGS)
    photos = folder / "photos"
    turned = Image.open(photos / "1.png").transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(photos / "1.png", exif=exif)
    Image.new("RGB", (50, 50)).save(photos / "2.png")
    (photos / "3.png").write_bytes(b"no photo")
    assert phrase(folder) == 1
    error = capsys.readouterr().err
    assert "photos of another size than their annotations: 1 (first: 2.png is 50 x 50" in error
    assert "photos that cannot be read: 1" in error
    assert phrase(folder, "--skip-broken") == 0
    dataset = PreparedDataset.open(folder / "out")
    rows = {row.image: row for row in dataset.read("train")}
    assert set(rows) == {"1.png", "4.png"}
    assert dataset.info.turned_images == ["1.png"]
    assert (dataset.read_image(rows["1.png"]) == dataset.read_image(rows["4.png"])).all()


def test_a_photo_whose_pixels_are_damaged_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path, DOGS, DOGS)
    data = (folder / "photos" / "1.png").read_bytes()
    (folder / "photos" / "1.png").write_bytes(data[: len(data) // 2])
    assert phrase(folder) == 1
    assert "photos that cannot be read: 1" in capsys.readouterr().err
    assert not (folder / "out").exists()
    assert phrase(folder, "--skip-broken") == 0
    assert {row.image for row in PreparedDataset.open(folder / "out").read("train")} == {"2.png"}


def test_an_empty_result_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path, (Box("dog", 20, 80, 60, 60, quality="rough"),))
    assert phrase(folder) == 1
    error = capsys.readouterr().err
    assert "no expression could be made: of 1 annotations (quality: 1 rough) in 1 photos" in error
    assert not (folder / "out").exists()


def test_an_annotation_that_stands_twice_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change = lambda content: content["annotations"].append(content["annotations"][0])  # noqa: E731
    assert phrase(write(tmp_path, DOGS, change=change), "--skip-broken") == 1
    assert "the annotation with the id 1 stands there twice" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"), [("{", "is damaged"), ("[]", "is not COCO's instances"), ("{}", "lacks")]
)
def test_other_files_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    folder = write(tmp_path, DOGS)
    (folder / "instances.json").write_text(content)
    assert phrase(folder) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--annotations", "train=a.json", "train=b.json"], "names the split train twice"),
        (["--annotations", "my split=a.json"], "is not a split and a file"),
        (["--annotations", "train="], "is not a split and a file"),
        (["--per-object", "0"], "--per-object is a number from 1"),
        (["--smallest", "1"], "--smallest is a share"),
        (["--name", "unc"], "the name of a benchmark"),
        (["--quality"], "--quality needs at least one"),
    ],
)
def test_wrong_use_is_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert phrase(write(tmp_path, DOGS), *arguments) == 2
    assert message in capsys.readouterr().err


def test_other_files_at_the_output_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path, DOGS)
    (folder / "out").mkdir()
    (folder / "out" / "letter.txt").write_text("keep")
    assert phrase(folder) == 1
    assert "holds other files" in capsys.readouterr().err
    assert (folder / "out" / "letter.txt").read_text() == "keep"


def test_masks_of_words_are_those_of_the_things_named(tmp_path: Path) -> None:
    assert phrase(write(tmp_path, DOGS), "--per-object", "12") == 0
    rows = PreparedDataset.open(tmp_path / "out").read("train")
    dogs = rows[0].decode_mask() | rows[1].decode_mask()
    checked = 0
    for row in rows[:2]:
        for text, grounding in zip(row.expressions, row.grounding, strict=True):
            tokens = tokenize(text)
            if "dog" in tokens and not {"white", "black", "cat", "kitty", "than"} & set(tokens):
                position = tokens.index("dog")
                mask = next(row.decode(one.rle) for one in grounding if position in one.words)
                np.testing.assert_array_equal(mask, dogs)
                checked += 1
    assert checked > 3
