"""Objects before there are words: which cells show the same one, where it stands, how objects lie to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.models.grounded.aspects import on_finest_grid

OBJECTS = 16
"""Most objects of an image; a cell of any other one is taken for background."""
VALUES = 6
"""What is said of each cell: presence, middle in the image (2), place on the ground (2), radius on the ground."""
HIDDEN = 64
VALUE_SCALE = (1.0, 6.0, 6.0, 2.0, 2.0, 0.2)
"""Sizes of these values: logit; cells; units of the ground, of which a view is about 7 wide."""
USUAL_GRID = 32
"""Cells along an axis of a small picture: how large the cells are beside that is told to the layers."""
GROUND_RIGHT, WIDENING, GROUND_AWAY, RADIUS = 3.8, 0.3, 6.0, 0.6
"""Where the edges of the image lie on the ground, to the right of its middle and more for what is farther away, and the
radius of objects, as long as nothing is learned."""
TAKEN, TAKEN_BY_SIZE = 0.6, 0.3
"""How near to its middle an object leaves nothing for another one to begin from, in errors of middles, and how much
that grows with the side of a square as large as what is seen of it, in image widths. Cells at an edge tell middles that
lie between objects, farther off the larger the objects are; small ones that are far away stand close together."""
SURENESS_SCALE = 4.0
"""Divides the logits of presence before the surest cell is chosen."""
SMALLEST, SMALLEST_WIDTH = 0.0013, 0.0003
"""Share of the image that an object covers at least, and how softly that begins."""
GAPS = (-0.3, 0.2, 0.65, 1.2, 2.0, 3.2, 5.0)
"""Where one class of gaps between objects ends and the next begins, in units of the ground."""
GAP_WIDTH, SECTOR_WIDTH, ORDER_WIDTH = 0.12, 0.35, (0.01, 0.15)
"""How softly classes of gaps, of directions, and the orders across the image and into the picture end."""
DIRECTIONS = 4
"""To the left, to the right, in front, behind."""
LIES = DIRECTIONS + len(GAPS) + 3
"""Ways of one object to lie to another: directions, on or under it, classes of gaps, and to be the same."""


@dataclass(frozen=True)
class ObjectFeatures:
    """The objects of B images of S cells, K an image, before an expression is known."""

    belonging: Tensor
    """How much each cell shows each object, (B, K, S); at most 1 over the objects."""
    existence: Tensor
    """Whether there is such an object, from 0 to 1: (B, K)."""
    lying: Tensor
    """How the second object lies to the first, (B, ways, K, K)."""
    before: Tensor
    """Whether the first object comes before the second from the left, right, front and back: (B, 4, K, K)."""
    distance: Tensor
    """Distance on the ground, (B, K, K)."""


class ObjectHead(nn.Module):
    """Reads of each cell what object it shows, from all stages of the backbone, on the grid of the finest.

    As Panoptic-DeepLab and others do, each cell tells where the middle of its object is; cells that tell the same
    middle show one object. Beside it each tells where the object stands on the ground. Like the aspects it can be
    taught before there are words. Untaught each cell is an object of its own.
    """

    def __init__(self, channels: Mapping[str, int]) -> None:
        """
        Args:
            channels: of each stage that is read, by its name.
        """
        super().__init__()
        self.stages = nn.ModuleDict({name: nn.Conv2d(count, HIDDEN, 1) for name, count in channels.items()})
        self.place = nn.Conv2d(3, HIDDEN, 1)
        self.near = nn.Conv2d(HIDDEN, HIDDEN, 3, padding=1)
        self.whole = nn.Linear(HIDDEN, HIDDEN)
        self.hidden = nn.Conv2d(HIDDEN, HIDDEN, 3, padding=1)
        self.readings = nn.Conv2d(HIDDEN, VALUES, 1)  # layers have the names of checkpoints

    def forward(self, stages: Mapping[str, Tensor]) -> Tensor:
        """What is said of each cell of the finest grid, in the order of ``VALUES``: (B, C, h', w') -> (B, 6, h, w).

        The middle is in image widths and heights from the upper left corner, the place on the ground in units to the
        right and away from the viewer.
        """
        cells = on_finest_grid([layer(stages[name]) for name, layer in self.stages.items()])
        height, width = cells.shape[2:]
        down, across = torch.meshgrid(
            (torch.arange(height, device=cells.device) + 0.5) / height,
            (torch.arange(width, device=cells.device) + 0.5) / width,
            indexing="ij",
        )
        right, away = across * 2 - 1, 1 - down * 2
        coarseness = torch.full_like(right, USUAL_GRID / width)
        place = torch.stack([right, away, coarseness]).to(cells.dtype)
        hidden = F.relu(self.near(F.relu(cells + self.place(place[None]))))
        whole = self.whole(hidden.mean(dim=(2, 3)))[:, :, None, None]  # of the image: how it is looked at
        hidden = F.relu(self.hidden(hidden) + whole)
        cell = torch.tensor([1, 1 / width, 1 / height, 1, 1, 1], device=cells.device)
        scale = (torch.tensor(VALUE_SCALE, device=cells.device) * cell)[:, None, None]
        away = GROUND_AWAY * away + 1
        untaught = [torch.zeros_like(down), across, down, torch.zeros_like(down), away, torch.full_like(down, RADIUS)]
        read = self.readings(hidden).float() * scale + torch.stack(untaught)
        presence, across, down, right, away, radius = read.unbind(dim=1)
        right = right + (across * 2 - 1) * (GROUND_RIGHT + WIDENING * away)
        return torch.stack([presence, across, down, right, away, radius], dim=1)


def find_objects(of_cells: Tensor, grid: tuple[int, int], *, middle_error: float) -> ObjectFeatures:
    """Gathers cells into objects, the surest cell first, and relates the objects.

    Args:
        of_cells: what the head says of each cell, (B, 6, h, w).
        grid: rows and columns of the cells of which it is told what object they show; S of them.
        middle_error: as in ``GroundedConfig``.
    """
    presence, told = of_cells.flatten(2).split([1, VALUES - 1], dim=1)
    shown = presence.sigmoid()  # (B, 1, S), whether a cell shows an object
    middles = told[:, :2]
    summed = F.pad(told, (0, 0, 0, 1), value=1.0).mT  # (B, S, 6), what is told and a count
    # Which cell is the surest is told from what does not round to 1, or rounding errors would choose among many.
    sureness = (presence / SURENESS_SCALE).sigmoid().detach()
    free = torch.ones_like(shown)  # what of each cell no object has taken yet
    kernels, surest, covered, objects = [], [], [], []
    for _ in range(OBJECTS):
        left = shown * free
        seed = (sureness * free.detach()).argmax(dim=2, keepdim=True)  # (B, 1, 1)
        surest.append(left.gather(2, seed)[:, 0])
        mean = told.gather(2, seed.expand(-1, VALUES - 1, -1))  # (B, 5, 1)
        for _ in range(2):
            apart = (middles - mean[:, :2]).square().sum(dim=1, keepdim=True)
            kernel = (apart / (-2 * middle_error**2)).exp()  # (B, 1, S)
            sums = ((kernel * left) @ summed).mT  # (B, 6, 1)
            mean = sums[:, :-1] / sums[:, -1:].clamp_min(1e-6)
        kernels.append(kernel)
        share = sums[:, -1:] / middles.shape[2]  # of the image, (B, 1, 1)
        covered.append(share[:, 0])
        objects.append(mean)
        apart = (middles - mean[:, :2]).square().sum(dim=1, keepdim=True)
        taken = TAKEN * middle_error + TAKEN_BY_SIZE * share.clamp_min(1e-6).sqrt()
        free = free * (1 - (-(apart / (2 * taken.square())).square()).exp())
    sure, large = torch.cat(surest, dim=1), torch.cat(covered, dim=1)
    exists = sure * sure * (3 - 2 * sure)  # (B, K); what little is left over is no object
    exists = exists * torch.sigmoid((large - SMALLEST) / SMALLEST_WIDTH)
    among = torch.cat(kernels, dim=1) * exists[:, :, None]  # (B, K, S)
    belonging = (among / among.sum(dim=1, keepdim=True).clamp_min(1.0) * shown).unflatten(2, of_cells.shape[2:])
    if grid != of_cells.shape[2:]:
        belonging = F.interpolate(belonging, size=grid, mode="bilinear", align_corners=False, antialias=False)
    belonging = belonging.flatten(2)
    return _related(belonging, exists, torch.cat(objects, dim=2))


def things_on_grid(of_cells: Tensor, grid: tuple[int, int]) -> Tensor:
    """Whether each cell shows a thing, and where it tells that the middle of that is: (B, 6, h, w) -> (B, 3, S)."""
    things = torch.cat([of_cells[:, :1].sigmoid(), of_cells[:, 1:3]], dim=1)
    if grid != of_cells.shape[2:]:
        things = F.interpolate(things, size=grid, mode="bilinear", align_corners=False)
    return things.flatten(2)


def _related(belonging: Tensor, exists: Tensor, objects: Tensor) -> ObjectFeatures:
    """How K objects lie to each other, from their middles, places and radii, (B, 5, K)."""
    across, down, right, away, radius = objects.unbind(dim=1)
    count = len(exists[0])

    def step(values: Tensor) -> Tensor:
        return values[:, None, :] - values[:, :, None]  # (B, from, to)

    other = 1 - torch.eye(count, device=exists.device)
    steps = torch.stack([step(right), step(away)])
    distance = (steps.square().sum(dim=0) + 1e-4).sqrt()
    gap = distance - radius[:, :, None] - radius[:, None, :]
    sectors = torch.stack([-steps[0], steps[0], -steps[1], steps[1]], dim=1).div(SECTOR_WIDTH).softmax(dim=1)
    ends = [torch.sigmoid((gap - edge) / GAP_WIDTH) for edge in GAPS]
    farther = torch.stack([torch.ones_like(gap), *ends, torch.zeros_like(gap)], dim=1)
    gaps = farther[:, :-1] - farther[:, 1:]  # (B, classes, K, K)
    above = torch.sigmoid(-step(down) / (2 * ORDER_WIDTH[0]))[:, None]
    touching = gaps[:, :1]
    lying = torch.cat([sectors, touching * above, touching * (1 - above), gaps[:, 1:]], dim=1) * other
    lying = torch.cat([lying, (1 - other).expand_as(gap)[:, None]], dim=1)
    orders = [
        torch.sigmoid(sign * step(values) / width)
        for values, width in zip((across, away), ORDER_WIDTH, strict=True)
        for sign in (1, -1)
    ]
    return ObjectFeatures(
        belonging,
        exists,
        lying * exists[:, None, None, :],
        torch.stack(orders, dim=1) * other * exists[:, None, :, None],
        distance,
    )
