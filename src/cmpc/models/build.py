"""From a configuration to its network."""

from __future__ import annotations

from cmpc.models.config import CMPCConfig, GroundedConfig, ModelConfig, RRNConfig
from cmpc.models.grounded.network import GroundedCMPC
from cmpc.models.network import ReferringNetwork
from cmpc.models.paper.cmpc import CMPC
from cmpc.models.rrn import RRN

NETWORKS: dict[str, type[ReferringNetwork]] = {
    CMPCConfig.kind: CMPC,
    GroundedConfig.kind: GroundedCMPC,
    RRNConfig.kind: RRN,
}
"""What is built for each kind of configuration."""


def build_network(config: ModelConfig) -> ReferringNetwork:
    """The network that the configuration describes, with initial weights."""
    return NETWORKS[config.network.kind](config)
