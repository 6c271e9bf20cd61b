"""See it work, offline: the model that ships answers expressions about scenes that it has never seen.

    python examples/demo.py --out demo

The scenes are the first ones of the test split of Blocks, rendered on the spot, so that the truth is known.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCENES = 6
SIZE = 192


def main() -> int:
    """Renders scenes, segments what their expressions refer to, explains one; prints IoU with the truth and seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the pictures")
    options = parser.parse_args()
    seconds: dict[str, float] = {}

    @contextmanager
    def timed(step: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        seconds[step] = seconds.get(step, 0.0) + time.perf_counter() - start

    with timed("start Python's libraries"):
        import torch
        from PIL import Image
        from rich.console import Console
        from rich.table import Table

        import cmpc
        from cmpc.answers.results import write_results
        from cmpc.blocks.generate import make_sample
        from cmpc.explanation import save
        from cmpc.files import atomic_file

    torch.set_num_threads(min(4, torch.get_num_threads()))
    options.out.mkdir(parents=True, exist_ok=True)
    with timed("load the model"):
        segmenter = cmpc.load()

    table = Table("scene", "expression", "family", "IoU", title="scenes of the test split, with the model that ships")
    overlaps = []
    for index in range(SCENES):
        with timed(f"render {SCENES} scenes"):
            sample = make_sample(0, "test", index, SIZE)
        pixels, name = sample.rendering.pixels, f"scene-{index + 1}"
        with atomic_file(options.out / f"{name}.png") as file:
            Image.fromarray(pixels).save(file)
        with timed(f"see {SCENES} scenes"):
            seen = segmenter.set_image(pixels)
        with timed("answer {} expressions"):
            predictions = segmenter.predict([one.text for one in sample.expressions], image=seen)
        with timed("write the pictures"):
            write_results(options.out, name, options.out / f"{name}.png", pixels, predictions)
        for expression, prediction in zip(sample.expressions, predictions, strict=True):
            truth = sample.rendering.mask(expression.target)
            overlap = ((prediction.mask & truth).sum(), (prediction.mask | truth).sum())
            overlaps.append(overlap)
            table.add_row(name, expression.text, expression.family, f"{overlap[0] / overlap[1]:.2f}")
        if index == 0:
            with timed("explain an expression"):
                relation = next((e for e in sample.expressions if e.family == "relation"), sample.expressions[0])
                save(segmenter.explain(relation.text, image=pixels, seen=seen), options.out / "explanation.png")

    console = Console()
    console.print(table)
    found = sum(intersection >= union / 2 for intersection, union in overlaps)
    overall = sum(intersection for intersection, _ in overlaps) / sum(union for _, union in overlaps)
    console.print(f"{found} of {len(overlaps)} found (IoU of at least 0.5), overall IoU {overall:.2f}")
    times = Table("step", "seconds")
    for step, spent in seconds.items():
        times.add_row(step.format(len(overlaps)), f"{spent:.2f}")
    times.add_row("all", f"{sum(seconds.values()):.2f}")
    console.print(times)
    console.print(f"pictures: {options.out}/scene-*.overlay.png and {options.out}/explanation.png", soft_wrap=True)
    console.print(f'ask more: cmpc segment {options.out}/scene-1.png "the sphere" --out {options.out}', soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
