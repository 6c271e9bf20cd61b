"""Phrases without relations that may fit several blocks: what there is to perceive before there is anything to reason.

A copy of a Blocks dataset in which "the red cube" asks for every red cube of the picture. It is a lesson for the first
stage of a training, not a benchmark: its masks are of all blocks that fit.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from random import Random

import numpy as np

from cmpc.blocks.grammar import Speaker
from cmpc.blocks.meaning import About, Selection
from cmpc.blocks.scene import ATTRIBUTES, Block
from cmpc.data.masks import box_of, encode_mask
from cmpc.data.schema import DatasetInfo, PreparedDataset, ReferredObject, write_dataset
from cmpc.data.sources.blocks import SceneRecord, read_scenes

PHRASES = 8
"""Phrases about each image."""


def write_phrases(source: str | Path, out: str | Path, *, seed: int = 0) -> DatasetInfo:
    """Writes the phrases about the images of a Blocks dataset as a prepared dataset; the images stay where they are.

    Raises:
        UserError: ``source`` is no Blocks dataset, or something else stands at ``out``.
    """
    dataset = PreparedDataset.open(source)
    info = dataclasses.replace(
        dataset.info, name=f"{dataset.info.name}-phrases", images=str(dataset.image_folder.resolve())
    )
    rng = Random(seed)
    rows: dict[str, list[ReferredObject]] = {
        split: [row for record in read_scenes(source, split) for row in _rows(record, rng)]
        for split in ("train", "val")
        if split in dataset.splits
    }
    return write_dataset(out, info, rows)


def _rows(record: SceneRecord, rng: Random) -> list[ReferredObject]:
    """A row for each phrase; the same phrase is not asked twice."""
    masks, speaker = record.decode_masks(), Speaker(rng)
    asked: dict[About, ReferredObject] = {}
    for _ in range(PHRASES):
        about = _some_attributes(rng.choice(record.scene.blocks), rng)
        said = speaker.say(Selection(about))
        if about in asked or said is None:
            continue
        text, word_types = said
        fitting = [number for number, block in enumerate(record.scene.blocks) if about.fits(block)]
        mask = encode_mask(np.any(masks[fitting], axis=0))
        image_id = record.image.removesuffix(".jpg").replace("/", "-")
        asked[about] = ReferredObject(
            ref_id=f"{image_id}-phrase-{len(asked)}",
            image_id=image_id,
            image=record.image,
            height=record.size,
            width=record.size,
            mask=mask,
            box=box_of(mask, record.size, record.size),
            category=about.shape or "",
            expressions=(text,),
            groups=("phrase",),
            word_types=(word_types,),
        )
    return list(asked.values())


def _some_attributes(block: Block, rng: Random) -> About:
    """One to three of a block's attributes."""
    names = rng.sample(ATTRIBUTES, rng.choice((1, 1, 2, 2, 3)))
    return About(**{name: getattr(block, name) for name in names})
