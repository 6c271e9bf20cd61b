"""A model on disk is a folder: ``model.safetensors``, ``config.json``, ``vocabulary.txt``, ``README.md`` (card)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmpc.bounds import shortened
from cmpc.data.vocabulary import Vocabulary
from cmpc.deprecation import warn_deprecated
from cmpc.errors import UserError
from cmpc.files import atomic_folder
from cmpc.models.config import ModelConfig
from cmpc.models.config_upgrade import upgrade
from cmpc.weights import SHIPPED_MODELS

if TYPE_CHECKING:
    import torch

    from cmpc.models.network import ReferringNetwork

FORMAT_VERSION = 2
WEIGHTS, CONFIG, VOCABULARY, CARD = "model.safetensors", "config.json", "vocabulary.txt", "README.md"
LARGEST_CONFIG = 1_000_000
"""Bytes that no configuration has; some files are many gigabytes."""
MODEL_FILES = (WEIGHTS, CONFIG, VOCABULARY, CARD)
EXPORTED_FILES = ("image_encoder.*", "comprehension.*", "example.py")
"""Patterns of what an exported folder has beside the configuration, the vocabulary and the card."""


def located(model: str | Path) -> Path:
    """The folder of that name or, where it holds no model (it may well hold photos), that of the model that ships under
    it."""
    folder = Path(model)
    return folder if (folder / CONFIG).is_file() else SHIPPED_MODELS.get(str(model), folder)


@dataclass(frozen=True)
class LoadedModel:
    """A network with the vocabulary that its embedding belongs to."""

    model: ReferringNetwork
    """The network, in evaluation mode."""
    vocabulary: Vocabulary
    """Its words; a word's id is its row of the embedding."""


def write_model_files(
    folder: str | Path,
    model: ReferringNetwork,
    vocabulary: Vocabulary,
    card: str | None = None,
    *,
    dtype: torch.dtype | None = None,
) -> None:
    """Writes the files of a model into a folder that exists; ``save_model_folder`` does it whole or not at all.

    Args:
        folder: where to write.
        model: the network.
        vocabulary: as many words as the network's embedding has rows.
        card: Markdown that says what the model is; a minimal one by default.
        dtype: what the weights are stored as, such as ``torch.float16`` for half the size; None: as they are. They load
            as float32 in any case.
    """
    from cmpc.model_weights import write_weights

    if len(vocabulary) != model.config.text.vocabulary_size:
        made_for = model.config.text.vocabulary_size
        raise ValueError(f"the vocabulary has {len(vocabulary)} words but the network was made for {made_for}")
    folder = Path(folder)
    write_weights(folder / WEIGHTS, model, dtype)
    config = {"format_version": FORMAT_VERSION, "library": "cmpc", "model": model.config.to_dict()}
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    vocabulary.save(folder / VOCABULARY)
    (folder / CARD).write_text(card or _minimal_card(model.config), encoding="utf-8")


def save_model_folder(
    folder: str | Path,
    model: ReferringNetwork,
    vocabulary: Vocabulary,
    card: str | None = None,
    *,
    dtype: torch.dtype | None = None,
) -> None:
    """Writes a model folder whole or not at all; replaces one that stands there. Arguments as ``write_model_files``."""
    with atomic_folder(folder) as temporary:
        write_model_files(temporary, model, vocabulary, card, dtype=dtype)


def load_model_folder(folder: str | Path, device: torch.device | str = "cpu") -> LoadedModel:
    """Reads a model folder.

    Raises:
        UserError: a file is missing or damaged, or the files do not belong together.
    """
    folder = located(folder)
    check_model_folder(folder)
    config = read_folder_config(folder).network
    vocabulary = read_vocabulary(folder, config)
    from cmpc.model_weights import read_network

    return LoadedModel(read_network(folder / WEIGHTS, config).to(device), vocabulary)


def check_model_folder(folder: Path) -> None:
    """Refuses what is no folder with a model and its weights.

    Raises:
        UserError: a file is missing.
    """
    if missing := [name for name in (CONFIG, VOCABULARY, WEIGHTS) if not (folder / name).is_file()]:
        if CONFIG not in missing and read_folder_config(folder).export is not None:
            raise UserError(f"{folder} is an exported model: give the model folder that it was made from.")
        raise _no_model_folder(folder, missing)


def is_model_folder(path: str | Path) -> bool:
    """Whether there is a folder with a model's configuration."""
    return (located(path) / CONFIG).is_file()


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
    """How it was exported (``cmpc.export``); None in a model folder."""


def read_folder_config(folder: str | Path) -> FolderConfig:
    """The configuration of a model folder or of an exported one.

    Raises:
        UserError: it is missing or damaged, or was written by a newer version.
    """
    path = located(folder) / CONFIG
    if not path.is_file():
        raise _no_model_folder(path.parent, [CONFIG])
    try:
        if path.stat().st_size > LARGEST_CONFIG:
            raise ValueError(f"it is larger than {LARGEST_CONFIG:,} bytes")
        values: Any = json.loads(path.read_text(encoding="utf-8-sig"))
        if not isinstance(values, dict):
            raise ValueError("it is no object of JSON")
        version = values.get("format_version")
        if type(version) is not int or version < 1:
            raise ValueError(f"format_version must be a whole number from 1, got {shortened(version)}")
        if version > FORMAT_VERSION:
            raise UserError(f"{path} was written by a newer version of cmpc: update this one.")
        export = values.get("export")
        if export is not None and not isinstance(export, dict):
            raise ValueError(f"export must be an object of JSON or null, got {shortened(export)}")
        config = FolderConfig(ModelConfig.from_dict(upgrade(values)), export)
    except UserError:
        raise
    except RecursionError:
        raise UserError(f"{path} is not the configuration of a cmpc model (values in values without end).") from None
    except KeyError as error:
        raise UserError(f"{path} is not the configuration of a cmpc model ({error.args[0]} is missing).") from None
    except (ValueError, TypeError, AttributeError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path} is not the configuration of a cmpc model ({reason[:200]}).") from None
    if version == 1:
        again = "cmpc.load(OLD).save_pretrained(NEW) in Python" if export is None else "cmpc export of its model folder"
        warn_deprecated(f"the folder {path.parent} of format 1", removed_in="2.0", instead=f"write it anew by {again}")
    return config


def read_vocabulary(folder: Path, config: ModelConfig) -> Vocabulary:
    """The vocabulary of a folder.

    Raises:
        UserError: it is missing or damaged, or belongs to another network.
    """
    vocabulary = Vocabulary.load(folder / VOCABULARY, config.text.splitting)
    if len(vocabulary) != config.text.vocabulary_size:
        raise UserError(
            f"{folder / VOCABULARY} has {len(vocabulary):,} words but the model was made for "
            f"{config.text.vocabulary_size:,}: the files do not belong together."
        )
    return vocabulary


def _no_model_folder(folder: Path, missing: Sequence[str]) -> UserError:
    """What is wrong with a folder without a model's files."""
    inside = [str(folder / name) for name in ("best", "last") if is_model_folder(folder / name)]
    if (folder / "run.json").is_file() and inside:
        return UserError(f"{folder} is the folder of a training run: give {' or '.join(inside)}.")
    what = "is not a model folder" if folder.exists() else "does not exist"
    return UserError(f"{folder} {what}: {', '.join(missing)} missing. Give the folder that training or import wrote.")


def _minimal_card(config: ModelConfig) -> str:
    size = config.image.size
    return (
        "---\nlibrary_name: cmpc\npipeline_tag: image-segmentation\ntags: [referring-image-segmentation]\n---\n\n"
        "# A CMPC model\n\n"
        "Referring image segmentation: an image and an expression in, the mask of what it refers to out.\n\n"
        f"- input: {size} x {size} pixels, at most {config.text.max_words} words\n"
        f"- vocabulary: {config.text.vocabulary_size:,} words\n"
        f"- backbone: {config.backbone.kind}\n"
    )
