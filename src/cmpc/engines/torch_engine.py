"""PyTorch: the lean network, on the CPU or a GPU."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from cmpc.data.pixels import PixelNormalisation
from cmpc.devices import expressions_at_once, images_at_once
from cmpc.engines.engine import EngineName, Features, Precision, encode_in_pieces
from cmpc.engines.lean import lean_network
from cmpc.engines.lean.convolution import winograd_pays
from cmpc.engines.lean.network import heads_of, objects_of
from cmpc.engines.lean.packing import pack_weights, packing_pays
from cmpc.engines.memory import give_back_unused_memory
from cmpc.errors import UsageError
from cmpc.models import RRN, ImageFeatures, ReferringNetwork
from cmpc.models.grid import cell_positions, image_grid


class TorchEngine:
    """Runs the lean form of a network, which gives the same numbers with fewer operations."""

    name: EngineName = "torch"

    def __init__(
        self,
        network: ReferringNetwork | Callable[[], ReferringNetwork],
        *,
        precision: Precision = "fp32",
    ) -> None:
        """
        Args:
            network: the network, on the device to compute on; or what gives it, which is asked now and again when the
                plain network is needed. That spares the memory of the weights that the lean form holds in another order
                or precision.
            precision: ``fp32``, or ``bf16`` for devices that have such numbers: half the memory, about three digits.

        Raises:
            UsageError: the precision is int8.
        """
        if precision == "int8":
            raise UsageError(
                "PyTorch computes in fp32 or bf16: export the model for int8 (cmpc export --precision int8)."
            )
        self.precision: Precision = precision
        self._dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self._network: ReferringNetwork | None = None
        self._give: Callable[[], ReferringNetwork] | None = None
        if isinstance(network, ReferringNetwork):
            self._network = network
        else:
            self._give = network
            network = network()
        self.config = network.config
        self.device = network.score.weight.device
        self._images_at_once = images_at_once(self.config, self.device)
        self._expressions_at_once = expressions_at_once(self.config, self.device)
        self._normalisation = PixelNormalisation(network.config.image).to(self.device)
        encoder, comprehension = lean_network(network, winograd=winograd_pays(self.device, precision))
        # A network that was given for this alone is let go before the weights have another order or precision, or there
        # would be two sets of them.
        del network
        if precision == "bf16":
            encoder, comprehension = (
                (copy.deepcopy(part) if self._network else part).bfloat16() for part in (encoder, comprehension)
            )
        if packing_pays(self.device, self._dtype):
            for part in (encoder, comprehension):
                pack_weights(part, image_grid(self.config.image.size))
        self._encoder, self._comprehension = encoder, comprehension
        # Maps of such a network leave holes in the memory that those of the next image do not fit into.
        self._leaves_holes = precision == "fp32" and self._images_at_once == 1
        if self._network is None:
            give_back_unused_memory()

    @property
    def network(self) -> ReferringNetwork:
        """The plain network, for explanations and for saving."""
        if self._network is None:
            assert self._give is not None
            self._network = self._give()
        return self._network

    @torch.inference_mode()
    def encode_image(self, images: NDArray[np.uint8]) -> list[Features]:
        """As ``Engine.encode_image``."""
        return encode_in_pieces(images, self._images_at_once, self._encode)

    @torch.inference_mode()
    def comprehend(
        self, features: Features, tokens: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """As ``Engine.comprehend``."""
        asked = torch.from_numpy(tokens).to(self.device)
        answers = [
            self._comprehension(features, some) for some in asked.split(self._expressions_at_once or max(1, len(asked)))
        ]
        logits, types = (torch.cat(values).float().cpu().numpy() for values in zip(*answers, strict=True))
        return logits, types

    def image_features(self, features: Features) -> ImageFeatures:
        """The features of an image as the plain network's own; a CMPC network's only.

        Raises:
            ValueError: the network is another one, whose lean form keeps other features.
        """
        if isinstance(self.network, RRN):
            raise ValueError("the lean recurrent refinement network keeps other features than the plain one")
        grid = image_grid(self.config.image.size)
        maps: dict[str, torch.Tensor] = {}
        for level in ("c3", "c4", "c5"):
            visual = torch.stack(heads_of(features, level), dim=1).float()  # (1, heads, S, C)
            visual = visual.mT.unflatten(3, grid)  # (1, heads, C, h, w)
            maps[level] = visual if self.config.entity_perception else visual[:, 0]
        if "aspects" in features:
            maps["aspects"] = features["aspects"].float().unflatten(3, grid)  # (1, aspects, classes, h, w)
        if "things" in features:
            maps["things"] = features["things"].float()
        detail = features.get("detail")
        return ImageFeatures(
            maps,
            cell_positions(*grid, device=self.device),
            None if detail is None else detail.float(),
            (self.config.image.size, self.config.image.size),
            objects_of(features),
        )

    def _encode(self, images: NDArray[np.uint8]) -> Features:
        if self._leaves_holes:
            give_back_unused_memory()
        pixels = self._normalisation(torch.from_numpy(images).to(self.device)).to(self._dtype)
        features: Features = self._encoder(pixels.contiguous(memory_format=torch.channels_last))
        return features
