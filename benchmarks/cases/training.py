"""A training step (forward, backward, Adam) with the published loss, backbone of ``paper`` frozen, in fp32."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.material import Material
from benchmarks.timing import Case, Variant

if TYPE_CHECKING:
    from cmpc.data.dataset import Batch
    from cmpc.models.paper.cmpc import CMPC

NAIVE = "naive, 1 expression"
ONE = "1 image, 1 expression"


def load_network(material: Material, preset: str) -> CMPC:
    """The network of a preset."""
    from cmpc.model_folder import load_model_folder
    from cmpc.models.paper.cmpc import CMPC

    model = load_model_folder(material.model(preset)).model
    assert isinstance(model, CMPC)
    return model


def load_batch(material: Material, model: CMPC, images: int, expressions: int) -> Batch:
    """The first images of the dataset with their first expressions."""
    from cmpc.data.dataset import ReferringImages, collate
    from cmpc.data.sampler import Visit
    from cmpc.data.schema import PreparedDataset
    from cmpc.data.vocabulary import Vocabulary

    config = model.config
    data = ReferringImages(
        PreparedDataset.open(material.dataset),
        "val",
        Vocabulary.load(material.model("paper") / "vocabulary.txt"),
        config.image,
        max_words=config.text.max_words,
        expressions_per_image=expressions,
        shuffle=False,
    )
    return collate([data[Visit(0, number, 0, images * expressions)] for number in range(images)])


def our_step(
    material: Material, *, preset: str, images: int, expressions: int, compiled: bool = False
) -> Callable[[], object]:
    """A step as ``cmpc train --recipe paper`` makes it, or with ``--compile``; an image's expressions share a batch."""
    from benchmarks.training_step import training_step

    model = load_network(material, preset)
    return training_step(model, load_batch(material, model, images, expressions), compiled=compiled)


def naive_step(material: Material, *, preset: str) -> Callable[[], object]:
    """A step as the original makes it."""
    from benchmarks.naive_training import NaiveTraining
    from benchmarks.training_step import let_published_parts_train
    from cmpc.data.pixels import PixelNormalisation

    model = let_published_parts_train(load_network(material, preset))
    training = NaiveTraining(model)
    batch = load_batch(material, model, 1, 1)
    image = PixelNormalisation(model.config.image)(batch.squares)
    return lambda: training.step(image, batch.tokens, batch.masks)


def _case(name: str, preset: str, batches: dict[str, tuple[int, int]]) -> Case:
    variants = [Variant(NAIVE, partial(naive_step, preset=preset))]
    for title, (images, expressions) in batches.items():
        start = partial(our_step, preset=preset, images=images, expressions=expressions)
        variants.append(Variant(title, start, units=images * expressions))
    title, (images, expressions) = list(batches.items())[-1]
    compiled = partial(our_step, preset=preset, images=images, expressions=expressions, compiled=True)
    variants.append(Variant(f"{title}, `--compile`", compiled, units=images * expressions, in_quick_look=False))
    return Case(
        name,
        f"Training step, `{preset}`",
        "expression",
        tuple(variants),
        baseline=NAIVE,
        needs=("models", "photos", "dataset"),
    )


CASES = (
    _case("train-paper", "paper", {ONE: (1, 1), "1 image, 4 expressions": (1, 4), "1 image, 7 expressions": (1, 7)}),
    _case("train-small", "small", {ONE: (1, 1), "8 images, 4 expressions each": (8, 4)}),
)
