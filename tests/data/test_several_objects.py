"""gRefCOCO, Ref-ZOM and other data of REFER's layout, whose expressions refer to no, one or several objects."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from cmpc.data.schema import NO_BOX, ReferredObject
from cmpc.data.sources import refer_api
from cmpc.data.sources.collection import Reading
from cmpc.data.sources.published import Counts, compare_whole
from cmpc.errors import UsageError, UserError

GREFCOCO = refer_api.BENCHMARKS["grefcoco"]
Edit = Callable[[Callable[[list[dict[str, Any]]], object]], Path]


def annotation_mask(instances: Path, number: int) -> np.ndarray:
    content = json.loads(instances.read_text())
    annotation = next(one for one in content["annotations"] if one["id"] == number)
    image = next(one for one in content["images"] if one["id"] == annotation["image_id"])
    parts = coco_mask.frPyObjects(annotation["segmentation"], image["height"], image["width"])
    return coco_mask.decode(coco_mask.merge(parts)).astype(bool)


def row_of(rows: list[ReferredObject], ref_id: str) -> ReferredObject:
    return next(row for row in rows if row.ref_id == ref_id)


@pytest.fixture
def edit_grefs(refer: Path) -> Edit:
    path = refer / "grefcoco" / "grefs(unc).json"

    def edit(change: Callable[[list[dict[str, Any]]], object]) -> Path:
        refs = json.loads(path.read_text())
        change(refs)
        path.write_text(json.dumps(refs))
        return path

    return edit


# gRefCOCO ------------------------------------------------------------------------------------------------------------
def test_several_objects_are_their_union_and_each_of_them(refer: Path) -> None:
    row = row_of(refer_api.collect(GREFCOCO, refer, refer).rows["train"], "1")
    left, right = (annotation_mask(refer / "grefcoco" / "instances.json", one) for one in (187798, 205521))
    assert (row.decode_mask() == (left | right)).all()
    assert [row.decode(rle).sum() for rle in row.instances] == [left.sum(), right.sum()]
    ys, xs = np.nonzero(left | right)
    assert row.box == (xs.min(), ys.min(), xs.max() - xs.min() + 1, ys.max() - ys.min() + 1)
    assert row.category == "person"
    assert row.expressions == ("both people", "the two persons")


@pytest.mark.parametrize(("split", "ref_id", "height"), [("val", "3", 160), ("testB", "6", 160)])
def test_no_target_is_an_empty_mask_of_its_image(refer: Path, split: str, ref_id: str, height: int) -> None:
    row = row_of(refer_api.collect(GREFCOCO, refer, refer).rows[split], ref_id)
    assert row.is_empty
    assert row.box == NO_BOX
    assert row.decode_mask().shape == (height, 107)
    assert not row.decode_mask().any()
    assert (row.category, row.instances) == ("", ())
    assert row.kinds  # what the image shows instead


def test_one_object_in_a_list_is_as_without_a_list(refer: Path, edit_grefs: Edit) -> None:
    listed = row_of(refer_api.collect(GREFCOCO, refer, refer).rows["train"], "2")
    assert (listed.instances, listed.category) == ((), "motorcycle")
    edit_grefs(lambda refs: refs[1].update(ann_id=refs[1]["ann_id"][0]))
    assert row_of(refer_api.collect(GREFCOCO, refer, refer).rows["train"], "2") == listed
    edit_grefs(lambda refs: refs[2].update(ann_id=-1))
    assert row_of(refer_api.collect(GREFCOCO, refer, refer).rows["val"], "3").is_empty


def test_objects_of_several_kinds_have_no_category(refer: Path) -> None:
    row = refer_api.collect(GREFCOCO, refer, refer).rows["testA"][0]
    assert (row.category, len(row.instances)) == ("", 2)


def test_crowds_are_no_part_of_several_objects_in_grefcoco(refer: Path) -> None:
    path = refer / "grefcoco" / "instances.json"
    content = json.loads(path.read_text())
    for annotation in content["annotations"]:
        annotation["iscrowd"] = int(annotation["id"] in (205521, 151075))
    path.write_text(json.dumps(content))
    rows = refer_api.collect(GREFCOCO, refer, refer).rows["train"]
    assert (row_of(rows, "1").decode_mask() == annotation_mask(path, 187798)).all()
    assert row_of(rows, "2").decode_mask().any()  # a crowd alone is what RefCOCO refers to


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda refs: refs[3].update(ann_id=[598731, 999]), "it names annotation 999, which is not in"),
        (lambda refs: refs[3].update(ann_id=[598731, 598731]), "the id 598731 stands twice in its list"),
        (
            lambda refs: refs[3].update(ann_id=[598731, 187798]),
            "it is about image 72, but its annotation 187798 is of image 529",
        ),
        (lambda refs: refs[3].update(ann_id=[598731, -1]), "-1, which stands for no annotation, stands among 2"),
        (lambda refs: refs[3].update(ann_id=[], image_id=999), "image 999 is not in the file"),
        (lambda refs: (refs[3].update(ann_id=[]), refs[3].pop("image_id")), "does not say in which image"),
        (lambda refs: (refs[3].update(ann_id=[598731, 187798]), refs[3].pop("image_id")), "but its annotation 187798"),
        (lambda refs: refs[3].update(ref_id=1), "ref 1 stands there twice"),
        (lambda refs: refs[3].update(ann_id=[[598731]]), "is no id"),
    ],
)
def test_wrong_list_of_annotations_is_told_with_its_entry(
    refer: Path, edit_grefs: Edit, change: Any, message: str
) -> None:
    path = edit_grefs(change)
    with pytest.raises(UserError) as raised:
        refer_api.collect(GREFCOCO, refer, refer)
    assert str(raised.value).startswith(f"{path}, entry 4")
    assert message in str(raised.value)


def test_wrong_lists_are_left_out_and_counted_by_reason(refer: Path, edit_grefs: Edit) -> None:
    def spoil(refs: list[dict[str, Any]]) -> None:
        for number in range(100, 104):
            refs.append(refs[0] | {"ref_id": number, "ann_id": [187798, number]})
        refs.append(refs[0] | {"ref_id": 200, "ann_id": [187798, 187798]})
        refs.append(refs[0] | {"ref_id": 201, "ann_id": [187798, 598731]})

    path = edit_grefs(spoil)
    collection = refer_api.collect(GREFCOCO, refer, refer, Reading(skip_broken=True))
    assert [row.ref_id for row in collection.rows["train"]] == ["1", "2"]
    assert collection.broken == {
        "lists of ids in which one stands twice": 1,
        "annotations that are missing in the instances": 4,
        "annotations of another image": 1,
    }
    told = next(note for note in collection.notes if "missing in the instances: 4" in note)
    assert [f"{path}, entry {number} " in told for number in (7, 8, 9, 10)] == [True, True, True, False]


def test_the_whole_is_compared_with_what_is_published() -> None:
    def row(expressions: int, *, objects: int) -> ReferredObject:
        box = (0.0, 0.0, 1.0, 1.0) if objects else NO_BOX
        instances = ("1",) * objects if objects > 1 else ()
        return ReferredObject("r", "i", "i.jpg", 9, 9, "", box, "", ("it",) * expressions, instances=instances)

    rows = {
        "train": [row(80_022, objects=2), row(32_202, objects=0)],
        "val": [row(166_008, objects=1)],
        "testA": [],
        "testB": [],
    }
    assert compare_whole("grefcoco", rows) == (
        "the whole has 278,232 expressions, 80,022 of several objects, 32,202 of none, as published"
    )
    rows["testB"] = [row(1, objects=0)]
    assert "32,203 of none; published are 278,232 expressions" in compare_whole("grefcoco", rows)
    del rows["testB"]
    assert compare_whole("grefcoco", rows) == ""
    assert compare_whole("mine", rows) == ""
    assert Counts.of(rows["train"]) == Counts(112_224, several=80_022, none=32_202)


# Ref-ZOM -------------------------------------------------------------------------------------------------------------
def test_ref_zom_says_by_its_source_that_nothing_fits(refer: Path) -> None:
    rows = refer_api.collect(refer_api.BENCHMARKS["ref-zom"], refer, refer).rows
    assert list(rows) == ["train", "test"]
    assert [(row.ref_id, row.is_empty, len(row.instances)) for row in [*rows["train"], *rows["test"]]] == [
        ("1", False, 0),
        ("2", False, 2),
        ("3", True, 0),
        ("4", False, 0),
        ("5", True, 0),  # though it names an annotation
    ]


# Any layout of REFER -------------------------------------------------------------------------------------------------
@pytest.fixture
def rrsisd(refer: Path) -> Path:
    """RRSIS-D's folder, with its photos where the toolkit has them: in ``images/rrsisd/JPEGImages`` beside it."""
    folder = refer / "images" / "rrsisd" / "JPEGImages"
    folder.mkdir(parents=True)
    for name in ("00001.jpg", "00002.jpg"):
        Image.new("RGB", (64, 48)).save(folder / name)
    return refer / "rrsisd"


def test_unknown_data_of_the_layout_are_read_with_their_splits(rrsisd: Path) -> None:
    layout = refer_api.layout("rrsis-d", rrsisd, "refs(unc).p", None)
    collection = refer_api.collect(layout, rrsisd, refer_api.image_folder_of(rrsisd))
    assert collection.image_folder.name == "JPEGImages"
    assert {split: rows[0].expressions for split, rows in collection.rows.items()} == {
        "train": ("the ship on the left",),
        "test": ("an airport",),
    }
    ship, airport = collection.rows["train"][0], collection.rows["test"][0]
    assert ship.kinds == ()  # it may be that only what is referred to is annotated
    assert ship.box == (5.0, 10.0, 20.0, 8.0)
    assert airport.decode_mask().sum() == 4 * 6 + 10 * 20  # two run-length masks in a list
    with pytest.raises(UsageError, match="rrsis-d has no split 'val'; it has train, test"):
        refer_api.collect(layout, rrsisd, rrsisd.parent, Reading(splits=["val"]))


def test_instances_may_lie_elsewhere_and_references_be_json(rrsisd: Path, tmp_path: Path) -> None:
    (rrsisd / "instances.json").rename(tmp_path / "objects.json")
    refs = pickle.loads((rrsisd / "refs(unc).p").read_bytes())
    (rrsisd / "refs.json").write_text(json.dumps(refs))
    layout = refer_api.layout("rrsis-d", rrsisd, "refs.json", tmp_path / "objects.json")
    assert set(refer_api.collect(layout, rrsisd, refer_api.image_folder_of(rrsisd)).rows) == {"train", "test"}


def test_missing_references_name_what_is_there(rrsisd: Path) -> None:
    with pytest.raises(UserError, match=r"there is no .*refs\(umd\)\.p: .*\(there is refs\(unc\)\.p\)"):
        refer_api.layout("rrsis-d", rrsisd, "refs(umd).p", None)
    with pytest.raises(UserError, match="no annotation folder"):
        refer_api.layout("rrsis-d", rrsisd / "gone", "refs(unc).p", None)
