"""The original's Adam, AdamW with its parameter groups, and an optimiser's state as plain tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from cmpc.errors import UsageError
from cmpc.models.network import ReferringNetwork


class TensorFlowAdam(torch.optim.Adam):
    """Adam as TensorFlow 1 computes it: epsilon is added outside the bias correction.

    ``w -= lr * sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + epsilon)``. PyTorch divides ``sqrt(v)`` by ``sqrt(1 -
    b2^t)`` before it adds its epsilon, so it needs ``epsilon / sqrt(1 - b2^t)`` for the same step.

    A parameter group may have ``gradient_scale``: its gradients are multiplied by it before the step.
    """

    def __init__(self, parameters: Iterable[Any], *, learning_rate: float, epsilon: float = 1e-8) -> None:
        super().__init__(parameters, lr=learning_rate, eps=epsilon)
        self.epsilon = epsilon
        for group in self.param_groups:
            group.setdefault("gradient_scale", 1.0)
            group.setdefault("steps", 0)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; see ``torch.optim.Adam.step``."""
        for group in self.param_groups:
            group["steps"] += 1
            group["eps"] = self.epsilon / math.sqrt(1 - group["betas"][1] ** group["steps"])
            if group["gradient_scale"] != 1.0:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter.grad.mul_(group["gradient_scale"])
        return super().step(closure)


def freeze_backbone(model: ReferringNetwork, *, tune: bool, freeze: bool = False) -> None:
    """Chooses what of the backbone trains.

    Args:
        model: the network.
        tune: train what ``Backbone.trainable`` gives for it: of the paper's the last three stages (``-conv5``).
        freeze: train no backbone at all, nor what reads aspects and objects from it.

    Raises:
        UsageError: there is nothing to tune.
    """
    if tune and len(model.backbone.trainable(True)) == len(model.backbone.trainable(False)):
        raise UsageError(
            "--tune-backbone goes with a backbone that is kept as it is otherwise: "
            f"{model.config.backbone.kind} trains anyway, unless --freeze-backbone keeps it."
        )
    for part in model.vision_parts.values():
        part.requires_grad_(not freeze)
    trained = set(model.backbone.trainable(tune))
    for parameter in model.backbone.parameters():
        parameter.requires_grad_(parameter in trained and not freeze)


def paper_optimizer(model: ReferringNetwork, *, learning_rate: float) -> TensorFlowAdam:
    """The original's optimiser: gradients of ``biases`` count twice; the bias of the LSTM is not one of them."""
    doubled = {
        module.bias
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None and not name.startswith("backbone.")
    }
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if parameter not in doubled], "gradient_scale": 1.0},
        {"params": [parameter for parameter in trained if parameter in doubled], "gradient_scale": 2.0},
    ]
    return TensorFlowAdam(groups, learning_rate=learning_rate)


def modern_optimizer(
    model: ReferringNetwork,
    *,
    learning_rate: float,
    weight_decay: float = 0.02,
    pretrained_scale: float = 0.1,
    embeddings_scale: float = 1.0,
) -> torch.optim.AdamW:
    """AdamW that decays kernels only; a pre-trained backbone learns at a tenth of the rate.

    Embeddings, biases, norms and peepholes are not decayed.

    Args:
        model: the network.
        learning_rate: of what is new.
        weight_decay: of kernels.
        pretrained_scale: factor of the rate for a pre-trained backbone.
        embeddings_scale: factor of the rate for word embeddings.
    """
    kernels: set[Tensor] = {module.weight for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)}
    for lstm in model.language.lstms:
        kernels |= {value for name, value in lstm.named_parameters() if name.startswith("weight")}
    backbone = set(model.backbone.parameters()) if model.backbone.is_pretrained else set()
    scales: dict[Tensor, float] = dict.fromkeys(backbone, pretrained_scale)
    scales[model.language.embedding.weight] = embeddings_scale
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            key = (weight_decay if parameter in kernels else 0.0, scales.get(parameter, 1.0))
            groups.setdefault(key, []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "weight_decay": decay, "learning_rate_scale": scale}
            for (decay, scale), parameters in groups.items()
        ],
        lr=learning_rate,
        betas=(0.9, 0.98),
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Sets the rate of the next step, times each group's ``learning_rate_scale``."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group.get("learning_rate_scale", 1.0)


def optimizer_tensors(optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """The optimiser's state under names such as ``exp_avg/score.weight``, on the CPU (not copied if there).

    Args:
        optimizer: of these parameters.
        parameters: by name.
    """
    names: dict[Tensor, str] = {parameter: name for name, parameter in parameters.items()}
    return {
        f"{key}/{names[parameter]}": value.detach().cpu().contiguous()
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }


def load_optimizer_tensors(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter], tensors: dict[str, Tensor], steps: int
) -> None:
    """The inverse of ``optimizer_tensors``.

    Args:
        optimizer: built in the same way as the one that was saved.
        parameters: what it holds, by name.
        tensors: what ``optimizer_tensors`` gave.
        steps: how many steps the optimiser had made.

    Raises:
        KeyError: a tensor names another parameter.
    """
    state: dict[nn.Parameter, dict[str, Tensor]] = {}
    for path, value in tensors.items():
        key, name = path.split("/", 1)
        state.setdefault(parameters[name], {})[key] = value
    order = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    dictionary = optimizer.state_dict()
    dictionary["state"] = {number: state[parameter] for number, parameter in enumerate(order) if parameter in state}
    for group in dictionary["param_groups"]:
        if "steps" in group:
            group["steps"] = steps
    optimizer.load_state_dict(dictionary)
