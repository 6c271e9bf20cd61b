from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cmpc.data.schema import ReferredObject
from cmpc.data.sources.coco import collect
from cmpc.errors import UserError


@pytest.fixture
def instances(refer: Path) -> Path:
    return refer / "refcoco" / "instances.json"


@pytest.fixture
def ids(instances: Path) -> list[int]:
    return [annotation["id"] for annotation in json.loads(instances.read_text())["annotations"]]


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_list_of_expressions_becomes_rows(refer: Path, instances: Path, ids: list[int]) -> None:
    entries = [
        {"ann_id": ids[0], "expressions": ["left man", "man"], "split": "val"},
        {"annotation_id": ids[1], "expression": "dog"},
        {"ann_id": ids[0], "expressions": ["he"], "split": "val"},
    ]
    rows = collect(instances, write(refer / "e.json", entries), refer).rows
    assert [row.expressions for row in rows["val"]] == [("left man", "man", "he")]
    assert [row.ref_id for row in rows["train"]] == [str(ids[1])]


def test_json_lines_and_the_shape_of_google_refexp_are_read(refer: Path, instances: Path, ids: list[int]) -> None:
    text = "".join(json.dumps({"refexp": number, "ann_id": number, "sents": ["thing"]}) + "\n" for number in ids[:3])
    rows = collect(instances, write(refer / "e.jsonl", text), refer, default_split="val").rows
    assert {split: len(found) for split, found in rows.items()} == {"val": 3}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"ann_id": -5, "expressions": ["x"]}, "names annotation -5, which is not in"),
        ({"expressions": ["x"]}, "needs one ann_id"),
        ({"ann_id": 5.5, "expressions": ["x"]}, "5.5 is no id"),
        ({"ann_id": "five", "expressions": ["x"]}, "names annotation five, which is not in"),
        ({"ann_id": 5}, "needs expressions"),
        ({"ann_id": 5, "expressions": []}, "has no expressions"),
        ({"ann_id": 5, "expressions": ["x"], "split": "../x"}, "is not a name"),
        ("text", "not a JSON object"),
    ],
)
def test_error_names_the_entry(refer: Path, instances: Path, ids: list[int], entry: object, message: str) -> None:
    path = write(refer / "e.json", [{"ann_id": ids[0], "expressions": ["left man"]}, entry])
    with pytest.raises(UserError, match=rf"e\.json, entry 2: .*{message}"):
        collect(instances, path, refer)


@pytest.mark.parametrize("content", ["[1, ", "{", "[]", ""])
def test_damaged_or_empty_expressions_are_refused(refer: Path, instances: Path, content: str) -> None:
    with pytest.raises(UserError, match=r"e\.json"):
        collect(instances, write(refer / "e.json", content), refer)


def rows_of(refer: Path, instances: Path, *entries: dict[str, Any]) -> list[ReferredObject]:
    return collect(instances, write(refer / "e.json", entries), refer).rows["train"]


def test_coco_entries_may_name_several_annotations_or_none(refer: Path, instances: Path) -> None:
    rows = rows_of(
        refer,
        instances,
        {"ann_id": [187798, 205521], "expressions": ["both people"]},
        {"ann_id": [205521, 187798], "expressions": ["they"]},
        {"ann_id": [], "image_id": 529, "expressions": ["the dog"]},
        {"ann_id": [151075], "expressions": ["the motorcycle"]},
    )
    assert [(row.ref_id, row.expressions, len(row.instances), row.is_empty) for row in rows] == [
        ("187798 and 205521", ("both people", "they"), 2, False),
        ("none in 529", ("the dog",), 0, True),
        ("151075", ("the motorcycle",), 0, False),
    ]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"ann_id": [187798, 999]}, "names annotation 999, which is not in"),
        ({"ann_id": [187798, 187798]}, "the id 187798 stands twice in its list"),
        (
            {"ann_id": [187798, 598731]},
            "its annotation 187798 is of image 529, but its annotation 598731 is of image 72",
        ),
        ({"ann_id": [187798], "image_id": 72}, "it is about image 72, but its annotation 187798 is of image 529"),
        ({"ann_id": []}, "does not say in which image"),
        ({"ann_id": [], "image_id": 5}, "image 5 is not in"),
    ],
)
def test_wrong_coco_list_is_told_with_its_entry(
    refer: Path, instances: Path, entry: dict[str, Any], message: str
) -> None:
    good = {"ann_id": 151075, "expressions": ["it"]}
    with pytest.raises(UserError, match=rf"e\.json, entry 2: .*{message}"):
        rows_of(refer, instances, good, {"expressions": ["x"]} | entry)


def test_coco_rows_say_the_kinds_of_all_things_in_their_image(refer: Path, instances: Path) -> None:
    rows = rows_of(
        refer,
        instances,
        {"ann_id": [151075], "expressions": ["the motorcycle"]},
        {"ann_id": [], "image_id": 72, "expressions": ["the dog"]},
    )
    assert [row.kinds for row in rows] == [("motorcycle", "person"), ("giraffe",)]
