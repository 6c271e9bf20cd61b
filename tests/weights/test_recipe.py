"""The recipe of the model of Blocks, from the images to the card, at the size of a test."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import cmpc
from cmpc.cli import main as command
from cmpc.cli import parse
from cmpc.model_folder import load_model_folder
from cmpc.models.config import PRESETS
from networks import tiny_config

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

import train_blocks_model as recipe

TINY_STAGES = {
    "backbone": recipe.Stage("pretrain", "--parts backbone --recolour --image.size 64 --steps 2"),
    "objects": recipe.Stage("pretrain", "--parts aspects objects --image.size 64 --second-size 96 --steps 2"),
    "expressions": recipe.Stage(
        "train", f"{recipe.NETWORK} {recipe.EXPRESSIONS} --image.size 64 --freeze-backbone --batch-images 4 --steps 2"
    ),
    "masks": recipe.Stage("train", f"{recipe.EXPRESSIONS} --image.size 96 --batch-images 2 --steps 2"),
    "objects-again": recipe.Stage("pretrain", "--parts objects --image.size 96 --steps 2"),
    "none-or-many": recipe.Stage(
        "train",
        "--network.presence-channels 8 --image.size 96 --freeze-backbone --batch-images 2 --expressions-per-image 8 "
        "--no-augmentation --validate-every 0 --steps 2",
    ),
}


@pytest.mark.slow
def test_recipe_makes_a_model_with_a_card_and_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(PRESETS, "grounded", tiny_config(100, "grounded"))
    monkeypatch.setattr(recipe, "STAGES", TINY_STAGES)
    work, model = tmp_path / "work", tmp_path / "model"
    # Some of the families are rare: the tests need more images than the training.
    assert command(["blocks", "--out", str(work / "blocks"), "--images", "400", "--size", "64", "--workers", "2"]) == 0
    arguments = ["recipe", "--work", str(work), "--out", str(model), "--examples", str(tmp_path / "examples")]
    monkeypatch.setattr(sys, "argv", arguments)
    assert recipe.main() == 0
    card = (model / "README.md").read_text(encoding="utf-8")
    assert "| test_unseen, precision@0.5 |" in card
    assert "| | something | entity |" in card
    assert "| | N-acc | N-acc, absent noun | N-acc, absent looks | N-acc, absent relation | T-acc |" in card
    assert "sees pictures at 96 x 96 pixels" in card
    assert "cmpc pretrain --parts objects --image.size 96 --steps 2    # objects-again" in card
    assert len(list((tmp_path / "examples").glob("*.jpg"))) == recipe.EXAMPLES

    states = {name: load_model_folder(work / name / "last").model.state_dict() for name in TINY_STAGES}
    learned = {
        name: {key.partition(".")[0] for key in state if not torch.equal(state[key], states[before][key])}
        for (before, _), (name, state) in zip(states.items(), list(states.items())[1:], strict=False)
        if state.keys() == states[before].keys()
        and state["language.embedding.weight"].shape == states[before]["language.embedding.weight"].shape
    }
    assert learned["objects"] == {"aspects", "object_reader"}
    assert learned["objects-again"] == {"object_reader"}
    assert {"backbone", "aspects", "object_reader", "levels", "score"} <= learned["masks"]
    for part in ("backbone.", "aspects.", "object_reader."):  # what was learned without words is taken over, and kept
        for key in (key for key in states["expressions"] if key.startswith(part)):
            assert torch.equal(states["expressions"][key], states["objects"][key]), key

    stored = load_file(model / "model.safetensors")
    assert {value.dtype for value in stored.values() if value.is_floating_point()} == {torch.float16}
    config = cmpc.load(model).model.config
    assert (config.image.size, config.network.presence_channels) == (96, 8)
    weights = (model / "model.safetensors").read_bytes()
    capsys.readouterr()
    assert recipe.main() == 0
    assert "$ cmpc" not in capsys.readouterr().out  # nothing is made twice
    assert (model / "model.safetensors").read_bytes() == weights


@pytest.mark.parametrize("name", recipe.STAGES)
def test_commands_of_the_stages_are_understood(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given: list[tuple[str, ...]] = []
    monkeypatch.setattr(recipe, "command", lambda *arguments: given.append(tuple(map(str, arguments))))
    monkeypatch.setattr(recipe, "model_before", lambda work, name: None)
    (tmp_path / name).mkdir()
    recipe.train(tmp_path, name)
    assert parse(given[0][0], given[0][1:]).out == tmp_path / name
