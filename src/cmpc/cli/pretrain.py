"""Teach a network to see before it learns words, from the scenes of Blocks.

The backbone learns the attributes of each pixel, and the preset grounded also the classes by which it compares cells
and which cells show one thing. The run's folder holds the checkpoint last, a model folder for --backbone-weights or
--initial-model of cmpc train, training.csv and tensorboard/. Ctrl-C stops with a checkpoint; the same command with
--resume continues bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from cmpc.cli.network_choice import NetworkChoice, chosen_network, chosen_options
from cmpc.training.vision.options import PretrainingOptions


@dataclass
class Options(PretrainingOptions, NetworkChoice):
    pass


def defaults(arguments: Sequence[str]) -> Options:
    """What holds where the arguments say nothing else."""
    model = chosen_network(chosen_options(arguments), preset="grounded")
    return Options(preset="grounded", data=tyro.MISSING, out=tyro.MISSING, model=model)


def written(options: Options) -> Path:
    """The folder that no other process may write meanwhile."""
    return options.out


def run(options: Options) -> None:
    from cmpc.training.vision.pretrain import pretrain

    if not pretrain(options).finished:
        raise KeyboardInterrupt
