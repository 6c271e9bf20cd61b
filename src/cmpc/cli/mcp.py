"""A model as tools for agents: segment and explain over the Model Context Protocol, on standard input and output.

cmpc mcp --model MODEL
"""

from __future__ import annotations

from dataclasses import dataclass

from cmpc.errors import UserError


@dataclass
class Options:
    """Which model, and where it computes."""

    model: str | None = None
    """Folder of the model, its name on the Hugging Face hub, or photos or blocks for those that ship; by default
    photos."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, mps. Exported models run on the CPU."""


def run(options: Options) -> None:
    """Serves until the agent closes the standard input."""
    try:
        from cmpc.serving.mcp_server import make_mcp_server
    except ImportError:
        raise UserError("the tools for agents need the package mcp: pip install 'cmpc[mcp]'.") from None
    from cmpc.segmenter import Segmenter

    make_mcp_server(Segmenter.load(options.model, device=options.device)).run()
