"""Optimisers and learning rates."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from cmpc.models.config import preset
from cmpc.models.paper.cmpc import CMPC
from cmpc.training.optimizers import (
    TensorFlowAdam,
    freeze_backbone,
    load_optimizer_tensors,
    modern_optimizer,
    optimizer_tensors,
    paper_optimizer,
    set_learning_rate,
)
from cmpc.training.schedule import WarmupCosine


def test_adam_is_that_of_tensorflow() -> None:
    """``lr * sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + epsilon)``, to be told where gradients are tiny."""
    random = np.random.default_rng(0)
    gradients = random.normal(size=(6, 5)) * 10.0 ** np.arange(-10, 0, 2)
    weights = torch.nn.Parameter(torch.zeros(5, dtype=torch.float64))
    optimizer = TensorFlowAdam([weights], learning_rate=0.1)
    expected, m, v = np.zeros(5), np.zeros(5), np.zeros(5)
    for step, gradient in enumerate(gradients, start=1):
        weights.grad = torch.from_numpy(gradient.copy())
        optimizer.step()
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        expected -= 0.1 * math.sqrt(1 - 0.999**step) / (1 - 0.9**step) * m / (np.sqrt(v) + 1e-8)
    np.testing.assert_allclose(weights.detach().numpy(), expected, rtol=1e-9)


def test_paper_doubles_the_gradients_of_biases(tiny_network: None) -> None:
    model = CMPC(preset("small", text={"vocabulary_size": 9}))
    optimizer = paper_optimizer(model, learning_rate=0.1)
    names = {parameter: name for name, parameter in model.named_parameters()}
    doubled = {names[p] for group in optimizer.param_groups if group["gradient_scale"] == 2 for p in group["params"]}
    assert "score.bias" in doubled
    assert all(name.endswith(".bias") for name in doubled)
    assert not {name for name in doubled if name.startswith(("backbone.", "language.lstm", "conv_lstm"))}


def test_backbone_of_the_paper_is_frozen_unless_tuned() -> None:
    with torch.device("meta"):
        model = CMPC(preset("paper"))
    freeze_backbone(model, tune=False)
    assert not any(parameter.requires_grad for parameter in model.backbone.parameters())
    freeze_backbone(model, tune=True)
    trained = [name for name, parameter in model.backbone.named_parameters() if parameter.requires_grad]
    assert len(trained) == 93  # the original's res3, res4, res5
    assert {name.split(".")[0] for name in trained} == {"layer2", "layer3", "layer4"}


def test_modern_optimizer_decays_kernels_only(tiny_network: None) -> None:
    model = CMPC(preset("small", text={"vocabulary_size": 9}))
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = modern_optimizer(model, learning_rate=1e-3).param_groups
    decayed = {names[p] for group in groups if group["weight_decay"] for p in group["params"]}
    kept = {names[p] for group in groups if not group["weight_decay"] for p in group["params"]}
    assert decayed | kept == {name for name, p in model.named_parameters() if p.requires_grad}
    assert all(name.endswith((".weight", "weight_ih_l0", "weight_hh_l0")) for name in decayed)
    assert "language.embedding.weight" in kept
    assert "backbone.bn1.weight" in kept


@pytest.mark.parametrize("build", [paper_optimizer, modern_optimizer])
def test_optimizer_continues_from_its_tensors(build: type, tiny_network: None) -> None:
    def steps(optimizer: torch.optim.Optimizer, model: CMPC, seeds: range) -> None:
        for seed in seeds:
            random = torch.Generator().manual_seed(seed)
            for parameter in model.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=random)
            optimizer.step()

    torch.manual_seed(0)
    one = CMPC(preset("small", text={"vocabulary_size": 9}))
    optimizer = build(one, learning_rate=1e-3)
    steps(optimizer, one, range(3))
    two = CMPC(preset("small", text={"vocabulary_size": 9}))
    two.load_state_dict(one.state_dict())
    again = build(two, learning_rate=1e-3)
    tensors = {
        name: value.clone() for name, value in optimizer_tensors(optimizer, dict(one.named_parameters())).items()
    }
    load_optimizer_tensors(again, dict(two.named_parameters()), tensors, steps=3)
    steps(optimizer, one, range(3, 6))
    steps(again, two, range(3, 6))
    for name, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[name]), name


def test_groups_scale_the_learning_rate() -> None:
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": weights[:1]}, {"params": weights[1:], "learning_rate_scale": 0.1}], lr=1.0)
    set_learning_rate(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.05]


def test_warmup_rises_and_cosine_falls() -> None:
    rates = [WarmupCosine(1.0, steps=100, warmup=10)(step) for step in range(101)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[10] == 1.0
    assert all(before > after for before, after in itertools.pairwise(rates[10:]))
    assert rates[100] == pytest.approx(0.0)
