"""What every backbone keeps to."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from cmpc.bounds import OutOfBounds
from cmpc.models.backbones import Backbone, build_backbone
from cmpc.models.backbones.unit import Activation, FusedConvolution, activate
from cmpc.models.config import BackboneConfig, CompactConfig, DeepLabResNetConfig, EfficientNetLiteConfig

TINY_RESNET = DeepLabResNetConfig(channels=(8, 12, 16, 20), blocks=(1, 2, 2, 1))
CONFIGURATIONS: dict[str, BackboneConfig] = {
    "deeplab caffe": TINY_RESNET,
    "deeplab torchvision": dataclasses.replace(TINY_RESNET, convention="torchvision"),
    "compact": CompactConfig(channels=(8, 12, 16, 20), blocks=(1, 1, 2, 1)),
    "efficientnet-lite": EfficientNetLiteConfig(),
}
SIZES = [(64, 64), (97, 61), (75, 96), (33, 130)]


@pytest.fixture(params=CONFIGURATIONS)
def config(request: pytest.FixtureRequest) -> BackboneConfig:
    return CONFIGURATIONS[request.param]


@pytest.fixture
def backbone(config: BackboneConfig) -> Backbone:
    torch.manual_seed(0)
    backbone = build_backbone(config)
    for module in backbone.modules():  # statistics that change something
        if isinstance(getattr(module, "running_mean", None), Tensor):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    return backbone.eval()


def images(height: int, width: int) -> Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", SIZES)
def test_maps_have_the_channels_and_strides_of_the_configuration(
    backbone: Backbone, config: BackboneConfig, size: tuple[int, int]
) -> None:
    assert backbone.stages == config.stages
    with torch.no_grad():
        maps = backbone(images(*size))
    assert list(maps) == list(config.stages)
    for name, (channels, stride) in config.stages.items():
        assert maps[name].shape == (2, channels, -(-size[0] // stride), -(-size[1] // stride)), name


def test_the_exported_program_gives_the_same_maps(backbone: Backbone) -> None:
    square = images(75, 75)
    batch = torch.export.Dim("batch", min=1, max=8)
    exported = torch.export.export(backbone, (square,), dynamic_shapes=({0: batch},)).module()
    more = torch.cat([square, -square])[:3]
    for name, expected in backbone(more).items():
        torch.testing.assert_close(exported(more)[name], expected, rtol=1e-5, atol=1e-5, msg=name)


class Folded(FusedConvolution):
    """A pair as an engine holds it."""

    def __init__(self, convolution: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.inner = nn.Sequential(convolution, norm)

    def forward(self, features: Tensor, added: Tensor | None = None, activation: Activation = "none") -> Tensor:
        result = self.inner(features)
        return activate(result if added is None else result + added, activation)


class NeverCalled(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        raise AssertionError("the norm of a fused convolution was called")


def fold_pairs(module: nn.Module) -> int:
    """Puts ``Folded`` in the place of each ``conv<name>`` and its ``bn<name>``; returns their number."""
    pairs = 0
    for name, child in list(module.named_children()):
        pairs += fold_pairs(child)
        if name.startswith("conv"):
            norm = name.replace("conv", "bn", 1)
            setattr(module, name, Folded(child, getattr(module, norm)))
            setattr(module, norm, NeverCalled())
            pairs += 1
    return pairs


def test_an_engine_can_fuse_each_convolution_with_its_norm(backbone: Backbone) -> None:
    square = images(64, 64)
    with torch.no_grad():
        expected = backbone(square)
        convolutions = [
            name
            for name, module in backbone.named_modules()
            if isinstance(module, nn.Conv2d) and "downsample" not in name
        ]
        assert fold_pairs(backbone) == len(convolutions)
        for name, result in backbone(square).items():
            torch.testing.assert_close(result, expected[name], rtol=0, atol=0)


def test_gradients_reach_every_parameter_that_trains(backbone: Backbone) -> None:
    maps = backbone.train()(images(64, 64))
    sum((value.square().mean() for value in maps.values()), torch.zeros(())).backward()
    trained = backbone.trainable(tune=True)
    assert trained
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in trained)


@pytest.mark.parametrize("tune", [False, True])
def test_the_compact_backbone_trains_whole(tune: bool) -> None:
    backbone = build_backbone(CONFIGURATIONS["compact"])
    assert set(backbone.trainable(tune)) == set(backbone.parameters())


def test_efficientnet_lite_keeps_its_first_blocks_unless_it_is_tuned_and_its_statistics_always() -> None:
    backbone = build_backbone(CONFIGURATIONS["efficientnet-lite"])
    assert set(backbone.trainable(tune=True)) == set(backbone.parameters())
    trained = set(backbone.trainable(tune=False))
    names = {name for name, parameter in backbone.named_parameters() if parameter in trained}
    assert {name.split(".")[1] for name in names} == {str(block) for block in range(5, 16)}  # Lite0: stride 8 ends at 4
    before = {name: value.clone() for name, value in backbone.named_buffers()}
    backbone.train()(images(64, 64))
    assert all(torch.equal(value, before[name]) for name, value in backbone.named_buffers())


def test_the_papers_backbone_trains_in_its_last_three_stages_and_only_where_it_is_tuned() -> None:
    backbone = build_backbone(TINY_RESNET)
    trained = set(backbone.trainable(tune=True))
    names = {name.split(".")[0] for name, parameter in backbone.named_parameters() if parameter in trained}
    assert names == {"layer2", "layer3", "layer4"}
    assert {name.split(".")[0] for name, value in backbone.named_parameters() if value not in trained} == {
        "conv1",
        "layer1",
    }
    assert backbone.trainable(tune=False) == []


def test_backbones_know_whether_their_weights_come_from_elsewhere() -> None:
    known = {name: build_backbone(config).is_pretrained for name, config in CONFIGURATIONS.items()}
    assert [name for name, pretrained in known.items() if not pretrained] == ["compact"]


def test_configurations_know_the_images_that_their_weights_expect() -> None:
    caffe = CONFIGURATIONS["deeplab caffe"].image_conventions
    assert caffe == {"channel_order": "BGR", "mean": (104.00698793, 116.66876762, 122.67891434), "std": (1.0, 1.0, 1.0)}
    torchvision = CONFIGURATIONS["deeplab torchvision"].image_conventions
    assert (torchvision["channel_order"], torchvision["mean"]) == ("RGB", (123.675, 116.28, 103.53))
    assert CONFIGURATIONS["compact"].image_conventions == torchvision
    lite = CONFIGURATIONS["efficientnet-lite"].image_conventions
    assert lite == {"channel_order": "RGB", "mean": (127.0, 127.0, 127.0), "std": (128.0, 128.0, 128.0)}


def test_impossible_values_are_refused() -> None:
    with pytest.raises(OutOfBounds, match="convention must be caffe or torchvision, got 'timm'"):
        DeepLabResNetConfig(convention="timm")  # type: ignore[arg-type]
    with pytest.raises(OutOfBounds, match="variant must be 0, 1, 2, 3 or 4, got 5"):
        EfficientNetLiteConfig(variant=5)  # type: ignore[arg-type]
