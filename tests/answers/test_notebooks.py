"""What notebooks show, and the tour."""

from __future__ import annotations

import base64
import io
import os
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from nbclient import NotebookClient
from PIL import Image

import cmpc
from answers.conftest import known_masks
from cmpc import Segmenter

ROOT = Path(__file__).parents[2]


def test_prediction_shows_its_mask_and_score(scripted: Segmenter, photos: Path) -> None:
    man, nothing = scripted.predict(["man", "dog"], image=photos / "first.jpg")
    shown = DisplayFormatter().format(man)[0]["text/html"]
    found = re.search(r'base64,([^"]+)"', shown)
    assert found
    mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1]))))
    np.testing.assert_array_equal(mask == 255, known_masks()["man"])
    assert "man (score 1.00)" in shown
    assert "dog (nothing found)" in DisplayFormatter().format(nothing)[0]["text/html"]


def test_what_was_asked_is_text_and_no_markup(tiny_model_folder: Path, photo: Path) -> None:
    [prediction] = cmpc.load(tiny_model_folder).predict("<b>dog</b>", image=photo)
    assert "<b>" not in DisplayFormatter().format(prediction)[0]["text/html"]


def test_explanation_shows_its_picture(tiny_model_folder: Path, photo: Path) -> None:
    explanation = cmpc.load(tiny_model_folder).explain("the left man", image=photo)
    assert Image.open(io.BytesIO(DisplayFormatter().format(explanation)[0]["image/png"])).width > 500


@pytest.mark.slow
def test_tour_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOUR_STEPS", "2")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    tour = nbformat.read(ROOT / "examples/tour.ipynb", as_version=4)
    nbformat.validate(tour)
    assert not any(cell.get("outputs") for cell in tour.cells)  # which would grow the repository at every run
    ran = NotebookClient(tour, timeout=300, resources={"metadata": {"path": str(ROOT / "examples")}}).execute()
    pictures = [
        output for cell in ran.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 5
