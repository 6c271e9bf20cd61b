"""The options ``--preset``, ``--backbone`` and ``--network``, which decide the defaults of the network's other options.

They are read before all others, since they also decide which there are.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cmpc.errors import UsageError, UserError
from cmpc.models.config import KINDS, PRESETS, ModelConfig, with_network

DECIDED = {
    "text.vocabulary-size": "the vocabulary",
    "network.word-type-supervision": "the data and --word-types",
    "network.no-word-type-supervision": "the data and --word-types",
}
"""Options of the network that follow from something else."""


@dataclass(kw_only=True)
class SizesChoice:
    """Whose sizes a network has, before its other options change them."""

    preset: Literal["small", "grounded", "photos", "paper", "rrn"] = "small"
    """The network, of which all other options about it are changes: small (trains on a laptop), grounded (the same with
    more than the paper has, for relations), photos (that for everyday photos, from ImageNet weights), paper (the
    published one) or rrn (the one that it derives from)."""
    backbone: Literal["compact", "efficientnet_lite", "deeplab_resnet101"] | None = None
    """Another kind of backbone than the preset's."""


@dataclass(kw_only=True)
class NetworkChoice(SizesChoice):
    """Which network, before its other options change it."""

    network: Literal["cmpc", "grounded", "rrn"] | None = None
    """Another kind of network than the preset's, at its sizes."""


def recipe_of(preset: str | None) -> Literal["modern", "paper"]:
    """How a preset is trained by default."""
    return "paper" if preset in ("paper", "rrn") else "modern"


def chosen_options(arguments: Sequence[str]) -> argparse.Namespace:
    """What the arguments say of ``preset``, ``backbone``, ``network`` and ``initial_model``; None where nothing.

    Their values are not checked: that is for the parser of all options.

    Raises:
        UsageError: they name what the user cannot choose.
    """
    named = {argument.partition("=")[0].replace("_", "-") for argument in arguments}
    if decided := next((name for name in DECIDED if f"--{name}" in named), None):
        raise UsageError(f"--{decided} follows from {DECIDED[decided]}: leave it out.")
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("preset", "backbone", "network"):
        parser.add_argument(f"--{name}", nargs="?")
    parser.add_argument("--initial-model", "--initial_model", nargs="?")
    return parser.parse_known_args(list(arguments))[0]


def chosen_network(chosen: argparse.Namespace, *, preset: str = "small") -> ModelConfig:
    """The network that ``--preset``, ``--backbone`` and ``--network`` ask for, or that of ``--initial-model``.

    Args:
        chosen: what ``chosen_options`` found.
        preset: holds where none is chosen.

    Raises:
        UsageError: they do not go together.
    """
    if chosen.initial_model is not None:
        if given := next((name for name in ("preset", "backbone", "network") if getattr(chosen, name)), None):
            raise UsageError(f"--initial-model brings its own network, words and weights: leave out --{given}.")
        from cmpc.model_folder import read_model_config

        with contextlib.suppress(UserError):  # which the run will raise
            return read_model_config(Path(chosen.initial_model))
    config = PRESETS.get(chosen.preset, PRESETS[preset])
    try:
        return _of_kinds(config, chosen)
    except ValueError as error:
        raise UsageError(f"--preset, --backbone and --network do not go together: {error}.") from None


def _of_kinds(config: ModelConfig, chosen: argparse.Namespace) -> ModelConfig:
    backbone, network = KINDS["backbone"].get(chosen.backbone), KINDS["network"].get(chosen.network)
    parts: dict[str, Any] = {}
    if backbone is not None and not isinstance(config.backbone, backbone):
        parts["backbone"] = backbone()
        parts["image"] = dataclasses.replace(config.image, **parts["backbone"].image_conventions)
    config = dataclasses.replace(config, **parts)
    if network is not None and type(config.network) is not network:
        config = with_network(config, network)
    return config
