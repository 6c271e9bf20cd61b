"""The models that the page offers."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from cmpc.errors import UserError
from cmpc.model_folder import CONFIG, WEIGHTS
from cmpc.segmenter import Segmenter

if TYPE_CHECKING:
    import torch

KEPT = 2
"""Models held in memory at once."""


class Models:
    """Models by name, each loaded when it is first asked for. Not for several threads at once."""

    def __init__(self, sources: dict[str, str | Path], device: torch.device | str = "cpu") -> None:
        """
        Args:
            sources: for each name a model folder or a name on the hub; the first one is the page's choice.
            device: where the networks run, as ``Segmenter.load`` takes it.
        """
        if not sources:
            raise ValueError("there must be at least one model")
        self._sources = sources
        self._device = device
        self._loaded: OrderedDict[str, Segmenter] = OrderedDict()

    @property
    def names(self) -> list[str]:
        """Names in the order of the chooser."""
        return list(self._sources)

    def name(self, wanted: str | None) -> str:
        """The name itself, or the first one where none is wanted.

        Raises:
            UserError: there is no such model.
        """
        if wanted in (None, ""):
            return self.names[0]
        if wanted not in self._sources:
            raise UserError(f"there is no model {wanted!r} here: the models are {', '.join(self.names)}.")
        return str(wanted)

    def load(self, name: str) -> Segmenter:
        """The model of that name; the one used longest ago is let go when there are too many.

        Raises:
            UserError: the model is damaged, or the hub could not give it.
        """
        if name not in self._loaded:
            while len(self._loaded) >= KEPT:
                self._loaded.popitem(last=False)
            self._loaded[name] = Segmenter.load(self._sources[name], device=self._device)
        self._loaded.move_to_end(name)
        return self._loaded[name]


def models_in(folder: Path) -> dict[str, str | Path]:
    """The model folders in a folder, at any depth, by their path in it.

    Raises:
        UserError: there is none.
    """
    found = sorted(file.parent for file in folder.rglob(CONFIG) if (file.parent / WEIGHTS).is_file())
    if not found:
        raise UserError(f"the folder {folder} holds no model: give a folder with model folders in it.")
    return {path.relative_to(folder).as_posix() if path != folder else path.name: path for path in found}
