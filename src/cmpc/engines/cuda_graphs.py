"""CUDA graphs: the kernels of a call, recorded once for each shape and started together from then on.

Python starts the hundreds of kernels of one image or of one expression more slowly than a large GPU computes them. A
recording starts them in one go.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Tensors = Mapping[str, Tensor]
Function = Callable[[Tensors], Tensors]
"""A function of tensors by name."""
Record = Callable[[Function, Tensors], tuple[Callable[[], object], Tensors]]
"""Records a call with certain inputs: gives what repeats it, and the results that a repetition overwrites. A repetition
reads the memory of the recorded inputs anew."""

WARM_UPS = 3
"""Calls before a recording, in which libraries choose their algorithms and take their memory (as PyTorch's notes on
CUDA graphs have it)."""
LARGEST = 8
"""Images or expressions of a call that still counts as small: more keep a GPU busy while Python goes on."""


def record_cuda_graph(function: Function, inputs: Tensors) -> tuple[Callable[[], object], Tensors]:
    """Records a call as a CUDA graph.

    Args:
        function: starts kernels on the inputs' GPU, the same ones for equal shapes, and never waits for it.
        inputs: tensors that stay where they are; at least one.

    Raises:
        RuntimeError: something in the call cannot be recorded.
    """
    device = next(iter(inputs.values())).device
    with torch.cuda.device(device):
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(WARM_UPS):
                function(inputs)
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads may go on
            results = function(inputs)
    return graph.replay, results


class RecordedFunction:
    """A function of tensors that is recorded for each layout of its inputs when that is first seen.

    Results are copies: later calls leave them as they are. Several threads may call; they take turns. Where a call
    cannot be recorded, a warning says so once and the function is called plainly from then on.
    """

    def __init__(self, function: Function, record: Record = record_cuda_graph) -> None:
        """
        Args:
            function: what is recorded; see ``record_cuda_graph``.
            record: how.
        """
        self._function = function
        self._record: Record | None = record
        self._recordings: dict[object, _Recording] = {}
        self._turn = threading.Lock()

    def __call__(self, inputs: Tensors) -> Tensors:
        """What the function gives for the inputs."""
        with self._turn:
            recording = self._recording_for(inputs)
            if recording is not None:
                return recording(inputs)
        return self._function(inputs)

    def _recording_for(self, inputs: Tensors) -> _Recording | None:
        layout = tuple((name, value.shape, value.dtype) for name, value in inputs.items())
        if layout not in self._recordings and self._record is not None:
            try:
                self._recordings[layout] = _Recording(self._function, inputs, self._record)
            except RuntimeError as error:
                self._record = None
                reason = str(error).strip().partition("\n")[0]
                warnings.warn(
                    f"kernels cannot be recorded as CUDA graphs here, so that small calls are slower ({reason}).",
                    RuntimeWarning,
                    stacklevel=3,
                )
        return self._recordings.get(layout)


class _Recording:
    """One call, with inputs and results that stay in their places."""

    def __init__(self, function: Function, inputs: Tensors, record: Record) -> None:
        self._inputs = {name: value.clone() for name, value in inputs.items()}
        self._repeat, self._results = record(function, self._inputs)

    def __call__(self, inputs: Tensors) -> Tensors:
        for name, place in self._inputs.items():
            place.copy_(inputs[name])
        self._repeat()
        return {name: value.clone() for name, value in self._results.items()}


def recorded_size(count: int) -> int | None:
    """The power of two to which a small call is filled up, so that few shapes are recorded; None for a larger call."""
    return 1 << (count - 1).bit_length() if 0 < count <= LARGEST else None
