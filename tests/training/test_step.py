"""What a device computes in a step."""

from __future__ import annotations

import pytest
import torch

from cmpc.data.dataset import Batch
from cmpc.models.build import build_network
from cmpc.training.losses import ModernLoss, PaperLoss
from cmpc.training.objective import Objective
from cmpc.training.optimizers import modern_optimizer, paper_optimizer
from cmpc.training.progress import Meters
from networks import tiny_config


@pytest.mark.parametrize(("recipe", "preset"), [("modern", "small"), ("modern", "grounded"), ("paper", "small")])
def test_step_never_waits_for_the_device(recipe: str, preset: str) -> None:
    """Meta tensors have a shape and no content: a step that asked for a number of theirs would fail."""
    modern, grounded = recipe == "modern", preset == "grounded"
    with torch.device("meta"):
        model = build_network(tiny_config(30, preset))
        loss = ModernLoss(grounding_weight=0.2 if grounded else 0.0) if modern else PaperLoss()
        objective = Objective(model, loss, weight_decay=0.0 if modern else 5e-4, device_count=1)
        batch = Batch(
            squares=torch.empty(2, 64, 64, 3, dtype=torch.uint8),
            tokens=torch.empty(5, 4, dtype=torch.int64),
            image_index=torch.empty(5, dtype=torch.int64),
            masks=torch.empty(5, 64, 64, dtype=torch.bool),
            word_types=torch.empty(5, 4, dtype=torch.int64),
            step_expressions=5,
            grounding_masks=torch.empty(7, 8, 8) if grounded else None,
            grounding_index=torch.empty(5, 4, dtype=torch.int64) if grounded else None,
        )
    optimizer = (modern_optimizer if modern else paper_optimizer)(model, learning_rate=1e-3)
    meters = Meters(objective.terms, torch.device("meta"))
    for step in (1, 2):
        terms = objective(batch)
        terms["loss"].backward()
        torch.nn.utils.clip_grad_norm_(objective.parameters(), 5.0, error_if_nonfinite=False)
        optimizer.step()
        optimizer.zero_grad()
        meters.add(step, terms)
