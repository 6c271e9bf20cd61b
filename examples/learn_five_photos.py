"""From own data to masks: a small network learns five photos by heart in a minute or two, then answers expressions.

    python examples/learn_five_photos.py --out demo

It knows nothing but these photos: that shows that everything works from end to end, not that it generalises.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

PHOTOS = Path(os.path.relpath(Path(__file__).parent / "photos"))


def main() -> int:
    """Prepares the photos, trains on them, segments them; prints the IoU with the truth and where the pictures are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for everything that is made")
    parser.add_argument("--steps", type=int, default=100, help="steps of training")
    options = parser.parse_args()

    import torch
    from rich.console import Console
    from rich.table import Table

    import cmpc
    from cmpc.answers.results import write_results
    from cmpc.cli import main as command
    from cmpc.data.schema import PreparedDataset

    torch.set_num_threads(min(4, torch.get_num_threads()))
    prepared, run, pictures = options.out / "prepared", options.out / "run", options.out / "pictures"
    shutil.rmtree(run, ignore_errors=True)

    def step(*arguments: str | Path) -> None:
        print(f"\n$ cmpc {' '.join(map(str, arguments))}", flush=True)
        if status := command([*map(str, arguments)]):
            sys.exit(status)

    step("prepare", "own", PHOTOS / "table.jsonl", "--images", PHOTOS, "--out", prepared)
    # fmt: off
    step("train", "--data", prepared, "--out", run, "--image.size", "128", "--steps", str(options.steps),
         "--batch-images", "5", "--expressions-per-image", "6", "--no-augmentation", "--workers", "0")
    # fmt: on

    segmenter = cmpc.load(run / "last")
    data = PreparedDataset.open(prepared)
    rows = data.read("train")
    table = Table("photo", "expression", "IoU with the truth", "seconds", title="photos that it was trained on")
    for image in dict.fromkeys(row.image for row in rows):
        asked = [(row.expressions[0], row.decode_mask()) for row in rows if row.image == image]
        pixels = data.read_image(next(row for row in rows if row.image == image))
        start = time.perf_counter()
        predictions = segmenter.predict([expression for expression, _ in asked], image=pixels)
        seconds = time.perf_counter() - start
        for prediction, (expression, truth) in zip(predictions, asked, strict=True):
            iou = (prediction.mask & truth).sum() / (prediction.mask | truth).sum()
            table.add_row(image, expression, f"{iou:.2f}", f"{seconds / len(asked):.3f}")
        write_results(pictures, Path(image).stem, PHOTOS / image, pixels, predictions)
    Console().print(table)
    print(f"pictures: {pictures}/*.overlay.png")
    print(f"ask more: cmpc segment {PHOTOS / 'cats.jpg'} 'cat in the mirror' --model {run / 'last'} --out {pictures}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
