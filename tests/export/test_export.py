"""Exported models answer as the model does, in both formats, and their folders are whole."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cmpc
from cmpc import Segmenter, UsageError, UserError, devices
from cmpc.cli import main
from cmpc.engines.engine import Answers
from cmpc.engines.onnx_engine import OnnxEngine
from cmpc.model_folder import load_model_folder
from export.conftest import KINDS

pytestmark = pytest.mark.slow

Exports = dict[tuple[str, str], Path]
LONG = "the red cube of the left man , the dog of the man , the red cube of the left dog"
EXPRESSIONS = ["the left man", "dog", LONG]


def export(*arguments: str | Path) -> int:
    return main(["export", *map(str, arguments)])


@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
def test_answers_are_those_of_the_model(
    kind: tuple[str, str],
    exports: Exports,
    model_folders: dict[str, Path],
    photo: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = cmpc.load(model_folders[kind[0]])
    channels, stride = model.config.backbone.largest_map
    side = -(-model.config.image.size // stride)
    monkeypatch.setattr(devices, "CACHED_VALUES", 2 * side * side * channels)
    exported = Segmenter.load(exports[kind])  # sees two images at once
    assert (exported.engine.name, exported.engine.precision) == (kind[1], "fp32")
    other = np.random.default_rng(0).integers(0, 255, (50, 40, 3), np.uint8)
    photos, asked = [photo, other, other[::-1]], [EXPRESSIONS, "dog", EXPRESSIONS * 4]  # the last in two rounds
    for ours, theirs in zip(exported.predict_batch(asked, photos), model.predict_batch(asked, photos), strict=True):
        for one, expected in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one.probability, expected.probability, atol=1e-4)
            np.testing.assert_allclose(one.word_types, expected.word_types, atol=1e-4)
            assert one.present == (None if expected.present is None else pytest.approx(expected.present, abs=1e-4))
            assert (one.present is not None) == (kind[0] == "parts of the model for photos")


@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
def test_example_gives_the_mask_without_torch_and_without_this_package(
    kind: tuple[str, str], exports: Exports, model_folders: dict[str, Path], photo: Path, tmp_path: Path
) -> None:
    mask = tmp_path / "mask.png"
    program = (
        "import runpy, sys\n"
        "for name in ('torch', 'cmpc'): sys.modules[name] = None  # their import fails\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    example = str(exports[kind] / "example.py")
    arguments = [sys.executable, "-c", program, example, str(photo), EXPRESSIONS[0], str(mask)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = cmpc.load(model_folders[kind[0]]).predict(EXPRESSIONS[0], image=photo)[0].mask
    written = np.asarray(Image.open(mask))
    assert set(np.unique(written)) <= {0, 255}
    assert ((written > 0) != expected).mean() < 0.002


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_example_says_that_nothing_fits(format: str, exports: Exports, photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    shutil.copytree(exports["parts of the model for photos", format], folder)
    config = json.loads((folder / "config.json").read_text())
    for threshold, absent in ((0.0, False), (1.0, True)):
        config["export"]["presence_threshold"] = threshold
        (folder / "config.json").write_text(json.dumps(config))
        command = [sys.executable, str(folder / "example.py"), str(photo), "dog", str(tmp_path / "mask.png")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert (f"nothing in {photo} fits 'dog'" in done.stdout) == absent
        if absent:
            assert not np.asarray(Image.open(tmp_path / "mask.png")).any()


@pytest.mark.parametrize(("kind", "graph"), [(KINDS[0], "onnx"), (KINDS[1], "xml")], ids=["onnx", "openvino"])
def test_missing_and_damaged_graphs_are_named(
    kind: tuple[str, str], graph: str, exports: Exports, tmp_path: Path
) -> None:
    folder = tmp_path / "export"
    shutil.copytree(exports[kind], folder)
    damaged = folder / f"comprehension.{graph}"
    damaged.write_bytes(b"no graph")
    with pytest.raises(UserError, match=rf"comprehension\.{graph} is damaged .*export the model again"):
        Segmenter.load(folder)
    damaged.unlink()
    with pytest.raises(UserError, match=rf"comprehension\.{graph}.* missing: export the model again"):
        Segmenter.load(folder)
    (folder / "config.json").write_text((folder / "config.json").read_text().replace(kind[1], "stone tablets"))
    with pytest.raises(UserError, match="does not say what the model was exported for"):
        Segmenter.load(folder)


def test_missing_extra_is_named(exports: Exports, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'cmpc\[onnx\]'"):
        Segmenter.load(exports[KINDS[0]])
    with pytest.raises(UserError, match=r"pip install 'cmpc\[openvino\]'"):
        Segmenter.load(exports[KINDS[1]])
    assert export("--model", exports[KINDS[0]], "--out", tmp_path / "out") == 1


def test_what_an_export_cannot_do_is_refused(exports: Exports, photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = exports[KINDS[0]]
    for options, reason in (
        ({"engine": "openvino"}, "exported for onnx, not for openvino"),
        ({"precision": "int8"}, "exported as fp32"),
        ({"precision": "bf16"}, "cannot compute in bf16"),
        ({"device": "cuda"}, "runs on the CPU"),
    ):
        with pytest.raises(UsageError, match=reason):
            Segmenter.load(folder, **options)
    with pytest.raises(UserError, match="only the torch engine explains, and this model runs on onnx"):
        Segmenter.load(folder).explain("dog", image=photo)
    with pytest.raises(UserError, match="is an exported model: give the model folder"):
        load_model_folder(folder)


@pytest.mark.parametrize("told", ["otherwise", "not"])
def test_export_that_tells_presence_otherwise_is_not_written(
    told: str,
    model_folders: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    comprehend = OnnxEngine.comprehend

    def wrong(self: OnnxEngine, *asked: Any) -> Answers:
        answers = comprehend(self, *asked)
        return answers._replace(presence=answers.presence + 0.1 if told == "otherwise" else None)

    monkeypatch.setattr(OnnxEngine, "comprehend", wrong)
    assert export("--model", model_folders["parts of the model for photos"], "--out", tmp_path / "out") == 1
    assert "nothing was exported, because the graphs differ from the model on noise" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_export_that_differs_from_the_model_is_not_written(
    model_folders: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("cmpc.export.check.TOLERANCE", 0.0)
    assert export("--model", model_folders["small"], "--out", tmp_path / "out") == 1
    assert "nothing was exported, because the graphs differ from the model on noise" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_command_segments_with_an_exported_folder(exports: Exports, photo: Path, tmp_path: Path) -> None:
    for kind in KINDS[:2]:
        out = tmp_path / kind[1]
        options = ["--model", str(exports[kind]), "--engine", kind[1], "--precision", "fp32", "--out", str(out)]
        assert main(["segment", str(photo), "the left man", *options]) == 0
        assert (out / "photo.overlay.png").exists()


@pytest.mark.parametrize("kind", KINDS[:2], ids=" ".join)
def test_command_with_an_export_imports_no_torch(
    kind: tuple[str, str], exports: Exports, photo: Path, tmp_path: Path
) -> None:
    program = (
        "import sys\n"
        "from cmpc.cli import main\n"
        "assert main(sys.argv[1:]) == 0\n"
        "print(sorted({'torch', 'huggingface_hub', 'pyarrow', 'scipy'} & set(sys.modules)))\n"
    )
    arguments = ["segment", photo, "the left man", "--model", exports[kind], "--out", tmp_path / "out"]
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["[]"]
    assert (tmp_path / "out" / "photo.json").exists()


def test_export_is_evaluated_as_its_model_is(
    exports: Exports, model_folders: dict[str, Path], dataset: Path, tmp_path: Path
) -> None:
    masks = []
    for name, model in (("plain", model_folders["small"]), ("exported", exports["small", "onnx"])):
        out = tmp_path / name
        assert (
            main(["evaluate", "--data", str(dataset), "--split", "train", "--model", str(model), "--out", str(out)])
            == 0
        )
        lines = [json.loads(line) for line in (out / "expressions.jsonl").read_text(encoding="utf-8").splitlines()]
        masks.append([(line["intersection"], line["union"]) for line in lines])
    assert len(masks[0]) > 20
    assert np.abs(np.array(masks[0]) - np.array(masks[1])).max() <= 2  # rounding may move a pixel that is on the edge


def test_folder_holds_what_its_card_names(exports: Exports) -> None:
    for (network, format), folder in exports.items():
        suffix = "onnx" if format == "onnx" else "xml"
        files = {file.name for file in folder.iterdir()}
        weights = {"onnx": ".onnx.data", "xml": ".bin"}[suffix]
        graphs = {f"{graph}{end}" for graph in ("image_encoder", "comprehension") for end in (f".{suffix}", weights)}
        assert files == {"README.md", "config.json", "example.py", "vocabulary.txt", *graphs}
        card = (folder / "README.md").read_text()
        assert f"image_encoder.{suffix}" in card
        assert "- noise: logits " in card
        assert ("`presence`" in card) == (", presence " in card) == (network == "parts of the model for photos")


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_int8_is_calibrated_on_data_and_its_loss_is_told(
    format: str,
    model_folders: dict[str, Path],
    dataset: Path,
    photo: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    options = ["--format", format, "--precision", "int8", "--calibration", dataset, "--greatest-loss", "100"]
    out = tmp_path / "out"
    assert export("--model", model_folders["paper"], "--out", out, *options) == 0
    assert "int8, " in capsys.readouterr().out
    assert "pre-processing" not in caplog.text, "advice of ONNX Runtime that users cannot follow"
    assert "overall IoU" in (out / "README.md").read_text()
    exported = Segmenter.load(out, precision="int8")
    assert exported.engine.precision == "int8"
    expected = cmpc.load(model_folders["paper"]).predict(EXPRESSIONS, image=photo)
    differences = [
        np.abs(ours.probability - theirs.probability).mean()
        for ours, theirs in zip(exported.predict(EXPRESSIONS, image=photo), expected, strict=True)
    ]
    assert 0 < max(differences) < 0.1
    if format == "onnx":
        assert export("--model", model_folders["paper"], "--out", tmp_path / "no", *options[:-1], "-100") == 1
        assert "nothing was exported, because int8 loses" in capsys.readouterr().err
        assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_presence_is_told_in_int8(
    format: str, model_folders: dict[str, Path], dataset: Path, photo: Path, tmp_path: Path
) -> None:
    out, model = tmp_path / "out", model_folders["parts of the model for photos"]
    options = ["--format", format, "--precision", "int8", "--calibration", dataset, "--greatest-loss", "100"]
    assert export("--model", model, "--out", out, *options) == 0
    expected = [prediction.present for prediction in cmpc.load(model).predict(EXPRESSIONS, image=photo)]
    present = [prediction.present for prediction in Segmenter.load(out).predict(EXPRESSIONS, image=photo)]
    np.testing.assert_allclose(present, expected, atol=0.1)
    assert present != expected


def test_contradictory_options_are_refused(
    model_folders: dict[str, Path], dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = model_folders["small"], tmp_path / "out"
    assert export("--model", model, "--out", out, "--precision", "int8") == 2
    assert export("--model", model, "--out", out, "--calibration", dataset) == 2
    assert export("--model", model, "--out", tmp_path) == 2
    assert "exists already" in capsys.readouterr().err
    assert not out.exists()
