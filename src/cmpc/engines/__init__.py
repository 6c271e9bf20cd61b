"""What runs a network for inference: PyTorch, ONNX Runtime or OpenVINO, behind one small protocol."""

from cmpc.engines.engine import Engine, EngineName, Features, Precision

__all__ = ["Engine", "EngineName", "Features", "Precision"]
