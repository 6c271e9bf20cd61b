"""Models, arguments, starts of a run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from robustness.case import Case
from robustness.material import write_config, write_model, write_photo, write_prepared

Change = Callable[[Path], object]


def _asked(*arguments: str) -> Callable[[Path], list[str]]:
    """A photo, and the arguments after those that ask about it."""

    def make(folder: Path) -> list[str]:
        write_photo(folder / "photo.png")
        return ["segment", "photo.png", "red box", "--out", "out", *arguments]

    return make


def _spoilt(change: Change) -> Callable[[Path], list[str]]:
    """A model folder with a change, asked about a photo."""

    def make(folder: Path) -> list[str]:
        change(write_model(folder / "model"))
        return _asked("--model", "model")(folder)

    return make


def _configured(**parts: dict[str, Any]) -> Callable[[Path], list[str]]:
    """A model whose configuration has other values in its parts."""

    def make(folder: Path) -> list[str]:
        write_config(folder / "model", parts)
        return _asked("--model", "model")(folder)

    return make


def _config_text(text: str) -> Callable[[Path], list[str]]:
    return _spoilt(lambda model: (model / "config.json").write_text(text, encoding="utf-8"))


def _config_values(**values: Any) -> Callable[[Path], list[str]]:
    def change(model: Path) -> None:
        path = model / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return _spoilt(change)


def _poisoned(number: float) -> Callable[[Path], list[str]]:
    """A model with a weight of this value."""

    def change(model: Path) -> None:
        from safetensors.torch import load_file, save_file

        weights = load_file(model / "model.safetensors")
        weights["score.weight"].view(-1)[0] = number
        save_file(weights, model / "model.safetensors", metadata={"format": "pt"})

    return _spoilt(change)


def _of_a_run(folder: Path) -> list[str]:
    write_model(folder / "run" / "best")
    write_model(folder / "run" / "last")
    (folder / "run" / "run.json").write_text("{}")
    return _asked("--model", "run")(folder)


def _cut(name: str, size: int) -> Callable[[Path], list[str]]:
    return _spoilt(lambda model: os.truncate(model / name, size))


def _vocabulary(change: Callable[[str], str]) -> Callable[[Path], list[str]]:
    def spoil(model: Path) -> None:
        path = model / "vocabulary.txt"
        path.write_text(change(path.read_text()))

    return _spoilt(spoil)


def _training(*arguments: str) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        write_prepared(folder / "data")
        sizes = ("--image.size", "32", "--workers", "0", "--steps", "1", "--batch-images", "1")
        return ["train", "--data", "data", "--out", "run", "--accelerator", "cpu", *sizes, *arguments]

    return make


def _always(*arguments: str) -> Callable[[Path], list[str]]:
    return lambda folder: list(arguments)


def _wrong_images(folder: Path) -> list[str]:
    arguments = _training("--images", "elsewhere")(folder)
    (folder / "elsewhere").mkdir()
    return arguments


def _damaged_start(name: str, content: bytes) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        arguments = _training("--initial-model", "model")(folder)
        (write_model(folder / "model") / name).write_bytes(content)
        del arguments[arguments.index("--image.size") : arguments.index("--image.size") + 2]
        return arguments

    return make


def _occupied(folder: Path) -> list[str]:
    arguments = _training()(folder)
    (folder / "run").mkdir()
    (folder / "run" / "notes.txt").write_text("mine")
    return arguments


def _unnamed_card(model: Path) -> None:
    (model / "README.md").unlink()


def _exported_as_list(model: Path) -> None:
    path = model / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "export": ["onnx"]}))


DIGITS = "9" * 4000
NOT_TEXT = os.fsdecode(b"caf\xe9")
CONFIG = "is not the configuration of a cmpc model"

CASES = [
    Case("models", "`--model` of an unset variable", _asked("--model", ""), 2, "--model is empty"),
    Case("models", "`--model=` of an unset variable", _asked("--model="), 2, "--model is empty"),
    Case("models", "`--model` of blanks", _asked("--model", "  "), 2, "--model is empty"),
    Case("models", "a path of Windows", _asked("--model", r"C:\models\unc"), 1, r"C:\models\unc does not exist"),
    Case("models", "a path of Windows with slashes", _asked("--model", "C:/models/unc"), 1, "unc does not exist"),
    Case("models", "the folder of a run", _of_a_run, 1, "is the folder of a training run: give run/best or run/last."),
    Case("models", "a folder without a card", _spoilt(_unnamed_card), 0, "results in out"),
    Case("models", "weights that are NaN", _poisoned(float("nan")), 1, "score.weight hold what is no number"),
    Case("models", "weights that are infinite", _poisoned(float("inf")), 1, "score.weight hold what is no number"),
    Case("models", "weights cut to 1,000 bytes", _cut("model.safetensors", 1000), 1, "model.safetensors is damaged"),
    Case("models", "no weights in the file", _cut("model.safetensors", 0), 1, "model.safetensors is damaged"),
    Case(
        "models",
        "no weights",
        _spoilt(lambda model: (model / "model.safetensors").unlink()),
        1,
        "model.safetensors missing",
    ),
    Case(
        "models",
        "a word twice in the vocabulary",
        _vocabulary(lambda text: text.replace("right", "left")),
        1,
        "has the word 'left' on the lines",
    ),
    Case(
        "models",
        "a word too many in the vocabulary",
        _vocabulary(lambda text: text + "more\n"),
        1,
        "the files do not belong together",
    ),
    Case("config.json", "image.size -1", _configured(image={"size": -1}), 1, "image.size must be a whole number from"),
    Case("config.json", 'image.size "8"', _configured(image={"size": "8"}), 1, "from 32 to 4,096, got '8'"),
    Case("config.json", "image.size 1e9", _configured(image={"size": 1e9}), 1, "from 32 to 4,096, got 1000000000.0"),
    Case("config.json", "image.size 1000000000", _configured(image={"size": 10**9}), 1, "got 1000000000"),
    Case("config.json", "image.size true", _configured(image={"size": True}), 1, "got True"),
    Case("config.json", "image.size of 4,000 digits", _configured(image={"size": int(DIGITS)}), 1, CONFIG),
    Case("config.json", "image.mean of NaN", _configured(image={"mean": [float("nan")] * 3}), 1, "image.mean must be"),
    Case("config.json", "image.std of 0", _configured(image={"std": [0, 0, 0]}), 1, "image.std must be 3 values"),
    Case("config.json", "image.mean of two", _configured(image={"mean": [1, 2]}), 1, "image.mean must be 3 values"),
    Case("config.json", "channels null", _configured(backbone={"channels": None}), 1, "backbone.channels must be 4"),
    Case("config.json", "channels of text", _configured(backbone={"channels": "abcd"}), 1, "backbone.channels must be"),
    Case(
        "config.json", "a billion blocks", _configured(backbone={"blocks": [10**9] * 4}), 1, "backbone.blocks must be"
    ),
    Case("config.json", "an unknown backbone", _configured(backbone={"kind": ["vgg"]}), 1, "unknown backbone ['vgg']"),
    Case("config.json", "an unknown field", _configured(text={"dream": 1}), 1, "unknown LSTMConfig field: dream"),
    Case("config.json", "max_words 0", _configured(text={"max_words": 0}), 1, "text.max_words must be a whole number"),
    Case(
        "config.json", "vocabulary_size -3", _configured(text={"vocabulary_size": -3}), 1, "text.vocabulary_size must"
    ),
    Case("config.json", "conv_lstm null", _configured(network={"conv_lstm": None}), 1, "conv_lstm must be true"),
    Case("config.json", "exchange_rounds 2.5", _configured(network={"exchange_rounds": 2.5}), 1, "must be 0, 1 or 2"),
    Case(
        "config.json",
        "other channels than the weights'",
        _configured(network={"fusion_channels": 11}),
        1,
        "holds other weights than its configuration says",
    ),
    Case("config.json", "a part is missing", _config_values(model={}), 1, "image must be an object"),
    Case("config.json", "the model is a list", _config_values(model=[1]), 1, CONFIG),
    Case("config.json", 'format_version "2"', _config_values(format_version="2"), 1, "format_version must be"),
    Case("config.json", "format_version null", _config_values(format_version=None), 1, "format_version must be"),
    Case("config.json", "format_version 99", _config_values(format_version=99), 1, "written by a newer version"),
    Case("config.json", "export is a list", _spoilt(_exported_as_list), 1, "export must be an object of JSON or null"),
    Case("config.json", "nothing", _config_text(""), 1, CONFIG),
    Case("config.json", "a list", _config_text("[]"), 1, "it is no object of JSON"),
    Case("config.json", "100,000 lists in each other", _config_text("[" * 100_000), 1, CONFIG),
    Case("config.json", "two million blanks", _config_text(" " * 2_000_000), 1, "it is larger than 1,000,000 bytes"),
    Case("arguments", "an unknown command", _always("dance"), 2, "there is no command 'dance'"),
    Case("arguments", "an expression that is no text", _asked(NOT_TEXT), 2, r"b'caf\xe9' is not UTF-8 text"),
    Case("arguments", "an empty option", _always("train", "--data", "", "--out", "run"), 2, "--data is empty"),
    Case("arguments", "an empty positional", _always("prepare", "own", ""), 2, "an argument is empty"),
    Case("arguments", "--threshold NaN", _asked("--threshold", "nan"), 2, "--threshold must be a finite number"),
    Case("arguments", "--threshold 1e999", _asked("--threshold", "1e999"), 2, "--threshold must be a finite number"),
    Case("arguments", "--seed of 4,000 digits", _training("--seed", DIGITS), 2, "--seed is a number too large"),
    Case("arguments", "--image.size of 4,000 digits", _training("--image.size", DIGITS), 2, "image.size must be a"),
    Case("arguments", "--image.size 1000000000", _training("--image.size", "1000000000"), 2, "--image.size must be a"),
    Case("arguments", "--learning-rate inf", _training("--learning-rate", "inf"), 2, "--learning-rate must be a"),
    Case("arguments", "--workers 1000000", _training("--workers", "1000000"), 2, "--workers must be at most 1,000"),
    Case("arguments", "--images of 4,000 digits", _always("blocks", "--out", "b", "--images", DIGITS), 2, "too large"),
    Case(
        "starts",
        "--images is another folder",
        _wrong_images,
        1,
        "cannot read the image",
    ),
    Case("starts", "--out holds other files", _occupied, 2, "holds other files: give a new folder with --out."),
    Case(
        "starts",
        "--initial-model is damaged",
        _damaged_start("model.safetensors", b"nothing"),
        1,
        "model.safetensors is damaged",
    ),
    Case(
        "starts",
        "--initial-model of an unset variable",
        _training("--initial-model", ""),
        2,
        "--initial-model is empty",
    ),
]
