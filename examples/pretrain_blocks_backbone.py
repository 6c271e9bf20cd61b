"""Teaches the compact backbone what blocks look like, before any words: shape, colour, material and size of each pixel.

    python examples/pretrain_blocks_backbone.py --data blocks --out runs/backbone

The paper's network begins from a backbone that was trained to segment photos; this does the same for Blocks. The result
is a model folder of which only what sees is of use: ``cmpc train --backbone-weights runs/backbone``.

Some colours never come with some shapes in the training split, and a backbone learns that too: it takes a shape in a
new colour for another one. With ``--recolour`` three of four images are recoloured, and teach shapes; the others teach
colours. It learns so faster when it has seen before: ``--initial-model`` begins from the result of a run without.

Grounded reasoning compares cells by classes in several aspects, and gathers cells into objects; from masks it learns
both very slowly. ``--grounding`` teaches them, the four attributes of blocks as the first four aspects, and where each
block stands, and leaves the backbone as it is. Begun from a network that has learned expressions already
(``--initial-model``), it teaches both to that one, where blocks stand from nothing, and leaves all else of it as it is.
``--objects-only`` beside it goes on with what that one knows of where blocks stand, and leaves the classes too.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from cmpc.blocks.placement import footprint
from cmpc.blocks.relations import middle_height
from cmpc.blocks.scene import ATTRIBUTES, VALUES, Scene
from cmpc.data.images import read_image
from cmpc.data.masks import decode_mask
from cmpc.data.pixels import PixelNormalisation
from cmpc.data.sources.blocks import SceneRecord, read_scenes
from cmpc.data.transforms import letterbox_image
from cmpc.data.vocabulary import Vocabulary
from cmpc.model_folder import load_model_folder, save_model_folder
from cmpc.models import LEVELS, ModelConfig, ReferringNetwork, build_network, preset
from cmpc.models.aspects import Aspects
from cmpc.models.objects import find_objects
from cmpc.training.schedule import WarmupCosine

LABEL_STRIDE = 4
CLASSES = {attribute: 1 + len(VALUES[attribute]) for attribute in ATTRIBUTES}
"""For each attribute its values, after the ground and the backdrop (0)."""
GROUND_WEIGHT = 0.2
"""Seven of eight pixels show no block."""
UNKNOWN = -100
"""Label of pixels that do not teach an attribute."""
TOLERANCES = (0.02, 0.02, 0.2, 0.2, 0.05)
"""Errors that count alike: middle in image widths, place and radius in units of the ground."""
READING_WEIGHT, PRESENCE_WEIGHT = 0.2, 1.0
"""Weights of where blocks are and of whether there is one, beside 1 for the aspects."""
RECOLOURED = 0.75
"""Share of the images that are recoloured, where they are."""
TESTED_IMAGES, LEAST_CELLS = 300, 4
"""Images in which it is tested whether blocks are told apart, and the cells of a block that counts there."""
Sample = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]
"""An image, the classes of its cells, and the numbers of the blocks that they show."""


class AttributeHeads(nn.Module):
    """On each level of the backbone a layer that tells the attributes of each cell."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.levels = nn.ModuleDict(
            {level: nn.Conv2d(count, sum(CLASSES.values()), 1) for level, count in zip(LEVELS, channels, strict=True)}
        )

    def forward(self, stages: dict[str, Tensor]) -> list[list[Tensor]]:
        """For each level the scores of each attribute, (B, classes, h, w), from what the backbone gave."""
        sizes = list(CLASSES.values())
        return [list(head(stages[level]).split(sizes, dim=1)) for level, head in self.levels.items()]


class AspectHeads(nn.Module):
    """The network's own aspects; the first four are to be the attributes."""

    def __init__(self, aspects: Aspects) -> None:
        super().__init__()
        self.aspects = aspects

    def forward(self, stages: dict[str, Tensor]) -> list[list[Tensor]]:
        """The scores of each attribute, (B, classes, h, w), from what the backbone gave; of one head."""
        return [list(self.aspects.scores(stages)[:, : len(ATTRIBUTES)].unbind(dim=1))]


def loss_and_right(heads: list[list[Tensor]], labels: Tensor) -> tuple[Tensor, Tensor]:
    """Loss, and the share of the pixels of blocks whose attribute the last head tells, (4,).

    Args:
        heads: for each head the scores of each attribute, (B, classes, h, w).
        labels: class of each pixel for each attribute or ``UNKNOWN``, (B, 4, H, W) int64.
    """
    losses: list[Tensor] = []
    right: list[Tensor] = []
    for scores in heads:
        right.clear()
        for number, part in enumerate(scores):
            part = F.interpolate(part, size=labels.shape[2:], mode="bilinear", align_corners=False)
            weight = torch.ones(part.shape[1])
            weight[0] = GROUND_WEIGHT
            losses.append(F.cross_entropy(part, labels[:, number], weight=weight, ignore_index=UNKNOWN))
            right.append((part.argmax(dim=1) == labels[:, number])[labels[:, number] > 0].float().mean())
    return torch.stack(losses).sum() / len(heads), torch.stack(right)


def reading_loss(readings: Tensor, shown: Tensor, geometry: Tensor) -> tuple[Tensor, Tensor]:
    """Loss of what is read of cells, and the mean error of the middle in image widths, ().

    A block counts as the root of its cells, or small and hidden ones, which are easily missed, would hardly count.

    Args:
        readings: of each cell, (B, 6, h, w), as ``ObjectReader`` gives them.
        shown: number of the block in the middle of each cell from 1, 0 for none: (B, h, w) int64.
        geometry: of each block, (B, blocks + 1, 5), as ``geometry_of`` gives it, zero in the place of none.
    """
    is_block = shown > 0
    index = shown.flatten(1)[:, :, None].expand(-1, -1, geometry.shape[2])
    truth = geometry.gather(1, index).mT.view_as(readings[:, 1:])
    tolerance = readings.new_tensor(TOLERANCES)[:, None, None]
    told = F.smooth_l1_loss(readings[:, 1:] / tolerance, truth / tolerance, reduction="none").sum(dim=1)
    cells = F.one_hot(shown.flatten(1), geometry.shape[1]).sum(dim=1)  # of each block
    weight = cells.gather(1, shown.flatten(1)).view_as(shown)[is_block].float().rsqrt()
    presence = F.binary_cross_entropy_with_logits(readings[:, 0], is_block.float())
    error = (readings[:, 1:3] - truth[:, :2]).abs().mean(dim=1)[is_block].mean()
    reading = (told[is_block] * weight).sum() / weight.sum()
    return READING_WEIGHT * reading + PRESENCE_WEIGHT * presence, error


@torch.inference_mode()
def told_apart(model: ReferringNetwork, loaded: Sequence[Sample]) -> float:
    """Share of the images in which every block has an object of its own, and there is no other object.

    Args:
        model: with a reader of objects.
        loaded: images as ``load`` gives them. Blocks of less than ``LEAST_CELLS`` cells do not count.
    """
    assert model.object_reader is not None
    normalise, right = PixelNormalisation(model.config.image), 0
    for image, _, numbers in loaded:
        readings = model.object_reader(model.backbone(normalise(torch.from_numpy(image)[None])))
        objects = find_objects(readings, (readings.shape[2], readings.shape[3]))
        shown = F.one_hot(torch.from_numpy(numbers).long().flatten()).float()  # (S, blocks + 1)
        seen = shown.sum(dim=0) >= LEAST_CELLS
        seen[0] = False
        own = (objects.belonging[0] @ shown[:, seen]).argmax(dim=0)  # the object of each block
        there = (objects.existence[0] > 0.5).nonzero()[:, 0]
        right += sorted(own.tolist()) == there.tolist()
    return right / max(1, len(loaded))


def main() -> int:
    """Reads the scenes into memory, trains, writes the model folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that cmpc blocks made")
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")
    parser.add_argument("--image-size", type=int, default=96, help="side of the images in pixels")
    parser.add_argument("--epochs", type=float, default=1.5, help="passes over the training split")
    parser.add_argument("--batch", type=int, default=16, help="images in a step")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--recolour", action="store_true", help="learn shapes from images in other colours")
    parser.add_argument("--grounding", action="store_true", help="teach what grounded reasoning reads instead")
    parser.add_argument("--objects-only", action="store_true", help="go on with where blocks stand, and nothing else")
    parser.add_argument("--larger-size", type=int, help="teach where blocks stand in pictures of this size too")
    parser.add_argument("--initial-model", type=Path, help="model folder to begin from: its backbone, or all of it")
    parser.add_argument("--seed", type=int, default=0, help="decides weights, order and mirroring")
    options = parser.parse_args()
    console = Console(stderr=True)

    begun = None if options.initial_model is None else load_model_folder(options.initial_model)
    goes_on = begun is not None and options.grounding and begun.model.config.grounded_reasoning
    if options.objects_only and not goes_on:
        parser.error("--objects-only needs --grounding and an --initial-model that has learned it.")
    if begun is not None and goes_on:
        vocabulary, config = begun.vocabulary, begun.model.config
    else:
        vocabulary = Vocabulary.from_expressions([])
        config = preset("small", vocabulary_size=len(vocabulary))
        config = dataclasses.replace(config, grounded_reasoning=options.grounding)
    config = dataclasses.replace(config, image=dataclasses.replace(config.image, size=options.image_size))
    records = list(read_scenes(options.data, "train"))
    tested = list(itertools.islice(read_scenes(options.data, "val"), TESTED_IMAGES)) if options.grounding else []
    loaded = [
        load(options.data / "images" / record.image, record, config)
        for record in track(records, "images", console=console, transient=True)
    ]
    images = torch.from_numpy(np.stack([image for image, _, _ in loaded]))
    labels = torch.from_numpy(np.stack([label for _, label, _ in loaded]))
    numbers = torch.from_numpy(np.stack([number for _, _, number in loaded]))
    larger: tuple[Tensor, Tensor] | None = None
    if options.larger_size is not None:
        larger_config = dataclasses.replace(config, image=dataclasses.replace(config.image, size=options.larger_size))
        loaded = [
            load(options.data / "images" / record.image, record, larger_config)
            for record in track(records, "larger images", console=console, transient=True)
        ]
        larger = (
            torch.from_numpy(np.stack([image for image, _, _ in loaded])),
            torch.from_numpy(np.stack([number for _, _, number in loaded])),
        )
    of_blocks = [torch.from_numpy(geometry_of(record.scene)) for record in records]
    geometry = nn.utils.rnn.pad_sequence(of_blocks, batch_first=True)  # (images, blocks + 1, 5)

    torch.manual_seed(options.seed)
    model = build_network(config)
    if begun is not None and goes_on:
        if not options.objects_only:
            begun.model.object_reader = model.object_reader  # which learns from nothing again
        model.load_state_dict(begun.model.state_dict())
    elif begun is not None:
        model.backbone.load_state_dict(begun.model.backbone.state_dict())
    model.backbone.train(not options.grounding).requires_grad_(not options.grounding)
    heads = AttributeHeads(config.backbone.channels[1:]) if model.aspects is None else AspectHeads(model.aspects)
    normalise = PixelNormalisation(config.image)
    heads.requires_grad_(not options.objects_only)
    trained = [model.backbone, heads, *([] if model.object_reader is None else [model.object_reader])]
    parameters = [parameter for module in trained for parameter in module.parameters()]
    optimizer = torch.optim.AdamW([value for value in parameters if value.requires_grad], weight_decay=0.02)
    steps = round(options.epochs * len(images) / options.batch)
    schedule = WarmupCosine(options.learning_rate, steps=steps, warmup=max(1, steps // 20))
    began = time.monotonic()
    for step in range(steps):
        chosen = torch.randint(len(images), (options.batch,))
        pixels, truth = images[chosen], labels[chosen].long()
        if options.recolour:
            others = round(RECOLOURED * options.batch)
            pixels = torch.cat([recolour(pixels[:others]), pixels[others:]])
            truth[:others, ATTRIBUTES.index("colour")] = UNKNOWN
            truth[others:, ATTRIBUTES.index("shape")] = UNKNOWN
        mirror = bool(torch.rand(()) < 0.5)
        if mirror:
            pixels, truth = pixels.flip(2), truth.flip(3)
        for group in optimizer.param_groups:
            group["lr"] = schedule(step)
        stages = model.backbone(normalise(pixels))
        loss, right = loss_and_right(heads(stages), truth)
        error = torch.zeros(())
        if model.object_reader is not None:
            shown, stands = numbers[chosen].long(), geometry[chosen]
            if larger is not None and step % 2:
                stages = model.backbone(normalise(larger[0][chosen].flip(2) if mirror else larger[0][chosen]))
                shown = larger[1][chosen].long()
            if mirror:
                shown, stands = shown.flip(2), mirrored(stands)
            of_readings, error = reading_loss(model.object_reader(stages), shown, stands)
            loss = loss + of_readings
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % 50 == 0 or step + 1 == steps:
            told = ", ".join(f"{name} {share:.2f}" for name, share in zip(ATTRIBUTES, right.tolist(), strict=True))
            if model.object_reader is not None:
                told += f", middle off by {error.item():.3f}"
            speed = (step + 1) * options.batch / (time.monotonic() - began)
            console.print(f"step {step + 1:,} of {steps:,}  loss {loss.item():.3f}  {told}  {speed:.1f} images/s")
    save_model_folder(options.out, model, vocabulary)
    if model.object_reader is not None:
        share = told_apart(model.eval(), [load(options.data / "images" / one.image, one, config) for one in tested])
        console.print(
            f"in {share:.1%} of {len(tested)} images of val the blocks are told apart, and nothing else is one"
        )
    console.print(f"the backbone is in {options.out}")
    return 0


def recolour(images: Tensor) -> Tensor:
    """Turns the hues of each image by a random angle, mirrors them in half, and fades and lights them at random.

    Args:
        images: (B, S, S, 3) uint8.
    """
    count = len(images)
    angle = torch.rand(count) * 2 * torch.pi
    thirds = angle[:, None] + torch.tensor([0.0, -2.0, 2.0]) * torch.pi / 3
    first, second, third = ((1 + 2 * torch.cos(thirds)) / 3).unbind(1)
    rows = [[first, second, third], [third, first, second], [second, third, first]]
    turn = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)  # (B, 3, 3), around the axis of greys
    mirrored = torch.rand(count) < 0.5
    turn[mirrored] = turn[mirrored][:, :, [1, 0, 2]]
    saturation = (1.5 * torch.rand(count, 1, 1)).clamp(max=1)
    brightness = 0.8 + 0.5 * torch.rand(count, 1, 1)
    turn = brightness * (saturation * turn + (1 - saturation) / 3)
    return (images.float() @ turn[:, None].mT).round().clamp(0, 255).to(torch.uint8)


def load(path: Path, record: SceneRecord, config: ModelConfig) -> Sample:
    """An image (S, S, 3), and at the centre of each cell of stride 4 the class of each attribute, (4, S / 4, S / 4),
    and the number of the block from 1, 0 for none, (S / 4, S / 4)."""
    size = config.image.size
    image = letterbox_image(read_image(path), size, config.image.resize)
    centres = ((np.arange(size // LABEL_STRIDE) + 0.5) * LABEL_STRIDE * record.size / size).astype(int)
    labels = np.zeros((len(ATTRIBUTES), len(centres), len(centres)), np.uint8)
    numbers = np.zeros((len(centres), len(centres)), np.uint8)
    for order, (block, counts) in enumerate(zip(record.scene.blocks, record.masks, strict=True)):
        visible = decode_mask(counts, record.size, record.size)[np.ix_(centres, centres)]
        numbers[visible] = order + 1
        for number, attribute in enumerate(ATTRIBUTES):
            labels[number][visible] = 1 + VALUES[attribute].index(getattr(block, attribute))
    return image, labels, numbers


def geometry_of(scene: Scene) -> NDArray[np.float32]:
    """Middle in the image, place and radius on the ground of each block, after a row of zeros: (blocks + 1, 5)."""
    position = np.array([block.position for block in scene.blocks]).reshape(-1, 3)
    heights = [middle_height(scene, index) for index in range(len(position))]
    middles = scene.camera.project(np.column_stack([position[:, :2], heights]))[:, :2]
    ground = position[:, :2] @ scene.camera.ground_axes().T
    radii = [footprint(block) for block in scene.blocks]
    rows = np.column_stack([middles, ground, radii])
    return np.concatenate([np.zeros((1, 5)), rows]).astype(np.float32)


def mirrored(geometry: Tensor) -> Tensor:
    """The same blocks in the mirrored images: (B, blocks + 1, 5)."""
    across, down, right, away, radius = geometry.unbind(dim=2)
    return torch.stack([1 - across, down, -right, away, radius], dim=2)


if __name__ == "__main__":
    sys.exit(main())
