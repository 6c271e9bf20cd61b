"""See it work, offline: the models that ship answer about photos and scenes that they have never seen.

    python examples/demo.py --out demo

The photos lie in examples/photos, with the masks of what people said of them. The scenes are the first ones of the test
split of Blocks, rendered on the spot. So the truth is known of both.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from rich.console import Console

    from cmpc import Segmenter

PHOTOS = Path(__file__).parent / "photos"
FITS_NOTHING = "the purple dinosaur"
SCENES = 6
SIZE = 192


@dataclass(frozen=True)
class Asked:
    """A picture with its expressions."""

    name: str
    pixels: np.ndarray
    """RGB, uint8, (H, W, 3)."""
    expressions: Sequence[str]
    truths: Sequence[np.ndarray | None]
    """Masks, bool, (H, W); None where nothing fits."""


@dataclass
class Clock:
    """Seconds of each step."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Counts what the ``with`` block takes."""
        start = time.perf_counter()
        yield
        self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - start


def main() -> int:
    """Asks about photos, then about scenes; prints IoU with the truth and seconds, and writes pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the pictures")
    options = parser.parse_args()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    clock = Clock()
    with clock.timed("start Python's libraries"):
        import torch
        from rich.console import Console
        from rich.table import Table

        import cmpc
        from cmpc.explanation import save

    torch.set_num_threads(min(4, torch.get_num_threads()))
    console = Console()
    with clock.timed("load the model for photos"):
        segmenter = cmpc.load("photos")
    photos = read_photos()
    show("photos", segmenter, photos, out, clock, console)
    with clock.timed("explain an expression"):
        relation = next(photo for photo in photos if photo.name == "elephant")
        explanation = segmenter.explain("the man next to the elephant", image=relation.pixels)
        save(explanation, out / "explanation.png")
    with clock.timed("load the model of Blocks"):
        segmenter = cmpc.load("blocks")
    with clock.timed(f"render {SCENES} scenes"):
        scenes = render_scenes()
    show("scenes of Blocks", segmenter, scenes, out, clock, console)
    times = Table("step", "seconds")
    for step, spent in clock.seconds.items():
        times.add_row(step, f"{spent:.2f}")
    times.add_row("all", f"{sum(clock.seconds.values()):.2f}")
    console.print(times)
    console.print(f"pictures: {out}/*.overlay.png and {out}/explanation.png", soft_wrap=True)
    console.print(f'ask more: cmpc segment {PHOTOS / "dog.jpg"} "the dog" --out {out}', soft_wrap=True)
    return 0


def read_photos() -> list[Asked]:
    """The photos with what people said of them, and with something that fits nothing."""
    from cmpc.data.images import read_image
    from cmpc.data.masks import decode_mask

    expressions: dict[str, list[str]] = {}
    truths: dict[str, list[np.ndarray | None]] = {}
    for line in (PHOTOS / "table.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        expressions.setdefault(row["image"], []).extend(row["expressions"])
        height, width = row["rle"]["size"]
        masks = [decode_mask(row["rle"]["counts"], height, width)] * len(row["expressions"])
        truths.setdefault(row["image"], []).extend(masks)
    return [
        Asked(Path(file).stem, read_image(PHOTOS / file), [*texts, FITS_NOTHING], [*truths[file], None])
        for file, texts in expressions.items()
    ]


def render_scenes() -> list[Asked]:
    """The first scenes of the test split of Blocks."""
    import numpy as np

    from cmpc.blocks.generate import make_sample

    scenes = []
    for index in range(SCENES):
        sample = make_sample(0, "test", index, SIZE)
        texts = [one.text for one in sample.expressions]
        truths = [
            np.any([sample.rendering.mask(block) for block in one.targets], axis=0) if one.targets else None
            for one in sample.expressions
        ]
        scenes.append(Asked(f"scene-{index + 1}", sample.rendering.pixels, texts, truths))
    return scenes


def show(what: str, segmenter: Segmenter, pictures: Sequence[Asked], out: Path, clock: Clock, console: Console) -> None:
    """Asks about pictures, writes what was found and prints how well."""
    from PIL import Image
    from rich.table import Table

    from cmpc.answers.results import write_results
    from cmpc.files import atomic_file

    table = Table("picture", "expression", "score", "IoU", title=f"{what}, with the model that ships")
    overlaps, told = [], []
    for asked in pictures:
        with atomic_file(out / f"{asked.name}.png") as file:
            Image.fromarray(asked.pixels).save(file)
        with clock.timed(f"see {what}"):
            seen = segmenter.set_image(asked.pixels)
        with clock.timed(f"answer about {what}"):
            predictions = segmenter.predict(asked.expressions, image=seen)
        with clock.timed("write the pictures"):
            write_results(out, asked.name, out / f"{asked.name}.png", asked.pixels, predictions)
        for prediction, truth in zip(predictions, asked.truths, strict=True):
            if truth is None:
                told.append(not prediction.mask.any())
                found = "fits nothing, and it says so" if told[-1] else "fits nothing"
            else:
                overlap = ((prediction.mask & truth).sum(), (prediction.mask | truth).sum())
                overlaps.append(overlap)
                found = f"{overlap[0] / overlap[1]:.2f}"
            unknown = segmenter.query(prediction.expression).unknown
            note = f" (does not know {', '.join(unknown)})" if unknown else ""
            table.add_row(asked.name, prediction.expression + note, f"{prediction.score:.2f}", found)
    console.print(table)
    right = sum(intersection >= union / 2 for intersection, union in overlaps)
    overall = sum(intersection for intersection, _ in overlaps) / sum(union for _, union in overlaps)
    absent = f"; of {len(told)} expressions that fit nothing it says so of {sum(told)}" if told else ""
    console.print(f"{right} of {len(overlaps)} found (IoU of at least 0.5), overall IoU {overall:.2f}{absent}")


if __name__ == "__main__":
    sys.exit(main())
