"""The subjects of the benchmark, one file each. Nothing heavy is imported before a variant starts in its process."""

from benchmarks.cases import evaluation, inference, loading, preparation, startup, training
from benchmarks.timing import Case

CASES: dict[str, Case] = {
    case.name: case
    for case in (
        *inference.CASES,
        *training.CASES,
        loading.CASE,
        preparation.CASE,
        evaluation.CASE,
        startup.CASE,
    )
}
"""Name -> case, in the order in which they run."""
