"""Configurations that earlier versions wrote, as those of today."""

from __future__ import annotations

from typing import Any

CONVENTIONS = {("1x1", True, 1e-3): "caffe", ("3x3", False, 1e-5): "torchvision"}
"""Place of the stride, TensorFlow's padding and epsilon, which format 1 had as three fields."""
TEXT = ("vocabulary_size", "max_words", "embedding_channels", "word_channels", "both_directions")
NETWORK = (
    *("multimodal_channels", "fusion_channels", "feature_scale", "peephole_grid", "refinement_channels", "upsampling"),
)
CMPC = (
    *("word_type_channels", "fusion_heads", "entity_perception", "relation_reasoning", "word_type_gating"),
    *("exchange_rounds", "conv_lstm", "word_type_supervision"),
)
GROUNDED = ("second_look", "selection")


def upgrade(values: dict[str, Any]) -> dict[str, Any]:
    """What a ``config.json`` of any version says of the model, as ``ModelConfig.from_dict`` takes it.

    Args:
        values: the whole file, with its ``format_version``.

    Raises:
        KeyError, ValueError: the values are not what such a file holds.
    """
    return _from_1(values["network"]) if values["format_version"] == 1 else dict(values["model"])


def _from_1(values: dict[str, Any]) -> dict[str, Any]:
    """Format 1 had the fields of all parts but image and backbone in one place, and those of all kinds together."""
    values = dict(values)
    backbone = dict(values.pop("backbone", {}))
    kind = backbone.get("kind", "deeplab_resnet101")
    padding = (backbone.pop("stride_in", "1x1"), backbone.pop("tensorflow_padding", True))
    convention = (*padding, backbone.pop("norm_epsilon", 1e-3))
    if kind == "deeplab_resnet101":
        if convention not in CONVENTIONS:
            raise ValueError(f"a backbone with stride, padding and epsilon {convention} is not supported any more")
        backbone["convention"] = CONVENTIONS[convention]
    name = values.pop("network", "cmpc")
    grounded = values.pop("grounded_reasoning", False)
    image = values.pop("image", {})
    text = {field: values.pop(field) for field in TEXT if field in values}
    fields = NETWORK if name == "rrn" else (*NETWORK, *CMPC, *(GROUNDED if grounded else ()))
    network = {field: values.pop(field) for field in fields if field in values}
    for field in (*CMPC, *GROUNDED):  # of kinds that this network is not
        values.pop(field, None)
    if values:
        raise ValueError(f"unknown fields: {', '.join(sorted(values))}")
    return {
        "image": image,
        "backbone": {**backbone, "kind": kind},
        "text": {**text, "kind": "lstm"},
        "network": {**network, "kind": "grounded" if grounded and name == "cmpc" else name},
    }
