"""Pre-trained weights for the backbone, from the original's TensorFlow files and from torchvision's and timm's."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from safetensors.torch import save_file
from torch import Tensor

from cmpc.errors import UserError
from cmpc.interop.backbone_weights import config_for_backbone_weights, load_backbone_weights
from cmpc.interop.tensorflow.names import variables
from cmpc.models import CMPC, ReferringNetwork, build_network, preset
from interop.tables import bytes_field, version_1, write_float_bundle
from interop.tiny_network import TINY, TINY_TORCHVISION, training_checkpoint, values_of

BACKBONE = [variable for variable in variables(TINY) if variable.parameter.startswith("backbone.")]


def resnet(*, blocks: tuple[int, int, int, int] = TINY.backbone.blocks) -> dict[str, Tensor]:
    """A state dict as torchvision's: the backbone's names, a classifier, and the batch norms' counters."""
    config = dataclasses.replace(TINY_TORCHVISION.backbone, blocks=blocks)
    state = CMPC(dataclasses.replace(TINY_TORCHVISION, backbone=config)).backbone.state_dict()
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
    model = CMPC(TINY_TORCHVISION)
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
    model = CMPC(TINY_TORCHVISION)
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
        load_backbone_weights(CMPC(TINY_TORCHVISION), "timm/resnet101.a1_in1k")


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
@pytest.mark.parametrize("network", ["cmpc", "rrn"])
def test_the_originals_start_is_loaded(
    network: Literal["cmpc", "rrn"], write: Callable[[Path], Path], tmp_path: Path
) -> None:
    model = build_network(dataclasses.replace(TINY, network=network))
    head = model.score.weight.clone()
    load_backbone_weights(model, str(write(tmp_path)))
    state = model.state_dict()
    for variable in BACKBONE:
        expected = torch.tensor(variable.to_parameter(values_of(variable.name, variable.shape)))
        torch.testing.assert_close(state[variable.parameter], expected, rtol=0, atol=0)
    assert torch.equal(model.score.weight, head)


def test_stride_in_the_wrong_place_names_the_option(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"in the 3x3 convolution.*set backbone\.stride_in to '3x3'"):
        load_backbone_weights(CMPC(TINY), str(save_safetensors(resnet(), tmp_path)))
    with pytest.raises(UserError, match=r"in the 1x1 convolution.*set backbone\.stride_in to '1x1'"):
        load_backbone_weights(CMPC(TINY_TORCHVISION), str(write_version_2(tmp_path)))


@pytest.mark.parametrize("source", ["resnet101.pth", "timm/resnet101.a1_in1k"])
def test_configuration_follows_torchvisions_conventions(source: str) -> None:
    config = config_for_backbone_weights(preset("paper", vocabulary_size=9), source)
    assert (config.backbone.stride_in, config.backbone.norm_epsilon) == ("3x3", 1e-5)
    assert not config.backbone.tensorflow_padding
    assert config.image.channel_order == "RGB"
    assert config.image.std == (58.395, 57.12, 57.375)
    assert (config.image.size, config.vocabulary_size) == (320, 9)


def test_configuration_for_the_originals_start_is_the_published_one() -> None:
    assert config_for_backbone_weights(preset("paper"), "data/weights/deeplab_resnet_init.ckpt") == preset("paper")


def test_a_deeper_resnet_is_refused(tmp_path: Path) -> None:
    source = save_safetensors(resnet(blocks=(1, 2, 3, 1)), tmp_path)
    with pytest.raises(UserError, match=r"does not hold a ResNet-101.*: 15 unexpected \(layer3\.2\."):
        load_backbone_weights(CMPC(TINY_TORCHVISION), str(source))


def test_missing_and_misshapen_weights_are_named_and_nothing_changes(tmp_path: Path) -> None:
    state = resnet()
    del state["layer4.0.conv2.weight"]
    state["layer1.0.bn1.bias"] = torch.zeros(77)
    model = CMPC(TINY_TORCHVISION)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(UserError, match=r"1 missing \(layer4\.0\.conv2\.weight\); 1 of another shape \(layer1\.0\.bn1"):
        load_backbone_weights(model, str(save_pth(state, tmp_path)))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_another_network_is_refused(tmp_path: Path) -> None:
    source = save_safetensors({"features.0.weight": torch.zeros(3)}, tmp_path)
    with pytest.raises(UserError, match=r"conv1\.weight is missing"):
        load_backbone_weights(CMPC(TINY_TORCHVISION), str(source))


def test_the_compact_backbone_takes_no_resnet(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="compact backbone: take the preset paper"):
        load_backbone_weights(CMPC(preset("small", vocabulary_size=4)), str(tmp_path / "resnet101.pth"))


@pytest.mark.parametrize("source", ["weights/resnet101.pth", "resnet101.safetensors"])
def test_a_missing_file_is_refused(source: str) -> None:
    with pytest.raises(UserError, match=f"there are no backbone weights at {source}"):
        load_backbone_weights(CMPC(TINY_TORCHVISION), source)


@pytest.mark.parametrize("name", ["resnet101.pth", "model.safetensors"])
@pytest.mark.parametrize("kept", [0, 40, 5000])
def test_truncated_weights_are_refused(name: str, kept: int, tmp_path: Path) -> None:
    source = (save_pth if name.endswith(".pth") else save_safetensors)(resnet(), tmp_path)
    source.write_bytes(source.read_bytes()[:kept])
    with pytest.raises(UserError, match="cannot be read as"):
        load_backbone_weights(CMPC(TINY_TORCHVISION), str(source))


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
        load_backbone_weights(CMPC(TINY_TORCHVISION), str(tmp_path / "resnet101.pth"))
    assert not (tmp_path / "executed").exists()
