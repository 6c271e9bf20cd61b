"""Do the stages of an explanation do what they are named after? Measures it over a split of Blocks.

python benchmarks/explanation_meaning.py BLOCKS MODEL --split test --out meaning.json

Reports how strongly a noun alone is answered inside the objects that it names, inside others and on the ground; and the
log-odds of the target less those of its best distractor before and after reasoning. See docs/explanation.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from cmpc.devices import choose_device
from cmpc.explanation.meaning import measure_split
from cmpc.files import atomic_file
from cmpc.segmenter import Segmenter


@dataclass
class Options:
    """What to measure."""

    data: Annotated[Path, tyro.conf.Positional]
    """Blocks dataset, from cmpc blocks."""
    model: Annotated[str, tyro.conf.Positional]
    """Folder of the model, or its name on the Hugging Face hub."""
    split: str = "test"
    """Split to measure on."""
    limit: int | None = None
    """Only the first images of the split."""
    out: Path | None = None
    """JSON file for the figures; they are printed anyway."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, mps."""


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    segmenter = Segmenter.load(options.model, device=choose_device(options.device))
    meaning = measure_split(segmenter, options.data, options.split, limit=options.limit)
    figures = json.dumps({"split": options.split, **meaning.to_dict()}, indent=2) + "\n"
    print(figures, end="")
    if options.out is not None:
        with atomic_file(options.out) as file:
            file.write_text(figures, encoding="utf-8")


if __name__ == "__main__":
    main()
