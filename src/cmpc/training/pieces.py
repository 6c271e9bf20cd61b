"""A step's expressions a few at a time: the loss and gradients of all together, the memory of a few."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Terms = dict[str, Tensor]


def summed_over_pieces(
    evaluate: Callable[[slice, Sequence[Tensor]], Terms],
    *,
    rows: int,
    at_once: int,
    shared: Sequence[Tensor],
    parameters: Sequence[Tensor],
) -> Terms:
    """The sum of what ``evaluate`` gives for pieces of the rows. Only one piece's graph is in memory.

    The gradients of each piece are formed as soon as its loss is, and handed on when the sum is differentiated.

    Args:
        evaluate: gives scalars, ``loss`` among them, of some rows, from copies of ``shared``. Only ``loss`` is
            differentiated.
        rows: how many there are.
        at_once: rows of a piece.
        shared: what all rows are computed from, gradients included.
        parameters: whatever else ``loss`` depends on and learns; others get no gradient.
    """
    names: list[str] = []

    def of_piece(start: int, copies: Sequence[Tensor]) -> list[Tensor]:
        terms = evaluate(slice(start, start + at_once), copies)
        names[:] = terms
        return [terms["loss"], *(value.detach() for value in terms.values())]

    starts = range(0, rows, at_once)
    loss, *values = _SumOverPieces.apply(of_piece, starts, len(shared), *shared, *parameters)
    return {**dict(zip(names, values, strict=True)), "loss": loss}


class _SumOverPieces(torch.autograd.Function):
    """Gradients are formed in ``forward``, one piece after the other, and wait for ``backward``."""

    @staticmethod
    def forward(
        ctx: Any,
        of_piece: Callable[[int, Sequence[Tensor]], list[Tensor]],
        starts: Sequence[int],
        shared_count: int,
        *inputs: Tensor,
    ) -> tuple[Tensor, ...]:
        copies = [value.detach().requires_grad_(value.requires_grad) for value in inputs[:shared_count]]
        sources = [*copies, *inputs[shared_count:]]
        learning = [source for source in sources if source.requires_grad]
        before = [source.grad for source in sources]
        for source in sources:
            source.grad = None
        sums: list[Tensor] = []
        for start in starts:
            with torch.enable_grad():
                loss, *values = of_piece(start, copies)
            with torch.autocast(loss.device.type, enabled=False):  # as outside of the forward pass
                loss.backward(inputs=learning)  # adds to what earlier pieces left, without a copy
            values = [loss.detach(), *values]
            sums = [total + value for total, value in zip(sums, values, strict=True)] if sums else values
        gradients = [source.grad for source in sources]
        for source, gradient in zip(sources, before, strict=True):
            source.grad = gradient
        ctx.gradients = gradients
        ctx.mark_non_differentiable(*sums[1:])
        return tuple(sums)

    @staticmethod
    def backward(ctx: Any, of_loss: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        gradients, ctx.gradients = ctx.gradients, None
        return None, None, None, *(None if one is None else one.mul_(of_loss) for one in gradients)
