"""What a step without words computes: images in a size, direction and colours of their own, and how well they are
seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from cmpc.blocks.scene import ATTRIBUTES
from cmpc.data.dataset import PhotoView
from cmpc.data.device_transforms import render_on_device
from cmpc.data.pixels import PixelNormalisation
from cmpc.models.grounded.aspects import Aspects
from cmpc.models.network import ReferringNetwork
from cmpc.training.vision.losses import UNKNOWN, AttributeHeads, attribute_loss, object_loss
from cmpc.training.vision.scenes import UNKNOWN_THING, SceneBatch

LABEL_STRIDE = 4
"""Pixels of a label along each axis."""
RECOLOURED = 0.75
"""Share of the images that are recoloured, where they are."""
VISION_PARTS = {"backbone": "backbone", "aspects": "aspects", "objects": "object_reader"}
"""Names of what can learn to see, and of the networks' ``vision_parts``."""


class VisionObjective(nn.Module):
    """Gives the terms of a step's loss."""

    def __init__(
        self,
        model: ReferringNetwork,
        heads: AttributeHeads | None,
        parts: Collection[str],
        *,
        attributes: int,
        sizes: Sequence[int],
        recolour: bool,
    ) -> None:
        """
        Args:
            model: the network.
            heads: tell the attributes from the backbone; None where that does not learn.
            parts: which of ``VISION_PARTS`` learn.
            attributes: how many there are.
            sizes: sides of the input, of which each step takes one.
            recolour: whether most images are shown in other colours.
        """
        super().__init__()
        self.model = model
        self.heads = heads
        self.parts = parts
        self.attributes = attributes
        self.sizes = sizes
        self.recolour = recolour
        self.normalise = PixelNormalisation(model.config.image)

    def train(self, mode: bool = True) -> VisionObjective:
        """Switches to training or back; a backbone that does not learn keeps the statistics of its batch norms."""
        super().train(mode)
        if "backbone" not in self.parts:
            self.model.backbone.eval()
        return self

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of what ``forward`` gives."""
        looks = ("attributes", "right") if {"backbone", "aspects"} & set(self.parts) else ()
        return ("loss", *looks, *(("objects", "middle_error") if "objects" in self.parts else ()))

    def forward(self, batch: SceneBatch) -> dict[str, Tensor]:
        """
        Returns:
            Scalars: ``loss`` and its parts ``attributes`` and ``objects``; ``right``, the share of the blocks' pixels
            whose attributes are told right, and ``middle_error``, the mean error of a block's middle in image widths.
        """
        images, blocks, known, geometry = self.view(batch)
        stages = self.model.backbone(self.normalise(images))
        terms: dict[str, Tensor] = {}
        side = -(-images.shape[1] // LABEL_STRIDE)
        labels = labels_of(batch.attributes, cells_of(blocks, (side, side))).where(known[:, :, None, None], UNKNOWN)
        middle_error = getattr(self.model.config.network, "middle_error", 0.0)
        losses = []
        if self.heads is not None:
            found = [attribute_loss(scores, labels) for scores in self.heads(stages)]
            losses.append((torch.stack([loss for loss, _ in found]).mean(), found[-1][1]))
        if "aspects" in self.parts:
            aspects = cast(Aspects, self.model.vision_parts["aspects"])
            losses.append(attribute_loss(aspects.scores(stages)[:, : self.attributes].unbind(dim=1), labels))
        if losses:
            terms["attributes"] = torch.stack([loss for loss, _ in losses]).sum()
            terms["right"] = losses[-1][1]
        if "objects" in self.parts:
            of_cells = self.model.vision_parts["object_reader"](stages)
            shown = cells_of(blocks, (of_cells.shape[2], of_cells.shape[3]))
            terms["objects"], terms["middle_error"] = object_loss(of_cells, shown, geometry, middle_error=middle_error)
        zero = torch.zeros((), device=images.device)
        return {"loss": terms.get("attributes", zero) + terms.get("objects", zero), **terms}

    def resized(self, images: Tensor, size: int) -> Tensor:
        """Images at the size of the input: (B, S, S, 3) uint8 -> (B, size, size, 3)."""
        if images.shape[1] == size:
            return images
        image = dataclasses.replace(self.model.config.image, size=size)
        return torch.stack([render_on_device(photo, PhotoView(), image) for photo in images])

    def view(self, batch: SceneBatch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Images and blocks as the step sees them, which attributes each image teaches, (B, attributes), geometry."""
        images, blocks, geometry = batch.images, batch.blocks, batch.geometry
        images = self.resized(images, self.sizes[int(torch.randint(len(self.sizes), ()))])
        known = torch.ones(len(images), self.attributes, dtype=torch.bool, device=images.device)
        if self.recolour:
            others = round(RECOLOURED * len(images))
            images = torch.cat([recoloured(images[:others]), images[others:]])
            known[:others, ATTRIBUTES.index("colour")] = False
            known[others:, ATTRIBUTES.index("shape")] = False
        if torch.rand(()) < 0.5:
            images, blocks, geometry = images.flip(2), blocks.flip(2), mirrored(geometry)
        return images, blocks, known, geometry


def cells_of(blocks: Tensor, grid: tuple[int, int]) -> Tensor:
    """The block in the middle of each cell: (B, S, S) -> (B, h, w) int64."""
    rows, columns = (
        ((torch.arange(count, device=blocks.device) + 0.5) * (side / count)).long()
        for side, count in zip(blocks.shape[1:], grid, strict=True)
    )
    return blocks[:, rows][:, :, columns].long()


def labels_of(attributes: Tensor, shown: Tensor) -> Tensor:
    """Class of each attribute of each cell: (B, K + 1, attributes), (B, h, w) -> (B, attributes, h, w)."""
    known = shown != UNKNOWN_THING
    index = (shown * known).flatten(1)[:, :, None].expand(-1, -1, attributes.shape[2])
    return attributes.gather(1, index).mT.unflatten(2, shown.shape[1:]).where(known[:, None], UNKNOWN)


def recoloured(images: Tensor) -> Tensor:
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
    reflected = torch.rand(count) < 0.5
    turn[reflected] = turn[reflected][:, :, [1, 0, 2]]
    saturation = (1.5 * torch.rand(count, 1, 1)).clamp(max=1)
    brightness = 0.8 + 0.5 * torch.rand(count, 1, 1)
    turn = (brightness * (saturation * turn + (1 - saturation) / 3)).to(images.device)
    return (images.float() @ turn[:, None].mT).round().clamp(0, 255).to(torch.uint8)


def mirrored(geometry: Tensor) -> Tensor:
    """The same blocks in the mirrored images: (B, K + 1, 5)."""
    across, down, right, away, radius = geometry.unbind(dim=2)
    return torch.stack([1 - across, down, -right, away, radius], dim=2)
