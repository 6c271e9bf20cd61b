"""Names of colours."""

from __future__ import annotations

import numpy as np
import pytest

from cmpc.phrasing.colours import COLOUR_NAMES, colour_of, is_greyscale


def patch(*colours: tuple[int, int, int], noise: int = 2) -> np.ndarray:
    """Pixels (N, 3) of some colours in equal parts, not quite even."""
    rng = np.random.default_rng(0)
    pixels = np.repeat(np.array(colours), 400, axis=0) + rng.integers(-noise, noise + 1, (400 * len(colours), 3))
    return np.clip(pixels, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("colour", "name"),
    [
        ((250, 250, 250), "white"), ((120, 120, 120), "grey"), ((12, 12, 12), "black"), ((105, 65, 35), "brown"),
        ((210, 180, 140), "beige"), ((255, 140, 0), "orange"), ((200, 20, 30), "red"), ((255, 182, 193), "pink"),
        ((250, 225, 30), "yellow"), ((34, 139, 34), "green"), ((64, 224, 208), "turquoise"), ((65, 105, 225), "blue"),
        ((120, 20, 130), "purple"),
    ],
)  # fmt: skip
def test_typical_colours_have_their_names(colour: tuple[int, int, int], name: str) -> None:
    found = colour_of(patch(colour))
    assert found.certain == name
    assert name in found.possible
    assert not {"white", "black", "green", "purple", "yellow", "blue"} - {name} & found.possible


def test_every_name_is_tested_above() -> None:
    assert len(COLOUR_NAMES) == 13


@pytest.mark.parametrize(
    ("colour", "names"),
    [
        ((175, 175, 175), {"grey", "white"}),
        ((255, 172, 0), {"orange", "yellow"}),
        ((120, 60, 30), {"brown", "red"}),
        ((15, 20, 45), {"black", "blue"}),
    ],
)
def test_what_lies_between_two_names_may_have_both_and_surely_has_none(
    colour: tuple[int, int, int], names: set[str]
) -> None:
    found = colour_of(patch(colour))
    assert found.certain is None
    assert names <= found.possible


def test_two_colours_have_a_name_together() -> None:
    found = colour_of(patch((10, 10, 10), (250, 250, 250)))
    assert found.certain == "black and white"
    assert {"black", "white"} <= found.possible
    assert "red" not in found.possible


def test_many_colours_and_few_pixels_have_no_name() -> None:
    assert colour_of(patch((200, 20, 30), (40, 70, 190), (40, 140, 60))).certain is None
    few = colour_of(patch((200, 20, 30))[:20])
    assert few.certain is None
    assert few.possible == frozenset(COLOUR_NAMES)


def test_black_and_white_photos_and_sepia_have_no_colours() -> None:
    ramp = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (64, 1))
    assert is_greyscale(np.stack([ramp] * 3, axis=2))
    coloured = np.stack([ramp, ramp.T, ramp[::-1]], axis=2)
    assert not is_greyscale(coloured)
