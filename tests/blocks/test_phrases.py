"""Phrases that may fit several blocks, for the first stage of a training."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from cmpc.blocks.dataset import Settings, make_blocks, read_scenes
from cmpc.blocks.grammar import ADJECTIVES, NOUNS
from cmpc.blocks.phrases import write_phrases
from cmpc.blocks.scene import Block
from cmpc.data.schema import PreparedDataset
from cmpc.data.vocabulary import tokenize
from cmpc.errors import UserError


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("blocks") / "blocks"
    make_blocks(folder, Settings(seed=3, size=64, splits={"train": 12, "test": 2}))
    return folder


def fits(text: str, block: Block) -> bool:
    """Reads the words one by one: every one that names a shape or an attribute must be true of the block."""
    meanings = {word: ("shape", shape) for shape, nouns in NOUNS.items() if shape for word in nouns}
    for value, adjectives in ADJECTIVES.items():
        meanings |= {word: ("other", value) for adjective in adjectives for word in adjective.split()}
    looks = {block.shape, block.colour, block.material, block.size}
    meanings["sized"] = meanings["middle"] = ("other", "medium")
    found = [meanings[word][1] for word in tokenize(text) if word in meanings]
    return all(value in looks for value in found)


def test_phrase_of_looks_asks_for_every_block_that_it_fits(blocks: Path, tmp_path: Path) -> None:
    write_phrases(blocks, tmp_path / "phrases")
    every = PreparedDataset.open(tmp_path / "phrases").read("train")
    rows = [row for row in every if row.groups == ("phrase",)]
    scenes = {record.image: record for record in read_scenes(blocks, "train")}
    assert {row.image for row in rows} == set(scenes)
    several = 0
    for row in rows:
        record, (text,) = scenes[row.image], row.expressions
        fitting = [number for number, block in enumerate(record.scene.blocks) if fits(text, block)]
        several += len(fitting) > 1
        np.testing.assert_array_equal(row.decode_mask(), record.decode_masks()[fitting].any(axis=0), err_msg=text)
        assert len(row.word_types[0]) == len(tokenize(text))
        assert "relation" not in row.word_types[0]
    assert several > len(rows) / 10


def test_relational_phrase_asks_for_every_block_that_stands_so(blocks: Path, tmp_path: Path) -> None:
    write_phrases(blocks, tmp_path / "phrases")
    rows = PreparedDataset.open(tmp_path / "phrases").read("train")
    relational = [row for row in rows if row.groups == ("relational phrase",)]
    scenes = {record.image: record for record in read_scenes(blocks, "train")}
    several = 0
    for row in relational:
        record, (text,) = scenes[row.image], row.expressions
        assert "relation" in row.word_types[0], text
        masks, wanted = record.decode_masks(), row.decode_mask()
        shown = [number for number, mask in enumerate(masks) if mask.any()]
        chosen = [number for number in shown if wanted[masks[number]].all()]
        np.testing.assert_array_equal(masks[chosen].any(axis=0), wanted, err_msg=text)
        several += len(chosen) > 1
        first = next(i for i, kind in enumerate(row.word_types[0]) if kind == "relation")
        relation = " ".join(w for w, kind in zip(tokenize(text), row.word_types[0], strict=True) if kind == "relation")
        about = " ".join(tokenize(text)[:first])
        assert all(fits(about, record.scene.blocks[number]) for number in chosen), text
        anchors = [n for n, b in enumerate(record.scene.blocks) if fits(" ".join(tokenize(text)[first:]), b)]
        assert len(anchors) == 1, text
        if words := [word for word in ("left", "right") if word in relation]:
            across = [record.scene.camera.project(np.array([b.position]))[0, 0] for b in record.scene.blocks]
            side = -1 if words == ["left"] else 1
            assert all(side * (across[number] - across[anchors[0]]) > 0 for number in chosen), text
    assert len(relational) > 3 * len(scenes)
    assert several > len(relational) / 10


def test_images_stay_where_they_are(blocks: Path, tmp_path: Path) -> None:
    info = write_phrases(blocks, tmp_path / "phrases")
    assert set(info.splits) == {"train"}  # phrases are for training; test has none
    prepared = PreparedDataset.open(tmp_path / "phrases")
    assert prepared.read_image(prepared.read("train")[0]).shape == (64, 64, 3)
    assert not list((tmp_path / "phrases").rglob("*.jpg"))


def test_same_seed_gives_the_same_phrases(blocks: Path, tmp_path: Path) -> None:
    texts = []
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        write_phrases(blocks, tmp_path / name, seed=seed)
        texts.append([row.expressions for row in PreparedDataset.open(tmp_path / name).read("train")])
    assert texts[0] == texts[1] != texts[2]


def test_data_without_scenes_are_refused(blocks: Path, tmp_path: Path) -> None:
    shutil.copytree(blocks, tmp_path / "other", ignore=shutil.ignore_patterns("scenes"))
    with pytest.raises(UserError, match="has no scenes"):
        write_phrases(tmp_path / "other", tmp_path / "phrases")
    assert not (tmp_path / "phrases").exists()
