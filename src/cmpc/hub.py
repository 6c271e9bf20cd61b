"""Models on the Hugging Face hub: fetched by name, and pushed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from huggingface_hub import ModelHubMixin, snapshot_download

from cmpc.errors import UserError
from cmpc.model_folder import EXPORTED_FILES, MODEL_FILES

_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
"""``name`` or ``organisation/name``: nothing that only the path of a folder can be."""


def may_be_on_the_hub(name: str) -> bool:
    """Whether a model could have this name on the hub; paths with a drive, backslashes or several folders cannot."""
    return _NAME.fullmatch(name) is not None


def download(name: str, **options: Any) -> Path:
    """Fetches a model, plain or exported, unless it was fetched before.

    Args:
        name: its name on the hub.
        options: of ``huggingface_hub.snapshot_download``: ``revision``, ``token``, ``cache_dir``, ``force_download``,
            ``local_files_only``.

    Returns:
        The folder where it is now.

    Raises:
        UserError: the hub could not give it.
    """
    try:
        return Path(snapshot_download(name, allow_patterns=[*MODEL_FILES, *EXPORTED_FILES], **options))
    except (OSError, ValueError) as error:  # the hub's own errors are OSErrors, a malformed name is a ValueError
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"there is no model {name!r}: no such folder here, and the hub could not give it ({reason})."
        ) from None


class HubModel(
    ModelHubMixin, library_name="cmpc", pipeline_tag="image-segmentation", tags=["referring-image-segmentation"]
):
    """A model that the hub's library saves and pushes."""

    def __init__(self, write: Callable[[Path], None]) -> None:
        """
        Args:
            write: writes the files of the model into a folder that exists.
        """
        self._write = write

    def _save_pretrained(self, save_directory: Path) -> None:
        self._write(save_directory)
