"""A model on disk is a folder: ``model.safetensors``, ``config.json``, ``vocabulary.txt``, ``README.md`` (card)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.overrides import TorchFunctionMode

from cmpc.data.vocabulary import Vocabulary
from cmpc.errors import UserError
from cmpc.files import atomic_folder
from cmpc.models import ModelConfig, ReferringNetwork, build_network

FORMAT_VERSION = 1
WEIGHTS, CONFIG, VOCABULARY, CARD = "model.safetensors", "config.json", "vocabulary.txt", "README.md"
MODEL_FILES = (WEIGHTS, CONFIG, VOCABULARY, CARD)


@dataclass(frozen=True)
class LoadedModel:
    """A network with the vocabulary that its embedding belongs to."""

    model: ReferringNetwork
    """The network, in evaluation mode."""
    vocabulary: Vocabulary
    """Its words; a word's id is its row of the embedding."""


def write_model_files(
    folder: str | Path, model: ReferringNetwork, vocabulary: Vocabulary, card: str | None = None
) -> None:
    """Writes the files of a model into a folder that exists; ``save_model_folder`` does it whole or not at all.

    Args:
        folder: where to write.
        model: the network; its weights are stored in their own precision.
        vocabulary: as many words as the network's embedding has rows.
        card: Markdown that says what the model is; a minimal one by default.
    """
    if len(vocabulary) != model.config.vocabulary_size:
        raise ValueError(
            f"the vocabulary has {len(vocabulary)} words but the network was made for {model.config.vocabulary_size}"
        )
    folder = Path(folder)
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    save_tensors(state, folder / WEIGHTS)
    config = {"format_version": FORMAT_VERSION, "library": "cmpc", "network": model.config.to_dict()}
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    vocabulary.save(folder / VOCABULARY)
    (folder / CARD).write_text(card or _minimal_card(model.config), encoding="utf-8")


def save_tensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Writes a safetensors file.

    Raises:
        UserError: the file cannot be written, most often because the disk is full.
    """
    try:
        save_file(tensors, path, metadata={"format": "pt"})
    except SafetensorError as error:
        raise UserError(f"cannot write {path.name} in {path.parent.parent}: {error}.") from None


def save_model_folder(
    folder: str | Path, model: ReferringNetwork, vocabulary: Vocabulary, card: str | None = None
) -> None:
    """Writes a model folder whole or not at all; replaces one that stands there. Arguments as ``write_model_files``."""
    with atomic_folder(folder) as temporary:
        write_model_files(temporary, model, vocabulary, card)


def load_model_folder(folder: str | Path, device: torch.device | str = "cpu") -> LoadedModel:
    """Reads a model folder.

    Raises:
        UserError: a file is missing or damaged, or the files do not belong together.
    """
    folder = Path(folder)
    if missing := [name for name in (CONFIG, VOCABULARY, WEIGHTS) if not (folder / name).is_file()]:
        if CONFIG not in missing and read_folder_config(folder).export is not None:
            raise UserError(f"{folder} is an exported model: give the model folder that it was made from.")
        what = "is not a model folder" if folder.exists() else "does not exist"
        raise UserError(
            f"{folder} {what}: {', '.join(missing)} missing. Give the folder that training or import wrote."
        )
    config = read_folder_config(folder).network
    vocabulary = read_vocabulary(folder, config)
    with torch.device("meta"), _WithoutFirstWeights():
        model = build_network(config)
    model.load_state_dict(_read_weights(folder / WEIGHTS, model), assign=True)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return LoadedModel(model.to(device).eval(), vocabulary)


def is_model_folder(path: str | Path) -> bool:
    """Whether there is a folder with a model's configuration."""
    return (Path(path) / CONFIG).is_file()


def read_model_config(folder: str | Path) -> ModelConfig:
    """What the network of a model folder is made of.

    Raises:
        UserError: there is no configuration, or it is damaged.
    """
    return read_folder_config(folder).network


@dataclass(frozen=True)
class FolderConfig:
    """What ``config.json`` of a folder says."""

    network: ModelConfig
    """The network."""
    export: dict[str, Any] | None
    """How it was exported (``cmpc.interop.export``); None in a model folder."""


def read_folder_config(folder: str | Path) -> FolderConfig:
    """The configuration of a model folder or of an exported one.

    Raises:
        UserError: it is missing or damaged, or was written by a newer version.
    """
    path = Path(folder) / CONFIG
    if not path.is_file():
        what = "is not a model folder" if path.parent.exists() else "does not exist"
        raise UserError(f"{folder} {what}: {CONFIG} missing. Give the folder that training or import wrote.")
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if values["format_version"] > FORMAT_VERSION:
            raise UserError(f"{path} was written by a newer version of cmpc: update this one.")
        return FolderConfig(ModelConfig.from_dict(values["network"]), values.get("export"))
    except UserError:
        raise
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UserError(f"{path} is not the configuration of a cmpc model ({error}).") from None


def read_vocabulary(folder: Path, config: ModelConfig) -> Vocabulary:
    """The vocabulary of a folder.

    Raises:
        UserError: it is missing or damaged, or belongs to another network.
    """
    vocabulary = Vocabulary.load(folder / VOCABULARY)
    if len(vocabulary) != config.vocabulary_size:
        raise UserError(
            f"{folder / VOCABULARY} has {len(vocabulary):,} words but the model was made for "
            f"{config.vocabulary_size:,}: the files do not belong together."
        )
    return vocabulary


def _read_weights(path: Path, model: ReferringNetwork) -> dict[str, torch.Tensor]:
    """The tensors of the file, as float32, after a check that they are those of the network.

    Tensors stay in the file, mapped into memory, until they are used. The backbone and every layer after it have
    mappings of their own, so that memory is free again as soon as a part is not needed any more.
    """
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    try:
        with safe_open(path, framework="pt") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            if found != expected:
                wrong = sorted({*expected} ^ {*found}) or sorted(
                    name for name in found if found[name] != expected[name]
                )
                raise UserError(
                    f"{path} holds other weights than its configuration says: {len(wrong)} are missing, unexpected or "
                    f"of another shape (first: {', '.join(wrong[:3])})."
                )
        state: dict[str, torch.Tensor] = {}
        for _, names in itertools.groupby(expected, _mapping_of):
            with safe_open(path, framework="pt") as file:
                state |= {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged: {error}.") from None
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


class _WithoutFirstWeights(TorchFunctionMode):
    """Leaves out drawing first weights where those of a file take their place.

    On the device ``meta`` PyTorch imports its compiler for that: a second and 80 MB.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        draws = getattr(func, "__module__", None) == torch.nn.init.__name__
        if draws or func in (torch.Tensor.normal_, torch.Tensor.uniform_):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def _mapping_of(name: str) -> str:
    """Which tensors are mapped into memory together."""
    return "backbone" if name.startswith("backbone.") else name.rpartition(".")[0]


def _minimal_card(config: ModelConfig) -> str:
    size = config.image.size
    return (
        "---\nlibrary_name: cmpc\npipeline_tag: image-segmentation\ntags: [referring-image-segmentation]\n---\n\n"
        "# A CMPC model\n\n"
        "Referring image segmentation: an image and an expression in, the mask of what it refers to out.\n\n"
        f"- input: {size} x {size} pixels, at most {config.max_words} words\n"
        f"- vocabulary: {config.vocabulary_size:,} words\n"
        f"- backbone: {config.backbone.kind}\n"
    )
