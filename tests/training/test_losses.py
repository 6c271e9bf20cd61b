"""What training minimises."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from cmpc.conventions import LEVELS
from cmpc.data.dataset import NO_TYPE, Batch
from cmpc.models.build import build_network
from cmpc.models.config import GroundedConfig, preset, with_network
from cmpc.models.paper.cmpc import CMPC
from cmpc.training.losses import SIDE_STRIDE, ModernLoss, PaperLoss, l2_kernels, l2_regularisation
from cmpc.training.objective import Objective, overlap
from networks import tiny_config
from training.scenes import tiny_preset


@pytest.fixture
def model(tiny_network: None) -> CMPC:
    torch.manual_seed(0)
    return CMPC(preset("small", text={"vocabulary_size": 9})).eval()


@pytest.fixture
def batch() -> Batch:
    random = torch.Generator().manual_seed(1)
    return Batch(
        squares=torch.randint(0, 256, (2, 48, 48, 3), generator=random, dtype=torch.uint8),
        tokens=torch.tensor([[4, 5, 0], [6, 7, 8], [5, 0, 0]]),
        image_index=torch.tensor([0, 0, 1]),
        masks=torch.rand(3, 48, 48, generator=random) > 0.7,
        word_types=torch.tensor([[1, 0, NO_TYPE], [NO_TYPE] * 3, [2, NO_TYPE, NO_TYPE]]),
        step_expressions=3,
    )


def part_of(batch: Batch, chosen: list[int]) -> Batch:
    """Some of the expressions, as another device's share of the same step."""
    assert batch.word_types is not None
    return batch._replace(
        tokens=batch.tokens[chosen],
        image_index=batch.image_index[chosen],
        masks=batch.masks[chosen],
        word_types=batch.word_types[chosen],
    )


@pytest.mark.parametrize(("loss", "weight_decay"), [(PaperLoss(), 5e-4), (ModernLoss(), 0.0)], ids=["paper", "modern"])
def test_shares_of_devices_add_up(model: CMPC, batch: Batch, loss: PaperLoss | ModernLoss, weight_decay: float) -> None:
    whole = Objective(model, loss, weight_decay=weight_decay, device_count=1).eval()(batch)
    share = Objective(model, loss, weight_decay=weight_decay, device_count=2).eval()
    parts = [share(part_of(batch, chosen)) for chosen in ([0], [1, 2])]
    for name, value in whole.items():
        assert float(sum(part[name].detach() for part in parts)) == pytest.approx(float(value.detach()), rel=1e-5), name


def test_paper_loss_sums_pixels_and_averages_expressions(model: CMPC, batch: Batch) -> None:
    objective = Objective(model, PaperLoss(), weight_decay=0.0, device_count=1).eval()
    terms = objective(batch)
    logits, targets = objective.predict(batch).logits, batch.masks.float()
    by_hand = (logits.clamp_min(0) - logits * targets + torch.log1p(torch.exp(-logits.abs()))).sum() / 3
    assert float(terms["final"].detach()) == pytest.approx(float(by_hand.detach()), rel=1e-5)
    expected = 0.7 * terms["final"] + 0.1 * (terms["c3"] + terms["c4"] + terms["c5"])
    assert float(terms["loss"].detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
    assert float(terms["final"].detach()) == pytest.approx(48 * 48 * math.log(2), rel=0.5)


def test_perfect_masks_have_next_to_no_modern_loss(model: CMPC, batch: Batch) -> None:
    objective = Objective(model, ModernLoss(), weight_decay=0.0, device_count=1).eval()
    output = objective.predict(batch)
    coarse = batch.masks[:, ::SIDE_STRIDE, ::SIDE_STRIDE]  # masks whose edges are those of the cells that are judged
    masks = coarse.repeat_interleave(SIDE_STRIDE, dim=1).repeat_interleave(SIDE_STRIDE, dim=2)
    sure, side = (torch.where(shown, 20.0, -20.0) for shown in (masks, coarse))
    model.side_logits = lambda _, stride: dict.fromkeys(LEVELS, side)  # type: ignore[method-assign]
    terms = ModernLoss()(dataclasses.replace(output, logits=sure), batch._replace(masks=masks, word_types=None), model)
    assert float(terms["loss"].detach()) < 1e-3


def test_word_types_are_learned_where_given(model: CMPC, batch: Batch) -> None:
    objective = Objective(model, ModernLoss(), weight_decay=0.0, device_count=1).eval()
    given = objective(batch)
    assert float(given["word_types"]) > 0
    assert float(objective(batch._replace(word_types=None))["word_types"]) == 0
    probabilities = objective.predict(batch).word_types
    by_hand = -(probabilities[0, 0, 1].log() + probabilities[0, 1, 0].log()) / 2 - probabilities[2, 0, 2].log()
    assert float(given["word_types"]) == pytest.approx(float(by_hand.detach()) / 3, rel=1e-4)


@pytest.mark.parametrize("second_look", [False, True])
def test_attention_is_led_to_what_words_speak_about(batch: Batch, tiny_network: None, second_look: bool) -> None:
    torch.manual_seed(0)
    model = build_network(
        with_network(preset("small", text={"vocabulary_size": 9}), GroundedConfig, second_look=second_look)
    ).eval()
    masks = torch.zeros(3, 6, 6)
    masks[1, 2:4, 2:4], masks[2, 0, 0] = 1.0, 0.5
    batch = batch._replace(grounding_masks=masks, grounding_index=torch.tensor([[0, 1, 0], [2, 2, 1], [0, 0, 0]]))
    objective = Objective(model, ModernLoss(grounding_weight=0.2), weight_decay=0.0, device_count=1).eval()
    terms, output = objective(batch), objective.predict(batch)
    by_hand = 0.0
    looks = [maps.reasoned for maps in output.levels.values()]
    for look in (*looks, model.last_reasoned(output)) if second_look else looks:
        assert look is not None
        attention = look.word_to_cells.mT.unflatten(2, (6, 6))  # (E, N, 6, 6)
        on_block, on_corner = attention[..., 2:4, 2:4].log().mean(dim=(2, 3)), attention[..., 0, 0].log()
        by_hand -= (on_block[0, 1] + (on_corner[1, :2].sum() + on_block[1, 2]) / 3) / 3
    assert float(terms["grounding"].detach()) == pytest.approx(float(by_hand.detach()), rel=1e-4)
    without = objective(batch._replace(grounding_masks=None, grounding_index=None))
    assert float(without["grounding"]) == 0
    difference = terms["loss"] - without["loss"]
    assert float(difference.detach()) == pytest.approx(0.2 * float(terms["grounding"].detach()), rel=1e-4)


def test_regularisation_takes_kernels_only(model: CMPC) -> None:
    kernels = l2_kernels(model)
    assert all(kernel.ndim in (2, 4) for kernel in kernels)
    names = {name for name, parameter in model.named_parameters() if any(parameter is kernel for kernel in kernels)}
    assert "score.weight" in names
    assert "conv_lstm.cell.kernel.weight" not in names
    assert not {name for name in names if "embedding" in name or "lstm" in name or "norm" in name}
    assert float(l2_regularisation([torch.tensor([3.0]), torch.tensor([4.0])])) == 12.5


def test_paper_preset_regularises_the_kernels_of_the_original() -> None:
    """93 kernels there; the five heads of each level's two MUTAN branches are one kernel each here: 24 fewer."""
    with torch.device("meta"):
        model = CMPC(preset("paper"))
    model.backbone.requires_grad_(False)
    assert len(l2_kernels(model)) == 93 - 3 * 2 * 4


def test_overlap_counts_pixels() -> None:
    logits = torch.tensor([[[0.0, 1.0], [-1.0, -1.0]]])
    masks = torch.tensor([[[True, False], [True, False]]])
    assert [int(value) for value in overlap(logits, masks)] == [1, 3]


def test_tiny_preset_is_what_tests_train() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in CMPC(tiny_preset()).parameters()) < 2e6


@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.parametrize(
    ("loss", "weight_decay"), [(PaperLoss(), 5e-4), (ModernLoss(grounding_weight=0.2), 0.0)], ids=["paper", "modern"]
)
def test_expressions_in_pieces_give_the_same_loss_and_gradients(
    batch: Batch, loss: PaperLoss | ModernLoss, weight_decay: float, at_once: int
) -> None:
    torch.manual_seed(0)
    modern = weight_decay == 0.0
    model = build_network(tiny_config(9, "grounded" if modern else "small"))
    loss = dataclasses.replace(loss, sides=model.side_names)
    batch = batch._replace(
        grounding_masks=torch.rand(3, 6, 6), grounding_index=torch.tensor([[1, 2, 0], [0, 0, 0], [2, 0, 0]])
    )
    results = []
    for expressions_at_once in (None, at_once):
        objective = Objective(
            model, loss, weight_decay=weight_decay, device_count=1, expressions_at_once=expressions_at_once
        ).train()
        for _ in range(2):  # gradients of several steps add up
            terms = objective(batch)
            (2 * terms["loss"]).backward()
        assert set(terms) == set(objective.terms)
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        model.zero_grad()
        results.append(({name: float(value.detach()) for name, value in terms.items()}, gradients))
    (whole, of_whole), (pieces, of_pieces) = results
    assert pieces == pytest.approx(whole, rel=1e-4, abs=1e-6)
    largest = max(float(gradient.abs().max()) for gradient in of_whole.values() if gradient is not None)
    for name, gradient in of_whole.items():
        other = of_pieces[name]
        assert (gradient is None) == (other is None), name
        if gradient is not None and other is not None:
            torch.testing.assert_close(
                other, gradient, rtol=1e-3, atol=1e-5 * largest, msg=lambda text, name=name: f"{name}: {text}"
            )


def test_pieces_are_for_training_alone(model: CMPC, batch: Batch) -> None:
    objective = Objective(model, ModernLoss(), weight_decay=0.0, device_count=1, expressions_at_once=1).eval()
    with torch.no_grad():
        terms = objective(batch)
    assert not terms["loss"].requires_grad
