"""The recipe of the model that ships, from the images to the card, at the size of a test."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

import cmpc
from cmpc.cli import main as command
from cmpc.models.config import PRESETS
from networks import tiny_config

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

import pretrain_blocks_backbone as pretraining
import train_blocks_model as recipe


@pytest.mark.slow
def test_recipe_makes_a_model_with_a_card_and_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(PRESETS, "small", tiny_config(100))
    stages = {
        "grounding": recipe.Stage("--image-size 64 --larger-size 96 --epochs 2 --recolour --grounding", "seeing"),
        "expressions": recipe.Stage("--image-size 64 --batch-images 6 --steps 2 --freeze-backbone"),
        "masks": recipe.Stage("--image-size 96 --batch-images 4 --steps 2 --learning-rate 1e-3"),
        "objects": recipe.Stage("--image-size 96 --epochs 2 --grounding", "seeing"),
        "relations": recipe.Stage("--image-size 96 --batch-images 4 --steps 2 --freeze-backbone", scenes=1),
        "mean": recipe.Stage("objects -0.5 relations 1.5", "mean"),
        "more-objects": recipe.Stage("--image-size 96 --epochs 2 --grounding --objects-only", "seeing", scenes=1),
    }
    monkeypatch.setattr(recipe, "STAGES", stages)
    monkeypatch.setattr(recipe, "SCENES", {0: 20, 1: 24, 2: 20})
    work, model = tmp_path / "work", tmp_path / "model"
    standard = ("--images", "400", "--split", "test", "test_unseen", "--size", "64", "--workers", "2")
    assert command(["blocks", "--out", str(work / "standard"), *standard]) == 0
    arguments = ["recipe", "--work", str(work), "--out", str(model), "--examples", str(tmp_path / "examples")]
    monkeypatch.setattr(sys, "argv", arguments)
    assert recipe.main() == 0
    card = (model / "README.md").read_text(encoding="utf-8")
    assert "| test_unseen, precision@0.5 |" in card
    assert "sees pictures at 96 x 96 pixels" in card
    made = cmpc.load(model).model.state_dict()
    assert cmpc.load(model).model.config.image.size == 96
    before = cmpc.load(work / "mean").model.state_dict()
    changed = {name.partition(".")[0] for name in made if not torch.equal(made[name], before[name])}
    assert changed == {"object_reader"}  # the last stage teaches that alone
    ends = [cmpc.load(work / name).model.state_dict() for name in ("objects", "relations/last")]
    assert any(not torch.equal(ends[0][name], ends[1][name]) for name in before)
    for name, value in before.items():
        assert torch.allclose(value.float(), 1.5 * ends[1][name] - 0.5 * ends[0][name], atol=1e-6), name
    assert "weights: -0.5 x objects + 1.5 x relations    # mean" in card
    assert len(list((tmp_path / "examples").glob("*.jpg"))) == recipe.EXAMPLES

    weights = (model / "model.safetensors").read_bytes()
    capsys.readouterr()
    assert recipe.main() == 0
    assert "cmpc blocks" not in capsys.readouterr().out  # nothing is made twice
    assert (model / "model.safetensors").read_bytes() == weights


def test_recoloured_images_keep_what_is_grey_and_where_edges_are() -> None:
    torch.manual_seed(0)
    images = torch.full((16, 4, 4, 3), 120, dtype=torch.uint8)
    images[:, :, 2:] = torch.tensor([200, 60, 40], dtype=torch.uint8)
    recoloured = pretraining.recolour(images)
    assert recoloured.shape == images.shape
    assert recoloured.dtype == torch.uint8
    grey, red = recoloured[:, :, :2].int(), recoloured[:, :, 2:].int()
    assert bool((grey == grey[..., :1]).all())
    assert bool((red == red[:, :1, :1]).all())
    assert len({tuple(one[0, 0].tolist()) for one in red}) > 12  # each image in its own colour
    assert bool((images[:, :, :2] == 120).all())
