"""FSDP: weights, gradients and the optimiser's state in shards, one on each device; whole in checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Literal

import torch
from lightning_fabric.plugins.precision.fsdp import FSDPPrecision
from lightning_fabric.strategies import FSDPStrategy
from torch import Tensor, nn
from torch.distributed.fsdp import (
    FullOptimStateDictConfig,
    FullStateDictConfig,
    FullyShardedDataParallel,
    StateDictType,
)
from torch.distributed.fsdp.wrap import CustomPolicy

from cmpc.model_weights import empty_network
from cmpc.models.config import ModelConfig
from cmpc.models.network import ReferringNetwork
from cmpc.training.objective import Objective

_OF_FSDP = "_fsdp_wrapped_module."
"""What FSDP puts into the names of tensors."""
_OF_MODEL = "model."
"""Begins the names of the network's tensors in an ``Objective``."""


class ShardedPrecision(FSDPPrecision):
    """The numbers that DDP computes with: weights and gradients stay in float32, products are in bf16 if asked for."""

    def __init__(self, precision: Literal["bf16-mixed", "32-true"], device_type: str) -> None:
        super().__init__(precision)
        self.device_type = device_type

    def forward_context(self) -> AbstractContextManager[Any]:
        """What the network computes in; Lightning's own is for GPUs alone."""
        if self.precision == "bf16-mixed":
            return torch.autocast(self.device_type, dtype=torch.bfloat16)
        context: AbstractContextManager[Any] = super().forward_context()
        return context


class ShardedStrategy(FSDPStrategy):
    """FSDP for an ``Objective`` and its optimisers, on GPUs and on processors, from and to whole states."""

    root: FullyShardedDataParallel

    def setup_module(self, module: nn.Module) -> nn.Module:
        """Shares the weights; parts that are gathered one at a time are chosen by ``separate_parts``."""
        assert isinstance(module, Objective)
        separate = set(map(id, separate_parts(module)))
        self.root = FullyShardedDataParallel(
            module,
            device_id=self.root_device,  # Lightning gives its number, which a processor has not
            use_orig_params=True,  # groups of the optimiser, and weights that are kept beside others that learn
            sharding_strategy=self.sharding_strategy,
            auto_wrap_policy=CustomPolicy(lambda part: id(part) in separate),
        )
        return self.root

    def setup_module_and_optimizers(self, module: nn.Module, optimizers: list[Any], *rest: Any) -> Any:
        """As ``setup_module``; optimisers with a state keep their share of it."""
        names: dict[Tensor, str] = {parameter: name for name, parameter in module.named_parameters()}
        states = [_by_name(optimizer, names) for optimizer in optimizers]
        result = super().setup_module_and_optimizers(module, optimizers, *rest)
        for optimizer, state in zip(optimizers, states, strict=True):
            if state["state"]:
                share = FullyShardedDataParallel.optim_state_dict_to_load(self.root, optimizer, state)
                optimizer.load_state_dict(share)
        return result

    def whole_network(self, config: ModelConfig) -> ReferringNetwork:
        """The network with all weights, on the CPU, in the first process; elsewhere one without.

        All processes must call it.

        Args:
            config: of the network.
        """
        weights, network = self._whole_weights(), empty_network(config)
        if weights:
            network.load_state_dict({name: weights[name] for name in network.state_dict()}, assign=True)
        return network

    def whole_state(self, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
        """What ``optimizer_tensors`` gives of an optimiser that is not shared, in the first process; elsewhere nothing.

        All processes must call it.
        """
        shares = optimizer.state_dict()
        whole: dict[str, Tensor] = {}
        # One kind of value after the other: on a processor PyTorch gathers all kinds into the same memory.
        for key in sorted({key for state in shares["state"].values() for key in state}):
            of_key = {number: {key: state[key]} for number, state in shares["state"].items()}
            with FullyShardedDataParallel.state_dict_type(
                self.root,
                StateDictType.FULL_STATE_DICT,
                FullStateDictConfig(),
                FullOptimStateDictConfig(rank0_only=True),
            ):
                found = FullyShardedDataParallel.optim_state_dict(self.root, optimizer, {**shares, "state": of_key})
            for name, state in found.get("state", {}).items():
                whole[f"{key}/{name.removeprefix(_OF_MODEL)}"] = state[key].detach().cpu().clone()
        return whole

    def _whole_weights(self) -> dict[str, Tensor]:
        """All weights and buffers of the network by name, on the CPU, in the first process; elsewhere none."""
        on_gpu = self.root_device.type != "cpu"  # what lies on the CPU already would be freed too early
        with FullyShardedDataParallel.summon_full_params(
            self.root, writeback=False, rank0_only=True, offload_to_cpu=on_gpu
        ):
            if self.global_rank:
                return {}
            tensors = [*self.root.named_parameters(), *self.root.named_buffers()]
            return {
                name.replace(_OF_FSDP, "").removeprefix(_OF_MODEL): value.detach().cpu().clone()
                for name, value in tensors
            }


def separate_parts(objective: Objective) -> list[nn.Module]:
    """The parts that are whole on a device only while they compute: blocks of the backbone, and what reads words.

    Those whose kernels the loss needs afterwards are left to the rest, which is whole during the step.
    """
    needed_later = set(objective.regularised)
    parts = [*_blocks(objective.model.backbone), objective.model.language]
    return [part for part in parts if needed_later.isdisjoint(part.modules())]


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """The blocks that a network is a sequence of, each with layers of its own."""
    for child in module.children():
        if isinstance(child, nn.Sequential | nn.ModuleList):
            yield from _blocks(child)
        elif any(child.children()):
            yield child


def _by_name(optimizer: torch.optim.Optimizer, names: dict[Tensor, str]) -> dict[str, Any]:
    """The state of an optimiser with names of parameters in place of numbers."""
    dictionary = optimizer.state_dict()
    order = [names[parameter] for group in optimizer.param_groups for parameter in group["params"]]
    return {
        "state": {order[number]: state for number, state in dictionary["state"].items()},
        "param_groups": [
            {**group, "params": [order[number] for number in group["params"]]} for group in dictionary["param_groups"]
        ],
    }
