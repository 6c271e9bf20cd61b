"""Writes an exported model: a folder with two graphs, what they need to be used, and nothing that was not checked."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cmpc.conventions import PRESENCE_THRESHOLD
from cmpc.data.schema import PreparedDataset
from cmpc.data.vocabulary import Vocabulary
from cmpc.engines import Engine
from cmpc.engines.onnx_engine import COMPREHENSION, IMAGE_ENCODER, OnnxEngine
from cmpc.engines.openvino_engine import OpenVINOEngine, require_openvino
from cmpc.errors import UserError
from cmpc.export.check import Difference, differences
from cmpc.export.graphs import onnx_to_openvino, require_exporter, write_onnx
from cmpc.export.quantise import Int8Loss, measure_loss, quantise
from cmpc.files import atomic_folder
from cmpc.model_folder import CARD, CONFIG, FORMAT_VERSION, VOCABULARY, LoadedModel
from cmpc.models.config import ModelConfig

ExportFormat = Literal["onnx", "openvino"]
EXAMPLE = "example.py"
GRAPHS = (IMAGE_ENCODER, COMPREHENSION)


@dataclass(frozen=True)
class Quantisation:
    """What int8 is calibrated and tested on."""

    dataset: PreparedDataset
    """Gives images, expressions and masks."""
    calibration_split: str
    """The ranges of the numbers are taken from this split."""
    test_split: str
    """The loss in IoU is measured on this one."""
    greatest_loss: float
    """Points of overall IoU that may be lost; with more, nothing is written."""


@dataclass(frozen=True)
class Exported:
    """What an export was found to be."""

    differences: list[Difference]
    """From the model, of its fp32 graphs."""
    loss: Int8Loss | None
    """What int8 costs; None in fp32."""


def export_model(
    loaded: LoadedModel,
    out: Path,
    format: ExportFormat,
    *,
    quantisation: Quantisation | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> Exported:
    """Writes the folder whole, or not at all when the graphs do not answer as the model does.

    Args:
        loaded: the model, on the CPU.
        out: the folder to write.
        format: what shall run it.
        quantisation: how to bring it to int8; None: it stays fp32.
        progress: is told each step.

    Raises:
        UserError: an extra is not installed, the graphs differ from the model, int8 loses too much, or the data lacks a
            split or a photo.
    """
    require_exporter()
    if format == "openvino":
        require_openvino()
    if quantisation is not None:  # a split that is missing is told before the minutes of work
        for split in (quantisation.calibration_split, quantisation.test_split):
            quantisation.dataset.check_split(split)
    config = loaded.model.config
    with atomic_folder(out) as folder, tempfile.TemporaryDirectory(dir=folder) as working:
        plain = Path(working) / "fp32"
        plain.mkdir()
        progress("writing the graphs")
        write_onnx(loaded.model, plain / IMAGE_ENCODER, plain / COMPREHENSION)
        # Runtimes read the weights from the files as they run: what int8 is compared with needs files of its own.
        engine = _finish(plain, folder if quantisation is None else Path(working) / "compared", format, config)
        progress("comparing them with the model")
        found = differences(loaded.model, loaded.vocabulary, engine)
        if wrong := [str(difference) for difference in found if not difference.acceptable]:
            raise UserError(f"nothing was exported, because the graphs differ from the model on {'; '.join(wrong)}.")
        loss = None
        if quantisation is not None:
            loss = _quantise(loaded, engine, plain, Path(working) / "int8", folder, format, quantisation, progress)
        _describe(folder, loaded, format, Exported(found, loss))
    return Exported(found, loss)


def _finish(source: Path, folder: Path, format: ExportFormat, config: ModelConfig, *, int8: bool = False) -> Engine:
    """Puts the graphs of ``source`` into the folder in their last form and loads them from there."""
    folder.mkdir(exist_ok=True)
    for name in GRAPHS:
        if format == "openvino":
            onnx_to_openvino(source / name, (folder / name).with_suffix(".xml"))
        else:
            for file in source.glob(f"{name}*"):  # the graph, and its weights beside it
                shutil.copy(file, folder)
    kind = OpenVINOEngine if format == "openvino" else OnnxEngine
    return kind(folder, config, "int8" if int8 else "fp32")


def _quantise(
    loaded: LoadedModel,
    engine: Engine,
    plain: Path,
    working: Path,
    folder: Path,
    format: ExportFormat,
    how: Quantisation,
    progress: Callable[[str], None],
) -> Int8Loss:
    working.mkdir()
    config = loaded.model.config
    progress("calibrating int8")
    fp32 = engine if isinstance(engine, OnnxEngine) else OnnxEngine(plain, config, "fp32")
    quantise(fp32, plain, working, loaded.vocabulary, how.dataset, how.calibration_split)
    quantised = _finish(working, folder, format, config, int8=True)
    progress("measuring what int8 loses")
    loss = measure_loss(engine, quantised, loaded.vocabulary, how.dataset, how.test_split)
    if loss.points > how.greatest_loss:
        raise UserError(
            f"nothing was exported, because int8 loses {loss.points:.2f} points of overall IoU on {how.test_split} "
            f"({loss}), more than the {how.greatest_loss} that are allowed."
        )
    return loss


def _describe(folder: Path, loaded: LoadedModel, format: ExportFormat, exported: Exported) -> None:
    """Writes everything but the graphs."""
    config = {
        "format_version": FORMAT_VERSION,
        "library": "cmpc",
        "model": loaded.model.config.to_dict(),
        "export": {
            "format": format,
            "precision": "fp32" if exported.loss is None else "int8",
            "presence_threshold": PRESENCE_THRESHOLD,  # for the example, which knows nothing of this package
        },
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    loaded.vocabulary.save(folder / VOCABULARY)
    (folder / CARD).write_text(_card(loaded.model.config, loaded.vocabulary, format, exported), encoding="utf-8")
    shutil.copy(Path(__file__).with_name(EXAMPLE), folder / EXAMPLE)


def _card(config: ModelConfig, vocabulary: Vocabulary, format: ExportFormat, exported: Exported) -> str:
    size, words, suffix = config.image.size, config.text.max_words, "onnx" if format == "onnx" else "xml"
    checks = "".join(f"- {difference}\n" for difference in exported.differences)
    loss = "" if exported.loss is None else f"\nint8, {exported.loss.before.expressions} expressions: {exported.loss}\n"
    runtime = "onnxruntime" if format == "onnx" else "openvino"
    presence = ""
    if config.network.presence_channels:
        presence = "- out: `presence` (E,), the logit of whether anything in the photo fits the expression\n"
    return f"""---
library_name: cmpc
pipeline_tag: image-segmentation
tags: [referring-image-segmentation]
---

# A CMPC model for {"ONNX Runtime" if format == "onnx" else "OpenVINO"}

Referring image segmentation: an image and an expression in, the mask of what it refers to out.

`image_encoder.{suffix}` sees images, once each:

- in: `images`, RGB uint8 (B, {size}, {size}, 3), photos fitted into the square with zeros around them
- out: features by name, (B, ...)

`comprehension.{suffix}` answers expressions about one image:

- in: its features, (1, ...), and `tokens`, word ids int64 (E, N), padded with 0 at the end, N up to {words}
- out: `logits` (E, {size}, {size}), a pixel belongs to the mask where its logit is not negative; `word_types` (E, N, 4)
{presence}
`vocabulary.txt` has {len(vocabulary):,} words; a word's id is its line, from 0. `{EXAMPLE}` goes the whole way from a
photo to a mask with numpy, OpenCV and {runtime} alone:

```
python {EXAMPLE} photo.jpg "the left man" mask.png
```

Largest differences of the fp32 graphs from the model:

{checks}{loss}"""
