from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cmpc.data.sources.collection import Reading
from cmpc.data.sources.own import collect
from cmpc.errors import UserError


def write_table(folder: Path, *lines: object) -> Path:
    path = folder / "table.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def line(**fields: Any) -> dict[str, Any]:
    return {"image": "a.jpg", "expression": "left man", "box": [5, 10, 25, 10]} | fields


def shaped(**shape: Any) -> dict[str, Any]:
    return {"image": "a.jpg", "expression": "left man"} | shape


def test_four_ways_to_give_a_mask_agree(own: Path) -> None:
    table = write_table(
        own,
        shaped(mask="masks/a.png"),
        shaped(box=[5, 10, 25, 10]),
        shaped(polygon=[4.5, 9.5, 29.5, 9.5, 29.5, 19.5, 4.5, 19.5]),
        shaped(polygon=[[4.5, 9.5, 29.5, 9.5, 29.5, 19.5, 4.5, 19.5]]),
        shaped(rle={"size": [40, 60], "counts": [210, *[10, 30] * 24, 10, 1220]}),
    )
    rows = collect(table, own / "images").rows["train"]
    expected = np.zeros((40, 60), bool)
    expected[10:20, 5:30] = True
    for row in rows:
        assert (row.decode_mask() == expected).all()
        assert row.box == (5.0, 10.0, 25.0, 10.0)
    assert [row.ref_id for row in rows] == ["1", "2", "3", "4", "5"]


def test_all_fields_arrive_in_the_row(own: Path) -> None:
    fields = {
        "image": "sub/b.png",
        "expressions": ["left man", " the man "],
        "box": [5, 10, 25, 10],
        "split": "test",
        "category": "person",
        "groups": ["position", "plain"],
        "id": "b7",
        "word_types": [["relation", "entity"], ["unnecessary", "entity"]],
    }
    row = collect(write_table(own, "", fields), own / "images").rows["test"][0]
    assert (row.ref_id, row.image, row.category) == ("b7", "sub/b.png", "person")
    assert row.expressions == ("left man", "the man")
    assert row.groups == ("position", "plain")
    assert row.word_types == (("relation", "entity"), ("unnecessary", "entity"))


def test_one_group_serves_all_expressions(own: Path) -> None:
    table = write_table(own, line(group="plain"))
    assert collect(table, own / "images").rows["train"][0].groups == ("plain",)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (line(expression="half a character \ud83d"), "an expression is empty or is not text"),
        (line(id="\ud83d"), "the id is neither text"),
        (line(category="\ud83d"), "the category is not text"),
        ("{not json", "it is not JSON"),
        ([1], "it is not a JSON object"),
        (line(expresion="x"), "there is no field 'expresion'"),
        (line(expressions=["x"]), "either expression or expressions"),
        ({"image": "a.jpg", "box": [1, 1, 2, 2]}, "either expression or expressions"),
        (line(expression="  "), "an expression is empty"),
        (line(expression=5), "an expression is empty or is not text"),
        (line(image=7), "not the name of a file"),
        (line(image="../a.jpg"), "inside the image folder"),
        (line(image="/a.jpg"), "inside the image folder"),
        ({"image": "a.jpg", "expression": "x"}, "give one of mask, rle, polygon, box, not none"),
        (line(polygon=[1, 1, 2, 2, 3, 1]), "not polygon and box"),
        (line(split="a/b"), "the split 'a/b' is not a name"),
        (line(split=5), "the split 5 is not a name"),
        (line(id=1.5), "the id is neither"),
        (line(id="1"), "the id '1' stands already on line 1"),
        (line(category=3), "the category is not text"),
        (line(groups=["a", "b"]), "2 groups for 1 expressions"),
        (line(groups=["a"], group="a"), "either group or groups"),
        (line(word_types=["entity"]), "needs 2 of entity, attribute, relation, unnecessary"),
        (line(word_types=["entity", "noun"]), "needs 2 of entity"),
        (shaped(mask="masks/none.png"), "mask is broken: cannot read masks/none.png"),
        (shaped(mask="table.jsonl"), "is not an image"),
        (shaped(mask="masks/small.png"), "is 30 x 20 pixels but the image is 60 x 40"),
        (shaped(mask="masks/empty.png"), "mask is broken: it is empty"),
        (shaped(mask="images/a.jpg"), "is a JPEG"),
        (shaped(mask=5), "not the name of an image file"),
        (shaped(polygon="x"), "not a list of numbers"),
        (shaped(polygon=[1, 1, 2, 2]), "three points"),
        (shaped(polygon=[1, 1, 200, 2, 3, 3]), "outside the image of 60 x 40"),
        (shaped(box=[50, 1, 20, 5]), "outside the image of 60 x 40"),
        (shaped(box={}), "its box is not"),
        (shaped(rle={"counts": [1, 2]}), "do not cover 60 x 40"),
        (shaped(rle="x"), "neither"),
    ],
)
def test_error_names_the_line(own: Path, wrong: object, message: str) -> None:
    Image.new("L", (30, 20), 255).save(own / "masks" / "small.png")
    Image.new("L", (60, 40)).save(own / "masks" / "empty.png")
    table = write_table(own, line(), "", wrong)
    with pytest.raises(UserError, match=r"table\.jsonl, line 3: ") as raised:
        collect(table, own / "images")
    assert message in str(raised.value)


def test_missing_images_are_counted_or_left_out(own: Path) -> None:
    table = write_table(own, line(), line(image="gone.jpg"))
    with pytest.raises(UserError, match=r"1 of 2 images is missing in .*gone\.jpg"):
        collect(table, own / "images")
    collection = collect(table, own / "images", Reading(allow_missing=True))
    assert collection.missing_images == ["gone.jpg"]
    assert len(collection.rows["train"]) == 1


def test_colour_mask_counts_every_colour_but_black(own: Path) -> None:
    colours = np.zeros((40, 60, 3), np.uint8)
    colours[1, 2] = (0, 0, 5)
    Image.fromarray(colours).save(own / "masks" / "colour.png")
    row = collect(write_table(own, shaped(mask="masks/colour.png")), own / "images").rows["train"][0]
    assert np.argwhere(row.decode_mask()).tolist() == [[1, 2]]


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_empty_table_is_refused(own: Path, content: bytes) -> None:
    (own / "table.jsonl").write_bytes(content)
    with pytest.raises(UserError, match="holds no object"):
        collect(own / "table.jsonl", own / "images")


def test_table_that_is_no_text_is_refused(own: Path) -> None:
    with pytest.raises(UserError, match="is not UTF-8 text"):
        collect(own / "images" / "a.jpg", own / "images")


def rectangle(left: int, top: int, width: int, height: int) -> np.ndarray:
    mask = np.zeros((40, 60), bool)
    mask[top : top + height, left : left + width] = True
    return mask


def test_own_rows_may_have_several_masks_of_every_form(own: Path) -> None:
    Image.fromarray(rectangle(40, 5, 10, 10).astype(np.uint8)).save(own / "masks" / "b.png")
    first, second = [4.5, 9.5, 29.5, 9.5, 29.5, 19.5, 4.5, 19.5], [39.5, 4.5, 49.5, 4.5, 49.5, 14.5, 39.5, 14.5]
    runs = {"counts": [210, *[10, 30] * 24, 10, 1220]}, {"counts": [1605, *[10, 30] * 9, 10, 425]}
    table = write_table(
        own,
        shaped(mask=["masks/a.png", "masks/b.png"]),
        shaped(box=[[5, 10, 25, 10], [40, 5, 10, 10]]),
        shaped(polygon=[[first], [second]]),
        shaped(rle=list(runs)),
    )
    rows = collect(table, own / "images").rows["train"]
    expected = [rectangle(5, 10, 25, 10), rectangle(40, 5, 10, 10)]
    for row in rows:
        assert (row.decode_mask() == expected[0] | expected[1]).all()
        assert all((row.decode(rle) == mask).all() for rle, mask in zip(row.instances, expected, strict=True))
        assert row.box == (5.0, 5.0, 45.0, 15.0)


@pytest.mark.parametrize("shape", ["mask", "rle", "polygon", "box"])
def test_own_rows_with_an_empty_list_refer_to_nothing(own: Path, shape: str) -> None:
    row = collect(write_table(own, shaped(**{shape: []})), own / "images").rows["train"][0]
    assert row.is_empty
    assert not row.decode_mask().any()
    assert row.instances == ()


def test_own_polygon_in_parts_is_still_one_object(own: Path) -> None:
    parts = [[1, 1, 9, 1, 9, 9], [20, 20, 30, 20, 30, 30]]
    row = collect(write_table(own, shaped(polygon=parts)), own / "images").rows["train"][0]
    assert row.instances == ()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"mask": ["masks/a.png", "masks/none.png"]}, "cannot read masks/none.png"),
        ({"box": [[5, 10, 25, 10], [90, 5, 10, 10]]}, "outside the image"),
        ({"rle": [5]}, "neither"),
        ({"polygon": [[[1, 1, 9, 1, 9, 9]], [[1, 1]]]}, "three points"),
        ({"mask": "masks/empty.png"}, "it is empty"),
    ],
)
def test_wrong_mask_among_several_is_told_with_its_line(own: Path, shape: dict[str, Any], message: str) -> None:
    Image.new("L", (60, 40)).save(own / "masks" / "empty.png")
    with pytest.raises(UserError, match=rf"table\.jsonl, line 2: the mask is broken: .*{message}"):
        collect(write_table(own, line(), shaped(**shape)), own / "images")
