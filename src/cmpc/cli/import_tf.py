"""Turn a TensorFlow checkpoint of the original program into a model folder that every command takes.

No TensorFlow is needed. Every checksum of the checkpoint is verified; Adam's slots and the step are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from cmpc.errors import UsageError


@dataclass
class Options:
    checkpoint: Annotated[Path, tyro.conf.Positional]
    """The checkpoint: the path of its files without .index, .meta or .data-..., for example
    ckpts/unc/cmpc_model/unc_iter_700000.tfmodel. One of these files, or a folder with a single checkpoint, does too."""
    vocabulary: Path
    """The vocabulary that the network was trained with, one word a line: vocabulary_Gref.txt for UNC, UNC+ and G-Ref,
    vocabulary_referit.txt for ReferIt."""
    out: Path
    """The model folder to write; it must not exist yet."""


def written(options: Options) -> Path:
    """The folder that no other process may write meanwhile."""
    return options.out


def run(options: Options) -> None:
    """Reads the checkpoint and writes the model folder, or neither."""
    from cmpc.cli.progress import progress_bar
    from cmpc.data.vocabulary import Vocabulary
    from cmpc.interop.tensorflow.checkpoint import open_checkpoint
    from cmpc.interop.tensorflow.import_cmpc import import_cmpc
    from cmpc.model_folder import save_model_folder
    from cmpc.models.config import preset

    if options.out.exists():
        raise UsageError(f"{options.out} exists already: give --out a new folder.")
    vocabulary = Vocabulary.load(options.vocabulary)
    checkpoint = open_checkpoint(options.checkpoint)
    with progress_bar("bytes") as bar:
        task = bar.add_task("reading variables")
        config = preset("paper", text={"vocabulary_size": len(vocabulary)})
        model = import_cmpc(checkpoint, config, lambda done, total: bar.update(task, completed=done, total=total))
    save_model_folder(options.out, model, vocabulary, card=_card(options.checkpoint.name))
    parameters = sum(parameter.numel() for parameter in model.state_dict().values())
    print(f"{options.out}: {parameters / 1e6:.1f} M values and {len(vocabulary):,} words from {checkpoint.path}")


def _card(name: str) -> str:
    return (
        "---\nlibrary_name: cmpc\npipeline_tag: image-segmentation\ntags: [referring-image-segmentation]\n---\n\n"
        "# CMPC, imported from TensorFlow\n\n"
        f"The published network (Huang et al., CVPR 2020) with the weights of the TensorFlow checkpoint `{name}`, "
        "converted by `cmpc import-tf`. The weights stay under the terms of those who trained them.\n"
    )
