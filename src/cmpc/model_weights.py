"""Weights on disk: safetensors files, written in any precision and read as float32."""

from __future__ import annotations

import errno
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.overrides import TorchFunctionMode

from cmpc.errors import UserError
from cmpc.models.build import build_network
from cmpc.models.config import ModelConfig
from cmpc.models.network import ReferringNetwork


def write_weights(path: Path, model: ReferringNetwork, dtype: torch.dtype | None = None) -> None:
    """Writes the weights of a network.

    Args:
        path: the file.
        model: the network.
        dtype: what floating-point numbers are stored as; None: as they are.

    Raises:
        UserError: a number is not finite, or too large for the type.
        OSError: the file cannot be written.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    _check_finite(state, "nothing was written")
    if dtype is not None:
        for name, value in state.items():
            if value.is_floating_point():
                state[name] = value.to(dtype)
                if not state[name].isfinite().all():
                    raise UserError(f"the weights {name} hold numbers too large for {dtype}: store them as they are.")
    save_tensors(state, path)


def save_tensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Writes a safetensors file.

    Raises:
        OSError: the file cannot be written, most often because the disk is full.
    """
    try:
        save_file(tensors, path, metadata={"format": "pt"})
    except SafetensorError as error:
        raise OSError(errno.EIO, f"cannot write {path.name} ({error})") from None  # the caller knows the place


def empty_network(config: ModelConfig) -> ReferringNetwork:
    """A network whose tensors have shapes and no content, until weights are assigned to them."""
    with torch.device("meta"), _WithoutFirstWeights():
        return build_network(config)


def read_network(path: Path, config: ModelConfig) -> ReferringNetwork:
    """A network with the weights of a file as float32, on the CPU, in evaluation mode; nothing of it trains.

    Raises:
        UserError: the file is damaged, its weights are not those of such a network, or some are not finite.
    """
    model = empty_network(config)
    model.load_state_dict(_read_weights(path, model), assign=True)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model.eval()


def _read_weights(path: Path, model: ReferringNetwork) -> dict[str, torch.Tensor]:
    """The tensors of the file, as float32, after a check that they are those of the network.

    Tensors stay in the file, mapped into memory, until they are used. The backbone and every layer after it have
    mappings of their own, so that memory is free again as soon as a part is not needed any more.
    """
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    try:
        with safe_open(path, framework="pt") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            if found != expected:
                wrong = sorted({*expected} ^ {*found}) or sorted(
                    name for name in found if found[name] != expected[name]
                )
                raise UserError(
                    f"{path} holds other weights than its configuration says: {len(wrong)} are missing, unexpected or "
                    f"of another shape (first: {', '.join(wrong[:3])})."
                )
        state: dict[str, torch.Tensor] = {}
        for _, names in itertools.groupby(expected, _mapping_of):
            with safe_open(path, framework="pt") as file:
                state |= {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged: {error}.") from None
    state = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    _check_finite(state, f"{path} is damaged")
    return state


def _check_finite(state: dict[str, torch.Tensor], refusal: str) -> None:
    for name, value in state.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise UserError(f"{refusal}: the weights {name} hold what is no number, or infinite.")


class _WithoutFirstWeights(TorchFunctionMode):
    """Leaves out drawing first weights where those of a file take their place.

    On the device ``meta`` PyTorch imports its compiler for that: a second and 80 MB.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        draws = getattr(func, "__module__", None) == torch.nn.init.__name__
        if draws or func in (torch.Tensor.normal_, torch.Tensor.uniform_):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def _mapping_of(name: str) -> str:
    """Which tensors are mapped into memory together."""
    return "backbone" if name.startswith("backbone.") else name.rpartition(".")[0]
