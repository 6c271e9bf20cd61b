"""Every command once, on data that take seconds: ``python tests/smoke.py`` in an environment without test tools.

It shows that an environment works at all: the oldest versions that are allowed (``make test-oldest``), another Python.
``--without-torch`` leaves out what needs PyTorch; ``--exported FOLDER`` adds ``segment`` with that export.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import traceback
from pathlib import Path

import numpy as np
from PIL import Image

SIZES = (
    *("--image.size", "64", "--backbone.channels", "8", "8", "8", "8", "--network.multimodal-channels", "8"),
    *("--network.fusion-channels", "8", "--network.word-type-channels", "8", "--network.refinement-channels", "8"),
)
TRAINING = ("--steps", "2", "--batch-images", "2", "--workers", "1", "--accelerator", "cpu", *SIZES)
DATA = (
    ["blocks", "--images", "4", "--size", "64", "--out", "blocks"],
    ["prepare", "own", "table.jsonl", "--images", ".", "--out", "own", "--check-images", "--pack"],
    [
        "prepare",
        "coco",
        "--instances",
        "instances.json",
        "--expressions",
        "said.json",
        "--images",
        ".",
        "--out",
        "coco",
    ],
    ["phrase", "--annotations", "instances.json", "--images", ".", "--out", "phrases"],
    ["vocabulary", "--data", "blocks", "--out", "vocabulary.txt"],
)
WITH_TORCH = (
    ["train", "--data", "blocks", "--out", "run", *TRAINING],
    ["train", "--data", "blocks", "--out", "run", *TRAINING, "--resume"],
    ["evaluate", "--data", "blocks", "--split", "val", "--model", "run/last", "--limit", "3", "--out", "report"],
    ["segment", "photo.jpg", "the red box", "--model", "run/last", "--out", "masks"],
    ["segment", "photo.jpg", "the red cube", "--out", "masks"],
    ["explain", "photo.jpg", "the red cube", "--out", "stages.png"],
)
EXPORTS = (
    ["export", "--model", "run/last", "--out", "onnx"],
    ["segment", "photo.jpg", "the red box", "--model", "onnx", "--out", "masks"],
)


def write_inputs() -> None:
    """A photo with two boxes, and what says where they are."""
    pixels = np.full((96, 128, 3), 120, np.uint8)
    pixels[20:60, 10:40], pixels[30:80, 80:120] = (220, 30, 30), (30, 30, 220)
    Image.fromarray(pixels).save("photo.jpg")
    boxes = {"the red box": (10, 20, 30, 40), "the blue box": (80, 30, 40, 50)}
    rows = [{"image": "photo.jpg", "expressions": [said], "box": box} for said, box in boxes.items()]
    Path("table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    annotations = [
        {"id": number, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": box, "area": box[2] * box[3]}
        | {"segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]]}
        for number, box in enumerate(boxes.values(), start=1)
        for x, y, w, h in [box]
    ]
    instances = {
        "images": [{"id": 1, "file_name": "photo.jpg", "height": 96, "width": 128}],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "box"}],
    }
    Path("instances.json").write_text(json.dumps(instances))
    said = [{"ann_id": number, "expressions": [text]} for number, text in enumerate(boxes, start=1)]
    Path("said.json").write_text(json.dumps(said))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without-torch", action="store_true", help="only what needs no PyTorch")
    parser.add_argument("--exported", type=Path, help="an export to run")
    parser.add_argument("--exports", action="store_true", help="export too (extra onnx)")
    options = parser.parse_args()
    commands = [*DATA, *(() if options.without_torch else WITH_TORCH), *(EXPORTS if options.exports else ())]
    if options.exported is not None:
        model = str(options.exported.resolve())
        commands.append(["segment", "photo.jpg", "the red box", "--model", model, "--out", "masks"])

    from cmpc.cli import main as cmpc

    failed = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_inputs()
        for command in commands:
            try:
                works = cmpc(command) == 0
            except Exception:  # the others are tried all the same
                traceback.print_exc()
                works = False
            if not works:
                failed.append(command)
        os.chdir("/")
    for command in failed:
        print(f"failed: cmpc {' '.join(command)}", file=sys.stderr)
    print(f"{len(commands) - len(failed)} passed, {len(failed)} failed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
