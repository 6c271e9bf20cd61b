"""Do the stages of an explanation do what they are named after? Measures it over a split of Blocks, or of photos.

python -m benchmarks.explanation_meaning DATA MODEL --split test --out meaning.json

Blocks and the data of cmpc phrase know what each noun names and what else is there, so two claims of the paper can be
tested:

1. Entities: a noun alone is answered inside the objects that it names, more than elsewhere.
2. Reasoning: the whole expression raises the target over its best distractor, in log-odds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from numpy.typing import NDArray

from cmpc.blocks.dataset import read_scenes
from cmpc.blocks.grammar import NOUNS
from cmpc.data.schema import PreparedDataset, ReferredObject
from cmpc.data.vocabulary import tokenize
from cmpc.devices import choose_device
from cmpc.errors import UserError
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


@dataclass(frozen=True)
class Asked:
    """An expression, and what is known of it."""

    text: str
    family: str
    target: int | None
    """Number of the one thing that it means; None of none and of several."""
    nouns: Mapping[int, NDArray[np.bool_]]
    """What each noun names, (H, W), by its position among the tokens."""


@dataclass(frozen=True)
class Scene:
    """A picture with what is known of it."""

    image: Path
    masks: NDArray[np.bool_]
    """Its K things, (K, H, W)."""
    asked: Sequence[Asked]


def blocks_scenes(folder: str | Path, split: str) -> Iterator[Scene]:
    """The scenes of a split of Blocks.

    Raises:
        UserError: the folder is no Blocks dataset or lacks the split.
    """
    images = Path(str(PreparedDataset.open(folder).image_folder))
    for scene in read_scenes(folder, split):
        masks = scene.decode_masks()
        shapes = np.array([block.shape for block in scene.scene.blocks])
        asked = []
        for expression in scene.expressions:
            nouns = {}
            for position, (word, word_type) in enumerate(
                zip(tokenize(expression.text), expression.word_types, strict=True)
            ):
                named = shapes == SHAPE_OF_NOUN.get(word)
                if word_type == "entity" and named.any():
                    nouns[position] = masks[named].any(axis=0)
            target = expression.target if len(expression.targets) == 1 else None
            asked.append(Asked(expression.text, expression.family, target, nouns))
        yield Scene(images / scene.image, masks, asked)


def photo_scenes(folder: str | Path, split: str) -> Iterator[Scene]:
    """The photos of a split of prepared data whose words say what they speak about, such as those of cmpc phrase.

    Raises:
        UserError: the folder is no prepared dataset, lacks the split or says nothing about its words.
    """
    dataset = PreparedDataset.open(folder)
    rows = dataset.read(split)
    if not any(row.grounding for row in rows):
        raise UserError(f"the words of {folder} do not say what they speak about: give Blocks, or data of cmpc phrase.")
    by_image: dict[str, list[ReferredObject]] = {}
    for row in rows:
        by_image.setdefault(row.image, []).append(row)
    for image, of_image in by_image.items():
        things = [row for row in of_image if not row.is_empty and len(row.instances) < 2]
        numbers = {row.ref_id: number for number, row in enumerate(things)}
        asked = []
        for row in of_image:
            for number, text in enumerate(row.expressions if row.grounding else ()):
                types = row.word_types[number]
                nouns = {
                    position: row.decode(grounded.rle)
                    for grounded in row.grounding[number]
                    for position in grounded.words
                    if types[position] == "entity"
                }
                asked.append(Asked(text, row.groups[number], numbers.get(row.ref_id), nouns))
        if things:
            yield Scene(Path(str(dataset.image_folder)) / image, np.stack([row.decode_mask() for row in things]), asked)


def measure(segmenter: Segmenter, folder: str | Path, split: str, *, limit: int | None = None) -> StageMeaning:
    """Explains every expression of a split and compares the stages with the truth.

    Args:
        segmenter: the model.
        folder: a Blocks dataset, or prepared data whose words say what they speak about.
        split: of the dataset.
        limit: only its first images.

    Raises:
        UserError: the folder is neither or lacks the split, an image is broken, or the model has no stages.
    """
    read = blocks_scenes if (Path(folder) / "scenes").is_dir() else photo_scenes
    meaning = StageMeaning()
    for scene in islice(read(folder, split), limit):
        seen = segmenter.set_image(scene.image)
        meaning.images += 1
        for asked in scene.asked:
            explanation = segmenter.explain(asked.text, image=scene.image, seen=seen)
            tokens = [position for position, _ in segmenter.vocabulary.split(asked.text)]
            for word, grid in explanation.network.words.items():
                if tokens[word] in asked.nouns:
                    values = explanation.on_photo(grid, *explanation.pixels.shape[:2])
                    _add_noun(meaning.nouns, values, asked.nouns[tokens[word]], scene.masks)
            if asked.target is None:
                continue  # there is no one target before the others
            target = scene.masks[asked.target]
            masks = np.stack([target, *_apart(scene.masks, target)])
            if len(masks) < 2:
                continue
            family = meaning.families.setdefault(asked.family, Margins())
            family.add(0, masks, _maps(explanation, explanation.network))
            for level, stages in explanation.levels.items():
                meaning.levels.setdefault(level, Margins()).add(0, masks, _maps(explanation, stages))
    return meaning


def _add_noun(
    nouns: NounResponses, values: NDArray[np.float32], inside: NDArray[np.bool_], masks: NDArray[np.bool_]
) -> None:
    """Adds how strongly a noun is answered, (H, W), where it names these pixels."""
    others = np.any(_apart(masks, inside), axis=0) & ~inside
    nouns.inside.append(_mean(values[inside]))
    nouns.other_objects.append(_mean(values[others]))
    nouns.ground.append(_mean(values[~masks.any(axis=0) & ~inside]))


def _apart(masks: NDArray[np.bool_], from_mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Of the masks, (K, H, W), those that share at most half of the smaller one with a mask: clothes are no rivals of
    whom wears them."""
    areas = np.minimum(masks.sum(axis=(1, 2)), from_mask.sum())
    return masks[2 * (masks & from_mask).sum(axis=(1, 2)) <= areas]


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
    """Dataset, from cmpc blocks or cmpc phrase."""
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
