"""An evaluation by several processes under torchrun: each takes a share of the images, the first writes the files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from cmpc.processes import naming_lost_processes, usable_cores

Item = TypeVar("Item")
Value = TypeVar("Value")

BATCHES_OF_A_ROUND = 16
"""Batches of each process after which they tell each other their results, which the first one then writes down."""


@dataclass(frozen=True)
class Processes:
    """The processes of an evaluation; all of them call the same methods in the same order."""

    rank: int = 0
    """Number of this one; the first writes the files."""
    count: int = 1
    """How many there are."""
    local_rank: int = 0
    """Number of this one on its machine."""
    local_count: int = 1
    """How many there are on its machine."""

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def device(self, name: str) -> str:
        """The device of this process, where ``name`` says only its kind."""
        if self.count == 1 or name not in ("auto", "cuda"):
            return name
        import torch

        return f"cuda:{self.local_rank}" if name == "cuda" or torch.cuda.is_available() else "auto"

    def workers(self, asked: int | None) -> int | None:
        """Threads or processes that compare masks beside this one: as many as asked, or a share of the cores."""
        return asked if self.count == 1 or asked is not None else max(1, usable_cores() // self.local_count)

    def from_first(self, value: Value) -> Value:
        """What the first process gives."""
        if self.count == 1:
            return value
        import torch.distributed

        values = [value]
        torch.distributed.broadcast_object_list(values, src=0)
        return values[0]

    def of_all(self, values: list[Value]) -> list[Value]:
        """What all processes give, one after the other."""
        if self.count == 1:
            return values
        import torch.distributed

        lists: list[list[Value]] = [[] for _ in range(self.count)]
        torch.distributed.all_gather_object(lists, values)
        return [value for part in lists for value in part]

    def rounds(self, items: Sequence[Item], *, batch: int) -> Iterator[Sequence[Item]]:
        """This process's share of each round, the same number of rounds in every process.

        Shares are of whole batches, those that a single process would form: the numbers are bit for bit the same.
        """
        if self.count == 1:
            yield items
            return
        starts = range(0, len(items), batch)
        each = self.count * BATCHES_OF_A_ROUND
        for first in range(0, len(starts), each):
            mine = starts[first : first + each][self.rank :: self.count]
            yield [item for start in mine for item in items[start : start + batch]]


@contextmanager
def processes_of_run() -> Iterator[Processes]:
    """The processes that torchrun started for this command, or this one alone.

    Raises:
        UserError: another one has ended.
    """
    count = int(os.environ.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else 1
    if count == 1:
        yield Processes()
        return
    import torch.distributed

    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    processes = Processes(*(int(os.environ[name]) for name in names))
    with naming_lost_processes(processes.rank, processes.count):
        torch.distributed.init_process_group("gloo")
        yield processes
        torch.distributed.barrier()  # the first may still write
        torch.distributed.destroy_process_group()
