from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from cmpc.data.sources.collection import Reading
from cmpc.data.sources.refer_api import BENCHMARKS, collect
from cmpc.errors import UsageError, UserError

Edit = Callable[[Callable[[Any], object]], Path]
UNC = BENCHMARKS["unc"]


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("unc", {"train": (3, 6), "val": (3, 8), "testA": (3, 6), "testB": (1, 2)}),
        ("unc+", {"train": (1, 2), "val": (2, 4), "testA": (3, 6), "testB": (1, 2)}),
        ("gref", {"train": (3, 3), "val": (5, 5), "test": (3, 3)}),
        ("refcocog", {"train": (3, 3), "val": (4, 4), "test": (3, 3)}),
    ],
)
def test_every_split_is_read(refer: Path, name: str, counts: dict[str, tuple[int, int]]) -> None:
    rows = collect(BENCHMARKS[name], refer, refer).rows
    assert {split: (len(found), sum(len(row.expressions) for row in found)) for split, found in rows.items()} == counts


def test_row_holds_what_the_files_say(refer: Path, edit_instances: Edit) -> None:
    instances: dict[str, Any] = {}
    edit_instances(instances.update)
    row = collect(UNC, refer, refer).rows["testA"][0]
    image = next(image for image in instances["images"] if str(image["id"]) == row.image_id)
    assert (row.image, row.height, row.width) == (image["file_name"], image["height"], image["width"])
    assert row.category in {category["name"] for category in instances["categories"]}
    mask = row.decode_mask()
    masks = [
        coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(a["segmentation"], row.height, row.width))).astype(bool)
        for a in instances["annotations"]
        if str(a["image_id"]) == row.image_id
    ]
    assert any((mask == other).all() for other in masks)
    ys, xs = np.nonzero(mask)
    assert row.box == (xs.min(), ys.min(), xs.max() - xs.min() + 1, ys.max() - ys.min() + 1)


@pytest.mark.parametrize("place", [".", "train2014", "moved"])
def test_photos_are_found_in_the_usual_places(refer: Path, place: str) -> None:
    if place == "moved":
        (refer / "moved" / "images" / "mscoco" / "images").mkdir(parents=True)
        (refer / "train2014").rename(refer / "moved" / "images" / "mscoco" / "images" / "train2014")
    assert collect(UNC, refer / "refcoco", refer / place).image_folder.name == "train2014"


def test_only_the_chosen_splits_are_read_and_need_photos(refer: Path) -> None:
    needed = {row.image for row in collect(UNC, refer, refer).rows["testB"]}
    for photo in (refer / "train2014").iterdir():
        if photo.name not in needed:
            photo.unlink()
    assert list(collect(UNC, refer, refer, Reading(splits=["testB"])).rows) == ["testB"]


def test_unknown_split_is_wrong_use(refer: Path) -> None:
    with pytest.raises(UsageError, match="no split 'test'; it has train, val, testA, testB"):
        collect(UNC, refer, refer, Reading(splits=["test"]))


def test_missing_folders_and_files_are_named(refer: Path) -> None:
    with pytest.raises(UserError, match=r"there is no image folder .*nowhere"):
        collect(UNC, refer, refer / "nowhere")
    with pytest.raises(UserError, match=r"there is no annotation folder .*nowhere"):
        collect(UNC, refer / "nowhere", refer)
    with pytest.raises(UserError, match=r"needs refcoco/refs\(unc\)\.p"):
        collect(UNC, refer / "train2014", refer)
    (refer / "refcoco" / "instances.json").unlink()
    with pytest.raises(UserError, match=r"instances\.json"):
        collect(UNC, refer, refer)


def test_missing_photos_are_counted_and_named(refer: Path) -> None:
    photos = sorted((refer / "train2014").iterdir())
    for photo in photos[:4]:
        photo.unlink()
    with pytest.raises(
        UserError, match=r"4 of 5 images are missing in .*first: COCO\w+\.jpg, COCO\w+\.jpg, COCO\w+\.jpg\)"
    ):
        collect(UNC, refer, refer)


def test_missing_photos_are_left_out_on_request(refer: Path) -> None:
    row = collect(UNC, refer, refer).rows["testB"][0]
    (refer / "train2014" / row.image).unlink()
    collection = collect(UNC, refer, refer, Reading(allow_missing=True))
    assert collection.missing_images == [row.image]
    assert all(other.image != row.image for rows in collection.rows.values() for other in rows)


def test_folder_without_any_photo_is_refused_even_then(refer: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="5 of 5 images are missing"):
        collect(UNC, refer, tmp_path / "empty", Reading(allow_missing=True))


def test_photo_of_another_size_is_refused(refer: Path) -> None:
    photo = next((refer / "train2014").iterdir())
    Image.new("RGB", (33, 22)).save(photo)
    with pytest.raises(UserError, match=f"{photo.name} is 33 x 22 pixels but its annotation was made for"):
        collect(UNC, refer, refer)


def test_damaged_photo_is_found_when_asked_to_decode(refer: Path) -> None:
    photo = next((refer / "train2014").iterdir())
    photo.write_bytes(photo.read_bytes()[:-500])
    collect(UNC, refer, refer)
    with pytest.raises(UserError, match=f"{photo.name} is damaged"):
        collect(UNC, refer, refer, Reading(decode_images=True))


def test_unknown_annotation_is_named(refer: Path, edit_refs: Edit) -> None:
    edit_refs(lambda refs: refs[0].update(ann_id=999))
    with pytest.raises(UserError, match="names annotation 999, which is not in"):
        collect(UNC, refer, refer)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda refs: refs[0].update(split="dev"), "is of the split 'dev', which unc does not have"),
        (lambda refs: refs[0].pop("sentences"), "entry 1: it has no sentences"),
        (lambda refs: refs[0]["sentences"][0].update(sent=" "), "entry 1: it is damaged"),
        (lambda refs: refs[0].update(ann_id=1.5), "entry 1: it is damaged .1.5 is no id"),
        (lambda refs: refs[0].update(ann_id="x"), "it names annotation x, which is not in"),
        (lambda refs: refs[0].update(image_id=5), "it is about image 5, but its annotation"),
        (lambda refs: refs.__setitem__(0, None), "entry 1: it is damaged"),
        (lambda refs: refs.append(refs[0]), "stands there twice"),
        (lambda refs: refs.clear(), "is not a list of referred objects"),
    ],
)
def test_wrong_reference_is_named(refer: Path, edit_refs: Edit, change: Any, message: str) -> None:
    edit_refs(change)
    with pytest.raises(UserError, match=message):
        collect(UNC, refer, refer)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[1, 1, 2, 2]], "three points"),
        ([[1, 1, 5000, 1, 5, 5]], "outside the image"),
        ([[3, 3, 3, 3, 3, 3]], "is empty"),
        ({"counts": [5, 5], "size": [1, 1]}, "its size"),
        ({"counts": "garbage"}, "run"),
        (None, "neither"),
    ],
)
def test_broken_mask_names_its_annotation(
    refer: Path, edit_refs: Edit, edit_instances: Edit, segmentation: object, message: str
) -> None:
    used: list[int] = []
    edit_refs(lambda refs: used.append(refs[0]["ann_id"]))

    def break_it(content: dict[str, Any]) -> None:
        next(a for a in content["annotations"] if a["id"] == used[0])["segmentation"] = segmentation

    edit_instances(break_it)
    with pytest.raises(UserError, match=f"the mask of annotation {used[0]} is broken: .*{message}"):
        collect(UNC, refer, refer)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("images"), "does not look like COCO's instances"),
        (lambda content: content.update(images=[]), "image [0-9]+ is not in the file"),
        (lambda content: [image.pop("height") for image in content["images"]], "has no height"),
        (lambda content: content["images"].append(content["images"][0]), "stands there twice"),
        (lambda content: [image.update(width=0) for image in content["images"]], "its size is 0 x"),
        (
            lambda content: [image.update(file_name="../x.jpg") for image in content["images"]],
            "inside the image folder",
        ),
    ],
)
def test_damaged_instances_are_refused(refer: Path, edit_instances: Edit, change: Any, message: str) -> None:
    edit_instances(change)
    with pytest.raises(UserError, match=message):
        collect(UNC, refer, refer)


def test_truncated_instances_are_refused(refer: Path) -> None:
    path = refer / "refcoco" / "instances.json"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="not a JSON file"):
        collect(UNC, refer, refer)


def test_crowds_given_as_runs_are_read(refer: Path, edit_refs: Edit, edit_instances: Edit) -> None:
    used: list[int] = []
    edit_refs(lambda refs: used.append(refs[0]["ann_id"]))

    def make_crowd(content: dict[str, Any]) -> None:
        annotation = next(a for a in content["annotations"] if a["id"] == used[0])
        image = next(i for i in content["images"] if i["id"] == annotation["image_id"])
        pixels = image["height"] * image["width"]
        size = [image["height"], image["width"]]
        annotation.update(iscrowd=1, segmentation={"counts": [5, 3, pixels - 8], "size": size})

    edit_instances(make_crowd)
    masks = [row.decode_mask() for rows in collect(UNC, refer, refer).rows.values() for row in rows]
    assert sum(mask.sum() == 3 for mask in masks) >= 1


def test_rows_say_the_kinds_of_all_things_in_their_image(refer: Path, edit_instances: Edit) -> None:
    def mark_crowd(content: dict[str, Any]) -> None:
        handbag = next(one for one in content["categories"] if one["name"] == "handbag")
        next(one for one in content["annotations"] if one["category_id"] == handbag["id"])["iscrowd"] = 1

    edit_instances(mark_crowd)
    rows = [row for found in collect(UNC, refer, refer).rows.values() for row in found]
    kinds = {row.image_id: row.kinds for row in rows}
    assert kinds["86"] == ("handbag", "motorcycle", "person")  # of the handbag nobody speaks, and it counts as a crowd
    assert kinds["72"] == ("giraffe",)
    assert all(row.kinds == kinds[row.image_id] and row.category in row.kinds for row in rows)


def test_kinds_are_unknown_where_not_all_is_annotated(refer: Path, edit_instances: Edit) -> None:
    def change(content: dict[str, Any]) -> None:
        images = {image["id"]: image for image in content["images"]}
        images[72]["annotated"] = "one object"
        images[529]["neg_category_ids"] = []  # as LVIS says it
        handbag = next(one for one in content["categories"] if one["name"] == "handbag")
        content["categories"].remove(handbag)  # whatever it is: it may be of any kind

    edit_instances(change)
    rows = [row for found in collect(UNC, refer, refer).rows.values() for row in found]
    kinds = {row.image_id: row.kinds for row in rows}
    assert kinds["72"] == kinds["529"] == kinds["86"] == ()
    assert kinds["629"] == ("motorcycle",)
