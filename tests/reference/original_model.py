"""The ``paper`` network with the weights of the reference, made here from the variables' names and shapes."""

from __future__ import annotations

import numpy as np
import torch

from cmpc.interop.tensorflow.names import variables
from cmpc.models.config import preset
from cmpc.models.paper.cmpc import CMPC
from reference.weights_rule import make


def original_model() -> CMPC:
    """The network of the reference run, in evaluation mode (some 5 s)."""
    model = CMPC(preset("paper")).eval()
    state = model.state_dict()
    name, values = "", np.empty(0)
    for variable in variables(model.config):
        if variable.name != name:  # the LSTM's kernel fills two parameters
            name, values = variable.name, make(variable.name, variable.shape)
        target = state[variable.parameter]
        if variable.rows is not None:
            target = target[variable.rows]
        target.copy_(torch.from_numpy(np.ascontiguousarray(variable.to_parameter(values))).reshape(target.shape))
    return model
