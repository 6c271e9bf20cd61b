"""The model that comes with the package: it is small, safe to load, and does what its card says."""

from __future__ import annotations

import json
import re
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
from cmpc.web.examples import read_examples
from cmpc.weights import SHIPPED_EXAMPLES, SHIPPED_MODEL

ROOT = Path(__file__).parents[2]
SCENES = 30


def test_it_is_small_and_holds_nothing_but_tensors_and_text() -> None:
    names = {file.name for file in SHIPPED_MODEL.iterdir()}
    assert names == {"model.safetensors", "config.json", "vocabulary.txt", "README.md"}
    assert sum(file.stat().st_size for file in SHIPPED_MODEL.iterdir()) <= 20_000_000


def test_it_finds_about_as_much_as_its_card_says() -> None:
    """The first scenes of the test split: as good as the card's figures for all of it, within what so few can tell."""
    segmenter = cmpc.load()
    overlaps = []
    for index in range(SCENES):
        sample = make_sample(0, "test", index, 192)
        predictions = segmenter.predict(sample.rendering.image, [some.text for some in sample.expressions])
        for expression, prediction in zip(sample.expressions, predictions, strict=True):
            truth = sample.rendering.mask(expression.target)
            overlaps.append(((prediction.mask & truth).sum(), (prediction.mask | truth).sum()))
    intersections, unions = np.array(overlaps).T
    card = (SHIPPED_MODEL / "README.md").read_text(encoding="utf-8")
    overall, precision = (
        float(re.search(rf"^\| test, {figure} \| ([\d.]+) \|", card, re.MULTILINE)[1]) / 100  # type: ignore[index]
        for figure in ("overall IoU", "precision@0.5")
    )
    assert intersections.sum() / unions.sum() == pytest.approx(overall, abs=0.08)
    assert (intersections / unions >= 0.5).mean() == pytest.approx(precision, abs=0.08)


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
        assert [word for line in lines for word in segmenter.vocabulary.unknown_words(line)] == []


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
