"""What a training without words can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from cmpc.errors import UsageError
from cmpc.models.config import ModelConfig
from cmpc.training.options import MOST, Precision, flag

PartName = Literal["backbone", "aspects", "objects"]


@dataclass
class PretrainingOptions:
    """What a training without words can be told."""

    data: Path
    """Folder that cmpc blocks made, which says what each block looks like and where it stands; or, for photos, a file
    in the format of COCO's instances_*.json, which says the kind of each thing and which pixels show it."""
    out: Path
    """Folder of the run: checkpoints, logs. It must be new, unless --resume is given."""
    model: Annotated[ModelConfig | None, tyro.conf.arg(name=""), tyro.conf.AvoidSubcommands] = None
    """The network of which a part learns; by default that of initial_model, or the preset grounded."""
    parts: tuple[PartName, ...] | None = None
    """What learns; the rest stays as it is. backbone: from the attributes of each pixel; aspects, by which grounded
    reasoning compares cells: from the same; objects, the head that tells which cells show one thing and where it
    stands. By default all of them that the network has."""
    images: Path | None = None
    """Folder of the photos of such a file; by default the folder images beside it."""
    resume: bool = False
    """Continue the run in --out, bit for bit. Give the same options again."""

    initial_model: Path | None = None
    """Model folder to go on from: network, weights and words. By default the weights begin at random."""
    backbone_weights: str | None = None
    """Pre-trained weights for the backbone (see cmpc train)."""
    recolour: bool = False
    """Show three of four images in other colours, which teach all but colour; the others teach all but shape. In the
    training split some colours never come with some shapes, and what sees would learn that too."""
    second_size: int | None = None
    """Side of the square input in every other step or so, beside --image.size."""

    epochs: float = 2.0
    """Length of the run in passes over the training split."""
    steps: int | None = None
    """Length of the run in steps, instead of --epochs."""
    batch_images: int = 16
    """Images in a step."""
    learning_rate: float = 2e-3
    """Highest learning rate; it grows over the first twentieth and falls to zero along half a cosine."""
    seed: int = 0
    """Decides everything random: initial weights, order, mirroring, colours."""

    precision: Precision = "32"
    """Numbers to compute with. auto: bf16 where the device has instructions for it; 32 otherwise."""
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Kind of device."""
    workers: int | None = None
    """Processes that load data; 0 loads in the training process. By default up to 4."""
    save_every: int = 500
    """Most steps between checkpoints."""
    log_every: int = 50
    """Steps between log entries."""
    deterministic: bool = True
    """On GPUs use algorithms that give the same bits each time, which --resume needs; somewhat slower."""

    def check(self) -> None:
        """
        Raises:
            UsageError: options contradict each other or are out of range.
        """
        for name in ("epochs", "steps", "batch_images", "learning_rate", "save_every", "log_every"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"{flag(name)} must be positive, got {value}.")
        for name in ("seed", "workers"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise UsageError(f"{flag(name)} must not be negative, got {value}.")
        for name, most in MOST.items():
            value = getattr(self, name, None)
            if value is not None and value > most:
                raise UsageError(f"{flag(name)} must be at most {most:,}, got {value:,}.")
        if self.second_size is not None and not 32 <= self.second_size <= 4096:
            raise UsageError(f"--second-size must be from 32 to 4,096, got {self.second_size}.")
        if self.data.is_file() and (self.recolour or self.second_size is not None):
            raise UsageError("--recolour and --second-size go with the scenes of Blocks, not with photos.")
        if self.images is not None and not self.data.is_file():
            raise UsageError("--images goes with a file of annotations: what cmpc blocks makes has its own.")
        if self.parts == ():
            raise UsageError("--parts names nothing: leave it out for all.")
        if self.initial_model is not None and self.backbone_weights is not None:
            raise UsageError("--initial-model brings its own network, words and weights: leave out --backbone-weights.")
