"""Makes a model for everyday photos like the one that ships, in one run from nothing: data, training, tests, card.

    python examples/train_photos_model.py --train instances_train.json --val instances_val.json --images photos \
        --backbone-weights efficientnet-lite2.pth --glove glove.6B.100d.txt --work work --out MODEL

Annotations are in the format of COCO's instances; COCO's own files will do. Everything is seeded. What is interrupted
continues when it is started again, training to the bit. Each command is printed, so that any part can be run by hand.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mean_of_models import mean_of
from recipe_steps import SOMETHING, Stage, command, hours, listed, machine, percent, save, scores_of

from cmpc.model_folder import load_model_folder, read_model_config, save_model_folder

FAMILIES = ("entity", "attribute", "location", "relation", "comparison", "clothing", "negation", "several")
SCENES = 24_000
"""New scenes beside the photos."""
COMMON_WORDS = 20_000
PHRASES = "--per-object 6 --quality exact teacher --several-per-photo 2 --absent-per-photo 2 --loose-names"
STAGES = {
    "see": Stage(
        "pretrain",
        "--preset photos --precision bf16 --batch-images 32 --steps 1500 --learning-rate 2e-3 --no-deterministic",
    ),
    "expressions": Stage(
        "train",
        "--preset photos --precision bf16 --freeze-backbone --batch-images 32 --expressions-per-image 6 "
        "--no-augmentation --steps 100 --learning-rate 2e-3 --validate-every 0 --no-deterministic",
    ),
    "together": Stage(
        "train",
        "--precision bf16 --batch-images 32 --expressions-per-image 6 --no-augmentation --steps 100 "
        "--learning-rate 5e-4 --embeddings-scale 0.05 --seed 1 --validate-every 0 --no-deterministic",
    ),
    "more": Stage(
        "train",
        "--precision bf16 --freeze-backbone --batch-images 8 --expressions-per-image 6 --no-augmentation --steps 1500 "
        "--learning-rate 1.5e-3 --embeddings-scale 0.02 --seed 2 --validate-every 0",
    ),
    "further": Stage(
        "train",
        "--precision bf16 --batch-images 8 --expressions-per-image 6 --no-augmentation --word-noise 1 --steps 1750 "
        "--learning-rate 1.2e-3 --embeddings-scale 0.02 --seed 3 --validate-every 0",
    ),
    "things": Stage(
        "pretrain",
        "--parts objects --image.size 416 --precision bf16 --batch-images 16 --steps 600 --learning-rate 2e-3",
    ),
    "again": Stage(
        "train",
        "--image.size 416 --precision bf16 --freeze-backbone --batch-images 8 --expressions-per-image 6 "
        "--no-augmentation --word-noise 1 --steps 1000 --learning-rate 1.2e-3 --embeddings-scale 0.02 --seed 4 "
        "--validate-every 0",
    ),
}
"""First the later half of the backbone learns the kinds of things, and the object head which cells show one thing; then
the network learns words, with what sees kept as it is; a little of all together; more words; more of all, also what
lies around the words. By then the object head tells middles by a tenth of the image wrong, which expressions do not
teach: it learns them again, from larger images, and the network once more what is left and second of such things."""
LAST_SHARE = 0.7
"""Share of the weights of the last stage in those that ship; the rest is what it began with. Expressions of a grammar
make a network forget some of what it would understand of others: on ``val`` the mean costs half a point of
precision@0.5, on that of UNC it brings two."""
MOST_TIMES = 1_000
"""Most times the steps of a stage that may be asked for."""
LEAST_OF_A_KIND = 10
"""Expressions from which the card gives the figures of a kind."""


def main() -> int:
    """Runs what is not done yet, from the scenes to the card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True, help="instances of the photos to learn from")
    parser.add_argument("--val", type=Path, required=True, help="instances of the photos to be judged by")
    parser.add_argument("--images", type=Path, required=True, help="folder of the photos of both")
    parser.add_argument("--backbone-weights", type=Path, required=True, help="ImageNet weights of EfficientNet-Lite2")
    parser.add_argument("--glove", type=Path, required=True, help="word vectors: GloVe text of 100 values a word")
    parser.add_argument("--work", type=Path, required=True, help="folder for scenes, runs and reports")
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")
    parser.add_argument("--steps-factor", type=factor, default=1.0, help="times as many steps in every stage")
    parser.add_argument("--note", default="", help="what the card is to say of this run besides")
    options = parser.parse_args()
    work: Path = options.work
    prepare(work, options)
    for name in STAGES:
        train(work, name, options.backbone_weights, steps_factor=options.steps_factor)
    mean, model = work / "mean", work / "model"
    write_mean(work, mean)
    save(mean, model, card=None)
    report = test(work, model)
    save(mean, options.out, card=card(work, report, note=options.note))
    print(f"the model is in {options.out}")
    return 0


def factor(text: str) -> float:
    """A number of times, for argparse."""
    value = float(text)
    if not 0 < value <= MOST_TIMES:
        raise argparse.ArgumentTypeError(f"must be more than 0 and at most {MOST_TIMES:,}, got {text}")
    return value


def prepare(work: Path, options: argparse.Namespace) -> None:
    """Scenes, expressions and words."""
    scenes, data = work / "scenes", work / "data"
    files = [scenes / f"instances_{split}.json" for split in ("train", "val")]
    if not files[0].exists():
        given = (f"train={options.train}", f"val={options.val}")
        command(
            "compose", "--annotations", *given, "--images", options.images, "--out", scenes, "--scenes", str(SCENES)
        )
    if not (data / "dataset.json").exists():
        given = (f"train={files[0]}", f"val={files[1]}")
        command(
            "phrase", "--annotations", *given, "--images", scenes / "images", "--out", data, *PHRASES.split(),
            "--name", "photos",
        )  # fmt: skip
    if not (work / "words.npy").exists():
        command(
            "vocabulary", "--data", data, "--glove", options.glove, "--common-words", str(COMMON_WORDS), "--kind-words",
            "--out", work / "words.txt", "--embeddings-out", work / "words.npy",
        )  # fmt: skip


def train(work: Path, name: str, backbone_weights: Path, *, steps_factor: float = 1.0) -> None:
    """Carries out a stage with so many times its steps, or goes on with it."""
    stage, run = STAGES[name], work / name
    finished = run / "finished"
    if finished.exists():
        return
    before = model_before(work, name)
    begin: list[str | Path] = []
    if "--preset" not in stage.settings:
        begin += ["--initial-model", str(before)]
    else:
        begin += ["--backbone-weights", before or backbone_weights]
    if stage.command == "pretrain":
        data: tuple[str | Path, ...] = (work / "scenes/instances_train.json", "--images", work / "scenes/images")
    else:
        data = (work / "data",)
        if "--preset" in stage.settings:
            begin += ["--vocabulary", work / "words.txt", "--embeddings", work / "words.npy"]
    resume = ("--resume",) if (run / "run.json").exists() else ()
    settings = stage.settings.split()
    steps = settings.index("--steps") + 1
    settings[steps] = str(max(1, round(int(settings[steps]) * steps_factor)))
    command(stage.command, "--data", *data, "--out", run, *begin, *settings, *resume)
    finished.write_text(machine(), encoding="utf-8")


def model_before(work: Path, name: str) -> Path | None:
    """What the stage goes on from; None for the first."""
    names = list(STAGES)
    number = names.index(name)
    return work / names[number - 1] / "last" if number else None


def write_mean(work: Path, out: Path) -> None:
    """The weighted mean of what the last stage began with and of what it left."""
    last = list(STAGES)[-1]
    before = model_before(work, last)
    assert before is not None, "there are several stages"
    mean = mean_of([load_model_folder(before), load_model_folder(work / last / "last")], [1 - LAST_SHARE, LAST_SHARE])
    save_model_folder(out, mean.model, mean.vocabulary)


def test(work: Path, model: Path) -> Path:
    """The folder with the report of ``val``."""
    report = work / "report-val"
    if not (report / "report.json").exists():
        resume = ("--resume",) if report.exists() else ()
        command("evaluate", "--data", work / "data", "--split", "val", "--model", model, "--out", report, *resume)
    return report


def card(work: Path, report: Path, *, note: str = "") -> str:
    """The model card, with the figures of the report and a note on the run."""
    size = read_model_config(work / "mean").image.size
    stages = stage_lines()
    found = json.loads((report / "report.json").read_text(encoding="utf-8"))
    photos = len({line["image"] for line in lines_of(report)})
    return f"""---
library_name: cmpc
pipeline_tag: image-segmentation
tags: [referring-image-segmentation]
license: mit
---

# A model for everyday photos for CMPC for PyTorch

A network of the preset `photos`: the parts of CMPC with grounded reasoning on an EfficientNet-Lite2. It answers about
people, animals, vehicles and some furniture, in English, on a processor without a GPU.

## Data

9,449 photos with masks of their things, gathered from public copies of PASCAL VOC 2012, COCO, Caltech-101 and others,
and {SCENES:,} new scenes that `cmpc compose` put together of them. No expression was written by a person: `cmpc phrase`
made them from the masks. None of the photos is in the package. Words begin with GloVe's vectors (6B, 100 values, PDDL
1.0).

The backbone began with ImageNet weights of EfficientNet-Lite2 (Google, Apache License 2.0,
https://www.apache.org/licenses/LICENSE-2.0), of which the first blocks are unchanged and the others were trained on.

## Recipe

`python examples/train_photos_model.py` makes it from nothing, with cmpc {version("cmpc")}. Each stage goes on from the
one before it:

```
{stages}
```

{" ".join(filter(None, (machines(work), note)))}

Weights are stored in half precision; the figures below are of what is stored.

## Results

{found["expressions"]:,} expressions about {photos:,} photos that were kept back, made by the same rules; protocol
`standard`, in percent. They chose the recipe, so that new photos may be answered somewhat worse.

{results(found)}

{presence(found)}

By the kind of what is meant, where there are {LEAST_OF_A_KIND} expressions or more:

{results_of_kinds(lines_of(report))}

## Limits

It was taught rather few kinds of things, and that people say simple sentences. A word that no expression said it takes
for what it is like: often rightly, but a dinosaur for the dog that is there, too. What it says of things that are not
there can be wrong; of two alike that touch it often marks both. It sees photos at {size} x {size} pixels, so that small
things are missed. The photos show some people more often than others, and so may its mistakes.
"""


def stage_lines() -> str:
    """The commands of the stages, and that of the mean."""
    lines = [f"cmpc {stage.command} {stage.settings}    # {name}" for name, stage in STAGES.items()]
    before, last = list(STAGES)[-2:]
    shares = f"{1 - LAST_SHARE:.1f} {LAST_SHARE:.1f}"
    return "\n".join([*lines, f"python examples/mean_of_models.py {before}/last {last}/last --shares {shares}"])


def machines(work: Path) -> str:
    """How long the stages took, and on what: a sentence for each machine."""
    by_machine: dict[str, list[Path]] = defaultdict(list)
    for name in STAGES:
        by_machine[(work / name / "finished").read_text(encoding="utf-8")].append(work / name)
    taken = {where: (listed([run.name for run in runs]), hours(runs)) for where, runs in by_machine.items()}
    return " ".join(f"On {where} {names} took {spent} hours." for where, (names, spent) in taken.items())


def presence(report: dict[str, Any]) -> str:
    """How often it is told that nothing fits, and that something does."""
    score = scores_of(report)["all"]
    if not score["absent"]:
        return ""
    return (
        f"Of {score['absent']:,} expressions that fit nothing in their photo, some of them about kinds of things that "
        f"are in it, it tells {percent(score['N-acc'])} % (N-acc); where something fits, it finds "
        f"something in {percent(score['T-acc'])} % (T-acc)."
    )


def lines_of(report: Path) -> list[dict[str, Any]]:
    """What was asked and found for each expression."""
    return [json.loads(line) for line in (report / "expressions.jsonl").read_text(encoding="utf-8").splitlines()]


def results(report: dict[str, Any]) -> str:
    """Markdown table: a row for each family."""
    lines = ["| | expressions | overall IoU | mean IoU | precision@0.5 |", "| --- | ---: | ---: | ---: | ---: |"]
    scores = scores_of(report)
    for name in (SOMETHING if SOMETHING in scores else "all", *FAMILIES):
        if name in scores:
            score = scores[name]
            rates = " | ".join(percent(score[figure]) for figure in ("overall IoU", "mean IoU", "precision@0.5"))
            lines.append(f"| {name} | {score['expressions']:,} | {rates} |")
    return "\n".join(lines)


def results_of_kinds(expressions: list[dict[str, Any]]) -> str:
    """Markdown table: a row for each kind of thing that is asked for often enough."""
    by_kind: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in expressions:
        by_kind[line["category"]].append(line)
    rows = ["| | expressions | overall IoU | precision@0.5 |", "| --- | ---: | ---: | ---: |"]
    for kind, lines in sorted(by_kind.items(), key=lambda item: -len(item[1])):
        if kind and len(lines) >= LEAST_OF_A_KIND:
            overall = sum(line["intersection"] for line in lines) / max(sum(line["union"] for line in lines), 1)
            right = sum(2 * line["intersection"] >= line["union"] for line in lines) / len(lines)
            rows.append(f"| {kind} | {len(lines):,} | {percent(overall)} | {percent(right)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
