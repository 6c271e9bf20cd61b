"""Train a network on a prepared dataset.

The run's folder holds the checkpoints last and best (model folders, for every command that takes a model),
training.csv, validation.csv and tensorboard/. Ctrl-C stops with a checkpoint; the same command with --resume
continues bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass

from cmpc.training.options import TrainingOptions


@dataclass
class Options(TrainingOptions):
    pass


def run(options: Options) -> None:
    from cmpc.training.recipe import train

    if not train(options).finished:
        raise KeyboardInterrupt
