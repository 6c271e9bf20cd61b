"""Small calls are recorded once and repeated, as a GPU does it.

There need be no GPU: a call is recorded as its operations on tensors, which is all that a CUDA graph holds. What Python
decides on the way, and every number it reads, is fixed when the call is recorded.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cmpc.engines.cuda_graphs import Function, RecordedFunction, Tensors, recorded_size
from cmpc.engines.passes.folding import fix_peepholes, fold_batch_norms
from cmpc.engines.torch_engine import TorchEngine
from networks import CONFIGURATIONS, PAPER, SMALL, build

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (3, 64, 64, 3), np.uint8)
LARGE_IMAGES = RANDOM.integers(0, 256, (3, 75, 75, 3), np.uint8)


class Operations:
    """Records as a CUDA graph does: operations on memory that stays in its place."""

    def __init__(self) -> None:
        self.recorded: list[dict[str, tuple[int, ...]]] = []
        """Shapes of the inputs of each recording."""
        self.repeated = 0

    def __call__(self, function: Function, inputs: Tensors) -> tuple[Callable[[], object], Tensors]:
        self.recorded.append({name: tuple(value.shape) for name, value in inputs.items()})
        names, places = list(inputs), list(inputs.values())
        results = {name: value.clone() for name, value in function(inputs).items()}

        def of_values(*values: Tensor) -> list[Tensor]:
            return list(function(dict(zip(names, values, strict=True))).values())

        operations = make_fx(of_values)(*places)

        def repeat() -> None:
            self.repeated += 1
            for place, value in zip(results.values(), operations(*places), strict=True):
                place.copy_(value)

        for place in results.values():
            place.zero_()  # a recording computes nothing
        return repeat, results


def tokens_of(*words: int, seed: int = 0) -> np.ndarray:
    """Expressions of so many words, (E, N)."""
    tokens = np.zeros((len(words), max(words)), np.int64)
    for row, count in enumerate(words):
        tokens[row, :count] = np.random.default_rng((seed, row)).integers(1, 50, count)
    return tokens


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_recorded_calls_give_the_answers_of_plain_ones(name: str) -> None:
    network = build(CONFIGURATIONS[name])
    record = Operations()
    plain, recorded = TorchEngine(network), TorchEngine(network, record=record)
    images = IMAGES if network.config.image.size == 64 else LARGE_IMAGES
    for image in images:  # the second and the third meet recordings that were made with another image and other words
        expected, seen = plain.encode_image(image[None])[0], recorded.encode_image(image[None])[0]
        assert seen.keys() == expected.keys()
        for key, value in expected.items():
            torch.testing.assert_close(seen[key], value, rtol=1e-4, atol=1e-4)
        for tokens in (tokens_of(3, 1, 5, seed=int(image[0, 0, 0])), tokens_of(20)):
            ours, theirs = recorded.comprehend(seen, tokens), plain.comprehend(seen, tokens)
            for name, values in theirs._asdict().items():
                if values is None:
                    assert (name, getattr(ours, name)) == ("presence", None)
                    continue
                assert getattr(ours, name).shape == values.shape
                np.testing.assert_allclose(getattr(ours, name), values, rtol=1e-3, atol=1e-4)
    assert len(record.recorded) == 1 + 2
    assert record.repeated == 3 * (1 + 2)


def test_features_of_earlier_images_stay_as_they_are() -> None:
    engine = TorchEngine(build(SMALL), record=Operations())
    first = engine.encode_image(IMAGES[:1])[0]
    before = {name: value.clone() for name, value in first.items()}
    answer = engine.comprehend(first, tokens_of(2)).logits
    kept = answer.copy()
    engine.comprehend(engine.encode_image(IMAGES[1:2])[0], tokens_of(3))
    assert all(torch.equal(first[name], before[name]) for name in before)
    np.testing.assert_array_equal(answer, kept)


def test_few_shapes_are_recorded() -> None:
    record = Operations()
    engine = TorchEngine(build(SMALL), record=record)
    features = engine.encode_image(IMAGES[:1])[0]
    for count in range(1, 9):
        for words in (1, 4):
            engine.comprehend(features, tokens_of(*[words] * count))
    words = SMALL.text.max_words
    assert [shapes["tokens"] for shapes in record.recorded[1:]] == [(size, words) for size in (1, 2, 4, 8)]


def test_larger_calls_are_not_recorded() -> None:
    record = Operations()
    network = build(SMALL)
    engine, plain = TorchEngine(network, record=record), TorchEngine(network)
    features = engine.encode_image(IMAGES)[0]  # three at once
    tokens = tokens_of(*range(1, 10))
    answers = engine.comprehend(features, tokens)
    assert not record.recorded
    np.testing.assert_array_equal(answers[0], plain.comprehend(features, tokens)[0])


@pytest.mark.parametrize(("count", "size"), [(0, None), (1, 1), (2, 2), (3, 4), (5, 8), (8, 8), (9, None)])
def test_small_calls_are_filled_up_to_powers_of_two(count: int, size: int | None) -> None:
    assert recorded_size(count) == size


def test_calls_that_cannot_be_recorded_are_made_plainly_and_say_so_once() -> None:
    def record(function: Function, inputs: Tensors) -> tuple[Callable[[], object], Tensors]:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    network = build(SMALL)
    engine, plain = TorchEngine(network, record=record), TorchEngine(network)
    with pytest.warns(RuntimeWarning, match=r"slower \(operation not permitted when stream is capturing\)"):
        features = engine.encode_image(IMAGES[:1])[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        engine.encode_image(IMAGES[1:2])
    with pytest.warns(RuntimeWarning, match="cannot be recorded"):  # this was not tried before
        answers = engine.comprehend(features, tokens_of(3))
    np.testing.assert_allclose(answers[0], plain.comprehend(features, tokens_of(3))[0], rtol=1e-4, atol=1e-4)


def test_threads_do_not_mix_what_they_ask() -> None:
    together = threading.Barrier(4)
    doubled = RecordedFunction(lambda inputs: {"twice": inputs["value"] * 2}, Operations())

    def ask(number: int) -> bool:
        together.wait()
        values = (torch.full((1000,), float(number * 100 + turn)) for turn in range(50))
        return all(torch.equal(doubled({"value": value})["twice"], value * 2) for value in values)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(4)))


class Transfers(TorchDispatchMode):
    """Notices operations that meet tensors of two devices."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = function(*args, **(kwargs or {}))
        tensors = (leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor))
        if len({tensor.device for tensor in tensors}) > 1:
            self.found.append(str(function))
        return result


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_nothing_that_cannot_be_recorded_is_done(name: str) -> None:
    """While a stream is recorded nothing may wait for the device, or bring something there. Meta tensors have no
    content, so that reading a number fails."""
    config = CONFIGURATIONS[name]
    network = build(config).to("meta")
    size = config.image.size
    fold_batch_norms(network)
    fix_peepholes(network, config.grid)
    with torch.inference_mode(), Transfers() as transfers:
        features = network.encode_image(torch.empty(1, 3, size, size, device="meta"))
        words = network.encode_expression(torch.empty(4, config.text.max_words, dtype=torch.int64, device="meta"))
        network.comprehend(features, words, torch.zeros(4, dtype=torch.int64, device="meta"))
    assert not transfers.found


@pytest.fixture
def gpu() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU here")
    return torch.device("cuda")


def test_graphs_of_a_gpu_give_the_answers_of_plain_calls(gpu: torch.device) -> None:
    network = build(PAPER.changed(network={"presence_channels": 8})).to(gpu)
    graphs, plain = TorchEngine(network), TorchEngine(network, record=None)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*cannot be recorded")
        for image in IMAGES:
            seen, expected = graphs.encode_image(image[None])[0], plain.encode_image(image[None])[0]
            for tokens in (tokens_of(3), tokens_of(2, 1, 5)):
                ours, theirs = graphs.comprehend(seen, tokens), plain.comprehend(expected, tokens)
                apart = np.linalg.norm(ours.logits - theirs.logits)
                assert apart < 1e-2 * np.linalg.norm(theirs.logits)  # TF32 has three digits
                np.testing.assert_allclose(ours.presence, theirs.presence, rtol=1e-2, atol=1e-2)
