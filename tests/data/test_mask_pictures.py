"""Masks drawn in every form that programs save."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cmpc.data.mask_pictures import read_mask_picture
from cmpc.data.sources.own import collect

EXPECTED = np.zeros((20, 30), bool)
EXPECTED[4:9, 6:16] = True


def levels(outside: Any, inside: Any, dtype: type = np.uint8) -> np.ndarray:
    """An array with one value outside and one inside: numbers, or tuples of channels."""
    return np.where(EXPECTED if np.isscalar(outside) else EXPECTED[..., None], inside, outside).astype(dtype)


def palette(outside: int, inside: int, colours: dict[int, tuple[int, int, int]]) -> Image.Image:
    image = Image.fromarray(levels(outside, inside), "P")
    table = np.zeros((256, 3), np.uint8)
    for number, colour in colours.items():
        table[number] = colour
    image.putpalette(table.tobytes())
    return image


WHITE, BLACK, RED = (255, 255, 255), (0, 0, 0), (200, 30, 30)

FORMS: dict[str, tuple[Image.Image, dict[str, Any]]] = {
    "grey": (Image.fromarray(levels(0, 255)), {}),
    "level 1": (Image.fromarray(levels(0, 1)), {}),
    "one bit": (Image.fromarray(levels(0, 255)).convert("1"), {}),
    "sixteen bits": (Image.fromarray(levels(0, 256, np.uint16)), {}),
    "colour": (Image.fromarray(levels((0, 0, 0), (0, 0, 5))), {}),
    "white, mask in alpha": (Image.fromarray(levels((255,) * 4, (255,) * 4) * levels((1, 1, 1, 0), (1,) * 4)), {}),
    "black, mask in alpha": (Image.fromarray(levels((0, 0, 0, 0), (0, 0, 0, 255))), {}),
    "cut-out photo": (Image.fromarray(levels((9, 9, 9, 0), (0, 80, 3, 255))), {}),
    "grey white, mask in alpha": (Image.fromarray(levels((255, 0), (255, 255)), "LA"), {}),
    "opaque colours": (Image.fromarray(levels((0, 0, 0, 255), (255, 255, 255, 255))), {}),
    "colours, all transparent": (Image.fromarray(levels((0, 0, 0, 0), (255, 255, 255, 0))), {}),
    "palette with red background": (palette(0, 1, {0: RED, 1: WHITE}), {}),
    "palette with white background": (palette(0, 3, {0: WHITE, 3: RED}), {}),
    "palette of VOC": (palette(0, 15, {15: (192, 128, 128)}), {}),
    "palette, background transparent": (palette(0, 1, {0: WHITE, 1: WHITE}), {"transparency": 0}),
    "palette, second colour transparent": (palette(1, 0, {0: WHITE, 1: BLACK}), {"transparency": 1}),
    "grey, white transparent": (Image.fromarray(levels(255, 7)), {"transparency": 255}),
    "colour, white transparent": (Image.fromarray(levels(WHITE, RED)), {"transparency": WHITE}),
    "sixteen bits, 500 transparent": (Image.fromarray(levels(500, 7, np.uint16)), {"transparency": 500}),
}


@pytest.mark.parametrize("form", FORMS)
def test_mask_is_what_is_meant(tmp_path: Path, form: str) -> None:
    image, options = FORMS[form]
    image.save(tmp_path / "mask.png", **options)
    assert (read_mask_picture(tmp_path / "mask.png", name="mask.png", size=(20, 30)) == EXPECTED).all()


@pytest.mark.parametrize("kind", ["png", "bmp", "gif", "tif", "pgm", "webp"])
def test_every_sharp_format_is_read(tmp_path: Path, kind: str) -> None:
    image = Image.fromarray(levels(0, 255))
    image.save(tmp_path / f"mask.{kind}", **({"lossless": True} if kind == "webp" else {}))
    assert (read_mask_picture(tmp_path / f"mask.{kind}", name="it", size=(20, 30)) == EXPECTED).all()


@pytest.mark.parametrize("kind", ["jpg", "webp", "jp2", "avif"])
def test_blurred_formats_are_refused(tmp_path: Path, kind: str) -> None:
    Image.fromarray(levels(0, 255)).convert("RGB").save(tmp_path / f"mask.{kind}")
    with pytest.raises(ValueError, match="edges are blurred; save masks as PNG"):
        read_mask_picture(tmp_path / f"mask.{kind}", name="it", size=(20, 30))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.fromarray(levels(1, 255)), "nothing outside"),
        (Image.fromarray(levels((255, 255, 255, 255), (9, 255, 255, 255))), "nothing outside"),
        (palette(3, 1, {1: WHITE}), "nothing outside"),
        (palette(0, 1, {0: WHITE, 1: BLACK}), "black is colour 1 and colour 0, which is outside, is"),
        (palette(1, 0, {0: WHITE, 1: BLACK}), "black is colour 1"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, image: Image.Image, message: str) -> None:
    image.save(tmp_path / "mask.png")
    with pytest.raises(ValueError, match=rf"mask\.png .*{message}"):
        read_mask_picture(tmp_path / "mask.png", name="mask.png", size=(20, 30))


def test_damaged_missing_and_endless_masks_are_named(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    for size in range(0, len(data), 25):
        (tmp_path / "a.png").write_bytes(data[:size])
        with pytest.raises(ValueError, match=r"a\.png"):
            read_mask_picture(tmp_path / "a.png", name="a.png", size=(20, 30))
    with pytest.raises(ValueError, match=r"cannot read b\.png"):
        read_mask_picture(tmp_path / "b.png", name="b.png", size=(20, 30))
    (tmp_path / "c.png").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match=r"cannot read c\.png: it is a pipe or a device"):
        read_mask_picture(tmp_path / "c.png", name="c.png", size=(20, 30))


def test_doubtful_masks_are_told(tmp_path: Path) -> None:
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    inverted, nearly = ~EXPECTED, np.ones_like(EXPECTED)
    nearly[0, 0] = False
    for name, mask in {"fine": EXPECTED, "inverted": inverted, "nearly": nearly}.items():
        Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / f"{name}.png")
    lines = [{"image": "a.png", "expression": "it", "mask": f"{name}.png"} for name in ("fine", "inverted", "nearly")]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (note,) = collect(tmp_path / "t.jsonl", tmp_path).notes
    assert "masks that may not be as they are meant: 2" in note
    assert "line 2: the whole border of the photo is inside" in note
