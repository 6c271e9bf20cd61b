"""Do the stages of an explanation do what they are named after? Measures it over a split of Blocks.

python -m benchmarks.explanation_meaning BLOCKS MODEL --split test --out meaning.json

Blocks knows every object of an image, its shape, and what each noun means, so two claims of the paper can be tested:

1. Entities: a noun alone is answered inside the objects that it names, more than elsewhere.
2. Reasoning: the whole expression raises the target over its best distractor, in log-odds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from numpy.typing import NDArray

from cmpc.blocks.dataset import read_scenes
from cmpc.blocks.grammar import NOUNS
from cmpc.data.schema import PreparedDataset
from cmpc.devices import choose_device
from cmpc.explanation import Explanation, Stages
from cmpc.files import atomic_file
from cmpc.segmenter import Segmenter

SHAPE_OF_NOUN = {noun: shape for shape, nouns in NOUNS.items() if shape is not None for noun in nouns}
STAGES = ("named", "entities", "result")
"""Before reasoning: each word alone; the entity and attribute words together. After: the whole expression."""
LOWEST = 1e-6
"""Probabilities are kept this far from 0 and 1 when they become log-odds."""


@dataclass
class NounResponses:
    """How strongly a noun alone is answered, 0..1, a case for each noun of each expression."""

    inside: list[float] = field(default_factory=list)
    """Mean over the pixels of the objects that it names."""
    other_objects: list[float] = field(default_factory=list)
    """Mean over the pixels of all other objects; NaN where there is none."""
    ground: list[float] = field(default_factory=list)
    """Mean over what is no object."""

    def to_dict(self) -> dict[str, Any]:
        """Means over the cases, and in how many of them the noun is stronger inside."""
        inside, others, ground = (np.array(values) for values in (self.inside, self.other_objects, self.ground))
        compared = ~np.isnan(others)
        return {
            "cases": len(inside),
            "inside": _figure(inside),
            "other_objects": _figure(others[compared]),
            "ground": _figure(ground),
            "inside_above_other_objects": _figure(inside[compared] > others[compared]),
            "inside_above_ground": _figure(inside > ground),
        }


@dataclass
class Margins:
    """Log-odds of the target less those of its best distractor, a case for each expression; each object's mean."""

    by_stage: dict[str, list[float]] = field(default_factory=lambda: {stage: [] for stage in STAGES})
    """For each of ``STAGES`` the margins of all cases."""

    def add(self, target: int, masks: NDArray[np.bool_], maps: dict[str, NDArray[np.float32]]) -> None:
        """Adds a case: maps are responses on the photo, (H, W), masks those of all objects, (K, H, W), K at least 2."""
        for stage, values in maps.items():
            clipped = np.clip(values.astype(np.float64), LOWEST, 1 - LOWEST)
            odds = np.log(clipped) - np.log1p(-clipped)
            scores = np.array([odds[mask].mean() for mask in masks])
            self.by_stage[stage].append(float(scores[target] - np.delete(scores, target).max()))

    def to_dict(self) -> dict[str, Any]:
        """For each stage the mean margin and how often the target is first; how often the last stage raises it."""
        margins = {stage: np.array(values) for stage, values in self.by_stage.items()}
        result: dict[str, Any] = {"cases": len(margins["result"])}
        for stage, values in margins.items():
            result[stage] = {"margin": _figure(values), "target_first": _figure(values > 0)}
        for stage in STAGES[:-1]:
            result[f"raised_over_{stage}"] = _figure(margins["result"] > margins[stage])
        return result


@dataclass
class StageMeaning:
    """What was measured."""

    images: int = 0
    """Images that were looked at."""
    nouns: NounResponses = field(default_factory=NounResponses)
    """Claim 1."""
    families: dict[str, Margins] = field(default_factory=dict)
    """Claim 2, for each family of expressions, as the whole network scores."""
    levels: dict[str, Margins] = field(default_factory=dict)
    """Claim 2 as each level alone scores, over all expressions. Between ``entities`` and ``result`` only the graph
    differs here; in the whole network the exchange between the levels takes in the relation words too."""

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain JSON values."""
        everything = Margins()
        for margins in self.families.values():
            for stage in STAGES:
                everything.by_stage[stage] += margins.by_stage[stage]
        return {
            "images": self.images,
            "nouns": self.nouns.to_dict(),
            "reasoning": everything.to_dict(),
            "reasoning_by_family": {family: margins.to_dict() for family, margins in sorted(self.families.items())},
            "reasoning_by_level": {level: margins.to_dict() for level, margins in self.levels.items()},
        }


def measure(segmenter: Segmenter, folder: str | Path, split: str, *, limit: int | None = None) -> StageMeaning:
    """Explains every expression about one block of a split and compares the stages with the truth.

    Args:
        segmenter: the model.
        folder: a Blocks dataset.
        split: of the dataset.
        limit: only its first images.

    Raises:
        UserError: the folder is no Blocks dataset or lacks the split, an image is broken, or the model has no stages.
    """
    dataset, meaning = PreparedDataset.open(folder), StageMeaning()
    for scene in islice(read_scenes(folder, split), limit):
        image = dataset.image_folder / scene.image
        seen = segmenter.set_image(image)
        masks = scene.decode_masks()
        shapes = [block.shape for block in scene.scene.blocks]
        meaning.images += 1
        for expression in scene.expressions:
            if len(expression.targets) != 1:
                continue  # there is no target that could come first
            explanation = segmenter.explain(expression.text, image=image, seen=seen)
            _add_nouns(meaning.nouns, explanation, expression.word_types, masks, shapes)
            if len(masks) < 2:
                continue
            family = meaning.families.setdefault(expression.family, Margins())
            family.add(expression.target, masks, _maps(explanation, explanation.network))
            for level, stages in explanation.levels.items():
                meaning.levels.setdefault(level, Margins()).add(expression.target, masks, _maps(explanation, stages))
    return meaning


def _add_nouns(
    nouns: NounResponses,
    explanation: Explanation,
    word_types: tuple[str, ...],
    masks: NDArray[np.bool_],
    shapes: list[str],
) -> None:
    """Adds the nouns of an expression that the model takes for entities or attributes."""
    height, width = explanation.pixels.shape[:2]
    anywhere = masks.any(axis=0)
    for position, grid in explanation.network.words.items():
        shape = SHAPE_OF_NOUN.get(explanation.prediction.words[position])
        if word_types[position] != "entity" or shape not in shapes:
            continue
        matching = np.array([other == shape for other in shapes])
        inside, others = masks[matching].any(axis=0), masks[~matching].any(axis=0)
        values = explanation.on_photo(grid, height, width)
        nouns.inside.append(_mean(values[inside]))
        nouns.other_objects.append(_mean(values[others]))
        nouns.ground.append(_mean(values[~anywhere]))


def _maps(explanation: Explanation, stages: Stages) -> dict[str, NDArray[np.float32]]:
    height, width = explanation.pixels.shape[:2]
    return {stage: explanation.on_photo(getattr(stages, stage), height, width) for stage in STAGES}


def _mean(values: NDArray[Any]) -> float:
    """The mean; NaN of nothing."""
    return float(values.mean()) if values.size else float("nan")


def _figure(values: NDArray[Any]) -> float | None:
    """The mean as it is reported; None of nothing, for JSON knows no NaN."""
    return round(_mean(values), 4) if values.size else None


@dataclass
class Options:
    """What to measure."""

    data: Annotated[Path, tyro.conf.Positional]
    """Blocks dataset, from cmpc blocks."""
    model: Annotated[str, tyro.conf.Positional]
    """Folder of the model, or its name on the Hugging Face hub."""
    split: str = "test"
    """Split to measure on."""
    limit: int | None = None
    """Only the first images of the split."""
    out: Path | None = None
    """JSON file for the figures; they are printed anyway."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, mps."""


def main() -> None:
    """Measures and prints the figures."""
    options = tyro.cli(Options, description=__doc__)
    segmenter = Segmenter.load(options.model, device=choose_device(options.device))
    meaning = measure(segmenter, options.data, options.split, limit=options.limit)
    figures = json.dumps({"split": options.split, **meaning.to_dict()}, indent=2) + "\n"
    print(figures, end="")
    if options.out is not None:
        with atomic_file(options.out) as file:
            file.write_text(figures, encoding="utf-8")


if __name__ == "__main__":
    main()
