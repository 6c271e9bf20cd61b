"""Cells that are gathered into objects, and how objects lie to each other."""

from __future__ import annotations

import math

import torch

from cmpc.models.grounded.objects import DIRECTIONS, GAPS, LIES, OBJECTS, ObjectFeatures, ObjectHead, find_objects

GRID = 12
BLOCKS = {
    "left": (slice(2, 5), slice(1, 4), (0.2, 0.3, -2.0, 2.0, 0.5)),
    "right": (slice(6, 10), slice(8, 11), (0.8, 0.65, 2.0, -1.0, 0.5)),
    "under": (slice(8, 10), slice(4, 6), (0.42, 0.75, -0.5, -2.0, 0.6)),
    "on": (slice(6, 8), slice(4, 6), (0.42, 0.58, -0.5, -2.0, 0.3)),
}
"""Rows, columns, and what their cells tell: middle, place on the ground, radius."""


def readings_of(noise: float = 0.0) -> torch.Tensor:
    readings = torch.zeros(1, 6, GRID, GRID)
    readings[:, 0] = -8
    generator = torch.Generator().manual_seed(0)
    for rows, columns, told in BLOCKS.values():
        cells = readings[:, :, rows, columns]
        cells[:, 0] = 8
        cells[:, 1:] = torch.tensor(told)[:, None, None]
        cells[:, 1:3] += noise * torch.randn(cells[:, 1:3].shape, generator=generator)
        cells[:, 0] += torch.rand(cells[:, 0].shape, generator=generator)
    return readings


def number_of(name: str, objects: ObjectFeatures) -> int:
    rows, columns, _ = BLOCKS[name]
    maps = objects.belonging.unflatten(2, (GRID, GRID))[0]
    return int(maps[:, rows, columns].mean(dim=(1, 2)).argmax())


def test_cells_of_one_middle_are_one_object() -> None:
    objects = find_objects(readings_of(noise=0.005), (GRID, GRID), middle_error=0.025)
    maps = objects.belonging.unflatten(2, (GRID, GRID))[0]
    numbers = {name: number_of(name, objects) for name in BLOCKS}
    assert len(set(numbers.values())) == len(BLOCKS)
    for name, (rows, columns, _) in BLOCKS.items():
        own = maps[numbers[name]].clone()
        assert own[rows, columns].min() > 0.8
        own[rows, columns] = 0
        assert own.max() < 0.05
        assert objects.existence[0, numbers[name]] > 0.95
    assert objects.existence.shape == (1, OBJECTS)
    assert objects.existence.sum() < len(BLOCKS) + 0.3  # nothing else exists
    assert objects.belonging.sum(dim=1).max() <= 1 + 1e-5


def test_cells_at_an_edge_and_specks_are_no_objects() -> None:
    readings = readings_of()
    readings[0, :, 6, 5] = torch.tensor([8, 0.42, 0.62, -0.5, -2.0, 0.4])  # of the one on top, towards the one under it
    readings[0, :, 0, 11] = torch.tensor([-2.0, 0.95, 0.05, 3.0, 5.0, 0.5])
    objects = find_objects(readings, (GRID, GRID), middle_error=0.025)
    assert objects.existence.sum() < len(BLOCKS) + 0.05
    torch.testing.assert_close(
        objects.existence.sort().values[0, -len(BLOCKS) :], torch.ones(len(BLOCKS)), atol=0.01, rtol=0
    )


def test_how_objects_lie_to_each_other() -> None:
    objects = find_objects(readings_of(), (GRID, GRID), middle_error=0.025)
    number = {name: number_of(name, objects) for name in BLOCKS}

    def lies(first: str, second: str) -> torch.Tensor:
        return objects.lying[0, :, number[first], number[second]]

    assert lies("right", "left")[: DIRECTIONS + 2].argmax() == 0
    assert lies("left", "right")[: DIRECTIONS + 2].argmax() == 1
    assert lies("under", "right")[:DIRECTIONS].argmax() == 1
    assert lies("right", "under")[:DIRECTIONS].argmax() == 0
    assert lies("under", "on")[DIRECTIONS] > 0.9
    assert lies("on", "under")[DIRECTIONS + 1] > 0.9
    gap = math.hypot(2.5, 1.0) - 0.6 - 0.5
    assert lies("under", "right")[DIRECTIONS + 2 :].argmax() == sum(gap > edge for edge in GAPS) - 1
    assert lies("on", "on")[LIES - 1] > 0.95
    assert lies("on", "on")[: LIES - 1].abs().max() == 0


def test_the_order_of_objects() -> None:
    objects = find_objects(readings_of(), (GRID, GRID), middle_error=0.025)
    number = {name: number_of(name, objects) for name in BLOCKS}
    before = (objects.before * objects.existence[:, None, :, None]).sum(dim=2)[0]  # (4, K), how many come before
    expected = {"left": (0, 3, 3, 0), "right": (3, 0, 2, 1)}
    for name, counts in expected.items():
        torch.testing.assert_close(before[:, number[name]], torch.tensor(counts).float(), atol=0.25, rtol=0)


def test_what_cells_of_a_coarser_grid_show() -> None:
    fine, coarse = (
        find_objects(readings_of(), (GRID, GRID), middle_error=0.025),
        find_objects(readings_of(), (GRID // 2, GRID // 2), middle_error=0.025),
    )
    maps = fine.belonging.unflatten(2, (GRID, GRID))
    means = torch.nn.functional.avg_pool2d(maps, 2).flatten(2)
    torch.testing.assert_close(coarse.belonging, means)
    torch.testing.assert_close(coarse.lying, fine.lying)


@torch.inference_mode()
def test_untaught_a_cell_is_its_own_object() -> None:
    torch.manual_seed(0)
    reader = ObjectHead({"c3": 5, "c4": 7})
    for parameter in reader.parameters():
        torch.nn.init.zeros_(parameter)
    readings = reader({"c3": torch.randn(2, 5, 8, 6), "c4": torch.randn(2, 7, 4, 3)})
    assert readings.shape == (2, 6, 8, 6)
    assert readings[0, 1, 0, 0] == 0.5 / 6
    assert readings[0, 2, 7, 0] == 7.5 / 8
    assert readings[0, 3, 0, 0] < 0 < readings[0, 3, 0, 5]  # right on the ground as in the image
    assert readings[0, 4, 7, 0] < readings[0, 4, 0, 0]  # higher up is farther away
