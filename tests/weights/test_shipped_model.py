"""The model that comes with the package: it is small, safe to load, and does what its card says."""

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
from cmpc.data.vocabulary import pad_tokens
from cmpc.engines.torch_engine import TorchEngine
from cmpc.evaluation.metrics import overlap
from cmpc.web.examples import read_examples
from cmpc.weights import SHIPPED_EXAMPLES, SHIPPED_MODEL

ROOT = Path(__file__).parents[2]
SCENES = 60


def test_it_is_small_and_holds_nothing_but_tensors_and_text() -> None:
    names = {file.name for file in SHIPPED_MODEL.iterdir()}
    assert names == {"model.safetensors", "config.json", "vocabulary.txt", "README.md"}
    assert sum(file.stat().st_size for file in SHIPPED_MODEL.iterdir()) <= 20_000_000


def test_half_the_bytes_give_the_same_answers(tmp_path: Path) -> None:
    """The weights are stored in fp16. Their answers in fp32, every sixth row and column, were recorded with the program
    that wrote the first format of configurations; a folder of that format answers as the shipped one does."""
    with np.load(Path(__file__).parent / "fixtures" / "answers_of_float32.npz") as recorded:
        expected, types = recorded["logits"], recorded["word_types"]
    old = tmp_path / "old"
    shutil.copytree(SHIPPED_MODEL, old)
    shutil.copy(ROOT / "tests" / "models" / "fixtures" / "config_format_1.json", old / "config.json")
    answers = []
    for folder in (SHIPPED_MODEL, old):
        segmenter = cmpc.load(folder)
        assert isinstance(segmenter.engine, TorchEngine)
        expressions = (SHIPPED_EXAMPLES / "scene-4.txt").read_text().split("\n")
        ids = [segmenter.query(expression).ids for expression in expressions if expression]
        seen = segmenter.set_image(SHIPPED_EXAMPLES / "scene-4.jpg")
        answers.append(segmenter.engine.comprehend(seen.features, pad_tokens(ids)))
    (logits, word_types), (old_logits, _) = answers
    differences = np.linalg.norm(logits[:, ::6, ::6] - expected, axis=(1, 2)) / np.linalg.norm(expected, axis=(1, 2))
    assert differences.max() < 1e-3
    np.testing.assert_allclose(word_types, types, atol=1e-3)
    np.testing.assert_array_equal(old_logits, logits)


@pytest.mark.slow
def test_it_finds_as_much_as_its_card_says() -> None:
    """On the first scenes of ``test``, less by no more than what so few can be off by: two standard errors."""
    segmenter = cmpc.load()
    intersections, unions, hits, expressions = np.zeros((4, SCENES))  # of each scene
    for index in range(SCENES):
        sample = make_sample(0, "test", index, 192)
        predictions = segmenter.predict([some.text for some in sample.expressions], image=sample.rendering.pixels)
        for expression, prediction in zip(sample.expressions, predictions, strict=True):
            common = overlap(prediction.mask, sample.rendering.mask(expression.target))
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
    card = (SHIPPED_MODEL / "README.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| test, {re.escape(figure)} \| ([\d.]+) \|", card, re.MULTILINE)
    assert row is not None
    return float(row[1]) / 100


def test_segment_and_explain_take_it_when_no_model_is_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = SHIPPED_EXAMPLES / "scene-1.jpg"
    assert main(["segment", str(scene), "the capsule", "--out", str(tmp_path)]) == 0
    assert "knows coloured blocks" in " ".join(capsys.readouterr().err.split())
    result = json.loads((tmp_path / "scene-1.json").read_text())["predictions"][0]
    mask = np.asarray(Image.open(tmp_path / result["mask"]))
    assert mask.shape == (384, 384)
    assert main(["explain", str(scene), "the capsule", "--out", str(tmp_path / "picture.png")]) == 0
    assert Image.open(tmp_path / "picture.png").width > 384


def test_every_example_has_expressions_of_known_words() -> None:
    segmenter = cmpc.load()
    texts = sorted(SHIPPED_EXAMPLES.glob("*.txt"))
    assert len(texts) >= 4
    for text in texts:
        assert Image.open(text.with_suffix(".jpg")).size == (384, 384)
        lines = text.read_text(encoding="utf-8").splitlines()
        assert lines
        assert [word for line in lines for word in segmenter.query(line).unknown] == []


def test_page_serves_it_when_no_model_is_given() -> None:
    service = make_service(Options())
    assert service.models.names == ["blocks"]
    examples = read_examples(SHIPPED_EXAMPLES)
    assert len(examples) >= 4
    assert all(example.expressions for example in examples)


def test_demo_shows_it_at_work(tmp_path: Path) -> None:
    demo = subprocess.run(
        [sys.executable, ROOT / "examples" / "demo.py", "--out", tmp_path], capture_output=True, text=True, check=True
    )
    assert "overall IoU" in demo.stdout
    assert len(list(tmp_path.glob("scene-*.overlay.png"))) == 6
    assert (tmp_path / "explanation.png").exists()
