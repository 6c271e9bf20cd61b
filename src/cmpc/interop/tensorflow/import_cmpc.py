"""From a checkpoint of the original program to our network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from cmpc.errors import UserError
from cmpc.interop.tensorflow.checkpoint import Checkpoint
from cmpc.interop.tensorflow.names import HEAD, Variable, is_training_state, variables
from cmpc.models.config import ModelConfig
from cmpc.models.network import ReferringNetwork
from cmpc.models.paper.cmpc import CMPC

EMBEDDING = f"{HEAD}Variable"
"""The word embedding, one row for each word of the vocabulary."""
_SECOND_LSTM_BIAS = "language.lstm.bias_hh_l0"

Progress = Callable[[int, int], None]
"""Called with the number of bytes done and their total."""


def import_cmpc(checkpoint: Checkpoint, config: ModelConfig, progress: Progress | None = None) -> CMPC:
    """The published network with the weights of a training or test checkpoint; Adam's slots and the step are left out.

    Tensors are read one at a time, so that beside the network no more than the largest of them is in memory.

    Args:
        checkpoint: as ``open_checkpoint`` gives it.
        config: the ``paper`` preset for the vocabulary that the network was trained with.
        progress: called after each variable.

    Raises:
        UserError: the vocabulary is another one, variables are missing, unexpected or of another shape, or their values
            are damaged.
    """
    rows = checkpoint.shape(EMBEDDING)[:1] if EMBEDDING in checkpoint.names() else ()
    if rows and rows[0] != config.text.vocabulary_size:
        raise UserError(
            f"the vocabulary has {config.text.vocabulary_size:,} words, but the embedding in {checkpoint.path} has "
            f"{rows[0]:,} rows: give the vocabulary that the network was trained with."
        )
    wanted = variables(config)
    unexpected = set(checkpoint.names()) - {variable.name for variable in wanted}
    check_variables(checkpoint, wanted, [name for name in sorted(unexpected) if not is_training_state(name)])
    model = CMPC(config)
    copy_variables(model, checkpoint, wanted, progress)
    with torch.no_grad():
        model.state_dict()[_SECOND_LSTM_BIAS].zero_()  # TensorFlow's LSTM has one bias
    return model


def check_variables(checkpoint: Checkpoint, wanted: Sequence[Variable], unexpected: Sequence[str] = ()) -> None:
    """Looks at names, shapes and types only; reads no values.

    Raises:
        UserError: a wanted variable is missing or of another shape or type, or some are unexpected: in one sentence.
    """
    present = set(checkpoint.names())
    expected = {variable.name: variable.shape for variable in wanted}
    missing = [name for name in expected if name not in present]
    other = [
        f"{name} is {checkpoint.dtype(name)} {checkpoint.shape(name)} instead of float32 {shape}"
        for name, shape in expected.items()
        if name in present and (checkpoint.shape(name) != shape or checkpoint.dtype(name) != np.float32)
    ]
    faults = []
    if missing:
        faults.append(f"{len(missing)} of {len(expected)} variables missing ({_first(missing)})")
    if unexpected:
        faults.append(f"{len(unexpected)} unexpected ({_first(unexpected)})")
    if other:
        faults.append(f"{len(other)} of another shape or type ({_first(other)})")
    if faults:
        raise UserError(f"{checkpoint.path} does not hold the published network: {'; '.join(faults)}.")


def copy_variables(
    model: ReferringNetwork, checkpoint: Checkpoint, wanted: Sequence[Variable], progress: Progress | None = None
) -> None:
    """Reads each variable once and copies it to its parameters, in place.

    Args:
        model: takes the values.
        checkpoint: has passed ``check_variables``.
        wanted: the variables to copy; one of them may go to several parameters, and several may make up one.
        progress: called after each variable.

    Raises:
        UserError: the values of a variable are damaged.
    """
    places: dict[str, list[Variable]] = {}
    for variable in wanted:
        places.setdefault(variable.name, []).append(variable)
    total = sum(_bytes(same[0]) for same in places.values())
    done = 0
    state = model.state_dict()
    for name, same in places.items():
        values = checkpoint.read(name)
        with torch.no_grad():
            for variable in same:
                parameter = state[variable.parameter]
                place = parameter if variable.rows is None else parameter[variable.rows]
                place.copy_(torch.from_numpy(variable.to_parameter(values)))
        done += _bytes(same[0])
        if progress is not None:
            progress(done, total)


def _bytes(variable: Variable) -> int:
    return 4 * int(np.prod(variable.shape, dtype=np.int64))


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
