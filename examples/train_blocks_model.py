"""Makes the model that ships with the package, from nothing: the images, the stages of training, the test, the card.

    python examples/train_blocks_model.py --work work --out src/cmpc/weights/blocks --examples src/cmpc/weights/examples

Everything is seeded. What is interrupted continues when it is started again: training to the bit. Each command is
printed, so that any part can be run by hand.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

PRETRAINING = Path(__file__).with_name("pretrain_blocks_backbone.py")
FAMILIES = ("entity", "attribute", "location", "relation", "chain", "comparison", "negation")
SCENES = {0: 20_000, 1: 20_000, 2: 16_000}
"""Seeds of the scenes that are learned from, and how many images of each; those of the tests are of seed 0 too."""
EXAMPLES = 4
EXAMPLE_SIZE = 384
COMMON = ("--expressions-per-image", "6", "--no-augmentation", "--workers", "0", "--validate-every", "0")
NETWORK = (
    *("--both-directions", "--grounded-reasoning", "--second-look", "--selection"),
    *("--exchange-rounds", "0", "--no-conv-lstm"),
)
"""Parts that the paper has not and that find more here. Without exchange and ConvLSTM, whose loss was not seen in short
trials, a step takes 0.7 of the time."""


@dataclass(frozen=True)
class Stage:
    """A part of the training, which goes on from the one before it."""

    settings: str
    """Options of the command; of a mean, the stages of which it is one and how much each counts."""
    kind: Literal["seeing", "listening", "mean"] = "listening"
    """``seeing`` is taught without expressions, by another script; ``mean`` is a weighted one of network weights."""
    scenes: int = 0
    """Seed of the scenes."""


STAGES = {
    "backbone-first": Stage("--image-size 128 --epochs 2 --learning-rate 3e-3", "seeing"),
    "backbone": Stage("--image-size 128 --epochs 2.5 --learning-rate 2e-3 --recolour", "seeing"),
    "grounding": Stage(
        "--image-size 128 --larger-size 192 --epochs 0.8 --learning-rate 5e-3 --recolour --grounding", "seeing"
    ),
    "expressions": Stage("--image-size 128 --batch-images 6 --steps 8000 --learning-rate 2e-3 --freeze-backbone"),
    "masks": Stage("--image-size 192 --batch-images 4 --steps 2600 --learning-rate 7e-4"),
    "objects": Stage("--image-size 192 --epochs 2.2 --learning-rate 5e-3 --recolour --grounding", "seeing"),
    "relations": Stage("--image-size 192 --batch-images 4 --steps 7400 --learning-rate 1.2e-3 --freeze-backbone"),
    "more-relations": Stage(
        "--image-size 192 --batch-images 4 --steps 14000 --learning-rate 1.2e-3 --freeze-backbone --seed 1"
    ),
    "more-objects": Stage(
        "--image-size 192 --epochs 3 --learning-rate 2e-3 --recolour --grounding --objects-only --seed 1", "seeing"
    ),
    "new-scenes": Stage(
        "--image-size 192 --batch-images 4 --steps 5000 --learning-rate 8e-4 --freeze-backbone --seed 2", scenes=1
    ),
    "mean": Stage("more-objects 0.5 new-scenes 0.5", "mean"),
    "new-objects": Stage(
        "--image-size 192 --epochs 3 --learning-rate 2e-3 --grounding --objects-only --seed 2", "seeing", scenes=1
    ),
    "newer-scenes": Stage(
        "--image-size 192 --batch-images 4 --steps 4000 --learning-rate 8e-4 --freeze-backbone --seed 3", scenes=2
    ),
    "beyond": Stage("more-objects -0.4 new-scenes 0.25 new-objects 0.5 newer-scenes 0.65", "mean"),
}
"""As the paper's, the backbone is trained to see before the network learns to listen; shapes in all colours in its
second part; ``grounding`` teaches the classes by which "the same colour as" is told, and where each block stands. Most
is learned from small pictures, fine masks from larger ones. That changes what is seen of blocks, so that ``objects``
teaches that once more, before ``relations``: expressions again, with larger pictures. Then the same for longer, in
another order, and once more where blocks stand, and nothing else. At last twice with scenes that were not shown before;
what was learned without and with them is averaged, at the end so that the weights go on a little in the direction in
which new scenes moved them. How far was chosen on ``val``."""


def main() -> int:
    """Runs what is not done yet, from the images to the card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for images, runs and reports")
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")
    parser.add_argument("--examples", type=Path, help="folder for the example pictures of the page")
    parser.add_argument("--devices", default="1", help="processes that share each step of the training")
    options = parser.parse_args()
    work: Path = options.work
    standard = work / "standard"
    if not (standard / "dataset.json").exists():
        command("blocks", "--out", standard, "--split", "test", "test_unseen")
    for seed, count in SCENES.items():
        if not (folder := work / f"blocks-{seed}").joinpath("dataset.json").exists():
            images = ("--images", str(count), "--seed", str(seed))
            command("blocks", "--out", folder, *images, "--split", "train", "val")

    devices = ("--devices", options.devices)
    model: Path | None = None
    listens = False
    for name, stage in STAGES.items():
        run, blocks = work / name, work / f"blocks-{stage.scenes}"
        if stage.kind == "listening":
            assert model is not None
            begin = ("--initial-model", model) if listens else ("--backbone-weights", model, *NETWORK)
            resume = ("--resume",) if (run / "run.json").exists() else ()
            settings = (*begin, *stage.settings.split(), *COMMON, *devices, *resume)
            command("train", "--data", blocks, "--out", run, *settings)
            listens = True
        elif not run.exists():
            if stage.kind == "seeing":
                look(blocks, run, model, stage.settings.split())
            else:
                average(run, {model_of(work, part): share for part, share in parts_of(stage)})
        model = model_of(work, name)
    assert model is not None

    reports: dict[str, dict[str, Any]] = {}
    for split in ("test", "test_unseen"):
        report = work / f"report-{split}"
        if not (report / "report.json").exists():
            resume = ("--resume",) if report.exists() else ()
            command("evaluate", "--data", standard, "--split", split, "--model", model, "--out", report, *resume)
        reports[split] = json.loads((report / "report.json").read_text(encoding="utf-8"))

    from cmpc.model_folder import load_model_folder, save_model_folder

    loaded = load_model_folder(model)
    save_model_folder(options.out, loaded.model, loaded.vocabulary, card(work, loaded.model.config.image.size, reports))
    print(f"the model is in {options.out}")
    if options.examples is not None:
        write_examples(options.examples)
    return 0


def model_of(work: Path, name: str) -> Path:
    """The model that a stage leaves."""
    return work / name / "last" if STAGES[name].kind == "listening" else work / name


def parts_of(mean: Stage) -> list[tuple[str, float]]:
    """The stages that a mean is made of, and how much each counts."""
    words = mean.settings.split()
    return [(name, float(share)) for name, share in zip(words[::2], words[1::2], strict=True)]


def average(out: Path, shares: dict[Path, float]) -> None:
    """A model whose weights are the weighted means of those of others, which learned one from the other."""
    from cmpc.model_folder import load_model_folder, save_model_folder

    print(f"\nmean: {', '.join(f'{share} of {folder}' for folder, share in shares.items())}", flush=True)
    loaded = [load_model_folder(folder) for folder in shares]
    states = [(one.model.state_dict(), share) for one, share in zip(loaded, shares.values(), strict=True)]
    result = loaded[-1]
    mean = {
        name: sum(share * state[name] for state, share in states) if value.is_floating_point() else value
        for name, value in result.model.state_dict().items()
    }
    result.model.load_state_dict(mean)
    save_model_folder(out, result.model, result.vocabulary)


def look(blocks: Path, out: Path, model: Path | None, settings: list[str]) -> None:
    """Trains what sees, without expressions."""
    begin: tuple[str | Path, ...] = () if model is None else ("--initial-model", model)
    arguments = ("--data", blocks, "--out", out, *begin, *settings)
    print(f"\n$ python examples/{PRETRAINING.name} {' '.join(map(str, arguments))}", flush=True)
    subprocess.run([sys.executable, PRETRAINING, *arguments], check=True)


def command(name: str, *arguments: str | Path) -> None:
    """Runs a command of cmpc, and ends with it if it fails."""
    from cmpc.cli import main as run

    print(f"\n$ cmpc {name} {' '.join(map(str, arguments))}", flush=True)
    if status := run([name, *map(str, arguments)]):
        sys.exit(status)


def write_examples(folder: Path) -> None:
    """The first scenes of the test split, drawn larger, each with its expressions."""
    from PIL import Image

    from cmpc.blocks.generate import make_sample
    from cmpc.files import atomic_file

    folder.mkdir(parents=True, exist_ok=True)
    for index in range(EXAMPLES):
        sample = make_sample(0, "test", index, EXAMPLE_SIZE)
        with atomic_file(folder / f"scene-{index + 1}.jpg") as file:
            Image.fromarray(sample.rendering.image).save(file, quality=90)
        lines = [expression.text for expression in sample.expressions]
        with atomic_file(folder / f"scene-{index + 1}.txt") as file:
            file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def card(work: Path, size: int, reports: dict[str, dict[str, Any]]) -> str:
    """The model card, with the figures of the reports."""
    import torch

    first = next(name for name, stage in STAGES.items() if stage.kind == "listening")
    stages = "\n".join(
        f"{_shown(stage, NETWORK if name == first else ())}    # {name}" for name, stage in STAGES.items()
    )
    return f"""---
library_name: cmpc
pipeline_tag: image-segmentation
tags: [referring-image-segmentation]
license: mit
---

# The model that ships with CMPC for PyTorch

A network of the preset `small` with grounded reasoning, a second look and selection, trained on Blocks: scenes and
expressions that the package itself makes with `cmpc blocks`. **It knows coloured blocks on a plane, not photos.** It is
here to try the program offline, to test the explanations and to start from. Its words are those of the grammar of
Blocks.

## Recipe

`python examples/train_blocks_model.py --work work --out MODEL` makes it from nothing, seeded, with {SCENES[0]:,}
images of `train` of seed 0 (192 pixels) and at last {SCENES[1]:,} and {SCENES[2]:,} of the seeds 1 and 2; those of the
tests are of seed 0. The backbone learns alone at first, from the attributes of each pixel, in its second part from
recoloured images too, then the classes by which the network compares cells, and which cells are of one block; then the
network learns from the expressions, from small pictures at first; then which cells are of one block is taught anew, the
network goes on with the expressions, and then with that alone. At last with scenes that it has not seen, twice; the
weights before and after these are averaged, at the end so that they go on a little in the direction in which new scenes
moved them, as far as was best on `val` of seed 0. Each stage goes on from the one before:

```
{stages}
```

AdamW, warm-up and cosine, cross entropy and Dice on the final map and on each level, and auxiliary losses on the word
types and on where each word looks, both of which Blocks knows. The stages of `cmpc train` took
{_hours(work)} hours on {processor()}, no GPU, PyTorch
{torch.__version__.split("+")[0]}; other work went on beside them. Rendering is not counted.

## Results

2,000 images of `test` and 2,000 of `test_unseen` (pairs of shape and colour that were never shown), seed 0, protocol
`standard`, in percent:

{results(reports)}

## Limits

It answers every expression with a mask, also where nothing fits. It sees pictures at {size} x {size} pixels.
"""


def _shown(stage: Stage, network: tuple[str, ...]) -> str:
    """The command of a stage, as the card has it."""
    scenes = f"--data blocks-{stage.scenes}"
    if stage.kind == "mean":
        return "weights: " + " + ".join(f"{share} x {name}" for name, share in parts_of(stage))
    if stage.kind == "seeing":
        return f"python examples/{PRETRAINING.name} {scenes} {stage.settings}"
    return f"cmpc train {scenes} {' '.join((*network, stage.settings, *COMMON))}"


def results(reports: dict[str, dict[str, Any]]) -> str:
    """Markdown table: a row for each split and figure, a column for each family."""
    lines = [f"| | all | {' | '.join(FAMILIES)} |", "| --- |" + " --- |" * (len(FAMILIES) + 1)]
    for split, report in reports.items():
        scores = _scores(report)
        for figure in ("overall IoU", "mean IoU", "precision@0.5"):
            cells = " | ".join(f"{100 * scores[family][figure]:.1f}" for family in ("all", *FAMILIES))
            lines.append(f"| {split}, {figure} | {cells} |")
    return "\n".join(lines)


def _scores(report: dict[str, Any]) -> dict[str, dict[str, float]]:
    table = report["tables"]["without_crf"]
    return {
        name: {
            "overall IoU": score["overall_iou"],
            "mean IoU": score["mean_iou"],
            "precision@0.5": score["precision"]["0.5"],
        }
        for name, score in {"all": table["all"], **table["groups"]}.items()
    }


def processor() -> str:
    """The kind and number of the cores of this machine."""
    name = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text(encoding="utf-8").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    return f"{os.cpu_count()} cores of an {name}"


def _hours(work: Path) -> str:
    """Hours that each stage with expressions took."""
    spent = []
    for name in (name for name, stage in STAGES.items() if stage.kind == "listening"):
        with (work / name / "training.csv").open(encoding="utf-8") as file:
            spent.append(float([row["seconds"] for row in csv.DictReader(file)][-1]) / 3600)
    return ", ".join(f"{hours:.1f}" for hours in spent[:-1]) + f" and {spent[-1]:.1f}"


if __name__ == "__main__":
    sys.exit(main())
