"""Answering expressions with the ``paper`` preset: our segmenter in each engine against the naive network.

All variants go from the photo's decoded pixels to the mask's probabilities at the photo's size.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.material import EXPRESSION, Material
from benchmarks.timing import Case, Variant
from cmpc.errors import UserError

if TYPE_CHECKING:
    from cmpc.engines import EngineName, Precision
    from cmpc.segmenter import Segmenter

NAIVE = "naive, fp32"
NAIVE_COMPILED = "naive, fp32, torch.compile"
ENGINES: tuple[tuple[EngineName, Precision], ...] = (
    ("torch", "fp32"),
    ("torch", "bf16"),
    ("onnx", "fp32"),
    ("onnx", "int8"),
    ("openvino", "fp32"),
    ("openvino", "bf16"),
    ("openvino", "int8"),
)
"""Engine and precision of our variants."""
FEWER_ENGINES = tuple(one for one in ENGINES if one[0] == "openvino" or one == ("torch", "fp32"))
"""Those that the longer cases compare."""

EXPRESSIONS = (
    EXPRESSION,
    "left man",
    "the white dog on the right",
    "kid behind the zebra",
    "green umbrella",
    "the bus in the middle",
    "black horse next to the woman",
)
"""Seven, as UNC has for an image."""
IMAGES = 8


def ours(engine: str, precision: str) -> str:
    """The name of one of our variants."""
    return f"{engine}, {precision}"


def load_segmenter(material: Material, engine: EngineName, precision: Precision) -> Segmenter:
    """Our segmenter with an engine.

    Raises:
        UserError: the engine or the precision is not to be had here.
    """
    from cmpc.segmenter import Segmenter

    if engine == "torch":
        return Segmenter.load(material.model("paper"), engine="torch", precision=precision)
    stored = "int8" if precision == "int8" else "fp32"  # bf16 is a way to run the fp32 export
    problem = material.export_problem(engine, stored)
    if problem.exists():
        raise UserError(problem.read_text(encoding="utf-8"))
    return Segmenter.load(material.export(engine, stored), engine=engine, precision=precision)


def first_expression(material: Material, *, engine: EngineName, precision: Precision) -> Callable[[], object]:
    """A new image, one expression."""
    from cmpc.data.images import read_image

    segmenter = load_segmenter(material, engine, precision)
    pixels = read_image(material.photo_files()[0])
    return lambda: segmenter.predict(EXPRESSION, image=pixels)


def further_expression(material: Material, *, engine: EngineName, precision: Precision) -> Callable[[], object]:
    """An image that was seen before, one more expression."""
    from cmpc.data.images import read_image

    segmenter = load_segmenter(material, engine, precision)
    segmenter.set_image(read_image(material.photo_files()[0]))
    return lambda: segmenter.predict(EXPRESSION)


def seven_expressions(material: Material, *, engine: EngineName, precision: Precision) -> Callable[[], object]:
    """A new image with seven expressions."""
    from cmpc.data.images import read_image

    segmenter = load_segmenter(material, engine, precision)
    pixels = read_image(material.photo_files()[0])
    return lambda: segmenter.predict(EXPRESSIONS, image=pixels)


def batch_of_images(material: Material, *, engine: EngineName, precision: Precision) -> Callable[[], object]:
    """Eight new images in one call, one expression each."""
    from cmpc.data.images import read_image

    segmenter = load_segmenter(material, engine, precision)
    photos = [read_image(path) for path in material.photo_files()[:IMAGES]]
    return lambda: segmenter.predict_batch([EXPRESSION] * len(photos), photos)


def naive_expression(material: Material, *, compiled: bool = False) -> Callable[[], object]:
    """One expression through the whole naive network, which is what every expression costs it; as it is, or compiled,
    which is one more line."""
    from benchmarks.naive_segmenter import NaiveSegmenter
    from cmpc.data.images import read_image

    segmenter = NaiveSegmenter(material.model("paper"))
    if compiled:
        segmenter.network.compile()
    pixels = read_image(material.photo_files()[0])
    return lambda: segmenter.predict(pixels, EXPRESSION)


def _case(
    name: str,
    title: str,
    start: Callable[..., Callable[[], object]],
    *,
    units: int = 1,
    engines: tuple[tuple[EngineName, Precision], ...] = ENGINES,
    yardsticks: tuple[Variant, ...] = (Variant(NAIVE, naive_expression),),
) -> Case:
    ours_in_each = tuple(
        Variant(
            ours(engine, precision),
            partial(start, engine=engine, precision=precision),
            units,
            needs=() if engine == "torch" else ("dataset", "exports"),
        )
        for engine, precision in engines
    )
    return Case(name, title, "expression", (*yardsticks, *ours_in_each), baseline=NAIVE, needs=("models", "photos"))


CASES = (
    _case(
        "first",
        "First expression on an image",
        first_expression,
        yardsticks=(
            Variant(NAIVE, naive_expression),
            Variant(NAIVE_COMPILED, partial(naive_expression, compiled=True), in_quick_look=False),
        ),
    ),
    _case("further", "Each further expression on the same image", further_expression),
    _case(
        "seven", "Seven expressions on a new image", seven_expressions, units=len(EXPRESSIONS), engines=FEWER_ENGINES
    ),
    _case(
        "batch",
        "Eight new images in one call, an expression each",
        batch_of_images,
        units=IMAGES,
        engines=FEWER_ENGINES,
    ),
)
