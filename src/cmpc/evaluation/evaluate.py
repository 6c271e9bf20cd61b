"""Tests a model on a split of a prepared dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cmpc.data.schema import PreparedDataset, ReferredObject
from cmpc.data.vocabulary import Vocabulary
from cmpc.engines.engine import Engine
from cmpc.errors import UsageError, UserError
from cmpc.evaluation.crf import require_crf
from cmpc.evaluation.inference import predict
from cmpc.evaluation.journal import Journal
from cmpc.evaluation.metrics import ScoreTable
from cmpc.evaluation.processes import Processes
from cmpc.evaluation.protocols import Protocol
from cmpc.evaluation.results import Results
from cmpc.evaluation.samples import Sample, samples_by_image
from cmpc.evaluation.scoring import ScoredSample, ScoringPool


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found."""

    dataset: str
    """Name of the dataset."""
    split: str
    """Name of the split."""
    protocol: Protocol
    """How predictions became masks."""
    images: int
    """Images that were evaluated."""
    images_in_split: int
    """Images that the split has; more than ``images`` when a limit was given."""
    samples: Sequence[Sample]
    """The evaluated expressions, in the order of the split."""
    results: Sequence[ScoredSample]
    """The result of each sample."""

    @property
    def with_crf(self) -> bool:
        """Whether masks were scored after the DenseCRF too."""
        return self.results[0].with_crf is not None

    def table(self, *, with_crf: bool = False) -> ScoreTable:
        """The scores of the network's masks, or of those after the DenseCRF.

        Raises:
            ValueError: the DenseCRF was not asked for.
        """
        table = ScoreTable()
        for sample, result in zip(self.samples, self.results, strict=True):
            overlap = result.with_crf if with_crf else result.without_crf
            if overlap is None:
                raise ValueError("this evaluation was run without the DenseCRF: there is no table with it")
            table.add(overlap, words=sample.words, group=sample.group, truth=sample.truth, targets=sample.targets)
        return table


def evaluate(
    engine: Engine,
    vocabulary: Vocabulary,
    dataset: PreparedDataset,
    split: str,
    *,
    rows: Sequence[ReferredObject] | None = None,
    protocol: Protocol = "standard",
    crf: bool = False,
    crf_workers: int | None = None,
    batch_images: int = 4,
    limit: int | None = None,
    journal: Journal | None = None,
    processes: Processes | None = None,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Asks for every expression of a split and compares the masks with the true ones.

    Images are seen once, with all their expressions. Masks are compared (and refined by the CRF) on all cores while the
    network works. With ``crf`` the comparison runs in processes that import the calling program's main module: guard it
    with ``if __name__ == "__main__":``.

    Args:
        engine: what runs the network.
        vocabulary: its words.
        dataset: the prepared dataset.
        split: which split.
        rows: those of the split, where they have been read already.
        protocol: how predictions become masks (see ``protocols``).
        crf: also score the masks after the DenseCRF.
        crf_workers: processes that compute it; 0 computes it between the network's batches, None takes one for each
            core. The results are the same.
        batch_images: images that the network sees at once.
        limit: evaluate only the first images of the split, with all their expressions.
        journal: keeps results as they come in; those that it holds are not computed again. Of several processes the
            first one alone has one.
        processes: share the images, and give the same result each; None for this one alone.
        advance: called with (finished expressions, all expressions).

    Raises:
        UsageError: there is no such split, a number is too low, or ``crf_workers`` is given without ``crf``.
        UserError: the split has no expressions, a photo is missing or broken, or the DenseCRF is not installed.
    """
    numbers = {"--limit": limit, "--batch-images": batch_images}
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise UsageError(f"{name} must be 1 or more, got {number}.")
    if crf_workers is not None and (crf_workers < 0 or not crf):
        raise UsageError(f"--crf-workers goes with --crf and must be 0 or more, got {crf_workers}.")
    if crf:
        require_crf()
    images = samples_by_image(dataset.read(split) if rows is None else rows)
    if not images:
        raise UserError(f"split {split} of {dataset.folder} has no expressions: there is nothing to evaluate.")
    chosen = images[:limit]
    samples = chosen.samples

    processes = processes or Processes()
    results = processes.from_first(Results() if journal is None else journal.results)
    remaining = chosen.without(results)
    done = len(samples) - len(remaining.samples)
    advance(done, len(samples))

    def scored(pool: ScoringPool) -> Iterator[ScoredSample]:
        """Results as they come in, of several processes after each round."""
        for share in processes.rounds(remaining, batch=batch_images):
            found = pool.score(predict(engine, vocabulary, dataset, share, batch_images=batch_images))
            yield from found if processes.count == 1 else processes.of_all(list(found))

    with ScoringPool(protocol, crf=crf, workers=processes.workers(crf_workers)) as pool:
        for result in scored(pool):
            if journal is not None:
                journal.append(result)
            results[result.number] = result
            done += 1
            advance(done, len(samples))

    return Evaluation(
        dataset=dataset.info.name,
        split=split,
        protocol=protocol,
        images=len(chosen),
        images_in_split=len(images),
        samples=samples,
        results=results.of(samples.numbers),
    )
