"""Writes the mean of models that went on from each other: often better than each, as what they forget differs.

    python examples/mean_of_models.py BEFORE AFTER --out MODEL
    python examples/mean_of_models.py BEFORE AFTER --shares 0.3 0.7 --out MODEL

Models are folders of the same network with the same words. See Izmailov et al., "Averaging Weights Leads to Wider
Optima and Better Generalization", 2018.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from cmpc.errors import UserError
from cmpc.model_folder import LoadedModel, is_model_folder, load_model_folder, save_model_folder


def main() -> int:
    """Reads the models, and writes their mean in single precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", help="model folders")
    parser.add_argument("--shares", type=float, nargs="+", help="how much of each; by default all count alike")
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")
    options = parser.parse_args()
    try:
        if options.out.exists() and not is_model_folder(options.out):
            raise UserError(f"{options.out} is there already and no model folder: give another one with --out.")
        mean = mean_of([load_model_folder(folder) for folder in options.models], options.shares)
        save_model_folder(options.out, mean.model, mean.vocabulary)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"the mean of {len(options.models)} models is in {options.out}")
    return 0


def mean_of(models: Sequence[LoadedModel], shares: Sequence[float] | None = None) -> LoadedModel:
    """The first of the models, with the mean of the weights of all.

    Args:
        models: what is read of their folders.
        shares: how much of each, which sums to 1; None: all count alike.

    Raises:
        UserError: their networks or their words differ, or the shares do not fit.
    """
    first = models[0]
    shares = shares or [1 / len(models)] * len(models)
    if len(shares) != len(models) or not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise UserError(f"--shares needs {len(models)} numbers that sum to 1, one for each model.")
    for other in models[1:]:
        if other.model.config != first.model.config or other.vocabulary.words != first.vocabulary.words:
            raise UserError("only models of the same network with the same words have a mean.")
    states = [one.model.state_dict() for one in models]
    mean = {}
    for name, value in states[0].items():
        total = sum(share * state[name].double() for share, state in zip(shares, states, strict=True))
        mean[name] = torch.as_tensor(total).to(value.dtype)
    first.model.load_state_dict(mean)
    return first


if __name__ == "__main__":
    sys.exit(main())
