"""``torch.compile`` with less than its C++ or Triton compiler, which takes minutes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest
import torch


@contextmanager
def compiled_by(backend: Literal["eager", "aot_eager"]) -> Iterator[None]:
    """Modules that are told to compile take the backend: what a graph holds is found, and run as it is."""
    compile_module = torch.nn.Module.compile
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Module, "compile", lambda part: compile_module(part, backend=backend))
        yield
