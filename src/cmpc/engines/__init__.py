"""What runs a network for inference: PyTorch, ONNX Runtime or OpenVINO, behind one small protocol."""

from cmpc.engines.engine import ENGINES, PRECISIONS, Engine, EngineName, Features, Precision

__all__ = ["ENGINES", "PRECISIONS", "Engine", "EngineName", "Features", "Precision"]
