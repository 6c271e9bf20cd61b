"""Which split tells the best model, and which words are read."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from cmpc.cli import main
from cmpc.conventions import WORD_TYPES, ImageConfig
from cmpc.data.dataset import ReferringImages
from cmpc.data.sampler import Visit
from cmpc.data.schema import DatasetInfo, PreparedDataset, write_dataset
from cmpc.data.vocabulary import Vocabulary
from cmpc.model_folder import read_model_config
from cmpc.models.config import preset
from training.scenes import QUICK_RUN


def with_splits(scenes: Path, folder: Path, *names: str) -> Path:
    """The scenes with the split val under other names."""
    data = PreparedDataset.open(scenes)
    splits = {"train": data.read("train"), **{name: data.read("val") for name in names}}
    write_dataset(folder, DatasetInfo(name="scenes", images=str(scenes.parent / "photos")), splits)
    return folder


def train(data: Path, out: Path, *extra: str) -> int:
    arguments = ("--data", data, "--out", out, "--steps", "1", "--workers", "0", "--validate-every", "1")
    return main(["train", *map(str, (*arguments, *QUICK_RUN, *extra))])


@pytest.mark.parametrize("names", [("valid",), ("validation",), ("dev",), ("Val",), ("test", "dev")])
def test_best_model_is_told_by_a_split_of_any_usual_name(
    scenes: Path, tmp_path: Path, tiny_network: None, names: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(with_splits(scenes, tmp_path / "data", *names), tmp_path / "run") == 0
    assert (tmp_path / "run" / "best").is_dir()
    assert f"The best model is told by the split {names[-1]}." in " ".join(capsys.readouterr().err.split())


def test_it_is_told_that_there_is_no_best_model(
    scenes: Path, tmp_path: Path, tiny_network: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(with_splits(scenes, tmp_path / "data", "test"), tmp_path / "run") == 0
    assert not (tmp_path / "run" / "best").exists()
    error = " ".join(capsys.readouterr().err.split())
    assert "no split to tell the best model by" in error
    assert "name one of train, test with --validation-split" in error


def test_long_expressions_are_counted(
    scenes: Path, tmp_path: Path, tiny_network: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(scenes, tmp_path / "run", "--text.max-words", "3") == 0
    assert "expressions have more than 3 words; what follows is not read" in " ".join(capsys.readouterr().err.split())


def test_presets_say_how_expressions_are_split() -> None:
    assert {name: preset(name).text.splitting for name in ("paper", "rrn", "small", "grounded")} == {
        "paper": "original",
        "rrn": "original",
        "small": "plain",
        "grounded": "plain",
    }


def test_a_run_reads_words_as_it_is_told(scenes: Path, tmp_path: Path, tiny_network: None) -> None:
    assert train(scenes, tmp_path / "run", "--text.splitting", "plain") == 0
    assert read_model_config(tmp_path / "run" / "last").text.splitting == "plain"
    config = json.loads((tmp_path / "run" / "last" / "config.json").read_text())
    del config["model"]["text"]["splitting"]  # as earlier versions wrote it
    (tmp_path / "run" / "last" / "config.json").write_text(json.dumps(config))
    assert read_model_config(tmp_path / "run" / "last").text.splitting == "original"


def test_labels_of_words_stay_with_their_words(scenes: Path) -> None:
    """Types in data are those of the original's tokens, of which the plain rule drops some."""
    data = PreparedDataset.open(scenes)
    row = dataclasses.replace(
        data.read("train")[0],
        expressions=('the "red" box!',),
        word_types=(("unnecessary", "unnecessary", "attribute", "unnecessary", "entity", "unnecessary"),),
    )
    words = Vocabulary.from_expressions(row.expressions, splitting="plain")
    image = ImageConfig(size=48, resize="area")
    dataset = ReferringImages(data, "train", words, image, max_words=20, expressions_per_image=1, rows=[row])
    sample = dataset[Visit(0, 0, 0, 1)]
    assert [words.words[token] for token in sample.tokens[0]] == ["the", "red", "box"]
    assert sample.word_types is not None
    assert [WORD_TYPES[kind] for kind in sample.word_types[0]] == ["unnecessary", "attribute", "entity"]
