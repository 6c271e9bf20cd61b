"""Staged pictures, contact sheets and the JSON file."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from cmpc.errors import UsageError
from cmpc.explanation import (
    Explanation,
    paint,
    save,
    save_sheet,
    staged_picture,
    staged_sheet,
    to_dict,
    to_svg,
)
from cmpc.explanation.drawing import Arrow, Drawing, Outline, Picture, Text, dashes, wrap_text
from cmpc.explanation.layers import Layers
from explanation.conftest import MakeSegmenter

SVG = "{http://www.w3.org/2000/svg}"
EXPRESSION = "the left man in a red shirt"


def texts(explanation: Explanation) -> list[str]:
    return [shape.text for shape in staged_picture(explanation).shapes if isinstance(shape, Text)]


def shown(drawing: Drawing) -> list[str]:
    """Titles of the pictures."""
    return [shape.title for shape in drawing.shapes if isinstance(shape, Picture)]


def test_picture_says_that_entity_and_attribute_are_one_sum(make_segmenter: MakeSegmenter, photo: Path) -> None:
    told_apart = " ".join(texts(make_segmenter(word_type_supervision=True).explain(EXPRESSION, image=photo)))
    assert "entity attribute relation unnecessary" in told_apart
    assert "cannot tell one from the other" not in told_apart
    as_sum = " ".join(texts(make_segmenter().explain(EXPRESSION, image=photo)))
    assert "entity or attribute relation unnecessary" in as_sum
    assert "cannot tell one from the other" in as_sum
    unused = " ".join(texts(make_segmenter(word_type_gating=False).explain(EXPRESSION, image=photo)))
    assert "unnecessary" not in unused
    assert "does not weigh words by their types" in unused


def test_probability_that_something_fits_is_told(make_segmenter: MakeSegmenter, photo: Path) -> None:
    segmenter = make_segmenter(presence_channels=8)
    [prediction] = segmenter.predict(EXPRESSION, image=photo)
    for threshold, absent in ((0.0, False), (1.0, True)):
        explanation = segmenter.explain(EXPRESSION, image=photo, threshold=0.0, presence_threshold=threshold)
        assert explanation.prediction.present == pytest.approx(prediction.present, abs=1e-5)
        assert to_dict(explanation)["present"] == pytest.approx(prediction.present, abs=1e-4)
        text = " ".join(texts(explanation))
        assert f"something in the photo fits with a probability of {prediction.present:.2f}" in text
        assert ("the mask is empty" in text) == ("nothing in the photo fits" in text) == absent
        assert explanation.prediction.mask.any() != absent
        sheet = [shape.text for shape in staged_sheet([("a.jpg", explanation)]).shapes if isinstance(shape, Text)]
        assert f"present {prediction.present:.2f}" in sheet
    silent = make_segmenter().explain(EXPRESSION, image=photo)
    assert to_dict(silent)["present"] is None
    assert "with a probability of" not in " ".join(texts(silent))


def test_probabilities_stand_below_their_words(make_segmenter: MakeSegmenter, photo: Path) -> None:
    explanation = make_segmenter(word_type_supervision=True).explain(EXPRESSION, image=photo)
    drawn = [shape for shape in staged_picture(explanation).shapes if isinstance(shape, Text)]
    for word, types in zip(explanation.prediction.words, explanation.prediction.word_types, strict=True):
        place = next(text for text in drawn if text.text == word and text.size > 20)
        below = [text for text in drawn if text.x == place.x and text.y > place.y and text.anchor == "middle"]
        assert [text.text for text in below] == [str(round(100 * float(value))) for value in types]


def test_long_expression_takes_several_lines(make_segmenter: MakeSegmenter, photo: Path) -> None:
    drawing = staged_picture(make_segmenter().explain("the left frisbee in the background " * 4, image=photo))
    words = [shape for shape in drawing.shapes if isinstance(shape, Text) and shape.size > 20]
    assert len(words) == 20
    assert len({word.y for word in words}) > 1
    assert all(0 < word.x < drawing.width for word in words)


def test_every_stage_is_shown(make_segmenter: MakeSegmenter, photo: Path) -> None:
    explanation = make_segmenter().explain("the left man in blue", image=photo)  # few enough words for a thumbnail each
    titles = " | ".join(shown(staged_picture(explanation)))
    for part in ("the photo", "entity or attribute word alone", "words together", "after reasoning", "the mask"):
        assert part in titles
    for position in explanation.network.words:
        assert f"response to {explanation.prediction.words[position]!r} alone" in titles


def test_relation_words_show_attention_and_arrows(make_segmenter: MakeSegmenter, photo: Path) -> None:
    explanation = make_segmenter(word_type=2).explain("left of red dog", image=photo)
    drawing = staged_picture(explanation)
    assert any("attention of the cells to 'left'" in title for title in shown(drawing))
    arrows = [shape for shape in drawing.shapes if isinstance(shape, Arrow)]
    assert 1 <= len(arrows) <= 4
    assert all("points more than without relation words" in arrow.title for arrow in arrows)
    described = make_segmenter(word_type=0).explain("left of red dog", image=photo)
    assert not [shape for shape in staged_picture(described).shapes if isinstance(shape, Arrow)]
    assert "no word is a relation" in texts(described)
    assert "this model has no graph" in texts(make_segmenter(relation_reasoning=False).explain("dog", image=photo))


def test_what_is_named_but_not_meant_is_outlined(make_segmenter: MakeSegmenter) -> None:
    import dataclasses

    explanation = make_segmenter(word_type=0).explain("dog", image=np.zeros((64, 64, 3), np.uint8))
    grid = explanation.network.result.shape
    both, left = np.full(grid, 0.01, np.float32), np.full(grid, 0.01, np.float32)
    both[4:8, 1:5] = both[4:8, 10:14] = left[4:8, 1:5] = 0.9
    stages = dataclasses.replace(explanation.network, words={0: both}, result=left)
    (line,) = Layers(explanation).suppressed(stages)
    middle = line.mean(axis=0) * grid[1]
    assert 10 < middle[0] < 14
    assert 4 < middle[1] < 8
    assert Layers(explanation).suppressed(dataclasses.replace(stages, result=both)) == []
    assert Layers(explanation).suppressed(dataclasses.replace(stages, words={0: both / 50})) == []


def test_levels_have_a_row_each_on_request(make_segmenter: MakeSegmenter, photo: Path) -> None:
    explanation = make_segmenter().explain("dog", image=photo)
    plain, with_levels = staged_picture(explanation), staged_picture(explanation, ["c3", "c5"])
    assert with_levels.height > plain.height + 300
    labels = [shape.text for shape in with_levels.shapes if isinstance(shape, Text) and "level" in shape.text]
    assert [label for label in labels if label in ("level c3", "level c4", "level c5")] == ["level c3", "level c5"]
    with pytest.raises(UsageError, match="there is no level 'c9': the levels are c3, c4, c5"):
        staged_picture(explanation, ["c9"])


def test_png_has_the_size_of_the_drawing(make_segmenter: MakeSegmenter, photo: Path, tmp_path: Path) -> None:
    explanation = make_segmenter().explain(EXPRESSION, image=photo)
    save(explanation, tmp_path / "picture.png")
    drawing = staged_picture(explanation)
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.size == (round(drawing.width * 3) // 2, -(-round(drawing.height * 3) // 2))
    pixels = paint(drawing, 0.5)
    assert (pixels == 255).all(axis=2).mean() < 0.9
    frame = next(shape for shape in drawing.shapes if isinstance(shape, Picture))
    centre = pixels[round((frame.y + frame.height / 2) / 2), round((frame.x + 0.3 * frame.width) / 2)]
    np.testing.assert_allclose(centre, explanation.pixels[45, 42], atol=25)


def test_svg_is_whole_and_readable(make_segmenter: MakeSegmenter, photo: Path, tmp_path: Path) -> None:
    explanation = make_segmenter(word_type=2).explain(EXPRESSION, image=photo)
    save(explanation, tmp_path / "picture.svg", levels=["c4"])
    root = ElementTree.parse(tmp_path / "picture.svg").getroot()
    title = root.find(f"{SVG}title")
    assert title is not None
    assert EXPRESSION in str(title.text)
    images = {image.get("id"): image for image in root.iter(f"{SVG}image")}
    for image in images.values():
        kind, data = str(image.get("href")).split(";base64,")
        assert kind in ("data:image/png", "data:image/jpeg")
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            assert (str(picture.width), str(picture.height)) == (image.get("width"), image.get("height"))
    uses = list(root.iter(f"{SVG}use"))
    assert {str(use.get("href")).removeprefix("#") for use in uses} == set(images)
    assert len(uses) > len(images)  # the photo is stored once
    assert all(use.get("aria-label") and use.find(f"{SVG}title") is not None for use in uses)
    lines = [text for text in root.iter(f"{SVG}text") if text.get("text-anchor") == "start"]
    assert max(float(str(line.get("x"))) + float(str(line.get("textLength"))) for line in lines) <= 1200
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert set(explanation.prediction.words) <= set(words)


def test_svg_holds_whatever_is_typed(make_segmenter: MakeSegmenter, photo: Path) -> None:
    hostile = "dog <script>\"&'\x00\x1b \ud800 ünï"
    drawing = staged_picture(make_segmenter().explain(hostile, image=photo))
    root = ElementTree.fromstring(to_svg(drawing).split("\n", 1)[1])
    assert not list(root.iter(f"{SVG}script"))
    assert paint(drawing, 0.25).size


def test_json_holds_every_map(make_segmenter: MakeSegmenter, photo: Path, tmp_path: Path) -> None:
    explanation = make_segmenter().explain("the red dog behind", image=photo)
    save(explanation, tmp_path / "numbers.json")
    numbers = json.loads((tmp_path / "numbers.json").read_text(encoding="utf-8"))
    assert (numbers["height"], numbers["width"]) == (90, 140)
    mask = coco_mask.decode(numbers["mask"]["rle"]).astype(bool)
    np.testing.assert_array_equal(mask, explanation.prediction.mask)
    assert [word["word"] for word in numbers["words"]] == ["the", "red", "dog", "behind"]
    assert numbers["typing"] == {"supervised": False, "used": True}
    for name, stages in {"network": explanation.network, **explanation.levels}.items():
        found = numbers["network"] if name == "network" else numbers["levels"][name]
        np.testing.assert_allclose(found["entities"], stages.entities, atol=1e-4)
        np.testing.assert_allclose(found["result"], stages.result, atol=1e-4)
        assert {int(position) for position in found["words"]} == set(stages.words)
        for position, values in stages.words.items():
            np.testing.assert_allclose(found["words"][str(position)], values, atol=1e-4)
        assert stages.graph is not None
        np.testing.assert_allclose(found["graph"]["cell_to_words"], stages.graph.cell_to_words, atol=1e-4)
        np.testing.assert_allclose(found["graph"]["word_to_cells"], stages.graph.word_to_cells, atol=1e-6)
        np.testing.assert_allclose(found["graph"]["shares"], stages.graph.shares, atol=1e-6)
        np.testing.assert_array_equal(found["graph"]["regions"], stages.graph.regions)
    assert numbers["letterbox"] == {"size": 64, "top": 11, "left": 0, "height": 41, "width": 64}


def test_sheet_has_a_row_for_each_explanation(make_segmenter: MakeSegmenter, photo: Path, tmp_path: Path) -> None:
    segmenter = make_segmenter()
    rows = [(name, segmenter.explain(words, image=photo)) for name, words in (("a.jpg", "dog"), ("b.jpg", "red man"))]
    drawing = staged_sheet(rows)
    found = [shape.text for shape in drawing.shapes if isinstance(shape, Text)]
    assert {"a.jpg", "b.jpg", "dog", "red", "man"} <= set(found)
    assert drawing.height > staged_sheet(rows[:1]).height + 80
    save_sheet(iter(rows), tmp_path / "sheet.png")
    save_sheet(iter(rows), tmp_path / "sheet.svg")
    ElementTree.parse(tmp_path / "sheet.svg")
    save_sheet(iter(rows), tmp_path / "sheet.json")
    numbers = json.loads((tmp_path / "sheet.json").read_text(encoding="utf-8"))
    assert [row["photo"] for row in numbers] == ["a.jpg", "b.jpg"]
    assert numbers[1] == {"photo": "b.jpg", **json.loads(json.dumps(to_dict(rows[1][1])))}
    with pytest.raises(ValueError, match="at least one"):
        staged_sheet([])


def test_other_endings_are_refused(make_segmenter: MakeSegmenter, photo: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"picture\.gif must end in \.png, \.svg or \.json"):
        save(make_segmenter().explain("dog", image=photo), tmp_path / "picture.gif")
    assert list(tmp_path.iterdir()) == [photo]


def test_shapes_outside_the_sheet_and_without_length_are_painted() -> None:
    dot = Arrow((5, 5), (5, 5), (5, 5), (0, 0, 0), 2, "nowhere")
    outline = Outline(np.array([[-5.0, -5.0], [50.0, -5.0], [50.0, 50.0]]), (0, 128, 0), 2, dashed=True)
    drawing = Drawing(20, 20, "a test", [dot, outline])
    assert paint(drawing, 1).shape == (20, 20, 3)
    ElementTree.fromstring(to_svg(drawing).split("\n", 1)[1])
    square = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]])
    pieces = dashes(square, 6, 4)
    assert len(pieces) == 4
    assert sum(np.hypot(*np.diff(piece, axis=0).T).sum() for piece in pieces) == pytest.approx(24)


def test_text_is_wrapped_to_its_width() -> None:
    assert wrap_text("", 12, 100) == []
    lines = wrap_text("several words that do not fit on a line", 12, 100)
    assert len(lines) > 1
    assert " ".join(lines) == "several words that do not fit on a line"
