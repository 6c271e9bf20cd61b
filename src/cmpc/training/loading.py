"""Batches, loaded ahead by processes that end with the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from cmpc.data.dataset import prepare_worker
from cmpc.data.sampler import Visit
from cmpc.errors import UserError
from cmpc.processes import usable_cores


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
    return DataLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=collate,
        num_workers=workers,
        worker_init_fn=prepare_worker,
        pin_memory=torch.cuda.is_available(),
    )


@contextmanager
def loading(batches: DataLoader[Any]) -> Iterator[Iterator[Any]]:
    """The batches, loaded ahead in processes that end with the block, however it ends.

    The processes ignore signals, so whoever leaves them behind waits for them at its own end, without end. An error in
    one of them is raised as it was there, where PyTorch puts a traceback in its text.
    """
    loaded = iter(batches)
    try:
        yield loaded
    except UserError as error:
        raise type(error)(str(error).rpartition(f"{type(error).__name__}: ")[2].strip()) from None
    finally:
        if isinstance(loaded, _MultiProcessingDataLoaderIter):
            loaded._shutdown_workers()  # its destructor, which a traceback can keep from running
