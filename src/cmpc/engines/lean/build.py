"""From a network to its lean form."""

from __future__ import annotations

import torch
from torch import nn

from cmpc.engines.lean.network import Comprehension, ImageEncoder
from cmpc.engines.lean.rrn import RRNComprehension, RRNImageEncoder
from cmpc.models import CMPC, RRN, ReferringNetwork


@torch.no_grad()
def lean_network(network: ReferringNetwork, *, winograd: bool) -> tuple[nn.Module, nn.Module]:
    """An image encoder and a comprehension that give the network's numbers with fewer operations.

    Args:
        network: stays as it is; weights that need no change are shared with it.
        winograd: whether wide 3x3 convolutions use Winograd's method; for runtimes that do not bring their own.

    Returns:
        Two modules in evaluation mode: images -> features by name, and features of one image with word ids -> logits
        and word types. Images must be squares of the configuration's size.
    """
    pair: tuple[nn.Module, nn.Module]
    if isinstance(network, RRN):
        pair = RRNImageEncoder(network, winograd=winograd), RRNComprehension(network)
    elif isinstance(network, CMPC):
        pair = ImageEncoder(network, winograd=winograd), Comprehension(network)
    else:
        raise ValueError(f"there is no lean form of {type(network).__name__}")
    return pair[0].eval(), pair[1].eval()
