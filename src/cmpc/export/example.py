"""Segments what an expression refers to in a photo, with the files of this folder alone.

    pip install numpy opencv-python-headless onnxruntime    # or openvino, as this folder's config.json says
    python example.py photo.jpg "the left man" mask.png

The photo is fitted into a square, the words become ids, the two graphs run, and the square is taken back to the photo.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

FOLDER = Path(__file__).parent
Graph = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]
QUOTES = r"[\s\"\u201c-\u201f\u00ab\u00bb\u2039\u203a()\[\]{}]+"
CONFIG = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))


def main(photo: str, expression: str, out: str) -> None:
    """Writes the mask of one expression, white on black, at the size of the photo."""
    size = CONFIG["model"]["image"]["size"]
    image = cv2.imread(photo)
    if image is None:
        sys.exit(f"{photo} is no photo")
    image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    encode_image, comprehend = load_graphs()
    features = encode_image({"images": letterbox(image, size)[None]})  # once for a photo, however many expressions
    answers = comprehend({**features, "tokens": word_ids(expression)[None]})
    mask = undo_letterbox(answers["logits"][0], image.shape[0], image.shape[1]) >= 0
    if fits_nothing(answers):
        mask[:] = False
        print(f"nothing in {photo} fits {expression!r}")
    cv2.imwrite(out, mask.astype(np.uint8) * 255)
    print(f"{expression!r}: {mask.mean():.1%} of {photo}, in {out}")


def fits_nothing(answers: dict[str, np.ndarray]) -> bool:
    """Whether the model says that nothing in the photo fits; not every model tells."""
    return "presence" in answers and 1 / (1 + np.exp(-answers["presence"][0])) < CONFIG["export"]["presence_threshold"]


def load_graphs() -> tuple[Graph, Graph]:
    """Two functions from named arrays to named arrays: of photos, and of expressions about one photo."""
    if CONFIG["export"]["format"] == "onnx":
        import onnxruntime

        def load(name: str) -> Graph:
            session = onnxruntime.InferenceSession(FOLDER / f"{name}.onnx", providers=["CPUExecutionProvider"])
            names = [output.name for output in session.get_outputs()]
            return lambda inputs: dict(zip(names, session.run(None, inputs), strict=True))

    else:
        import openvino

        core = openvino.Core()

        def load(name: str) -> Graph:
            options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
            model = core.read_model(FOLDER / f"{name}.xml")
            names = [output.get_any_name() for output in model.outputs]  # a compiled one may add others
            graph = core.compile_model(model, "CPU", options)
            return lambda inputs: dict(zip(names, graph(inputs).to_tuple(), strict=True))

    return load("image_encoder"), load("comprehension")


def word_ids(expression: str) -> np.ndarray:
    """The ids of an expression's words: lines of vocabulary.txt, 0 for padding."""
    words = [line.strip() for line in (FOLDER / "vocabulary.txt").read_text(encoding="utf-8").split("\n")]
    ids = {word: number for number, word in enumerate(words)}
    text = CONFIG["model"]["text"]
    plain = text.get("splitting", "original") == "plain"  # or as in the original program
    if plain:
        expression = re.sub("[\u2019\u2018\u02bc\u00b4\u2032\uff07`]", "'", expression)
    tokens = [piece.lower() for piece in re.split(r"(\W+)", expression.strip(), flags=re.ASCII) if piece.strip()]
    if tokens and tokens[-1] == ".":
        tokens.pop()
    tokens = without_punctuation(tokens) if plain else tokens
    if not tokens:
        sys.exit("the expression holds no word")
    return np.array([ids.get(token, ids["<unk>"]) for token in tokens[: text["max_words"]]], np.int64)


def without_punctuation(tokens: list[str]) -> list[str]:
    """Words without what stands before the first and after the last one, quotation marks, brackets and blanks."""
    are_words = [any(map(str.isalnum, token)) or not token.strip("_") for token in tokens]
    if not any(are_words):
        return []
    first, last = are_words.index(True), len(tokens) - are_words[::-1].index(True)
    kept = []
    for token, is_word in zip(tokens[first:last], are_words[first:last], strict=True):
        if not is_word:  # an apostrophe beside a blank is a quotation mark
            quote = "'" if any(map(str.isspace, token)) else ""
            token = re.sub(QUOTES.replace("[", "[" + quote, 1), "", token)
        kept.append(token.strip())
    return [token for token in kept if token]


def letterbox(image: np.ndarray, size: int) -> np.ndarray:
    """The photo in the network's square, centred, with zeros around it."""
    height, width, top, left = place(image.shape[0], image.shape[1], size)
    square = np.zeros((size, size, 3), np.uint8)
    if CONFIG["model"]["image"]["resize"] == "area":
        shrinks = size < max(image.shape[:2])
        resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    else:
        mixed = mix(mix(image, height, axis=0), width, axis=1)
        resized = np.rint(np.clip(mixed, image.min(), image.max())).astype(np.uint8)
    square[top : top + height, left : left + width] = resized
    return square


def undo_letterbox(logits: np.ndarray, height: int, width: int) -> np.ndarray:
    """The logits of the square at the size of the photo."""
    inner_height, inner_width, top, left = place(height, width, len(logits))
    content = np.ascontiguousarray(logits[top : top + inner_height, left : left + inner_width])
    return cv2.resize(content, (width, height), interpolation=cv2.INTER_LINEAR)


def place(height: int, width: int, size: int) -> tuple[int, int, int, int]:
    """Height, width, top and left of a photo inside the square."""
    scale = min(size / height, size / width)
    inner_height, inner_width = max(1, round(height * scale)), max(1, round(width * scale))
    return inner_height, inner_width, (size - inner_height) // 2, (size - inner_width) // 2


def mix(values: np.ndarray, count: int, axis: int) -> np.ndarray:
    """Resizes one axis bilinearly without antialiasing; what lies outside of the photo counts as zero."""
    length = values.shape[axis]
    numerator = (2 * np.arange(count) + 1) * length - count
    lower = numerator // (2 * count)
    weight = (numerator % (2 * count)) / (2 * count)
    shape = [1] * values.ndim
    shape[axis] = count
    below = values.take(np.maximum(lower, 0), axis) * np.where(lower >= 0, 1 - weight, 0).reshape(shape)
    above = values.take(np.minimum(lower + 1, length - 1), axis)
    return below + above * np.where(lower + 1 < length, weight, 0).reshape(shape)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: python example.py PHOTO EXPRESSION MASK.png")
    main(*sys.argv[1:])
