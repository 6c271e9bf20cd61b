"""Phrases that may fit several blocks: what there is to perceive, and what a relation means, before only one is meant.

A copy of a Blocks dataset in which "the red cube" asks for every red cube of the picture, and "the things left of the
sphere" for all that lie there. It is a lesson for the first stage of a training, not a benchmark: its masks are of all
blocks that clearly fit.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from random import Random

import numpy as np

from cmpc.blocks.dataset import SceneRecord, grounded_words, read_scenes
from cmpc.blocks.grammar import Speaker
from cmpc.blocks.grounding import ground_words
from cmpc.blocks.meaning import About, Meaning, Relation
from cmpc.blocks.relations import RELATIONS, YES
from cmpc.blocks.scene import ATTRIBUTES, Block
from cmpc.blocks.solver import Solver
from cmpc.data.masks import box_of, encode_mask
from cmpc.data.schema import DatasetInfo, PreparedDataset, ReferredObject, write_dataset

LOOKS = 6
"""Phrases about each image that say what a block looks like."""
PLACES = 6
"""Phrases about each image that say how a block stands to another one."""


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
    """A row for each phrase; the same meaning is not asked for twice."""
    masks, speaker, solver = record.decode_masks(), Speaker(rng), Solver(record.scene)
    asked: dict[Meaning, ReferredObject] = {}
    blocks = record.scene.blocks
    drawn = [Meaning(_some_attributes(rng.choice(blocks), rng)) for _ in range(LOOKS)]
    drawn += [phrase for _ in range(PLACES) if (phrase := _related(solver, rng)) is not None]
    for meaning in drawn:
        fitting = np.flatnonzero(solver.fits(meaning) == YES)
        said = speaker.say(meaning)
        if meaning in asked or said is None or not len(fitting):
            continue
        text, word_types = said
        spoken_of = ground_words(text, word_types, meaning, solver)
        rle = encode_mask(np.any(masks[fitting], axis=0))
        image_id = record.image.removesuffix(".jpg").replace("/", "-")
        asked[meaning] = ReferredObject(
            ref_id=f"{image_id}-phrase-{len(asked)}",
            image_id=image_id,
            image=record.image,
            height=record.size,
            width=record.size,
            rle=rle,
            box=box_of(rle, record.size, record.size),
            category=meaning.about.shape or "",
            expressions=(text,),
            groups=("relational phrase" if meaning.conditions else "phrase",),
            word_types=(word_types,),
            grounding=(grounded_words(spoken_of, masks),),
        )
    return list(asked.values())


def _some_attributes(block: Block, rng: Random) -> About:
    """One to three of a block's attributes."""
    names = rng.sample(ATTRIBUTES, rng.choice((1, 1, 2, 2, 3)))
    return About(**{name: getattr(block, name) for name in names})


def _related(solver: Solver, rng: Random) -> Meaning | None:
    """A phrase for all blocks that stand in some relation to one that its looks tell; half of them of any looks."""
    blocks = solver.scene.blocks
    anchors = [Meaning(_some_attributes(block, rng)) for block in rng.sample(blocks, len(blocks))]
    anchor = next((one for one in anchors if solver.refers_to(one) is not None), None)
    if anchor is None:
        return None
    relations = [Meaning(conditions=(Relation(name, (anchor,)),)) for name in rng.sample(RELATIONS, len(RELATIONS))]
    for meaning in relations:
        fitting = np.flatnonzero(solver.fits(meaning) == YES)
        if len(fitting):
            about = About() if rng.random() < 0.5 else _some_attributes(blocks[rng.choice(fitting.tolist())], rng)
            return dataclasses.replace(meaning, about=about)
    return None
