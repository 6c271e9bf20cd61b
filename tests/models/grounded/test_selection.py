"""Things that compete for being the one that is referred to."""

from __future__ import annotations

import pytest
import torch

from cmpc.models.build import build_network
from cmpc.models.config import GroundedConfig, with_network
from cmpc.models.grounded.selection import Selection
from networks import tiny_config

GRID = (4, 8)
SURE = 12.0


def things_at(*places: tuple[float, float]) -> torch.Tensor:
    """One image in which the left half of the cells shows the first thing and the right half the other one, but for
    the lowest row, which shows none: (1, 3, 32)."""
    things = torch.zeros(1, 3, *GRID)
    for number, (across, down) in enumerate(places):
        part = things[:, :, :3, number * 4 : number * 4 + 4]
        part[:, 0] = 1
        part[:, 1], part[:, 2] = across, down
    return things.flatten(2)


@pytest.fixture
def selection() -> Selection:
    """Takes the first channel for the score, and adds to the second whether a cell shows the winner."""
    part = Selection(channels=2, middle_error=0.025)
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.zero_()
        part.answer.weight[0, 0, 1, 1] = 1
        part.listen.weight[0, 2] = 1  # what is told follows the two channels
        part.update.weight[1, 0] = 1
    return part


def select(selection: Selection, fused: torch.Tensor, things: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """For maps (E, 2, 4, 8): which cells hear that they show the winner, (E, 4, 8) bool, and the scores."""
    heard, scores = selection(fused.flatten(2).mT, things.expand(len(fused), -1, -1), GRID)
    return heard[:, :, 1].unflatten(1, GRID) > 0.5, scores


@torch.inference_mode()
def test_thing_wins_as_a_whole(selection: Selection) -> None:
    fused = torch.zeros(2, 2, *GRID)
    fused[0, 0, :3, :4], fused[0, 0, 0, 6] = 1.0, 5.0  # one cell of the right thing answers better than all of the left
    fused[1, 0, :3, 4:], fused[1, 0, 3] = 1.0, 9.0  # what shows no thing cannot win
    shown, scores = select(selection, fused, things_at((0.25, 0.4), (0.75, 0.4)))
    torch.testing.assert_close(scores, fused[:, 0])
    assert shown[0, :3, :4].all()
    assert not shown[0, :, 4:].any()
    assert shown[1, :3, 4:].all()
    assert not shown[1, :, :4].any()


@torch.inference_mode()
def test_cells_that_tell_one_middle_are_one_thing(selection: Selection) -> None:
    fused = torch.zeros(1, 2, *GRID)
    fused[0, 0, 0, 0] = 1.0
    shown, _ = select(selection, fused, things_at((0.5, 0.4), (0.505, 0.4)))
    assert shown[0, :3].all()


@torch.inference_mode()
def test_each_expression_has_its_own_things(selection: Selection) -> None:
    fused = torch.zeros(2, 2, *GRID)
    fused[:, 0, 0, 0] = 1.0
    things = torch.cat([things_at((0.25, 0.4), (0.75, 0.4)), things_at((0.5, 0.4), (0.5, 0.4))])
    shown, _ = select(selection, fused, things.flip(0))
    assert shown.flatten(1).sum(dim=1).tolist() == [24, 12]


def test_scores_by_which_things_win_are_a_map_of_their_own() -> None:
    """It has a side loss, by which it is learned."""
    torch.manual_seed(0)
    model = build_network(with_network(tiny_config(20), GroundedConfig, selection=True)).train()
    output = model(torch.randn(1, 3, 64, 64), torch.tensor([[4, 9]]), torch.zeros(1, dtype=torch.int64))
    logits = model.side_logits(output)["selection"]
    assert logits.shape == output.logits.shape
    logits.sum().backward()
    assert model.selection is not None
    assert model.selection.answer.weight.grad is not None
