"""Train a network on a prepared dataset.

The run's folder holds the checkpoints last and best (model folders, for every command that takes a model),
training.csv, validation.csv and tensorboard/. Ctrl-C stops with a checkpoint; the same command with --resume
continues bit for bit. The options image, backbone, text and network are those of --preset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from cmpc.cli.network_choice import NetworkChoice, chosen_network, chosen_options, recipe_of
from cmpc.training.options import TrainingOptions


@dataclass
class Options(TrainingOptions, NetworkChoice):
    pass


def defaults(arguments: Sequence[str]) -> Options:
    """What holds where the arguments say nothing else."""
    chosen = chosen_options(arguments)
    model = chosen_network(chosen)
    return Options(data=tyro.MISSING, out=tyro.MISSING, model=model, recipe=recipe_of(chosen.preset))


def written(options: Options) -> Path:
    """The folder that no other process may write meanwhile."""
    return options.out


def run(options: Options) -> None:
    from cmpc.training.recipe import train

    if not train(options).finished:
        raise KeyboardInterrupt
