from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

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
        ({"ann_id": -5, "expressions": ["x"]}, "annotation -5 is not in"),
        ({"expressions": ["x"]}, "needs one ann_id"),
        ({"ann_id": 5.5, "expressions": ["x"]}, "5.5 is no id"),
        ({"ann_id": "five", "expressions": ["x"]}, "annotation five is not in"),
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
