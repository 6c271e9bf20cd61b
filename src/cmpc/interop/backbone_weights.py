"""Pre-trained weights for the backbone: the original's DeepLab start, or ImageNet weights of torchvision and timm.

The two conventions differ in more than names. Caffe's ResNets, which the original starts from, hold the stride of a
bottleneck in its first 1x1 convolution and see BGR images of 0..255; torchvision's and timm's hold it in the 3x3
convolution and see RGB images of unit variance. ``config_for_backbone_weights`` builds a network for its weights.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from cmpc.errors import UserError
from cmpc.interop.tensorflow.checkpoint import open_checkpoint
from cmpc.interop.tensorflow.import_cmpc import check_variables, copy_variables
from cmpc.interop.tensorflow.names import variables
from cmpc.model_folder import is_model_folder, load_model_folder, read_model_config
from cmpc.models import ImageConfig, ModelConfig, ReferringNetwork

_STATE_DICT_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_FIRST_CONVOLUTION = "conv1.weight"


def load_backbone_weights(model: ReferringNetwork, source: str) -> None:
    """Gives the backbone of a network pre-trained weights; the rest of it stays as it is.

    Args:
        model: changed in place.
        source: a model folder whose backbone is alike, of which the aspects and the reader of objects are taken too
            where both networks have them; or, for the ``deeplab_resnet101`` backbone, ``deeplab_resnet_init.ckpt`` or
            another checkpoint of the original (both versions), a state dict of torchvision's or timm's ResNet-101
            (``.safetensors``, ``.pth``), or a model id of the hub (``timm/resnet101.a1_in1k``). A classifier (``fc``)
            and the batch norms' counters are ignored.

    Raises:
        UserError: the source is missing, damaged, of another network, or made for another ``stride_in``.
    """
    backbone = model.config.backbone
    if is_model_folder(source):
        _copy_from_model(model, source)
        return
    if backbone.kind != "deeplab_resnet101":
        raise UserError(
            f"{source} holds weights for a ResNet-101, but the network has the {backbone.kind} backbone: "
            "take the preset paper."
        )
    convention = _stride_in(source)
    if convention != backbone.stride_in:
        raise UserError(
            f"{source} has the stride of its bottlenecks in the {convention} convolution, but the network is built for "
            f"the {backbone.stride_in}: set backbone.stride_in to {convention!r}."
        )
    if convention == "1x1":
        checkpoint = open_checkpoint(source)
        wanted = [variable for variable in variables(model.config) if variable.parameter.startswith("backbone.")]
        check_variables(checkpoint, wanted)
        copy_variables(model, checkpoint, wanted)
    else:
        _copy_state_dict(model, _read_state_dict(source), source)


def config_for_backbone_weights(config: ModelConfig, source: str) -> ModelConfig:
    """The same network, built for the conventions of these weights: place of the stride, padding, batch norm, colours.

    Args:
        config: a configuration with the backbone that the weights are for.
        source: as for ``load_backbone_weights``; only its name is looked at, or a model folder's configuration.
    """
    if is_model_folder(source):
        return _like_model(config, source)
    image = ImageConfig()
    if _stride_in(source) == "1x1":
        backbone = dataclasses.replace(config.backbone, stride_in="1x1", tensorflow_padding=True, norm_epsilon=1e-3)
    else:
        backbone = dataclasses.replace(config.backbone, stride_in="3x3", tensorflow_padding=False, norm_epsilon=1e-5)
        image = ImageConfig(channel_order="RGB", mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
    image = dataclasses.replace(image, size=config.image.size, resize=config.image.resize)
    return dataclasses.replace(config, backbone=backbone, image=image)


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
    model.backbone.load_state_dict(other.backbone.state_dict())
    if model.aspects is not None and other.aspects is not None:
        model.aspects.load_state_dict(other.aspects.state_dict())
    if model.object_reader is not None and other.object_reader is not None:
        model.object_reader.load_state_dict(other.object_reader.state_dict())


def _stride_in(source: str) -> Literal["1x1", "3x3"]:
    """TensorFlow checkpoints come from Caffe; state dicts and the hub's models from torchvision or timm."""
    return "3x3" if Path(source).suffix in _STATE_DICT_SUFFIXES or _is_hub_id(source) else "1x1"


def _is_hub_id(source: str) -> bool:
    """Whether the source can only be a model id: ``org/name``, with no folder ``org`` here and no suffix of a file."""
    path = Path(source)
    named_as_file = path.suffix in (*_STATE_DICT_SUFFIXES, ".ckpt", ".tfmodel", ".index")
    return _HUB_ID.fullmatch(source) is not None and not named_as_file and not path.parent.exists()


def _copy_state_dict(model: ReferringNetwork, weights: Mapping[str, Any], source: str) -> None:
    wanted = model.backbone.state_dict()
    prefix = _prefix(weights, source)
    ours = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    missing = [name for name in wanted if name not in ours]
    unexpected = [
        name for name in ours if name not in wanted and not name.startswith("fc.") and "num_batches_tracked" not in name
    ]
    other = [name for name, value in wanted.items() if name in ours and ours[name].shape != value.shape]
    faults = [
        f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for names, what in ((missing, "missing"), (unexpected, "unexpected"), (other, "of another shape"))
        if names
    ]
    if faults:
        raise UserError(f"{source} does not hold a ResNet-101 with torchvision's names: {'; '.join(faults)}.")
    with torch.no_grad():
        for name, value in wanted.items():
            value.copy_(ours[name])


def _prefix(weights: Mapping[str, Any], source: str) -> str:
    """What stands before torchvision's names, for example ``backbone.`` in a segmentation network or ``module.``."""
    for name, value in weights.items():
        if name.endswith(_FIRST_CONVOLUTION) and isinstance(value, Tensor) and value.shape == (64, 3, 7, 7):
            return name.removesuffix(_FIRST_CONVOLUTION)
    raise UserError(f"{source} does not hold a ResNet-101 with torchvision's names: {_FIRST_CONVOLUTION} is missing.")


def _read_state_dict(source: str) -> Mapping[str, Any]:
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
