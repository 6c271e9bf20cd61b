"""Model folders: what stands in the files, and folders of every version and precision."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import cmpc
from cmpc.data.vocabulary import Vocabulary
from cmpc.errors import UserError
from cmpc.model_folder import load_model_folder, read_folder_config, save_model_folder
from cmpc.models.build import build_network
from cmpc.models.config import GROUNDED, PRESETS, ModelConfig

FORMAT_1 = json.loads((Path(__file__).parent / "format_1_configs.json").read_text(encoding="utf-8"))
"""What version 0.1 wrote: the configuration of the first model that shipped, and those of its presets."""
BLOCKS = GROUNDED.changed(
    text={"vocabulary_size": 162}, network={"exchange_rounds": 0, "conv_lstm": False, "word_type_supervision": True}
)
"""The network of the first model that shipped."""


@pytest.mark.parametrize(
    ("name", "expected"), [("blocks", BLOCKS), *((name, PRESETS[name]) for name in ("paper", "small", "rrn"))]
)
def test_configuration_of_format_1_is_the_same_network(name: str, expected: ModelConfig, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(FORMAT_1[name]), encoding="utf-8")
    as_then = expected.changed(text={"splitting": "original"})  # the only rule that there was
    assert read_folder_config(tmp_path).network == as_then


def test_folder_of_format_1_answers_as_before(photo: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    vocabulary = Vocabulary(("<pad>", "<unk>", "left", "man", *map(str, range(158))))
    save_model_folder(tmp_path / "now", build_network(BLOCKS), vocabulary)
    shutil.copytree(tmp_path / "now", tmp_path / "before")
    (tmp_path / "before" / "config.json").write_text(json.dumps(FORMAT_1["blocks"]), encoding="utf-8")
    [now] = cmpc.load(tmp_path / "now").predict("left man", image=photo)
    [before] = cmpc.load(tmp_path / "before").predict("left man", image=photo)
    assert (before.probability == now.probability).all()


def test_weights_may_be_stored_in_half_precision(tiny_model_folder: Path, tmp_path: Path) -> None:
    loaded = load_model_folder(tiny_model_folder)
    save_model_folder(tmp_path / "half", loaded.model, loaded.vocabulary, dtype=torch.float16)
    stored = load_file(tmp_path / "half" / "model.safetensors")
    assert {value.dtype for value in stored.values() if value.is_floating_point()} == {torch.float16}
    assert stored.keys() == loaded.model.state_dict().keys()
    again = load_model_folder(tmp_path / "half").model.state_dict()
    for name, value in loaded.model.state_dict().items():
        assert again[name].dtype == value.dtype
        torch.testing.assert_close(again[name], value, rtol=1e-3, atol=1e-4)


def test_numbers_too_large_for_half_precision_are_not_stored_as_infinity(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    loaded = load_model_folder(tiny_model_folder)
    with torch.no_grad():
        loaded.model.score.weight.mul_(1e6)
    with pytest.raises(UserError, match=r"score\.weight hold numbers too large"):
        save_model_folder(tmp_path / "half", loaded.model, loaded.vocabulary, dtype=torch.float16)
    assert not list(tmp_path.iterdir())


def test_folder_of_a_run_names_its_models(tiny_model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match=r"is not a model folder: config\.json"):
        cmpc.load(tmp_path)
    shutil.copytree(tiny_model_folder, tmp_path / "last")
    with pytest.raises(UserError, match=rf"folder of a training run: give {tmp_path / 'last'}\.$"):
        cmpc.load(tmp_path)
    shutil.copytree(tiny_model_folder, tmp_path / "best")
    with pytest.raises(UserError, match=rf"give {tmp_path / 'best'} or {tmp_path / 'last'}\.$"):
        load_model_folder(tmp_path)
