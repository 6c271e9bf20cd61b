"""The mean of models, as the documentation makes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cmpc.data.vocabulary import Vocabulary
from cmpc.model_folder import load_model_folder, save_model_folder
from cmpc.models.build import build_network
from networks import SMALL

EXAMPLE = Path(__file__).parents[2] / "examples" / "mean_of_models.py"


def save(folder: Path, seed: int, words: int = 6) -> Path:
    torch.manual_seed(seed)
    vocabulary = Vocabulary.from_expressions([" ".join(f"word{number}" for number in range(words))])
    network = build_network(SMALL.changed(text={"vocabulary_size": len(vocabulary)}))
    save_model_folder(folder, network, vocabulary)
    return folder


def mean(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, EXAMPLE, *arguments], capture_output=True, text=True, check=False)


def test_each_value_is_the_mean_and_models_stay_as_they_are(tmp_path: Path) -> None:
    models = [save(tmp_path / str(seed), seed) for seed in range(3)]
    before = [load_model_folder(model).model.state_dict() for model in models]
    assert mean(*models, Path("--out"), tmp_path / "mean").returncode == 0
    found = load_model_folder(tmp_path / "mean").model.state_dict()
    for name, value in found.items():
        expected = torch.stack([state[name].float() for state in before]).mean(dim=0).to(value.dtype)
        torch.testing.assert_close(value, expected)
    assert mean(*models[:2], *("--shares", "0.25", "0.75", "--out"), tmp_path / "shared").returncode == 0
    for name, value in load_model_folder(tmp_path / "shared").model.state_dict().items():
        expected = 0.25 * before[0][name].float() + 0.75 * before[1][name].float()
        torch.testing.assert_close(value, expected.to(value.dtype))
    for model, state in zip(models, before, strict=True):
        after = load_model_folder(model).model.state_dict()
        assert all(torch.equal(after[name], value) for name, value in state.items())


@pytest.mark.parametrize("shares", [("0.5", "0.6"), ("1",), ("nan", "1")])
def test_shares_that_are_no_mean_are_refused(tmp_path: Path, shares: tuple[str, ...]) -> None:
    models = [save(tmp_path / str(seed), seed) for seed in range(2)]
    result = mean(*models, "--shares", *shares, "--out", tmp_path / "mean")
    assert result.returncode == 1
    assert "2 numbers that sum to 1" in result.stderr
    assert not (tmp_path / "mean").exists()


def test_no_folder_of_something_else_is_replaced(tmp_path: Path) -> None:
    models = [save(tmp_path / str(seed), seed) for seed in range(2)]
    result = mean(*models, "--out", tmp_path)
    assert result.returncode == 1
    assert "no model folder" in result.stderr
    assert models[0].exists()


@pytest.mark.parametrize("other", ["words", "folder"])
def test_models_that_do_not_fit_are_refused_with_a_sentence(tmp_path: Path, other: str) -> None:
    second = save(tmp_path / "second", 1, words=7) if other == "words" else tmp_path
    result = mean(save(tmp_path / "first", 0), second, Path("--out"), tmp_path / "mean")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert ("same words" if other == "words" else "is not a model folder") in result.stderr
    assert not (tmp_path / "mean").exists()
