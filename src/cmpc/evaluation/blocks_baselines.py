"""How far one gets on Blocks without understanding: guesses that need no training, scored as models are, by family."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from cmpc.blocks.dataset import read_scenes
from cmpc.blocks.meaning import FAMILIES, SEVERAL, Expression
from cmpc.blocks.relations import YES
from cmpc.blocks.solver import Solver, without_relations
from cmpc.data.schema import PreparedDataset
from cmpc.evaluation.metrics import Score, overlap

if TYPE_CHECKING:
    from rich.table import Table

PRIOR_IMAGES = 3_000
"""Training images that the image prior is made from."""

Scores = dict[str, dict[str, Score]]
"""Baseline -> family ("all" for all of them) -> score."""


def score_baselines(folder: str | Path, split: str, seed: int = 0) -> Scores:
    """Scores the guesses on a split of a Blocks dataset.

    - ``image prior``: always the same blob, where most targets of ``train`` lie (left out without a ``train``).
    - ``random object``, ``largest object``: a block of the image, found perfectly.
    - ``right noun``: a random one of the blocks that agree with all words about the target itself, found perfectly, or
      all of them where the expression is about several, or nothing where none agrees: what one gets by reading nouns
      and attributes and ignoring relations.

    Raises:
        UserError: the folder is no Blocks dataset.
    """
    rng = Random(seed)
    prior = image_prior(folder) if "train" in PreparedDataset.open(folder).splits else None
    guesses: dict[str, Callable[[Solver, np.ndarray, Expression], np.ndarray]] = {
        "random object": lambda solver, masks, expression: masks[rng.randrange(len(masks))],
        "largest object": lambda solver, masks, expression: masks[masks.sum(axis=(1, 2)).argmax()],
        "right noun": lambda solver, masks, expression: _together(masks, _agreeing(solver, expression, rng)),
    }
    if prior is not None:
        guesses = {"image prior": lambda solver, masks, expression: prior, **guesses}
    parts: dict[str, dict[str, list[Score]]] = {name: {family: [] for family in FAMILIES} for name in guesses}
    for record in read_scenes(folder, split):
        solver, masks = Solver(record.scene), record.decode_masks()
        for expression in record.expressions:
            for name, guess in guesses.items():
                found = guess(solver, masks, expression)
                truth = _together(masks, expression.targets)
                score = Score.of(overlap(found, truth), int(np.count_nonzero(truth)))
                parts[name][expression.family].append(score)
    scores = {name: {family: Score.total(found) for family, found in by.items()} for name, by in parts.items()}
    return {name: {"all": Score.total(by.values()), **by} for name, by in scores.items()}


def image_prior(folder: str | Path) -> np.ndarray:
    """The mask with the best overall IoU among the level sets of the mean target of ``train``, bool (S, S)."""
    total: np.ndarray | None = None
    area = expressions = 0
    for record in islice(read_scenes(folder, "train"), PRIOR_IMAGES):
        masks = record.decode_masks()
        targets = [block for expression in record.expressions for block in expression.targets]
        weights = np.bincount(targets, minlength=len(masks))
        summed = np.tensordot(weights.astype(np.float64), masks.astype(np.float64), axes=1)
        total = summed if total is None else total + summed
        area, expressions = area + int(summed.sum()), expressions + len(record.expressions)
    assert total is not None, "a split holds at least one image"
    order = np.sort(total.ravel())[::-1]
    intersection = np.cumsum(order)
    union = area + expressions * np.arange(1, len(order) + 1) - intersection
    return total >= order[(intersection / union).argmax()]


def baseline_table(folder: str | Path, split: str) -> Table:
    """Precision@0.5 by family and overall IoU of the guesses, for the terminal."""
    from rich.table import Table

    scores = score_baselines(folder, split)
    table = Table("", *scores, title=f"{split}: precision@0.5 by family, and overall IoU, in percent")
    for family in ("all", *FAMILIES):
        found = [by[family] for by in scores.values()]
        table.add_row(family, *(f"{100 * score.hits[0] / max(score.expressions, 1):.1f}" for score in found))
    every = [by["all"] for by in scores.values()]
    table.add_row("overall IoU", *(f"{100 * score.intersection / score.union:.1f}" for score in every))
    return table


def _agreeing(solver: Solver, expression: Expression, rng: Random) -> list[int]:
    """The block that reading without relations takes; all that agree where the expression is about several."""
    truth = solver.fits(without_relations(expression.meaning))
    blocks = [int(block) for block in np.flatnonzero(truth == YES)]
    return blocks if expression.family == SEVERAL or not blocks else [rng.choice(blocks)]


def _together(masks: np.ndarray, blocks: Sequence[int]) -> np.ndarray:
    """The mask of blocks together, of none without a pixel inside, (S, S)."""
    return np.any(masks[list(blocks)], axis=0) if blocks else np.zeros_like(masks[0])
