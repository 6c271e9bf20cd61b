"""The networks rearranged for inference: the same numbers with fewer operations.

Each file has a part of ``cmpc.models`` under the same name, and says what it saves. Feature maps are (E, S, C):
expressions, cells, channels. The parts share the plain network's weights wherever they need not change them.
"""

from cmpc.engines.lean.build import lean_network

__all__ = ["lean_network"]
