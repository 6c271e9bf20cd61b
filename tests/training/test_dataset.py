"""Training samples from a prepared dataset."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from cmpc.blocks.dataset import Settings, make_blocks
from cmpc.conventions import WORD_TYPES, ImageConfig
from cmpc.data.augmentation import Augmentation
from cmpc.data.dataset import NO_TYPE, Batch, ReferringImages, collate, prepare_worker, shares_of_cells
from cmpc.data.sampler import StepSampler
from cmpc.data.schema import PreparedDataset
from cmpc.data.transforms import letterbox_image
from cmpc.data.vocabulary import Vocabulary
from cmpc.errors import UsageError, UserError
from cmpc.models.config import preset
from cmpc.training.options import TrainingOptions
from cmpc.training.recipe import train

WORDS = Vocabulary.from_expressions(["the red blue box on left right one"])
IMAGE = ImageConfig(size=48, resize="area")


def dataset(folder: Path, *, augmentation: Augmentation | None = None, shuffle: bool = True) -> ReferringImages:
    return ReferringImages(
        PreparedDataset.open(folder),
        "train",
        WORDS,
        IMAGE,
        max_words=20,
        expressions_per_image=3,
        seed=4,
        shuffle=shuffle,
        augmentation=augmentation,
    )


def batches(data: ReferringImages, workers: int, context: str | None = None) -> list[Batch]:
    sampler = StepSampler(data.order, batch=2, start=1, stop=6)
    loader = DataLoader(
        data,
        batch_sampler=sampler,
        collate_fn=collate,
        num_workers=workers,
        worker_init_fn=prepare_worker if workers else None,
        multiprocessing_context=context,
    )
    return list(loader)


def test_batch_has_the_documented_layout(scenes: Path) -> None:
    batch = batches(dataset(scenes), workers=0)[0]
    expressions = len(batch.tokens)
    assert batch.squares.shape == (2, 48, 48, 3)
    assert batch.squares.dtype == torch.uint8
    assert batch.masks.shape == (expressions, 48, 48)
    assert batch.masks.dtype == torch.bool
    assert batch.image_index.tolist() == sorted(batch.image_index.tolist())
    assert batch.step_expressions == expressions
    assert batch.word_types is not None
    assert batch.word_types.shape == batch.tokens.shape
    assert ((batch.word_types == NO_TYPE) == (batch.tokens == 0)).all()


def test_photo_decoded_at_half_its_size_shows_what_the_whole_one_shows(tmp_path: Path) -> None:
    make_blocks(tmp_path / "blocks", Settings(seed=1, size=160, splits={"train": 2}))
    data = dataset(tmp_path / "blocks", shuffle=False)
    for visit in next(iter(StepSampler(data.order, batch=2, start=0, stop=1))):
        sample, row = data[visit], data.questions[visit.image][0][0]
        whole = letterbox_image(data.data.read_image(row), 48, "area")
        difference = np.abs(sample.pixels.astype(int) - whole)
        assert difference.mean() < 1
        assert np.corrcoef(sample.pixels.ravel(), whole.ravel())[0, 1] > 0.998


def test_red_is_what_the_mask_of_red_shows(scenes: Path) -> None:
    """Image, words, mask and word types belong together, mirrored or not."""
    changes = Augmentation(zoom=0.3, brightness=0, contrast=0, saturation=0, tint=0)
    mirrored = 0
    for batch in batches(dataset(scenes, augmentation=changes), workers=0):
        for tokens, mask, index in zip(batch.tokens, batch.masks, batch.image_index, strict=True):
            words = [WORDS.words[token] for token in tokens if token]
            inside = batch.squares[index][mask].float().mean(dim=0)  # RGB
            columns = mask.any(dim=0).nonzero().float().mean()
            if "red" in words or "blue" in words:
                assert (inside[0] > inside[2]) == ("red" in words)
                mirrored += bool((columns < 24) != ("red" in words))
            else:
                assert (columns < 24) == ("left" in words)
    assert mirrored


def test_word_types_follow_the_words(scenes: Path) -> None:
    for batch in batches(dataset(scenes), workers=0):
        assert batch.word_types is not None
        for tokens, types in zip(batch.tokens, batch.word_types, strict=True):
            named = {WORDS.words[token]: WORD_TYPES[kind] for token, kind in zip(tokens, types, strict=True) if token}
            assert named.get("red", "attribute") == "attribute"
            assert named.get("the", "unnecessary") == "unnecessary"
            assert named.get("left", "relation") == "relation"


@pytest.mark.slow
@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_samples_do_not_depend_on_the_loading_processes(scenes: Path, context: str) -> None:
    data = dataset(scenes, augmentation=Augmentation())
    for expected, batch in zip(batches(data, 0), batches(data, 2, context), strict=True):
        for one, other in zip(expected, batch, strict=True):
            assert one is other is None or torch.equal(torch.as_tensor(one), torch.as_tensor(other))


def test_dataset_travels_to_other_processes(scenes: Path) -> None:
    data = dataset(scenes, augmentation=Augmentation())
    copy = pickle.loads(pickle.dumps(data))
    visit = next(iter(StepSampler(data.order, batch=1, start=0, stop=1)))[0]
    np.testing.assert_array_equal(copy[visit].pixels, data[visit].pixels)


def test_epochs_are_augmented_differently(scenes: Path) -> None:
    data = dataset(scenes, augmentation=Augmentation(), shuffle=False)
    visit = next(iter(StepSampler(data.order, batch=1, start=0, stop=1)))[0]
    assert (data[visit].pixels != data[visit._replace(epoch=1)].pixels).any()


def test_unknown_split_is_refused(scenes: Path) -> None:
    with pytest.raises(UsageError, match="no split 'testA'"):
        ReferringImages(PreparedDataset.open(scenes), "testA", WORDS, IMAGE, max_words=20, expressions_per_image=1)


@pytest.mark.parametrize("workers", [0, 1])
def test_missing_photo_is_one_sentence_from_any_process(
    scenes: Path, tmp_path: Path, workers: int, tiny_network: None
) -> None:
    network = preset("small", image={"size": 32})
    options = TrainingOptions(data=scenes, out=tmp_path / "run", images=tmp_path, model=network, steps=2)
    options = dataclasses.replace(options, workers=workers, accelerator="cpu", precision="32")
    with pytest.raises(UserError) as refused:
        train(options)
    assert str(refused.value).startswith("cannot read the image ")
    assert "Traceback" not in str(refused.value)


def test_grounding_lies_where_the_words_point(tmp_path: Path) -> None:
    """Each word keeps its own mask when images of several expressions are joined, and where the picture is mirrored."""
    make_blocks(tmp_path / "blocks", Settings(seed=5, size=64, splits={"train": 4}))
    prepared = PreparedDataset.open(tmp_path / "blocks")
    words = Vocabulary.from_expressions(text for row in prepared.read("train") for text in row.expressions)
    mirrored = Augmentation(zoom=0, brightness=0, contrast=0, saturation=0, tint=0)
    for augmentation in (None, mirrored):
        data = ReferringImages(
            prepared,
            "train",
            words,
            ImageConfig(size=64, resize="area"),
            max_words=6,
            expressions_per_image=3,
            augmentation=augmentation,
            grounding=True,
        )
        compared = 0
        for visits in StepSampler(data.order, batch=3, start=0, stop=4):
            samples = [data[visit] for visit in visits]
            batch = collate(samples)
            assert batch.grounding_masks is not None
            assert batch.grounding_index is not None
            assert batch.grounding_masks.shape[1:] == (8, 8)
            assert not batch.grounding_masks[0].any()
            number = 0
            for visit, sample in zip(visits, samples, strict=True):
                for chosen in data.order.chosen(visit.epoch, visit.image, visit.part):
                    row, position = data.questions[visit.image][chosen]
                    expected = {word: one.rle for one in row.grounding[position] for word in one.words if word < 6}
                    indices = batch.grounding_index[number]
                    assert indices.nonzero().flatten().tolist() == sorted(expected)
                    for word, encoded in expected.items():
                        mask = row.decode(encoded)[:, :: -1 if sample.view.mirrored else 1]
                        shares = torch.from_numpy(mask.reshape(8, 8, 8, 8).mean(axis=(1, 3), dtype=np.float32))
                        torch.testing.assert_close(batch.grounding_masks[indices[word]], shares)
                        compared += 1
                    number += 1
        assert compared > 30


def test_cells_beyond_the_picture_are_empty() -> None:
    shares = shares_of_cells(np.ones((12, 12), bool))
    np.testing.assert_array_equal(shares, [[1, 0.5], [0.5, 0.25]])
