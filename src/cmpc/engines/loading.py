"""From a folder to the engine that runs it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

from cmpc.arguments import check_name
from cmpc.data.vocabulary import Vocabulary
from cmpc.engines.engine import Engine, EngineName, Precision
from cmpc.errors import UsageError, UserError
from cmpc.model_folder import (
    CONFIG,
    FolderConfig,
    check_model_folder,
    load_model_folder,
    located,
    read_folder_config,
    read_vocabulary,
)

if TYPE_CHECKING:
    import torch


def load_engine(
    folder: Path,
    *,
    engine: EngineName | None = None,
    precision: Precision | None = None,
    device: torch.device | str = "cpu",
) -> tuple[Engine, Vocabulary]:
    """The engine of a folder, and its words.

    Args:
        folder: a model folder, which PyTorch runs, or an exported one.
        engine: what shall run it; None: what the folder is for.
        precision: in which numbers; None: those of the folder.
        device: where to compute, as ``choose_device`` takes it, ``auto`` included; exported models run on the CPU.

    Raises:
        UserError: the folder is missing or damaged, an extra is not installed, or there is no such device.
        UsageError: the folder is for another engine, precision or device.
    """
    check_name(engine, get_args(EngineName), "engine")
    check_name(precision, get_args(Precision), "precision")
    folder = located(folder)
    if not is_export(folder):
        return _torch_engine(folder, engine, precision, str(device))
    return _exported_engine(folder, read_folder_config(folder), engine, precision, str(device))


def is_export(folder: str | Path) -> bool:
    """Whether a folder holds an exported model, which runs on the CPU alone.

    Raises:
        UserError: its configuration is damaged.
    """
    folder = located(folder)
    return (folder / CONFIG).is_file() and read_folder_config(folder).export is not None


def _torch_engine(
    folder: Path, engine: EngineName | None, precision: Precision | None, device: str
) -> tuple[Engine, Vocabulary]:
    if engine not in (None, "torch"):
        raise UsageError(
            f"{folder} is no export for {engine}: make one with cmpc export --model {folder} --format {engine} "
            "--out DIR and give that folder."
        )
    if precision == "int8":
        raise UsageError("int8 needs an export: cmpc export --precision int8 --calibration DATA.")
    check_model_folder(folder)  # before PyTorch is imported
    from cmpc.devices import choose_device
    from cmpc.engines.torch_engine import TorchEngine

    chosen = choose_device(device)
    running = TorchEngine(lambda: load_model_folder(folder, chosen).model, precision=precision or "fp32")
    return running, read_vocabulary(folder, running.config)


def _exported_engine(
    folder: Path,
    exported: FolderConfig,
    engine: EngineName | None,
    precision: Precision | None,
    device: str,
) -> tuple[Engine, Vocabulary]:
    assert exported.export is not None
    kind, stored = exported.export.get("format"), exported.export.get("precision")
    if kind not in ("onnx", "openvino") or stored not in ("fp32", "int8"):
        raise UserError(f"{folder / CONFIG} does not say what the model was exported for: export it again.")
    if engine not in (None, kind):
        raise UsageError(f"{folder} was exported for {kind}, not for {engine}: leave the engine out.")
    at_run_time = kind == "openvino" and stored == "fp32" and precision == "bf16"
    if precision not in (None, stored) and not at_run_time:
        raise UsageError(f"{folder} was exported as {stored} for {kind}, which cannot compute in {precision}.")
    if device.partition(":")[0] not in ("auto", "cpu"):
        raise UsageError(f"{folder} is an exported model, which runs on the CPU, not on {device}.")
    vocabulary = read_vocabulary(folder, exported.network)
    if kind == "onnx":
        from cmpc.engines.onnx_engine import OnnxEngine

        return OnnxEngine(folder, exported.network, stored), vocabulary
    from cmpc.engines.openvino_engine import OpenVINOEngine

    return OpenVINOEngine(folder, exported.network, precision or stored), vocabulary
