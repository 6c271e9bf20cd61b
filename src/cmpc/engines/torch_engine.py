"""PyTorch: the lean network, on the CPU or a GPU."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from cmpc.data.pixels import PixelNormalisation
from cmpc.devices import expressions_at_once, images_at_once
from cmpc.engines.cuda_graphs import Record, RecordedFunction, Tensors, record_cuda_graph, recorded_size
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
        record: Record | Literal["auto"] | None = "auto",
    ) -> None:
        """
        Args:
            network: the network, on the device to compute on; or what gives it, which is asked now and again when the
                plain network is needed. That spares the memory of the weights that the lean form holds in another order
                or precision.
            precision: ``fp32``, or ``bf16`` for devices that have such numbers: half the memory, about three digits.
            record: how the kernels of small calls are recorded, to be started together; None: not at all; auto: as CUDA
                graphs on a GPU of NVIDIA, not at all elsewhere.

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
        if record == "auto":
            record = record_cuda_graph if self.device.type == "cuda" else None
        self._encode_small = record and RecordedFunction(self._encode, record)
        self._comprehend_small = record and RecordedFunction(self._comprehend, record)

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
        return encode_in_pieces(images, self._images_at_once, self._encode_piece)

    @torch.inference_mode()
    def comprehend(
        self, features: Features, tokens: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """As ``Engine.comprehend``."""
        asked = torch.from_numpy(tokens).to(self.device)
        pieces = asked.split(self._expressions_at_once or max(1, len(asked)))
        answers = [self._comprehend_piece(features, some) for some in pieces]
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

    def _encode_piece(self, images: NDArray[np.uint8]) -> Features:
        if self._leaves_holes:
            give_back_unused_memory()
        inputs = {"images": torch.from_numpy(images).to(self.device)}
        # Other numbers of images are not filled up: what that adds costs more than starting kernels does.
        if self._encode_small is not None and len(images) == recorded_size(len(images)):
            return self._encode_small(inputs)
        return self._encode(inputs)

    def _comprehend_piece(self, features: Features, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, (E, S, S), and word types, (E, N, 4), of expressions, (E, N)."""
        count, words = tokens.shape
        size = recorded_size(count)
        if self._comprehend_small is not None and size is not None:  # filled up with the first expression
            filled = torch.cat([tokens, tokens[:1].expand(size - count, -1)])
            filled = F.pad(filled, (0, self.config.max_words - words))
            answer: Tensors = self._comprehend_small({"tokens": filled, **features})
        else:
            answer = self._comprehend({"tokens": tokens, **features})
        return answer["logits"][:count], answer["word_types"][:count, :words]

    def _encode(self, inputs: Tensors) -> dict[str, Tensor]:
        """``images``, uint8, (B, S, S, 3) -> their features."""
        pixels = self._normalisation(inputs["images"]).to(self._dtype)
        features: dict[str, Tensor] = self._encoder(pixels.contiguous(memory_format=torch.channels_last))
        return features

    def _comprehend(self, inputs: Tensors) -> dict[str, Tensor]:
        """``tokens``, (E, N), and the features of one image -> ``logits``, (E, S, S), and ``word_types``, (E, N, 4)."""
        features = {name: value for name, value in inputs.items() if name != "tokens"}
        logits, types = self._comprehension(features, inputs["tokens"])
        return {"logits": logits, "word_types": types}
