"""PyTorch, on the CPU or a GPU."""

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
from cmpc.engines.engine import EXPRESSIONS_AT_ONCE, Answers, EngineName, Features, Precision, encode_in_pieces
from cmpc.engines.memory import give_back_unused_memory
from cmpc.engines.passes.folding import fix_peepholes, fold_batch_norms
from cmpc.engines.passes.packing import pack_weights, packing_pays
from cmpc.engines.passes.winograd import use_winograd, winograd_pays
from cmpc.errors import UsageError
from cmpc.models.network import ImageFeatures, ReferringNetwork, copy_sharing_weights


class TorchEngine:
    """Runs a network after the passes that are for inference alone: the same numbers with fewer operations."""

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
            network: the network, on the device to compute on, which stays as it is; or what gives it, which is asked
                now and again when the plain network is needed. That spares the memory of the weights that the passes
                put into another order or precision.
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
        self._running: ReferringNetwork
        self._give: Callable[[], ReferringNetwork] | None = None
        if isinstance(network, ReferringNetwork):
            self._network = network
            self._running = copy.deepcopy(network) if precision == "bf16" else copy_sharing_weights(network)
        else:
            self._give = network
            self._running = network()
        self._running.eval()
        self.config = self._running.config
        self.device = self._running.score.weight.device
        self._images_at_once = images_at_once(self.config, self.device)
        self._expressions_at_once = expressions_at_once(self.config, self.device) or EXPRESSIONS_AT_ONCE
        self._normalisation = PixelNormalisation(self.config.image).to(self.device)
        self._prepare()
        # Maps of such a network leave holes in the memory that those of the next image do not fit into.
        self._leaves_holes = precision == "fp32" and self._images_at_once == 1
        if self._network is None:
            give_back_unused_memory()
        if record == "auto":
            record = record_cuda_graph if self.device.type == "cuda" else None
        self._encode_small = record and RecordedFunction(self._encode, record)
        self._comprehend_small = record and RecordedFunction(self._comprehend, record)

    def _prepare(self) -> None:
        """The passes, in their order."""
        fold_batch_norms(self._running)
        fix_peepholes(self._running, self.config.grid)
        if winograd_pays(self.device, self.precision):
            use_winograd(self._running)
        if self.precision == "bf16":
            self._running.bfloat16()
        if packing_pays(self.device, self._dtype):
            pack_weights(self._running, self.config.grid)

    @property
    def network(self) -> ReferringNetwork:
        """The plain network, for saving."""
        if self._network is None:
            assert self._give is not None
            self._network = self._give()
        return self._network

    @torch.inference_mode()
    def encode_image(self, images: NDArray[np.uint8]) -> list[Features]:
        """As ``Engine.encode_image``."""
        return encode_in_pieces(images, self._images_at_once, self._encode_piece)

    @torch.inference_mode()
    def comprehend(self, features: Features, tokens: NDArray[np.int64]) -> Answers:
        """As ``Engine.comprehend``."""
        asked = torch.from_numpy(tokens).to(self.device)
        pieces = asked.split(self._expressions_at_once)
        answers = [self._comprehend_piece(features, some) for some in pieces]
        joined = {name: torch.cat([some[name] for some in answers]).float().cpu().numpy() for name in answers[0]}
        return Answers(**joined)

    def array(self, feature: Tensor) -> NDArray[np.float32]:
        """As ``Engine.array``."""
        return np.asarray(feature.float().cpu().numpy(), np.float32)

    @property
    def running(self) -> ReferringNetwork:
        """The network after the passes, for explanations: it hands out the same maps."""
        return self._running

    def image_features(self, features: Features) -> ImageFeatures:
        """What ``encode_image`` gave for an image as the network knows it."""
        size = self.config.image.size
        return ImageFeatures(dict(features), self.config.grid, (size, size))

    def _encode_piece(self, images: NDArray[np.uint8]) -> Features:
        if self._leaves_holes:
            give_back_unused_memory()
        inputs = {"images": torch.from_numpy(images).to(self.device)}
        # Other numbers of images are not filled up: what that adds costs more than starting kernels does.
        if self._encode_small is not None and len(images) == recorded_size(len(images)):
            return self._encode_small(inputs)
        return self._encode(inputs)

    def _comprehend_piece(self, features: Features, tokens: Tensor) -> dict[str, Tensor]:
        """The fields of ``Answers`` for expressions, (E, N)."""
        count, words = tokens.shape
        size = recorded_size(count)
        if self._comprehend_small is not None and size is not None:  # filled up with the first expression
            filled = torch.cat([tokens, tokens[:1].expand(size - count, -1)])
            filled = F.pad(filled, (0, self.config.text.max_words - words))
            answer: Tensors = self._comprehend_small({"tokens": filled, **features})
        else:
            answer = self._comprehend({"tokens": tokens, **features})
        found = {name: values[:count] for name, values in answer.items()}
        return {**found, "word_types": found["word_types"][:, :words]}

    def _encode(self, inputs: Tensors) -> dict[str, Tensor]:
        """``images``, uint8, (B, S, S, 3) -> their features."""
        pixels = self._normalisation(inputs["images"]).to(self._dtype)
        return self._running.encode_image(pixels.contiguous(memory_format=torch.channels_last)).maps

    def _comprehend(self, inputs: Tensors) -> dict[str, Tensor]:
        """``tokens``, (E, N), and the features of one image -> the fields of ``Answers`` that the network tells."""
        features = {name: value for name, value in inputs.items() if name != "tokens"}
        tokens = inputs["tokens"]
        first = torch.zeros(len(tokens), dtype=torch.int64, device=tokens.device)
        words = self._running.encode_expression(tokens)
        logits, presence = self._running.answer(self.image_features(features), words, first)
        told = {} if presence is None else {"presence": presence}
        return {"logits": logits, "word_types": words.word_types, **told}
