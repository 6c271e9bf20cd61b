"""The models that come with the package: they are small, safe to load, and do what their cards say."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cmpc
from cmpc.blocks.generate import make_sample
from cmpc.cli import main
from cmpc.cli.web import Options, make_service
from cmpc.data.masks import decode_mask
from cmpc.engines.engine import Answers
from cmpc.evaluation.metrics import overlap
from cmpc.model_folder import located
from cmpc.web.examples import read_examples
from cmpc.weights import SHIPPED_EXAMPLES, SHIPPED_MODELS
from first_format import write_first_format
from weights.record_answers import RECORD, answers_of

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "examples" / "photos"
BLOCKS = SHIPPED_MODELS["blocks"]
SCENES = 60
LEAST_FOUND = 0.4
"""Share of what people say of the photos of the examples; few, and seen by nobody in training."""


@pytest.mark.parametrize("name", SHIPPED_MODELS)
def test_they_are_small_and_hold_nothing_but_tensors_and_text(name: str) -> None:
    files = list(SHIPPED_MODELS[name].iterdir())
    assert {file.name for file in files} == {"model.safetensors", "config.json", "vocabulary.txt", "README.md"}
    assert sum(file.stat().st_size for file in files) <= 20_000_000


def test_half_the_bytes_give_the_same_answers(tmp_path: Path) -> None:
    """The weights are stored in fp16. What they answered in fp32, as they were learned, was recorded (by
    ``python tests/weights/record_answers.py RUN/last``). A folder of the first format answers as the shipped one."""
    old = tmp_path / "old"
    write_first_format(old)
    with np.load(RECORD) as recorded:
        expected = Answers(**recorded)
    found, of_first_format = answers_of(BLOCKS), answers_of(old)
    norms = [np.linalg.norm(logits, axis=(1, 2)) for logits in (found.logits - expected.logits, expected.logits)]
    assert (norms[0] / norms[1]).max() < 1e-3
    np.testing.assert_allclose(found.word_types, expected.word_types, atol=1e-3)
    assert found.presence is not None
    assert expected.presence is not None
    np.testing.assert_allclose(found.presence, expected.presence, atol=0.02)
    np.testing.assert_array_equal(of_first_format.logits, found.logits)
    assert of_first_format.presence is None


@pytest.mark.slow
def test_the_model_of_blocks_finds_as_much_as_its_card_says() -> None:
    """On the first scenes of ``test``, less by no more than what so few can be off by: two standard errors. Of all
    families that the card has a column for."""
    segmenter = cmpc.load("blocks")
    card = (BLOCKS / "README.md").read_text(encoding="utf-8")
    intersections, unions, hits, expressions = np.zeros((4, SCENES))  # of each scene
    for index in range(SCENES):
        sample = make_sample(0, "test", index, 192)
        asked = [expression for expression in sample.expressions if f"| {expression.family} |" in card]
        predictions = segmenter.predict([some.text for some in asked], image=sample.rendering.pixels)
        for expression, prediction in zip(asked, predictions, strict=True):
            truth = np.any([sample.rendering.mask(block) for block in expression.targets], axis=0)
            common = overlap(prediction.mask, truth)
            intersections[index] += common.intersection
            unions[index] += common.union
            hits[index] += common.iou >= 0.5
            expressions[index] += 1
    for figure, parts, wholes in (("overall IoU", intersections, unions), ("precision@0.5", hits, expressions)):
        says = _card_says(figure)
        error = np.sqrt(SCENES * np.var(parts - says * wholes, ddof=1)) / wholes.sum()  # scenes are drawn, not pixels
        assert error < 0.025, figure
        assert parts.sum() / wholes.sum() > says - 2 * error, figure


def _card_says(figure: str) -> float:
    """The first number in the row of the card's table, of all expressions of ``test``."""
    card = (BLOCKS / "README.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| test, {re.escape(figure)} \| ([\d.]+) \|", card, re.MULTILINE)
    assert row is not None
    return float(row[1]) / 100


def test_the_model_for_photos_finds_what_people_mean() -> None:
    segmenter = cmpc.load("photos")
    found = 0
    rows = [json.loads(line) for line in (PHOTOS / "table.jsonl").read_text(encoding="utf-8").splitlines()]
    for row in rows:
        truth = decode_mask(row["rle"]["counts"], *row["rle"]["size"])
        predictions = segmenter.predict(row["expressions"], image=PHOTOS / row["image"])
        found += sum(overlap(prediction.mask, truth).iou >= 0.5 for prediction in predictions)
    assert found >= LEAST_FOUND * sum(len(row["expressions"]) for row in rows)


def test_words_that_nobody_said_in_training_mean_what_their_likes_do() -> None:
    segmenter = cmpc.load("photos")
    gentleman, man = segmenter.predict(["the gentleman", "the man"], image=PHOTOS / "elephant.jpg")
    assert overlap(gentleman.mask, man.mask).iou > 0.5


def test_it_says_that_nothing_fits_where_nothing_is_like_what_is_meant() -> None:
    dinosaur, dog = cmpc.load("photos").predict(["the purple dinosaur", "the dog"], image=PHOTOS / "dog.jpg")
    assert dinosaur.present is not None
    assert dinosaur.is_absent
    assert not dinosaur.mask.any()
    assert not dog.is_absent


def test_segment_and_explain_take_the_one_for_photos_when_no_model_is_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = PHOTOS / "dog.jpg"
    assert main(["segment", str(photo), "the dog", "the xylograph", "--out", str(tmp_path)]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "small model for photos" in said
    assert "does not know 'xylograph'" in said
    result = json.loads((tmp_path / "dog.json").read_text())["predictions"][0]
    assert np.asarray(Image.open(tmp_path / result["mask"])).shape == np.asarray(Image.open(photo)).shape[:2]
    assert main(["explain", str(photo), "the dog", "--out", str(tmp_path / "picture.png")]) == 0
    assert Image.open(tmp_path / "picture.png").width > 384


@pytest.mark.parametrize("name", SHIPPED_MODELS)
def test_every_example_has_expressions_of_known_words(name: str) -> None:
    segmenter = cmpc.load(name)
    examples = read_examples(SHIPPED_EXAMPLES[name])
    assert len(examples) >= 4
    for example in examples:
        assert example.expressions
        assert [word for text in example.expressions for word in segmenter.query(text).unknown] == []


def test_page_serves_both_when_no_model_is_given() -> None:
    assert make_service(Options()).models.names == ["photos", "blocks"]
    assert make_service(Options(model="blocks")).models.names == ["blocks"]


def test_names_of_models_that_ship_go_where_folders_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()  # people have folders of that name
    assert located("photos") == SHIPPED_MODELS["photos"]
    here = tmp_path / "blocks"
    shutil.copytree(BLOCKS, here)
    assert located("blocks") == Path("blocks")
    here.rename(tmp_path / "elsewhere")
    assert located("blocks") == BLOCKS
    assert located("nowhere") == Path("nowhere")
    assert main(["export", "--model", "blocks", "--format", "onnx", "--out", str(tmp_path / "exported")]) == 0


def test_demo_shows_them_at_work(tmp_path: Path) -> None:
    demo = subprocess.run(
        [sys.executable, ROOT / "examples" / "demo.py", "--out", tmp_path], capture_output=True, text=True, check=True
    )
    assert demo.stdout.count("overall IoU") == 2
    assert len(list(tmp_path.glob("scene-*.overlay.png"))) == 6
    assert len(list(tmp_path.glob("*.overlay.png"))) == 11
    assert (tmp_path / "explanation.png").exists()
