"""Compare the parts of the network: train and test it without each of them, with the same budget.

The default variants are those of the paper's ablation, beside the recurrent refinement network that the paper derives
from. After each run ablation.json (all figures) and ablation.md (the tables) are written anew. Ctrl-C stops with
checkpoints; the same command with --resume continues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from cmpc.ablation.options import AblationOptions, default_training
from cmpc.cli.network_choice import SizesChoice, chosen_network, chosen_options, recipe_of


@dataclass
class Options(AblationOptions, SizesChoice):
    pass


def defaults(arguments: Sequence[str]) -> Options:
    """What holds where the arguments say nothing else."""
    chosen = chosen_options(arguments)
    training = default_training(
        data=tyro.MISSING, out=tyro.MISSING, model=chosen_network(chosen), recipe=recipe_of(chosen.preset)
    )
    return Options(training=training)


def run(options: Options) -> None:
    from rich.console import Console

    from cmpc.ablation.ablate import ablate
    from cmpc.ablation.table import caption, comparisons
    from cmpc.errors import UserError

    result = ablate(options)
    console = Console()
    for table in comparisons(result.record):
        console.print(table.to_terminal())
    console.print(caption(result.record), highlight=False, soft_wrap=True, markup=False)
    console.print(f"tables in {options.training.out}", highlight=False, soft_wrap=True, markup=False)
    if failures := result.failures:
        again = "the same command with --resume" if options.training.out.exists() else "the command again"
        raise UserError(
            f"{len(failures)} of {len(options.runs)} runs failed (first: {failures[0].run.name}: "
            f"{failures[0].reason.rstrip('.')}): mend that and give {again}."
        )


def written(options: Options) -> Path:
    """The folder that no other process may write meanwhile."""
    return options.training.out
