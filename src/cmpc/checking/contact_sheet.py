"""Masks over photos, many on one picture, to look at."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from cmpc.answers.lettering import font, shorten
from cmpc.answers.overlay import overlay
from cmpc.data.schema import PreparedDataset, ReferredObject
from cmpc.errors import UserError
from cmpc.files import atomic_file

TILE, CAPTION, MARGIN, LETTERS, COLUMNS = 220, 20, 8, 13, 6


def write_contact_sheet(
    path: Path, dataset: PreparedDataset, rows: Sequence[ReferredObject], *, most: int = 60, seed: int = 0
) -> None:
    """Paints objects with their first expressions, drawn at random where there are many.

    Args:
        path: PNG file to write.
        dataset: where the photos lie.
        rows: the objects of a split; those whose photo cannot be read are left out.
        most: how many objects.
        seed: of the drawing.
    """
    chosen = sorted(random.Random(seed).sample(range(len(rows)), min(most, len(rows))))
    tiles = [tile for number in chosen for tile in _tiles(dataset, rows[number])]
    height = -(-max(1, len(tiles)) // COLUMNS)
    step = TILE + MARGIN
    sheet = Image.new("RGB", (COLUMNS * step + MARGIN, height * (step + CAPTION) + MARGIN), "white")
    for number, tile in enumerate(tiles):
        row, column = divmod(number, COLUMNS)
        sheet.paste(tile, (MARGIN + column * step, MARGIN + row * (step + CAPTION)))
    with atomic_file(path) as file:
        sheet.save(file, format="PNG")


def _tiles(dataset: PreparedDataset, row: ReferredObject) -> list[Image.Image]:
    try:
        pixels, mask = dataset.read_image(row), row.decode_mask()
    except UserError:
        return []
    scale = TILE / max(row.height, row.width)
    size = (max(1, round(row.width * scale)), max(1, round(row.height * scale)))
    small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    covered = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) >= 0.5
    tile = Image.new("RGB", (TILE, TILE + CAPTION), "white")
    tile.paste(Image.fromarray(overlay(small, [covered])), ((TILE - size[0]) // 2, (TILE - size[1]) // 2))
    text = shorten(row.expressions[0] if row.expressions else "", LETTERS, TILE)
    ImageDraw.Draw(tile).text((0, TILE + 2), text, fill="black", font=font(LETTERS))
    return [tile]
