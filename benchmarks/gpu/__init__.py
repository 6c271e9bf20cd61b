"""What a GPU makes of the network: ``python -m benchmarks.gpu``."""
