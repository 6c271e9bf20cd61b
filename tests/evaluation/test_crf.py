"""The DenseCRF, against numbers of the original's (pydensecrf 1.0rc3 on Python 2.7); needs the extra ``crf``."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from cmpc.data.images import read_image
from cmpc.data.schema import PreparedDataset
from cmpc.data.vocabulary import Vocabulary
from cmpc.engines.torch_engine import TorchEngine
from cmpc.errors import UsageError, UserError
from cmpc.evaluation.crf import refine
from cmpc.evaluation.evaluate import Evaluation, evaluate
from cmpc.evaluation.journal import Journal
from cmpc.evaluation.protocols import mask_from_marginals
from cmpc.evaluation.scoring import sigmoid
from evaluation.toy import ScriptedEngine

REFERENCE = np.load(Path(__file__).parent / "fixtures/crf.npz")
IMAGE = read_image(REFERENCE["image"].tobytes())
PROBABILITIES = np.ascontiguousarray(REFERENCE["probability"].T).view(np.float32).reshape(320, 320)


def test_marginals_and_mask_equal_the_original() -> None:
    marginals = refine(PROBABILITIES, IMAGE)
    mask = np.unpackbits(REFERENCE["mask"]).reshape(320, 320).astype(bool)
    assert np.abs(marginals[1] - REFERENCE["marginals"] / 65535).max() <= 1e-5
    assert np.abs(marginals.sum(axis=0) - 1).max() <= 1e-5
    assert ((marginals[1] > marginals[0]) == mask).all()


def test_certain_logits_give_finite_marginals() -> None:
    """The original's energy is infinite where a probability rounds to 1."""
    logits = np.full((32, 32), -200, np.float32)
    logits[8:24, 8:24] = 200
    marginals = refine(sigmoid(logits), np.full((32, 32, 3), 128, np.uint8))
    assert np.isfinite(marginals).all()
    assert (mask_from_marginals(marginals, 32, 32, "standard") == (logits > 0)).all()


def test_a_photo_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(32, 32, 3\) uint8"):
        refine(np.zeros((32, 32), np.float32), np.zeros((16, 16, 3), np.uint8))


@pytest.mark.parametrize("protocol", ["paper", "standard"])
def test_both_tables_are_given_and_the_one_without_is_that_of_a_run_without(
    protocol: str, dataset: PreparedDataset, vocabulary: Vocabulary, tiny_engine: TorchEngine
) -> None:
    rows, columns = np.mgrid[:64, :64]

    def answer(image: torch.Tensor, words: list[int]) -> np.ndarray:
        return 8 * np.sin(rows / (3 + len(words))) + columns % 7 - 4

    model = ScriptedEngine(tiny_engine.config, answer)
    plain = evaluate(model, vocabulary, dataset, "val", protocol=protocol)
    refined = evaluate(model, vocabulary, dataset, "val", protocol=protocol, crf=True)

    assert refined.table() == plain.table()
    assert refined.table(with_crf=True).all.expressions == 11
    assert refined.table(with_crf=True) != plain.table()
    with pytest.raises(ValueError, match="without the DenseCRF"):
        plain.table(with_crf=True)


def test_masks_are_refined_to_the_same_numbers_in_the_same_order_by_any_number_of_processes(
    dataset: PreparedDataset, vocabulary: Vocabulary, tiny_engine: TorchEngine, tmp_path: Path
) -> None:
    journals = []
    for workers in (0, 2):
        with closing(Journal(tmp_path / str(workers), {}, resume=False)) as journal:
            evaluate(tiny_engine, vocabulary, dataset, "val", crf=True, crf_workers=workers, journal=journal)
            journal.finish()
        journals.append((tmp_path / str(workers) / "scores.jsonl").read_bytes())
    assert journals[0] == journals[1]
    assert b"with_crf" in journals[0]


def test_process_that_dies_is_one_sentence_and_the_results_until_then_are_kept(
    dataset: PreparedDataset, vocabulary: Vocabulary, tiny_engine: TorchEngine, tmp_path: Path
) -> None:
    def end_a_process(done: int, total: int) -> None:
        if done == 1:
            os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)

    def run(advance: Callable[[int, int], None], *, resume: bool) -> Evaluation:
        with closing(Journal(tmp_path / "out", {}, resume=resume)) as journal:
            return evaluate(
                *(tiny_engine, vocabulary, dataset, "val"), crf=True, crf_workers=1, journal=journal, advance=advance
            )

    with pytest.raises(UserError, match=r"go on with --resume, with fewer --crf-workers if need be\.$"):
        run(end_a_process, resume=False)
    kept = []
    continued = run(lambda done, total: kept.append(done), resume=True)
    assert 1 <= kept[0] < 11
    assert continued.table(with_crf=True).all.expressions == 11


def test_crf_workers_without_the_crf_are_refused(
    dataset: PreparedDataset, vocabulary: Vocabulary, tiny_engine: TorchEngine
) -> None:
    with pytest.raises(UsageError, match="--crf-workers goes with --crf"):
        evaluate(tiny_engine, vocabulary, dataset, "val", crf_workers=2)
    with pytest.raises(UsageError, match="must be 0 or more, got -1"):
        evaluate(tiny_engine, vocabulary, dataset, "val", crf=True, crf_workers=-1)
