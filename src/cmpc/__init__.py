"""Referring image segmentation: an image and an expression in, the mask of what it refers to out.

>>> import cmpc
>>> segmenter = cmpc.load("runs/first/best")
>>> segmenter.predict(["left man", "white frisbee"], image="photo.jpg")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from cmpc.answers.prediction import Prediction
    from cmpc.engines.engine import EngineName, Precision
    from cmpc.errors import UsageError, UserError
    from cmpc.segmenter import Segmenter

__all__ = ["Prediction", "Segmenter", "UsageError", "UserError", "load"]

_HOMES = {
    "Prediction": "cmpc.answers.prediction",
    "Segmenter": "cmpc.segmenter",
    "UsageError": "cmpc.errors",
    "UserError": "cmpc.errors",
}


def load(
    path_or_hub_id: str | Path | None = None,
    *,
    engine: EngineName | None = None,
    precision: Precision | None = None,
    device: torch.device | str = "cpu",
) -> Segmenter:
    """Loads a model from a folder or from the hub, by default the one that ships; see ``Segmenter.load``."""
    from cmpc.segmenter import Segmenter

    return Segmenter.load(path_or_hub_id, engine=engine, precision=precision, device=device)


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used: ``import cmpc`` alone costs no second."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'cmpc' has no attribute {name!r}")
