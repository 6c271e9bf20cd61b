"""A run that begins from another model, or from the backbone of one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import cmpc
from cmpc.cli import main
from cmpc.model_folder import read_model_config
from cmpc.models.config import CMPCConfig
from training.scenes import QUICK_RUN


def train(scenes: Path, out: Path, *extra: str | Path) -> int:
    arguments = ("--data", scenes, "--out", out, "--steps", "1", "--workers", "0", "--validate-every", "0")
    return main(["train", *map(str, (*arguments, *QUICK_RUN, *extra))])


@pytest.fixture
def first_model(scenes: Path, tmp_path: Path, tiny_network: None) -> Path:
    assert train(scenes, tmp_path / "first", "--seed", "1", "--network.exchange-rounds", "1") == 0
    return tmp_path / "first" / "last"


def weights_of(model: Path) -> dict[str, torch.Tensor]:
    return load_file(model / "model.safetensors")


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], prefix: str = "") -> float:
    """The largest difference between weights that train."""
    return max(
        float((value - other[name]).abs().max())
        for name, value in one.items()
        if name.startswith(prefix) and "running" not in name and "num_batches" not in name
    )


def test_training_begins_from_a_whole_model(first_model: Path, scenes: Path, tmp_path: Path) -> None:
    small_steps = ("--learning-rate", "1e-7")
    assert train(scenes, tmp_path / "second", "--initial-model", first_model, "--image.size", "96", *small_steps) == 0
    second = tmp_path / "second" / "last"
    config = read_model_config(second)
    assert isinstance(config.network, CMPCConfig)
    assert config.network.exchange_rounds == 1  # the network is the model's, not the preset's
    assert config.image.size == 96
    assert (second / "vocabulary.txt").read_text() == (first_model / "vocabulary.txt").read_text()
    assert 0 < distance(weights_of(second), weights_of(first_model)) < 1e-6


def test_a_model_learns_to_tell_whether_anything_fits(
    first_model: Path, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    added = ("--initial-model", first_model, "--network.presence-channels", "6")
    assert train(scenes, tmp_path / "second", *added, "--learning-rate", "1e-7") == 0
    second = tmp_path / "second" / "last"
    before, after = weights_of(first_model), weights_of(second)
    assert distance(before, after) < 1e-6  # all else goes on from where it was
    assert {name.partition(".")[0] for name in set(after) - set(before)} == {"presence"}
    [prediction] = cmpc.load(second).predict(["red"], image=np.zeros((64, 64, 3), np.uint8))
    assert prediction.present is not None
    capsys.readouterr()
    assert train(scenes, tmp_path / "third", *added, "--recipe", "paper") == 2
    assert "--recipe paper does not teach a network to tell whether anything fits" in capsys.readouterr().err


def test_embeddings_can_be_kept(first_model: Path, scenes: Path, tmp_path: Path) -> None:
    kept = ("--initial-model", first_model, "--embeddings-scale", "0")
    assert train(scenes, tmp_path / "second", *kept) == 0
    before, after = weights_of(first_model), weights_of(tmp_path / "second" / "last")
    assert distance(before, after, "language.embedding") == 0
    assert distance(before, after, "score") > 0


def test_a_model_learns_new_words(
    first_model: Path, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = (first_model / "vocabulary.txt").read_text(encoding="utf-8").split("\n")
    words, vectors = tmp_path / "words.txt", tmp_path / "words.npy"
    words.write_text("<pad>\n<unk>\nzebra\nthe\nquagga\n", encoding="utf-8")
    rows = np.arange(5, dtype=np.float32)[:, None].repeat(
        weights_of(first_model)["language.embedding.weight"].shape[1], 1
    )
    np.save(vectors, rows)
    more = ("--initial-model", first_model, "--vocabulary", words, "--learning-rate", "1e-7")
    assert train(scenes, tmp_path / "second", *more, "--embeddings", vectors) == 0
    second = tmp_path / "second" / "last"
    assert (second / "vocabulary.txt").read_text(encoding="utf-8").split("\n") == [*known[:-1], "zebra", "quagga", ""]
    before, after = (weights_of(model)["language.embedding.weight"] for model in (first_model, second))
    assert float((before - after[: len(before)]).abs().max()) < 1e-6  # "the" too is the model's own
    assert torch.equal(after[len(before) :], torch.from_numpy(rows[[2, 4]]))
    assert train(scenes, tmp_path / "second", *more, "--embeddings", vectors, "--resume") == 0
    assert train(scenes, tmp_path / "third", *more) == 0  # without vectors new words begin at random
    capsys.readouterr()
    assert train(scenes, tmp_path / "fourth", "--initial-model", first_model, "--embeddings", vectors) == 2
    assert "say which by --vocabulary" in " ".join(capsys.readouterr().err.split())
    np.save(vectors, rows[:, :-1])
    assert train(scenes, tmp_path / "fourth", *more, "--embeddings", vectors) == 1
    assert "give vectors of that width" in " ".join(capsys.readouterr().err.split())


def test_word_noise_is_drawn_for_each_step(
    first_model: Path, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin = ("--initial-model", first_model)
    for name, noise in (("without", "0"), ("with", "1"), ("again", "1")):
        assert train(scenes, tmp_path / name, *begin, "--word-noise", noise) == 0
    found = {name: weights_of(tmp_path / name / "last") for name in ("without", "with", "again")}
    assert distance(found["with"], found["again"]) == 0
    assert distance(found["with"], found["without"]) > 0
    model = cmpc.load(tmp_path / "with" / "last")
    answers = [model.predict(["red"], image=np.zeros((64, 64, 3), np.uint8))[0] for _ in range(2)]
    assert answers[0].score == answers[1].score
    capsys.readouterr()
    assert train(scenes, tmp_path / "fourth", *begin, "--word-noise", "-1") == 2
    assert "--word-noise must be from 0 to 10" in capsys.readouterr().err


def test_training_begins_from_the_backbone_of_a_model(first_model: Path, scenes: Path, tmp_path: Path) -> None:
    small_steps = ("--learning-rate", "1e-7")
    assert train(scenes, tmp_path / "second", "--backbone-weights", first_model, *small_steps) == 0
    second, first = weights_of(tmp_path / "second" / "last"), weights_of(first_model)
    assert distance(second, first, "backbone.") < 1e-6
    assert float((second["score.weight"] - first["score.weight"]).abs().max()) > 1e-3


def test_second_training_keeps_reading_from_both_ends(scenes: Path, tmp_path: Path, tiny_network: None) -> None:
    assert train(scenes, tmp_path / "first", "--text.both-directions") == 0
    assert train(scenes, tmp_path / "second", "--initial-model", tmp_path / "first" / "last") == 0
    for name in ("first", "second"):
        assert cmpc.load(tmp_path / name / "last").config.text.both_directions


def test_resumed_run_goes_on_from_its_own_weights(first_model: Path, scenes: Path, tmp_path: Path) -> None:
    run = ("--initial-model", first_model, "--learning-rate", "1e-2")
    assert train(scenes, tmp_path / "second", *run) == 0
    before = weights_of(tmp_path / "second" / "last")
    assert train(scenes, tmp_path / "second", *run, "--resume") == 0  # it had ended: nothing is left to do
    assert distance(weights_of(tmp_path / "second" / "last"), before) == 0


@pytest.mark.parametrize(
    "extra",
    [
        ("--preset", "paper"),
        ("--backbone", "efficientnet_lite"),
        ("--network", "grounded"),
        ("--network.no-conv-lstm",),
        ("--text.both-directions",),
        ("--backbone-weights", "random"),
    ],
    ids=lambda extra: extra[0],
)
def test_what_the_initial_model_decides_cannot_be_given_beside_it(
    extra: tuple[str, ...], first_model: Path, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(scenes, tmp_path / "run", "--initial-model", first_model, *extra) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert f"--initial-model brings its own network, words and weights: leave out {extra[0]}" in error


def test_initial_model_that_is_not_there_is_named(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(scenes, tmp_path / "run", "--initial-model", tmp_path / "nowhere") == 1
    assert "nowhere does not exist" in " ".join(capsys.readouterr().err.split())


def test_backbone_of_another_kind_is_refused(
    first_model: Path, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(scenes, tmp_path / "run", "--preset", "paper", "--backbone-weights", first_model) == 1
    assert "compact backbone" in " ".join(capsys.readouterr().err.split())
