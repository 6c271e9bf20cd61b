"""Batches, loaded ahead by processes that end with the run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils.data import DataLoader, Sampler
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from cmpc.data.dataset import Batch, ReferringImages, collate, prepare_worker
from cmpc.data.device_transforms import CollatePhotos, PhotoBatch
from cmpc.data.sampler import Visit
from cmpc.errors import UserError


def make_loader(
    dataset: ReferringImages, sampler: Sampler[list[Visit]], *, workers: int | None
) -> DataLoader[Batch | PhotoBatch]:
    """The batches of a sampler.

    Args:
        dataset: images with their expressions.
        sampler: which of them each step takes.
        workers: processes that load; None for up to four, one fewer than the cores.
    """
    if workers is None:
        workers = min(4, (os.cpu_count() or 1) - 1)
    return DataLoader(
        dataset,  # type: ignore[arg-type]  # collate makes batches of samples
        batch_sampler=sampler,
        collate_fn=collate if dataset.render else CollatePhotos(dataset.image),
        num_workers=workers,
        worker_init_fn=prepare_worker,
        pin_memory=torch.cuda.is_available(),
    )


@contextmanager
def loading(batches: DataLoader[Batch | PhotoBatch]) -> Iterator[Iterator[Batch | PhotoBatch]]:
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
