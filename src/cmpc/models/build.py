"""From a configuration to its network."""

from __future__ import annotations

from cmpc.models.cmpc import CMPC
from cmpc.models.config import ModelConfig
from cmpc.models.network import ReferringNetwork
from cmpc.models.rrn import RRN


def build_network(config: ModelConfig) -> ReferringNetwork:
    """The network that the configuration describes, with initial weights."""
    return RRN(config) if config.network == "rrn" else CMPC(config)
