"""Export a model for ONNX Runtime or OpenVINO: a folder that runs without PyTorch, with an example of 100 lines.

cmpc export --model MODEL --format openvino --out FOLDER
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cmpc.errors import UsageError


@dataclass
class Options:
    """What to export, and to what."""

    model: Path
    """Folder of the model."""
    out: Path
    """The folder to write; it must not exist yet."""
    format: Literal["onnx", "openvino"] = "onnx"
    """What shall run the model."""
    precision: Literal["fp32", "int8"] = "fp32"
    """int8 needs --calibration."""
    calibration: Path | None = None
    """Prepared data whose images and expressions set the ranges of int8, and whose masks tell what it loses."""
    calibration_split: str = "train"
    """Split that the ranges are taken from."""
    test_split: str = "val"
    """Split that the loss is measured on."""
    greatest_loss: float = 0.5
    """Points of overall IoU that int8 may lose; with more, nothing is written."""


def written(options: Options) -> Path:
    """The folder that no other process may write meanwhile."""
    return options.out


def run(options: Options) -> None:
    """Writes the folder, and prints how far its answers are from the model's."""
    if options.out.exists():
        raise UsageError(f"{options.out} exists already: give --out a new folder.")
    if (options.precision == "int8") != (options.calibration is not None):
        raise UsageError("--precision int8 and --calibration belong together: give both or neither.")
    from rich.console import Console

    from cmpc.data.schema import PreparedDataset
    from cmpc.export.folder import Quantisation, export_model
    from cmpc.model_folder import load_model_folder

    quantisation = None
    if options.calibration is not None:
        dataset = PreparedDataset.open(options.calibration)
        quantisation = Quantisation(dataset, options.calibration_split, options.test_split, options.greatest_loss)
    console = Console(stderr=True, highlight=False)
    exported = export_model(
        load_model_folder(options.model),
        options.out,
        options.format,
        quantisation=quantisation,
        progress=lambda step: console.print(f"{step} ..."),
    )
    print(f"{options.out}: {options.format}, {options.precision}; largest differences of the graphs from the model:")
    for difference in exported.differences:
        print(f"  {difference}")
    if exported.loss is not None:
        print(f"  int8, {exported.loss.before.expressions} expressions of {options.test_split}: {exported.loss}")
