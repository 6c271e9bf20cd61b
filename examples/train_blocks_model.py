"""Makes a model like the one that ships with the package, in one run from nothing: data, training, tests, card.

    python examples/train_blocks_model.py --work work --out MODEL --examples EXAMPLES

Everything is seeded. What is interrupted continues when it is started again, training to the bit. Each command is
printed, so that any part can be run by hand.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from recipe_steps import SOMETHING, Stage, command, hours, machine, percent, save, scores_of

from cmpc.blocks.meaning import ABSENT, OF_ONE, SEVERAL

SPLITS = ("val", "test", "test_unseen")
IMAGES = 40_000
"""Images to learn from; each other split has a twentieth."""
EXAMPLES = 4
EXAMPLE_SIZE = 384


NETWORK = "--preset grounded --network.exchange-rounds 0 --network.no-conv-lstm"
"""Without exchange and ConvLSTM, whose loss was not seen in short trials, a step takes 0.7 of the time."""
EXPRESSIONS = "--expressions-per-image 6 --no-augmentation --validate-every 0"
STAGES = {
    "backbone": Stage("pretrain", "--parts backbone --image.size 128 --epochs 1 --learning-rate 3e-3"),
    "shapes": Stage("pretrain", "--parts backbone --recolour --image.size 128 --epochs 1.25 --learning-rate 2e-3"),
    "objects": Stage(
        "pretrain",
        "--parts aspects objects --recolour --image.size 128 --second-size 192 --epochs 0.4 --learning-rate 5e-3",
    ),
    "expressions": Stage(
        "train",
        f"{NETWORK} {EXPRESSIONS} --image.size 128 --freeze-backbone --batch-images 6 --steps 8000 "
        "--learning-rate 2e-3",
    ),
    "masks": Stage("train", f"{EXPRESSIONS} --image.size 192 --batch-images 4 --steps 2600 --learning-rate 7e-4"),
    "objects-again": Stage(
        "pretrain", "--parts aspects objects --recolour --image.size 192 --epochs 2 --learning-rate 5e-3"
    ),
    "relations": Stage(
        "train",
        f"{EXPRESSIONS} --image.size 192 --freeze-backbone --batch-images 4 --steps 26000 --learning-rate 1.2e-3",
    ),
    "none-or-many": Stage(
        "train",
        "--network.presence-channels 48 --image.size 192 --freeze-backbone --batch-images 4 --expressions-per-image 8 "
        "--no-augmentation --validate-every 0 --steps 12000 --learning-rate 1e-3",
    ),
}
"""As the paper's, the backbone is trained to see before the network learns words; shapes in all colours in its second
stage. ``objects`` teaches the classes by which "the same colour as" is told, and where each block stands. Most is
learned from small pictures, fine masks from larger ones. That changes what is seen of blocks, so that it is taught once
more before most is learned of relations, from larger pictures and with what sees kept as it is. The last stage
adds the head that tells whether anything fits."""


def main() -> int:
    """Runs what is not done yet, from the images to the card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for images, runs and reports")
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")
    parser.add_argument("--examples", type=Path, help="folder for the example pictures of the page")
    options = parser.parse_args()
    work: Path = options.work
    if not (work / "blocks" / "dataset.json").exists():
        command("blocks", "--out", work / "blocks", "--images", str(IMAGES))
    for name in STAGES:
        train(work, name)
    model = work / "model"
    save(last_model(work), model, card=None)
    reports = {split: test(work, model, split) for split in SPLITS}
    save(last_model(work), options.out, card=card(work, reports))
    print(f"the model is in {options.out}")
    if options.examples is not None:
        write_examples(options.examples)
    return 0


def train(work: Path, name: str) -> None:
    """Carries out a stage, or goes on with it."""
    stage, run, before = STAGES[name], work / name, model_before(work, name)
    finished = run / "finished"
    if finished.exists():
        return
    begin: tuple[str | Path, ...] = ()
    if before is not None:
        begin = ("--backbone-weights" if "--preset" in stage.settings else "--initial-model", before)
    resume = ("--resume",) if (run / "run.json").exists() else ()
    command(stage.command, "--data", work / "blocks", "--out", run, *begin, *stage.settings.split(), *resume)
    finished.touch()


def model_before(work: Path, name: str) -> Path | None:
    """What the stage goes on from; None for the first."""
    names = list(STAGES)
    number = names.index(name)
    return work / names[number - 1] / "last" if number else None


def last_model(work: Path) -> Path:
    """What the last stage left."""
    return work / list(STAGES)[-1] / "last"


def test(work: Path, model: Path, split: str) -> dict[str, Any]:
    """The report of a split."""
    report = work / f"report-{split}"
    if not (report / "report.json").exists():
        resume = ("--resume",) if report.exists() else ()
        command("evaluate", "--data", work / "blocks", "--split", split, "--model", model, "--out", report, *resume)
    return dict(json.loads((report / "report.json").read_text(encoding="utf-8")))


def write_examples(folder: Path) -> None:
    """The first scenes of the test split, drawn larger, each with its expressions."""
    from PIL import Image

    from cmpc.blocks.generate import make_sample
    from cmpc.files import atomic_file

    folder.mkdir(parents=True, exist_ok=True)
    for index in range(EXAMPLES):
        sample = make_sample(0, "test", index, EXAMPLE_SIZE)
        with atomic_file(folder / f"scene-{index + 1}.jpg") as file:
            Image.fromarray(sample.rendering.pixels).save(file, quality=90)
        lines = [expression.text for expression in sample.expressions]
        with atomic_file(folder / f"scene-{index + 1}.txt") as file:
            file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def card(work: Path, reports: dict[str, dict[str, Any]]) -> str:
    """The model card, with the figures of the reports."""
    from cmpc.model_folder import read_model_config

    size = read_model_config(last_model(work)).image.size
    stages = "\n".join(f"cmpc {stage.command} {stage.settings}    # {name}" for name, stage in STAGES.items())
    sizes = ", ".join(f"{reports[split]['images']:,} images of `{split}`" for split in SPLITS)
    return f"""---
library_name: cmpc
pipeline_tag: image-segmentation
tags: [referring-image-segmentation]
license: mit
---

# A model of Blocks for CMPC for PyTorch

A network of the preset `grounded` without exchange and ConvLSTM, trained on Blocks: scenes and expressions that the
package itself makes with `cmpc blocks`. **It knows coloured blocks on a plane, not photos.** It is here to try the
program offline, to test the explanations and to start from. Its words are those of the grammar of Blocks.

## Recipe

`python examples/train_blocks_model.py --work work --out MODEL` made it in one run from nothing, with cmpc
{version("cmpc")}, on `cmpc blocks --out blocks --images {IMAGES}` (seed 0). Each stage goes on from the one before, by
`--initial-model`, the first with expressions by `--backbone-weights`:

```
{stages}
```

They took {hours([work / name for name in STAGES])} hours on {machine()}, PyTorch {version("torch").split("+")[0]}.
Rendering is not counted.
Weights are stored in half precision; the figures below are of what is stored.

## Results

{sizes}, protocol `standard`, in percent. `test_unseen` holds the pairs of shape and colour that were never shown.

{results(reports)}

`several` is about two blocks or more; `{SOMETHING}` are all expressions that fit one block or several. Of the others,
which fit nothing, it tells so many (N-acc): `{ABSENT[0]}` where no block has the noun, `{ABSENT[1]}` where some have it
but not the looks, `{ABSENT[2]}` where all that is named is there but the relation does not hold. T-acc is the share of
the expressions that fit something for which it finds something:

{presence(reports)}

## Limits

It can be wrong about whether anything fits, as the second table says. It sees pictures at {size} x {size} pixels.
"""


def results(reports: dict[str, dict[str, Any]]) -> str:
    """Markdown table: a row for each split and figure, a column for each family that fits something."""
    columns = (SOMETHING, *OF_ONE, SEVERAL)
    lines = [f"| | {' | '.join(columns)} |", "| --- |" + " --- |" * len(columns)]
    for split, report in reports.items():
        scores = scores_of(report)
        for figure in ("overall IoU", "mean IoU", "precision@0.5"):
            cells = " | ".join(percent(scores[column][figure]) for column in columns)
            lines.append(f"| {split}, {figure} | {cells} |")
    return "\n".join(lines)


def presence(reports: dict[str, dict[str, Any]]) -> str:
    """Markdown table: how often it is told that nothing fits, and that something does, in each split."""
    columns = ("N-acc", *(f"N-acc, {family}" for family in ABSENT), "T-acc")
    lines = [f"| | {' | '.join(columns)} |", "| --- |" + " --- |" * len(columns)]
    for split, report in reports.items():
        scores = scores_of(report)
        told = [scores[family]["N-acc"] for family in ("all", *ABSENT)]
        lines.append(f"| {split} | {' | '.join(map(percent, (*told, scores['all']['T-acc'])))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
