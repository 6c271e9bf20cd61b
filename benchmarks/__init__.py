"""How fast the package is and how much memory it needs, side by side with the network written naively.

``python -m benchmarks.run`` runs everything; see ``docs/performance.md``.
"""
