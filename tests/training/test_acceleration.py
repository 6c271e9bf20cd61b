"""What makes a step faster and leaves its numbers: ``torch.compile``, channels last, deterministic algorithms."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch._dynamo.utils import counters
from torch._inductor import config as inductor_config

from cmpc import devices
from cmpc.errors import UsageError
from cmpc.training.compilation import check_compiler, compile_parts
from cmpc.training.fabric import use_deterministic_algorithms
from cmpc.training.interruption import Interruption
from cmpc.training.options import TrainingOptions
from cmpc.training.recipe import train
from compiling import compiled_by
from networks import CONFIGURATIONS, build, tiny_config
from training.scenes import QUICK_RUN, losses, train_process

ENOUGH_CHANNELS = ("--backbone.channels", "16", "16", "24", "32")
"""With fewer, PyTorch 2.13's convolutions on maps whose channels come last write beyond their memory on some processors
when they form gradients."""


@pytest.mark.slow
def test_compiled_network_trains_as_the_plain_one(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled-code"))
    arguments = ["--data", scenes, *QUICK_RUN, "--workers", "0", "--steps", "4", *ENOUGH_CHANNELS]
    for run, extra in (("plain", ()), ("compiled", ("--compile",))):
        process = train_process([*arguments, *extra, "--out", tmp_path / run])
        output, _ = process.communicate()
        assert process.returncode == 0, output
        parts = len(list((tmp_path / "compiled-code").rglob("*.so")))
        assert (parts > 10) is bool(extra), output
    plain, compiled = losses(tmp_path / "plain"), losses(tmp_path / "compiled")
    assert len(plain) == len(compiled) == 4
    assert compiled[0] == pytest.approx(plain[0], rel=1e-5, abs=1e-6)
    for expected, row in zip(plain, compiled, strict=True):
        assert row == pytest.approx(expected, rel=2e-3, abs=2e-3)
    names = [set(load_file(tmp_path / run / "last" / "model.safetensors")) for run in ("plain", "compiled")]
    assert names[0] == names[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["paper", "parts of the model that ships", "recurrent refinement network"])
def test_compiled_parts_give_the_numbers_of_the_network(name: str) -> None:
    """What ``torch.compile`` takes from the network, run without a compiler: that is what a release of PyTorch, or a
    change of ours, breaks."""
    config = CONFIGURATIONS[name]
    plain, compiled = build(config), build(config)
    with compiled_by("aot_eager"):
        compile_parts(compiled)
    assert list(compiled.state_dict()) == list(plain.state_dict())
    torch._dynamo.reset()
    counters.clear()
    for images, expressions, words in ((1, 2, 3), (2, 5, 4)):
        generator = torch.Generator().manual_seed(words)
        pixels = torch.randn(images, 3, config.image.size, config.image.size, generator=generator)
        tokens = torch.randint(1, 50, (expressions, words), generator=generator)
        index = torch.arange(expressions) % images
        results = []
        for network in (plain, compiled):
            logits = network(pixels, tokens, index).logits
            gradient = torch.autograd.grad(logits.square().mean(), network.score.weight)[0]
            results.append((logits, gradient))
        torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-5)
    assert counters["stats"]["unique_graphs"] > 0
    assert not counters["graph_break"]


def test_missing_compiler_is_named_before_a_run_begins(
    scenes: Path, tmp_path: Path, tiny_network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    torch._dynamo.reset()
    options = TrainingOptions(data=scenes, out=tmp_path / "run", accelerator="cpu", compile=True)
    with (
        inductor_config.patch({"cpp.cxx": (None, str(tmp_path / "no-compiler"))}),
        pytest.raises(UsageError, match=r"--compile needs .* leave --compile out \(.*No working C\+\+ compiler"),
    ):
        train(options)
    assert not (tmp_path / "run").exists()


def test_compiler_that_works_is_accepted() -> None:
    check_compiler(torch.device("cpu"))


def test_channels_last_changes_rounding_alone(scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"data": scenes, "accelerator": "cpu", "precision": "32", "workers": 0}
    options |= {"model": tiny_config(50)}  # of as many channels as ENOUGH_CHANNELS
    options |= {"batch_images": 2, "expressions_per_image": 2, "log_every": 1, "steps": 4, "validate_every": 0}
    train(TrainingOptions(**options, out=tmp_path / "first"))
    monkeypatch.setattr("cmpc.training.preparation.channels_last_pays", lambda device: True)
    stops = iter([False, True])
    with monkeypatch.context() as stopping:
        stopping.setattr(Interruption, "wanted", lambda *_, **__: next(stops))
        assert train(TrainingOptions(**options, out=tmp_path / "last")).step == 2
    assert train(TrainingOptions(**options, out=tmp_path / "last", resume=True)).finished
    first, last = losses(tmp_path / "first"), losses(tmp_path / "last")
    assert len(first) == len(last) == 4
    assert first[0] == pytest.approx(last[0], rel=1e-5, abs=1e-6)
    for expected, row in zip(first, last, strict=True):
        assert row == pytest.approx(expected, rel=2e-3, abs=2e-3)


def test_channels_last_is_for_gpus_of_nvidia() -> None:
    assert devices.channels_last_pays(torch.device("cuda", 1))
    assert not devices.channels_last_pays(torch.device("cpu"))


def test_deterministic_algorithms_do_not_fill_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    before = torch.utils.deterministic.fill_uninitialized_memory
    try:
        use_deterministic_algorithms()
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.utils.deterministic.fill_uninitialized_memory
    finally:
        torch.use_deterministic_algorithms(False)
        torch.utils.deterministic.fill_uninitialized_memory = before
