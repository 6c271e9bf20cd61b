"""Batches, loaded ahead by processes that end with the run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from cmpc.data.dataset import ReferringImages, prepare_worker
from cmpc.data.sampler import Visit
from cmpc.errors import UserError
from cmpc.processes import usable_cores

SHARED_MEMORY = Path("/dev/shm")
"""Where Linux keeps what processes share."""
MORE_SHARED_MEMORY = (
    f"give {SHARED_MEMORY} more room (docker run --shm-size 2g), or load with fewer --workers (0: none)"
)
LONGEST_WAIT = 300
"""Seconds after which a batch that has not come is taken to come never."""
_END_SECONDS = 10


def make_loader(
    dataset: Dataset[Any], sampler: Sampler[list[Visit]], *, collate: Callable[[Any], Any], workers: int | None
) -> DataLoader[Any]:
    """The batches of a sampler.

    Args:
        dataset: gives samples by ``Visit``.
        sampler: which of them each step takes.
        collate: joins samples to a batch.
        workers: processes that load; None for up to four, one fewer than the cores.
    """
    if workers is None:
        workers = min(4, usable_cores() - 1)
    remote = isinstance(dataset, ReferringImages) and dataset.data.is_remote
    return DataLoader(
        dataset,
        multiprocessing_context="spawn" if workers and remote else None,  # connections do not outlive a fork
        batch_sampler=sampler,
        collate_fn=_IntoSharedMemory(collate) if workers else collate,
        num_workers=workers,
        worker_init_fn=prepare_worker,
        pin_memory=torch.cuda.is_available(),
        timeout=LONGEST_WAIT if workers else 0,
    )


@contextmanager
def loading(batches: DataLoader[Any]) -> Iterator[Iterator[Any]]:
    """The batches, loaded ahead in processes that end with the block, however it ends.

    The processes ignore signals, so whoever leaves them behind waits for them at its own end, without end. An error in
    one of them is raised as it was there, where PyTorch puts a traceback in its text.

    Raises:
        UserError: what one of them raised; or one was ended from outside, or gives no batch.
    """
    loaded = iter(batches)
    try:
        yield loaded
    except UserError as error:
        raise type(error)(str(error).rpartition(f"{type(error).__name__}: ")[2].strip()) from None
    except RuntimeError as error:
        reason = _why_no_batch_comes(f"{error} {error.__cause__}")  # the cause may say by what signal it ended
        if reason is None:
            raise
        raise UserError(reason) from None
    finally:
        if isinstance(loaded, _MultiProcessingDataLoaderIter):
            loaded._shutdown_workers()  # its destructor, which a traceback can keep from running
            for worker in loaded._workers:
                if worker.is_alive():  # it cannot be asked to end
                    worker.kill()
                    worker.join(_END_SECONDS)


class _IntoSharedMemory:
    """Joins samples to a batch in the memory that the processes share.

    PyTorch does that by itself when it sends a batch, but in a thread whose errors nobody hears of: the batch never
    comes.
    """

    def __init__(self, collate: Callable[[Any], Any]) -> None:
        """
        Args:
            collate: joins samples to a batch.
        """
        self._collate = collate

    def __call__(self, samples: Any) -> Any:
        batch = self._collate(samples)
        tensors = [tensor for tensor in _tensors(batch) if tensor.untyped_storage().nbytes()]
        needed = sum(tensor.untyped_storage().nbytes() for tensor in tensors)
        if SHARED_MEMORY.is_dir():  # room that is not there is noticed only when it is written to, by a signal
            free = shutil.disk_usage(SHARED_MEMORY).free
            if needed > free:
                raise UserError(
                    f"the shared memory is full: a batch needs {needed / 1e6:,.1f} MB, and {SHARED_MEMORY} has "
                    f"{free / 1e6:,.1f} MB left; {MORE_SHARED_MEMORY}."
                )
        try:
            for tensor in tensors:
                tensor.share_memory_()
        except (RuntimeError, OSError) as error:
            raise UserError(f"there is no shared memory for a batch ({error}); {MORE_SHARED_MEMORY}.") from None
        return batch


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in a batch, which is made of named tuples and lists."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)


def _why_no_batch_comes(error: str) -> str | None:
    """What an error of PyTorch says of the processes that load; None where it says something else."""
    if error.startswith("DataLoader timed out"):
        return (
            f"no batch came for {LONGEST_WAIT} seconds: the photos cannot be read (of a drive that does not answer?), "
            "or a process that loads them stands still; --workers 0 loads without."
        )
    if not error.startswith("DataLoader worker"):
        return None
    if "Bus error" in error:
        return f"a process that loads photos was ended because the shared memory is full: {MORE_SHARED_MEMORY}."
    return (
        "a process that loads photos was ended, most often for lack of memory: load with fewer --workers, and go on "
        "with --resume."
    )
