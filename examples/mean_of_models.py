"""Writes the mean of models that went on from each other: often better than each, as what they forget differs.

    python examples/mean_of_models.py BEFORE AFTER --out MODEL

Models are folders of the same network with the same words. See Izmailov et al., "Averaging Weights Leads to Wider
Optima and Better Generalization", 2018.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cmpc.errors import UserError
from cmpc.model_folder import LoadedModel, load_model_folder, save_model_folder


def main() -> int:
    """Reads the models, and writes their mean in single precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", help="model folders")
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")
    options = parser.parse_args()
    try:
        mean = mean_of([load_model_folder(folder) for folder in options.models])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    save_model_folder(options.out, mean.model, mean.vocabulary)
    print(f"the mean of {len(options.models)} models is in {options.out}")
    return 0


def mean_of(models: list[LoadedModel]) -> LoadedModel:
    """The first of the models, with the mean of the weights of all.

    Raises:
        UserError: their networks or their words differ.
    """
    first = models[0]
    for other in models[1:]:
        if other.model.config != first.model.config or other.vocabulary.words != first.vocabulary.words:
            raise UserError("only models of the same network with the same words have a mean.")
    states = [one.model.state_dict() for one in models]
    mean = {name: sum(state[name] for state in states) / len(states) for name in states[0]}
    first.model.load_state_dict({name: value.to(states[0][name].dtype) for name, value in mean.items()})
    return first


if __name__ == "__main__":
    sys.exit(main())
